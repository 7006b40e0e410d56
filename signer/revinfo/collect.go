package revinfo

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ecsigner/ecsigner/signer/revinfo/status"
)

// Collect builds the path of leaf (DER) to a trust anchor and proves that none of it was revoked at the time at. known are
// further certificates (DER) that may belong to the path. The evidence holds the whole path with leaf and anchor, and for
// every certificate of it but the anchor a list or an OCSP answer with the certificates that judging that takes. What was
// revoked later than at is evidence, too. The bytes are shared with other callers: they must not be changed.
func (c *Collector) Collect(ctx context.Context, leaf []byte, known [][]byte, at time.Time) (Evidence, error) {
	cert, err := status.ParseCertificate(leaf)
	if err != nil {
		return Evidence{}, err
	}
	if at.After(c.cfg.Now().Add(c.cfg.Skew)) {
		return Evidence{}, fmt.Errorf("revinfo: certificate %x: the time in question lies in the future", cert.SerialNumber)
	}
	b := c.newBuilder(known, at)
	var evidence Evidence
	var failed error
	tried := 0
	b.paths(ctx, cert, func(path []*x509.Certificate) bool {
		tried++
		found, err := c.provePath(ctx, path, at)
		if err == nil {
			evidence, failed = found, nil
			return false
		}
		var revoked *RevokedError
		final := errors.As(err, &revoked) && revoked.Serial.Cmp(cert.SerialNumber) == 0
		// Of several reasons the first is told, unless there is one that waiting helps against.
		if final || failed == nil || errors.Is(err, ErrNotYet) && !errors.Is(failed, ErrNotYet) {
			failed = err
			if final {
				return false
			}
		}
		return tried < maxPaths && ctx.Err() == nil
	})
	switch {
	case failed != nil:
		return Evidence{}, failed
	case ctx.Err() != nil:
		return Evidence{}, ctx.Err()
	case evidence.Empty():
		return Evidence{}, because(fmt.Errorf("%w of certificate %x", ErrNoPath, cert.SerialNumber), b.reasons)
	}
	return evidence, nil
}

// because adds reasons to an error, in one line.
func because(err error, reasons []error) error {
	for i, r := range reasons {
		separator := "; "
		if i == 0 {
			separator = ": "
		}
		err = fmt.Errorf("%w%s%w", err, separator, r)
	}
	return err
}

// provePath gets evidence from the anchor down: what an authority says about others counts only while it was not revoked.
func (c *Collector) provePath(ctx context.Context, path []*x509.Certificate, at time.Time) (Evidence, error) {
	var below Evidence
	var end time.Time // of the issuer; zero: not revoked
	for i := len(path) - 2; i >= 0; i-- {
		q := question{cert: path[i], issuer: path[i+1], at: at, issuerEnd: end, endEntity: i == 0}
		found, err := c.prove(ctx, q)
		if err != nil {
			return Evidence{}, err
		}
		found.evidence.Add(below)
		below, end = found.evidence, found.revoked
	}
	var evidence Evidence
	for _, p := range path {
		evidence.Add(Evidence{Certificates: [][]byte{p.Raw}})
	}
	evidence.Add(below)
	return evidence, nil
}

// question is what evidence is wanted for.
type question struct {
	cert, issuer *x509.Certificate
	at           time.Time // when cert must not have been revoked
	issuerEnd    time.Time // when issuer was revoked; zero: it was not
	endEntity    bool      // MaxAge and AfterSignature hold
	responders   int       // OCSP responders on the way here
}

// proof is evidence that was accepted.
type proof struct {
	evidence Evidence
	revoked  time.Time // later than the time in question; zero: not revoked
}

// prove tries the sources in order.
func (c *Collector) prove(ctx context.Context, q question) (proof, error) {
	if q.endEntity && status.NeverRevoked(q.cert) {
		return proof{}, nil // by its issuer's word it is never revoked
	}
	sources := []func(context.Context, question) (proof, []error){c.byLocal, c.byOCSP, c.byCRL}
	if c.cfg.CRLFirst {
		sources[1], sources[2] = sources[2], sources[1]
	}
	var failed []error
	for _, source := range sources {
		found, errs := source(ctx, q)
		if len(errs) == 0 {
			return found, nil
		}
		if err := ctx.Err(); err != nil {
			return proof{}, err
		}
		for _, err := range errs {
			var revoked *RevokedError
			if errors.As(err, &revoked) {
				return proof{}, revoked
			}
		}
		failed = append(failed, errs...)
	}
	return proof{}, c.refusal(q, failed)
}

// refusal says why nothing was accepted. Where something was only too old, that counts: newer data will come.
func (c *Collector) refusal(q question, failed []error) error {
	var first *NotYetError
	other := false
	for _, err := range failed {
		var e *NotYetError
		if !errors.As(err, &e) {
			other = other || !errors.Is(err, errAbsent)
			continue
		}
		if first == nil || e.Retry.Before(first.Retry) {
			first = e
		}
	}
	absent := func(err error) bool { return errors.Is(err, errAbsent) }
	if slices.ContainsFunc(failed, func(err error) bool { return !absent(err) }) {
		failed = slices.DeleteFunc(failed, absent)
	}
	if first == nil {
		return because(fmt.Errorf("%w on certificate %x", ErrNoEvidence, q.cert.SerialNumber), failed)
	}
	if soon := c.cfg.Now().Add(again); other && soon.Before(first.Retry) {
		first = &NotYetError{Serial: first.Serial, Retry: soon} // another source may have recovered by then
	}
	return because(first, slices.DeleteFunc(failed, func(err error) bool { return errors.Is(err, ErrNotYet) }))
}

// again is when to ask sources again that failed, or may make new data at any time.
const again = 15 * time.Minute

// errAbsent: the source does not exist for the certificate.
var errAbsent = errors.New("is not offered")
