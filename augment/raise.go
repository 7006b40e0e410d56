package augment

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/call"
	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/cades/levels"
	"github.com/ecsigner/ecsigner/signer/pades"
	"github.com/ecsigner/ecsigner/signer/pades/longterm"
	"github.com/ecsigner/ecsigner/signer/pdf"
)

// attend makes one attempt at the next level of one job. What goes wrong with the signature, the services or the documents
// becomes the job's reason; an error is one of the store.
func (s *Service) attend(ctx context.Context, subject string, item int) error {
	// step 1: look. Whatever the queue said when it was read, the job as it stands now decides.
	j, err := s.job(ctx, subject, item)
	if errors.Is(err, call.ErrNotFound) || err == nil && (j.State != Pending || s.Now().Before(j.NotBefore)) {
		return nil
	}
	if err != nil {
		return err
	}
	failpoint(1)

	// step 2: obtain. The artefact exists in memory only; a crash here loses a time-stamp that nobody has seen.
	w := &watched{Stamper: s.Stamper, Prover: s.Prover}
	work, cancel := context.WithTimeout(ctx, attemptTime)
	a, aug, err := s.obtain(work, j, w)
	cancel()
	if err != nil {
		if ctx.Err() != nil { // the service stops: that is no failure of anybody
			return ctx.Err()
		}
		return s.failed(ctx, j, w, err)
	}
	failpoint(2)

	// step 3: record. Artefact, entry, signed head and progress become durable together, or nothing does.
	j, err = s.record(ctx, j, a, aug)
	if err != nil {
		if a.Spooled != "" && !errors.Is(err, call.ErrOutcomeUnknown) {
			err = errors.Join(err, s.Spool.Remove(a.Spooled))
		}
		if errors.Is(err, call.ErrConflict) {
			return nil // somebody else worked on it; what they stored stands
		}
		return err
	}
	failpoint(3)

	// step 4: let go. A document that its client acknowledged was kept for this work alone.
	if j.State != Pending {
		err = s.letGo(ctx, subject, item)
	}
	failpoint(4)
	return err
}

func (s *Service) job(ctx context.Context, subject string, item int) (j Job, err error) {
	err = s.Store.View(ctx, func(tx Tx) (err error) {
		j, err = tx.Job(subject, item)
		return err
	})
	return j, err
}

// next is the level that an attempt at j makes.
func (j Job) next() cades.Level {
	if j.Kind.own() {
		return j.Reached + 1
	}
	return j.Target
}

// obtain makes the artefact of the next level in memory, or in the spool where it holds its content.
func (s *Service) obtain(ctx context.Context, j Job, w *watched) (Artefact, Augmentation, error) {
	a := Artefact{Subject: j.Subject, Item: j.Item, Level: j.next()}
	if err := s.Offers(j.Kind, a.Level); err != nil { // the configuration changed since it was asked for
		return a, Augmentation{}, err
	}
	services := cades.Services{Stamper: w, Hash: s.Hash, Now: s.Now}
	if s.Prover != nil {
		services.Prover = w
	}
	if !j.Kind.own() {
		aug, err := s.sent(ctx, j, &a, services)
		return a, aug, err
	}
	sig, err := s.Source.Signature(ctx, j.Subject, j.Item)
	if err != nil {
		return a, Augmentation{}, err
	}
	if sig.Close != nil {
		defer func() { _ = sig.Close() }()
	}
	have := sig.Result
	if j.Reached > cades.LevelBB {
		below, err := s.Stored(ctx, j.Subject, j.Item, j.Reached)
		if err != nil {
			return a, Augmentation{}, err
		}
		have = below.Data
	}
	a.Data, err = s.raise(ctx, j, sig, have, a.Level, services)
	a.Size = int64(len(a.Data))
	sum := sha256.Sum256(a.Data)
	a.SHA256 = sum[:]
	return a, Augmentation{}, err
}

// raise returns an own signature at the next level: the CMS, or what stands behind the original PDF.
func (s *Service) raise(ctx context.Context, j Job, sig Signature, have []byte, to cades.Level, services cades.Services) ([]byte, error) {
	switch j.Kind {
	case KindPAdES:
		if to == cades.LevelBT {
			return s.stampPDF(ctx, sig, have, services)
		}
		return s.extend(ctx, sig, have, to, services)
	case KindPAdESHash:
		stamped, err := stampCMS(ctx, have, services)
		if err == nil && len(stamped) > sig.Room {
			return nil, fmt.Errorf("%w: %d bytes into %d", errTooLarge, len(stamped), sig.Room)
		}
		return stamped, err
	case KindCAdES:
		services.Hash = sig.Hash // by which the digest of the content is known for certain
		return levels.Augment(ctx, have, sig.Content, to, services)
	}
	return nil, fmt.Errorf("%w: kind %q", ErrNoSignature, j.Kind)
}

// stampCMS adds a signature time-stamp to a CMS with one signer.
func stampCMS(ctx context.Context, data []byte, services cades.Services) ([]byte, error) {
	sig, err := cades.Parse(data)
	if err != nil {
		return nil, err
	}
	h := services.Hash.New()
	h.Write(sig.Value) // a hash never returns an error
	token, err := services.Stamper.Stamp(ctx, services.Hash, h.Sum(nil))
	if err != nil {
		return nil, err
	}
	return levels.AddTimeStamp(data, token)
}

