package font

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// Subset is a TrueType font with only some glyphs of another. Glyph 0 is .notdef and glyph i+1 shows runes[i], so that
// one number is always one character, even where the original shows several characters by one glyph; parts of composite
// glyphs follow.
type Subset struct {
	from   *Font
	runes  []rune // in order
	glyphs []int  // new number to the number in the original
	data   []byte // the font file
}

// NewSubset keeps the glyphs of the characters given, each of which the font must have. Equal characters give equal bytes.
func (f *Font) NewSubset(runes []rune) (*Subset, error) {
	s := &Subset{from: f, runes: slices.Compact(slices.Sorted(slices.Values(runes))), glyphs: []int{0}}
	for _, r := range s.runes {
		s.glyphs = append(s.glyphs, f.glyph(r))
	}
	part := map[int]int{} // number in the original to the new number, for parts of composite glyphs
	var outlines [][]byte
	for i := 0; i < len(s.glyphs); i++ { // grows while parts are found
		o, err := s.renumber(s.glyphs[i], part)
		if err != nil {
			return nil, err
		}
		outlines = append(outlines, o)
		if len(s.glyphs) > 0xffff {
			return nil, badFont("a subset of more than %d glyphs", 0xffff)
		}
	}
	heights := map[int]int{}
	for i := range s.glyphs {
		if _, err := height(i, outlines, heights, 0); err != nil {
			return nil, err
		}
	}
	s.data = s.assemble(outlines)
	return s, nil
}

// renumber returns the outline of an original glyph with its parts under their new numbers.
func (s *Subset) renumber(glyph int, part map[int]int) ([]byte, error) {
	o, err := s.from.outline(glyph)
	if err != nil {
		return nil, err
	}
	places, err := components(o)
	if err != nil || len(places) == 0 {
		return o, err
	}
	o = bytes.Clone(o)
	for _, at := range places {
		old := u16(o, at)
		if old >= s.from.glyphs {
			return nil, badFont("glyph %d has a part that is not there", glyph)
		}
		if _, ok := part[old]; !ok {
			part[old] = len(s.glyphs)
			s.glyphs = append(s.glyphs, old)
		}
		binary.BigEndian.PutUint16(o[at:], uint16(part[old]))
	}
	return o, nil
}

// height returns how many levels of parts a glyph has. It refuses composite glyphs that contain themselves, or so many
// levels that readers give up. known keeps the work linear.
func height(glyph int, outlines [][]byte, known map[int]int, depth int) (int, error) {
	if h, ok := known[glyph]; ok {
		return h, nil
	}
	places, err := components(outlines[glyph])
	if err != nil {
		return 0, err
	}
	h := 0
	for _, at := range places {
		if depth >= maxComposite {
			return 0, badFont("composite glyphs are nested too deep")
		}
		below, err := height(u16(outlines[glyph], at), outlines, known, depth+1)
		if err != nil {
			return 0, err
		}
		h = max(h, below+1)
	}
	if h > maxComposite {
		return 0, badFont("composite glyphs are nested too deep")
	}
	known[glyph] = h
	return h, nil
}

// assemble writes the font file with the tables that an embedded font needs (ISO 32000-2 clause 9.9.1).
func (s *Subset) assemble(outlines [][]byte) []byte {
	n := len(s.glyphs)
	var glyf, loca, hmtx []byte
	for i, o := range outlines {
		loca = binary.BigEndian.AppendUint32(loca, uint32(len(glyf)))
		glyf = append(glyf, o...)
		for len(glyf)%4 != 0 {
			glyf = append(glyf, 0)
		}
		hmtx = binary.BigEndian.AppendUint16(hmtx, uint16(s.from.advance(s.glyphs[i])))
		hmtx = binary.BigEndian.AppendUint16(hmtx, uint16(s.from.bearing(s.glyphs[i])))
	}
	loca = binary.BigEndian.AppendUint32(loca, uint32(len(glyf)))
	head, hhea, maxp := bytes.Clone(s.from.tables["head"]), bytes.Clone(s.from.tables["hhea"]), bytes.Clone(s.from.tables["maxp"])
	binary.BigEndian.PutUint32(head[8:], 0)  // checkSumAdjustment, set below
	binary.BigEndian.PutUint16(head[50:], 1) // long offsets in loca
	binary.BigEndian.PutUint16(hhea[34:], uint16(n))
	binary.BigEndian.PutUint16(maxp[4:], uint16(n))
	tables := map[string][]byte{"head": head, "hhea": hhea, "maxp": maxp, "hmtx": hmtx, "loca": loca, "glyf": glyf}
	for _, tag := range []string{"cvt ", "fpgm", "prep"} { // what the instructions in the outlines refer to
		if t := s.from.tables[tag]; len(t) > 0 {
			tables[tag] = t
		}
	}
	return writeTables(tables)
}

// writeTables puts tables behind a directory, in the order of their tags, with the checksums of the format.
func writeTables(tables map[string][]byte) []byte {
	var tags []string
	for tag := range tables {
		tags = append(tags, tag)
	}
	slices.Sort(tags)
	n, power, log := len(tags), 1, 0
	for 2*power <= n {
		power, log = 2*power, log+1
	}
	out := []byte{0, 1, 0, 0}
	for _, v := range []int{n, 16 * power, log, 16 * (n - power)} {
		out = binary.BigEndian.AppendUint16(out, uint16(v))
	}
	at := len(out) + 16*n
	var body []byte
	head := 0
	for _, tag := range tags {
		if tag == "head" {
			head = at + len(body)
		}
		t := tables[tag]
		out = append(out, tag...)
		out = binary.BigEndian.AppendUint32(out, checksum(t))
		out = binary.BigEndian.AppendUint32(out, uint32(at+len(body)))
		out = binary.BigEndian.AppendUint32(out, uint32(len(t)))
		body = append(body, t...)
		for len(body)%4 != 0 {
			body = append(body, 0)
		}
	}
	out = append(out, body...)
	binary.BigEndian.PutUint32(out[head+8:], 0xB1B0AFBA-checksum(out))
	return out
}

func checksum(t []byte) uint32 {
	var sum uint32
	for len(t) >= 4 {
		sum += binary.BigEndian.Uint32(t)
		t = t[4:]
	}
	var last [4]byte
	copy(last[:], t)
	return sum + binary.BigEndian.Uint32(last[:])
}
