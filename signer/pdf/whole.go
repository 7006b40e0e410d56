package pdf

import (
	"errors"
	"fmt"

	"github.com/ecsigner/ecsigner/signer/pdf/object"
)

// checkWhole reads each object in use to its end, which for a stream is where its /Length says, whether it is needed or not.
// What is appended to a file with an object that has no end would become a part of it, and an object of which readers
// make what they can may be another one afterwards. It returns the numbers from next on that are referred to although no object has
// them: one that got such a number would appear where there was nothing.
func (d *Document) checkWhole(next int) (dangling map[int]bool, err error) {
	const most = 1 << 16
	dangling = map[int]bool{}
	refers := func(number int) {
		if number >= next && len(dangling) <= most {
			dangling[number] = true
		}
	}
	p := d.parser(d.newest.trailer.Raw, -1)
	p.Final, p.Refers = true, refers
	if _, _, err := p.Skip(); err != nil {
		return nil, err
	}
	if _, err := d.Part(d.newest.trailer.Get("Info"), object.Dict, "/Info"); err != nil {
		return nil, err
	}
	w := window{d: d, refers: refers}
	end := int64(0) // of the object before
	for _, n := range d.sorted(inFile) {
		e := d.objects.get(int(n))
		ref := object.Ref{Number: int(n), Generation: int(e.gen)}
		if e.at < end { // or each of many could hold all that follow
			return nil, inObject(ref, fmt.Errorf("%w: it begins at byte %d, inside the object before", ErrDamaged, e.at))
		}
		if end, err = w.object(e.at); err != nil {
			return nil, inObject(ref, err)
		}
	}
	if err := d.Apart(func() error { return d.checkStreams(refers) }); err != nil {
		return nil, err
	}
	if len(dangling) > most {
		return nil, fmt.Errorf("%w: more than %d references to objects that are not there", ErrTooLarge, most)
	}
	return dangling, nil
}

// window is the part of the file that was read last.
type window struct {
	d      *Document
	refers func(int)
	buf    []byte
	base   int64
}

// parse has f read at offset, with as much of the file as it needs. f may run several times.
func (w *window) parse(offset int64, f func(*object.Parser) error) error {
	parse := func(buf []byte) error {
		p := w.d.parser(buf, offset)
		p.Refers = w.refers
		return f(p)
	}
	if i := offset - w.base; i >= 0 && i < int64(len(w.buf)) {
		if err := parse(w.buf[i:]); !errors.Is(err, object.ErrMore) {
			return err
		}
	}
	return w.d.pieces(offset, 4096, func(buf []byte) error {
		w.buf, w.base = buf, offset
		return parse(buf)
	})
}

// object reads the object at offset and returns where it ends.
func (w *window) object(offset int64) (end int64, err error) {
	var length object.Value
	start := int64(-1) // of a stream's data
	err = w.parse(offset, func(p *object.Parser) error {
		if _, err := p.Header(); err != nil {
			return err
		}
		kind, l, err := p.Skip()
		if err != nil {
			return err
		}
		stream, err := p.End(kind == object.Dict)
		if end = offset + int64(p.Pos); err != nil || !stream {
			return err
		}
		length = l
		start, err = p.Data()
		return err
	})
	if err != nil || start < 0 {
		return end, err
	}
	if length, err = w.d.resolvePlain(length); err != nil {
		return 0, err
	}
	if length.Kind != object.Integer || length.Int < 0 || length.Int > w.d.size-start {
		return 0, fmt.Errorf("%w: /Length of its stream", ErrDamaged)
	}
	err = w.parse(start+length.Int, func(p *object.Parser) error {
		err := p.EndStream()
		end = start + length.Int + int64(p.Pos)
		return err
	})
	if err != nil {
		err = fmt.Errorf("behind its /Length: %w", err)
	}
	return end, err
}

func inObject(ref object.Ref, err error) error {
	if err != nil {
		err = fmt.Errorf("object %v: %w", ref, err)
	}
	return err
}

// checkStreams reads each object in use that stands in an object stream. A stream is decoded for it and forgotten.
func (d *Document) checkStreams(refers func(int)) error {
	var s *objectStream
	container, work := -1, 0
	for _, n := range d.sorted(inStream) {
		e := d.objects.get(int(n))
		if int(e.at) != container {
			var err error
			container = int(e.at)
			if s, err = d.readObjectStream(container); err != nil {
				return fmt.Errorf("object stream %d: %w", container, err)
			}
			work = 2 * len(s.data)
		}
		at, err := s.offset(int(n), int(e.gen))
		if err == nil {
			p := d.parser(s.data, -1)
			p.Pos, p.Final, p.Refers = at, true, refers
			_, _, err = p.Skip()
			if work -= p.Pos - at; work < 0 {
				err = fmt.Errorf("%w: its objects lie in each other", ErrDamaged)
			}
		}
		if err != nil {
			return fmt.Errorf("object %d in object stream %d: %w", n, container, err)
		}
	}
	return nil
}
