// Package storetest says how a store behaves, for every store: [Run] is the suite that each of them must pass.
// [Signer] and [Enrol] accuse use cases that change state without telling the operation log.
package storetest

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/augment"
	"github.com/ecsigner/ecsigner/enrol"
	"github.com/ecsigner/ecsigner/otp/sms"
	"github.com/ecsigner/ecsigner/signer"
	"github.com/ecsigner/ecsigner/tenure"
	"golang.org/x/mod/sumdb/tlog"
)

// Store is what the suite needs of a store.
type Store interface {
	tlog.HashReader
	Signer() signer.Store
	Enrol() enrol.Store
	Tenure() tenure.Store
	Augment() augment.Store
	Outbox() sms.Queue
	Reports() sms.Ledger
	Size(ctx context.Context) (int64, error)
	Entries(ctx context.Context, from int64, n int) ([][]byte, error)
	ReadEntries(ctx context.Context, from int64, n int) ([][]byte, error)
	LastHead(ctx context.Context) ([]byte, error)
	LastEntryTime(ctx context.Context) (time.Time, error)
	Receipt(ctx context.Context, index int64) ([]byte, error)
	Events(ctx context.Context, f func(index int64, at time.Time, e audit.Event) error) error
}

// World is what a store is opened in: a clock that stands until it is set, and the key of the log.
type World struct {
	VKey   string // verifies the heads
	micros atomic.Int64
	signer *audit.NoteSigner

	mu      sync.Mutex
	refusal error
	signed  int
}

// NewWorld returns a world at 2026-11-22 12:00 UTC with a fresh log key.
func NewWorld(t testing.TB) *World {
	t.Helper()
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w := &World{}
	if w.signer, err = audit.NewNoteSigner("log.example.com/test", key); err != nil {
		t.Fatal(err)
	}
	if w.VKey, err = audit.VerifierKey("log.example.com/test", public); err != nil {
		t.Fatal(err)
	}
	w.Set(time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC))
	return w
}

// Now is the clock.
func (w *World) Now() time.Time { return time.UnixMicro(w.micros.Load()).UTC() }

// Set sets the clock.
func (w *World) Set(t time.Time) { w.micros.Store(t.UnixMicro()) }

// Refuse makes the log key fail from now on; nil makes it work again.
func (w *World) Refuse(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refusal = err
}

// Signed says how many heads were signed.
func (w *World) Signed() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.signed
}

// SignHead implements audit.HeadSigner.
func (w *World) SignHead(ctx context.Context, size int64, root tlog.Hash) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.refusal != nil {
		return nil, w.refusal
	}
	w.signed++
	return w.signer.SignHead(ctx, size, root)
}

// errOwn is what units of work fail with in tests.
var errOwn = errors.New("storetest: refused")

// Run holds a store to its contract. Each test gets a new, empty store from open, which also closes it when the test ends.
func Run(t *testing.T, open func(t *testing.T, w *World) Store) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, w *World, s Store)
	}{
		{"records come back as they were put", testRecords},
		{"absent records are not found", testAbsent},
		{"versions conflict", testVersions},
		{"unique things are put once", testUnique},
		{"lists are ordered and limited", testLists},
		{"credentials that end or are revoked are found", testLifecycle},
		{"what waits and who called", testWaiting},
		{"open operations", testOpenOperations},
		{"a caller's operations", testOperationsOf},
		{"jobs and artefacts", testAugment},
		{"outbox", testOutbox},
		{"deliveries", testDeliveries},
		{"an error undoes its unit of work", testError},
		{"a panic undoes its unit of work", testPanic},
		{"an event that cannot be written undoes its unit of work", testEvent},
		{"parallel units of work are exact", testParallel},
		{"a context that ended", testContext},
		{"a view reads a snapshot and writes nothing", testView},
		{"a unit of work ends", testEnded},
		{"entries, heads and receipts", testLog},
		{"no head without the log key", testHead},
		{"no activation behind the clock", testClock},
		{"any sequence of units of work makes a log that verifies", testAnySequence},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := NewWorld(t)
			c.run(t, w, open(t, w))
		})
	}
}

// Voucher is a complete voucher of number n.
func Voucher(n int) enrol.Voucher {
	at := time.Date(2026, 11, 22, 10, 0, 0, 123456000, time.UTC)
	return enrol.Voucher{
		Hash: digest(n), Product: "qes-1y", Years: 1, Expires: at.AddDate(1, 0, 0), Enrolment: "enr-1", Created: at,
		Caller: "operator-1",
	}
}

// Created is the event that goes with making a voucher.
func Created(n int) audit.Event {
	return audit.VoucherCreated{Voucher: name("v", n), Product: "qes-1y", Caller: "operator-1"}
}

// Signed is an event that needs a head.
func Signed(n int) audit.Event {
	return audit.SigningSigned{
		Operation: name("op", n), Credential: "cred-1", BindingVersion: 1, DTBSR: [][]byte{digest(n)}, Signatures: [][]byte{digest(n + 1)},
	}
}

// Activated is an event that a clock gone back forbids.
func Activated(n int) audit.Event {
	return audit.SigningActivated{
		Operation: name("op", n), Credential: "cred-1", Caller: "documents-1", BindingVersion: 1, DTBSR: [][]byte{digest(n)},
		Means: "sms-code", Challenge: name("ch", n), Activation: digest(n),
	}
}
