package pdf

import (
	"errors"
	"fmt"
)

// checkWhole reads each object in use to its end, which for a stream is where its /Length says, whether it is needed or not.
// What is appended to a file with an object that has no end would become a part of it, and an object of which readers
// make what they can may be another one afterwards.
func (d *Document) checkWhole() error {
	w := window{d: d}
	for _, n := range d.sorted(inFile) {
		if err := w.object(Ref{int(n), int(d.objects.get(int(n)).gen)}, d.objects.get(int(n)).at); err != nil {
			return err
		}
	}
	return d.checkStreams()
}

// window is the part of the file that was read last.
type window struct {
	d    *Document
	buf  []byte
	base int64
}

// parse has f read at offset, with as much of the file as it needs. f may run several times.
func (w *window) parse(offset int64, f func(*parser) error) error {
	if i := offset - w.base; i >= 0 && i < int64(len(w.buf)) {
		if err := f(w.d.parser(w.buf[i:], offset)); !errors.Is(err, errMore) {
			return err
		}
	}
	for n := int64(4096); ; n *= 4 {
		buf, err := w.d.read(offset, min(n, w.d.lim.ObjectSize))
		if err != nil {
			return err
		}
		w.buf, w.base = buf, offset
		if err = f(w.d.parser(buf, offset)); !errors.Is(err, errMore) {
			return err
		}
		if n >= w.d.lim.ObjectSize {
			return fmt.Errorf("%w: object at byte %d is longer than %d bytes", ErrTooLarge, offset, w.d.lim.ObjectSize)
		}
	}
}

func (w *window) object(ref Ref, offset int64) error {
	var length Value
	start := int64(-1) // of a stream's data
	err := w.parse(offset, func(p *parser) error {
		if _, err := p.header(); err != nil {
			return err
		}
		kind, l, err := p.skip()
		if err != nil {
			return err
		}
		stream, err := p.end(kind == Dict)
		if err != nil || !stream {
			return err
		}
		length = l
		start, err = p.data()
		return err
	})
	if err != nil || start < 0 {
		return inObject(ref, err)
	}
	if length, err = w.d.resolvePlain(length); err != nil {
		return inObject(ref, err)
	}
	if length.Kind != Integer || length.Int < 0 || length.Int > w.d.size-start {
		return inObject(ref, fmt.Errorf("%w: /Length of its stream", ErrDamaged))
	}
	err = w.parse(start+length.Int, func(p *parser) error {
		if err := p.keyword("endstream"); err != nil {
			return err
		}
		return p.keyword("endobj")
	})
	if err != nil {
		err = fmt.Errorf("behind its /Length: %w", err)
	}
	return inObject(ref, err)
}

func inObject(ref Ref, err error) error {
	if err != nil {
		err = fmt.Errorf("object %v: %w", ref, err)
	}
	return err
}

// checkStreams reads each object in use that stands in an object stream. A stream is decoded for it and forgotten.
func (d *Document) checkStreams() error {
	kept := d.budget
	defer func() { d.budget = kept }()
	d.budget = d.lim.StreamSize
	var s *objectStream
	container := -1
	for _, n := range d.sorted(inStream) {
		e := d.objects.get(int(n))
		if int(e.at) != container {
			var err error
			container = int(e.at)
			if s, err = d.readObjectStream(container); err != nil {
				return fmt.Errorf("object stream %d: %w", container, err)
			}
		}
		at, err := s.offset(int(n), int(e.gen))
		if err == nil {
			p := d.parser(s.data, -1)
			p.pos, p.final = at, true
			_, _, err = p.skip()
		}
		if err != nil {
			return fmt.Errorf("object %d in object stream %d: %w", n, container, err)
		}
	}
	return nil
}
