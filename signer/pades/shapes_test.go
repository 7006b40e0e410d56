package pades_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/pdf/pdftest"
)

// TestSignEveryShape signs each shape twice and has all judges look at both revisions, so that the first signature is
// judged again after the second.
func TestSignEveryShape(t *testing.T) {
	for _, s := range pdftest.Signable() {
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			signTwice(t, s.Data)
		})
	}
}

// TestSignRewritten does the same with files that qpdf wrote: linearized, and with object streams.
func TestSignRewritten(t *testing.T) {
	for _, s := range pdftest.Signable() {
		if s.Name != "lf" && s.Name != "form-indirect" && s.Name != "pdf-1.3" {
			continue
		}
		for name, args := range map[string][]string{
			"linearized":     {"--linearize"},
			"objstm":         {"--object-streams=generate"},
			"linear-objstm":  {"--linearize", "--object-streams=generate"},
			"newlines":       {"--newline-before-endstream", "--object-streams=generate"},
			"force-v":        {"--force-version=1.4", "--object-streams=disable"},
			"no-compression": {"--compress-streams=n", "--object-streams=generate"},
		} {
			t.Run(s.Name+"/"+name, func(t *testing.T) {
				t.Parallel()
				signTwice(t, qpdf(t, s.Data, append(args, "--deterministic-id")...))
			})
		}
	}
}

func signTwice(t *testing.T, in []byte) {
	t.Helper()
	id := ecIdentity()
	o := options(id)
	o.Reserve = 12000 // zeros in plenty: the second signature must not take them for its own place
	once := signPDF(t, in, id, o)
	judge(t, in, once, 1)
	judge(t, once, signPDF(t, once, id, options(id)), 2)
}

// qpdf rewrites a file.
func qpdf(t *testing.T, in []byte, args ...string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out.pdf")
	if said, code := run(t, "qpdf", append(args, writeFile(t, "in.pdf", in), out)...); code != 0 {
		t.Fatalf("qpdf: %s", said)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestAlgorithms signs with each algorithm. mutool cannot judge PSS, and pkcs7 neither.
func TestAlgorithms(t *testing.T) {
	in := shape(t, "lf")
	for alg := cades.ECDSAWithSHA256; alg <= cades.PSSWithSHA512; alg++ {
		t.Run(alg.String(), func(t *testing.T) {
			t.Parallel()
			id := ecIdentity()
			if alg >= cades.RSAWithSHA256 {
				id = rsaIdentity()
			}
			o := options(id)
			o.Algorithm = alg
			out := signPDF(t, in, id, o)
			if alg >= cades.PSSWithSHA256 {
				judgeStructure(t, in, out)
				judgeOurs(t, out, 1)
				judgePdfsig(t, out, 1)
			} else {
				judge(t, in, out, 1)
				judgeGoReaders(t, out, id, 1)
			}
			judgeOpenSSL(t, out, id)
		})
	}
}

// TestJudgeOtherReaders has the slower or partial judges look at two revisions.
func TestJudgeOtherReaders(t *testing.T) {
	id := ecIdentity()
	in := shape(t, "form-indirect")
	once := signPDF(t, in, id, options(id))
	judgeOpenSSL(t, once, id)
	judgeGoReaders(t, once, id, 1)
	twice := signPDF(t, once, id, options(id))
	judgeOpenSSL(t, twice, id)
	judgeGoReaders(t, twice, id, 2)
}

func shape(t *testing.T, name string) []byte {
	t.Helper()
	for _, s := range pdftest.Signable() {
		if s.Name == name {
			return bytes.Clone(s.Data)
		}
	}
	t.Fatalf("no shape %q", name)
	return nil
}
