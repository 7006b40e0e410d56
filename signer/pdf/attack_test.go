package pdf_test

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/signer/pdf"
	"github.com/ecsigner/ecsigner/signer/pdf/object"
	"github.com/ecsigner/ecsigner/signer/pdf/pdftest"
)

// TestTrustWork opens small files whose objects refer to large ones again and again: what they cost must stay bounded.
func TestTrustWork(t *testing.T) {
	const fields = 20000
	refs := func(from int) string {
		var b strings.Builder
		for i := range fields {
			fmt.Fprintf(&b, "%d 0 R ", from+i)
		}
		return b.String()
	}
	many := func(body string) []pdftest.Obj {
		objs := make([]pdftest.Obj, fields)
		for i := range objs {
			objs[i] = pdftest.Obj{Number: 100 + i, Body: body}
		}
		return objs
	}
	large := strings.Repeat("x", 1<<20)
	for name, data := range map[string][]byte{
		"names that share an object": pdftest.File{Objs: pdftest.Page("/AcroForm << /Fields ["+refs(100)+"] >>", "",
			append(many("<< /T 50 0 R >>"), pdftest.Obj{Number: 50, Body: "(" + large + ")"})...)}.Classic(),
		"names below a long one": pdftest.File{Objs: pdftest.Page("/AcroForm << /Fields [50 0 R] >>", "",
			append(many("<< /T (a) >>"), pdftest.Obj{Number: 50, Body: "<< /T (" + large + ") /Kids [" + refs(100) + "] >>"})...)}.Classic(),
		"values that share an object": pdftest.File{Objs: pdftest.Page("/AcroForm << /Fields ["+refs(100)+"] >>", "",
			append(many("<< /T (a) /V 50 0 R >>"), pdftest.Obj{Number: 50, Body: "[" + strings.Repeat("1 ", 1<<17) + "]"})...)}.Classic(),
		"values that share an object in a stream": pdftest.File{Objs: pdftest.Page("/AcroForm << /Fields ["+refs(100)+"] >>", "",
			append(many("<< /T (a) /V 50 0 R >>"), pdftest.Obj{Number: 50, Body: "[" + strings.Repeat("1 ", 1<<17) + "]"})...)}.Streams(50),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		began := time.Now()
		if err := openForm(data, pdf.Limits{}); !errors.Is(err, pdf.ErrTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
		runtime.ReadMemStats(&after)
		t.Logf("%s: %d bytes of file, %v, %d MiB", name, len(data), time.Since(began), (after.TotalAlloc-before.TotalAlloc)>>20)
		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("%s: %v for %d bytes", name, took, len(data))
		}
	}
}

