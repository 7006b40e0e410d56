package appearance

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/image/font/gofont/gomono"
	"golang.org/x/image/font/gofont/goregular"
	"pgregory.net/rapid"

	"github.com/ecsigner/ecsigner/signer/appearance/font"
	"github.com/ecsigner/ecsigner/signer/pdf"
	"github.com/ecsigner/ecsigner/signer/pdf/object"
	"github.com/ecsigner/ecsigner/signer/pdf/pages"
	"github.com/ecsigner/ecsigner/signer/pdf/pdftest"
)

func parse(t testing.TB, data []byte) *font.Font {
	t.Helper()
	f, err := font.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// repertoire returns every character that a font shows and that may stand in a text.
func repertoire(f *font.Font) (all []rune) {
	for r := rune(0x20); r < 0x30000; r++ {
		if clean, err := clean(string(r)); err == nil && clean == string(r) && f.Shows(r) {
			all = append(all, r)
		}
	}
	return all
}

// drawn is a file of one page with the appearance of a field that has no signature.
func drawn(t testing.TB, a Appearance, f Facts) []byte {
	t.Helper()
	in := pdftest.File{Objs: []pdftest.Obj{
		{Number: 1, Body: "<< /Type /Catalog /Pages 2 0 R >>"},
		{Number: 2, Body: "<< /Type /Pages /Kids [3 0 R] /Count 1 >>"},
		{Number: 3, Body: "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 1000 800] >>"},
	}}.Classic()
	doc, err := pdf.Open(bytes.NewReader(in), int64(len(in)), pdf.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	u, err := doc.NewUpdate()
	if err != nil {
		t.Fatal(err)
	}
	place, err := a.Place(doc)
	if err != nil {
		t.Fatal(err)
	}
	form, err := a.Draw(u, place, f)
	if err != nil {
		t.Fatal(err)
	}
	widget := u.New()
	u.Put(widget, fmt.Appendf(nil, "<< /Type /Annot /Subtype /Widget /FT /Sig /T (S) /V << /Type /Sig >> %s >>", place.Entries(form)))
	if err := place.Attach(u, doc, widget, false); err != nil {
		t.Fatal(err)
	}
	tail, err := u.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return append(in, tail...)
}

// tool runs a program over a file; the word OUT in the arguments stands for a file whose content is returned, else it
// is what the program says.
func tool(t testing.TB, file []byte, name string, args ...string) []byte {
	t.Helper()
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.pdf"), ""
	if err := os.WriteFile(in, file, 0o600); err != nil {
		t.Fatal(err)
	}
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "IN", in)
		if strings.Contains(args[i], "OUT") {
			args[i] = strings.ReplaceAll(args[i], "OUT", filepath.Join(dir, "out"))
			out = filepath.Join(dir, "out.png")
		}
	}
	said, err := exec.Command(name, args...).Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, said)
	}
	if out == "" {
		return said
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// wanted are words in the order of the text, each separated from the next by blanks alone.
func wantWords(t interface {
	Errorf(format string, args ...any)
}, said []byte, want []string,
) {
	got := strings.Fields(string(said))
	for i, w := range want {
		if i >= len(got) || got[i] != w {
			t.Errorf("word %d: %q expected in %q", i, w, got[min(i, len(got)):min(i+3, len(got))])
			return
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d words, not %d", len(got), len(want))
	}
}

// Every character that a font shows can be copied out again as itself.
func TestEveryCharacterSurvives(t *testing.T) {
	for name, data := range map[string][]byte{"regular": goregular.TTF, "mono": gomono.TTF} {
		all := repertoire(parse(t, data))
		a := Appearance{Font: data, Hide: Title, Rect: pages.Box{0, 0, 1000, 800}, FontSize: 6}
		var words []string
		for i := 0; i < len(all); i += 8 {
			w := strings.Join(strings.Fields(string(all[i:min(i+8, len(all))])), "")
			words = append(words, "x"+w+"x")
		}
		for i := 0; i < len(words); i += 8 {
			a.Lines = append(a.Lines, strings.Join(words[i:min(i+8, len(words))], " "))
		}
		for len(a.Lines) > 0 {
			rest := a.Lines
			a.Lines = rest[:min(maxLines, len(rest))]
			wantWords(t, tool(t, drawn(t, a, Facts{}), "pdftotext", "-raw", "-enc", "UTF-8", "IN", "-"), strings.Fields(strings.Join(a.Lines, " ")))
			a.Lines = rest[len(a.Lines):]
		}
		if len(all) < 500 {
			t.Errorf("%s: only %d characters were tried", name, len(all))
		}
	}
}

// The property: any text of the repertoire is found again by two programs, whatever its words, lines and size.
func TestAnyTextSurvives(t *testing.T) {
	all := repertoire(parse(t, goregular.TTF))
	letters := all[:0:0]
	for _, r := range all {
		if r != ' ' && r != '\u00a0' && r != '\u202f' {
			letters = append(letters, r)
		}
	}
	word := rapid.StringOfN(rapid.SampledFrom(letters), 1, 12, -1)
	rapid.Check(t, func(rt *rapid.T) {
		if rapid.IntRange(0, 3).Draw(rt, "seldom") > 0 { // programs are slow
			return
		}
		var lines []string
		for range rapid.IntRange(1, 6).Draw(rt, "lines") {
			lines = append(lines, strings.Join(rapid.SliceOfN(word, 1, 8).Draw(rt, "words"), " "))
		}
		a := Appearance{Lines: lines[1:], Hide: Title, Rect: pages.Box{0, 0, 1000, 800}}
		file := drawn(t, a, Facts{Name: lines[0]})
		want := strings.Fields(strings.Join(lines, " "))
		wantWords(rt, tool(t, file, "pdftotext", "-raw", "-enc", "UTF-8", "IN", "-"), want)
		// MuPDF writes ligatures as letters.
		ligatures := strings.NewReplacer("\ufb01", "fi", "\ufb02", "fl")
		wantWords(rt, tool(t, file, "mutool", "draw", "-q", "-F", "text", "-o", "-", "IN"), strings.Fields(ligatures.Replace(strings.Join(want, " "))))
	})
}

// The four colours of print come out as they are meant: Adobe's programs store them inverted.
func TestPictureInCMYK(t *testing.T) {
	for name, c := range map[string]struct {
		picture []byte
		want    color.RGBA
	}{
		"yellow":       {solidJPEG(markSOF0, 0, "\x01\x02\x03\x04", 255, 255, 0, 255), color.RGBA{R: 255, G: 240, B: 0}},
		"nothing":      {solidJPEG(markSOF0, 0, "\x01\x02\x03\x04", 255, 255, 255, 255), color.RGBA{R: 255, G: 255, B: 255}},
		"black":        {solidJPEG(markSOF2, 0, "\x01\x02\x03\x04", 255, 255, 255, 0), color.RGBA{R: 30, G: 30, B: 30}},
		"YCCK, yellow": {solidJPEG(markSOF0, 2, "\x01\x02\x03\x04", 29, 255, 107, 255), color.RGBA{R: 255, G: 240, B: 0}},
	} {
		file := drawn(t, Appearance{Picture: c.picture, PicturePlace: PictureOnly, Rect: pages.Box{0, 0, 1000, 800}}, Facts{})
		for program, data := range map[string][]byte{
			"pdftoppm": tool(t, file, "pdftoppm", "-r", "9", "-png", "-singlefile", "IN", "OUT"),
			"mutool":   tool(t, file, "mutool", "draw", "-q", "-r", "9", "-o", "OUT.png", "IN"),
		} {
			m, err := png.Decode(bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			got := color.RGBAModel.Convert(m.At(m.Bounds().Dx()/2, m.Bounds().Dy()/2)).(color.RGBA)
			for _, d := range []int{int(got.R) - int(c.want.R), int(got.G) - int(c.want.G), int(got.B) - int(c.want.B)} {
				if max(d, -d) > 45 {
					t.Errorf("%s by %s: %v, not %v", name, program, got, c.want)
					break
				}
			}
		}
	}
}

// The profiles are read by a program that knows colour, and say what device colours say.
func TestProfiles(t *testing.T) {
	for _, grey := range []bool{false, true} {
		p := iccProfile(grey)
		if u32(p) != len(p) || string(p[36:40]) != "acsp" || len(p)%4 != 0 {
			t.Errorf("profile of %d bytes", len(p))
		}
		for i := range u32(p[128:]) {
			row := p[132+12*i:]
			if at, size := u32(row[4:]), u32(row[8:]); at%4 != 0 || at+size > len(p) || string(p[at+4:at+8]) != "\x00\x00\x00\x00" {
				t.Errorf("tag %q", row[:4])
			}
		}
	}
}

// Whatever a field's rectangle is: something is drawn or there is an error, and qpdf has no complaint.
func TestAnyBox(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 20, 30))); err != nil {
		t.Fatal(err)
	}
	drawnOnce := 0
	for i := range 60 {
		w, h := 1+random.Float64()*random.Float64()*900, 1+random.Float64()*random.Float64()*700
		a := Appearance{Rect: pages.Box{10, 20, 10 + w, 20 + h}, Picture: b.Bytes(), PicturePlace: PicturePlace(i % 5), Rotate: 90 * (i % 4), Hide: Item(i)}
		p, err := a.prepare(Facts{Name: "Щербань Ґандзя", Reason: "Підпис"})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.paint(&canvas{u: updateOf(t), width: w, height: h, fonts: map[*font.Font]*font.Subset{}}); err != nil {
			continue
		}
		if drawnOnce++; drawnOnce%6 == 0 {
			tool(t, drawn(t, Appearance{Rect: a.Rect, Picture: a.Picture, PicturePlace: a.PicturePlace, Hide: a.Hide}, Facts{Name: "Щербань Ґандзя", Reason: "Підпис"}), "qpdf", "--check", "IN")
		}
	}
	if drawnOnce < 30 {
		t.Errorf("only %d of 60 boxes were drawn", drawnOnce)
	}
}

