package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/augment"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/enrol"
	"github.com/ecsigner/ecsigner/otp/sms"
	"github.com/ecsigner/ecsigner/signer"
	"github.com/ecsigner/ecsigner/store/sqlc"
	"github.com/ecsigner/ecsigner/tenure"
)

// tx is one unit of work: the one concrete type behind every use case's Tx. It is used by one goroutine and ends when
// its closure returns.
type tx struct {
	q      *sqlc.Queries
	at     time.Time // of the commit; zero in a View
	write  bool
	ended  bool
	events []audit.Event
	next   int64 // index in the log of the first of them
	head   bool  // the commit must carry a signed head
	// adopted are entries that exist already; a unit of work that has some appends no events.
	adopted [][]byte
	fault   error // the database failed: the whole group must be rolled back, whatever the closure makes of the error
	broken  error // the closure did what it must not
}

var (
	_ signer.Tx  = (*tx)(nil)
	_ enrol.Tx   = (*tx)(nil)
	_ tenure.Tx  = (*tx)(nil)
	_ augment.Tx = (*tx)(nil)
	_ sms.Queue  = outbox{}
	_ sms.Ledger = outbox{}
)

// port adapts the store to one use case's unit of work.
type port[T any] struct{ db *DB }

func (p port[T]) Update(ctx context.Context, f func(T) error) (audit.Commit, error) {
	return p.db.update(ctx, func(t *tx) error { return f(any(t).(T)) })
}

func (p port[T]) View(ctx context.Context, f func(T) error) error {
	return p.db.view(ctx, func(t *tx) error { return f(any(t).(T)) })
}

func (p port[T]) Receipt(ctx context.Context, index int64) ([]byte, error) {
	return p.db.Receipt(ctx, index)
}

// Signer returns the store as the use case of signing sees it.
func (db *DB) Signer() signer.Store { return port[signer.Tx]{db} }

// Enrol returns the store as the use case of enrolment sees it.
func (db *DB) Enrol() enrol.Store { return port[enrol.Tx]{db} }

// Tenure returns the store as the use case of a credential's life sees it.
func (db *DB) Tenure() tenure.Store { return port[tenure.Tx]{db} }

// Outbox returns the queue of messages as their sender sees it.
func (db *DB) Outbox() sms.Queue { return outbox{db} }

// Reports returns what is known of texts as their providers report to it.
func (db *DB) Reports() sms.Ledger { return outbox{db} }

// Append takes an event that becomes an entry of the log in this commit.
func (t *tx) Append(e audit.Event) {
	if t.writable() == nil {
		t.events = append(t.events, e)
	}
}

// NextIndex implements signer.Tx; it means nothing in a View.
func (t *tx) NextIndex() int64 { return t.next + int64(len(t.events)) }

// readable refuses a unit of work that is kept beyond its closure.
func (t *tx) readable() error {
	if t.ended {
		return errEnded
	}
	return nil
}

// writable also refuses writes in a View. The closure fails even when it ignores this.
func (t *tx) writable() error {
	if t.ended {
		return errEnded
	}
	if !t.write {
		t.broken = ErrView
	}
	return t.broken
}

// check translates an error of the database, and remembers one that the whole group cannot survive.
func (t *tx) check(what string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sql.ErrNoRows):
		return fmt.Errorf("%w: %s", ErrNotFound, what)
	}
	err, fault := translate(err)
	err = fmt.Errorf("%w: %s", err, what)
	if fault && t.fault == nil {
		t.fault = err
	}
	return err
}

// get reads one row as a domain record.
func get[K, R, D any](t *tx, what string, query func(context.Context, K) (R, error), key K, domain func(R) (D, error)) (D, error) {
	var none D
	if err := t.readable(); err != nil {
		return none, err
	}
	row, err := query(context.Background(), key)
	if err != nil {
		return none, t.check(what, err)
	}
	d, err := domain(row)
	if err != nil {
		return none, fmt.Errorf("%w: %s: %w", ErrCorrupt, what, err)
	}
	return d, nil
}

// list reads rows as domain records.
func list[K, R, D any](t *tx, what string, query func(context.Context, K) ([]R, error), key K, domain func(R) (D, error)) ([]D, error) {
	if err := t.readable(); err != nil {
		return nil, err
	}
	rows, err := query(context.Background(), key)
	if err != nil {
		return nil, t.check(what, err)
	}
	var found []D
	for _, row := range rows {
		d, err := domain(row)
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrCorrupt, what, err)
		}
		found = append(found, d)
	}
	return found, nil
}

// put writes a row unconditionally.
func put[P any](t *tx, what string, query func(context.Context, P) error, row P) error {
	if err := t.writable(); err != nil {
		return err
	}
	return t.check(what, query(context.Background(), row))
}

// change writes a row on a condition that its query holds; ErrConflict when the condition was not met.
func change[P any](t *tx, what string, query func(context.Context, P) (int64, error), row P) error {
	if err := t.writable(); err != nil {
		return err
	}
	n, err := query(context.Background(), row)
	if err == nil && n != 1 {
		return fmt.Errorf("%w: %s", ErrConflict, what)
	}
	return t.check(what, err)
}

// micros is a time as it is stored: microseconds since 1970, 0 for the zero time.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func instant(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}

// items is a list of byte strings as it is stored; nil for an empty one.
func items(list [][]byte) []byte {
	if len(list) == 0 {
		return nil
	}
	var e credential.Encoder
	e.List(list)
	return e.Data()
}

func itemsOf(stored []byte) ([][]byte, error) {
	if stored == nil {
		return nil, nil
	}
	d := credential.NewDecoder(stored)
	list := d.List()
	return list, d.Finish()
}

// sealedOf has no error: a seal is checked where it is used.
func sealedOf(record, seal []byte) credential.Sealed {
	return credential.Sealed{Record: record, Seal: seal}
}
