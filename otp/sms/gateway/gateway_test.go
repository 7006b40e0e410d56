package gateway

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/otp/sms"
)

const secret = "Bearer very-secret-token"

var text = sms.Text{To: "+380501234567", Body: "Код 482913. «Договір» & \"{id}\" \\ 100%\n€"}

// nasty is a provider that misbehaves as its script says, one line a request; after the last one it takes texts.
type nasty struct {
	*httptest.Server
	mu     sync.Mutex
	script []func(w http.ResponseWriter, r *http.Request)
	got    []request
}

type request struct {
	at      time.Time
	url     url.URL
	header  http.Header
	body    string
	client  int // certificates
	message string
}

func newNasty(t *testing.T, script ...func(http.ResponseWriter, *http.Request)) *nasty {
	n := &nasty{script: script}
	n.Server = httptest.NewUnstartedServer(http.HandlerFunc(n.serve))
	n.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	n.Config.ErrorLog = nil
	n.StartTLS()
	t.Cleanup(n.Close)
	return n
}

func (n *nasty) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	n.mu.Lock()
	n.got = append(n.got, request{time.Now(), *r.URL, r.Header.Clone(), string(body), len(r.TLS.PeerCertificates), r.Header.Get("Idempotency-Key")})
	var act func(http.ResponseWriter, *http.Request)
	if len(n.script) > 0 {
		act, n.script = n.script[0], n.script[1:]
	}
	n.mu.Unlock()
	if act != nil {
		act(w, r)
		return
	}
	_, _ = fmt.Fprintf(w, `{"messages":[{"id":"prov-1","status":"queued","code":0}],"ok":true}`)
}

func (n *nasty) requests() []request {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]request(nil), n.got...)
}

func (n *nasty) config(change ...func(*Config)) Config {
	pool := x509.NewCertPool()
	pool.AddCert(n.Certificate())
	c := Config{
		Name: "one", URL: n.URL + "/send?id={id}", Headers: map[string]string{"X-Kind": "{kind}"}, Secrets: map[string]string{"Authorization": secret},
		Format: "json", Body: `{"to":"{digits}","message":{"text":"{text}","ref":"{id}"}}`, CA: pool,
		Timeout: 500 * time.Millisecond, Tries: 3, Pause: 5 * time.Millisecond, Rand: func() float64 { return 0.5 },
	}
	for _, f := range change {
		f(&c)
	}
	return c
}

func (n *nasty) provider(t *testing.T, change ...func(*Config)) *Provider {
	t.Helper()
	p, err := New(n.config(change...))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func status(code int, headers ...string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		for k := 0; k+1 < len(headers); k += 2 {
			w.Header().Set(headers[k], headers[k+1])
		}
		w.WriteHeader(code)
	}
}

func answer(code int, body string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}
}

// reset ends the connection without an answer, after the request was read.
func reset(w http.ResponseWriter, _ *http.Request) {
	c, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	if tc, ok := c.(*tls.Conn); ok {
		_ = tc.NetConn().(*net.TCPConn).SetLinger(0)
	}
	_ = c.Close()
}

func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func redirect(to string) func(http.ResponseWriter, *http.Request) {
	return status(http.StatusTemporaryRedirect, "Location", to)
}

// quiet holds that an error betrays neither text nor number nor secret.
func quiet(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	for _, part := range []string{"380501234567", "482913", "Договір", "very-secret", url.QueryEscape("Договір"), "/send"} {
		if strings.Contains(err.Error(), part) {
			t.Errorf("the error %q holds %q", err, part)
		}
	}
}

