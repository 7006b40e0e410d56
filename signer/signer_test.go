package signer_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/otp"
	"github.com/ecsigner/ecsigner/otp/sms"
	"github.com/ecsigner/ecsigner/signer"
	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/pdf/pdftest"
)

var ctx = context.Background()

func TestSignaturesAreReleasedAndKept(t *testing.T) {
	w := newWorld(t)
	v := w.create(3)
	if v.State != signer.StateRequested || v.Items[0].Signature != nil {
		t.Fatalf("before the code: %+v", v)
	}
	got, err := w.s.Authorize(ctx, docs, v.ID, w.code(v.ID))
	w.must(err)
	if got.State != signer.StateSigned || len(got.Items) != 3 || w.device.count() != 3 {
		t.Fatalf("state %s, %d items, %d C_Sign", got.State, len(got.Items), w.device.count())
	}
	again, err := w.s.Authorize(ctx, docs, v.ID, "")
	w.must(err)
	for i := range got.Items {
		if !bytes.Equal(got.Items[i].Signature, again.Items[i].Signature) {
			t.Error("asked again, another signature came")
		}
	}
	if w.device.count() != 3 || !bytes.Equal(got.Receipt, again.Receipt) {
		t.Error("asking again used the key, or changed the receipt")
	}
}

func TestRequestIDs(t *testing.T) {
	w := newWorld(t)
	h := sha256.Sum256([]byte("x"))
	r := signer.CreateRequest{Credential: cred, Title: "T", Language: "en", Items: []signer.ItemRequest{{Hash: h[:], Format: signer.Raw}}}
	a, err := w.s.Create(ctx, docs, "id", r)
	w.must(err)
	b, err := w.s.Create(ctx, docs, "id", r)
	w.must(err)
	if a.ID != b.ID || len(w.store.state.messages) != 1 {
		t.Errorf("the same request made %s and %s, %d messages", a.ID, b.ID, len(w.store.state.messages))
	}
	r.Title = "another"
	if _, err := w.s.Create(ctx, docs, "id", r); !errors.Is(err, signer.ErrRequestReused) {
		t.Errorf("another body: %v", err)
	}
}

func TestBadInput(t *testing.T) {
	w := newWorld(t)
	h := sha256.Sum256([]byte("x"))
	good := signer.CreateRequest{Credential: cred, Title: "T", Language: "uk", Items: []signer.ItemRequest{{Hash: h[:], Format: signer.Raw}}}
	for _, tt := range []struct {
		name, field string
		change      func(r *signer.CreateRequest)
		want        error
	}{
		{"no title", "title", func(r *signer.CreateRequest) { r.Title = "" }, signer.ErrInput},
		{"title that turns text round", "title", func(r *signer.CreateRequest) { r.Title = "a\u202eb" }, signer.ErrInput},
		{"title too long", "title", func(r *signer.CreateRequest) { r.Title = strings.Repeat("я", 201) }, signer.ErrInput},
		{"unknown language", "language", func(r *signer.CreateRequest) { r.Language = "xx" }, signer.ErrInput},
		{"no items", "items", func(r *signer.CreateRequest) { r.Items = nil }, signer.ErrInput},
		{"short hash", "items[0].hash", func(r *signer.CreateRequest) { r.Items[0].Hash = h[:31] }, signer.ErrInput},
		{"SHA-512 hash", "items[0].hash", func(r *signer.CreateRequest) { r.Items[0].Hash = make([]byte, 64) }, signer.ErrInput},
		{"hash as PDF", "items[0].document", func(r *signer.CreateRequest) { r.Items[0].Format = signer.PAdESBB }, signer.ErrInput},
		{"unknown format", "items[0].format", func(r *signer.CreateRequest) { r.Items[0].Format = "xades" }, signer.ErrInput},
		{"unknown document", "items[0].document", func(r *signer.CreateRequest) {
			r.Items[0] = signer.ItemRequest{Document: "doc-x", Format: signer.PAdESBB}
		}, signer.ErrNotFound},
		{"foreign credential", "credential", func(r *signer.CreateRequest) { r.Credential = "cred-2" }, signer.ErrCredential},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := good
			r.Items = append([]signer.ItemRequest(nil), good.Items...)
			tt.change(&r)
			before := len(w.store.log())
			_, err := w.s.Create(ctx, docs, "r-"+tt.name, r)
			var field *signer.FieldError
			if !errors.Is(err, tt.want) || !errors.As(err, &field) || field.FieldName() != tt.field {
				t.Errorf("error %v, want %v at %s", err, tt.want, tt.field)
			}
			if len(w.store.log()) != before || len(w.store.state.operations) != 0 {
				t.Error("a refused request left something")
			}
		})
	}
}

