package padestest

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/ecsigner/ecsigner/signer/pades/longterm"
	"github.com/ecsigner/ecsigner/signer/pdf"
)

// Run runs a judge and returns what it said and its exit code.
func Run(t *testing.T, name string, args ...string) (string, int) {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if exit := (&exec.ExitError{}); errors.As(err, &exit) {
		return string(out), exit.ExitCode()
	}
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return string(out), 0
}

// Judge holds a signed file against its input and against readers that are not ours. It expects n signatures, all
// valid, the newest over the whole file.
func Judge(t *testing.T, in, out []byte, n int) {
	t.Helper()
	JudgeFields(t, in, out, n, 0)
}

// JudgeFields is judge for a file with empty signature fields besides.
func JudgeFields(t *testing.T, in, out []byte, n, empty int) {
	t.Helper()
	JudgeStructure(t, in, out)
	JudgeOurs(t, out, n)
	JudgePdfsig(t, out, n)
	JudgeMutool(t, out, n, empty)
}

// JudgeStructure holds a file against its input and against qpdf.
func JudgeStructure(t *testing.T, in, out []byte) {
	t.Helper()
	if !bytes.HasPrefix(out, in) {
		t.Fatal("the input is not a prefix of the output")
	}
	if said, code := Run(t, "qpdf", "--check", WriteFile(t, "signed.pdf", out)); code != 0 || strings.Contains(said, "WARNING") {
		t.Errorf("qpdf --check: exit %d\n%s", code, said)
	}
}

// JudgeOurs is our own reader, which expects n valid signatures of level B-B.
func JudgeOurs(t *testing.T, out []byte, n int) []longterm.SignatureInfo {
	t.Helper()
	infos, err := longterm.Verify(context.Background(), bytes.NewReader(out), int64(len(out)), pdf.Limits{})
	if err != nil || len(infos) != n {
		t.Fatalf("own reader: %d signatures, %v", len(infos), err)
	}
	for i, s := range infos {
		if s.Err != nil || s.Level != "B-B" || s.CoversFile != (i == n-1) {
			t.Errorf("own reader: signature %d: level %q, covers file %v, %v", i, s.Level, s.CoversFile, s.Err)
		}
	}
	return infos
}

// JudgePdfsig is poppler.
func JudgePdfsig(t *testing.T, out []byte, n int) {
	t.Helper()
	said, _ := Run(t, "pdfsig", "-nocert", WriteFile(t, "signed.pdf", out))
	if got := strings.Count(said, "Signature Validation: Signature is Valid."); got != n {
		t.Errorf("pdfsig: %d of %d signatures valid\n%s", got, n, said)
	}
	if strings.Count(said, "Total document signed") != 1 || strings.Count(said, "Not total document signed") != n-1 {
		t.Errorf("pdfsig: not exactly one signature covers the whole document\n%s", said)
	}
	if strings.Count(said, "ETSI.CAdES.detached") != n {
		t.Errorf("pdfsig: not all signatures are ETSI.CAdES.detached\n%s", said)
	}
}

// JudgeMutool is MuPDF, which expects empty fields besides.
func JudgeMutool(t *testing.T, out []byte, n, empty int) {
	t.Helper()
	said, _ := Run(t, "mutool", "sign", "-v", WriteFile(t, "signed.pdf", out))
	unchanged := strings.Count(said, "The document is unchanged since signing.")
	edited := strings.Count(said, "The signature is valid but there have been edits since signing.")
	unsigned := strings.Count(said, "Signature is not signed.")
	if unchanged != 1 || edited != n-1 || unsigned != empty || regexp.MustCompile(`(?m)^(error|warning): `).MatchString(said) {
		t.Errorf("mutool: %d unchanged, %d with later edits\n%s", unchanged, edited, said)
	}
}

// Newest cuts the newest signature out of a file without our reader: the CMS and the bytes that it covers.
func Newest(t *testing.T, out []byte) (cms, covered []byte) {
	t.Helper()
	all := regexp.MustCompile(`/ByteRange \[(\d+) (\d+) (\d+) (\d+)\]`).FindAllSubmatch(out, -1)
	if len(all) == 0 {
		t.Fatal("no /ByteRange")
	}
	var a, b, c, d int
	if _, err := fmt.Sscan(string(bytes.Join(all[len(all)-1][1:], []byte(" "))), &a, &b, &c, &d); err != nil {
		t.Fatal(err)
	}
	cms, err := hex.DecodeString(string(out[b+1 : c-1]))
	if err != nil {
		t.Fatal(err)
	}
	return cms[:4+int(cms[2])<<8+int(cms[3])], append(bytes.Clone(out[a:a+b]), out[c:c+d]...)
}
