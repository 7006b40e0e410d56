package enrol_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/ca"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/enrol"
	"github.com/ecsigner/ecsigner/otp"
	"github.com/ecsigner/ecsigner/otp/sms"
	"github.com/ecsigner/ecsigner/sam"
	"github.com/ecsigner/ecsigner/tenure"
)

// sendRevocation sends the code that revokes and returns it as the phone shows it.
func (p *person) sendRevocation() string {
	p.Helper()
	_, err := p.SendRevocationCode(context.Background(), portal, p.request(), p.view.Credential, true)
	p.must(err)
	return p.code()
}

func (p *person) revoke(code string) (tenure.CredentialView, error) {
	return p.RevokeWithCode(context.Background(), portal, p.request(), p.view.Credential, tenure.ReasonKeyCompromise, code)
}

// listed returns the serial numbers on the present revocation list.
func (w *world) listed() map[string]int {
	w.Helper()
	der, err := w.CRL(context.Background())
	w.must(err)
	l, err := x509.ParseRevocationList(der)
	w.must(err)
	found := map[string]int{}
	for _, e := range l.RevokedCertificateEntries {
		found[hexOf(e.SerialNumber.Bytes())] = e.ReasonCode
	}
	return found
}

// suspend seals a suspended binding into the store, as a call for it would.
func (w *world) suspend(id credential.ID) {
	w.Helper()
	row := w.store.data.credentials[id]
	b, err := w.trust.OpenBinding(context.Background(), row.Sealed)
	w.must(err)
	b.Status, b.Version = credential.Suspended, b.Version+1
	row.Version = b.Version
	row.Sealed, err = w.trust.SealBinding(context.Background(), b)
	w.must(err)
	w.store.write(func(t *tables) { t.credentials[id] = row })
}

// A person revokes by a code: certificate, key and list at once, in one commit, with everything that the log must tell.
func TestRevokeWithCode(t *testing.T) {
	t.Parallel()
	for _, suspended := range []bool{false, true} {
		w := newWorld(t)
		p := w.reach(enrol.StateIssued)
		id, former := p.view.Credential, w.store.data.credentials[p.view.Credential]
		if suspended {
			w.suspend(id)
		}
		code := p.sendRevocation()
		v, err := p.revoke(code)
		if err != nil || v.Status != credential.Revoked || v.Reason != tenure.ReasonKeyCompromise || !v.RevokedAt.Equal(w.now()) {
			t.Fatalf("%+v, %v", v, err)
		}
		if reason, ok := w.listed()[p.view.Serial]; !ok || reason != int(ca.KeyCompromise) {
			t.Errorf("the list has %v", w.listed())
		}
		if row := w.store.data.credentials[id]; row.WrappedKey != nil {
			t.Error("the wrapped key is still there")
		}
		wrapped := sha256.Sum256(former.WrappedKey)
		if !w.trust.Buried(wrapped[:]) {
			t.Error("the trust core does not know that the key was destroyed")
		}
		var revoked audit.CertificateRevoked
		var gone audit.KeyDestroyed
		for _, e := range w.store.events {
			switch e := e.(type) {
			case audit.CertificateRevoked:
				revoked = e
			case audit.KeyDestroyed:
				gone = e
			}
		}
		if revoked.Requester != "signatory" || revoked.Means != credential.FactorSMSCode || revoked.Challenge == "" ||
			revoked.Caller != portal || revoked.Reason != tenure.ReasonKeyCompromise || revoked.Serial != p.view.Serial {
			t.Errorf("%+v", revoked)
		}
		if gone.Credential != string(id) || !bytes.Equal(gone.Wrapped, wrapped[:]) || gone.Caller != portal {
			t.Errorf("%+v", gone)
		}
		text, err := w.text()
		if err != nil || text.To != data().Phone || !strings.Contains(text.Body, p.view.Serial[28:]) || w.store.count("notice.sent") != 2 {
			t.Errorf("notice %+v, %v", text, err)
		}
		if _, err := p.revoke(code); !errors.Is(err, tenure.ErrRevoked) {
			t.Errorf("a second time: %v", err)
		}
		if _, err := w.SendRevocationCode(context.Background(), portal, w.request(), id, true); !errors.Is(err, tenure.ErrRevoked) {
			t.Errorf("a further code: %v", err)
		}
		if len(w.alarmed()) != 0 {
			t.Error(w.alarmed())
		}
	}
}

