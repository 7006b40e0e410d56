package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"math/bits"
	"os"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/store/sqlc"
	"golang.org/x/mod/sumdb/tlog"
)

// page is how many entries are read at once.
const page = 1000

// edge holds the hashes that the next growth of a tree needs: the roots of its complete subtrees. While the store is
// open they come from memory, so that nobody who writes into the database meanwhile changes what is signed.
type edge map[int64]tlog.Hash

// ReadHashes implements tlog.HashReader.
func (e edge) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	found := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		h, ok := e[index]
		if !ok {
			return nil, fmt.Errorf("%w: hash %d of the log is not at hand", ErrCorrupt, index)
		}
		found[i] = h
	}
	return found, nil
}

// edgeOf lists the stored hashes that make up the right edge of a tree of size entries.
func edgeOf(size int64) []int64 {
	var indexes []int64
	for level := bits.Len64(uint64(size)) - 1; level >= 0; level-- {
		if n := size >> level; n&1 == 1 {
			indexes = append(indexes, tlog.StoredHashIndex(level, n-1))
		}
	}
	return indexes
}

// grow appends entries to a tree of size entries. It returns the hashes to store, the edge of the grown tree and its root.
func (e edge) grow(size int64, entries [][]byte) (stored []tlog.Hash, grown edge, root tlog.Hash, err error) {
	stored, root, err = audit.Grow(size, e, entries)
	if err != nil {
		return nil, nil, tlog.Hash{}, err
	}
	old := tlog.StoredHashCount(size)
	grown = edge{}
	for _, index := range edgeOf(size + int64(len(entries))) {
		if index >= old {
			grown[index] = stored[index-old]
		} else {
			grown[index] = e[index]
		}
	}
	return stored, grown, root, nil
}

// position is where the log stands.
type position struct {
	size   int64
	root   tlog.Hash
	edge   edge
	latest time.Time // the latest time of any entry
}

// clone needs no deep copy: maps and slices in it are replaced, never changed.
func (p position) clone() position { return p }

// add stores entries behind the last one.
func (p *position) add(q *sqlc.Queries, entries [][]byte) error {
	for _, entry := range entries {
		if err := q.AddEntry(context.Background(), sqlc.AddEntryParams{ID: p.size, Data: entry}); err != nil {
			return logError(err)
		}
		p.size++
	}
	return nil
}

// grow stores the hashes of entries that were added from index from on.
func (p *position) grow(q *sqlc.Queries, from int64, entries [][]byte) error {
	stored, grown, root, err := p.edge.grow(from, entries)
	if err != nil {
		return err
	}
	p.edge, p.root = grown, root
	first := tlog.StoredHashCount(from)
	for i, h := range stored {
		if err := q.AddHash(context.Background(), sqlc.AddHashParams{ID: first + int64(i), Hash: h[:]}); err != nil {
			return logError(err)
		}
	}
	return nil
}

// save stores the position and the signed head, if there is one.
func (p *position) save(q *sqlc.Queries, head []byte) error {
	n, err := q.SetLog(context.Background(), sqlc.SetLogParams{Size: p.size, Latest: micros(p.latest)})
	if err == nil && n != 1 {
		return fmt.Errorf("%w: the log's row is missing", ErrCorrupt)
	}
	if err == nil && head != nil {
		err = q.AddHead(context.Background(), sqlc.AddHeadParams{Size: p.size, Note: head})
	}
	return logError(err)
}

// logError is for statements on the log, which only a damaged database makes fail on a constraint.
func logError(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("%w: the log's row is missing", ErrCorrupt)
	}
	err, fault := translate(err)
	if !fault {
		return fmt.Errorf("%w: operation log: %w", ErrCorrupt, err)
	}
	return fmt.Errorf("operation log: %w", err)
}

// loadPosition reads where the log stands and checks that entries and hashes end there.
func loadPosition(ctx context.Context, q *sqlc.Queries) (position, error) {
	row, err := q.Log(ctx)
	if err != nil {
		return position{}, logError(err)
	}
	entry, err := q.LastEntry(ctx)
	if err != nil {
		return position{}, logError(err)
	}
	hash, err := q.LastHash(ctx)
	if err != nil {
		return position{}, logError(err)
	}
	head, err := q.LastHead(ctx)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return position{}, logError(err)
	}
	if row.Size < 0 || head.Size > row.Size || entry != row.Size-1 || hash != tlog.StoredHashCount(row.Size)-1 {
		return position{}, fmt.Errorf("%w: the log says %d entries, the last is %d, the last hash %d, the last head of %d",
			ErrCorrupt, row.Size, entry, hash, head.Size)
	}
	p := position{size: row.Size, edge: edge{}, latest: instant(row.Latest)}
	indexes := edgeOf(p.size)
	hashes, err := hashReader{q}.ReadHashes(indexes)
	if err != nil {
		return position{}, err
	}
	for i, index := range indexes {
		p.edge[index] = hashes[i]
	}
	_, p.root, err = audit.Grow(p.size, p.edge, nil)
	return p, err
}

