package pdf

import (
	"compress/zlib"
	"fmt"
	"io"

	"github.com/ecsigner/ecsigner/signer/pdf/object"
)

// Load returns an indirect object. An object that does not exist is Null (ISO 32000-1 section 7.3.10). A reference to another
// generation of one that does exist is damaged: some readers ignore the generation, others search the file for it.
func (d *Document) Load(ref object.Ref) (Object, error) {
	o := Object{Ref: ref}
	e := d.objects.get(ref.Number)
	switch e.kind {
	case inFile:
		if int(e.gen) != ref.Generation {
			return o, otherGeneration(ref, int(e.gen))
		}
		err := d.at(e.at, func(p *object.Parser) error {
			got, err := p.Header()
			if err != nil {
				return err
			}
			if got != ref {
				return p.Fail(p.Pos, "object "+ref.String()+" expected before")
			}
			if o.Value, err = p.Value(); err != nil {
				return err
			}
			o.Stream, err = p.End(o.Value.Kind == object.Dict)
			return err
		})
		return o, err
	case inStream:
		if ref.Generation != 0 {
			return o, otherGeneration(ref, 0)
		}
		var err error
		o.Value, err = d.loadFromStream(ref.Number, int(e.at), int(e.gen))
		return o, err
	}
	return o, nil
}

func otherGeneration(ref object.Ref, there int) error {
	return fmt.Errorf("%w: %v is referred to, and object %d has generation %d", ErrDamaged, ref, ref.Number, there)
}

// Resolve follows a reference to its value; any other value is returned as it is. A reference to a reference is not
// allowed in PDF and reads as damaged.
func (d *Document) Resolve(v object.Value) (object.Value, error) {
	if v.Kind != object.Reference {
		return v, nil
	}
	o, err := d.Load(v.Ref)
	if err != nil {
		return object.Value{}, err
	}
	if o.Value.Kind == object.Reference {
		return object.Value{}, fmt.Errorf("%w: object %v is itself a reference", ErrDamaged, v.Ref)
	}
	return o.Value, nil
}

// Part loads a value that may be an object of its own and must be of one kind, or Null. what names it in errors; one of another
// kind is ErrDamaged. An absent one is the zero Object, and one that is no object of its own has no Ref.
func (d *Document) Part(v object.Value, want object.Kind, what string) (Object, error) {
	o := Object{Value: v}
	if v.Kind == object.Reference {
		var err error
		if o, err = d.Load(v.Ref); err != nil {
			return o, fmt.Errorf("%s: %w", what, err)
		}
	}
	switch {
	case o.Value.Kind == object.Null:
		return Object{}, nil // a reference to nothing counts as absent
	case o.Value.Kind != want || o.Stream:
		return o, fmt.Errorf("%w: %s is of the wrong type", ErrDamaged, what)
	}
	return o, nil
}

// resolvePlain resolves a value that is needed to read a stream. It may not itself stand in an object stream: that one
// could be the stream being read. While cross-reference sections are read, every reference is null.
func (d *Document) resolvePlain(v object.Value) (object.Value, error) {
	if v.Kind == object.Reference && d.objects.get(v.Ref.Number).kind == inStream {
		return object.Value{}, fmt.Errorf("%w: %v describes a stream from inside an object stream", ErrDamaged, v.Ref)
	}
	return d.Resolve(v)
}

// streamAt reads the header and dictionary of the stream object at offset and finds its encoded data.
func (d *Document) streamAt(offset int64) (object.Ref, object.Value, *io.SectionReader, error) {
	var ref object.Ref
	var dict object.Value
	var start int64
	err := d.at(offset, func(p *object.Parser) (err error) {
		if ref, err = p.Header(); err != nil {
			return err
		}
		if dict, err = p.Value(); err != nil {
			return err
		}
		if err := p.Keyword("stream"); err != nil {
			return err
		}
		start, err = p.Data()
		return err
	})
	if err != nil {
		return ref, dict, nil, err
	}
	if dict.Kind != object.Dict {
		return ref, dict, nil, fmt.Errorf("%w: stream at byte %d has no dictionary", ErrDamaged, offset)
	}
	length, err := d.resolvePlain(dict.Get("Length"))
	if err != nil {
		return ref, dict, nil, err
	}
	if length.Kind != object.Integer || length.Int < 0 || length.Int > d.size-start {
		return ref, dict, nil, fmt.Errorf("%w: /Length of the stream at byte %d", ErrDamaged, offset)
	}
	err = d.at(start+length.Int, (*object.Parser).EndStream)
	if err != nil {
		return ref, dict, nil, fmt.Errorf("/Length of the stream at byte %d: %w", offset, err)
	}
	return ref, dict, io.NewSectionReader(d.r, start, length.Int), nil
}