func TestWrongCodes(t *testing.T) {
	w := newWorld(t)
	v := w.create(1)
	right := w.code(v.ID)
	if _, err := w.s.Authorize(ctx, docs, v.ID, ""); !errors.Is(err, signer.ErrInput) {
		t.Errorf("no code: error %v, want %v", err, signer.ErrInput) // and no try: three are left
	}
	for left := 2; left >= 0; left-- {
		_, err := w.s.Authorize(ctx, docs, v.ID, wrong(right))
		var c *signer.CodeError
		if !errors.As(err, &c) || c.Result != otp.Rejected || c.TriesLeft != left {
			t.Fatalf("error %v, want rejected with %d left", err, left)
		}
	}
	if _, err := w.s.Authorize(ctx, docs, v.ID, right); !errors.Is(err, signer.ErrCode) || w.device.count() != 0 {
		t.Errorf("the right code after three wrong ones: %v", err)
	}
	sent, err := w.s.SendCode(ctx, docs, "again", v.ID)
	w.must(err)
	if sent.Number != 2 {
		t.Errorf("second code has number %d", sent.Number)
	}
	if _, err := w.s.Authorize(ctx, docs, v.ID, right); !errors.Is(err, signer.ErrCode) {
		t.Errorf("the voided code: %v", err)
	}
	if _, err = w.s.Authorize(ctx, docs, v.ID, w.code(v.ID)); err != nil {
		t.Errorf("the new code: %v", err)
	}
}

// The code is sent again while it lives, under a message of its own; a new one only when it is wished.
func TestCodeSentAgain(t *testing.T) {
	w := newWorld(t)
	v := w.create(1)
	first := w.code(v.ID)
	w.pass(4 * time.Minute)
	again, err := w.s.SendCode(ctx, docs, "again", v.ID)
	w.must(err)
	if again.Number != 1 || again.Sent != 2 || !again.Expires.Equal(now0.Add(5*time.Minute)) || w.code(v.ID) != first {
		t.Errorf("%+v", again)
	}
	if repeat, err := w.s.SendCode(ctx, docs, "again", v.ID); err != nil || repeat != again {
		t.Errorf("the request again: %+v, %v", repeat, err)
	}
	if _, err := w.s.NewCode(ctx, docs, "again", v.ID); !errors.Is(err, signer.ErrRequestReused) {
		t.Errorf("another wish under the same request id: %v", err)
	}
	ids := map[string]bool{}
	for _, m := range w.store.state.messages {
		text, err := w.s.Compose(ctx, m)
		if err != nil || !strings.Contains(text.Body, first) {
			t.Errorf("%s: %q, %v", m.ID, text.Body, err)
		}
		ids[m.ID] = true
	}
	if len(ids) != 2 {
		t.Errorf("two texts, messages %v", ids)
	}
	_, err = w.s.SendCode(ctx, docs, "third", v.ID)
	w.must(err)
	if _, err := w.s.SendCode(ctx, docs, "fourth", v.ID); !errors.Is(err, otp.ErrResent) {
		t.Errorf("a fourth text: %v", err)
	}
	fresh, err := w.s.NewCode(ctx, docs, "new", v.ID)
	w.must(err)
	if fresh.Number != 2 || fresh.Sent != 1 {
		t.Errorf("%+v", fresh)
	}
	if _, err := w.s.Compose(ctx, w.store.state.messages[0]); !errors.Is(err, sms.ErrObsolete) {
		t.Errorf("the text of the voided code: %v", err)
	}
	if code := w.code(v.ID); code != first {
		if _, err := w.s.Authorize(ctx, docs, v.ID, first); !errors.Is(err, signer.ErrCode) {
			t.Errorf("the voided code: %v", err)
		}
	}
	if _, err := w.s.Authorize(ctx, docs, v.ID, w.code(v.ID)); err != nil {
		t.Error(err)
	}
}

