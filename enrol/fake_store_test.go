package enrol_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/ca"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/enrol"
	"github.com/ecsigner/ecsigner/otp"
	"github.com/ecsigner/ecsigner/otp/sms"
	"github.com/ecsigner/ecsigner/tenure"
)

// errAbsent is the sentinel of every port, as a real store's is.
type errAbsent struct{}

func (errAbsent) Error() string   { return "fake: not found" }
func (errAbsent) Unwrap() []error { return []error{enrol.ErrNotFound, otp.ErrNotFound, ca.ErrNotFound} }

var errRead = errors.New("fake: a view cannot write")

type answered struct {
	fingerprint []byte
	result      string
}

// tables is everything a database would hold. Byte slices in it are never changed in place.
type tables struct {
	vouchers     map[string]enrol.Voucher
	dossiers     map[string]enrol.Dossier
	enrolments   map[string]enrol.Enrolment
	credentials  map[credential.ID]credential.Record
	grants       map[[2]string]credential.Grant
	challenges   map[otp.ID]otp.Challenge
	locks        map[[2]string]otp.Lock
	certificates map[string]ca.Certificate
	requests     map[[2]string]answered
	revocations  map[credential.ID]otp.ID
	reminders    map[credential.ID]time.Time
	renewals     map[string]enrol.Renewal
	outbox       []sms.Message
	callbacks    map[[2]string]enrol.Callback
}

func (t tables) clone() tables {
	return tables{
		maps.Clone(t.vouchers), maps.Clone(t.dossiers), maps.Clone(t.enrolments), maps.Clone(t.credentials), maps.Clone(t.grants),
		maps.Clone(t.challenges), maps.Clone(t.locks), maps.Clone(t.certificates), maps.Clone(t.requests),
		maps.Clone(t.revocations), maps.Clone(t.reminders), maps.Clone(t.renewals),
		slices.Clone(t.outbox), maps.Clone(t.callbacks),
	}
}

// fakeStore accuses: it fails the test when state changes without an event, when an event cannot be written, and when a
// closure does not do the same twice.
type fakeStore struct {
	t      testing.TB
	mu     sync.Mutex
	now    func() time.Time
	data   tables
	events []audit.Event
	fault  func(op string) (before, after error) // of each call; nil: none
}

func newStore(t testing.TB, now func() time.Time) *fakeStore {
	return &fakeStore{t: t, now: now, data: tables{
		map[string]enrol.Voucher{},
		map[string]enrol.Dossier{},
		map[string]enrol.Enrolment{},
		map[credential.ID]credential.Record{},
		map[[2]string]credential.Grant{},
		map[otp.ID]otp.Challenge{},
		map[[2]string]otp.Lock{},
		map[string]ca.Certificate{},
		map[[2]string]answered{},
		map[credential.ID]otp.ID{},
		map[credential.ID]time.Time{},
		map[string]enrol.Renewal{},
		nil,
		map[[2]string]enrol.Callback{},
	}}
}

func (s *fakeStore) Update(ctx context.Context, f func(enrol.Tx) error) (audit.Commit, error) {
	return s.update(ctx, func(tx *fakeTx) error { return f(tx) })
}

func (s *fakeStore) View(ctx context.Context, f func(enrol.Tx) error) error {
	return s.view(ctx, func(tx *fakeTx) error { return f(tx) })
}

// livingStore is the same store as the use case of a credential's life sees it.
type livingStore struct{ s *fakeStore }

func (l livingStore) Update(ctx context.Context, f func(tenure.Tx) error) (audit.Commit, error) {
	return l.s.update(ctx, func(tx *fakeTx) error { return f(tx) })
}

func (l livingStore) View(ctx context.Context, f func(tenure.Tx) error) error {
	return l.s.view(ctx, func(tx *fakeTx) error { return f(tx) })
}

func (s *fakeStore) update(ctx context.Context, f func(*fakeTx) error) (audit.Commit, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return audit.Commit{}, err
	}
	var after error
	if s.fault != nil {
		var before error
		if before, after = s.fault("update"); before != nil {
			return audit.Commit{}, before
		}
	}
	first := &fakeTx{tables: s.data.clone()}
	second := &fakeTx{tables: s.data.clone()}
	err, again := f(first), f(second)
	if (err == nil) != (again == nil) || err == nil && (!reflect.DeepEqual(first.tables, second.tables) || !reflect.DeepEqual(first.events, second.events)) {
		s.t.Errorf("closure is not pure: %v / %v\n%+v\n%+v", err, again, first.events, second.events)
	}
	if err != nil {
		return audit.Commit{}, err
	}
	for _, e := range second.events {
		if _, err := audit.Encode(s.now(), e); err != nil {
			s.t.Errorf("event %+v: %v", e, err)
			return audit.Commit{}, err
		}
	}
	was, is := s.data.clone(), second.clone()
	was.requests, is.requests = nil, nil
	if !reflect.DeepEqual(was, is) && len(second.events) == 0 {
		s.t.Errorf("state changed without an event")
	}
	s.data, s.events = second.tables, append(s.events, second.events...)
	return audit.Commit{}, after
}

