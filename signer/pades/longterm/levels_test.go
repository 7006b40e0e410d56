package longterm_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/pades"
	"github.com/ecsigner/ecsigner/signer/pades/longterm"
	"github.com/ecsigner/ecsigner/signer/pades/padestest"
	"github.com/ecsigner/ecsigner/signer/pdf"
	"github.com/ecsigner/ecsigner/signer/pdf/pdftest"
	"github.com/ecsigner/ecsigner/signer/revinfo/revtest"
)

// TestEveryLevelIsGuarded changes bytes all over a document with two signatures at B-LTA, and in every revision of it on the way
// there: each is noticed, by the newest document time-stamp at the latest.
func TestEveryLevelIsGuarded(t *testing.T) {
	w := world()
	id := w.signatory(revtest.P256)
	s, _ := w.services()
	s.Stamper = sized{w.tsa.Stamp, 2000, nil} // little filling
	out := augment(t, named(t, stamped(t, padestest.Shape(t, "form-indirect"), id, "S", w.tsa), id, "T"), cades.LevelBLTA, s)
	infos := verifyAll(t, out)
	want := summary(infos)
	if want != "S=B-LTA T=B-LTA TimeStamp1=time-stamp TimeStamp2=time-stamp " {
		t.Fatal(want)
	}
	last := infos[len(infos)-1].ByteRange
	r := rand.New(rand.NewPCG(6, 6))
	for at := 0; at < len(out); at += 1 + r.IntN(100) {
		bad := bytes.Clone(out)
		bad[at] ^= byte(1 << r.IntN(8))
		if int64(at) >= last[1] && int64(at) < last[2] {
			continue // the token guards itself, as far as it is signed; see the tests of package tsp
		}
		got, err := longterm.Verify(t.Context(), bytes.NewReader(bad), int64(len(bad)), pdf.Limits{})
		// Without its form, or its last field, the file has no such signature for anybody.
		if err == nil && len(got) == len(infos) && got[len(got)-1].Err == nil {
			t.Errorf("byte %d changed: %s", at, summary(got))
		}
	}
	// In the newest token nothing that is not a certificate or filling can change.
	for at := last[1]; at < last[2]; at += 1 + r.Int64N(100) {
		bad := bytes.Clone(out)
		if bad[at] = '1'; out[at] == '1' {
			bad[at] = '2'
		}
		got, err := longterm.Verify(t.Context(), bytes.NewReader(bad), int64(len(bad)), pdf.Limits{})
		if err == nil && got[3].Err == nil && !bytes.Equal(got[3].TimeStamp.Imprint, infos[3].TimeStamp.Imprint) {
			t.Errorf("byte %d changed: %s", at, summary(got))
		}
	}
}

// TestLaterRevisions: what is appended after a signature is told, and whether something valid covers it.
func TestLaterRevisions(t *testing.T) {
	w := world()
	s, _ := w.services()
	id := w.signatory(revtest.P256)
	out := augment(t, named(t, padestest.Shape(t, "lf"), id, "S"), cades.LevelBLTA, s)
	infos := verifyAll(t, out)
	for i, want := range []int{3, 2, 0} { // time-stamp, store, time-stamp
		if infos[i].LaterRevisions != want || infos[i].Covered != (i < 2) || infos[i].CoversFile != (i == 2) || (infos[i].LaterBytes == 0) != (i == 2) {
			t.Errorf("%s: %d later revisions, covered %v", infos[i].Field, infos[i].LaterRevisions, infos[i].Covered)
		}
	}
	// A revision that replaces the store with an empty one takes the evidence away from B-LT, not from B-LTA, whose time-stamp covers
	// the file as it was.
	for _, to := range []cades.Level{cades.LevelBLT, cades.LevelBLTA} {
		out := augment(t, named(t, padestest.Shape(t, "lf"), id, "S"), to, s)
		doc := padestest.Must(pdf.Open(bytes.NewReader(out), int64(len(out)), pdf.Limits{}))
		u := padestest.Must(doc.NewUpdate())
		u.Put(doc.Catalog().Ref, doc.Catalog().Value.With("DSS", []byte("<< >>")).Raw)
		out = append(out, padestest.Must(u.Finish())...)
		want := map[cades.Level]string{cades.LevelBLT: "B-T", cades.LevelBLTA: "B-LTA"}[to]
		if got := verifyAll(t, out)[0]; got.Level != want || got.Err != nil {
			t.Errorf("%v without store: %q, %v", to, got.Level, got.Err)
		}
	}
}

