package longterm

import (
	"context"
	"crypto"
	"fmt"
	"io"
	"strings"

	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/pades"
	"github.com/ecsigner/ecsigner/signer/pades/sigfield"
	"github.com/ecsigner/ecsigner/signer/pdf"
	"github.com/ecsigner/ecsigner/signer/pdf/object"
	"github.com/ecsigner/ecsigner/signer/pdf/pages"
	"github.com/ecsigner/ecsigner/signer/tsp"
)

// defaultRoom is the space for a token, in bytes, when the Stamper does not say how large one can be.
const defaultRoom = 16 << 10

// maxRoom bounds the space for a token, in bytes.
const maxRoom = 1 << 20

// sizer is a Stamper that knows the greatest size of its tokens before one is needed, such as tsp.Client.
type sizer interface {
	MaxSize(ctx context.Context, h crypto.Hash) (int, error)
}

// withinStamper is a Stamper that can hold a token to a size, and have another authority make one that fits.
type withinStamper interface {
	StampWithin(ctx context.Context, h crypto.Hash, imprint []byte, limit int) ([]byte, error)
}

// TimeStamp returns the bytes to append to the PDF in r for a document time-stamp (ISO 32000-2 section 12.8.5, EN 319 142-1
// clause 5.4.3) over all of it: it proves that the file existed, and says nothing about signatures in it, which are not
// looked at. The file is read once. A document certified as final allows it (ISO 32000-2 section 12.8.2.2.2).
// Errors: those of package pdf and of the Stamper, pades.ErrOptions, cades.ErrTimeStamp, pades.ErrReserve; with each of them nothing was written.
func TimeStamp(ctx context.Context, r io.ReaderAt, size int64, s cades.Services, lim pdf.Limits) (tail []byte, err error) {
	return TimeStampWith(ctx, r, size, s, AugmentOptions{Limits: lim})
}

// TimeStampWith is TimeStamp with options; Partial has no meaning for it.
func TimeStampWith(ctx context.Context, r io.ReaderAt, size int64, s cades.Services, o AugmentOptions) (tail []byte, err error) {
	if err := o.check(&s, cades.LevelBT); err != nil {
		return nil, err
	}
	f := &appended{ReaderAt: r, size: size}
	doc, err := pdf.Open(f, size, o.Limits)
	if err != nil {
		return nil, err
	}
	t, err := layOutTimeStamp(ctx, doc, s, o.Room)
	if err != nil {
		return nil, err
	}
	d, err := readDigests(ctx, f, size, nil, s.Hash)
	if err != nil {
		return nil, err
	}
	if _, err := t.obtain(ctx, s, d, nil); err != nil {
		return nil, err
	}
	return t.bytes(), nil
}

// docTimeStamp is a revision with a document time-stamp whose token is not there yet.
type docTimeStamp struct {
	name       string // of the field
	head, foot []byte // around the value of /Contents
	room       int    // bytes for the token
	token      *tsp.Token
	contents   []byte // the token with the zeros that fill the room
}

// layOutTimeStamp lays out the revision. The size of the token is asked before.
func layOutTimeStamp(ctx context.Context, doc *pdf.Document, s cades.Services, room int) (*docTimeStamp, error) {
	form, err := doc.Form()
	if err != nil {
		return nil, err
	}
	if form.XFA {
		return nil, pdf.ErrXFA
	}
	t := &docTimeStamp{name: sigfield.FreeName(form, "TimeStamp"), room: defaultRoom}
	if sized, ok := s.Stamper.(sizer); ok {
		if t.room, err = sized.MaxSize(ctx, s.Hash); err != nil {
			return nil, fmt.Errorf("%w: %w", cades.ErrTimeStamp, err)
		}
	}
	if t.room = max(t.room, room); t.room < 1 || t.room > maxRoom {
		return nil, fmt.Errorf("%w: room of %d bytes for a token", pades.ErrOptions, t.room)
	}
	u, err := pages.NewUpdate(doc)
	if err != nil {
		return nil, err
	}
	stamp, field := u.New(), u.New()
	body, rangeAt, holeAt := timeStampDict(t.room)
	start := u.Put(stamp, body)
	u.Put(field, fmt.Appendf(nil, "<< /FT /Sig /T %s /V %v /Type /Annot /Subtype /Widget /Rect [0 0 0 0] /F 132 >>",
		object.TextString(t.name), stamp))
	sigfield.Add(u, doc, form, field)
	tail, err := u.Finish()
	if err != nil {
		return nil, err
	}
	hole := int64(2 + 2*t.room)
	rangeAt, holeAt = rangeAt+start-doc.Size(), holeAt+start-doc.Size() // now from the start of the revision
	t.head, t.foot = tail[:holeAt:holeAt], tail[holeAt+hole:]
	first := doc.Size() + holeAt
	copy(t.head[rangeAt:], fmt.Sprintf("[0 %d %d %d]", first, first+hole, len(t.foot)))
	return t, nil
}

