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

// evidence is what is in SignedData to judge certificates with.
type evidence struct {
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
		if bytes.Equal(c.RawIssuer, c.RawSubject) && c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil {
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
		if bytes.Equal(i.RawSubject, c.RawIssuer) && !bytes.Equal(i.Raw, c.Raw) && i.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil {
			return i
		}
	}
	return nil
}

func (e *evidence) covers(c, issuer *x509.Certificate) bool {
	for _, list := range e.crls {
		if bytes.Equal(list.RawIssuer, issuer.RawSubject) && issuer.CheckSignature(list.SignatureAlgorithm, list.RawTBSRevocationList, list.Signature) == nil {
			return true
		}
	}
	for _, answer := range e.answers {
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
