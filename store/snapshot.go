package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"github.com/ecsigner/ecsigner/audit"
	"golang.org/x/mod/sumdb/tlog"
)

// FileName is the database's file below [Config.Dir].
const FileName = fileName

// Facts are what a database file says of itself, after it was read from end to end.
type Facts struct {
	Schema int64     // version of the tables
	Size   int64     // entries of the operation log
	Root   tlog.Hash // of the tree over them, computed from the entries
	// Roots are those of the sizes that Inspect was asked for, as far as the log reaches.
	Roots map[int64]tlog.Hash
}

// Snapshot writes a copy of the database in dir, as it stands at one moment, to the new file path (VACUUM INTO). Another
// process may have the database open and go on writing; only SQLite's own locks are taken, none of which a writer waits
// for. The copy is synced. Deleted rows are not in it. Errors: ErrReadOnly, ErrFull, ErrCorrupt, ErrDatabase, or
// fs.ErrExist and fs.ErrNotExist.
func Snapshot(ctx context.Context, dir, path string) (err error) {
	if _, err := os.Stat(filepath.Join(dir, fileName)); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	// SQLite gives the copy the mode of the process; it must never be open to others, not for a moment.
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	db, err := sql.Open(driver, uri(filepath.Join(dir, fileName), "mode=ro&_busy_timeout=5000"))
	if err != nil {
		return readError(err)
	}
	_, err = db.ExecContext(ctx, "VACUUM INTO ?", path) // into an empty file is allowed
	if err = errors.Join(err, db.Close()); err != nil {
		return errors.Join(readError(err), os.Remove(path))
	}
	if err := f.Sync(); err != nil {
		return fileError(err)
	}
	return nil
}

// Inspect reads a database file that nobody has open and changes nothing: SQLite's own check of the whole file, every
// entry of the operation log, and the stored tree, which must be that of the entries. Of the given sizes it also tells
// the roots. Errors: ErrCorrupt, ErrSchema, ErrDatabase.
func Inspect(ctx context.Context, path string, sizes ...int64) (_ Facts, err error) {
	db, err := sql.Open(driver, uri(path, "mode=ro&immutable=1&_query_only=1"))
	if err != nil {
		return Facts{}, readError(err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	var said string
	if err := db.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&said); err != nil {
		return Facts{}, readError(err)
	}
	if said != "ok" {
		return Facts{}, fmt.Errorf("%w: %s: %s", ErrCorrupt, path, said)
	}
	facts := Facts{Roots: map[int64]tlog.Hash{}}
	if err := db.QueryRowContext(ctx, "SELECT MAX(version_id) FROM goose_db_version WHERE is_applied = 1").Scan(&facts.Schema); err != nil {
		return Facts{}, readError(err)
	}
	known, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return Facts{}, err
	}
	if newest := known[len(known)-1]; filepath.Base(newest) < fmt.Sprintf("%05d", facts.Schema) {
		return Facts{}, fmt.Errorf("%w: version %d, known is %s", ErrSchema, facts.Schema, filepath.Base(newest))
	}
	return facts, facts.readLog(ctx, db, sizes)
}

// readLog hashes the entries and compares the stored tree with them.
func (f *Facts) readLog(ctx context.Context, db *sql.DB, sizes []int64) error {
	if err := db.QueryRowContext(ctx, "SELECT size FROM log WHERE id = 1").Scan(&f.Size); err != nil {
		return readError(err)
	}
	wanted := map[int64]bool{}
	for _, s := range sizes {
		wanted[s] = true
	}
	rows, err := db.QueryContext(ctx, "SELECT entries.id, data FROM entries ORDER BY entries.id")
	if err != nil {
		return readError(err)
	}
	defer func() { _ = rows.Close() }()
	var tree audit.CompactRange
	next := int64(0)
	for ; rows.Next(); next++ {
		if wanted[next] {
			f.Roots[next] = tree.Root()
		}
		var id int64
		var data []byte
		if err := rows.Scan(&id, &data); err != nil {
			return readError(err)
		}
		if _, _, err := audit.Decode(data); err != nil {
			return fmt.Errorf("%w: entry %d of the log: %w", ErrCorrupt, id, err)
		}
		if id != next {
			return fmt.Errorf("%w: entry %d of the log is missing", ErrCorrupt, next)
		}
		tree.Add(tlog.RecordHash(data))
	}
	if err := rows.Err(); err != nil {
		return readError(err)
	}
	if wanted[next] {
		f.Roots[next] = tree.Root()
	}
	f.Root = tree.Root()
	if next != f.Size {
		return fmt.Errorf("%w: the log says %d entries and holds %d", ErrCorrupt, f.Size, next)
	}
	if f.Size == 0 {
		return nil
	}
	stored, err := tlog.TreeHash(f.Size, fileHashes{ctx, db})
	if err == nil && stored != f.Root {
		err = fmt.Errorf("%w: the entries of the log do not fit its tree", ErrCorrupt)
	}
	return err
}

// fileHashes reads the stored hashes of a file.
type fileHashes struct {
	ctx context.Context //nolint:containedctx // of one call of Inspect
	db  *sql.DB
}

// ReadHashes implements tlog.HashReader.
func (r fileHashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	found := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		var h []byte
		if err := r.db.QueryRowContext(r.ctx, "SELECT hash FROM hashes WHERE id = ?", index).Scan(&h); err != nil {
			return nil, readError(err)
		}
		copy(found[i][:], h)
	}
	return found, nil
}

// uri names a file for SQLite, so that its path may hold any character.
func uri(path, options string) string {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + options
}
