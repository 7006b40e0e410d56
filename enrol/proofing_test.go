package enrol_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/enrol"
	"github.com/ecsigner/ecsigner/otp/sms"
)

const video = "video-1" // a provider that is asked

// idp is a provider that says what the test wants. It accuses who asks for what it never opened.
type idp struct {
	t        testing.TB
	mu       sync.Mutex
	sessions map[string]enrol.ProofingRequest
	says     map[string]enrol.Result
	fetches  int
	fault    error
	evidence string
}

func (p *idp) Start(_ context.Context, r enrol.ProofingRequest) (enrol.Session, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fault != nil {
		return enrol.Session{}, p.fault
	}
	id := fmt.Sprintf("session-%d", len(p.sessions)+1)
	p.sessions[id] = r
	return enrol.Session{ID: id, URL: "https://idp.example/" + id}, nil
}

// ParseCallback reads "session event", signed by a header.
func (p *idp) ParseCallback(h http.Header, body []byte, _ time.Time) (enrol.Callback, error) {
	if h.Get("Signed") != "yes" {
		return enrol.Callback{}, enrol.ErrCallback
	}
	session, event, ok := strings.Cut(string(body), " ")
	if !ok {
		return enrol.Callback{}, enrol.ErrCallbackBody
	}
	return enrol.Callback{Session: session, Event: event}, nil
}

func (p *idp) Fetch(_ context.Context, session string) (enrol.Result, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fetches++
	if p.fault != nil {
		return enrol.Result{}, p.fault
	}
	if _, ok := p.sessions[session]; !ok {
		p.t.Errorf("asked for session %q, which was never opened", session)
	}
	r, ok := p.says[session]
	if !ok {
		r = enrol.Result{Session: session, Reference: p.sessions[session].Reference, Progress: enrol.ProgressPending}
	}
	return r, nil
}

func (p *idp) Evidence(context.Context, string) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(p.evidence)), nil
}

// say sets what is found about a session: what was claimed, with one change.
func (p *idp) say(session string, at time.Time, change func(*enrol.Result)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.sessions[session]
	c := r.Claimed
	result := enrol.Result{
		Session: session, Reference: r.Reference, Progress: enrol.ProgressPositive, Final: true, Level: "extended", Method: "chip",
		Person:      enrol.Person{GivenName: c.GivenName, Surname: c.Surname},
		Identifiers: []enrol.Identifier{{Type: "PAS", Country: c.Country, Value: "FA123456"}, {Type: c.IdentifierType, Country: c.Country, Value: c.Identifier}},
		BirthDate:   r.BirthDate, Phone: r.Phone, At: at,
	}
	change(&result)
	p.says[session] = result
}

func as(progress enrol.Progress) func(*enrol.Result) {
	return func(r *enrol.Result) { r.Progress = progress }
}

// withIDP gives a world a provider that is asked.
func withIDP(w *world) *idp {
	p := &idp{t: w, sessions: map[string]enrol.ProofingRequest{}, says: map[string]enrol.Result{}, evidence: "the package"}
	w.config.Proofers = map[string]enrol.Provider{video: p}
	w.start()
	return p
}

// session brings an enrolment to a session of the provider that is asked.
func (w *world) session() (*person, string) {
	w.Helper()
	p := w.reach(enrol.StatePhone)
	p.got(w.StartIdentityProofing(context.Background(), portal, p.id, w.request(), video))
	return p, p.view.Proofing.URL[strings.LastIndex(p.view.Proofing.URL, "/")+1:]
}

func (w *world) call(body string, header ...string) error {
	h := http.Header{"Signed": {"yes"}}
	for _, v := range header {
		h.Set("Signed", v)
	}
	return w.TakeCallback(context.Background(), video, h, []byte(body))
}

func (p *person) look() {
	p.Helper()
	p.must(p.Look(context.Background(), p.id))
	p.got(p.Get(context.Background(), portal, p.id))
}

