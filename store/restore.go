package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/ecsigner/ecsigner/enrol"
	"github.com/ecsigner/ecsigner/otp"
	"github.com/ecsigner/ecsigner/signer"
	"github.com/ecsigner/ecsigner/store/sqlc"
	"github.com/ecsigner/ecsigner/tenure"
	"golang.org/x/mod/sumdb/tlog"
)

// Kinds of records that can be lost.
const (
	LostOperation  = "operation"
	LostEnrolment  = "enrolment"
	LostCredential = "credential"
)

// ErrLost: the record was made after the backup from which the database was restored. It is also ErrNotFound.
var ErrLost error = &sentinel{"store: the record was lost in a restore", []error{ErrNotFound}}

// RestoreTx is the unit of work of restoring and of inspecting a copy: everything that the use cases can do, and what they
// may not.
type RestoreTx interface {
	signer.Tx
	enrol.Tx
	tenure.Tx
	// AllEnrolments returns those with id > after, whoever made them, at most limit.
	AllEnrolments(after string, limit int) ([]enrol.Enrolment, error)
	// OpenChallenges returns those whose code could be used now, in order of their subjects.
	OpenChallenges(now time.Time) ([]otp.Challenge, error)
	// Locks returns every row that counts failures.
	Locks() ([]otp.Lock, error)
	// VoidChallenges voids every code that could still be used, and says how many.
	VoidChallenges(at time.Time) (int64, error)
	// ClearOutbox drops the messages that wait, and says how many: their codes are void.
	ClearOutbox() (int64, error)
	// PutLost notes that a record existed and is gone.
	PutLost(kind, id string) error
}

var _ RestoreTx = (*tx)(nil)

// AllEnrolments implements RestoreTx.
func (t *tx) AllEnrolments(after string, limit int) ([]enrol.Enrolment, error) {
	return list(t, "enrolments", t.q.AllEnrolments, sqlc.AllEnrolmentsParams{After: after, N: int64(limit)}, t.enrolment)
}

// OpenChallenges implements RestoreTx.
func (t *tx) OpenChallenges(now time.Time) ([]otp.Challenge, error) {
	return list(t, "challenges", t.q.OpenChallenges, micros(now), challengeOf)
}

// Locks implements RestoreTx.
func (t *tx) Locks() ([]otp.Lock, error) {
	all := func(ctx context.Context, _ struct{}) ([]sqlc.Lock, error) { return t.q.AllLocks(ctx) }
	return list(t, "locks", all, struct{}{}, lockOf)
}

// VoidChallenges implements RestoreTx.
func (t *tx) VoidChallenges(at time.Time) (int64, error) {
	if err := t.writable(); err != nil {
		return 0, err
	}
	n, err := t.q.VoidChallenges(context.Background(), micros(at))
	return n, t.check("challenges", err)
}

// ClearOutbox implements RestoreTx.
func (t *tx) ClearOutbox() (int64, error) {
	if err := t.writable(); err != nil {
		return 0, err
	}
	n, err := t.q.ClearOutbox(context.Background())
	return n, t.check("messages", err)
}

// PutLost implements RestoreTx.
func (t *tx) PutLost(kind, id string) error {
	return put(t, "lost record", t.q.PutLost, sqlc.PutLostParams{Kind: kind, ID: id, At: micros(t.at)})
}

// lost turns ErrNotFound into ErrLost where the record is known to be gone.
func (t *tx) lost(kind, id string, err error) error {
	if !errors.Is(err, ErrNotFound) {
		return err
	}
	_, known := t.q.Lost(context.Background(), sqlc.LostParams{Kind: kind, ID: id})
	switch {
	case known == nil:
		return fmt.Errorf("%w: %s", ErrLost, kind)
	case errors.Is(known, sql.ErrNoRows):
		return err
	}
	return t.check("lost record", known)
}

// Adopt appends entries that exist already, byte for byte, behind the last one: those that a backup lacks. They must be
// those of this very log, which the caller has verified.
func (db *DB) Adopt(ctx context.Context, entries [][]byte) error {
	_, err := db.update(ctx, func(t *tx) error {
		t.adopted = entries
		return nil
	})
	return err
}

// AdoptHead stores a signed head over the first size entries, which the caller has verified. One that is stored for this
// size stays. ErrCorrupt when the entries have another root.
func (db *DB) AdoptHead(ctx context.Context, size int64, root tlog.Hash, note []byte) error {
	have, err := tlog.TreeHash(size, db)
	if err != nil {
		return err
	}
	if have != root {
		return fmt.Errorf("%w: the first %d entries are not those of the head", ErrCorrupt, size)
	}
	_, err = db.update(ctx, func(t *tx) error {
		head, err := t.q.FirstHead(context.Background(), size)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return logError(err)
		}
		if err == nil && head.Size == size {
			return nil
		}
		return logError(t.q.AddHead(context.Background(), sqlc.AddHeadParams{Size: size, Note: note}))
	})
	return err
}

// Restore runs f as one unit of work of restoring.
func (db *DB) Restore(ctx context.Context, f func(RestoreTx) error) error {
	_, err := db.update(ctx, func(t *tx) error { return f(t) })
	return err
}

// ViewRestore runs f on a snapshot.
func (db *DB) ViewRestore(ctx context.Context, f func(RestoreTx) error) error {
	return db.view(ctx, func(t *tx) error { return f(t) })
}
