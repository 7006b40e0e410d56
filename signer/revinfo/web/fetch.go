package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"
)

const maxRedirects = 3

// Client is the one door to the network. It is safe for concurrent use.
type Client struct {
	policy    Policy
	ports     []uint16
	special   []netip.Prefix
	global6   netip.Prefix
	transport *http.Transport
	client    *http.Client
}

// New makes a client that keeps to a policy.
func New(p Policy) (*Client, error) {
	f := &Client{policy: p, ports: p.Ports, special: notPublic(), global6: netip.MustParsePrefix("2000::/3")}
	if f.ports == nil {
		f.ports = []uint16{80, 443}
	}
	if f.policy.Timeout == 0 {
		f.policy.Timeout = 15 * time.Second
	}
	if f.policy.Timeout < 0 {
		return nil, errors.New("negative time-out")
	}
	if f.policy.Resolve == nil {
		f.policy.Resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	if f.policy.Dial == nil {
		f.policy.Dial = func(ctx context.Context, a netip.AddrPort) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", a.String())
		}
	}
	f.transport = &http.Transport{
		Proxy:                  nil, // whatever the environment says: a proxy would resolve names on its own
		DialContext:            f.dial,
		DisableCompression:     true, // nothing is unpacked, so nothing can explode
		MaxIdleConns:           32,
		MaxIdleConnsPerHost:    4,
		MaxConnsPerHost:        16,
		IdleConnTimeout:        30 * time.Second,
		TLSClientConfig:        p.TLS.Clone(),
		TLSHandshakeTimeout:    f.policy.Timeout,
		ResponseHeaderTimeout:  f.policy.Timeout,
		MaxResponseHeaderBytes: 64 << 10,
		ForceAttemptHTTP2:      true,
	}
	var transport http.RoundTripper = f.transport
	if p.Wrap != nil {
		transport = p.Wrap(transport)
	}
	f.client = &http.Client{Transport: transport, CheckRedirect: f.redirect}
	return f, nil
}

// Close closes idle connections.
func (f *Client) Close() { f.transport.CloseIdleConnections() }

func (f *Client) redirect(r *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("%w: more than %d redirects", ErrForbidden, maxRedirects)
	}
	r.Header.Del("Referer") // the address before is nobody's business
	return f.check(r.URL)
}

// Get fetches at most limit bytes. Errors name the host alone.
func (f *Client) Get(ctx context.Context, address, accept string, limit int64) ([]byte, error) {
	return f.do(ctx, http.MethodGet, address, http.Header{"Accept": {accept}}, nil, limit)
}

// Post sends a body of a media type and fetches at most limit bytes.
func (f *Client) Post(ctx context.Context, address, kind string, body []byte, accept string, limit int64) ([]byte, error) {
	return f.do(ctx, http.MethodPost, address, http.Header{"Accept": {accept}, "Content-Type": {kind}}, body, limit)
}

func (f *Client) do(ctx context.Context, method, address string, header http.Header, body []byte, limit int64) ([]byte, error) {
	u, err := url.Parse(address)
	if err != nil || len(address) > maxURL {
		return nil, fmt.Errorf("%w: it is no URL of at most %d bytes", ErrForbidden, maxURL)
	}
	if err := f.check(u); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, f.policy.Timeout)
	defer cancel()
	u.Fragment = ""
	r, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%w: it makes no request", ErrForbidden)
	}
	r.Header = header
	r.Header.Set("User-Agent", "ecsigner-revinfo")
	answer, err := f.client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("host %q: %w", u.Hostname(), plain(err))
	}
	defer func() { _ = answer.Body.Close() }() // read to the end or given up
	b, err := read(answer, limit)
	if err != nil {
		return nil, fmt.Errorf("host %q: %w", u.Hostname(), err)
	}
	return b, nil
}

// plain takes the URL out of an error, and tells what is of the network from what is of the policy.
func plain(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	if err == nil || errors.Is(err, ErrForbidden) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnreachable, err)
}

// statusError is an HTTP status that is no success.
type statusError int

func (e statusError) Error() string { return fmt.Sprintf("HTTP status %d", int(e)) }

func read(answer *http.Response, limit int64) ([]byte, error) {
	if answer.StatusCode != http.StatusOK {
		return nil, statusError(answer.StatusCode)
	}
	if e := answer.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return nil, errors.New("the body is encoded, although nothing of the kind was asked for")
	}
	if answer.ContentLength > limit {
		return nil, fmt.Errorf("%w: %d bytes, at most %d are read", ErrTooLarge, answer.ContentLength, limit)
	}
	if n := answer.ContentLength; n >= 0 {
		body := make([]byte, n)
		_, err := io.ReadFull(answer.Body, body)
		return body, plain(err)
	}
	return slurp(answer.Body, limit)
}

// slurp reads a body of unknown length in pieces, so that a large one is held twice for a moment and not four times.
func slurp(r io.Reader, limit int64) ([]byte, error) {
	var pieces [][]byte
	total := int64(0)
	for size := 64 << 10; ; size = min(2*size, 4<<20) {
		piece := make([]byte, 0, size)
		for len(piece) < size {
			n, err := r.Read(piece[len(piece):size])
			piece = piece[:len(piece)+n]
			total += int64(n)
			switch {
			case total > limit:
				return nil, fmt.Errorf("%w: at most %d bytes are read", ErrTooLarge, limit)
			case errors.Is(err, io.EOF):
				return bytes.Join(append(pieces, piece), nil), nil
			case err != nil:
				return nil, plain(err)
			}
		}
		pieces = append(pieces, piece)
	}
}
