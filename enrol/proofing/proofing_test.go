package proofing_test

import (
	"bytes"
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
	oldSecret = "the secret of last year!"
	newSecret = "the secret of this year!"
	apiKey    = "integration-key-1"
)

var now = time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)

func mac(secret string, body []byte) string {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write(body)
	return hex.EncodeToString(h.Sum(nil))
}

// server is a provider that answers what the test says and keeps what it was asked.
type server struct {
	*httptest.Server
	mu     sync.Mutex
	asked  []*http.Request
	bodies [][]byte
	answer func(w http.ResponseWriter, r *http.Request)
}

func newServer(t *testing.T) *server {
	s := &server{}
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		s.asked, s.bodies = append(s.asked, r), append(s.bodies, body)
		answer := s.answer
		s.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *server) say(body string) {
	s.answer = func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }
}

func (s *server) last() (*http.Request, []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[len(s.asked)-1], s.bodies[len(s.bodies)-1]
}

func (s *server) link() proofing.Link {
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return proofing.Link{
		Secrets: [][]byte{[]byte(newSecret), []byte(oldSecret)}, Key: []byte(apiKey), Roots: roots,
		ReturnURL: "https://portal.example/back", Timeout: 5 * time.Second, MaxBytes: 4096,
	}
}

func generic(t *testing.T, s *server) *proofing.Generic {
	t.Helper()
	g, err := proofing.NewGeneric(proofing.Generic{
		Link: s.link(), StartURL: s.URL + "/sessions", FetchURL: s.URL + "/sessions/{session}/result",
		EvidenceURL: s.URL + "/sessions/{session}/evidence", Tolerance: 10 * time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func veriff(t *testing.T, s *server) *proofing.Veriff {
	t.Helper()
	v, err := proofing.NewVeriff(proofing.Veriff{
		Link: s.link(), URL: s.URL + "/", IdentifierType: "TIN", PhoneField: "verification.person.phoneNumber",
	})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func request() enrol.ProofingRequest {
	return enrol.ProofingRequest{
		Reference: "idp-reference", Language: "uk", BirthDate: "1980-05-14", Phone: "+380501234567",
		Claimed: enrol.Person{GivenName: "Taras", Surname: "Shevchenko", Country: "UA", IdentifierType: "TIN", Identifier: "2935412318"},
	}
}

func TestGenericSession(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	g := generic(t, s)
	s.say(`{"session":"s-1","url":"https://idp.example/s-1","expires_at":"2026-11-25T10:00:00Z","new_field":1}`)
	got, err := g.Start(context.Background(), request())
	want := enrol.Session{ID: "s-1", URL: "https://idp.example/s-1", Expires: now.AddDate(0, 0, 1)}
	if err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	r, body := s.last()
	if r.Header.Get("Authorization") != "Bearer "+apiKey || r.Header.Get(proofing.SignatureHeader) != mac(newSecret, body) {
		t.Errorf("not signed with the first secret: %v", r.Header)
	}
	var sent map[string]any
	if err := json.Unmarshal(body, &sent); err != nil || sent["reference"] != "idp-reference" || sent["phone"] != "+380501234567" {
		t.Errorf("%s, %v", body, err)
	}

	s.say(`{"session":"s-1","reference":"idp-reference","status":"positive","final":true,"level":"extended","method":"chip",
	  "person":{"given_name":"Taras","surname":"Shevchenko","country":"UA","identifier_type":"TIN","identifier":"2935412318","birth_date":"1980-05-14",
	    "organisation":"Example Sp. z o.o.","organisation_id":"VATPL-5260250274"},
	  "phone":"+380501234567","document":{"type":"passport","number":"FA123456","country":"UA","expires":"2030-01-01"},
	  "reasons":["ok"],"completed_at":"2026-11-24T10:00:00Z"}`)
	result, err := g.Fetch(context.Background(), "s/1?x")
	if err != nil || result.Progress != enrol.ProgressPositive || !result.Final || result.Person.Surname != "Shevchenko" || result.Person.OrganisationID != "VATPL-5260250274" ||
		len(result.Identifiers) != 1 || result.Identifiers[0] != (enrol.Identifier{Type: "TIN", Country: "UA", Value: "2935412318"}) ||
		result.Phone != "+380501234567" || !result.At.Equal(now) || result.Document.Number != "FA123456" || result.Level != "extended" {
		t.Errorf("%+v, %v", result, err)
	}
	if r, _ := s.last(); r.RequestURI != "/sessions/s%2F1%3Fx/result" {
		t.Errorf("asked for %s", r.RequestURI)
	}
	s.say("the evidence")
	e, err := g.Evidence(context.Background(), "s-1")
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(e); err != nil || string(b) != "the evidence" || e.Close() != nil {
		t.Errorf("%q, %v", b, err)
	}
}

const approved = `{"status":"success","verification":{"id":"v-1","code":9001,"status":"approved","vendorData":"idp-reference",
  "decisionTime":"2026-11-24T10:00:00.000Z","reasonCode":null,
  "person":{"firstName":"Taras","lastName":"Shevchenko","idNumber":"2935412318","dateOfBirth":"1980-05-14","phoneNumber":"+380501234567"},
  "document":{"type":"PASSPORT","number":"FA123456","country":"UA","validUntil":"2030-01-01"}},"technicalData":{"ip":"192.0.2.1"}}`

func TestVeriffSession(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	v := veriff(t, s)
	s.say(`{"status":"success","verification":{"id":"v-1","url":"https://magic.veriff.me/v/x","vendorData":"idp-reference","status":"created"}}`)
	got, err := v.Start(context.Background(), request())
	if err != nil || got != (enrol.Session{ID: "v-1", URL: "https://magic.veriff.me/v/x"}) {
		t.Errorf("%+v, %v", got, err)
	}
	r, body := s.last()
	if r.URL.Path != "/v1/sessions" || r.Header.Get(proofing.VeriffClientHeader) != apiKey ||
		r.Header.Get(proofing.VeriffSignatureHeader) != mac(newSecret, body) || !bytes.Contains(body, []byte(`"vendorData":"idp-reference"`)) {
		t.Errorf("%s %v %s", r.URL, r.Header, body)
	}

	s.answer = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(proofing.VeriffSignatureHeader, mac(oldSecret, []byte(approved))) // Veriff changes its secret later than we
		_, _ = io.WriteString(w, approved)
	}
	result, err := v.Fetch(context.Background(), "v-1")
	if err != nil || result.Session != "v-1" || result.Reference != "idp-reference" || result.Progress != enrol.ProgressPositive ||
		!result.Final || result.Person.GivenName != "Taras" || result.BirthDate != "1980-05-14" || result.Phone != "+380501234567" ||
		fmt.Sprint(result.Identifiers) != "[{TIN UA 2935412318} {PAS UA FA123456}]" || !result.At.Equal(now) {
		t.Errorf("%+v, %v", result, err)
	}
	if r, _ := s.last(); r.URL.Path != "/v1/sessions/v-1/decision" || r.Header.Get(proofing.VeriffSignatureHeader) != mac(newSecret, []byte("v-1")) {
		t.Errorf("%s %v", r.URL, r.Header)
	}
	s.answer = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(proofing.VeriffSignatureHeader, mac("not the secret", []byte(approved)))
		_, _ = io.WriteString(w, approved)
	}
	if _, err := v.Fetch(context.Background(), "v-1"); !errors.Is(err, enrol.ErrProvider) {
		t.Errorf("wrongly signed answer: %v", err)
	}

	for body, want := range map[string]string{
		`{"status":"success","verification":null}`:                                                                 "pending false",
		`{"status":"success","verification":{"id":"v-1","code":9102,"status":"declined","reasonCode":106}}`:        "negative true",
		`{"status":"success","verification":{"id":"v-1","code":9103,"status":"resubmission_requested"}}`:           "pending false",
		`{"status":"success","verification":{"id":"v-1","code":9104,"status":"expired"}}`:                          "expired true",
		`{"status":"success","verification":{"id":"v-1","code":9104,"status":"abandoned"}}`:                        "expired true",
		`{"status":"success","verification":{"id":"v-1","code":9121,"status":"review"}}`:                           "deferred false",
		`{"status":"success","verification":{"id":"v-1","code":9102,"status":"approved"}}`:                         "error",
		`{"status":"success","verification":{"id":"v-1","code":9001,"status":"Approved"}}`:                         "error",
		`{"status":"success","verification":{"id":"v-1","code":9001,"status":"approved","decisionTime":"lately"}}`: "error",
		`{"status":"fail","message":"not yet"}`:                                                                    "error",
		approved + approved:                                                                                        "error",
	} {
		s.say(body)
		r, err := v.Fetch(context.Background(), "v-1")
		got := fmt.Sprint(r.Progress, " ", r.Final)
		if err != nil {
			got = "error"
		}
		if got != want || err != nil && !errors.Is(err, enrol.ErrProvider) {
			t.Errorf("%s: %s, %v; want %s", body, got, err, want)
		}
	}
}

// What goes wrong at the provider is ErrProvider, and its texts hold nothing of what was sent or answered.
func TestProviderFails(t *testing.T) {
	t.Parallel()
	elsewhere := newServer(t)
	elsewhere.say(approved)
	for name, answer := range map[string]func(w http.ResponseWriter, r *http.Request){
		"500":      func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"404":      func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) },
		"redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) },
		"too large": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"secret":"`+strings.Repeat("Shevchenko", 1000)+`"}`)
		},
		"no JSON": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `Shevchenko`) },
		"two":     func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{} {}`) },
		"empty":   func(http.ResponseWriter, *http.Request) {},
		"hangs up": func(w http.ResponseWriter, _ *http.Request) {
			c, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_ = c.Close()
			}
		},
	} {
		s := newServer(t)
		s.answer = answer
		for kind, p := range map[string]enrol.Provider{"generic": generic(t, s), "veriff": veriff(t, s)} {
			_, start := p.Start(context.Background(), request())
			_, fetch := p.Fetch(context.Background(), "s-1")
			for call, err := range map[string]error{"start": start, "fetch": fetch} {
				if !errors.Is(err, enrol.ErrProvider) || strings.Contains(err.Error(), "Shevchenko") || strings.Contains(err.Error(), apiKey) {
					t.Errorf("%s, %s, %s: %v", name, kind, call, err)
				}
			}
		}
	}
	if len(elsewhere.asked) != 0 {
		t.Error("a redirect was followed")
	}
	slow := newServer(t)
	release := make(chan struct{})
	defer close(release)
	slow.answer = func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}
	link := slow.link()
	link.Timeout = 50 * time.Millisecond
	v, err := proofing.NewVeriff(proofing.Veriff{Link: link, URL: slow.URL, IdentifierType: "PNO", PhoneField: "x"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Fetch(context.Background(), "s"); !errors.Is(err, enrol.ErrProvider) {
		t.Errorf("silent provider: %v", err)
	}
	stranger := newServer(t)
	stranger.say(approved)
	link = stranger.link()
	link.Roots = x509.NewCertPool()
	if v, err = proofing.NewVeriff(proofing.Veriff{Link: link, URL: stranger.URL, IdentifierType: "PNO", PhoneField: "x"}); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Fetch(context.Background(), "s"); !errors.Is(err, enrol.ErrProvider) || len(stranger.asked) != 0 {
		t.Errorf("a server that nobody vouches for: %v", err)
	}
}

func signed(name, secret string, body []byte) http.Header {
	h := http.Header{}
	h.Set(name, mac(secret, body))
	h.Set(proofing.VeriffClientHeader, apiKey)
	return h
}

// TestTrustMisSignedCallback: only what one of the two live secrets signed, byte for byte, is read at all.
func TestTrustMisSignedCallback(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for _, c := range []struct {
		provider enrol.Provider
		header   string
		body     []byte
	}{
		{generic(t, s), proofing.SignatureHeader, []byte(`{"event":"e-1","session":"s-1","at":"2026-11-24T10:00:00Z"}`)},
		{veriff(t, s), proofing.VeriffSignatureHeader, []byte(`{"id":"s-1","attemptId":"a","feature":"selfid","code":7002,"action":"submitted"}`)},
		{veriff(t, s), proofing.VeriffSignatureHeader, []byte(strings.ReplaceAll(approved, "v-1", "s-1"))},
	} {
		for _, secret := range []string{newSecret, oldSecret} {
			got, err := c.provider.ParseCallback(signed(c.header, secret, c.body), c.body, now)
			if err != nil || got.Session != "s-1" || got.Event == "" {
				t.Errorf("%s: %+v, %v", c.body, got, err)
			}
		}
		good := signed(c.header, newSecret, c.body)
		for name, change := range map[string]func(h http.Header, body []byte) []byte{
			"another secret": func(h http.Header, b []byte) []byte { h.Set(c.header, mac("the secret of next year!", b)); return b },
			"no signature":   func(h http.Header, b []byte) []byte { h.Del(c.header); return b },
			"empty":          func(h http.Header, b []byte) []byte { h.Set(c.header, ""); return b },
			"two signatures": func(h http.Header, b []byte) []byte { h.Add(c.header, h.Get(c.header)); return b },
			"short":          func(h http.Header, b []byte) []byte { h.Set(c.header, h.Get(c.header)[:62]); return b },
			"no hex":         func(h http.Header, b []byte) []byte { h.Set(c.header, strings.Repeat("z", 64)); return b },
			"other bytes":    func(_ http.Header, b []byte) []byte { return append(bytes.Clone(b), '\n') },
			"other session":  func(_ http.Header, b []byte) []byte { return bytes.Replace(b, []byte("s-1"), []byte("s-2"), 1) },
			"no body":        func(http.Header, []byte) []byte { return nil },
		} {
			h := good.Clone()
			body := change(h, c.body)
			if got, err := c.provider.ParseCallback(h, body, now); !errors.Is(err, enrol.ErrCallback) || got != (enrol.Callback{}) {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
		}
	}
	other := signed(proofing.VeriffSignatureHeader, newSecret, []byte(approved))
	other.Set(proofing.VeriffClientHeader, "integration-key-2")
	if _, err := veriff(t, s).ParseCallback(other, []byte(approved), now); !errors.Is(err, enrol.ErrCallback) {
		t.Errorf("another integration: %v", err)
	}
}

func TestCallbackBodies(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	g, v := generic(t, s), veriff(t, s)
	for body, want := range map[string]error{
		`{"event":"e","session":"s","at":"2026-11-24T10:09:00Z"}`:           nil,
		`{"event":"e","session":"s","at":"2026-11-24T09:51:00Z","more":{}}`: nil,
		`{"event":"e","session":"s","at":"2026-11-24T10:11:00Z"}`:           enrol.ErrCallback, // ahead
		`{"event":"e","session":"s","at":"2026-11-24T09:49:00Z"}`:           enrol.ErrCallback, // late
		`{"event":"e","session":"s","at":"now"}`:                            enrol.ErrCallbackBody,
		`{"event":"e","session":"s"}`:                                       enrol.ErrCallbackBody,
		`{"event":"","session":"s","at":"2026-11-24T10:00:00Z"}`:            enrol.ErrCallbackBody,
		`{"event":"e","at":"2026-11-24T10:00:00Z"}`:                         enrol.ErrCallbackBody,
		`{"event":1,"session":"s","at":"2026-11-24T10:00:00Z"}`:             enrol.ErrCallbackBody,
		`{}{}`: enrol.ErrCallbackBody, ``: enrol.ErrCallbackBody, `[]`: enrol.ErrCallbackBody, `null`: enrol.ErrCallbackBody,
	} {
		if _, err := g.ParseCallback(signed(proofing.SignatureHeader, newSecret, []byte(body)), []byte(body), now); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", body, err, want)
		}
	}
	for body, want := range map[string]error{
		`{"id":"s","code":7001,"action":"started"}`:               nil,
		`{"status":"success","verification":{"id":"s"}}`:          nil,
		`{"id":"s","status":"success","verification":{"id":"s"}}`: nil,
		`{"id":"s","verification":{"id":"other"}}`:                enrol.ErrCallbackBody,
		`{"status":"success","verification":null}`:                enrol.ErrCallbackBody,
		`{"status":"success","verification":{}}`:                  enrol.ErrCallbackBody,
		`{"id":["s"]}`:                                            enrol.ErrCallbackBody, `"s"`: enrol.ErrCallbackBody, `{`: enrol.ErrCallbackBody,
	} {
		if _, err := v.ParseCallback(signed(proofing.VeriffSignatureHeader, newSecret, []byte(body)), []byte(body), now); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", body, err, want)
		}
	}
}