// Every value arrives as it is, whatever has to be escaped, and no value is taken for a place.
func TestTemplates(t *testing.T) {
	n := newNasty(t)
	if _, err := n.provider(t).Send(t.Context(), "msg-1", sms.KindSign, text); err != nil {
		t.Fatal(err)
	}
	form := n.provider(t, func(c *Config) { c.Format, c.Body, c.URL = "form", "to={to}&text={text}", n.URL+"/send?text={text}" })
	if _, err := form.Send(t.Context(), "msg-2", sms.KindSign, text); err != nil {
		t.Fatal(err)
	}
	got := n.requests()
	var body struct {
		To      string
		Message struct{ Text, Ref string }
	}
	if err := json.Unmarshal([]byte(got[0].body), &body); err != nil || body.To != "380501234567" || body.Message.Text != text.Body || body.Message.Ref != "msg-1" {
		t.Errorf("%s: %+v, %v", got[0].body, body, err)
	}
	h := got[0].header
	if h.Get("Authorization") != secret || h.Get("X-Kind") != "sign" || got[0].message != "msg-1" || got[0].url.Query().Get("id") != "msg-1" {
		t.Errorf("headers %v, address %v", h, got[0].url)
	}
	values, err := url.ParseQuery(got[1].body)
	if err != nil || values.Get("to") != text.To || values.Get("text") != text.Body || got[1].url.Query().Get("text") != text.Body {
		t.Errorf("%v, %v, %v", values, err, got[1].url)
	}
}

// TestNastyProvider: what a provider does, how often it is asked, and how it ends.
func TestNastyProvider(t *testing.T) {
	other := newNasty(t)
	huge := answer(200, `{"messages":[{"status":"queued"}],"x":"`+strings.Repeat("x", 1<<20)+`"}`)
	field := func(c *Config) {
		c.Field, c.Values, c.Reference = "messages.0.status", []string{"queued", "sent"}, "messages.0.id"
	}
	type script = []func(http.ResponseWriter, *http.Request)
	for name, c := range map[string]struct {
		script script
		change func(*Config)
		asked  int
		fails  bool
		reject bool
	}{
		"takes it":                          {nil, nil, 1, false, false},
		"takes it and says so":              {nil, field, 1, false, false},
		"500, then takes it":                {script{status(500), status(503)}, nil, 3, false, false},
		"500 for ever":                      {script{status(500), status(500), status(500), status(500)}, nil, 3, true, false},
		"too many, with a pause":            {script{status(429, "Retry-After", "1")}, nil, 2, false, false},
		"reset after it was accepted":       {script{reset}, nil, 2, false, false},
		"hangs":                             {script{hang}, func(c *Config) { c.Timeout = 100 * time.Millisecond }, 2, false, false},
		"rejects the number":                {script{status(400)}, nil, 1, true, true},
		"does not know us":                  {script{status(401)}, nil, 1, true, false},
		"sends us elsewhere":                {script{redirect(other.URL + "/send")}, nil, 1, true, false},
		"garbage with status 200":           {script{answer(200, "<html>login</html>")}, field, 1, true, false},
		"garbage where only status counts":  {script{answer(200, "\x00\xff")}, nil, 1, false, false},
		"says no with status 200":           {script{answer(200, `{"messages":[{"status":"blocked"}]}`)}, field, 1, true, false},
		"a huge answer":                     {script{huge}, field, 1, true, false},
		"a huge answer where status counts": {script{huge}, nil, 1, false, false},
		"204 is none of the good ones":      {script{status(204)}, nil, 1, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNasty(t, c.script...)
			if c.change == nil {
				c.change = func(*Config) {}
			}
			by, err := n.provider(t, c.change).Send(t.Context(), "msg-1", sms.KindSign, text)
			quiet(t, err)
			if (err != nil) != c.fails || errors.Is(err, sms.ErrRejected) != c.reject || by.Provider != "one" {
				t.Errorf("%+v, %v", by, err)
			}
			got := n.requests()
			if len(got) != c.asked {
				t.Errorf("asked %d times, want %d", len(got), c.asked)
			}
			for _, r := range got {
				if r.message != "msg-1" {
					t.Errorf("an attempt carries the id %q", r.message)
				}
			}
			if name == "too many, with a pause" && got[1].at.Sub(got[0].at) < time.Second {
				t.Errorf("asked again after %v", got[1].at.Sub(got[0].at))
			}
			if name == "takes it and says so" && by.Reference != "prov-1" {
				t.Errorf("reference %q", by.Reference)
			}
		})
	}
	if got := other.requests(); len(got) != 0 {
		t.Errorf("a redirection was followed with %+v", got)
	}
}

// The end of the time ends it, also while it waits to try again.
func TestTimeEnds(t *testing.T) {
	n := newNasty(t, status(503, "Retry-After", "30"), status(503))
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	began := time.Now()
	if _, err := n.provider(t).Send(ctx, "msg-1", sms.KindSign, text); err == nil || time.Since(began) > time.Second {
		t.Errorf("%v after %v; another provider could have had that time", err, time.Since(began))
	}
}

