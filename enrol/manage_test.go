package enrol_test

import (
	"context"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/ca"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/enrol"
	"github.com/ecsigner/ecsigner/otp/sms"
	"github.com/ecsigner/ecsigner/tenure"
)

const documents = "documents-1"

func TestGrants(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	id := w.reach(enrol.StateIssued).view.Credential
	if _, err := w.Credential(ctx, id, documents); !errors.Is(err, enrol.ErrNotFound) {
		t.Errorf("without a grant: %v", err)
	}
	w.must(w.GrantAccess(ctx, operator, "grant", id, documents))
	w.must(w.GrantAccess(ctx, operator, "grant", id, documents))
	w.must(w.GrantAccess(ctx, operator, w.request(), id, documents))
	if got := w.store.count("access.granted"); got != 1 {
		t.Errorf("granted %d times", got)
	}
	if err := w.GrantAccess(ctx, operator, "grant", id, "documents-2"); !errors.Is(err, enrol.ErrRequestReused) {
		t.Error(err)
	}
	if err := w.GrantAccess(ctx, operator, w.request(), "cred-none", documents); !errors.Is(err, enrol.ErrNotFound) {
		t.Error(err)
	}
	if err := w.GrantAccess(ctx, operator, w.request(), id, "not an identifier"); !errors.Is(err, enrol.ErrField) {
		t.Error(err)
	}
	if c, err := w.Credential(ctx, id, documents); err != nil || c.ID != id {
		t.Error(err)
	}
	for client, want := range map[string]int{documents: 1, "documents-2": 0, "": 1} {
		if list, err := w.Credentials(ctx, client, "", 10); err != nil || len(list) != want {
			t.Errorf("%q: %d, %v", client, len(list), err)
		}
	}
	if list, err := w.Credentials(ctx, "", id, 10); err != nil || len(list) != 0 {
		t.Errorf("after the last: %d, %v", len(list), err)
	}
	w.must(w.WithdrawAccess(ctx, operator, w.request(), id, documents))
	w.must(w.WithdrawAccess(ctx, operator, w.request(), id, documents))
	if _, err := w.Credential(ctx, id, documents); !errors.Is(err, enrol.ErrNotFound) || w.store.count("access.withdrawn") != 1 {
		t.Errorf("withdrawn: %v", err)
	}
	if err := w.WithdrawAccess(ctx, operator, w.request(), "cred-none", documents); !errors.Is(err, enrol.ErrNotFound) {
		t.Error(err)
	}
}

func TestRevoke(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	p := w.reach(enrol.StateIssued)
	id := p.view.Credential
	former := w.store.data.credentials[id].Sealed
	if err := w.Revoke(ctx, operator, w.request(), id, "because"); !errors.Is(err, enrol.ErrField) {
		t.Error(err)
	}
	if err := w.Revoke(ctx, operator, w.request(), "cred-none", tenure.ReasonSuperseded); !errors.Is(err, enrol.ErrNotFound) {
		t.Error(err)
	}
	w.must(w.Revoke(ctx, operator, "revoke", id, tenure.ReasonKeyCompromise))
	w.must(w.Revoke(ctx, operator, "revoke", id, tenure.ReasonKeyCompromise))
	if err := w.Revoke(ctx, operator, "revoke", id, tenure.ReasonSuperseded); !errors.Is(err, enrol.ErrRequestReused) {
		t.Error(err)
	}
	if err := w.Revoke(ctx, operator, w.request(), id, tenure.ReasonSuperseded); !errors.Is(err, tenure.ErrRevoked) {
		t.Error(err)
	}
	if err := w.GrantAccess(ctx, operator, w.request(), id, documents); !errors.Is(err, tenure.ErrRevoked) {
		t.Error(err)
	}
	c, err := w.Credential(ctx, id, "")
	if err != nil || c.Status != credential.Revoked || c.Version != 2 {
		t.Errorf("%+v, %v", c, err)
	}
	if made := w.store.data.certificates[p.view.Serial]; made.State != ca.Revoked || made.Reason != ca.KeyCompromise {
		t.Errorf("certificate %s %d", made.State, made.Reason)
	}
	if _, err := w.trust.OpenBinding(ctx, former); err == nil {
		t.Error("the former binding still opens")
	}
	if w.store.count("certificate.revoked") != 1 || w.store.count("binding.changed") != 2 {
		t.Error("log")
	}
}

