package pdf

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// Kind is the type of a Value (ISO 32000-1 section 7.3).
type Kind uint8

// The kinds. A missing object reads as Null.
const (
	Null Kind = iota
	Bool
	Integer
	Real
	String
	Name
	Array
	Dict
	Reference
)

// Ref names an indirect object.
type Ref struct {
	Number, Generation int
}

// String returns the reference as written in a file, such as "12 0 R".
func (r Ref) String() string { return fmt.Sprintf("%d %d R", r.Number, r.Generation) }

// Value is one parsed object with the exact bytes it was read from, so that what is not changed is never written anew.
type Value struct {
	Kind    Kind
	Raw     []byte  // as in the file, from the first to the last byte of the token or container
	Pos     int64   // offset of Raw in the file, -1 inside an object stream
	Int     int64   // Integer
	Text    string  // Name without '/', decoded; String, decoded bytes
	Ref     Ref     // Reference
	Elems   []Value // Array
	Entries []Entry // Dict, in file order, keys unique
	start   int     // of Raw in the buffer it was parsed from
	end     int
}

// Entry is one key of a dictionary.
type Entry struct {
	Key   string // decoded, without '/'
	Value Value
}

// Get returns the direct value of a key, and Null when the key or the dictionary is not there.
func (v Value) Get(key string) Value {
	for i := range v.Entries {
		if v.Entries[i].Key == key {
			return v.Entries[i].Value
		}
	}
	return Value{}
}

// With returns dictionary v with key set to raw, the bytes of a complete object; every other byte of v.Raw stays as it
// is. The key is written as it is and must need no escapes.
func (v Value) With(key string, raw []byte) Value {
	from, to, label := len(v.Raw)-len(">>"), len(v.Raw)-len(">>"), " /"+key+" "
	for _, e := range v.Entries {
		if e.Key == key {
			from, to, label = e.Value.start-v.start, e.Value.end-v.start, " "
		}
	}
	// Blanks around it keep tokens apart whatever stood there before.
	out := Value{Kind: Dict, Pos: -1, Raw: bytes.Join([][]byte{v.Raw[:from], []byte(label), raw, []byte(" "), v.Raw[to:]}, nil)}
	shift := len(out.Raw) - len(v.Raw)
	for _, e := range v.Entries {
		switch e.Value.start -= v.start; {
		case e.Key == key:
			continue
		case e.Value.start >= to:
			e.Value.start += shift
			e.Value.end += shift
		}
		e.Value.end -= v.start
		out.Entries = append(out.Entries, e)
	}
	start := from + len(label)
	out.Entries = append(out.Entries, Entry{key, Value{Raw: raw, Pos: -1, start: start, end: start + len(raw)}})
	out.end = len(out.Raw)
	return out
}

// Append returns the bytes of array v with one more element at its end.
func (v Value) Append(raw []byte) []byte {
	n := len(v.Raw) - len("]")
	return bytes.Join([][]byte{v.Raw[:n], []byte(" "), raw, v.Raw[n:]}, nil)
}

// errMore says that the buffer ended inside the object; the caller reads more of the file and parses again.
var errMore = errors.New("object goes on beyond the buffer")

// parser reads objects from buf, whose first byte stands at base in the file (base -1: object stream). final says that
// nothing follows buf in the file.
type parser struct {
	buf    []byte
	pos    int
	base   int64
	depth  int // levels of nesting left
	values int // values left
	final  bool
	refers func(number int) // told of references that are skipped, of some more than once; may be nil
}

// The classes of characters (ISO 32000-1 section 7.2.2).
const (
	regular = iota
	space
	delimiter
)

var classes = func() (table [256]uint8) {
	for _, c := range []byte("\x00\t\n\f\r ") {
		table[c] = space
	}
	for _, c := range []byte("()<>[]{}/%") {
		table[c] = delimiter
	}
	return table
}()

func isSpace(c byte) bool   { return classes[c] == space }
func isRegular(c byte) bool { return classes[c] == regular }

// fail reports bad syntax at byte at of the buffer, or that the buffer ended before the syntax could be judged.
func (p *parser) fail(at int, what string) error {
	switch {
	case p.pos >= len(p.buf) && !p.final:
		return errMore
	case p.base < 0:
		return fmt.Errorf("%w: %s at byte %d of an object stream", ErrDamaged, what, at)
	}
	return fmt.Errorf("%w: %s at byte %d", ErrDamaged, what, p.base+int64(at))
}

// space skips white space and comments.
func (p *parser) space() {
	for p.pos < len(p.buf) {
		switch c := p.buf[p.pos]; {
		case isSpace(c):
			p.pos++
		case c == '%':
			for p.pos < len(p.buf) && p.buf[p.pos] != '\n' && p.buf[p.pos] != '\r' {
				p.pos++
			}
		default:
			return
		}
	}
}

// word reads a run of regular characters.
func (p *parser) word() []byte {
	from := p.pos
	for p.pos < len(p.buf) && isRegular(p.buf[p.pos]) {
		p.pos++
	}
	return p.buf[from:p.pos]
}

// next skips white space and reads a run of regular characters that surely ends in the buffer.
func (p *parser) next() (from int, word []byte, err error) {
	p.space()
	from = p.pos // in a statement of its own: operands are read in any order beside a call
	word = p.word()
	if p.pos >= len(p.buf) && !p.final {
		err = errMore
	}
	return from, word, err
}

