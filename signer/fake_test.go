package signer_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/augment"
	"github.com/ecsigner/ecsigner/call"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/otp"
	"github.com/ecsigner/ecsigner/otp/sms"
	"github.com/ecsigner/ecsigner/sam"
	"github.com/ecsigner/ecsigner/signer"
	"github.com/ecsigner/ecsigner/signer/cades"
)

// state is everything a store holds, by value.
type state struct {
	challenges  map[otp.ID]otp.Challenge
	locks       map[[2]string]otp.Lock
	requests    map[[2]string][2]string
	operations  map[signer.OperationID]signer.Operation
	credentials map[credential.ID]credential.Record
	grants      map[[2]string]credential.Grant
	documents   map[string]signer.Document
	jobs        map[place]augment.Job
	artefacts   map[level]augment.Artefact
	augments    map[string]augment.Augmentation
	messages    []sms.Message
	events      []audit.Event
}

type place struct {
	subject string
	item    int
}

type level struct {
	place
	level cades.Level
}

func (s state) clone() state {
	s.challenges, s.locks, s.requests = maps.Clone(s.challenges), maps.Clone(s.locks), maps.Clone(s.requests)
	s.operations, s.credentials = maps.Clone(s.operations), maps.Clone(s.credentials)
	s.grants, s.documents = maps.Clone(s.grants), maps.Clone(s.documents)
	s.jobs, s.artefacts, s.augments = maps.Clone(s.jobs), maps.Clone(s.artefacts), maps.Clone(s.augments)
	s.messages, s.events = append([]sms.Message(nil), s.messages...), append([]audit.Event(nil), s.events...)
	return s
}

// fakeStore is a store in memory that accuses: it runs every unit of work twice and compares, and fails the test when
// anything but a document or a request id changes without an event. fault, when set, decides the fate of the n-th Update.
type fakeStore struct {
	t     *testing.T
	mu    sync.Mutex
	state state
	n     int
	views int // calls of View
	fault func(n int) fate
	after func() // runs behind each View, while its caller knows what it read; may be nil
}

type fate int

const (
	commits        fate = iota
	fails               // nothing happened
	failsAfterward      // it happened, but the caller cannot know
)

func newStore(t *testing.T) *fakeStore {
	return &fakeStore{t: t, state: state{
		challenges: map[otp.ID]otp.Challenge{}, locks: map[[2]string]otp.Lock{}, requests: map[[2]string][2]string{},
		operations: map[signer.OperationID]signer.Operation{}, credentials: map[credential.ID]credential.Record{},
		grants: map[[2]string]credential.Grant{}, documents: map[string]signer.Document{},
		jobs: map[place]augment.Job{}, artefacts: map[level]augment.Artefact{}, augments: map[string]augment.Augmentation{},
	}}
}

func (f *fakeStore) Update(ctx context.Context, do func(signer.Tx) error) (audit.Commit, error) {
	if err := ctx.Err(); err != nil {
		return audit.Commit{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n++
	rehearsal := &fakeTx{state: f.state.clone()}
	_ = do(rehearsal)
	tx := &fakeTx{state: f.state.clone()}
	if err := do(tx); err != nil {
		return audit.Commit{}, err
	}
	if len(rehearsal.events) != len(tx.events) || rehearsal.puts != tx.puts {
		f.t.Errorf("a unit of work is not pure: %d and %d events, %d and %d writes", len(rehearsal.events), len(tx.events), rehearsal.puts, tx.puts)
	}
	if tx.puts > 0 && len(tx.state.events) == len(f.state.events) {
		f.t.Error("state changed without an event")
	}
	outcome := commits
	if f.fault != nil {
		outcome = f.fault(f.n)
	}
	if outcome == fails {
		return audit.Commit{}, errors.New("disk is gone")
	}
	for _, e := range tx.events {
		if _, err := audit.Encode(now0, e); err != nil {
			f.t.Errorf("event %T cannot be encoded: %v", e, err)
		}
	}
	f.state = tx.state
	if outcome == failsAfterward {
		return audit.Commit{}, signer.ErrOutcomeUnknown
	}
	return audit.Commit{}, nil
}

func (f *fakeStore) View(_ context.Context, do func(signer.Tx) error) error {
	f.mu.Lock()
	f.views++
	tx := &fakeTx{state: f.state.clone()}
	f.mu.Unlock()
	err := do(tx)
	if f.after != nil {
		f.after()
	}
	return err
}

func (f *fakeStore) Receipt(_ context.Context, index int64) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	entry, err := audit.Encode(time.Unix(1, 0), f.state.events[index])
	return audit.Receipt{Index: index, Entry: entry, Head: []byte("head\n")}.Marshal(), err
}

// events returns the log so far.
func (f *fakeStore) log() []audit.Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]audit.Event(nil), f.state.events...)
}

