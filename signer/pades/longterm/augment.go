package longterm

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/pades"
	"github.com/ecsigner/ecsigner/signer/pades/dss"
	"github.com/ecsigner/ecsigner/signer/pdf"
	"github.com/ecsigner/ecsigner/signer/pdf/pages"
	"github.com/ecsigner/ecsigner/signer/revinfo"
)

// ErrNoSignature: there is nothing in the document that could be raised.
var ErrNoSignature = errors.New("the document holds no signature: sign it first, or ask for a time-stamp alone")

// AugmentOptions are those of AugmentWith and TimeStampWith. The zero value is good.
type AugmentOptions struct {
	Limits pdf.Limits // zero means the defaults
	Room   int        // at least so many bytes for a time-stamp, such as after pades.ErrReserve; at most 1 MiB
	// Partial goes on with the rest where a signature is broken, cannot be judged, or no evidence for it can be had.
	Partial bool
}

func (o *AugmentOptions) check(s *cades.Services, to cades.Level) error {
	if to < cades.LevelBB || to > cades.LevelBLTA {
		return fmt.Errorf("%w: %v", pades.ErrOptions, to)
	}
	if s.Hash == 0 {
		s.Hash = crypto.SHA256
	}
	if s.Hash != crypto.SHA256 && s.Hash != crypto.SHA384 && s.Hash != crypto.SHA512 {
		return fmt.Errorf("%w: time-stamps with %v", pades.ErrOptions, s.Hash)
	}
	if to >= cades.LevelBT && (s.Stamper == nil || s.Now == nil) || to >= cades.LevelBLT && s.Prover == nil {
		return fmt.Errorf("%w: %v needs a service that is not given", pades.ErrOptions, to)
	}
	if o.Room < 0 || o.Room > maxRoom {
		return fmt.Errorf("%w: room of %d bytes for a token", pades.ErrOptions, o.Room)
	}
	return nil
}

// Augmented is the result of AugmentWith.
type Augmented struct {
	Tail []byte // to be appended to the file; empty when nothing was missing
	Left []Left // what was not raised, in the order of the form; always empty unless Partial is set
}

// Left is a signature or document time-stamp that was not raised.
type Left struct {
	Field string
	Err   error
}

// Augment returns the bytes to append to the PDF in r that raise every signature in it to a level (EN 319 142-1 clause 6), by
// whomever it was made; those that are not PAdES get the same evidence. Only what is missing is added:
//
//   - B-T: a document time-stamp over all, when a signature has no time-stamp in its CMS and none over it.
//   - B-LT: in the document security store, the path and the revocation data of each signer, at the time of the earliest
//     time-stamp over the signature, and of each time-stamp unit, at the time of the next time-stamp over its own, else now.
//   - B-LTA: a document time-stamp over all that. When there is one already this renews: evidence for that one is added first.
//
// An empty result means that nothing was missing. A document certified as final, or with locked fields, allows all of this
// (ISO 32000-2 section 12.8.2.2.2). The file is read in one pass, and memory does not grow with it. It is refused, and nothing
// is returned, when a signature or document time-stamp does not verify or cannot be judged, or when evidence for it cannot
// be had; the error names its field. AugmentWith can go on with the rest.
//
// Errors: those of package pdf, of Verify, and of the services; cades.ErrTimeStamp and cades.ErrEvidence wrap the latter.
// ErrNoSignature, pades.ErrOptions, pades.ErrReserve.
func Augment(ctx context.Context, r io.ReaderAt, size int64, to cades.Level, s cades.Services, lim pdf.Limits) (tail []byte, err error) {
	a, err := AugmentWith(ctx, r, size, to, s, AugmentOptions{Limits: lim})
	return a.Tail, err
}

// AugmentWith is Augment with options.
func AugmentWith(ctx context.Context, r io.ReaderAt, size int64, to cades.Level, s cades.Services, o AugmentOptions) (Augmented, error) {
	if err := o.check(&s, to); err != nil {
		return Augmented{}, err
	}
	f, err := readFile(ctx, r, size, o.Limits, s.Hash)
	if err != nil {
		return Augmented{}, err
	}
	a := &augmentation{Services: s, options: o, ctx: ctx, file: f, out: &appended{ReaderAt: r, size: size}, to: to}
	if err := a.run(); err != nil {
		return Augmented{}, err
	}
	return Augmented{a.out.tail, a.left}, nil
}

// augmentation is one run.
type augmentation struct {
	*file
	cades.Services
	options AugmentOptions
	ctx     context.Context
	to      cades.Level
	out     *appended // the file and what is added to it
	left    []Left
	good    []*found // what is raised, with the document time-stamps that are added
	archive *found   // the newest document time-stamp of the file as it was; nil when there is none
	covered *dss.Evidence
}

