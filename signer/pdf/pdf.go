// Package pdf reads the structure of a PDF file (ISO 32000-1, ISO 32000-2) and appends to it: it finds objects through
// the cross-reference sections and writes an incremental update in which every byte of the original stays in place.
// It knows no pages, fonts or signatures; the objects themselves are those of package object. It reads strictly: a file whose parts contradict each other is refused with
// the place named and never repaired, because two readers may repair it into two different documents.
//
// Memory does not grow with the file, only with the number of its objects (16 bytes each), and has the declared Limits.
package pdf

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/ecsigner/ecsigner/signer/pdf/object"
)

// Reasons to refuse a file. Each is wrapped with the particulars; the text says what the owner of the file can do.
var (
	// ErrNotPDF: the file is something else.
	ErrNotPDF = errors.New("not a PDF file: no %PDF- header at its beginning; send a PDF")
	// ErrDamaged: the structure contradicts the specification or itself; the wrapping text names the place.
	ErrDamaged = object.ErrDamaged
	// ErrTooLarge: more than the Limits allow.
	ErrTooLarge = object.ErrTooLarge
	// ErrUnsupported: correct, but encoded in a way that this package does not read.
	ErrUnsupported = object.ErrUnsupported
	// ErrEncrypted: the file has an /Encrypt dictionary, with or without a password to open it.
	ErrEncrypted = errors.New("encrypted PDF: remove its encryption and send it again")
	// ErrHybrid: a hybrid-reference file (ISO 32000-1 section 7.5.8.4) holds two sets of objects, one for old readers.
	ErrHybrid = errors.New("hybrid-reference PDF shows different content to different readers: save it anew as PDF 1.5 or later")
	// ErrXFA: the form's content is an XFA template that a signature over the PDF does not fix.
	ErrXFA = errors.New("XFA form: print it to PDF or remove the XFA part, then send it again")
)

// MaxSize is the greatest size of a finished file in bytes: ten decimal digits, what a classic cross-reference entry
// and the ByteRange of a signature hold.
const MaxSize = 9_999_999_999

// Limits bound the work and the memory that a file can cause. A zero field means its default.
type Limits struct {
	Depth      int   // nesting of arrays and dictionaries, and of form fields; default 64
	Values     int   // values inside one object; default 262144
	Sections   int   // cross-reference sections, one or two a revision; default 1024
	Objects    int   // indirect objects that are in use; default 2097152
	ObjectSize int64 // bytes of one object without its stream data; default 8 MiB
	StreamSize int64 // bytes of all decoded cross-reference and object streams together; default 64 MiB
	Fields     int   // form fields; default 65536
}

func (l Limits) withDefaults() Limits {
	set := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	set(&l.Depth, 64)
	set(&l.Values, 1<<18)
	set(&l.Sections, 1024)
	set(&l.Objects, 1<<21)
	set(&l.Fields, 1<<16)
	if l.ObjectSize <= 0 {
		l.ObjectSize = 8 << 20
	}
	if l.StreamSize <= 0 {
		l.StreamSize = 64 << 20
	}
	return l
}

// Document is an open PDF file. It reads from the file on every call, is not safe for concurrent use, and expects the
// file not to change.
type Document struct {
	r        io.ReaderAt
	size     int64
	lim      Limits
	objects  table
	highest  int     // greatest object number that any section mentions
	used     int     // objects in use
	newest   section // where startxref points
	budget   int64   // bytes that may still be decoded
	work     int64   // bytes of large objects that may still be parsed
	sections []int64 // where the cross-reference sections begin, from the newest
	streams  map[int]*objectStream
	catalog  Object
}

// Object is an indirect object.
type Object struct {
	Ref    object.Ref
	Value  object.Value // of a stream its dictionary
	Stream bool
}

