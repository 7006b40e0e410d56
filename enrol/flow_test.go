package enrol_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/enrol"
	"github.com/ecsigner/ecsigner/otp"
	"github.com/ecsigner/ecsigner/signer/pades/longterm"
	"github.com/ecsigner/ecsigner/signer/pdf"
)

// The agreement is in the person's language, with the disclosure statement in it where there is one.
func TestAgreementInThePersonsLanguage(t *testing.T) {
	t.Parallel()
	for language, wants := range map[string][]string{
		"uk": {"ДОГОВІР", "https://pki.example.com/pds_en.pdf"},
		"pl": {"UMOWA", "https://pki.example.com/pds_pl.pdf"},
		"en": {"AGREEMENT", "https://pki.example.com/pds_en.pdf"},
	} {
		w := newWorld(t)
		w.language = language
		p := w.reach(enrol.StateProven)
		a, err := w.Agreement(context.Background(), portal, p.id)
		w.must(err)
		path := filepath.Join(t.TempDir(), "agreement.pdf")
		w.must(os.WriteFile(path, a.PDF, 0o600))
		text, err := exec.Command("pdftotext", "-layout", path, "-").Output()
		w.must(err)
		for _, want := range append(wants, "TINUA-"+data().Identifier) {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s: the agreement does not hold %q:\n%s", language, want, text)
			}
		}
	}
}

func TestFromVoucherToCredential(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	p := w.reach(enrol.StateIssued)
	v := p.view
	if v.NextAction != enrol.ActionNone || v.Credential == "" || len(v.Serial) != 36 || v.MaskedPhone != "+380•••••••67" {
		t.Errorf("view %+v", v)
	}

	c, err := w.Credential(ctx, v.Credential, "")
	w.must(err)
	if c.Status != credential.Active || c.SCAL != credential.SCAL1 || c.Serial != v.Serial || len(c.Chain) != 3 {
		t.Errorf("credential %+v", c)
	}
	leaf, err := x509.ParseCertificate(c.Chain[0])
	w.must(err)
	if want := "SERIALNUMBER=TINUA-2935412318"; leaf.Subject.CommonName != "Taras Shevchenko" || !strings.Contains(leaf.Subject.String(), want) {
		t.Errorf("subject %s", leaf.Subject)
	}
	roots, middle := x509.NewCertPool(), x509.NewCertPool()
	for i, der := range c.Chain[1:] {
		above, err := x509.ParseCertificate(der)
		w.must(err)
		[]*x509.CertPool{middle, roots}[i].AddCert(above)
	}
	leaf.UnhandledCriticalExtensions = nil
	if _, err := leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: middle, CurrentTime: w.now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	}); err != nil {
		t.Error(err)
	}

	a, err := w.Agreement(ctx, portal, p.id)
	w.must(err)
	signatures, err := longterm.Verify(ctx, bytes.NewReader(a.PDF), int64(len(a.PDF)), pdf.Limits{})
	if err != nil || !a.Sealed || len(signatures) != 1 || signatures[0].Err != nil || signatures[0].Level != "B-B" {
		t.Errorf("sealed %v, %d signatures, %v", a.Sealed, len(signatures), err)
	}
	if sum := sha256.Sum256(a.PDF); bytes.Equal(sum[:], a.SHA256) || !bytes.Equal(a.SHA256, v.AgreementSHA256) {
		t.Error("the digest must be that of the document before the seal")
	}

	text, err := w.text()
	w.must(err)
	if text.To != data().Phone || !strings.HasPrefix(text.Body, "Ваш електронний підпис готовий.") {
		t.Errorf("notice %+v", text)
	}
	if w.device.keys != 1 {
		t.Errorf("%d keys", w.device.keys)
	}
	if got := w.alarmed(); len(got) > 0 {
		t.Errorf("alarms %v", got)
	}
	want := []string{
		"voucher.created", "enrolment.created", "enrolment.changed", "enrolment.changed", "enrolment.changed",
		"code.requested", "code.accepted", "phone.confirmed", "enrolment.changed", "identity.started", "enrolment.changed",
		"identity.reported", "agreement.prepared", "enrolment.changed", "agreement.shown", "code.requested", "code.accepted",
		"agreement.accepted", "consents.given", "enrolment.changed", "agreement.sealed", "key.generated", "certificate.intended",
		"enrolment.changed", "certificate.issued", "binding.changed", "enrolment.changed", "notice.sent",
	}
	var got []string
	for _, e := range w.store.events {
		got = append(got, audit.Kind(e))
	}
	if !slices.Equal(got, want) {
		t.Errorf("log\n got %v\nwant %v", got, want)
	}
}