// Texts are counted where one may have been sent: not for a request that is repeated, nor for a unit of work that failed.
func TestBudget(t *testing.T) {
	w := newWorld(t)
	w.s.Codes.NumberBudget = 3
	v := w.create(1)
	broken := false
	w.store.fault = func(int) fate {
		if broken {
			return fails
		}
		return commits
	}
	send := func(id string) error {
		_, err := w.s.SendCode(ctx, docs, id, v.ID)
		return err
	}
	w.must(send("a"))
	for range 5 {
		w.must(send("a"))
		broken = true
		if err := send("b"); err == nil {
			t.Fatal("a broken disk took the message")
		}
		broken = false
	}
	w.must(send("b"))
	var used *otp.BudgetError
	if err := send("c"); !errors.As(err, &used) || used.Scope != otp.ScopeNumber || used.After != 24*time.Hour {
		t.Errorf("a fourth text: %v", err)
	}
	if _, err := w.s.Create(ctx, docs, "new", signer.CreateRequest{
		Credential: cred, Title: "t", Language: "uk", Items: []signer.ItemRequest{{Hash: make([]byte, 32), Format: signer.Raw}},
	}); !errors.As(err, &used) {
		t.Errorf("a new operation: %v", err)
	}
	var requested audit.CodeRequested
	resent := 0
	for _, e := range w.store.log() {
		switch e := e.(type) {
		case audit.CodeRequested:
			requested = e
		case audit.CodeResent:
			resent++
			if e.Recipient != requested.Recipient {
				t.Errorf("texts to one number went to %s and %s", requested.Recipient, e.Recipient)
			}
		}
	}
	if resent != 2 || len(requested.Recipient) != 32 || strings.Contains(phone, requested.Recipient) {
		t.Errorf("%d texts were sent again, the first to %s", resent, requested.Recipient)
	}
	w.pass(24 * time.Hour)
	w.create(2)
}

// The codes of an operation of high value are longer, also those that follow, and its seal says so.
func TestHighValue(t *testing.T) {
	w := newWorld(t)
	r := signer.CreateRequest{
		Credential: cred, Title: "Заповіт", Language: "uk", HighValue: true, Items: []signer.ItemRequest{{Hash: make([]byte, 32), Format: signer.Raw}},
	}
	v, err := w.s.Create(ctx, docs, "high", r)
	w.must(err)
	if !v.HighValue || len(w.code(v.ID)) != 8 {
		t.Errorf("high value %v, a code of %d digits", v.HighValue, len(w.code(v.ID)))
	}
	r.HighValue = false
	if _, err := w.s.Create(ctx, docs, "high", r); !errors.Is(err, signer.ErrRequestReused) {
		t.Errorf("the same request without: %v", err)
	}
	sent, err := w.s.NewCode(ctx, docs, "new", v.ID)
	w.must(err)
	if sent.Digits != 8 || len(w.code(v.ID)) != 8 {
		t.Errorf("the next code has %d digits, says %d", len(w.code(v.ID)), sent.Digits)
	}
	if plain := w.create(1); plain.HighValue || len(w.code(plain.ID)) != 6 {
		t.Errorf("without: %v, %d digits", plain.HighValue, len(w.code(plain.ID)))
	}
	if got, err := w.s.Authorize(ctx, docs, v.ID, w.code(v.ID)); err != nil || got.State != signer.StateSigned {
		t.Errorf("%v, %v", got.State, err)
	}
}

func TestCodeOfAnotherOperation(t *testing.T) {
	w := newWorld(t)
	a, b := w.create(1), w.create(2)
	for w.code(a.ID) == w.code(b.ID) { // one in a million
		b = w.create(2)
	}
	if _, err := w.s.Authorize(ctx, docs, b.ID, w.code(a.ID)); !errors.Is(err, signer.ErrCode) {
		t.Errorf("error %v, want %v", err, signer.ErrCode)
	}
}

func TestExpiredCode(t *testing.T) {
	w := newWorld(t)
	v := w.create(1)
	code := w.code(v.ID)
	w.pass(5 * time.Minute)
	for _, c := range []string{code, wrong(code)} {
		_, err := w.s.Authorize(ctx, docs, v.ID, c)
		var e *signer.CodeError
		if !errors.As(err, &e) || e.Result != otp.Expired {
			t.Errorf("error %v, want expired whatever the code", err)
		}
	}
	w.pass(15 * time.Minute)
	n, err := w.s.Sweep(ctx)
	w.must(err)
	got, err := w.s.Get(ctx, docs, v.ID)
	w.must(err)
	if n != 1 || got.State != signer.StateClosed || got.Outcome != audit.OutcomeExpired {
		t.Errorf("swept %d, state %s %s", n, got.State, got.Outcome)
	}
}

