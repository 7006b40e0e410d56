package pades_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ecsigner/ecsigner/signer/appearance"
	"github.com/ecsigner/ecsigner/signer/pades"
	"github.com/ecsigner/ecsigner/signer/pades/padestest"
	"github.com/ecsigner/ecsigner/signer/pdf"
	"github.com/ecsigner/ecsigner/signer/pdf/pages"
	"github.com/ecsigner/ecsigner/signer/pdf/pdftest"
)

// onPage is a file of one page with these attributes.
func onPage(attributes string, more ...pdftest.Obj) []byte {
	return pdftest.File{Objs: append([]pdftest.Obj{
		{Number: 1, Body: "<< /Type /Catalog /Pages 2 0 R >>"},
		{Number: 2, Body: "<< /Type /Pages /Kids [3 0 R] /Count 1 >>"},
		{Number: 3, Body: "<< /Type /Page /Parent 2 0 R " + attributes + " >>"},
	}, more...)}.Classic()
}

// shown are options with all that a signature can say, in Ukrainian with its hardest letters.
func shown(look appearance.Appearance) pades.Options {
	o := padestest.Options(padestest.EC())
	o.Name, o.Reason, o.Location = "Щербань Ґандзя Єремїївна", "Підпис договору", "Їжакéве, Полісся"
	look.Language = "uk"
	o.Appearance = &look
	return o
}

const dpi = 144 // two pixels a point

func pixels(left, top, right, bottom float64) image.Rectangle {
	return image.Rect(int(left*dpi/72), int(top*dpi/72), int(right*dpi/72), int(bottom*dpi/72))
}

func near(a, b image.Rectangle) bool {
	for _, d := range []int{a.Min.X - b.Min.X, a.Min.Y - b.Min.Y, a.Max.X - b.Max.X, a.Max.Y - b.Max.Y} {
		if max(d, -d) > 2 {
			return false
		}
	}
	return true
}

// The box stands where it should on every turn of the page and of its own, upright as the reader sees it, with ink
// there and nowhere else, by the word of two renderers that agree.
func TestVisibleSignatureOnTurnedPages(t *testing.T) {
	const w, h = 160, 60 // of the box
	reference := map[bool]image.Image{}
	for _, own := range []int{0, 90, 180, 270} {
		for _, turn := range []int{0, 90, 180, 270, -90, 450} {
			t.Run(fmt.Sprintf("page %d, own %d", turn, own), func(t *testing.T) {
				in := onPage(fmt.Sprintf("/MediaBox [-20 30 380 330] /Rotate %d", turn))
				width, height := w, h
				if own%180 != 0 {
					width, height = h, w
				}
				out := padestest.SignPDF(t, in, padestest.EC(), shown(appearance.Appearance{
					Rotate: own, Corner: appearance.TopRight, Width: float64(width), Height: float64(height), Margin: 20,
				}))
				seen := 400
				if turn%180 != 0 {
					seen = 300
				}
				where := pixels(float64(seen-20-width), 20, float64(seen-20), float64(20+height))
				a, b := poppler(t, out, dpi), mupdf(t, out, dpi)
				alike(t, "pdftoppm", a, "mutool", b)
				for name, m := range map[string]image.Image{"pdftoppm": a, "mutool": b} {
					if got := inked(m); !near(got, where) {
						t.Errorf("%s: ink at %v, not %v", name, got, where)
					}
					box := cut(m, where, (360-own)%360)
					if reference[name == "mutool"] == nil {
						reference[name == "mutool"] = box
					}
					alike(t, name, box, "upright", reference[name == "mutool"])
				}
			})
		}
	}
	// The reference itself is upright: the bar is at its left.
	for _, m := range reference {
		if r, _, b, _ := m.At(3, m.Bounds().Dy()/2).RGBA(); b <= r {
			t.Errorf("no bar at the left of the box, but %v", m.At(3, m.Bounds().Dy()/2))
		}
	}
}

