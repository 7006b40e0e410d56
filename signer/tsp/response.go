package tsp

import (
	"crypto"
	"encoding/asn1"
	"fmt"
	"math/big"
	"strings"
	"unicode"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/ecsigner/ecsigner/signer/cms"
)

// nonceSize is the length of a nonce in octets. The first octet is kept between 0x40 and 0x7f, so that every nonce has the
// same length in a token and is positive.
const nonceSize = 8

// marshalRequest encodes a TimeStampReq (RFC 3161 section 2.4.1), with certReq always.
func marshalRequest(h crypto.Hash, imprint []byte, policy asn1.ObjectIdentifier, nonce *big.Int) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(1)
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(oidOf(h)) })
			b.AddASN1OctetString(imprint)
		})
		if policy != nil {
			b.AddASN1ObjectIdentifier(policy)
		}
		b.AddASN1BigInt(nonce)
		b.AddASN1Boolean(true)
	})
	return b.Bytes()
}

// stampable reports whether a new time-stamp may be made over a digest of h.
func stampable(h crypto.Hash) bool { return h != crypto.SHA1 && oidOf(h) != nil }

func oidOf(h crypto.Hash) asn1.ObjectIdentifier {
	for _, known := range hashes {
		if known.hash == h {
			return known.oid
		}
	}
	return nil
}

// parseResponse reads a TimeStampResp (RFC 3161 section 2.4.2), DER or BER, and returns the token in it, with definite lengths.
// A modification, of which status grantedWithMods speaks, is for the caller to find in the token. Errors: ErrAnswer, ErrRejected.
// The authority's own words are left out when quiet.
func parseResponse(body []byte, quiet bool) ([]byte, error) {
	der, err := cms.Definite(body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	in := cryptobyte.String(der)
	var response, info, token cryptobyte.String
	var status int
	if !in.ReadASN1(&response, cbasn1.SEQUENCE) || !response.ReadASN1(&info, cbasn1.SEQUENCE) || !info.ReadASN1Integer(&status) ||
		!response.Empty() && !response.ReadASN1Element(&token, cbasn1.SEQUENCE) {
		return nil, fmt.Errorf("%w: no TimeStampResp", ErrAnswer)
	}
	if status != 0 && status != 1 {
		return nil, rejection(status, info, quiet)
	}
	if len(token) == 0 || !response.Empty() {
		return nil, fmt.Errorf("%w: status %d without a token", ErrAnswer, status)
	}
	return token, nil
}

// rejection names status and failure, and says what the authority says, as far as it can be read.
func rejection(status int, info cryptobyte.String, quiet bool) error {
	name, ok := map[int]string{2: "rejection", 3: "waiting", 4: "revocation warning", 5: "revocation notification"}[status]
	if !ok {
		name = "unknown"
	}
	var list, text cryptobyte.String
	said := ""
	for _ = info.ReadOptionalASN1(&list, nil, cbasn1.SEQUENCE); list.ReadASN1(&text, cbasn1.UTF8String); {
		said += " " + printable(string(text))
	}
	var failure asn1.BitString
	reasons := ""
	if info.PeekASN1Tag(cbasn1.BIT_STRING) && info.ReadASN1BitString(&failure) {
		for bit, reason := range map[int]string{
			0: "badAlg", 2: "badRequest", 5: "badDataFormat", 14: "timeNotAvailable", 15: "unacceptedPolicy", 16: "unacceptedExtension", 17: "addInfoNotAvailable", 25: "systemFailure",
		} {
			if failure.At(bit) != 0 {
				reasons += ", " + reason
			}
		}
	}
	if quiet || said == "" {
		return fmt.Errorf("%w: status %d (%s)%s", ErrRejected, status, name, reasons)
	}
	return fmt.Errorf("%w: status %d (%s)%s:%.200s", ErrRejected, status, name, reasons, said)
}

// printable replaces what does not belong into a line of a log.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}