func TestTrustForeignOperationsAreUnknown(t *testing.T) {
	w := newWorld(t)
	v := w.create(1)
	other := signer.Caller{Name: "other"}
	for name, call := range map[string]func(id signer.OperationID) error{
		"get":       func(id signer.OperationID) error { _, err := w.s.Get(ctx, other, id); return err },
		"authorize": func(id signer.OperationID) error { _, err := w.s.Authorize(ctx, other, id, "000000"); return err },
		"code":      func(id signer.OperationID) error { _, err := w.s.SendCode(ctx, other, "r", id); return err },
		"cancel":    func(id signer.OperationID) error { _, err := w.s.Cancel(ctx, other, "r", id); return err },
		"complete":  func(id signer.OperationID) error { _, err := w.s.Complete(ctx, other, "r", id); return err },
		"artifact":  func(id signer.OperationID) error { _, err := w.s.Artifact(ctx, other, id, 0, true, 0); return err },
	} {
		foreign, unknown := call(v.ID), call("op-unknown")
		if !errors.Is(foreign, signer.ErrNotFound) || foreign.Error() != unknown.Error() {
			t.Errorf("%s: foreign %v, unknown %v", name, foreign, unknown)
		}
	}
	if _, err := w.s.Authorize(ctx, docs, v.ID, w.code(v.ID)); err != nil {
		t.Errorf("a stranger's tries changed something: %v", err)
	}
}

// TestTrustDatabaseWriter lets somebody write the database before the right code arrives.
func TestTrustDatabaseWriter(t *testing.T) {
	for _, tt := range []struct {
		name   string
		attack func(w *world, o *signer.Operation)
	}{
		{"sets signing by hand", func(_ *world, o *signer.Operation) { o.State, o.Fence = signer.StateSigning, 1 }},
		{"changes what is signed", func(_ *world, o *signer.Operation) { o.Items = bytes.Replace(o.Items, []byte("raw"), []byte("Raw"), 1) }},
		{"swaps the sealed operation", func(w *world, o *signer.Operation) { o.Sealed = w.store.state.operations[w.create(2).ID].Sealed }},
		{"prolongs the operation", func(_ *world, o *signer.Operation) { o.Expires = o.Expires.Add(time.Hour) }},
		{"gives it to another credential", func(w *world, o *signer.Operation) {
			w.addCredential("cred-2")
			w.store.state.grants[[2]string{"cred-2", docs.Name}] = credential.Grant{}
			o.Credential = "cred-2"
		}},
		{"changes the phone", func(w *world, _ *signer.Operation) {
			r := w.store.state.credentials[cred]
			r.Phone = "+380999999999"
			w.store.state.credentials[cred] = r
		}},
		{"swaps two persons' keys", func(w *world, _ *signer.Operation) {
			w.addCredential("cred-2")
			r := w.store.state.credentials[cred]
			r.WrappedKey = w.store.state.credentials["cred-2"].WrappedKey
			w.store.state.credentials[cred] = r
		}},
		{"swaps two persons' rows", func(w *world, _ *signer.Operation) {
			w.addCredential("cred-2")
			w.store.state.credentials[cred] = w.store.state.credentials["cred-2"]
		}},
		{"prolongs the code", func(w *world, o *signer.Operation) {
			c := w.store.state.challenges[o.Challenge]
			c.Expires = c.Expires.Add(time.Hour)
			w.store.state.challenges[o.Challenge] = c
		}},
		{"puts an old binding back", func(w *world, _ *signer.Operation) { w.trust.Raise(cred, 2) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			v := w.create(1)
			code := w.code(v.ID)
			o := w.store.state.operations[v.ID]
			tt.attack(w, &o)
			w.store.state.operations[v.ID] = o
			if _, err := w.s.Authorize(ctx, docs, v.ID, code); !errors.Is(err, signer.ErrIntegrity) {
				t.Errorf("error %v, want %v", err, signer.ErrIntegrity)
			}
			if w.device.count() != 0 || len(w.alarms) == 0 {
				t.Errorf("%d signatures, alarms %v", w.device.count(), w.alarms)
			}
			events := w.store.log()
			if _, ok := events[len(events)-1].(audit.IntegrityAlarm); !ok {
				t.Errorf("the log ends with %T, not with the alarm", events[len(events)-1])
			}
		})
	}
}

// The digest that the phone would show stands in an unsealed row. Whoever changes it shows nothing: the bytes decide.
func TestTrustDocumentDigestChanged(t *testing.T) {
	w := newWorld(t)
	d, err := w.s.Upload(ctx, docs, "upload", "a.pdf", bytes.NewReader(pdftest.Signable()[0].Data))
	w.must(err)
	request := signer.CreateRequest{
		Credential: cred, Title: "Договір", Language: "uk", Items: []signer.ItemRequest{{Document: d.ID, Format: signer.PAdESBB}},
	}
	v, err := w.s.Create(ctx, docs, "before", request)
	if err != nil || !bytes.Equal(v.Items[0].Digest, d.SHA256) {
		t.Fatalf("%v, shown %x, want %x", err, v.Items[0].Digest, d.SHA256)
	}
	row := w.store.state.documents[d.ID]
	row.SHA256 = make([]byte, sha256.Size)
	w.store.state.documents[d.ID] = row
	if _, err := w.s.Create(ctx, docs, "after", request); !errors.Is(err, signer.ErrIntegrity) || len(w.alarms) != 1 {
		t.Errorf("error %v, alarms %v", err, w.alarms)
	}
}