// decode undoes the filter of a cross-reference or object stream: none or one FlateDecode.
func (d *Document) decode(dict object.Value, data *io.SectionReader) ([]byte, error) {
	one := func(key string) (object.Value, error) {
		v, err := d.resolvePlain(dict.Get(key))
		if err != nil || v.Kind != object.Array {
			return v, err
		}
		if len(v.Elems) > 1 {
			return object.Value{}, fmt.Errorf("%w: stream with several filters", ErrUnsupported)
		}
		if len(v.Elems) == 0 {
			return object.Value{}, nil
		}
		return d.resolvePlain(v.Elems[0])
	}
	filter, err := one("Filter")
	if err != nil {
		return nil, err
	}
	params, err := one("DecodeParms")
	if err != nil {
		return nil, err
	}
	var src io.Reader = data
	switch {
	case filter.Kind == object.Null:
	case filter.Kind == object.Name && filter.Text == "FlateDecode":
		z, err := zlib.NewReader(data)
		if err != nil {
			return nil, fmt.Errorf("%w: compressed stream: %w", ErrDamaged, err)
		}
		src = z
	default:
		return nil, fmt.Errorf("%w: filter %q of a structural stream", ErrUnsupported, filter.Text)
	}
	out, err := io.ReadAll(io.LimitReader(src, d.budget+1))
	if err != nil {
		return nil, fmt.Errorf("%w: compressed stream: %w", ErrDamaged, err)
	}
	if d.budget -= int64(len(out)); d.budget < 0 {
		return nil, fmt.Errorf("%w: decoded streams take more than %d bytes", ErrTooLarge, d.lim.StreamSize)
	}
	return object.Unpredict(out, params)
}

// objectStream is a decoded object stream (ISO 32000-1 section 7.5.7).
type objectStream struct {
	data    []byte
	numbers []int64
	offsets []int64
}

// offset finds an object in the decoded data, by number and index alike.
func (s *objectStream) offset(number, index int) (int, error) {
	if index >= len(s.numbers) || s.numbers[index] != int64(number) {
		return 0, fmt.Errorf("%w: object %d is not number %d of it", ErrDamaged, number, index)
	}
	return int(s.offsets[index]), nil
}

func (d *Document) loadFromStream(number, container, index int) (object.Value, error) {
	s, err := d.objectStream(container)
	if err != nil {
		return object.Value{}, fmt.Errorf("object stream %d: %w", container, err)
	}
	at, err := s.offset(number, index)
	if err != nil {
		return object.Value{}, fmt.Errorf("object stream %d: %w", container, err)
	}
	p := d.parser(s.data, -1)
	p.Pos, p.Final = at, true
	v, err := p.Value()
	if tired := d.parsed(p, at); tired != nil {
		return object.Value{}, tired
	}
	if err != nil {
		return object.Value{}, fmt.Errorf("object %d in object stream %d: %w", number, container, err)
	}
	return v, nil
}

func (d *Document) objectStream(number int) (*objectStream, error) {
	if s := d.streams[number]; s != nil {
		return s, nil
	}
	s, err := d.readObjectStream(number)
	if err == nil {
		d.streams[number] = s
	}
	return s, err
}

func (d *Document) readObjectStream(number int) (*objectStream, error) {
	e := d.objects.get(number)
	if e.kind != inFile {
		return nil, fmt.Errorf("%w: not an object of its own", ErrDamaged)
	}
	ref, dict, data, err := d.streamAt(e.at)
	if err != nil {
		return nil, err
	}
	count, first := dict.Get("N"), dict.Get("First")
	if ref.Number != number || dict.Get("Type").Text != "ObjStm" || count.Kind != object.Integer || first.Kind != object.Integer ||
		count.Int < 0 || count.Int > int64(d.lim.Objects) || first.Int < 0 {
		return nil, fmt.Errorf("%w: not an object stream", ErrDamaged)
	}
	s := &objectStream{}
	if s.data, err = d.decode(dict, data); err != nil {
		return nil, err
	}
	if first.Int > int64(len(s.data)) || count.Int > first.Int {
		return nil, fmt.Errorf("%w: /N or /First lies outside the stream", ErrDamaged)
	}
	p := d.parser(s.data[:first.Int], -1)
	p.Final = true
	seen := map[int64]bool{}
	for range count.Int {
		n, err := p.Integer()
		if err != nil {
			return nil, err
		}
		if seen[n] { // some readers go by the index in it, others take the last one
			return nil, fmt.Errorf("%w: object %d stands twice in it", ErrDamaged, n)
		}
		seen[n] = true
		at, err := p.Integer()
		if err != nil {
			return nil, err
		}
		if at > int64(len(s.data))-first.Int {
			return nil, fmt.Errorf("%w: object %d lies outside the stream", ErrDamaged, n)
		}
		s.numbers, s.offsets = append(s.numbers, n), append(s.offsets, first.Int+at)
	}
	return s, nil
}

// Bytes returns n bytes of the file from offset on; a shorter file is damaged.
func (d *Document) Bytes(offset, n int64) ([]byte, error) {
	if n < 0 || offset < 0 || offset > d.size-n || n > d.lim.StreamSize {
		return nil, fmt.Errorf("%w: bytes %d to %d lie outside the file", ErrDamaged, offset, offset+n)
	}
	if n == 0 {
		return nil, nil
	}
	return d.read(offset, n)
}
