package enrol_test

import (
	"bytes"
	"context"
	"slices"
	"testing"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/enrol"
)

// That the person took the proven data is in the log, before the agreement that is made of them: without it the log shows
// no reason for a key.
func TestAcceptedDataAreInTheLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.at(enrol.StateReview)
	before := len(w.store.events)
	v, err := w.AcceptProvenData(context.Background(), portal, p.id, w.request(), p.view.Proofing.ReportSHA256)
	w.must(err)
	if v.State != enrol.StateProven {
		t.Fatalf("state %s", v.State)
	}
	events := w.store.events
	reported := slices.IndexFunc(events, func(e audit.Event) bool { r, ok := e.(audit.IdentityReported); return ok && r.Outcome == "differs" })
	accepted := events[before].(audit.IdentityReported)
	prepared := events[before+1].(audit.AgreementPrepared)
	if accepted.Outcome != "accepted" || accepted.Enrolment != p.id || accepted.Caller != portal || prepared.Enrolment != p.id ||
		reported < 0 || !bytes.Equal(accepted.Evidence, events[reported].(audit.IdentityReported).Evidence) {
		t.Errorf("reported %#v\naccepted %#v\nprepared %#v", events[max(reported, 0)], accepted, prepared)
	}
}
