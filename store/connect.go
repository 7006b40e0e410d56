package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/ecsigner/ecsigner/store/sqlc"
	"github.com/pressly/goose/v3"
)

const driver = "sqlite3" // registered by mattn/go-sqlite3

//go:embed migrations/*.sql
var migrations embed.FS

// claim makes the directory and takes its lock. The kernel releases the lock when the process ends, however it ends.
func (db *DB) claim() error {
	if err := private(db.config.Dir); err != nil {
		return err
	}
	var err error
	db.lock, err = os.OpenFile(filepath.Join(db.config.Dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fileError(err)
	}
	err = syscall.Flock(int(db.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return fmt.Errorf("%w: %s", ErrInUse, db.config.Dir)
	}
	if err != nil {
		return fileError(err)
	}
	// SQLite gives its journal the mode of the database file.
	file, err := os.OpenFile(db.path(), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fileError(err)
	}
	return errors.Join(file.Chmod(0o600), file.Close())
}

// private makes a directory that only its owner can enter, or makes it so.
func private(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fileError(err)
	}
	info, err := os.Stat(dir)
	if err == nil && info.Mode().Perm()&0o077 != 0 {
		err = os.Chmod(dir, 0o700)
	}
	if err != nil {
		return fileError(err)
	}
	return nil
}

func (db *DB) path() string { return filepath.Join(db.config.Dir, fileName) }

func fileError(err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w: %w", ErrReadOnly, err)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return fmt.Errorf("%w: %w", ErrDatabase, err)
}

// connect opens the writing connection, brings the schema up to date and opens the pool of readers.
func (db *DB) connect(ctx context.Context) error {
	var err error
	if db.write, err = sql.Open(driver, db.source("mode=rw&_journal_mode=WAL&_synchronous=FULL&_foreign_keys=1"+
		"&_busy_timeout=5000&_txlock=immediate&_secure_delete=1")); err != nil {
		return readError(err)
	}
	db.write.SetMaxOpenConns(1)
	if err := db.migrate(ctx); err != nil {
		return err
	}
	if db.conn, err = db.write.Conn(ctx); err != nil {
		return readError(err)
	}
	if err := durable(ctx, db.conn); err != nil {
		return err
	}
	if db.written, err = sqlc.Prepare(ctx, db.conn); err != nil {
		return readError(err)
	}
	if db.pool, err = sql.Open(driver, db.source("mode=ro&_query_only=1&_busy_timeout=5000&_txlock=deferred")); err != nil {
		return readError(err)
	}
	readers := max(4, runtime.NumCPU())
	db.pool.SetMaxOpenConns(readers)
	db.pool.SetMaxIdleConns(readers)
	if db.read, err = sqlc.Prepare(ctx, db.pool); err != nil {
		return readError(err)
	}
	return nil
}

// source is the name of the database for SQLite.
func (db *DB) source(options string) string { return uri(db.path(), options) }

func (db *DB) migrate(ctx context.Context) error {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, db.write, dir)
	if err != nil {
		return fmt.Errorf("store: migrations: %w", err)
	}
	current, target, err := provider.GetVersions(ctx)
	if err != nil {
		return readError(err)
	}
	if current > target {
		return fmt.Errorf("%w: version %d, known is %d", ErrSchema, current, target)
	}
	if _, err := provider.Up(ctx); err != nil {
		return readError(err)
	}
	return nil
}

// durable reads back what the connection was asked for: SQLite does not fail when it cannot comply.
func durable(ctx context.Context, conn *sql.Conn) error {
	var mode string
	var synchronous, keys int
	for query, value := range map[string]any{
		"PRAGMA journal_mode": &mode, "PRAGMA synchronous": &synchronous, "PRAGMA foreign_keys": &keys,
	} {
		if err := conn.QueryRowContext(ctx, query).Scan(value); err != nil {
			return readError(err)
		}
	}
	const full = 2 // https://www.sqlite.org/pragma.html#pragma_synchronous
	if mode != "wal" || synchronous < full || keys != 1 {
		return fmt.Errorf("%w: journal_mode=%s synchronous=%d foreign_keys=%d", ErrDurability, mode, synchronous, keys)
	}
	// A read-only file opens without a word and fails at the first write.
	for _, statement := range []string{"BEGIN IMMEDIATE", "ROLLBACK"} {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			return readError(err)
		}
	}
	return nil
}
