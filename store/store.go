// Package store is the database: it implements the ports that the domain packages declare, on SQLite.
//
// # Units of work
//
// One goroutine writes. It takes all units of work that wait, up to 512, opens one transaction, lets each unit run in
// its own savepoint on the goroutine of its caller, so that it sees what the earlier ones of its group did and what it
// does wrong undoes nothing but itself, and commits them together: one fsync for all. Readers use a pool of their own
// and never wait for the writer.
//
// Events become entries of the operation log in the transaction of the change that they describe; the stored hashes
// of the log's tree and, where an event needs it, the newly signed head are part of it too.
//
// # What the disk promises
//
// WAL with synchronous=FULL: a unit of work that was answered survives the loss of power. Both settings are read back
// at start. A COMMIT that fails leaves it open whether it happened, so the writer stops until the store is opened
// again and SQLite has recovered its journal.
//
// # What rollback of the database is noticed by
//
// After each COMMIT and before anybody is answered, size and root of the log go to the head file, which lies outside
// the database's directory. Open refuses a database that is behind it.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/store/sqlc"
	"golang.org/x/mod/sumdb/tlog"
)

// Config says where the database is and how its log is guarded.
type Config struct {
	// Dir holds the database. It is the store's own and made when absent; others lose access to it (mode 0700).
	Dir string
	// HeadFile is where size and root of the log go after each commit. It should not be restored together with Dir;
	// default: Dir + ".heads".
	HeadFile string
	// HeadMAC authenticates a line of the head file; it must give the same result after a restart.
	HeadMAC func(line []byte) []byte
	// Head signs the log's head. Without it, units of work whose events need a head fail.
	Head audit.HeadSigner
	// Committed, if set, is told of the entries of each commit, of the log's size and of its root after them, before anybody
	// is answered. It should be quick: nobody else can write meanwhile.
	Committed func(size int64, root tlog.Hash, entries [][]byte)
	// Activating, if set, tells why nobody may authorise anything now: a unit of work that activates an operation or accepts
	// an agreement fails with its error. Everything else goes on.
	Activating func() error
	// Now is the clock; read once a group commit.
	Now func() time.Time
	// MinFree is how many bytes must be free on the disk for a unit of work to begin; default 32 MiB. SQLite finds a
	// full disk only at COMMIT, where it stops the writer.
	MinFree int64
}

const (
	fileName       = "ecsigner.db"
	lockName       = "lock"
	defaultMinFree = 32 << 20
)

// DB is an open database. It is safe for concurrent use.
type DB struct {
	config Config
	lock   *os.File

	write   *sql.DB
	conn    *sql.Conn     // the only connection of write; used by the writer alone
	written *sqlc.Queries // prepared on conn

	pool *sql.DB
	read *sqlc.Queries // prepared on pool

	waiting atomic.Int64  // units of work that are not done yet
	calls   chan *call    // not buffered: whoever waits here has not begun
	stop    chan struct{} // closed by Close
	done    chan struct{} // closed by the writer at its end

	closing error    // what the writer's end met; read after done
	trusted struct { // what the head file knew at start
		size int64
		root tlog.Hash
	}

	mu     sync.Mutex
	closed bool
	users  sync.WaitGroup // of the pool
}

// Open opens the database in config.Dir, makes or migrates it, checks that it is durable, whole and not behind the
// head file, and starts the writer. Errors: ErrInUse, ErrReadOnly, ErrFull, ErrDurability, ErrSchema, ErrCorrupt,
// ErrRolledBack, ErrDatabase.
func Open(ctx context.Context, config Config) (*DB, error) {
	if config.Dir == "" || config.Now == nil || config.HeadMAC == nil {
		return nil, errors.New("store: directory, clock and head authentication are required")
	}
	if config.HeadFile == "" {
		config.HeadFile = filepath.Clean(config.Dir) + ".heads"
	}
	if config.MinFree == 0 {
		config.MinFree = defaultMinFree
	}
	db := &DB{config: config, calls: make(chan *call), stop: make(chan struct{}), done: make(chan struct{})}
	if err := db.open(ctx); err != nil {
		return nil, errors.Join(err, db.release())
	}
	return db, nil
}

func (db *DB) open(ctx context.Context) error {
	if err := db.claim(); err != nil {
		return err
	}
	if err := db.connect(ctx); err != nil {
		return err
	}
	w, err := db.newWriter(ctx)
	if err != nil {
		return err
	}
	go w.run()
	return nil
}

// Close waits for the units of work that have begun, stops the writer and releases the directory. Those that still
// wait get ErrClosed. Closing again does nothing.
func (db *DB) Close() error {
	db.mu.Lock()
	if db.closed {
		db.mu.Unlock()
		return nil
	}
	db.closed = true
	db.mu.Unlock()
	close(db.stop)
	<-db.done
	db.users.Wait()
	return errors.Join(db.closing, db.release())
}

// release closes what was opened, the writing connection last, so that it can empty the journal.
func (db *DB) release() error {
	var errs []error
	if db.read != nil {
		errs = append(errs, db.read.Close())
	}
	if db.pool != nil {
		errs = append(errs, db.pool.Close())
	}
	if db.written != nil {
		errs = append(errs, db.written.Close())
	}
	if db.conn != nil {
		errs = append(errs, db.conn.Close())
	}
	if db.write != nil {
		errs = append(errs, db.write.Close())
	}
	if db.lock != nil {
		errs = append(errs, db.lock.Close())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("closing the database: %w", err)
	}
	return nil
}

// Healthy reports why nothing can be written now, if so: it commits a unit of work without changes, which costs no
// fsync. Reading may still work.
func (db *DB) Healthy(ctx context.Context) error {
	_, err := db.update(ctx, func(*tx) error { return nil })
	return err
}

// view runs f on a snapshot.
func (db *DB) view(ctx context.Context, f func(*tx) error) error {
	db.mu.Lock()
	if db.closed {
		db.mu.Unlock()
		return ErrClosed
	}
	db.users.Add(1)
	db.mu.Unlock()
	defer db.users.Done()

	conn, err := db.pool.Conn(ctx)
	if err != nil {
		return readError(err)
	}
	defer func() { _ = conn.Close() }()
	// The caller's context ends the wait for a connection only: SQLite answers these queries at once, and a context
	// that can end costs a goroutine for each of them.
	snapshot, err := conn.BeginTx(context.Background(), &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return readError(err)
	}
	t := &tx{q: db.read.WithTx(snapshot)}
	defer func() {
		t.ended = true
		_ = snapshot.Rollback()
	}()
	if err := f(t); err != nil {
		return err
	}
	if t.broken != nil {
		return t.broken
	}
	return t.fault
}

func readError(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	err, _ = translate(err)
	return err
}
