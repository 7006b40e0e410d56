package appearance

import (
	"fmt"

	"github.com/ecsigner/ecsigner/signer/pdf"
	"github.com/ecsigner/ecsigner/signer/pdf/object"
	"github.com/ecsigner/ecsigner/signer/pdf/pages"
)

// Place is where a visible signature stands.
type Place struct {
	Page *pages.Page
	Rect pages.Box // in user space of the page
	turn int       // degrees counter-clockwise from user space to the text
}

// Place finds the page and the rectangle for a new field. A rectangle that is not wholly on the visible part of the
// page is refused and never moved: moved, it could cover text that nobody saw covered. Errors wrap ErrOptions and
// ErrPlace, and those of pdf.Document.Page.
func (a *Appearance) Place(doc *pdf.Document) (Place, error) {
	if err := a.checkOptions(); err != nil {
		return Place{}, err
	}
	page, err := pages.Find(doc, a.Page)
	if err != nil {
		return Place{}, err
	}
	p := Place{Page: page, Rect: a.Rect, turn: (page.Rotate - a.Rotate + 360) % 360}
	if a.Rect == (pages.Box{}) {
		p.Rect = a.corner(page)
	}
	const dust = 0.01 // below what is seen; corners computed by a caller are not exact
	r, v := p.Rect, page.Visible
	switch {
	case !(r.Width() > 0 && r.Height() > 0):
		return p, fmt.Errorf("%w: the rectangle has no area", ErrPlace)
	case !(r[0] >= v[0]-dust && r[1] >= v[1]-dust && r[2] <= v[2]+dust && r[3] <= v[3]+dust):
		return p, fmt.Errorf("%w: the rectangle [%s] is not within the visible [%s]", ErrPlace, numbers(r[:]...), numbers(v[:]...))
	}
	return p, nil
}

// Existing is the place of a field that the document has. The page may be nil; then it is taken as not turned.
// Errors: ErrPlace when the field has no area or is hidden, those of pdf.Document.Box.
func (a *Appearance) Existing(doc *pdf.Document, widget object.Value, page *pages.Page) (Place, error) {
	const hidden, noRotate, noView = 1 << 1, 1 << 4, 1 << 5 // annotation flags (ISO 32000-2 table 167)
	rect, err := pages.ReadBox(doc, widget.Get("Rect"))
	if err != nil {
		return Place{}, fmt.Errorf("/Rect of the signature field: %w", err)
	}
	flags, err := doc.Resolve(widget.Get("F"))
	if err != nil {
		return Place{}, err
	}
	if page == nil {
		page = &pages.Page{UserUnit: 1}
	}
	p := Place{Page: page, Rect: rect, turn: (page.Rotate - a.Rotate + 360) % 360}
	if flags.Int&noRotate != 0 {
		p.turn = (360 - a.Rotate) % 360
	}
	switch {
	case rect.Empty() || flags.Int&(hidden|noView) != 0:
		return p, fmt.Errorf("%w: the existing field is invisible", ErrPlace)
	case !page.Visible.Empty() && rect.Intersect(page.Visible).Empty():
		return p, fmt.Errorf("%w: the existing field lies outside the page", ErrPlace)
	}
	return p, nil
}

// corner returns the rectangle in a corner as the reader sees the page, in user space.
func (a *Appearance) corner(page *pages.Page) pages.Box {
	or := func(v, d float64) float64 {
		if v == 0 {
			v = d
		}
		return v / page.UserUnit
	}
	w, h, margin := or(a.Width, defaultWidth), or(a.Height, defaultHeight), or(a.Margin, defaultMargin)
	v := page.Visible
	seenWidth, seenHeight := v.Width(), v.Height()
	if page.Rotate%180 != 0 {
		seenWidth, seenHeight = seenHeight, seenWidth
	}
	left, bottom := margin, margin // in the page as it is seen
	if a.Corner == BottomRight || a.Corner == TopRight {
		left = seenWidth - margin - w
	}
	if a.Corner == TopLeft || a.Corner == TopRight {
		bottom = seenHeight - margin - h
	}
	switch page.Rotate {
	case 90: // right is up in user space, up is left
		return pages.Box{v[2] - bottom - h, v[1] + left, v[2] - bottom, v[1] + left + w}
	case 180:
		return pages.Box{v[2] - left - w, v[3] - bottom - h, v[2] - left, v[3] - bottom}
	case 270: // right is down in user space, up is right
		return pages.Box{v[0] + bottom, v[3] - left - w, v[0] + bottom + h, v[3] - left}
	}
	return pages.Box{v[0] + left, v[1] + bottom, v[0] + left + w, v[1] + bottom + h}
}

// size returns width and height of the form in its own upright coordinates, in points.
func (p Place) size() (w, h float64) {
	w, h = p.Rect.Width()*p.Page.UserUnit, p.Rect.Height()*p.Page.UserUnit
	if p.turn%180 != 0 {
		w, h = h, w
	}
	return w, h
}

// matrix turns the form; readers then fit its box into the rectangle (ISO 32000-2 clause 12.5.5, algorithm 8).
func (p Place) matrix() []float64 {
	w, h := p.size()
	switch p.turn {
	case 90:
		return []float64{0, 1, -1, 0, h, 0}
	case 180:
		return []float64{-1, 0, 0, -1, w, h}
	case 270:
		return []float64{0, -1, 1, 0, 0, w}
	}
	return []float64{1, 0, 0, 1, 0, 0}
}

// Entries returns what makes a signature field a visible widget: /Rect, /F Print and Locked, /P and /AP with the form.
func (p Place) Entries(form object.Ref) []byte {
	return fmt.Appendf(nil, "/Rect [%s] /F 132 /P %v /AP << /N %v >>", numbers(p.Rect[:]...), p.Page.Object.Ref, form)
}

// Attach enters a new widget into the page's /Annots and writes as little as possible: an array that is an object of
// its own, else the page with only that key changed. signed says that the document has a signature already. Errors
// wrap ErrAnnotations and those of pdf.Document.
func (p Place) Attach(u *pdf.Update, doc *pdf.Document, widget object.Ref, signed bool) error {
	page := p.Page.Object
	list := pdf.Object{Value: page.Value.Get("Annots")}
	if list.Value.Kind == object.Reference {
		var err error
		if list, err = doc.Load(list.Value.Ref); err != nil {
			return err
		}
	}
	ref := []byte(widget.String())
	switch {
	case list.Value.Kind == object.Null: // a reference to nothing counts as absent
		u.Put(page.Ref, page.Value.With("Annots", fmt.Appendf(nil, "[%s]", ref)).Raw)
		return nil
	case list.Value.Kind != object.Array || list.Stream:
		return fmt.Errorf("%w: /Annots of page object %v is not an array", pdf.ErrDamaged, page.Ref)
	}
	for _, e := range list.Value.Elems {
		if e.Kind != object.Reference && signed {
			return ErrAnnotations
		}
	}
	if list.Ref != (object.Ref{}) {
		u.Put(list.Ref, list.Value.Append(ref))
	} else {
		u.Put(page.Ref, page.Value.With("Annots", list.Value.Append(ref)).Raw)
	}
	return nil
}