func TestVisibleSignatureInEachCorner(t *testing.T) {
	for corner, where := range map[appearance.Corner]image.Rectangle{
		appearance.BottomRight: pixels(130, 125, 270, 165), appearance.BottomLeft: pixels(10, 125, 150, 165),
		appearance.TopRight: pixels(130, 10, 270, 50), appearance.TopLeft: pixels(10, 10, 150, 50),
	} {
		// The media box is larger than what is shown, and both are written the other way round.
		in := onPage("/MediaBox [400 300 0 0] /CropBox [340 215 60 40]")
		out := padestest.SignPDF(t, in, padestest.EC(), shown(appearance.Appearance{Corner: corner, Width: 140, Height: 40, Margin: 10}))
		a, b := poppler(t, out, dpi), mupdf(t, out, dpi)
		alike(t, "pdftoppm", a, "mutool", b)
		if got := inked(b); !near(got, where) {
			t.Errorf("corner %d: ink at %v, not %v", corner, got, where)
		}
	}
}

// UserUnit makes the page larger and leaves the box as it is on paper. poppler ignores it.
func TestVisibleSignatureWithUserUnit(t *testing.T) {
	in := onPage("/MediaBox [0 0 200 100] /UserUnit 2.5")
	out := padestest.SignPDF(t, in, padestest.EC(), shown(appearance.Appearance{Width: 150, Height: 60, Margin: 20}))
	m := mupdf(t, out, dpi)
	if where := pixels(330, 170, 480, 230); m.Bounds().Dx() != 1000 || !near(inked(m), where) {
		t.Errorf("ink at %v, not %v", inked(m), where)
	}
	same := mupdf(t, padestest.SignPDF(t, onPage("/MediaBox [0 0 500 250]"), padestest.EC(), shown(appearance.Appearance{Width: 150, Height: 60, Margin: 20})), dpi)
	alike(t, "with unit", m, "without", same)
}

// threePages has a nested page tree whose attributes are inherited, overridden and shared.
func threePages() []pdftest.Obj {
	return []pdftest.Obj{
		{Number: 1, Body: "<< /Type /Catalog /Pages 2 0 R >>"},
		{Number: 2, Body: "<< /Type /Pages /Kids [3 0 R 4 0 R 9 0 R 10 0 R] /Count 3 /MediaBox [0 0 200 100] /Rotate 90 >>"},
		{Number: 3, Body: "<< /Type /Page /Parent 2 0 R >>"},
		{Number: 4, Body: "<< /Type /Pages /Parent 2 0 R /Kids [5 0 R] /Count 1 /Rotate 8 0 R >>"},
		{Number: 5, Body: "<< /Type /Pages /Parent 4 0 R /Kids [6 0 R] /Count 1 /CropBox 7 0 R >>"},
		{Number: 6, Body: "<< /Type /Page /Parent 5 0 R >>"},
		{Number: 7, Body: "[20 10 190 90]"},
		{Number: 8, Body: "0"},
		{Number: 9, Body: "<< /Type /Page /Parent 2 0 R /Rotate 0 /MediaBox [0 0 300 200] >>"},
		{Number: 10, Body: "<< /Type /Pages /Parent 2 0 R /Kids [] /Count 0 >>"},
	}
}

