package augment

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"

	"github.com/ecsigner/ecsigner/call"
	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/cades/levels"
	"github.com/ecsigner/ecsigner/signer/cms"
	"github.com/ecsigner/ecsigner/signer/pades/longterm"
	"github.com/ecsigner/ecsigner/signer/pdf"
)

// Request asks for a document of the caller to be augmented.
type Request struct {
	Document        string // id: a PDF, a CMS with its content, or a detached CMS
	ContentDocument string // of a detached CMS: id of what was signed; or
	ContentDigest   []byte // its SHA-256
	Level           cades.Level
	StampOnly       bool // of a PDF: a document time-stamp, whether or not it is signed; Level does not matter
}

// View is an augmentation as its caller sees it.
type View struct {
	Augmentation
	Progress
	Revision uint64 // rises with each change
}

// Augment queues the augmentation of a document. The same request id with the same body returns what the first call made.
func (s *Service) Augment(ctx context.Context, caller, requestID string, r Request) (View, error) {
	if r.StampOnly {
		r.Level = cades.LevelBT
	}
	req, err := call.NewRequest(caller, requestID, "augment", r.Document, r.ContentDocument, hex.EncodeToString(r.ContentDigest), r.Level.String(), fmt.Sprint(r.StampOnly))
	if err != nil {
		return View{}, err
	}
	var id string
	err = s.Store.View(ctx, func(tx Tx) (err error) {
		id, _, err = req.Answered(tx)
		return err
	})
	if err != nil {
		return View{}, err
	}
	if id != "" {
		return s.Get(ctx, caller, id)
	}
	a, err := s.judge(ctx, caller, r)
	if err != nil {
		return View{}, err
	}
	var random [16]byte
	if _, err := io.ReadFull(s.Rand, random[:]); err != nil {
		return View{}, fmt.Errorf("drawing random bytes: %w", err)
	}
	a.ID = "aug-" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(random[:]))
	j := s.NewJob(a.ID, 0, a.Kind, a.Document, r.Level)
	j.Reached, a.Created = 0, j.Created
	_, err = s.Store.Update(ctx, func(tx Tx) error {
		if err := req.Fresh(tx); err != nil {
			return err
		}
		if err := tx.PutAugmentation(a); err != nil {
			return err
		}
		if err := tx.PutJob(j); err != nil {
			return err
		}
		return req.Put(tx, a.ID)
	})
	if errors.Is(err, call.ErrConflict) { // the same call came twice at once
		return s.Augment(ctx, caller, requestID, r)
	}
	if err != nil {
		return View{}, err
	}
	s.Wake()
	return s.Get(ctx, caller, a.ID)
}

// judge looks at the document and says what it is.
func (s *Service) judge(ctx context.Context, caller string, r Request) (Augmentation, error) {
	a := Augmentation{
		Caller: caller, Document: r.Document, ContentDocument: r.ContentDocument, ContentDigest: r.ContentDigest, Level: r.Level,
	}
	f, sum, err := s.Source.Document(ctx, caller, r.Document)
	if err != nil {
		return a, call.Wrong("document_id", err)
	}
	defer func() { _ = f.Close() }()
	a.SHA256 = sum
	if a.Kind, err = kindOf(f, r); err != nil {
		return a, err
	}
	if a.Kind != KindCMS && (r.ContentDocument != "" || r.ContentDigest != nil) {
		return a, call.Wrong("content_document_id", fmt.Errorf("%w: a PDF holds it itself; leave it out", ErrContent))
	}
	if r.ContentDocument != "" {
		c, _, err := s.Source.Document(ctx, caller, r.ContentDocument)
		if err != nil {
			return a, call.Wrong("content_document_id", err)
		}
		_ = c.Close()
	}
	if err := s.Offers(a.Kind, r.Level); err != nil {
		return a, call.Wrong("level", err)
	}
	return a, nil
}

const sniffed = 1024 // bytes in which a PDF says that it is one

// kindOf tells a CMS by its structure, for one may hold a PDF near its beginning, and a PDF may have anything before its own.
func kindOf(f SpoolReader, r Request) (Kind, error) {
	sd, err := cms.Read(f, f.Size(), cms.Limits{})
	if err != nil {
		head := make([]byte, min(sniffed, f.Size()))
		if _, err := f.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("reading the document: %w", err)
		}
		switch {
		case !bytes.Contains(head, []byte("%PDF-")):
			return "", call.Wrong("document_id", fmt.Errorf("%w: %w", ErrNoSignature, err))
		case r.StampOnly:
			return KindStamp, nil
		}
		return KindPDF, nil
	}
	given := r.ContentDocument != "" || r.ContentDigest != nil
	switch {
	case r.StampOnly:
		return "", call.Wrong("document_id", fmt.Errorf("%w: only a PDF takes a document time-stamp", ErrNoSignature))
	case sd.Attached() && given:
		return "", call.Wrong("content_document_id", fmt.Errorf("%w: the CMS holds it itself; leave it out", ErrContent))
	case !sd.Attached() && !given:
		return "", call.Wrong("content_document_id", fmt.Errorf("%w: the signature is detached; give what was signed, or its SHA-256", ErrContent))
	}
	return KindCMS, nil
}

