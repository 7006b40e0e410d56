package font

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf16"

	"github.com/ecsigner/ecsigner/signer/pdf"
	"github.com/ecsigner/ecsigner/signer/pdf/object"
)

// Width returns the length of a text in points.
func (f *Font) Width(text string, size float64) float64 {
	n := 0
	for _, r := range text {
		n += f.advance(f.glyph(r))
	}
	return float64(n) * size / float64(f.units)
}

// code returns the number under which a subset shows a character.
func (s *Subset) code(r rune) int {
	for i, have := range s.runes {
		if have == r {
			return i + 1
		}
	}
	return 0
}

// Encode writes a text as the hexadecimal string that shows it, two bytes a character (Identity-H).
func (s *Subset) Encode(text string) string {
	var b strings.Builder
	b.WriteByte('<')
	for _, r := range text {
		fmt.Fprintf(&b, "%04X", s.code(r))
	}
	b.WriteByte('>')
	return b.String()
}

// Put writes the objects of a composite font (ISO 32000-2 clause 9.7): Type0 with Identity-H, its CIDFontType2 with the
// widths, the descriptor with the embedded file and the CIDSet that PDF/A-1 asks for, and the mapping to Unicode.
func (s *Subset) Put(u *pdf.Update) object.Ref {
	sum := sha256.Sum256(s.data)
	name := make([]byte, 6) // the tag of a subset: six capital letters (clause 9.9.2)
	for i := range name {
		name[i] = 'A' + sum[i]%26
	}
	name = append(append(name, '+'), s.from.name...)

	font, cid, descriptor, file, unicode, set := u.New(), u.New(), u.New(), u.New(), u.New(), u.New()
	u.Put(font, fmt.Appendf(nil, "<< /Type /Font /Subtype /Type0 /BaseFont /%s /Encoding /Identity-H /DescendantFonts [%v] /ToUnicode %v >>",
		name, cid, unicode))
	u.Put(cid, fmt.Appendf(nil, "<< /Type /Font /Subtype /CIDFontType2 /BaseFont /%s /CIDSystemInfo << /Registry (Adobe) /Ordering (Identity) /Supplement 0 >> "+
		"/FontDescriptor %v /CIDToGIDMap /Identity /DW %d /W [0 [%s]] >>", name, descriptor, s.milli(s.from.advance(0)), s.widths()))
	u.Put(descriptor, fmt.Appendf(nil, "<< /Type /FontDescriptor /FontName /%s /Flags %d /FontBBox [%d %d %d %d] /ItalicAngle %.2f "+
		"/Ascent %d /Descent %d /CapHeight %d /StemV %d /FontFile2 %v /CIDSet %v >>",
		name, s.flags(), s.milli(s.from.bbox[0]), s.milli(s.from.bbox[1]), s.milli(s.from.bbox[2]), s.milli(s.from.bbox[3]),
		s.from.italic, s.milli(s.from.ascent), s.milli(s.from.descent), s.milli(s.from.capHeight), 80, file, set))
	u.Put(file, object.FlateObject(fmt.Sprintf("/Length1 %d", len(s.data)), s.data))
	u.Put(unicode, object.FlateObject("", s.toUnicode()))
	u.Put(set, object.StreamObject("", s.cidSet()))
	return font
}

// milli converts font units to thousandths of an em, rounded.
func (s *Subset) milli(n int) int {
	v := n * 2000 / s.from.units
	if v < 0 {
		return (v - 1) / 2
	}
	return (v + 1) / 2
}

func (s *Subset) widths() string {
	var b strings.Builder
	for i, glyph := range s.glyphs {
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprint(&b, s.milli(s.from.advance(glyph)))
	}
	return b.String()
}

// flags returns the font flags (ISO 32000-2 table 121): symbolic, as it has characters outside the Latin set.
func (s *Subset) flags() int {
	flags := 4
	if s.from.fixedPitch {
		flags |= 1
	}
	if s.from.italic != 0 {
		flags |= 64
	}
	return flags
}

// toUnicode returns the CMap from codes to characters (ISO 32000-2 clause 9.10.3).
func (s *Subset) toUnicode() []byte {
	var b bytes.Buffer
	b.WriteString("/CIDInit /ProcSet findresource begin\n12 dict begin\nbegincmap\n" +
		"/CIDSystemInfo << /Registry (Adobe) /Ordering (UCS) /Supplement 0 >> def\n" +
		"/CMapName /Adobe-Identity-UCS def\n/CMapType 2 def\n1 begincodespacerange\n<0000> <FFFF>\nendcodespacerange\n")
	const block = 100 // lines that one section may have
	for from := 0; from < len(s.runes); from += block {
		part := s.runes[from:min(from+block, len(s.runes))]
		fmt.Fprintf(&b, "%d beginbfchar\n", len(part))
		for i, r := range part {
			fmt.Fprintf(&b, "<%04X> <", from+i+1)
			for _, unit := range utf16.Encode([]rune{r}) {
				fmt.Fprintf(&b, "%04X", unit)
			}
			b.WriteString(">\n")
		}
		b.WriteString("endbfchar\n")
	}
	b.WriteString("endcmap\nCMapName currentdict /CMap defineresource pop\nend\nend\n")
	return b.Bytes()
}

// cidSet has a bit for each glyph in the file, the highest bit first.
func (s *Subset) cidSet() []byte {
	set := make([]byte, (len(s.glyphs)+7)/8)
	for i := range s.glyphs {
		set[i/8] |= 0x80 >> (i % 8)
	}
	return set
}

// Lacking returns the characters of a text that the font does not show, each once.
func (f *Font) Lacking(text string) []rune {
	var lacking []rune
	for _, r := range text {
		if !f.Shows(r) && !slices.Contains(lacking, r) {
			lacking = append(lacking, r)
		}
	}
	return lacking
}

// Shows reports whether the font has a glyph for a character, with ink unless it is a blank.
func (f *Font) Shows(r rune) bool {
	glyph := f.glyph(r)
	if glyph == 0 {
		return false
	}
	outline, err := f.outline(glyph)
	return err == nil && (len(outline) > 0 || unicode.IsSpace(r))
}

// Name returns the PostScript name: letters, digits and '-'.
func (f *Font) Name() string { return f.name }

// CapHeight returns the height of capital letters, in sizes.
func (f *Font) CapHeight() float64 { return float64(f.capHeight) / float64(f.units) }
