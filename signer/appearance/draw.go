package appearance

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"

	"github.com/ecsigner/ecsigner/signer/appearance/font"
	"github.com/ecsigner/ecsigner/signer/pdf"
	"github.com/ecsigner/ecsigner/signer/pdf/object"
)

// prepared is an appearance whose texts, fonts and picture were judged.
type prepared struct {
	*Appearance
	blocks  []block
	picture *picture
}

// Draw puts the form XObject of the appearance and all that it uses into the update, and returns the form. Errors wrap
// ErrOptions, ErrText, ErrFont, ErrPicture and ErrTooSmall.
func (a *Appearance) Draw(u *pdf.Update, at Place, f Facts) (object.Ref, error) {
	p, err := a.prepare(f)
	if err != nil {
		return object.Ref{}, err
	}
	if len(p.blocks) == 0 && p.picture == nil {
		return object.Ref{}, fmt.Errorf("%w: nothing to show", ErrOptions)
	}
	w, h := at.size()
	c := canvas{u: u, width: w, height: h, fonts: map[*font.Font]*font.Subset{}}
	if err := p.paint(&c); err != nil {
		return object.Ref{}, err
	}
	form := u.New()
	u.Put(form, object.FlateObject(fmt.Sprintf("/Type /XObject /Subtype /Form /BBox [0 0 %s] /Matrix [%s] /Resources << %s>>",
		numbers(w, h), numbers(at.matrix()...), c.resources()), c.b.Bytes()))
	return form, nil
}

func (a *Appearance) prepare(f Facts) (*prepared, error) {
	if err := a.checkOptions(); err != nil {
		return nil, err
	}
	p := &prepared{Appearance: a}
	var err error
	if a.Picture != nil {
		if p.picture, err = readPicture(a.Picture, a.Background.or(paper)); err != nil {
			return nil, err
		}
	}
	if a.PicturePlace != PictureOnly {
		err = p.compose(f)
	}
	return p, err
}

// faces reads the fonts for the text and for the name.
func (a *Appearance) faces() (regular, bold *font.Font, err error) {
	text, name := a.Font, a.BoldFont
	if text == nil {
		text = goregular.TTF
		if name == nil {
			name = gobold.TTF
		}
	}
	if regular, err = font.Parse(text); err != nil || name == nil {
		return regular, regular, err
	}
	bold, err = font.Parse(name)
	return regular, bold, err
}

// compose makes the blocks of text.
func (p *prepared) compose(f Facts) error {
	regular, bold, err := p.faces()
	if err != nil {
		return err
	}
	l, _ := labelsOf(p.Language)
	ink := p.Ink.or("#14181F")
	add := func(item Item, b block) {
		if b.text != "" && p.Hide&item == 0 {
			p.blocks = append(p.blocks, b)
		}
	}
	title := p.Accent.or(accent)
	if title == "none" {
		title = ink
	}
	add(Title, block{face: regular, scale: 0.86, colour: title, text: l.title})
	add(Name, block{face: bold, scale: 1.3, colour: ink, text: f.Name, gap: 0.08})
	heads := len(p.blocks)
	detail := block{face: regular, scale: 0.9, colour: ink}
	with := func(label, text string) block {
		b := detail
		b.label, b.text = label, text
		return b
	}
	add(Reason, with(l.reason, f.Reason))
	add(Location, with(l.location, f.Location))
	if !f.Time.IsZero() {
		zone, err := p.location()
		if err != nil {
			return err // which checkOptions said before
		}
		b := with(l.time, l.when(f.Time, zone))
		b.whole = true
		add(Time, b)
	}
	for _, line := range p.Lines {
		add(0, with("", line))
	}
	if heads > 0 && len(p.blocks) > heads {
		p.blocks[heads].gap = 0.28
	}
	for i := range p.blocks {
		b := &p.blocks[i]
		if b.text, err = clean(b.text); err != nil {
			return err
		}
		if err := check(b.face, b.label+b.text); err != nil {
			return err
		}
	}
	return nil
}

const paper, accent = "#FFFFFF", "#1F3A5F"

func (c Colour) or(d Colour) Colour {
	if c == "" {
		return d
	}
	return c
}

// paint draws everything from back to front.
func (p *prepared) paint(c *canvas) error {
	c.fill(p.Background.or(paper), 0, 0, c.width, c.height)
	area := frame{0, 0, c.width, c.height}
	stroke := p.BorderWidth
	if stroke == 0 {
		stroke = 0.5
	}
	if p.Border == "none" {
		stroke = 0
	}
	padding := min(max(0.1*min(c.width, c.height), 1.5), 12) + stroke
	bar := 0.0
	if p.PicturePlace != PictureOnly {
		bar = min(0.03*min(c.width, 3*c.height), 4)
		if p.Accent == "none" {
			bar = 0
		}
		c.fill(p.Accent.or(accent), 0, 0, bar, c.height)
	}
	area = area.inset(padding, bar)
	if p.picture != nil {
		area = p.paintPicture(c, area, padding)
	}
	if p.PicturePlace != PictureOnly && len(p.blocks) > 0 {
		s, err := typeset(p.blocks, area.w, area.h, p.FontSize, p.Muted.or("#5B6675"))
		if err != nil {
			return err
		}
		if err := c.text(s, area); err != nil {
			return err
		}
	}
	c.border(p.Border.or("#B9C1CC"), stroke)
	return nil
}

