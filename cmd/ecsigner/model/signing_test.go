package model_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/signer"
)

func callerOf(name string) signer.Caller {
	return signer.Caller{Name: name, Registered: "Client " + name}
}

// usable says whether a client may use a credential now.
func (s *state) usable(id, client string, now time.Time) bool {
	c, ok := s.credentials[id]
	return ok && c.status == credential.Active && !now.Before(c.notBefore) && !now.After(c.notAfter) && slices.Contains(strings.Fields(c.grants), client)
}

// usableAt says whether the caller may use it as it is now, at one of the times of the call.
func (s *state) usableAt(id string, t *task) bool {
	return t.some(func(now time.Time) bool { return s.usable(id, t.caller, now) })
}

// unusable is what a client may be told of a credential.
func (s *state) unusable(id string, t *task, now time.Time) []string {
	var all []string
	if !s.usable(id, t.caller, now) {
		all = append(all, noCredential)
	}
	if s.isLocked(id, t.caller) {
		all = append(all, locked)
	}
	return all
}

// create asks for signatures. Two requests with the same title are over the same digests.
func (w *world) create(client, credentialID, requestID, title string, items int) call {
	r := signer.CreateRequest{Credential: credential.ID(credentialID), Title: title, Language: "en"}
	for n := range items {
		digest := sha256.Sum256([]byte(fmt.Sprintf("%s %d", title, n)))
		format := signer.Raw
		if n%2 == 1 {
			format = signer.CAdESBB
		}
		r.Items = append(r.Items, signer.ItemRequest{Hash: digest[:], Format: format})
	}
	return call{
		kind: "create " + title, caller: client, request: requestID, body: fmt.Sprint("create", credentialID, title, items),
		run: func(ctx context.Context, p *process) (any, error) {
			return p.signer.Create(ctx, callerOf(client), requestID, r)
		},
		predict: func(m *state, now time.Time, t *task) string {
			if _, known, same := m.asked(t); known {
				if same {
					return ok
				}
				return reused
			}
			switch {
			case !m.usable(credentialID, client, now):
				return noCredential
			case m.isLocked(credentialID, client):
				return locked
			}
			return ok
		},
		also: func(m *state, now time.Time, t *task) []string { return m.unusable(credentialID, t, now) },
		commit: func(m *state, t *task, u *unit, events []audit.Event) string {
			return m.created(t, u, events, credentialID, items)
		},
		answer: func(w *world, t *task) string { return w.signing(t, t.result.(signer.View)) },
	}
}

func (s *state) created(t *task, u *unit, events []audit.Event, credentialID string, items int) string {
	if len(events) != 2 || len(u.operations) != 1 || len(u.requests) != 1 || !t.expected[ok] {
		return "not what creates an operation"
	}
	e, is := events[0].(audit.SigningRequested)
	sent, sends := events[1].(audit.CodeRequested)
	if !is || !sends || e.Caller != t.caller || e.Credential != credentialID || len(e.DTBSR) != items {
		return fmt.Sprintf("another operation: %+v", events)
	}
	if !s.usableAt(credentialID, t) {
		return "the credential cannot be used by this client any more"
	}
	row := u.operations[0]
	if _, known := s.operations[e.Operation]; known || string(row.ID) != e.Operation || row.State != signer.StateRequested ||
		!t.some(func(now time.Time) bool { return now.Add(operationLife).Equal(row.Expires) }) {
		return fmt.Sprintf("the operation is %+v", row)
	}
	t.target = e.Operation
	s.operations[e.Operation] = operation{
		caller: t.caller, credential: credentialID, binding: e.BindingVersion, state: signer.StateRequested,
		challenge: sent.Challenge, expires: row.Expires, digests: e.DTBSR,
	}
	return s.newChallenge(t, u, sent, "", credentialID, "sign", "sign")
}

// operationOf is the operation of a client, as far as the client is told.
func (s *state) operationOf(id, client string) (operation, bool) {
	o, ok := s.operations[id]
	return o, ok && o.caller == client
}

