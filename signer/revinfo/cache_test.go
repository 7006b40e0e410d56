package revinfo_test

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/ecsigner/ecsigner/signer/revinfo"
	"github.com/ecsigner/ecsigner/signer/revinfo/revtest"
)

// TestConcurrent has a hundred callers ask at once: each thing is fetched once.
func TestConcurrent(t *testing.T) {
	w := newWorld(t, revtest.Options{Depth: 3})
	leaf := issue(t, w.Issuing(), revtest.Template{Change: onlyCRL})
	c := collector(t, w.config())
	// The list comes when it is known that all wait, or found it.
	release, entered := make(chan struct{}), make(chan struct{}, 100)
	list := must(t)(w.Issuing().CRL())
	w.Handle(w.Issuing().CRLURL(), http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		<-release
		revtest.Bytes(list).ServeHTTP(rw, r)
	}))
	var group sync.WaitGroup
	for range 100 {
		group.Go(func() {
			if e, err := c.Collect(t.Context(), leaf.Raw, nil, start); err != nil || len(e.Certificates) != 4 || len(e.CRLs) != 1 || len(e.OCSPs) != 2 {
				t.Errorf("%d certificates, %v", len(e.Certificates), err)
			}
		})
	}
	<-entered
	close(release)
	group.Wait()
	count := map[string]int{}
	for _, r := range w.Requests() {
		if strings.Contains(r, "/ocsp/") {
			r = r[:strings.Index(r, "/ocsp/")+5]
		}
		count[r]++
	}
	for r, n := range count {
		if n != 1 {
			t.Errorf("%s: %d times", r, n)
		}
	}
	if len(count) != 5 { // two CAs, two answers, one list
		t.Errorf("requests: %v", count)
	}
}

// TestCallersGoAway: who does not wait any longer is answered at once and does not end the fetch for others.
func TestCallersGoAway(t *testing.T) {
	w := newWorld(t, revtest.Options{Depth: 1})
	leaf := issue(t, w.CA(0), revtest.Template{Change: onlyCRL})
	c := collector(t, w.config())
	release, entered := make(chan struct{}), make(chan struct{}, 1)
	list := must(t)(w.CA(0).CRL())
	w.Handle(w.CA(0).CRLURL(), http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		<-release
		revtest.Bytes(list).ServeHTTP(rw, r)
	}))
	ctx, cancel := context.WithCancel(t.Context())
	first, second := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := c.Collect(ctx, leaf.Raw, nil, start)
		first <- err
	}()
	<-entered
	go func() {
		_, err := c.Collect(t.Context(), leaf.Raw, nil, start)
		second <- err
	}()
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	close(release)
	if err := <-second; err != nil {
		t.Error(err)
	}
}