// hashReader reads the stored hashes of the tree.
type hashReader struct{ q *sqlc.Queries }

// ReadHashes implements tlog.HashReader.
func (r hashReader) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	found := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		h, err := r.q.Hash(context.Background(), index)
		if err != nil {
			return nil, fmt.Errorf("%w: hash %d of the log: %w", ErrCorrupt, index, err)
		}
		if copy(found[i][:], h) != tlog.HashSize || len(h) != tlog.HashSize {
			return nil, fmt.Errorf("%w: hash %d of the log has %d bytes", ErrCorrupt, index, len(h))
		}
	}
	return found, nil
}

// openHeads opens the head file, or makes that of a new log, and refuses a database that is behind it. A database that
// is ahead was committed just before a crash.
func (db *DB) openHeads(log position) (*audit.HeadFile, error) {
	if _, err := os.Lstat(db.config.HeadFile); log.size == 0 && errors.Is(err, fs.ErrNotExist) {
		heads, err := audit.CreateHeadFile(db.config.HeadFile, db.config.HeadMAC)
		if err != nil {
			return nil, fileError(err)
		}
		return heads, nil
	}
	heads, err := audit.OpenHeadFile(db.config.HeadFile, db.config.HeadMAC)
	if err != nil {
		return nil, headsError(err)
	}
	if err := heads.CheckBehind(log.size, hashReader{db.written}); err != nil {
		return nil, errors.Join(headsError(err), heads.Close())
	}
	db.trusted.size, db.trusted.root = heads.Last()
	if err := heads.Append(log.size, log.root); err != nil {
		return nil, errors.Join(headsError(err), heads.Close())
	}
	return heads, nil
}

func headsError(err error) error {
	for _, known := range []error{audit.ErrBehind, audit.ErrForked, audit.ErrHeadFile} {
		if errors.Is(err, known) {
			return fmt.Errorf("%w: %w", ErrRolledBack, err)
		}
	}
	if errors.Is(err, ErrCorrupt) {
		return err
	}
	return fileError(err)
}

// LastEntryTime returns the latest time of any entry of the log; zero when there is none.
func (db *DB) LastEntryTime(ctx context.Context) (time.Time, error) {
	var latest time.Time
	err := db.view(ctx, func(t *tx) error {
		row, err := t.q.Log(context.Background())
		latest = instant(row.Latest)
		return logError(err)
	})
	return latest, err
}

// Size returns the number of entries of the log.
func (db *DB) Size(ctx context.Context) (int64, error) {
	var size int64
	err := db.view(ctx, func(t *tx) error {
		row, err := t.q.Log(context.Background())
		size = row.Size
		return logError(err)
	})
	return size, err
}

// Receipt returns the receipt of an entry under the first signed head that covers it: always the same bytes.
// ErrNotFound when there is no such entry, ErrNoHead while no signed head covers it.
func (db *DB) Receipt(ctx context.Context, index int64) ([]byte, error) {
	var receipt audit.Receipt
	err := db.view(ctx, func(t *tx) error {
		log, err := t.q.Log(context.Background())
		if err != nil {
			return logError(err)
		}
		if index < 0 || index >= log.Size {
			return fmt.Errorf("%w: entry %d of %d", ErrNotFound, index, log.Size)
		}
		head, err := t.q.FirstHead(context.Background(), index+1)
		if errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("%w: entry %d", ErrNoHead, index)
		}
		if err != nil {
			return logError(err)
		}
		entries, err := t.entries(index, 1)
		if err != nil {
			return err
		}
		receipt, err = audit.NewReceipt(hashReader{t.q}, head.Size, index, entries[0], head.Note)
		return err
	})
	if err != nil {
		return nil, err
	}
	return receipt.Marshal(), nil
}

