package cades

import (
	"bytes"
	"crypto/x509"
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

// complete returns nil when there is revocation data for every certificate of the path that begins with c, up to one
// that is self-signed or whose issuer is not there (EN 319 122-1 clause 6.3, requirements for B-LT). What the data say is
// for a validator to judge.
func (e *evidence) complete(c *x509.Certificate) error {
	for range maxPath {
		if bytes.Equal(c.RawIssuer, c.RawSubject) && c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil {
			return nil
		}
		issuer := e.issuer(c)
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
		if r, err := ocsp.ParseResponseForCert(answer, c, issuer); err == nil && r.SerialNumber.Cmp(c.SerialNumber) == 0 {
			return true
		}
	}
	return false
}
