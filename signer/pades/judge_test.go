package pades_test

import (
	"bytes"
	"crypto/x509"
	"os"
	"strings"
	"testing"

	"github.com/digitorus/pdfsign/verify"
	"go.mozilla.org/pkcs7"

	"github.com/ecsigner/ecsigner/signer/pades/padestest"
)

func judgeOpenSSL(t *testing.T, out []byte, id padestest.Identity) {
	t.Helper()
	cms, covered := padestest.Newest(t, out)
	args := func(content []byte) []string {
		return []string{
			"cms", "-verify", "-cades", "-inform", "DER", "-in", padestest.WriteFile(t, "cms", cms), "-content", padestest.WriteFile(t, "content", content),
			"-binary", "-CAfile", id.RootFile(t), "-purpose", "any", "-out", os.DevNull,
		}
	}
	if said, _ := padestest.Run(t, "openssl", args(covered)...); !strings.Contains(said, "CAdES Verification successful") {
		t.Errorf("openssl cms -cades: %s", said)
	}
	covered[len(covered)/2] ^= 1
	if said, code := padestest.Run(t, "openssl", args(covered)...); code == 0 {
		t.Errorf("openssl accepts a changed document: %s", said)
	}
}

// judgeGoReaders asks two Go libraries, the second behind recover because it may panic.
func judgeGoReaders(t *testing.T, out []byte, id padestest.Identity, n int) {
	t.Helper()
	cms, covered := padestest.Newest(t, out)
	p7, err := pkcs7.Parse(cms)
	if err != nil {
		t.Fatalf("pkcs7: %v", err)
	}
	p7.Content = covered
	root, err := x509.ParseCertificate(id.Chain[2])
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
