package pages_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/signer/pdf"
	"github.com/ecsigner/ecsigner/signer/pdf/object"
	"github.com/ecsigner/ecsigner/signer/pdf/pages"
	"github.com/ecsigner/ecsigner/signer/pdf/pdftest"
)

// tree is a document whose page tree begins at object 2, with these objects from 2 on.
func tree(t *testing.T, bodies ...string) *pdf.Document {
	t.Helper()
	objs := []pdftest.Obj{{Number: 1, Body: "<< /Type /Catalog /Pages 2 0 R >>"}}
	for i, b := range bodies {
		objs = append(objs, pdftest.Obj{Number: i + 2, Body: b})
	}
	data := pdftest.File{Objs: objs}.Classic()
	d, err := pdf.Open(bytes.NewReader(data), int64(len(data)), pdf.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestPageInheritsFromTheNearestNode(t *testing.T) {
	d := tree(t,
		"<< /Type /Pages /Kids [3 0 R 4 0 R 7 0 R] /Count 77 /MediaBox [0 0 200 100] /Rotate 90 >>",
		"<< /Type /Page /Parent 2 0 R /UserUnit 2.5 >>",
		"<< /Type /Pages /Parent 2 0 R /Kids [5 0 R 6 0 R] /Count 0 /Rotate -90 /CropBox [190 90 10 -20] >>",
		"<< /Type /Page /Parent 4 0 R >>",
		"<< /Type /Page /Parent 4 0 R /Rotate 720 /MediaBox 8 0 R >>",
		"<< /Type /Pages /Parent 2 0 R /Kids [] /Count 1 >>",
		"[1.5 +.25 -4 9 0 R]", "7.")
	for number, want := range map[int]pages.Page{
		1: {Object: pdf.Object{Ref: object.Ref{Number: 3}}, Visible: pages.Box{0, 0, 200, 100}, Rotate: 90, UserUnit: 2.5},
		2: {Object: pdf.Object{Ref: object.Ref{Number: 5}}, Visible: pages.Box{10, 0, 190, 90}, Rotate: 270, UserUnit: 1},
		3: {Object: pdf.Object{Ref: object.Ref{Number: 6}}, Visible: pages.Box{}, Rotate: 0, UserUnit: 1},
	} {
		p, err := pages.Find(d, number)
		if number == 3 { // the crop box lies beside the media box
			if !errors.Is(err, pdf.ErrDamaged) {
				t.Errorf("page 3: %v", err)
			}
			continue
		}
		if err != nil || p.Object.Ref != want.Object.Ref || p.Visible != want.Visible || p.Rotate != want.Rotate || p.UserUnit != want.UserUnit {
			t.Errorf("page %d: %+v, %v", number, p, err)
		}
	}
	if _, err := pages.Find(d, 4); !errors.Is(err, pages.ErrNoPage) || err.Error() != pages.ErrNoPage.Error()+": number 4 of 3" {
		t.Errorf("page 4: %v", err)
	}
	if _, err := pages.Find(d, -1); !errors.Is(err, pages.ErrNoPage) {
		t.Errorf("page -1: %v", err)
	}
	if p, err := pages.First(d, func(ref object.Ref, _ object.Value) (bool, error) { return ref.Number == 5, nil }); err != nil || p.Rotate != 270 {
		t.Errorf("page of object 5: %+v, %v", p, err)
	}
	if p, err := pages.First(d, func(object.Ref, object.Value) (bool, error) { return false, nil }); err != nil || p != nil {
		t.Errorf("no page: %+v, %v", p, err)
	}
	stop := errors.New("stop")
	if _, err := pages.First(d, func(object.Ref, object.Value) (bool, error) { return false, stop }); !errors.Is(err, stop) {
		t.Errorf("the condition fails: %v", err)
	}
}

// A tree in which each node names the next one twice has 2^40 paths, and is no tree.
func TestPageTreeThatIsANet(t *testing.T) {
	var bodies []string
	for i := range 40 {
		bodies = append(bodies, fmt.Sprintf("<< /Type /Pages /Kids [%d 0 R %d 0 R] /Count 1 >>", i+3, i+3))
	}
	d := tree(t, append(bodies, "<< /Type /Pages /Kids [] /Count 0 >>")...)
	start := time.Now()
	for _, number := range []int{0, 1} {
		if _, err := pages.Find(d, number); !errors.Is(err, pdf.ErrDamaged) {
			t.Errorf("page %d: %v", number, err)
		}
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("took %v", took)
	}
}

// Where the page tree is none, readers show different pages: it is not signed. What is odd and yet right is.
func TestUpdateWantsAPageTree(t *testing.T) {
	root, stream := "<< /Type /Pages /Kids [3 0 R 4 0 R] /Count 2 >>", "<< /Length 0 >>\nstream\n\nendstream"
	page := "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] >>"
	holding := func(contents string) []string {
		return []string{root, page, "<< /Type /Page /Parent 2 0 R /Contents " + contents + " >>", stream, "[5 0 R]", "7", "null", "[6 0 R]", "/Page"}
	}
	neither := "/Contents of page object 4 0 R: " + pdf.ErrDamaged.Error() + ": neither a stream nor an array of streams"
	for _, tc := range []struct {
		want   string
		bodies []string
	}{
		{"page tree: 2 0 R is not of /Type /Pages", []string{"<< /Kids [3 0 R] /Count 1 >>", page}},
		{"page tree: 2 0 R is not of /Type /Page", []string{"<< /Type /Pages /Count 0 >>"}},
		{"page tree: 2 0 R is not its root", []string{"<< /Type /Pages /Parent 3 0 R /Kids [] /Count 0 >>"}},
		{"page tree: 2 0 R is not its root", []string{page}},
		{"page tree: 3 0 R is not of /Type /Page", []string{root, "<< /Type /Pgae /Parent 2 0 R >>", page}},
		{"page tree: 3 0 R is not of /Type /Page", []string{root, "<< /Parent 2 0 R >>", page}},
		{"page tree: 4 0 R is not of /Type /Pages", []string{root, page, "<< /Type /Page /Kids [] >>"}},
		{"page tree: 4 0 R is no dictionary, or is not there", []string{root, page}},
		{"page tree: 3 0 R is no dictionary", []string{root, "<< /Type /Page /Length 0 >>\nstream\n\nendstream", page}},
		{"page tree: 3 0 R is listed twice", []string{"<< /Type /Pages /Kids [3 0 R 3 0 R] /Count 2 >>", page}},
		{"page tree: 2 0 R is listed twice", []string{"<< /Type /Pages /Kids [2 0 R] /Count 1 >>"}},
		{"page tree: 2 0 R has something else than references", []string{"<< /Type /Pages /Kids [" + page + "] /Count 1 >>"}},
		{"/Kids of 2 0 R is of the wrong type", []string{"<< /Type /Pages /Kids 3 /Count 1 >>"}},
		{neither, holding("7 0 R")},
		{neither, holding("(text)")},
		{neither, holding("[8 0 R]")},
		{neither, holding("[[5 0 R]]")},
		{neither, holding("9 0 R")},
		// What was good for the page before need not be for this one.
		{neither, append([]string{root, "<< /Type /Page /Contents 6 0 R >>"}, holding("[6 0 R]")[2:]...)},
		{neither, append([]string{root, "<< /Type /Page /Contents 8 0 R >>"}, holding("[8 0 R]")[2:]...)},
		{"5 7 R is referred to", append([]string{root, "<< /Type /Page /Contents 5 0 R >>"}, holding("5 7 R")[2:]...)},
	} {
		if u, err := pages.NewUpdate(tree(t, tc.bodies...)); u != nil || !errors.Is(err, pdf.ErrDamaged) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%q: %q expected, got %v", tc.bodies, tc.want, err)
		}
	}
	for _, contents := range []string{"5 0 R", "6 0 R", "[5 0 R 5 0 R]", "[]", "null", "8 0 R", "99 0 R", "5 0 R /Type 10 0 R"} {
		bodies := holding(contents)
		if strings.Contains(contents, "/Type") {
			bodies[2] = strings.Replace(bodies[2], "/Type /Page ", "", 1)
		}
		if _, err := pages.NewUpdate(tree(t, bodies...)); err != nil {
			t.Errorf("/Contents %s: %v", contents, err)
		}
	}
}

func TestLastPageOfMany(t *testing.T) {
	kids, bodies := "", []string{""}
	for i := range 5000 {
		kids += fmt.Sprintf("%d 0 R ", i+3)
		bodies = append(bodies, "<< /Type /Page /Parent 2 0 R >>")
	}
	bodies[0] = "<< /Type /Pages /Kids [" + kids + "] /Count 5000 >>"
	d := tree(t, bodies...)
	for number, want := range map[int]int{0: 5002, 5000: 5002, 4999: 5001, 1: 3} {
		if p, err := pages.Find(d, number); err != nil || p.Object.Ref.Number != want {
			t.Errorf("page %d: %+v, %v", number, p, err)
		}
	}
}

// BenchmarkUpdateOfManyPages is what the check costs for 100,000 pages with a content stream each.
func BenchmarkUpdateOfManyPages(b *testing.B) {
	const count = 100_000
	var kids strings.Builder
	objs := []pdftest.Obj{{Number: 1, Body: "<< /Type /Catalog /Pages 2 0 R >>"}, {}}
	for i := range count {
		fmt.Fprintf(&kids, "%d 0 R ", 2*i+3)
		objs = append(objs, pdftest.Obj{Number: 2*i + 3, Body: fmt.Sprintf("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents %d 0 R >>", 2*i+4)},
			pdftest.Obj{Number: 2*i + 4, Body: "<< /Length 0 >>\nstream\n\nendstream"})
	}
	objs[1] = pdftest.Obj{Number: 2, Body: fmt.Sprintf("<< /Type /Pages /Kids [%s] /Count %d >>", kids.String(), count)}
	data := pdftest.File{Objs: objs}.Classic()
	d, err := pdf.Open(bytes.NewReader(data), int64(len(data)), pdf.Limits{})
	if err != nil {
		b.Fatal(err)
	}
	for name, begin := range map[string]func() (*pdf.Update, error){
		"objects": d.NewUpdate, "objects and pages": func() (*pdf.Update, error) { return pages.NewUpdate(d) },
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if _, err := begin(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func FuzzPage(f *testing.F) {
	for _, s := range pdftest.Signable() {
		if len(s.Data) < 3_000 {
			f.Add(s.Data, 1)
		}
	}
	f.Add(pdftest.File{Objs: []pdftest.Obj{
		{Number: 1, Body: "<< /Type /Catalog /Pages 2 0 R >>"},
		{Number: 2, Body: "<< /Type /Pages /Kids [3 0 R 5 0 R] /MediaBox [0 0 9 9] >>"},
		{Number: 3, Body: "<< /Type /Pages /Kids [4 0 R] /CropBox [1 1 5 5] /Rotate 90 >>"},
		{Number: 4, Body: "<< /Type /Page /UserUnit 2 /Rotate 0 /Contents [6 0 R] >>"},
		{Number: 5, Body: "<< /Type /Page /Contents 6 0 R >>"},
		{Number: 6, Body: "<< /Length 0 >>\nstream\n\nendstream"},
	}}.Classic(), 2)
	f.Fuzz(func(t *testing.T, data []byte, number int) {
		d, err := pdf.Open(bytes.NewReader(data), int64(len(data)), pdf.Limits{StreamSize: 1 << 20, Objects: 1 << 14})
		if err != nil {
			return
		}
		for _, n := range []int{0, number} {
			p, err := pages.Find(d, n)
			if (p == nil) == (err == nil) {
				t.Fatalf("page %d: neither or both of result and error", n)
			}
			if p != nil && (p.Visible.Empty() || p.Rotate%90 != 0 || p.Rotate < 0 || p.Rotate > 270 || !(p.UserUnit > 0)) {
				t.Errorf("page %d: %+v", n, p)
			}
		}
		if u, err := pages.NewUpdate(d); (u == nil) == (err == nil) {
			t.Fatal("an update: neither or both of result and error")
		}
	})
}

// An object that is put twice stands once in the new cross-reference section, as it was put last.
func TestObjectThatIsPutTwice(t *testing.T) {
	objs := []pdftest.Obj{
		{Number: 1, Body: "<< /Type /Catalog /Pages 2 0 R >>"}, {Number: 2, Body: "<< /Type /Pages /Kids [] /Count 0 >>"}, {Number: 3, Body: "[1]"},
	}
	for name, data := range map[string][]byte{"table": pdftest.File{Objs: objs}.Classic(), "stream": pdftest.File{Objs: objs}.Streams(1, 2, 3)} {
		d, err := pdf.Open(bytes.NewReader(data), int64(len(data)), pdf.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		u, err := d.NewUpdate()
		if err != nil {
			t.Fatal(err)
		}
		u.Put(object.Ref{Number: 3}, []byte("[2]"))
		u.Put(object.Ref{Number: 3}, []byte("[3]"))
		tail, err := u.Finish()
		if err != nil {
			t.Fatal(err)
		}
		if name == "table" && bytes.Count(tail, []byte("\n3 1\n")) != 1 {
			t.Errorf("the object stands not once in %s", tail)
		}
		whole := append(bytes.Clone(data), tail...)
		if d, err = pdf.Open(bytes.NewReader(whole), int64(len(whole)), pdf.Limits{}); err != nil {
			t.Fatal(err)
		}
		if o, err := d.Load(object.Ref{Number: 3}); err != nil || string(o.Value.Raw) != "[3]" {
			t.Errorf("%s: %s, %v", name, o.Value.Raw, err)
		}
	}
}
