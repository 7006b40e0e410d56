package status

import (
	"bytes"
	"encoding/asn1"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// SameName compares two distinguished names in DER as RFC 5280 section 7.1 has it: the encoding of a string, its case and
// the amount of white space do not matter. Names of lists and responders are compared so; in paths, where RFC 5280 section
// 4.1.2.6 demands it and crypto/x509 insists on it, names are equal byte by byte.
func SameName(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	x, y := cryptobyte.String(a), cryptobyte.String(b)
	if !x.ReadASN1(&x, cbasn1.SEQUENCE) || !y.ReadASN1(&y, cbasn1.SEQUENCE) {
		return false
	}
	for !x.Empty() && !y.Empty() {
		var p, q cryptobyte.String
		if !x.ReadASN1(&p, cbasn1.SET) || !y.ReadASN1(&q, cbasn1.SET) || !sameRDN(p, q) {
			return false
		}
	}
	return x.Empty() && y.Empty()
}

// sameRDN compares attributes in order: DER sorts them by their encoding, which puts the types first.
func sameRDN(p, q cryptobyte.String) bool {
	for !p.Empty() && !q.Empty() {
		var one, other, v, w cryptobyte.String
		var id, id2 asn1.ObjectIdentifier
		var tag, tag2 cbasn1.Tag
		if !p.ReadASN1(&one, cbasn1.SEQUENCE) || !q.ReadASN1(&other, cbasn1.SEQUENCE) ||
			!one.ReadASN1ObjectIdentifier(&id) || !other.ReadASN1ObjectIdentifier(&id2) || !id.Equal(id2) ||
			!one.ReadAnyASN1(&v, &tag) || !other.ReadAnyASN1(&w, &tag2) {
			return false
		}
		if tag == tag2 && bytes.Equal(v, w) {
			continue
		}
		s, ok := text(v, tag)
		t, ok2 := text(w, tag2)
		if !ok || !ok2 || !strings.EqualFold(s, t) {
			return false
		}
	}
	return p.Empty() && q.Empty()
}

func text(v []byte, tag cbasn1.Tag) (string, bool) {
	if tag != cbasn1.UTF8String && tag != cbasn1.PrintableString && tag != cbasn1.IA5String || !utf8.Valid(v) {
		return "", false
	}
	return strings.Join(strings.Fields(string(v)), " "), true
}
