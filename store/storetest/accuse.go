package storetest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/ca"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/enrol"
	"github.com/ecsigner/ecsigner/otp"
	"github.com/ecsigner/ecsigner/otp/sms"
	"github.com/ecsigner/ecsigner/signer"
	"github.com/ecsigner/ecsigner/tenure"
)

// Signer wraps a store so that the test fails when a unit of work changes state without appending an event. Records of
// documents and of answered request ids are no state: they say only what was received.
func Signer(t testing.TB, s signer.Store) signer.Store { return &signerStore{s, t} }

// Enrol does the same for enrolment.
func Enrol(t testing.TB, s enrol.Store) enrol.Store { return &enrolStore{s, t} }

// Tenure does the same for a credential's life.
func Tenure(t testing.TB, s tenure.Store) tenure.Store { return &tenureStore{s, t} }

type signerStore struct {
	signer.Store
	t testing.TB
}

func (s *signerStore) Update(ctx context.Context, f func(signer.Tx) error) (audit.Commit, error) {
	return s.Store.Update(ctx, func(tx signer.Tx) error {
		w := &signerTx{Tx: tx}
		err := f(w)
		w.accuse(s.t, err)
		return err
	})
}

type enrolStore struct {
	enrol.Store
	t testing.TB
}

func (s *enrolStore) Update(ctx context.Context, f func(enrol.Tx) error) (audit.Commit, error) {
	return s.Store.Update(ctx, func(tx enrol.Tx) error {
		w := &enrolTx{Tx: tx}
		err := f(w)
		w.accuse(s.t, err)
		return err
	})
}

type tenureStore struct {
	tenure.Store
	t testing.TB
}

func (s *tenureStore) Update(ctx context.Context, f func(tenure.Tx) error) (audit.Commit, error) {
	return s.Store.Update(ctx, func(tx tenure.Tx) error {
		w := &tenureTx{Tx: tx}
		err := f(w)
		w.accuse(s.t, err)
		return err
	})
}

// ledger notes what one unit of work did.
type ledger struct {
	changes []string
	events  int
}

func (l *ledger) changed(what string) { l.changes = append(l.changes, what) }

func (l *ledger) accuse(t testing.TB, err error) {
	if err == nil && l.events == 0 && len(l.changes) > 0 {
		t.Errorf("a unit of work changed state without an event: %s", strings.Join(l.changes, ", "))
	}
}

type signerTx struct {
	signer.Tx
	ledger
}

func (x *signerTx) Append(e audit.Event) {
	x.events++
	x.Tx.Append(e)
}

func (x *signerTx) PutChallenge(c otp.Challenge) error {
	x.changed("PutChallenge")
	return x.Tx.PutChallenge(c)
}

func (x *signerTx) PutLock(l otp.Lock) error {
	x.changed("PutLock")
	return x.Tx.PutLock(l)
}

func (x *signerTx) Enqueue(m sms.Message) error {
	x.changed("Enqueue")
	return x.Tx.Enqueue(m)
}

func (x *signerTx) PutOperation(o signer.Operation) error {
	x.changed("PutOperation")
	return x.Tx.PutOperation(o)
}

type enrolTx struct {
	enrol.Tx
	ledger
}

func (x *enrolTx) Append(e audit.Event) {
	x.events++
	x.Tx.Append(e)
}

func (x *enrolTx) PutChallenge(c otp.Challenge) error {
	x.changed("PutChallenge")
	return x.Tx.PutChallenge(c)
}

func (x *enrolTx) PutLock(l otp.Lock) error {
	x.changed("PutLock")
	return x.Tx.PutLock(l)
}

func (x *enrolTx) PutCertificate(c ca.Certificate) error {
	x.changed("PutCertificate")
	return x.Tx.PutCertificate(c)
}

func (x *enrolTx) Enqueue(m sms.Message) error {
	x.changed("Enqueue")
	return x.Tx.Enqueue(m)
}

func (x *enrolTx) PutVoucher(v enrol.Voucher) error {
	x.changed("PutVoucher")
	return x.Tx.PutVoucher(v)
}

func (x *enrolTx) PutCredential(r credential.Record) error {
	x.changed("PutCredential")
	return x.Tx.PutCredential(r)
}

func (x *enrolTx) PutEnrolment(e enrol.Enrolment) error {
	x.changed("PutEnrolment")
	return x.Tx.PutEnrolment(e)
}

func (x *enrolTx) TouchEnrolment(e enrol.Enrolment) error {
	x.changed("TouchEnrolment")
	return x.Tx.TouchEnrolment(e)
}

type tenureTx struct {
	tenure.Tx
	ledger
}

func (x *tenureTx) Append(e audit.Event) {
	x.events++
	x.Tx.Append(e)
}

func (x *tenureTx) PutChallenge(c otp.Challenge) error {
	x.changed("PutChallenge")
	return x.Tx.PutChallenge(c)
}

func (x *tenureTx) PutLock(l otp.Lock) error {
	x.changed("PutLock")
	return x.Tx.PutLock(l)
}

func (x *tenureTx) PutCertificate(c ca.Certificate) error {
	x.changed("PutCertificate")
	return x.Tx.PutCertificate(c)
}

func (x *tenureTx) Enqueue(m sms.Message) error {
	x.changed("Enqueue")
	return x.Tx.Enqueue(m)
}

func (x *tenureTx) PutCredential(r credential.Record) error {
	x.changed("PutCredential")
	return x.Tx.PutCredential(r)
}

func (x *tenureTx) PutGrant(g credential.Grant) error {
	x.changed("PutGrant")
	return x.Tx.PutGrant(g)
}

func (x *tenureTx) DeleteGrant(id credential.ID, client string) error {
	x.changed("DeleteGrant")
	return x.Tx.DeleteGrant(id, client)
}

func (x *tenureTx) PutRevocationCode(id credential.ID, challenge otp.ID) error {
	x.changed("PutRevocationCode")
	return x.Tx.PutRevocationCode(id, challenge)
}

func (x *tenureTx) PutReminder(id credential.ID, at time.Time) error {
	x.changed("PutReminder")
	return x.Tx.PutReminder(id, at)
}
