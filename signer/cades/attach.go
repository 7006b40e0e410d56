package cades

import (
	"fmt"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Attach returns what stands before and behind size octets of content when a detached signature in DER, of whatever level,
// is made an attached one: the whole file is head, content, tail. No octet of a signature or time-stamp changes, because
// none of them covers where the content stands (RFC 5652 section 5.4, EN 319 122-1 clause 5.5.3). It cannot see the content:
// whoever joins the three must know that its digest is the signed one.
func Attach(detached []byte, size int64) (head, tail []byte, err error) {
	in := cryptobyte.String(detached)
	var info, outer, sd, version, digests, encap cryptobyte.String
	if !in.ReadASN1(&info, cbasn1.SEQUENCE) || !in.Empty() || !info.SkipASN1(cbasn1.OBJECT_IDENTIFIER) ||
		!info.ReadASN1(&outer, cbasn1.Tag(0).ContextSpecific().Constructed()) || !info.Empty() ||
		!outer.ReadASN1(&sd, cbasn1.SEQUENCE) || !outer.Empty() || !sd.ReadASN1Element(&version, cbasn1.INTEGER) ||
		!sd.ReadASN1Element(&digests, cbasn1.SET) || !sd.ReadASN1(&encap, cbasn1.SEQUENCE) {
		return nil, nil, fmt.Errorf("%w: not SignedData in DER", ErrMalformed)
	}
	var typ cryptobyte.String
	if !encap.ReadASN1Element(&typ, cbasn1.OBJECT_IDENTIFIER) || !encap.Empty() || size < 0 || size > 1<<62 {
		return nil, nil, fmt.Errorf("%w: it has its content already", ErrInput)
	}
	tail = []byte(sd)
	rest := size + int64(len(tail))
	head = prepend(0x04, size, nil)
	head = slices.Concat(typ, prepend(0xa0, int64(len(head))+size, nil), head)
	head = prepend(0x30, int64(len(head))+size, head)
	head = slices.Concat(version, digests, head)
	head = prepend(0x30, int64(len(head))+rest, head)
	head = prepend(0xa0, int64(len(head))+rest, head)
	head = slices.Concat(encodeOID(oidSignedData), head)
	return prepend(0x30, int64(len(head))+rest, head), tail, nil
}
