package cms

import (
	"bytes"
	"fmt"
	"slices"
)

// DER returns the distinguished encoding of one BER element (X.690 section 10): definite and shortest lengths, strings
// in one piece, sets sorted, true as 0xff. Contents of context-specific and of other primitive types stay as they are.
func DER(ber []byte) ([]byte, error) { return transcode(ber, false) }

// Definite returns one BER element with definite lengths and strings in one piece, and each element in it that has that
// already as it stands, sorted or not: what is signed or hashed in there keeps its octets.
func Definite(ber []byte) ([]byte, error) { return transcode(ber, true) }

func transcode(ber []byte, keep bool) ([]byte, error) {
	t := &transcoder{keep: keep, p: &parser{src: &source{mem: ber, size: int64(len(ber))}, limits: Limits{}.orDefault()}}
	out := t.element(make([]byte, 0, len(ber)), int64(len(ber)), 0)
	if t.p.err == nil && t.p.pos != int64(len(ber)) {
		t.p.fail(ErrMalformed, t.p.pos, "element", "goes on behind its end")
	}
	if t.p.err != nil {
		return nil, t.p.err
	}
	return out, nil
}

type transcoder struct {
	p    *parser
	keep bool // as Definite says
}

// element appends what is at the position to out, encoded anew.
func (t *transcoder) element(out []byte, limit int64, depth int) []byte {
	const what = "element"
	p := t.p
	e := p.header(limit, what)
	if p.err != nil {
		return out
	}
	tag := p.src.mem[e.off : e.off+1]
	for n := int64(1); tag[0]&0x1f == 0x1f && n < e.head; n++ { // of several octets
		tag = p.src.mem[e.off : e.off+n+1]
		if tag[n]&0x80 == 0 {
			break
		}
	}
	switch {
	case depth > maxDepth:
		p.fail(ErrLimit, e.off, what, "is nested too deeply")
		return out
	case e.tag == 0:
		p.fail(ErrMalformed, e.off, what, "is an end that nothing began")
		return out
	case e.tag&constructed == 0:
		value := p.src.mem[e.body():e.bodyEnd()]
		p.pos = e.end()
		if t.keep {
			return append(out, p.src.mem[e.off:e.end()]...)
		}
		out = appendLength(append(out, tag...), e.length, 0)
		if e.tag == 1 && len(value) == 1 && value[0] != 0 {
			return append(out, 0xff)
		}
		return append(out, value...)
	case isString(e.tag):
		value := t.pieces(nil, e, depth)
		return append(appendLength(append(out, tag[0]&^constructed), int64(len(value)), 0), value...)
	}
	p.pos = e.body()
	var parts [][]byte
	size := 0
	for p.next(e) != 0 {
		part := t.element(nil, p.limit(e), depth+1)
		size += len(part)
		parts = append(parts, part)
	}
	p.close(&e, what)
	if t.keep && p.err == nil && !e.indefinite && bytes.Equal(slices.Concat(parts...), p.src.mem[e.body():e.bodyEnd()]) {
		return append(out, p.src.mem[e.off:e.end()]...)
	}
	if e.tag == tagSet && !t.keep {
		slices.SortFunc(parts, bytes.Compare)
	}
	out = appendLength(append(out, tag...), int64(size), 0)
	for _, part := range parts {
		out = append(out, part...)
	}
	return out
}

// isString reports whether tag is a constructed string of a universal type.
func isString(tag byte) bool {
	switch n := tag &^ constructed; {
	case tag&0xc0 != 0:
		return false
	case n == 3, n == tagOctets, n == 12, n >= 18 && n <= 30:
		return true
	}
	return false
}

// pieces appends the octets of a constructed string to value. Of the pieces of a BIT STRING only the last may have unused
// bits, and only the first octet of the result says how many.
func (t *transcoder) pieces(value []byte, e element, depth int) []byte {
	const what = "string"
	p := t.p
	if depth > maxDepth {
		p.fail(ErrLimit, e.off, what, "is nested too deeply")
		return nil
	}
	p.pos = e.body()
	for p.next(e) != 0 {
		piece := p.header(p.limit(e), what)
		want := e.tag &^ constructed
		switch {
		case p.err != nil:
		case piece.tag == want && want != 3:
			value = append(value, p.src.mem[piece.body():piece.bodyEnd()]...)
			p.pos = piece.end()
		case piece.tag == want && piece.length > 0 && (len(value) == 0 || value[0] == 0):
			bits := p.src.mem[piece.body():piece.bodyEnd()]
			if len(value) == 0 {
				value = append(value, 0)
			}
			value[0] = bits[0]
			value = append(value, bits[1:]...)
			p.pos = piece.end()
		case piece.tag == e.tag:
			value = t.pieces(value, piece, depth+1)
		default:
			p.fail(ErrMalformed, piece.off, what, fmt.Sprintf("a piece has tag %#02x", piece.tag))
		}
	}
	p.close(&e, what)
	return value
}
