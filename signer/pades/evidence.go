package pades

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
	"golang.org/x/crypto/ocsp"

	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/revinfo"
)

const (
	maxPath   = 16             // certificates of a path
	maxChecks = 4096           // different signatures that one file makes us verify
	maxAge    = 24 * time.Hour // how long before the time in question data on an end entity may have been issued
)

// evidence is what is there to judge certificates with. It looks whether data are there and authentic; what they say is for
// a validator to judge, who has trust anchors.
type evidence struct {
	certificates []*x509.Certificate
	lists        []*crlHead
	answers      [][]byte // OCSPResponse each
	verified     map[check]bool
}

// check is a signature and with which key it was verified.
type check struct {
	key, data [sha256.Size]byte
	signature string
}

// crlHead is a revocation list without its entries, which may be very many.
type crlHead struct {
	*x509.RevocationList
	raw, tbs []byte
	sum      [sha256.Size]byte // of tbs
}

// newEvidence reads what can be read; the rest proves nothing.
func newEvidence(held revinfo.Evidence) *evidence {
	e := &evidence{answers: held.OCSPs, verified: map[check]bool{}}
	e.certificates = parseCertificates(held.Certificates)
	for _, raw := range held.CRLs {
		if l := parseList(raw); l != nil {
			e.lists = append(e.lists, l)
		}
	}
	return e
}

// renewed reads anew, and remembers what was verified.
func (e *evidence) renewed(held revinfo.Evidence) *evidence {
	n := newEvidence(held)
	n.verified = e.verified
	return n
}

func parseCertificates(ders [][]byte) (out []*x509.Certificate) {
	for _, der := range ders {
		if c, err := x509.ParseCertificate(der); err == nil {
			out = append(out, c)
		}
	}
	return out
}

// parseList reads a list (RFC 5280 section 5.1) of which it leaves out the entries.
func parseList(raw []byte) *crlHead {
	in := cryptobyte.String(raw)
	var outer, tbs, rest, fields, revoked cryptobyte.String
	var many bool
	if !in.ReadASN1(&outer, cbasn1.SEQUENCE) || !in.Empty() || !outer.ReadASN1Element(&tbs, cbasn1.SEQUENCE) {
		return nil
	}
	rest, in = outer, tbs
	if !in.ReadASN1(&fields, cbasn1.SEQUENCE) {
		return nil
	}
	before := fields
	if !fields.SkipOptionalASN1(cbasn1.INTEGER) || !fields.SkipASN1(cbasn1.SEQUENCE) || !fields.SkipASN1(cbasn1.SEQUENCE) || !skipTimes(&fields) {
		return nil
	}
	before = before[:len(before)-len(fields)]
	if !fields.ReadOptionalASN1(&revoked, &many, cbasn1.SEQUENCE) {
		return nil
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddBytes(before)
			b.AddBytes(fields)
		})
		b.AddBytes(rest)
	})
	short, err := b.Bytes()
	if err != nil {
		return nil
	}
	l, err := x509.ParseRevocationList(short)
	if err != nil {
		return nil
	}
	return &crlHead{l, raw, tbs, sha256.Sum256(tbs)}
}

// skipTimes reads thisUpdate and nextUpdate.
func skipTimes(in *cryptobyte.String) bool {
	n := 0
	for in.PeekASN1Tag(cbasn1.UTCTime) || in.PeekASN1Tag(cbasn1.GeneralizedTime) {
		var value cryptobyte.String
		var tag cbasn1.Tag
		if n++; !in.ReadAnyASN1(&value, &tag) {
			return false
		}
	}
	return n == 1 || n == 2
}

// with returns e with further certificates; both count together what they verify.
func (e *evidence) with(certificates [][]byte) *view {
	return &view{e, parseCertificates(certificates)}
}

// view is evidence with the certificates that a signature or token brings.
type view struct {
	*evidence
	own []*x509.Certificate
}

// question is whether there is evidence for a certificate.
type question struct {
	since    time.Time // data on the certificate itself were issued no earlier
	issuer   bool      // the certificate's issuer must be there
	anchored bool      // so must all others, up to a self-signed one; else trust may begin anywhere, as a trusted list has it
}

