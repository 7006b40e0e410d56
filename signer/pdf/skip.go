package pdf

import (
	"bytes"
	"fmt"
	"strconv"
)

// skip reads over one object as value does, and is as strict, but builds nothing and lets a key appear twice. Of a dictionary
// it returns the value of /Length.
func (p *parser) skip() (kind Kind, length Value, err error) {
	p.space()
	if p.pos >= len(p.buf) {
		return Null, length, p.fail(p.pos, "no object")
	}
	if p.depth <= 0 {
		return Null, length, fmt.Errorf("%w: objects are nested too deep at byte %d", ErrTooLarge, p.base+int64(p.pos))
	}
	p.depth--
	defer func() { p.depth++ }()
	switch c := p.buf[p.pos]; {
	case c == '/':
		return Name, length, p.skipName()
	case c == '(':
		return String, length, p.skipLiteral()
	case c == '[':
		return Array, length, p.skipArray()
	case c == '<' && bytes.HasPrefix(p.buf[p.pos:], []byte("<<")):
		length, err = p.skipDict()
		return Dict, length, err
	case c == '<':
		return String, length, p.skipHex()
	case isRegular(c):
		kind, err := p.skipScalar()
		return kind, length, err
	}
	return Null, length, p.fail(p.pos, "unexpected "+strconv.QuoteRune(rune(p.buf[p.pos])))
}

// skipScalar knows the numbers that files are full of, of up to 18 digits; scalar knows the rest.
func (p *parser) skipScalar() (Kind, error) {
	from, w, err := p.next()
	if err != nil {
		return Null, err
	}
	digits, dots, n := 0, 0, int64(0)
	for i, c := range w {
		switch {
		case c >= '0' && c <= '9' && digits < 18:
			digits++
			n = 10*n + int64(c-'0')
		case c == '.':
			dots++
		case i > 0 || c != '-' && c != '+':
			p.pos = from
			v, err := p.scalar()
			return v.Kind, err
		}
	}
	switch {
	case digits == len(w) && n <= maxNumber:
		v, err := p.reference(Value{Kind: Integer, Int: n})
		if v.Kind == Reference && p.refers != nil {
			p.refers(v.Ref.Number)
		}
		return v.Kind, err
	case digits > 0 && dots == 0:
		return Integer, nil
	case digits > 0 && dots == 1:
		return Real, nil
	}
	return Null, p.fail(from, "no object")
}

func (p *parser) skipName() error {
	p.pos++ // '/'
	p.word()
	if p.pos >= len(p.buf) && !p.final {
		return errMore
	}
	return nil
}

func (p *parser) skipLiteral() error {
	p.pos++ // '('
	for open := 1; p.pos < len(p.buf); {
		c := p.buf[p.pos]
		p.pos++
		switch c {
		case '\\':
			p.pos = min(p.pos+1, len(p.buf))
		case '(':
			open++
		case ')':
			if open--; open == 0 {
				return nil
			}
		}
	}
	return p.fail(p.pos, "string without end")
}

func (p *parser) skipHex() error {
	p.pos++ // '<'
	for ; p.pos < len(p.buf); p.pos++ {
		switch c := p.buf[p.pos]; {
		case c == '>':
			p.pos++
			return nil
		case isSpace(c), c >= '0' && c <= '9', c >= 'A' && c <= 'F', c >= 'a' && c <= 'f':
		default:
			return p.fail(p.pos, "bad character in a hexadecimal string")
		}
	}
	return p.fail(p.pos, "hexadecimal string without end")
}

func (p *parser) skipArray() error {
	p.pos++ // '['
	for {
		p.space()
		if p.pos < len(p.buf) && p.buf[p.pos] == ']' {
			p.pos++
			return nil
		}
		if _, _, err := p.skip(); err != nil {
			return err
		}
	}
}

func (p *parser) skipDict() (length Value, err error) {
	p.pos += 2 // '<<'
	for {
		p.space()
		if p.pos+1 < len(p.buf) && p.buf[p.pos] == '>' && p.buf[p.pos+1] == '>' {
			p.pos += 2
			return length, nil
		}
		from := p.pos
		if len(p.buf)-p.pos < 2 && !p.final {
			return length, errMore
		}
		if p.pos >= len(p.buf) || p.buf[p.pos] != '/' {
			return length, p.fail(from, "dictionary key or \">>\" expected")
		}
		if err := p.skipName(); err != nil {
			return length, err
		}
		if string(p.buf[from:p.pos]) == "/Length" {
			ahead := *p
			if v, err := ahead.value(); err == nil {
				length = v
			}
		}
		if _, _, err := p.skip(); err != nil {
			return length, err
		}
	}
}
