// Package gateway hands texts to commercial providers of text messages over HTTP, as configured by templates, and takes
// their delivery reports. Neither text nor number ever stands in one of its errors.
package gateway

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ecsigner/ecsigner/otp/sms"
)

// ErrConfig: a gateway cannot work as it is configured.
var ErrConfig = errors.New("gateway: configuration is wrong")

// Config describes a provider. In URL, headers and body the places {to} (E.164), {digits} (the same without +), {text},
// {id} (stable over retries) and {kind} are filled, escaped as each demands.
type Config struct {
	Name      string
	URL       string // https; http only to this machine
	Method    string // empty: POST
	Headers   map[string]string
	Secrets   map[string]string // headers whose values come from files; they hold no places
	Format    string            // of the body: json or form; empty: there is none
	Body      string
	CA        *x509.CertPool    // nil: those of the system
	Client    []tls.Certificate // nil: none
	Timeout   time.Duration     // of one attempt
	Tries     int               // in a row, before another provider or a later time
	Pause     time.Duration     // before the second attempt; it doubles
	Status    []int             // that mean success; empty: 200, 201, 202
	Field     string            // path in the JSON answer, such as messages.0.status; empty: the status alone counts
	Values    []string          // of the field that mean success
	Reference string            // path of the provider's own name of the text
	Rand      func() float64    // 0 to 1, to spread attempts
}

// maxAnswer is how much of an answer is read.
const maxAnswer = 64 << 10

// Provider is one gateway. It is safe for concurrent use.
type Provider struct {
	config Config
	client *http.Client
}