// TestTrustOneDocument: files that one reader shows otherwise than another one (poppler, MuPDF, qpdf; tried) are refused.
func TestTrustOneDocument(t *testing.T) {
	page := pdftest.Page("", "")
	table := func(entries, trailer string) []byte {
		plain := pdftest.File{Objs: page}.Classic()
		body, _, _ := bytes.Cut(plain, []byte("xref\n"))
		return fmt.Appendf(bytes.Clone(body), "xref\n%strailer\n<< /Size 9 /Root 1 0 R %s >>\nstartxref\n%d\n%%%%EOF\n", entries, trailer, len(body))
	}
	entry := func(n int) string {
		plain := pdftest.File{Objs: page}.Classic()
		return fmt.Sprintf("%d 1\n%010d 00000 n \n", n, bytes.Index(plain, fmt.Appendf(nil, "\n%d 0 obj", n))+1)
	}
	all := entry(1) + entry(2) + entry(3) + entry(4)
	if _, err := open(table(all, "")); err != nil {
		t.Fatal(err)
	}
	packed := pdftest.File{Objs: page}.Streams(1, 2, 3)
	packed[regexp.MustCompile(`\n1 0 2 \d+ (3) `).FindSubmatchIndex(packed)[2]] = '1'
	kind3 := pdftest.File{Objs: pdftest.Page("", "", pdftest.Obj{Number: 9, Body: "null"})}.Streams()
	kind3[bytes.LastIndex(kind3, []byte("stream\r\n"+"\x00\x00\x00\x00\xff\xff"))+len("stream\r\n")+5*6] = 3 // object 5 is free
	for name, data := range map[string][]byte{
		"an object twice in one section":       table(all+entry(3), ""),
		"an object and nothing in one section": table(all+"3 1\n0000000000 00001 f \n", ""),
		"an object twice in an object stream":  packed,
		"another generation":                   pdftest.File{Objs: pdftest.Page("/AcroForm 9 7 R", "", pdftest.Obj{Number: 9, Body: "<< /Fields [] >>"})}.Classic(),
		"another generation in an object stream": pdftest.File{Objs: pdftest.Page("/AcroForm 9 7 R", "",
			pdftest.Obj{Number: 9, Body: "<< /Fields [] >>"})}.Streams(9),
		"linearized with two beginnings": linearized(false),
		"an entry of an unknown kind":    kind3,
	} {
		if err := openForm(data, pdf.Limits{}); !errors.Is(err, pdf.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := openForm(linearized(true), pdf.Limits{}); err != nil {
		t.Errorf("linearized: %v", err)
	}
}

// linearized is a file with a section behind its first object and one at its end, of which startxref names one.
func linearized(first bool) []byte {
	var out []byte
	for range 3 { // until the length that stands in it is its own
		size := len(out)
		out = fmt.Appendf(nil, "%%PDF-1.7\n9 0 obj\n<< /Linearized 1 /L %d /H [100 10] /O 13 /E 500 /N 1 /T 600 >>\nendobj\n", size)
		behind, at := len(out), map[int]int{9: bytes.Index(out, []byte("9 0 obj"))}
		var rest []byte
		for _, root := range []int{1, 11} {
			for i, body := range []string{"<< /Type /Catalog /Pages %d 0 R >>", "<< /Type /Pages /Kids [%d 0 R] /Count 1 >>", "<< /Type /Page /MediaBox [0 0 %d 99] >>"} {
				at[root+i] = behind + 600 + len(rest)
				rest = fmt.Appendf(rest, "%d 0 obj\n"+body+"\nendobj\n", root+i, root+i+1)
			}
		}
		section := func(root int) (s []byte) {
			s = []byte("xref\n")
			for _, n := range []int{1, 2, 3, 9, 11, 12, 13} {
				s = fmt.Appendf(s, "%d 1\n%010d 00000 n \n", n, at[n])
			}
			return fmt.Appendf(s, "trailer\n<< /Size 14 /Root %d 0 R >>\n", root)
		}
		out = append(out, section(11)...)
		out = append(append(out, bytes.Repeat([]byte("\n"), behind+600-len(out))...), rest...)
		start := len(out)
		out = append(out, section(1)...)
		if first {
			start = behind
		}
		out = fmt.Appendf(out, "startxref\n%06d\n%%%%EOF\n", start)
	}
	return out
}

// TestTrustSparse: a cross-reference table that names one object in a thousand costs no memory for the others.
func TestTrustSparse(t *testing.T) {
	var b strings.Builder
	b.WriteString("%PDF-1.4\nxref\n")
	for n := 0; n < 8_000_000; n += 1000 {
		fmt.Fprintf(&b, "%d 1\n0000000000 00000 f \n", n)
	}
	data := b.String() + "trailer\n<< /Size 9 >>\nstartxref\n9\n%%EOF\n"
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := openForm([]byte(data), pdf.Limits{}); !errors.Is(err, pdf.ErrDamaged) {
		t.Error(err)
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 128*uint64(len(data)) {
		t.Errorf("%d bytes allocated for %d", got, len(data))
	}
}

// TestTrustNamelessSignatures: poppler and MuPDF show signatures in fields without a name and in widgets, so they are found.
func TestTrustNamelessSignatures(t *testing.T) {
	const signature = "<< /Type /Sig /Filter /F /SubFilter /S >>"
	for name, tc := range map[string]struct {
		fields string
		want   string
	}{
		"field without a name":              {"<< /FT /Sig /V 6 0 R >>", "=sig"},
		"widget with a value of its own":    {"<< /FT /Sig /T (a) /Kids [<< /V 6 0 R >>] >>", "a= a=sig"},
		"widget with the value of another":  {"<< /FT /Sig /T (a) /V 7 0 R /Kids [<< /V 6 0 R >>] >>", "a=sig a=sig"},
		"widget with the field's value":     {"<< /FT /Sig /T (a) /V 6 0 R /Kids [<< /V 6 0 R >>] >>", "a=sig"},
		"widget without a value":            {"<< /FT /Sig /T (a) /V 6 0 R /Kids [<< /AP 6 0 R >>] >>", "a=sig"},
		"widgets of a text field":           {"<< /FT /Tx /T (a) /V (x) /Kids [<< /V (y) >>] >>", "a=x"},
		"nameless field within a named one": {"<< /T (a) /Kids [<< /FT /Sig /V 6 0 R >>] >>", "a= a=sig"},
	} {
		d, err := open(pdftest.File{Objs: pdftest.Page("/AcroForm << /Fields [5 0 R] >>", "", pdftest.Obj{Number: 5, Body: tc.fields},
			pdftest.Obj{Number: 6, Body: signature}, pdftest.Obj{Number: 7, Body: signature})}.Classic())
		if err != nil {
			t.Fatal(name, err)
		}
		form, err := d.Form()
		if err != nil {
			t.Fatal(name, err)
		}
		var got []string
		for _, f := range form.Fields {
			value := f.Value.Text
			if f.Value.Kind == object.Dict {
				value = "sig"
			}
			got = append(got, f.Name+"="+value)
		}
		if strings.Join(got, " ") != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}
