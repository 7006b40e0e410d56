package tsp_test

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/signer/tsp"
	"github.com/ecsigner/ecsigner/signer/tsp/tsptest"
)

// Whatever goes wrong, and whatever the authority says, no error holds what proves to it who asks.
func TestNoSecretInErrors(t *testing.T) {
	const user, password, token = "alice", "correct-horse", "token-in-the-query"
	encoded := base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
	s := serve(t, tsptest.Options{})
	var asked atomic.Bool
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if name, word, ok := r.BasicAuth(); !ok || name != user || word != password || r.URL.Query().Get("key") != token {
			t.Error("the request does not prove who asks")
		}
		asked.Store(true)
		switch r.URL.Path {
		case "/location":
			w.Header().Set("Location", ":"+r.Header.Get("Authorization")+"%")
			w.WriteHeader(http.StatusTemporaryRedirect)
		case "/type":
			w.Header().Set("Content-Type", r.Header.Get("Authorization"))
		case "/says":
			s.Misbehave(tsptest.Faults{Reject: &tsptest.Rejection{Status: 2, FailBit: 2, Text: encoded + " " + password + " " + token}})
			s.Handler().ServeHTTP(w, r)
		case "/body":
			w.Header().Set("Content-Type", "application/timestamp-reply")
			_, _ = fmt.Fprint(w, encoded, password)
		case "/hangup":
			panic(http.ErrAbortHandler)
		case "/scheme":
			http.Redirect(w, r, "https://"+r.Host+r.URL.RequestURI(), http.StatusTemporaryRedirect)
		case "/good":
			s.Misbehave(tsptest.Faults{})
			s.Handler().ServeHTTP(w, r)
		default:
			_, _ = io.Copy(io.Discard, r.Body) // or the end of the client would not be seen
			<-r.Context().Done()
		}
	}))
	defer echo.Close()
	for path, want := range map[string]error{
		"/location": tsp.ErrUnavailable, "/type": tsp.ErrAnswer, "/says": tsp.ErrRejected, "/body": tsp.ErrAnswer, "/hangup": tsp.ErrUnavailable,
		"/scheme": tsp.ErrAnswer, "/stall": tsp.ErrUnavailable, "/good": nil,
	} {
		asked.Store(false)
		a := s.authority("secret")
		a.URL, a.Authorize = echo.URL+path+"?key="+token, tsp.BasicAuth(user, password)
		if path == "/stall" {
			a.Timeout = 100 * time.Millisecond
		}
		_, err := stampOnce(newClient(t, tsp.Config{Authorities: []tsp.Authority{a}}))
		if !errors.Is(err, want) || !asked.Load() {
			t.Errorf("%s: got %v, want %v; asked: %t", path, err, want, asked.Load())
		}
		for _, secret := range []string{user, password, encoded, token} {
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("%s: the error holds a secret: %v", path, err)
			}
		}
		if shown := fmt.Sprintf("%v %+v %#v", a, a, a); strings.Contains(shown, password) || strings.Contains(shown, encoded) {
			t.Error("an Authority shows its secret")
		}
	}
}

// A redirection is followed as the caller's HTTP client does, but within the scheme, with the request, and without the secret
// when it leads to another host.
func TestRedirects(t *testing.T) {
	s, other := serve(t, tsptest.Options{}), serve(t, tsptest.Options{})
	secure := httptest.NewTLSServer(s.Handler())
	defer secure.Close()
	var seen http.Header // of the request that arrived
	arrival := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = r.Header.Clone()
		other.Handler().ServeHTTP(w, r)
	}))
	defer arrival.Close()
	never := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	refuse := func(*http.Request, []*http.Request) error { return errors.New("only to friends") }
	for name, c := range map[string]struct {
		from, to string
		status   int
		policy   func(*http.Request, []*http.Request) error
		want     error
		says     string
	}{
		"307":                       {s.url, arrival.URL + "/tsa", 307, nil, nil, ""},
		"308":                       {s.url, arrival.URL, 308, nil, nil, ""},
		"302 drops the request":     {s.url, arrival.URL, 302, nil, tsp.ErrAnswer, "drops the request"},
		"http to https":             {s.url, secure.URL, 307, nil, tsp.ErrAnswer, "another scheme"},
		"https to http":             {secure.URL, arrival.URL, 307, nil, tsp.ErrAnswer, "another scheme"},
		"to itself":                 {s.url, s.url, 307, nil, tsp.ErrAnswer, "ten redirections"},
		"the caller follows none":   {s.url, arrival.URL, 307, never, tsp.ErrUnavailable, "HTTP status 307"},
		"the caller refuses this":   {s.url, arrival.URL, 307, refuse, tsp.ErrUnavailable, "connection failed"},
		"to where nobody listens":   {s.url, "http://127.0.0.1:1/", 307, nil, tsp.ErrUnavailable, "connection refused"},
		"to what is no address":     {s.url, "http://%zz/", 307, nil, tsp.ErrUnavailable, "connection failed"},
		"to a file, as if it asked": {s.url, "file:///etc/passwd", 307, nil, tsp.ErrAnswer, "another scheme"},
	} {
		t.Run(name, func(t *testing.T) {
			seen = nil
			s.Misbehave(tsptest.Faults{Redirect: c.to, Status: c.status})
			roots := other.Roots()
			roots.AddCert(s.CACertificates()[1])
			transport := secure.Client().Transport.(*http.Transport).Clone()
			defer transport.CloseIdleConnections()
			client := newClient(t, tsp.Config{
				HTTP: &http.Client{Transport: transport, CheckRedirect: c.policy},
				Authorities: []tsp.Authority{{Name: "moved", URL: c.from + "/?key=secret", Roots: roots, Authorize: func(h http.Header) {
					h.Set("X-Api-Key", "secret")
					tsp.BasicAuth("user", "secret")(h)
				}}},
			})
			_, err := stampOnce(client)
			if !errors.Is(err, c.want) || c.want != nil && (!strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "secret")) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if c.want == nil && seen.Get("Content-Type") != "application/timestamp-query" || c.want != nil && seen != nil {
				t.Errorf("arrived: %v", seen)
			}
			if seen.Get("X-Api-Key") != "" || seen.Get("Authorization") != "" || strings.Contains(fmt.Sprint(seen), "secret") {
				t.Errorf("another host was told the secret: %v", seen)
			}
		})
	}
}

