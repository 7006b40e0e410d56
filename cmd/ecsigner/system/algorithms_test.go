package system_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/client"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/system"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
)

// TestRSAWay enrols a person with an RSA key and signs two PDFs and a CMS under one code, by PSS, by PKCS #1 v1.5 and by the
// default, with judges of others at each result.
func TestRSAWay(t *testing.T) {
	program := build.Program(t)
	i := system.New(t, program)
	i.Key = pb.KeyAlgorithm_KEY_ALGORITHM_RSA_3072_SHA256
	i.Start()
	credential := i.Credential(1)
	docs := i.Documents()
	got, err := docs.Credential.GetCredential(t.Context(), &pb.GetCredentialRequest{CredentialId: credential})
	if err != nil {
		t.Fatal(err)
	}
	offered := got.GetCredential().GetSignatureAlgorithms()
	if got.GetCredential().GetAlgorithm() != i.Key || len(offered) != 2 || offered[0] != pb.SignatureAlgorithm_SIGNATURE_ALGORITHM_RSA_PSS_SHA256 {
		t.Errorf("the credential is %v, signs by %v", got.GetCredential().GetAlgorithm(), offered)
	}
	chain := got.GetCredential().GetCertificateChain()
	dir := t.TempDir()
	root := filepath.Join(dir, "root.pem")
	write(t, root, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: chain[len(chain)-1]})), 0o600)
	original, err := os.ReadFile("../../../testdata/contract/contract.pdf")
	if err != nil {
		t.Fatal(err)
	}
	content := filepath.Join(dir, "order.csv")
	write(t, content, "order", 0o600)
	hash := sha256.Sum256([]byte("order"))
	for n, tt := range []struct {
		asked, signed pb.SignatureAlgorithm
		name          string // as openssl prints it
	}{
		{pb.SignatureAlgorithm_SIGNATURE_ALGORITHM_UNSPECIFIED, offered[0], "rsassaPss"},
		{pb.SignatureAlgorithm_SIGNATURE_ALGORITHM_RSA_PSS_SHA256, offered[0], "rsassaPss"},
		{pb.SignatureAlgorithm_SIGNATURE_ALGORITHM_RSA_PKCS1_SHA256, offered[1], "sha256WithRSAEncryption"},
	} {
		title := []string{"first", "second", "third"}[n]
		doc, err := docs.Upload(t.Context(), "contract.pdf", bytes.NewReader(original), func(int64) {})
		if err != nil {
			t.Fatal(err)
		}
		pdf := &pb.SigningItemRequest{Source: &pb.SigningItemRequest_DocumentId{DocumentId: doc.GetId()}, Format: pb.SignatureFormat_SIGNATURE_FORMAT_PADES_B_B}
		cms := &pb.SigningItemRequest{Source: &pb.SigningItemRequest_Sha256{Sha256: hash[:]}, Format: pb.SignatureFormat_SIGNATURE_FORMAT_CADES_B_B}
		o, err := docs.Signing.CreateSigningOperation(t.Context(), &pb.CreateSigningOperationRequest{
			RequestId: client.RequestID(), CredentialId: credential, Title: title, Language: "en", Algorithm: tt.asked,
			Items: []*pb.SigningItemRequest{pdf, pdf, cms},
		})
		if err != nil {
			t.Fatal(err)
		}
		signed, err := i.Authorize(o.GetOperation().GetId(), i.Code("sign", title))
		if err != nil || signed.GetAlgorithm() != tt.signed {
			t.Fatalf("%v, %v", signed.GetAlgorithm(), err)
		}
		p7s := filepath.Join(dir, "order.p7s")
		write(t, p7s, string(signed.GetItems()[2].GetCms()), 0o600)
		says(t, "CAdES Verification successful", "openssl", "cms", "-verify", "-cades", "-inform", "DER", "-in", p7s, "-content", content,
			"-binary", "-CAfile", root, "-purpose", "any", "-out", os.DevNull)
		says(t, "algorithm: "+tt.name, "openssl", "cms", "-cmsout", "-print", "-noout", "-inform", "DER", "-in", p7s)
		for item := range uint32(2) {
			var whole bytes.Buffer
			if _, err := docs.Download(t.Context(), signed.GetId(), item, pb.ArtifactContent_ARTIFACT_CONTENT_FULL, &whole); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(dir, "signed.pdf")
			write(t, file, whole.String(), 0o600)
			says(t, "Signature is Valid.", "pdfsig", "-nocert", file)
			says(t, "No syntax or stream encoding errors found", "qpdf", "--check", file)
			if tt.name == "rsassaPss" { // mutool knows no PSS; these are its words
				says(t, "Digest error: Unknown error.", "mutool", "sign", "-v", file)
				verifies(t, program, root, file, "mozilla pkcs7: cannot judge RSA-PSS (", "pdfsign: cannot judge RSA-PSS (")
			} else {
				says(t, "The document is unchanged since signing.", "mutool", "sign", "-v", file)
				verifies(t, program, root, file, "mozilla pkcs7: valid", "pdfsign: valid")
			}
		}
	}
	if code := i.Stop(); code != 0 {
		t.Errorf("the server ended with code %d", code)
	}
	if said := i.VerifyLog(); !strings.Contains(said, "0 findings") {
		t.Errorf("the log verifier said:\n%s", said)
	}
}

// verifies has our own program judge a PDF, which must be valid, and the same with one byte changed, which must not.
func verifies(t *testing.T, program, root, file string, want ...string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), program, "verify", "--root", root, file).CombinedOutput()
	for _, w := range append(want, "signature valid", "covers    the whole file") {
		if err != nil || !strings.Contains(string(out), w) {
			t.Errorf("verify does not say %q (%v):\n%s", w, err, out)
		}
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	changed := filepath.Join(t.TempDir(), "changed.pdf")
	b[len(b)/3] ^= 1
	write(t, changed, string(b), 0o600)
	if out, err := exec.CommandContext(t.Context(), program, "verify", "--root", root, changed).CombinedOutput(); err == nil {
		t.Errorf("verify accepts a changed file:\n%s", out)
	}
}

// says runs a judge, whose exit code does not matter where its words are wanted.
func says(t *testing.T, want, judge string, args ...string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), judge, args...).CombinedOutput()
	if !strings.Contains(string(out), want) {
		t.Errorf("%s %v does not say %q (%v):\n%s", judge, args, want, err, out)
	}
}
