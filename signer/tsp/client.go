package tsp

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// What an authority is given when the configuration does not say.
const (
	defaultTimeout   = 10 * time.Second
	defaultTolerance = 5 * time.Minute
	defaultRest      = time.Minute
	defaultAnswer    = 64 << 10
)

// fairTime is how long an authority must have had, unless its own time-out is shorter, before a caller in a hurry may say
// that it failed.
const fairTime = 500 * time.Millisecond

// Authority is a time-stamping authority.
type Authority struct {
	Name          string                // by which errors speak of it
	URL           string                // http or https; never in errors, because it may hold a secret
	Policy        asn1.ObjectIdentifier // asked for and demanded; nil: whatever the authority's is
	Roots         *x509.CertPool        // required; certificates of time-stamp units themselves, as trusted lists have them, do too
	Intermediates *x509.CertPool        // further certificates, for one that does not send its chain; nil: none
	Timeout       time.Duration         // of one request with its answer; 0: as the Config says
	HTTP          *http.Client          // for one that wants a TLS certificate of its own from us; nil: as the Config says

	// Authorize sets headers of a request that prove who asks, such as what BasicAuth returns; nil: none are needed. They go
	// to the host of URL alone, and over https or to this machine. A function, so that no secret can be printed.
	Authorize func(http.Header)
}

// BasicAuth returns an Authorize that gives a name and a password (RFC 7617).
func BasicAuth(user, password string) func(http.Header) {
	return func(h http.Header) {
		r := http.Request{Header: h}
		r.SetBasicAuth(user, password)
	}
}

// Header returns an Authorize that sets one header.
func Header(name, value string) func(http.Header) {
	return func(h http.Header) { h.Set(name, value) }
}

// Config is what a Client works with.
type Config struct {
	Authorities []Authority   // in the order in which they are asked
	HTTP        *http.Client  // required; its transport is the pool of connections, its redirect policy holds
	Timeout     time.Duration // of one authority; 0: 10 s
	Tolerance   time.Duration // how far a token's time may lie before the request or behind the answer; 0: 5 min
	Rest        time.Duration // how long an authority that failed is asked after the others; 0: 1 min
	MaxAnswer   int           // greatest answer in bytes; 0: 64 KiB
	Now         func() time.Time
	Random      io.Reader // of nonces; safe for concurrent use, as crypto/rand.Reader is
}

// Client obtains time-stamps. It is safe for concurrent use.
type Client struct {
	config      Config
	authorities []*authority
}

// authority is an Authority with what was learned of it.
type authority struct {
	Authority
	probing chan struct{} // holds a value while somebody learns the size of its tokens

	mu     sync.Mutex
	rests  time.Time           // asked after the others until then
	failed error               // why
	sizes  map[crypto.Hash]int // greatest token seen, in bytes
}

// New checks a configuration. Errors wrap ErrConfig.
func New(c Config) (*Client, error) {
	if c.HTTP == nil || c.Now == nil || c.Random == nil || len(c.Authorities) == 0 {
		return nil, fmt.Errorf("%w: authorities, an HTTP client, a clock and randomness are required", ErrConfig)
	}
	if c.Timeout < 0 || c.Tolerance < 0 || c.Rest < 0 || c.MaxAnswer < 0 || c.MaxAnswer > maxToken {
		return nil, fmt.Errorf("%w: a negative limit, or one above %d bytes", ErrConfig, maxToken)
	}
	c.Timeout, c.Tolerance = cmp.Or(c.Timeout, defaultTimeout), cmp.Or(c.Tolerance, defaultTolerance)
	c.Rest, c.MaxAnswer = cmp.Or(c.Rest, defaultRest), cmp.Or(c.MaxAnswer, defaultAnswer)
	client := &Client{config: c}
	for _, a := range c.Authorities {
		if err := a.check(); err != nil {
			return nil, fmt.Errorf("%w: authority %q: %w", ErrConfig, a.Name, err)
		}
		a.Timeout, a.HTTP = cmp.Or(a.Timeout, c.Timeout), cmp.Or(a.HTTP, c.HTTP)
		client.authorities = append(client.authorities, &authority{Authority: a, probing: make(chan struct{}, 1), sizes: map[crypto.Hash]int{}})
	}
	return client, nil
}

func (a Authority) check() error {
	u, err := url.Parse(a.URL)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return errors.New("its URL is not http://… or https://…")
	}
	ip := net.ParseIP(u.Hostname())
	here := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	if u.Scheme == "http" && !here && (a.Authorize != nil || u.User != nil) {
		return errors.New("a secret would travel over http; use https")
	}
	if a.Name == "" || a.Roots == nil || a.Timeout < 0 {
		return errors.New("a name and roots are required, and no negative time-out")
	}
	if _, err := marshalRequest(crypto.SHA256, make([]byte, 32), a.Policy, big.NewInt(1)); err != nil {
		return errors.New("its policy is no object identifier")
	}
	return nil
}

// Stamp returns a token over a digest made with h: the first good one, asking the authorities in order, those last that
// failed a short while ago. The token is DER (where an authority answers in BER, its framing is made DER, and nothing that is
// signed changes), and it is checked as Parse says and further: it covers the digest, answers this very request by its nonce,
// was issued under the demanded policy and at this time, and its signer's certificate has a path, valid at the token's time, to
// the roots. It does not judge revocation.
//
// An error wraps those of all authorities that were asked, or ErrInput or ErrRandom. When ctx ends, the error wraps ctx.Err();
// a time-out of an authority is ErrUnavailable. Where ctx has a deadline, an authority gets its share of what is left.
func (c *Client) Stamp(ctx context.Context, h crypto.Hash, imprint []byte) (token []byte, err error) {
	return c.StampWithin(ctx, h, imprint, maxToken)
}

