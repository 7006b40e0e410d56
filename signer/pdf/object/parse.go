package object

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// ErrMore says that the piece ended inside what was read; the caller reads more of the file and parses again.
var ErrMore = errors.New("object goes on beyond the buffer")

// Parser reads objects out of a piece of a file, or of an object stream. Its methods read on from Pos; where the piece ends before
// it can be judged they return ErrMore. Other errors wrap ErrDamaged or ErrTooLarge and name the place.
type Parser struct {
	Buf    []byte // the piece
	Pos    int    // what is read next, in Buf
	Base   int64  // where Buf begins in the file; -1: in an object stream
	Depth  int    // levels of nesting left
	Values int    // values left
	Final  bool   // nothing follows Buf

	Refers func(number int) // told of references that are skipped, of some more than once; may be nil
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

// IsSpace reports whether c is white space.
func IsSpace(c byte) bool { return classes[c] == space }

func isRegular(c byte) bool { return classes[c] == regular }

// Fail reports bad syntax at byte at of Buf, or that Buf ended before the syntax could be judged.
func (p *Parser) Fail(at int, what string) error {
	if p.Pos >= len(p.Buf) && !p.Final {
		return ErrMore
	}
	return fmt.Errorf("%w: %s at %s", ErrDamaged, what, p.place(at))
}

// place names a byte of Buf.
func (p *Parser) place(at int) string {
	if p.Base < 0 {
		return fmt.Sprintf("byte %d of an object stream", at)
	}
	return fmt.Sprintf("byte %d", p.Base+int64(at))
}

// tooDeep reports more levels of nesting than there may be.
func (p *Parser) tooDeep() error {
	return fmt.Errorf("%w: objects are nested too deep at %s", ErrTooLarge, p.place(p.Pos))
}

// Space skips white space and comments.
func (p *Parser) Space() {
	for p.Pos < len(p.Buf) {
		switch c := p.Buf[p.Pos]; {
		case IsSpace(c):
			p.Pos++
		case c == '%':
			for p.Pos < len(p.Buf) && p.Buf[p.Pos] != '\n' && p.Buf[p.Pos] != '\r' {
				p.Pos++
			}
		default:
			return
		}
	}
}

// word reads a run of regular characters.
func (p *Parser) word() []byte {
	from := p.Pos
	for p.Pos < len(p.Buf) && isRegular(p.Buf[p.Pos]) {
		p.Pos++
	}
	return p.Buf[from:p.Pos]
}

// Next skips white space and reads a run of regular characters that surely ends in the buffer.
func (p *Parser) Next() (from int, word []byte, err error) {
	p.Space()
	from = p.Pos // in a statement of its own: operands are read in any order beside a call
	word = p.word()
	if p.Pos >= len(p.Buf) && !p.Final {
		err = ErrMore
	}
	return from, word, err
}

// Keyword skips white space and reads exactly this word.
func (p *Parser) Keyword(want string) error {
	from, w, err := p.Next()
	if err == nil && string(w) != want {
		err = p.Fail(from, "no "+strconv.Quote(want))
	}
	return err
}

// Integer skips white space and reads an unsigned integer.
func (p *Parser) Integer() (int64, error) {
	from, w, err := p.Next()
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(string(w), 10, 63)
	if err != nil {
		return 0, p.Fail(from, "no number")
	}
	return int64(n), nil
}

// Value reads one object.
func (p *Parser) Value() (Value, error) {
	p.Space()
	if p.Pos >= len(p.Buf) {
		return Value{}, p.Fail(p.Pos, "no object")
	}
	if p.Depth <= 0 {
		return Value{}, p.tooDeep()
	}
	if p.Values--; p.Values < 0 {
		return Value{}, fmt.Errorf("%w: one object has too many parts, at %s", ErrTooLarge, p.place(p.Pos))
	}
	p.Depth--
	defer func() { p.Depth++ }()
	start := p.Pos
	v, err := p.token()
	if err != nil {
		return Value{}, err
	}
	v.start, v.end, v.Raw, v.Pos = start, p.Pos, p.Buf[start:p.Pos:p.Pos], -1
	if p.Base >= 0 {
		v.Pos = p.Base + int64(start)
	}
	return v, nil
}

func (p *Parser) token() (Value, error) {
	switch c := p.Buf[p.Pos]; {
	case c == '/':
		name, err := p.name()
		return Value{Kind: Name, Text: name}, err
	case c == '(':
		s, err := p.literal()
		return Value{Kind: String, Text: s}, err
	case c == '[':
		return p.array()
	case c == '<' && bytes.HasPrefix(p.Buf[p.Pos:], []byte("<<")):
		return p.dict()
	case c == '<':
		s, err := p.hex()
		return Value{Kind: String, Text: s}, err
	case isRegular(c):
		return p.scalar()
	}
	return Value{}, p.Fail(p.Pos, "unexpected "+strconv.QuoteRune(rune(p.Buf[p.Pos])))
}

// scalar reads a number, a reference, true, false or null.
func (p *Parser) scalar() (Value, error) {
	from, w, err := p.Next()
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
		if w[0] < '0' || n > MaxNumber {
			return v, nil
		}
		return p.reference(v)
	}
	// A real has no exponent (ISO 32000-1 section 7.3.3) and none of the other forms of ParseFloat.
	if _, err := strconv.ParseFloat(string(w), 64); err != nil || len(bytes.Trim(w, "+-.0123456789")) > 0 {
		return Value{}, p.Fail(from, "no object")
	}
	return Value{Kind: Real}, nil
}

