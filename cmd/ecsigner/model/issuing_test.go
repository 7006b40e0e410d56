package model_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/enrol"
)

// accept gives the code that accepts the agreement; key and certificate are made at once.
func (w *world) accept(caller, id, requestID, agreement string, given code) call {
	c := w.stepped(call{
		kind: "accept", caller: caller, target: id, request: requestID, body: "accept " + id + agreement, code: given,
		run: func(ctx context.Context, p *process) (any, error) {
			a := enrol.Acceptance{SHA256: []byte(agreement), Consents: consents(), Code: given.text}
			if agreement == "" {
				a.SHA256, a.Consents = []byte(w.model.enrolments[id].agreement), nil
			}
			return p.enrol.AcceptAgreement(ctx, caller, id, requestID, a)
		},
	}, []enrol.State{enrol.StateProven}, func(m *state, now time.Time, t *task, e enrolment) string {
		switch {
		case now.Sub(e.proof) > proofAge:
			return tooOld
		case e.challenge == "":
			return outOfOrder
		case agreement == "": // of the present one, then, and without consents
			return noConsent
		case agreement != e.agreement:
			return otherAgreement
		case !e.shown:
			return outOfOrder
		}
		return tried(m, now, t, e)
	})
	c.commit = func(m *state, t *task, u *unit, events []audit.Event) string {
		e := m.enrolments[id]
		if len(events) == 0 {
			return "a commit without an event"
		}
		switch first := events[0].(type) {
		case audit.CodeRefused:
			if e.state != enrol.StateProven {
				return "no code was to be looked at"
			}
			return m.refusal(t, u, events, e.challenge)
		case audit.CodeAccepted:
			accepted, is := events[1].(audit.AgreementAccepted)
			if e.state != enrol.StateProven || len(events) != 4 || !is || !e.shown || accepted.Enrolment != id || accepted.Challenge != e.challenge ||
				string(accepted.Document) != e.agreement || agreement != e.agreement || !t.expected[ok] {
				return "the agreement was not to be accepted"
			}
			if wrong := m.acceptance(t, first, e.challenge); wrong != "" {
				return wrong
			}
			n, wrong := m.changed(t, u, events[3], id, enrol.StateIssuing, caller)
			n.accepted, n.challenge = true, ""
			n.credential = string(recordOf(u.enrolments[0].Sealed.Record).Credential)
			m.enrolments[id] = n
			t.phase = phaseAccepted
			given, is := events[2].(audit.ConsentsGiven)
			if sealed := recordOf(u.enrolments[0].Sealed.Record); !is || strings.Join(sealed.Consents, " ") != given.Consents || !slices.Equal(sealed.Consents, consents()) {
				return "other consents"
			}
			return wrong
		}
		if is, wrong := m.outdated(t, u, events, id, byOf(e, caller)); is {
			return wrong
		}
		return m.issuing(t, u, events)
	}
	return c
}

// byOf is in whose name an enrolment is sent back: the engine's, once it is accepted.
func byOf(e enrolment, caller string) string {
	if e.state == enrol.StateIssuing {
		return ""
	}
	return caller
}

// resume is the engine taking up what is in state issuing.
func (w *world) resume() call {
	return call{
		kind: "resume", caller: "engine",
		run: func(ctx context.Context, p *process) (any, error) { return p.enrol.Resume(ctx) },
		predict: func(_ *state, _ time.Time, t *task) string {
			if t.phase == phaseOutdated {
				return tooOld
			}
			return ok
		},
		commit: func(m *state, t *task, u *unit, events []audit.Event) string {
			if r, is := events[0].(audit.IdentityReported); is {
				_, wrong := m.outdated(t, u, events, r.Enrolment, "")
				return wrong
			}
			return m.issuing(t, u, events)
		},
	}
}

// mayIssue says whether a key and a certificate may be made for an enrolment.
func (e enrolment) mayIssue() bool {
	return e.state == enrol.StateIssuing && e.confirmed && e.positive && e.accepted && e.credential != ""
}