// The same request again gets the same answer and nothing happens twice; another body is refused.
func TestRevokeWithCodeAgain(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	p := w.reach(enrol.StateIssued)
	id := p.view.Credential
	first, err := w.SendRevocationCode(ctx, portal, "send", id, true)
	w.must(err)
	second, err := w.SendRevocationCode(ctx, portal, "send", id, true)
	if err != nil || first != second || w.store.count("code.requested") != 3 {
		t.Errorf("%+v, %+v, %v", first, second, err)
	}
	for range 2 {
		v, err := w.RevokeWithCode(ctx, portal, "revoke", id, tenure.ReasonCessationOfOperation, p.codeOnce())
		if err != nil || v.Status != credential.Revoked || v.Reason != tenure.ReasonCessationOfOperation {
			t.Errorf("%+v, %v", v, err)
		}
	}
	if _, err := w.RevokeWithCode(ctx, portal, "revoke", id, tenure.ReasonSuperseded, "123456"); !errors.Is(err, enrol.ErrRequestReused) {
		t.Error(err)
	}
	for _, kind := range []string{"certificate.revoked", "key.destroyed"} {
		if w.store.count(kind) != 1 {
			t.Errorf("%d entries %s", w.store.count(kind), kind)
		}
	}
}

// codeOnce reads the code while it is on the phone; afterwards any will do, for it is not looked at.
func (p *person) codeOnce() string {
	var m sms.Message
	p.store.write(func(t *tables) { m = t.outbox[len(t.outbox)-1] })
	if m.Kind != sms.KindRevoke {
		return "000000"
	}
	return p.code()
}

