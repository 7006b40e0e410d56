package enrol_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"

	"github.com/ecsigner/ecsigner/ca"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/enrol"
	"github.com/ecsigner/ecsigner/otp"
	"github.com/ecsigner/ecsigner/sam"
	"github.com/ecsigner/ecsigner/tenure"
)

// refusedBySeal says that a database writer was noticed: refused, named in the log, and the operator told.
func (w *world) refusedBySeal(name string, err error) {
	w.Helper()
	if !errors.Is(err, sam.ErrSeal) || !errors.Is(err, enrol.ErrIntegrity) {
		w.Errorf("%s: %v", name, err)
	}
	if w.store.count("integrity.alarm") == 0 || len(w.alarmed()) == 0 {
		w.Errorf("%s: no alarm", name)
	}
}

// swap changes the row of an enrolment behind the engine's back.
func (p *person) swap(change func(*enrol.Enrolment)) {
	p.store.write(func(t *tables) {
		row := t.enrolments[p.id]
		change(&row)
		t.enrolments[p.id] = row
	})
}

// Whoever writes to the database cannot change what an enrolment says.
func TestTrustEnrolmentColumnsAreSealed(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	p := w.reach(enrol.StateProven)
	p.sendAgreement()
	code := p.code()
	restore := w.snapshot()
	for name, change := range map[string]func(*enrol.Enrolment){
		"state":     func(e *enrol.Enrolment) { e.State = string(enrol.StateIssuing) },
		"version":   func(e *enrol.Enrolment) { e.Version++ },
		"caller":    func(e *enrol.Enrolment) { e.Caller = "portal-2" },
		"phone":     func(e *enrol.Enrolment) { e.Phone = "+380507654321" },
		"salt":      func(e *enrol.Enrolment) { e.PhoneSalt = []byte("another salt") },
		"agreement": func(e *enrol.Enrolment) { e.Agreement = append(bytes.Clone(e.Agreement), '\n') },
		"seal":      func(e *enrol.Enrolment) { e.Sealed.Seal = make([]byte, 32) },
		"no seal":   func(e *enrol.Enrolment) { e.Sealed.Seal = nil },
		"record":    func(e *enrol.Enrolment) { e.Sealed.Record = append(bytes.Clone(e.Sealed.Record), 0) },
		"wrapped":   func(e *enrol.Enrolment) { e.Wrapped = []byte("another key") },
		"id":        func(e *enrol.Enrolment) { e.ID = "enr-other" },
	} {
		restore()
		p.swap(change)
		caller := portal
		if name == "caller" {
			caller = "portal-2"
		}
		_, err := w.Get(ctx, caller, p.id)
		w.refusedBySeal(name, err)
		_, err = w.AcceptAgreement(ctx, caller, p.id, w.request(), p.acceptance(code))
		w.refusedBySeal(name, err)
		if _, err := w.text(); err == nil {
			t.Errorf("%s: a code was sent", name)
		}
		if w.device.keys != 0 || w.store.count("code.accepted") != 1 {
			t.Errorf("%s: something was done", name)
		}
	}
}

// The sealed record itself says that the identity is proven: it cannot be written.
func TestTrustIdentityResultCannotBeForged(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	p := w.reach(enrol.StateProofing)
	p.swap(func(row *enrol.Enrolment) {
		var e sam.Enrolment
		w.must(e.UnmarshalBinary(row.Sealed.Record))
		sum := sha256.Sum256([]byte("%PDF"))
		e.State, e.Identity.Outcome, e.Identity.Person, e.Identity.Phone = enrol.StateIssuing, enrol.Positive, e.Person, e.Phone
		e.Agreement, e.AcceptedBy, e.Credential = sum[:], "chl-forged", "cred-forged"
		record, err := e.MarshalBinary()
		w.must(err)
		row.Sealed.Record, row.State, row.Agreement = record, string(e.State), []byte("%PDF")
	})
	_, err := w.Resume(ctx)
	w.refusedBySeal("resume", err)
	if w.device.keys != 0 || len(w.store.data.certificates) != 0 {
		t.Error("a key or certificate was made")
	}
}

// Two persons' rows are exchanged.
func TestTrustSwappedPersons(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	a, b := w.reach(enrol.StateProven), w.reach(enrol.StateProven)
	a.sendAgreement()
	b.sendAgreement()
	w.store.write(func(t *tables) {
		x, y := t.enrolments[a.id], t.enrolments[b.id]
		x.ID, y.ID = b.id, a.id
		t.enrolments[a.id], t.enrolments[b.id] = y, x
	})
	_, err := w.Get(ctx, portal, a.id)
	w.refusedBySeal("rows", err)
}