// sendCode asks for another code of an operation.
func (w *world) sendCode(client, id, requestID string, fresh bool) call {
	return call{
		kind: fmt.Sprint("send code, fresh ", fresh), caller: client, target: id, request: requestID, body: fmt.Sprint("send ", id, fresh),
		run: func(ctx context.Context, p *process) (any, error) {
			send := p.signer.SendCode
			if fresh {
				send = p.signer.NewCode
			}
			return send(ctx, callerOf(client), requestID, signer.OperationID(id))
		},
		predict: func(m *state, now time.Time, t *task) string {
			o, is := m.operationOf(id, client)
			_, known, same := m.asked(t)
			switch {
			case !is:
				return notFound
			case known && !same:
				return reused
			case !m.usable(o.credential, client, now):
				return noCredential
			case known:
				return ok
			case o.state != signer.StateRequested || !now.Before(o.expires):
				return outOfOrder
			}
			label, _ := m.turn(o.challenge, o.credential, client, fresh, now)
			return label
		},
		also: func(m *state, now time.Time, t *task) []string {
			o := m.operations[id]
			all := m.unusable(o.credential, t, now)
			if o.state != signer.StateRequested || !now.Before(o.expires) {
				all = append(all, outOfOrder)
			}
			label, _ := m.turn(o.challenge, o.credential, client, fresh, now)
			return append(all, label)
		},
		commit: func(m *state, t *task, u *unit, events []audit.Event) string {
			o, is := m.operationOf(id, client)
			if !is || len(events) != 1 || o.state != signer.StateRequested || !t.expected[ok] || len(u.requests) != 1 {
				return "no code was to be sent"
			}
			if !m.usableAt(o.credential, t) {
				return "the credential cannot be used by this client any more"
			}
			current, wrong := m.sent(t, u, events[0], o.challenge, o.credential, "sign", fresh)
			o.challenge = current
			m.operations[id] = o
			return wrong
		},
	}
}

// authorize gives a code for an operation, or asks for what was authorised before.
func (w *world) authorize(client, id string, given code) call {
	return call{
		kind: "authorize", caller: client, target: id, code: given,
		run: func(ctx context.Context, p *process) (any, error) {
			return p.signer.Authorize(ctx, callerOf(client), signer.OperationID(id), given.text)
		},
		predict: func(m *state, now time.Time, t *task) string { return m.foresee(t, now) },
		also: func(m *state, now time.Time, t *task) []string {
			o := m.operations[id]
			var all []string
			if t.phase == "" && (t.states[string(signer.StateRequested)] || t.states[string(signer.StateSigning)]) {
				all = m.unusable(o.credential, t, now)
			}
			if t.phase != phaseRecorded && t.phase != phaseWithheld && !o.activated.IsZero() && o.over(now) {
				all = append(all, activationOver)
			}
			return all
		},
		commit: func(m *state, t *task, u *unit, events []audit.Event) string { return m.authorised(t, u, events) },
		answer: func(w *world, t *task) string { return w.signing(t, t.result.(signer.View)) },
	}
}

// Phases of a call that authorises.
const (
	phaseSigning  = "signing" // it holds the fence
	phaseRecorded = "recorded"
	phaseWithheld = "withheld"
)

// over says whether the activation of an operation has ended.
func (o operation) over(now time.Time) bool {
	return now.After(o.activated.Add(signer.ActivationLife)) || now.After(o.expires)
}

// foresee says what authorising comes to.
func (s *state) foresee(t *task, now time.Time) string {
	o, is := s.operationOf(t.target, t.caller)
	over := o.state == signer.StateSigning && o.over(now)
	switch {
	case !is:
		return notFound
	case t.phase == phaseRecorded:
		return ok
	case t.phase == phaseWithheld:
		return withheld
	case t.phase == phaseSigning && (o.fence != t.fence || s.credentials[o.credential].version != o.binding):
		return withheld
	case t.phase == phaseSigning && over:
		return activationOver
	case t.phase == phaseSigning:
		return ok
	case o.state == signer.StateSigned:
		return ok
	case o.state == signer.StateClosed:
		return outOfOrder
	case !s.usable(o.credential, t.caller, now):
		return noCredential
	case o.state == signer.StateRequested && t.code.text == "":
		return input
	case o.state == signer.StateRequested && !now.Before(o.expires):
		return "code expired"
	case o.state == signer.StateRequested:
		result := s.try(o.challenge, t.code.of == o.challenge, now)
		switch {
		case result != "accepted":
			return "code " + result
		case s.latest.Sub(now) > 5*time.Second:
			return clockBehind
		}
		return ok
	case over:
		return activationOver
	case now.Before(o.lease):
		return inProgress
	}
	return ok
}