func nothing(*enrol.Result) {}

func TestAskedProvider(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	idp := withIDP(w)
	p, session := w.session()
	if v := p.view; v.State != enrol.StateProofing || v.Proofing.Provider != video || v.Proofing.URL == "" {
		t.Errorf("%+v", v)
	}
	r := idp.sessions[session]
	if r.Reference != p.view.ProofingReference || r.Claimed != p.view.Person || r.Phone != data().Phone || r.BirthDate != data().BirthDate {
		t.Errorf("asked for %+v", r)
	}
	p.look() // nothing is there yet
	idp.say(session, w.now(), nothing)
	w.must(w.call(session + " 1"))
	if v, err := w.Get(ctx, portal, p.id); err != nil || v.State != enrol.StateProofing {
		t.Errorf("the callback itself decided: %s, %v", v.State, err)
	}
	p.look()
	if v := p.view; v.State != enrol.StateProven || v.Proofing.URL != "" || v.Proofing.Proven.LocalName != data().LocalName || len(v.Proofing.ReportSHA256) != 32 {
		t.Errorf("%+v", v)
	}
	sum := sha256.Sum256([]byte("the package"))
	found := false
	for _, e := range w.store.events {
		r, ok := e.(audit.IdentityReported)
		found = found || ok && bytes.Equal(r.Evidence, sum[:])
	}
	if !found {
		t.Error("the evidence's digest is not in the log")
	}
	p.sendAgreement()
	p.got(p.accept(p.code()))
	if p.view.State != enrol.StateIssued {
		t.Errorf("%s", p.view.State)
	}
	if got := w.alarmed(); len(got) > 0 {
		t.Error(got)
	}
}

func TestProviderIsAway(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	idp := withIDP(w)
	p := w.reach(enrol.StatePhone)
	idp.fault = enrol.ErrProvider
	if _, err := w.StartIdentityProofing(ctx, portal, p.id, "start", video); !errors.Is(err, enrol.ErrProvider) {
		t.Error(err)
	}
	idp.fault = nil
	p.got(w.StartIdentityProofing(ctx, portal, p.id, "start", video))
	p.got(w.StartIdentityProofing(ctx, portal, p.id, "start", video))
	if p.view.State != enrol.StateProofing || len(idp.sessions) != 1 {
		t.Errorf("%s, %d sessions", p.view.State, len(idp.sessions))
	}
	idp.fault = enrol.ErrProvider
	if err := w.Look(ctx, p.id); !errors.Is(err, enrol.ErrProvider) {
		t.Error(err)
	}
}

