package enrol_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/enrol"
)

// at brings a new enrolment into any state.
func (w *world) at(state enrol.State) *person {
	w.Helper()
	ctx := context.Background()
	report := func(change func(*enrol.IdentityResult)) *person {
		p := w.reach(enrol.StateProofing)
		r := p.result()
		change(&r)
		p.got(w.ReportIdentityResult(ctx, provider, w.request(), r))
		return p
	}
	var p *person
	switch state {
	case enrol.StateDeferred:
		p = report(func(r *enrol.IdentityResult) { r.Outcome = enrol.Deferred })
	case enrol.StateRejected:
		p = report(func(r *enrol.IdentityResult) { r.Outcome = enrol.Negative })
	case enrol.StateReview:
		p = report(func(r *enrol.IdentityResult) { r.Person.Surname = "Szewczenko" })
	case enrol.StateCancelled:
		p = w.reach(enrol.StateData)
		p.got(w.Cancel(ctx, portal, p.id, w.request()))
	case enrol.StateExpired:
		p = report(func(r *enrol.IdentityResult) { r.Outcome = enrol.Deferred })
		w.wait(w.config.DeferredLife)
		_, err := w.Sweep(ctx)
		w.must(err)
		p.got(w.Get(ctx, portal, p.id))
	case enrol.StateIssuing:
		p = w.reach(enrol.StateProven)
		p.sendAgreement()
		code := p.code()
		w.device.fault = func(string) (error, error) { return errors.New("the device is away"), nil }
		p.got(p.accept(code))
	default:
		p = w.reach(state)
	}
	if p.view.State != state {
		w.Fatalf("reached %s, want %s", p.view.State, state)
	}
	return p
}

// states are all states, with what comes next in each.
func states() map[enrol.State]enrol.Action {
	return map[enrol.State]enrol.Action{
		enrol.StateCreated: enrol.ActionSetParameters, enrol.StateParameters: enrol.ActionSetPersonalData,
		enrol.StateData: enrol.ActionConfirmPhone, enrol.StatePhone: enrol.ActionStartProofing,
		enrol.StateProofing: enrol.ActionAwaitProofing, enrol.StateDeferred: enrol.ActionAwaitDeferred,
		enrol.StateReview: enrol.ActionReviewProven, enrol.StateProven: enrol.ActionAcceptAgreement,
		enrol.StateIssuing: enrol.ActionAwaitCredential, enrol.StateIssued: enrol.ActionNone,
		enrol.StateRejected: enrol.ActionNone, enrol.StateCancelled: enrol.ActionNone, enrol.StateExpired: enrol.ActionNone,
	}
}

// call is one call of the interface on an enrolment, with contents that are right in themselves.
type call struct {
	name string
	do   func(p *person, requestID string) (enrol.View, error)
	to   map[enrol.State]enrol.State // where it is allowed, and where it leads
}

// everywhere leads from each of the states to one.
func everywhere(to enrol.State, from ...enrol.State) map[enrol.State]enrol.State {
	m := map[enrol.State]enrol.State{}
	for _, s := range from {
		m[s] = to
	}
	return m
}

func calls() []call {
	ctx := context.Background()
	correctable := []enrol.State{
		enrol.StateParameters, enrol.StateData, enrol.StatePhone, enrol.StateProofing, enrol.StateDeferred, enrol.StateReview,
		enrol.StateProven,
	}
	withCreated := append(slices.Clone(correctable), enrol.StateCreated)
	report := func(o enrol.Outcome) func(p *person, r string) (enrol.View, error) {
		return func(p *person, r string) (enrol.View, error) {
			i := p.result()
			i.Outcome = o
			v, err := p.ReportIdentityResult(ctx, provider, r, i)
			if errors.Is(err, enrol.ErrNotFound) && p.view.ProofingReference == "" {
				err = enrol.ErrState // no proofing was started: nothing is told to the provider
			}
			return v, err
		}
	}
	return []call{
		{"SetParameters", func(p *person, r string) (enrol.View, error) {
			return p.SetParameters(ctx, portal, p.id, r, parameters())
		}, everywhere(enrol.StateParameters, withCreated...)},
		{"SetPersonalData", func(p *person, r string) (enrol.View, error) {
			return p.SetPersonalData(ctx, portal, p.id, r, data())
		}, everywhere(enrol.StateData, correctable...)},
		{"SendPhoneCode", func(p *person, r string) (enrol.View, error) {
			v, _, err := p.SendPhoneCode(ctx, portal, p.id, r)
			return v, err
		}, everywhere(enrol.StateData, enrol.StateData)},
		{"ConfirmPhone", func(p *person, r string) (enrol.View, error) {
			return p.ConfirmPhone(ctx, portal, p.id, r, "000000")
		}, nil},
		{"StartIdentityProofing", func(p *person, r string) (enrol.View, error) {
			return p.StartIdentityProofing(ctx, portal, p.id, r, provider)
		}, everywhere(enrol.StateProofing, enrol.StatePhone, enrol.StateProofing)},
		{"ReportIdentityResult positive", report(enrol.Positive), everywhere(enrol.StateProven, enrol.StateProofing, enrol.StateDeferred)},
		{"ReportIdentityResult deferred", report(enrol.Deferred), everywhere(enrol.StateDeferred, enrol.StateProofing, enrol.StateDeferred)},
		{
			"ReportIdentityResult negative", report(enrol.Negative),
			everywhere(enrol.StateRejected, enrol.StateProofing, enrol.StateDeferred, enrol.StateReview, enrol.StateProven),
		},
		{"AcceptProvenData", func(p *person, r string) (enrol.View, error) {
			return p.AcceptProvenData(ctx, portal, p.id, r, p.view.Proofing.ReportSHA256)
		}, everywhere(enrol.StateProven, enrol.StateReview)},
		{"SendAgreementCode", func(p *person, r string) (enrol.View, error) {
			v, _, err := p.SendAgreementCode(ctx, portal, p.id, r)
			return v, err
		}, everywhere(enrol.StateProven, enrol.StateProven)},
		{"AcceptAgreement", func(p *person, r string) (enrol.View, error) {
			return p.AcceptAgreement(ctx, portal, p.id, r, p.acceptance("000000"))
		}, nil},
		{"Cancel", func(p *person, r string) (enrol.View, error) {
			return p.Cancel(ctx, portal, p.id, r)
		}, everywhere(enrol.StateCancelled, withCreated...)},
	}
}