// Attempts are set back in the database while the process runs, which remembers them.
func TestTrustAttemptsSetBack(t *testing.T) {
	w := newWorld(t)
	v := w.create(1)
	code := w.code(v.ID)
	_, _ = w.s.Authorize(ctx, docs, v.ID, wrong(code))
	id := w.store.state.operations[v.ID].Challenge
	c := w.store.state.challenges[id]
	c.Attempts = 0
	w.store.state.challenges[id] = c
	_, err := w.s.Authorize(ctx, docs, v.ID, code)
	if !errors.Is(err, signer.ErrIntegrity) || w.device.count() != 0 {
		t.Errorf("error %v, %d signatures", err, w.device.count())
	}
	events := w.store.log()
	if _, ok := events[len(events)-1].(audit.IntegrityAlarm); !ok {
		t.Errorf("the log ends with %T, not with the alarm", events[len(events)-1])
	}
}

func TestRevokedWhileTheCodeWasOnItsWay(t *testing.T) {
	w := newWorld(t)
	v := w.create(1)
	b, err := w.trust.OpenBinding(ctx, w.store.state.credentials[cred].Sealed)
	w.must(err)
	b.Status, b.Version = credential.Revoked, 2
	r := w.store.state.credentials[cred]
	r.Sealed, err = w.trust.SealBinding(ctx, b)
	r.Version = 2
	w.must(err)
	for _, key := range [][]byte{r.WrappedKey, nil} { // as it was revoked before keys were destroyed, and since
		r.WrappedKey = key
		w.store.state.credentials[cred] = r
		if _, err := w.s.Authorize(ctx, docs, v.ID, w.code(v.ID)); !errors.Is(err, signer.ErrCredential) || w.device.count() != 0 {
			t.Errorf("error %v, %d signatures", err, w.device.count())
		}
	}
}

// An active credential without its key is no destroyed one.
func TestTrustKeyTakenAway(t *testing.T) {
	w := newWorld(t)
	v := w.create(1)
	r := w.store.state.credentials[cred]
	r.WrappedKey = nil
	w.store.state.credentials[cred] = r
	if _, err := w.s.Authorize(ctx, docs, v.ID, w.code(v.ID)); !errors.Is(err, signer.ErrIntegrity) {
		t.Errorf("error %v, want %v", err, signer.ErrIntegrity)
	}
}

// TestRevokedDuringSigning revokes between the HSM's signature and its record: it is withheld.
func TestRevokedDuringSigning(t *testing.T) {
	w := newWorld(t)
	v := w.create(1)
	w.device.before = func() error {
		w.store.mu.Lock()
		defer w.store.mu.Unlock()
		r := w.store.state.credentials[cred]
		r.Sealed = credential.Sealed{Record: []byte("new"), Seal: []byte("seal")}
		w.store.state.credentials[cred] = r
		return nil
	}
	_, err := w.s.Authorize(ctx, docs, v.ID, w.code(v.ID))
	if !errors.Is(err, signer.ErrWithheld) {
		t.Fatalf("error %v, want %v", err, signer.ErrWithheld)
	}
	if o := w.store.state.operations[v.ID]; o.Signatures != nil || o.Results != nil {
		t.Error("a withheld signature was kept")
	}
	events := w.store.log()
	if e, ok := events[len(events)-1].(audit.SigningWithheld); !ok || e.Reason != "credential changed" {
		t.Errorf("the log ends with %#v", events[len(events)-1])
	}
}

// TestHSMThatSignsWronglyReleasesNothing: whatever the signature becomes and by whichever scheme, one that the
// certificate does not verify is not even recorded, also if those before it are right.
func TestHSMThatSignsWronglyReleasesNothing(t *testing.T) {
	for _, id := range []credential.ID{cred, rsaCred} {
		for _, f := range []signer.Format{signer.PAdESBB, signer.CAdESBB, signer.Raw} {
			w := newRSAWorld(t)
			h := sha256.Sum256([]byte("x"))
			item := signer.ItemRequest{Hash: h[:], Format: f}
			if f == signer.PAdESBB {
				d, err := w.s.Upload(ctx, docs, "upload", "a.pdf", bytes.NewReader(pdftest.Signable()[0].Data))
				w.must(err)
				item = signer.ItemRequest{Document: d.ID, Format: f}
			}
			v, err := w.s.Create(ctx, docs, "create", signer.CreateRequest{
				Credential: id, Title: "T", Language: "en", Items: []signer.ItemRequest{item, item},
			})
			w.must(err)
			w.device.spoil = 2
			if _, err := w.s.Authorize(ctx, docs, v.ID, w.code(v.ID)); !errors.Is(err, cades.ErrSignature) {
				t.Errorf("%s, %s: %v", id, f, err)
			}
			if o := w.store.state.operations[v.ID]; o.State == signer.StateSigned || len(o.Signatures) > 0 || len(o.Results) > 0 {
				t.Errorf("%s, %s: it was recorded", id, f)
			}
			if w.device.count() != 2 {
				t.Errorf("%s, %s: %d signatures were made, not those of the one attempt", id, f, w.device.count())
			}
		}
	}
}

