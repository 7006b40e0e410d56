package model_test

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/otp/sms"
	"github.com/ecsigner/ecsigner/sam"
)

// managed is a call of an operator that stores its request id and has at most one effect.
func (w *world) managed(c call, effect func(m *state, now time.Time, t *task) (label string), commit func(m *state, t *task, u *unit, events []audit.Event) string) call {
	c.caller = operator
	c.predict = func(m *state, now time.Time, t *task) string {
		_, known, same := m.asked(t)
		switch {
		case known && !same:
			return reused
		case known:
			return ok
		}
		return effect(m, now, t)
	}
	c.commit = func(m *state, t *task, u *unit, events []audit.Event) string {
		if len(u.requests) != 1 {
			return "its request id is not kept"
		}
		return commit(m, t, u, events)
	}
	return c
}

func known(m *state, _ time.Time, t *task) string {
	if _, is := m.credentials[t.target]; !is {
		return notFound
	}
	return ok
}

// grant lets a client use a credential.
func (w *world) grant(id, client, requestID string) call {
	return w.managed(call{
		kind: "grant " + client, target: id, request: requestID, body: "grant " + id + client,
		run: func(ctx context.Context, p *process) (any, error) {
			return nil, p.tenure.GrantAccess(ctx, operator, requestID, credential.ID(id), client)
		},
	}, func(m *state, now time.Time, t *task) string {
		if m.credentials[id].status == credential.Revoked {
			return revoked
		}
		return known(m, now, t)
	}, func(m *state, t *task, _ *unit, events []audit.Event) string {
		c := m.credentials[id]
		has := slices.Contains(strings.Fields(c.grants), client)
		if c.status == credential.Revoked {
			return "a revoked credential was granted"
		}
		if has != (len(events) == 0) || !has && events[0] != (audit.AccessGranted{Credential: id, Client: client, Caller: operator}) {
			return fmt.Sprintf("granted before: %v", has)
		}
		if !has {
			m.setGrants(id, append(strings.Fields(c.grants), client))
		}
		return ""
	})
}

func (s *state) setGrants(id string, clients []string) {
	c := s.credentials[id]
	slices.Sort(clients)
	c.grants = ""
	for _, client := range clients {
		c.grants += " " + client
	}
	s.credentials[id] = c
}

// withdraw takes a grant back.
func (w *world) withdraw(id, client, requestID string) call {
	return w.managed(call{
		kind: "withdraw " + client, target: id, request: requestID, body: "withdraw " + id + client,
		run: func(ctx context.Context, p *process) (any, error) {
			return nil, p.tenure.WithdrawAccess(ctx, operator, requestID, credential.ID(id), client)
		},
	}, known, func(m *state, t *task, _ *unit, events []audit.Event) string {
		clients := strings.Fields(m.credentials[id].grants)
		has := slices.Contains(clients, client)
		if has != (len(events) == 1) || has && events[0] != (audit.AccessWithdrawn{Credential: id, Client: client, Caller: operator}) {
			return fmt.Sprintf("granted before: %v", has)
		}
		m.setGrants(id, slices.DeleteFunc(clients, func(c string) bool { return c == client }))
		return ""
	})
}

// revoke ends a credential.
func (w *world) revoke(id, requestID string) call {
	const reason = "keyCompromise"
	return w.managed(call{
		kind: "revoke", target: id, request: requestID, body: "revoke " + id,
		run: func(ctx context.Context, p *process) (any, error) {
			return nil, p.tenure.Revoke(ctx, operator, requestID, credential.ID(id), reason)
		},
	}, func(m *state, now time.Time, t *task) string {
		switch c := m.credentials[id]; {
		case c.status == credential.Revoked:
			return revoked
		case now.Truncate(time.Second).Before(c.notBefore):
			return notYet
		}
		return known(m, now, t)
	}, func(m *state, t *task, u *unit, events []audit.Event) string {
		return m.revoked(t, u, events, id, audit.CertificateRevoked{
			Credential: id, Serial: m.credentials[id].serial, Reason: reason, Caller: operator, Requester: "provider", Means: "client-certificate",
		})
	})
}