func (a *augmentation) run() error {
	if len(a.found) == 0 {
		return ErrNoSignature
	}
	for _, s := range a.found {
		if s.Err != nil {
			if err := a.leave(s, s.Err); err != nil {
				return err
			}
			continue
		}
		a.good = append(a.good, s)
	}
	if a.to >= cades.LevelBLT {
		a.archive, a.covered = a.archived(a.out.ReaderAt, a.options.Limits)
	}
	if a.to >= cades.LevelBT {
		if err := a.proveTime(); err != nil {
			return err
		}
	}
	if a.to >= cades.LevelBLT {
		if err := a.addEvidence(slices.Clone(a.good)); err != nil { // leave takes from the original
			return err
		}
	}
	if a.to < cades.LevelBLTA {
		return a.any()
	}
	if err := a.any(); err != nil {
		return err
	}
	newest, err := a.stamp()
	if err != nil {
		return err
	}
	return a.outlive(newest)
}

// any refuses to go on for nothing: with signatures in the document, one of them must be left.
func (a *augmentation) any() error {
	signature := func(s *found) bool { return !s.DocTimeStamp }
	if len(a.good) == 0 || slices.ContainsFunc(a.found, signature) && !slices.ContainsFunc(a.good, signature) {
		return fmt.Errorf("no signature can be raised: %w", a.left[0].Err)
	}
	return nil
}

// leave gives a signature up, or everything.
func (a *augmentation) leave(s *found, err error) error {
	err = fmt.Errorf("signature field %q: %w", s.Field, err)
	if !a.options.Partial || a.ctx.Err() != nil {
		return err
	}
	a.left = append(a.left, Left{s.Field, err})
	a.good = slices.DeleteFunc(a.good, func(g *found) bool { return g == s })
	return nil
}

// proveTime sees to it that each signature is time-stamped while its certificate is valid.
func (a *augmentation) proveTime() error {
	missing := false
	for _, s := range slices.Clone(a.good) {
		if s.DocTimeStamp {
			continue
		}
		missing = missing || s.Proven.IsZero()
		if end := s.Certificate.NotAfter; !s.Proven.IsZero() && s.Proven.After(end) || s.Proven.IsZero() && a.Now().After(end) {
			if err := a.leave(s, fmt.Errorf("%w: the signer's certificate ended before one was made; it proves nothing any more", cades.ErrTimeStamp)); err != nil {
				return err
			}
		}
	}
	if !missing || len(a.good) == 0 {
		return nil
	}
	stamp, err := a.stamp()
	if err != nil {
		return err
	}
	a.good = append(a.good, stamp)
	return nil
}

// stamp adds a document time-stamp over the file and what was added so far.
func (a *augmentation) stamp() (*found, error) {
	doc, err := pdf.Open(a.out, a.out.end(), a.options.Limits)
	if err != nil {
		return nil, err
	}
	t, err := layOutTimeStamp(a.ctx, doc, a.Services, a.options.Room)
	if err != nil {
		return nil, err
	}
	token, err := t.obtain(a.ctx, a.Services, a.digests, a.out.tail)
	if err != nil {
		return nil, err
	}
	first := a.out.end() + int64(len(t.head))
	s := &found{contents: t.contents, SignatureInfo: SignatureInfo{
		Field: t.name, DocTimeStamp: true, TimeStamp: token, Certificate: token.Signer, Certificates: token.Certificates,
		ByteRange: [4]int64{0, first, first + 2 + 2*int64(t.room), int64(len(t.foot))},
	}}
	a.out.tail = append(a.out.tail, t.bytes()...)
	for _, earlier := range a.good {
		earlier.prove(token)
	}
	a.found = append(a.found, s)
	return s, nil
}

// addEvidence adds to the store what is missing there for some signatures and document time-stamps.
func (a *augmentation) addEvidence(of []*found) error {
	doc, err := pdf.Open(a.out, a.out.end(), a.options.Limits)
	if err != nil {
		return err
	}
	store, err := dss.Read(doc, a.limit)
	if err != nil {
		return err
	}
	proofs, err := a.collectAll(of, store)
	if err != nil {
		return err
	}
	u, err := pages.NewUpdate(doc)
	if err != nil {
		return err
	}
	if !store.Update(doc, u, proofs) {
		return nil
	}
	tail, err := u.Finish()
	if err != nil {
		return err
	}
	a.out.tail = append(a.out.tail, tail...)
	return nil
}

// collectAll returns the evidence for what is not proven by what the store holds.
func (a *augmentation) collectAll(of []*found, store *dss.Store) (proofs []dss.Proof, err error) {
	c := &collection{augmentation: a, held: store.Held(), got: map[string]revinfo.Evidence{}}
	e := dss.NewEvidence(store.Held())
	signatures := slices.ContainsFunc(of, func(s *found) bool { return !s.DocTimeStamp })
	for _, stamps := range []bool{false, true} {
		for _, s := range of {
			if s.DocTimeStamp != stamps {
				continue
			}
			complete := a.complete(e, s)
			if complete && !a.again(s, store) || stamps && signatures && len(proofs) == 0 && a.to < cades.LevelBLTA {
				continue
			}
			p, err := c.proof(s)
			switch {
			case err == nil:
				proofs = append(proofs, p)
			case complete && a.enough(s, err):
			default:
				if err := a.leave(s, err); err != nil {
					return nil, err
				}
			}
		}
	}
	return proofs, nil
}

