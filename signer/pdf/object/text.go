package object

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
)

// Unicode returns the text of a text string (ISO 32000-1 section 7.9.2.2): UTF-16BE with a byte order mark, UTF-8 with
// its mark (PDF 2.0), else one character a byte, which is exact for ASCII.
func (v Value) Unicode() string {
	switch s := v.Text; {
	case len(s) >= 2 && s[:2] == "\xfe\xff":
		units := make([]uint16, 0, len(s)/2)
		for i := 2; i+1 < len(s); i += 2 {
			units = append(units, uint16(s[i])<<8|uint16(s[i+1]))
		}
		return string(utf16.Decode(units))
	case len(s) >= 3 && s[:3] == "\xef\xbb\xbf":
		return string(bytes.ToValidUTF8([]byte(s[3:]), []byte("\ufffd")))
	default:
		runes := make([]rune, len(s))
		for i := range len(s) {
			runes[i] = rune(s[i])
		}
		return string(runes)
	}
}

// TextString encodes text as a hexadecimal UTF-16BE string, the one form in which no character needs escaping:
// 'Ш' is the bytes 04 28 and 'Щ' 04 29, parentheses to a reader of literal strings. text must be valid UTF-8.
func TextString(text string) []byte {
	out := []byte("<FEFF")
	for _, u := range utf16.Encode([]rune(text)) {
		out = fmt.Appendf(out, "%04X", u)
	}
	return append(out, '>')
}

func (p *Parser) name() (string, error) {
	p.Pos++ // '/'
	w := p.word()
	if p.Pos >= len(p.Buf) && !p.Final {
		return "", ErrMore
	}
	out := make([]byte, 0, len(w))
	for i := 0; i < len(w); i++ {
		if w[i] == '#' && i+2 < len(w) {
			if b, err := strconv.ParseUint(string(w[i+1:i+3]), 16, 8); err == nil {
				out = append(out, byte(b))
				i += 2
				continue
			}
		}
		out = append(out, w[i])
	}
	return string(out), nil
}

func (p *Parser) hex() (string, error) {
	p.Pos++ // '<'
	var digits []byte
	for ; p.Pos < len(p.Buf); p.Pos++ {
		switch c := p.Buf[p.Pos]; {
		case IsSpace(c):
		case c == '>':
			p.Pos++
			if len(digits)%2 != 0 {
				digits = append(digits, '0')
			}
			n, err := hex.Decode(digits, digits)
			if err != nil {
				return "", p.Fail(p.Pos-1, "bad character in the hexadecimal string that ends")
			}
			return string(digits[:n]), nil
		default:
			digits = append(digits, c)
		}
	}
	return "", p.Fail(p.Pos, "hexadecimal string without end")
}

func (p *Parser) literal() (string, error) {
	p.Pos++ // '('
	var out []byte
	for open := 1; p.Pos < len(p.Buf); p.Pos++ {
		c := p.Buf[p.Pos]
		switch c {
		case '\\':
			if p.Pos++; p.Pos < len(p.Buf) {
				out = p.escape(out)
			}
			continue
		case '(':
			open++
		case ')':
			if open--; open == 0 {
				p.Pos++
				return string(out), nil
			}
		}
		out = append(out, c)
	}
	return "", p.Fail(p.Pos, "string without end")
}

// escape reads what follows a backslash and leaves pos on its last byte.
func (p *Parser) escape(out []byte) []byte {
	c := p.Buf[p.Pos]
	if i := strings.IndexByte("nrtbf", c); i >= 0 {
		return append(out, "\n\r\t\b\f"[i])
	}
	switch {
	case c == '\n':
		return out
	case c == '\r':
		if bytes.HasPrefix(p.Buf[p.Pos+1:], []byte("\n")) {
			p.Pos++
		}
		return out
	case c < '0' || c > '7':
		return append(out, c)
	}
	n := int(c - '0')
	for i := 0; i < 2 && p.Pos+1 < len(p.Buf) && p.Buf[p.Pos+1] >= '0' && p.Buf[p.Pos+1] <= '7'; i++ {
		p.Pos++
		n = n*8 + int(p.Buf[p.Pos]-'0')
	}
	return append(out, byte(n))
}
