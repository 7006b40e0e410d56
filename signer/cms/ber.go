package cms

import (
	"encoding/asn1"
	"fmt"
	"io"
	"math"
)

// Identifier octets.
const (
	tagInteger  = 0x02
	tagOctets   = 0x04
	tagOID      = 0x06
	tagSequence = 0x30
	tagSet      = 0x31
	constructed = 0x20
	tagContext0 = 0xa0
	tagContext1 = 0xa1
)

// maxDepth bounds the nesting of elements of indefinite length, and of all elements that are encoded anew.
const maxDepth = 64

// source is a file of which the end, from base on, is in memory.
type source struct {
	r      io.ReaderAt
	size   int64
	mem    []byte
	base   int64
	window []byte // what was read last, from start on
	start  int64
}

// fork returns a source for another reader, which may run at the same time.
func (s *source) fork() *source {
	return &source{r: s.r, size: s.size, mem: s.mem, base: s.base}
}

// load takes everything from off on into memory.
func (s *source) load(off int64) error {
	mem := make([]byte, s.size-off)
	if _, err := io.ReadFull(io.NewSectionReader(s.r, off, s.size-off), mem); err != nil {
		return fmt.Errorf("cms: reading at %d: %w", off, err)
	}
	s.mem, s.base = mem, off
	return nil
}

// slice returns n octets at off, which lie in the file.
func (s *source) slice(off, n int64) ([]byte, error) {
	if off >= s.base {
		return s.mem[off-s.base:][:n:n], nil
	}
	b := make([]byte, n)
	if m, err := s.r.ReadAt(b, off); m < len(b) {
		return nil, fmt.Errorf("cms: reading at %d: %w", off, err)
	}
	return b, nil
}

// peek returns at most n octets at off, for the moment.
func (s *source) peek(off, n int64) ([]byte, error) {
	n = min(n, s.size-off)
	if off >= s.base {
		return s.mem[off-s.base:][:n], nil
	}
	if off < s.start || off+n > s.start+int64(len(s.window)) {
		s.window = append(s.window[:0], make([]byte, min(512, s.size-off))...)
		if m, err := s.r.ReadAt(s.window, off); m < len(s.window) {
			s.window = nil
			return nil, fmt.Errorf("cms: reading at %d: %w", off, err)
		}
		s.start = off
	}
	return s.window[off-s.start:][:n], nil
}

func (s *source) section(off, n int64) *io.SectionReader {
	if off >= s.base {
		return io.NewSectionReader(byteReader(s.mem[off-s.base:][:n]), 0, n)
	}
	return io.NewSectionReader(s.r, off, n)
}

type byteReader []byte