// fakeTx counts as a change of state only what the log must tell of.
type fakeTx struct {
	state
	events []audit.Event
	puts   int
}

func (tx *fakeTx) Append(e audit.Event) {
	tx.events, tx.state.events = append(tx.events, e), append(tx.state.events, e)
}
func (tx *fakeTx) NextIndex() int64 { return int64(len(tx.state.events)) }

func (tx *fakeTx) Challenge(id otp.ID) (otp.Challenge, error) {
	return get(tx.challenges, id, otp.ErrNotFound)
}

func (tx *fakeTx) PutChallenge(c otp.Challenge) error {
	tx.puts++
	tx.challenges[c.ID] = c
	return nil
}

func (tx *fakeTx) Lock(a, c string) (otp.Lock, error) { return tx.locks[[2]string{a, c}], nil }

func (tx *fakeTx) PutLock(l otp.Lock) error {
	tx.puts++
	tx.locks[[2]string{l.Account, l.Caller}] = l
	return nil
}

func (tx *fakeTx) Request(caller, id string) ([]byte, string, error) {
	r, ok := tx.requests[[2]string{caller, id}]
	if !ok {
		return nil, "", nil
	}
	return []byte(r[0]), r[1], nil
}

func (tx *fakeTx) PutRequest(caller, id string, print []byte, result string) error {
	tx.requests[[2]string{caller, id}] = [2]string{string(print), result}
	return nil
}

func (tx *fakeTx) Delivery(message string) (sms.Delivery, error) {
	return sms.Delivery{Message: message, Status: sms.Waiting}, nil
}

func (tx *fakeTx) Enqueue(m sms.Message) error {
	tx.puts++
	tx.messages = append(tx.messages, m)
	return nil
}

func (tx *fakeTx) Grant(id credential.ID, c string) (credential.Grant, error) {
	return get(tx.grants, [2]string{string(id), c}, fmt.Errorf("%w, %w", signer.ErrNotFound, call.ErrNotFound))
}

func (tx *fakeTx) Document(id string) (signer.Document, error) {
	return get(tx.documents, id, signer.ErrNotFound)
}
func (tx *fakeTx) PutDocument(d signer.Document) error { tx.documents[d.ID] = d; return nil }

func (tx *fakeTx) Operation(id signer.OperationID) (signer.Operation, error) {
	return get(tx.operations, id, signer.ErrNotFound)
}

func (tx *fakeTx) PutOperation(o signer.Operation) error {
	if tx.operations[o.ID].Version != o.Version {
		return signer.ErrConflict
	}
	tx.puts++
	o.Version++
	tx.operations[o.ID] = o
	return nil
}

func (tx *fakeTx) Credential(id credential.ID) (credential.Record, error) {
	return get(tx.credentials, id, signer.ErrNotFound)
}

func (tx *fakeTx) OpenOperations(t time.Time, limit int) ([]signer.Operation, error) {
	var out []signer.Operation
	for _, o := range tx.operations {
		if len(out) < limit && o.Expires.Before(t) && (o.State == signer.StateRequested || o.State == signer.StateSigning) {
			out = append(out, o)
		}
	}
	return out, nil
}

func (tx *fakeTx) OperationsOf(caller string, q signer.Query) ([]signer.Operation, error) {
	var out []signer.Operation
	for _, o := range tx.operations {
		after := q.After.ID == "" || o.Created.Before(q.After.Created) || o.Created.Equal(q.After.Created) && o.ID < q.After.ID
		if o.Caller == caller && (q.State == "" || o.State == q.State) && (q.Credential == "" || o.Credential == q.Credential) &&
			!o.Created.Before(q.From) && o.Created.Before(q.Before) && after {
			o.Activation, o.Signatures, o.Results = credential.Sealed{}, nil, nil
			out = append(out, o)
		}
	}
	slices.SortFunc(out, func(a, b signer.Operation) int {
		return cmp.Or(b.Created.Compare(a.Created), strings.Compare(string(b.ID), string(a.ID)))
	})
	return out[:min(len(out), q.Limit)], nil
}

func (tx *fakeTx) Job(subject string, item int) (augment.Job, error) {
	return get(tx.jobs, place{subject, item}, call.ErrNotFound)
}

// PutJob counts as no change: the state of the queue is told in events only where an artefact was made.
func (tx *fakeTx) PutJob(j augment.Job) error {
	at := place{j.Subject, j.Item}
	if tx.jobs[at].Version != j.Version {
		return call.ErrConflict
	}
	j.Version++
	j.Release = j.Release || tx.jobs[at].Release
	tx.jobs[at] = j
	return nil
}

func (tx *fakeTx) Jobs(subject string) ([]augment.Job, error) {
	var all []augment.Job
	for at, j := range tx.jobs {
		if at.subject == subject {
			all = append(all, j)
		}
	}
	slices.SortFunc(all, func(a, b augment.Job) int { return a.Item - b.Item })
	return all, nil
}

