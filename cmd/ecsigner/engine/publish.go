package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/audit/tiles"
	"github.com/ecsigner/ecsigner/store"
)

// publicationGrace is how long persons may still authorise anything after the log's directory could not be written. Until
// its end nothing is lost that the database holds; after it, only what must be recorded is recorded.
const publicationGrace = time.Minute

// publisher carries the log out of the database: each entry into the tail before anybody is answered, each signed head into
// the tiles within a second.
type publisher struct {
	dir    string
	now    func() time.Time
	alarm  func(ctx context.Context, kind, subject string, err error)
	logger *slog.Logger

	tail  *tiles.Tail // set before the first commit
	tiles *tiles.Exporter
	db    *store.DB

	mu    sync.Mutex // also held while the tail catches up, so that no commit slips in between
	since time.Time  // when the directory could not be written first; zero while it can
	cause error
}

// open checks that the directory and the database tell the same, and begins the tail.
func (p *publisher) open(ctx context.Context, db *store.DB, mac func([]byte) []byte) error {
	p.db = db
	size, err := db.Size(ctx)
	if err != nil {
		return err
	}
	published, err := p.tiles.Check(db, size)
	if err == nil {
		p.tail, err = tiles.OpenTail(p.dir, mac, size, db)
	}
	if errors.Is(err, audit.ErrBehind) {
		return fmt.Errorf("%w: the database is older than the published log; run `ecsigner restore`", err)
	}
	if err != nil {
		return err
	}
	p.tail.Begin(published)
	if err := p.catchUp(ctx); err != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.failed(err) // a disk that is full is no reason to stand still: revocations must go on
	}
	return nil
}

// committed takes the entries of a commit before anybody is answered. What cannot be written is written later: the commit
// happened.
func (p *publisher) committed(size int64, root tlog.Hash, entries [][]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.tail.Append(size, root, entries); err != nil {
		p.failed(err)
	}
}

// failed notes that the directory could not be written, and raises the alarm when that is new. The caller holds mu.
func (p *publisher) failed(err error) {
	p.cause = err
	if p.since.IsZero() {
		p.since = p.now()
		p.alarm(context.Background(), "publication", p.dir, err)
	}
}

// Healthy reports why the log is not published now, if so.
func (p *publisher) Healthy(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.since.IsZero() {
		return nil
	}
	return fmt.Errorf("the operation log is not published since %s: %w", p.since.UTC().Format(time.RFC3339), p.cause)
}

// activating refuses activations once the log was not published for too long.
func (p *publisher) activating() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.since.IsZero() || p.now().Sub(p.since) < publicationGrace {
		return nil
	}
	return fmt.Errorf("%w: %w", store.ErrUnpublished, p.cause)
}

// publish brings the directory up to the database: tail, tiles, and what the tail need not hold any more.
func (p *publisher) publish(ctx context.Context) error {
	err := p.catchUp(ctx)
	if err == nil {
		err = p.tail.Sync()
	}
	if err == nil {
		var head audit.Head
		if head, err = p.tiles.Export(ctx, p.db); err == nil {
			err = p.tail.Drop(head.Size)
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case err != nil:
		p.failed(err)
	case !p.since.IsZero():
		p.logger.Info("the log is published again", "missed", p.now().Sub(p.since).String())
		p.since, p.cause = time.Time{}, nil
	}
	return err
}

// catchUp adds what the tail lacks: at start, and after it could not be written.
func (p *publisher) catchUp(ctx context.Context) error {
	size, err := p.db.Size(ctx)
	if err != nil || size == p.tail.Size() {
		return err
	}
	p.mu.Lock() // the writer waits: no commit adds to the tail meanwhile
	defer p.mu.Unlock()
	if size, err = p.db.Size(ctx); err != nil {
		return err
	}
	const page = 1000
	for from := p.tail.Size(); from < size; from = p.tail.Size() {
		n := min(page, size-from)
		entries, err := p.db.ReadEntries(ctx, from, int(n))
		if err != nil {
			return err
		}
		root, err := tlog.TreeHash(from+n, p.db)
		if err != nil {
			return err
		}
		if err := p.tail.Append(from+n, root, entries); err != nil {
			return err
		}
	}
	return nil
}

// close makes the tail durable.
func (p *publisher) close() error {
	if p.tail == nil {
		return nil
	}
	return p.tail.Close()
}
