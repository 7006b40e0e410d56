package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/ecsigner/ecsigner/audit"
)

const (
	maxGroup     = 512             // units of work in one commit
	headDeadline = 5 * time.Second // for the signature over the head, during which nobody else can write
	maxBehind    = 5 * time.Second // by how much the clock may stand before the last entry when an activation is recorded
)

// call is one unit of work on its way through the writer.
type call struct {
	f    func(*tx) error
	turn chan *tx    // the writer lends the transaction …
	back chan error  // … and gets it back with the verdict
	done chan answer // buffered: a caller that panicked is gone

	// Of the writer:
	err     error
	first   int64
	entries [][]byte
	head    bool // an event needs a signed head
	erases  bool // an event says that bytes are gone
}

type answer struct {
	commit audit.Commit
	err    error
}

// update waits for the writer, runs f on this goroutine when its turn comes, and returns the outcome of the commit.
// Before the writer takes it up, the end of ctx ends it; after that, only the commit does.
func (db *DB) update(ctx context.Context, f func(*tx) error) (audit.Commit, error) {
	if err := ctx.Err(); err != nil {
		return audit.Commit{}, err
	}
	db.waiting.Add(1)
	defer db.waiting.Add(-1)
	c := newCall(f)
	select {
	case db.calls <- c:
		return c.wait()
	case <-ctx.Done():
		return audit.Commit{}, ctx.Err()
	case <-db.stop:
		return audit.Commit{}, ErrClosed
	}
}

// Waiting tells how many units of work wait for the writer or for their commit now.
func (db *DB) Waiting() int { return int(db.waiting.Load()) }

func newCall(f func(*tx) error) *call {
	return &call{f: f, turn: make(chan *tx), back: make(chan error), done: make(chan answer, 1)}
}

// wait runs f whenever the writer lends its transaction, until the commit is known.
func (c *call) wait() (audit.Commit, error) {
	for {
		select {
		case t := <-c.turn:
			c.run(t)
		case a := <-c.done:
			return a.commit, a.err
		}
	}
}

// run gives the transaction back however f ends: a panic, or the end of a test, goes on here and harms nobody else.
func (c *call) run(t *tx) {
	err := errLeft
	defer func() { c.back <- err }()
	err = c.f(t)
}

// writer is the goroutine that owns the writing connection and the end of the log.
type writer struct {
	db      *DB
	heads   *audit.HeadFile
	log     position
	stopped error // why nothing is written any more
	unclean bool  // the journal may hold bytes that were erased

	begin, commit, rollback, savepoint, release, undo *sql.Stmt
}