// TestReads counts how often the store is read for one signature: each costs the database a transaction.
func TestReads(t *testing.T) {
	w := newWorld(t)
	v := w.create(1)
	if n := w.store.views; n != 1 {
		t.Errorf("creating an operation reads %d times, not once", n)
	}
	w.store.views = 0
	if _, err := w.s.Authorize(ctx, docs, v.ID, w.code(v.ID)); err != nil {
		t.Fatal(err)
	}
	if n := w.store.views; n != 3 { // the operation; what decides on it; what was recorded
		t.Errorf("authorising it reads %d times, not 3", n)
	}
}

// TestConcurrentAuthorisations: a hundred calls with the right code release one signature, the same to all.
func TestConcurrentAuthorisations(t *testing.T) {
	w := newWorld(t)
	v := w.create(1)
	code := w.code(v.ID)
	var mu sync.Mutex
	got := map[string]int{}
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			v, err := w.s.Authorize(ctx, docs, v.ID, code)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				got["error: "+err.Error()]++
				return
			}
			got[string(v.Items[0].Signature)]++
		})
	}
	wg.Wait()
	if len(got) != 1 || w.device.count() != 1 {
		t.Errorf("%d different answers, %d C_Sign calls", len(got), w.device.count())
	}
}

// TestConcurrentGuesses: of 300 parallel wrong codes exactly the allowed number counts.
func TestConcurrentGuesses(t *testing.T) {
	w := newWorld(t)
	v := w.create(1)
	guess := wrong(w.code(v.ID))
	var wg sync.WaitGroup
	for range 300 {
		wg.Go(func() { _, _ = w.s.Authorize(ctx, docs, v.ID, guess) })
	}
	wg.Wait()
	counted := 0
	for _, e := range w.store.log() {
		if r, ok := e.(audit.CodeRefused); ok && r.Attempt > 0 {
			counted++
			if r.Attempt != uint64(counted) {
				t.Errorf("attempt %d is numbered %d", counted, r.Attempt)
			}
		}
	}
	if counted != 3 || w.device.count() != 0 {
		t.Errorf("%d tries counted, %d signatures", counted, w.device.count())
	}
}

// TestFaultTable fails each commit of a signature once, with and without its effect, restarts, and lets the caller try
// on. At most one signature is ever released, and none without its entry.
func TestFaultTable(t *testing.T) {
	for _, outcome := range []fate{fails, failsAfterward} {
		for at := 1; at <= 3; at++ {
			w := newWorld(t)
			w.store.fault = func(n int) fate {
				if n == at {
					return outcome
				}
				return commits
			}
			h := sha256.Sum256([]byte("x"))
			r := signer.CreateRequest{Credential: cred, Title: "T", Language: "uk", Items: []signer.ItemRequest{{Hash: h[:], Format: signer.Raw}}}
			v, err := w.s.Create(ctx, docs, "id", r)
			if err != nil {
				w.restart(1)
				v, err = w.s.Create(ctx, docs, "id", r)
				w.must(err)
			}
			code := w.code(v.ID)
			got, err := w.s.Authorize(ctx, docs, v.ID, code)
			if err != nil {
				w.restart(1)
				w.pass(31 * time.Second)
				got, err = w.s.Authorize(ctx, docs, v.ID, code)
			}
			if err != nil || got.State != signer.StateSigned {
				t.Errorf("outcome %d at commit %d: cannot be finished: %v", outcome, at, err)
				continue
			}
			signed, resumed := 0, 0
			for _, e := range w.store.log() {
				switch e.(type) {
				case audit.SigningSigned:
					signed++
				case audit.SigningResumed:
					resumed++
				}
			}
			if signed != 1 || w.device.count() > 1+resumed {
				t.Errorf("outcome %d at commit %d: %d signed, %d resumed, %d C_Sign", outcome, at, signed, resumed, w.device.count())
			}
		}
	}
}

