package store

import (
	"errors"
	"fmt"
	"strings"

	"github.com/ecsigner/ecsigner/ca"
	"github.com/ecsigner/ecsigner/enrol"
	"github.com/ecsigner/ecsigner/otp"
	"github.com/ecsigner/ecsigner/signer"
	"github.com/mattn/go-sqlite3"
)

// sentinel is an error that stands for those of several packages.
type sentinel struct {
	text string
	is   []error
}

func (e *sentinel) Error() string   { return e.text }
func (e *sentinel) Unwrap() []error { return e.is }

// Errors of this package. After each of them nothing happened, ErrOutcomeUnknown excepted.
var (
	// ErrNotFound is also that of signer, enrol, otp and ca.
	ErrNotFound error = &sentinel{"store: no such record", []error{signer.ErrNotFound, enrol.ErrNotFound, otp.ErrNotFound, ca.ErrNotFound}}
	// ErrConflict is also that of signer and enrol.
	ErrConflict error = &sentinel{"store: changed meanwhile", []error{signer.ErrConflict, enrol.ErrConflict}}
	// ErrOutcomeUnknown is also that of signer and enrol: COMMIT failed. Open the store again and read back.
	ErrOutcomeUnknown error = &sentinel{"store: outcome of the commit is unknown", []error{signer.ErrOutcomeUnknown, enrol.ErrOutcomeUnknown}}

	// ErrInUse: another process has this directory open.
	ErrInUse = errors.New("store: the directory is in use by another process; stop it first")
	// ErrDurability: SQLite would not promise that a commit survives the loss of power.
	ErrDurability = errors.New("store: the database is not durable")
	// ErrSchema: the database was made by a newer version of this program.
	ErrSchema = errors.New("store: the database is newer than this program; use the newer program")
	// ErrCorrupt: the database does not hold what was written into it. Restore a backup.
	ErrCorrupt = errors.New("store: the database is damaged")
	// ErrRolledBack: the database is behind the head file, or not the one that the head file knows.
	ErrRolledBack = errors.New("store: the database is older than its head file, or another one; put back the newest database")
	// ErrReadOnly: the database, its directory or its disk cannot be written.
	ErrReadOnly = errors.New("store: the database cannot be written; check the owner and the mount of its directory")
	// ErrFull: the disk is full.
	ErrFull = errors.New("store: the disk is full; free some space")
	// ErrDatabase: SQLite or the disk under it failed.
	ErrDatabase = errors.New("store: the database failed; check the disk")
	// ErrStopped: an earlier commit failed, and nothing is written until the store is opened again.
	ErrStopped = errors.New("store: stopped after a failed commit; restart the service once the disk is well")
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("store: closed")
	// ErrHead: the head of the log could not be signed, which the events of this unit of work need.
	ErrHead = errors.New("store: the head of the operation log could not be signed; check the HSM")
	// ErrNoHead: no signed head covers this entry yet.
	ErrNoHead = errors.New("store: no signed head covers this entry yet")
	// ErrClock: the clock stands before the last entry of the log, so nothing can be activated.
	ErrClock = errors.New("store: the clock is behind the operation log; set the clock right")
	// ErrUnpublished: for too long nothing could be written to the directory of the published log.
	ErrUnpublished = errors.New("store: the operation log could not be published for too long; make its directory writable")
	// ErrView: a View tried to write.
	ErrView = errors.New("store: a view cannot write; use Update")

	errEnded = errors.New("store: unit of work used after its end")
	errLeft  = errors.New("store: unit of work ended in a panic")
)

// translate gives an error of SQLite its sentinel. A fault is one that may have undone the whole transaction; others
// concern one statement.
func translate(err error) (_ error, fault bool) {
	var e sqlite3.Error
	if !errors.As(err, &e) {
		if strings.HasPrefix(err.Error(), "sql: Scan error") {
			return fmt.Errorf("%w: a column holds another type: %w", ErrCorrupt, err), false
		}
		return fmt.Errorf("%w: %w", ErrDatabase, err), true
	}
	switch e.Code {
	case sqlite3.ErrConstraint:
		if e.ExtendedCode == sqlite3.ErrConstraintForeignKey {
			return ErrNotFound, false
		}
		return fmt.Errorf("%w: %w", ErrConflict, err), false
	case sqlite3.ErrTooBig, sqlite3.ErrMismatch, sqlite3.ErrRange:
		return fmt.Errorf("%w: %w", ErrDatabase, err), false
	case sqlite3.ErrReadonly, sqlite3.ErrPerm, sqlite3.ErrCantOpen:
		return fmt.Errorf("%w: %w", ErrReadOnly, err), true
	case sqlite3.ErrFull:
		return fmt.Errorf("%w: %w", ErrFull, err), true
	case sqlite3.ErrCorrupt, sqlite3.ErrNotADB:
		return fmt.Errorf("%w: %w", ErrCorrupt, err), true
	default:
		return fmt.Errorf("%w: %w", ErrDatabase, err), true
	}
}