// The log never holds what a person could be known by.
func TestLogHoldsNoPersonalData(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.reach(enrol.StateIssued)
	d := data()
	for _, e := range w.store.events {
		entry, err := audit.Encode(w.now(), e)
		w.must(err)
		for _, secret := range []string{d.GivenName, d.Surname, d.LocalName, d.Identifier, d.BirthDate, d.Phone, d.Phone[1:]} {
			if bytes.Contains(entry, []byte(secret)) {
				t.Errorf("%s holds %s", entry, secret)
			}
		}
	}
}

func TestStateErrorNamesWhatComesNext(t *testing.T) {
	t.Parallel()
	p := newWorld(t).reach(enrol.StateData)
	_, err := p.StartIdentityProofing(context.Background(), portal, p.id, p.request(), provider)
	var s *enrol.StateError
	if !errors.As(err, &s) || s.Next != enrol.ActionConfirmPhone || !strings.Contains(err.Error(), "confirm_phone") {
		t.Errorf("%v", err)
	}
}

func TestForeignAndUnknownAnswerAlike(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	p := w.reach(enrol.StateData)
	foreign := func(id string) []error {
		_, get := w.Get(ctx, "portal-2", id)
		_, set := w.SetPersonalData(ctx, "portal-2", id, w.request(), data())
		_, _, send := w.SendPhoneCode(ctx, "portal-2", id, w.request())
		_, confirm := w.ConfirmPhone(ctx, "portal-2", id, w.request(), "123456")
		_, agreement := w.Agreement(ctx, "portal-2", id)
		_, accept := w.AcceptAgreement(ctx, "portal-2", id, w.request(), enrol.Acceptance{SHA256: []byte("x"), Code: "123456"})
		_, cancel := w.Cancel(ctx, "portal-2", id, w.request())
		r := p.result()
		r.Enrolment = id
		_, report := w.ReportIdentityResult(ctx, "idp-2", w.request(), r)
		return []error{get, set, send, confirm, agreement, accept, cancel, report}
	}
	theirs, none := foreign(p.id), foreign("enr-none")
	for i := range theirs {
		if !errors.Is(theirs[i], enrol.ErrNotFound) || theirs[i].Error() != none[i].Error() && !errors.Is(none[i], enrol.ErrNotFound) {
			t.Errorf("%d: %v, %v", i, theirs[i], none[i])
		}
	}
	list, err := w.List(ctx, "portal-2", "", 0)
	if err != nil || len(list) != 0 {
		t.Errorf("list %v %v", list, err)
	}
	if list, err = w.List(ctx, portal, "", 0); err != nil || len(list) != 1 || list[0].ID != p.id {
		t.Errorf("own list %v %v", list, err)
	}
}

func TestSameRequestHasNoSecondEffect(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	codes, err := w.CreateVouchers(ctx, operator, w.request(), enrol.VoucherRequest{
		Product: "qes", Years: 1, Count: 2, Expires: w.now().AddDate(1, 0, 0),
	})
	w.must(err)
	first, err := w.Create(ctx, portal, "create", codes[0], "uk", "")
	w.must(err)
	second, err := w.Create(ctx, portal, "create", codes[0], "uk", "")
	if err != nil || second.ID != first.ID {
		t.Errorf("%v, %v", second, err)
	}
	if _, err := w.Create(ctx, portal, "create", codes[1], "uk", ""); !errors.Is(err, enrol.ErrRequestReused) {
		t.Errorf("other voucher: %v", err)
	}
	if other, err := w.Create(ctx, "portal-2", "create", codes[1], "uk", ""); err != nil || other.ID == first.ID {
		t.Errorf("another caller's request ids are its own: %v", err)
	}

	p := &person{world: w, id: first.ID}
	_, err = w.SetParameters(ctx, portal, p.id, "parameters", parameters())
	w.must(err)
	p.got(w.SetPersonalData(ctx, portal, p.id, "data", data()))
	events := len(w.store.events)
	v, err := w.SetParameters(ctx, portal, p.id, "parameters", parameters())
	if err != nil || v.State != enrol.StateData || len(w.store.events) != events {
		t.Errorf("repeated: %+v, %v", v, err)
	}
	other := parameters()
	other.Years = 2
	if _, err := w.SetParameters(ctx, portal, p.id, "parameters", other); !errors.Is(err, enrol.ErrRequestReused) {
		t.Errorf("other body: %v", err)
	}
	_, sent, err := w.SendPhoneCode(ctx, portal, p.id, "send")
	w.must(err)
	messages := len(w.store.data.outbox)
	_, repeated, err := w.SendPhoneCode(ctx, portal, p.id, "send")
	if err != nil || repeated != sent || len(w.store.data.outbox) != messages {
		t.Errorf("repeated: %+v, want %+v, %v", repeated, sent, err)
	}
}