// reference looks two words ahead, whether the integer v begins a reference. Most do not, so that saying no is to cost little.
func (p *Parser) reference(v Value) (Value, error) {
	from := p.Pos
	_, word, err := p.Next()
	generation, ok := 0, len(word) > 0
	for _, c := range word {
		ok = ok && c >= '0' && c <= '9' && generation <= 65535
		generation = 10*generation + int(c-'0')
	}
	if err == nil && ok && generation <= 65535 {
		_, word, err = p.Next()
		if err == nil && len(word) == 1 && word[0] == 'R' {
			return Value{Kind: Reference, Ref: Ref{int(v.Int), generation}}, nil
		}
	}
	p.Pos = from
	return v, err
}

func (p *Parser) array() (Value, error) {
	p.Pos++ // '['
	v := Value{Kind: Array}
	for {
		p.Space()
		if p.Pos < len(p.Buf) && p.Buf[p.Pos] == ']' {
			p.Pos++
			return v, nil
		}
		e, err := p.Value()
		if err != nil {
			return Value{}, err
		}
		v.Elems = append(v.Elems, e)
	}
}

// dict reads a dictionary and refuses a key that appears twice: readers differ in which one counts, so what one of them
// shows need not be what another one checks.
func (p *Parser) dict() (Value, error) {
	p.Pos += 2 // '<<'
	v := Value{Kind: Dict}
	seen := map[string]bool{}
	for {
		more, err := p.another()
		if err != nil || !more {
			return v, err
		}
		from := p.Pos
		key, err := p.name()
		if err != nil {
			return Value{}, err
		}
		if seen[key] {
			return Value{}, p.Fail(from, "dictionary key "+strconv.Quote(key)+" appears twice")
		}
		seen[key] = true
		e, err := p.Value()
		if err != nil {
			return Value{}, err
		}
		v.Entries = append(v.Entries, Entry{Key: key, Value: e})
	}
}

// another skips white space and reports whether a dictionary goes on with a key; else it reads over the end.
func (p *Parser) another() (more bool, err error) {
	p.Space()
	switch {
	case p.Pos+1 < len(p.Buf) && p.Buf[p.Pos] == '>' && p.Buf[p.Pos+1] == '>':
		p.Pos += 2
		return false, nil
	case len(p.Buf)-p.Pos < 2 && !p.Final:
		return false, ErrMore
	case p.Pos >= len(p.Buf) || p.Buf[p.Pos] != '/':
		return false, p.Fail(p.Pos, "dictionary key or \">>\" expected")
	}
	return true, nil
}

// Header reads "n g obj".
func (p *Parser) Header() (Ref, error) {
	n, err := p.Integer()
	if err != nil {
		return Ref{}, err
	}
	g, err := p.Integer()
	if err != nil {
		return Ref{}, err
	}
	if err := p.Keyword("obj"); err != nil {
		return Ref{}, err
	}
	if n <= 0 || n > MaxNumber || g > 65535 {
		return Ref{}, p.Fail(p.Pos, "object number out of range before")
	}
	return Ref{int(n), int(g)}, nil
}

// End reads what closes an indirect object: endobj, or for a dictionary the beginning of stream data.
func (p *Parser) End(mayStream bool) (stream bool, err error) {
	from, w, err := p.Next()
	switch {
	case err != nil:
		return false, err
	case string(w) == "endobj":
		return false, nil
	case mayStream && string(w) == "stream":
		return true, nil
	}
	return false, p.Fail(from, "no \"endobj\"")
}

// Data reads the line end behind the keyword stream and returns where in the file the data begins.
func (p *Parser) Data() (int64, error) {
	if p.Pos+1 < len(p.Buf) && p.Buf[p.Pos] == '\r' && p.Buf[p.Pos+1] == '\n' {
		p.Pos++
	}
	if p.Pos >= len(p.Buf) || p.Buf[p.Pos] != '\n' {
		return 0, p.Fail(p.Pos, "no line end after \"stream\"")
	}
	return p.Base + int64(p.Pos) + 1, nil
}

// EndStream reads what closes an indirect object behind the data of its stream.
func (p *Parser) EndStream() error {
	if err := p.Keyword("endstream"); err != nil {
		return err
	}
	return p.Keyword("endobj")
}