// TestAugmentLargeFile raises a document of more than 100,000,000 bytes with two signatures: it is read once, and never held.
func TestAugmentLargeFile(t *testing.T) {
	const hole = 101_000_000
	w := world()
	id := w.signatory(revtest.P256)
	s, _ := w.services()
	path := filepath.Join(t.TempDir(), "large.pdf")
	f := padestest.Must(os.Create(path))
	defer func() { _ = f.Close() }()
	size := padestest.WriteLarge(t, f, hole)
	for _, field := range []string{"S", "T"} {
		o := padestest.Options(id)
		o.FieldName = field
		p := padestest.Must(pades.Prepare(t.Context(), f, size, o))
		tail := padestest.Must(p.Embed(id.Sign(t, o.Algorithm, p.DTBSR())))
		padestest.Must(f.WriteAt(tail, size))
		size += int64(len(tail))
	}
	for i, do := range []func(io.ReaderAt) ([]byte, error){
		func(r io.ReaderAt) ([]byte, error) {
			return longterm.Augment(t.Context(), r, size, cades.LevelBLTA, s, pdf.Limits{})
		},
		func(r io.ReaderAt) ([]byte, error) { return longterm.TimeStamp(t.Context(), r, size, s, pdf.Limits{}) },
		func(r io.ReaderAt) ([]byte, error) {
			infos, err := longterm.Verify(t.Context(), r, size, pdf.Limits{})
			if got := summary(infos); got != "S=B-LTA T=B-LTA TimeStamp1=time-stamp TimeStamp2=time-stamp TimeStamp3=time-stamp " {
				t.Error(got)
			}
			return nil, err
		},
	} {
		c := &padestest.Counting{ReaderAt: f}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		tail, err := do(c)
		if err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > 8<<20 {
			t.Errorf("%d: %d bytes of memory for the whole operation", i, got)
		}
		if got := c.N; got > hole+hole/20 {
			t.Errorf("%d: %d bytes read", i, got)
		}
		padestest.Must(f.WriteAt(tail, size))
		size += int64(len(tail))
	}
	if said, code := padestest.Run(t, "qpdf", "--check", path); code != 0 {
		t.Errorf("qpdf: %s", said)
	}
}

// TestManySignatures: neither the signatures of a file nor those that cover each other make it be read more than once.
func TestManySignatures(t *testing.T) {
	w := world()
	id := w.signatory(revtest.P256)
	s, p := w.services()
	out := padestest.Shape(t, "lf")
	for i := range 40 {
		out = named(t, out, id, fmt.Sprintf("F%d", i))
	}
	c := &padestest.Counting{ReaderAt: bytes.NewReader(out)}
	infos := padestest.Must(longterm.Verify(t.Context(), c, int64(len(out)), pdf.Limits{}))
	if len(infos) != 40 || strings.Contains(summary(infos), "!") || c.N > int64(5*len(out)) { // reading objects takes some of it
		t.Errorf("%d bytes of %d read: %s", c.N, len(out), summary(infos))
	}
	requests := w.tsa.Requests()
	out = augment(t, out, cades.LevelBLTA, s)
	if got := summary(verifyAll(t, out)); strings.Count(got, "=B-LTA ") != 40 || w.tsa.Requests() != requests+2 || len(p.asked) != 2 {
		t.Errorf("%d asked, %d time-stamps: %s", len(p.asked), w.tsa.Requests()-requests, got)
	}
	// One dictionary as the value of very many fields.
	fields, refs := []pdftest.Obj{{Number: 9, Body: "<< /Type /Sig /SubFilter /ETSI.CAdES.detached /ByteRange [0 10 20 30] /Contents <3000> >>"}}, ""
	for i := range 3000 {
		fields = append(fields, pdftest.Obj{Number: 10 + i, Body: fmt.Sprintf("<< /FT /Sig /T (f%d) /V 9 0 R >>", i)})
		refs += fmt.Sprintf("%d 0 R ", 10+i)
	}
	for _, info := range verifyAll(t, pdftest.File{Objs: pdftest.Page("/AcroForm << /Fields ["+refs+"] >>", "", fields...)}.Classic()) {
		if info.Err == nil {
			t.Fatal("valid")
		}
	}
}
