package webhook

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// serve runs a server with a taker and returns its address.
func serve(t *testing.T, limits Limits, take Taker) string {
	t.Helper()
	logger := slog.New(slog.DiscardHandler)
	s := NewServer(Handler(take, limits, logger), limits, nil, logger)
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // of a test
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := errors.Join(s.Shutdown(ctx), <-ended); err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

func taken(context.Context, string, http.Header, []byte) error { return nil }

func post(t *testing.T, address, path, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Signature", "abc")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(b)
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	var result error
	address := serve(t, DefaultLimits(), func(_ context.Context, provider string, h http.Header, body []byte) error {
		if provider != "idp-1" || h.Get("X-Signature") != "abc" || string(body) != " {\"raw\" : 1}\n" {
			t.Errorf("%s %v %q", provider, h, body)
		}
		return result
	})
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 200},
		{fmt.Errorf("%w: mis-signed", ErrRefused), 401},
		{fmt.Errorf("%w: no JSON", ErrUnreadable), 400},
		{errors.New("the database of Taras Shevchenko is away"), 503},
		{context.DeadlineExceeded, 503},
	} {
		result = c.err
		if got, said := post(t, address, "/identity/idp-1", " {\"raw\" : 1}\n"); got != c.want || said != "" {
			t.Errorf("%v: %d %q, want %d and no words", c.err, got, said, c.want)
		}
	}
}

func TestOtherPathsAndMethods(t *testing.T) {
	t.Parallel()
	address := serve(t, DefaultLimits(), func(context.Context, string, http.Header, []byte) error {
		t.Error("taken")
		return nil
	})
	for _, path := range []string{"/", "/identity/", "/identity/a/b", "/healthz"} {
		if got, _ := post(t, address, path, "{}"); got != http.StatusNotFound {
			t.Errorf("%s: %d", path, got)
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/identity/a", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", answer.StatusCode)
	}
}

func TestTooLarge(t *testing.T) {
	t.Parallel()
	limits := DefaultLimits()
	limits.Body = 100
	address := serve(t, limits, taken)
	if got, _ := post(t, address, "/identity/a", strings.Repeat("x", 100)); got != 200 {
		t.Errorf("at the limit: %d", got)
	}
	if got, _ := post(t, address, "/identity/a", strings.Repeat("x", 101)); got != http.StatusRequestEntityTooLarge {
		t.Errorf("over the limit: %d", got)
	}
}

// Slow senders hold their connections only for the time of a request, and cost nobody else an answer for longer.
func TestSlowSenders(t *testing.T) {
	t.Parallel()
	limits := Limits{Body: 1000, Time: 400 * time.Millisecond, Connections: 4}
	var calls atomic.Int32
	address := serve(t, limits, func(context.Context, string, http.Header, []byte) error { calls.Add(1); return nil })
	slow := make([]net.Conn, 8) // twice as many as there are connections
	for i := range slow {
		c, err := net.Dial("tcp", address) //nolint:noctx // of a test
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		slow[i] = c
		start := "POST /identity/a HTTP/1.1\r\nHost: x\r\n" // half of them stop in the header, half in the body
		if i%2 == 0 {
			start += "Content-Length: 100\r\n\r\n{"
		}
		if _, err := io.WriteString(c, start); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	if got, _ := post(t, address, "/identity/a", "{}"); got != 200 {
		t.Errorf("%d", got)
	}
	if took := time.Since(began); took > 10*limits.Time {
		t.Errorf("an honest caller waited for %s", took)
	}
	if calls.Load() != 1 {
		t.Errorf("%d taken", calls.Load())
	}
	for _, c := range slow { // each is cut off, with or without an answer
		_ = c.SetReadDeadline(time.Now().Add(20 * limits.Time))
		if _, err := io.Copy(io.Discard, bufio.NewReader(c)); errors.Is(err, context.DeadlineExceeded) || isTimeout(err) {
			t.Errorf("a slow sender is still connected: %v", err)
		}
	}
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

// A taker that hangs is given up; the provider is told to come again.
func TestSlowTaker(t *testing.T) {
	t.Parallel()
	limits := DefaultLimits()
	limits.Time = 100 * time.Millisecond
	address := serve(t, limits, func(ctx context.Context, _ string, _ http.Header, _ []byte) error {
		<-ctx.Done()
		return ctx.Err()
	})
	if got, _ := post(t, address, "/identity/a", "{}"); got != http.StatusServiceUnavailable {
		t.Errorf("%d", got)
	}
}
