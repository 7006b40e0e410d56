package cades

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"fmt"

	"golang.org/x/crypto/ocsp"

	"github.com/ecsigner/ecsigner/signer/cms"
)

// maxPath bounds a path of certificates.
const maxPath = 16

// maxChecks bounds the signatures of certificates and revocation data that one file makes us verify: a real one has some
// dozens, and each may be of a key that makes it slow.
const maxChecks = 500

// evidence is what is in SignedData to judge certificates with.
type evidence struct {
	checks       int
	certificates []*x509.Certificate
	crls         []*x509.RevocationList
	answers      [][]byte // OCSPResponse each
}

// readEvidence reads what can be read; the rest proves nothing.
func readEvidence(certificates, revocation [][]byte) *evidence {
	e := &evidence{}
	for _, der := range certificates {
		if c, err := x509.ParseCertificate(der); err == nil {
			e.certificates = append(e.certificates, c)
		}
	}
	for _, info := range revocation {
		if answer, ok := cms.OCSP(info); ok {
			e.answers = append(e.answers, answer)
		} else if list, err := x509.ParseRevocationList(info); err == nil {
			e.crls = append(e.crls, list)
		}
	}
	return e
}

// complete returns nil when there is revocation data for every certificate of the path that begins with c (EN 319 122-1
// clause 6.3, requirements for B-LT). The path ends with a certificate that is self-signed; or, unless anchored, with
// one whose issuer is not there, because trust may begin anywhere, as with a time-stamp unit in a trusted list. What the data say is for a validator to judge.
func (e *evidence) complete(c *x509.Certificate, anchored bool) error {
	for range maxPath {
		if bytes.Equal(c.RawIssuer, c.RawSubject) && e.signed(c, c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) {
			return nil
		}
		issuer := e.issuer(c)
		if issuer == nil && !anchored {
			return nil
		}
		if issuer == nil {
			return fmt.Errorf("%w: the issuer of a certificate is not embedded (serial number %x)", ErrEvidence, c.SerialNumber)
		}
		if !e.covers(c, issuer) {
			return fmt.Errorf("%w: no revocation data for a certificate (serial number %x)", ErrEvidence, c.SerialNumber)
		}
		c = issuer
	}
	return fmt.Errorf("%w: path of more than %d certificates", ErrEvidence, maxPath)
}

func (e *evidence) issuer(c *x509.Certificate) *x509.Certificate {
	for _, i := range e.certificates {
		if bytes.Equal(i.RawSubject, c.RawIssuer) && !bytes.Equal(i.Raw, c.Raw) && e.signed(i, c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) {
			return i
		}
	}
	return nil
}

func (e *evidence) covers(c, issuer *x509.Certificate) bool {
	for _, list := range e.crls {
		if bytes.Equal(list.RawIssuer, issuer.RawSubject) && e.signed(issuer, list.SignatureAlgorithm, list.RawTBSRevocationList, list.Signature) {
			return true
		}
	}
	for _, answer := range e.answers {
		if e.checks++; e.checks > maxChecks {
			return false
		}
		// A responder that brings its certificate may be one whom the issuer did not appoint, but the validator trusts.
		r, err := ocsp.ParseResponseForCert(answer, c, nil)
		if err != nil || r.SerialNumber.Cmp(c.SerialNumber) != 0 || r.Certificate == nil && r.CheckSignatureFrom(issuer) != nil {
			continue
		}
		if key := keyHash(issuer, r.IssuerHash); len(key) > 0 && bytes.Contains(r.TBSResponseData, key) {
			return true
		}
	}
	return false
}

// signed reports whether by signed data, as long as not too much was verified already.
func (e *evidence) signed(by *x509.Certificate, alg x509.SignatureAlgorithm, data, signature []byte) bool {
	e.checks++
	return e.checks <= maxChecks && by.CheckSignature(alg, data, signature) == nil
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
	return digest(h, info.Key.RightAlign())
}