// The store fails: nothing is revoked by halves, and the same request again does it.
func TestRevokeAgainAfterFault(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	id := w.reach(enrol.StateIssued).view.Credential
	for _, lost := range []bool{false, true} {
		w.store.fault = func(op string) (before, after error) {
			switch {
			case op == "view":
				return nil, nil
			case lost:
				return nil, enrol.ErrOutcomeUnknown
			}
			return errCrash, nil
		}
		if err := w.Revoke(ctx, operator, "revoke", id, tenure.ReasonSuperseded); err == nil {
			t.Error("no error")
		}
	}
	w.repair()
	w.must(w.Revoke(ctx, operator, "revoke", id, tenure.ReasonSuperseded))
	if c, err := w.Credential(ctx, id, ""); err != nil || c.Status != credential.Revoked || w.store.count("certificate.revoked") != 1 {
		t.Errorf("%v, %v", c.Status, err)
	}
}

func TestRevocationList(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	p := w.reach(enrol.StateIssued)
	list := func() *x509.RevocationList {
		der, err := w.CRL(ctx)
		w.must(err)
		l, err := x509.ParseRevocationList(der)
		w.must(err)
		w.must(l.CheckSignatureFrom(w.config.Authority.Certificate()))
		return l
	}
	first := list()
	w.wait(30 * time.Second)
	if got := list(); got.Number.Cmp(first.Number) != 0 || len(got.RevokedCertificateEntries) != 0 {
		t.Errorf("young list made again: %v", got.Number)
	}
	w.must(w.Revoke(ctx, operator, w.request(), p.view.Credential, tenure.ReasonSuperseded))
	revoked := list()
	if len(revoked.RevokedCertificateEntries) != 1 || revoked.Number.Cmp(first.Number) <= 0 {
		t.Errorf("%d entries, number %v", len(revoked.RevokedCertificateEntries), revoked.Number)
	}
	w.wait(6 * time.Hour)
	half := list()
	if half.Number.Cmp(revoked.Number) <= 0 {
		t.Error("not made again at half its life")
	}

	// Another process revokes: seen within a minute.
	q := w.reach(enrol.StateIssued)
	other, err := tenure.New(w.tenure())
	w.must(err)
	w.must(other.Revoke(ctx, operator, w.request(), q.view.Credential, tenure.ReasonSuperseded))
	w.wait(time.Minute)
	if got := list(); len(got.RevokedCertificateEntries) != 2 {
		t.Errorf("%d entries", len(got.RevokedCertificateEntries))
	}

	// The key fails: the present list is served until it ends, and the operator knows.
	w.wait(7 * time.Hour)
	w.device.fault = func(op string) (before, after error) { return errCrash, nil }
	if l := list(); !w.now().Before(l.NextUpdate) || len(w.alarmed()) == 0 {
		t.Errorf("until %s, alarms %v", l.NextUpdate, w.alarmed())
	}
	w.wait(5 * time.Hour)
	if _, err := w.CRL(ctx); err == nil {
		t.Error("a list that has ended was served")
	}
}

// TestRevocationListWhenTheClockStepsBack: a list holds a revocation at once, also where the clock stepped back a little since;
// where it stepped back far, the former list is served and the operator knows, until the clock is right again.
func TestRevocationListWhenTheClockStepsBack(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	entries := func() int {
		t.Helper()
		der, err := w.CRL(ctx)
		w.must(err)
		l, err := x509.ParseRevocationList(der)
		w.must(err)
		return len(l.RevokedCertificateEntries)
	}
	a, b := w.reach(enrol.StateIssued), w.reach(enrol.StateIssued)
	w.wait(time.Minute)
	other, err := tenure.New(w.tenure())
	w.must(err)
	w.must(other.Revoke(ctx, operator, w.request(), a.view.Credential, tenure.ReasonSuperseded))
	w.wait(-3 * time.Second)
	if n := entries(); n != 1 || len(w.alarmed()) != 0 {
		t.Errorf("%d entries, alarms %v", n, w.alarmed())
	}
	w.must(other.Revoke(ctx, operator, w.request(), b.view.Credential, tenure.ReasonSuperseded))
	w.Revoked(b.view.Serial) // as this process would know after its own revocation
	w.wait(-time.Hour)
	if n := entries(); n != 1 || len(w.alarmed()) == 0 {
		t.Errorf("%d entries, alarms %v", n, w.alarmed())
	}
	w.wait(time.Hour)
	if n := entries(); n != 2 {
		t.Errorf("%d entries once the clock is right, alarms %v", n, w.alarmed())
	}
}