// On the way within one host the secret stays with the request.
func TestRedirectKeepsSecretAtHome(t *testing.T) {
	s := serve(t, tsptest.Options{})
	home := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Api-Key") != "secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if r.URL.Path == "/" {
			http.Redirect(w, r, "/tsa", http.StatusPermanentRedirect)
			return
		}
		s.Handler().ServeHTTP(w, r)
	}))
	defer home.Close()
	a := s.authority("home")
	a.URL, a.Authorize = home.URL, tsp.Header("X-Api-Key", "secret")
	if _, err := stampOnce(newClient(t, tsp.Config{Authorities: []tsp.Authority{a}})); err != nil {
		t.Error(err)
	}
}

// A client for one authority may bring a TLS certificate of its own.
func TestOwnHTTPClient(t *testing.T) {
	s := serve(t, tsptest.Options{})
	secure := httptest.NewTLSServer(s.Handler())
	defer secure.Close()
	a := s.authority("secure")
	a.URL, a.HTTP = secure.URL, secure.Client()
	if _, err := stampOnce(newClient(t, tsp.Config{Authorities: []tsp.Authority{a}})); err != nil {
		t.Error(err)
	}
	a.HTTP = &http.Client{Transport: secure.Client().Transport, Timeout: time.Nanosecond}
	if _, err := stampOnce(newClient(t, tsp.Config{Authorities: []tsp.Authority{a}})); !errors.Is(err, tsp.ErrUnavailable) || !strings.Contains(err.Error(), "within the time of the HTTP client") {
		t.Error(err)
	}
}

// The chain: roots may be the unit's own certificate, as trusted lists have it, and intermediates may come from us.
func TestChain(t *testing.T) {
	s := serve(t, tsptest.Options{})
	pool := func(c ...*x509.Certificate) *x509.CertPool {
		p := x509.NewCertPool()
		for _, c := range c {
			p.AddCert(c)
		}
		return p
	}
	ca := s.CACertificates()
	other := must(tsptest.New(tsptest.Options{}))
	for name, c := range map[string]struct {
		roots, between *x509.CertPool
		lonely         bool
		want           error
	}{
		"root":                          {pool(ca[1]), nil, false, nil},
		"CA":                            {pool(ca[0]), nil, false, nil},
		"unit":                          {pool(s.Certificate()), nil, true, nil},
		"other root of the same name":   {other.Roots(), nil, false, tsp.ErrChain},
		"nothing trusted":               {pool(), nil, false, tsp.ErrChain},
		"chain not sent":                {pool(ca[1]), nil, true, tsp.ErrChain},
		"chain not sent, known here":    {pool(ca[1]), pool(ca[0]), true, nil},
		"chain not sent, another known": {pool(ca[1]), pool(other.CACertificates()[0]), true, tsp.ErrChain},
	} {
		s.Misbehave(tsptest.Faults{OnlySigner: c.lonely})
		client := newClient(t, tsp.Config{Authorities: []tsp.Authority{{Name: "a", URL: s.url, Roots: c.roots, Intermediates: c.between}}})
		if _, err := client.Stamp(context.Background(), crypto.SHA256, digest[:]); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
}
