package revinfo

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

// RoundTripper is http.RoundTripper.
type RoundTripper = http.RoundTripper

const maxRedirects = 3

// fetcher is the one door to the network.
type fetcher struct {
	net       Network
	ports     []uint16
	special   []netip.Prefix
	global6   netip.Prefix
	transport *http.Transport
	client    *http.Client
}

func newFetcher(n Network) (*fetcher, error) {
	f := &fetcher{net: n, ports: n.Ports, special: notPublic(), global6: netip.MustParsePrefix("2000::/3")}
	if f.ports == nil {
		f.ports = []uint16{80, 443}
	}
	if f.net.Timeout == 0 {
		f.net.Timeout = 15 * time.Second
	}
	if f.net.Timeout < 0 {
		return nil, errors.New("revinfo: negative time-out")
	}
	if f.net.Resolve == nil {
		f.net.Resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	if f.net.Dial == nil {
		f.net.Dial = func(ctx context.Context, a netip.AddrPort) (net.Conn, error) {
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
		TLSHandshakeTimeout:    f.net.Timeout,
		ResponseHeaderTimeout:  f.net.Timeout,
		MaxResponseHeaderBytes: 64 << 10,
		ForceAttemptHTTP2:      true,
	}
	var transport http.RoundTripper = f.transport
	if n.Wrap != nil {
		transport = n.Wrap(transport)
	}
	f.client = &http.Client{Transport: transport, CheckRedirect: f.redirect}
	return f, nil
}

func (f *fetcher) close() { f.transport.CloseIdleConnections() }

func (f *fetcher) redirect(r *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("%w: more than %d redirects", ErrForbidden, maxRedirects)
	}
	r.Header.Del("Referer") // the address before is nobody's business
	return f.check(r.URL)
}

// do fetches a URL, by POST when there is a body, and returns at most limit bytes. Errors name the host alone.
func (f *fetcher) do(ctx context.Context, address string, body []byte, kind, accept string, limit int64) ([]byte, error) {
	u, err := url.Parse(address)
	if err != nil || len(address) > maxURL {
		return nil, fmt.Errorf("%w: it is no URL of at most %d bytes", ErrForbidden, maxURL)
	}
	if err := f.check(u); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, f.net.Timeout)
	defer cancel()
	method, content := http.MethodGet, io.Reader(nil)
	if body != nil {
		method, content = http.MethodPost, bytes.NewReader(body)
	}
	u.Fragment = ""
	r, err := http.NewRequestWithContext(ctx, method, u.String(), content)
	if err != nil {
		return nil, fmt.Errorf("%w: it makes no request", ErrForbidden)
	}
	r.Header.Set("User-Agent", "ecsigner-revinfo")
	r.Header.Set("Accept", accept)
	if body != nil {
		r.Header.Set("Content-Type", kind)
	}
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

// plain takes the URL out of an error.
func plain(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// statusError is an HTTP status that is no success.
type statusError int

func (e statusError) Error() string { return fmt.Sprintf("HTTP status %d", int(e)) }

func read(answer *http.Response, limit int64) ([]byte, error) {
	if answer.StatusCode != http.StatusOK {
		return nil, statusError(answer.StatusCode)
	}
	if e := answer.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return nil, fmt.Errorf("%w: a body that is encoded although none was asked for", ErrUnsupported)
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
