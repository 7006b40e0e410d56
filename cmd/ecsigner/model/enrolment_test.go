package model_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/enrol"
)

// enrolmentOf is the enrolment of a portal, as far as the portal is told.
func (s *state) enrolmentOf(id, caller string) (enrolment, bool) {
	e, is := s.enrolments[id]
	return e, is && e.caller == caller
}

// inState says what a step of an enrolment comes to by its order and its time alone.
func (e enrolment) inState(now time.Time, states ...enrol.State) string {
	switch {
	case !slices.Contains(states, e.state):
		return outOfOrder
	case !now.Before(e.expires):
		return expired
	}
	return ok
}

// stepped is a call of a portal that takes its enrolment further. Then says what it comes to once it is in order.
func (w *world) stepped(c call, states []enrol.State, then func(m *state, now time.Time, t *task, e enrolment) string) call {
	c.predict = func(m *state, now time.Time, t *task) string {
		_, known, same := m.asked(t)
		e, is := m.enrolmentOf(t.target, t.caller)
		switch {
		case t.phase == phaseAccepted: // what follows is nobody's fault but the device's, and not told as an error
			return ok
		case t.code.text != "" && len(t.code.text) < 6: // no code at all
			return input
		case known && !same:
			return reused
		case !is:
			return notFound
		case known:
			return ok
		}
		if label := e.inState(now, states...); label != ok || then == nil {
			return label
		}
		return then(m, now, t, e)
	}
	c.answer = func(w *world, t *task) string { return w.enrolling(t) }
	return c
}

// phaseAccepted: the agreement is accepted by this call.
const phaseAccepted = "accepted"

// enrolling holds the view of an enrolment against the model.
func (w *world) enrolling(t *task) string {
	v, is := t.result.(enrol.View)
	if !is {
		return "answered with something else"
	}
	e, known := w.model.enrolments[v.ID]
	if !known || t.target != "" && v.ID != t.target {
		return fmt.Sprintf("answered with enrolment %s", v.ID)
	}
	t.states[string(e.state)] = true
	if t.target != "" && !t.states[string(v.State)] {
		return fmt.Sprintf("said to be %s; it was %v", v.State, labels(t.states))
	}
	if (v.Credential != "" || v.Serial != "") && (string(v.Credential) != e.credential || v.Serial != e.serial || e.state != enrol.StateIssued) {
		return fmt.Sprintf("said to have credential %s", v.Credential)
	}
	return ""
}

// changed holds the transition of an enrolment against the model, and returns what it now is.
func (s *state) changed(t *task, u *unit, event audit.Event, id string, to enrol.State, by string) (enrolment, string) {
	e := s.enrolments[id]
	c, is := event.(audit.EnrolmentChanged)
	if !is || len(u.enrolments) != 1 {
		return e, "no transition"
	}
	row := u.enrolments[0]
	record := sha256.Sum256(row.Sealed.Record)
	e.version++
	e.state = to
	if c.Enrolment != id || row.ID != id || c.Version != e.version || row.Version != e.version || c.State != string(to) ||
		row.State != string(to) || c.Caller != by || !bytes.Equal(c.Record, record[:]) {
		return e, fmt.Sprintf("another transition: %+v", c)
	}
	if sealed := recordOf(row.Sealed.Record); sealed.Version != e.version || sealed.State != to || !t.some(sealed.At.Equal) {
		return e, fmt.Sprintf("the sealed record is %s, version %d, of %s", sealed.State, sealed.Version, sealed.At)
	}
	return e, ""
}