// Limits are those of signing, and failures lock the credential.
func TestRevocationCodeLimits(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	p := w.reach(enrol.StateIssued)
	id := p.view.Credential
	if _, err := p.revoke("123456"); !errors.Is(err, enrol.ErrState) {
		t.Errorf("without a code: %v", err)
	}
	try := func(code string, want otp.Result) {
		t.Helper()
		_, err := p.revoke(code)
		var refused *enrol.CodeError
		if !errors.As(err, &refused) || refused.Result != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	code := p.sendRevocation()
	w.wait(w.config.Limits.Life)
	try(code, otp.Expired)
	if _, err := w.text(); !errors.Is(err, sms.ErrObsolete) {
		t.Errorf("text of an expired code: %v", err)
	}
	code = p.sendRevocation()
	for range 3 {
		try(wrong(code), otp.Rejected)
	}
	try(code, otp.Exhausted)
	code = p.sendRevocation()
	if _, err := w.SendRevocationCode(ctx, portal, w.request(), id, true); !errors.Is(err, enrol.ErrTooManyCodes) {
		t.Errorf("a fourth code: %v", err)
	}
	for range 2 {
		try(wrong(code), otp.Rejected)
	}
	try(code, otp.Locked)
	if w.store.count("code.locked") != 1 {
		t.Error("the lock is not in the log")
	}
	if _, err := w.SendRevocationCode(ctx, portal, w.request(), id, true); !errors.Is(err, enrol.ErrLocked) {
		t.Errorf("a code while locked: %v", err)
	}
	w.must(w.Unlock(ctx, operator, w.request(), string(id), portal))
	code = p.sendRevocation()
	w.wait(25 * time.Hour)
	for range 3 { // a day later they count anew
		code = p.sendRevocation()
	}
	if _, err := p.revoke(code); err != nil {
		t.Error(err)
	}
}

// Whoever did not enrol the person learns nothing: foreign and unknown credentials answer alike.
func TestTrustForeignPortalCannotRevoke(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	p := w.reach(enrol.StateIssued)
	code := p.sendRevocation()
	for _, id := range []credential.ID{p.view.Credential, "cred-none"} {
		if _, err := w.SendRevocationCode(ctx, "portal-2", w.request(), id, true); !errors.Is(err, enrol.ErrNotFound) {
			t.Errorf("%s: %v", id, err)
		}
		if _, err := w.RevokeWithCode(ctx, "portal-2", w.request(), id, tenure.ReasonKeyCompromise, code); !errors.Is(err, enrol.ErrNotFound) {
			t.Errorf("%s: %v", id, err)
		}
	}
	if got := w.store.count("code.refused"); got != 0 || w.store.count("certificate.revoked") != 0 {
		t.Errorf("%d tries were counted", got)
	}
	// Nor does pointing the row to an enrolment of one's own help.
	other := w.reach(enrol.StateIssued)
	w.store.write(func(t *tables) {
		row := t.credentials[p.view.Credential]
		row.Enrolment = other.id
		t.credentials[row.ID] = row
	})
	if _, err := p.revoke(code); !errors.Is(err, enrol.ErrNotFound) {
		t.Error(err)
	}
}

// A code fits one purpose: that of an agreement revokes nothing, and a database writer who exchanges challenges is found.
func TestTrustRevocationChallengeIsBound(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(t *tables, mine, other otp.Challenge){
		"of another credential": func(t *tables, mine, other otp.Challenge) {
			other.ID = mine.ID
			t.challenges[mine.ID] = other
		},
		"sealed record of another credential": func(t *tables, mine, other otp.Challenge) {
			mine.Record, mine.Seal = other.Record, other.Seal
			t.challenges[mine.ID] = mine
		},
		"longer life": func(t *tables, mine, _ otp.Challenge) {
			mine.Expires = mine.Expires.Add(time.Hour)
			t.challenges[mine.ID] = mine
		},
		"another purpose": func(t *tables, mine, _ otp.Challenge) {
			mine.Purpose = string(sam.PurposeSign)
			t.challenges[mine.ID] = mine
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			other := w.reach(enrol.StateIssued)
			other.sendRevocation()
			p := w.reach(enrol.StateIssued)
			code := p.sendRevocation()
			w.store.write(func(t *tables) {
				change(t, t.challenges[t.revocations[p.view.Credential]], t.challenges[t.revocations[other.view.Credential]])
			})
			if _, err := p.revoke(code); !errors.Is(err, enrol.ErrIntegrity) || len(w.alarmed()) == 0 {
				t.Errorf("%v, alarms %v", err, w.alarmed())
			}
		})
	}
	w := newWorld(t)
	q := w.reach(enrol.StateIssued)
	q.sendRevocation()
	ch := w.store.data.challenges[w.store.data.revocations[q.view.Credential]]
	c, err := w.trust.OpenChallenge(context.Background(), credential.Sealed{Record: ch.Record, Seal: ch.Seal})
	w.must(err)
	c.Purpose = sam.PurposeSign // were there ever one with a good seal
	sealed, err := w.trust.SealChallenge(context.Background(), c)
	w.must(err)
	code, err := w.trust.Code(context.Background(), sealed)
	w.must(err)
	w.store.write(func(t *tables) {
		ch.Record, ch.Seal = sealed.Record, sealed.Seal
		t.challenges[ch.ID] = ch
	})
	if _, err := q.revoke(code); !errors.Is(err, enrol.ErrIntegrity) {
		t.Errorf("a challenge for another purpose: %v", err)
	}

	w = newWorld(t)
	p := w.reach(enrol.StateProven)
	p.sendAgreement()
	agreed := p.code()
	p.got(p.accept(agreed))
	p.sendRevocation()
	if _, err := p.revoke(agreed); !errors.Is(err, enrol.ErrCode) {
		t.Errorf("the agreement's code: %v", err)
	}
}