// complete reports whether there is evidence for s and all that it rests on.
func (a *augmentation) complete(e *dss.Evidence, s *found) bool {
	if s.DocTimeStamp {
		return e.Complete(s.Certificate.Raw, s.Certificates, s.TimeStamp.Time, false) == nil
	}
	return a.proves(e, s, nil) == nil
}

// again reports whether the Prover is asked although there is evidence already. What is there for a signature may have been put
// there for another one, before this one was made; a VRI entry says that it was for this one. For a document time-stamp
// that is renewed newer data are wanted.
func (a *augmentation) again(s *found, store *dss.Store) bool {
	if s.DocTimeStamp {
		return s == a.newestStamp() && a.to == cades.LevelBLTA
	}
	return !store.Lists(dss.Key(s.contents))
}

// enough reports whether evidence that is there will do although the Prover has none: it may know no anchor of others, and what a
// document time-stamp covers already was good when that was made. What is revoked is never enough.
func (a *augmentation) enough(s *found, err error) bool {
	if errors.Is(err, revinfo.ErrRevoked) || a.ctx.Err() != nil {
		return false
	}
	archived := a.archive != nil && !s.DocTimeStamp && a.archive.covers(s) && a.proves(a.covered, s, a.archive) == nil
	return archived || errors.Is(err, revinfo.ErrNoPath)
}

// outlive adds evidence for the unit of the new document time-stamp, if it can be had and is not there: nothing covers it before
// the renewal, which demands it, but with it the file can be judged without a network as it is.
func (a *augmentation) outlive(newest *found) error {
	options, left, to := a.options, a.left, a.to
	a.options.Partial, a.to = true, cades.LevelBLT
	err := a.addEvidence([]*found{newest})
	a.options, a.left, a.to = options, left, to
	return err
}

// collection gathers evidence.
type collection struct {
	*augmentation
	held revinfo.Evidence            // what the store holds
	got  map[string]revinfo.Evidence // by certificate and time: signatures of one file are mostly stamped by one authority
}

// proof returns the evidence for a signature with its time-stamps, or for a document time-stamp.
func (c *collection) proof(s *found) (dss.Proof, error) {
	p := dss.Proof{Key: dss.Key(s.contents)}
	add := func(certificate *x509.Certificate, known [][]byte, used, at time.Time, what string) error {
		e, err := c.collect(certificate, known, used, at)
		if err != nil {
			return fmt.Errorf("%w: %s: %w", cades.ErrEvidence, what, err)
		}
		p.Evidence.Add(e)
		return nil
	}
	if s.DocTimeStamp {
		err := add(s.Certificate, s.Certificates, s.TimeStamp.Time, c.existed(s), "time-stamp")
		return p, err
	}
	for _, t := range s.valid() {
		if err := add(t.Signer, slices.Concat(t.Certificates, s.Certificates), t.Time, c.existed(s), "time-stamp"); err != nil {
			return p, err
		}
	}
	if err := add(s.Certificate, s.Certificates, s.Proven, s.Proven, "signer"); err != nil {
		return p, err
	}
	// The time for which that is so is the word of a time-stamp. Of one in the document the evidence is its own, but whether
	// it is trusted must be known here: anybody can append one of his own with a time before a revocation.
	if t := c.firstStamp(s); t != nil && t.TimeStamp.Time.Equal(s.Proven) {
		if _, err := c.collect(t.Certificate, t.Certificates, t.TimeStamp.Time, c.existed(t)); err != nil {
			return p, fmt.Errorf("%w: time-stamp in field %q: %w", cades.ErrEvidence, t.Field, err)
		}
	}
	return p, nil
}

// existed is when the time-stamps in s, or s if it is one, surely did: the time of the earliest document time-stamp over
// them, else now.
func (c *collection) existed(s *found) time.Time {
	if t := c.firstStamp(s); t != nil {
		return t.TimeStamp.Time
	}
	return c.Now()
}

// collect returns what proves a certificate that was used at one time and is known to have been so at another.
func (c *collection) collect(certificate *x509.Certificate, more [][]byte, used, at time.Time) (revinfo.Evidence, error) {
	key := string(certificate.Raw) + used.UTC().Format(time.RFC3339Nano)
	if e, there := c.got[key]; there {
		return e, nil
	}
	more = slices.Concat(more, c.held.Certificates)
	e, err := c.Prover.Collect(c.ctx, certificate.Raw, more, at)
	if errors.Is(err, revinfo.ErrNotYet) && used.Before(at) {
		// Nothing says that it was revoked, and newer data are not there yet: those since it was used are enough.
		e, err = c.Prover.Collect(c.ctx, certificate.Raw, more, used)
	}
	if err != nil {
		return revinfo.Evidence{}, err
	}
	whole := revinfo.Evidence{Certificates: [][]byte{certificate.Raw}}
	whole.Add(e)
	c.got[key] = whole
	return whole, nil
}
