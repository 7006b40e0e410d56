package pades_test

import (
	"testing"

	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/pades/padestest"
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
				signTwice(t, padestest.QPDF(t, s.Data, append(args, "--deterministic-id")...))
			})
		}
	}
}

func signTwice(t *testing.T, in []byte) {
	t.Helper()
	id := padestest.EC()
	o := padestest.Options(id)
	o.Reserve = 12000 // zeros in plenty: the second signature must not take them for its own place
	once := padestest.SignPDF(t, in, id, o)
	padestest.Judge(t, in, once, 1)
	padestest.Judge(t, once, padestest.SignPDF(t, once, id, padestest.Options(id)), 2)
}

// TestAlgorithms signs with each algorithm. mutool cannot judge PSS, and pkcs7 neither.
func TestAlgorithms(t *testing.T) {
	in := padestest.Shape(t, "lf")
	for alg := cades.ECDSAWithSHA256; alg <= cades.PSSWithSHA512; alg++ {
		t.Run(alg.String(), func(t *testing.T) {
			t.Parallel()
			id := padestest.EC()
			if alg >= cades.RSAWithSHA256 {
				id = padestest.RSA()
			}
			o := padestest.Options(id)
			o.Algorithm = alg
			out := padestest.SignPDF(t, in, id, o)
			if alg >= cades.PSSWithSHA256 {
				padestest.JudgeStructure(t, in, out)
				padestest.JudgeOurs(t, out, 1)
				padestest.JudgePdfsig(t, out, 1)
			} else {
				padestest.Judge(t, in, out, 1)
				judgeGoReaders(t, out, id, 1)
			}
			judgeOpenSSL(t, out, id)
		})
	}
}

// TestJudgeOtherReaders has the slower or partial judges look at two revisions.
func TestJudgeOtherReaders(t *testing.T) {
	id := padestest.EC()
	in := padestest.Shape(t, "form-indirect")
	once := padestest.SignPDF(t, in, id, padestest.Options(id))
	judgeOpenSSL(t, once, id)
	judgeGoReaders(t, once, id, 1)
	twice := padestest.SignPDF(t, once, id, padestest.Options(id))
	judgeOpenSSL(t, twice, id)
	judgeGoReaders(t, twice, id, 2)
}
