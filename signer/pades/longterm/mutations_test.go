package longterm_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/mutations"
	"github.com/ecsigner/ecsigner/signer/pades/longterm"
	"github.com/ecsigner/ecsigner/signer/pades/padestest"
	"github.com/ecsigner/ecsigner/signer/pdf"
	"github.com/ecsigner/ecsigner/signer/pdf/pdftest"
	"github.com/ecsigner/ecsigner/signer/revinfo/revtest"
	"github.com/ecsigner/ecsigner/signer/tsp"
)

// ltvSeeds are documents of all levels, and with stores of several shapes.
func ltvSeeds(tb testing.TB) (seeds [][]byte) {
	w := world()
	id := w.signatory(revtest.P256)
	s, _ := w.services()
	s.Stamper = sized{w.tsa.Stamp, 2000, nil} // little filling
	in := padestest.Shape(tb, "lf")
	p, err := padestest.Prepare(in, padestest.Options(id))
	if err != nil {
		tb.Fatal(err)
	}
	value := padestest.Must(id.Key.Sign(nil, p.DTBSR(), p.Algorithm().Hash()))
	data := append(bytes.Clone(in), padestest.Must(p.Embed(value))...)
	for _, to := range []cades.Level{cades.LevelBB, cades.LevelBT, cades.LevelBLT, cades.LevelBLTA} {
		a := padestest.Must(augmentWith(data, to, s, longterm.AugmentOptions{}))
		data = append(bytes.Clone(data), a.Tail...)
		seeds = append(seeds, data)
	}
	for _, catalog := range []string{
		"/DSS << /Certs [4 0 R 4 0 R null] /VRI << /A << /Cert [4 0 R] >> >> >>", "/DSS 4 0 R", "/DSS << /CRLs 2 0 R >>", "/DSS << /VRI 1 0 R >>",
	} {
		seeds = append(seeds, pdftest.File{Objs: pdftest.Page(catalog, "")}.Classic())
	}
	return seeds
}

// raiseAny raises whatever it is given, and holds the result to what must be true of every result.
func raiseAny(t *testing.T, data []byte, s cades.Services, lim pdf.Limits) {
	t.Helper()
	before, errBefore := longterm.Verify(t.Context(), bytes.NewReader(data), int64(len(data)), lim)
	a, err := augmentWith(data, cades.LevelBLTA, s, longterm.AugmentOptions{Limits: lim, Partial: true})
	if err != nil {
		if a.Tail != nil || a.Left != nil {
			t.Fatal("both of result and error")
		}
		return
	}
	if errBefore != nil || len(a.Tail) == 0 {
		t.Fatalf("raised what cannot be read: %v", errBefore)
	}
	out := append(bytes.Clone(data), a.Tail...)
	after, err := longterm.Verify(t.Context(), bytes.NewReader(out), int64(len(out)), lim)
	if errors.Is(err, pdf.ErrTooLarge) {
		return
	}
	if err != nil || len(after) <= len(before) {
		t.Fatalf("%d signatures became %d, %v", len(before), len(after), err)
	}
	left := map[string]bool{}
	for _, l := range a.Left {
		left[l.Field] = true
	}
	for i, b := range before {
		found := errors.Is(b.Err, tsp.ErrSigner) && after[i].Err == nil              // its certificate is in the store now
		found = found || !bytes.HasSuffix(data, []byte("\n")) && after[i].Err == nil // the line end that was cut off is back
		if !found && (b.Err == nil) != (after[i].Err == nil) || b.Field != after[i].Field {
			t.Fatalf("%q was %v, now %v", b.Field, b.Err, after[i].Err)
		}
		if b.Level != "" && b.Err == nil && !left[b.Field] && after[i].Level != "B-LTA" {
			t.Fatalf("%q is %s: %v", b.Field, after[i].Level, after[i].Missing)
		}
	}
}

// TestAugmentMutations changes a few bytes of documents of all levels, many times.
func TestAugmentMutations(t *testing.T) {
	seeds := ltvSeeds(t)
	s, _ := world().services()
	r := rand.New(rand.NewPCG(3, 4))
	for i := range mutations.Count(t, 1500) {
		data := bytes.Clone(seeds[i%len(seeds)])
		for range 1 + r.IntN(4) {
			switch at := r.IntN(len(data)); r.IntN(4) {
			case 0:
				data[at] = byte('0' + r.IntN(10))
			case 1:
				data[at] = "()<>[]{}/% \n\rR"[r.IntN(14)]
			case 2:
				data = append(data[:at:at], data[min(len(data), at+1+r.IntN(9)):]...)
			default:
				data[at] ^= byte(1 << r.IntN(8))
			}
			if len(data) == 0 {
				data = []byte{'%'}
			}
		}
		raiseAny(t, data, s, pdf.Limits{})
	}
}