// TestTrustCallbacks: only an authentic callback is taken, and none is more than a hint to look: not a positive one, not
// one that is repeated, late, for another enrolment or out of order.
func TestTrustCallbacks(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	idp := withIDP(w)
	p, session := w.session()
	other, theirs := w.session()

	if err := w.call(session+" 1", "no"); !errors.Is(err, enrol.ErrCallback) {
		t.Errorf("mis-signed: %v", err)
	}
	if err := w.TakeCallback(ctx, "video-2", http.Header{"Signed": {"yes"}}, []byte(session+" 1")); !errors.Is(err, enrol.ErrCallback) {
		t.Errorf("unknown provider: %v", err)
	}
	for _, body := range []string{"nonsense", "a/session?with<signs> 1", session + " "} {
		if err := w.call(body); !errors.Is(err, enrol.ErrCallbackBody) {
			t.Errorf("%q: %v", body, err)
		}
	}
	if w.store.count("identity.notified") != 0 {
		t.Error("a refused callback is in the log")
	}
	// An unknown session is answered like a known one.
	for _, body := range []string{session + " 1", "session-99 2"} {
		if err := w.call(body); err != nil {
			t.Errorf("%q: %v", body, err)
		}
	}
	var flight sync.WaitGroup
	for range 20 {
		flight.Go(func() {
			if err := w.call(session + " 1"); err != nil {
				t.Error(err)
			}
		})
	}
	flight.Wait()
	if n := w.store.count("identity.notified"); n != 2 {
		t.Errorf("%d events of 2 callbacks", n)
	}

	// The provider confuses two persons: neither is proven by it.
	idp.say(theirs, w.now(), nothing)
	idp.says[session] = idp.says[theirs]
	if err := w.Look(ctx, p.id); !errors.Is(err, enrol.ErrForeignResult) || len(w.alarmed()) != 1 {
		t.Errorf("another session's result: %v, %v", err, w.alarmed())
	}
	idp.say(session, w.now(), func(r *enrol.Result) { r.Reference = idp.sessions[theirs].Reference })
	if err := w.Look(ctx, p.id); !errors.Is(err, enrol.ErrForeignResult) {
		t.Errorf("another enrolment's result: %v", err)
	}
	if v, err := w.Get(ctx, portal, p.id); err != nil || v.State != enrol.StateProofing {
		t.Errorf("%s, %v", v.State, err)
	}
	// Who has the provider's name as a client cannot report in its place.
	report := p.result()
	if _, err := w.ReportIdentityResult(ctx, video, w.request(), report); !errors.Is(err, enrol.ErrNotFound) {
		t.Errorf("reported instead of fetched: %v", err)
	}

	// Positive, but not for good: deferred. Then positive; what comes after it and is not final changes nothing.
	idp.say(session, w.now(), func(r *enrol.Result) { r.Final = false })
	p.look()
	if p.view.State != enrol.StateDeferred {
		t.Errorf("not final: %s", p.view.State)
	}
	w.wait(time.Hour)
	idp.say(session, w.now(), nothing)
	p.look()
	version := p.view.Version
	for i, change := range []func(*enrol.Result){
		as(enrol.ProgressPending), as(enrol.ProgressDeferred), as(enrol.ProgressExpired), as(enrol.ProgressCancelled), nothing,
		func(r *enrol.Result) { r.Progress, r.Final = enrol.ProgressNegative, false },
	} {
		idp.say(session, w.now(), change)
		w.must(w.call(fmt.Sprint(session, " late-", i)))
		p.look()
		if p.view.State != enrol.StateProven || p.view.Version != version {
			t.Errorf("%d: after a final result: %s", i, p.view.State)
		}
	}
	idp.say(session, w.now(), as(enrol.ProgressNegative))
	p.look()
	if p.view.State != enrol.StateRejected || len(p.view.AgreementSHA256) != 0 {
		t.Errorf("a final refusal before the acceptance: %s", p.view.State)
	}
	idp.say(session, w.now(), nothing)
	p.look()
	if p.view.State != enrol.StateRejected {
		t.Errorf("positive after negative: %s", p.view.State)
	}

	// A result of a session that was replaced is for nobody.
	idp.say(theirs, w.now(), nothing)
	other.got(w.StartIdentityProofing(ctx, portal, other.id, w.request(), video))
	w.must(w.call(theirs + " 7"))
	other.look()
	if other.view.State != enrol.StateProofing || w.device.keys != 0 {
		t.Errorf("the former session's result counted: %s", other.view.State)
	}
}

// The session ends without a result: the person begins a new one, and is told why.
func TestSessionEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	idp := withIDP(w)
	for _, progress := range []enrol.Progress{enrol.ProgressExpired, enrol.ProgressCancelled} {
		p, session := w.session()
		idp.say(session, time.Time{}, as(progress))
		p.look()
		if v := p.view; v.State != enrol.StatePhone || v.NextAction != enrol.ActionStartProofing || v.Proofing.Reason != enrol.ReasonSessionEnded {
			t.Errorf("%s: %+v", progress, v)
		}
		p.got(w.StartIdentityProofing(context.Background(), portal, p.id, w.request(), video))
		if p.view.State != enrol.StateProofing || p.view.Proofing.Reason != "" {
			t.Errorf("%+v", p.view)
		}
	}
}