// revoked holds a revocation against the model and applies it.
func (s *state) revoked(t *task, u *unit, events []audit.Event, id string, event audit.CertificateRevoked) string {
	c := s.credentials[id]
	if len(events) != 4 || c.status != credential.Active || !t.expected[ok] || len(u.messages) != 1 || len(u.credentials) != 1 {
		return "this was not to be revoked"
	}
	changed, is := events[1].(audit.BindingChanged)
	destroyed, key := events[2].(audit.KeyDestroyed)
	if !is || !key || events[0] != event || changed.Credential != id || changed.Version != c.version+1 || changed.Status != string(credential.Revoked) ||
		destroyed.Credential != id || string(destroyed.Wrapped) != sum([]byte(c.wrapped)) || len(u.credentials[0].WrappedKey) != 0 ||
		events[3] != (audit.NoticeSent{Subject: id, Kind: "revoked"}) || u.messages[0].Subject != id {
		return fmt.Sprintf("something else was revoked: %+v", events)
	}
	c.status, c.version = credential.Revoked, c.version+1
	s.credentials[id] = c
	return ""
}

// enrolledBy says whether a portal enrolled the person of a credential.
func (s *state) enrolledBy(id, caller string) bool {
	c, is := s.credentials[id]
	return is && s.enrolments[c.enrolment].caller == caller
}

// previousRevocation is the challenge that the next code of a revocation follows; a day after the last one they count anew.
func (s *state) previousRevocation(id string, now time.Time) string {
	code := s.credentials[id].code
	if code != "" && now.Sub(s.challenges[code].expires) >= limits().AccountWindow {
		return ""
	}
	return code
}

// revocationCode asks for the code by which the person revokes.
func (w *world) revocationCode(caller, id, requestID string, fresh bool) call {
	return call{
		kind: "send the code of the revocation", caller: caller, target: id, request: requestID, body: fmt.Sprint("revocation code", id, fresh),
		run: func(ctx context.Context, p *process) (any, error) {
			return p.tenure.SendRevocationCode(ctx, caller, requestID, credential.ID(id), fresh)
		},
		predict: func(m *state, now time.Time, t *task) string {
			_, known, same := m.asked(t)
			switch {
			case known && !same:
				return reused
			case !m.enrolledBy(id, caller):
				return notFound
			case known:
				return ok
			case m.credentials[id].status == credential.Revoked:
				return revoked
			}
			label, _ := m.turn(m.previousRevocation(id, now), id, caller, fresh, now)
			return label
		},
		commit: func(m *state, t *task, u *unit, events []audit.Event) string {
			c := m.credentials[id]
			if len(events) != 1 || c.status != credential.Active || !m.enrolledBy(id, caller) || !t.expected[ok] {
				return "no code was to be sent"
			}
			previous := c.code
			if t.some(func(now time.Time) bool { return m.previousRevocation(id, now) == "" }) {
				previous = ""
			}
			current, wrong := m.sent(t, u, events[0], previous, id, "revoke", fresh)
			c.code = current
			m.credentials[id] = c
			return wrong
		},
	}
}

// revokeByCode revokes as the person asks.
func (w *world) revokeByCode(caller, id, requestID string, given code) call {
	const reason = "cessationOfOperation"
	return call{
		kind: "revoke by code", caller: caller, target: id, request: requestID, body: "revoke by code" + id, code: given,
		run: func(ctx context.Context, p *process) (any, error) {
			return p.tenure.RevokeWithCode(ctx, caller, requestID, credential.ID(id), reason, given.text)
		},
		predict: func(m *state, now time.Time, t *task) string {
			_, known, same := m.asked(t)
			c := m.credentials[id]
			switch {
			case len(given.text) < 6:
				return input
			case known && !same:
				return reused
			case !m.enrolledBy(id, caller):
				return notFound
			case known:
				return ok
			case c.status == credential.Revoked:
				return revoked
			case c.code == "":
				return outOfOrder
			}
			result := m.try(c.code, given.of == c.code, now)
			switch {
			case result != "accepted":
				return "code " + result
			case now.Truncate(time.Second).Before(c.notBefore):
				return notYet
			}
			return ok
		},
		commit: func(m *state, t *task, u *unit, events []audit.Event) string {
			c := m.credentials[id]
			if len(events) == 0 || c.code == "" || c.status != credential.Active || !m.enrolledBy(id, caller) {
				return "no code was to be looked at"
			}
			accepted, is := events[0].(audit.CodeAccepted)
			if !is {
				return m.refusal(t, u, events, c.code)
			}
			if wrong := m.acceptance(t, accepted, c.code); wrong != "" {
				return wrong
			}
			return m.revoked(t, u, events[1:], id, audit.CertificateRevoked{
				Credential: id, Serial: c.serial, Reason: reason, Caller: caller, Requester: "signatory", Means: credential.FactorSMSCode, Challenge: c.code,
			})
		},
	}
}

