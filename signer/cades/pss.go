package cades

import (
	"bytes"
	"encoding/asn1"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// pssSalt returns the salt length in bytes of a signature algorithm identifier of RSASSA-PSS (RFC 4055 section 3.1) whose hash and
// mask are those of a. Others choose a longer salt than we do, up to what the key allows, and leave out the NULL of a hash; the
// defaults of the standard, all of them SHA-1, are not read.
func (a Algorithm) pssSalt(signatureID []byte) (int, bool) {
	var id, params, hash, mask cryptobyte.String
	var oid asn1.ObjectIdentifier
	in := cryptobyte.String(signatureID)
	if !in.ReadASN1(&id, cbasn1.SEQUENCE) || !in.Empty() || !id.ReadASN1ObjectIdentifier(&oid) || !oid.Equal(oidPSS) ||
		!id.ReadASN1(&params, cbasn1.SEQUENCE) || !id.Empty() {
		return 0, false
	}
	salt, trailer := int64(20), int64(1)
	tag := func(n uint8) cbasn1.Tag { return cbasn1.Tag(n).ContextSpecific().Constructed() }
	if !params.ReadASN1(&hash, tag(0)) || !params.ReadASN1(&mask, tag(1)) ||
		!params.ReadOptionalASN1Integer(&salt, tag(2), int64(20)) || !params.ReadOptionalASN1Integer(&trailer, tag(3), int64(1)) || !params.Empty() {
		return 0, false
	}
	const greatest = 2048 // bytes, of a key of 16,384 bits
	if !isDigestIdentifier(hash, algorithms[a].digestOID) || trailer != 1 || salt < 0 || salt > greatest {
		return 0, false
	}
	for _, null := range []bool{true, false} {
		inner := identifier(algorithms[a].digestOID, nil)
		if null {
			inner = identifier(algorithms[a].digestOID, addNull)
		}
		if bytes.Equal(mask, identifier(oidMGF1, func(b *cryptobyte.Builder) { b.AddBytes(inner) })) {
			return int(salt), true
		}
	}
	return 0, false
}
