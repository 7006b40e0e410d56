package status

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

var (
	oidDelta        = asn1.ObjectIdentifier{2, 5, 29, 27}
	oidIDP          = asn1.ObjectIdentifier{2, 5, 29, 28}
	oidPoints       = asn1.ObjectIdentifier{2, 5, 29, 31}
	oidAuthorityKey = asn1.ObjectIdentifier{2, 5, 29, 35}
	oidExpiredCerts = asn1.ObjectIdentifier{2, 5, 29, 60}
)

// List is a CertificateList (RFC 5280 section 5.1). Its entries stay bytes: a list of a million of them costs its own size
// and no more. It is not changed after it was read.
type List struct {
	Raw                    []byte
	Algorithm              x509.SignatureAlgorithm // of the signature; 0: none that is checked
	ThisUpdate, NextUpdate time.Time               // NextUpdate is zero where there is none
	Expired                time.Time               // certificates that ended since then stay on the list; zero: nothing is said

	tbs, signature []byte
	issuer         []byte // Name
	entries        cryptobyte.String
	extensions     []pkix.Extension
	point          *issuingPoint // nil: there is none
}

// ParseList reads a list and checks the form of every entry, without keeping any.
func ParseList(der []byte) (*List, error) {
	l := &List{Raw: der}
	var outer, tbs, inner, ai cryptobyte.String
	var signature asn1.BitString
	s := cryptobyte.String(der)
	switch {
	case !s.ReadASN1(&outer, cbasn1.SEQUENCE):
		return nil, malformed("revocation list: no SEQUENCE")
	case !s.Empty():
		return nil, malformed("revocation list: bytes follow it")
	case !outer.ReadASN1Element(&tbs, cbasn1.SEQUENCE):
		return nil, malformed("revocation list: tbsCertList")
	case !outer.ReadASN1(&ai, cbasn1.SEQUENCE):
		return nil, malformed("revocation list: signatureAlgorithm")
	case !outer.ReadASN1BitString(&signature) || signature.BitLength%8 != 0 || !outer.Empty():
		return nil, malformed("revocation list: signature")
	}
	l.tbs, l.signature, l.Algorithm = tbs, signature.Bytes, algorithm(ai)
	if !tbs.ReadASN1(&tbs, cbasn1.SEQUENCE) {
		return nil, malformed("revocation list: tbsCertList")
	}
	version := 0
	if tbs.PeekASN1Tag(cbasn1.INTEGER) && (!tbs.ReadASN1Integer(&version) || version != 1) {
		return nil, malformed("revocation list: version")
	}
	if !tbs.ReadASN1(&inner, cbasn1.SEQUENCE) || !bytes.Equal(inner, ai) {
		return nil, malformed("revocation list: signature algorithm differs inside and outside")
	}
	return l, l.body(tbs, version)
}

// body reads what follows the algorithm.
func (l *List) body(tbs cryptobyte.String, version int) error {
	var issuer cryptobyte.String
	var ok bool
	if !tbs.ReadASN1Element(&issuer, cbasn1.SEQUENCE) {
		return malformed("revocation list: issuer")
	}
	l.issuer = issuer
	if l.ThisUpdate, ok = readTime(&tbs); !ok {
		return malformed("revocation list: thisUpdate")
	}
	if tbs.PeekASN1Tag(cbasn1.UTCTime) || tbs.PeekASN1Tag(cbasn1.GeneralizedTime) {
		if l.NextUpdate, ok = readTime(&tbs); !ok {
			return malformed("revocation list: nextUpdate")
		}
	}
	if tbs.PeekASN1Tag(cbasn1.SEQUENCE) && !tbs.ReadASN1(&l.entries, cbasn1.SEQUENCE) {
		return malformed("revocation list: revokedCertificates")
	}
	if err := l.scan(); err != nil {
		return err
	}
	if tbs.PeekASN1Tag(explicit(0)) {
		var wrapped cryptobyte.String
		if version == 0 || !tbs.ReadASN1(&wrapped, explicit(0)) {
			return malformed("revocation list: extensions in version 1")
		}
		if l.extensions, ok = readExtensions(&wrapped); !ok || !wrapped.Empty() {
			return malformed("revocation list: extensions")
		}
	}
	if !tbs.Empty() {
		return malformed("revocation list: bytes behind the extensions")
	}
	return l.meanings()
}

// meanings reads the extensions that matter.
func (l *List) meanings() error {
	if e := find(l.extensions, oidIDP); e != nil {
		p, err := parseIssuingPoint(e.Value)
		if err != nil {
			return err
		}
		l.point = p
	}
	if e := find(l.extensions, oidExpiredCerts); e != nil {
		s := cryptobyte.String(e.Value)
		t, ok := readGeneralized(&s)
		if !ok || !s.Empty() {
			return malformed("revocation list: expiredCertsOnCRL")
		}
		l.Expired = t
	}
	return nil
}

// scan walks the entries once. A critical extension in any entry forbids the use of the whole list (RFC 5280 section 5.3);
// the one that exists, certificateIssuer, is that of indirect lists.
func (l *List) scan() error {
	entries := l.entries
	for n := 0; !entries.Empty(); n++ {
		_, when, extensions, ok := nextEntry(&entries)
		if !ok || len(when) != 13 && len(when) != 15 || when[len(when)-1] != 'Z' {
			return malformed(fmt.Sprintf("revocation list: entry %d", n))
		}
		_, critical, ok := entryExtensions(extensions)
		if !ok {
			return malformed(fmt.Sprintf("revocation list: extensions of entry %d", n))
		}
		if critical {
			return fmt.Errorf("%w: a critical extension in entry %d of a revocation list (an indirect list has such)", ErrUnsupported, n)
		}
	}
	return nil
}

