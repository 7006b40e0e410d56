package tsp

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"time"
)

// post sends a request over HTTP (RFC 3161 section 3.4) and returns the body of the answer. Errors, ErrUnavailable and
// ErrAnswer, hold neither the URL nor a header.
func (c *Client) post(ctx context.Context, a *authority, request []byte, timeout time.Duration) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, a.URL, bytes.NewReader(request))
	if err != nil {
		return nil, fmt.Errorf("%w: its URL cannot be asked", ErrUnavailable)
	}
	r.Header.Set("Content-Type", "application/timestamp-query")
	r.Header.Set("Accept", "application/timestamp-reply")
	r.Header.Set("User-Agent", "ecsigner")
	r.Header["Idempotency-Key"] = nil // not sent; lets net/http repeat the request when the server just closed an idle connection
	if a.Authorize != nil {
		a.Authorize(r.Header)
	}
	client := *a.HTTP // a copy: transport and cookies are shared
	client.CheckRedirect = a.redirect(a.HTTP.CheckRedirect)
	answer, err := client.Do(r)
	if err != nil {
		return nil, unavailable(ctx, timeout, err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%w: HTTP status %d", ErrUnavailable, answer.StatusCode)
	}
	if media, _, err := mime.ParseMediaType(answer.Header.Get("Content-Type")); err != nil || media != "application/timestamp-reply" {
		return nil, fmt.Errorf("%w: its content type is not application/timestamp-reply", ErrAnswer)
	}
	limit := c.config.MaxAnswer
	body, err := io.ReadAll(io.LimitReader(answer.Body, int64(limit)+1))
	if len(body) > limit {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrAnswer, limit)
	}
	if err != nil {
		return nil, unavailable(ctx, timeout, err)
	}
	return body, nil
}

// redirect narrows the redirect policy of the caller's client, nil for its default: never to another scheme, never without
// the request, and no secret to another host.
func (a Authority) redirect(policy func(*http.Request, []*http.Request) error) func(*http.Request, []*http.Request) error {
	return func(r *http.Request, via []*http.Request) error {
		first := via[0].URL
		switch {
		case r.URL.Scheme != first.Scheme:
			return fmt.Errorf("%w: a redirection to another scheme", ErrAnswer)
		case r.Method != http.MethodPost:
			return fmt.Errorf("%w: a redirection that drops the request", ErrAnswer)
		case policy == nil && len(via) >= 10:
			return fmt.Errorf("%w: ten redirections", ErrAnswer)
		}
		r.Header.Del("Referer") // the query of an address may be a secret
		if a.Authorize != nil && r.URL.Host != first.Host {
			secret := http.Header{}
			a.Authorize(secret)
			for name := range secret {
				r.Header.Del(name)
			}
		}
		if policy == nil {
			return nil
		}
		return policy(r, via)
	}
}

// unavailable says why there is no answer, in words that hold no address with a secret. A time-out of an authority is not
// context.DeadlineExceeded, which would look like the caller's.
func unavailable(ctx context.Context, timeout time.Duration, err error) error {
	var address *url.Error
	late := errors.As(err, &address) && address.Timeout()
	if address != nil {
		err = address.Err
	}
	var network *net.OpError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.Is(err, ErrAnswer):
		return err
	case errors.Is(ctx.Err(), context.Canceled):
		return fmt.Errorf("%w: the caller gave up", ErrUnavailable)
	case ctx.Err() != nil:
		return fmt.Errorf("%w: no answer within %v", ErrUnavailable, timeout.Round(time.Millisecond))
	case late:
		return fmt.Errorf("%w: no answer within the time of the HTTP client", ErrUnavailable)
	case errors.As(err, &certificate):
		return fmt.Errorf("%w: the certificate of its server is not trusted", ErrUnavailable)
	case errors.As(err, &network):
		return fmt.Errorf("%w: %w", ErrUnavailable, network)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: the connection ended before the answer", ErrUnavailable)
	}
	return fmt.Errorf("%w: the connection failed", ErrUnavailable)
}
