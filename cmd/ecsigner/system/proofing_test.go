package system_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/client"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/system"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
)

const (
	callbackSecret = "0123456789abcdef0123456789abcdef"
	formerSecret   = "fedcba9876543210fedcba9876543210"
	providerToken  = "token-of-the-installation"
)

// provider is an identity provider of the generic format, with every habit that a real one has.
type provider struct {
	*httptest.Server
	t       *testing.T
	mu      sync.Mutex
	started []map[string]any          // what was asked for, by session
	says    map[string]map[string]any // by session
	hold    chan struct{}             // while set, results are not answered until it is closed
	asked   chan string               // each session whose result is asked for
	errors  int                       // requests to answer with an error first
}

func newProvider(t *testing.T) *provider {
	p := &provider{t: t, says: map[string]map[string]any{}, asked: make(chan string, 1000)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /start", p.start)
	mux.HandleFunc("GET /result/{session}", p.result)
	mux.HandleFunc("GET /evidence/{session}", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "evidence of "+r.PathValue("session"))
	})
	p.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+providerToken {
			t.Errorf("asked by %q", r.Header.Get("Authorization"))
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *provider) start(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var asked map[string]any
	if err != nil || json.Unmarshal(body, &asked) != nil || r.Header.Get("Ecsigner-Signature") != mac(callbackSecret, body) {
		p.t.Errorf("a session was asked for by %s (%v)", body, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.started = append(p.started, asked)
	session := fmt.Sprintf("session-%d", len(p.started))
	p.says[session] = map[string]any{"session": session, "reference": asked["reference"], "status": "pending"}
	_ = json.NewEncoder(w).Encode(map[string]any{"session": session, "url": p.URL + "/page/" + session})
}

func (p *provider) result(w http.ResponseWriter, r *http.Request) {
	session := r.PathValue("session")
	p.mu.Lock()
	hold, answer := p.hold, p.says[session]
	if p.errors > 0 {
		p.errors--
		answer = nil
	}
	p.mu.Unlock()
	p.asked <- session
	if hold != nil {
		select {
		case <-hold:
		case <-r.Context().Done():
			return
		}
	}
	if answer == nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// decide sets what the provider says about the newest session.
func (p *provider) decide(status string, final bool, change func(person map[string]any)) (session string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	session = fmt.Sprintf("session-%d", len(p.started))
	asked := p.started[len(p.started)-1]
	person := map[string]any{}
	for k, v := range asked["claimed"].(map[string]any) {
		person[k] = v
	}
	change(person)
	p.says[session] = map[string]any{
		"session": session, "reference": asked["reference"], "status": status, "final": final, "person": person,
		"phone": asked["phone"], "level": "extended", "method": "chip", "completed_at": time.Now().UTC().Format(time.RFC3339Nano),
	}
	return session
}

func (p *provider) set(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

func mac(secret string, body []byte) string {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write(body)
	return hex.EncodeToString(h.Sum(nil))
}

// install writes the provider into the configuration of an installation that is not running, and returns the address of
// the callbacks.
func (p *provider) install(i *system.Installation) string {
	p.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		p.t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Certificate().Raw})
	for name, content := range map[string]string{
		"idp.token": providerToken, "idp.secret": callbackSecret + "\n", "idp.former": formerSecret, "idp.pem": string(ca),
	} {
		if err := os.WriteFile(i.Path("secrets", name), []byte(content), 0o600); err != nil {
			p.t.Fatal(err)
		}
	}
	text, err := os.ReadFile(i.Path("ecsigner.yaml"))
	if err != nil {
		p.t.Fatal(err)
	}
	before, section, _ := strings.Cut(string(text), "\nproofing:\n")
	section = strings.NewReplacer(
		"providers: {}", fmt.Sprintf(`providers:
    video:
      kind: http
      start_url: %[1]s/start
      fetch_url: %[1]s/result/{session}
      evidence_url: %[1]s/evidence/{session}
      key_file: secrets/idp.token
      secret_files: [secrets/idp.secret, secrets/idp.former]
      ca_file: secrets/idp.pem`, p.URL),
		`listen: ""`, "listen: "+address, "poll: 10m", "poll: 1h",
	).Replace(section)
	if err := os.WriteFile(i.Path("ecsigner.yaml"), []byte(before+"\nproofing:\n"+section), 0o600); err != nil {
		p.t.Fatal(err)
	}
	return address
}

// call sends a callback and returns the status of the answer.
func (p *provider) call(address, secret, event, session string) int {
	p.t.Helper()
	body := fmt.Appendf(nil, `{"event":%q,"session":%q,"at":%q}`, event, session, time.Now().UTC().Format(time.RFC3339))
	r, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, "http://"+address+"/identity/video", strings.NewReader(string(body)))
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Ecsigner-Signature", mac(secret, body))
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	_ = answer.Body.Close()
	return answer.StatusCode
}

// until watches an enrolment from the last revision on, as a portal does, and returns the states it was shown until the
// one that is wanted.
func until(t *testing.T, i *system.Installation, last *pb.Enrolment, state pb.EnrolmentState) *pb.Enrolment {
	t.Helper()
	ctx, cancel := context.WithTimeout(i.Context(), time.Minute)
	defer cancel()
	for {
		s, err := i.Portal().Enrolment.WatchEnrolment(ctx, &pb.WatchEnrolmentRequest{
			EnrolmentId: last.GetId(), AfterRevision: last.GetRevision(),
		})
		if err != nil {
			t.Fatal(err)
		}
		m, err := s.Recv()
		if err != nil {
			t.Fatalf("after revision %d, %s: %v", last.GetRevision(), last.GetState(), err)
		}
		if m.GetEnrolment().GetRevision() <= last.GetRevision() {
			t.Fatalf("revision %d after %d", m.GetEnrolment().GetRevision(), last.GetRevision())
		}
		if last = m.GetEnrolment(); last.GetState() == state {
			return last
		}
	}
}

// ask brings person n to a session of the provider, and waits until that was asked about, as every session is at once.
func ask(t *testing.T, i *system.Installation, p *provider, n int) *pb.Enrolment {
	t.Helper()
	id, _ := i.Proofing(n)
	a, err := i.Portal().Enrolment.StartIdentityProofing(i.Context(), &pb.StartIdentityProofingRequest{
		RequestId: client.RequestID(), EnrolmentId: id, Provider: "video",
	})
	if err != nil {
		t.Fatal(err)
	}
	askedAbout(t, p.asked, fmt.Sprintf("session-%d", n))
	return a.GetEnrolment()
}

func asGiven(map[string]any) {}

// TestProofingByCallback: a provider that is asked defers, the server is restarted, and dies between the callback that
// says "decided" and the work on it; after the restart the person is proven, and gets a certificate.
func TestProofingByCallback(t *testing.T) {
	t.Parallel()
	i := system.New(t, build.Program(t))
	p := newProvider(t)
	callbacks := p.install(i)
	i.Start()
	e := ask(t, i, p, 1)
	if !strings.HasPrefix(e.GetProofing().GetUrl(), p.URL) || e.GetProofing().GetProvider() != "video" {
		t.Fatalf("%v", e)
	}
	session := p.decide("positive", true, asGiven)
	for _, c := range []struct {
		secret, session string
		want            int
	}{{"no secret of ours, of the same length", session, 401}, {callbackSecret, "session-99", 200}, {callbackSecret, "s/?", 400}} {
		if got := p.call(callbacks, c.secret, "early", c.session); got != c.want {
			t.Errorf("callback about %s: %d, want %d", c.session, got, c.want)
		}
	}
	p.decide("deferred", false, asGiven)
	if got := p.call(callbacks, formerSecret, "1", session); got != 200 {
		t.Fatalf("callback under the former secret: %d", got)
	}
	e = until(t, i, e, pb.EnrolmentState_ENROLMENT_STATE_DEFERRED)
	if text := i.Message("deferred", ""); !strings.Contains(text, e.GetExpireTime().AsTime().Format(time.DateOnly)) {
		t.Errorf("the person was told %q", text)
	}
	if code := i.Stop(); code != 0 {
		t.Errorf("the server ended with code %d", code)
	}
	i.Start()
	if got, err := i.Portal().Enrolment.GetEnrolment(i.Context(), &pb.GetEnrolmentRequest{EnrolmentId: e.GetId()}); err != nil ||
		got.GetEnrolment().GetState() != pb.EnrolmentState_ENROLMENT_STATE_DEFERRED || got.GetEnrolment().GetRevision() != e.GetRevision() {
		t.Errorf("after the restart: %v, %v", got, err)
	}
	askedAbout(t, p.asked, session) // the one that every start asks

	hold := make(chan struct{})
	p.set(func() { p.hold = hold })
	p.decide("positive", true, asGiven)
	if got := p.call(callbacks, callbackSecret, "2", session); got != 200 {
		t.Fatalf("callback: %d", got)
	}
	askedAbout(t, p.asked, session) // the work has begun and waits for the provider
	i.Kill()
	close(hold)
	p.set(func() { p.hold, p.errors = nil, 1 })
	i.Start()
	e = until(t, i, e, pb.EnrolmentState_ENROLMENT_STATE_PROVEN)
	if got := p.call(callbacks, callbackSecret, "2", session); got != 200 {
		t.Errorf("the same callback again: %d", got)
	}
	if _, _, err := i.Portal().Agreement(i.Context(), e.GetId()); err != nil {
		t.Fatal(err)
	}
	a, err := i.Portal().Enrolment.AcceptAgreement(i.Context(), i.Accept(e.GetId(), e.GetAgreementSha256()))
	if err != nil || a.GetEnrolment().GetState() != pb.EnrolmentState_ENROLMENT_STATE_ISSUED {
		t.Errorf("%v, %v", a, err)
	}
	if n := strings.Count(kinds(t, i, 0), "IdentityNotified"); n != 3 {
		t.Errorf("%d callbacks in the log, want 3: about no session, deferred, decided", n)
	}

	// Other data than given: the person sees them, and accepts.
	e = ask(t, i, p, 2)
	session = p.decide("positive", true, func(person map[string]any) { person["surname"] = "Kowalczuk" })
	p.call(callbacks, callbackSecret, "3", session)
	e = until(t, i, e, pb.EnrolmentState_ENROLMENT_STATE_REVIEW)
	if r := e.GetProofing(); r.GetProven().GetSurname() != "Kowalczuk" || !slices.Equal(r.GetFields(), []string{"surname"}) || r.GetReason() != pb.ProofingReason_PROOFING_REASON_DATA_DIFFER {
		t.Errorf("%v", r)
	}
	reviewed, err := i.Portal().Enrolment.AcceptProvenData(i.Context(), &pb.AcceptProvenDataRequest{
		RequestId: client.RequestID(), EnrolmentId: e.GetId(), ReportSha256: e.GetProofing().GetReportSha256(),
	})
	if err != nil || reviewed.GetEnrolment().GetPerson().GetSurname() != "Kowalczuk" {
		t.Errorf("%v, %v", reviewed, err)
	}
	until(t, i, e, pb.EnrolmentState_ENROLMENT_STATE_PROVEN)
	endRun(t, i)
	for _, secret := range []string{callbackSecret, formerSecret, providerToken, "Kowalczuk"} {
		if strings.Contains(i.Stderr.String(), secret) {
			t.Errorf("the service's log holds %q", secret)
		}
	}
}

// askedAbout waits until a session is asked for.
func askedAbout(t *testing.T, asked <-chan string, session string) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		select {
		case got := <-asked:
			if got == session {
				return
			}
		case <-deadline:
			t.Fatalf("nobody asked about %s", session)
		}
	}
}

