package pades_test

import (
	"testing"

	"github.com/ecsigner/ecsigner/signer/pdf/pdftest"
)

func TestSignEveryShape(t *testing.T) {
	id := ecIdentity()
	for _, s := range pdftest.Signable() {
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			out := signPDF(t, s.Data, id, options(id))
			judge(t, s.Data, out, 1)
			again := signPDF(t, out, id, options(id))
			judge(t, out, again, 2)
		})
	}
}
