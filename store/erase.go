package store

import (
	"context"
	"fmt"
	"time"
)

// Erased bytes. The writing connection overwrites what it deletes with zeros (secure_delete), but in the database file
// only once a checkpoint wrote the page there; until then, and after it, the journal (WAL) holds the page as it was.

const (
	cleanWait  = 250 * time.Millisecond // for readers of the journal, during which nobody else can write
	cleanPause = time.Second
	busyWait   = 5 * time.Second // of the writing connection otherwise, as connect sets it
)

// clean writes the journal into the database and cuts it to nothing. Where readers hold it, that is tried again.
func (w *writer) clean() {
	w.unclean = true
	ctx := context.Background()
	set := func(wait time.Duration) error {
		_, err := w.db.conn.ExecContext(ctx, fmt.Sprintf("PRAGMA busy_timeout = %d", wait.Milliseconds()))
		return err
	}
	if set(cleanWait) != nil {
		return
	}
	var busy, pages, moved int
	err := w.db.conn.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &pages, &moved)
	w.unclean = set(busyWait) != nil || err != nil || busy != 0
}
