package enrol_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/enrol"
)

func parseCertificate(t *testing.T, der []byte) *x509.Certificate {
	t.Helper()
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A required consent that is missing refuses, names it and counts no try; one that the agreement does not have is wrong.
func TestConsentsOneByOne(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	p := newWorld(t).reach(enrol.StateProven)
	p.sendAgreement()
	code := p.code()
	var names []string
	for _, c := range p.view.Consents {
		names = append(names, c.Name)
		if c.Required != (c.Name != "publication") || c.Text == "" {
			t.Errorf("%+v", c)
		}
	}
	if want := append(required(), "publication"); !slices.Equal(names, want) {
		t.Errorf("consents %v, want %v", names, want)
	}
	try := func(consents ...string) error {
		a := p.acceptance(code)
		a.Consents = consents
		_, err := p.AcceptAgreement(ctx, portal, p.id, p.request(), a)
		return err
	}
	for _, missing := range required() {
		given := slices.DeleteFunc(required(), func(s string) bool { return s == missing })
		var e *enrol.ConsentError
		if err := try(given...); !errors.As(err, &e) || !errors.Is(err, enrol.ErrConsent) || !slices.Equal(e.Missing, []string{missing}) {
			t.Errorf("without %s: %v", missing, err)
		}
	}
	var none *enrol.ConsentError
	if err := try(); !errors.As(err, &none) || !slices.Equal(none.Missing, required()) {
		t.Errorf("without any: %v", err)
	}
	for _, other := range []string{"subscriber", "newsletter", "", "data"} {
		var f *enrol.FieldError
		if err := try(append(required(), other)...); !errors.As(err, &f) || f.Field != "consents" {
			t.Errorf("with %q too: %v", other, err)
		}
	}
	if n := p.store.count("code.refused") + p.store.count("consents.given"); n != 0 {
		t.Errorf("%d entries of the log for refusals that count nothing", n)
	}
	if err := try("publication", "records", "device", "obligations", "data"); err != nil {
		t.Fatal(err)
	}
	v, err := p.Get(ctx, portal, p.id)
	if err != nil || !slices.Equal(v.Given, names) {
		t.Errorf("sealed are %v, want the agreement's order %v; %v", v.Given, names, err)
	}
}

// The evidence holds what EN 319 411-1 clause 6.3.4 asks for, its digest is sealed and in the log, and the code is
// nowhere.
func TestEvidence(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	w.config.Terms.SHA256 = bytes.Repeat([]byte{0x51}, 32)
	w.config.Provider.PDSVersion, w.config.PDSSHA256 = "4", map[string][]byte{"en": bytes.Repeat([]byte{0x52}, 32)}
	w.start()
	p := w.reach(enrol.StateProven)
	made := p.now()
	p.wait(time.Minute)
	_, err := p.Agreement(ctx, portal, p.id)
	p.must(err)
	shown := p.now()
	p.wait(time.Minute)
	sent := p.now()
	p.sendAgreement()
	code := p.code()
	p.wait(time.Minute)
	if _, err := p.accept(wrong(code)); !errors.Is(err, enrol.ErrCode) {
		t.Fatal(err)
	}
	a := p.acceptance(code)
	a.Context = enrol.AcceptanceContext{Address: "2001:db8::7", UserAgent: "Mozilla/5.0 <b> Ґ", Session: "s-1"}
	p.got(p.AcceptAgreement(ctx, portal, p.id, "accept", a))

	e, err := p.Evidence(ctx, portal, p.id)
	p.must(err)
	if sum := sha256.Sum256(e.Record); !bytes.Equal(sum[:], e.SHA256) {
		t.Error("the digest is not that of the record")
	}
	if !e.Agreement.Sealed || !bytes.Equal(e.Agreement.SHA256, p.view.AgreementSHA256) {
		t.Errorf("agreement sealed %t, SHA-256 %x", e.Agreement.Sealed, e.Agreement.SHA256)
	}
	for _, secret := range []string{code, data().Phone, data().Phone[5:]} {
		if bytes.Contains(e.Record, []byte(secret)) {
			t.Errorf("the evidence holds %q", secret)
		}
	}
	var got map[string]any
	p.must(json.Unmarshal(e.Record, &got))
	at := func(path string) any {
		var v any = got
		for _, key := range strings.Split(path, ".") {
			m, ok := v.(map[string]any)
			if !ok {
				return nil
			}
			v = m[key]
		}
		return v
	}
	const moment = "2006-01-02T15:04:05.000000Z"
	for path, want := range map[string]any{
		"format": "ecsigner acceptance v1", "enrolment": p.id, "portal": portal, "request_id": "accept", "product": "qes-2y",
		"document.sha256": hexOf(p.view.AgreementSHA256), "document.made_at": made.Format(moment),
		"certificate.given_name": "Taras", "certificate.surname": "Shevchenko", "certificate.common_name": "Taras Shevchenko",
		"certificate.local_name": "Тарас Шевченко", "certificate.country": "UA", "certificate.serial_number": "TINUA-2935412318",
		"certificate.years": 1.0, "certificate.key_algorithm": "EC P-256",
		"refers_to.edition": "uk-2", "refers_to.language": "uk", "refers_to.issuer": "TEST Issuing CA 1",
		"refers_to.terms.version": "1", "refers_to.terms.url": "https://pki.example.com/terms", "refers_to.terms.sha256": strings.Repeat("51", 32),
		"refers_to.pki_disclosure_statement.version": "4", "refers_to.pki_disclosure_statement.sha256": strings.Repeat("52", 32),
		"code.means": "sms-code", "code.phone": "+380•••••••67", "code.number": 1.0, "code.sent_at": sent.Format(moment), "code.attempts": 2.0,
		"shown_at": shown.Format(moment), "accepted_at": p.now().Format(moment),
		"identity_proofing.provider": provider, "context.address": "2001:db8::7", "context.user_agent": "Mozilla/5.0 <b> Ґ", "context.session": "s-1",
	} {
		if at(path) != want {
			t.Errorf("%s is %v, want %v", path, at(path), want)
		}
	}
	given := 0
	for _, c := range got["consents"].([]any) {
		if c := c.(map[string]any); c["given"] == true && c["text"] != "" {
			given++
		} else if c["name"] != "publication" {
			t.Errorf("%v", c)
		}
	}
	if given != 4 {
		t.Errorf("%d consents are given", given)
	}
	var logged bool
	for _, event := range p.store.events {
		if event, ok := event.(audit.ConsentsGiven); ok {
			logged = bytes.Equal(event.Evidence, e.SHA256) && event.Consents == "data obligations device records"
		}
	}
	if !logged {
		t.Error("the log does not hold consents and digest")
	}
	if challenge, _ := at("code.challenge").(string); !strings.HasPrefix(challenge, "chl-") {
		t.Errorf("challenge %q", challenge)
	}
	if n := p.store.count("agreement.shown"); n != 1 {
		t.Errorf("shown %d times in the log, want the first time alone", n)
	}
	before := len(p.store.events)
	if again, err := p.AcceptAgreement(ctx, portal, p.id, "accept", a); err != nil || again.Version != p.view.Version || len(p.store.events) != before {
		t.Errorf("the same request again: %v", err)
	}
	a.Consents = append(a.Consents, "publication")
	if _, err := p.AcceptAgreement(ctx, portal, p.id, "accept", a); !errors.Is(err, enrol.ErrRequestReused) {
		t.Errorf("the same request with other consents: %v", err)
	}
}

// The evidence is the owner's and, for the engine itself, anybody's; a changed one is refused and raises the alarm.
func TestEvidenceIsGuarded(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	p := newWorld(t).reach(enrol.StateProven)
	if _, err := p.Evidence(ctx, portal, p.id); !errors.Is(err, enrol.ErrNotFound) {
		t.Errorf("before the acceptance: %v", err)
	}
	p.sendAgreement()
	p.got(p.accept(p.code()))
	if _, err := p.Evidence(ctx, "portal-2", p.id); !errors.Is(err, enrol.ErrNotFound) {
		t.Errorf("another portal: %v", err)
	}
	if e, err := p.Evidence(ctx, "", p.id); err != nil || len(e.Record) == 0 {
		t.Errorf("an officer: %v", err)
	}
	p.store.write(func(t *tables) {
		d := t.dossiers[p.id]
		d.Evidence = bytes.Replace(d.Evidence, []byte(`"given": false`), []byte(`"given": true`), 1)
		t.dossiers[p.id] = d
	})
	if _, err := p.Evidence(ctx, portal, p.id); !errors.Is(err, enrol.ErrIntegrity) || p.store.count("integrity.alarm") != 1 {
		t.Errorf("changed: %v", err)
	}
	p.store.write(func(t *tables) { delete(t.dossiers, p.id) })
	if _, err := p.Evidence(ctx, portal, p.id); !errors.Is(err, enrol.ErrIntegrity) {
		t.Errorf("deleted: %v", err)
	}
}

// Nobody accepts what they cannot have seen: the agreement must have been downloaded, this one, not an earlier.
func TestAgreementMustHaveBeenShown(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	p := newWorld(t).reach(enrol.StateProven)
	_, _, err := p.SendAgreementCode(ctx, portal, p.id, p.request())
	p.must(err)
	code := p.code()
	var state *enrol.StateError
	if _, err := p.accept(code); !errors.As(err, &state) || !strings.Contains(state.Hint, "downloaded") {
		t.Errorf("never shown: %v", err)
	}
	p.store.write(func(t *tables) {
		d := t.dossiers[p.id]
		d.Document, d.Shown = bytes.Repeat([]byte{1}, 32), p.now()
		t.dossiers[p.id] = d
	})
	if _, err := p.accept(code); !errors.Is(err, enrol.ErrState) {
		t.Errorf("another was shown: %v", err)
	}
	_, err = p.Agreement(ctx, portal, p.id)
	p.must(err)
	if v, err := p.accept(code); err != nil || v.State != enrol.StateIssued {
		t.Errorf("%s, %v", v.State, err)
	}
}

func TestAcceptanceContext(t *testing.T) {
	t.Parallel()
	p := newWorld(t).reach(enrol.StateProven)
	p.sendAgreement()
	for field, c := range map[string]enrol.AcceptanceContext{
		"address":    {Address: "example.com"},
		"user_agent": {UserAgent: strings.Repeat("x", 257)},
		"session":    {Session: "a b"},
	} {
		a := p.acceptance("000000")
		a.Context = c
		_, err := p.AcceptAgreement(context.Background(), portal, p.id, p.request(), a)
		var f *enrol.FieldError
		if !errors.As(err, &f) || f.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	if n := p.store.count("code.refused"); n != 0 {
		t.Errorf("%d tries were counted", n)
	}
}

// Whatever is taken out of the sealed record, hex or not, the log's digest finds the stored evidence.
func TestEvidenceDigestIsInTheSealedRecord(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	p := newWorld(t).reach(enrol.StateIssued)
	e, err := p.Evidence(ctx, portal, p.id)
	p.must(err)
	var row enrol.Enrolment
	p.store.write(func(t *tables) { row = t.enrolments[p.id] })
	sealed, err := p.trust.OpenEnrolment(ctx, row.Sealed)
	if err != nil || hex.EncodeToString(sealed.Evidence) != hex.EncodeToString(e.SHA256) || !slices.Equal(sealed.Consents, required()) {
		t.Errorf("sealed %x, %v, %v", sealed.Evidence, sealed.Consents, err)
	}
}
