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
			return nil, p.enrol.GrantAccess(ctx, operator, requestID, credential.ID(id), client)
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
			return nil, p.enrol.WithdrawAccess(ctx, operator, requestID, credential.ID(id), client)
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
			return nil, p.enrol.Revoke(ctx, operator, requestID, credential.ID(id), reason)
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
		c := m.credentials[id]
		if len(events) != 2 || c.status != credential.Active || !t.expected[ok] {
			return "this was not to be revoked"
		}
		changed, is := events[1].(audit.BindingChanged)
		if !is || events[0] != (audit.CertificateRevoked{Credential: id, Serial: c.serial, Reason: reason, Caller: operator}) ||
			changed.Credential != id || changed.Version != c.version+1 || changed.Status != string(credential.Revoked) {
			return fmt.Sprintf("something else was revoked: %+v", events)
		}
		c.status, c.version = credential.Revoked, c.version+1
		m.credentials[id] = c
		return ""
	})
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
			return nil, p.enrol.Unlock(ctx, operator, requestID, account, client)
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
		if m.Kind == sms.KindSign || m.Kind == sms.KindSigned {
			composer = p.signer.Compose
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
		subject = s.credentials[o.credential].enrolment
	}
	return s.phones[subject]
}

func recordOf(record []byte) sam.Enrolment {
	var e sam.Enrolment
	must(0, e.UnmarshalBinary(record))
	return e
}