// A challenge is put in the place of another: another person's, another step's, or a changed one.
func TestTrustSwappedChallenge(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	a, b := w.reach(enrol.StateData), w.reach(enrol.StateData)
	b.sendPhone()
	theirs := b.code()
	a.sendPhone()
	restore := w.snapshot()
	for name, change := range map[string]func(mine, theirs otp.Challenge) otp.Challenge{
		"another person's": func(mine, theirs otp.Challenge) otp.Challenge {
			theirs.ID, theirs.Subject, theirs.Account = mine.ID, mine.Subject, mine.Account
			return theirs
		},
		"another person's seal": func(mine, theirs otp.Challenge) otp.Challenge {
			mine.Record, mine.Seal = theirs.Record, theirs.Seal
			return mine
		},
		"longer life": func(mine, _ otp.Challenge) otp.Challenge {
			mine.Expires = mine.Expires.AddDate(1, 0, 0)
			return mine
		},
		"other purpose": func(mine, _ otp.Challenge) otp.Challenge {
			mine.Purpose = string(sam.PurposeAgreement)
			return mine
		},
		"other account": func(mine, _ otp.Challenge) otp.Challenge {
			mine.Account = "unlocked"
			return mine
		},
	} {
		restore()
		w.store.write(func(t *tables) {
			mine := t.challenges[t.enrolments[a.id].Challenge]
			t.challenges[mine.ID] = change(mine, t.challenges[t.enrolments[b.id].Challenge])
		})
		_, err := w.ConfirmPhone(ctx, portal, a.id, w.request(), theirs)
		w.refusedBySeal(name, err)
		_, err = w.text()
		w.refusedBySeal(name+": text", err)
		if w.store.count("code.accepted")+w.store.count("code.refused") != 0 {
			t.Errorf("%s: the try was counted", name)
		}
	}
}

// Attempts are set back in the database while the process runs, which remembers them.
func TestTrustAttemptsSetBack(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	p := w.reach(enrol.StateData)
	p.sendPhone()
	code := p.code()
	_, _ = w.ConfirmPhone(ctx, portal, p.id, w.request(), wrong(code))
	w.store.write(func(t *tables) {
		c := t.challenges[t.enrolments[p.id].Challenge]
		c.Attempts = 0
		t.challenges[c.ID] = c
	})
	_, err := w.ConfirmPhone(ctx, portal, p.id, w.request(), code)
	if !errors.Is(err, enrol.ErrIntegrity) || w.store.count("integrity.alarm") != 1 {
		t.Errorf("error %v, %d alarms", err, w.store.count("integrity.alarm"))
	}
}

// While issuing, neither another name, another key nor another certificate can be slipped in.
func TestTrustIntentCannotBeChanged(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	p := w.reach(enrol.StateProven)
	p.sendAgreement()
	code := p.code()
	w.device.fault = func(op string) (before, after error) {
		if op == "issuing" {
			return errCrash, nil
		}
		return nil, nil
	}
	p.got(p.accept(code))
	w.repair()
	if p.view.State != enrol.StateIssuing {
		t.Fatal(p.view.State)
	}
	restore := w.snapshot()
	certificate := func(p *person, change func(*ca.Certificate)) {
		p.store.write(func(t *tables) {
			for serial, c := range t.certificates {
				if c.RequestID == p.id {
					change(&c)
					t.certificates[serial] = c
				}
			}
		})
	}
	for name, change := range map[string]func(p *person){
		"another name in the TBS": func(p *person) {
			certificate(p, func(c *ca.Certificate) { c.TBS = bytes.ReplaceAll(c.TBS, []byte("Taras"), []byte("Sarat")) })
		},
		"another request": func(p *person) { certificate(p, func(c *ca.Certificate) { c.RequestID = "enr-other" }) },
		"another key": func(p *person) {
			certificate(p, func(c *ca.Certificate) { c.SPKI = sha256.Sum256([]byte("mine")) })
		},
		"wrapped key": func(p *person) { p.swap(func(e *enrol.Enrolment) { e.Wrapped = []byte("mine") }) },
		"public key":  func(p *person) { p.swap(func(e *enrol.Enrolment) { e.PublicKey = []byte("mine") }) },
		"key removed": func(p *person) { p.swap(func(e *enrol.Enrolment) { e.Wrapped, e.PublicKey = nil, nil }) },
	} {
		restore()
		change(p)
		_, err := p.Resume(ctx)
		p.refusedBySeal(name, err)
		if len(p.store.data.credentials) != 0 || p.store.count("certificate.issued") != 0 {
			t.Errorf("%s: issued", name)
		}
	}
}