func TestVisibleSignatureOnEachPage(t *testing.T) {
	look := appearance.Appearance{Width: 60, Height: 40, Margin: 10}
	hide := appearance.Reason | appearance.Location
	file := pdftest.File{Objs: threePages()}
	for name, in := range map[string][]byte{"table": file.Classic(), "object streams": file.Streams(1, 2, 3, 4, 5, 6, 7, 8, 9, 10)} {
		for page, where := range map[int]image.Rectangle{
			1: pixels(30, 150, 90, 190), 2: pixels(100, 30, 160, 70), 3: pixels(230, 150, 290, 190), 0: pixels(230, 150, 290, 190),
		} {
			look.Page, look.Hide = page, hide
			out := padestest.SignPDF(t, in, padestest.EC(), shown(look))
			padestest.Judge(t, in, out, 1)
			for i := 1; i <= 3; i++ {
				m := mupdf(t, out, dpi, fmt.Sprint(i))
				want := image.Rectangle{}
				if i == page || page == 0 && i == 3 {
					want = where
				}
				if got := inked(m); !near(got, want) {
					t.Errorf("%s: signature on page %d: ink on page %d at %v, not %v", name, page, i, got, want)
				}
			}
		}
	}
}

// Without the required /MediaBox all readers take the American letter.
func TestVisibleSignatureOnAPageWithoutSize(t *testing.T) {
	out := padestest.SignPDF(t, onPage(""), padestest.EC(), shown(appearance.Appearance{}))
	a, b := poppler(t, out, dpi), mupdf(t, out, dpi)
	alike(t, "pdftoppm", a, "mutool", b)
	if got, want := inked(b), pixels(612-36-216, 792-36-72, 612-36, 792-36); !near(got, want) {
		t.Errorf("ink at %v, not %v", got, want)
	}
}

func TestVisibleSignatureThatHasNoPlace(t *testing.T) {
	in := onPage("/MediaBox [0 0 400 300] /CropBox [60 40 340 215]")
	for want, look := range map[string]appearance.Appearance{
		"number 2 of 1": {Page: 2},
		"[50 50 150 90] is not within the visible [60 40 340 215]": {Rect: pages.Box{50, 50, 150, 90}},
		"[240 190 340 230] is not":                                 {Rect: pages.Box{240, 190, 340, 230}},
		"[-60 76 304 148] is not":                                  {Width: 364},
		"no area":                                                  {Rect: pages.Box{100, 100, 100, 150}},
		"needs a height of":                                        {Width: 100, Height: 12},
		"rotation by 5":                                            {Rotate: 5},
	} {
		o := shown(look)
		p, err := pades.Prepare(context.Background(), bytes.NewReader(in), int64(len(in)), o)
		if p != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q expected, got %v", want, err)
		}
		known := []error{pages.ErrNoPage, appearance.ErrPlace, appearance.ErrTooSmall, appearance.ErrOptions}
		if !slices.ContainsFunc(known, func(e error) bool { return errors.Is(err, e) }) {
			t.Errorf("%v is of no known kind", err)
		}
	}
}

func TestPagesThatContradictThemselves(t *testing.T) {
	pages := func(objs ...string) []byte {
		list := []pdftest.Obj{{Number: 1, Body: "<< /Type /Catalog /Pages 2 0 R >>"}}
		for i, body := range objs {
			list = append(list, pdftest.Obj{Number: i + 2, Body: body})
		}
		return pdftest.File{Objs: list}.Classic()
	}
	one := "<< /Type /Pages /Kids [3 0 R] /Count 1 >>"
	deep := []string{}
	for i := range 70 {
		deep = append(deep, fmt.Sprintf("<< /Type /Pages /Kids [%d 0 R] /Count 1 >>", i+3))
	}
	for want, in := range map[string][]byte{
		"/MediaBox of page object 3 0 R: " + pdf.ErrDamaged.Error(): pages(one, "<< /Type /Page /MediaBox 7 >>"),
		"/CropBox of page object 3 0 R":                             pages(one, "<< /Type /Page /MediaBox [0 0 9 9] /CropBox [0 0 /x 1] >>"),
		"has no visible area":                                       pages(one, "<< /Type /Page /MediaBox [0 0 9 9] /CropBox [10 10 20 20] >>"),
		"/Rotate of page object 3 0 R":                              pages(one, "<< /Type /Page /MediaBox [0 0 9 9] /Rotate 45 >>"),
		"/UserUnit of page object":                                  pages(one, "<< /Type /Page /MediaBox [0 0 9 9] /UserUnit 0 >>"),
		"2 0 R is listed twice":                                     pages("<< /Type /Pages /Kids [2 0 R] /Count 1 >>"),
		"3 0 R is listed twice":                                     pages("<< /Type /Pages /Kids [3 0 R 3 0 R] /Count 1 >>", "<< /Type /Pages /Kids [] /Count 0 >>"),
		"nested too deep":                                           pages(deep...),
		"something else than references":                            pages("<< /Type /Pages /Kids [<< >>] /Count 1 >>"),
		"page tree: 3 0 R is no dictionary":                         pages(one, "[]"),
		"number 0 of 0":                                             pages("<< /Type /Pages /Kids [] /Count 0 >>"),
		"/Annots of page object 3 0 R is not an array":              pages(one, "<< /Type /Page /MediaBox [0 0 300 200] /Annots << >> >>"),
	} {
		_, err := pades.Prepare(context.Background(), bytes.NewReader(in), int64(len(in)), shown(appearance.Appearance{}))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q expected, got %v", want, err)
		}
	}
}