// What was proven differs from the form: the person sees it, and only their word makes it theirs.
func TestReviewOfProvenData(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for field, change := range map[string]func(*enrol.IdentityResult){
		"given_name": func(r *enrol.IdentityResult) { r.Person.GivenName = "Tarasi" },
		"surname":    func(r *enrol.IdentityResult) { r.Person.Surname = "Ševčenko" },
		"local_name": func(r *enrol.IdentityResult) { r.Person.LocalName = "Тарас Григорович Шевченко" },
		"identifier": func(r *enrol.IdentityResult) { r.Person.Identifier = "2935412324" },
	} {
		w := newWorld(t)
		p := w.reach(enrol.StateProofing)
		r := p.result()
		change(&r)
		p.got(w.ReportIdentityResult(ctx, provider, w.request(), r))
		v := p.view
		if v.State != enrol.StateReview || v.Proofing.Reason != enrol.ReasonDiffers || !slices.Equal(v.Proofing.Fields, []string{field}) ||
			v.Proofing.Proven != r.Person || v.Proofing.BirthDate != r.BirthDate || v.Person == r.Person || len(v.AgreementSHA256) != 0 {
			t.Errorf("%s: %+v", field, v)
			continue
		}
		w.start() // another process
		if _, err := w.AcceptProvenData(ctx, portal, p.id, w.request(), make([]byte, 32)); !errors.Is(err, enrol.ErrIdentityDiffers) {
			t.Errorf("%s: other data than the proven were accepted: %v", field, err)
		}
		if _, err := w.AcceptProvenData(ctx, "portal-2", p.id, w.request(), v.Proofing.ReportSHA256); !errors.Is(err, enrol.ErrNotFound) {
			t.Errorf("%s: another portal: %v", field, err)
		}
		p.got(w.AcceptProvenData(ctx, portal, p.id, "accept", v.Proofing.ReportSHA256))
		p.got(w.AcceptProvenData(ctx, portal, p.id, "accept", v.Proofing.ReportSHA256))
		if p.view.State != enrol.StateProven || p.view.Person != r.Person || p.view.Proofing.Reason != "" {
			t.Errorf("%s: %+v", field, p.view)
		}
		p.sendAgreement()
		p.got(p.accept(p.code()))
		c, err := w.Credential(ctx, p.view.Credential, "")
		if err != nil || p.view.State != enrol.StateIssued {
			t.Fatalf("%s: %s, %v", field, p.view.State, err)
		}
		for _, proven := range []string{r.Person.GivenName, r.Person.Surname, r.Person.Identifier} {
			if !bytes.Contains(c.Chain[0], []byte(proven)) {
				t.Errorf("%s: the certificate does not say %q", field, proven)
			}
		}
	}
}

// A person who finds the proven data wrong corrects the form, and is proven anew.
func TestReviewIsCorrected(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	p := w.at(enrol.StateReview)
	corrected := data()
	corrected.Surname = "Szewczenko"
	p.got(w.SetPersonalData(ctx, portal, p.id, w.request(), corrected))
	if v := p.view; v.State != enrol.StateData || v.Outcome != "" || v.Proofing.Reason != "" || v.Proofing.Provider != "" || v.Proofing.Proven != (enrol.Person{}) {
		t.Errorf("%+v", v)
	}
}