// Open reads the header, every cross-reference section and the catalog, and checks that each object in use begins
// where the sections say. The errors are the sentinels of this package and errors of r.
func Open(r io.ReaderAt, size int64, lim Limits) (*Document, error) {
	lim = lim.withDefaults()
	d := &Document{r: r, size: size, lim: lim, budget: lim.StreamSize, work: lim.StreamSize + 2*size, streams: map[int]*objectStream{}}
	if size > MaxSize {
		return nil, fmt.Errorf("%w: %d bytes, more than %d", ErrTooLarge, size, MaxSize)
	}
	if err := d.checkHeader(); err != nil {
		return nil, err
	}
	start, err := d.startXref()
	if err != nil {
		return nil, err
	}
	if err := d.checkLinearized(start); err != nil {
		return nil, err
	}
	if err := d.readSections(start); err != nil {
		return nil, err
	}
	if err := d.checkObjects(); err != nil {
		return nil, err
	}
	root := d.newest.trailer.Get("Root")
	if root.Kind != object.Reference {
		return nil, fmt.Errorf("%w: trailer without /Root", ErrDamaged)
	}
	if d.catalog, err = d.Load(root.Ref); err != nil {
		return nil, err
	}
	if d.catalog.Value.Kind != object.Dict || d.catalog.Stream || d.catalog.Value.Get("Type").Text != "Catalog" {
		return nil, fmt.Errorf("%w: /Root %v is not a catalog", ErrDamaged, root.Ref)
	}
	pages, err := d.Resolve(d.catalog.Value.Get("Pages"))
	if err != nil {
		return nil, err
	}
	if pages.Kind != object.Dict {
		return nil, fmt.Errorf("%w: catalog without page tree", ErrDamaged)
	}
	return d, nil
}

// Size returns the size of the file in bytes.
func (d *Document) Size() int64 { return d.size }

// Limits returns the limits that hold for the document, defaults filled in.
func (d *Document) Limits() Limits { return d.lim }

// Catalog returns the document catalog.
func (d *Document) Catalog() Object { return d.catalog }

// Apart runs f, which may have as much decoded and parsed as for a document just opened, and forgets what was decoded meanwhile.
func (d *Document) Apart(f func() error) error {
	budget, work, streams := d.budget, d.work, d.streams
	d.budget, d.work, d.streams = d.lim.StreamSize, d.lim.StreamSize+2*d.size, map[int]*objectStream{}
	err := f()
	d.budget, d.work, d.streams = budget, work, streams
	return err
}

// read returns up to n bytes from offset, fewer only at the end of the file.
func (d *Document) read(offset, n int64) ([]byte, error) {
	if offset < 0 || offset >= d.size {
		return nil, fmt.Errorf("%w: byte %d lies outside the file of %d bytes", ErrDamaged, offset, d.size)
	}
	buf := make([]byte, min(n, d.size-offset))
	if err := d.readInto(buf, offset); err != nil {
		return nil, err
	}
	return buf, nil
}

// readInto fills buf from offset.
func (d *Document) readInto(buf []byte, offset int64) error {
	if got, err := d.r.ReadAt(buf, offset); got < len(buf) {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("reading the PDF at byte %d: %w", offset, err)
	}
	return nil
}

// checkHeader wants %PDF-n.n at byte 0. With other bytes before it, readers disagree on what offsets count from.
func (d *Document) checkHeader() error {
	if d.size <= 0 {
		return fmt.Errorf("%w (the file is empty)", ErrNotPDF)
	}
	head, err := d.read(0, 1024)
	if err != nil {
		return err
	}
	switch at := bytes.Index(head, []byte("%PDF-")); {
	case at < 0:
		return ErrNotPDF
	case at > 0:
		return fmt.Errorf("%w: %d bytes stand before the %%PDF- header, and readers disagree on whether offsets count from there; "+
			"send the file without them if they were added on the way", ErrDamaged, at)
	}
	if len(head) < 8 || head[5] < '1' || head[5] > '2' || head[6] != '.' || head[7] < '0' || head[7] > '9' ||
		len(head) > 8 && head[8] >= '0' && head[8] <= '9' {
		return fmt.Errorf("%w: header names no PDF version 1.n or 2.n", ErrDamaged)
	}
	return nil
}

