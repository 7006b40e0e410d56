package augment

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/pades"
	"github.com/ecsigner/ecsigner/signer/pdf"
	"github.com/ecsigner/ecsigner/signer/revinfo"
	"github.com/ecsigner/ecsigner/signer/tsp"
)

// What is told to clients is a word of the list, whatever failed where; only what cannot change is final.
func TestReasons(t *testing.T) {
	at := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		stamp, prove, err error
		want              Reason
		final             bool
		until             time.Time
	}{
		{stamp: tsp.ErrUnavailable, want: ReasonStampUnavailable},
		{stamp: context.DeadlineExceeded, want: ReasonStampUnavailable},
		{stamp: errors.Join(tsp.ErrUnavailable, tsp.ErrImprint), want: ReasonStampUnavailable}, // of two authorities
		{stamp: tsp.ErrImprint, want: ReasonStampRefused},
		{stamp: tsp.ErrAnswer, want: ReasonStampRefused},
		{stamp: tsp.ErrRejected, want: ReasonStampRefused},
		{prove: revinfo.ErrNoEvidence, want: ReasonNoRevocation},
		{prove: revinfo.ErrForbidden, want: ReasonNoRevocation},
		{prove: revinfo.ErrNoPath, want: ReasonNoPath},
		{prove: &revinfo.NotYetError{Retry: at}, want: ReasonRevocationLater, until: at},
		{prove: &revinfo.RevokedError{}, want: ReasonRevoked, final: true},
		{err: ErrGone, want: ReasonGone, final: true},
		{err: errTooLarge, want: ReasonStampTooLarge, final: true},
		{err: pades.ErrReserve, want: ReasonStampRefused},
		{err: cades.ErrTimeStamp, want: ReasonStampRefused},
		{err: cades.ErrProfile, want: ReasonUnfit, final: true},
		{err: pdf.ErrEncrypted, want: ReasonUnfit, final: true},
		{err: errors.New("disk"), want: ReasonInternal},
	} {
		err := c.err
		if err == nil {
			err = errors.Join(c.stamp, c.prove)
		}
		w := &watched{stamp: c.stamp, prove: c.prove}
		got, until := w.reason(fmt.Errorf("while it was tried: %w", err))
		if got != c.want || got.final() != c.final || !until.Equal(c.until) {
			t.Errorf("%v: %q, final %v, until %v; want %q", err, got, got.final(), until, c.want)
		}
	}
	for _, r := range Reasons() {
		if strings.ToLower(string(r)) != string(r) || strings.ContainsAny(string(r), " _") {
			t.Errorf("%q is no word", r)
		}
	}
}

// Pauses double and end at a limit, however often something failed.
func TestPauses(t *testing.T) {
	if pause(1) != firstPause || pause(2) != 2*firstPause || pause(3) != 4*firstPause {
		t.Errorf("%v, %v, %v", pause(1), pause(2), pause(3))
	}
	for n := range 1000 {
		if p := pause(n + 1); p < firstPause || p > longestPause {
			t.Fatalf("after %d failures: %v", n+1, p)
		}
	}
}
