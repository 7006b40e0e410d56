package pades_test

import (
	"bytes"
	"fmt"
	"image"
	"testing"

	"github.com/ecsigner/ecsigner/signer/appearance"
	"github.com/ecsigner/ecsigner/signer/pades"
	"github.com/ecsigner/ecsigner/signer/pades/padestest"
	"github.com/ecsigner/ecsigner/signer/pdf/pdftest"
)

// fieldPage is a file of two pages, the second with these attributes, and a form with the field of object 5.
func fieldPage(page, field string, more ...pdftest.Obj) []byte {
	return pdftest.File{Objs: append([]pdftest.Obj{
		{Number: 1, Body: "<< /Type /Catalog /Pages 2 0 R /AcroForm << /Fields [5 0 R] /SigFlags 3 >> >>"},
		{Number: 2, Body: "<< /Type /Pages /Kids [3 0 R 4 0 R] /Count 2 /MediaBox [0 0 300 200] >>"},
		{Number: 3, Body: "<< /Type /Page /Parent 2 0 R /Annots [8 0 R << /Type /Annot /Subtype /Link /Rect [0 0 1 1] >>] >>"},
		{Number: 4, Body: "<< /Type /Page /Parent 2 0 R " + page + " >>"},
		{Number: 5, Body: field},
		{Number: 8, Body: "<< /Type /Annot /Subtype /Link /Rect [0 0 1 1] >>"},
	}, more...)}.Classic()
}

// filled are options for the field.
func filled() pades.Options {
	o := shown(appearance.Appearance{Page: 7, Corner: appearance.TopLeft}) // the place is not considered
	o.FieldName, o.ExistingField = "Sig", true
	return o
}

// An existing field keeps its rectangle, its page and all else but its value; only its appearance is new. It is on the
// page that lists it, and turned as that one is.
func TestAppearanceInAnExistingField(t *testing.T) {
	reference := padestest.SignPDF(t, onPage("/MediaBox [0 0 300 200]"), padestest.EC(), shown(appearance.Appearance{Width: 120, Height: 60}))
	box := cut(mupdf(t, reference, dpi), pixels(144, 104, 264, 164), 0)
	for name, c := range map[string]struct {
		page, field string
		where       image.Rectangle
	}{
		"with /P":     {"/Annots [5 0 R]", "/Rect [150 20 30 80] /P 4 0 R", pixels(30, 120, 150, 180)},
		"listed":      {"/Annots 6 0 R", "/Rect [30 20 150 80]", pixels(30, 120, 150, 180)},
		"turned":      {"/Annots [5 0 R] /Rotate 90", "/Rect [30 20 90 140] /F 4", pixels(20, 30, 140, 90)},
		"turned back": {"/Annots [5 0 R] /Rotate 180", "/Rect [30 20 150 80]", pixels(150, 20, 270, 80)},
	} {
		in := fieldPage(c.page, "<< /Type /Annot /Subtype /Widget /FT /Sig /T (Sig) "+c.field+" >>", pdftest.Obj{Number: 6, Body: "[5 0 R]"})
		out := padestest.SignPDF(t, in, padestest.EC(), filled())
		padestest.Judge(t, in, out, 1)
		a, b := poppler(t, out, dpi, "-f", "2"), mupdf(t, out, dpi, "2")
		alike(t, "pdftoppm", a, "mutool", b)
		if got := inked(b); !near(got, c.where) {
			t.Errorf("%s: ink at %v, not %v", name, got, c.where)
		}
		if got := inked(mupdf(t, out, dpi, "1")); !got.Empty() {
			t.Errorf("%s: ink on the first page at %v", name, got)
		}
		alike(t, name, cut(b, c.where, 0), "a new field", box)
		for number := range 5 {
			if bytes.Contains(out[len(in):], fmt.Appendf(nil, "\n%d 0 obj", number)) {
				t.Errorf("%s: object %d was written again", name, number)
			}
		}
	}
}

// The widget may be an object of its own below the field.
func TestAppearanceInTheWidgetOfAField(t *testing.T) {
	in := fieldPage("/Annots [7 0 R]", "<< /FT /Sig /T (Sig) /Kids [7 0 R] >>",
		pdftest.Obj{Number: 7, Body: "<< /Type /Annot /Subtype /Widget /Parent 5 0 R /Rect [30 20 150 80] >>"})
	out := padestest.SignPDF(t, in, padestest.EC(), filled())
	padestest.Judge(t, in, out, 1)
	if got, want := inked(poppler(t, out, dpi, "-f", "2")), pixels(30, 120, 150, 180); !near(got, want) {
		t.Errorf("ink at %v, not %v", got, want)
	}
}

func TestExistingFieldThatCannotShowAnything(t *testing.T) {
	for _, field := range []string{"/Rect [0 0 0 0]", "/Rect [30 20 150 80] /F 2", "/Rect [30 20 150 80] /F 36", "/Rect [500 20 550 80] /P 4 0 R", "/Rect [1 2 3]", ""} {
		in := fieldPage("/Annots [5 0 R]", "<< /Type /Annot /Subtype /Widget /FT /Sig /T (Sig) "+field+" >>")
		if _, err := padestest.Prepare(in, filled()); err == nil {
			t.Errorf("field with %q gets an appearance", field)
		}
		o := filled()
		o.Appearance = nil
		if _, err := padestest.Prepare(in, o); err != nil {
			t.Errorf("no appearance is wanted: %v", err)
		}
	}
}

// Some programs list fields and annotations in one array; it is extended once.
func TestOneArrayForFieldsAndAnnotations(t *testing.T) {
	in := pdftest.File{Objs: []pdftest.Obj{
		{Number: 1, Body: "<< /Type /Catalog /Pages 2 0 R /AcroForm << /Fields 6 0 R >> >>"},
		{Number: 2, Body: "<< /Type /Pages /Kids [3 0 R] /Count 1 /MediaBox [0 0 300 200] >>"},
		{Number: 3, Body: "<< /Type /Page /Parent 2 0 R /Annots 6 0 R >>"},
		{Number: 5, Body: "<< /Type /Annot /Subtype /Widget /FT /Tx /T (Text) /Rect [10 150 90 180] >>"},
		{Number: 6, Body: "[5 0 R]"},
	}}
	for _, file := range [][]byte{in.Classic(), in.Streams(1, 2, 3, 5, 6)} {
		out := padestest.SignPDF(t, file, padestest.EC(), shown(appearance.Appearance{}))
		padestest.Judge(t, file, out, 1)
		second := padestest.SignPDF(t, out, padestest.EC(), shown(appearance.Appearance{Corner: appearance.TopLeft}))
		padestest.Judge(t, out, second, 2)
	}
}
