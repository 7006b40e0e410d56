// Package pages finds the pages of a PDF document and what places something on them.
package pages

import (
	"errors"
	"fmt"
	"math"

	"github.com/ecsigner/ecsigner/signer/pdf"
	"github.com/ecsigner/ecsigner/signer/pdf/object"
)

// ErrNoPage: the document has no page of the wanted number.
var ErrNoPage = errors.New("the document has no such page: choose a page that it has")

// Box is a rectangle in user space: left, bottom, right, top, with left ≤ right and bottom ≤ top.
type Box [4]float64

// Width returns the extent in x.
func (b Box) Width() float64 { return b[2] - b[0] }

// Height returns the extent in y.
func (b Box) Height() float64 { return b[3] - b[1] }

// Empty reports whether the box has no area.
func (b Box) Empty() bool { return b.Width() <= 0 || b.Height() <= 0 }

// Intersect returns the common part of two boxes; it is Empty when there is none.
func (b Box) Intersect(c Box) Box {
	return Box{max(b[0], c[0]), max(b[1], c[1]), min(b[2], c[2]), min(b[3], c[3])}
}

// Page is a leaf of the page tree with the attributes that place something on it (ISO 32000-2 table 31), inherited ones
// included.
type Page struct {
	Object   pdf.Object
	Visible  Box     // the crop box cut to the media box: what readers show and print, in user space
	Rotate   int     // degrees clockwise by which the page is turned when shown: 0, 90, 180 or 270
	UserUnit float64 // size of one unit of user space in 1/72 inch, usually 1
}

// Find finds a page by its number: 1 is the first, 0 the last. /Count is not relied upon. Errors wrap pdf.ErrDamaged,
// pdf.ErrTooLarge and ErrNoPage.
func Find(d *pdf.Document, number int) (*Page, error) {
	if number < 0 {
		return nil, fmt.Errorf("%w: number %d", ErrNoPage, number)
	}
	left := number
	page, err := find(d, number == 0, func(object.Ref, object.Value) (bool, error) {
		left--
		return left <= 0, nil
	})
	if err == nil && page == nil {
		err = fmt.Errorf("%w: number %d of %d", ErrNoPage, number, number-left)
	}
	return page, err
}

// First finds the first page that a condition holds for, and nil when there is none.
func First(d *pdf.Document, match func(ref object.Ref, page object.Value) (bool, error)) (*Page, error) {
	return find(d, false, match)
}

// NewUpdate begins an update of d, as pdf.Document.NewUpdate does, and wants the page tree to be one besides (ISO 32000-2 clause
// 7.7.3): where it is not, readers pass over a page or take something else for one, so what one person saw another would not.
// Errors wrap pdf.ErrDamaged and pdf.ErrTooLarge.
func NewUpdate(d *pdf.Document) (*pdf.Update, error) {
	u, err := d.NewUpdate()
	if err != nil {
		return nil, err
	}
	err = d.Apart(func() error {
		_, err := find(d, false, func(object.Ref, object.Value) (bool, error) { return false, nil })
		return err
	})
	if err != nil {
		return nil, err
	}
	return u, nil
}

func find(d *pdf.Document, backward bool, match func(object.Ref, object.Value) (bool, error)) (*Page, error) {
	root := d.Catalog().Value.Get("Pages")
	if root.Kind != object.Reference {
		return nil, fmt.Errorf("%w: /Pages of the catalog is not a reference", pdf.ErrDamaged)
	}
	w := pageWalk{d: d, backward: backward, match: match, root: root.Ref, nodes: map[int]bool{}, contents: map[content]bool{}}
	_, err := w.node(root.Ref, inherited{}, d.Limits().Depth)
	return w.found, err
}

// inherited are the values of the nearest node above, as written.
type inherited struct{ media, crop, rotate object.Value }

type pageWalk struct {
	d        *pdf.Document
	backward bool
	match    func(object.Ref, object.Value) (bool, error)
	root     object.Ref
	nodes    map[int]bool     // those met; one that is met again would make the tree a net, with any number of paths
	contents map[content]bool // those that were looked at
	found    *Page
}

// content is a reference to what a page draws: of the page, to one stream or many, or of an array of many, to one.
type content struct {
	object.Ref
	many bool
}

