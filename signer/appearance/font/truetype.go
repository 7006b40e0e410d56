// Package font reads TrueType fonts and embeds subsets of them into PDF files: only the characters that are used, each
// under a number of its own, so that a reader can copy out exactly the text that was written. Outlines are neither
// changed nor redrawn. The same characters of the same font give the same bytes.
package font

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sort"
	"strings"
)

// ErrUnusable: the file is damaged, of another format, beyond the limits, or its licence does not allow embedding. The
// wrapping text says which.
var ErrUnusable = errors.New("unusable font")

// Limits of a font file. The largest free fonts of many scripts are below them.
const (
	maxFontSize   = 16 << 20 // bytes
	maxTables     = 64
	maxComponents = 256 // of one composite glyph
	maxComposite  = 6   // levels of composite glyphs in composite glyphs
)

// Font is a parsed TrueType font: the tables a subset is made of, and its metrics. All slices point into the file.
type Font struct {
	name       string // PostScript name, only letters, digits and '-'
	tables     map[string][]byte
	glyphs     int
	units      int // per em
	longLoca   bool
	hMetrics   int
	ascent     int
	descent    int // negative below the baseline
	capHeight  int
	bbox       [4]int
	italic     float64 // degrees, counter-clockwise
	fixedPitch bool
	lookup     func(r rune) int // glyph of a character, 0 when there is none
}

func u16(b []byte, at int) int { return int(binary.BigEndian.Uint16(b[at:])) }
func i16(b []byte, at int) int { return int(int16(binary.BigEndian.Uint16(b[at:]))) }
func u32(b []byte, at int) int { return int(binary.BigEndian.Uint32(b[at:])) }

