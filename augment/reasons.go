package augment

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"time"

	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/cms"
	"github.com/ecsigner/ecsigner/signer/pades"
	"github.com/ecsigner/ecsigner/signer/pades/longterm"
	"github.com/ecsigner/ecsigner/signer/pades/sigfield"
	"github.com/ecsigner/ecsigner/signer/pdf"
	"github.com/ecsigner/ecsigner/signer/revinfo"
	"github.com/ecsigner/ecsigner/signer/tsp"
)

// Reason is why the last attempt failed, in a word that stays. It says nothing of whom was asked.
type Reason string

// Reasons. After the final ones nothing is tried again.
const (
	ReasonStampUnavailable Reason = "time-stamp-unavailable"     // no authority answered in time
	ReasonStampRefused     Reason = "time-stamp-refused"         // what the authorities answered is no time-stamp of what was asked
	ReasonNoRevocation     Reason = "revocation-unavailable"     // no source gave acceptable revocation data
	ReasonRevocationLater  Reason = "revocation-pending"         // revocation data are older than the signature; newer ones are due
	ReasonNoPath           Reason = "no-trusted-path"            // from a certificate to a trust anchor
	ReasonInternal         Reason = "internal"                   // of this service
	ReasonRevoked          Reason = "certificate-revoked"        // final
	ReasonGone             Reason = "document-gone"              // final: its time was over
	ReasonUnfit            Reason = "signature-cannot-be-raised" // final: the formats refuse it
	ReasonStampTooLarge    Reason = "time-stamp-too-large"       // final: more than the space that was left for it
)

// Reasons returns all of them, in their order.
func Reasons() []Reason {
	return []Reason{
		ReasonStampUnavailable, ReasonStampRefused, ReasonNoRevocation, ReasonRevocationLater, ReasonNoPath, ReasonInternal,
		ReasonRevoked, ReasonGone, ReasonUnfit, ReasonStampTooLarge,
	}
}

// final tells that trying again changes nothing.
func (r Reason) final() bool {
	return r == ReasonRevoked || r == ReasonGone || r == ReasonUnfit || r == ReasonStampTooLarge
}

// PendingError says how far a level is that was asked for.
type PendingError struct {
	Level  cades.Level
	Reason Reason    // of the last attempt; empty: none failed yet
	Next   time.Time // when it is tried again; zero: never
	After  time.Duration
	Err    error // ErrNotReady or ErrGivenUp
}

func (e *PendingError) Error() string {
	return fmt.Sprintf("%v: %v, %s", e.Err, e.Level, e.Reason)
}

// Unwrap returns the sentinel.
func (e *PendingError) Unwrap() error { return e.Err }

// RetryAfter is how long to wait; 0: for ever.
func (e *PendingError) RetryAfter() time.Duration { return e.After }

// errTooLarge: a time-stamp does not fit, and there is no other place for it.
var errTooLarge = errors.New("augment: the time-stamp does not fit into the space that the client left for it")

// watched notes which service failed, so that its failure is told apart from that of a format.
type watched struct {
	Stamper
	cades.Prover
	stamp, prove error
}

func (w *watched) Stamp(ctx context.Context, h crypto.Hash, imprint []byte) ([]byte, error) {
	token, err := w.Stamper.Stamp(ctx, h, imprint)
	if err != nil {
		w.stamp = err
	}
	return token, err
}

// MaxSize tells those who lay out a revision how large a token can be.
func (w *watched) MaxSize(ctx context.Context, h crypto.Hash) (int, error) {
	n, err := w.Stamper.MaxSize(ctx, h)
	if err != nil {
		w.stamp = err
	}
	return n, err
}

func (w *watched) Collect(ctx context.Context, leaf []byte, known [][]byte, at time.Time) (revinfo.Evidence, error) {
	e, err := w.Prover.Collect(ctx, leaf, known, at)
	if err != nil {
		w.prove = err
	}
	return e, err
}

// reason names why an attempt failed, and until when waiting is of no use.
func (w *watched) reason(err error) (Reason, time.Time) {
	is := func(err error, targets ...error) bool {
		for _, t := range targets {
			if errors.Is(err, t) {
				return true
			}
		}
		return false
	}
	var later *revinfo.NotYetError
	switch {
	case is(err, errTooLarge):
		return ReasonStampTooLarge, time.Time{}
	case is(err, ErrGone):
		return ReasonGone, time.Time{}
	case w.prove != nil && is(w.prove, revinfo.ErrRevoked):
		return ReasonRevoked, time.Time{}
	case w.prove != nil && errors.As(w.prove, &later):
		return ReasonRevocationLater, later.Retry
	case w.prove != nil && is(w.prove, revinfo.ErrNoPath):
		return ReasonNoPath, time.Time{}
	case w.prove != nil:
		return ReasonNoRevocation, time.Time{}
	case w.stamp != nil && is(w.stamp, tsp.ErrToken, tsp.ErrAnswer, tsp.ErrRejected) && !is(w.stamp, tsp.ErrUnavailable):
		return ReasonStampRefused, time.Time{}
	case w.stamp != nil:
		return ReasonStampUnavailable, time.Time{}
	case is(err, cades.ErrTimeStamp, tsp.ErrToken, pades.ErrReserve): // a stamper that does not check what it passes on
		return ReasonStampRefused, time.Time{}
	case is(err, unfit()...):
		return ReasonUnfit, time.Time{}
	}
	return ReasonInternal, time.Time{}
}

// unfit are errors of the formats that the same bytes meet again.
func unfit() []error {
	return []error{
		ErrNoSignature, ErrContent,
		cades.ErrInput, cades.ErrMalformed, cades.ErrUnsupported, cades.ErrDigest, cades.ErrSignature, cades.ErrProfile,
		cades.ErrContent, cades.ErrEvidence, cms.ErrMalformed, cms.ErrUnsupported, cms.ErrLimit, cms.ErrInput,
		sigfield.ErrCertified, sigfield.ErrLocked, pades.ErrChanged, pades.ErrOptions, pades.ErrState, longterm.ErrNoSignature, pades.ErrSignatureDict,
		pdf.ErrNotPDF, pdf.ErrDamaged, pdf.ErrEncrypted, pdf.ErrHybrid, pdf.ErrTooLarge, pdf.ErrUnsupported, pdf.ErrXFA,
	}
}
