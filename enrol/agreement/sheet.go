package agreement

import (
	"fmt"
	"strings"

	"codeberg.org/go-pdf/fpdf"
	"golang.org/x/image/font/sfnt"
)

// Measures of the A4 page in mm, sizes of type in points.
const (
	pageWidth  = 210.0
	pageHeight = 297.0
	left       = 22.0
	right      = pageWidth - 22
	top        = 27.0
	bottom     = pageHeight - 21
	indent     = 11.0 // of a clause behind its number

	sizeBody  = 9.6
	sizeSmall = 7.8
	leading   = 1.4 // line height by size of type
	mm        = 25.4 / 72
	capHeight = 0.72 // height of a capital by size of type
)

type colour struct{ r, g, b int }

func ink() colour   { return colour{0x1a, 0x1d, 0x24} }
func navy() colour  { return colour{0x1f, 0x38, 0x64} }
func muted() colour { return colour{0x5b, 0x65, 0x74} }
func rule() colour  { return colour{0xb4, 0xbf, 0xce} }
func tint() colour  { return colour{0xf1, 0xf4, 0xf8} }
func alarm() colour { return colour{0xb0, 0x1e, 0x1e} }
func ghost() colour { return colour{0xf6, 0xe6, 0xe6} }

// style of a run of text.
type style struct {
	bold   bool
	size   float64
	colour colour
}

func body() style          { return style{size: sizeBody, colour: ink()} }
func small() style         { return style{size: sizeSmall, colour: muted()} }
func (s style) b() style   { s.bold = true; return s }
func (s style) h() float64 { return s.size * leading * mm }

// sheet is the document being set: a place on the current page.
type sheet struct {
	pdf   *fpdf.Fpdf
	t     texts
	y     float64 // where the next block begins
	pages int     // how many there will be, 0 while they are counted
	head  string  // of every page
	foot  string
	test  bool
	face  *sfnt.Font // for the test mark
}

func newSheet(f fonts, t texts, d Data, pages int) *sheet {
	pdf := fpdf.New("P", "mm", "A4", "")
	pdf.SetCatalogSort(true)
	at := d.At.UTC()
	pdf.SetCreationDate(at)
	pdf.SetModificationDate(at)
	pdf.SetAutoPageBreak(false, 0)
	pdf.SetMargins(left, top, pageWidth-right)
	pdf.AddUTF8FontFromBytes("Go", "", f.regular)
	pdf.AddUTF8FontFromBytes("Go", "B", f.bold)
	pdf.SetLang(d.Language)
	pdf.SetTitle(t.title+" "+t.subtitle+" № "+d.Number, true)
	pdf.SetAuthor(d.Provider.Name, true)
	pdf.SetProducer("ECSigner", true)
	s := &sheet{pdf: pdf, t: t, pages: pages, test: d.Test, face: f.boldF}
	s.head = t.document + " " + d.Number
	s.foot = strings.Join([]string{t.version + " " + t.edition, t.language, at.Format("2006-01-02 15:04:05") + " UTC"}, "  ·  ")
	s.newPage()
	return s
}

// use makes a style current.
func (s *sheet) use(st style) {
	weight := ""
	if st.bold {
		weight = "B"
	}
	s.pdf.SetFont("Go", weight, st.size)
	s.pdf.SetTextColor(st.colour.r, st.colour.g, st.colour.b)
}

// text sets one line whose top is y.
func (s *sheet) text(x, y float64, st style, line string) {
	s.use(st)
	s.pdf.Text(x, y+(st.h()+capHeight*st.size*mm)/2, line)
}

func (s *sheet) textRight(x, y float64, st style, line string) {
	s.text(x-s.width(st, line), y, st, line)
}

func (s *sheet) textCentre(y float64, st style, line string) {
	s.text((left+right-s.width(st, line))/2, y, st, line)
}

func (s *sheet) width(st style, line string) float64 {
	s.use(st)
	return s.pdf.GetStringWidth(line)
}

func (s *sheet) fill(x, y, w, h float64, c colour) {
	s.pdf.SetFillColor(c.r, c.g, c.b)
	s.pdf.Rect(x, y, w, h, "F")
}

func (s *sheet) frame(x, y, w, h float64, c colour) {
	s.pdf.SetDrawColor(c.r, c.g, c.b)
	s.pdf.SetLineWidth(0.25)
	s.pdf.Rect(x, y, w, h, "D")
}

func (s *sheet) line(x1, y1, x2, y2 float64, c colour) {
	s.pdf.SetDrawColor(c.r, c.g, c.b)
	s.pdf.SetLineWidth(0.25)
	s.pdf.Line(x1, y1, x2, y2)
}

// newPage begins a page with its header, footer and, on a test, its mark.
func (s *sheet) newPage() {
	s.pdf.AddPage()
	if s.test {
		s.watermark()
	}
	head := small()
	room := right - left
	if s.test {
		mark := style{true, sizeSmall, alarm()}
		w := s.width(mark, s.t.test) + 5
		room -= w + 3
		s.frame(right-w, 11.8, w, 6, alarm())
		s.text(right-w+2.5, 11.8+(6-mark.h())/2, mark, s.t.test)
	}
	s.text(left, 13, s.fit(head, s.head, room), s.head)
	s.line(left, 19.5, right, 19.5, rule())
	s.line(left, pageHeight-16.5, right, pageHeight-16.5, rule())
	s.text(left, pageHeight-15, head, s.foot)
	s.textRight(right, pageHeight-15, head, fmt.Sprintf(s.t.page, s.pdf.PageNo(), s.pages))
	s.y = top
}

// need begins a new page when a block of height h has no room on this one.
func (s *sheet) need(h float64) {
	if s.y+h > bottom && s.y > top {
		s.newPage()
	}
}

// wrap breaks text into lines not wider than w. It breaks at spaces; a word that is wider than the line is broken behind a
// hyphen, as in a double name, and where it has none, as a URL or a digest, anywhere.
func (s *sheet) wrap(st style, text string, w float64) []string {
	s.use(st)
	var lines []string
	line := ""
	for word := range strings.SplitSeq(text, " ") {
		with := word
		if line != "" {
			with = line + " " + word
		}
		if s.pdf.GetStringWidth(with) <= w {
			line = with
			continue
		}
		if line != "" {
			lines = append(lines, line)
		}
		line = ""
		for _, r := range word {
			if line != "" && s.pdf.GetStringWidth(line+string(r)) > w {
				cut := strings.LastIndexByte(line, '-') + 1
				if cut == 0 || strings.ContainsAny(line, "/:.") {
					cut = len(line)
				}
				lines = append(lines, line[:cut])
				line = line[cut:]
			}
			line += string(r)
		}
	}
	return append(lines, line)
}

// fit makes the type smaller, as far as it can be read, if that keeps the text on one line.
func (s *sheet) fit(st style, text string, w float64) style {
	smaller := st
	for smaller.size > 6 {
		if s.width(smaller, text) <= w {
			return smaller
		}
		smaller.size -= 0.2
	}
	return st
}

// lines sets wrapped text from y on and returns where it ends.
func (s *sheet) lines(x, y float64, st style, lines []string) float64 {
	for _, l := range lines {
		s.text(x, y, st, l)
		y += st.h()
	}
	return y
}
