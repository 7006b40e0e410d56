// Package longterm reads what signatures and document time-stamps a finished PDF has, by whomever they were made, and raises them
// to the long-term levels of PAdES (ETSI EN 319 142-1 clause 6).
//
// Verify tells what is there, and of what level; Augment appends what a document lacks for B-T, B-LT or B-LTA, and renews;
// TimeStamp appends a document time-stamp alone. Each reads the file once, and none holds it.
package longterm

import (
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"time"

	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/cades/levels"
	"github.com/ecsigner/ecsigner/signer/pades/dss"
	"github.com/ecsigner/ecsigner/signer/pdf"
	"github.com/ecsigner/ecsigner/signer/tsp"
)

// SignatureInfo is what can be said about one signature or document time-stamp of a document without trust anchors:
// integrity, profile and what evidence is there, not who vouches for the certificates and what the evidence says.
type SignatureInfo struct {
	Field          string // fully qualified name of the signature field
	SubFilter      string // without '/'
	Modified       string // /M as written, such as "D:20260102030405Z"; claimed, not proven
	Name           string // /Name, /Reason and /Location; claimed, signed with the document
	Reason         string
	Location       string
	ByteRange      [4]int64
	CoversFile     bool  // the signature covers the whole file but its own /Contents
	LaterBytes     int64 // bytes appended after this signature; they may change what is shown
	LaterRevisions int   // cross-reference sections in them
	Covered        bool  // a valid later signature or document time-stamp covers this one

	Raw          []byte             // the CMS or the token, as in the file
	CMS          *cades.Signature   // nil for a document time-stamp, and for CMS that is not the strict DER that cades.Parse reads
	Algorithm    cades.Algorithm    // of the signature; 0 when it is another than the named ones
	Certificate  *x509.Certificate  // of the signer or the time-stamp unit; nil when the CMS could not be read
	Certificates [][]byte           // embedded in the CMS or the token, DER
	DocTimeStamp bool               // a document time-stamp (ETSI.RFC3161), not a signature
	TimeStamp    *tsp.Token         // of a document time-stamp; nil when it could not be read
	TimeStamps   []levels.TimeStamp // signature-time-stamps in the CMS, each with what is wrong with it
	Proven       time.Time          // of the earliest valid time-stamp over this signature, of either kind; zero when there is none

	// Level is the highest baseline level (EN 319 142-1 clause 6) whose parts are all there: "B-B", "B-T", "B-LT", "B-LTA", and
	// "" for a document time-stamp and when the signature is not PAdES baseline. Time-stamps count when they verify and
	// cover what they must; evidence when it is authentic.
	Level string
	// Missing says why it is not the next level; nil at B-LTA. It wraps cades.ErrProfile, cades.ErrTimeStamp or
	// cades.ErrEvidence, or is Err.
	Missing error
	// Err is nil when the digest over the byte range and the signature value are right. Otherwise it wraps
	// cades.ErrDigest or cades.ErrSignature (broken), or cades.ErrMalformed, cades.ErrUnsupported, cades.ErrProfile,
	// tsp.ErrToken, pdf.ErrTooLarge or pades.ErrSignatureDict (could not be judged: treat as not valid).
	Err error
}

// Verify reads every signature field of the PDF in r that is filled in, in the order of the form, and checks each
// signature's and document time-stamp's integrity and level. The returned error concerns the file as a whole (see pdf.Open);
// a bad signature is reported in its SignatureInfo. The file is read once, however many signatures there are.
func Verify(ctx context.Context, r io.ReaderAt, size int64, lim pdf.Limits) ([]SignatureInfo, error) {
	f, err := readFile(ctx, r, size, lim)
	if err != nil {
		return nil, err
	}
	f.judgeLevels(r, lim)
	out := make([]SignatureInfo, 0, len(f.found))
	for _, s := range f.found {
		out = append(out, s.SignatureInfo)
	}
	return out, nil
}