func (s *fakeStore) view(ctx context.Context, f func(*fakeTx) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.fault != nil {
		if before, _ := s.fault("view"); before != nil {
			return before
		}
	}
	return f(&fakeTx{tables: s.data.clone(), readOnly: true})
}

// count returns how many events of the kind were committed.
func (s *fakeStore) count(kind string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, e := range s.events {
		if audit.Kind(e) == kind {
			n++
		}
	}
	return n
}

// write changes the database as somebody with SQL would.
func (s *fakeStore) write(f func(*tables)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.data)
}

type fakeTx struct {
	tables
	events   []audit.Event
	readOnly bool
}

func get[K comparable, V any](m map[K]V, k K) (V, error) {
	v, ok := m[k]
	if !ok {
		return v, errAbsent{}
	}
	return v, nil
}

func put[K comparable, V any](t *fakeTx, m map[K]V, k K, v V) error {
	if t.readOnly {
		return errRead
	}
	m[k] = v
	return nil
}

func (t *fakeTx) Append(e audit.Event) { t.events = append(t.events, e) }

func (t *fakeTx) Challenge(id otp.ID) (otp.Challenge, error) { return get(t.challenges, id) }
func (t *fakeTx) PutChallenge(c otp.Challenge) error         { return put(t, t.challenges, c.ID, c) }

func (t *fakeTx) Lock(account, caller string) (otp.Lock, error) {
	l, ok := t.locks[[2]string{account, caller}]
	if !ok {
		l = otp.Lock{Account: account, Caller: caller}
	}
	return l, nil
}

func (t *fakeTx) PutLock(l otp.Lock) error {
	return put(t, t.locks, [2]string{l.Account, l.Caller}, l)
}

func (t *fakeTx) Request(caller, id string) ([]byte, string, error) {
	a := t.requests[[2]string{caller, id}]
	return a.fingerprint, a.result, nil
}

func (t *fakeTx) PutRequest(caller, id string, fingerprint []byte, result string) error {
	k := [2]string{caller, id}
	if _, ok := t.requests[k]; ok {
		return enrol.ErrConflict
	}
	return put(t, t.requests, k, answered{fingerprint, result})
}

func (t *fakeTx) Delivery(message string) (sms.Delivery, error) {
	return sms.Delivery{Message: message, Status: sms.Waiting}, nil
}

func (t *fakeTx) Enqueue(m sms.Message) error {
	if t.readOnly {
		return errRead
	}
	t.outbox = append(t.outbox, m)
	return nil
}

func (t *fakeTx) Voucher(hash []byte) (enrol.Voucher, error) { return get(t.vouchers, string(hash)) }

func (t *fakeTx) PutVoucher(v enrol.Voucher) error { return put(t, t.vouchers, string(v.Hash), v) }

func (t *fakeTx) Dossier(enrolment string) (enrol.Dossier, error) { return get(t.dossiers, enrolment) }

func (t *fakeTx) PutDossier(d enrol.Dossier) error { return put(t, t.dossiers, d.Enrolment, d) }

func (t *fakeTx) Credential(id credential.ID) (credential.Record, error) {
	return get(t.credentials, id)
}

func (t *fakeTx) PutCredential(r credential.Record) error {
	if r.Version != t.credentials[r.ID].Version+1 {
		return enrol.ErrConflict
	}
	return put(t, t.credentials, r.ID, r)
}

func (t *fakeTx) Grant(id credential.ID, client string) (credential.Grant, error) {
	return get(t.grants, [2]string{string(id), client})
}

func (t *fakeTx) PutGrant(g credential.Grant) error {
	return put(t, t.grants, [2]string{string(g.Credential), g.Client}, g)
}

func (t *fakeTx) DeleteGrant(id credential.ID, client string) error {
	if t.readOnly {
		return errRead
	}
	delete(t.grants, [2]string{string(id), client})
	return nil
}

func (t *fakeTx) Enrolment(id string) (enrol.Enrolment, error) { return get(t.enrolments, id) }

func (t *fakeTx) PutEnrolment(e enrol.Enrolment) error {
	if e.Version != t.enrolments[e.ID].Version+1 {
		return enrol.ErrConflict
	}
	return put(t, t.enrolments, e.ID, e)
}

func (t *fakeTx) TouchEnrolment(e enrol.Enrolment) error {
	if e.Version != t.enrolments[e.ID].Version {
		return enrol.ErrConflict
	}
	return put(t, t.enrolments, e.ID, e)
}

func (t *fakeTx) Enrolments(caller, after string, limit int) ([]enrol.Enrolment, error) {
	return pick(t.enrolments, limit, func(e enrol.Enrolment) bool { return e.Caller == caller && e.ID > after },
		func(e enrol.Enrolment) string { return e.ID }), nil
}

