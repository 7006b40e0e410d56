package enrol_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/ca"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/enrol"
	"github.com/ecsigner/ecsigner/otp"
	"github.com/ecsigner/ecsigner/otp/sms"
	"github.com/ecsigner/ecsigner/signer/pades/longterm"
	"github.com/ecsigner/ecsigner/signer/pdf"
	"github.com/ecsigner/ecsigner/tenure"
)

// renewing issues a credential, lets most of its life pass, and begins its renewal.
func (w *world) renewing() (former, p *person) {
	w.Helper()
	former = w.reach(enrol.StateIssued)
	w.wait(w.store.data.credentials[former.view.Credential].NotAfter.Sub(w.now()) - 30*24*time.Hour)
	v, err := w.renew(former.view.Credential)
	w.must(err)
	return former, &person{world: w, id: v.ID, view: v}
}

func (w *world) renew(id credential.ID) (enrol.View, error) {
	return w.CreateRenewal(context.Background(), portal, w.request(), enrol.RenewalRequest{
		Credential: id, Voucher: w.voucher(), Parameters: w.parameters(),
	})
}

// rebuild starts the service again and tells it what the log tells, as the engine does.
func (w *world) rebuild() {
	w.Helper()
	w.start()
	for _, e := range w.store.events {
		switch e := e.(type) {
		case audit.BindingChanged:
			w.trust.Raise(credential.ID(e.Credential), e.Version)
		case audit.KeyDestroyed:
			w.trust.Bury(e.Wrapped)
		case audit.CertificateRevoked:
			w.Revoked(e.Serial)
		case audit.SigningSigned:
			w.trust.Finish(e.Operation, w.now().Add(time.Hour))
		}
	}
}

// The renewal leads straight to an agreement, which one code accepts and has signed by the current key; then a new key
// and certificate are made for the same person. The current credential stays.
func TestRenewal(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	former, p := w.renewing()
	if p.view.State != enrol.StateProven || p.view.NextAction != enrol.ActionAcceptAgreement || p.view.Renews != former.view.Credential ||
		p.view.Person != former.view.Person || p.view.MaskedPhone != former.view.MaskedPhone || p.view.Outcome != enrol.Positive {
		t.Errorf("%+v", p.view)
	}
	p.sendAgreement()
	text, err := w.text()
	if err != nil || !strings.Contains(text.Body, "підпис") || !strings.Contains(text.Body, hexOf(p.view.AgreementSHA256)[:8]) {
		t.Errorf("%q, %v", text.Body, err)
	}
	p.got(p.accept(p.code()))
	if p.view.State != enrol.StateIssued || p.view.Credential == former.view.Credential {
		t.Fatalf("%+v; alarms %v", p.view, w.alarmed())
	}
	if w.device.signs != 1 || w.device.keys != 2 {
		t.Errorf("%d signatures, %d keys", w.device.signs, w.device.keys)
	}
	before, err := w.Credential(ctx, former.view.Credential, "")
	w.must(err)
	after, err := w.Credential(ctx, p.view.Credential, "")
	w.must(err)
	if before.Status != credential.Active || after.Status != credential.Active || before.Signatory != after.Signatory ||
		before.Serial == after.Serial || !after.NotAfter.After(before.NotAfter) {
		t.Errorf("%+v\n%+v", before, after)
	}
	w.judgeAgreement(p, before)
	for kind, want := range map[string]int{
		"renewal.created": 1, "signing.requested": 1, "signing.activated": 1, "signing.signed": 1, "signing.resumed": 0,
		"agreement.accepted": 2, "identity.reported": 1, "certificate.issued": 2, "integrity.alarm": 0,
	} {
		if got := w.store.count(kind); got != want {
			t.Errorf("%d × %s, want %d", got, kind, want)
		}
	}
	// Identification by certificate cannot be chained.
	w.wait(w.store.data.credentials[p.view.Credential].NotAfter.Sub(w.now()) - 24*time.Hour)
	if _, err := w.renew(p.view.Credential); because(err) != enrol.RenewalOfRenewal {
		t.Errorf("a renewal was renewed: %v", err)
	}
}