func u32(b []byte) int { return int(binary.BigEndian.Uint32(b)) }

func updateOf(t testing.TB) *pdf.Update {
	t.Helper()
	in := pdftest.File{Objs: []pdftest.Obj{{Number: 1, Body: "<< /Type /Catalog /Pages 2 0 R >>"}, {Number: 2, Body: "<< /Type /Pages /Kids [] /Count 0 >>"}}}.Classic()
	doc, err := pdf.Open(bytes.NewReader(in), int64(len(in)), pdf.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	u, err := doc.NewUpdate()
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// A field that is marked NoRotate is shown upright by the reader, so its appearance is not turned.
func TestExistingFieldThatDoesNotTurn(t *testing.T) {
	in := pdftest.File{Objs: []pdftest.Obj{
		{Number: 1, Body: "<< /Type /Catalog /Pages 2 0 R >>"},
		{Number: 2, Body: "<< /Type /Pages /Kids [3 0 R] /Count 1 /Rotate 90 /MediaBox [0 0 300 200] >>"},
		{Number: 3, Body: "<< /Type /Page /Parent 2 0 R >>"},
		{Number: 4, Body: "<< /Rect [10 10 110 60] /F 20 >>"},
		{Number: 5, Body: "<< /Rect [10 10 110 60] /F 4 >>"},
	}}.Classic()
	doc, err := pdf.Open(bytes.NewReader(in), int64(len(in)), pdf.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	page, err := pages.Find(doc, 1)
	if err != nil {
		t.Fatal(err)
	}
	for number, want := range map[int]string{4: "1 0 0 1 0 0", 5: "0 1 -1 0 100 0"} {
		widget, err := doc.Load(object.Ref{Number: number})
		if err != nil {
			t.Fatal(err)
		}
		p, err := (&Appearance{}).Existing(doc, widget.Value, page)
		if err != nil || numbers(p.matrix()...) != want {
			t.Errorf("object %d: matrix %v, %v", number, p.matrix(), err)
		}
	}
}
