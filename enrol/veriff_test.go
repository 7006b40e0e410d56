package enrol_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/enrol"
	"github.com/ecsigner/ecsigner/enrol/proofing"
)

const (
	veriffSecret = "0b1e0f4f-shared-secret-of-tests"
	veriffKey    = "7f7f-api-key-of-tests"
)

func veriffMAC(secret string, message []byte) string {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write(message)
	return hex.EncodeToString(h.Sum(nil))
}

// fakeVeriff answers sessions and decisions as Veriff does. It accuses requests that are not signed as Veriff demands.
type fakeVeriff struct {
	*httptest.Server
	w         *world
	mu        sync.Mutex
	vendor    []string          // vendorData of each session
	decisions map[string]string // by session; none: not decided
	busy      int               // requests that are answered "too many" first
}

func newVeriff(w *world) *fakeVeriff {
	f := &fakeVeriff{w: w, decisions: map[string]string{}}
	f.Server = httptest.NewTLSServer(f)
	if t, ok := w.TB.(*testing.T); ok {
		t.Cleanup(f.Close)
	}
	roots := x509.NewCertPool()
	roots.AddCert(f.Certificate())
	v, err := proofing.NewVeriff(proofing.Veriff{
		Link: proofing.Link{
			Secrets: [][]byte{[]byte(veriffSecret)}, Key: []byte(veriffKey), Roots: roots, Timeout: 5 * time.Second, MaxBytes: 1 << 16,
		},
		URL: f.URL, IdentifierType: "TIN", PhoneField: "verification.person.phoneNumber",
	})
	w.must(err)
	w.config.Proofers = map[string]enrol.Provider{"veriff": v}
	w.start()
	return f
}

func (f *fakeVeriff) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	f.mu.Lock()
	defer f.mu.Unlock()
	message := body
	session, decision := strings.CutSuffix(strings.TrimPrefix(r.URL.Path, "/v1/sessions/"), "/decision")
	if decision {
		message = []byte(session)
	}
	if r.Header.Get("X-AUTH-CLIENT") != veriffKey || r.Header.Get("X-HMAC-SIGNATURE") != veriffMAC(veriffSecret, message) {
		f.w.Errorf("%s %s is not signed", r.Method, r.URL)
	}
	answer := `{"status":"success","verification":null}`
	switch {
	case f.busy > 0:
		f.busy--
		w.WriteHeader(http.StatusTooManyRequests)
		return
	case decision:
		if d, ok := f.decisions[session]; ok {
			answer = d
		}
	default:
		var asked struct {
			Verification struct {
				VendorData string `json:"vendorData"`
			} `json:"verification"`
		}
		if err := json.Unmarshal(body, &asked); err != nil {
			f.w.Error(err)
		}
		f.vendor = append(f.vendor, asked.Verification.VendorData)
		answer = fmt.Sprintf(`{"status":"success","verification":{"id":"v-%d","url":"https://magic.veriff.me/v/%d","status":"created"}}`, len(f.vendor), len(f.vendor))
	}
	w.Header().Set("X-HMAC-SIGNATURE", veriffMAC(veriffSecret, []byte(answer)))
	_, _ = io.WriteString(w, answer)
}

// decide sets the decision of session n, about the person that data describes.
func (f *fakeVeriff) decide(n, code int, status string) (session, decision string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	d := data()
	session = fmt.Sprint("v-", n)
	decision = fmt.Sprintf(`{"status":"success","verification":{"id":%q,"code":%d,"status":%q,"vendorData":%q,"decisionTime":%q,
	  "person":{"firstName":%q,"lastName":%q,"idNumber":%q,"dateOfBirth":%q,"phoneNumber":%q,"gender":null},
	  "document":{"type":"PASSPORT","number":"FA123456","country":"UA","validUntil":"2030-01-01"},"reasonCode":null}}`,
		session, code, status, f.vendor[n-1], f.w.now().Format(time.RFC3339Nano), d.GivenName, d.Surname, d.Identifier, d.BirthDate, d.Phone)
	f.decisions[session] = decision
	return session, decision
}