// keyword skips white space and reads exactly this word.
func (p *parser) keyword(want string) error {
	from, w, err := p.next()
	if err == nil && string(w) != want {
		err = p.fail(from, "no "+strconv.Quote(want))
	}
	return err
}

// integer skips white space and reads an unsigned integer.
func (p *parser) integer() (int64, error) {
	from, w, err := p.next()
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(string(w), 10, 63)
	if err != nil {
		return 0, p.fail(from, "no number")
	}
	return int64(n), nil
}

// value reads one object.
func (p *parser) value() (Value, error) {
	p.space()
	if p.pos >= len(p.buf) {
		return Value{}, p.fail(p.pos, "no object")
	}
	if p.depth <= 0 {
		return Value{}, fmt.Errorf("%w: objects are nested too deep at byte %d", ErrTooLarge, p.base+int64(p.pos))
	}
	if p.values--; p.values < 0 {
		return Value{}, fmt.Errorf("%w: one object has too many parts, at byte %d", ErrTooLarge, p.base+int64(p.pos))
	}
	p.depth--
	defer func() { p.depth++ }()
	start := p.pos
	v, err := p.token()
	if err != nil {
		return Value{}, err
	}
	v.start, v.end, v.Raw, v.Pos = start, p.pos, p.buf[start:p.pos:p.pos], -1
	if p.base >= 0 {
		v.Pos = p.base + int64(start)
	}
	return v, nil
}

func (p *parser) token() (Value, error) {
	switch c := p.buf[p.pos]; {
	case c == '/':
		name, err := p.name()
		return Value{Kind: Name, Text: name}, err
	case c == '(':
		s, err := p.literal()
		return Value{Kind: String, Text: s}, err
	case c == '[':
		return p.array()
	case c == '<' && bytes.HasPrefix(p.buf[p.pos:], []byte("<<")):
		return p.dict()
	case c == '<':
		s, err := p.hex()
		return Value{Kind: String, Text: s}, err
	case isRegular(c):
		return p.scalar()
	}
	return Value{}, p.fail(p.pos, "unexpected "+strconv.QuoteRune(rune(p.buf[p.pos])))
}

// scalar reads a number, a reference, true, false or null.
func (p *parser) scalar() (Value, error) {
	from, w, err := p.next()
	if err != nil {
		return Value{}, err
	}
	switch string(w) {
	case "true", "false":
		return Value{Kind: Bool}, nil
	case "null":
		return Value{}, nil
	}
	if n, err := strconv.ParseInt(string(w), 10, 64); err == nil {
		v := Value{Kind: Integer, Int: n}
		if w[0] < '0' || n > maxNumber {
			return v, nil
		}
		return p.reference(v)
	}
	// A real has no exponent (ISO 32000-1 section 7.3.3) and none of the other forms of ParseFloat.
	if _, err := strconv.ParseFloat(string(w), 64); err != nil || len(bytes.Trim(w, "+-.0123456789")) > 0 {
		return Value{}, p.fail(from, "no object")
	}
	return Value{Kind: Real}, nil
}

// reference looks two words ahead, whether the integer v begins a reference. Most do not, so that saying no is to cost little.
func (p *parser) reference(v Value) (Value, error) {
	from := p.pos
	_, word, err := p.next()
	generation, ok := 0, len(word) > 0
	for _, c := range word {
		ok = ok && c >= '0' && c <= '9' && generation <= 65535
		generation = 10*generation + int(c-'0')
	}
	if err == nil && ok && generation <= 65535 {
		_, word, err = p.next()
		if err == nil && len(word) == 1 && word[0] == 'R' {
			return Value{Kind: Reference, Ref: Ref{int(v.Int), generation}}, nil
		}
	}
	p.pos = from
	return v, err
}

func (p *parser) array() (Value, error) {
	p.pos++ // '['
	v := Value{Kind: Array}
	for {
		p.space()
		if p.pos < len(p.buf) && p.buf[p.pos] == ']' {
			p.pos++
			return v, nil
		}
		e, err := p.value()
		if err != nil {
			return Value{}, err
		}
		v.Elems = append(v.Elems, e)
	}
}

// dict reads a dictionary and refuses a key that appears twice: readers differ in which one counts, so what one of them
// shows need not be what another one checks.
func (p *parser) dict() (Value, error) {
	p.pos += 2 // '<<'
	v := Value{Kind: Dict}
	seen := map[string]bool{}
	for {
		p.space()
		if p.pos+1 < len(p.buf) && p.buf[p.pos] == '>' && p.buf[p.pos+1] == '>' {
			p.pos += 2
			return v, nil
		}
		from := p.pos
		if len(p.buf)-p.pos < 2 && !p.final {
			return Value{}, errMore
		}
		if p.pos >= len(p.buf) || p.buf[p.pos] != '/' {
			return Value{}, p.fail(from, "dictionary key or \">>\" expected")
		}
		key, err := p.name()
		if err != nil {
			return Value{}, err
		}
		if seen[key] {
			return Value{}, p.fail(from, "dictionary key "+strconv.Quote(key)+" appears twice")
		}
		seen[key] = true
		e, err := p.value()
		if err != nil {
			return Value{}, err
		}
		v.Entries = append(v.Entries, Entry{Key: key, Value: e})
	}
}
