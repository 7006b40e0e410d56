package model_test

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/enrol"
)

// prove names the provider that proves the identity.
func (w *world) prove(caller, id, requestID string) call {
	states := []enrol.State{enrol.StatePhone, enrol.StateProofing}
	c := w.stepped(call{
		kind: "start proofing", caller: caller, target: id, request: requestID, body: "prove " + id,
		run: func(ctx context.Context, p *process) (any, error) {
			return p.enrol.StartIdentityProofing(ctx, caller, id, requestID, provider)
		},
	}, states, nil)
	c.commit = func(m *state, t *task, u *unit, events []audit.Event) string {
		from := m.enrolments[id]
		if len(events) != 2 || !slices.Contains(states, from.state) || events[0] != (audit.IdentityStarted{Enrolment: id, Provider: provider}) || !t.expected[ok] {
			return "proofing was not to begin"
		}
		e, wrong := m.changed(t, u, events[1], id, enrol.StateProofing, caller)
		e = e.unproven(from.state)
		sealed := recordOf(u.enrolments[0].Sealed.Record)
		e.reference, e.provider, e.asked = sealed.Identity.Reference, provider, sealed.At
		if e.reference == "" || e.reference == from.reference || !sealed.Identity.At.Equal(sealed.At) {
			return "the reference is not new"
		}
		m.enrolments[id] = e
		return wrong
	}
	return c
}

// What a report may say.
const (
	isPositive  = iota // what the person gave
	isNegative         //
	isDifferent        // another surname than the person gave at first
	isDeferred         // the provider decides later
)

// otherName is the surname that a different report proves.
const otherName = "Franko"

// report is the provider's result.
func (w *world) report(id, requestID, reference string, n, outcome int, at time.Time) call {
	i := proven(enrol.View{ID: id, ProofingReference: reference}, n, at)
	switch outcome {
	case isNegative:
		i.Outcome = enrol.Negative
	case isDeferred:
		i.Outcome = enrol.Outcome("deferred")
	case isDifferent:
		i.Person.Surname = otherName
	}
	takenIn := []enrol.State{enrol.StateProofing, enrol.StateDeferred}
	if outcome == isNegative {
		takenIn = append(takenIn, enrol.StateReview, enrol.StateProven)
	}
	return call{
		kind: fmt.Sprint("report ", outcome, " of person ", n), caller: provider, target: id, request: requestID,
		body: fmt.Sprint("report ", id, reference, n, outcome, at),
		run: func(ctx context.Context, p *process) (any, error) {
			return p.enrol.ReportIdentityResult(ctx, provider, requestID, i)
		},
		predict: func(m *state, now time.Time, t *task) string {
			_, known, same := m.asked(t)
			e, is := m.enrolments[id]
			const skew = 5 * time.Minute
			switch {
			case known && !same:
				return reused
			case !is || e.provider != provider || e.reference != reference || reference == "":
				return notFound
			case known:
				return ok
			}
			if label := e.inState(now, takenIn...); label != ok {
				return label
			}
			if (e.state == enrol.StateProofing || e.state == enrol.StateDeferred) && (at.Before(e.asked.Add(-skew)) || at.After(now.Add(skew))) {
				return input
			}
			return ok
		},
		also: func(m *state, now time.Time, _ *task) []string { return m.enrolments[id].late(now, takenIn...) },
		commit: func(m *state, t *task, u *unit, events []audit.Event) string {
			if e := m.enrolments[id]; !t.expected[ok] || !slices.Contains(takenIn, e.state) || e.reference != reference || len(u.requests) != 1 {
				return "nothing was to be reported"
			}
			return m.reported(t, u, events, n, outcome, at)
		},
		answer: func(w *world, t *task) string { return w.enrolling(t) },
	}
}