// timeStampDict returns the dictionary of a document time-stamp and the places in it of the ByteRange array, blank and as
// wide as its greatest numbers, and of the token with its angle brackets. The time stands in the token alone.
func timeStampDict(room int) (body []byte, rangeAt, holeAt int64) {
	b := []byte("<< /Type /DocTimeStamp /Filter /Adobe.PPKLite /SubFilter /ETSI.RFC3161\n/ByteRange ")
	rangeAt = int64(len(b))
	widest := len(fmt.Sprintf("[0 %d %d %d]", pdf.MaxSize, pdf.MaxSize, pdf.MaxSize))
	b = append(b, strings.Repeat(" ", widest)+"\n/Contents "...)
	holeAt = int64(len(b))
	b = append(b, "<"+strings.Repeat("0", 2*room)+"> >>"...)
	return b, rangeAt, holeAt
}

// obtain has the revision stamped. d are the digests of the file up to the revision, but for the bytes of between.
func (t *docTimeStamp) obtain(ctx context.Context, s cades.Services, d *digests, between []byte) (*tsp.Token, error) {
	state, err := d.whole[s.Hash].Clone()
	if err != nil {
		return nil, fmt.Errorf("pades: copying the state of %v: %w", s.Hash, err)
	}
	for _, piece := range [][]byte{between, t.head, t.foot} {
		state.Write(piece) // a hash never returns an error
	}
	imprint := state.Sum(nil)
	var raw []byte
	if within, ok := s.Stamper.(withinStamper); ok {
		raw, err = within.StampWithin(ctx, s.Hash, imprint, t.room)
	} else {
		raw, err = s.Stamper.Stamp(ctx, s.Hash, imprint)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", cades.ErrTimeStamp, err)
	}
	if err := t.accept(raw, s.Hash, imprint); err != nil {
		return nil, err
	}
	return t.token, nil
}

// accept does not believe that the token covers what it shall.
func (t *docTimeStamp) accept(raw []byte, h crypto.Hash, imprint []byte) error {
	token, err := tsp.Parse(raw)
	if err != nil {
		return fmt.Errorf("%w: %w", cades.ErrTimeStamp, err)
	}
	if err := token.Covers(h, imprint); err != nil {
		return fmt.Errorf("%w: %w", cades.ErrTimeStamp, err)
	}
	der, err := token.DER()
	if err != nil {
		return fmt.Errorf("%w: %w", cades.ErrTimeStamp, err)
	}
	if len(der) > t.room {
		return fmt.Errorf("%w: a time-stamp of %d bytes into %d", pades.ErrReserve, len(der), t.room)
	}
	t.token, t.contents = token, make([]byte, t.room)
	copy(t.contents, der)
	return nil
}

// bytes returns the revision.
func (t *docTimeStamp) bytes() []byte {
	out := make([]byte, 0, len(t.head)+2+2*t.room+len(t.foot))
	out = append(out, t.head...)
	out = fmt.Appendf(out, "<%X>", t.contents)
	return append(out, t.foot...)
}
