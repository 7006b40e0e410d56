package enrol_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/enrol"
	"github.com/ecsigner/ecsigner/tenure"
)

// The list is as promised until three quarters of its life without a new one; at once it is not when a revocation cannot
// be put on it.
func TestCRLFresh(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	fails := func(string) (before, after error) { return errCrash, nil }

	w := newWorld(t)
	w.must(w.CRLFresh(ctx))
	w.device.fault = fails
	w.wait(6*time.Hour + time.Minute) // it should be made anew, and is not
	w.must(w.CRLFresh(ctx))
	w.wait(3 * time.Hour)
	if err := w.CRLFresh(ctx); !errors.Is(err, tenure.ErrStaleCRL) {
		t.Errorf("after three quarters of its life: %v", err)
	}
	w.wait(4 * time.Hour)
	if err := w.CRLFresh(ctx); !errors.Is(err, tenure.ErrStaleCRL) {
		t.Errorf("after its end: %v", err)
	}
	w.device.fault = nil
	w.must(w.CRLFresh(ctx))

	v := newWorld(t)
	p := v.reach(enrol.StateIssued)
	v.must(v.CRLFresh(ctx))
	v.wait(time.Second) // a list's number is its time
	v.device.fault = fails
	v.must(v.Revoke(ctx, operator, v.request(), p.view.Credential, tenure.ReasonSuperseded))
	if err := v.CRLFresh(ctx); !errors.Is(err, tenure.ErrStaleCRL) {
		t.Errorf("a revocation is not on the list: %v", err)
	}
	v.device.fault = nil
	v.must(v.CRLFresh(ctx))
}