// Of the objects of the original only those that must are written again, byte for byte but for the one key.
func TestVisibleSignatureChangesLittle(t *testing.T) {
	link := "<< /Type /Annot /Subtype /Link /Rect [0 0 1 1] >>"
	head := "<< /Type /Page /Parent 2 0 R /MediaBox[0 0 300 200] "
	for name, c := range map[string]struct {
		page    string
		more    []pdftest.Obj
		changed map[int]string // what the old objects look like, N for the number of the widget
	}{
		"none":               {"  /X  (a)", nil, map[int]string{3: head + "  /X  (a) /Annots [N 0 R]  >>"}},
		"direct, empty":      {"/Annots[]/X 1", nil, map[int]string{3: head + "/Annots [ N 0 R] /X 1 >>"}},
		"direct, references": {"/Annots [5 0 R] /X 1", []pdftest.Obj{{Number: 5, Body: link}}, map[int]string{3: head + "/Annots  [5 0 R N 0 R]  /X 1 >>"}},
		"direct, direct":     {"/Annots [" + link + "] /X 1", nil, map[int]string{3: head + "/Annots  [" + link + " N 0 R]  /X 1 >>"}},
		"indirect":           {"/Annots 6 0 R", []pdftest.Obj{{Number: 5, Body: link}, {Number: 6, Body: "[ 5 0 R ]"}}, map[int]string{6: "[ 5 0 R  N 0 R]"}},
		"to nothing":         {"/Annots 7 0 R", nil, map[int]string{3: head + "/Annots  [N 0 R]  >>"}},
	} {
		in := onPage("/MediaBox[0 0 300 200] "+c.page, c.more...)
		out := padestest.SignPDF(t, in, padestest.EC(), shown(appearance.Appearance{}))
		padestest.Judge(t, in, out, 1)
		widget := regexp.MustCompile(`(\d+) 0 obj\n<< /FT /Sig`).FindSubmatch(out[len(in):])
		if widget == nil {
			t.Fatalf("%s: no widget", name)
		}
		for _, m := range regexp.MustCompile(`(?m)^(\d+) 0 obj\n((?s:.*?))\nendobj`).FindAllSubmatch(out[len(in):], -1) {
			var n int
			if _, err := fmt.Sscan(string(m[1]), &n); err != nil {
				t.Fatal(err)
			}
			if n == 1 || !bytes.Contains(in, fmt.Appendf(nil, "\n%d 0 obj", n)) { // the catalog with its form, or new
				continue
			}
			want, ok := c.changed[n]
			if want = strings.ReplaceAll(want, "N", string(widget[1])); !ok || strings.Join(strings.Fields(want), " ") != strings.Join(strings.Fields(string(m[2])), " ") {
				t.Errorf("%s: object %d is now %s, not %s", name, n, m[2], want)
			}
			delete(c.changed, n)
		}
		if len(c.changed) > 0 {
			t.Errorf("%s: not written: %v", name, c.changed)
		}
	}
}