// Every call in every state: it leads where it should, or it is refused, says what comes next, and changes nothing.
func TestEveryCallInEveryState(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for state, next := range states() {
		w := newWorld(t)
		p := w.at(state)
		if p.view.NextAction != next {
			t.Errorf("%s: next is %q, want %q", state, p.view.NextAction, next)
		}
		restore := w.snapshot()
		for _, c := range calls() {
			restore()
			events := len(w.store.events)
			v, err := c.do(p, w.request())
			if want, ok := c.to[state]; ok {
				if err != nil || v.State != want {
					t.Errorf("%s in state %s: %s, %v; want %s", c.name, state, v.State, err, want)
				}
				continue
			}
			var wrong *enrol.StateError
			switch {
			case state == enrol.StateExpired && errors.Is(err, enrol.ErrExpired) || err == enrol.ErrState: //nolint:errorlint // bare
			case !errors.As(err, &wrong) || wrong.State != state || wrong.Next != next:
				t.Errorf("%s in state %s: %v; want a StateError that names %q", c.name, state, err, next)
			}
			if now, err := w.Get(ctx, portal, p.id); err != nil || now.Version != p.view.Version || len(w.store.events) != events {
				t.Errorf("%s in state %s changed something: %v", c.name, state, err)
			}
		}
	}
}

// Whatever the state before the acceptance: when its time is over the enrolment ends, visibly, once, and the person is
// told if the phone is theirs. What is accepted or ended is left alone.
func TestSweepEndsWhatIsOverdue(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for state := range states() {
		w := newWorld(t)
		p := w.at(state)
		if n, err := w.Sweep(ctx); err != nil || n != 0 {
			t.Errorf("%s: ended in time: %d, %v", state, n, err)
		}
		w.wait(w.config.Life)
		left := slices.Contains([]enrol.State{
			enrol.StateIssuing, enrol.StateIssued, enrol.StateRejected, enrol.StateCancelled, enrol.StateExpired,
		}, state)
		w.start()
		n, err := w.Sweep(ctx)
		v, gone := w.Get(ctx, portal, p.id)
		if err != nil || gone != nil || left != (n == 0) || left != (v.State == state) {
			t.Errorf("%s: swept %d, now %s: %v, %v", state, n, v.State, err, gone)
		}
		if left {
			continue
		}
		if v.State != enrol.StateExpired || v.NextAction != enrol.ActionNone || v.Version != p.view.Version+1 || w.store.count("enrolment.closed") != 1 {
			t.Errorf("%s: %+v", state, v)
		}
		told := !slices.Contains([]enrol.State{enrol.StateCreated, enrol.StateParameters, enrol.StateData}, state)
		text, err := w.newest()
		if told != (err == nil && text.To == data().Phone && len(text.Body) > 20) {
			t.Errorf("%s: told %+v, %v", state, text, err)
		}
		if n, err := w.Sweep(ctx); err != nil || n != 0 {
			t.Errorf("%s: swept again: %d, %v", state, n, err)
		}
	}
}

// An accepted agreement is carried out, however long the device was away, unless the proof grew too old meanwhile.
func TestIssuingNeverExpires(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	p := w.at(enrol.StateIssuing)
	w.wait(w.config.ProofAge - time.Hour)
	w.device.fault = nil
	if n, err := w.Resume(ctx); err != nil || n != 1 {
		t.Fatalf("%d, %v", n, err)
	}
	if v, err := w.Get(ctx, portal, p.id); err != nil || v.State != enrol.StateIssued {
		t.Errorf("%s, %v", v.State, err)
	}
}
