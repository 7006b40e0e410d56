package pdf

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/ecsigner/ecsigner/signer/pdf/object"
)

type entryKind uint8

const (
	absent entryKind = iota
	free
	inFile   // at is the offset, gen the generation
	inStream // at is the number of the object stream, gen the index in it
)

type entry struct {
	at      int64
	gen     uint32
	section uint16 // in which it stands, counted from the newest
	kind    entryKind
}

// generation is that of an object in use.
func (e entry) generation() int {
	if e.kind == inFile {
		return int(e.gen)
	}
	return 0
}

// pageSize is small because a file of 30 bytes for each page can ask for all of them.
const pageSize = 64

// table holds the newest entry of each object, in pages, so that a sparse numbering costs no memory.
type table []*[pageSize]entry

func (t table) get(n int) entry {
	if n < 0 || n/pageSize >= len(t) || t[n/pageSize] == nil {
		return entry{}
	}
	return t[n/pageSize][n%pageSize]
}

// add keeps e unless a newer section has an entry for n, and returns that one, or the zero entry.
func (t *table) add(n int, e entry) (newer entry) {
	for n/pageSize >= len(*t) {
		*t = append(*t, nil)
	}
	page := &(*t)[n/pageSize]
	if *page == nil {
		*page = new([pageSize]entry)
	}
	if newer = (*page)[n%pageSize]; newer.kind == absent {
		(*page)[n%pageSize] = e
	}
	return newer
}

// section is one cross-reference section.
type section struct {
	offset  int64
	stream  bool // a cross-reference stream, not a table
	trailer object.Value
}

