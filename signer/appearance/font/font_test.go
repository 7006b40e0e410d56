package font

import (
	"bytes"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/image/font/gofont/gomono"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
	"pgregory.net/rapid"
)

func parse(t testing.TB, data []byte) *Font {
	t.Helper()
	f, err := Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// repertoire returns every character that a font shows.
func repertoire(f *Font) (all []rune) {
	for r := rune(0x20); r < 0x30000; r++ {
		if f.Shows(r) {
			all = append(all, r)
		}
	}
	return all
}

// outlineOf asks another reader for the outline of a glyph.
func outlineOf(t testing.TB, f *sfnt.Font, glyph int) sfnt.Segments {
	t.Helper()
	var buf sfnt.Buffer
	s, err := f.LoadGlyph(&buf, sfnt.GlyphIndex(glyph), fixed.I(1000), nil)
	if err != nil {
		t.Fatalf("glyph %d: %v", glyph, err)
	}
	return slices.Clone(s)
}

// readable adds what a font file needs beside what an embedded one has, so that another reader takes it.
func readable(t testing.TB, subset []byte, from *Font) []byte {
	t.Helper()
	tables := map[string][]byte{}
	for i := range u16(subset, 4) {
		row := subset[12+16*i:]
		tables[string(row[:4])] = subset[u32(row, 8) : u32(row, 8)+u32(row, 12)]
		if got := checksum(tables[string(row[:4])]); string(row[:4]) != "head" && got != uint32(u32(row, 4)) {
			t.Errorf("checksum of table %q", row[:4])
		}
	}
	if sum := checksum(subset); sum != 0xB1B0AFBA {
		t.Errorf("checksum of the subset is %#x", sum)
	}
	for _, tag := range []string{"cmap", "name", "OS/2"} {
		tables[tag] = from.tables[tag]
	}
	tables["post"] = make([]byte, 32)
	binary.BigEndian.PutUint32(tables["post"], 0x00030000)
	return writeTables(tables)
}

// The Go fonts have no composite glyphs, so a font with some is made of one: "Å" of itself and a part, "Ä" of "Å".
func composites(t testing.TB) []byte {
	t.Helper()
	f := parse(t, goregular.TTF)
	part := func(flags, glyph, dx, dy int) []byte {
		b := make([]byte, 0, 8)
		for _, v := range []int{flags, glyph, dx, dy} {
			b = binary.BigEndian.AppendUint16(b, uint16(v))
		}
		return b
	}
	header := make([]byte, 10)
	binary.BigEndian.PutUint16(header, 0xffff)
	const words, xy, more, scaled = 0x0001, 0x0002, 0x0020, 0x0008
	first := slices.Concat(header, part(words|xy|more, f.glyph('A'), 0, 0), part(words|xy|scaled, f.glyph('o'), 300, 900), []byte{0x20, 0})
	second := slices.Concat(header, part(words|xy|more, f.glyph('Å'), 0, 0), part(words|xy, f.glyph('.'), 40, -30))
	return withOutlines(f, map[int][]byte{f.glyph('Å'): first, f.glyph('Ä'): second})
}

// withOutlines returns a font with other outlines for some glyphs.
func withOutlines(f *Font, other map[int][]byte) []byte {
	var glyf, loca []byte
	for i := range f.glyphs {
		o, ok := other[i]
		if !ok {
			o, _ = f.outline(i)
		}
		loca = binary.BigEndian.AppendUint32(loca, uint32(len(glyf)))
		glyf = append(glyf, o...)
	}
	loca = binary.BigEndian.AppendUint32(loca, uint32(len(glyf)))
	tables := maps.Clone(f.tables)
	tables["head"] = bytes.Clone(tables["head"])
	binary.BigEndian.PutUint16(tables["head"][50:], 1)
	tables["glyf"], tables["loca"] = glyf, loca
	return writeTables(tables)
}

func TestSubsetShowsWhatTheFontShows(t *testing.T) {
	for name, data := range map[string][]byte{"regular": goregular.TTF, "mono": gomono.TTF, "composites": composites(t)} {
		t.Run(name, func(t *testing.T) {
			f := parse(t, data)
			whole, err := sfnt.Parse(data)
			if err != nil {
				t.Fatal(err)
			}
			all := repertoire(f)
			rapid.Check(t, func(rt *rapid.T) {
				runes := append(rapid.SliceOfN(rapid.SampledFrom(all), 1, 40).Draw(rt, "runes"), 'Ä')
				s, err := f.NewSubset(runes)
				if err != nil {
					rt.Fatal(err)
				}
				part, err := sfnt.Parse(readable(t, s.data, f))
				if err != nil {
					rt.Fatal(err)
				}
				for _, r := range runes {
					if diff := cmp.Diff(outlineOf(t, whole, f.glyph(r)), outlineOf(t, part, s.code(r))); diff != "" {
						rt.Errorf("outline of %q: %s", r, diff)
					}
					sub := *f
					sub.tables, sub.hMetrics = map[string][]byte{"hmtx": tableOf(s.data, "hmtx")}, len(s.glyphs)
					if sub.advance(s.code(r)) != f.advance(f.glyph(r)) || sub.bearing(s.code(r)) != f.bearing(f.glyph(r)) {
						rt.Errorf("metrics of %q", r)
					}
				}
			})
		})
	}
}

func tableOf(font []byte, tag string) []byte {
	for i := range u16(font, 4) {
		if row := font[12+16*i:]; string(row[:4]) == tag {
			return font[u32(row, 8) : u32(row, 8)+u32(row, 12)]
		}
	}
	return nil
}

func TestSubsetIsSmallAndAlwaysTheSame(t *testing.T) {
	f := parse(t, goregular.TTF)
	a, err := f.NewSubset([]rune("Шевченко Тарас"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := f.NewSubset([]rune("сарТ окнечвеШаа"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a.data, b.data) {
		t.Error("the same characters give another subset")
	}
	if len(a.data) > 12<<10 {
		t.Errorf("subset of %d bytes", len(a.data))
	}
}

// Each damage is told from the others by its words.
func TestFontsThatCannotBeUsed(t *testing.T) {
	f := parse(t, goregular.TTF)
	set := func(tag string, at int, v uint16) []byte {
		tables := maps.Clone(f.tables)
		tables[tag] = bytes.Clone(tables[tag])
		binary.BigEndian.PutUint16(tables[tag][at:], v)
		return writeTables(tables)
	}
	without := func(tag string) []byte {
		tables := maps.Clone(f.tables)
		delete(tables, tag)
		return writeTables(tables)
	}
	with := func(tag string, data []byte) []byte {
		tables := maps.Clone(f.tables)
		tables[tag] = data
		return writeTables(tables)
	}
	for want, data := range map[string][]byte{
		"not a TrueType file":             []byte("%PDF-1.7 and more than twelve bytes"),
		"shorter than its header":         {},
		"PostScript outlines":             append([]byte("OTTO"), make([]byte, 20)...),
		"a collection":                    append([]byte("ttcf"), make([]byte, 20)...),
		"larger than":                     make([]byte, maxFontSize+1),
		"lies outside the file":           goregular.TTF[:5000],
		"\"glyf\" is missing":             without("glyf"),
		"units per em":                    set("head", 18, 0),
		"format 7 of table":               set("head", 50, 7),
		"no glyphs":                       set("maxp", 4, 0),
		"metrics do not fit":              set("hhea", 34, 9999),
		"\"loca\" is shorter":             with("loca", make([]byte, 20)),
		"does not allow embedding (":      set("OS/2", 8, 0x0002),
		"embedding a subset":              set("OS/2", 8, 0x0104),
		"no Unicode mapping":              with("cmap", make([]byte, 4)),
		"\"cmap\" is too short":           with("cmap", []byte{0, 0, 0, 9}),
		"\"name\" is too short":           with("name", []byte{0, 0, 0, 9, 0, 0, 0}),
		"\"cmap\" format 4 is too short":  with("cmap", slices.Concat([]byte{0, 0, 0, 1, 0, 3, 0, 1, 0, 0, 0, 12, 0, 4}, make([]byte, 4), []byte{0x40, 0}, make([]byte, 8))),
		"\"cmap\" format 12 is too short": with("cmap", slices.Concat([]byte{0, 0, 0, 1, 0, 3, 0, 10, 0, 0, 0, 12, 0, 12}, make([]byte, 10), []byte{9, 0, 0, 0})),
	} {
		_, err := Parse(data)
		if !errors.Is(err, ErrUnusable) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q expected, got %v", want, err)
		}
	}
}

func TestCompositesThatNeverEnd(t *testing.T) {
	f := parse(t, goregular.TTF)
	ring := func(glyphs ...int) []byte {
		other := map[int][]byte{}
		for i, g := range glyphs {
			o := make([]byte, 16)
			binary.BigEndian.PutUint16(o, 0xffff)
			binary.BigEndian.PutUint16(o[12:], uint16(glyphs[(i+1)%len(glyphs)]))
			other[g] = o
		}
		return withOutlines(f, other)
	}
	missing := make([]byte, 16)
	binary.BigEndian.PutUint16(missing, 0xffff)
	binary.BigEndian.PutUint16(missing[12:], 65535)
	for want, data := range map[string][]byte{
		"nested too deep":          ring(f.glyph('A')),
		"nested":                   ring(f.glyph('A'), f.glyph('B'), f.glyph('C')),
		"a part that is not there": withOutlines(f, map[int][]byte{f.glyph('A'): missing}),
		"composite glyph":          withOutlines(f, map[int][]byte{f.glyph('A'): missing[:12]}),
	} {
		_, err := parse(t, data).NewSubset([]rune{'A'})
		if !errors.Is(err, ErrUnusable) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q expected, got %v", want, err)
		}
	}
}

const fuzzText = "Щи Å, 1"

// small returns a font with the characters of fuzzText alone, mapped in one of the two formats: a file as large as a
// whole font changes too little under a fuzzer.
func small(t testing.TB, format int) []byte {
	t.Helper()
	s, err := parse(t, composites(t)).NewSubset([]rune(fuzzText))
	if err != nil {
		t.Fatal(err)
	}
	tables := map[string][]byte{"name": {0, 0, 0, 1, 0, 18, 0, 1, 0, 0, 0, 0, 0, 6, 0, 2, 0, 0, 'G', 'o'}}
	for _, tag := range []string{"head", "hhea", "maxp", "hmtx", "loca", "glyf"} {
		tables[tag] = tableOf(s.data, tag)
	}
	put16, put32 := binary.BigEndian.AppendUint16, binary.BigEndian.AppendUint32
	n := len(s.runes)
	sub := put16(nil, uint16(format))
	if format == 12 {
		sub = put32(put32(put32(put16(sub, 0), uint32(16+12*n)), 0), uint32(n))
		for i, r := range s.runes {
			sub = put32(put32(put32(sub, uint32(r)), uint32(r)), uint32(i+1))
		}
	} else {
		sub = append(put16(put16(put16(sub, uint16(16+8*n)), 0), uint16(2*n)), make([]byte, 6)...)
		for _, r := range s.runes {
			sub = put16(sub, uint16(r))
		}
		sub = put16(sub, 0)
		for _, r := range s.runes {
			sub = put16(sub, uint16(r))
		}
		for i, r := range s.runes {
			sub = put16(sub, uint16(i+1)-uint16(r))
		}
		sub = append(sub, make([]byte, 2*n)...)
	}
	tables["cmap"] = append([]byte{0, 0, 0, 1, 0, 3, 0, 10, 0, 0, 0, 12}, sub...)
	return writeTables(tables)
}

func TestBothFormatsOfMapping(t *testing.T) {
	for _, format := range []int{4, 12} {
		f := parse(t, small(t, format))
		if lacking := f.Lacking(fuzzText); lacking != nil || f.Name() != "Go" {
			t.Errorf("format %d: name %q, lacks %q", format, f.Name(), lacking)
		}
		if f.glyph('Ж') != 0 || f.glyph(0x1f600) != 0 || f.glyph(0) != 0 {
			t.Errorf("format %d has what it has not", format)
		}
	}
}

func FuzzFont(f *testing.F) {
	f.Add(small(f, 4))
	f.Add(small(f, 12))
	f.Fuzz(func(t *testing.T, data []byte) {
		font, err := Parse(data)
		if err != nil {
			if !errors.Is(err, ErrUnusable) {
				t.Errorf("error of another kind: %v", err)
			}
			return
		}
		if font.Lacking(fuzzText) != nil {
			return
		}
		s, err := font.NewSubset([]rune(fuzzText))
		if err != nil {
			return
		}
		if !(font.Width(fuzzText, 10) >= 0) || s.code('1') == 0 || len(s.Encode(fuzzText)) != 2+4*7 {
			t.Error("text is lost")
		}
		if len(s.toUnicode()) == 0 || len(s.widths()) == 0 || len(s.data) > 4*len(data)+1<<20 {
			t.Errorf("subset of %d bytes from %d", len(s.data), len(data))
		}
	})
}