// paintPicture draws the picture and returns what it leaves for the text.
func (p *prepared) paintPicture(c *canvas, area frame, gap float64) frame {
	part, rest := area, area
	switch p.PicturePlace {
	case PictureLeft, PictureRight:
		part.w = min(0.4*area.w, area.h*p.picture.ratio())
		rest.w -= part.w + gap
		if p.PicturePlace == PictureLeft {
			rest.x += part.w + gap
		} else {
			part.x += area.w - part.w
		}
	case PictureTop:
		part.h = min(0.5*area.h, area.w/p.picture.ratio())
		part.y += area.h - part.h
		rest.h -= part.h + gap/2
	}
	if len(p.blocks) == 0 { // nothing stands beside it
		part = area
	}
	c.picture(p.picture, part)
	return rest
}

// frame is a part of the form: left, bottom, width and height in points.
type frame struct{ x, y, w, h float64 }

func (f frame) inset(by, left float64) frame {
	return frame{f.x + by + left, f.y + by, f.w - 2*by - left, f.h - 2*by}
}

// canvas collects the content of the form and its resources.
type canvas struct {
	u             *pdf.Update
	b             bytes.Buffer
	width, height float64
	fonts         map[*font.Font]*font.Subset
	refs          []object.Ref // of the fonts, in the order of their first use: /F0, /F1
	image         object.Ref
	grey          bool // the image is
}

// resources returns the entries of the resource dictionary. The device colours are defined by profiles, so that they
// mean the same whatever the output intent of the document (ISO 32000-2 clause 8.6.5.6). CMYK, which only a picture
// can have, stays as it is.
func (c *canvas) resources() string {
	profile := func(n int) object.Ref {
		ref := c.u.New()
		c.u.Put(ref, object.FlateObject(fmt.Sprintf("/N %d", n), iccProfile(n == 1)))
		return ref
	}
	s := fmt.Sprintf("/ColorSpace << /DefaultRGB [/ICCBased %v] ", profile(3))
	if c.grey {
		s += fmt.Sprintf("/DefaultGray [/ICCBased %v] ", profile(1))
	}
	s += ">> "
	if len(c.refs) > 0 {
		s += "/Font << "
		for i, ref := range c.refs {
			s += fmt.Sprintf("/F%d %v ", i, ref)
		}
		s += ">> "
	}
	if c.image != (object.Ref{}) {
		s += fmt.Sprintf("/XObject << /Im %v >> ", c.image)
	}
	return s
}

func (c *canvas) op(operator string, operands ...float64) {
	if len(operands) > 0 {
		c.b.WriteString(numbers(operands...) + " ")
	}
	c.b.WriteString(operator + "\n")
}

func (col Colour) rgb() []float64 {
	n, _ := strconv.ParseUint(strings.TrimPrefix(string(col), "#"), 16, 32) // checked before
	return []float64{float64(n>>16) / 255, float64(n>>8&255) / 255, float64(n&255) / 255}
}

func (c *canvas) fill(col Colour, x, y, w, h float64) {
	if col == "none" || w <= 0 || h <= 0 {
		return
	}
	c.op("rg", col.rgb()...)
	c.op("re", x, y, w, h)
	c.op("f")
}

func (c *canvas) border(col Colour, stroke float64) {
	if col == "none" || stroke <= 0 {
		return
	}
	c.op("RG", col.rgb()...)
	c.op("w", stroke)
	c.op("re", stroke/2, stroke/2, c.width-stroke, c.height-stroke)
	c.op("S")
}

// picture fits the picture into a frame, centred, with its proportions kept.
func (c *canvas) picture(p *picture, in frame) {
	w, h := in.w, in.w/p.ratio()
	if h > in.h {
		w, h = in.h*p.ratio(), in.h
	}
	if w <= 0 || h <= 0 {
		return
	}
	c.image, c.grey = p.put(c.u), strings.Contains(p.space, "/DeviceGray")
	c.op("q")
	c.op("cm", w, 0, 0, h, in.x+(in.w-w)/2, in.y+(in.h-h)/2)
	if m := p.orientation.matrix(); m != nil {
		c.op("cm", m...)
	}
	c.b.WriteString("/Im Do\n")
	c.op("Q")
}

// text writes a setting into a frame, in the middle of its height.
func (c *canvas) text(s setting, in frame) error {
	used := map[*font.Font][]rune{}
	var order []*font.Font
	for _, p := range s.pieces {
		if used[p.face] == nil {
			order = append(order, p.face)
		}
		used[p.face] = append(used[p.face], []rune(p.text)...)
	}
	names := map[*font.Font]string{}
	for i, f := range order {
		sub, err := f.NewSubset(used[f])
		if err != nil {
			return err
		}
		c.fonts[f], names[f] = sub, fmt.Sprintf("/F%d", i)
		c.refs = append(c.refs, sub.Put(c.u))
	}
	top := in.y + in.h - (in.h-s.height)/2
	c.op("BT")
	for _, p := range s.pieces {
		c.op("rg", p.colour.rgb()...)
		c.op(names[p.face] + " " + number(p.size) + " Tf")
		c.op("Tm", 1, 0, 0, 1, in.x+p.x, top-p.y)
		c.op(c.fonts[p.face].Encode(p.text) + " Tj")
	}
	c.op("ET")
	return nil
}

// number writes a real number of PDF with three decimals at most.
func number(v float64) string {
	s := strings.TrimRight(strconv.FormatFloat(v, 'f', 3, 64), "0")
	if s = strings.TrimSuffix(s, "."); s == "-0" {
		s = "0"
	}
	return s
}

func numbers(v ...float64) string {
	s := make([]string, len(v))
	for i := range v {
		s[i] = number(v[i])
	}
	return strings.Join(s, " ")
}