// nextEntry takes one entry off: the content of its serial number and of its time, and of its extensions.
func nextEntry(entries *cryptobyte.String) (serial, when []byte, extensions cryptobyte.String, ok bool) {
	var one, t cryptobyte.String
	var tag cbasn1.Tag
	if !entries.ReadASN1(&one, cbasn1.SEQUENCE) {
		return nil, nil, nil, false
	}
	if serial, ok = readInteger(&one); !ok {
		return nil, nil, nil, false
	}
	if !one.ReadAnyASN1(&t, &tag) || tag != cbasn1.UTCTime && tag != cbasn1.GeneralizedTime {
		return nil, nil, nil, false
	}
	if !one.Empty() && (!one.ReadASN1(&extensions, cbasn1.SEQUENCE) || !one.Empty()) {
		return nil, nil, nil, false
	}
	return serial, t, extensions, true
}

// entryExtensions finds the reason, and whether anything is critical. It allocates nothing.
func entryExtensions(list cryptobyte.String) (reason int, critical, ok bool) {
	reasonID := []byte{0x55, 0x1D, 0x15}
	for !list.Empty() {
		var one, id, value cryptobyte.String
		var c bool
		if !list.ReadASN1(&one, cbasn1.SEQUENCE) || !one.ReadASN1(&id, cbasn1.OBJECT_IDENTIFIER) {
			return 0, false, false
		}
		if one.PeekASN1Tag(cbasn1.BOOLEAN) && !one.ReadASN1Boolean(&c) {
			return 0, false, false
		}
		if !one.ReadASN1(&value, cbasn1.OCTET_STRING) || !one.Empty() {
			return 0, false, false
		}
		if bytes.Equal(id, reasonID) {
			if !value.ReadASN1Enum(&reason) || !value.Empty() {
				return 0, false, false
			}
			c = false // known, so it may be critical
		}
		critical = critical || c
	}
	return reason, critical, true
}

// Lookup finds the earliest revocation of a serial number; nil: there is none.
func (l *List) Lookup(number *big.Int) (found *Revocation, err error) {
	serial := trim(octets(number))
	entries := l.entries
	for !entries.Empty() {
		element := entries
		one, _, extensions, ok := nextEntry(&entries)
		if !ok {
			return nil, malformed("revocation list: entry") // cannot be: ParseList went the same way
		}
		if !bytes.Equal(trim(one), serial) {
			continue
		}
		var body cryptobyte.String
		if !element.ReadASN1(&body, cbasn1.SEQUENCE) || !body.SkipASN1(cbasn1.INTEGER) {
			return nil, malformed("revocation list: entry")
		}
		when, ok := readTime(&body)
		if !ok {
			return nil, malformed("revocation list: revocationDate")
		}
		reason, _, _ := entryExtensions(extensions)
		if found == nil || when.Before(found.Time) {
			found = &Revocation{Time: when, Reason: reason}
		}
	}
	return found, nil
}

// trim takes off leading zeros, so that a number is also found where it is not encoded as DER demands.
func trim(number []byte) []byte { return bytes.TrimLeft(number, "\x00") }

// Authentic checks that the issuer signed the list (RFC 5280 section 6.3.3 f and g).
func (l *List) Authentic(issuer *x509.Certificate) error {
	if !SameName(l.issuer, issuer.RawSubject) {
		return fmt.Errorf("%w: the revocation list is issued by another than the certificate (an indirect list)", ErrUnsupported)
	}
	if e := find(l.extensions, oidAuthorityKey); e != nil && len(issuer.SubjectKeyId) > 0 {
		if id := keyID(e.Value); id != nil && !bytes.Equal(id, issuer.SubjectKeyId) {
			return fmt.Errorf("%w: the revocation list is signed with another key of the issuer", ErrUnsupported)
		}
	}
	if issuer.KeyUsage != 0 && issuer.KeyUsage&x509.KeyUsageCRLSign == 0 {
		return fmt.Errorf("%w: the key of the issuer is not for revocation lists", ErrUnsupported)
	}
	return checkSignature("revocation list", issuer, l.Algorithm, l.tbs, l.signature)
}

// checkSignature accepts nothing weaker than SHA-256.
func checkSignature(what string, by *x509.Certificate, algo x509.SignatureAlgorithm, signed, signature []byte) error {
	if algo == 0 {
		return fmt.Errorf("%w: signature algorithm of the %s", ErrUnsupported, what)
	}
	if err := by.CheckSignature(algo, signed, signature); err != nil {
		return fmt.Errorf("signature of the %s: %w", what, err)
	}
	return nil
}

// keyID returns the keyIdentifier of an authorityKeyIdentifier, nil if there is none.
func keyID(der []byte) []byte {
	var seq, id cryptobyte.String
	var present bool
	s := cryptobyte.String(der)
	if !s.ReadASN1(&seq, cbasn1.SEQUENCE) || !seq.ReadOptionalASN1(&id, &present, implicit(0)) || !present {
		return nil
	}
	return id
}

// Covers checks that the list speaks of a certificate and of every reason (RFC 5280 section 6.3.3 b).
func (l *List) Covers(cert *x509.Certificate) error {
	if find(l.extensions, oidDelta) != nil {
		return fmt.Errorf("%w: a delta list", ErrUnsupported)
	}
	known := []asn1.ObjectIdentifier{oidIDP, oidDelta, oidAuthorityKey, oidExpiredCerts}
	for _, e := range l.extensions {
		if e.Critical && !slices.ContainsFunc(known, e.Id.Equal) {
			return fmt.Errorf("%w: critical extension %s of a revocation list", ErrUnsupported, e.Id)
		}
	}
	if l.point == nil {
		return nil
	}
	return l.point.covers(cert)
}