// No certificate could rest on these results: back to the data, with the reason, and to a phone that is confirmed anew.
func TestResultThatCarriesNothing(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for name, c := range map[string]struct {
		change func(*enrol.IdentityResult)
		reason enrol.Reason
		fields string
	}{
		"another phone":            {func(r *enrol.IdentityResult) { r.Phone = "+380501234568" }, enrol.ReasonPhoneDiffers, "phone"},
		"no phone":                 {func(r *enrol.IdentityResult) { r.Phone = "" }, enrol.ReasonAttributeMissing, "phone"},
		"another kind of number":   {func(r *enrol.IdentityResult) { r.Person.IdentifierType = "PNO" }, enrol.ReasonAttributeMissing, "identifier"},
		"no names":                 {func(r *enrol.IdentityResult) { r.Person.GivenName, r.Person.Surname = "", "" }, enrol.ReasonAttributeMissing, "given_name,surname"},
		"no birth date":            {func(r *enrol.IdentityResult) { r.BirthDate = "" }, enrol.ReasonAttributeMissing, "birth_date"},
		"a name that is no name":   {func(r *enrol.IdentityResult) { r.Person.Surname = "Шевченко" }, enrol.ReasonAttributeRefused, "surname"},
		"a wrong check digit":      {func(r *enrol.IdentityResult) { r.Person.Identifier = "2935412319" }, enrol.ReasonAttributeRefused, "identifier"},
		"a phone and another name": {func(r *enrol.IdentityResult) { r.Phone, r.Person.Surname = "+380501234568", "X" }, enrol.ReasonPhoneDiffers, "phone"},
	} {
		w := newWorld(t)
		p := w.reach(enrol.StateProofing)
		r := p.result()
		c.change(&r)
		p.got(w.ReportIdentityResult(ctx, provider, w.request(), r))
		v := p.view
		if v.State != enrol.StateData || v.NextAction != enrol.ActionSetPersonalData || v.Outcome != "" || v.Proofing.Reason != c.reason ||
			strings.Join(v.Proofing.Fields, ",") != c.fields || len(v.AgreementSHA256) != 0 {
			t.Errorf("%s: %+v", name, v)
		}
		if _, err := w.StartIdentityProofing(ctx, portal, p.id, w.request(), provider); !errors.Is(err, enrol.ErrState) {
			t.Errorf("%s: the phone is still confirmed: %v", name, err)
		}
	}
}

// The proven birth date is not the one in the proven number: somebody has to look at it.
func TestBirthDateConflictIsDeferred(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	p := w.reach(enrol.StateProofing)
	r := p.result()
	r.BirthDate = "1980-05-15"
	p.got(w.ReportIdentityResult(ctx, provider, w.request(), r))
	if v := p.view; v.State != enrol.StateDeferred || v.Proofing.Reason != enrol.ReasonBirthDateConflict {
		t.Errorf("%+v", v)
	}
	version := p.view.Version
	p.got(w.ReportIdentityResult(ctx, provider, w.request(), r))
	if p.view.State != enrol.StateDeferred || p.view.Version != version {
		t.Errorf("said again: %+v", p.view)
	}
	p.got(w.ReportIdentityResult(ctx, provider, w.request(), p.result()))
	if p.view.State != enrol.StateProven {
		t.Errorf("%+v", p.view)
	}
}