// An older row of the same enrolment is put back: the CA makes no second certificate for it.
func TestTrustOldEnrolmentPutBack(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	p := w.reach(enrol.StateProven)
	p.sendAgreement()
	code := p.code()
	w.device.fault = func(op string) (before, after error) {
		if op == "generate" {
			return errCrash, nil
		}
		return nil, nil
	}
	p.got(p.accept(code))
	w.repair()
	old := w.store.data.enrolments[p.id]
	_, err := w.Resume(ctx)
	w.must(err)
	w.store.write(func(t *tables) { t.enrolments[p.id] = old })
	if _, err := w.Resume(ctx); !errors.Is(err, ca.ErrRequestTaken) {
		t.Error(err)
	}
	if len(w.store.data.certificates) != 1 || len(w.store.data.credentials) != 1 {
		t.Error("a second certificate")
	}
}

// A revoked credential is turned active, or its former row is put back.
func TestTrustRevokedStaysRevoked(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	p := w.reach(enrol.StateIssued)
	id := p.view.Credential
	former := w.store.data.credentials[id]
	w.must(w.Revoke(ctx, operator, w.request(), id, tenure.ReasonKeyCompromise))

	w.store.write(func(t *tables) {
		row := t.credentials[id]
		row.Sealed.Record = bytes.Replace(row.Sealed.Record, []byte(credential.Revoked), []byte("active\x00"), 1)
		t.credentials[id] = row
	})
	_, err := w.Credential(ctx, id, "")
	w.refusedBySeal("turned active", err)

	w.store.write(func(t *tables) { t.credentials[id] = former })
	if _, err = w.Credential(ctx, id, ""); !errors.Is(err, sam.ErrStale) || !errors.Is(err, enrol.ErrIntegrity) {
		t.Errorf("put back: %v", err)
	}
}

// A column of a credential is changed: it is neither shown nor, with whatever serial number stands there, revoked.
func TestTrustCredentialColumnsAreBound(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	id := w.reach(enrol.StateIssued).view.Credential
	restore := w.snapshot()
	for name, change := range map[string]func(*credential.Record){
		"phone":  func(r *credential.Record) { r.Phone = "+380507654321" },
		"chain":  func(r *credential.Record) { r.Chain = r.Chain[1:] },
		"serial": func(r *credential.Record) { r.Serial = strings.Repeat("0", 36) },
		"key":    func(r *credential.Record) { r.WrappedKey = []byte("mine") },
		"life":   func(r *credential.Record) { r.NotAfter = r.NotAfter.AddDate(1, 0, 0) },
	} {
		restore()
		w.store.write(func(t *tables) {
			row := t.credentials[id]
			change(&row)
			t.credentials[id] = row
		})
		_, err := w.Credential(ctx, id, "")
		w.refusedBySeal(name, err)
		if err := w.Revoke(ctx, operator, w.request(), id, tenure.ReasonSuperseded); !errors.Is(err, sam.ErrSeal) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The portal alone cannot issue: every way around the identity proofing or the person's codes is closed.
func TestTrustPortalCannotIssueAlone(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	p := w.reach(enrol.StateProofing)
	if _, err := w.ReportIdentityResult(ctx, portal, w.request(), p.result()); !errors.Is(err, enrol.ErrNotFound) {
		t.Errorf("the portal reported the result itself: %v", err)
	}
	other := p.result()
	other.Phone = "+380507654321"
	p.got(w.ReportIdentityResult(ctx, provider, w.request(), other))
	if p.view.State != enrol.StateData || p.view.Proofing.Reason != enrol.ReasonPhoneDiffers || p.view.Outcome != "" {
		t.Errorf("a phone that the proofing did not confirm: %+v", p.view)
	}
	if _, err := w.AcceptAgreement(ctx, portal, p.id, w.request(), enrol.Acceptance{Code: "123456"}); !errors.Is(err, enrol.ErrState) {
		t.Errorf("accepted without proof: %v", err)
	}
	if w.device.keys != 0 {
		t.Error("a key was made")
	}
}