// redeem begins an enrolment with a voucher.
func (w *world) redeem(caller, requestID, voucher string) call {
	return call{
		kind: "redeem", caller: caller, request: requestID, body: "redeem " + voucher,
		run: func(ctx context.Context, p *process) (any, error) {
			return p.enrol.Create(ctx, caller, requestID, voucher, "uk")
		},
		predict: func(m *state, now time.Time, t *task) string {
			_, known, same := m.asked(t)
			v := m.vouchers[voucher]
			switch {
			case known && !same:
				return reused
			case known:
				return ok
			case v.used != "":
				return voucherUsed
			case !now.Before(v.expires):
				return voucherExpired
			}
			return ok
		},
		commit: func(m *state, t *task, u *unit, events []audit.Event) string {
			v := m.vouchers[voucher]
			if len(events) != 2 || len(u.requests) != 1 || v.used != "" || !t.expected[ok] || !t.some(v.expires.After) {
				return "this voucher was not to be redeemed"
			}
			e, is := events[0].(audit.EnrolmentCreated)
			if _, known := m.enrolments[e.Enrolment]; !is || known || e.Caller != caller || e.Voucher != v.hash {
				return fmt.Sprintf("another enrolment: %+v", events[0])
			}
			m.enrolments[e.Enrolment] = enrolment{caller: caller}
			n, wrong := m.changed(t, u, events[1], e.Enrolment, enrol.StateCreated, caller)
			n.expires = u.enrolments[0].Expires
			if !t.some(func(now time.Time) bool { return now.Add(enrolmentLife).Equal(n.expires) }) {
				return "the enrolment lives too long"
			}
			m.enrolments[e.Enrolment] = n
			v.used = e.Enrolment
			m.vouchers[voucher] = v
			t.target = e.Enrolment
			return wrong
		},
		answer: func(w *world, t *task) string {
			if r, known, _ := w.model.asked(t); !known || r.result != t.result.(enrol.View).ID {
				return "answered with another enrolment than before"
			}
			return w.enrolling(t)
		},
	}
}

func voucherHash(code string) string {
	plain := bytes.ReplaceAll([]byte(code), []byte("-"), nil)
	h := sha256.Sum256(plain)
	return hex.EncodeToString(h[:])
}

// parameters chooses what kind of certificate it will be.
func (w *world) parameters(caller, id, requestID string) call {
	states := []enrol.State{enrol.StateCreated, enrol.StateParameters}
	c := w.stepped(call{
		kind: "parameters", caller: caller, target: id, request: requestID, body: "parameters " + id,
		run: func(ctx context.Context, p *process) (any, error) {
			return p.enrol.SetParameters(ctx, caller, id, requestID, enrol.Parameters{Years: 1, IdentifierType: "TIN", Algorithm: credential.ECDSAP256})
		},
	}, states, nil)
	c.commit = func(m *state, t *task, u *unit, events []audit.Event) string {
		if len(events) != 1 || !slices.Contains(states, m.enrolments[id].state) || !t.expected[ok] {
			return "no parameters were to be set"
		}
		e, wrong := m.changed(t, u, events[0], id, enrol.StateParameters, caller)
		m.enrolments[id] = e
		return wrong
	}
	return c
}

// data gives personal data.
func (w *world) data(caller, id, requestID string, n int) call {
	states := []enrol.State{enrol.StateParameters, enrol.StateData, enrol.StatePhone, enrol.StateProofing}
	c := w.stepped(call{
		kind: fmt.Sprint("data of person ", n), caller: caller, target: id, request: requestID, body: fmt.Sprint("data ", id, n),
		run: func(ctx context.Context, p *process) (any, error) {
			return p.enrol.SetPersonalData(ctx, caller, id, requestID, person(n))
		},
	}, states, nil)
	c.commit = func(m *state, t *task, u *unit, events []audit.Event) string {
		if len(events) != 1 || !slices.Contains(states, m.enrolments[id].state) || !t.expected[ok] {
			return "no data were to be given"
		}
		e, wrong := m.changed(t, u, events[0], id, enrol.StateData, caller)
		e.phone, e.person, e.confirmed, e.positive, e.reference, e.provider = person(n).Phone, n, false, false, "", ""
		m.enrolments[id] = e
		m.void(e.challenge)
		return wrong
	}
	return c
}

// void ends a code that can still be used.
func (s *state) void(id string) {
	if c, is := s.challenges[id]; is && !c.spent {
		c.voided = true
		s.challenges[id] = c
	}
}