// authorised holds the commits of authorising against the model and applies them.
func (s *state) authorised(t *task, u *unit, events []audit.Event) string {
	o := s.operations[t.target]
	if len(events) == 0 {
		return "a commit without an event"
	}
	switch e := events[0].(type) {
	case audit.CodeRefused:
		if o.state != signer.StateRequested {
			return "a code was looked at although none is awaited"
		}
		return s.refusal(t, u, events, o.challenge)
	case audit.CodeAccepted:
		return s.activated(t, u, events, e)
	case audit.SigningResumed:
		if o.state != signer.StateSigning || e.Fence != o.fence+1 || len(events) != 1 || !t.expected[ok] || len(u.operations) != 1 ||
			!t.some(func(now time.Time) bool { return !now.Before(o.lease) }) || !s.usableAt(o.credential, t) && !t.expected[noCredential] {
			return "this was not to be resumed"
		}
		t.phase, t.fence = phaseSigning, e.Fence
		o.fence, o.lease = e.Fence, u.operations[0].Lease
		o.runs++
	case audit.SigningSigned:
		c := s.credentials[o.credential]
		// One that was swept meanwhile is signed in vain: what counts is that nothing is recorded.
		if open := o.state == signer.StateSigning || o.state == signer.StateClosed; t.phase != phaseSigning || !open || o.fence != t.fence || c.status != credential.Active ||
			c.version != o.binding || !slices.EqualFunc(e.DTBSR, o.digests, bytes.Equal) || len(e.Signatures) != len(o.digests) ||
			len(events) != 2 || events[1] != (audit.NoticeSent{Subject: t.target, Kind: "signed"}) || len(u.messages) != 1 {
			return "these signatures were not to be recorded"
		}
		t.phase = phaseRecorded
		o.state, o.entry = signer.StateSigned, u.commit.First
		for _, signature := range e.Signatures {
			o.signatures = append(o.signatures, string(signature))
		}
	case audit.SigningWithheld:
		if t.phase != phaseSigning || o.state == signer.StateSigning && o.fence == t.fence && s.credentials[o.credential].version == o.binding {
			return "there is no reason to withhold the signatures"
		}
		t.phase = phaseWithheld
		return ""
	default:
		return "not what authorising records"
	}
	s.operations[t.target] = o
	return ""
}

func (s *state) activated(t *task, u *unit, events []audit.Event, e audit.CodeAccepted) string {
	o := s.operations[t.target]
	if len(events) != 2 || o.state != signer.StateRequested || !t.expected[ok] || !s.usableAt(o.credential, t) ||
		s.credentials[o.credential].version != o.binding || !t.some(o.expires.After) {
		return "this was not to be activated"
	}
	a, is := events[1].(audit.SigningActivated)
	if !is || a.Operation != t.target || a.Challenge != o.challenge || a.Caller != t.caller || a.Credential != o.credential ||
		a.BindingVersion != o.binding || !slices.EqualFunc(a.DTBSR, o.digests, bytes.Equal) {
		return fmt.Sprintf("something else was activated: %+v", events[1])
	}
	row := u.operations[0]
	o.state, o.fence, o.lease, o.activated = signer.StateSigning, 1, row.Lease, row.Lease.Add(-leaseLife)
	if !t.some(o.activated.Equal) || row.Fence != 1 {
		return "the lease is wrong"
	}
	o.runs++
	s.operations[t.target] = o
	t.phase, t.fence = phaseSigning, 1
	return s.acceptance(t, e, o.challenge)
}

// maySign is asked by the device before it uses a signatory's key.
func (w *world) maySign(t *task, wrapped []byte, digests [][]byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	o := w.model.operations[t.target]
	c := w.model.credentials[o.credential]
	if t.phase != phaseSigning || o.state != signer.StateSigning || o.fence != t.fence || c.wrapped != string(wrapped) ||
		!slices.EqualFunc(digests, o.digests, bytes.Equal) {
		w.fail("#%d %s: the key was used although the model does not allow it: %+v", t.number, t.call, o)
	}
}

// signed counts a use of a signatory's key.
func (w *world) signed(t *task) {
	w.mu.Lock()
	defer w.mu.Unlock()
	o := w.model.operations[t.target]
	if o.uses++; o.uses > o.runs {
		w.fail("#%d %s: the key was used %d times in %d runs", t.number, t.call, o.uses, o.runs)
	}
	w.model.operations[t.target] = o
}

// release is what somebody outside has got: signatures and their receipt.
type release struct {
	operation  string
	signatures [][]byte
	receipt    []byte
}

