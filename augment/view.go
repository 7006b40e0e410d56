package augment

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/signer/cades"
)

// Progress is how far a level is.
type Progress struct {
	Level  cades.Level
	Ready  bool
	Ended  bool      // not ready, and given up
	Size   int64     // bytes, when ready
	SHA256 []byte    // the same
	Index  int64     // of its entry in the log, the same
	Reason Reason    // why not yet, or why never
	Next   time.Time // of the next attempt, while it is neither ready nor given up
}

// Levels returns the levels of a job that lie between B-B and its target, from its row and those of its artefacts.
func Levels(j Job, made []Artefact) []Progress {
	var all []Progress
	first := j.Target
	if j.Kind.own() {
		first = cades.LevelBT
	}
	for l := first; l <= j.Target; l++ {
		p := Progress{Level: l}
		for _, a := range made {
			if a.Item == j.Item && a.Level == l {
				p.Ready, p.Size, p.SHA256, p.Index = true, a.Size, a.SHA256, a.LogIndex
			}
		}
		if !p.Ready {
			p.Ended, p.Reason = j.State == GivenUp, j.Reason
			if !p.Ended {
				p.Next = j.NotBefore
			}
		}
		all = append(all, p)
	}
	return all
}

// Unready returns what a client is told that asks for a level which is not ready: a PendingError.
func Unready(p Progress, now time.Time) error {
	e := &PendingError{Level: p.Level, Reason: p.Reason, Next: p.Next, Err: ErrNotReady}
	if p.Ended {
		e.Err = ErrGivenUp
	} else {
		e.After = max(time.Second, p.Next.Sub(now))
	}
	return e
}

// Stored returns an artefact that is held against its entry in the operation log: the row is under no seal. Errors are those
// of the store, and ErrIntegrity.
func (s *Service) Stored(ctx context.Context, subject string, item int, level cades.Level) (Artefact, error) {
	var a Artefact
	var kind Kind
	err := s.Store.View(ctx, func(tx Tx) (err error) {
		if a, err = tx.Artefact(subject, item, level); err != nil {
			return err
		}
		j, err := tx.Job(subject, item)
		kind = j.Kind
		return err
	})
	if err != nil {
		return Artefact{}, err
	}
	text, err := s.Store.Receipt(ctx, a.LogIndex)
	if err != nil {
		return Artefact{}, fmt.Errorf("making the receipt: %w", err)
	}
	r, err := audit.ParseReceipt(text)
	if err != nil {
		return Artefact{}, fmt.Errorf("reading the receipt: %w", err)
	}
	_, e, err := audit.Decode(r.Entry)
	if err != nil {
		return Artefact{}, fmt.Errorf("reading the receipt: %w", err)
	}
	var logged []byte
	switch e := e.(type) {
	case audit.ArtefactRecorded:
		if kind.own() && e.Operation == subject && e.Item == uint64(item) && e.Level == level.String() { //nolint:gosec // 0 to 99
			logged = e.Artefact
		}
	case audit.AugmentationRecorded:
		if !kind.own() && e.Augmentation == subject && item == 0 && e.Level == levelName(kind, level) {
			logged = e.Artefact
		}
	}
	sum := a.SHA256 // of what is in the spool, whose bytes are authenticated
	if a.Spooled == "" {
		h := sha256.Sum256(a.Data)
		sum = h[:]
	}
	if logged == nil || !bytes.Equal(logged, sum) {
		return Artefact{}, fmt.Errorf("%w: %v of item %d of %s", ErrIntegrity, level, item, subject)
	}
	return a, nil
}

// File is an artefact to read from any offset.
type File struct {
	io.ReaderAt
	Size      int64
	Name      string
	MediaType string
	Level     cades.Level
	Close     func() error
}

// Joined reads first, which has size bytes, and second behind it.
func Joined(first io.ReaderAt, size int64, second io.ReaderAt) io.ReaderAt {
	return joined{first, size, second}
}