// enrolmentCode asks for the code of a step: that proves the phone, or that accepts the agreement.
func (w *world) enrolmentCode(caller, id, requestID string, agreement bool) call {
	in, purpose := enrol.StateData, "phone"
	if agreement {
		in, purpose = enrol.StateProven, "agreement"
	}
	c := w.stepped(call{
		kind: "send the code of the " + purpose, caller: caller, target: id, request: requestID, body: "send " + purpose + id,
		run: func(ctx context.Context, p *process) (any, error) {
			send := p.enrol.SendPhoneCode
			if agreement {
				send = p.enrol.SendAgreementCode
			}
			v, _, err := send(ctx, caller, id, requestID)
			return v, err
		},
	}, []enrol.State{in}, func(m *state, _ time.Time, t *task, e enrolment) string {
		switch {
		case m.isLocked(id, caller):
			return locked
		case e.challenge != "" && m.challenges[e.challenge].number >= limits().Codes:
			return tooMany
		}
		return ok
	})
	c.commit = func(m *state, t *task, u *unit, events []audit.Event) string {
		e := m.enrolments[id]
		if len(events) != 1 || e.state != in || !t.expected[ok] || u.touched != 1 {
			return "no code was to be sent"
		}
		sent, is := events[0].(audit.CodeRequested)
		if !is || sent.Subject != id || sent.Purpose != purpose || sent.Caller != caller {
			return fmt.Sprintf("another code was sent: %+v", events[0])
		}
		wrong := m.newChallenge(t, u, sent, e.challenge, id, purpose, purpose)
		e.challenge = sent.Challenge
		m.enrolments[id] = e
		return wrong
	}
	return c
}

// tried says what giving a code comes to.
func tried(m *state, now time.Time, t *task, e enrolment) string {
	if e.challenge == "" {
		return outOfOrder
	}
	if result := m.try(e.challenge, t.code.of == e.challenge, now); result != "accepted" {
		return "code " + result
	}
	return ok
}

// confirm gives the code that proves the phone.
func (w *world) confirm(caller, id, requestID string, given code) call {
	c := w.stepped(call{
		kind: "confirm", caller: caller, target: id, request: requestID, body: "confirm " + id, code: given,
		run: func(ctx context.Context, p *process) (any, error) {
			return p.enrol.ConfirmPhone(ctx, caller, id, requestID, given.text)
		},
	}, []enrol.State{enrol.StateData}, tried)
	c.commit = func(m *state, t *task, u *unit, events []audit.Event) string {
		e := m.enrolments[id]
		if e.state != enrol.StateData || len(events) == 0 {
			return "no code was to be looked at"
		}
		accepted, is := events[0].(audit.CodeAccepted)
		if !is {
			return m.refusal(t, u, events, e.challenge)
		}
		confirmed, is := events[1].(audit.PhoneConfirmed)
		if len(events) != 3 || !is || confirmed.Enrolment != id || confirmed.Challenge != e.challenge || !t.expected[ok] {
			return "the phone was not to be confirmed"
		}
		if wrong := m.acceptance(t, accepted, e.challenge); wrong != "" {
			return wrong
		}
		n, wrong := m.changed(t, u, events[2], id, enrol.StatePhone, caller)
		n.confirmed, n.challenge = true, ""
		m.enrolments[id] = n
		return wrong
	}
	return c
}

// prove names the provider that proves the identity.
func (w *world) prove(caller, id, requestID string) call {
	c := w.stepped(call{
		kind: "start proofing", caller: caller, target: id, request: requestID, body: "prove " + id,
		run: func(ctx context.Context, p *process) (any, error) {
			return p.enrol.StartIdentityProofing(ctx, caller, id, requestID, provider)
		},
	}, []enrol.State{enrol.StatePhone}, nil)
	c.commit = func(m *state, t *task, u *unit, events []audit.Event) string {
		if len(events) != 2 || m.enrolments[id].state != enrol.StatePhone || events[0] != (audit.IdentityStarted{Enrolment: id, Provider: provider}) || !t.expected[ok] {
			return "proofing was not to begin"
		}
		e, wrong := m.changed(t, u, events[1], id, enrol.StateProofing, caller)
		sealed := recordOf(u.enrolments[0].Sealed.Record)
		e.reference, e.provider, e.asked = sealed.Identity.Reference, provider, sealed.At
		m.enrolments[id] = e
		return wrong
	}
	return c
}

