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

// deadline is until when an enrolment may go on.
func (e enrolment) deadline() time.Time {
	if waits := e.at.Add(deferredLife); e.state == enrol.StateDeferred && waits.Before(e.expires) {
		return waits
	}
	return e.expires
}

// inState says what a step of an enrolment comes to by its order and its time alone.
func (e enrolment) inState(now time.Time, states ...enrol.State) string {
	switch {
	case e.state == enrol.StateExpired:
		return expired
	case !slices.Contains(states, e.state):
		return outOfOrder
	case !now.Before(e.deadline()):
		return expired
	}
	return ok
}

// correctable are the states in which a person may change what they said.
func correctable() []enrol.State {
	return []enrol.State{
		enrol.StateParameters, enrol.StateData, enrol.StatePhone, enrol.StateProofing, enrol.StateDeferred, enrol.StateReview, enrol.StateProven,
	}
}

// unproven is an enrolment without what identity proofing proved and what rests on it.
func (e enrolment) unproven(from enrol.State) enrolment {
	e.reference, e.provider, e.report, e.agreement, e.credential = "", "", "", "", ""
	e.positive, e.accepted, e.sealed, e.shown = false, false, false, false
	e.proof = time.Time{}
	if from == enrol.StateProven {
		e.challenge = ""
	}
	return e
}

