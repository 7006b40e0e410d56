package system_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/system"
)

// maxExample is how long an example may be, in lines: whoever starts reads it in one go.
const maxExample = 80

// runExample signs a PDF with a program for integrators, which asks for the code on standard input, and has the result
// judged.
func runExample(t *testing.T, source, name string, args ...string) {
	t.Helper()
	text, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(text, []byte("\n")); n >= maxExample {
		t.Errorf("%s has %d lines, fewer than %d are promised", source, n, maxExample)
	}
	i := system.New(t, build.Program(t))
	i.Start()
	credential := i.Credential(1)
	signed := filepath.Join(t.TempDir(), "signed.pdf")
	cmd := exec.CommandContext(i.Context(), name, append(args, i.Path("clients", "documents"), credential, "../../../testdata/contract/contract.pdf", signed)...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var said system.Output
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the example said:\n%s", said.String())
		}
	})
	if _, err := in.Write([]byte(i.Code("sign", "contract.pdf") + "\n")); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil || !strings.Contains(said.String(), "signed: "+signed) {
		t.Fatal(err)
	}
	if out := i.Run("verify", "--root", i.Path("pki", "root.cer"), signed); !strings.Contains(out, "pdfsign: valid") {
		t.Errorf("verify says:\n%s", out)
	}
	entries := logFrom(i, 0)
	if count(entries, "signing.signed") != 1 {
		t.Errorf("the log is %v", entries)
	}
}

// TestExampleGo signs with the example in Go.
func TestExampleGo(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "example")
	if out, err := exec.Command("go", "build", "-o", program, "github.com/ecsigner/ecsigner/examples/go").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	runExample(t, "../../../examples/go/main.go", program)
}