// A refusal is never the answer to a request id: each code sent is a try.
func TestRefusedCodeIsNoAnswer(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	p := newWorld(t).reach(enrol.StateData)
	p.sendPhone()
	code := p.code()
	for left := 2; left > 0; left-- {
		_, err := p.ConfirmPhone(ctx, portal, p.id, "confirm", wrong(code))
		var refused *enrol.CodeError
		if !errors.As(err, &refused) || refused.Result != otp.Rejected || refused.TriesLeft != left {
			t.Fatalf("%v, want %d tries left", err, left)
		}
	}
	if _, err := p.ConfirmPhone(ctx, portal, p.id, "confirm", code); err != nil {
		t.Fatal(err)
	}
	v, err := p.ConfirmPhone(ctx, portal, p.id, "confirm", wrong(code))
	if err != nil || v.State != enrol.StatePhone {
		t.Errorf("the answered request again, whatever its code: %v, %v", v.State, err)
	}
	if _, err := p.ConfirmPhone(ctx, portal, p.id, p.request(), code); !errors.Is(err, enrol.ErrState) {
		t.Errorf("spent code: %v", err)
	}
}

func TestCodes(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	confirm := func(p *person, code string) otp.Result {
		_, err := p.ConfirmPhone(ctx, portal, p.id, p.request(), code)
		var refused *enrol.CodeError
		switch {
		case err == nil:
			return otp.Accepted
		case errors.As(err, &refused):
			return refused.Result
		}
		return otp.Result(err.Error())
	}
	w := newWorld(t)
	t.Run("expired, right or wrong", func(t *testing.T) {
		p := w.reach(enrol.StateData)
		p.sendPhone()
		code := p.code()
		p.wait(otp.DefaultLimits().Life)
		for _, c := range []string{wrong(code), code} {
			if got := confirm(p, c); got != otp.Expired {
				t.Error(got)
			}
		}
	})
	t.Run("exhausted, right or wrong", func(t *testing.T) {
		p := w.reach(enrol.StateData)
		p.sendPhone()
		code := p.code()
		for _, want := range []otp.Result{otp.Rejected, otp.Rejected, otp.Rejected, otp.Exhausted} {
			if got := confirm(p, wrong(code)); got != want {
				t.Errorf("%s, want %s", got, want)
			}
		}
		if got := confirm(p, code); got != otp.Exhausted {
			t.Error(got)
		}
	})
	t.Run("sent again while it lives", func(t *testing.T) {
		p := w.reach(enrol.StateData)
		first := p.sendPhone()
		code := p.code()
		confirm(p, wrong(code))
		p.wait(otp.DefaultLimits().Life - time.Second)
		if sent := p.sendPhone(); sent.Number != 1 || sent.Sent != 2 || !sent.Expires.Equal(first.Expires) || p.code() != code {
			t.Errorf("%+v after %+v, code %s after %s", sent, first, p.code(), code)
		}
		p.sendPhone()
		if _, _, err := p.SendPhoneCode(ctx, portal, p.id, p.request()); !errors.Is(err, enrol.ErrResent) {
			t.Error(err)
		}
		if got := w.store.count("code.resent"); got != 2 {
			t.Errorf("%d texts that were sent again stand in the log", got)
		}
		if got := confirm(p, code); got != otp.Accepted {
			t.Error(got)
		}
	})
	t.Run("a newer code voids the older", func(t *testing.T) {
		p := w.reach(enrol.StateData)
		p.sendPhone()
		old := p.code()
		if sent := p.newPhone(); sent.Number != 2 {
			t.Errorf("number %d", sent.Number)
		}
		code := p.code()
		if got := confirm(p, old); old != code && got != otp.Rejected {
			t.Error(got)
		}
		if got := confirm(p, code); got != otp.Accepted {
			t.Error(got)
		}
	})
	t.Run("a new one after the end of the old", func(t *testing.T) {
		p := w.reach(enrol.StateData)
		p.sendPhone()
		p.wait(otp.DefaultLimits().Life)
		if sent := p.sendPhone(); sent.Number != 2 || sent.Sent != 1 {
			t.Errorf("after its life: %+v", sent)
		}
		for range 3 {
			confirm(p, wrong(p.code()))
		}
		if sent := p.sendPhone(); sent.Number != 3 || sent.Sent != 1 {
			t.Errorf("after its tries: %+v", sent)
		}
		if got := confirm(p, p.code()); got != otp.Accepted {
			t.Error(got)
		}
	})
	t.Run("three codes, until an operator unlocks", func(t *testing.T) {
		p := w.reach(enrol.StateData)
		for range 3 {
			p.newPhone()
		}
		if _, _, err := p.NewPhoneCode(ctx, portal, p.id, p.request()); !errors.Is(err, enrol.ErrTooManyCodes) {
			t.Error(err)
		}
		w.must(w.Unlock(ctx, operator, w.request(), p.id, ""))
		if sent := p.sendPhone(); sent.Number != 1 {
			t.Errorf("number %d", sent.Number)
		}
		if got := confirm(p, p.code()); got != otp.Accepted {
			t.Error(got)
		}
	})
	t.Run("five failures lock the caller", func(t *testing.T) {
		p := w.reach(enrol.StateData)
		p.sendPhone()
		for range 3 {
			confirm(p, wrong(p.code()))
		}
		p.sendPhone()
		code := p.code()
		for range 2 {
			confirm(p, wrong(code))
		}
		for _, c := range []string{wrong(code), code} {
			if got := confirm(p, c); got != otp.Locked {
				t.Error(got)
			}
		}
		if _, _, err := p.SendPhoneCode(ctx, portal, p.id, p.request()); !errors.Is(err, enrol.ErrLocked) {
			t.Error(err)
		}
		if w.store.count("code.locked") != 1 {
			t.Error("the lock is not in the log")
		}
		w.must(w.Unlock(ctx, operator, w.request(), p.id, portal))
		p.sendPhone()
		if got := confirm(p, p.code()); got != otp.Accepted {
			t.Error(got)
		}
	})
	t.Run("none was sent", func(t *testing.T) {
		p := w.reach(enrol.StateData)
		if _, err := p.ConfirmPhone(ctx, portal, p.id, p.request(), "123456"); !errors.Is(err, enrol.ErrState) {
			t.Error(err)
		}
	})
	t.Run("no code at all", func(t *testing.T) {
		p := w.reach(enrol.StateData)
		p.sendPhone()
		for _, c := range []string{"", "12345", "1234567890", "12345a", "１２３４５６"} {
			if _, err := p.ConfirmPhone(ctx, portal, p.id, p.request(), c); !errors.Is(err, enrol.ErrField) {
				t.Errorf("%q: %v", c, err)
			}
		}
		if got := confirm(p, p.code()); got != otp.Accepted {
			t.Error(got)
		}
	})
	t.Run("of the other step", func(t *testing.T) {
		p := w.reach(enrol.StateData)
		p.sendPhone()
		phone := p.code()
		q := w.reach(enrol.StateProven)
		q.sendAgreement()
		if agreement := q.code(); agreement != phone {
			if _, err := q.accept(phone); !errors.Is(err, enrol.ErrCode) {
				t.Error(err)
			}
		}
	})
}

