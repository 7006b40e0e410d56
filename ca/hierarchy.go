package ca

import (
	"context"
	"crypto"
	"fmt"
	"io"
	"time"

	"github.com/ecsigner/ecsigner/ca/lint"
)

// BuildRoot makes the self-signed certificate of a Root or TLSRoot and returns its DER. Given the same key, time and
// random source the content is the same; the ECDSA signature is the device's own and differs.
func BuildRoot(ctx context.Context, cfg Config, profile Profile, key crypto.Signer, notBefore time.Time, years int, rand io.Reader) ([]byte, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if profile != Root && profile != TLSRoot {
		return nil, fmt.Errorf("%w: %q is not a self-signed profile", ErrRequest, profile)
	}
	req := Request{ID: "root", Person: "provider", Profile: profile, PublicKey: key.Public(), NotBefore: notBefore, Years: years}
	if err := req.check(profile); err != nil {
		return nil, err
	}
	serial, err := newSerial(cfg.SerialPrefix, rand)
	if err != nil {
		return nil, err
	}
	subject, err := req.subject(cfg)
	if err != nil {
		return nil, err
	}
	z, err := newZlintRules()
	if err != nil {
		return nil, err
	}
	d := draft{req: req, subject: subject, serial: serial, issuerPK: key.Public()}
	judged, err := d.build(cfg, rand)
	if err != nil {
		return nil, err
	}
	tbs, err := d.judge(cfg, judged, z)
	if err != nil {
		return nil, err
	}
	der, err := signTBS(ctx, key, rand, tbs)
	if err != nil {
		return nil, err
	}
	want := wanted(cfg, profile, nil)
	want.Signed = true
	if found := lint.Certificate(der, want); found != nil {
		return nil, fmt.Errorf("%w: %s", ErrLint, lint.Describe(found))
	}
	return der, nil
}

// BuildIssuing has the root certify the issuing CA's key and returns the record to keep, in state Issued: a later
// revocation of the CA needs it. notAfter must lie within the root's life (ErrValidity).
func BuildIssuing(ctx context.Context, root *Authority, pub crypto.PublicKey, notBefore time.Time, years int) (Certificate, error) {
	return root.Issue(ctx, Request{
		ID: "issuing-ca", Person: "provider", Profile: IssuingCA,
		PublicKey: pub, NotBefore: notBefore, Years: years,
	})
}

// Issue prepares and signs without a store, and returns the record in state Issued. It is for what is made while an
// installation is set up, where a crash means starting over; everything later goes through Intend and Record.
func (a *Authority) Issue(ctx context.Context, req Request) (Certificate, error) {
	if req.Profile == NaturalPerson {
		return Certificate{}, fmt.Errorf("%w: a person's certificate needs a stored intent", ErrRequest)
	}
	intent, err := a.Prepare(req)
	if err != nil {
		return Certificate{}, err
	}
	c := intent.Certificate()
	if c.DER, err = a.Sign(ctx, c); err != nil {
		return Certificate{}, err
	}
	c.State = Issued
	return c, nil
}