// Deferred lasts over a restart, tells the person, becomes positive only by asking, and ends when nobody decides.
func TestDeferredWaits(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	idp := withIDP(w)
	p, session := w.session()
	idp.say(session, w.now(), as(enrol.ProgressDeferred))
	p.look()
	if v := p.view; v.State != enrol.StateDeferred || !v.Expires.Equal(w.now().Add(w.config.DeferredLife)) {
		t.Errorf("%+v", v)
	}
	text, err := w.newest()
	if err != nil || text.To != data().Phone || !strings.Contains(text.Body, v(p.view.Expires)) {
		t.Errorf("%+v, %v", text, err)
	}
	version, messages := p.view.Version, len(w.store.data.outbox)
	p.look() // the same again
	if p.view.Version != version || len(w.store.data.outbox) != messages {
		t.Error("said again, recorded again")
	}
	w.wait(w.config.DeferredLife - time.Minute)
	w.start()
	if n, err := w.Sweep(ctx); err != nil || n != 0 {
		t.Errorf("swept too early: %d, %v", n, err)
	}
	restore := w.snapshot()
	idp.say(session, w.now(), nothing)
	w.must(w.call(session + " 1"))
	p.look()
	if p.view.State != enrol.StateProven {
		t.Errorf("%s", p.view.State)
	}
	if _, err := w.Compose(ctx, sms.Message{Kind: sms.KindDeferred, Subject: p.id}); !errors.Is(err, sms.ErrObsolete) {
		t.Errorf("a notice that is no longer true: %v", err)
	}
	restore()
	w.wait(time.Minute)
	p.look() // a positive result, but too late
	if p.view.State != enrol.StateDeferred {
		t.Errorf("taken after its time: %s", p.view.State)
	}
	if n, err := w.Sweep(ctx); err != nil || n != 1 {
		t.Errorf("swept: %d, %v", n, err)
	}
	p.look()
	if p.view.State != enrol.StateExpired {
		t.Errorf("%s", p.view.State)
	}
	if text, err := w.newest(); err != nil || text.To != data().Phone || !strings.Contains(text.Body, "минув") {
		t.Errorf("%+v, %v", text, err)
	}
}

func v(t time.Time) string { return t.Format(time.DateOnly) }

// TestTrustClockStepsBack: who sets the clock back makes nothing last longer.
func TestTrustClockStepsBack(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, state := range []enrol.State{enrol.StateData, enrol.StateDeferred, enrol.StateReview, enrol.StateProven} {
		w := newWorld(t)
		p := w.at(state)
		// What the process has seen, and after a restart what the log holds, is not undone.
		w.wait(w.config.Life)
		if _, _, err := w.SendAgreementCode(ctx, portal, p.id, w.request()); !errors.Is(err, enrol.ErrExpired) && !errors.Is(err, enrol.ErrState) {
			t.Fatal(err)
		}
		seen := w.now()
		w.wait(-w.config.Life)
		for range 2 {
			_, set := w.SetPersonalData(ctx, portal, p.id, w.request(), data())
			_, _, send := w.SendAgreementCode(ctx, portal, p.id, w.request())
			_, report := w.ReportIdentityResult(ctx, provider, w.request(), p.result())
			if p.view.ProofingReference == "" {
				report = enrol.ErrClock // to this provider there is no such enrolment, whatever the clock says
			}
			_, sweep := w.Sweep(ctx)
			for i, err := range []error{set, send, report, sweep} {
				if !errors.Is(err, enrol.ErrClock) {
					t.Errorf("%s, %d: %v", state, i, err)
				}
			}
			w.start()
			w.Seen(seen)
		}
		w.wait(w.config.Life)
		if n, err := w.Sweep(ctx); err != nil || n != 1 {
			t.Errorf("%s: once the clock is right: %d, %v", state, n, err)
		}
	}
	// Even where nothing was seen, nothing happens before the enrolment's last change.
	w := newWorld(t)
	p := w.at(enrol.StateProven)
	w.wait(-time.Hour)
	w.start()
	if _, _, err := w.SendAgreementCode(ctx, portal, p.id, w.request()); !errors.Is(err, enrol.ErrClock) {
		t.Error(err)
	}
}

