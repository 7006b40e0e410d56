package longterm_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/pades"
	"github.com/ecsigner/ecsigner/signer/pades/longterm"
	"github.com/ecsigner/ecsigner/signer/pades/padestest"
	"github.com/ecsigner/ecsigner/signer/pdf"
	"github.com/ecsigner/ecsigner/signer/revinfo"
)

// corpus is a collection of other people's files, too large and too mixed in licences for this repository.
const corpus = "../../../../shared/corpus"

// trusting stands in for the authorities of the world, which are not asked in tests: whoever signed, it returns the certificate, and
// a list that has nothing to do with it.
type trusting struct{ list []byte }

func (p trusting) Collect(_ context.Context, leaf []byte, known [][]byte, _ time.Time) (revinfo.Evidence, error) {
	return revinfo.Evidence{Certificates: append([][]byte{leaf}, known...), CRLs: [][]byte{p.list}}, nil
}

// reasons are why a document cannot be raised.
var reasons = []error{
	pdf.ErrNotPDF, pdf.ErrDamaged, pdf.ErrEncrypted, pdf.ErrHybrid, pdf.ErrTooLarge, pdf.ErrUnsupported, pdf.ErrXFA, longterm.ErrNoSignature,
	pades.ErrSignatureDict, cades.ErrDigest, cades.ErrSignature, cades.ErrMalformed, cades.ErrUnsupported, cades.ErrProfile, cades.ErrTimeStamp,
}

// TestCorpusAugment raises signed files that others made to B-LTA, or refuses them with the reason, and raises what is good in
// those; earlier signatures stay what they were, by our word and by pdfsig's.
func TestCorpusAugment(t *testing.T) {
	rows := padestest.Manifest(t, corpus)
	w := world()
	s, _ := w.services()
	s.Prover = trusting{padestest.Must(w.pki.CA(0).CRL())}
	raised, partly, refused := 0, 0, 0
	for name, row := range rows {
		if !strings.HasPrefix(name, "pdf/") {
			continue
		}
		in := padestest.Must(os.ReadFile(filepath.Join(corpus, name)))
		a, err := augmentWith(in, cades.LevelBLTA, s, longterm.AugmentOptions{})
		if err != nil {
			if !isAny(err, reasons) || a.Tail != nil || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: refused: %v", name, err)
			}
			if !errors.Is(err, longterm.ErrNoSignature) {
				t.Logf("%s: %v", name, err)
			}
			if a, err = augmentWith(in, cades.LevelBLTA, s, longterm.AugmentOptions{Partial: true}); err != nil {
				refused++
				continue
			}
			if len(a.Left) == 0 {
				t.Errorf("%s: nothing was left out", name)
			}
			partly++
		} else {
			raised++
		}
		checkRaised(t, name, row, in, append(bytes.Clone(in), a.Tail...))
	}
	t.Logf("%d raised, %d in part, %d refused or without a signature", raised, partly, refused)
}

func isAny(err error, list []error) bool {
	for _, e := range list {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func checkRaised(t *testing.T, name string, row []string, in, out []byte) {
	t.Helper()
	before, after := verifyAll(t, in), verifyAll(t, out)
	if len(after) <= len(before) || after[len(after)-1].Err != nil && after[len(after)-2].Err != nil {
		t.Errorf("%s: %s", name, summary(after))
		return
	}
	for i, b := range before {
		if (b.Err == nil) != (after[i].Err == nil) || b.Field != after[i].Field || levelOf(after[i].Level) < levelOf(b.Level) {
			t.Errorf("%s: %q was %s, %v; now %s, %v", name, b.Field, b.Level, b.Err, after[i].Level, after[i].Err)
		}
	}
	valid := func(data []byte) int {
		said, _ := padestest.Run(t, "pdfsig", "-nocert", padestest.WriteFile(t, "x.pdf", data))
		return strings.Count(said, "Signature Validation: Signature is Valid.")
	}
	if b, a := valid(in), valid(out); b != a {
		t.Errorf("%s: pdfsig: %d valid signatures, then %d", name, b, a)
	}
	if regexp.MustCompile(`\bq-clean\b`).MatchString(row[6]) {
		if said, code := padestest.Run(t, "qpdf", "--check", padestest.WriteFile(t, "x.pdf", out)); code != 0 || strings.Contains(said, "WARNING") {
			t.Errorf("%s: qpdf: %s", name, said)
		}
	}
}

func levelOf(name string) int {
	for l := cades.LevelBB; l <= cades.LevelBLTA; l++ {
		if l.String() == name {
			return int(l)
		}
	}
	return 0
}
