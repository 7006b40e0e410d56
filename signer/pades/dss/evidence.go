package dss

import (
	"bytes"
	"cmp"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/revinfo"
	"github.com/ecsigner/ecsigner/signer/revinfo/status"
)

const (
	maxPath   = 16      // certificates of a path
	maxChecks = 4096    // different signatures that one file makes us verify; one over megabytes counts for more
	maxSteps  = 1 << 16 // certificates, answers and lists that are looked at in all paths of one file
)

// Evidence is what a store holds to judge certificates with. It looks whether data are there, authentic and of the right time;
// what they say is for a validator to judge, who has trust anchors.
type Evidence struct {
	certificates []*x509.Certificate
	lists        []*status.List
	answers      []*status.Answer
	parsed       map[string]*x509.Certificate
	checked      map[[2]any]bool
	cost, steps  int
}

// NewEvidence reads what can be read; the rest proves nothing.
func NewEvidence(held revinfo.Evidence) *Evidence {
	e := &Evidence{parsed: map[string]*x509.Certificate{}, checked: map[[2]any]bool{}}
	e.certificates = e.parse(held.Certificates)
	for _, raw := range held.CRLs {
		if l, err := status.ParseList(raw); err == nil {
			e.lists = append(e.lists, l)
		}
	}
	for _, raw := range held.OCSPs {
		if a, err := status.ParseAnswer(raw); err == nil {
			e.answers = append(e.answers, a)
		}
	}
	return e
}

// parse reads certificates, each once.
func (e *Evidence) parse(ders [][]byte) (out []*x509.Certificate) {
	for _, der := range ders {
		c, known := e.parsed[string(der)]
		if !known {
			c, _ = status.ParseCertificate(der)
			e.parsed[string(der)] = c
		}
		if c != nil {
			out = append(out, c)
		}
	}
	return out
}

// Complete returns nil when there is revocation data for every certificate of the path that begins with c (EN 319 142-1
// clause 6.3, requirements for B-LT) that had not ended by the time at. The path ends with a certificate that is self-signed, or
// with one whose issuer is not there: trust may begin anywhere, as a trusted list has it. issuer demands that c itself is not
// such a one. more are further certificates that may belong to the path. Errors wrap cades.ErrEvidence.
func (e *Evidence) Complete(c []byte, more [][]byte, at time.Time, issuer bool) error {
	leaf := e.parse([][]byte{c})
	if len(leaf) == 0 {
		return fmt.Errorf("%w: a certificate that cannot be read", cades.ErrEvidence)
	}
	p := path{e, append(e.parse(more), e.certificates...), at}
	return p.from(leaf[0], issuer, maxPath)
}

// path is the search for one.
type path struct {
	*Evidence
	known []*x509.Certificate
	at    time.Time
}

// from tries every issuer: a CA may have several certificates of one key, of which not all are for signing lists.
func (p *path) from(c *x509.Certificate, issued bool, rest int) error {
	if bytes.Equal(c.RawIssuer, c.RawSubject) && p.signed(c, c) {
		return nil
	}
	var err error
	for _, issuer := range p.known {
		if p.steps++; p.steps > maxSteps || rest == 0 {
			return fmt.Errorf("%w: paths of too many certificates", cades.ErrEvidence)
		}
		if !bytes.Equal(issuer.RawSubject, c.RawIssuer) || bytes.Equal(issuer.Raw, c.Raw) || !p.signed(c, issuer) {
			continue
		}
		if !status.NeverRevoked(c) && !p.covered(c, issuer) {
			err = cmp.Or(err, fmt.Errorf("%w: no revocation data for a certificate (serial number %x)", cades.ErrEvidence, c.SerialNumber))
			continue
		}
		further := p.from(issuer, false, rest-1)
		if further == nil {
			return nil
		}
		err = cmp.Or(err, further)
	}
	if err == nil && issued {
		return fmt.Errorf("%w: the issuer of a certificate is not in the file (serial number %x)", cades.ErrEvidence, c.SerialNumber)
	}
	return err
}

// covered looks for an OCSP answer or a list.
func (p *path) covered(c, issuer *x509.Certificate) bool {
	ended := func(next time.Time) bool { return !next.IsZero() && next.Before(p.at) }
	if p.steps += len(p.answers) + len(p.lists); p.steps > maxSteps {
		return false
	}
	for _, a := range p.answers {
		if single, err := a.About(c, issuer); err != nil || ended(single.NextUpdate) {
			continue
		}
		if p.verified(a, issuer, len(a.Raw), func() error { _, err := a.Authentic(issuer); return err }) {
			return true
		}
	}
	for _, l := range p.lists {
		if !ended(l.NextUpdate) && l.Covers(c) == nil && p.verified(l, issuer, len(l.Raw), func() error { return l.Authentic(issuer) }) {
			return true
		}
	}
	return false
}

// signed reports whether by signed c.
func (e *Evidence) signed(c, by *x509.Certificate) bool {
	return e.verified(c, by, len(c.Raw), func() error { return by.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) })
}

// verified reports whether f, which reads so many bytes, succeeds, as long as not too much was checked already. what and by are
// pointers.
func (e *Evidence) verified(what, by any, size int, f func() error) bool {
	key := [2]any{what, by}
	good, known := e.checked[key]
	if !known && e.cost < maxChecks {
		e.cost += 1 + size>>17 // a signature takes as long as hashing 128 KiB
		good = f() == nil
		e.checked[key] = good
	}
	return good
}