// issuing holds the commits from the acceptance to the certificate against the model and applies them.
func (s *state) issuing(t *task, u *unit, events []audit.Event) string {
	switch first := events[0].(type) {
	case audit.AgreementSealed:
		e := s.enrolments[first.Enrolment]
		if !e.mayIssue() || e.sealed || len(events) != 1 || u.touched != 1 || string(first.Document) != e.agreement {
			return "the agreement was not to be sealed"
		}
		e.sealed = true
		s.enrolments[first.Enrolment] = e
		return ""
	case audit.KeyGenerated:
		e := s.enrolments[first.Enrolment]
		intended, is := events[1].(audit.CertificateIntended)
		if old := !t.some(func(now time.Time) bool { return now.Sub(e.proof) <= proofAge }); old {
			return "a key was made on a proof that is too old"
		}
		if !e.mayIssue() || !e.sealed || e.key || len(events) != 3 || !is || intended.Enrolment != first.Enrolment || first.Credential != e.credential {
			return "no key was to be recorded"
		}
		n, wrong := s.changed(t, u, events[2], first.Enrolment, enrol.StateIssuing, "")
		n.key, n.serial = true, intended.Serial
		s.enrolments[first.Enrolment] = n
		return wrong
	case audit.CertificateIssued:
		return s.issued(t, u, events, first)
	}
	return "not what issuing records"
}

func (s *state) issued(t *task, u *unit, events []audit.Event, first audit.CertificateIssued) string {
	e := s.enrolments[first.Enrolment]
	if !e.mayIssue() || !e.sealed || !e.key || len(events) != 4 || first.Serial != e.serial || first.Credential != e.credential || len(u.credentials) != 1 {
		return "no certificate was to be recorded"
	}
	if _, known := s.credentials[e.credential]; known {
		return "the credential is not new"
	}
	bound, is := events[1].(audit.BindingChanged)
	if !is || bound.Credential != e.credential || bound.Version != 1 || bound.Status != string(credential.Active) ||
		events[3] != (audit.NoticeSent{Subject: first.Enrolment, Kind: "issued"}) || len(u.messages) != 1 {
		return fmt.Sprintf("another credential: %+v", events)
	}
	n, wrong := s.changed(t, u, events[2], first.Enrolment, enrol.StateIssued, "")
	n.key = false // it is the credential's now
	s.enrolments[first.Enrolment] = n
	row := u.credentials[0]
	for id, c := range s.credentials {
		if c.wrapped == string(row.WrappedKey) || c.serial == row.Serial {
			return "shares its key or its serial number with " + id
		}
	}
	s.credentials[e.credential] = credentialState{
		status: credential.Active, version: 1, enrolment: first.Enrolment, serial: e.serial, wrapped: string(row.WrappedKey),
		notBefore: row.NotBefore, notAfter: row.NotAfter,
	}
	return wrong
}

// mayGenerate is asked by the device before it makes a signatory's key.
func (w *world) mayGenerate(t *task) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, e := range w.model.enrolments {
		if e.mayIssue() && e.sealed && !e.key && (t.target == "" || t.target == id) {
			return
		}
	}
	w.fail("#%d %s: a key was made for no enrolment that may have one", t.number, t.call)
}

// issuances counts keys and certificates. Without a crash or a fault each is made once.
func (w *world) issuances(events []audit.Event) {
	intended, issued := map[string]int{}, map[string]int{}
	for _, event := range events[w.house.size:] {
		switch e := event.(type) {
		case audit.CertificateIntended:
			intended[e.Enrolment]++
		case audit.CertificateIssued:
			issued[e.Enrolment]++
		}
	}
	for id, n := range intended {
		if n > 1 || issued[id] != 1 || w.model.enrolments[id].state != enrol.StateIssued {
			w.fail("enrolment %s: %d certificates intended, %d issued; it is %s", id, n, issued[id], w.model.enrolments[id].state)
		}
	}
	for serial, n := range w.certified {
		if !w.disturbed && n != 1 {
			w.fail("certificate %s was signed %d times, and nothing had gone wrong", serial, n)
		}
	}
	if len(w.certified) != len(intended) {
		w.fail("the CA signed %d certificates, %d were intended", len(w.certified), len(intended))
	}
	if w.device.generated < len(intended) || !w.disturbed && w.device.generated != len(intended) {
		w.fail("%d keys were made for %d certificates", w.device.generated, len(intended))
	}
	for id, e := range w.model.enrolments {
		if e.state == enrol.StateIssuing {
			w.fail("enrolment %s is accepted, and nobody completes it", id)
		}
	}
}
