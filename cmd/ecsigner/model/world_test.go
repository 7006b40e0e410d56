package model_test

import (
	"context"
	"errors"
	randv2 "math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/ca"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/engine"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/enrol"
	"github.com/ecsigner/ecsigner/enrol/agreement"
	"github.com/ecsigner/ecsigner/otp"
	"github.com/ecsigner/ecsigner/otp/sms"
	"github.com/ecsigner/ecsigner/sam"
	"github.com/ecsigner/ecsigner/signer"
	"github.com/ecsigner/ecsigner/store"
	"github.com/ecsigner/ecsigner/tenure"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	operationLife = 15 * time.Minute
	enrolmentLife = 30 * 24 * time.Hour
	proofAge      = 10 * 24 * time.Hour
	deferredLife  = 5 * 24 * time.Hour
	leaseLife     = 30 * time.Second // of package signer in the release build
)

// limits are low, so that short histories reach them.
func limits() otp.Limits {
	return otp.Limits{
		Life: 5 * time.Minute, Tries: 2, Codes: 3, Resends: 1, CallerLock: 3, AccountLock: 5, AccountWindow: 24 * time.Hour, Digits: 9, HighDigits: 9,
	}
}

// world is what outlives a process: disk, device, clock, phones, and what the outside has seen; and the model of it.
type world struct {
	house   *house
	dir     string
	device  *device
	random  *stream
	process *process  // nil while none runs
	open    *store.DB // left by the process before
	crashes int
	tasks   []*task

	timing  sync.Mutex
	clock   time.Time
	setBack bool // behind the log by more than its verifier allows
	highest time.Time

	mu        sync.Mutex
	places    sync.Mutex // guards where tasks stand
	model     *state
	released  []release
	texts     []delivered
	story     []string
	commits   int
	certified map[string]int // by serial number
	disturbed bool           // by a crash or a fault
	sequence  int            // of request ids

	furnishing bool // the house is made; there is no model yet

	failing sync.Mutex
	failure string
}

// stream is randomness that is the same in every run of a history.
type stream struct {
	mu  sync.Mutex
	src *randv2.ChaCha8
}

func newStream(seed byte) *stream { return &stream{src: randv2.NewChaCha8([32]byte{seed})} }

func (s *stream) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.src.Read(p)
}

func (w *world) now() time.Time {
	w.timing.Lock()
	defer w.timing.Unlock()
	return w.clock
}

// process is what a crash ends.
type process struct {
	world   *world
	ctx     context.Context
	cancel  context.CancelFunc
	db      *store.DB
	trust   *sam.Module
	enrol   *enrol.Service
	tenure  *tenure.Service
	signer  *signer.Service
	dead    bool
	stopped bool // a commit failed: nothing is written any more
}

// start does what the engine does at its start, on what the disk holds.
func (w *world) start() {
	p := &process{world: w}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	if err := p.open(p.ctx); err != nil {
		w.fail("the process does not start: %v", err)
		w.check()
	}
	w.process = p
}

// boot starts a process and lets it resume, as the engine does before it serves.
func (w *world) boot() {
	w.start()
	w.finish(w.begin(w.resume()))
}

