package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/ecsigner/ecsigner/audit"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	maxScan     = 20 * page // entries that one call reads: a filter that fits few answers in parts
	maxSelected = 512 << 10 // bytes of entries in one answer, but always one entry
)

// Select returns the entries from start on that a filter chooses, at most limit, all under the newest signed head; what
// no head covers yet is left for later. Next says where to go on, even where nothing was chosen. With proofs each entry
// comes with its inclusion in that head's tree.
func (db *DB) Select(ctx context.Context, start int64, f audit.Filter, limit int, proofs bool) (audit.Selection, error) {
	s := audit.Selection{Next: start}
	err := db.view(ctx, func(t *tx) error {
		s = audit.Selection{Next: start}
		head, err := t.q.LastHead(context.Background())
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return logError(err)
		}
		s.Head, s.Size = head.Note, head.Size
		end := min(head.Size, start+maxScan)
		for bytes := 0; s.Next < end && len(s.Entries) < limit; {
			entries, err := t.entries(s.Next, int(min(page, end-s.Next)))
			if err != nil {
				return err
			}
			for _, entry := range entries {
				if f.Match(entry) {
					if bytes += len(entry); bytes > maxSelected && len(s.Entries) > 0 || len(s.Entries) == limit {
						return t.prove(&s, proofs)
					}
					s.Entries = append(s.Entries, audit.Selected{Index: s.Next, Entry: entry})
				}
				s.Next++
			}
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		return t.prove(&s, proofs)
	})
	return s, err
}

func (t *tx) prove(s *audit.Selection, proofs bool) error {
	for i := range s.Entries {
		if !proofs {
			break
		}
		proof, err := tlog.ProveRecord(s.Size, s.Entries[i].Index, hashReader{t.q})
		if err != nil {
			return fmt.Errorf("proving entry %d of %d: %w", s.Entries[i].Index, s.Size, err)
		}
		s.Entries[i].Proof = bytesOf(proof)
	}
	return nil
}

// Consistency proves that the newest signed head only added to the log as it was with oldSize entries (RFC 6962 section
// 2.1.2). ErrNotFound when the log has fewer entries under a head.
func (db *DB) Consistency(ctx context.Context, oldSize int64) (note []byte, proof [][]byte, err error) {
	err = db.view(ctx, func(t *tx) error {
		head, err := t.q.LastHead(context.Background())
		if errors.Is(err, sql.ErrNoRows) || err == nil && oldSize > head.Size {
			return fmt.Errorf("%w: a head of %d entries", ErrNotFound, oldSize)
		}
		if err != nil {
			return logError(err)
		}
		p, err := audit.ProveConsistency(hashReader{t.q}, oldSize, head.Size)
		note, proof = head.Note, bytesOf(tlog.RecordProof(p))
		return err
	})
	return note, proof, err
}

func bytesOf(proof tlog.RecordProof) [][]byte {
	out := make([][]byte, len(proof))
	for i, h := range proof {
		out[i] = append([]byte(nil), h[:]...)
	}
	return out
}