// TestTrustOldProof: a proof that is too old carries no agreement and no key, wherever it is found out.
func TestTrustOldProof(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	age := func(w *world) { w.wait(w.config.ProofAge + time.Second) }
	back := func(p *person, err error) {
		p.Helper()
		v, gone := p.Get(ctx, portal, p.id)
		if !errors.Is(err, enrol.ErrProofingTooOld) || gone != nil || v.State != enrol.StatePhone || v.NextAction != enrol.ActionStartProofing ||
			v.Proofing.Reason != enrol.ReasonTooOld || v.Outcome != "" || len(v.AgreementSHA256) != 0 {
			p.Errorf("%v, %+v", err, v)
		}
		if p.device.keys != 0 {
			p.Error("a key was made")
		}
	}
	t.Run("code", func(t *testing.T) {
		p := newWorld(t).at(enrol.StateProven)
		age(p.world)
		_, _, err := p.SendAgreementCode(ctx, portal, p.id, p.request())
		back(p, err)
	})
	t.Run("acceptance", func(t *testing.T) {
		w := newWorld(t)
		w.config.Limits.Life = 20 * 24 * time.Hour
		w.start()
		p := w.at(enrol.StateProven)
		p.sendAgreement()
		code := p.code()
		age(w)
		_, err := p.accept(code)
		back(p, err)
	})
	t.Run("review", func(t *testing.T) {
		p := newWorld(t).at(enrol.StateReview)
		age(p.world)
		_, err := p.AcceptProvenData(ctx, portal, p.id, p.request(), p.view.Proofing.ReportSHA256)
		back(p, err)
	})
	t.Run("key", func(t *testing.T) {
		w := newWorld(t)
		p := w.at(enrol.StateIssuing)
		w.device.fault = nil
		age(w)
		_, err := w.Resume(ctx)
		back(p, err)
		if _, err := w.Resume(ctx); err != nil {
			t.Errorf("it is taken up again: %v", err)
		}
		// The whole way again, to a certificate whose agreement is the new one.
		p.got(w.StartIdentityProofing(ctx, portal, p.id, w.request(), provider))
		p.got(w.ReportIdentityResult(ctx, provider, w.request(), p.result()))
		p.sendAgreement()
		p.got(p.accept(p.code()))
		a, err := w.Agreement(ctx, portal, p.id)
		if err != nil || p.view.State != enrol.StateIssued || !a.Sealed || !bytes.Equal(a.SHA256, p.view.AgreementSHA256) {
			t.Errorf("%s, %v", p.view.State, err)
		}
	})
	t.Run("result", func(t *testing.T) {
		w := newWorld(t)
		p := w.at(enrol.StateProofing)
		r := p.result()
		age(w)
		_, err := w.ReportIdentityResult(ctx, provider, w.request(), r)
		if err == nil {
			err = enrol.ErrProofingTooOld
		}
		back(p, err)
	})
}

// TestTrustReportColumns: the report beside the sealed record cannot be exchanged.
func TestTrustReportColumns(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for name, change := range map[string]func(*enrol.Enrolment){
		"changed": func(e *enrol.Enrolment) { e.Proofing.Report = append(bytes.Clone(e.Proofing.Report), 0) },
		"gone":    func(e *enrol.Enrolment) { e.Proofing.Report = nil },
	} {
		w := newWorld(t)
		p := w.at(enrol.StateReview)
		p.swap(change)
		_, err := w.AcceptProvenData(ctx, portal, p.id, w.request(), p.view.Proofing.ReportSHA256)
		w.refusedBySeal(name, err)
	}
	// The session's column only says where a callback goes: a foreign one proves nothing.
	w := newWorld(t)
	idp := withIDP(w)
	p, session := w.session()
	q, theirs := w.session()
	idp.say(theirs, w.now(), nothing)
	p.swap(func(e *enrol.Enrolment) { e.Proofing.Session = theirs })
	q.swap(func(e *enrol.Enrolment) { e.Proofing.Session = session })
	w.must(w.call(theirs + " 1"))
	p.look()
	if p.view.State != enrol.StateProofing {
		t.Errorf("proven by another's session: %s", p.view.State)
	}
}

