package padestest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ecsigner/ecsigner/signer/pades"
	"github.com/ecsigner/ecsigner/signer/pdf/pdftest"
)

// Manifest returns the rows of the list of a corpus by file name, or skips the test where there is no corpus.
func Manifest(t *testing.T, corpus string) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(corpus, "MANIFEST.tsv"))
	if err != nil {
		t.Skipf("NO CORPUS at %s: files made by others are not tested: %v", corpus, err)
	}
	rows := map[string][]string{}
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n")[1:] {
		if f := strings.Split(line, "\t"); len(f) > 7 {
			rows[f[0]] = f
		}
	}
	return rows
}

// Prepare is pades.Prepare for a file in memory.
func Prepare(data []byte, o pades.Options) (*pades.Prepared, error) {
	return pades.Prepare(context.Background(), bytes.NewReader(data), int64(len(data)), o)
}

// Shape returns a copy of a file of package pdftest.
func Shape(t testing.TB, name string) []byte {
	t.Helper()
	for _, s := range pdftest.Signable() {
		if s.Name == name {
			return bytes.Clone(s.Data)
		}
	}
	t.Fatalf("no shape %q", name)
	return nil
}

// QPDF rewrites a file.
func QPDF(t *testing.T, in []byte, args ...string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out.pdf")
	if said, code := Run(t, "qpdf", append(args, WriteFile(t, "in.pdf", in), out)...); code != 0 {
		t.Fatalf("qpdf: %s", said)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// EmptyFields returns a document with three empty signature fields: "one", "two" inside a group, and "apart", whose
// widget is an object of its own. entries go into all.
func EmptyFields(entries string, more ...pdftest.Obj) pdftest.File {
	widget := "/Type /Annot /Subtype /Widget /Rect [10 10 90 50] /P 3 0 R /F 4"
	return pdftest.File{Objs: pdftest.Page("/AcroForm 5 0 R /Lang (uk)", "/Annots [6 0 R 8 0 R 9 0 R 10 0 R]", append([]pdftest.Obj{
		{Number: 5, Body: "<< /Fields [6 0 R 7 0 R 12 0 R 10 0 R] /DA (/Helv 0 Tf) /DR << /Font << /Helv 11 0 R >> >> /SigFlags 1 >>"},
		{Number: 6, Body: "<< /FT /Sig /T (one) " + widget + " /MK << /R 0 >> " + entries + " >>"},
		{Number: 7, Body: "<< /T (group) /FT /Sig /Kids [8 0 R] >>"},
		{Number: 8, Body: "<< /T (two) /Parent 7 0 R " + strings.Replace(widget, "10 10 90 50", "10 60 90 99", 1) + " " + entries + " >>"},
		{Number: 9, Body: "<< /Parent 12 0 R " + strings.Replace(widget, "10 10 90 50", "100 60 190 99", 1) + " >>"},
		{Number: 12, Body: "<< /T (apart) /FT /Sig /Kids [9 0 R] " + entries + " >>"},
		pdftest.TextField(10, "text"),
		{Number: 11, Body: "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"},
	}, more...)...)}
}

// Counting counts what is read through it.
type Counting struct {
	io.ReaderAt
	N int64
}

func (c *Counting) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.ReaderAt.ReadAt(p, off)
	c.N += int64(n)
	return n, err
}

// WriteLarge writes a PDF with one stream of n zero bytes and returns its size.
func WriteLarge(t *testing.T, w io.WriterAt, n int64) int64 {
	t.Helper()
	parts := LargeParts(n)
	for _, p := range parts {
		if _, err := w.WriteAt(p.Data, p.At); err != nil {
			t.Fatal(err)
		}
	}
	last := parts[len(parts)-1]
	return last.At + int64(len(last.Data))
}

// Part is a piece of a file.
type Part struct {
	At   int64
	Data []byte
}

// LargeParts is the beginning and the end of a PDF with a stream of n bytes between them.
func LargeParts(n int64) []Part {
	head := fmt.Appendf(nil, "%%PDF-1.7\n1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n2 0 obj\n<< /Type /Pages /Kids [] /Count 0 >>\nendobj\n"+
		"3 0 obj\n<< /Length %d >>\nstream\n", n)
	end := int64(len(head)) + n
	one, two, three := bytes.Index(head, []byte("1 0 obj")), bytes.Index(head, []byte("2 0 obj")), bytes.Index(head, []byte("3 0 obj"))
	tail := "\nendstream\nendobj\n"
	tail += fmt.Sprintf("xref\n0 4\n0000000000 65535 f \n%010d 00000 n \n%010d 00000 n \n%010d 00000 n \ntrailer\n<< /Size 4 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n",
		one, two, three, end+int64(len(tail)))
	return []Part{{0, head}, {end, []byte(tail)}}
}

// Squeeze makes one blank of several, which mean the same between tokens.
func Squeeze(s string) string { return regexp.MustCompile(` +`).ReplaceAllString(s, " ") }