// prove returns what proves that c and its path were not revoked, or an error that wraps cades.ErrEvidence.
func (v *view) prove(c *x509.Certificate, q question) (used revinfo.Evidence, err error) {
	used.Certificates = [][]byte{c.Raw}
	first := true
	for range maxPath {
		if bytes.Equal(c.RawIssuer, c.RawSubject) && v.issued(c, c) {
			return used, nil
		}
		issuer := v.issuer(c)
		if issuer == nil {
			if !q.anchored && (!first || !q.issuer) {
				return used, nil
			}
			return used, fmt.Errorf("%w: the issuer of a certificate is not in the file (serial number %x)", cades.ErrEvidence, c.SerialNumber)
		}
		since := time.Time{}
		if first {
			since = q.since
		}
		found, ok := v.covers(c, issuer, since)
		if !ok {
			return used, fmt.Errorf("%w: no revocation data for a certificate (serial number %x)", cades.ErrEvidence, c.SerialNumber)
		}
		used.Add(found)
		used.Add(revinfo.Evidence{Certificates: [][]byte{issuer.Raw}})
		c, first = issuer, false
	}
	return used, fmt.Errorf("%w: path of more than %d certificates", cades.ErrEvidence, maxPath)
}

func (v *view) issuer(c *x509.Certificate) *x509.Certificate {
	for _, group := range [][]*x509.Certificate{v.own, v.certificates} {
		for _, i := range group {
			if bytes.Equal(i.RawSubject, c.RawIssuer) && !bytes.Equal(i.Raw, c.Raw) && v.issued(i, c) {
				return i
			}
		}
	}
	return nil
}

// covers looks for a list or an OCSP answer.
func (e *evidence) covers(c, issuer *x509.Certificate, since time.Time) (revinfo.Evidence, bool) {
	for _, answer := range e.answers {
		if !bytes.Contains(answer, c.SerialNumber.Bytes()) {
			continue
		}
		// A responder that brings its certificate may be one whom the issuer did not appoint, but the validator trusts.
		r, err := ocsp.ParseResponseForCert(answer, c, nil)
		if err != nil || r.SerialNumber.Cmp(c.SerialNumber) != 0 || r.ThisUpdate.Before(since) || r.Certificate == nil && r.CheckSignatureFrom(issuer) != nil {
			continue
		}
		if key := keyHash(issuer, r.IssuerHash); len(key) > 0 && bytes.Contains(r.TBSResponseData, key) {
			return revinfo.Evidence{OCSPs: [][]byte{answer}}, true
		}
	}
	for _, l := range e.lists {
		if bytes.Equal(l.RawIssuer, issuer.RawSubject) && !l.ThisUpdate.Before(since) && e.signed(issuer, l.SignatureAlgorithm, l.tbs, l.Signature, l.sum) {
			return revinfo.Evidence{CRLs: [][]byte{l.raw}}, true
		}
	}
	return revinfo.Evidence{}, false
}

func (e *evidence) issued(by, c *x509.Certificate) bool {
	return e.signed(by, c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature, sha256.Sum256(c.RawTBSCertificate))
}

// signed reports whether by signed data, as long as not too much was verified already. sum is the SHA-256 of data.
func (e *evidence) signed(by *x509.Certificate, alg x509.SignatureAlgorithm, data, signature []byte, sum [sha256.Size]byte) bool {
	c := check{sha256.Sum256(by.RawSubjectPublicKeyInfo), sum, string(signature)}
	good, known := e.verified[c]
	if !known && len(e.verified) < maxChecks {
		good = by.CheckSignature(alg, data, signature) == nil
		e.verified[c] = good
	}
	return good
}

// keyHash is issuerKeyHash (RFC 6960 section 4.1.1): of the bits of the key, without tag, length and number of unused bits.
func keyHash(c *x509.Certificate, h crypto.Hash) []byte {
	var info struct {
		Algorithm asn1.RawValue
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(c.RawSubjectPublicKeyInfo, &info); err != nil || !h.Available() {
		return nil
	}
	return hashOf(h, info.Key.RightAlign())
}