// signing holds a view of an operation against the model, and keeps what it releases. The caller holds w.mu.
func (w *world) signing(t *task, v signer.View) string {
	id := string(v.ID)
	o, is := w.model.operationOf(id, t.caller)
	if !is || t.target != "" && t.target != id {
		return fmt.Sprintf("answered with operation %s", id)
	}
	if r, known, _ := w.model.asked(t); t.request != "" && (!known || r.result != id) && !strings.HasPrefix(t.kind, "send") {
		return fmt.Sprintf("answered with operation %s; the request id stands for %q", id, r.result)
	}
	t.states[string(o.state)] = true
	if !t.states[string(v.State)] && t.target != "" {
		return fmt.Sprintf("said to be %s; it was %v", v.State, labels(t.states))
	}
	r := release{operation: id, receipt: v.Receipt}
	for n, item := range v.Items {
		if !bytes.Equal(item.DTBSR, o.digests[n]) {
			return fmt.Sprintf("shows another digest for item %d", n)
		}
		if v.State != signer.StateSigned && (len(item.Signature) > 0 || len(item.Result) > 0 || len(v.Receipt) > 0) {
			return "releases a signature before it is recorded"
		}
		r.signatures = append(r.signatures, item.Signature)
	}
	if v.State == signer.StateSigned {
		w.released = append(w.released, r)
	}
	return ""
}

// publicKey is that of a credential.
func (w *world) publicKey(id string) *ecdsa.PublicKey {
	return &w.device.keys[w.model.credentials[id].wrapped].PublicKey
}

// get reads an operation.
func (w *world) get(client, id string) call {
	return call{
		kind: "get", caller: client, target: id,
		run: func(ctx context.Context, p *process) (any, error) {
			return p.signer.Get(ctx, callerOf(client), signer.OperationID(id))
		},
		predict: func(m *state, _ time.Time, _ *task) string {
			if _, is := m.operationOf(id, client); !is {
				return notFound
			}
			return ok
		},
		commit: func(*state, *task, *unit, []audit.Event) string { return "reading recorded something" },
		answer: func(w *world, t *task) string { return w.signing(t, t.result.(signer.View)) },
	}
}

// cancel closes an operation.
func (w *world) cancel(client, id, requestID string) call {
	return call{
		kind: "cancel", caller: client, target: id, request: requestID, body: "cancel " + id,
		run: func(ctx context.Context, p *process) (any, error) {
			return p.signer.Cancel(ctx, callerOf(client), requestID, signer.OperationID(id))
		},
		predict: func(m *state, _ time.Time, t *task) string {
			o, is := m.operationOf(id, client)
			_, known, same := m.asked(t)
			switch {
			case !is:
				return notFound
			case known && same:
				return ok
			case known:
				return reused
			case o.state != signer.StateRequested:
				return outOfOrder
			}
			return ok
		},
		commit: func(m *state, t *task, u *unit, events []audit.Event) string {
			o := m.operations[id]
			if len(events) != 1 || events[0] != (audit.SigningClosed{Operation: id, Outcome: audit.OutcomeCancelled}) ||
				o.state != signer.StateRequested || o.caller != client || len(u.requests) != 1 {
				return "this was not to be cancelled"
			}
			o.state, o.outcome = signer.StateClosed, audit.OutcomeCancelled
			m.operations[id] = o
			return ""
		},
	}
}

// sweep is the engine closing what can no longer be signed.
func (w *world) sweep() call {
	return call{
		kind: "sweep", caller: "engine",
		run:     func(ctx context.Context, p *process) (any, error) { return p.signer.Sweep(ctx) },
		predict: func(*state, time.Time, *task) string { return ok },
		commit: func(m *state, t *task, _ *unit, events []audit.Event) string {
			for _, event := range events {
				e, is := event.(audit.SigningClosed)
				o := m.operations[e.Operation]
				want := audit.OutcomeExpired
				if o.state == signer.StateSigning {
					want = audit.OutcomeAbandoned
				}
				if !is || o.state != signer.StateRequested && o.state != signer.StateSigning || e.Outcome != want ||
					!t.some(o.expires.Before) || o.state == signer.StateSigning && !t.some(func(now time.Time) bool {
					return !now.Before(o.lease.Add(signer.ActivationLife))
				}) {
					return fmt.Sprintf("this was not to be closed: %+v, %+v", event, o)
				}
				o.state, o.outcome = signer.StateClosed, e.Outcome
				m.operations[e.Operation] = o
			}
			return ""
		},
		answer: func(w *world, t *task) string {
			for id, o := range w.model.operations {
				due := o.state == signer.StateRequested || o.state == signer.StateSigning && !t.began.Before(o.lease.Add(signer.ActivationLife))
				if due && o.expires.Before(t.began) && t.alone {
					return fmt.Sprintf("left operation %s open: %+v", id, o)
				}
			}
			return ""
		},
	}
}
