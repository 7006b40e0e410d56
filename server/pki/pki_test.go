package pki

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func authorities(crl func(context.Context) ([]byte, error)) []Authority {
	return []Authority{
		{Name: "issuing", Certificate: []byte("issuing certificate"), CRL: crl},
		{Name: "root", Certificate: []byte("root certificate")},
	}
}

// start serves on loopback and returns the address and a client without redirects.
func start(t *testing.T, crl func(context.Context) ([]byte, error), log io.Writer) (string, *http.Client) {
	t.Helper()
	logger := slog.New(slog.NewTextHandler(log, nil))
	h, err := Handler(Config{Authorities: authorities(crl), CRLAge: 10 * time.Minute, Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(h, logger)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	transport := &http.Transport{}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return "http://" + l.Addr().String(), &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
}

func TestFiles(t *testing.T) {
	list := func(context.Context) ([]byte, error) { return []byte("revocation list"), nil }
	url, client := start(t, list, io.Discard)
	for _, c := range []struct {
		method, path string
		status       int
		media, cache string
		body         string
	}{
		{"GET", "/ca/issuing.cer", 200, "application/pkix-cert", "public, max-age=86400", "issuing certificate"},
		{"GET", "/ca/root.cer", 200, "application/pkix-cert", "public, max-age=86400", "root certificate"},
		{"GET", "/crl/issuing.crl", 200, "application/pkix-crl", "public, max-age=600", "revocation list"},
		{"HEAD", "/crl/issuing.crl", 200, "application/pkix-crl", "public, max-age=600", ""},
		{"GET", "/crl/root.crl", 404, "", "", ""},
		{"GET", "/ca/", 404, "", "", ""},
		{"GET", "/", 404, "", "", ""},
		{"GET", "/ca/..%2f..%2fetc/passwd", 404, "", "", ""},
		{"POST", "/ca/issuing.cer", 405, "", "", ""},
		{"PUT", "/crl/issuing.crl", 405, "", "", ""},
		{"DELETE", "/crl/issuing.crl", 405, "", "", ""},
	} {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			r, err := http.NewRequest(c.method, url+c.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != c.status {
				t.Fatalf("status %d, want %d", resp.StatusCode, c.status)
			}
			if c.status != 200 {
				return
			}
			if got := resp.Header.Get("Content-Type"); got != c.media {
				t.Errorf("Content-Type %q, want %q", got, c.media)
			}
			if got := resp.Header.Get("Cache-Control"); got != c.cache {
				t.Errorf("Cache-Control %q, want %q", got, c.cache)
			}
			if string(body) != c.body {
				t.Errorf("body %q, want %q", body, c.body)
			}
		})
	}
}

// A list that cannot be made is 503 without a word of why; the log has the cause.
func TestListUnavailable(t *testing.T) {
	var log bytes.Buffer
	url, client := start(t, func(context.Context) ([]byte, error) { return nil, errors.New("token is gone") }, &log)
	resp, err := client.Get(url + "/crl/issuing.crl")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" || resp.Header.Get("Cache-Control") != "" {
		t.Errorf("status %d, headers %v", resp.StatusCode, resp.Header)
	}
	if strings.Contains(string(body), "token") {
		t.Errorf("the cause leaks: %q", body)
	}
	if !strings.Contains(log.String(), "token is gone") {
		t.Errorf("the cause is not in the log: %q", log.String())
	}
}

func TestLargeHeaderIsRefused(t *testing.T) {
	url, client := start(t, nil, io.Discard)
	r, err := http.NewRequest(http.MethodGet, url+"/ca/root.cer", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Large", strings.Repeat("x", 64<<10))
	resp, err := client.Do(r)
	if err != nil {
		return // the server hung up while we still sent
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("status %d", resp.StatusCode)
	}
}

func TestConfig(t *testing.T) {
	good := Config{Authorities: authorities(nil), CRLAge: time.Minute, Logger: slog.New(slog.DiscardHandler)}
	if _, err := Handler(good); err != nil {
		t.Fatal(err)
	}
	for name, break_ := range map[string]func(*Config){
		"no authority":   func(c *Config) { c.Authorities = nil },
		"same name":      func(c *Config) { c.Authorities = append(c.Authorities, c.Authorities[0]) },
		"name with path": func(c *Config) { c.Authorities[0].Name = "a/b" },
		"no certificate": func(c *Config) { c.Authorities[0].Certificate = nil },
		"no age":         func(c *Config) { c.CRLAge = 0 },
		"no logger":      func(c *Config) { c.Logger = nil },
	} {
		c := good
		c.Authorities = authorities(nil)
		break_(&c)
		if _, err := Handler(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