// judgeLevels tells the level of every signature.
func (f *file) judgeLevels(r io.ReaderAt, lim pdf.Limits) {
	now, errNow := dss.Read(f.doc, f.limit)
	j := &judgement{file: f}
	if errNow == nil {
		j.now = dss.NewEvidence(now.Held())
	}
	j.newest, j.then = f.archived(r, lim)
	for _, s := range f.found {
		if s.DocTimeStamp {
			continue
		}
		level, missing := j.level(s)
		if errNow != nil && level >= cades.LevelBT && level < cades.LevelBLTA {
			missing = fmt.Errorf("%w: %w", cades.ErrEvidence, errNow)
		}
		if s.Missing = missing; level > 0 {
			s.Level = level.String()
		}
	}
}

// archived returns the newest document time-stamp and the evidence that it covers; nil when there is none.
func (f *file) archived(r io.ReaderAt, lim pdf.Limits) (newest *found, then *dss.Evidence) {
	if newest = f.newestStamp(); newest == nil {
		return nil, nil
	}
	// What a time-stamp covers is the file as it was then, which is a PDF by itself.
	end := newest.end()
	doc, err := pdf.Open(io.NewSectionReader(r, 0, end), end, lim)
	if err != nil {
		return nil, nil
	}
	store, err := dss.Read(doc, f.limit)
	if err != nil {
		return nil, nil
	}
	return newest, dss.NewEvidence(store.Held())
}

// judgement judges the levels of the signatures of one file.
type judgement struct {
	*file
	now    *dss.Evidence // in the file as it is; nil when it could not be read
	newest *found        // the newest valid document time-stamp; nil when there is none
	then   *dss.Evidence // in the part of the file that newest covers
}

// level is the level of a signature, 0 for none, and why it is not the next one.
func (j *judgement) level(s *found) (cades.Level, error) {
	if err := s.baseline(); err != nil {
		return 0, err
	}
	if s.Err != nil {
		return cades.LevelBB, s.Err
	}
	if err := j.proven(s); err != nil {
		return cades.LevelBB, err
	}
	if j.newest != nil && j.newest.covers(s) {
		if j.proves(j.then, s, j.newest) == nil {
			return cades.LevelBLTA, nil
		}
	}
	if j.now == nil {
		return cades.LevelBT, cades.ErrEvidence
	}
	if err := j.proves(j.now, s, nil); err != nil {
		return cades.LevelBT, err
	}
	return cades.LevelBLT, fmt.Errorf("%w: no document time-stamp covers the evidence", cades.ErrTimeStamp)
}

// proven returns nil when a time-stamp proves that the signature existed while its certificate was valid.
func (j *judgement) proven(s *found) error {
	if s.Proven.IsZero() {
		for _, t := range s.TimeStamps {
			if t.Invalid != nil {
				return fmt.Errorf("signature-time-stamp: %w", t.Invalid)
			}
		}
		return fmt.Errorf("%w: there is none", cades.ErrTimeStamp)
	}
	if s.Proven.After(s.Certificate.NotAfter) {
		return fmt.Errorf("%w: the signer's certificate had ended before it", cades.ErrTimeStamp)
	}
	return nil
}

// proves returns nil when there is evidence for the signer and for every time-stamp that the signature rests on: those in
// the CMS, else the earliest document time-stamp over it, unless that is the one over the evidence.
func (f *file) proves(e *dss.Evidence, s, over *found) error {
	if err := e.Complete(s.Certificate.Raw, s.Certificates, s.Proven, true); err != nil {
		return fmt.Errorf("signer: %w", err)
	}
	stamps := s.valid()
	if len(stamps) == 0 {
		if first := f.firstStamp(s); first != over {
			stamps = []*tsp.Token{first.TimeStamp}
		}
	}
	for _, t := range stamps {
		if err := e.Complete(t.Signer.Raw, t.Certificates, t.Time, false); err != nil {
			return fmt.Errorf("time-stamp: %w", err)
		}
	}
	return nil
}
