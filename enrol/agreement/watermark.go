package agreement

import (
	"errors"
	"slices"

	"golang.org/x/image/font"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
)

// glyphs are drawn from outlines of this many units to the em.
const unitsPerEm = 1000

// watermark draws the test mark across the page, below everything else. It is drawn and not written, so that the text
// of the document can be copied and read aloud without it.
func (s *sheet) watermark() {
	const size = 46.0 // em in mm
	const x, y = pageWidth / 2, pageHeight / 2
	var buf sfnt.Buffer
	var shapes []sfnt.Segments
	var starts []float64
	width := 0.0
	for _, r := range s.t.testMark {
		glyph, err := s.face.GlyphIndex(&buf, r)
		segments, err2 := s.face.LoadGlyph(&buf, glyph, fixed.I(unitsPerEm), nil)
		shapes, starts = append(shapes, slices.Clone(segments)), append(starts, width)
		advance, err3 := s.face.GlyphAdvance(&buf, glyph, fixed.I(unitsPerEm), font.HintingNone)
		if err := errors.Join(err, err2, err3); err != nil {
			s.pdf.SetError(err)
			return
		}
		width += length(advance, size)
	}
	c := ghost()
	s.pdf.SetFillColor(c.r, c.g, c.b)
	s.pdf.TransformBegin()
	s.pdf.TransformRotate(50, x, y)
	for i, shape := range shapes {
		s.outline(x-width/2+starts[i], y+capHeight*size/2, size, shape)
	}
	s.pdf.TransformEnd()
}

// outline fills the shape of one glyph, its origin at (x, y).
func (s *sheet) outline(x, y, size float64, shape sfnt.Segments) {
	at := func(p fixed.Point26_6) (float64, float64) { return x + length(p.X, size), y + length(p.Y, size) }
	var px, py float64 // where the pen is
	for _, g := range shape {
		ax, ay := at(g.Args[0])
		bx, by := at(g.Args[1])
		cx, cy := at(g.Args[2])
		switch g.Op {
		case sfnt.SegmentOpMoveTo:
			s.pdf.MoveTo(ax, ay)
			px, py = ax, ay
		case sfnt.SegmentOpLineTo:
			s.pdf.LineTo(ax, ay)
			px, py = ax, ay
		case sfnt.SegmentOpQuadTo: // PDF has cubic curves only: the control points lie two thirds of the way
			s.pdf.CurveBezierCubicTo(px+(ax-px)*2/3, py+(ay-py)*2/3, bx+(ax-bx)*2/3, by+(ay-by)*2/3, bx, by)
			px, py = bx, by
		case sfnt.SegmentOpCubeTo:
			s.pdf.CurveBezierCubicTo(ax, ay, bx, by, cx, cy)
			px, py = cx, cy
		}
	}
	s.pdf.DrawPath("F")
}

// length converts a length in font units into mm, for type of the given em.
func length(v fixed.Int26_6, em float64) float64 { return float64(v) / 64 / unitsPerEm * em }
