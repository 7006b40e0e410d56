package pades

import (
	"crypto/x509"
	"fmt"

	"github.com/ecsigner/ecsigner/signer/appearance"
	"github.com/ecsigner/ecsigner/signer/pades/sigfield"
	"github.com/ecsigner/ecsigner/signer/pdf"
	"github.com/ecsigner/ecsigner/signer/pdf/object"
	"github.com/ecsigner/ecsigner/signer/pdf/pages"
)

// look draws what the options say.
type look Options

// Widget returns the entries that make a new signature field a widget. Without an appearance it has an empty rectangle
// and stands on no page, so that no page is touched (ISO 32000-1 section 12.7.4.5; /F: Print and Locked). With one it
// is drawn, entered into its page and refers to both.
func (o look) Widget(u *pdf.Update, doc *pdf.Document, form *pdf.Form, field object.Ref) ([]byte, error) {
	if o.Appearance == nil {
		return []byte("/Rect [0 0 0 0] /F 132"), nil
	}
	place, err := o.Appearance.Place(doc)
	if err != nil {
		return nil, err
	}
	drawn, err := o.draw(u, place)
	if err != nil {
		return nil, err
	}
	if err := place.Attach(u, doc, field, sigfield.Signed(form)); err != nil {
		return nil, err
	}
	return place.Entries(drawn), nil
}

// Appear draws the appearance into the rectangle that an existing field has, and returns the value of its /AP; nil
// without an appearance. widget is the field's only widget, often the field itself.
func (o look) Appear(u *pdf.Update, doc *pdf.Document, widget pdf.Object) ([]byte, error) {
	if o.Appearance == nil {
		return nil, nil
	}
	page, err := pageOf(doc, widget)
	if err != nil {
		return nil, err
	}
	place, err := o.Appearance.Existing(doc, widget.Value, page)
	if err != nil {
		return nil, err
	}
	drawn, err := o.draw(u, place)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "<< /N %v >>", drawn), nil
}

// draw shows what the signature dictionary says, and the name in the certificate where it says none.
func (o look) draw(u *pdf.Update, at appearance.Place) (object.Ref, error) {
	facts := appearance.Facts{Name: o.Name, Reason: o.Reason, Location: o.Location, Time: o.SigningTime}
	if facts.Name == "" && len(o.Chain) > 0 {
		certificate, err := x509.ParseCertificate(o.Chain[0])
		if err != nil {
			return object.Ref{}, fmt.Errorf("%w: the signer's certificate: %w", ErrOptions, err)
		}
		facts.Name = certificate.Subject.CommonName
	}
	return o.Appearance.Draw(u, at, facts)
}

// pageOf finds the page of a widget by its /P, else by the /Annots that lists it; nil when no page does.
func pageOf(doc *pdf.Document, widget pdf.Object) (*pages.Page, error) {
	if p := widget.Value.Get("P"); p.Kind == object.Reference {
		page, err := pages.First(doc, func(ref object.Ref, _ object.Value) (bool, error) { return ref == p.Ref, nil })
		if page != nil || err != nil {
			return page, err
		}
	}
	return pages.First(doc, func(_ object.Ref, page object.Value) (bool, error) {
		annots, err := doc.Resolve(page.Get("Annots"))
		for _, e := range annots.Elems {
			if e.Kind == object.Reference && e.Ref == widget.Ref {
				return true, err
			}
		}
		return false, err
	})
}