// readSections follows the chain of /Prev from the newest section to the oldest.
func (d *Document) readSections(start int64) error {
	visited := map[int64]bool{}
	seen := 0
	var replaced []replacedObject
	for offset := start; ; {
		if visited[offset] {
			return fmt.Errorf("%w: cross-reference sections form a loop at byte %d", ErrDamaged, offset)
		}
		visited[offset] = true
		if len(visited) > d.lim.Sections {
			return fmt.Errorf("%w: more than %d cross-reference sections", ErrTooLarge, d.lim.Sections)
		}
		s, err := d.readSection(offset, func(n int64, e entry) error {
			if n < 0 || n > object.MaxNumber {
				return fmt.Errorf("%w: object number %d", ErrDamaged, n)
			}
			if seen++; seen > 8*d.lim.Objects {
				return fmt.Errorf("%w: too many cross-reference entries", ErrTooLarge)
			}
			d.highest = max(d.highest, int(n))
			e.section = uint16(len(visited))
			switch newer := d.objects.add(int(n), e); {
			case newer.section == e.section && (newer.kind != free || e.kind != free): // readers differ in which one counts
				return fmt.Errorf("%w: object %d has two cross-reference entries in one section", ErrDamaged, n)
			case newer.kind == absent && e.kind != free:
				if d.used++; d.used > d.lim.Objects {
					return fmt.Errorf("%w: more than %d objects", ErrTooLarge, d.lim.Objects)
				}
			case e.kind == inFile && newer.kind != absent && newer.kind != free && newer.generation() != e.generation():
				if replaced = append(replaced, replacedObject{object.Ref{Number: int(n), Generation: e.generation()}, e.at}); len(replaced) > mostReplaced {
					return fmt.Errorf("%w: more than %d objects have had several generations", ErrTooLarge, mostReplaced)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		if offset == start {
			d.newest = s
		}
		d.sections = append(d.sections, offset)
		prev := s.trailer.Get("Prev")
		if prev.Kind == object.Null {
			return d.checkReplaced(replaced)
		}
		if prev.Kind != object.Integer || prev.Int <= 0 || prev.Int >= d.size {
			return fmt.Errorf("%w: /Prev of the cross-reference section at byte %d points outside the file", ErrDamaged, offset)
		}
		offset = prev.Int
	}
}

// replacedObject is one of another generation than the object in use that has its number.
type replacedObject struct {
	ref object.Ref
	at  int64
}

const mostReplaced = 1 << 12

// checkReplaced wants such objects where the older section says. Readers that know objects by number and generation look for
// them all the same, and rebuild the sections by searching when they are not there.
func (d *Document) checkReplaced(objects []replacedObject) error {
	for _, o := range objects {
		var got object.Ref
		err := d.at(o.at, func(p *object.Parser) (err error) {
			got, err = p.Header()
			return err
		})
		if errors.Is(err, ErrDamaged) || err == nil && got != o.ref {
			err = notThere(o.ref, o.at)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func notThere(ref object.Ref, at int64) error {
	return fmt.Errorf("%w: object %v does not begin at byte %d, where its cross-reference entry points", ErrDamaged, ref, at)
}

func (d *Document) readSection(offset int64, add func(int64, entry) error) (section, error) {
	s := section{offset: offset}
	table := false
	err := d.at(offset, func(p *object.Parser) error {
		p.Space()
		if p.Pos+len("xref") > len(p.Buf) {
			return p.Fail(p.Pos, "no cross-reference section")
		}
		table = bytes.HasPrefix(p.Buf[p.Pos:], []byte("xref"))
		return nil
	})
	if err != nil {
		return s, fmt.Errorf("%w (cross-reference section at byte %d)", err, offset)
	}
	if table {
		s.trailer, err = d.readTable(offset, add)
	} else {
		s.stream = true
		s.trailer, err = d.readXrefStream(offset, add)
	}
	if err != nil && !errors.Is(err, ErrEncrypted) {
		return s, fmt.Errorf("%w (cross-reference section at byte %d)", err, offset)
	}
	switch {
	case err != nil:
		return s, err
	case s.trailer.Get("Encrypt").Kind != object.Null:
		return s, ErrEncrypted
	case s.trailer.Get("XRefStm").Kind != object.Null:
		return s, ErrHybrid
	case s.trailer.Get("Size").Kind != object.Integer:
		return s, fmt.Errorf("%w: trailer of the cross-reference section at byte %d has no /Size", ErrDamaged, offset)
	}
	return s, nil
}

// readTable reads "xref", its subsections with entries of exactly 20 bytes, and the trailer dictionary
// (ISO 32000-1 sections 7.5.4 and 7.5.5).
func (d *Document) readTable(offset int64, add func(int64, entry) error) (object.Value, error) {
	at := offset
	if err := d.at(at, func(p *object.Parser) error {
		err := p.Keyword("xref")
		at = offset + int64(p.Pos)
		return err
	}); err != nil {
		return object.Value{}, err
	}
	for {
		var first, count int64
		var trailer object.Value
		var next int64
		err := d.at(at, func(p *object.Parser) (err error) {
			p.Space()
			if p.Pos < len(p.Buf) && p.Buf[p.Pos] == 't' {
				if err := p.Keyword("trailer"); err != nil {
					return err
				}
				if trailer, err = p.Value(); err != nil {
					return err
				}
				if trailer.Kind != object.Dict {
					return p.Fail(p.Pos, "no dictionary as trailer before")
				}
				_, w, err := p.Next()
				if err == nil && string(w) == "stream" { // readers differ in whether there is a dictionary then
					err = p.Fail(p.Pos, "the trailer is a stream before")
				}
				return err
			}
			if first, err = p.Integer(); err != nil {
				return err
			}
			if count, err = p.Integer(); err != nil {
				return err
			}
			p.Space()
			if next = at + int64(p.Pos); bytes.ContainsAny(p.Buf[:p.Pos], "\x00\f%") { // readers differ in whether white space is meant
				return p.Fail(0, "no two numbers and a line end")
			}
			return nil
		})
		if err != nil || trailer.Kind == object.Dict {
			return trailer, err
		}
		if count > (d.size-next)/entrySize || first > object.MaxNumber {
			return object.Value{}, fmt.Errorf("%w: cross-reference subsection at byte %d is longer than the file", ErrDamaged, at)
		}
		if err := d.readEntries(next, first, count, add); err != nil {
			return object.Value{}, err
		}
		at = next + count*entrySize
	}
}

const entrySize = 20

// readEntries reads count fixed-length entries in pieces.
func (d *Document) readEntries(at, first, count int64, add func(int64, entry) error) error {
	const piece = 3200
	buf := make([]byte, min(piece, count)*entrySize)
	for i := int64(0); i < count; i += piece {
		buf = buf[:min(piece, count-i)*entrySize]
		if err := d.readInto(buf, at+i*entrySize); err != nil {
			return err
		}
		for j := range int64(len(buf) / entrySize) {
			e, ok := parseEntry(buf[j*entrySize:][:entrySize])
			if !ok {
				return fmt.Errorf("%w: cross-reference entry at byte %d is not of the 20 bytes that it must be", ErrDamaged, at+(i+j)*entrySize)
			}
			if err := add(first+i+j, e); err != nil {
				return err
			}
		}
	}
	return nil
}

// parseEntry reads "nnnnnnnnnn ggggg n" and its two-byte end of line.
func parseEntry(b []byte) (entry, bool) {
	at, err1 := strconv.ParseUint(string(b[:10]), 10, 63)
	gen, err2 := strconv.ParseUint(string(b[11:16]), 10, 17)
	end := string(b[18:])
	if err1 != nil || err2 != nil || b[10] != ' ' || b[16] != ' ' || (end != " \n" && end != " \r" && end != "\r\n") {
		return entry{}, false
	}
	switch {
	case b[17] == 'n' && gen <= 65535:
		return entry{at: int64(at), gen: uint32(gen), kind: inFile}, true
	case b[17] == 'f': // its generation is never used here; some writers put 65536
		return entry{kind: free}, true
	}
	return entry{}, false
}

// readXrefStream reads a cross-reference stream (ISO 32000-1 section 7.5.8) and returns its dictionary.
func (d *Document) readXrefStream(offset int64, add func(int64, entry) error) (object.Value, error) {
	_, dict, data, err := d.streamAt(offset)
	if err != nil {
		return object.Value{}, err
	}
	bad := func(what string) (object.Value, error) {
		return object.Value{}, fmt.Errorf("%w: cross-reference stream: %s", ErrDamaged, what)
	}
	if dict.Get("Type").Text != "XRef" {
		return bad("no /Type /XRef")
	}
	if dict.Get("Encrypt").Kind != object.Null { // said before its content is judged
		return object.Value{}, ErrEncrypted
	}
	w, ok := widths(dict.Get("W"))
	if !ok {
		return bad("/W is not three small numbers")
	}
	index := dict.Get("Index")
	if index.Kind == object.Null {
		index = object.Value{Kind: object.Array, Elems: []object.Value{{Kind: object.Integer}, dict.Get("Size")}}
	}
	if index.Kind != object.Array || len(index.Elems)%2 != 0 {
		return bad("/Index is not an array of pairs")
	}
	body, err := d.decode(dict, data)
	if err != nil {
		return object.Value{}, err
	}
	row := w[0] + w[1] + w[2]
	for i := 0; i < len(index.Elems); i += 2 {
		first, count := index.Elems[i], index.Elems[i+1]
		if first.Kind != object.Integer || count.Kind != object.Integer || first.Int < 0 || first.Int > object.MaxNumber || count.Int < 0 ||
			count.Int > int64(len(body)/row) {
			return bad("/Index and data do not fit together")
		}
		for n := first.Int; n < first.Int+count.Int; n++ {
			e, ok := parseRow(body[:row], w)
			if !ok {
				return bad("entry of object " + strconv.FormatInt(n, 10))
			}
			if err := add(n, e); err != nil {
				return object.Value{}, err
			}
			body = body[row:]
		}
	}
	return dict, nil // rows beyond /Index, which some writers leave there, mean nothing to anybody
}

func widths(v object.Value) (w [3]int, ok bool) {
	if v.Kind != object.Array || len(v.Elems) != 3 {
		return w, false
	}
	for i, e := range v.Elems {
		if e.Kind != object.Integer || e.Int < 0 || e.Int > 8 {
			return w, false
		}
		w[i] = int(e.Int)
	}
	return w, w[1] > 0
}

func parseRow(b []byte, w [3]int) (entry, bool) {
	number := func(n int) (v uint64) {
		for _, c := range b[:n] {
			v = v<<8 | uint64(c)
		}
		b = b[n:]
		return v
	}
	kind := uint64(1)
	if w[0] > 0 {
		kind = number(w[0])
	}
	second, third := number(w[1]), number(w[2])
	switch {
	case kind == 0:
		return entry{kind: free}, true // a free entry's generation is never used here
	case kind == 1 && second < MaxSize && third <= 65535:
		return entry{at: int64(second), gen: uint32(third), kind: inFile}, true
	case kind == 2 && second > 0 && second <= object.MaxNumber && third <= object.MaxNumber:
		return entry{at: int64(second), gen: uint32(third), kind: inStream}, true
	}
	// An unknown kind would read as null (ISO 32000-1 table 18), but readers take it for damage and repair the file.
	return entry{}, false
}

// checkObjects makes sure that every object in use begins where the newest section that names it says, that its number
// is below /Size, and that object streams are ordinary objects. A reader that finds otherwise rebuilds the sections
// by searching, and may find other objects than the ones meant.
func (d *Document) checkObjects() error {
	size := d.newest.trailer.Get("Size").Int
	for i, page := range d.objects {
		if page == nil {
			continue
		}
		for j, e := range page {
			n := i*pageSize + j
			switch {
			case e.kind == absent || e.kind == free:
			case n == 0 || int64(n) >= size:
				return fmt.Errorf("%w: object %d is not below the trailer's /Size %d", ErrDamaged, n, size)
			case e.kind == inStream && d.objects.get(int(e.at)).kind != inFile:
				return fmt.Errorf("%w: object %d is in object stream %d, which is not there", ErrDamaged, n, e.at)
			}
		}
	}
	return d.checkStarts(d.sorted(inFile)) // so that each part of the file is read at most once
}

// sorted returns the numbers of the objects of a kind in the order of the file, or of the object streams.
func (d *Document) sorted(kind entryKind) []int32 {
	numbers := make([]int32, 0, d.used) // 4 bytes an object, no more
	for i, page := range d.objects {
		if page == nil {
			continue
		}
		for j, e := range page {
			if e.kind == kind {
				numbers = append(numbers, int32(i*pageSize+j))
			}
		}
	}
	slices.SortFunc(numbers, func(a, b int32) int {
		x, y := d.objects.get(int(a)), d.objects.get(int(b))
		return cmp.Or(cmp.Compare(x.at, y.at), cmp.Compare(x.gen, y.gen))
	})
	return numbers
}

// checkStarts reads the beginnings of the objects, which are sorted by place: those that lie close together at once,
// those that lie apart without what is between.
func (d *Document) checkStarts(numbers []int32) error {
	const header = 48                       // room for "n g obj" with generous white space
	const window, apart = 32 << 10, 4 << 10 // a read of its own costs about as much as 4 KiB more to copy
	buf := make([]byte, 0, window)
	base, end := int64(0), int64(0) // what buf holds
	for i, n := range numbers {
		e := d.objects.get(int(n))
		ref := object.Ref{Number: int(n), Generation: int(e.gen)}
		if e.at >= d.size {
			return fmt.Errorf("%w: object %v would begin at byte %d, after the end of the file", ErrDamaged, ref, e.at)
		}
		if e.at+header > end && end < d.size {
			last := e.at
			for _, m := range numbers[i:] {
				next := d.objects.get(int(m)).at
				if next > last+apart || next > e.at+window-header {
					break
				}
				last = next
			}
			base, end = e.at, min(last+header, d.size)
			buf = buf[:end-base]
			if err := d.readInto(buf, base); err != nil {
				return err
			}
		}
		p := d.parser(buf[e.at-base:min(e.at-base+header, int64(len(buf)))], e.at)
		p.Final = true
		if got, err := p.Header(); err != nil || got != ref {
			return notThere(ref, e.at)
		}
	}
	return nil
}