// A second visible signature leaves the first valid; where annotations are direct objects it is refused, as pyHanko and
// others call adding one a change of what was signed.
func TestVisibleSignatureAfterAnother(t *testing.T) {
	in := onPage("/MediaBox [0 0 300 200]")
	first := padestest.SignPDF(t, in, padestest.EC(), shown(appearance.Appearance{Corner: appearance.TopLeft}))
	second := padestest.SignPDF(t, first, padestest.EC(), shown(appearance.Appearance{}))
	padestest.Judge(t, first, second, 2)
	a, b := poppler(t, second, dpi), mupdf(t, second, dpi)
	alike(t, "pdftoppm", a, "mutool", b)
	if got, want := inked(b), pixels(36, 36, 264, 164); !near(got, want) {
		t.Errorf("ink at %v, not %v", got, want)
	}

	direct := onPage("/MediaBox [0 0 300 200] /Annots [<< /Type /Annot /Subtype /Link /Rect [0 0 1 1] >>]")
	o := padestest.Options(padestest.EC())
	invisible := padestest.SignPDF(t, direct, padestest.EC(), o)
	_, err := pades.Prepare(context.Background(), bytes.NewReader(invisible), int64(len(invisible)), shown(appearance.Appearance{}))
	if !errors.Is(err, appearance.ErrAnnotations) {
		t.Errorf("direct annotations after a signature: %v", err)
	}
	padestest.Judge(t, invisible, padestest.SignPDF(t, invisible, padestest.EC(), o), 2)
}

func TestVisibleSignatureIsAlwaysTheSame(t *testing.T) {
	in := onPage("/MediaBox [0 0 300 200]")
	var digests [2][]byte
	for i := range digests {
		p, err := pades.Prepare(context.Background(), bytes.NewReader(in), int64(len(in)), shown(appearance.Appearance{Picture: emblem()}))
		if err != nil {
			t.Fatal(err)
		}
		digests[i] = p.DocumentDigest()
	}
	if !bytes.Equal(digests[0], digests[1]) {
		t.Error("the same signature is prepared with other bytes")
	}
}

// The name comes from the certificate when the options have none; without a picture the state stays small.
func TestVisibleSignatureSaysWhoTheCertificateNames(t *testing.T) {
	in := onPage("/MediaBox [0 0 300 200]")
	o := padestest.Options(padestest.EC())
	o.Appearance = &appearance.Appearance{}
	out := padestest.SignPDF(t, in, padestest.EC(), o)
	if said := extracted(t, out); !strings.Contains(said, "Шевченко Тарас") {
		t.Errorf("%q", said)
	}
	if more := len(out) - len(in); more > 48<<10 {
		t.Errorf("a visible signature takes %d bytes", more)
	}
}

// extracted is the text of a file in the order in which it was written.
func extracted(t *testing.T, file []byte, more ...string) string {
	t.Helper()
	said, code := padestest.Run(t, "pdftotext", append(more, "-enc", "UTF-8", padestest.WriteFile(t, "in.pdf", file), "-")...)
	if code != 0 {
		t.Fatal(said)
	}
	return said
}