func TestWrongDescriptions(t *testing.T) {
	t.Parallel()
	link := proofing.Link{Secrets: [][]byte{[]byte(newSecret)}, Key: []byte(apiKey), Timeout: time.Second, MaxBytes: 1024}
	good := proofing.Generic{Link: link, StartURL: "https://idp.example/s", FetchURL: "https://idp.example/s/{session}", Tolerance: time.Minute}
	if _, err := proofing.NewGeneric(good); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*proofing.Generic){
		"no secret":              func(g *proofing.Generic) { g.Secrets = nil },
		"three secrets":          func(g *proofing.Generic) { g.Secrets = [][]byte{link.Key, link.Key, link.Key} },
		"short secret":           func(g *proofing.Generic) { g.Secrets = [][]byte{[]byte("secret")} },
		"no key":                 func(g *proofing.Generic) { g.Key = nil },
		"no time":                func(g *proofing.Generic) { g.Timeout = 0 },
		"no size":                func(g *proofing.Generic) { g.MaxBytes = 0 },
		"no tolerance":           func(g *proofing.Generic) { g.Tolerance = 0 },
		"http":                   func(g *proofing.Generic) { g.StartURL = "http://idp.example/s" },
		"password in an address": func(g *proofing.Generic) { g.StartURL = "https://a:b@idp.example/s" },
		"no session":             func(g *proofing.Generic) { g.FetchURL = "https://idp.example/s" },
		"session at the start":   func(g *proofing.Generic) { g.StartURL = g.FetchURL },
		"evidence of anybody":    func(g *proofing.Generic) { g.EvidenceURL = "https://idp.example/e" },
	} {
		g := good
		change(&g)
		if _, err := proofing.NewGeneric(g); !errors.Is(err, proofing.ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, v := range map[string]proofing.Veriff{
		"no phone":      {Link: link, URL: "https://stationapi.veriff.com", IdentifierType: "PNO"},
		"no identifier": {Link: link, URL: "https://stationapi.veriff.com", PhoneField: "x"},
		"no address":    {Link: link, IdentifierType: "PNO", PhoneField: "x"},
	} {
		if _, err := proofing.NewVeriff(v); !errors.Is(err, proofing.ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