// stampPDF puts a signature time-stamp into the space that was kept for it. One that is larger than any that was known when
// the space was kept goes behind the file, as a document time-stamp, which is B-T as well (EN 319 142-1 clause 6.3): there
// is never a reason to sign again.
func (s *Service) stampPDF(ctx context.Context, sig Signature, tail []byte, services cades.Services) ([]byte, error) {
	bare, err := sig.Prepared.CMS(tail)
	if err != nil {
		return nil, err
	}
	stamped, err := stampCMS(ctx, bare, services)
	if err != nil {
		return nil, err
	}
	out, err := sig.Prepared.EmbedCMS(stamped)
	if errors.Is(err, pades.ErrReserve) {
		return s.extend(ctx, sig, tail, cades.LevelBT, services)
	}
	return out, err
}

// extend appends what a level needs to the PDF that ends with tail. All signatures in it are raised where that is possible;
// where it is not, because one of somebody else is broken or nobody here can prove its certificate, ours is raised alone.
func (s *Service) extend(ctx context.Context, sig Signature, tail []byte, to cades.Level, services cades.Services) ([]byte, error) {
	r, size := joined{first: sig.Base, size: sig.Size, second: bytes.NewReader(tail)}, sig.Size+int64(len(tail))
	more, err := longterm.Augment(ctx, r, size, to, services, pdf.Limits{})
	if err == nil {
		return append(bytes.Clone(tail), more...), nil
	}
	all, failed := longterm.Verify(ctx, r, size, pdf.Limits{})
	ours := slices.IndexFunc(all, func(i longterm.SignatureInfo) bool { return i.ByteRange == sig.Prepared.ByteRange() })
	if failed != nil || ours < 0 || len(all) == 1 {
		return nil, err
	}
	partly, failed := longterm.AugmentWith(ctx, r, size, to, services, longterm.AugmentOptions{Partial: true})
	if failed != nil || slices.ContainsFunc(partly.Left, func(l longterm.Left) bool { return l.Field == all[ours].Field }) {
		return nil, errors.Join(err, failed)
	}
	return append(bytes.Clone(tail), partly.Tail...), nil
}

// record stores an artefact with its entry if the job is still what was worked on.
func (s *Service) record(ctx context.Context, j Job, a Artefact, aug Augmentation) (Job, error) {
	now := s.Now().Truncate(time.Microsecond)
	var next Job
	_, err := s.Store.Update(ctx, func(tx Tx) error {
		next = j
		next.Reached, next.Attempts, next.Reason, next.NotBefore = a.Level, 0, "", now
		if a.Level >= j.Target {
			next.State = Done
		}
		made := a
		made.LogIndex, made.Created = tx.NextIndex(), now
		if j.Kind.own() {
			tx.Append(audit.ArtefactRecorded{
				Operation: j.Subject, Item: uint64(j.Item), Level: a.Level.String(), Artefact: a.SHA256, //nolint:gosec // 0 to 99
			})
		} else {
			tx.Append(audit.AugmentationRecorded{
				Augmentation: j.Subject, Caller: aug.Caller, Level: levelName(j.Kind, a.Level), Document: aug.SHA256, Artefact: a.SHA256,
			})
		}
		if err := tx.PutArtefact(made); err != nil {
			return err
		}
		return tx.PutJob(next)
	})
	next.Version++
	return next, err
}

func levelName(k Kind, l cades.Level) string {
	if k == KindStamp {
		return "time-stamp"
	}
	return l.String()
}

// failed stores why an attempt failed and when the next one comes, or that there is none. That is no event of the log, as a
// text that could not be delivered is none.
func (s *Service) failed(ctx context.Context, j Job, w *watched, cause error) error {
	now := s.Now().Truncate(time.Microsecond)
	reason, until := w.reason(cause)
	s.Failed(j.Subject, j.Item, reason, cause)
	next := j
	next.Attempts++
	next.Reason = reason
	next.NotBefore = now.Add(pause(next.Attempts))
	if until = earlier(until, now.Add(longestWait)); until.After(next.NotBefore) {
		next.NotBefore = until.Truncate(time.Microsecond)
	}
	if reason.final() || next.NotBefore.After(j.Ends) {
		next.State = GivenUp
	}
	_, err := s.Store.Update(ctx, func(tx Tx) error { return tx.PutJob(next) })
	if errors.Is(err, call.ErrConflict) {
		return nil
	}
	if err == nil && next.State != Pending {
		err = s.letGo(ctx, j.Subject, j.Item)
	}
	return err
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// pause doubles with each attempt that failed.
func pause(attempts int) time.Duration {
	return min(longestPause, firstPause<<min(attempts-1, 16))
}

// letGo deletes the document of a job that ended, where its client acknowledged it meanwhile and no other job needs it.
func (s *Service) letGo(ctx context.Context, subject string, item int) error {
	var j Job
	var needed int64
	err := s.Store.View(ctx, func(tx Tx) (err error) {
		if j, err = tx.Job(subject, item); err != nil || !j.Release || j.Document == "" {
			return err
		}
		needed, err = tx.Needing(j.Document)
		return err
	})
	if err != nil || !j.Release || j.Document == "" || needed > 0 {
		return err
	}
	return s.Spool.Remove(j.Document)
}

// joined reads two sources as one.
type joined struct {
	first  io.ReaderAt
	size   int64
	second io.ReaderAt
}

// ReadAt reads across the border.
func (j joined) ReadAt(p []byte, off int64) (int, error) {
	if off >= j.size {
		return j.second.ReadAt(p, off-j.size)
	}
	n := min(int64(len(p)), j.size-off)
	read, err := j.first.ReadAt(p[:n], off)
	if int64(read) < n || int64(len(p)) == n {
		return read, err
	}
	more, err := j.second.ReadAt(p[n:], 0)
	return read + more, err
}