// New checks a configuration. ErrConfig.
func New(c Config) (*Provider, error) {
	c.Method = cmp.Or(c.Method, http.MethodPost)
	c.Status = slices.Clone(c.Status)
	if len(c.Status) == 0 {
		c.Status = []int{http.StatusOK, http.StatusCreated, http.StatusAccepted}
	}
	if c.Timeout <= 0 || c.Tries < 1 || c.Pause <= 0 || c.Rand == nil || c.Name == "" {
		return nil, fmt.Errorf("%w: name, time-out, tries, pause and randomness are required", ErrConfig)
	}
	if (c.Field == "") != (len(c.Values) == 0) {
		return nil, fmt.Errorf("%w: a success field needs its values", ErrConfig)
	}
	p := &Provider{config: c}
	// A text that needs every kind of escaping shows whether the templates hold.
	r, err := p.request(context.Background(), "msg-1", sms.KindSign, sms.Text{To: "+380501234567", Body: "\"\\&=%\n{to} Їж “€”"})
	if err != nil {
		return nil, err
	}
	if err := encrypted(r.URL); err != nil {
		return nil, err
	}
	if c.Format == "json" && !json.Valid([]byte(fill(c.Body, inJSON, "m", sms.KindSign, sms.Text{To: "+1", Body: "\"\\\n"}))) {
		return nil, fmt.Errorf("%w: the body is no JSON", ErrConfig)
	}
	p.client = &http.Client{
		Transport: &http.Transport{
			TLSClientConfig:     &tls.Config{RootCAs: c.CA, Certificates: c.Client, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout: c.Timeout, ResponseHeaderTimeout: c.Timeout, MaxResponseHeaderBytes: 64 << 10,
			MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true,
		},
		// A redirection could carry codes to somebody else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return p, nil
}

// encrypted allows plain HTTP only to this machine.
func encrypted(u *url.URL) error {
	host := u.Hostname()
	ip := net.ParseIP(host)
	switch {
	case u.Scheme == "https" && host != "":
		return nil
	case u.Scheme == "http" && (host == "localhost" || ip != nil && ip.IsLoopback()):
		return nil
	}
	return fmt.Errorf("%w: the URL must begin with https://; http:// is for this machine alone", ErrConfig)
}

// Name is by which reports speak of this provider.
func (p *Provider) Name() string { return p.config.Name }

// Send implements sms.Provider. It tries several times, with growing and scattered pauses, as long as ctx lasts.
func (p *Provider) Send(ctx context.Context, id string, kind sms.Kind, text sms.Text) (sms.Accepted, error) {
	pause := p.config.Pause
	for try := 1; ; try++ {
		by, wait, err := p.once(ctx, id, kind, text)
		if err == nil || try == p.config.Tries || wait < 0 || ctx.Err() != nil {
			return by, err
		}
		wait = max(wait, pause/2+time.Duration(p.config.Rand()*float64(pause)))
		pause *= 2
		if end, ok := ctx.Deadline(); ok && time.Until(end) <= wait {
			return by, err // another provider may have the rest of the time
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return by, err
		}
	}
}

// never says that the same request will not succeed.
const never = time.Duration(-1)

// once makes one attempt. wait is how long the provider wants to be left alone, or never.
func (p *Provider) once(ctx context.Context, id string, kind sms.Kind, text sms.Text) (by sms.Accepted, wait time.Duration, err error) {
	by.Provider = p.config.Name
	ctx, cancel := context.WithTimeout(ctx, p.config.Timeout)
	defer cancel()
	r, err := p.request(ctx, id, kind, text)
	if err != nil {
		return by, never, err
	}
	answer, err := p.client.Do(r)
	if err != nil {
		return by, 0, fmt.Errorf("gateway %s: %w", p.config.Name, anonymous(err))
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	taken := slices.Contains(p.config.Status, answer.StatusCode)
	switch {
	case taken && p.config.Field == "" && p.config.Reference == "":
		return by, 0, nil // the status says it all, whatever became of the body
	case taken && err != nil:
		return by, 0, fmt.Errorf("gateway %s: reading the answer: %w", p.config.Name, anonymous(err))
	case taken && p.config.Field == "":
		by.Reference = reference(body, p.config.Reference)
		return by, 0, nil
	case taken && len(body) > maxAnswer:
		return by, never, fmt.Errorf("gateway %s: the answer is over %d bytes", p.config.Name, maxAnswer)
	case taken:
		value, ok := lookup(body, p.config.Field)
		if !ok || !slices.Contains(p.config.Values, value) {
			return by, never, fmt.Errorf("gateway %s: the answer's field %s does not say success", p.config.Name, p.config.Field)
		}
		by.Reference = reference(body, p.config.Reference)
		return by, 0, nil
	}
	err = fmt.Errorf("gateway %s: status %d", p.config.Name, answer.StatusCode)
	switch answer.StatusCode {
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		return by, never, fmt.Errorf("%w: %w", err, sms.ErrRejected)
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
	default:
		if answer.StatusCode < 500 {
			return by, never, err
		}
	}
	return by, retryAfter(answer.Header.Get("Retry-After"), answer.Header.Get("Date")), err
}

// retryAfter reads the header of RFC 9110 section 10.2.3: seconds, or a time, which is held against the answer's own.
func retryAfter(value, date string) time.Duration {
	if n, err := strconv.Atoi(value); err == nil && n > 0 {
		return time.Duration(min(n, 3600)) * time.Second
	}
	at, err := http.ParseTime(value)
	from, err2 := http.ParseTime(date)
	if err != nil || err2 != nil {
		return 0
	}
	return max(0, min(time.Hour, at.Sub(from)))
}

// anonymous takes the address away from an error of the HTTP client: it may hold text and number.
func anonymous(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return context.DeadlineExceeded
	case errors.Is(err, context.Canceled):
		return context.Canceled
	}
	var network *net.OpError
	if errors.As(err, &network) {
		return fmt.Errorf("connection failed: %s", network.Op)
	}
	var certificate *tls.CertificateVerificationError
	if errors.As(err, &certificate) {
		return errors.New("its certificate is not trusted")
	}
	return errors.New("connection failed")
}

// request fills the templates.
func (p *Provider) request(ctx context.Context, id string, kind sms.Kind, text sms.Text) (*http.Request, error) {
	c := p.config
	var body []byte
	content := ""
	switch c.Format {
	case "":
	case "json":
		body, content = []byte(fill(c.Body, inJSON, id, kind, text)), "application/json; charset=utf-8"
	case "form":
		body, content = []byte(fill(c.Body, url.QueryEscape, id, kind, text)), "application/x-www-form-urlencoded"
	default:
		return nil, fmt.Errorf("%w: format %q; use json or form", ErrConfig, c.Format)
	}
	r, err := http.NewRequestWithContext(ctx, c.Method, fill(c.URL, url.QueryEscape, id, kind, text), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%w: method or URL of %s", ErrConfig, c.Name)
	}
	if content != "" {
		r.Header.Set("Content-Type", content)
	}
	r.Header.Set("Idempotency-Key", id)
	r.Header.Set("User-Agent", "ecsigner")
	for name, value := range c.Headers {
		r.Header.Set(name, fill(value, inHeader, id, kind, text))
	}
	for name, value := range c.Secrets {
		r.Header.Set(name, value)
	}
	return r, nil
}

// fill fills the places of a template in one pass, so that no value is taken for a place.
func fill(template string, escape func(string) string, id string, kind sms.Kind, text sms.Text) string {
	return strings.NewReplacer(
		"{to}", escape(text.To), "{digits}", escape(strings.TrimPrefix(text.To, "+")), "{text}", escape(text.Body),
		"{id}", escape(id), "{kind}", escape(string(kind)),
	).Replace(template)
}

// inJSON escapes for the inside of a JSON string.
func inJSON(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		return "" // no string is refused
	}
	return string(b[1 : len(b)-1])
}

// inHeader leaves what a header may hold.
func inHeader(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, s)
}

// lookup finds the value at a path of names and indexes in JSON, as text.
func lookup(body []byte, path string) (string, bool) {
	var v any
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if d.Decode(&v) != nil {
		return "", false
	}
	for name := range strings.SplitSeq(path, ".") {
		switch inner := v.(type) {
		case map[string]any:
			v = inner[name]
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i < 0 || i >= len(inner) {
				return "", false
			}
			v = inner[i]
		default:
			return "", false
		}
	}
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		return strconv.FormatBool(v), true
	}
	return "", false
}

// reference is the provider's name of a text, if it can be kept.
func reference(body []byte, path string) string {
	value, ok := "", false
	if path != "" && len(body) <= maxAnswer {
		value, ok = lookup(body, path)
	}
	if !ok || len(value) > 200 {
		return ""
	}
	return value
}
