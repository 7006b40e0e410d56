package pades_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/digitorus/pdfsign/verify"
	"go.mozilla.org/pkcs7"

	"github.com/ecsigner/ecsigner/signer/pades"
	"github.com/ecsigner/ecsigner/signer/pdf"
)

// run runs a judge and returns what it said and its exit code.
func run(t *testing.T, name string, args ...string) (string, int) {
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

// judge holds a signed file against its input and against readers that are not ours. It expects n signatures, all
// valid, the newest over the whole file.
func judge(t *testing.T, in, out []byte, n int) {
	t.Helper()
	judgeFields(t, in, out, n, 0)
}

// judgeFields is judge for a file with empty signature fields besides.
func judgeFields(t *testing.T, in, out []byte, n, empty int) {
	t.Helper()
	judgeStructure(t, in, out)
	judgeOurs(t, out, n)
	judgePdfsig(t, out, n)
	judgeMutool(t, out, n, empty)
}

func judgeStructure(t *testing.T, in, out []byte) {
	t.Helper()
	if !bytes.HasPrefix(out, in) {
		t.Fatal("the input is not a prefix of the output")
	}
	if said, code := run(t, "qpdf", "--check", writeFile(t, "signed.pdf", out)); code != 0 || strings.Contains(said, "WARNING") {
		t.Errorf("qpdf --check: exit %d\n%s", code, said)
	}
}

func judgeOurs(t *testing.T, out []byte, n int) []pades.SignatureInfo {
	t.Helper()
	infos, err := pades.Verify(context.Background(), bytes.NewReader(out), int64(len(out)), pdf.Limits{})
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

func judgePdfsig(t *testing.T, out []byte, n int) {
	t.Helper()
	said, _ := run(t, "pdfsig", "-nocert", writeFile(t, "signed.pdf", out))
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

func judgeMutool(t *testing.T, out []byte, n, empty int) {
	t.Helper()
	said, _ := run(t, "mutool", "sign", "-v", writeFile(t, "signed.pdf", out))
	unchanged := strings.Count(said, "The document is unchanged since signing.")
	edited := strings.Count(said, "The signature is valid but there have been edits since signing.")
	unsigned := strings.Count(said, "Signature is not signed.")
	if unchanged != 1 || edited != n-1 || unsigned != empty || regexp.MustCompile(`(?m)^(error|warning): `).MatchString(said) {
		t.Errorf("mutool: %d unchanged, %d with later edits\n%s", unchanged, edited, said)
	}
}

// newest cuts the newest signature out of a file without our reader: the CMS and the bytes that it covers.
func newest(t *testing.T, out []byte) (cms, covered []byte) {
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

func judgeOpenSSL(t *testing.T, out []byte, id identity) {
	t.Helper()
	cms, covered := newest(t, out)
	args := func(content []byte) []string {
		return []string{
			"cms", "-verify", "-cades", "-inform", "DER", "-in", writeFile(t, "cms", cms), "-content", writeFile(t, "content", content),
			"-binary", "-CAfile", id.rootFile(t), "-purpose", "any", "-out", os.DevNull,
		}
	}
	if said, _ := run(t, "openssl", args(covered)...); !strings.Contains(said, "CAdES Verification successful") {
		t.Errorf("openssl cms -cades: %s", said)
	}
	covered[len(covered)/2] ^= 1
	if said, code := run(t, "openssl", args(covered)...); code == 0 {
		t.Errorf("openssl accepts a changed document: %s", said)
	}
}

// judgeGoReaders asks two Go libraries, the second behind recover because it may panic.
func judgeGoReaders(t *testing.T, out []byte, id identity, n int) {
	t.Helper()
	cms, covered := newest(t, out)
	p7, err := pkcs7.Parse(cms)
	if err != nil {
		t.Fatalf("pkcs7: %v", err)
	}
	p7.Content = covered
	root, err := x509.ParseCertificate(id.chain[2])
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(root)
	if err := p7.VerifyWithChain(roots); err != nil {
		t.Errorf("pkcs7: %v", err)
	}

	defer func() {
		if r := recover(); r != nil {
			t.Errorf("pdfsign/verify panics: %v", r)
		}
	}()
	response, err := verify.Verify(bytes.NewReader(out), int64(len(out)))
	if err != nil || len(response.Signers) != n {
		t.Fatalf("pdfsign/verify: %+v, %v", response, err)
	}
	for _, s := range response.Signers {
		if !s.ValidSignature {
			t.Errorf("pdfsign/verify: %+v", s)
		}
	}
}