// Parse reads a font with TrueType outlines (Microsoft OpenType 1.9). It refuses what may not or cannot be
// embedded as a subset. Errors wrap ErrUnusable.
func Parse(data []byte) (*Font, error) {
	f := &Font{tables: map[string][]byte{}}
	for _, step := range []func() error{
		func() error { return f.readDirectory(data) }, f.readHead, f.readMetrics, f.readLoca, f.readRights, f.readName, f.readCmap,
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func badFont(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrUnusable, fmt.Sprintf(format, args...))
}

func (f *Font) readDirectory(data []byte) error {
	if len(data) > maxFontSize {
		return badFont("larger than %d bytes", maxFontSize)
	}
	if len(data) < 12 {
		return badFont("shorter than its header")
	}
	switch string(data[:4]) {
	case "\x00\x01\x00\x00", "true":
	case "OTTO":
		return badFont("it has PostScript outlines (CFF); give a font with TrueType outlines (.ttf)")
	case "ttcf":
		return badFont("it is a collection; give one font of it as a file of its own")
	default:
		return badFont("not a TrueType file")
	}
	n := u16(data, 4)
	if n > maxTables || len(data) < 12+16*n {
		return badFont("table directory")
	}
	for i := range n {
		row := data[12+16*i:]
		at, size := u32(row, 8), u32(row, 12)
		if at > len(data) || size > len(data)-at {
			return badFont("table %q lies outside the file", row[:4])
		}
		f.tables[string(row[:4])] = data[at : at+size : at+size]
	}
	for tag, least := range map[string]int{"head": 54, "hhea": 36, "maxp": 6, "hmtx": 4, "loca": 4, "glyf": 0, "cmap": 4} {
		if t, ok := f.tables[tag]; !ok || len(t) < least {
			return badFont("table %q is missing or too short", tag)
		}
	}
	return nil
}

func (f *Font) readHead() error {
	head := f.tables["head"]
	f.units = u16(head, 18)
	if f.units < 16 || f.units > 16384 {
		return badFont("%d units per em", f.units)
	}
	for i := range f.bbox {
		f.bbox[i] = i16(head, 36+2*i)
	}
	format := u16(head, 50)
	if format > 1 {
		return badFont("format %d of table \"loca\"", format)
	}
	f.longLoca = format == 1
	f.glyphs = u16(f.tables["maxp"], 4)
	if f.glyphs == 0 {
		return badFont("it has no glyphs")
	}
	return nil
}

func (f *Font) readMetrics() error {
	hhea := f.tables["hhea"]
	f.ascent, f.descent, f.hMetrics = i16(hhea, 4), i16(hhea, 6), u16(hhea, 34)
	if f.hMetrics == 0 || f.hMetrics > f.glyphs || len(f.tables["hmtx"]) < 4*f.hMetrics+2*(f.glyphs-f.hMetrics) {
		return badFont("horizontal metrics do not fit the number of glyphs")
	}
	f.capHeight = f.units * 7 / 10
	if os2 := f.tables["OS/2"]; len(os2) >= 90 && u16(os2, 0) >= 2 && i16(os2, 88) > 0 {
		f.capHeight = i16(os2, 88)
	}
	if post := f.tables["post"]; len(post) >= 16 {
		f.italic = float64(int32(binary.BigEndian.Uint32(post[4:]))) / 65536
		f.fixedPitch = u32(post, 12) != 0
	}
	return nil
}

func (f *Font) readLoca() error {
	size := 2
	if f.longLoca {
		size = 4
	}
	if len(f.tables["loca"]) < size*(f.glyphs+1) {
		return badFont("table \"loca\" is shorter than its %d glyphs", f.glyphs)
	}
	return nil
}

// readRights honours the embedding permissions (OS/2 fsType): a licence that forbids embedding, or to embed a part.
func (f *Font) readRights() error {
	os2 := f.tables["OS/2"]
	if len(os2) < 10 {
		return nil
	}
	const restricted, noSubset, bitmapsOnly = 0x0002, 0x0100, 0x0200
	switch rights := u16(os2, 8); {
	case rights&0x000f == restricted:
		return badFont("its licence does not allow embedding (fsType %#04x)", rights)
	case rights&(noSubset|bitmapsOnly) != 0:
		return badFont("its licence does not allow embedding a subset of its outlines (fsType %#04x)", rights)
	}
	return nil
}

// readName takes the PostScript name; a font without one is called "Font".
func (f *Font) readName() error {
	f.name = "Font"
	name := f.tables["name"]
	if len(name) < 6 {
		return nil
	}
	texts := u16(name, 4)
	for i := range u16(name, 2) {
		if len(name) < 6+12*(i+1) {
			return badFont("table \"name\" is too short")
		}
		row := name[6+12*i:]
		size, at := u16(row, 8), texts+u16(row, 10)
		if u16(row, 6) != 6 || at+size > len(name) {
			continue
		}
		clean := strings.Map(func(r rune) rune { // also drops the zero bytes of UTF-16
			if r == '-' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' {
				return r
			}
			return -1
		}, string(name[at:at+size]))
		if clean != "" && len(clean) <= 63 {
			f.name = clean
			return nil
		}
	}
	return nil
}

// readCmap chooses the Unicode mapping with the most characters.
func (f *Font) readCmap() error {
	cmap := f.tables["cmap"]
	best := 0
	for i := range u16(cmap, 2) {
		if len(cmap) < 4+8*(i+1) {
			return badFont("table \"cmap\" is too short")
		}
		row := cmap[4+8*i:]
		platform, encoding, at := u16(row, 0), u16(row, 2), u32(row, 4)
		if at > len(cmap)-4 {
			return badFont("a mapping lies outside table \"cmap\"")
		}
		sub := cmap[at:]
		unicode := platform == 0 && encoding != 5 || platform == 3 && (encoding == 1 || encoding == 10)
		format := u16(sub, 0)
		switch {
		case unicode && format == 4 && best < 4:
			look, err := cmap4(sub)
			if err != nil {
				return err
			}
			f.lookup, best = look, 4
		case unicode && format == 12 && best < 12:
			look, err := cmap12(sub)
			if err != nil {
				return err
			}
			f.lookup, best = look, 12
		}
	}
	if best == 0 {
		return badFont("it has no Unicode mapping that is read here (\"cmap\" format 4 or 12)")
	}
	return nil
}

