package demo_test

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/demo"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the transcript anew")

// TestTranscript runs the demo for real and compares what it shows, times and ids masked, with the transcript that was
// looked at. Every judge must have agreed, or Run returns an error.
func TestTranscript(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "ecsigner")
	if out, err := exec.Command("go", "build", "-o", program, "github.com/ecsigner/ecsigner/cmd/ecsigner").CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	contract, err := filepath.Abs("../../../testdata/contract/contract.pdf")
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out")
	var shown bytes.Buffer
	err = demo.Run(t.Context(), demo.Options{Program: program, Out: out, File: contract, Writer: &shown})
	if err != nil {
		t.Errorf("the demo failed: %v", err)
	}
	got := mask(shown.String(), out)
	golden := filepath.Join("testdata", "transcript.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("the transcript changed (-want +got); look at it, then run with -update:\n%s", d)
	}
	for _, name := range []string{
		"contract.signed.pdf", "agreement.pdf", "order.csv.p7s", "invoice.txt.sig", "annex-1.signed.pdf", "annex-2.signed.pdf",
		"certificate.cer", "certificate-rsa.cer", "issuing.cer", "root.cer", "issuing.crl", "root.crl",
		"log/checkpoint", "log.vkey", "log/receipts/contract.tlog-proof", "log/receipts/order.tlog-proof",
		"log/receipts/invoice.tlog-proof", "log/receipts/annexes.tlog-proof",
	} {
		if _, err := os.Stat(filepath.Join(out, name)); err != nil {
			t.Errorf("the results lack %s", name)
		}
	}
}

// mask hides what differs from run to run.
func mask(text, out string) string {
	for _, m := range []struct{ pattern, with string }{
		{regexp.QuoteMeta(out), "OUT"},
		{`\d+(\.\d+)? (s|ms)\b`, "TIME"},
		{`(cred|op|enr|doc)-[a-z2-7]{26}`, "$1-ID"},
		{`[0-9A-Z]{4}(-[0-9A-Z]{4}){4}`, "VOUCHER"},
		{`(Код|Kod|Code) \d{6}`, "$1 CODE"},
		{`Serial Number: [0-9A-F]+`, "Serial Number: SERIAL"},
		{`(SHA-256(?: of all)?) [0-9a-f]{8,16}…`, "$1 HASH…"},
		{`…[0-9a-f]{8} `, "…SERIAL "},
		{`\d{4}-\d\d-\d\d`, "DATE"},
		{`\d\d:\d\d UTC`, "CLOCK UTC"},
		{`PDF of \d+ kB`, "PDF of SIZE kB"},
	} {
		text = regexp.MustCompile(m.pattern).ReplaceAllString(text, m.with)
	}
	return text
}
