package pades_test

import (
	"bytes"
	"testing"

	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/pades"
	"github.com/ecsigner/ecsigner/signer/pdf"
	"github.com/ecsigner/ecsigner/signer/pdf/pdftest"
	"github.com/ecsigner/ecsigner/signer/revinfo/revtest"
)

// augment raises a document and holds the result to its input and to qpdf.
func augment(t *testing.T, in []byte, to cades.Level, s cades.Services) []byte {
	t.Helper()
	tail, err := pades.Augment(t.Context(), bytes.NewReader(in), int64(len(in)), to, s, pdf.Limits{})
	if err != nil {
		t.Fatalf("Augment to %v: %v", to, err)
	}
	out := append(bytes.Clone(in), tail...)
	judgeStructure(t, in, out)
	return out
}

// TestAugmentEveryShape takes each shape over all levels and a renewal, and signs it again.
func TestAugmentEveryShape(t *testing.T) {
	w := world()
	id := w.signatory(revtest.P256)
	for _, shape := range pdftest.Signable() {
		t.Run(shape.Name, func(t *testing.T) {
			t.Parallel()
			s, _ := w.services()
			o := options(id)
			o.FieldName = "S"
			out := signPDF(t, shape.Data, id, o)
			for _, step := range []struct {
				to   cades.Level
				want string
			}{
				{cades.LevelBB, "S=B-B "},
				{cades.LevelBT, "S=B-T TimeStamp1=time-stamp "},
				{cades.LevelBLT, "S=B-LT TimeStamp1=time-stamp "},
				{cades.LevelBLTA, "S=B-LTA TimeStamp1=time-stamp TimeStamp2=time-stamp "},
				{cades.LevelBLTA, "S=B-LTA TimeStamp1=time-stamp TimeStamp2=time-stamp TimeStamp3=time-stamp "},
			} {
				out = augment(t, out, step.to, s)
				infos := verifyAll(t, out)
				if got := summary(infos); got != step.want {
					t.Errorf("%v: %s", step.to, got)
					for _, i := range infos {
						t.Log(i.Field, i.Err, i.Missing)
					}
				}
			}
		})
	}
}