// stepped is a call of a portal that takes its enrolment further. Then says what it comes to once it is in order.
func (w *world) stepped(c call, states []enrol.State, then func(m *state, now time.Time, t *task, e enrolment) string) call {
	c.predict = func(m *state, now time.Time, t *task) string {
		_, known, same := m.asked(t)
		e, is := m.enrolmentOf(t.target, t.caller)
		switch {
		case t.phase == phaseOutdated:
			return tooOld
		case t.phase == phaseAccepted: // what follows is nobody's fault but the device's, and not told as an error
			if e.state == enrol.StateIssuing && !e.key && now.Sub(e.proof) > proofAge {
				return tooOld
			}
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
	c.also = func(m *state, now time.Time, t *task) []string { return m.enrolments[t.target].late(now, states...) }
	c.answer = func(w *world, t *task) string { return w.enrolling(t) }
	return c
}

// late is what a step may come to that began when it was in order.
func (e enrolment) late(now time.Time, states ...enrol.State) []string {
	var all []string
	if !slices.Contains(states, e.state) {
		all = append(all, outOfOrder)
	}
	if e.state == enrol.StateExpired || !now.Before(e.deadline()) {
		all = append(all, expired)
	}
	return all
}

// Phases of calls in enrolment.
const (
	phaseAccepted = "accepted" // the agreement is accepted by this call
	phaseOutdated = "outdated" // the proof was found to be too old
)

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
	sealed := recordOf(row.Sealed.Record)
	if sealed.Version != e.version || sealed.State != to || !t.some(sealed.At.Equal) {
		return e, fmt.Sprintf("the sealed record is %s, version %d, of %s", sealed.State, sealed.Version, sealed.At)
	}
	e.at = sealed.At
	return e, ""
}

// redeem begins an enrolment with a voucher.
func (w *world) redeem(caller, requestID, code string) call {
	refused := func(m *state, now time.Time) string {
		switch v := m.vouchers[code]; {
		case v.used != "":
			return voucherUsed
		case !now.Before(v.expires):
			return voucherExpired
		}
		return ok
	}
	return call{
		kind: "redeem", caller: caller, request: requestID, body: "redeem " + code,
		run: func(ctx context.Context, p *process) (any, error) {
			return p.enrol.Create(ctx, caller, requestID, code, "uk", "")
		},
		predict: func(m *state, now time.Time, t *task) string {
			_, known, same := m.asked(t)
			switch {
			case known && !same:
				return reused
			case known:
				return ok
			}
			return refused(m, now)
		},
		commit: func(m *state, t *task, u *unit, events []audit.Event) string { return m.redeemed(t, u, events, code) },
		answer: func(w *world, t *task) string {
			if r, known, _ := w.model.asked(t); !known || r.result != t.result.(enrol.View).ID {
				return "answered with another enrolment than before"
			}
			return w.enrolling(t)
		},
	}
}

func (s *state) redeemed(t *task, u *unit, events []audit.Event, code string) string {
	v := s.vouchers[code]
	if r, is := events[0].(audit.VoucherRefused); is {
		if len(events) != 1 || r.Caller != t.caller || !t.expected[map[string]string{"used": voucherUsed, "expired": voucherExpired}[r.Reason]] {
			return "this voucher was not to be refused"
		}
		return ""
	}
	if len(events) != 2 || len(u.requests) != 1 || v.used != "" || !t.expected[ok] || !t.some(v.expires.After) {
		return "this voucher was not to be redeemed"
	}
	e, is := events[0].(audit.EnrolmentCreated)
	if _, known := s.enrolments[e.Enrolment]; !is || known || e.Caller != t.caller || e.Voucher != v.hash {
		return fmt.Sprintf("another enrolment: %+v", events[0])
	}
	s.enrolments[e.Enrolment] = enrolment{caller: t.caller}
	n, wrong := s.changed(t, u, events[1], e.Enrolment, enrol.StateCreated, t.caller)
	n.expires = u.enrolments[0].Expires
	if !t.some(func(now time.Time) bool { return now.Add(enrolmentLife).Equal(n.expires) }) {
		return "the enrolment lives too long"
	}
	s.enrolments[e.Enrolment] = n
	v.used = e.Enrolment
	s.vouchers[code] = v
	t.target = e.Enrolment
	return wrong
}

func voucherHash(code string) string {
	h := sha256.Sum256(bytes.ReplaceAll([]byte(code), []byte("-"), nil))
	return hex.EncodeToString(h[:])
}

// parameters chooses what kind of certificate it will be.
func (w *world) parameters(caller, id, requestID string) call {
	states := append(correctable(), enrol.StateCreated)
	c := w.stepped(call{
		kind: "parameters", caller: caller, target: id, request: requestID, body: "parameters " + id,
		run: func(ctx context.Context, p *process) (any, error) {
			return p.enrol.SetParameters(ctx, caller, id, requestID, enrol.Parameters{Years: 1, IdentifierType: "TIN", Algorithm: credential.ECDSAP256})
		},
	}, states, nil)
	c.commit = func(m *state, t *task, u *unit, events []audit.Event) string {
		from := m.enrolments[id]
		if len(events) != 1 || !slices.Contains(states, from.state) || !t.expected[ok] {
			return "no parameters were to be set"
		}
		m.void(from.challenge)
		e, wrong := m.changed(t, u, events[0], id, enrol.StateParameters, caller)
		e = e.unproven(from.state)
		e.confirmed = false
		m.enrolments[id] = e
		return wrong
	}
	return c
}

// data gives personal data.
func (w *world) data(caller, id, requestID string, n int) call {
	c := w.stepped(call{
		kind: fmt.Sprint("data of person ", n), caller: caller, target: id, request: requestID, body: fmt.Sprint("data ", id, n),
		run: func(ctx context.Context, p *process) (any, error) {
			return p.enrol.SetPersonalData(ctx, caller, id, requestID, person(n))
		},
	}, correctable(), nil)
	c.commit = func(m *state, t *task, u *unit, events []audit.Event) string {
		from := m.enrolments[id]
		if len(events) != 1 || !slices.Contains(correctable(), from.state) || !t.expected[ok] {
			return "no data were to be given"
		}
		m.void(from.challenge)
		e, wrong := m.changed(t, u, events[0], id, enrol.StateData, caller)
		e = e.unproven(from.state)
		e.phone, e.person, e.confirmed, e.other = person(n).Phone, n, false, false
		m.phones[id] += " " + e.phone
		m.enrolments[id] = e
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
func (w *world) enrolmentCode(caller, id, requestID string, agreement, fresh bool) call {
	in, purpose := enrol.StateData, "phone"
	if agreement {
		in, purpose = enrol.StateProven, "agreement"
	}
	c := w.stepped(call{
		kind: "send the code of the " + purpose, caller: caller, target: id, request: requestID, body: fmt.Sprint("send ", purpose, id, fresh),
		run: func(ctx context.Context, p *process) (any, error) {
			send := map[[2]bool]func(context.Context, string, string, string) (enrol.View, enrol.CodeSent, error){
				{false, false}: p.enrol.SendPhoneCode, {false, true}: p.enrol.NewPhoneCode,
				{true, false}: p.enrol.SendAgreementCode, {true, true}: p.enrol.NewAgreementCode,
			}[[2]bool{agreement, fresh}]
			v, _, err := send(ctx, caller, id, requestID)
			return v, err
		},
	}, []enrol.State{in}, func(m *state, now time.Time, t *task, e enrolment) string {
		if agreement && now.Sub(e.proof) > proofAge {
			return tooOld
		}
		label, _ := m.turn(e.challenge, id, caller, fresh, now)
		return label
	})
	c.commit = func(m *state, t *task, u *unit, events []audit.Event) string {
		e := m.enrolments[id]
		if is, wrong := m.outdated(t, u, events, id, caller); is {
			return wrong
		}
		if len(events) != 1 || e.state != in || !t.expected[ok] {
			return "no code was to be sent"
		}
		current, wrong := m.sent(t, u, events[0], e.challenge, id, purpose, fresh)
		e.challenge = current
		m.enrolments[id] = e
		return wrong
	}
	return c
}

// outdated says whether a commit sends an enrolment back whose proof is too old; if so it holds it against the model.
func (s *state) outdated(t *task, u *unit, events []audit.Event, id, by string) (is bool, wrong string) {
	r, is := events[0].(audit.IdentityReported)
	if !is || r.Outcome != "too-old" {
		return false, ""
	}
	from := s.enrolments[id]
	states := []enrol.State{enrol.StateReview, enrol.StateProven, enrol.StateIssuing}
	if len(events) != 2 || r.Enrolment != id || !slices.Contains(states, from.state) || from.key ||
		!t.some(func(now time.Time) bool { return now.Sub(from.proof) > proofAge }) {
		return true, "the proof is not too old"
	}
	s.void(from.challenge)
	e, wrong := s.changed(t, u, events[1], id, enrol.StatePhone, by)
	s.enrolments[id] = e.unproven(from.state)
	t.phase = phaseOutdated
	return true, wrong
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

// giveUp cancels an enrolment.
func (w *world) giveUp(caller, id, requestID string) call {
	states := append(correctable(), enrol.StateCreated)
	c := w.stepped(call{
		kind: "give up", caller: caller, target: id, request: requestID, body: "give up " + id,
		run: func(ctx context.Context, p *process) (any, error) { return p.enrol.Cancel(ctx, caller, id, requestID) },
	}, states, nil)
	strict := c.predict
	c.predict = func(m *state, now time.Time, t *task) string {
		if label := strict(m, now, t); label != expired || m.enrolments[id].state == enrol.StateExpired {
			return label
		}
		return ok // what is overdue can still be given up
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

// endOverdue is the engine ending what was not finished in time.
func (w *world) endOverdue() call {
	return call{
		kind: "overdue", caller: "engine",
		run:     func(ctx context.Context, p *process) (any, error) { return p.enrol.Sweep(ctx) },
		predict: func(*state, time.Time, *task) string { return ok },
		commit: func(m *state, t *task, u *unit, events []audit.Event) string {
			c, is := events[0].(audit.EnrolmentChanged)
			from := m.enrolments[c.Enrolment]
			due := func(now time.Time) bool { return !now.Before(from.deadline()) }
			if !is || len(events) < 2 || !slices.Contains(append(correctable(), enrol.StateCreated), from.state) || !t.some(due) ||
				events[1] != (audit.EnrolmentClosed{Enrolment: c.Enrolment, Outcome: "expired"}) {
				return "this was not to be ended"
			}
			if told := len(events) == 3 && events[2] == (audit.NoticeSent{Subject: c.Enrolment, Kind: "expired"}); told != from.confirmed || len(u.messages) != len(events)-2 {
				return "the person is to be told if their phone is known"
			}
			m.void(from.challenge)
			e, wrong := m.changed(t, u, c, c.Enrolment, enrol.StateExpired, "")
			m.enrolments[c.Enrolment] = e
			return wrong
		},
		answer: func(w *world, t *task) string {
			for id, e := range w.model.enrolments {
				if slices.Contains(append(correctable(), enrol.StateCreated), e.state) && !t.began.Before(e.deadline()) && e.at.Before(t.began) && t.alone {
					return fmt.Sprintf("left enrolment %s open: %+v", id, e)
				}
			}
			return ""
		},
	}
}