func TestTrustOnlyTheConfiguredAuthority(t *testing.T) {
	n := newNasty(t)
	p := n.provider(t, func(c *Config) { c.CA = x509.NewCertPool() })
	_, err := p.Send(t.Context(), "msg-1", sms.KindSign, text)
	quiet(t, err)
	if err == nil || !strings.Contains(err.Error(), "not trusted") || len(n.requests()) != 0 {
		t.Errorf("%v, %d requests", err, len(n.requests()))
	}
	pair := n.TLS.Certificates[0]
	if _, err := n.provider(t, func(c *Config) { c.Client = []tls.Certificate{pair} }).Send(t.Context(), "msg-1", sms.KindSign, text); err != nil {
		t.Fatal(err)
	}
	if got := n.requests(); got[0].client != 1 {
		t.Error("no client certificate was shown")
	}
}

func TestWrongConfigurations(t *testing.T) {
	n := newNasty(t)
	for name, change := range map[string]func(*Config){
		"plain HTTP":           func(c *Config) { c.URL = "http://sms.example.com/" },
		"no host":              func(c *Config) { c.URL = "https:///x" },
		"another scheme":       func(c *Config) { c.URL = "ftp://127.0.0.1/" },
		"a body that is none":  func(c *Config) { c.Body = `{"to":{to}` },
		"unquoted text":        func(c *Config) { c.Body = `{"text":{text}}` },
		"unknown format":       func(c *Config) { c.Format = "xml" },
		"values without field": func(c *Config) { c.Values = []string{"ok"} },
		"field without values": func(c *Config) { c.Field = "ok" },
		"no time-out":          func(c *Config) { c.Timeout = 0 },
		"method":               func(c *Config) { c.Method = "A B" },
	} {
		if _, err := New(n.config(change)); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := New(n.config(func(c *Config) { c.URL = "http://127.0.0.1:9/" })); err != nil {
		t.Errorf("plain HTTP to this machine: %v", err)
	}
}

// TestFallBack: the next provider takes what the first does not, and one that is down is left alone for a while.
func TestFallBack(t *testing.T) {
	fails := []func(http.ResponseWriter, *http.Request){hang}
	for range 40 {
		fails = append(fails, status(500))
	}
	first, second := newNasty(t, fails...), newNasty(t)
	var mu sync.Mutex
	later := time.Duration(0)
	now := func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return time.Now().Add(later)
	}
	l := NewList(now, first.provider(t), second.provider(t, func(c *Config) { c.Name = "two" }))
	for n := range 5 {
		id := fmt.Sprint("msg-", n)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		by, err := l.Send(ctx, id, sms.KindSign, text)
		cancel()
		if err != nil || by.Provider != "two" {
			t.Fatalf("%s: %+v, %v", id, by, err)
		}
	}
	asked := len(first.requests())
	if asked != 3*outageAfter || len(second.requests()) != 5 {
		t.Errorf("the first was asked %d times, the second %d", asked, len(second.requests()))
	}
	mu.Lock()
	later = outagePause + time.Second
	mu.Unlock()
	if _, err := l.Send(t.Context(), "msg-9", sms.KindSign, text); err != nil || len(first.requests()) == asked {
		t.Errorf("after its pause the first is asked no more: %v", err)
	}
}

// Only a text that the last provider rejects is given up.
func TestRejectedByAll(t *testing.T) {
	bad, down := status(422), status(500)
	for name, c := range map[string]struct {
		first, second func(http.ResponseWriter, *http.Request)
		reject        bool
	}{"both": {bad, bad, true}, "the second": {down, bad, true}, "the first, the second is down": {bad, down, false}, "none": {down, down, false}} {
		one := func(c *Config) { c.Tries = 1 }
		l := NewList(time.Now, newNasty(t, c.first).provider(t, one), newNasty(t, c.second).provider(t, one))
		_, err := l.Send(t.Context(), "msg-1", sms.KindSign, text)
		quiet(t, err)
		if err == nil || errors.Is(err, sms.ErrRejected) != c.reject {
			t.Errorf("%s: %v", name, err)
		}
	}
}