// sent makes the artefact of a document that a client sent.
func (s *Service) sent(ctx context.Context, j Job, a *Artefact, services cades.Services) (Augmentation, error) {
	var aug Augmentation
	err := s.Store.View(ctx, func(tx Tx) (err error) {
		aug, err = tx.Augmentation(j.Subject)
		return err
	})
	if err != nil {
		return aug, err
	}
	f, sum, err := s.Source.Document(ctx, aug.Caller, aug.Document)
	if err != nil {
		return aug, err
	}
	defer func() { _ = f.Close() }()
	if !bytes.Equal(sum, aug.SHA256) {
		return aug, fmt.Errorf("%w: another document has this id", ErrIntegrity)
	}
	switch j.Kind {
	case KindPDF:
		a.Data, err = longterm.Augment(ctx, f, f.Size(), a.Level, services, pdf.Limits{})
	case KindStamp:
		a.Data, err = longterm.TimeStamp(ctx, f, f.Size(), services, pdf.Limits{})
	default:
		return aug, s.sentCMS(ctx, aug, f, a, services)
	}
	digest := sha256.Sum256(a.Data)
	a.Size, a.SHA256 = int64(len(a.Data)), digest[:]
	return aug, err
}

// sentCMS raises a CMS. One that holds its content becomes a file of the spool, because it may be as large as any document.
func (s *Service) sentCMS(ctx context.Context, aug Augmentation, f SpoolReader, a *Artefact, services cades.Services) error {
	sd, err := cms.Read(f, f.Size(), cms.Limits{})
	if err != nil {
		return err
	}
	content, done, err := s.content(ctx, aug)
	if err != nil {
		return err
	}
	defer done()
	if aug.ContentDigest != nil {
		services.Hash = crypto.SHA256 // no other digest of the content is known
	}
	if !sd.Attached() {
		var out bytes.Buffer
		if err := levels.AugmentTo(ctx, &out, sd, content, a.Level, services); err != nil {
			return err
		}
		sum := sha256.Sum256(out.Bytes())
		a.Data, a.Size, a.SHA256 = out.Bytes(), int64(out.Len()), sum[:]
		return nil
	}
	a.Spooled = strings.Replace(aug.ID, "aug-", "art-", 1)
	if err := s.Spool.Remove(a.Spooled); err != nil { // of an attempt that was not recorded
		return err
	}
	w, err := s.Spool.Create(a.Spooled)
	if err != nil {
		return err
	}
	defer func() { _ = w.Close() }()
	c := &counted{w: w, h: sha256.New()}
	if err := levels.AugmentTo(ctx, c, sd, nil, a.Level, services); err != nil {
		return err
	}
	a.Size, a.SHA256 = c.n, c.h.Sum(nil)
	return w.Commit()
}

// counted passes on what is written, counts and digests it.
type counted struct {
	w io.Writer
	h hash.Hash
	n int64
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.h.Write(p[:n]) // a hash never returns an error
	c.n += int64(n)
	return n, err
}

// content gives digests of what a detached CMS signs.
func (s *Service) content(ctx context.Context, aug Augmentation) (levels.Content, func(), error) {
	switch {
	case aug.ContentDigest != nil:
		return Digest(crypto.SHA256, aug.ContentDigest), func() {}, nil
	case aug.ContentDocument != "":
		f, _, err := s.Source.Document(ctx, aug.Caller, aug.ContentDocument)
		if err != nil {
			return nil, nil, err
		}
		return Streamed(ctx, f, f.Size()), func() { _ = f.Close() }, nil
	}
	return nil, func() {}, nil
}

// Digest is a content of which only the digest by one hash is known.
func Digest(by crypto.Hash, sum []byte) levels.Content {
	return func(h crypto.Hash) ([]byte, error) {
		if h != by {
			return nil, fmt.Errorf("%w: its digest by %v is needed, and only that by %v is known", ErrContent, h, by)
		}
		return sum, nil
	}
}

// Streamed digests the content that r holds, in pieces.
func Streamed(ctx context.Context, r io.ReaderAt, size int64) levels.Content {
	return func(h crypto.Hash) ([]byte, error) {
		sums, err := Digests(ctx, r, size, h)
		if err != nil {
			return nil, err
		}
		return sums[0], nil
	}
}