func (s *state) reported(t *task, u *unit, events []audit.Event, n, outcome int, at time.Time) string {
	id := t.target
	from := s.enrolments[id]
	tooLate := func(now time.Time) bool { return now.Sub(at) > proofAge }
	r, is := events[0].(audit.IdentityReported)
	if !is || r.Enrolment != id || r.Caller != provider {
		return fmt.Sprintf("something else was reported: %+v", events[0])
	}
	to := func(event audit.Event, state enrol.State) (enrolment, string) {
		return s.changed(t, u, event, id, state, provider)
	}
	switch {
	case outcome == isNegative && r.Outcome == "negative" && len(events) == 3 && events[2] == (audit.EnrolmentClosed{Enrolment: id, Outcome: "rejected"}):
		s.void(from.challenge)
		e, wrong := to(events[1], enrol.StateRejected)
		reference := e.reference
		e = e.unproven(from.state)
		e.reference, e.provider = reference, provider
		e.report = string(recordOf(u.enrolments[0].Sealed.Record).Identity.Report)
		s.enrolments[id] = e
		return wrong
	case outcome == isDeferred && r.Outcome == "deferred" && from.state == enrol.StateDeferred && len(events) == 1 && len(u.enrolments) == 0:
		return ""
	case outcome == isDeferred && r.Outcome == "deferred" && from.state == enrol.StateProofing && len(events) == 3 && len(u.messages) == 1 &&
		events[2] == (audit.NoticeSent{Subject: id, Kind: "deferred"}):
		e, wrong := to(events[1], enrol.StateDeferred)
		e.report = string(recordOf(u.enrolments[0].Sealed.Record).Identity.Report)
		s.enrolments[id] = e
		return wrong
	case outcome == isNegative || outcome == isDeferred:
		return "another outcome"
	case r.Outcome == "too-old" && t.some(tooLate) && len(events) == 2:
		s.void(from.challenge)
		e, wrong := to(events[1], enrol.StatePhone)
		s.enrolments[id] = e.unproven(from.state)
		return wrong
	case !t.some(func(now time.Time) bool { return !tooLate(now) }):
		return "the proof is too old"
	case person(n).Phone != from.phone:
		if r.Outcome != "differs" || len(events) != 2 {
			return "another phone was proven"
		}
		s.void(from.challenge)
		e, wrong := to(events[1], enrol.StateData)
		e = e.unproven(from.state)
		e.confirmed = false
		s.enrolments[id] = e
		return wrong
	case (outcome == isDifferent) != from.other || from.person != n:
		if r.Outcome != "differs" || len(events) != 2 {
			return "other data were proven"
		}
		e, wrong := to(events[1], enrol.StateReview)
		e.report, e.proof = string(recordOf(u.enrolments[0].Sealed.Record).Identity.Report), at
		e.positive, e.other2 = true, outcome == isDifferent
		s.enrolments[id] = e
		return wrong
	case r.Outcome != "positive" || len(events) != 3:
		return "another outcome"
	}
	e, wrong := s.agreed(t, u, events[1], events[2], provider)
	e.report, e.proof, e.positive = string(recordOf(u.enrolments[0].Sealed.Record).Identity.Report), at, true
	s.enrolments[id] = e
	return wrong
}

// agreed holds the making of an agreement against the model.
func (s *state) agreed(t *task, u *unit, made, changed audit.Event, by string) (enrolment, string) {
	prepared, is := made.(audit.AgreementPrepared)
	e, wrong := s.changed(t, u, changed, t.target, enrol.StateProven, by)
	if !is || !e.confirmed {
		return e, "no agreement was to be made"
	}
	e.agreement, e.challenge, e.shown = string(prepared.Document), "", false
	if sum(u.enrolments[0].Agreement) != e.agreement {
		return e, "another agreement is kept"
	}
	return e, wrong
}

// acceptProven takes the person's word that the proven data are theirs.
func (w *world) acceptProven(caller, id, requestID, report string) call {
	c := w.stepped(call{
		kind: "accept proven data", caller: caller, target: id, request: requestID, body: "proven " + id + report,
		run: func(ctx context.Context, p *process) (any, error) {
			return p.enrol.AcceptProvenData(ctx, caller, id, requestID, []byte(report))
		},
	}, []enrol.State{enrol.StateReview}, func(_ *state, now time.Time, _ *task, e enrolment) string {
		switch {
		case report != e.report:
			return different
		case now.Sub(e.proof) > proofAge:
			return tooOld
		}
		return ok
	})
	c.commit = func(m *state, t *task, u *unit, events []audit.Event) string {
		if is, wrong := m.outdated(t, u, events, id, caller); is {
			return wrong
		}
		r, is := events[0].(audit.IdentityReported)
		from := m.enrolments[id]
		if !is || r.Outcome != "accepted" || from.state != enrol.StateReview || from.report != report || len(events) != 3 || !t.expected[ok] {
			return "no proven data were to be taken"
		}
		e, wrong := m.agreed(t, u, events[1], events[2], caller)
		e.other = e.other2
		m.enrolments[id] = e
		return wrong
	}
	return c
}

// fetch is the portal fetching the agreement for the person.
func (w *world) fetch(caller, id string) call {
	return call{
		kind: "fetch the agreement", caller: caller, target: id,
		run: func(ctx context.Context, p *process) (any, error) { return p.enrol.Agreement(ctx, caller, id) },
		predict: func(m *state, _ time.Time, _ *task) string {
			e, is := m.enrolmentOf(id, caller)
			switch {
			case !is:
				return notFound
			case e.agreement == "":
				return outOfOrder
			}
			return ok
		},
		commit: func(m *state, t *task, u *unit, events []audit.Event) string {
			e := m.enrolments[id]
			shown, is := events[0].(audit.AgreementShown)
			if !is || len(events) != 1 || e.state != enrol.StateProven || e.shown || shown.Enrolment != id || string(shown.Document) != e.agreement || shown.Caller != caller {
				return "this was not to be recorded as shown"
			}
			e.shown = true
			m.enrolments[id] = e
			return ""
		},
		answer: func(w *world, t *task) string {
			d := t.result.(enrol.AgreementDocument)
			if e := w.model.enrolments[id]; t.alone && string(d.SHA256) != e.agreement {
				return "another agreement"
			}
			return ""
		},
	}
}