// A caller reads the operation while another one is signing it, and goes on when that one has come and gone: it gets the
// signatures, as one who waited.
func TestLateCallerLooksAgain(t *testing.T) {
	w := newWorld(t)
	v := w.create(1)
	code := w.code(v.ID)
	signing, goOn, first := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	w.device.before = func() error { close(signing); <-goOn; return nil }
	go func() {
		_, err := w.s.Authorize(ctx, docs, v.ID, code)
		first <- err
	}()
	<-signing
	var once atomic.Bool
	w.store.after = func() {
		if once.CompareAndSwap(false, true) {
			close(goOn)
			if err := <-first; err != nil {
				t.Error(err)
			}
		}
	}
	late, err := w.s.Authorize(ctx, docs, v.ID, code)
	if err != nil || late.State != signer.StateSigned || len(late.Receipt) == 0 || w.device.count() != 1 {
		t.Errorf("%+v, %v, %d C_Sign", late, err, w.device.count())
	}
}

func TestResume(t *testing.T) {
	w := newWorld(t)
	v := w.create(1)
	code := w.code(v.ID)
	w.device.before = func() error { return errors.New("HSM is lost") }
	if _, err := w.s.Authorize(ctx, docs, v.ID, code); err == nil {
		t.Fatal("signed without an HSM")
	}
	w.device.before = nil
	w.restart(1)
	if _, err := w.s.Authorize(ctx, docs, v.ID, ""); !errors.Is(err, signer.ErrInProgress) {
		t.Errorf("resumed while the lease lasts: %v", err)
	}
	w.pass(31 * time.Second)
	if _, err := w.s.Authorize(ctx, docs, v.ID, ""); err != nil {
		t.Errorf("not resumed after the lease: %v", err)
	}

	late := w.create(1)
	code = w.code(late.ID)
	w.device.before = func() error { return errors.New("HSM is lost") }
	_, _ = w.s.Authorize(ctx, docs, late.ID, code)
	w.device.before = nil
	w.pass(3 * time.Minute)
	before := len(w.store.log())
	if _, err := w.s.Authorize(ctx, docs, late.ID, ""); !errors.Is(err, signer.ErrActivationExpired) || len(w.store.log()) != before {
		t.Errorf("resumed after the activation ended: %v, %d events", err, len(w.store.log())-before)
	}
	w.pass(15 * time.Minute)
	_, err := w.s.Sweep(ctx)
	w.must(err)
	if v, err := w.s.Get(ctx, docs, late.ID); err != nil || v.Outcome != audit.OutcomeAbandoned {
		t.Errorf("an operation that cannot be resumed is %s %s, %v", v.State, v.Outcome, err)
	}
	w.restart(2)
	if _, err := w.s.Authorize(ctx, docs, w.create(1).ID, "000000"); !errors.Is(err, signer.ErrCode) {
		t.Errorf("after a new epoch a new operation: %v", err)
	}
}

func TestTrustNewEpochVoidsOpenOperations(t *testing.T) {
	w := newWorld(t)
	v := w.create(1)
	code := w.code(v.ID)
	w.restart(2)
	if _, err := w.s.Authorize(ctx, docs, v.ID, code); err == nil || w.device.count() != 0 {
		t.Errorf("an operation of an earlier epoch: %v, %d signatures", err, w.device.count())
	}
}

// The text shows a document's own digest, and of several the digest over all of them, which the caller gets too.
func TestShownDigest(t *testing.T) {
	w := newWorld(t)
	one, two := sha256.Sum256([]byte{0}), sha256.Sum256([]byte{1})
	both := sha256.Sum256(append(one[:], two[:]...))
	for n, want := range map[int][]byte{1: one[:], 2: both[:]} {
		v := w.create(n)
		text, err := w.s.Compose(ctx, w.store.state.messages[len(w.store.state.messages)-1])
		w.must(err)
		if !bytes.Equal(v.Documents, want) || !strings.Contains(text.Body, fmt.Sprintf("документів: %d, SHA-256", n)) || !strings.Contains(text.Body, fmt.Sprintf(" %x…", want[:4])) {
			t.Errorf("%d documents: %x is answered, the text says %q; want %x", n, v.Documents, text.Body, want)
		}
	}
}

func TestCompose(t *testing.T) {
	w := newWorld(t)
	v := w.create(2)
	m := w.store.state.messages[0]
	text, err := w.s.Compose(ctx, m)
	w.must(err)
	if text.To != phone || !strings.HasPrefix(text.Body, "Код "+w.code(v.ID)) || !strings.Contains(text.Body, docs.Registered) ||
		!strings.Contains(text.Body, "Договір") || !strings.Contains(text.Body, "документів: 2") {
		t.Errorf("text %+v", text)
	}
	_, err = w.s.Cancel(ctx, docs, "c", v.ID)
	w.must(err)
	if _, err := w.s.Compose(ctx, m); !errors.Is(err, sms.ErrObsolete) {
		t.Errorf("a cancelled operation still sends: %v", err)
	}
}