// A revocation is deleted from the database: no list without it is signed, whether or not this process made one before.
func TestTrustRevocationCannotVanish(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	p := w.reach(enrol.StateIssued)
	w.must(w.Revoke(ctx, operator, w.request(), p.view.Credential, tenure.ReasonSuperseded))
	before, err := w.CRL(ctx)
	w.must(err)
	w.store.write(func(t *tables) {
		c := t.certificates[p.view.Serial]
		c.State = ca.Issued
		t.certificates[c.Serial] = c
	})
	w.wait(7 * time.Hour)
	after, err := w.CRL(ctx)
	if err != nil || string(after) != string(before) || len(w.alarmed()) == 0 {
		t.Errorf("%v, alarms %v", err, w.alarmed())
	}
	again, err := tenure.New(w.living.Config)
	w.must(err)
	again.Revoked(p.view.Serial) // as the log tells at start
	if _, err := again.CRL(ctx); !errors.Is(err, enrol.ErrIntegrity) || w.store.count("integrity.alarm") == 0 {
		t.Errorf("after a restart: %v", err)
	}
}

func TestUnlockNeedsAnAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := w.Unlock(context.Background(), operator, w.request(), "enr-none", ""); !errors.Is(err, enrol.ErrNotFound) {
		t.Error(err)
	}
	p := w.reach(enrol.StateIssued)
	w.must(w.Unlock(context.Background(), operator, w.request(), string(p.view.Credential), documents))
	if w.store.count("code.unlocked") != 1 {
		t.Error("not in the log")
	}
}

// The code stands in the first part of a split message: 70 characters where letters beyond GSM 03.38 are used.
func TestTexts(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for language, begins := range map[string]string{"uk": "Код ", "pl": "Kod ", "en": "Code "} {
		w := newWorld(t)
		v, err := w.Create(ctx, portal, w.request(), w.voucher(), language, "")
		w.must(err)
		p := &person{world: w, id: v.ID}
		p.got(w.SetParameters(ctx, portal, p.id, w.request(), parameters()))
		p.got(w.SetPersonalData(ctx, portal, p.id, w.request(), data()))
		p.sendPhone()
		first := p.code()
		text, err := w.text()
		w.must(err)
		if !strings.HasPrefix(text.Body, begins+first) || !strings.Contains(text.Body, testProvider().Name) {
			t.Errorf("%s: %s", language, text.Body)
		}
		var message sms.Message
		w.store.write(func(t *tables) { message = t.outbox[0] })
		p.got(w.ConfirmPhone(ctx, portal, p.id, w.request(), first))
		if _, err := w.Compose(ctx, message); !errors.Is(err, sms.ErrObsolete) {
			t.Errorf("spent code: %v", err)
		}
		p.got(w.StartIdentityProofing(ctx, portal, p.id, w.request(), provider))
		p.got(w.ReportIdentityResult(ctx, provider, w.request(), p.result()))
		p.sendAgreement()
		code := p.code()
		text, err = w.text()
		w.must(err)
		shown := p.view.AgreementSHA256
		if !strings.HasPrefix(text.Body, begins+code) || !strings.Contains(text.Body, hexOf(shown)[:8]) {
			t.Errorf("%s: %s", language, text.Body)
		}
		w.wait(w.config.Limits.Life)
		if _, err := w.text(); !errors.Is(err, sms.ErrObsolete) {
			t.Errorf("expired code: %v", err)
		}
		p.sendAgreement()
		p.got(p.accept(p.code()))
		if text, err = w.text(); err != nil || !strings.Contains(text.Body, "2027-11-") || !strings.Contains(text.Body, p.view.Serial[28:]) {
			t.Errorf("%s: %s, %v", language, text.Body, err)
		}
	}
}