// outcomes of a report.
const (
	isPositive = iota
	isNegative
	isDifferent
)

// report is the provider's result.
func (w *world) report(id, requestID, reference string, n, outcome int, at time.Time) call {
	i := proven(enrol.View{ID: id, ProofingReference: reference}, n, at)
	switch outcome {
	case isNegative:
		i.Outcome = enrol.Negative
	case isDifferent:
		i.Person.Surname = "Franko"
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
			case t.phase == phaseDifferent:
				return different
			case known && !same:
				return reused
			case !is || e.provider != provider || e.reference != reference || reference == "":
				return notFound
			case known:
				return ok
			}
			label := e.inState(now, enrol.StateProofing)
			switch {
			case label != ok:
				return label
			case at.Before(e.asked.Add(-skew)) || at.After(now.Add(skew)):
				return input
			case outcome == isDifferent || outcome == isPositive && e.person != n:
				return different
			}
			return ok
		},
		commit: func(m *state, t *task, u *unit, events []audit.Event) string {
			return m.reported(t, u, events, n, outcome)
		},
		answer: func(w *world, t *task) string { return w.enrolling(t) },
	}
}

// phaseDifferent: the report is recorded and refused.
const phaseDifferent = "different"

func (s *state) reported(t *task, u *unit, events []audit.Event, n, outcome int) string {
	e := s.enrolments[t.target]
	if len(events) == 0 {
		return "a commit without an event"
	}
	r, is := events[0].(audit.IdentityReported)
	if !is || r.Enrolment != t.target || r.Caller != provider {
		return fmt.Sprintf("something else was reported: %+v", events[0])
	}
	switch {
	case r.Outcome == "differs":
		if len(events) != 1 || len(u.enrolments) != 0 || !t.expected[different] {
			return "nothing differs"
		}
		t.phase = phaseDifferent
		return ""
	case e.state != enrol.StateProofing || !t.expected[ok] || len(events) != 3:
		return "nothing was to be reported"
	case outcome == isNegative:
		if r.Outcome != "negative" || events[2] != (audit.EnrolmentClosed{Enrolment: t.target, Outcome: "rejected"}) {
			return "another outcome"
		}
		e, wrong := s.changed(t, u, events[1], t.target, enrol.StateRejected, provider)
		s.enrolments[t.target] = e
		return wrong
	}
	prepared, is := events[1].(audit.AgreementPrepared)
	if !is || r.Outcome != "positive" || outcome != isPositive || e.person != n || !e.confirmed {
		return "the identity is not proven"
	}
	e, wrong := s.changed(t, u, events[2], t.target, enrol.StateProven, provider)
	e.positive, e.agreement, e.challenge = true, string(prepared.Document), ""
	if sum(u.enrolments[0].Agreement) != e.agreement {
		return "another agreement is kept"
	}
	s.enrolments[t.target] = e
	return wrong
}

// giveUp cancels an enrolment.
func (w *world) giveUp(caller, id, requestID string) call {
	states := []enrol.State{
		enrol.StateCreated, enrol.StateParameters, enrol.StateData, enrol.StatePhone, enrol.StateProofing, enrol.StateProven,
	}
	c := w.stepped(call{
		kind: "give up", caller: caller, target: id, request: requestID, body: "give up " + id,
		run: func(ctx context.Context, p *process) (any, error) { return p.enrol.Cancel(ctx, caller, id, requestID) },
	}, states, nil)
	strict := c.predict
	c.predict = func(m *state, now time.Time, t *task) string {
		if label := strict(m, now, t); label != expired { // what is over can still be given up
			return label
		}
		return ok
	}
	c.commit = func(m *state, t *task, u *unit, events []audit.Event) string {
		e := m.enrolments[id]
		if len(events) != 2 || !slices.Contains(states, e.state) || events[1] != (audit.EnrolmentClosed{Enrolment: id, Outcome: "cancelled"}) || !t.expected[ok] {
			return "this was not to be given up"
		}
		m.void(e.challenge)
		e, wrong := m.changed(t, u, events[0], id, enrol.StateCancelled, caller)
		m.enrolments[id] = e
		return wrong
	}
	return c
}
