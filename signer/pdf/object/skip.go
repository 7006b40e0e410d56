package object

import (
	"bytes"
	"strconv"
)

// Skip reads over one object as Value does, and is as strict, but builds nothing and lets a key other than Length appear
// twice. Of a dictionary it returns the value of /Length if it is a scalar, without Raw.
func (p *Parser) Skip() (kind Kind, length Value, err error) {
	p.Space()
	if p.Pos >= len(p.Buf) {
		return Null, length, p.Fail(p.Pos, "no object")
	}
	if p.Depth <= 0 {
		return Null, length, p.tooDeep()
	}
	p.Depth--
	defer func() { p.Depth++ }()
	switch c := p.Buf[p.Pos]; {
	case c == '/':
		return Name, length, p.skipName()
	case c == '(':
		return String, length, p.skipLiteral()
	case c == '[':
		return Array, length, p.skipArray()
	case c == '<' && bytes.HasPrefix(p.Buf[p.Pos:], []byte("<<")):
		length, err = p.skipDict()
		return Dict, length, err
	case c == '<':
		return String, length, p.skipHex()
	case isRegular(c):
		kind, err := p.skipScalar()
		return kind, length, err
	}
	return Null, length, p.Fail(p.Pos, "unexpected "+strconv.QuoteRune(rune(p.Buf[p.Pos])))
}

// skipScalar knows the numbers that files are full of, of up to 18 digits; scalar knows the rest.
func (p *Parser) skipScalar() (Kind, error) {
	from, w, err := p.Next()
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
			p.Pos = from
			v, err := p.scalar()
			return v.Kind, err
		}
	}
	switch {
	case digits == len(w) && n <= MaxNumber:
		v, err := p.reference(Value{Kind: Integer, Int: n})
		if v.Kind == Reference && p.Refers != nil {
			p.Refers(v.Ref.Number)
		}
		return v.Kind, err
	case digits > 0 && dots == 0:
		return Integer, nil
	case digits > 0 && dots == 1:
		return Real, nil
	}
	return Null, p.Fail(from, "no object")
}

func (p *Parser) skipName() error {
	p.Pos++ // '/'
	p.word()
	if p.Pos >= len(p.Buf) && !p.Final {
		return ErrMore
	}
	return nil
}

func (p *Parser) skipLiteral() error {
	p.Pos++ // '('
	for open := 1; p.Pos < len(p.Buf); {
		c := p.Buf[p.Pos]
		p.Pos++
		switch c {
		case '\\':
			p.Pos = min(p.Pos+1, len(p.Buf))
		case '(':
			open++
		case ')':
			if open--; open == 0 {
				return nil
			}
		}
	}
	return p.Fail(p.Pos, "string without end")
}

func (p *Parser) skipHex() error {
	p.Pos++ // '<'
	for ; p.Pos < len(p.Buf); p.Pos++ {
		switch c := p.Buf[p.Pos]; {
		case c == '>':
			p.Pos++
			return nil
		case IsSpace(c), c >= '0' && c <= '9', c >= 'A' && c <= 'F', c >= 'a' && c <= 'f':
		default:
			return p.Fail(p.Pos, "bad character in a hexadecimal string")
		}
	}
	return p.Fail(p.Pos, "hexadecimal string without end")
}

func (p *Parser) skipArray() error {
	p.Pos++ // '['
	for {
		p.Space()
		if p.Pos < len(p.Buf) && p.Buf[p.Pos] == ']' {
			p.Pos++
			return nil
		}
		if _, _, err := p.Skip(); err != nil {
			return err
		}
	}
}

func (p *Parser) skipDict() (length Value, err error) {
	p.Pos += 2 // '<<'
	seen := false
	for {
		more, err := p.another()
		if err != nil || !more {
			return length, err
		}
		from := p.Pos
		isLength, err := p.skipKey()
		if err != nil {
			return length, err
		}
		if isLength && seen {
			return length, p.Fail(from, "dictionary key \"Length\" appears twice")
		}
		if p.Space(); isLength {
			seen = true
			if length, err = p.peek(); err != nil {
				return length, err
			}
		}
		if _, _, err := p.Skip(); err != nil {
			return length, err
		}
	}
}

// skipKey reports whether the key that it reads over is Length, however it is spelled.
func (p *Parser) skipKey() (isLength bool, err error) {
	from := p.Pos
	if err := p.skipName(); err != nil {
		return false, err
	}
	key := p.Buf[from:p.Pos]
	if bytes.IndexByte(key, '#') < 0 {
		return string(key) == "/Length", nil
	}
	p.Pos = from
	name, err := p.name()
	return name == "Length", err
}

// peek returns the number, reference or word that comes next, and Null for anything else.
func (p *Parser) peek() (v Value, err error) {
	from := p.Pos
	if from < len(p.Buf) && isRegular(p.Buf[from]) {
		v, err = p.scalar()
	}
	p.Pos = from
	return v, err
}