// 300 parallel tries of one code: exactly the allowed number counts, and at most one is accepted.
func TestParallelTries(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, right := range []bool{false, true} {
		p := newWorld(t).reach(enrol.StateData)
		p.sendPhone()
		code := p.code()
		results := make([]error, 300)
		var wg sync.WaitGroup
		for i := range results {
			wg.Go(func() {
				c := wrong(code)
				if right {
					c = code
				}
				_, results[i] = p.ConfirmPhone(ctx, portal, p.id, fmt.Sprint("parallel-", i), c)
			})
		}
		wg.Wait()
		tally := map[string]int{}
		for _, err := range results {
			var refused *enrol.CodeError
			switch {
			case err == nil:
				tally["accepted"]++
			case errors.As(err, &refused):
				tally[string(refused.Result)]++
			case errors.Is(err, enrol.ErrState):
				tally["state"]++
			default:
				t.Error(err)
			}
		}
		want := map[string]int{"rejected": 3, "exhausted": 297}
		if right {
			want = map[string]int{"accepted": 1, "state": 299}
		}
		if fmt.Sprint(tally) != fmt.Sprint(want) {
			t.Errorf("%v, want %v", tally, want)
		}
	}
}

func TestCorrectedDataStartAgain(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	p := newWorld(t).reach(enrol.StateProofing)
	reference := p.view.ProofingReference
	corrected := data()
	corrected.GivenName = "Taras Hryhorovych"
	p.got(p.SetPersonalData(ctx, portal, p.id, p.request(), corrected))
	if p.view.State != enrol.StateData || p.view.ProofingReference != "" {
		t.Errorf("%+v", p.view)
	}
	r := p.result()
	r.Reference = reference
	if _, err := p.ReportIdentityResult(ctx, provider, p.request(), r); !errors.Is(err, enrol.ErrNotFound) {
		t.Errorf("result of the former proofing: %v", err)
	}
	if _, err := p.StartIdentityProofing(ctx, portal, p.id, p.request(), provider); !errors.Is(err, enrol.ErrState) {
		t.Errorf("phone must be confirmed again: %v", err)
	}
	p.sendPhone()
	code := p.code()
	p.got(p.SetPersonalData(ctx, portal, p.id, p.request(), corrected))
	if _, err := p.text(); err == nil {
		t.Error("a code for data that were replaced is still sent")
	}
	if _, err := p.ConfirmPhone(ctx, portal, p.id, p.request(), code); !errors.Is(err, enrol.ErrCode) {
		t.Errorf("code for data that were replaced: %v", err)
	}
	if sent := p.sendPhone(); sent.Number != 2 {
		t.Errorf("corrections must not buy more codes: number %d", sent.Number)
	}
}