// TestCache: what was fetched is used again until its end, or the end of its life, within the limits; failures and what is
// not authentic are not kept.
func TestCache(t *testing.T) {
	w := newWorld(t, revtest.Options{Depth: 1})
	fetched := func(c *revinfo.Collector, leaf *revtest.Certificate) int {
		t.Helper()
		w.Requests()
		if _, err := c.Collect(t.Context(), leaf.Raw, nil, w.clock.Now()); err != nil {
			t.Error(err)
		}
		return len(w.Requests())
	}
	steps := func(name string, c *revinfo.Collector, leaf *revtest.Certificate, steps []time.Duration, want []int) {
		t.Helper()
		for i, d := range steps {
			w.clock.step(d)
			if n := fetched(c, leaf); n != want[i] {
				t.Errorf("%s, step %d: %d requests, want %d", name, i, n, want[i])
			}
		}
	}
	leaf := issue(t, w.CA(0), revtest.Template{})
	steps("until its end", collector(t, w.config()), leaf, []time.Duration{0, 0, 50 * time.Minute, 15 * time.Minute}, []int{1, 0, 0, 1})
	cfg := w.config()
	cfg.Keep = 10 * time.Minute
	steps("for its life", collector(t, cfg), leaf, []time.Duration{0, 9 * time.Minute, 2 * time.Minute}, []int{1, 0, 1})
	cfg.CacheEntries = 1
	c := collector(t, cfg)
	other := issue(t, w.CA(0), revtest.Template{})
	for i, l := range []*revtest.Certificate{leaf, other, leaf, leaf} {
		if n, want := fetched(c, l), []int{1, 1, 1, 0}[i]; n != want {
			t.Errorf("one entry, step %d: %d requests, want %d", i, n, want)
		}
	}
	cfg.CacheEntries = 0
	cfg.CacheBytes = int64(len(must(t)(w.CA(0).OCSP(request(t, leaf, w.CA(0)))))) * 5 / 2
	c = collector(t, cfg)
	third := issue(t, w.CA(0), revtest.Template{})
	for i, l := range []*revtest.Certificate{leaf, other, leaf, third, leaf, other} {
		if n, want := fetched(c, l), []int{1, 1, 0, 1, 0, 1}[i]; n != want {
			t.Errorf("bytes of two answers, step %d: %d requests, want %d", i, n, want)
		}
	}
	cfg.CacheBytes = 10
	steps("ten bytes", collector(t, cfg), leaf, []time.Duration{0, 0}, []int{1, 1})

	c = collector(t, w.config())
	w.CA(0).SetOCSP(revtest.OCSP{Signer: leaf.Key})
	only := issue(t, w.CA(0), revtest.Template{Change: onlyOCSP})
	for range 2 {
		if _, err := c.Collect(t.Context(), only.Raw, nil, w.clock.Now()); err == nil {
			t.Error("an answer by another key is accepted")
		}
	}
	w.CA(0).SetOCSP(revtest.OCSP{})
	if _, err := c.Collect(t.Context(), only.Raw, nil, w.clock.Now()); err != nil {
		t.Errorf("after the responder recovered: %v", err)
	}
}

// TestCacheByIssuer: the same address under another issuer is another thing.
func TestCacheByIssuer(t *testing.T) {
	w := newWorld(t, revtest.Options{Depth: 1})
	second, err := w.Root("Second Root", revtest.P256)
	if err != nil {
		t.Fatal(err)
	}
	cfg := w.config()
	cfg.Anchors = append(cfg.Anchors, second.Certificate.Certificate)
	c := collector(t, cfg)
	good := issue(t, w.CA(0), revtest.Template{Change: onlyCRL})
	if _, err := c.Collect(t.Context(), good.Raw, nil, start); err != nil {
		t.Fatal(err)
	}
	stolen := issue(t, second, revtest.Template{Change: func(x *x509.Certificate) { at(w.CA(0).CRLURL())(x) }})
	if _, err := c.Collect(t.Context(), stolen.Raw, nil, start); !errors.Is(err, revinfo.ErrUnsupported) {
		t.Errorf("a list of another issuer, kept for its own: %v", err)
	}
}

// TestUnreachable: an address that does not answer is left alone for a while, so that not every caller waits for it.
func TestUnreachable(t *testing.T) {
	w := newWorld(t, revtest.Options{Depth: 1})
	leaf := issue(t, w.CA(0), revtest.Template{})
	cfg := w.config()
	t.Parallel()
	cfg.Network.Timeout, cfg.Keep = 2*time.Second, time.Nanosecond
	c := collector(t, cfg)
	w.Handle(w.CA(0).OCSPURL(), revtest.Slow())
	for i, want := range []string{"GET ocsp, GET list", "GET list", "GET list", "GET ocsp"} {
		if i == 3 {
			w.Handle(w.CA(0).OCSPURL(), nil)
			w.clock.step(30 * time.Second)
		}
		e, err := c.Collect(t.Context(), leaf.Raw, nil, start)
		if err != nil || i < 3 != (len(e.CRLs) == 1) {
			t.Errorf("call %d: %d lists, %v", i, len(e.CRLs), err)
		}
		var asked []string
		for _, r := range w.Requests() {
			method, path, _ := strings.Cut(r, " ")
			asked = append(asked, method+map[bool]string{true: " ocsp", false: " list"}[strings.Contains(path, "ocsp")])
		}
		if got := strings.Join(asked, ", "); got != want {
			t.Errorf("call %d: %s; want %s", i, got, want)
		}
		w.clock.step(time.Second)
	}
}

func request(t *testing.T, leaf *revtest.Certificate, issuer *revtest.CA) []byte {
	t.Helper()
	return must(t)(ocsp.CreateRequest(leaf.Certificate, issuer.Certificate.Certificate, nil))
}