func (t *fakeTx) EnrolmentsIn(state enrol.State, after string, limit int) ([]enrol.Enrolment, error) {
	return pick(t.enrolments, limit, func(e enrol.Enrolment) bool { return e.State == string(state) && e.ID > after },
		func(e enrol.Enrolment) string { return e.ID }), nil
}

func (t *fakeTx) Overdue(now time.Time, after string, limit int) ([]enrol.Enrolment, error) {
	over := []string{"issuing", "issued", "rejected", "cancelled", "expired"}
	return pick(t.enrolments, limit, func(e enrol.Enrolment) bool {
		return !slices.Contains(over, e.State) && !e.Expires.After(now) && e.ID > after
	}, func(e enrol.Enrolment) string { return e.ID }), nil
}

func (t *fakeTx) EnrolmentOf(provider, session string) (string, error) {
	for _, e := range t.enrolments {
		if e.Proofing.Provider == provider && e.Proofing.Session == session && session != "" {
			return e.ID, nil
		}
	}
	return "", errAbsent{}
}

func (t *fakeTx) Called(provider, event string) (bool, error) {
	_, ok := t.callbacks[[2]string{provider, event}]
	return ok, nil
}

func (t *fakeTx) PutCallback(provider string, c enrol.Callback, _ time.Time) error {
	k := [2]string{provider, c.Event}
	if _, ok := t.callbacks[k]; ok {
		return enrol.ErrConflict
	}
	return put(t, t.callbacks, k, c)
}

func (t *fakeTx) Unfinished(limit int) ([]enrol.Enrolment, error) {
	return pick(t.enrolments, limit, func(e enrol.Enrolment) bool { return e.State == "issuing" },
		func(e enrol.Enrolment) string { return e.ID }), nil
}

func (t *fakeTx) CredentialsOf(client string, after credential.ID, limit int) ([]credential.Record, error) {
	return pick(t.credentials, limit, func(r credential.Record) bool {
		_, granted := t.grants[[2]string{string(r.ID), client}]
		return r.ID > after && (client == "" || granted)
	}, func(r credential.Record) string { return string(r.ID) }), nil
}

func pick[K comparable, V any](m map[K]V, limit int, keep func(V) bool, key func(V) string) []V {
	var list []V
	for _, v := range m {
		if keep(v) {
			list = append(list, v)
		}
	}
	slices.SortFunc(list, func(a, b V) int { return strings.Compare(key(a), key(b)) })
	return list[:min(limit, len(list))]
}

func (t *fakeTx) Certificate(serial string) (ca.Certificate, error) {
	return get(t.certificates, serial)
}

func (t *fakeTx) CertificateByRequest(id string) (ca.Certificate, error) {
	for _, c := range t.certificates {
		if c.RequestID == id {
			return c, nil
		}
	}
	return ca.Certificate{}, errAbsent{}
}

func (t *fakeTx) PutCertificate(c ca.Certificate) error {
	for _, other := range t.certificates {
		switch {
		case other.Serial == c.Serial:
		case other.RequestID == c.RequestID:
			return ca.ErrRequestTaken
		case bytes.Equal(other.Issuer, c.Issuer) && bytes.Equal(other.Subject, c.Subject) && other.Person != c.Person:
			return ca.ErrSubjectTaken
		case other.SPKI == c.SPKI && other.Person != c.Person:
			return ca.ErrKeyTaken
		}
	}
	return put(t, t.certificates, c.Serial, c)
}

func (t *fakeTx) RevokedCertificates() ([]ca.Certificate, error) {
	return pick(t.certificates, len(t.certificates), func(c ca.Certificate) bool { return c.State == ca.Revoked },
		func(c ca.Certificate) string { return c.Serial }), nil
}

func (t *fakeTx) RevocationCode(id credential.ID) (otp.ID, error) { return t.revocations[id], nil }

func (t *fakeTx) PutRevocationCode(id credential.ID, challenge otp.ID) error {
	return put(t, t.revocations, id, challenge)
}

func (t *fakeTx) RevokedWithKey(after credential.ID, limit int) ([]credential.Record, error) {
	return pick(t.credentials, limit, func(r credential.Record) bool {
		return r.ID > after && len(r.WrappedKey) > 0 && t.certificates[r.Serial].State == ca.Revoked
	}, func(r credential.Record) string { return string(r.ID) }), nil
}

func (t *fakeTx) Ending(from, until time.Time, limit int) ([]credential.Record, error) {
	return pick(t.credentials, limit, func(r credential.Record) bool {
		_, told := t.reminders[r.ID]
		return !told && len(r.WrappedKey) > 0 && r.NotAfter.After(from) && !r.NotAfter.After(until)
	}, func(r credential.Record) string { return fmt.Sprint(r.NotAfter.Unix(), r.ID) }), nil
}

func (t *fakeTx) PutReminder(id credential.ID, at time.Time) error {
	return put(t, t.reminders, id, at)
}

func (t *fakeTx) Renewal(enrolment string) (enrol.Renewal, error) { return get(t.renewals, enrolment) }

func (t *fakeTx) PutRenewal(r enrol.Renewal) error { return put(t, t.renewals, r.Enrolment, r) }
