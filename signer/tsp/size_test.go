package tsp_test

import (
	"context"
	"crypto"
	"crypto/sha512"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/signer/tsp"
	"github.com/ecsigner/ecsigner/signer/tsp/tsptest"
)

func maxSize(t *testing.T, c *tsp.Client, h crypto.Hash) int {
	t.Helper()
	n, err := c.MaxSize(context.Background(), h)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// The size is known before anything is signed, from one dummy request an authority and hash, and grows with what is seen.
func TestMaxSize(t *testing.T) {
	small, large := serve(t, tsptest.Options{}), serve(t, tsptest.Options{})
	large.Misbehave(tsptest.Faults{Size: 9000})
	client := newClient(t, tsp.Config{Authorities: []tsp.Authority{small.authority("small"), large.authority("large")}})
	first := maxSize(t, client, crypto.SHA256)
	if first < 9000+tsp.Margin || first > 9050+tsp.Margin {
		t.Errorf("%d bytes", first)
	}
	if again := maxSize(t, client, crypto.SHA256); again != first || small.Requests() != 1 || large.Requests() != 1 {
		t.Errorf("%d bytes after %d and %d requests", again, small.Requests(), large.Requests())
	}
	if other := maxSize(t, client, crypto.SHA512); other < first || small.Requests() != 2 {
		t.Errorf("%d bytes for another hash after %d requests", other, small.Requests())
	}
	// Every token teaches.
	small.Misbehave(tsptest.Faults{Size: 20000})
	token, err := stampOnce(client)
	if err != nil || maxSize(t, client, crypto.SHA256) != len(token)+tsp.Margin || small.Requests() != 3 {
		t.Errorf("%d bytes, %v", len(token), err)
	}
	if _, err := client.MaxSize(context.Background(), crypto.SHA1); !errors.Is(err, tsp.ErrInput) {
		t.Error(err)
	}
}

// A hundred tokens of ordinary variety stay within what the first one taught.
func TestMaxSizeHolds(t *testing.T) {
	s := serve(t, tsptest.Options{})
	client := newClient(t, tsp.Config{Authorities: []tsp.Authority{s.authority("a")}})
	limit := maxSize(t, client, crypto.SHA512)
	sizes := map[int]bool{}
	for i := range 100 {
		sum := sha512.Sum512([]byte{byte(i)})
		token, err := client.StampWithin(context.Background(), crypto.SHA512, sum[:], limit)
		if err != nil {
			t.Fatal(err)
		}
		sizes[len(token)] = true
	}
	if len(sizes) < 2 {
		t.Error("the tokens have no variety")
	}
}

// A token that is larger than was said is refused, the next authority is asked, and the next size is right.
func TestTokenTooLarge(t *testing.T) {
	one, two := serve(t, tsptest.Options{}), serve(t, tsptest.Options{})
	client := newClient(t, tsp.Config{Authorities: []tsp.Authority{one.authority("one"), two.authority("two")}})
	limit := maxSize(t, client, crypto.SHA256)
	one.Misbehave(tsptest.Faults{Size: limit + 1})
	within := func() ([]byte, error) {
		return client.StampWithin(context.Background(), crypto.SHA256, digest[:], limit)
	}
	token, err := within()
	if err != nil || !must(tsp.Parse(token)).Signer.Equal(two.Certificate()) {
		t.Error(err)
	}
	two.Misbehave(tsptest.Faults{Size: limit + 1})
	if token, err := within(); !errors.Is(err, tsp.ErrSize) || !errors.Is(err, tsp.ErrToken) || token != nil {
		t.Error(err)
	}
	if grown := maxSize(t, client, crypto.SHA256); grown <= limit+tsp.Margin {
		t.Errorf("still %d", grown)
	}
	limit = maxSize(t, client, crypto.SHA256)
	if _, err := within(); err != nil {
		t.Error(err)
	}
}

func TestMaxSizeWithoutAuthority(t *testing.T) {
	down, up := serve(t, tsptest.Options{}), serve(t, tsptest.Options{})
	down.Misbehave(tsptest.Faults{Status: 503})
	up.Misbehave(tsptest.Faults{Reject: &tsptest.Rejection{Status: 2, FailBit: 0}})
	var c clock
	client := newClient(t, tsp.Config{Authorities: []tsp.Authority{down.authority("down"), up.authority("up")}, Now: c.now, Rest: time.Minute})
	_, err := client.MaxSize(context.Background(), crypto.SHA256)
	if !errors.Is(err, tsp.ErrUnavailable) || !errors.Is(err, tsp.ErrRejected) ||
		err.Error() != "no size of time-stamps: down: authority not available: HTTP status 503; up: authority rejected the request: status 2 (rejection), badAlg" {
		t.Error(err)
	}
	// With nothing known, those that rest are asked again; with something known, they are left alone.
	up.Misbehave(tsptest.Faults{})
	size := maxSize(t, client, crypto.SHA256)
	asked := down.Requests()
	if again := maxSize(t, client, crypto.SHA256); again != size || down.Requests() != asked {
		t.Errorf("%d after %d, asked %d times after %d", again, size, down.Requests(), asked)
	}
	// After their rest they are.
	down.Misbehave(tsptest.Faults{Size: 12000})
	c.turn(2 * time.Minute)
	if grown := maxSize(t, client, crypto.SHA256); grown < 12000 {
		t.Errorf("%d", grown)
	}
}

// An authority that stalls takes at most half of the caller's time, so that there is some left to stamp.
func TestMaxSizeLeavesTime(t *testing.T) {
	stalls, good := serve(t, tsptest.Options{}), serve(t, tsptest.Options{})
	stalls.Misbehave(tsptest.Faults{Stall: true})
	client := newClient(t, tsp.Config{Authorities: []tsp.Authority{stalls.authority("stalls"), good.authority("good")}})
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	limit, err := client.MaxSize(ctx, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.StampWithin(ctx, crypto.SHA256, digest[:], limit); err != nil || stalls.Requests() != 1 {
		t.Errorf("%v; the one that stalls was asked %d times", err, stalls.Requests())
	}
}

// Of a hundred callers at once one asks, and the others take its result or its failure.
func TestMaxSizeAsksOnce(t *testing.T) {
	for name, f := range map[string]tsptest.Faults{"good": {Slow: time.Millisecond}, "stalled": {Stall: true}} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, tsptest.Options{})
			s.Misbehave(f)
			a := s.authority("a")
			if f.Stall {
				a.Timeout = 400 * time.Millisecond // long enough for all to come
			}
			client := newClient(t, tsp.Config{Authorities: []tsp.Authority{a}})
			var wg sync.WaitGroup
			for range 100 {
				wg.Go(func() {
					if _, err := client.MaxSize(context.Background(), crypto.SHA256); f.Stall != errors.Is(err, tsp.ErrUnavailable) || !f.Stall && err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if n := s.Requests(); n != 1 {
				t.Errorf("asked %d times", n)
			}
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			if _, err := client.MaxSize(ctx, crypto.SHA384); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
	}
}
