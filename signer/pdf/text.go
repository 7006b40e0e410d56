package pdf

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

func (p *parser) name() (string, error) {
	p.pos++ // '/'
	w := p.word()
	if p.pos >= len(p.buf) && !p.final {
		return "", errMore
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

func (p *parser) hex() (string, error) {
	p.pos++ // '<'
	var digits []byte
	for ; p.pos < len(p.buf); p.pos++ {
		switch c := p.buf[p.pos]; {
		case isSpace(c):
		case c == '>':
			p.pos++
			if len(digits)%2 != 0 {
				digits = append(digits, '0')
			}
			n, err := hex.Decode(digits, digits)
			if err != nil {
				return "", p.fail(p.pos-1, "bad character in the hexadecimal string that ends")
			}
			return string(digits[:n]), nil
		default:
			digits = append(digits, c)
		}
	}
	return "", p.fail(p.pos, "hexadecimal string without end")
}

func (p *parser) literal() (string, error) {
	p.pos++ // '('
	var out []byte
	for open := 1; p.pos < len(p.buf); p.pos++ {
		c := p.buf[p.pos]
		switch c {
		case '\\':
			if p.pos++; p.pos < len(p.buf) {
				out = p.escape(out)
			}
			continue
		case '(':
			open++
		case ')':
			if open--; open == 0 {
				p.pos++
				return string(out), nil
			}
		}
		out = append(out, c)
	}
	return "", p.fail(p.pos, "string without end")
}

// escape reads what follows a backslash and leaves pos on its last byte.
func (p *parser) escape(out []byte) []byte {
	c := p.buf[p.pos]
	if i := strings.IndexByte("nrtbf", c); i >= 0 {
		return append(out, "\n\r\t\b\f"[i])
	}
	switch {
	case c == '\n':
		return out
	case c == '\r':
		if bytes.HasPrefix(p.buf[p.pos+1:], []byte("\n")) {
			p.pos++
		}
		return out
	case c < '0' || c > '7':
		return append(out, c)
	}
	n := int(c - '0')
	for i := 0; i < 2 && p.pos+1 < len(p.buf) && p.buf[p.pos+1] >= '0' && p.buf[p.pos+1] <= '7'; i++ {
		p.pos++
		n = n*8 + int(p.buf[p.pos]-'0')
	}
	return append(out, byte(n))
}