// A renewal may lead to a key of another type: the current one signs by its own scheme.
func TestRenewalOfP384(t *testing.T) {
	t.Parallel()
	for _, keys := range [][2]credential.Algorithm{
		{credential.ECDSAP384, credential.ECDSAP384}, {credential.ECDSAP256, credential.ECDSAP384}, {credential.ECDSAP384, credential.ECDSAP256},
	} {
		w := newWorld(t)
		w.key = keys[0]
		former := w.reach(enrol.StateIssued)
		w.wait(w.store.data.credentials[former.view.Credential].NotAfter.Sub(w.now()) - 30*24*time.Hour)
		w.key = keys[1]
		v, err := w.renew(former.view.Credential)
		w.must(err)
		p := &person{world: w, id: v.ID, view: v}
		p.sendAgreement()
		p.got(p.accept(p.code()))
		if p.view.State != enrol.StateIssued {
			t.Fatalf("%v: %+v; alarms %v", keys, p.view, w.alarmed())
		}
		for i, id := range []credential.ID{former.view.Credential, p.view.Credential} {
			c, err := w.Credential(context.Background(), id, "")
			w.must(err)
			leaf, err := x509.ParseCertificate(c.Chain[0])
			w.must(err)
			bits := map[credential.Algorithm]int{credential.ECDSAP256: 256, credential.ECDSAP384: 384}[keys[i]]
			if c.Algorithm != keys[i] || leaf.PublicKey.(*ecdsa.PublicKey).Params().BitSize != bits {
				t.Errorf("%v: credential %d is of %s", keys, i, c.Algorithm)
			}
			if i == 0 {
				w.judgeAgreement(p, c)
			}
		}
	}
}

// judgeAgreement reads the sealed agreement of a renewal: signed by the former credential, then sealed by the service.
func (w *world) judgeAgreement(p *person, former tenure.CredentialView) {
	w.Helper()
	d, err := w.Agreement(context.Background(), portal, p.id)
	w.must(err)
	signatures, err := longterm.Verify(context.Background(), bytes.NewReader(d.PDF), int64(len(d.PDF)), pdf.Limits{})
	w.must(err)
	if len(signatures) != 2 || !d.Sealed {
		w.Fatalf("%d signatures, sealed %v", len(signatures), d.Sealed)
	}
	if s := signatures[0]; s.Err != nil || !bytes.Equal(s.Certificate.Raw, former.Chain[0]) {
		w.Errorf("the first signature is not the former credential's: %v", s.Err)
	}
	if s := signatures[1]; s.Err != nil || !bytes.Equal(s.Certificate.Raw, w.config.Seal.Chain[0]) || !s.CoversFile {
		w.Errorf("the second signature is not the service's: %v", s.Err)
	}
	accepted := sha256.Sum256(w.store.data.enrolments[p.id].Agreement)
	if !bytes.Equal(accepted[:], d.SHA256) || !bytes.HasPrefix(d.PDF, w.store.data.enrolments[p.id].Agreement) {
		w.Error("what was signed does not begin with what was accepted")
	}
}

func because(err error) string {
	var refused *enrol.RenewalError
	if errors.As(err, &refused) {
		return refused.Because
	}
	return fmt.Sprint(err)
}