// StampWithin is Stamp for a token of at most limit bytes, such as MaxSize said before. One that is larger counts as a
// failure of its authority, ErrSize, and the next MaxSize knows of it.
func (c *Client) StampWithin(ctx context.Context, h crypto.Hash, imprint []byte, limit int) (token []byte, err error) {
	if !stampable(h) || len(imprint) != h.Size() {
		return nil, fmt.Errorf("%w: %d bytes of %v", ErrInput, len(imprint), h)
	}
	var failed failures
	order := c.order()
	for i, a := range order {
		if ctx.Err() != nil {
			break
		}
		token, err := c.ask(ctx, a, h, imprint, limit, share(ctx, len(order)-i))
		if err == nil {
			return token, nil
		}
		if errors.Is(err, ErrRandom) {
			return nil, err
		}
		failed = append(failed, fmt.Errorf("%s: %w", a.Name, err))
	}
	return nil, failed.because(ctx, "no time-stamp")
}

// failures joins errors in one line.
type failures []error

func (f failures) Error() string {
	texts := make([]string, len(f))
	for i, err := range f {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

// Unwrap gives errors.Is all of them.
func (f failures) Unwrap() []error { return f }

// because wraps ctx.Err() too when ctx has ended.
func (f failures) because(ctx context.Context, what string) error {
	if err := ctx.Err(); err != nil {
		f = append(failures{err}, f...)
	}
	return fmt.Errorf("%s: %w", what, f)
}

// share is how long one of so many authorities may take at most.
func share(ctx context.Context, left int) time.Duration {
	if end, ok := ctx.Deadline(); ok {
		return time.Until(end) / time.Duration(left)
	}
	return 1<<63 - 1
}

// order returns the authorities as they are to be asked: as configured, those that rest behind the others, the one that has
// rested longest first.
func (c *Client) order() []*authority {
	now := c.config.Now()
	rests := make(map[*authority]time.Time, len(c.authorities))
	for _, a := range c.authorities {
		if until := a.resting(); until.After(now) {
			rests[a] = until
		}
	}
	order := slices.Clone(c.authorities)
	slices.SortStableFunc(order, func(x, y *authority) int { return rests[x].Compare(rests[y]) })
	return order
}

func (a *authority) resting() time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.rests
}

// ask asks one authority, for at most a time, and remembers how that went.
func (c *Client) ask(ctx context.Context, a *authority, h crypto.Hash, imprint []byte, limit int, atMost time.Duration) ([]byte, error) {
	timeout := min(a.Timeout, atMost)
	token, err := c.exchange(ctx, a, h, imprint, timeout)
	a.mu.Lock()
	defer a.mu.Unlock()
	if err == nil {
		a.sizes[h] = max(a.sizes[h], len(token))
		if len(token) > limit {
			err = fmt.Errorf("%w: %d bytes, not %d", ErrSize, len(token), limit)
		}
	}
	switch {
	case err == nil:
		a.rests, a.failed = time.Time{}, nil
		return token, nil
	case errors.Is(ctx.Err(), context.Canceled), timeout < min(a.Timeout, fairTime), errors.Is(err, ErrRandom), errors.Is(err, ErrSize):
		// not its fault: the next may find it as good as ever
	default:
		a.rests, a.failed = c.config.Now().Add(c.config.Rest), err
	}
	return nil, err
}

// exchange makes one request and checks the answer.
func (c *Client) exchange(ctx context.Context, a *authority, h crypto.Hash, imprint []byte, timeout time.Duration) ([]byte, error) {
	var random [nonceSize]byte
	if _, err := io.ReadFull(c.config.Random, random[:]); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRandom, err)
	}
	random[0] = random[0]&0x3f | 0x40
	nonce := new(big.Int).SetBytes(random[:])
	request, err := marshalRequest(h, imprint, a.Policy, nonce)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	sent := c.config.Now()
	body, err := c.post(ctx, a, request, timeout)
	if err != nil {
		return nil, err
	}
	received := c.config.Now()
	raw, err := parseResponse(body, a.Authorize != nil)
	if err != nil {
		return nil, err
	}
	token, err := Parse(raw)
	if err != nil {
		return nil, err
	}
	if err := token.Covers(h, imprint); err != nil {
		return nil, err
	}
	if token.Nonce == nil || token.Nonce.Cmp(nonce) != 0 {
		return nil, ErrNonce
	}
	if a.Policy != nil && !a.Policy.Equal(token.Policy) {
		return nil, fmt.Errorf("%w: %v, not %v", ErrPolicy, token.Policy, a.Policy)
	}
	if tol := c.config.Tolerance; token.Time.Before(sent.Add(-tol)) || token.Time.After(received.Add(tol)) {
		return nil, fmt.Errorf("%w: %v from now, at most %v", ErrTime, token.Time.Sub(received).Round(time.Second), tol)
	}
	if err := a.trusts(token); err != nil {
		return nil, err
	}
	return bytes.Clone(raw), nil // a copy, because raw is a part of the whole answer
}

// trusts builds the path from the token's signer to the roots, as of the token's time (RFC 5280 section 6).
func (a Authority) trusts(t *Token) error {
	between := x509.NewCertPool()
	if a.Intermediates != nil {
		between = a.Intermediates.Clone()
	}
	for _, der := range t.Certificates {
		if c, err := x509.ParseCertificate(der); err == nil {
			between.AddCert(c)
		}
	}
	_, err := t.Signer.Verify(x509.VerifyOptions{Roots: a.Roots, Intermediates: between, CurrentTime: t.Time, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping}})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrChain, err)
	}
	return nil
}
