package tsp

import (
	"fmt"
	"math/bits"
	"slices"
)

// maxDepth bounds the nesting of a token; real ones need about fifteen levels.
const maxDepth = 48

// element is one BER element: its identifier octets, whether it is constructed, and its contents without end marker.
type element struct {
	identifier  []byte
	constructed bool
	contents    []byte
}

// normalise returns the DER of what may be BER: definite lengths in their shortest form, and octet strings in one piece
// (X.690 clauses 10.1 and 10.2). Elements that are so already keep their bytes, and nothing else is changed, so that what
// is signed in DER, as RFC 5652 section 5.4 demands, still verifies. It takes time len(in) × maxDepth and memory len(in).
func normalise(in []byte) ([]byte, error) {
	out, rest, err := appendDER(make([]byte, 0, len(in)+8), in, 0)
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%w: %d bytes behind the end", ErrMalformed, len(rest))
	}
	return out, nil
}

// appendDER appends the first element of in, as DER, and returns what follows it.
func appendDER(out, in []byte, depth int) (appended, rest []byte, err error) {
	e, rest, err := readElement(in, depth)
	if err != nil {
		return nil, nil, err
	}
	identifier, start := e.identifier, len(out)
	switch {
	case !e.constructed:
		out = append(out, e.contents...)
	case identifier[0] == 0x24: // OCTET STRING in pieces
		identifier = []byte{0x04}
		out, err = appendOctets(out, e.contents, depth+1)
	default:
		for children := e.contents; len(children) > 0 && err == nil; {
			out, children, err = appendDER(out, children, depth+1)
		}
	}
	if err != nil {
		return nil, nil, err
	}
	return slices.Insert(out, start, appendLength(slices.Clone(identifier), len(out)-start)...), rest, nil
}

// appendOctets appends the pieces of a constructed OCTET STRING, which may be constructed again.
func appendOctets(out, pieces []byte, depth int) ([]byte, error) {
	for len(pieces) > 0 {
		e, rest, err := readElement(pieces, depth)
		if err != nil {
			return nil, err
		}
		switch e.identifier[0] {
		case 0x04:
			out = append(out, e.contents...)
		case 0x24:
			if out, err = appendOctets(out, e.contents, depth+1); err != nil {
				return nil, err
			}
		default:
			return nil, fmt.Errorf("%w: an octet string has a piece with tag %x", ErrMalformed, e.identifier)
		}
		pieces = rest
	}
	return out, nil
}

// readElement reads one BER element.
func readElement(in []byte, depth int) (e element, rest []byte, err error) {
	if depth > maxDepth {
		return e, nil, fmt.Errorf("%w: nested deeper than %d", ErrMalformed, maxDepth)
	}
	id, err := identifierSize(in)
	if err != nil {
		return e, nil, err
	}
	e.identifier, e.constructed = in[:id], in[0]&0x20 != 0
	length, header, err := readLength(in[id:])
	if err != nil {
		return e, nil, err
	}
	body := in[id+header:]
	if length >= 0 {
		if length > len(body) {
			return e, nil, fmt.Errorf("%w: an element with tag %x says %d bytes, %d are there", ErrMalformed, e.identifier, length, len(body))
		}
		e.contents = body[:length]
		return e, body[length:], nil
	}
	if !e.constructed {
		return e, nil, fmt.Errorf("%w: tag %x is primitive and of indefinite length", ErrMalformed, e.identifier)
	}
	for rest = body; ; {
		if len(rest) >= 2 && rest[0] == 0 && rest[1] == 0 {
			e.contents = body[:len(body)-len(rest)]
			return e, rest[2:], nil
		}
		if _, rest, err = readElement(rest, depth+1); err != nil {
			return e, nil, err
		}
	}
}

// identifierSize returns the number of identifier octets (X.690 clause 8.1.2).
func identifierSize(in []byte) (int, error) {
	if len(in) == 0 || in[0] == 0 {
		return 0, fmt.Errorf("%w: an element is missing or has tag 0", ErrMalformed)
	}
	if in[0]&0x1f != 0x1f {
		return 1, nil
	}
	for n := 1; n < len(in) && n <= 5; n++ {
		if in[n]&0x80 == 0 {
			return n + 1, nil
		}
	}
	return 0, fmt.Errorf("%w: a tag does not end", ErrMalformed)
}

// readLength returns the length, -1 when it is indefinite, and the number of its octets (X.690 clause 8.1.3).
func readLength(in []byte) (length, size int, err error) {
	if len(in) == 0 {
		return 0, 0, fmt.Errorf("%w: a length is missing", ErrMalformed)
	}
	n := int(in[0] & 0x7f)
	switch {
	case in[0] < 0x80:
		return n, 1, nil
	case n == 0:
		return -1, 1, nil
	case n > 8 || n >= len(in):
		return 0, 0, fmt.Errorf("%w: a length of %d octets", ErrMalformed, n)
	}
	for _, b := range in[1 : 1+n] {
		if length = length<<8 | int(b); length > maxToken {
			return 0, 0, fmt.Errorf("%w: an element of more than %d bytes", ErrMalformed, maxToken)
		}
	}
	return length, 1 + n, nil
}

// appendLength appends a definite length in its shortest form.
func appendLength(out []byte, n int) []byte {
	if n < 0x80 {
		return append(out, byte(n))
	}
	octets := (bits.Len(uint(n)) + 7) / 8
	out = append(out, 0x80|byte(octets))
	for i := octets - 1; i >= 0; i-- {
		out = append(out, byte(n>>(8*i)))
	}
	return out
}