// A refused renewal costs no voucher.
func TestRenewalRefused(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	former := w.reach(enrol.StateIssued)
	id := former.view.Credential
	restore := w.snapshot()
	began := w.now()
	ends := w.store.data.credentials[id].NotAfter
	near := func() { w.wait(ends.Sub(w.now()) - 24*time.Hour) }
	for name, c := range map[string]struct {
		change func()
		want   string
	}{
		"long before the end": {func() { w.wait(ends.Sub(w.now()) - 61*24*time.Hour) }, enrol.RenewalTooEarly},
		"in the window":       {func() { w.wait(ends.Sub(w.now()) - 60*24*time.Hour) }, "<nil>"},
		"ended":               {func() { w.wait(ends.Sub(w.now())) }, enrol.RenewalEnded},
		"suspended":           {func() { near(); w.suspend(id) }, enrol.RenewalStatus},
		"revoked":             {func() { near(); w.must(w.Revoke(ctx, operator, w.request(), id, tenure.ReasonSuperseded)) }, enrol.RenewalStatus},
		"proven long ago":     {func() { near(); w.config.Renewal.ProofAge = 100 * 24 * time.Hour; w.start() }, enrol.RenewalProofTooOld},
		"nowhere offered":     {func() { near(); w.config.Renewal = enrol.RenewalRules{}; w.start() }, enrol.RenewalNotOffered},
		"by whom it concerns": {near, "<nil>"},
		"of no credential":    {func() { near(); w.store.write(func(t *tables) { delete(t.credentials, id) }) }, "fake: not found"},
		"of another's person": {func() { near(); w.portalOf(former, "portal-2") }, "enrol: not found"},
		"with changed columns": {func() {
			near()
			w.store.write(func(t *tables) { r := t.credentials[id]; r.Phone = "+380670000000"; t.credentials[id] = r })
		}, "tampered"},
	} {
		rules := w.config.Renewal
		c.change()
		voucher := w.voucher()
		v, err := w.CreateRenewal(ctx, portal, w.request(), enrol.RenewalRequest{Credential: id, Voucher: voucher, Parameters: parameters()})
		if got := because(err); !strings.Contains(got, c.want) || (err == nil) != (v.ID != "") {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
		if _, used := w.Create(ctx, portal, w.request(), voucher, "uk", ""); (used == nil) != (err != nil) {
			t.Errorf("%s: afterwards the voucher says %v", name, used)
		}
		w.config.Renewal = rules
		restore()
		w.wait(began.Sub(w.now()))
	}
	near()
	p := parameters()
	p.IdentifierType = "PNO"
	if _, err := w.CreateRenewal(ctx, portal, w.request(), enrol.RenewalRequest{Credential: id, Voucher: w.voucher(), Parameters: p}); !errors.Is(err, enrol.ErrIdentifier) {
		t.Errorf("another type of identifier: %v", err)
	}
	p = parameters()
	p.Years = 3
	if _, err := w.CreateRenewal(ctx, portal, w.request(), enrol.RenewalRequest{Credential: id, Voucher: w.voucher(), Parameters: p}); !errors.Is(err, enrol.ErrYears) {
		t.Errorf("more years than were paid for: %v", err)
	}
	q := enrol.RenewalRequest{Credential: id, Voucher: w.voucher(), Parameters: parameters()}
	first, err := w.CreateRenewal(ctx, portal, "renew", q)
	w.must(err)
	if again, err := w.CreateRenewal(ctx, portal, "renew", q); err != nil || again.ID != first.ID {
		t.Errorf("the same request again: %v, %v", again.ID, err)
	}
	if _, err := w.CreateRenewal(ctx, portal, w.request(), q); !errors.Is(err, enrol.ErrVoucherUsed) {
		t.Errorf("the voucher again: %v", err)
	}
}

// portalOf makes another portal the one that enrolled a person, with good seals.
func (w *world) portalOf(p *person, name string) {
	w.Helper()
	row := w.store.data.enrolments[p.id]
	e, err := w.trust.OpenEnrolment(context.Background(), row.Sealed)
	w.must(err)
	e.Caller, row.Caller = name, name
	row.Sealed, err = w.trust.SealEnrolment(context.Background(), e)
	w.must(err)
	w.store.write(func(t *tables) { t.enrolments[p.id] = row })
}

// A crash at every call of the acceptance of a renewal, before and after its effect: it is completed without asking the
// person again; one signature is recorded, and each further attempt of the old key is an entry of the log.
func TestRenewalCrashAtEveryCall(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	former, p := w.renewing()
	old, err := w.Credential(ctx, former.view.Credential, "")
	w.must(err)
	p.sendAgreement()
	code := p.code()
	restore := w.snapshot()
	signs := w.device.signs
	for _, lost := range []bool{false, true} {
		for n := 1; ; n++ {
			restore()
			w.device.signs = signs
			hit := w.crash(n, lost)
			_, err := p.accept(code)
			w.repair()
			w.rebuild()
			if hit() == "" {
				w.must(err)
				if n < 20 {
					t.Fatalf("only %d calls", n-1)
				}
				break
			}
			name := fmt.Sprintf("crash at call %d (%s, lost %v)", n, hit(), lost)
			now, err := w.Get(ctx, portal, p.id)
			w.must(err)
			if now.State == enrol.StateProven { // nothing happened: the code was not spent
				_, err = p.accept(code)
			} else {
				_, err = w.Resume(ctx)
			}
			w.must(err)
			p.got(w.Get(ctx, portal, p.id))
			if p.view.State != enrol.StateIssued {
				t.Fatalf("%s: %s", name, p.view.State)
			}
			if c := w.store.data.certificates[p.view.Serial]; c.State != ca.Issued || c.RequestID != p.id || len(w.store.data.certificates) != 2 {
				t.Errorf("%s: certificate %s for %s", name, c.State, c.RequestID)
			}
			if most := 1 + w.store.count("signing.resumed"); w.device.signs-signs > most {
				t.Errorf("%s: the old key signed %d times in %d attempts", name, w.device.signs-signs, most)
			}
			for kind, want := range map[string]int{
				"signing.signed": 1, "signing.activated": 1, "signing.withheld": 0, "key.generated": 2, "certificate.issued": 2,
				"agreement.accepted": 2, "agreement.sealed": 2, "code.accepted": 3,
			} {
				if got := w.store.count(kind); got != want {
					t.Errorf("%s: %d × %s, want %d", name, got, kind, want)
				}
			}
			w.judgeAgreement(p, old)
		}
	}
}

// The old key cannot sign for longer than the activation lasts: the acceptance lapses, and only then the person is asked
// again.
func TestRenewalLapses(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	_, p := w.renewing()
	p.sendAgreement()
	w.device.fault = func(op string) (before, after error) {
		if op == "sign" {
			return errCrash, nil
		}
		return nil, nil
	}
	code := p.code()
	v, err := p.accept(code)
	if err != nil || v.State != enrol.StateIssuing || len(w.alarmed()) != 1 {
		t.Fatalf("%v, %v", v.State, err)
	}
	w.repair()
	w.wait(3 * time.Minute)
	if _, err := w.Resume(ctx); err != nil {
		t.Fatal(err)
	}
	p.got(w.Get(ctx, portal, p.id))
	if p.view.State != enrol.StateProven || p.view.NextAction != enrol.ActionAcceptAgreement || w.device.signs != 0 || w.store.count("signing.closed") != 1 {
		t.Fatalf("%s, %d signatures", p.view.State, w.device.signs)
	}
	if _, err := p.accept(code); !errors.Is(err, enrol.ErrState) {
		t.Errorf("the spent code: %v", err)
	}
	p.sendAgreement()
	p.got(p.accept(p.code()))
	if p.view.State != enrol.StateIssued || w.device.signs != 1 {
		t.Errorf("%s, %d signatures", p.view.State, w.device.signs)
	}
}

// The credential is revoked between the acceptance and its signature, or between the signature and the new key: the
// renewal ends, and no key is made.
func TestRenewalOfRevoked(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, failing := range []string{"sign", "seal", "generate"} {
		w := newWorld(t)
		former, p := w.renewing()
		p.sendAgreement()
		w.device.fault = func(op string) (before, after error) {
			if op == failing {
				return errCrash, nil
			}
			return nil, nil
		}
		if v, err := p.accept(p.code()); err != nil || v.State != enrol.StateIssuing {
			t.Fatalf("%s: %v, %v", failing, v.State, err)
		}
		w.repair()
		w.must(w.Revoke(ctx, operator, w.request(), former.view.Credential, tenure.ReasonKeyCompromise))
		if _, err := w.Resume(ctx); err != nil {
			t.Errorf("%s: %v", failing, err)
		}
		p.got(w.Get(ctx, portal, p.id))
		if p.view.State != enrol.StateCancelled || w.device.keys != 1 || w.store.count("enrolment.closed") != 1 {
			t.Errorf("%s: %s, %d keys", failing, p.view.State, w.device.keys)
		}
	}
}

// The credential changes while its key signs: the signature is thrown away, and the log says so.
func TestRenewalWithheld(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	former, p := w.renewing()
	p.sendAgreement()
	w.device.fault = func(op string) (before, after error) {
		if op == "sign" {
			w.must(w.Revoke(ctx, operator, w.request(), former.view.Credential, tenure.ReasonKeyCompromise))
		}
		return nil, nil
	}
	v, err := p.accept(p.code())
	w.must(err)
	if v.State != enrol.StateCancelled || w.store.count("signing.withheld") != 1 || w.store.count("signing.signed") != 0 || w.device.keys != 1 {
		t.Errorf("%s, %d withheld", v.State, w.store.count("signing.withheld"))
	}
}

// A database writer cannot have the old key sign something else, nor make a renewal out of what was sealed for another.
func TestTrustRenewalIsBound(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	former, p := w.renewing()
	v, err := w.renew(former.view.Credential)
	w.must(err)
	other := &person{world: w, id: v.ID, view: v}
	other.sendAgreement()
	otherCode := other.code()
	p.sendAgreement()
	code := p.code()
	restore := w.snapshot()
	for name, change := range map[string]func(t *tables, n enrol.Renewal){
		"another operation": func(t *tables, n enrol.Renewal) {
			n.Operation = t.renewals[other.id].Operation
			t.renewals[p.id] = n
		},
		"the other renewal": func(t *tables, _ enrol.Renewal) {
			n := t.renewals[other.id]
			n.Enrolment = p.id
			t.renewals[p.id] = n
		},
		"another signature prepared": func(t *tables, n enrol.Renewal) {
			n.Prepared = t.renewals[other.id].Prepared
			t.renewals[p.id] = n
		},
		"the other's challenge": func(t *tables, _ enrol.Renewal) {
			e := t.enrolments[p.id]
			e.Challenge = t.enrolments[other.id].Challenge
			t.enrolments[p.id] = e
		},
	} {
		w.store.write(func(t *tables) { change(t, t.renewals[p.id]) })
		for _, c := range []string{code, otherCode} {
			if _, err := p.accept(c); !errors.Is(err, enrol.ErrIntegrity) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if w.device.signs != 0 || len(w.alarmed()) == 0 {
			t.Errorf("%s: %d signatures, alarms %v", name, w.device.signs, w.alarmed())
		}
		restore()
	}
	// An activation that was never given, or of another renewal, signs nothing.
	w.device.fault = func(op string) (before, after error) {
		if op == "sign" {
			return errCrash, nil
		}
		return nil, nil
	}
	for who, c := range map[*person]string{p: code, other: otherCode} {
		if v, err := who.accept(c); err != nil || v.State != enrol.StateIssuing {
			t.Fatalf("%v, %v", v.State, err)
		}
	}
	w.repair()
	w.store.write(func(t *tables) {
		n := t.renewals[p.id]
		n.Activation = t.renewals[other.id].Activation
		t.renewals[p.id] = n
	})
	if _, err := w.Resume(ctx); !errors.Is(err, enrol.ErrIntegrity) {
		t.Errorf("with the other's activation: %v", err)
	}
	if w.device.signs != 1 {
		t.Errorf("%d signatures, one of the other renewal is right", w.device.signs)
	}
}

// Wrong codes of renewals lock the credential, however many renewals are begun; the code of a revocation renews nothing.
func TestTrustRenewalCodes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	former, p := w.renewing()
	tried := 0
	for _, q := range []*person{p, nil} {
		if q == nil {
			v, err := w.renew(former.view.Credential)
			w.must(err)
			q = &person{world: w, id: v.ID, view: v}
		}
		q.sendAgreement()
		right := q.code()
		for range 3 {
			_, err := q.accept(wrong(right))
			var refused *enrol.CodeError
			if !errors.As(err, &refused) {
				t.Fatal(err)
			}
			if tried++; refused.Result == otp.Locked && tried <= 5 || refused.Result != otp.Locked && tried > 5 {
				t.Errorf("try %d: %s", tried, refused.Result)
			}
		}
	}
	if _, err := w.SendRevocationCode(context.Background(), portal, w.request(), former.view.Credential, true); !errors.Is(err, enrol.ErrLocked) {
		t.Errorf("the credential is not locked: %v", err)
	}
	w.must(w.Unlock(context.Background(), operator, w.request(), string(former.view.Credential), portal))
	revoking := former.sendRevocation()
	p.sendAgreement()
	if _, err := p.accept(revoking); !errors.Is(err, enrol.ErrCode) || w.device.signs != 0 {
		t.Errorf("the code of a revocation: %v", err)
	}
	accepting := p.code()
	if _, err := former.revoke(accepting); !errors.Is(err, enrol.ErrCode) {
		t.Errorf("the code of a renewal revokes: %v", err)
	}
}

// A person is told once that the certificate ends, and not when it is over or revoked.
func TestReminder(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	p, revoked := w.reach(enrol.StateIssued), w.reach(enrol.StateIssued)
	w.must(w.Revoke(ctx, operator, w.request(), revoked.view.Credential, tenure.ReasonSuperseded))
	ends := w.store.data.credentials[p.view.Credential].NotAfter
	notices := w.store.count("notice.sent")
	remind := func(want int) {
		t.Helper()
		if n, err := w.Remind(ctx); err != nil || n != want {
			t.Errorf("%d told, %v; want %d", n, err, want)
		}
	}
	w.wait(ends.Sub(w.now()) - 30*24*time.Hour - time.Second)
	remind(0)
	w.wait(time.Second)
	remind(1)
	text, err := w.text()
	if err != nil || text.To != data().Phone || !strings.Contains(text.Body, p.view.Serial[28:]) || !strings.Contains(text.Body, ends.Format(time.DateOnly)) {
		t.Errorf("%+v, %v", text, err)
	}
	w.start()
	remind(0)
	if got := w.store.count("notice.sent") - notices; got != 1 {
		t.Errorf("%d notices", got)
	}
	w.wait(30 * 24 * time.Hour)
	if _, err := w.text(); !errors.Is(err, sms.ErrObsolete) {
		t.Errorf("after the end: %v", err)
	}
}
