//go:build interop

package system_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// python returns the interpreter whose environment holds what make interop installs.
func python(t *testing.T) string {
	t.Helper()
	p := os.Getenv("ECSIGNER_PYTHON")
	if p == "" {
		t.Fatal("ECSIGNER_PYTHON does not name a Python with the packages of .ci/requirements.txt; make interop makes one")
	}
	return p
}

// TestExamplePython signs with the example in Python, which generates the interface when it starts.
func TestExamplePython(t *testing.T) {
	t.Parallel()
	runExample(t, "../../../examples/python/sign.py", python(t), "../../../examples/python/sign.py")
}

// TestInteropJudges has judges from PyPI look at what the demo leaves: pyHanko at the PDFs, pkilint at certificates and
// revocation lists.
func TestInteropJudges(t *testing.T) {
	t.Parallel()
	bin, dir := filepath.Dir(python(t)), filepath.Join(t.TempDir(), "out")
	run := func(name string, args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	contract, err := filepath.Abs("../../../testdata/contract/contract.pdf")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := run(build.Program(t), "demo", "--out", dir, "--file", contract); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, name := range []string{"root", "issuing"} {
		if out, err := run("openssl", "x509", "-inform", "DER", "-in", name+".cer", "-out", name+".pem"); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	for _, name := range []string{"contract.signed.pdf", "agreement.pdf"} {
		out, err := run(filepath.Join(bin, "pyhanko"), "sign", "validate", "--pretty-print", "--no-revocation-check",
			"--trust", "root.pem", "--trust-replace", "--other-certs", "issuing.pem", name)
		for _, want := range []string{
			"The signer's certificate is trusted.", "The signature is cryptographically sound.",
			"The signature covers the entire file.", "The signature is judged VALID.",
		} {
			if err != nil || !strings.Contains(out, want) {
				t.Errorf("pyHanko does not say of %s %q (%v):\n%s", name, want, err, out)
			}
		}
	}
	for name, args := range map[string][]string{
		"certificate.cer": {"lint_etsi_cert", "lint", "-t", "QCP-N-QSCD-EIDAS-FINAL-CERTIFICATE"},
		"issuing.cer":     {"lint_pkix_cert", "lint"},
		"root.cer":        {"lint_pkix_cert", "lint"},
		"issuing.crl":     {"lint_crl", "lint", "-t", "CRL", "-p", "PKIX"},
		"root.crl":        {"lint_crl", "lint", "-t", "ARL", "-p", "PKIX"},
	} {
		out, err := run(filepath.Join(bin, args[0]), append(args[1:], "-s", "NOTICE", name)...)
		if err != nil || strings.TrimSpace(out) != "" {
			t.Errorf("pkilint %s of %s (%v):\n%s", args[0], name, err, out)
		}
	}
}
