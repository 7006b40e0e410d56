package pdf_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/ecsigner/ecsigner/signer/pdf"
	"github.com/ecsigner/ecsigner/signer/pdf/pdftest"
)

// with is a file with one more object, which nothing refers to and nobody needs.
func with(body string) pdftest.File {
	return pdftest.File{Objs: pdftest.Page("", "", pdftest.Obj{Number: 9, Body: body})}
}

// Nothing is appended to a file of which an object is damaged, needed or not. The error names the object and the place.
func TestUpdateOfDamagedObjects(t *testing.T) {
	for body, want := range map[string]string{
		"<< /A (no end":         "string without end",
		"<< /A <41 >":           "\">>\" expected",
		"<< /A [1 2 >>":         "unexpected '>'",
		"<< /A <4G> >>":         "bad character in a hexadecimal string",
		"<< /A 1 2 >>":          "dictionary key or \">>\" expected",
		"<< /A >>":              "unexpected '>'",
		"<< /A 1.2.3e >>":       "no object",
		"{ 1 }":                 "unexpected '{'",
		"1 2":                   "no \"endobj\"",
		"":                      "no object",
		strings.Repeat("[", 70): "nested too deep",
		"<< /Length 3 >>\nstream\nabcd\nendstream":             "no \"endstream\"",
		"<< /Length 9 >>\nstream\nabcd\nendstream":             "no \"endstream\"",
		"<< /Length 99999 >>\nstream\nabcd\nendstream":         "/Length of its stream",
		"<< >>\nstream\nabcd\nendstream":                       "/Length of its stream",
		"<< /Length 8 0 R >>\nstream\nabcd\nendstream":         "/Length of its stream",
		"<< /Length 4 >>\nstream abcd\nendstream":              "no line end after \"stream\"",
		"<< /Length 4 >>\nstream\nabcd\nendstream 1":           "no \"endobj\"",
		"<< /Length 4 /Length 9 >>\nstream\nabcd\nendstream":   "appears twice",
		"<< /L#65ngth 4 /Length 9 >>\nstream\nabcd\nendstream": "appears twice",
		"<< /Length [4] >>\nstream\nabcd\nendstream":           "/Length of its stream",
		"[1]\nstream\nabcd\nendstream":                         "no \"endobj\"",
	} {
		refused(t, body, with(body).Classic(), want)
		if !strings.Contains(body, "stream") && body != "" && body != "1 2" { // in a stream, what lies behind is another object
			refused(t, body+" in a stream", with(body).Streams(9), want)
		}
	}
}

func refused(t *testing.T, what string, data []byte, want string) {
	t.Helper()
	d, err := open(data)
	if err != nil {
		t.Errorf("%q: not even opened: %v", what, err)
		return
	}
	if _, err = d.NewUpdate(); !errors.Is(err, pdf.ErrDamaged) && !errors.Is(err, pdf.ErrTooLarge) || !strings.Contains(err.Error(), want) ||
		!strings.Contains(err.Error(), "object 9") {
		t.Errorf("%q: %v; %q expected", what, err, want)
	}
}

func TestUpdateWantsInfo(t *testing.T) {
	for trailer, good := range map[string]bool{"/Info 1": false, "/Info 4 0 R": false, "/Info 3 0 R": true, "/Info << >>": true, "/Info null": true, "/Info 99 0 R": true} {
		d, err := open(pdftest.File{Objs: pdftest.Page("", ""), Trailer: trailer}.Classic())
		if err != nil {
			t.Fatal(err)
		}
		_, err = d.NewUpdate()
		if named := errors.Is(err, pdf.ErrDamaged) && strings.Contains(err.Error(), "/Info"); good && err != nil || !good && !named {
			t.Errorf("%s: %v", trailer, err)
		}
	}
}

// What is odd and yet right is taken.
func TestUpdateOfOddObjects(t *testing.T) {
	for _, body := range []string{
		"<</A(()\\(\\)\\\\)/B<4 1 4>/C[1 0 R 2 null true -1.5 +.5]/D<<>>/#41/E>>", "null", "5", "(a\\\r\nb)", "<< /A 1 /A 2 >>", "/", "[% comment ]\n]",
		"<< /Length 4 >>stream\r\nabcdendstream", "<< /Length 7 0 R >>\nstream\nabcd\r\nendstream", "<< /#4cength 4 >>\nstream\nabcd\nendstream", "<< /Filter /X /Length 0 >>\nstream\n\nendstream",
		"<< /X << /Length 99 >> /Length 4 >>\nstream\nabcd\nendstream", "(" + strings.Repeat("x", 100_000) + ")",
	} {
		f := with(body)
		f.Objs = append(f.Objs, pdftest.Obj{Number: 7, Body: "4"})
		d, err := open(f.Classic())
		if err == nil {
			_, err = d.NewUpdate()
		}
		if err != nil {
			t.Errorf("%.60q: %v", body, err)
		}
	}
}

