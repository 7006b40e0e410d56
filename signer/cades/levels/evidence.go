package levels

import (
	"bytes"
	"cmp"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/cms"
	"github.com/ecsigner/ecsigner/signer/revinfo/status"
)

// maxPath bounds a path of certificates.
const maxPath = 16

// maxChecks bounds the signatures of certificates and revocation data that one file makes us verify: a real one has some
// dozens, and each may be of a key that makes it slow.
const maxChecks = 500

// maxSteps bounds the answers and lists that are looked at.
const maxSteps = 1 << 16

// evidence is what is in SignedData to judge certificates with.
type evidence struct {
	checks       int // with what they read
	steps        int
	certificates []*x509.Certificate
	lists        []*status.List
	answers      []*status.Answer
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
		if response, ok := cms.OCSP(info); ok {
			if answer, err := status.ParseAnswer(response); err == nil {
				e.answers = append(e.answers, answer)
			}
		} else if list, err := status.ParseList(info); err == nil {
			e.lists = append(e.lists, list)
		}
	}
	return e
}

// complete returns nil when there is revocation data for every certificate of the path that begins with c (EN 319 122-1
// clause 6.3, requirements for B-LT) that had not ended by the time at. What the data say is for a validator to judge. What we add ourselves is strict: the
// path ends with a certificate that is self-signed, and the issuer or a responder that it appointed answers. Others may
// rely on an anchor that is not in the file, such as a time-stamp unit in a trusted list, and on a responder that the
// validator trusts.
func (e *evidence) complete(c *x509.Certificate, at time.Time, strict bool) error {
	return e.path(c, at, strict, maxPath)
}

// path tries every issuer: a CA may have several certificates of one key, of which not all are for signing lists.
func (e *evidence) path(c *x509.Certificate, at time.Time, strict bool, rest int) error {
	if bytes.Equal(c.RawIssuer, c.RawSubject) && e.signed(c, c) {
		return nil
	}
	var err error
	for _, issuer := range e.certificates {
		switch {
		case !bytes.Equal(issuer.RawSubject, c.RawIssuer) || bytes.Equal(issuer.Raw, c.Raw) || !e.signed(c, issuer):
			continue
		case rest == 0:
			return fmt.Errorf("%w: path of more than %d certificates", cades.ErrEvidence, maxPath)
		case !status.NeverRevoked(c) && !e.covers(c, issuer, at, strict):
			err = cmp.Or(err, fmt.Errorf("%w: no revocation data for a certificate (serial number %x)", cades.ErrEvidence, c.SerialNumber))
			continue
		}
		further := e.path(issuer, at, strict, rest-1)
		if further == nil {
			return nil
		}
		err = cmp.Or(err, further)
	}
	switch {
	case e.checks > maxChecks:
		return fmt.Errorf("%w: more than %d signatures to check", cades.ErrEvidence, maxChecks)
	case err == nil && strict:
		return fmt.Errorf("%w: the issuer of a certificate is not embedded (serial number %x)", cades.ErrEvidence, c.SerialNumber)
	}
	return err
}

// issuer returns a certificate that signed c.
func (e *evidence) issuer(c *x509.Certificate) *x509.Certificate {
	for _, i := range e.certificates {
		if bytes.Equal(i.RawSubject, c.RawIssuer) && !bytes.Equal(i.Raw, c.Raw) && e.signed(c, i) {
			return i
		}
	}
	return nil
}

func (e *evidence) covers(c, issuer *x509.Certificate, at time.Time, strict bool) bool {
	ended := func(next time.Time) bool { return !next.IsZero() && next.Before(at) }
	if e.steps += len(e.lists) + len(e.answers); e.steps > maxSteps {
		return false
	}
	for _, list := range e.lists {
		if !ended(list.NextUpdate) && list.Covers(c) == nil && e.check(len(list.Raw), func() error { return list.Authentic(issuer) }) {
			return true
		}
	}
	for _, answer := range e.answers {
		if single, err := answer.About(c, issuer); err != nil || ended(single.NextUpdate) {
			continue
		}
		if !strict || e.check(len(answer.Raw), func() error { _, err := answer.Authentic(issuer); return err }) {
			return true
		}
	}
	return false
}

// signed reports whether by signed c.
func (e *evidence) signed(c, by *x509.Certificate) bool {
	return e.check(len(c.Raw), func() error { return by.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) })
}

// check reports whether f, which reads so many bytes, succeeds, as long as not too much was checked already.
func (e *evidence) check(size int, f func() error) bool {
	e.checks += 1 + size>>20
	return e.checks <= maxChecks && f() == nil
}