// Data that are changed after the review void the agreement, its code and the proof.
func TestTrustChangedDataVoidTheProof(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	changes := map[string]func(p *person) (enrol.View, error){
		"data": func(p *person) (enrol.View, error) {
			return p.SetPersonalData(ctx, portal, p.id, p.request(), data())
		},
		"parameters": func(p *person) (enrol.View, error) {
			return p.SetParameters(ctx, portal, p.id, p.request(), parameters())
		},
	}
	for name, change := range changes {
		w := newWorld(t)
		p := w.at(enrol.StateProven)
		p.sendAgreement()
		code, accepted, old := p.code(), p.acceptance(p.code()), p.result()
		p.got(change(p))
		if v := p.view; v.Outcome != "" || len(v.AgreementSHA256) != 0 || v.ProofingReference != "" {
			t.Errorf("%s: %+v", name, v)
		}
		if _, err := w.AcceptAgreement(ctx, portal, p.id, w.request(), accepted); !errors.Is(err, enrol.ErrState) {
			t.Errorf("%s: the former agreement was accepted: %v", name, err)
		}
		if _, err := w.text(); !errors.Is(err, sms.ErrObsolete) {
			t.Errorf("%s: the former code is still sent: %v", name, err)
		}
		if _, err := w.ReportIdentityResult(ctx, provider, w.request(), old); !errors.Is(err, enrol.ErrNotFound) {
			t.Errorf("%s: the former proof: %v", name, err)
		}
		p.got(w.SetParameters(ctx, portal, p.id, w.request(), parameters()))
		p.got(w.SetPersonalData(ctx, portal, p.id, w.request(), data()))
		if _, err := p.ConfirmPhone(ctx, portal, p.id, p.request(), code); !errors.Is(err, enrol.ErrState) && !errors.Is(err, enrol.ErrCode) {
			t.Errorf("%s: %v", name, err)
		}
		p.sendPhone()
		p.got(w.ConfirmPhone(ctx, portal, p.id, w.request(), p.code()))
		p.got(w.StartIdentityProofing(ctx, portal, p.id, w.request(), provider))
		p.got(w.ReportIdentityResult(ctx, provider, w.request(), p.result()))
		if _, err := p.accept(code); !errors.Is(err, enrol.ErrState) && !errors.Is(err, enrol.ErrCode) {
			t.Errorf("%s: the former code accepted the new agreement: %v", name, err)
		}
		p.sendAgreement()
		p.got(p.accept(p.code()))
		if p.view.State != enrol.StateIssued || w.device.keys != 1 || len(w.alarmed()) != 0 {
			t.Errorf("%s: %s, %d keys, %v", name, p.view.State, w.device.keys, w.alarmed())
		}
	}
}

// The worker asks about everything that is open when it starts, at once when a callback comes, and again when the
// provider was away.
func TestFollow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	idp := withIDP(w)
	first, session := w.session()
	idp.say(session, w.now(), nothing)
	w.start() // a process that knows of no callback
	ctx, stop := context.WithCancel(context.Background())
	var done sync.WaitGroup
	var failures []string
	var mu sync.Mutex
	done.Go(func() {
		w.Follow(ctx, time.Hour, func(id string, err error) {
			mu.Lock()
			defer mu.Unlock()
			failures = append(failures, fmt.Sprint(id, err))
			idp.mu.Lock()
			idp.fault = nil // the provider is back
			idp.mu.Unlock()
		})
	})
	until := func(p *person, state enrol.State) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); ; {
			v, err := w.Get(context.Background(), portal, p.id)
			w.must(err)
			if v.State == state {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s, want %s", v.State, state)
			}
			select {
			case <-time.After(time.Millisecond):
			case <-ctx.Done():
			}
		}
	}
	until(first, enrol.StateProven)
	second, session := w.session()
	idp.mu.Lock()
	idp.fault = enrol.ErrProvider
	idp.mu.Unlock()
	idp.say(session, w.now(), as(enrol.ProgressNegative))
	w.must(w.call(session + " 1"))
	until(second, enrol.StateRejected)
	stop()
	done.Wait()
	mu.Lock()
	defer mu.Unlock()
	if len(failures) != 1 || !strings.Contains(failures[0], second.id) {
		t.Errorf("%q", failures)
	}
}