// TestDeferredExpires: nobody decides. The enrolment ends by itself, also while nothing runs, and the person is told.
func TestDeferredExpires(t *testing.T) {
	t.Parallel()
	i := system.New(t, build.Program(t))
	text, err := os.ReadFile(i.Path("ecsigner.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	text = []byte(strings.Replace(string(text), "deferred_life: 168h", "deferred_life: 1s", 1))
	if err := os.WriteFile(i.Path("ecsigner.yaml"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	i.Start()
	id, reference := i.Proofing(1)
	deferred := system.Proven(1, id, reference)
	deferred.Outcome = pb.IdentityOutcome_IDENTITY_OUTCOME_DEFERRED
	if a, err := i.Identity().Enrolment.ReportIdentityResult(i.Context(), deferred); err != nil || a.GetState() != pb.EnrolmentState_ENROLMENT_STATE_DEFERRED {
		t.Fatalf("%v, %v", a, err)
	}
	var e *pb.Enrolment
	for began := time.Now(); e.GetState() != pb.EnrolmentState_ENROLMENT_STATE_EXPIRED; {
		if time.Since(began) > 30*time.Second {
			t.Fatalf("it is still %s", e.GetState())
		}
		if code := i.Stop(); code != 0 {
			t.Errorf("the server ended with code %d", code)
		}
		i.Start()
		a, err := i.Portal().Enrolment.GetEnrolment(i.Context(), &pb.GetEnrolmentRequest{EnrolmentId: id})
		if err != nil {
			t.Fatal(err)
		}
		e = a.GetEnrolment()
	}
	if e.GetNextAction() != pb.EnrolmentAction_ENROLMENT_ACTION_UNSPECIFIED {
		t.Errorf("%v", e)
	}
	if text := i.Message("expired", ""); !strings.Contains(text, time.Now().UTC().Format(time.DateOnly)) {
		t.Errorf("the person was told %q", text)
	}
	late := system.Proven(1, id, reference)
	if _, err := i.Identity().Enrolment.ReportIdentityResult(i.Context(), late); reason(err) != "ENROLMENT_EXPIRED" {
		t.Errorf("a result that came too late: %v", err)
	}
	endRun(t, i)
}