func (tx *fakeTx) DueJobs(now time.Time, limit int) ([]augment.Job, error) {
	var all []augment.Job
	for _, j := range tx.jobs {
		if j.State == augment.Pending && !j.NotBefore.After(now) && len(all) < limit {
			all = append(all, j)
		}
	}
	return all, nil
}

func (tx *fakeTx) Needing(document string) (int64, error) {
	var n int64
	for _, j := range tx.jobs {
		if j.Document == document && j.State == augment.Pending {
			n++
		}
	}
	return n, nil
}

func (tx *fakeTx) ReleaseDocument(document string) error {
	for at, j := range tx.jobs {
		if j.Document == document {
			j.Release = true
			tx.jobs[at] = j
		}
	}
	return nil
}

func (tx *fakeTx) Artefact(subject string, item int, l cades.Level) (augment.Artefact, error) {
	return get(tx.artefacts, level{place{subject, item}, l}, call.ErrNotFound)
}

func (tx *fakeTx) ArtefactsOf(subject string) ([]augment.Artefact, error) {
	var all []augment.Artefact
	for at, a := range tx.artefacts {
		if at.subject == subject {
			a.Data = nil
			all = append(all, a)
		}
	}
	return all, nil
}

func (tx *fakeTx) PutArtefact(a augment.Artefact) error {
	at := level{place{a.Subject, a.Item}, a.Level}
	if _, ok := tx.artefacts[at]; ok {
		return call.ErrConflict
	}
	tx.puts++
	tx.artefacts[at] = a
	return nil
}

func (tx *fakeTx) Augmentation(id string) (augment.Augmentation, error) {
	return get(tx.augments, id, call.ErrNotFound)
}

func (tx *fakeTx) PutAugmentation(a augment.Augmentation) error {
	tx.augments[a.ID] = a
	return nil
}

func get[K comparable, V any](m map[K]V, k K, absent error) (V, error) {
	v, ok := m[k]
	if !ok {
		return v, absent
	}
	return v, nil
}

// device is the HSM in software; it counts signatures by wrapped key and can fail or wait.
type device struct {
	mu     sync.Mutex
	keys   map[string]crypto.Signer
	signed map[string]int
	before func() error
	spoil  int // the number of the digest in a call, from 1, whose signature is wrong
}

func (d *device) MAC(_ context.Context, data []byte) ([]byte, error) {
	h := hmac.New(sha256.New, []byte("the seal key of this test"))
	h.Write(data)
	return h.Sum(nil), nil
}

// rsaKey is made once: it takes long.
var rsaKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 3072) })

func (d *device) GenerateKey(_ context.Context, algorithm string) ([]byte, string, crypto.PublicKey, error) {
	var k crypto.Signer
	var err error
	switch algorithm {
	case "rsa-3072":
		k, err = rsaKey()
	case "ecdsa-p384":
		k, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	default:
		k, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		return nil, "", nil, err
	}
	w := fmt.Sprintf("wrapped-%d", len(d.keys))
	d.keys[w] = k
	return []byte(w), "kek", k.Public(), nil
}

func (d *device) SignWrapped(_ context.Context, _ string, wrapped []byte, algorithm string, digests [][]byte) ([][]byte, error) {
	var opts crypto.SignerOpts = credential.Scheme(algorithm).Hash()
	if strings.HasPrefix(algorithm, "rsa-pss-") {
		opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: opts.HashFunc()}
	}
	if d.before != nil {
		if err := d.before(); err != nil {
			return nil, err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	var out [][]byte
	for i, g := range digests {
		d.signed[string(wrapped)]++
		s, err := d.keys[string(wrapped)].Sign(rand.Reader, g, opts)
		if err != nil {
			return nil, err
		}
		if d.spoil == i+1 {
			s[len(s)-1] ^= 1
		}
		out = append(out, s)
	}
	return out, nil
}

func (d *device) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for _, signed := range d.signed {
		n += signed
	}
	return n
}

// spool keeps documents in memory.
type spool struct {
	mu    sync.Mutex
	files map[string][]byte
}

type spoolWriter struct {
	bytes.Buffer
	s  *spool
	id string
}

func (s *spool) Create(id string) (signer.SpoolWriter, error) { return &spoolWriter{s: s, id: id}, nil }

func (w *spoolWriter) Commit() error {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	w.s.files[w.id] = bytes.Clone(w.Bytes())
	return nil
}
func (w *spoolWriter) Close() error { return nil }

type spoolReader struct{ *bytes.Reader }

func (spoolReader) Close() error { return nil }

func (s *spool) Open(id string) (signer.SpoolReader, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.files[id]
	if !ok {
		return nil, signer.ErrNotFound
	}
	return spoolReader{bytes.NewReader(b)}, nil
}

