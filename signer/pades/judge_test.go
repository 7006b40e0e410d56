package pades_test

import (
	"bytes"
	"context"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/ecsigner/ecsigner/signer/pades"
	"github.com/ecsigner/ecsigner/signer/pdf"
)

// run runs a judge and returns what it said and its exit code.
func run(t *testing.T, name string, args ...string) (string, int) {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if exit, ok := err.(*exec.ExitError); ok {
		return string(out), exit.ExitCode()
	}
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return string(out), 0
}

// judge holds a signed file against its input and against readers that are not ours. It expects n signatures, all
// valid, the newest over the whole file.
func judge(t *testing.T, in, out []byte, n int) {
	t.Helper()
	if !bytes.HasPrefix(out, in) {
		t.Fatal("the input is not a prefix of the output")
	}
	infos, err := pades.Verify(context.Background(), bytes.NewReader(out), int64(len(out)), pdf.Limits{})
	if err != nil || len(infos) != n {
		t.Fatalf("own reader: %d signatures, %v", len(infos), err)
	}
	for i, s := range infos {
		if s.Err != nil || s.Level != "B-B" || s.CoversFile != (i == n-1) {
			t.Errorf("own reader: signature %d: level %q, covers file %v, %v", i, s.Level, s.CoversFile, s.Err)
		}
	}
	path := writeFile(t, "signed.pdf", out)
	if said, code := run(t, "qpdf", "--check", path); code != 0 || strings.Contains(said, "WARNING") {
		t.Errorf("qpdf --check: exit %d\n%s", code, said)
	}
	said, _ := run(t, "pdfsig", "-nocert", path)
	if got := strings.Count(said, "Signature Validation: Signature is Valid."); got != n {
		t.Errorf("pdfsig: %d of %d signatures valid\n%s", got, n, said)
	}
	if got := strings.Count(said, "Total document signed"); got != 1 || strings.Count(said, "Not total document signed") != n-1 {
		t.Errorf("pdfsig: %d signatures cover the whole document\n%s", got, said)
	}
	said, _ = run(t, "mutool", "sign", "-v", path)
	unchanged := strings.Count(said, "The document is unchanged since signing.")
	edited := strings.Count(said, "The signature is valid but there have been edits since signing.")
	if unchanged != 1 || edited != n-1 || regexp.MustCompile(`(?m)^(error|warning): |not signed`).MatchString(said) {
		t.Errorf("mutool: %d unchanged, %d with later edits\n%s", unchanged, edited, said)
	}
}
