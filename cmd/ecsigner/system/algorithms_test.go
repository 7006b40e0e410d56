package system_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	remote "github.com/ecsigner/ecsigner/client"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/client"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/system"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// way is a credential that signs by all that it may, and the files that judges of others look at.
type way struct {
	*system.Installation
	t                             *testing.T
	credential                    string
	dir, root, key, content, file string // PEM of the root and of the public key; what is signed as CAdES; the PDF
	original                      []byte
}

// scheme is one way to sign, and how others name it.
type scheme struct {
	asked, signed pb.SignatureAlgorithm
	hash          crypto.Hash
	name          string // as openssl prints it
	word          string // of ecsigner sign
}

func (s scheme) pss() bool { return s.name == "rsassaPss" }

// by digests data with the hash of the scheme.
func (s scheme) by(data []byte) []byte {
	w := s.hash.New()
	w.Write(data)
	return w.Sum(nil)
}

// newWay enrols a person with a key of this type and returns what it may sign by.
func newWay(t *testing.T, key pb.KeyAlgorithm) (*way, []pb.SignatureAlgorithm) {
	t.Helper()
	w := &way{Installation: system.New(t, build.Program(t)), t: t, dir: t.TempDir()}
	w.Key = key
	w.Start()
	w.credential = w.Credential(1)
	got, err := w.Documents().Credential.GetCredential(t.Context(), &pb.GetCredentialRequest{CredentialId: w.credential})
	if err != nil {
		t.Fatal(err)
	}
	if got.GetCredential().GetAlgorithm() != key {
		t.Errorf("the credential is %v", got.GetCredential().GetAlgorithm())
	}
	chain := got.GetCredential().GetCertificateChain()
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(leaf.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	w.root = w.put("root.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: chain[len(chain)-1]}))
	w.key = w.put("key.pem", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))
	w.content = w.put("order.csv", []byte("order"))
	if w.original, err = os.ReadFile("../../../testdata/contract/contract.pdf"); err != nil {
		t.Fatal(err)
	}
	w.file = w.put("contract.pdf", w.original)
	return w, got.GetCredential().GetSignatureAlgorithms()
}

func (w *way) put(name string, data []byte) string {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	write(w.t, path, string(data), 0o600)
	return path
}

// upload sends a file and returns an item over it.
func (w *way) upload(path string, f pb.SignatureFormat) *pb.SigningItemRequest {
	w.t.Helper()
	in, err := os.Open(path)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	d, err := w.Documents().Upload(w.t.Context(), filepath.Base(path), in, func(int64) {})
	if err != nil {
		w.t.Fatal(err)
	}
	return &pb.SigningItemRequest{Source: &pb.SigningItemRequest_DocumentId{DocumentId: d.GetId()}, Format: f}
}

// sign has everything signed under one code: a PDF twice, a hash and a document as detached CAdES, the document as attached CAdES,
// the hash raw. The judges of others look at each; then a PDF is signed that stays, and one from the command line.
func (w *way) sign(title string, s scheme) {
	w.t.Helper()
	const (
		detached = pb.SignatureFormat_SIGNATURE_FORMAT_CADES_B_B
		pades    = pb.SignatureFormat_SIGNATURE_FORMAT_PADES_B_B
	)
	digest := &pb.SigningItemRequest_Digest{Digest: s.by([]byte("order"))}
	o, err := w.Documents().Signing.CreateSigningOperation(w.t.Context(), &pb.CreateSigningOperationRequest{
		RequestId: client.RequestID(), CredentialId: w.credential, Title: title, Language: "en", Algorithm: s.asked,
		Items: []*pb.SigningItemRequest{
			w.upload(w.file, pades), w.upload(w.file, pades),
			{Source: digest, Format: detached},
			w.upload(w.content, detached),
			w.upload(w.content, pb.SignatureFormat_SIGNATURE_FORMAT_CADES_ATTACHED),
			{Source: digest, Format: raw},
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	signed, err := w.Authorize(o.GetOperation().GetId(), w.Code("sign", "“"+title+"”"))
	if err != nil || signed.GetAlgorithm() != s.signed {
		w.t.Fatalf("%v, %v", signed.GetAlgorithm(), err)
	}
	for n := range uint32(2) {
		w.judgePDF(s, w.put("signed.pdf", w.download(signed, n)))
	}
	for _, n := range []int{2, 3} {
		p7s := w.put("order.p7s", signed.GetItems()[n].GetCms())
		w.judgeCMS(s, p7s, "-content", w.content, "-binary")
		if out, err := w.Try("verify", "--root", w.root, "--content", w.content, p7s); err != nil || !strings.Contains(out, "signature valid") {
			w.t.Errorf("verify of CMS %d: %v\n%s", n, err, out)
		}
	}
	w.judgeCMS(s, w.put("order.p7m", w.download(signed, 4)))
	args := []string{
		"pkeyutl", "-verify", "-pubin", "-inkey", w.key, "-in", w.put("digest", digest.Digest),
		"-sigfile", w.put("signature", signed.GetItems()[5].GetSignature()),
		"-pkeyopt", "digest:" + strings.ToLower(strings.ReplaceAll(s.hash.String(), "-", "")),
	}
	if s.pss() {
		args = append(args, "-pkeyopt", "rsa_padding_mode:pss", "-pkeyopt", "rsa_pss_saltlen:digest")
	}
	says(w.t, "Signature Verified Successfully", "openssl", args...)
}

func (w *way) download(o *pb.SigningOperation, item uint32) []byte {
	w.t.Helper()
	var whole bytes.Buffer
	if _, err := w.Documents().Download(w.t.Context(), o.GetId(), item, pb.ArtifactContent_ARTIFACT_CONTENT_FULL, &whole); err != nil {
		w.t.Fatal(err)
	}
	return whole.Bytes()
}

// judgeCMS has openssl verify a CMS, the content of which must come out, and tell the algorithms.
func (w *way) judgeCMS(s scheme, path string, of ...string) {
	w.t.Helper()
	out := filepath.Join(w.dir, "content")
	says(w.t, "CAdES Verification successful", "openssl", append([]string{
		"cms", "-verify", "-cades", "-inform", "DER", "-in", path, "-CAfile", w.root, "-purpose", "any", "-out", out,
	}, of...)...)
	if got, err := os.ReadFile(out); err != nil || string(got) != "order" {
		w.t.Errorf("the content is %q, %v", got, err)
	}
	for _, want := range []string{s.name, strings.ToLower(strings.ReplaceAll(s.hash.String(), "-", ""))} {
		says(w.t, "algorithm: "+want, "openssl", "cms", "-cmsout", "-print", "-noout", "-inform", "DER", "-in", path)
	}
}

func (w *way) judgePDF(s scheme, file string) {
	w.t.Helper()
	says(w.t, "Signature is Valid.", "pdfsig", "-nocert", file)
	says(w.t, s.hash.String(), "pdfsig", "-nocert", file)
	says(w.t, "No syntax or stream encoding errors found", "qpdf", "--check", file)
	if s.pss() { // mutool knows no PSS; these are its words
		says(w.t, "Digest error: Unknown error.", "mutool", "sign", "-v", file)
		verifies(w.t, w.Program, w.root, file, "mozilla pkcs7: cannot judge RSA-PSS (", "pdfsign: cannot judge RSA-PSS (")
	} else {
		says(w.t, "The document is unchanged since signing.", "mutool", "sign", "-v", file)
		verifies(w.t, w.Program, w.root, file, "mozilla pkcs7: valid", "pdfsign: valid")
	}
}

// signStaying signs a PDF of which the engine sees a digest by the hash of the scheme alone.
func (w *way) signStaying(title string, s scheme) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	op, err := remote.New(w.Documents().ClientConn, w.credential).Begin(ctx, remote.Request{Title: title, Language: "en", Algorithm: s.asked},
		remote.File{Reader: bytes.NewReader(w.original), Size: int64(len(w.original))})
	if err != nil {
		w.t.Fatal(err)
	}
	said, shown := w.Message("sign", "“"+title+"”"), fmt.Sprintf("%v %x", s.hash, op.Digest(0)[:4])
	if !strings.Contains(said, shown) || len(op.Digest(0)) != s.hash.Size() {
		w.t.Errorf("the person reads %q, not %s", said, shown)
	}
	if err := op.Authorize(ctx, regexp.MustCompile(`\b\d{6,9}\b`).FindString(said)); err != nil {
		w.t.Fatal(err)
	}
	tail, err := op.Tail(ctx, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	w.judgePDF(s, w.put("stayed.pdf", slices.Concat(w.original, tail)))
}

// signByCommand signs with ecsigner sign.
func (w *way) signByCommand(title string, s scheme) {
	w.t.Helper()
	out := filepath.Join(w.dir, title+".pdf")
	run := begin(w.t, w.Installation, "sign", w.file, "--algorithm", s.word, "--credential", w.credential, "--title", title, "--language", "en",
		"--out", out, "--state", filepath.Join(w.dir, "state"), "--client", w.Path("clients", "documents"))
	run.until("code from the phone")
	if _, err := fmt.Fprintln(run.in, w.Code("sign", "“"+title+"”")); err != nil {
		w.t.Fatal(err)
	}
	run.end(true)
	w.judgePDF(s, out)
}

// refuses sends hashes of other lengths, which are told of the field that was used, and of what the algorithm wants.
func (w *way) refuses(s scheme) {
	w.t.Helper()
	for n, it := range map[string]*pb.SigningItemRequest{
		"32": {Source: &pb.SigningItemRequest_Digest{Digest: make([]byte, 32)}}, "48": {Source: &pb.SigningItemRequest_Digest{Digest: make([]byte, 48)}},
		"64": {Source: &pb.SigningItemRequest_Digest{Digest: make([]byte, 64)}}, "40": {Source: &pb.SigningItemRequest_Digest{Digest: make([]byte, 40)}},
		"of sha256": {Source: &pb.SigningItemRequest_Sha256{Sha256: make([]byte, 32)}},
	} {
		size, field := len(it.GetDigest())+len(it.GetSha256()), "items[0].digest"
		if size == s.hash.Size() {
			continue
		}
		if it.GetSha256() != nil {
			field = "items[0].sha256"
		}
		it.Format = raw
		_, err := w.Documents().Signing.CreateSigningOperation(w.t.Context(), &pb.CreateSigningOperationRequest{
			RequestId: client.RequestID(), CredentialId: w.credential, Title: "refused", Language: "en", Algorithm: s.asked, Items: []*pb.SigningItemRequest{it},
		})
		told := ""
		for _, d := range status.Convert(err).Details() {
			if b, ok := d.(*errdetails.BadRequest); ok {
				told += fmt.Sprint(b.GetFieldViolations()[0].GetField(), ": ", b.GetFieldViolations()[0].GetDescription())
			}
		}
		want := fmt.Sprintf("%v hashes of %d bytes", s.hash, s.hash.Size())
		if status.Code(err) != codes.InvalidArgument || !strings.HasPrefix(told, field+": ") || !strings.Contains(told, want) {
			w.t.Errorf("%s bytes under %s: %v, %s", n, s.word, err, told)
		}
	}
}

func (w *way) end() {
	w.t.Helper()
	if code := w.Stop(); code != 0 {
		w.t.Errorf("the server ended with code %d", code)
	}
	if said := w.VerifyLog(); !strings.Contains(said, "0 findings") {
		w.t.Errorf("the log verifier said:\n%s", said)
	}
}

// TestRSAWay enrols a person with an RSA key and signs in every format under one code, by PSS and PKCS #1 v1.5 with each hash and by
// the default, with judges of others at each result.
func TestRSAWay(t *testing.T) {
	w, offered := newWay(t, pb.KeyAlgorithm_KEY_ALGORITHM_RSA_3072_SHA256)
	const (
		pss256, pkcs256 = pb.SignatureAlgorithm_SIGNATURE_ALGORITHM_RSA_PSS_SHA256, pb.SignatureAlgorithm_SIGNATURE_ALGORITHM_RSA_PKCS1_SHA256
		pss384, pkcs384 = pb.SignatureAlgorithm_SIGNATURE_ALGORITHM_RSA_PSS_SHA384, pb.SignatureAlgorithm_SIGNATURE_ALGORITHM_RSA_PKCS1_SHA384
		pss512, pkcs512 = pb.SignatureAlgorithm_SIGNATURE_ALGORITHM_RSA_PSS_SHA512, pb.SignatureAlgorithm_SIGNATURE_ALGORITHM_RSA_PKCS1_SHA512
	)
	if len(offered) != 6 || offered[0] != pss256 {
		t.Errorf("the credential signs by %v", offered)
	}
	for _, s := range []scheme{
		{0, pss256, crypto.SHA256, "rsassaPss", ""},
		{pss256, pss256, crypto.SHA256, "rsassaPss", "rsa-pss"},
		{pkcs256, pkcs256, crypto.SHA256, "sha256WithRSAEncryption", "rsa-pkcs1"},
		{pss384, pss384, crypto.SHA384, "rsassaPss", "rsa-pss-sha384"},
		{pss512, pss512, crypto.SHA512, "rsassaPss", "rsa-pss-sha512"},
		{pkcs384, pkcs384, crypto.SHA384, "sha384WithRSAEncryption", "rsa-pkcs1-sha384"},
		{pkcs512, pkcs512, crypto.SHA512, "sha512WithRSAEncryption", "rsa-pkcs1-sha512"},
	} {
		name := strings.ReplaceAll("by "+cmp.Or(s.word, "default"), "-", " ")
		w.sign(name, s)
		w.signStaying(name+", stays", s)
		w.signByCommand(name+", command", s)
		w.refuses(s)
	}
	w.end()
}

// TestP384Way does the same with a key on P-384, from the voucher on.
func TestP384Way(t *testing.T) {
	w, offered := newWay(t, pb.KeyAlgorithm_KEY_ALGORITHM_ECDSA_P384_SHA384)
	const ecdsa384 = pb.SignatureAlgorithm_SIGNATURE_ALGORITHM_ECDSA_SHA384
	if !slices.Equal(offered, []pb.SignatureAlgorithm{ecdsa384}) {
		t.Errorf("the credential signs by %v", offered)
	}
	says(t, "NIST CURVE: P-384", "openssl", "pkey", "-pubin", "-in", w.key, "-noout", "-text")
	for n, s := range []scheme{
		{0, ecdsa384, crypto.SHA384, "ecdsa-with-SHA384", ""},
		{ecdsa384, ecdsa384, crypto.SHA384, "ecdsa-with-SHA384", "ecdsa-sha384"},
	} {
		name := []string{"default", "asked for"}[n]
		w.sign(name, s)
		w.signStaying(name+", stays", s)
		w.signByCommand(name+", command", s)
		w.refuses(s)
	}
	w.end()
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