// entries reads n entries, ErrCorrupt when one is missing.
func (t *tx) entries(from int64, n int) ([][]byte, error) {
	rows, err := t.q.Entries(context.Background(), sqlc.EntriesParams{First: from, N: int64(n)})
	if err != nil {
		return nil, logError(err)
	}
	entries := make([][]byte, 0, len(rows))
	for i, row := range rows {
		if row.ID != from+int64(i) {
			break
		}
		entries = append(entries, row.Data)
	}
	if len(entries) != n {
		return nil, fmt.Errorf("%w: entry %d of the log is missing", ErrCorrupt, from+int64(len(entries)))
	}
	return entries, nil
}

// Entries returns the entries of the log from index from on, at most n and at most 1000; none at the end of the log.
func (db *DB) Entries(ctx context.Context, from int64, n int) ([][]byte, error) {
	var entries [][]byte
	err := db.view(ctx, func(t *tx) error {
		log, err := t.q.Log(context.Background())
		if err != nil {
			return logError(err)
		}
		if from < 0 || from >= log.Size || n <= 0 {
			return nil
		}
		entries, err = t.entries(from, int(min(int64(n), page, log.Size-from)))
		return err
	})
	return entries, err
}

// LastHead returns the newest signed head, nil before the first. With ReadEntries and ReadHashes it makes the store a
// source of the tile export.
func (db *DB) LastHead(ctx context.Context) ([]byte, error) {
	var head []byte
	err := db.view(ctx, func(t *tx) error {
		row, err := t.q.LastHead(context.Background())
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		head = row.Note
		return logError(err)
	})
	return head, err
}

// Cover has a head signed over the entries that no signed head covers yet; without such entries it does nothing. ErrHead
// when the head could not be signed.
func (db *DB) Cover(ctx context.Context) error {
	_, err := db.update(ctx, (*tx).cover)
	return err
}

// cover asks for a head over what was committed before, if it has none.
func (t *tx) cover() error {
	log, err := t.q.Log(context.Background())
	if err != nil {
		return logError(err)
	}
	head, err := t.q.LastHead(context.Background())
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return logError(err)
	}
	t.head = head.Size < log.Size
	return nil
}

// ReadEntries returns exactly the n entries from index from on; ErrCorrupt when there are fewer.
func (db *DB) ReadEntries(ctx context.Context, from int64, n int) ([][]byte, error) {
	var entries [][]byte
	err := db.view(ctx, func(t *tx) (err error) {
		entries, err = t.entries(from, n)
		return err
	})
	return entries, err
}

// ReadHashes implements tlog.HashReader over the stored hashes of the log's tree.
func (db *DB) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	var hashes []tlog.Hash
	err := db.view(context.Background(), func(t *tx) (err error) {
		hashes, err = hashReader{t.q}.ReadHashes(indexes)
		return err
	})
	return hashes, err
}

// Events calls f for every event of the log, the oldest first, and stops at its first error. Entries are hashed on the
// way: ErrCorrupt at the end when they are not those of the log's tree, and as soon as they contradict the head file
// that was found at start. So f must not make its effects final before Events has returned nil.
func (db *DB) Events(ctx context.Context, f func(index int64, at time.Time, e audit.Event) error) error {
	size, err := db.Size(ctx)
	if err != nil {
		return err
	}
	tree, root := edge{}, db.trusted.root
	for from := int64(0); from < size; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(page, size-from)
		if from < db.trusted.size {
			n = min(n, db.trusted.size-from)
		}
		entries, err := db.ReadEntries(ctx, from, int(n))
		if err != nil {
			return err
		}
		for i, entry := range entries {
			at, e, err := audit.Decode(entry)
			if err != nil {
				return fmt.Errorf("%w: entry %d: %w", ErrCorrupt, from+int64(i), err)
			}
			if err := f(from+int64(i), at, e); err != nil {
				return err
			}
		}
		if _, tree, root, err = tree.grow(from, entries); err != nil {
			return err
		}
		from += n
		if from == db.trusted.size && root != db.trusted.root {
			return fmt.Errorf("%w: the first %d entries of the log are not those that were committed", ErrCorrupt, from)
		}
	}
	if size == 0 {
		return nil
	}
	stored, err := tlog.TreeHash(size, db)
	if err != nil {
		return err
	}
	if !bytes.Equal(stored[:], root[:]) {
		return fmt.Errorf("%w: the entries of the log do not fit its tree", ErrCorrupt)
	}
	return nil
}