func (b byteReader) ReadAt(p []byte, off int64) (int, error) {
	if off >= int64(len(b)) {
		return 0, io.EOF
	}
	n := copy(p, b[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// element is where a tag, a length and contents lie.
type element struct {
	off, head  int64 // place and number of the identifier and length octets
	length     int64 // of the contents; of indefinite length: known when closed
	tag        byte  // identifier octet
	indefinite bool
}

func (e element) present() bool  { return e.head > 0 }
func (e element) body() int64    { return e.off + e.head }
func (e element) bodyEnd() int64 { return e.off + e.head + e.length }

// end is behind the end-of-contents octets.
func (e element) end() int64 {
	if e.indefinite {
		return e.bodyEnd() + 2
	}
	return e.bodyEnd()
}

// parser walks forward through a source. After the first error it stands still.
type parser struct {
	src    *source
	pos    int64
	limits Limits
	loaded int64 // octets copied to memory piece by piece
	err    error
}

func (p *parser) fail(kind error, off int64, what, why string) {
	if p.err == nil {
		p.err = fmt.Errorf("%w at byte %d: %s: %s", kind, off, what, why)
	}
}

// header reads identifier and length octets at the position, which it does not move. limit is where the container ends,
// as far as it is known.
func (p *parser) header(limit int64, what string) (e element) {
	if p.err != nil {
		return e
	}
	if p.pos >= limit {
		p.fail(ErrMalformed, p.pos, what, "is missing")
		return e
	}
	b, err := p.src.peek(p.pos, min(24, limit-p.pos))
	if err != nil {
		p.err = err
		return e
	}
	tag, n, length, why := readHeader(b)
	if why != "" {
		p.fail(ErrMalformed, p.pos, what, why)
		return e
	}
	e = element{off: p.pos, head: int64(n), length: length, tag: tag}
	if length < 0 {
		e.indefinite, e.length = true, 0
	} else if length > limit-p.pos-e.head {
		p.fail(ErrMalformed, p.pos, what, "is longer than what it is in")
	}
	return e
}

// readHeader decodes identifier and length octets; length is -1 when it is indefinite.
func readHeader(b []byte) (tag byte, n int, length int64, why string) {
	tag, n = b[0], 1
	if tag&0x1f == 0x1f { // tag numbers from 31 on are foreign here; they are only passed over
		for n < len(b) && b[n]&0x80 != 0 {
			if n == 1 && b[n] == 0x80 || n == 4 { // X.690 section 8.1.2.4.2 c; OpenSSL and Bouncy Castle have 32 bits for it
				return 0, 0, 0, "has a tag of too many octets"
			}
			n++
		}
		n++
	}
	if n >= len(b) {
		return 0, 0, 0, "is cut off"
	}
	first := b[n]
	n++
	switch {
	case first < 0x80:
		return tag, n, int64(first), ""
	case first == 0x80:
		if tag&constructed == 0 {
			return 0, 0, 0, "is primitive and of indefinite length"
		}
		return tag, n, -1, ""
	case first > 0x80+8:
		return 0, 0, 0, "has a length of too many octets"
	}
	for range first & 0x7f {
		if n >= len(b) {
			return 0, 0, 0, "is cut off"
		}
		if length > math.MaxInt64>>9 {
			return 0, 0, 0, "is too long"
		}
		length = length<<8 | int64(b[n])
		n++
	}
	return tag, n, length, ""
}

// limit is where e ends, or the file, if that is known only when it is closed.
func (p *parser) limit(e element) int64 {
	if e.indefinite {
		return p.src.size
	}
	return e.bodyEnd()
}

// open enters a constructed element of the wanted tag.
func (p *parser) open(tag byte, limit int64, what string) element {
	if p.err == nil && p.pos < limit {
		if b, err := p.src.peek(p.pos, 1); err == nil && b[0] != tag {
			p.fail(ErrMalformed, p.pos, what, fmt.Sprintf("has tag %#02x, not %#02x", b[0], tag))
		}
	}
	e := p.header(limit, what)
	p.pos = e.body()
	return e
}

// next returns the tag of what comes next in e, 0 when nothing does.
func (p *parser) next(e element) byte {
	if p.err != nil {
		return 0
	}
	limit := p.limit(e)
	if p.pos >= limit {
		return 0 // an element of indefinite length that is never closed is found by close
	}
	b, err := p.src.peek(p.pos, min(2, limit-p.pos))
	if err != nil {
		p.err = err
		return 0
	}
	return b[0]
}

// close leaves e, which must end here.
func (p *parser) close(e *element, what string) {
	switch {
	case p.err != nil:
	case !e.indefinite:
		if p.pos != e.bodyEnd() {
			p.fail(ErrMalformed, p.pos, what, "holds more than it may")
		}
	default:
		b, err := p.src.peek(p.pos, 2)
		if err != nil {
			p.err = err
			return
		}
		if len(b) < 2 || b[0] != 0 || b[1] != 0 {
			p.fail(ErrMalformed, p.pos, what, "does not end here")
			return
		}
		e.length = p.pos - e.body()
		p.pos += 2
	}
}

// skip passes over one element, whatever is in it, and returns where it lies.
func (p *parser) skip(limit int64, what string) element {
	first := p.header(limit, what)
	e := first
	for depth := 0; p.err == nil; e = p.header(limit, what) {
		p.pos = e.body()
		switch {
		case e.indefinite:
			if depth++; depth > maxDepth {
				p.fail(ErrLimit, e.off, what, "is nested too deeply")
			}
		case e.tag == 0:
			if depth--; depth < 0 || e.length != 0 || e.head != 2 {
				p.fail(ErrMalformed, e.off, what, "holds an end that nothing began")
			}
		default:
			p.pos = e.bodyEnd()
		}
		if depth == 0 {
			break
		}
	}
	if first.indefinite {
		first.length = p.pos - 2 - first.body()
	}
	return first
}

// raw passes over one element and returns its octets.
func (p *parser) raw(limit int64, what string) []byte {
	e := p.skip(limit, what)
	return p.bytes(e.off, e.end()-e.off, what)
}

func (p *parser) bytes(off, n int64, what string) []byte {
	if p.err != nil {
		return nil
	}
	if off < p.src.base {
		if p.loaded += n; p.loaded > p.limits.Structure {
			p.fail(ErrLimit, off, what, "is too long")
			return nil
		}
	}
	b, err := p.src.slice(off, n)
	if err != nil {
		p.err = err
	}
	return b
}

// typed is raw for an element of the wanted tag.
func (p *parser) typed(tag byte, limit int64, what string) []byte {
	off := p.pos
	b := p.raw(limit, what)
	if p.err == nil && b[0] != tag {
		p.fail(ErrMalformed, off, what, fmt.Sprintf("has tag %#02x, not %#02x", b[0], tag))
	}
	return b
}

func (p *parser) oid(limit int64, what string) (oid asn1.ObjectIdentifier, raw []byte) {
	off := p.pos
	raw = p.typed(tagOID, limit, what)
	if p.err != nil {
		return nil, nil
	}
	if rest, err := asn1.Unmarshal(raw, &oid); err != nil || len(rest) > 0 {
		p.fail(ErrMalformed, off, what, "is no object identifier")
	}
	return oid, raw
}

// small reads an INTEGER from 0 to 127 and returns its octets too.
func (p *parser) small(limit int64, what string) (int, []byte) {
	off := p.pos
	b := p.typed(tagInteger, limit, what)
	if p.err == nil && (len(b) != 3 || b[2] > 127) {
		p.fail(ErrMalformed, off, what, "is no small number")
	}
	if p.err != nil {
		return 0, nil
	}
	return int(b[2]), b
}

// wrap encodes an element around the parts.
func wrap(tag byte, parts ...[]byte) []byte {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	out := append(make([]byte, 0, n+10), tag)
	out = appendLength(out, int64(n), 0)
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

// appendLength appends length octets: octets of them behind the first in the long form, if that many suffice, else as
// few as DER wants.
func appendLength(out []byte, n int64, octets int) []byte {
	need := 0
	for v := n; v > 0; v >>= 8 {
		need++
	}
	if octets < need {
		octets = need
		if n < 0x80 {
			return append(out, byte(n))
		}
	}
	if octets == 0 {
		return append(out, byte(n))
	}
	out = append(out, 0x80|byte(octets))
	for i := octets - 1; i >= 0; i-- {
		out = append(out, byte(n>>(8*i)))
	}
	return out
}