// Digests returns the digests, by each of the hashes, of the very same bytes: what r holds is read once, in pieces.
func Digests(ctx context.Context, r io.ReaderAt, size int64, hashes ...crypto.Hash) ([][]byte, error) {
	writers := make([]hash.Hash, len(hashes))
	for i, h := range hashes {
		writers[i] = h.New()
	}
	in := io.NewSectionReader(r, 0, size)
	for buf := make([]byte, 256<<10); ; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		n, err := in.Read(buf)
		for _, w := range writers {
			w.Write(buf[:n]) // a hash never returns an error
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("reading the content: %w", err)
		}
		if err == nil {
			continue
		}
		sums := make([][]byte, len(writers))
		for i, w := range writers {
			sums[i] = w.Sum(nil)
		}
		return sums, nil
	}
}

// Get returns an augmentation of the caller. Foreign and unknown ones are both call.ErrNotFound.
func (s *Service) Get(ctx context.Context, caller, id string) (View, error) {
	var v View
	err := s.Store.View(ctx, func(tx Tx) error {
		a, err := tx.Augmentation(id)
		if err != nil {
			return err
		}
		if a.Caller != caller {
			return call.ErrNotFound
		}
		j, err := tx.Job(id, 0)
		if err != nil {
			return err
		}
		made, err := tx.ArtefactsOf(id)
		if err != nil {
			return err
		}
		v = View{Augmentation: a, Progress: Levels(j, made)[0], Revision: j.Version}
		return nil
	})
	return v, err
}

// Open opens the artefact of an augmentation: the whole file (full), or only what is to be appended to the PDF. It is a
// PendingError while there is none.
func (s *Service) Open(ctx context.Context, caller, id string, full bool) (File, error) {
	v, err := s.Get(ctx, caller, id)
	if err != nil {
		return File{}, err
	}
	if !v.Ready {
		return File{}, Unready(v.Progress, s.Now())
	}
	a, err := s.Stored(ctx, id, 0, v.Augmentation.Level)
	if err != nil {
		return File{}, err
	}
	out := File{
		ReaderAt: bytes.NewReader(a.Data), Size: a.Size, Name: "augmented.p7s", MediaType: "application/pkcs7-signature", Level: a.Level,
		Close: func() error { return nil },
	}
	switch {
	case a.Spooled != "":
		f, err := s.Spool.Open(a.Spooled)
		if err != nil {
			return File{}, fmt.Errorf("%w: %w", ErrGone, err)
		}
		out.ReaderAt, out.Close, out.Name, out.MediaType = f, f.Close, "augmented.p7m", "application/pkcs7-mime"
	case v.Kind == KindCMS:
	case full:
		f, _, err := s.Source.Document(ctx, caller, v.Document)
		if err != nil {
			return File{}, err
		}
		out.ReaderAt, out.Size, out.Close = Joined(f, f.Size(), out.ReaderAt), f.Size()+a.Size, f.Close
		out.Name, out.MediaType = "augmented.pdf", "application/pdf"
	default:
		out.Name, out.MediaType = "augmented.tail", "application/octet-stream"
	}
	return out, nil
}

// Complete acknowledges that the artefact was fetched: documents and what is spooled are deleted.
func (s *Service) Complete(ctx context.Context, caller, id string) (View, error) {
	v, err := s.Get(ctx, caller, id)
	if err != nil {
		return View{}, err
	}
	if !v.Ready && !v.Ended {
		return View{}, Unready(v.Progress, s.Now())
	}
	for _, doc := range []string{v.Document, v.ContentDocument, strings.Replace(v.ID, "aug-", "art-", 1)} {
		if doc == "" {
			continue
		}
		if _, err := s.Dispose(ctx, doc); err != nil {
			return View{}, err
		}
	}
	return v, nil
}

// Dispose deletes a document that its client acknowledged: now, or when the last job that needs it has ended. It tells which.
func (s *Service) Dispose(ctx context.Context, document string) (gone bool, err error) {
	var needed int64
	look := func(tx Tx) (err error) {
		needed, err = tx.Needing(document)
		return err
	}
	if err := s.Store.View(ctx, look); err != nil {
		return false, err
	}
	if needed > 0 {
		_, err = s.Store.Update(ctx, func(tx Tx) error {
			if err := look(tx); err != nil || needed == 0 {
				return err
			}
			return tx.ReleaseDocument(document)
		})
	}
	if err != nil || needed > 0 {
		return false, err
	}
	return true, s.Spool.Remove(document)
}