// Each signature is told of once, with its evidence; one that is withheld is not.
func TestNotice(t *testing.T) {
	w := newWorld(t)
	notices := func() (found []sms.Message) {
		for _, m := range w.store.state.messages {
			if m.Kind == sms.KindSigned {
				found = append(found, m)
			}
		}
		return found
	}
	v := w.create(2)
	code := w.code(v.ID)
	for range 3 {
		_, err := w.s.Authorize(ctx, docs, v.ID, code)
		w.must(err)
	}
	if len(notices()) != 1 || notices()[0].Subject != string(v.ID) {
		t.Fatalf("notices %+v", notices())
	}
	log := w.store.log()
	if _, ok := log[len(log)-2].(audit.SigningSigned); !ok || log[len(log)-1] != (audit.NoticeSent{Subject: string(v.ID), Kind: "signed"}) {
		t.Errorf("the log ends with %+v", log[len(log)-2:])
	}
	text, err := w.s.Compose(ctx, notices()[0])
	w.must(err)
	if want := "Вашим підписом підписано для «Договори Онлайн»: «Договір», документів: 2, 2026-11-20 12:00 UTC."; text.To != phone || !strings.HasPrefix(text.Body, want) {
		t.Errorf("%s: %q, want %q", text.To, text.Body, want)
	}

	r := w.store.state.credentials[cred]
	r.Phone = "+380671234567"
	w.store.state.credentials[cred] = r
	if _, err := w.s.Compose(ctx, notices()[0]); !errors.Is(err, signer.ErrIntegrity) {
		t.Errorf("to another number: %v", err)
	}
	r.Phone = phone
	w.store.state.credentials[cred] = r
	w.restart(2)
	if _, err := w.s.Compose(ctx, notices()[0]); !errors.Is(err, sms.ErrObsolete) {
		t.Errorf("in a later epoch: %v", err)
	}

	w.restart(1)
	other := w.create(1)
	w.device.before = func() error { // the credential is sealed anew while the HSM signs
		w.store.mu.Lock()
		defer w.store.mu.Unlock()
		r.Sealed.Seal = append([]byte(nil), r.Sealed.Seal...)
		r.Sealed.Seal[0] ^= 1
		w.store.state.credentials[cred] = r
		return nil
	}
	if _, err := w.s.Authorize(ctx, docs, other.ID, w.code(other.ID)); !errors.Is(err, signer.ErrWithheld) {
		t.Fatalf("error %v, want %v", err, signer.ErrWithheld)
	}
	if len(notices()) != 1 {
		t.Errorf("a withheld signature is told of: %+v", notices())
	}
}

func TestUploadLimits(t *testing.T) {
	w := newWorld(t)
	for name, tt := range map[string]struct {
		body string
		want error
	}{
		"empty": {"", signer.ErrEmpty}, "too large": {strings.Repeat("x", 1<<20+1), signer.ErrTooLarge}, "broken": {"?", errBroken},
	} {
		_, err := w.s.Upload(ctx, docs, name, "a.pdf", reader(tt.body))
		if !errors.Is(err, tt.want) || len(w.spool.files) != 0 || len(w.store.state.documents) != 0 {
			t.Errorf("%s: error %v, %d files kept", name, err, len(w.spool.files))
		}
	}
	a, err := w.s.Upload(ctx, docs, "same", "a.pdf", strings.NewReader("%PDF"))
	w.must(err)
	b, err := w.s.Upload(ctx, docs, "same", "a.pdf", strings.NewReader("%PDF"))
	w.must(err)
	if a.ID != b.ID || len(w.spool.files) != 1 {
		t.Errorf("the same upload twice: %s, %s, %d files", a.ID, b.ID, len(w.spool.files))
	}
}

var errBroken = errors.New("the client is gone")

// reader returns a source that breaks off after "?".
func reader(body string) interface{ Read([]byte) (int, error) } {
	if body == "?" {
		return broken{}
	}
	return strings.NewReader(body)
}

type broken struct{}

func (broken) Read(p []byte) (int, error) { return copy(p, "some bytes"), errBroken }

func FuzzItems(f *testing.F) {
	f.Add(signer.MarshalItems([]signer.Item{{Format: signer.Raw, Digest: []byte{1}, DTBSR: []byte{2}}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		items, err := signer.UnmarshalItems(data)
		if err == nil && !bytes.Equal(signer.MarshalItems(items), data) {
			t.Fatal("two encodings of the same items")
		}
	})
}
