package pdf

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/ecsigner/ecsigner/signer/pdf/object"
)

// Update is an incremental update under construction (ISO 32000-1 section 7.5.6): the bytes that follow the original.
// The same calls on the same document always give the same bytes.
type Update struct {
	doc     *Document
	buf     []byte
	written []updated
	next    int

	dangling map[int]bool // numbers that are not to be used
}

type updated struct {
	ref    object.Ref
	offset int64 // of "n g obj" in the finished file
}

// NewUpdate begins an update of d. It reads the whole structure of the file first: errors wrap ErrDamaged for an object, needed
// or not, of bad syntax or without its end, and ErrTooLarge.
func (d *Document) NewUpdate() (*Update, error) {
	u := &Update{doc: d, next: max(d.highest+1, int(min(d.newest.trailer.Get("Size").Int, object.MaxNumber+1)))}
	var err error
	if u.dangling, err = d.checkWhole(u.next); err != nil {
		return nil, err
	}
	last, err := d.Bytes(d.size-1, 1)
	if err != nil {
		return nil, err
	}
	if last[0] != '\n' && last[0] != '\r' {
		u.buf = append(u.buf, '\n')
	}
	return u, nil
}

// New reserves the number of a new object.
func (u *Update) New() object.Ref {
	for u.dangling[u.next] {
		u.next++
	}
	u.next++
	return object.Ref{Number: u.next - 1}
}

// Put writes an object, new or instead of the one with the same number and generation, and returns the offset of the
// first byte of body in the finished file. An object that is put twice is what it was put as last.
func (u *Update) Put(ref object.Ref, body []byte) int64 {
	u.written = slices.DeleteFunc(u.written, func(w updated) bool { return w.ref.Number == ref.Number })
	u.written = append(u.written, updated{ref, u.end()})
	u.buf = fmt.Appendf(u.buf, "%d %d obj\n", ref.Number, ref.Generation)
	at := u.end()
	u.buf = append(u.buf, body...)
	u.buf = append(u.buf, "\nendobj\n"...)
	return at
}

func (u *Update) end() int64 { return u.doc.size + int64(len(u.buf)) }

// Finish writes the cross-reference section, a table or a stream like the newest one of the original (a reader of the
// one kind need not know the other), and returns the whole update. It fails with ErrTooLarge when the file would
// outgrow MaxSize or the object numbers their range.
func (u *Update) Finish() ([]byte, error) {
	id := u.fileID()
	start := u.end()
	if u.doc.newest.stream {
		ref := u.New()
		u.written = append(u.written, updated{ref, start})
		u.xrefStream(ref, id)
	} else {
		u.xrefTable(id)
	}
	u.buf = fmt.Appendf(u.buf, "startxref\n%d\n%%%%EOF\n", start)
	if u.end() > MaxSize {
		return nil, fmt.Errorf("%w: the signed file would be longer than %d bytes", ErrTooLarge, MaxSize)
	}
	if u.next > object.MaxNumber+1 {
		return nil, fmt.Errorf("%w: no object number is left", ErrTooLarge)
	}
	return u.buf, nil
}

// runs sorts what was written and cuts it into runs of consecutive numbers.
func (u *Update) runs() [][]updated {
	slices.SortFunc(u.written, func(a, b updated) int { return a.ref.Number - b.ref.Number })
	var runs [][]updated
	for i, w := range u.written {
		if i == 0 || w.ref.Number != u.written[i-1].ref.Number+1 {
			runs = append(runs, nil)
		}
		runs[len(runs)-1] = append(runs[len(runs)-1], w)
	}
	return runs
}

func (u *Update) xrefTable(id []byte) {
	u.buf = append(u.buf, "xref\n"...)
	for _, run := range u.runs() {
		u.buf = fmt.Appendf(u.buf, "%d %d\n", run[0].ref.Number, len(run))
		for _, w := range run {
			u.buf = fmt.Appendf(u.buf, "%010d %05d n \n", w.offset, w.ref.Generation)
		}
	}
	u.buf = append(u.buf, "trailer\n<<"...)
	u.trailer(id)
	u.buf = append(u.buf, " >>\n"...)
}

// xrefStream writes an uncompressed cross-reference stream: fields of 1, 5 and 2 bytes, and the stream's own entry.
func (u *Update) xrefStream(ref object.Ref, id []byte) {
	var index, rows []byte
	for _, run := range u.runs() {
		index = fmt.Appendf(index, " %d %d", run[0].ref.Number, len(run))
		for _, w := range run {
			var at [8]byte
			binary.BigEndian.PutUint64(at[:], uint64(w.offset))
			rows = append(rows, 1)
			rows = append(rows, at[3:]...)
			rows = binary.BigEndian.AppendUint16(rows, uint16(w.ref.Generation))
		}
	}
	u.buf = fmt.Appendf(u.buf, "%d %d obj\n<< /Type /XRef /W [1 5 2] /Index [%s ] /Length %d", ref.Number, ref.Generation, index, len(rows))
	u.trailer(id)
	u.buf = append(u.buf, " >>\nstream\n"...)
	u.buf = append(u.buf, rows...)
	u.buf = append(u.buf, "\nendstream\nendobj\n"...)
}

// trailer copies the newest trailer's entries as they are, but for those that describe the section itself.
func (u *Update) trailer(id []byte) {
	for _, e := range u.doc.newest.trailer.Entries {
		raw := e.Value.Raw
		switch e.Key {
		case "Size", "Prev", "Type", "W", "Index", "Length", "Filter", "DecodeParms", "F", "FFilter", "FDecodeParms", "DL":
			continue
		case "ID":
			raw = id
		}
		u.buf = append(u.buf, ' ')
		u.buf = object.AppendName(u.buf, e.Key)
		u.buf = append(u.buf, ' ')
		u.buf = append(u.buf, raw...)
	}
	u.buf = fmt.Appendf(u.buf, " /Size %d /Prev %d", u.next, u.doc.newest.offset)
}

// fileID keeps the permanent identifier and makes the changing one (ISO 32000-1 section 14.4) out of the old one and
// what this update holds, so that it differs from it without a clock or chance.
func (u *Update) fileID() []byte {
	id := u.doc.newest.trailer.Get("ID")
	if id.Kind != object.Array || len(id.Elems) != 2 || id.Elems[0].Kind != object.String || id.Elems[1].Kind != object.String {
		return id.Raw
	}
	sum := sha256.Sum256(bytes.Join([][]byte{[]byte(id.Elems[1].Text), u.buf}, nil))
	return fmt.Appendf(nil, "[%s <%X>]", id.Elems[0].Raw, sum[:16])
}