// startXref finds the offset of the newest cross-reference section at the end of the file (ISO 32000-1 section 7.5.5).
func (d *Document) startXref() (int64, error) {
	const window = 1024 // where readers look for %%EOF (ISO 32000-1 annex H, note 18)
	from := max(0, d.size-window)
	tail, err := d.read(from, window)
	if err != nil {
		return 0, err
	}
	at := bytes.LastIndex(tail, []byte("startxref"))
	if at < 0 {
		return 0, fmt.Errorf("%w: no startxref in the last %d bytes", ErrDamaged, window)
	}
	p := d.parser(tail, from)
	p.Pos, p.Final = at+len("startxref"), true
	offset, err := p.Integer()
	if err != nil {
		return 0, err
	}
	for p.Pos < len(tail) && object.IsSpace(tail[p.Pos]) {
		p.Pos++
	}
	if !bytes.HasPrefix(tail[p.Pos:], []byte("%%EOF")) {
		return 0, fmt.Errorf("%w: no %%%%EOF after startxref, the file may be cut off", ErrDamaged)
	}
	if offset <= 0 || offset >= d.size {
		return 0, fmt.Errorf("%w: startxref points to byte %d of %d", ErrDamaged, offset, d.size)
	}
	return offset, nil
}

// checkLinearized wants the section behind the first object of a linearized file (ISO 32000-2 annex F) to be the one that
// startxref names: some readers begin with the one, as long as nothing was appended, others with the other.
func (d *Document) checkLinearized(start int64) error {
	head, err := d.read(0, 1024) // it lies wholly in there
	if err != nil {
		return err
	}
	p := d.parser(head, 0)
	first := object.Value{}
	if _, err = p.Header(); err == nil {
		first, err = p.Value()
	}
	switch {
	case errors.Is(err, object.ErrMore) && bytes.Contains(head, []byte("/Linearized")):
		return fmt.Errorf("%w: the dictionary of a linearized file is longer than %d bytes", ErrDamaged, len(head))
	case err != nil || first.Get("Linearized").Kind == object.Null || first.Get("L").Int != d.size:
		return nil //nolint:nilerr // what is no linearized file is judged by its sections
	}
	behind := bytes.Index(head, []byte("endobj")) + len("endobj")
	section := func(at int64) (begin int64, err error) {
		err = d.at(at, func(p *object.Parser) error {
			p.Space()
			begin = at + int64(p.Pos)
			return nil
		})
		return begin, err
	}
	one, err := section(int64(behind))
	if err != nil {
		return err
	}
	other, err := section(start)
	if err == nil && one != other {
		err = fmt.Errorf("%w: it is linearized, but startxref does not point behind its first object", ErrDamaged)
	}
	return err
}

func (d *Document) parser(buf []byte, base int64) *object.Parser {
	return &object.Parser{Buf: buf, Base: base, Depth: d.lim.Depth, Values: d.lim.Values, Final: base >= 0 && base+int64(len(buf)) >= d.size}
}

// parsed counts what it cost to parse a large object, from a place in the buffer on: many small ones may refer to one, and each
// time it is read anew.
func (d *Document) parsed(p *object.Parser, from int) error {
	const small, value = 4096, 64 // bytes; a value costs as much as so many
	n := p.Pos - from + value*(d.lim.Values-p.Values)
	if n <= small {
		return nil
	}
	if d.work -= int64(n); d.work < 0 {
		return fmt.Errorf("%w: large objects are referred to again and again", ErrTooLarge)
	}
	return nil
}

// at parses with f from offset on, with as much of the file as f needs. f may run several times.
func (d *Document) at(offset int64, f func(*object.Parser) error) error {
	return d.pieces(offset, 1024, func(buf []byte) error {
		p := d.parser(buf, offset)
		err := f(p)
		if tired := d.parsed(p, 0); tired != nil {
			return tired
		}
		return err
	})
}

// pieces has f read what stands at offset: n bytes, and more as long as it returns ErrMore.
func (d *Document) pieces(offset, n int64, f func([]byte) error) error {
	for ; ; n *= 4 {
		buf, err := d.read(offset, min(n, d.lim.ObjectSize))
		if err != nil {
			return err
		}
		if err = f(buf); !errors.Is(err, object.ErrMore) {
			return err
		}
		if n >= d.lim.ObjectSize {
			return fmt.Errorf("%w: object at byte %d is longer than %d bytes", ErrTooLarge, offset, d.lim.ObjectSize)
		}
	}
}