// unlock opens codes again, for one client or, without one, for all.
func (w *world) unlock(account, client, requestID string) call {
	scope := "account"
	if client != "" {
		scope = "caller"
	}
	return w.managed(call{
		kind: "unlock " + client, target: account, request: requestID, body: "unlock " + account + client,
		run: func(ctx context.Context, p *process) (any, error) {
			return nil, p.tenure.Unlock(ctx, operator, requestID, account, client)
		},
	}, func(m *state, now time.Time, t *task) string {
		if _, is := m.enrolments[account]; is {
			return ok
		}
		return known(m, now, t)
	}, func(m *state, t *task, u *unit, events []audit.Event) string {
		if len(events) != 1 || events[0] != (audit.CodeUnlocked{Credential: account, Caller: client, Scope: scope}) {
			return "not what unlocks"
		}
		m.locks[[2]string{account, client}] = lock{}
		if c, is := m.credentials[account]; is && c.code != "" {
			m.void(c.code)
			c.code = ""
			m.credentials[account] = c
		}
		if e, is := m.enrolments[account]; is && e.challenge != "" {
			c := m.challenges[e.challenge]
			c.voided = c.voided || !c.spent
			m.challenges[e.challenge] = c
			e.challenge = ""
			m.enrolments[account] = e
		}
		return ""
	})
}

// delivered is a text that came to a phone.
type delivered struct{ id, to, body string }

// deliver is the sender taking what waits in the outbox, as package sms does it.
func (w *world) deliver() call {
	return call{
		kind: "deliver", caller: "engine",
		run:     func(ctx context.Context, p *process) (any, error) { return nil, p.deliver(ctx) },
		predict: func(*state, time.Time, *task) string { return ok },
		commit:  func(*state, *task, *unit, []audit.Event) string { return "sending recorded something" },
	}
}

func (p *process) deliver(ctx context.Context) error {
	queue := p.db.Outbox()
	due, err := queue.Due(ctx, p.world.now(), 64)
	if err != nil {
		return err
	}
	for _, m := range due {
		composer := p.enrol.Compose
		switch m.Kind {
		case sms.KindSign, sms.KindSigned:
			composer = p.signer.Compose
		case sms.KindRevoke, sms.KindRevoked, sms.KindEnding:
			composer = p.tenure.Compose
		}
		text, err := composer(ctx, m)
		label := labelOf(err)
		if label != ok && label != "obsolete" {
			return err
		}
		if p.at(ctx, atDelivery) == refuse {
			continue
		}
		if label == ok {
			p.world.received(m, text)
		}
		if p.stopped || p.at(ctx, atSent) == lose {
			continue
		}
		if err := queue.Done(ctx, m.ID); err != nil {
			return err
		}
		p.world.mu.Lock()
		delete(p.world.model.outbox, m.ID)
		p.world.mu.Unlock()
	}
	return nil
}

// received is a text arriving on a phone: the right one, with the code of its challenge and of no other.
func (w *world) received(m sms.Message, text sms.Text) {
	p := w.process
	w.mu.Lock()
	defer w.mu.Unlock()
	codes := regexp.MustCompile(`\b\d{9}\b`).FindAllString(text.Body, -1)
	want := ""
	if m.Challenge != "" {
		c := must(readCode(p, m.Challenge))
		want = c
	}
	if strings.Join(codes, " ") != want {
		w.fail("message %s of kind %s says %q; the code of challenge %s is %q", m.ID, m.Kind, text.Body, m.Challenge, want)
	}
	if phones := w.model.phonesOf(m.Subject); text.To == "" || !strings.Contains(phones, text.To) {
		w.fail("message %s went to %s instead of %s", m.ID, text.To, phones)
	}
	for _, former := range w.texts {
		if former.id == m.ID && (former.body != text.Body || former.to != text.To) {
			w.fail("message %s says first %q, then %q", m.ID, former.body, text.Body)
		}
	}
	w.texts = append(w.texts, delivered{m.ID, text.To, text.Body})
}

// phonesOf are the numbers that the person ever had whom an operation or an enrolment belongs to.
func (s *state) phonesOf(subject string) string {
	if o, is := s.operations[subject]; is {
		subject = o.credential
	}
	if c, is := s.credentials[subject]; is {
		subject = c.enrolment
	}
	return s.phones[subject]
}

func recordOf(record []byte) sam.Enrolment {
	var e sam.Enrolment
	must(0, e.UnmarshalBinary(record))
	return e
}