func (db *DB) newWriter(ctx context.Context) (*writer, error) {
	w := &writer{db: db}
	for text, statement := range map[string]**sql.Stmt{
		"BEGIN IMMEDIATE": &w.begin, "COMMIT": &w.commit, "ROLLBACK": &w.rollback,
		"SAVEPOINT unit": &w.savepoint, "RELEASE unit": &w.release, "ROLLBACK TO unit": &w.undo,
	} {
		var err error
		if *statement, err = db.conn.PrepareContext(ctx, text); err != nil {
			return nil, errors.Join(readError(err), w.close())
		}
	}
	var err error
	if w.log, err = loadPosition(ctx, db.written); err == nil {
		w.heads, err = db.openHeads(w.log)
	}
	if err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

func (w *writer) close() error {
	var errs []error
	for _, s := range []*sql.Stmt{w.begin, w.commit, w.rollback, w.savepoint, w.release, w.undo} {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	if w.heads != nil {
		errs = append(errs, w.heads.Close())
	}
	return errors.Join(errs...)
}

func (w *writer) run() {
	defer close(w.db.done)
	defer func() { w.db.closing = w.close() }()
	w.clean() // what a crash kept from being cleared
	for {
		var again <-chan time.Time
		if w.unclean {
			again = time.After(cleanPause)
		}
		select {
		case <-w.db.stop:
			return
		case <-again:
			w.clean()
		case c := <-w.db.calls:
			w.serve(w.gather(c))
		}
	}
}

// gather takes whoever else waits already.
func (w *writer) gather(first *call) []*call {
	group := []*call{first}
	for len(group) < maxGroup {
		select {
		case c := <-w.db.calls:
			group = append(group, c)
		default:
			return group
		}
	}
	return group
}

// serve answers every unit of work of a group.
func (w *writer) serve(calls []*call) {
	err := w.together(calls, nil)
	if !errors.Is(err, ErrHead) {
		return
	}
	// The head could not be signed and everything was rolled back. Those that need it fail; all others run again, also
	// those that failed before: they may have failed on what is undone now.
	var again []*call
	for _, c := range calls {
		if !errors.Is(c.err, errLeft) {
			again = append(again, c)
		}
	}
	_ = w.together(again, err)
}

// together runs a group in one transaction and answers its units of work. With headless, those that need a head get
// that error. It returns ErrHead, having answered nobody, when the head could not be signed.
func (w *writer) together(calls []*call, headless error) error {
	if err := w.ready(); err != nil {
		return reject(calls, err)
	}
	at := w.db.config.Now().UTC().Truncate(time.Microsecond)
	next := w.log.clone()
	wrote := false
	for _, c := range calls {
		if err := w.unit(c, &next, at, headless); err != nil {
			w.abandon()
			return reject(calls, err)
		}
		wrote = wrote || c.err == nil
	}
	if !wrote {
		w.abandon()
		answerAll(calls, audit.Commit{})
		return nil
	}
	head, err := w.finish(calls, &next)
	if err != nil {
		w.abandon()
		if errors.Is(err, ErrHead) {
			return err
		}
		return reject(calls, err)
	}
	failpoint("before", calls)
	if err := exec(w.commit); err != nil {
		w.stop(calls, err)
		return nil
	}
	failpoint("committed", calls)
	grown := next.size > w.log.size
	w.log = next
	if grown {
		if err := w.heads.Append(next.size, next.root); err != nil {
			w.stop(calls, fileError(err))
			return nil
		}
		if w.db.config.Committed != nil {
			w.db.config.Committed(next.size, next.root, entriesOf(calls))
		}
	}
	if slices.ContainsFunc(calls, func(c *call) bool { return c.err == nil && c.erases }) {
		w.clean()
	}
	failpoint("after", calls)
	answerAll(calls, audit.Commit{Size: next.size, Head: head, At: at})
	return nil
}

// ready opens a transaction, unless it is known already that it could not be committed.
func (w *writer) ready() error {
	if w.stopped != nil {
		return fmt.Errorf("%w: %w", ErrStopped, w.stopped)
	}
	var disk syscall.Statfs_t
	if err := syscall.Statfs(w.db.config.Dir, &disk); err != nil {
		return fileError(err)
	}
	if free := disk.Bavail * uint64(disk.Bsize); free < uint64(w.db.config.MinFree) {
		return fmt.Errorf("%w: %d bytes are free, %d are required", ErrFull, free, w.db.config.MinFree)
	}
	return exec(w.begin)
}

// unit runs one unit of work in its savepoint and notes its outcome. An error concerns the whole group.
func (w *writer) unit(c *call, next *position, at time.Time, headless error) error {
	c.err, c.first, c.entries, c.head, c.erases = nil, next.size, nil, false, false
	if err := exec(w.savepoint); err != nil {
		return err
	}
	t := &tx{q: w.db.written, at: at, write: true, next: next.size}
	c.turn <- t
	c.err = <-c.back
	t.ended = true
	if t.fault != nil {
		return t.fault
	}
	if c.err == nil {
		c.entries = append(c.entries, t.adopted...)
		c.err = w.encode(c, t.events, next, at)
	}
	c.head = c.head || t.head
	if c.err == nil && c.head {
		c.err = headless
	}
	if c.err != nil {
		if err := exec(w.undo); err != nil {
			return err
		}
		return exec(w.release)
	}
	if err := next.add(w.db.written, c.entries); err != nil {
		return err
	}
	if len(c.entries) > 0 && at.After(next.latest) {
		next.latest = at
	}
	return exec(w.release)
}

// encode turns the events of a unit of work into entries.
func (w *writer) encode(c *call, events []audit.Event, next *position, at time.Time) error {
	for _, e := range events {
		if _, ok := e.(audit.SigningActivated); ok && next.latest.Sub(at) > maxBehind {
			return fmt.Errorf("%w: it is %s, the last entry is of %s", ErrClock, at.Format(time.RFC3339), next.latest.Format(time.RFC3339))
		}
		if err := w.mayActivate(e); err != nil {
			return err
		}
		entry, err := audit.Encode(at, e)
		if err != nil {
			return fmt.Errorf("store: entry of the operation log: %w", err)
		}
		c.entries = append(c.entries, entry)
		c.head = c.head || audit.NeedsHead(e)
		c.erases = c.erases || audit.Erases(e)
	}
	return nil
}

// mayActivate refuses what a person authorises while the log cannot leave the house.
func (w *writer) mayActivate(e audit.Event) error {
	switch e.(type) {
	case audit.SigningActivated, audit.AgreementAccepted:
		if w.db.config.Activating != nil {
			return w.db.config.Activating()
		}
	}
	return nil
}

// entriesOf returns what a group added to the log, in order.
func entriesOf(calls []*call) [][]byte {
	var entries [][]byte
	for _, c := range calls {
		if c.err == nil {
			entries = append(entries, c.entries...)
		}
	}
	return entries
}

// finish stores the hashes of the group's entries and, if one of them needs it, the signed head.
func (w *writer) finish(calls []*call, next *position) (head []byte, err error) {
	entries, needed := entriesOf(calls), false
	for _, c := range calls {
		needed = needed || c.err == nil && c.head
	}
	if len(entries) == 0 && !needed {
		return nil, nil
	}
	if err := next.grow(w.db.written, w.log.size, entries); err != nil {
		return nil, err
	}
	if needed {
		if head, err = w.signHead(next); err != nil {
			return nil, err
		}
	}
	return head, next.save(w.db.written, head)
}

func (w *writer) signHead(next *position) ([]byte, error) {
	if w.db.config.Head == nil {
		return nil, fmt.Errorf("%w: no signer is configured", ErrHead)
	}
	ctx, cancel := context.WithTimeout(context.Background(), headDeadline)
	defer cancel()
	head, err := w.db.config.Head.SignHead(ctx, next.size, next.root)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrHead, err)
	}
	return head, nil
}