func (w *pageWalk) node(ref object.Ref, from inherited, depth int) (done bool, err error) {
	bad := func(what string) (bool, error) {
		return false, fmt.Errorf("%w: page tree: %v %s", pdf.ErrDamaged, ref, what)
	}
	if depth <= 0 {
		return false, fmt.Errorf("%w: the page tree is nested too deep at %v", pdf.ErrTooLarge, ref)
	}
	o, err := w.d.Load(ref)
	if err != nil {
		return false, err
	}
	if o.Value.Kind != object.Dict || o.Stream {
		return bad("is no dictionary, or is not there")
	}
	if w.nodes[ref.Number] {
		return bad("is listed twice")
	}
	w.nodes[ref.Number] = true
	kids, err := w.d.Part(o.Value.Get("Kids"), object.Array, "/Kids of "+ref.String())
	if err != nil {
		return false, err
	}
	kind := "Pages"
	if kids.Value.Kind == object.Null {
		kind = "Page"
	}
	is, err := w.d.Resolve(o.Value.Get("Type"))
	if err != nil {
		return false, err
	}
	if is.Kind != object.Name || is.Text != kind {
		return bad("is not of /Type /" + kind)
	}
	if ref == w.root && (kind != "Pages" || o.Value.Get("Parent").Kind != object.Null) {
		return bad("is not its root")
	}
	for key, v := range map[string]*object.Value{"MediaBox": &from.media, "CropBox": &from.crop, "Rotate": &from.rotate} {
		if own := o.Value.Get(key); own.Kind != object.Null {
			*v = own
		}
	}
	if kind == "Page" {
		if err := w.checkContent(o.Value.Get("Contents"), true); err != nil {
			return false, fmt.Errorf("/Contents of page object %v: %w", ref, err)
		}
		if done, err = w.match(ref, o.Value); done && err == nil {
			w.found, err = newPage(w.d, o, from)
		}
		return done, err
	}
	for i := range kids.Value.Elems {
		if w.backward {
			i = len(kids.Value.Elems) - 1 - i
		}
		kid := kids.Value.Elems[i]
		if kid.Kind != object.Reference {
			return bad("has something else than references in /Kids")
		}
		if done, err := w.node(kid.Ref, from, depth-1); done || err != nil {
			return done, err
		}
	}
	return false, nil
}

// checkContent wants v to be a stream, or where it may be many, an array of streams, or absent.
func (w *pageWalk) checkContent(v object.Value, many bool) error {
	stream := false
	if v.Kind == object.Reference {
		met := content{v.Ref, many}
		if w.contents[met] {
			return nil
		}
		w.contents[met] = true
		o, err := w.d.Load(v.Ref)
		if err != nil {
			return err
		}
		v, stream = o.Value, o.Stream
	}
	switch {
	case stream || many && v.Kind == object.Null:
		return nil
	case !many || v.Kind != object.Array:
		return fmt.Errorf("%w: neither a stream nor an array of streams", pdf.ErrDamaged)
	}
	for _, e := range v.Elems {
		if err := w.checkContent(e, false); err != nil {
			return err
		}
	}
	return nil
}

func newPage(d *pdf.Document, o pdf.Object, from inherited) (*Page, error) {
	p := &Page{Object: o, UserUnit: 1}
	media, err := Box{0, 0, 612, 792}, error(nil) // what all readers take where the required key is missing
	if from.media.Kind != object.Null {
		media, err = ReadBox(d, from.media)
	}
	if err != nil {
		return nil, fmt.Errorf("/MediaBox of page object %v: %w", o.Ref, err)
	}
	p.Visible = media
	if from.crop.Kind != object.Null {
		crop, err := ReadBox(d, from.crop)
		if err != nil {
			return nil, fmt.Errorf("/CropBox of page object %v: %w", o.Ref, err)
		}
		p.Visible = media.Intersect(crop)
	}
	if p.Visible.Empty() {
		return nil, fmt.Errorf("%w: page object %v has no visible area", pdf.ErrDamaged, o.Ref)
	}
	rotate, err := d.Resolve(from.rotate)
	if err != nil {
		return nil, err
	}
	if (rotate.Kind != object.Null && rotate.Kind != object.Integer) || rotate.Int%90 != 0 {
		return nil, fmt.Errorf("%w: /Rotate of page object %v is no multiple of 90", pdf.ErrDamaged, o.Ref)
	}
	p.Rotate = int((rotate.Int%360 + 360) % 360)
	unit, err := d.Resolve(o.Value.Get("UserUnit"))
	if err != nil {
		return nil, err
	}
	if unit.Kind != object.Null {
		var ok bool
		if p.UserUnit, ok = unit.Float(); !ok || p.UserUnit <= 0 || p.UserUnit > 75000 {
			return nil, fmt.Errorf("%w: /UserUnit of page object %v", pdf.ErrDamaged, o.Ref)
		}
	}
	return p, nil
}

// ReadBox reads a rectangle of four numbers, given by any two opposite corners (ISO 32000-2 clause 7.9.5).
func ReadBox(d *pdf.Document, v object.Value) (Box, error) {
	var n Box
	v, err := d.Resolve(v)
	if err != nil {
		return n, err
	}
	if v.Kind != object.Array || len(v.Elems) != len(n) {
		return n, fmt.Errorf("%w: not a rectangle of four numbers", pdf.ErrDamaged)
	}
	for i, e := range v.Elems {
		if e, err = d.Resolve(e); err != nil {
			return n, err
		}
		var ok bool
		if n[i], ok = e.Float(); !ok || math.Abs(n[i]) > 1e7 {
			return n, fmt.Errorf("%w: not a rectangle of four numbers", pdf.ErrDamaged)
		}
	}
	return Box{min(n[0], n[2]), min(n[1], n[3]), max(n[0], n[2]), max(n[1], n[3])}, nil
}
