package pades

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
)

// ErrSignatureDict: a signature dictionary is not one that can be judged.
var ErrSignatureDict = errors.New("pades: unusable signature dictionary")

// decodeContents reads "<hex digits>" as this package writes it, and cuts off what fills it up.
func decodeContents(hole []byte) ([]byte, error) {
	if len(hole) < 2 || hole[0] != '<' || hole[len(hole)-1] != '>' {
		return nil, fmt.Errorf("%w: /Contents is not a hexadecimal string", ErrSignatureDict)
	}
	value, err := hex.DecodeString(string(hole[1 : len(hole)-1]))
	if err != nil {
		return nil, fmt.Errorf("%w: /Contents: %w", ErrSignatureDict, err)
	}
	return CutContents(value)
}

// CutContents returns the CMS or the token in the value of a /Contents string, without the zeros that fill it up (ISO 32000-2
// section 12.8.1). Anything else behind it would be bytes that no signature covers: then, and when there is no BER element at
// the start, the error wraps ErrSignatureDict.
func CutContents(value []byte) ([]byte, error) {
	n, ok := elementLength(value, 64)
	if !ok {
		return nil, fmt.Errorf("%w: /Contents holds no CMS", ErrSignatureDict)
	}
	if len(bytes.Trim(value[n:], "\x00")) > 0 {
		return nil, fmt.Errorf("%w: /Contents holds more than the CMS", ErrSignatureDict)
	}
	return value[:n:n], nil
}

// elementLength returns the length of the BER element at the start of b, header included. depth bounds the nesting of those
// of indefinite length (X.690 section 8.1.3.6), of which the end is found by reading what is in them.
func elementLength(b []byte, depth int) (int, bool) {
	at := 1
	if len(b) > 0 && b[0]&0x1f == 0x1f {
		for at < len(b) && b[at]&0x80 != 0 {
			at++
		}
		at++
	}
	if at >= len(b) || depth < 0 {
		return 0, false
	}
	n, octets := int(b[at]), 0
	at++
	switch {
	case n == 0x80:
		if b[0]&0x20 == 0 {
			return 0, false
		}
		for !bytes.HasPrefix(b[at:], []byte{0, 0}) {
			inner, ok := elementLength(b[at:], depth-1)
			if !ok {
				return 0, false
			}
			at += inner
		}
		return at + 2, true
	case n > 0x84:
		return 0, false
	case n > 0x80:
		octets, n = n-0x80, 0
	}
	if len(b) < at+octets {
		return 0, false
	}
	for _, c := range b[at : at+octets] {
		n = n<<8 | int(c)
	}
	at += octets
	return at + n, n <= len(b)-at
}