// cmap4 reads a mapping of segments for the Basic Multilingual Plane.
func cmap4(sub []byte) (func(rune) int, error) {
	if len(sub) < 16 {
		return nil, badFont("\"cmap\" format 4 is too short")
	}
	n := u16(sub, 6) / 2
	if len(sub) < 16+8*n {
		return nil, badFont("\"cmap\" format 4 is too short")
	}
	ends, starts, deltas, offsets := 14, 16+2*n, 16+4*n, 16+6*n
	return func(r rune) int {
		if r > 0xffff {
			return 0
		}
		c := int(r)
		i := sort.Search(n, func(i int) bool { return u16(sub, ends+2*i) >= c })
		if i == n || u16(sub, starts+2*i) > c {
			return 0
		}
		delta, offset := u16(sub, deltas+2*i), u16(sub, offsets+2*i)
		if offset == 0 {
			return (c + delta) & 0xffff
		}
		at := offsets + 2*i + offset + 2*(c-u16(sub, starts+2*i))
		if at+2 > len(sub) {
			return 0
		}
		if glyph := u16(sub, at); glyph != 0 {
			return (glyph + delta) & 0xffff
		}
		return 0
	}, nil
}

// cmap12 reads a mapping of groups for all of Unicode.
func cmap12(sub []byte) (func(rune) int, error) {
	if len(sub) < 16 {
		return nil, badFont("\"cmap\" format 12 is too short")
	}
	n := u32(sub, 12)
	if n > (len(sub)-16)/12 {
		return nil, badFont("\"cmap\" format 12 is too short")
	}
	return func(r rune) int {
		c := int(r)
		i := sort.Search(n, func(i int) bool { return u32(sub, 16+12*i+4) >= c })
		if i == n || u32(sub, 16+12*i) > c {
			return 0
		}
		return u32(sub, 16+12*i+8) + c - u32(sub, 16+12*i)
	}, nil
}

// glyph returns the glyph of a character, 0 when the font lacks it. A few characters differ from others in meaning and
// not in shape; where a font has only the other, that is shown, and the text that is copied stays what it was.
func (f *Font) glyph(r rune) int {
	if g := f.lookup(r); g > 0 && g < f.glyphs {
		return g
	}
	switch r {
	case '\u02bc': // the apostrophe of Ukrainian
		return f.glyph('\u2019')
	case '\u2010', '\u2011': // hyphen, non-breaking hyphen
		return f.glyph('-')
	case '\u00a0', '\u202f': // non-breaking spaces
		return f.glyph(' ')
	}
	return 0
}

// advance returns the width of a glyph in font units.
func (f *Font) advance(glyph int) int { return u16(f.tables["hmtx"], 4*min(glyph, f.hMetrics-1)) }

// bearing returns the left side bearing of a glyph.
func (f *Font) bearing(glyph int) int {
	if glyph < f.hMetrics {
		return i16(f.tables["hmtx"], 4*glyph+2)
	}
	return i16(f.tables["hmtx"], 4*f.hMetrics+2*(glyph-f.hMetrics))
}

// outline returns the description of a glyph, empty for one without ink.
func (f *Font) outline(glyph int) ([]byte, error) {
	loca, glyf := f.tables["loca"], f.tables["glyf"]
	var from, to int
	if f.longLoca {
		from, to = u32(loca, 4*glyph), u32(loca, 4*glyph+4)
	} else {
		from, to = 2*u16(loca, 2*glyph), 2*u16(loca, 2*glyph+2)
	}
	if from > to || to > len(glyf) || to-from > 0 && to-from < 10 {
		return nil, badFont("outline of glyph %d", glyph)
	}
	return glyf[from:to:to], nil
}

// components returns where in a composite outline the numbers of its parts stand; nil for a simple one.
func components(outline []byte) ([]int, error) {
	if len(outline) == 0 || i16(outline, 0) >= 0 {
		return nil, nil
	}
	const words, scale, more, xyScale, matrix = 0x0001, 0x0008, 0x0020, 0x0040, 0x0080
	var places []int
	for at := 10; ; {
		if at+4 > len(outline) || len(places) >= maxComponents {
			return nil, badFont("composite glyph")
		}
		flags := u16(outline, at)
		places = append(places, at+2)
		at += 6
		if flags&words != 0 {
			at += 2
		}
		switch {
		case flags&scale != 0:
			at += 2
		case flags&xyScale != 0:
			at += 4
		case flags&matrix != 0:
			at += 8
		}
		if at > len(outline) {
			return nil, badFont("composite glyph")
		}
		if flags&more == 0 {
			return places, nil
		}
	}
}