// Objects that lie in each other are no file: each would be read with all that it holds.
func TestUpdateOfNestedObjects(t *testing.T) {
	const n = 200_000
	var b bytes.Buffer
	b.WriteString("%PDF-1.7\n")
	offsets := []int{0, b.Len()}
	b.WriteString("1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n")
	offsets = append(offsets, b.Len())
	b.WriteString("2 0 obj\n<< /Type /Pages /Kids [] /Count 0 >>\nendobj\n")
	for i := range n {
		offsets = append(offsets, b.Len())
		fmt.Fprintf(&b, "%d 0 obj(", i+3)
	}
	b.WriteString(strings.Repeat(")endobj ", n))
	start := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(offsets))
	for _, at := range offsets[1:] {
		fmt.Fprintf(&b, "%010d 00000 n \n", at)
	}
	fmt.Fprintf(&b, "trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n", len(offsets), start)
	d, err := open(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.NewUpdate(); !errors.Is(err, pdf.ErrDamaged) || !strings.Contains(err.Error(), "object 4 0 R") || !strings.Contains(err.Error(), "inside the object before") {
		t.Error(err)
	}

	objects := []pdftest.Obj{{Number: 10, Body: "(" + strings.Repeat("x", 5000) + ")"}}
	inside := []int{10}
	for i := range 4 {
		objects = append(objects, pdftest.Obj{Number: 11 + i, Body: "(y)"})
		inside = append(inside, 11+i)
	}
	data := pdftest.File{Objs: pdftest.Page("", "", objects...)}.Streams(inside...)
	if d, err = open(data); err == nil {
		_, err = d.NewUpdate()
	}
	if err != nil {
		t.Error("side by side:", err)
	}
	for i := range 4 {
		data = replace(data, fmt.Sprintf("%d %d", 11+i, 5003+4*i), fmt.Sprintf("%d 0000", 11+i))
	}
	if d, err = open(data); err == nil {
		_, err = d.NewUpdate()
	}
	if !errors.Is(err, pdf.ErrDamaged) || !strings.Contains(err.Error(), "lie in each other") {
		t.Error("one for five:", err)
	}
}

// What the file refers to, and does not have, never comes to be by what is appended: not in an object, in an object stream, or
// in the trailer, and not where the numbers are scattered or all in a row.
func TestUpdateFillsNoGap(t *testing.T) {
	f := with("<< /A [11 0 R << /B 13 0 R >> 14 0 R 14 5 R] /C (10 0 R) /D 8388607 0 R >>")
	f.Trailer = "/Info 15 0 R"
	for name, data := range map[string][]byte{"classic": f.Classic(), "streams": f.Streams(9)} {
		d, err := open(data)
		if err != nil {
			t.Fatal(name, err)
		}
		u, err := d.NewUpdate()
		if err != nil {
			t.Fatal(name, err)
		}
		for range 6 {
			switch n := u.New().Number; n {
			case 11, 13, 14, 15:
				t.Errorf("%s: %d is given although the file refers to it", name, n)
			}
		}
		u.Put(u.New(), []byte("null"))
		update, err := u.Finish()
		if err != nil {
			t.Fatal(name, err)
		}
		if _, err := open(append(data, update...)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// dense is a file of n small objects, one behind the other.
func dense(n int) []byte {
	objects := pdftest.Page("", "")
	for i := range n {
		objects = append(objects, pdftest.Obj{Number: 10 + i, Body: fmt.Sprintf("<< /Type /Annot /Rect [%d 20 30.5 40] /Contents (Some text \\(%d\\)) /P 3 0 R /F 4 >>", i, i)})
	}
	return pdftest.File{Objs: objects}.Classic()
}

func BenchmarkOpen(b *testing.B)   { benchmarkDense(b, false) }
func BenchmarkUpdate(b *testing.B) { benchmarkDense(b, true) }

func benchmarkDense(b *testing.B, update bool) {
	b.Helper()
	data := dense(100_000)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		d, err := pdf.Open(struct{ io.ReaderAt }{bytes.NewReader(data)}, int64(len(data)), pdf.Limits{})
		if err == nil && update {
			_, err = d.NewUpdate()
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}