// send delivers a webhook to the engine, as the listener would.
func (f *fakeVeriff) send(secret, body string) error {
	h := http.Header{}
	h.Set("X-AUTH-CLIENT", veriffKey)
	h.Set("X-HMAC-SIGNATURE", veriffMAC(secret, []byte(body)))
	return f.w.TakeCallback(context.Background(), "veriff", h, []byte(body))
}

func event(session string, code int, action string) string {
	return fmt.Sprintf(`{"id":%q,"attemptId":"a-1","feature":"selfid","code":%d,"action":%q}`, session, code, action)
}

// TestVeriffMisbehaves: events twice, in the wrong order, too late, wrongly signed and for others; too busy to answer; and
// a decision that is not the last word. What counts is only what is fetched.
func TestVeriffMisbehaves(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	f := newVeriff(w)
	first, second := w.reach(enrol.StatePhone), w.reach(enrol.StatePhone)
	for _, p := range []*person{first, second} {
		p.got(w.StartIdentityProofing(ctx, portal, p.id, w.request(), "veriff"))
		if !strings.HasPrefix(p.view.Proofing.URL, "https://magic.veriff.me/v/") {
			t.Errorf("%+v", p.view.Proofing)
		}
	}
	is := func(p *person, state enrol.State) {
		t.Helper()
		p.got(w.Get(ctx, portal, p.id))
		if p.view.State != state {
			t.Errorf("%s, want %s", p.view.State, state)
		}
	}
	// A decision webhook that says "approved" while the decision says otherwise.
	_, approved := f.decide(1, 9001, "approved")
	f.decide(1, 9103, "resubmission_requested")
	w.must(f.send(veriffSecret, approved))
	first.look()
	is(first, enrol.StateProofing)
	// Looked at by a person there.
	session, review := f.decide(1, 9121, "review")
	if err := f.send("another secret, as long as ours", review); !errors.Is(err, enrol.ErrCallback) {
		t.Errorf("mis-signed: %v", err)
	}
	w.must(f.send(veriffSecret, review))
	first.look()
	is(first, enrol.StateDeferred)
	// Approved; the webhook comes three times, and the events of the beginning only after it.
	w.wait(time.Minute)
	_, approved = f.decide(1, 9001, "approved")
	f.busy = 1
	for range 3 {
		w.must(f.send(veriffSecret, approved))
	}
	if err := w.Look(ctx, first.id); !errors.Is(err, enrol.ErrProvider) {
		t.Errorf("too busy: %v", err)
	}
	is(first, enrol.StateDeferred)
	first.look()
	is(first, enrol.StateProven)
	version := first.view.Version
	for _, e := range []string{event(session, 7002, "submitted"), event(session, 7001, "started"), event("v-77", 7001, "started"), review} {
		w.must(f.send(veriffSecret, e))
		first.look()
	}
	is(first, enrol.StateProven)
	if first.view.Version != version {
		t.Error("events of the past changed something")
	}
	// The other person's session was answered with the first one's decision.
	f.decisions["v-2"] = f.decisions["v-1"]
	w.must(f.send(veriffSecret, event("v-2", 7002, "submitted")))
	if err := w.Look(ctx, second.id); !errors.Is(err, enrol.ErrForeignResult) {
		t.Errorf("another's decision: %v", err)
	}
	is(second, enrol.StateProofing)
	f.decide(2, 9102, "declined")
	second.look()
	is(second, enrol.StateRejected)
	f.decide(2, 9001, "approved")
	second.look()
	is(second, enrol.StateRejected)

	if n := w.store.count("identity.notified"); n != 7 {
		t.Errorf("%d callbacks in the log, want 7", n)
	}
	first.sendAgreement()
	first.got(first.accept(first.code()))
	is(first, enrol.StateIssued)
	if w.device.keys != 1 {
		t.Errorf("%d keys", w.device.keys)
	}
}