func TestIdentityResult(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	p := w.reach(enrol.StateProofing)
	for name, r := range map[string]func(*enrol.IdentityResult){
		"other reference": func(r *enrol.IdentityResult) { r.Reference = "idp-other" },
		"no reference":    func(r *enrol.IdentityResult) { r.Reference = "" },
	} {
		i := p.result()
		r(&i)
		if _, err := w.ReportIdentityResult(ctx, provider, w.request(), i); !errors.Is(err, enrol.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := w.ReportIdentityResult(ctx, "idp-2", w.request(), p.result()); !errors.Is(err, enrol.ErrNotFound) {
		t.Errorf("another provider: %v", err)
	}
	for name, r := range map[string]func(*enrol.IdentityResult){
		"unknown":    func(r *enrol.IdentityResult) { r.Outcome = "pending" },
		"no outcome": func(r *enrol.IdentityResult) { r.Outcome = "" },
		"too old":    func(r *enrol.IdentityResult) { r.CompletedAt = w.now().Add(-time.Hour) },
		"future":     func(r *enrol.IdentityResult) { r.CompletedAt = w.now().Add(time.Hour) },
		"no time":    func(r *enrol.IdentityResult) { r.CompletedAt = time.Time{} },
	} {
		i := p.result()
		r(&i)
		if _, err := w.ReportIdentityResult(ctx, provider, w.request(), i); !errors.Is(err, enrol.ErrField) {
			t.Errorf("%s: %v", name, err)
		}
	}

	decomposed := p.result()
	decomposed.Person.LocalName = "Тарас Шевченко"
	p.got(w.ReportIdentityResult(ctx, provider, "positive", decomposed))
	if p.view.State != enrol.StateProven || len(p.view.AgreementSHA256) != 32 || p.view.Outcome != enrol.Positive {
		t.Errorf("%+v", p.view)
	}
	events := len(w.store.events)
	if v, err := w.ReportIdentityResult(ctx, provider, "positive", decomposed); err != nil || v.Version != p.view.Version || len(w.store.events) != events {
		t.Errorf("the same report again: %v", err)
	}
	for _, o := range []enrol.Outcome{enrol.Positive, enrol.Deferred} {
		r := p.result()
		r.Outcome = o
		if _, err := w.ReportIdentityResult(ctx, provider, w.request(), r); !errors.Is(err, enrol.ErrState) {
			t.Errorf("%s after positive: %v", o, err)
		}
	}
}

// The provider decides later: that is told, and whatever it decides ends the waiting.
func TestDeferredResult(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	report := func(p *person, o enrol.Outcome) {
		r := p.result()
		r.Outcome = o
		p.got(w.ReportIdentityResult(ctx, provider, w.request(), r))
	}
	p := w.reach(enrol.StateProofing)
	report(p, enrol.Deferred)
	if p.view.State != enrol.StateDeferred || p.view.NextAction != enrol.ActionAwaitDeferred || p.view.Outcome != enrol.Deferred {
		t.Errorf("%+v", p.view)
	}
	w.wait(3 * time.Hour)
	w.start() // another process
	early := p.result()
	early.CompletedAt = w.now().Add(-time.Hour) // decided after the start, reported later
	p.got(w.ReportIdentityResult(ctx, provider, w.request(), early))
	if p.view.State != enrol.StateProven {
		t.Errorf("%+v", p.view)
	}
	p.sendAgreement()
	if v, err := p.accept(p.code()); err != nil || v.State != enrol.StateIssued {
		t.Errorf("%v, %v", v.State, err)
	}

	q := w.reach(enrol.StateProofing)
	report(q, enrol.Deferred)
	report(q, enrol.Negative)
	if q.view.State != enrol.StateRejected {
		t.Errorf("%+v", q.view)
	}
}

func TestAcceptOnlyThisAgreement(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	p := newWorld(t).reach(enrol.StateProven)
	p.sendAgreement()
	code := p.code()
	other := sha256.Sum256([]byte("another document"))
	a := p.acceptance(code)
	a.SHA256 = other[:]
	_, err := p.AcceptAgreement(ctx, portal, p.id, p.request(), a)
	if !errors.Is(err, enrol.ErrAgreementDiffers) {
		t.Error(err)
	}
	if v, err := p.accept(code); err != nil || v.State != enrol.StateIssued {
		t.Errorf("the code was spent on the refusal: %v, %v", v.State, err)
	}
}

func TestExpiredEnrolment(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	p := newWorld(t).reach(enrol.StateProven)
	p.wait(31 * 24 * time.Hour)
	if _, _, err := p.SendAgreementCode(ctx, portal, p.id, p.request()); !errors.Is(err, enrol.ErrExpired) {
		t.Error(err)
	}
	if v, err := p.Cancel(ctx, portal, p.id, p.request()); err != nil || v.State != enrol.StateCancelled {
		t.Errorf("%v, %v", v.State, err)
	}
}

// A voucher pays once, whoever comes at the same time.
func TestParallelRedemption(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	code := w.voucher()
	errs := make([]error, 100)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { _, errs[i] = w.Create(context.Background(), portal, fmt.Sprint("redeem-", i), code, "uk", "") })
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else if !errors.Is(err, enrol.ErrVoucherUsed) {
			t.Error(err)
		}
	}
	if won != 1 || len(w.store.data.enrolments) != 1 {
		t.Errorf("%d redeemed, %d enrolments", won, len(w.store.data.enrolments))
	}
}

// Two persons may have the same data only if they are the same: a second certificate for one person is no conflict.
func TestSamePersonAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first, second := w.reach(enrol.StateIssued), w.reach(enrol.StateIssued)
	if first.view.Serial == second.view.Serial || first.view.Credential == second.view.Credential {
		t.Error("one certificate for two enrolments")
	}
}
