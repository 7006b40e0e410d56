// Package proofing asks identity providers over HTTP: a generic one whose format is this program's own (docs/formats.md),
// and Veriff. Each implements the port enrol.Provider.
//
// What a provider sends by itself is authenticated over the bytes as they came, before any of them is read as JSON, by
// one of at most two live secrets. It names a session and nothing else is taken from it: results are fetched over TLS.
package proofing

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ecsigner/ecsigner/enrol"
)

// ErrConfig: the provider is not described well enough to ask it.
var ErrConfig = errors.New("proofing: identity provider is configured wrongly")

// minSecret is the fewest bytes that a secret may have.
const minSecret = 16

// Link is how a provider is reached.
type Link struct {
	// Secrets under which its callbacks are authenticated: one, or two while one replaces the other. The first signs what
	// is sent.
	Secrets [][]byte
	// Key by which it knows us: a bearer token, or an API key.
	Key []byte
	// Roots that vouch for its certificate; nil: those of the system.
	Roots *x509.CertPool
	// ReturnURL is where the person's browser goes afterwards; empty: nowhere.
	ReturnURL string
	Timeout   time.Duration // of one request
	MaxBytes  int64         // of one answer, and of a callback's body; evidence is not bound by it
}

func (l Link) check() error {
	switch {
	case len(l.Secrets) < 1 || len(l.Secrets) > 2:
		return fmt.Errorf("%w: one secret, or two while they change", ErrConfig)
	case l.Timeout <= 0 || l.MaxBytes <= 0:
		return fmt.Errorf("%w: time and size of an answer must be positive", ErrConfig)
	case len(l.Key) == 0:
		return fmt.Errorf("%w: the key by which it knows us is empty", ErrConfig)
	}
	for _, s := range l.Secrets {
		if len(s) < minSecret {
			return fmt.Errorf("%w: a secret has at least %d bytes", ErrConfig, minSecret)
		}
	}
	return nil
}

// secureURL demands an absolute https address that a browser or client would take as it stands.
func secureURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "" {
		return fmt.Errorf("%w: an address must begin with https:// and name a host", ErrConfig)
	}
	return nil
}

// client follows no redirect: an answer comes from where it was asked for, or not at all.
func (l Link) client() *http.Client {
	return &http.Client{
		Timeout: l.Timeout,
		Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			TLSClientConfig:     &tls.Config{RootCAs: l.Roots, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout: l.Timeout, ResponseHeaderTimeout: l.Timeout,
			MaxResponseHeaderBytes: 32 << 10, MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// do asks and returns the answer, which the caller closes. Everything but success is enrol.ErrProvider.
func do(ctx context.Context, c *http.Client, method, address string, header http.Header, body []byte) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", enrol.ErrProvider, err)
	}
	r.Header = header
	r.Header.Set("Accept", "application/json")
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	answer, err := c.Do(r)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", enrol.ErrProvider, err)
	}
	if answer.StatusCode/100 != 2 {
		_ = answer.Body.Close()
		return nil, fmt.Errorf("%w: it answered %s", enrol.ErrProvider, answer.Status)
	}
	return answer, nil
}

// read asks and returns the whole answer.
func (l Link) read(ctx context.Context, c *http.Client, method, address string, header http.Header, body []byte) ([]byte, http.Header, error) {
	answer, err := do(ctx, c, method, address, header, body)
	if err != nil {
		return nil, nil, err
	}
	b, err := io.ReadAll(io.LimitReader(answer.Body, l.MaxBytes+1))
	if err := errors.Join(err, answer.Body.Close()); err != nil {
		return nil, nil, fmt.Errorf("%w: reading its answer: %w", enrol.ErrProvider, err)
	}
	if int64(len(b)) > l.MaxBytes {
		return nil, nil, fmt.Errorf("%w: its answer is larger than %d bytes", enrol.ErrProvider, l.MaxBytes)
	}
	return b, answer.Header, nil
}

// parse reads exactly one JSON value. Its errors tell where, never what: the bytes may be a person's data.
func parse(b []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("no JSON as expected, at byte %d", d.InputOffset())
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("more than one JSON value, at byte %d", d.InputOffset())
	}
	return nil
}

// sign returns the lower-case hex HMAC-SHA-256.
func sign(secret, message []byte) string {
	h := hmac.New(sha256.New, secret)
	h.Write(message)
	return hex.EncodeToString(h.Sum(nil))
}

// authentic tells whether one of the secrets signed exactly this body. All secrets are tried, and each is compared in
// constant time.
func (l Link) authentic(header http.Header, name string, body []byte) error {
	values := header.Values(name)
	if len(values) != 1 {
		return fmt.Errorf("%w: not one signature", enrol.ErrCallback)
	}
	given, err := hex.DecodeString(strings.TrimSpace(values[0]))
	if err != nil || len(given) != sha256.Size {
		return fmt.Errorf("%w: its signature is none", enrol.ErrCallback)
	}
	signed := false
	for _, secret := range l.Secrets {
		h := hmac.New(sha256.New, secret)
		h.Write(body)
		if hmac.Equal(given, h.Sum(nil)) {
			signed = true
		}
	}
	if !signed {
		return fmt.Errorf("%w: wrongly signed", enrol.ErrCallback)
	}
	return nil
}

// instant reads a time in RFC 3339; the zero time from an empty text.
func instant(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}, errors.New("a time is not in RFC 3339")
	}
	return t, nil
}
