package agreement

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/sfnt"
)

// The apostrophe of Ukrainian names is a letter, U+02BC; the Go fonts have only its look, the quotation mark U+2019.
const (
	letterApostrophe = 'ʼ'
	quoteApostrophe  = '’'
)

var errFont = errors.New("agreement: font cannot be read")

// fonts are the two faces of the document as TrueType files.
type fonts struct {
	regular, bold   []byte
	regularF, boldF *sfnt.Font
}

func loadFonts() (f fonts, err error) {
	if f.regular, f.regularF, err = loadFont(goregular.TTF); err != nil {
		return fonts{}, err
	}
	f.bold, f.boldF, err = loadFont(gobold.TTF)
	return f, err
}

func loadFont(ttf []byte) ([]byte, *sfnt.Font, error) {
	plain, err := sfnt.Parse(ttf)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errFont, err)
	}
	glyph, err := plain.GlyphIndex(nil, quoteApostrophe)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errFont, err)
	}
	if glyph == 0 {
		return nil, nil, fmt.Errorf("%w: it has no apostrophe", errFont)
	}
	if ttf, err = mapRune(ttf, letterApostrophe, uint16(glyph)); err != nil {
		return nil, nil, err
	}
	parsed, err := sfnt.Parse(ttf)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errFont, err)
	}
	return ttf, parsed, nil
}

// has tells whether both faces have a picture of r.
func (f fonts) has(r rune) bool {
	for _, face := range []*sfnt.Font{f.regularF, f.boldF} {
		if glyph, err := face.GlyphIndex(nil, r); err != nil || glyph == 0 {
			return false
		}
	}
	return true
}

// mapRune returns the font with r shown as the given glyph. It appends a new cmap table that holds the font's Unicode
// subtable of format 4 with one segment more (OpenType, "cmap"), so that text copied from the document keeps r.
func mapRune(ttf []byte, r uint16, glyph uint16) ([]byte, error) {
	entry, err := tableEntry(ttf, "cmap")
	if err != nil {
		return nil, err
	}
	old, err := unicodeSegments(ttf, binary.BigEndian.Uint32(ttf[entry+8:]))
	if err != nil {
		return nil, err
	}
	table, err := old.with(r, glyph)
	if err != nil {
		return nil, err
	}
	out := slices.Clone(ttf)
	for len(out)%4 != 0 {
		out = append(out, 0)
	}
	binary.BigEndian.PutUint32(out[entry+8:], uint32(len(out)))
	binary.BigEndian.PutUint32(out[entry+12:], uint32(len(table)))
	for len(table)%4 != 0 {
		table = append(table, 0)
	}
	var sum uint32
	for i := 0; i < len(table); i += 4 {
		sum += binary.BigEndian.Uint32(table[i:])
	}
	binary.BigEndian.PutUint32(out[entry+4:], sum)
	return append(out, table...), nil
}

// tableEntry returns where the directory entry of a table begins.
func tableEntry(ttf []byte, tag string) (int, error) {
	if len(ttf) >= 12 {
		for i := range int(binary.BigEndian.Uint16(ttf[4:])) {
			at := 12 + 16*i
			if len(ttf) >= at+16 && string(ttf[at:at+4]) == tag {
				return at, nil
			}
		}
	}
	return 0, fmt.Errorf("%w: no table %s", errFont, tag)
}

// segments is a cmap subtable of format 4: four parallel arrays and the glyphs that some of them point into.
type segments struct {
	end, start, delta, offset, glyphs []uint16
}

// unicodeSegments reads the subtable for platform 3, encoding 1 of the cmap table at the given place.
func unicodeSegments(ttf []byte, cmap uint32) (segments, error) {
	bad := fmt.Errorf("%w: no Unicode cmap of format 4", errFont)
	if uint64(cmap)+4 > uint64(len(ttf)) {
		return segments{}, bad
	}
	table := ttf[cmap:]
	for i := range int(binary.BigEndian.Uint16(table[2:])) {
		if len(table) < 12+8*i {
			return segments{}, bad
		}
		record := table[4+8*i:]
		if binary.BigEndian.Uint32(record) != 3<<16|1 {
			continue
		}
		at := binary.BigEndian.Uint32(record[4:])
		if uint64(at)+14 > uint64(len(table)) || binary.BigEndian.Uint16(table[at:]) != 4 {
			continue
		}
		sub := table[at:]
		length, n := int(binary.BigEndian.Uint16(sub[2:])), int(binary.BigEndian.Uint16(sub[6:]))/2
		if length > len(sub) || length < 16+8*n {
			return segments{}, bad
		}
		words := make([]uint16, length/2)
		for i := range words {
			words[i] = binary.BigEndian.Uint16(sub[2*i:])
		}
		return segments{
			end: words[7 : 7+n], start: words[8+n : 8+2*n], delta: words[8+2*n : 8+3*n],
			offset: words[8+3*n : 8+4*n], glyphs: words[8+4*n:],
		}, nil
	}
	return segments{}, bad
}

// with returns a whole cmap table: the segments and one for r alone.
func (s segments) with(r, glyph uint16) ([]byte, error) {
	at, _ := slices.BinarySearch(s.end, r)
	if at == len(s.end) || s.start[at] <= r {
		return nil, fmt.Errorf("%w: %U stands in it already", errFont, r)
	}
	offset := slices.Clone(s.offset)
	for i := range offset[:at] {
		if offset[i] != 0 {
			offset[i] += 2 // counted from its own place to glyphs, which move by one entry
		}
	}
	n := len(s.end) + 1
	half := 1
	log := uint16(0)
	for half*2 <= n {
		half, log = half*2, log+1
	}
	words := []uint16{
		0, 1, 3, 1, 0, 12, // version, one subtable: platform 3, encoding 1, at byte 12
		4, uint16(16 + 8*n + 2*len(s.glyphs)), 0, uint16(2 * n), uint16(2 * half), log, uint16(2 * (n - half)),
	}
	words = append(words, slices.Insert(slices.Clone(s.end), at, r)...)
	words = append(words, 0)
	words = append(words, slices.Insert(slices.Clone(s.start), at, r)...)
	words = append(words, slices.Insert(slices.Clone(s.delta), at, glyph-r)...)
	words = append(words, slices.Insert(offset, at, 0)...)
	words = append(words, s.glyphs...)
	table := make([]byte, 0, 2*len(words))
	for _, w := range words {
		table = binary.BigEndian.AppendUint16(table, w)
	}
	return table, nil
}