func (s *spool) Remove(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.files, id)
	return nil
}

var (
	now0 = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	docs = signer.Caller{Name: "contracts", Registered: "Договори Онлайн"}
)

// world is a service with one credential that "contracts" may use.
type world struct {
	t      *testing.T
	store  *fakeStore
	spool  *spool
	device *device
	trust  *sam.Module
	s      *signer.Service
	mu     sync.Mutex
	now    time.Time
	alarms []string
	levels signer.Levels // nil: none
}

const (
	cred  = credential.ID("cred-1")
	phone = "+380501234567"
)

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		t: t, store: newStore(t), spool: &spool{files: map[string][]byte{}}, now: now0,
		device: &device{keys: map[string]crypto.Signer{}, signed: map[string]int{}},
	}
	w.restart(1)
	w.addCredential(cred)
	w.store.state.grants[[2]string{string(cred), docs.Name}] = credential.Grant{Credential: cred, Client: docs.Name}
	return w
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// restart makes a new process: trust core, memory of codes and service from nothing, on the same store.
func (w *world) restart(epoch uint64) {
	w.t.Helper()
	var err error
	w.trust, err = sam.Open(context.Background(), w.device, sam.Config{Installation: "test", Epoch: epoch, Digits: 6, Now: w.clock})
	if err != nil {
		w.t.Fatal(err)
	}
	w.s, err = signer.New(signer.Config{
		Levels: w.levels,
		Store:  w.store, Spool: w.spool, Trust: w.trust, Memory: otp.NewMemory(), Codes: otp.DefaultLimits(), Now: w.clock, Rand: rand.Reader,
		MaxBytes: 1 << 20, Life: 15 * time.Minute, Notice: true, Alarm: func(_ context.Context, kind, _ string, _ error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.alarms = append(w.alarms, kind)
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) addCredential(id credential.ID) { w.addCredentialOf(id, credential.ECDSAP256) }

func (w *world) addCredentialOf(id credential.ID, algorithm credential.Algorithm) {
	w.t.Helper()
	ctx := context.Background()
	wrapped, kek, public, err := w.device.GenerateKey(ctx, string(algorithm))
	w.must(err)
	der := w.certificate(public)
	hash := func(b []byte) []byte { h := sha256.Sum256(b); return h[:] }
	b := credential.Binding{
		ID: id, Signatory: "sig-1", Algorithm: algorithm, SPKI: hash(der), Certificate: hash(der), WrappedKey: hash(wrapped),
		KEK: kek, Phone: sam.PhoneCommitment([]byte("salt"), phone), Factors: []string{credential.FactorSMSCode}, SCAL: credential.SCAL1,
		Status: credential.Active, Version: 1,
	}
	sealed, err := w.trust.SealBinding(ctx, b)
	w.must(err)
	w.store.state.credentials[id] = credential.Record{
		ID: id, Sealed: sealed, Version: 1, WrappedKey: wrapped, Chain: [][]byte{der}, Phone: phone, PhoneSalt: []byte("salt"),
	}
}

func (w *world) certificate(public crypto.PublicKey) []byte {
	w.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	w.must(err)
	t := &x509.Certificate{
		SerialNumber: big.NewInt(77), Subject: pkix.Name{CommonName: "Olena Kovalchuk", Country: []string{"UA"}},
		NotBefore: now0.Add(-time.Hour), NotAfter: now0.Add(8760 * time.Hour), KeyUsage: x509.KeyUsageContentCommitment,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, &x509.Certificate{Subject: pkix.Name{CommonName: "TEST CA"}}, public, key)
	w.must(err)
	return der
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// create asks for raw signatures over n hashes.
func (w *world) create(n int) signer.View {
	w.t.Helper()
	r := signer.CreateRequest{Credential: cred, Title: "Договір", Language: "uk"}
	for i := range n {
		h := sha256.Sum256([]byte{byte(i)})
		r.Items = append(r.Items, signer.ItemRequest{Hash: h[:], Format: signer.Raw})
	}
	v, err := w.s.Create(context.Background(), docs, fmt.Sprintf("request-%d", len(w.store.log())), r)
	w.must(err)
	return v
}

// code derives the code as the phone would show it.
func (w *world) code(id signer.OperationID) string {
	w.t.Helper()
	w.store.mu.Lock()
	ch := w.store.state.challenges[w.store.state.operations[id].Challenge]
	w.store.mu.Unlock()
	code, err := w.trust.Code(context.Background(), credential.Sealed{Record: ch.Record, Seal: ch.Seal})
	w.must(err)
	return code
}

// wrong returns a code that is not the right one.
func wrong(code string) string {
	b := []byte(code)
	b[0] = '0' + (b[0]-'0'+1)%10
	return string(b)
}
