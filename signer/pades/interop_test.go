//go:build interop

package pades_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ecsigner/ecsigner/signer/appearance"
	"github.com/ecsigner/ecsigner/signer/pades/padestest"
	"github.com/ecsigner/ecsigner/signer/pades/sigfield"
	"github.com/ecsigner/ecsigner/signer/pdf/pdftest"
)

// python is an interpreter that has pyHanko; make interop sets it.
func python(t *testing.T) string {
	t.Helper()
	p := os.Getenv("ECSIGNER_PYTHON")
	if p == "" {
		t.Fatal("ECSIGNER_PYTHON is not set: run make interop")
	}
	return p
}

// hanko is what pyHanko's validation says of one signature. It knows no trust anchor, so that trust is not among it.
type hanko struct {
	Field                   string
	Intact, Valid, Complete bool
	Level                   string // what later revisions changed
	Allowed                 *bool  // by the certification and the locks
	P                       *int
}

const hankoScript = `
import sys, json, logging, warnings
warnings.simplefilter('ignore'); logging.disable(logging.CRITICAL)
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.validation import validate_pdf_signature
from pyhanko_certvalidator import ValidationContext
out = []
for s in PdfFileReader(open(sys.argv[1], 'rb'), strict=True).embedded_signatures:
    v = validate_pdf_signature(s, ValidationContext(trust_roots=[], allow_fetching=False))
    p = s.docmdp_level
    out.append(dict(Field=s.field_name, Intact=v.intact, Valid=v.valid, Complete=v.coverage.name == 'ENTIRE_FILE',
                    Level=v.modification_level.name, Allowed=v.docmdp_ok, P=None if p is None else p.value))
print(json.dumps(out))
`

// judgeHanko wants n signatures, each allowed by the earlier ones.
func judgeHanko(t *testing.T, out []byte, n int) []hanko {
	t.Helper()
	said, code := padestest.Run(t, python(t), "-I", "-c", hankoScript, padestest.WriteFile(t, "signed.pdf", out))
	var all []hanko
	if err := json.Unmarshal([]byte(said), &all); code != 0 || err != nil {
		t.Fatalf("pyHanko: %v\n%s", err, said)
	}
	if len(all) != n {
		t.Errorf("pyHanko finds %d signatures, not %d", len(all), n)
	}
	for i, s := range all {
		if !s.Intact || !s.Valid || s.Complete != (i == n-1) || s.Level == "OTHER" || s.Allowed != nil && !*s.Allowed {
			t.Errorf("pyHanko: %+v", s)
		}
	}
	return all
}

// TestInteropOptions has pyHanko, which compares revisions, look at certifications, filled fields and locks.
func TestInteropOptions(t *testing.T) {
	id := padestest.EC()
	for name, in := range map[string][]byte{"classic": padestest.EmptyFields("").Classic(), "streams": padestest.EmptyFields("").Streams(1, 5, 6, 7, 8, 9, 10, 12)} {
		for p := sigfield.CertifyForms; p <= sigfield.CertifyAnnotations; p++ {
			for _, field := range []string{"", "one", "group.two"} {
				t.Run(fmt.Sprintf("%s/%d/%s", name, p, field), func(t *testing.T) {
					o := padestest.Options(id)
					o.Certification = p
					once := padestest.SignPDF(t, in, id, o)
					o = padestest.Options(id)
					o.FieldName = field
					if field != "" {
						o.Appearance = &appearance.Appearance{}
					}
					all := judgeHanko(t, padestest.SignPDF(t, once, id, o), 2)
					if len(all) > 0 && (all[0].P == nil || *all[0].P != int(p)) {
						t.Errorf("pyHanko reads the certification as %+v", all[0])
					}
				})
			}
		}
	}
	for _, lock := range []string{"/Action /Include /Fields [(text)]", "/Action /Exclude /Fields [(group.two)]", "/Action /Exclude /Fields [(group)]"} {
		f := padestest.EmptyFields("/Lock << /Type /SigFieldLock " + lock + " >>")
		f.Objs[7].Body = strings.Replace(f.Objs[7].Body, "/Lock", "/NoLock", 1)
		o := padestest.Options(id)
		o.FieldName = "one"
		once := padestest.SignPDF(t, f.Classic(), id, o)
		o.FieldName = "group.two"
		judgeHanko(t, padestest.SignPDF(t, once, id, o), 2)
	}
	for _, s := range pdftest.Signable() {
		// pyHanko calls a generation without its predecessors orphaned, and lacks a PNG predictor.
		if !strings.Contains(s.Name, "generation") && s.Name != "png-predictors" {
			judgeHanko(t, padestest.SignPDF(t, s.Data, id, padestest.Options(id)), 1)
		}
	}
}

// TestInteropCorpus has the corpus's own judge watch this test binary sign every file, and then every file that came
// out once more.
func TestInteropCorpus(t *testing.T) {
	padestest.Manifest(t, corpus)
	abs := padestest.Must(filepath.Abs(corpus))
	first := filepath.Join(t.TempDir(), "pdf")
	judgeCorpus(t, abs, abs, first, nil)
	// pyHanko walks all pages when a field was added, and gives up at an annotation that is not an object of its own,
	// although neither revision touches a page.
	judgeCorpus(t, abs, filepath.Dir(first), "", []string{"pdfium-freetext_annotation_without_da.pdf"})
}

// judgeCorpus runs the judge over dir/pdf and keeps what was signed.
func judgeCorpus(t *testing.T, abs, dir, keep string, known []string) {
	t.Helper()
	judge := func(args ...string) string {
		cmd := exec.Command(python(t), append([]string{filepath.Join(abs, "judge"), "--jobs", "2"}, args...)...)
		cmd.Env = append(os.Environ(), "CORPUS="+dir, asSigner+"=1", "SIGN="+padestest.Must(os.Executable())+" {in} {out}")
		said, _ := cmd.CombinedOutput() // it exits with 1 when anything is wrong; its words are judged
		return string(said)
	}
	if dir != abs {
		judge("--baseline")
	}
	args := []string{}
	if keep != "" {
		args = append(args, "--keep", keep)
	}
	said := judge(args...)
	last := regexp.MustCompile(`(?m)^(\d+) signed clean, (\d+) refused with reason, (\d+) wrong \((.*)\)$`).FindStringSubmatch(said)
	if last == nil {
		t.Fatalf("the judge says no verdict:\n%s", said)
	}
	want := "none"
	if len(known) > 0 {
		want = strings.Join(known, ", ")
	}
	if last[1] == "0" || last[4] != want || !strings.Contains(said, "over-refused (sign-ok but refused): 0; signed against the manifest: 0") {
		t.Errorf("%s", said)
	}
	t.Log(last[0])
}
