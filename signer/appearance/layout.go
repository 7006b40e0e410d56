package appearance

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/ecsigner/ecsigner/signer/appearance/font"
)

// block is one item of the text.
type block struct {
	face   *font.Font
	scale  float64 // of the base size
	colour Colour
	label  string // before the text, or nothing
	text   string
	gap    float64 // above it, in base sizes
	whole  bool    // better set smaller than broken into lines: a date
}

// piece is a text at its place: the left end of the baseline, from the top left corner of the text area downwards.
type piece struct {
	face   *font.Font
	size   float64
	colour Colour
	text   string
	x, y   float64
}

const (
	leading     = 1.26 // distance of baselines, in sizes
	below       = 0.24 // room below the last baseline for descenders, in sizes
	comfortable = 8.0  // points: down to this size it is better to set smaller than to wrap
	legible     = 6.0  // points: down to this size a whole block stays in one line
	sizeStep    = 0.25 // points
	labelShare  = 0.4  // of the width that a column of labels may take
)

// manner is how far a setting may go to make the text fit.
type manner struct {
	wrap     bool // lines may break between words
	wrapDate bool // even in blocks that should stay whole
	cut      int  // > 0: lines also break within words, and an item is shortened with an ellipsis to so many lines
}

// setting is a text set at one size.
type setting struct {
	pieces []piece
	height float64
	fits   bool // in width
}

// typeset finds the largest size at which the blocks fit into w × h points: without any line broken if that is
// comfortable to read, else with lines broken between words, but for dates if that is legible, and at the smallest size
// with long items shortened by an ellipsis. Errors wrap ErrTooSmall.
func typeset(blocks []block, w, h, fixed float64, muted Colour) (setting, error) {
	low, high := minSize, maxSize
	if fixed > 0 {
		low, high = fixed, fixed
	}
	medium := min(high, max(low, 1.5*comfortable)) // larger text is not worth breaking lines for
	for _, try := range []struct {
		from, to float64
		manner
	}{
		{high, comfortable, manner{}}, {medium, legible, manner{wrap: true}}, {medium, low, manner{wrap: true, wrapDate: true}},
	} {
		for size := try.from; size >= max(low, try.to); size -= sizeStep {
			if s := set(blocks, w, size, try.manner, muted); s.fits && s.height <= h {
				return s, nil
			}
		}
	}
	var s setting
	for lines := 8; lines >= 1; lines-- {
		if s = set(blocks, w, low, manner{wrap: true, wrapDate: true, cut: lines}, muted); s.fits && s.height <= h {
			return s, nil
		}
	}
	if !s.fits {
		return s, fmt.Errorf("%w: %s points are left for a line at size %s", ErrTooSmall, number(max(w, 0)), number(low))
	}
	return s, fmt.Errorf("%w: the text needs a height of %s points at size %s, and %s are left", ErrTooSmall,
		number(s.height), number(low), number(max(h, 0)))
}

// set puts the blocks below one another at one base size.
func set(blocks []block, w, base float64, m manner, muted Colour) setting {
	column := labelColumn(blocks, base)
	inline := column > labelShare*w
	out := setting{fits: true}
	y, last := 0.0, 0.0
	for i, b := range blocks {
		size := base * b.scale
		x, first := 0.0, w
		if b.label != "" {
			x = column
			if inline {
				x = b.face.Width(b.label+" ", size)
			}
			first = w - x
		}
		rest := first
		if inline {
			rest = w
		}
		own := m
		own.wrap = m.wrap && (!b.whole || m.wrapDate)
		lines, ok := wrap(b.face, b.text, size, first, rest, own)
		out.fits = out.fits && ok
		if i == 0 {
			y = size * b.face.CapHeight()
		} else {
			y += b.gap*base + leading*size
		}
		if b.label != "" {
			out.pieces = append(out.pieces, piece{b.face, size, muted, b.label, 0, y})
		}
		for j, line := range lines {
			if j > 0 {
				y += leading * size
				if inline {
					x = 0
				}
			}
			out.pieces = append(out.pieces, piece{b.face, size, b.colour, line, x, y})
		}
		last = size
	}
	out.height = y + below*last
	return out
}

// labelColumn returns the width of the widest label with the gap after it.
func labelColumn(blocks []block, base float64) float64 {
	widest := 0.0
	for _, b := range blocks {
		if b.label != "" {
			widest = max(widest, b.face.Width(b.label, base*b.scale)+0.45*base)
		}
	}
	return widest
}

// wrap breaks a text into lines, the first and the others with their own width. It reports whether they keep it.
func wrap(f *font.Font, text string, size, first, rest float64, m manner) (lines []string, ok bool) {
	room := first
	for text != "" {
		if f.Width(text, size) <= room {
			return append(lines, text), true
		}
		if !m.wrap {
			return nil, false
		}
		if m.cut > 0 && len(lines) == m.cut-1 {
			short, ok := shorten(f, text, size, room)
			return append(lines, short), ok
		}
		n := breakAt(f, text, size, room, m.cut > 0)
		if n == 0 {
			return nil, false
		}
		lines = append(lines, strings.TrimRightFunc(text[:n], unicode.IsSpace))
		text = strings.TrimLeftFunc(text[n:], unicode.IsSpace)
		room = rest
	}
	return lines, true
}

// breakAt returns how many bytes of a text go into a line: up to the last space, or after a hyphen or slash, and 0 when
// there is none. force breaks a word that is longer than the line.
func breakAt(f *font.Font, text string, size, room float64, force bool) int {
	width, fit, all := 0.0, 0, 0
	for i, r := range text {
		if r == ' ' { // may hang over the edge
			fit = i + 1
		}
		n := len(string(r))
		if width += f.Width(string(r), size); width > room {
			break
		}
		all = i + n
		if (r == '-' || r == '/') && i > 0 {
			fit = i + n
		}
	}
	if fit == 0 && force {
		return all
	}
	return fit
}

// shorten cuts a text and puts an ellipsis at its end, of three full stops in a font without one.
func shorten(f *font.Font, text string, size, room float64) (string, bool) {
	dots := "…"
	if !f.Shows('…') {
		dots = "..."
	}
	room -= f.Width(dots, size)
	width, end := 0.0, 0
	for i, r := range text {
		if width += f.Width(string(r), size); width > room {
			break
		}
		end = i + len(string(r))
	}
	return strings.TrimRightFunc(text[:end], unicode.IsSpace) + dots, end > 0
}
