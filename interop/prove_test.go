//go:build interop

package interop

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/ecsigner/ecsigner/signer/pdf/pdftest"
)

// levels as EU DSS and pyHanko call them.
var levels = []struct{ name, dss, pyhanko string }{
	{"B-B", "BASELINE_B", "B"}, {"B-T", "BASELINE_T", "T"}, {"B-LT", "BASELINE_LT", "LT"}, {"B-LTA", "BASELINE_LTA", "LTA"},
}

func TestInteropExplore(t *testing.T) {
	w, r := shared(t), judges(t)
	k := 0
	for i, s := range pdftest.Signable() {
		if s.Name == "lf" {
			k = i
		}
	}
	in := filepath.Join(t.TempDir(), "in.pdf")
	write(t, in, pdftest.Signable()[k].Data)
	for _, l := range levels {
		for _, by := range []string{"dss", "pyhanko"} {
			a := artefact{file: filepath.Join(t.TempDir(), "signed.pdf")}
			var answer struct{ Made string }
			var err error
			if by == "dss" {
				err = r.java.ask(&answer, "sign", "level", "PAdES_"+l.dss, "file", in, "out", a.file, "store", w.signatory["P-256"].store, "password", "store",
					"tsa", w.tsa["P-256"].URL(), "roots", w.roots, "online", "1")
			} else {
				err = r.python.ask(&answer, "sign", "level", l.pyhanko, "file", in, "out", a.file, "store", w.signatory["P-256"].store, "password", "store",
					"tsa", w.tsa["P-256"].URL(), "roots", w.roots)
			}
			if err != nil {
				t.Errorf("%s %s: %v", by, l.name, err)
				continue
			}
			for _, m := range []moment{{online: true}, {}, {at: w.expiry.AddDate(0, 0, 30)}} {
				d, err := w.askDSS(r, a, m)
				t.Logf("%s %s %v dss: %v %v", by, l.name, m, d, err)
				for _, level := range []string{"basic", "time", "lta"} {
					var v any
					err := r.python.ask(&v, "adesverify", append(m.pairs(), "file", a.file, "roots", w.roots, "known", w.issuers, "level", level)...)
					t.Logf("   pyhanko %s: %v %v", level, v, err)
				}
			}
			var v any
			err = r.python.ask(&v, "changes", "file", a.file, "roots", w.roots)
			t.Logf("   pyhanko changes: %v %v", v, err)
			v = nil
			err = r.java.ask(&v, "box", "file", a.file, "roots", w.roots)
			t.Logf("   box: %v %v", v, err)
		}
	}
	_ = strings.TrimSpace
}