// abandon ends the transaction. SQLite may have ended it already, which is no error here; a connection that is
// unusable shows at the next BEGIN.
func (w *writer) abandon() { _ = exec(w.rollback) }

// stop ends all writing. Whose changes were in the commit does not know whether they happened; for the others nothing
// did.
func (w *writer) stop(calls []*call, cause error) {
	w.stopped = cause
	w.abandon()
	for _, c := range calls {
		if c.err == nil {
			c.done <- answer{err: fmt.Errorf("%w: %w", ErrOutcomeUnknown, cause)}
		} else {
			c.done <- answer{err: fmt.Errorf("%w: %w", ErrStopped, cause)}
		}
	}
}

// reject answers a group of which nothing happened.
func reject(calls []*call, err error) error {
	for _, c := range calls {
		c.done <- answer{err: err}
	}
	return nil
}

// answerAll answers a group after its commit.
func answerAll(calls []*call, commit audit.Commit) {
	for _, c := range calls {
		if c.err != nil {
			c.done <- answer{err: c.err}
			continue
		}
		mine := commit
		mine.First, mine.Entries = c.first, c.entries
		c.done <- answer{commit: mine}
	}
}

func exec(s *sql.Stmt) error {
	if _, err := s.ExecContext(context.Background()); err != nil {
		err, _ = translate(err)
		return err
	}
	return nil
}
