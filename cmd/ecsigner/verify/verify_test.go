package verify_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/verify"
	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/pades"
	"github.com/ecsigner/ecsigner/signer/pades/longterm"
	"github.com/ecsigner/ecsigner/signer/pdf"
	"github.com/ecsigner/ecsigner/signer/pdf/pdftest"
	"github.com/ecsigner/ecsigner/signer/revinfo"
	"github.com/ecsigner/ecsigner/signer/revinfo/revtest"
	"github.com/ecsigner/ecsigner/signer/tsp/tsptest"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// prover has the lists of two authorities.
type prover struct {
	pki *revtest.PKI
	tsa *tsptest.TSA
}

func (p prover) Collect(_ context.Context, leaf []byte, known [][]byte, _ time.Time) (revinfo.Evidence, error) {
	return revinfo.Evidence{
		Certificates: append([][]byte{leaf, p.pki.CA(0).Raw, p.pki.Issuing().Raw, p.tsa.CA().Certificate.Raw, p.tsa.Root().Certificate.Raw}, known...),
		CRLs:         [][]byte{must(p.pki.CA(0).CRL()), must(p.pki.Issuing().CRL()), must(p.tsa.CRL()), must(p.tsa.RootCRL())},
	}, nil
}

// TestLevels: what is said about a document that is signed, at B-LTA, and with one byte changed.
func TestLevels(t *testing.T) {
	pki, tsa := must(revtest.New(revtest.Options{URL: "http://pki.test"})), must(tsptest.New(tsptest.Options{}))
	leaf := must(pki.Issuing().Issue(revtest.Template{Name: "Signer"}))
	in := pdftest.File{Objs: pdftest.Page("", "")}.Classic()
	p := must(pades.Prepare(t.Context(), bytes.NewReader(in), int64(len(in)), pades.Options{
		SigningTime: time.Now(), Chain: [][]byte{leaf.Raw, pki.Issuing().Raw}, Algorithm: cades.ECDSAWithSHA256,
	}))
	signed := append(bytes.Clone(in), must(p.Embed(must(leaf.Key.Sign(rand.Reader, p.DTBSR(), p.Algorithm().Hash()))))...)
	s := cades.Services{Stamper: tsa, Prover: prover{pki, tsa}, Now: time.Now}
	raised := append(bytes.Clone(signed), must(longterm.Augment(t.Context(), bytes.NewReader(signed), int64(len(signed)), cades.LevelBLTA, s, pdf.Limits{}))...)
	changed := bytes.Clone(raised)
	changed[len(changed)-3] ^= 1 // of %%EOF
	says := func(data []byte) (string, error) {
		path := filepath.Join(t.TempDir(), "x.pdf")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		err := verify.PDF(t.Context(), path, pki.CA(0).Certificate.Certificate, &out)
		return out.String(), err
	}
	for _, tc := range []struct {
		data []byte
		want []string
	}{
		{signed, []string{"level     PAdES B-B; for the next: cades: time-stamp: there is none\n", "covers    the whole file\n", "pdfsign: valid\n", "mozilla pkcs7: valid\n", "trust     chain to "}},
		{raised, []string{"level     PAdES B-LTA\n", "own       document time-stamp valid\n", "proves    that the file up to it existed at ", "in 3 revisions were added after it, and a later one covers both\n", "covers    the whole file\n", "pdfsign: valid\n", "mozilla pkcs7: valid\n"}},
	} {
		out, err := says(tc.data)
		for _, w := range tc.want {
			if err != nil || !strings.Contains(out, w) {
				t.Errorf("%q is not said (%v):\n%s", w, err, out)
			}
		}
	}
	if out, err := says(changed); err == nil {
		t.Errorf("a changed file is accepted:\n%s", out)
	}
	changed = bytes.Clone(raised)
	changed[len(signed)+5] ^= 1 // in the revision of the first time-stamp
	if out, err := says(changed); !errors.Is(err, verify.ErrInvalid) && !errors.Is(err, pdf.ErrDamaged) {
		t.Errorf("a changed file is accepted: %v\n%s", err, out)
	}
}