// A row of before the revocation is stale, and a destroyed key that is put back is found, now and after a restart.
func TestTrustDestroyedKeyStaysDestroyed(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	p := w.reach(enrol.StateIssued)
	id, active := p.view.Credential, w.store.data.credentials[p.view.Credential]
	_, err := p.revoke(p.sendRevocation())
	w.must(err)
	attacks := func() {
		t.Helper()
		for name, change := range map[string]func(r credential.Record) credential.Record{
			"the whole row": func(credential.Record) credential.Record { return active },
			"the blob alone": func(r credential.Record) credential.Record {
				r.WrappedKey = active.WrappedKey
				return r
			},
		} {
			before := w.store.data.credentials[id]
			w.store.write(func(t *tables) { t.credentials[id] = change(before) })
			if _, err := w.Credential(ctx, id, ""); !errors.Is(err, enrol.ErrIntegrity) {
				t.Errorf("%s: %v", name, err)
			}
			w.store.write(func(t *tables) { t.credentials[id] = before })
		}
		if v, err := w.Credential(ctx, id, ""); err != nil || v.Status != credential.Revoked {
			t.Errorf("as it was: %v, %v", v.Status, err)
		}
	}
	attacks()
	w.start()
	for _, e := range w.store.events { // as the engine does at start
		switch e := e.(type) {
		case audit.BindingChanged:
			w.trust.Raise(credential.ID(e.Credential), e.Version)
		case audit.KeyDestroyed:
			w.trust.Bury(e.Wrapped)
		}
	}
	attacks()
}

// Keys that an earlier version left with revoked credentials are destroyed at start.
func TestDestroyRevoked(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	p, other := w.reach(enrol.StateIssued), w.reach(enrol.StateIssued)
	id := p.view.Credential
	blob := w.store.data.credentials[id].WrappedKey
	_, err := p.revoke(p.sendRevocation())
	w.must(err)
	w.start() // without a tombstone, as the log of that version has none
	w.store.write(func(t *tables) {
		row := t.credentials[id]
		row.WrappedKey = blob
		t.credentials[id] = row
	})
	before := w.store.count("key.destroyed")
	for _, want := range []int{1, 0} {
		if n, err := w.DestroyRevoked(ctx); err != nil || n != want {
			t.Errorf("destroyed %d, %v", n, err)
		}
	}
	if w.store.data.credentials[id].WrappedKey != nil || w.store.data.credentials[other.view.Credential].WrappedKey == nil ||
		w.store.count("key.destroyed") != before+1 {
		t.Error("not the revoked one alone")
	}
	if v, err := w.Credential(ctx, id, ""); err != nil || v.Status != credential.Revoked {
		t.Errorf("%v, %v", v.Status, err)
	}
}

// The list cannot be made: the revocation stands, the operator knows, and the list is made as soon as it can be.
func TestRevokedWithoutList(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.reach(enrol.StateIssued)
	code := p.sendRevocation()
	w.device.fault = func(op string) (before, after error) {
		if op == "issuing" {
			return errCrash, nil
		}
		return nil, nil
	}
	if v, err := p.revoke(code); err != nil || v.Status != credential.Revoked || len(w.alarmed()) != 1 {
		t.Errorf("%v, %v, alarms %v", v.Status, err, w.alarmed())
	}
	w.device.fault = nil
	if _, ok := w.listed()[p.view.Serial]; !ok {
		t.Error("not on the list")
	}
}

// Texts in all languages begin with the code, name the certificate and say that it is final.
func TestRevocationTexts(t *testing.T) {
	t.Parallel()
	for language, words := range map[string][3]string{
		"uk": {"Код ", "назавжди", "відкликано"}, "pl": {"Kod ", "na zawsze", "unieważniony"}, "en": {"Code ", "for good", "revoked"},
	} {
		w := newWorld(t)
		w.language = language
		p := w.reach(enrol.StateIssued)
		code := p.sendRevocation()
		text, err := w.text()
		w.must(err)
		if !strings.HasPrefix(text.Body, words[0]+code) || !strings.Contains(text.Body, p.view.Serial[28:]) || !strings.Contains(text.Body, words[1]) {
			t.Errorf("%s: %s", language, text.Body)
		}
		_, err = p.revoke(code)
		w.must(err)
		text, err = w.text()
		if err != nil || !strings.Contains(text.Body, words[2]) || !strings.Contains(text.Body, testProvider().Name) {
			t.Errorf("%s: %s, %v", language, text.Body, err)
		}
	}
}
