package pdf_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/ecsigner/ecsigner/signer/pdf"
	"github.com/ecsigner/ecsigner/signer/pdf/pdftest"
)

// again appends a section that gives the catalog the generation 1, with a catalog for it, as after it was deleted.
func again(base []byte) []byte {
	b := bytes.NewBuffer(bytes.Clone(base))
	at := b.Len()
	b.WriteString("1 1 obj\n<< /Type /Catalog /Pages 2 0 R /Lang (pl) >>\nendobj\n")
	start := b.Len()
	fmt.Fprintf(b, "xref\n1 1\n%010d 00001 n \ntrailer\n<< /Size 5 /Root 1 1 R /Prev %d >>\nstartxref\n%d\n%%%%EOF\n",
		at, bytes.LastIndex(base, []byte("xref\n0 ")), start)
	return b.Bytes()
}

// What an older section says of an object that has another generation now must hold: readers look for both.
func TestObjectsOfSeveralGenerations(t *testing.T) {
	base := pdftest.File{Objs: pdftest.Page("", "")}.Classic()
	entry := "0000000015 00000 n"
	if d, err := open(again(base)); err != nil || d.Catalog().Ref.Generation != 1 {
		t.Error(err)
	}
	for wrong, want := range map[string]string{
		"0000000015 00007 n": "object 1 7 R does not begin at byte 15",
		"0000000014 00000 n": "", // white space before it is allowed
		"0000000016 00000 n": "object 1 0 R does not begin at byte 16",
		"9999999999 00000 n": "object 1 0 R does not begin at byte 9999999999",
	} {
		_, err := open(again(replace(base, entry, wrong)))
		if want == "" {
			if err != nil {
				t.Errorf("%s: %v", wrong, err)
			}
		} else if !errors.Is(err, pdf.ErrDamaged) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; %q expected", wrong, err, want)
		}
	}
	for _, s := range pdftest.Signable() {
		if s.Name == "updated" || s.Name == "updated-by-stream" {
			if _, err := open(replace(s.Data, entry, "0000000015 00007 n")); !errors.Is(err, pdf.ErrDamaged) || !strings.Contains(err.Error(), "object 1 7 R") {
				t.Errorf("%s: %v", s.Name, err)
			}
		}
	}

	many := bytes.NewBufferString("%PDF-1.7\n")
	for _, generation := range []int{0, 1} {
		start, prev := many.Len(), ""
		if generation > 0 {
			prev = "/Prev 9"
		}
		many.WriteString("xref\n1 5000\n" + strings.Repeat(fmt.Sprintf("0000000009 %05d n \n", generation), 5000))
		fmt.Fprintf(many, "trailer\n<< /Size 5001 /Root 1 1 R %s >>\nstartxref\n%d\n%%%%EOF\n", prev, start)
	}
	if _, err := open(many.Bytes()); !errors.Is(err, pdf.ErrTooLarge) || !strings.Contains(err.Error(), "several generations") {
		t.Error("many:", err)
	}
}

// The stream of a section or of objects ends like any other, although no entry need name it.
func TestSectionsWithoutTheirEnd(t *testing.T) {
	data := pdftest.File{Objs: pdftest.Page("", "")}.Streams(1, 2)
	for at, count := 0, 0; ; count++ {
		i := bytes.Index(data[at:], []byte("endstream\nendobj"))
		if i < 0 {
			if count != 3 { // the page's, that of objects, that of the section
				t.Errorf("%d streams", count)
			}
			return
		}
		at += i + len("endstream\nendobj")
		bad := bytes.Clone(data)
		bad[at-1] = 'k'
		d, err := open(bad)
		if err == nil && count == 0 {
			_, err = d.NewUpdate()
		}
		if !errors.Is(err, pdf.ErrDamaged) || !strings.Contains(err.Error(), "no \"endobj\"") {
			t.Errorf("stream %d: %v", count, err)
		}
	}
}