func TestTextOfVisibleSignature(t *testing.T) {
	in := onPage("/MediaBox [0 0 300 200]")
	out := padestest.SignPDF(t, in, padestest.EC(), shown(appearance.Appearance{Lines: []string{"Zażółć gęślą jaźń (ĄĆĘŁŃÓŚŹŻ) \\ 5 < 6", "лукʼян non\u2011break"}}))
	lines := strings.Split(extracted(t, out, "-layout"), "\n")
	for i, l := range lines {
		lines[i] = strings.Join(strings.Fields(l), " ")
	}
	want := []string{
		"Підписано електронно", "Щербань Ґандзя Єремїївна", "Підстава: Підпис договору", "Місце: Їжакéве, Полісся",
		"Час: " + padestest.SigningTime.UTC().Format("02.01.2006 15:04:05") + " UTC", "Zażółć gęślą jaźń (ĄĆĘŁŃÓŚŹŻ) \\ 5 < 6", "лукʼян non\u2011break",
	}
	for _, w := range want {
		if !slices.Contains(lines, w) {
			t.Errorf("%q is not in %q", w, lines)
		}
	}
	said, _ := padestest.Run(t, "pdffonts", padestest.WriteFile(t, "in.pdf", out))
	if n := len(regexp.MustCompile(`(?m)^[A-Z]{6}\+Go\S+ +CID TrueType +Identity-H +yes yes yes `).FindAllString(said, -1)); n != 2 || strings.Count(said, "\n") != 4 {
		t.Errorf("pdffonts: %s", said)
	}
}

// at returns the colour in the middle of a picture's part.
func at(m image.Image, x, y float64) color.NRGBA {
	return color.NRGBAModel.Convert(m.At(int(x*dpi/72), int(y*dpi/72))).(color.NRGBA)
}

func closeTo(a, b color.NRGBA) bool {
	for _, d := range []int{int(a.R) - int(b.R), int(a.G) - int(b.G), int(a.B) - int(b.B)} {
		if max(d, -d) > 12 {
			return false
		}
	}
	return true
}

// A font of the caller's, with composite glyphs: what Debian's fonts-dejavu-core holds.
func TestVisibleSignatureInAnotherFont(t *testing.T) {
	in := onPage("/MediaBox [0 0 300 200]")
	for name, ps := range map[string]string{"DejaVuSans": "DejaVuSans", "DejaVuSerif-Bold": "DejaVuSerif-Bold"} {
		data, err := os.ReadFile("/usr/share/fonts/truetype/dejavu/" + name + ".ttf")
		if err != nil {
			t.Fatalf("package fonts-dejavu-core is needed: %v", err)
		}
		const line = "Zażółć gęślą jaźń ЩҐЄЇІ é ǖ ḗ Å ½"
		out := padestest.SignPDF(t, in, padestest.EC(), shown(appearance.Appearance{Font: data, Lines: []string{line}}))
		padestest.Judge(t, in, out, 1)
		alike(t, "pdftoppm", poppler(t, out, dpi), "mutool", mupdf(t, out, dpi))
		if said := extracted(t, out, "-layout"); !strings.Contains(said, line) {
			t.Errorf("%s: %q", name, said)
		}
		said, _ := padestest.Run(t, "pdffonts", padestest.WriteFile(t, "in.pdf", out))
		if !regexp.MustCompile(`(?m)^[A-Z]{6}\+`+ps+` +CID TrueType +Identity-H +yes yes yes `).MatchString(said) || strings.Count(said, "\n") != 3 {
			t.Errorf("pdffonts: %s", said)
		}
	}
}

// Each shape of file is signed visibly twice, where annotations allow a second.
func TestVisibleSignatureOnEveryShape(t *testing.T) {
	for _, s := range pdftest.Signable() {
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			o := shown(appearance.Appearance{Width: 150, Height: 40, Margin: 10})
			once := padestest.SignPDF(t, s.Data, padestest.EC(), o)
			padestest.Judge(t, s.Data, once, 1)
			o.Appearance.Corner = appearance.TopRight
			if s.Name == "annots-direct" {
				if _, err := padestest.Prepare(once, o); !errors.Is(err, appearance.ErrAnnotations) {
					t.Errorf("a second signature beside direct annotations: %v", err)
				}
				return
			}
			padestest.Judge(t, once, padestest.SignPDF(t, once, padestest.EC(), o), 2)
		})
	}
}
