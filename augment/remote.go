package augment

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"time"

	"github.com/ecsigner/ecsigner/call"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/revinfo"
)

// A client that keeps its document raises it itself, and asks here for what its host cannot get: time-stamps and revocation
// data. Both are for clients that were granted a credential, because both are paid for or lead to other hosts.

// ServiceError says why there is no time-stamp, or no evidence.
type ServiceError struct {
	Reason Reason
	After  time.Duration // when it may be otherwise; 0: not by waiting
	Cause  error         // for the log
}

func (e *ServiceError) Error() string {
	return fmt.Sprintf("%v: %s: %v", ErrService, e.Reason, e.Cause)
}

// Unwrap returns the sentinel. The cause stays out: what it says of hosts is not for clients.
func (e *ServiceError) Unwrap() error { return ErrService }

// RetryAfter is how long to wait; 0: for ever.
func (e *ServiceError) RetryAfter() time.Duration { return e.After }

// StampDigest obtains a time-stamp over a digest made with h.
func (s *Service) StampDigest(ctx context.Context, caller string, id credential.ID, h crypto.Hash, digest []byte) ([]byte, error) {
	if len(digest) != h.Size() {
		return nil, call.Wrong("digest", fmt.Errorf("%w: %v has %d bytes", call.ErrField, h, h.Size()))
	}
	if s.Stamper == nil {
		return nil, fmt.Errorf("%w: no time-stamping authority is configured", ErrNotOffered)
	}
	if err := s.granted(ctx, caller, id); err != nil {
		return nil, err
	}
	w := &watched{Stamper: s.Stamper}
	token, err := w.Stamp(ctx, h, digest)
	if err != nil {
		return nil, w.refused(ctx, s.Now(), err)
	}
	return token, nil
}

// CollectEvidence obtains the path of a certificate and what proves that none of it was revoked at a time.
func (s *Service) CollectEvidence(ctx context.Context, caller string, id credential.ID, leaf []byte, known [][]byte, at time.Time) (revinfo.Evidence, error) {
	if s.Prover == nil {
		return revinfo.Evidence{}, fmt.Errorf("%w: no source of revocation data is configured", ErrNotOffered)
	}
	if at.After(s.Now().Add(time.Minute)) {
		return revinfo.Evidence{}, call.Wrong("at_time", fmt.Errorf("%w: it lies in the future", call.ErrField))
	}
	if err := s.granted(ctx, caller, id); err != nil {
		return revinfo.Evidence{}, err
	}
	w := &watched{Prover: s.Prover}
	e, err := w.Collect(ctx, leaf, known, at)
	if err != nil {
		return revinfo.Evidence{}, w.refused(ctx, s.Now(), err)
	}
	return e, nil
}

func (w *watched) refused(ctx context.Context, now time.Time, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	reason, until := w.reason(err)
	e := &ServiceError{Reason: reason, Cause: err}
	if !reason.final() && reason != ReasonNoPath {
		e.After = max(firstPause, until.Sub(now))
	}
	return e
}

func (s *Service) granted(ctx context.Context, caller string, id credential.ID) error {
	err := s.Store.View(ctx, func(tx Tx) error {
		_, err := tx.Grant(id, caller)
		return err
	})
	if errors.Is(err, call.ErrNotFound) {
		return call.Wrong("credential_id", ErrCredential)
	}
	return err
}

var _ cades.Stamper = (*watched)(nil)