func (p *process) open(ctx context.Context) (err error) {
	w := p.world
	if p.trust, err = sam.Open(ctx, w.device, sam.Config{Installation: "model", Epoch: 1, Digits: 9, Now: w.now}); err != nil {
		return err
	}
	if p.db, w.open = w.open, nil; p.db == nil {
		p.db, err = store.Open(ctx, store.Config{
			Dir: filepath.Join(w.dir, "db"), HeadFile: filepath.Join(w.dir, "heads"), HeadMAC: p.trust.Head, Head: heads{w.device}, Now: w.now, MinFree: 1,
		})
		if err != nil {
			return err
		}
	}
	spool, err := store.OpenSpool(filepath.Join(w.dir, "spool"), p.trust.SpoolKey)
	if err != nil {
		return err
	}
	memory := otp.NewMemory()
	alarm := func(_ context.Context, kind, subject string, err error) {
		// The number of a list is the time, and the clock of a history stands or goes back.
		away := errors.Is(err, errDevice) || errors.Is(err, errDisk) || errors.Is(err, store.ErrStopped) || errors.Is(err, ca.ErrListOrder) || w.wentBack()
		if kind != "issuing" && (kind != "crl" || !away) { // what stopped is told to the operator
			w.fail("alarm about %s %s: %v", kind, subject, err)
		}
	}
	p.enrol, err = enrol.New(enrol.Config{
		Store: enrolPort(p), Trust: p.trust, Authority: authority{w.house.issuing, w}, Seal: w.house.seal, Memory: memory, Limits: limits(),
		Provider: agreement.Provider{
			Name: "Example QTSP", RegistrationID: "VATPL-5260250274", Address: "ul. Przykładowa 1, 00-001 Warszawa",
			PolicyOID: "1.2.616.1.999999.1.1",
		},
		PDS:   map[string]string{"en": "https://pki.example.com/pds_en.pdf"},
		Terms: agreement.Terms{Version: "1", URL: "https://pki.example.com/terms", RetentionYears: 20}, TestMode: true,
		Life: enrolmentLife, ProofAge: proofAge, DeferredLife: deferredLife, Guesses: enrol.DefaultGuessLimits(),
		Products: []enrol.Product{{
			Name: "qes-2y", Years: 2, Algorithms: []credential.Algorithm{credential.ECDSAP256}, Identifiers: []string{"TIN"}, Organisation: enrol.OrganisationNone,
		}},
		Now: w.now, Rand: w.random, Alarm: alarm,
	})
	if err != nil {
		return err
	}
	p.tenure, err = tenure.New(tenure.Config{
		Store: tenurePort(p), Trust: p.trust, Authority: w.house.issuing, Origins: p.enrol, Memory: memory, Limits: limits(),
		Provider: "Example QTSP", Now: w.now, Rand: w.random, Alarm: alarm,
	})
	if err != nil {
		return err
	}
	p.signer, err = signer.New(signer.Config{
		Store: signerPort(p), Spool: spool, Trust: p.trust, Memory: memory, Codes: limits(), Now: w.now, Rand: w.random,
		MaxBytes: 1 << 20, Life: operationLife, Notice: true, Alarm: alarm,
	})
	if err != nil {
		return err
	}
	if err = engine.Rebuild(ctx, p.db, w.now(), p.trust, p.enrol, p.tenure, memory); err != nil {
		return err
	}
	size, err := p.db.Size(ctx)
	if err != nil {
		return err
	}
	_, err = p.db.Signer().Update(ctx, func(tx signer.Tx) error {
		tx.Append(audit.ServiceStarted{Version: "model", Epoch: 1, Size: size})
		return nil
	})
	if err == nil {
		w.mu.Lock()
		w.model.latest = later(w.model.latest, w.now())
		w.mu.Unlock()
	}
	return err
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// wentBack tells whether the clock shows less than it once did.
func (w *world) wentBack() bool {
	w.timing.Lock()
	defer w.timing.Unlock()
	return w.clock.Before(w.highest)
}

// heads signs the heads of the log unless the device is away.
type heads struct{ d *device }

func (h heads) SignHead(ctx context.Context, size int64, root tlog.Hash) ([]byte, error) {
	if h.d.away() {
		return nil, errDevice
	}
	return h.d.house.head.SignHead(ctx, size, root)
}

// errDisk is what a history lets reads and commits fail with: nothing happened.
var errDisk = store.ErrDatabase

// errUndone takes a rehearsal back.
var errUndone = errors.New("model: rehearsal")

// base is a use case's store beneath the wrapper.
type base[T any] interface {
	Update(ctx context.Context, f func(T) error) (audit.Commit, error)
	View(ctx context.Context, f func(T) error) error
}

// port stops calls before and after units of work, and tells the model of each commit.
type port[T any] struct {
	p      *process
	inner  base[T]
	record func(T, *unit) T
}

func (s port[T]) View(ctx context.Context, f func(T) error) error {
	if listing() {
		return s.inner.View(ctx, f)
	}
	if s.p.at(ctx, atView) == refuse {
		s.p.world.faulty(ctx, "store")
		return errDisk
	}
	err := s.inner.View(ctx, f)
	s.p.at(ctx, atViewed)
	return err
}

func (s port[T]) Update(ctx context.Context, f func(T) error) (audit.Commit, error) {
	w, t := s.p.world, taskOf(ctx)
	v := s.p.at(ctx, atUpdate)
	if s.p.stopped {
		w.faulty(ctx, "store")
		return audit.Commit{}, store.ErrStopped
	}
	u := &unit{}
	run := func(tx T) error {
		*u = unit{}
		return f(s.record(tx, u))
	}
	if v == refuse || v == vanish || v == rehearsed {
		_, err := s.inner.Update(ctx, func(tx T) error { return errors.Join(run(tx), errUndone) })
		if v == refuse {
			w.faulty(ctx, "store")
			return audit.Commit{}, errDisk
		}
		if v == vanish && err.Error() == errUndone.Error() { // one that fails by itself is never committed
			s.p.stopped = true
			w.faulty(ctx, "unknown")
			return audit.Commit{}, store.ErrOutcomeUnknown
		}
	}
	w.mu.Lock()
	commit, err := s.inner.Update(ctx, run)
	if err == nil {
		u.commit = commit
		w.committed(t, u)
	}
	w.mu.Unlock()
	if err != nil {
		return commit, err
	}
	if s.p.at(ctx, atUpdated) == lose {
		s.p.stopped = true
		w.faulty(ctx, "unknown")
		return audit.Commit{}, store.ErrOutcomeUnknown
	}
	return commit, nil
}

// listing tells whether a revocation list is made: that holds a mutex, for which others wait who could not be let go on.
func listing() bool {
	var callers [16]uintptr
	frames := runtime.CallersFrames(callers[:runtime.Callers(3, callers[:])])
	for {
		f, more := frames.Next()
		if strings.HasSuffix(f.Function, "tenure.(*Service).newCRL") {
			return true
		}
		if !more {
			return false
		}
	}
}

// authority counts what the CA signs.
type authority struct {
	enrol.Authority
	w *world
}

// Sign implements enrol.Issuer.
func (a authority) Sign(ctx context.Context, c ca.Certificate) ([]byte, error) {
	der, err := a.Authority.Sign(ctx, c)
	if err == nil {
		a.w.mu.Lock()
		defer a.w.mu.Unlock()
		a.w.certified[c.Serial]++
	}
	return der, err
}

// Receipt is read like anything else.
func (s signing) Receipt(ctx context.Context, index int64) ([]byte, error) {
	if s.p.at(ctx, atView) == refuse {
		s.p.world.faulty(ctx, "store")
		return nil, errDisk
	}
	return s.p.db.Receipt(ctx, index)
}

// signing is the port of package signer, which also reads receipts.
type signing struct{ port[signer.Tx] }

func signerPort(p *process) signer.Store {
	return signing{port[signer.Tx]{p, p.db.Signer(), func(tx signer.Tx, u *unit) signer.Tx { return signerTx{tx, u} }}}
}

func enrolPort(p *process) enrol.Store {
	return port[enrol.Tx]{p, p.db.Enrol(), func(tx enrol.Tx, u *unit) enrol.Tx { return enrolTx{tx, u} }}
}

func tenurePort(p *process) tenure.Store {
	return port[tenure.Tx]{p, p.db.Tenure(), func(tx tenure.Tx, u *unit) tenure.Tx { return tenureTx{tx, u} }}
}

// faulty notes that the history did something to a call.
func (w *world) faulty(ctx context.Context, what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.disturbed = true
	if t := taskOf(ctx); t != nil {
		t.faults[what] = true
		w.sharedByIssuing(what)
	}
}

// unit is one unit of work: what it wrote, and its commit.
type unit struct {
	challenges  []otp.Challenge
	locks       []otp.Lock
	requests    []answered
	messages    []sms.Message
	operations  []signer.Operation
	enrolments  []enrol.Enrolment
	touched     int // of them, without a transition
	credentials []credential.Record
	commit      audit.Commit
}

func (u *unit) empty() bool {
	return len(u.commit.Entries)+len(u.challenges)+len(u.locks)+len(u.requests)+len(u.messages)+len(u.operations)+len(u.enrolments)+len(u.credentials) == 0
}

type answered struct{ caller, id, result string }

type signerTx struct {
	signer.Tx
	u *unit
}

func (tx signerTx) PutChallenge(c otp.Challenge) error {
	tx.u.challenges = append(tx.u.challenges, c)
	return tx.Tx.PutChallenge(c)
}

func (tx signerTx) PutLock(l otp.Lock) error {
	tx.u.locks = append(tx.u.locks, l)
	return tx.Tx.PutLock(l)
}

func (tx signerTx) PutRequest(caller, id string, print []byte, result string) error {
	tx.u.requests = append(tx.u.requests, answered{caller, id, result})
	return tx.Tx.PutRequest(caller, id, print, result)
}

func (tx signerTx) Enqueue(m sms.Message) error {
	tx.u.messages = append(tx.u.messages, m)
	return tx.Tx.Enqueue(m)
}

func (tx signerTx) PutOperation(o signer.Operation) error {
	tx.u.operations = append(tx.u.operations, o)
	return tx.Tx.PutOperation(o)
}

type enrolTx struct {
	enrol.Tx
	u *unit
}

func (tx enrolTx) PutChallenge(c otp.Challenge) error {
	tx.u.challenges = append(tx.u.challenges, c)
	return tx.Tx.PutChallenge(c)
}

func (tx enrolTx) PutLock(l otp.Lock) error {
	tx.u.locks = append(tx.u.locks, l)
	return tx.Tx.PutLock(l)
}

func (tx enrolTx) PutRequest(caller, id string, print []byte, result string) error {
	tx.u.requests = append(tx.u.requests, answered{caller, id, result})
	return tx.Tx.PutRequest(caller, id, print, result)
}

func (tx enrolTx) Enqueue(m sms.Message) error {
	tx.u.messages = append(tx.u.messages, m)
	return tx.Tx.Enqueue(m)
}

func (tx enrolTx) PutEnrolment(e enrol.Enrolment) error {
	tx.u.enrolments = append(tx.u.enrolments, e)
	return tx.Tx.PutEnrolment(e)
}

func (tx enrolTx) TouchEnrolment(e enrol.Enrolment) error {
	tx.u.enrolments = append(tx.u.enrolments, e)
	tx.u.touched++
	return tx.Tx.TouchEnrolment(e)
}

// scratch is where the databases of histories live: in memory where there is room, for a commit waits for the disk.
func scratch() (string, error) {
	const memory = "/dev/shm"
	if dir, err := os.MkdirTemp(memory, "ecsigner-model-"); err == nil {
		return dir, nil
	}
	return os.MkdirTemp("", "ecsigner-model-")
}

func (tx enrolTx) PutCredential(r credential.Record) error {
	tx.u.credentials = append(tx.u.credentials, r)
	return tx.Tx.PutCredential(r)
}

type tenureTx struct {
	tenure.Tx
	u *unit
}

func (tx tenureTx) PutChallenge(c otp.Challenge) error {
	tx.u.challenges = append(tx.u.challenges, c)
	return tx.Tx.PutChallenge(c)
}

func (tx tenureTx) PutLock(l otp.Lock) error {
	tx.u.locks = append(tx.u.locks, l)
	return tx.Tx.PutLock(l)
}

func (tx tenureTx) PutRequest(caller, id string, print []byte, result string) error {
	tx.u.requests = append(tx.u.requests, answered{caller, id, result})
	return tx.Tx.PutRequest(caller, id, print, result)
}

func (tx tenureTx) Enqueue(m sms.Message) error {
	tx.u.messages = append(tx.u.messages, m)
	return tx.Tx.Enqueue(m)
}

func (tx tenureTx) PutCredential(r credential.Record) error {
	tx.u.credentials = append(tx.u.credentials, r)
	return tx.Tx.PutCredential(r)
}
