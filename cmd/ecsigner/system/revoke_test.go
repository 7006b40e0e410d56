package system_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/client"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/system"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"google.golang.org/grpc/codes"
)

const compromised = pb.RevocationReason_REVOCATION_REASON_KEY_COMPROMISE

// sendRevocation has a portal send the code that revokes and returns the code.
func sendRevocation(t *testing.T, i *system.Installation, credential string) string {
	t.Helper()
	if _, err := i.Portal().Credential.SendRevocationCode(t.Context(), &pb.SendRevocationCodeRequest{
		RequestId: client.RequestID(), CredentialId: credential,
	}); err != nil {
		t.Fatal(err)
	}
	return i.Code("revoke", "")
}

func revokeBy(ctx context.Context, c *client.Conn, credential, code string) (*pb.Credential, error) {
	r, err := c.Credential.RevokeWithCode(ctx, revocation(credential, code))
	return r.GetCredential(), err
}

func revocation(credential, code string) *pb.RevokeWithCodeRequest {
	return &pb.RevokeWithCodeRequest{RequestId: client.RequestID(), CredentialId: credential, Reason: compromised, Code: code}
}

// published returns the revocation list as the world gets it: under the address in the certificate.
func published(t *testing.T, i *system.Installation, certificate *x509.Certificate) []byte {
	t.Helper()
	address, err := url.Parse(certificate.CRLDistributionPoints[0])
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+i.PKI+address.Path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	der, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", request.URL, answer.Status, err)
	}
	return der
}

// reasonOn returns the reason under which the list has the certificate, -1 if it has not.
func reasonOn(t *testing.T, der []byte, certificate *x509.Certificate) int {
	t.Helper()
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list.RevokedCertificateEntries {
		if e.SerialNumber.Cmp(certificate.SerialNumber) == 0 {
			return e.ReasonCode
		}
	}
	return -1
}

// verdict has openssl judge a certificate by a revocation list.
func verdict(t *testing.T, i *system.Installation, certificate *x509.Certificate, crl []byte) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	chain, err := i.Documents().CA.GetChain(t.Context(), &pb.GetChainRequest{})
	if err != nil {
		t.Fatal(err)
	}
	issuing := write("issuing.pem", "CERTIFICATE", chain.GetCertificates()[0])
	list := write("crl.pem", "X509 CRL", crl)
	says(t, "verify OK", "openssl", "crl", "-in", list, "-CAfile", issuing, "-noout", "-verify")
	root := write("root.pem", "CERTIFICATE", chain.GetCertificates()[1])
	out, _ := exec.CommandContext(t.Context(), "openssl", "verify", "-crl_check", "-CAfile", root, "-untrusted", issuing,
		"-CRLfile", list, write("leaf.pem", "CERTIFICATE", certificate.Raw)).CombinedOutput()
	return string(out)
}

// inDatabase reports whether any file of the database holds the bytes.
func inDatabase(t *testing.T, i *system.Installation, b []byte) bool {
	t.Helper()
	files, err := filepath.Glob(i.Path("data", "db", "*"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(text, b) {
			return true
		}
	}
	return false
}

// wrappedOf returns the wrapped key of a credential as the database holds it.
func wrappedOf(t *testing.T, i *system.Installation, credential string) []byte {
	t.Helper()
	w := newWriter(t, i)
	defer func() { _ = w.Close() }()
	key, _ := w.get("credentials", credential)["wrapped_key"].([]byte)
	return key
}

// TestRevocationByPerson: a person revokes with a code. When the call is answered, both lists have the certificate, the
// key is in no file, nothing can be signed, and the person has a notice.
func TestRevocationByPerson(t *testing.T) {
	t.Parallel()
	i := system.New(t, build.Program(t))
	i.Start()
	credential, bystander := i.Credential(1), i.Credential(2)
	_, certificate := public(t, i, credential)
	key := wrappedOf(t, i, credential)
	if len(key) == 0 || !inDatabase(t, i, key) {
		t.Fatal("the wrapped key is not found even while it is there")
	}
	if said := verdict(t, i, certificate, published(t, i, certificate)); !strings.Contains(said, ": OK") {
		t.Errorf("before the revocation openssl says %s", said)
	}
	o, signing := i.Operation(credential, "before", raw, "document")
	code := sendRevocation(t, i, credential)

	// A code fits one purpose.
	_, err := revokeBy(t.Context(), i.Portal(), credential, signing)
	wantRefusal(t, err, codes.PermissionDenied, "CODE_REJECTED", "")
	_, err = i.Authorize(o.GetId(), code)
	wantRefusal(t, err, codes.PermissionDenied, "CODE_REJECTED", "")
	// To another portal there is no such credential.
	other := i.Client("portal-2", pb.Role_ROLE_PORTAL)
	for _, id := range []string{credential, "cred-none"} {
		_, err = revokeBy(t.Context(), other, id, code)
		wantRefusal(t, err, codes.NotFound, "NOT_FOUND", "")
		_, err = other.Credential.SendRevocationCode(t.Context(), &pb.SendRevocationCodeRequest{RequestId: client.RequestID(), CredentialId: id})
		wantRefusal(t, err, codes.NotFound, "NOT_FOUND", "")
	}

	request := revocation(credential, code)
	for range 2 { // the same request again changes nothing
		r, err := i.Portal().Credential.RevokeWithCode(t.Context(), request)
		if c := r.GetCredential(); err != nil || c.GetStatus() != pb.CredentialStatus_CREDENTIAL_STATUS_REVOKED ||
			c.GetRevocationReason() != compromised || c.GetRevokeTime() == nil {
			t.Fatalf("%v, %v", c, err)
		}
	}
	list := published(t, i, certificate)
	if got := reasonOn(t, list, certificate); got != 1 {
		t.Errorf("the published list right after the answer has reason %d", got)
	}
	r, err := i.Documents().CA.GetCrl(t.Context(), &pb.GetCrlRequest{})
	if err != nil || reasonOn(t, r.GetCrl(), certificate) != 1 {
		t.Errorf("GetCrl right after the answer lacks the certificate (%v)", err)
	}
	if said := verdict(t, i, certificate, list); !strings.Contains(said, "certificate revoked") {
		t.Errorf("openssl says %s", said)
	}
	if inDatabase(t, i, key) || len(wrappedOf(t, i, credential)) != 0 {
		t.Error("the wrapped key is still in the database")
	}
	if text := i.Message("revoked", ""); !strings.Contains(text, certificate.SerialNumber.Text(16)[28:]) {
		t.Errorf("the notice says %q", text)
	}

	_, err = i.Authorize(o.GetId(), signing)
	wantRefusal(t, err, codes.FailedPrecondition, "CREDENTIAL_UNUSABLE", "")
	_, err = i.Documents().Signing.CreateSigningOperation(t.Context(), hashes(credential, "after", "document"))
	wantRefusal(t, err, codes.FailedPrecondition, "CREDENTIAL_UNUSABLE", "credential_id")
	_, err = revokeBy(t.Context(), i.Portal(), credential, code)
	wantRefusal(t, err, codes.FailedPrecondition, "CREDENTIAL_REVOKED", "")
	o, signing = i.Operation(bystander, "another person", raw, "document")
	if _, err := i.Authorize(o.GetId(), signing); err != nil {
		t.Errorf("another person's credential: %v", err)
	}
	log := logFrom(i, 0)
	if n := count(log, "integrity.alarm"); n != 0 {
		t.Errorf("%d alarms", n)
	}
	if count(log, "certificate.revoked", "requester", "signatory", "means", "sms-code", "reason", "keyCompromise") != 1 ||
		count(log, "key.destroyed", "credential", credential) != 1 {
		t.Error("the log does not tell who revoked and what was destroyed")
	}
	endRun(t, i)
	if inDatabase(t, i, key) {
		t.Error("the wrapped key is in the files of the stopped server")
	}
}

// TestCrashRevoking kills the server right after each step of a revocation: after the restart the first list has the
// certificate, the key is in no file, and the same request again says that it is done.
func TestCrashRevoking(t *testing.T) {
	i := system.New(t, build.Program(t, failpoints))
	i.Start()
	steps := numbered(t, "../../../tenure/revoke.go")
	if len(steps) != 2 {
		t.Fatalf("the steps of a revocation are %v; this test knows 1 and 2", steps)
	}
	for _, step := range steps {
		t.Run(fmt.Sprintf("step %d", step), func(t *testing.T) {
			i.Within(t)
			credential := i.Credential(step)
			_, certificate := public(t, i, credential)
			key := wrappedOf(t, i, credential)
			i.Stop()
			i.Start(failpoint("revoke", step))
			from := logSize(t, i)
			request := revocation(credential, sendRevocation(t, i, credential))
			if r, err := i.Portal().Credential.RevokeWithCode(t.Context(), request); err == nil {
				t.Fatalf("answered %v although the server was to die", r)
			}
			i.AwaitEnd()
			i.Start()
			if got := reasonOn(t, published(t, i, certificate), certificate); got != 1 {
				t.Errorf("the first list after the restart has reason %d", got)
			}
			if inDatabase(t, i, key) {
				t.Error("the wrapped key is still in the database")
			}
			r, err := i.Portal().Credential.RevokeWithCode(t.Context(), request)
			if err != nil || r.GetCredential().GetStatus() != pb.CredentialStatus_CREDENTIAL_STATUS_REVOKED {
				t.Errorf("the same request again: %v, %v", r, err)
			}
			number := map[string]int{}
			for _, entry := range entries(t, i, from) {
				_, event, err := audit.Decode(entry)
				if err != nil {
					t.Fatal(err)
				}
				number[audit.Kind(event)]++
			}
			for _, kind := range []string{"code.accepted", "certificate.revoked", "binding.changed", "key.destroyed", "notice.sent"} {
				if number[kind] != 1 {
					t.Errorf("%d entries %s, want one", number[kind], kind)
				}
			}
			i.Message("revoked", certificate.SerialNumber.Text(16)[28:])
		})
	}
	endRun(t, i)
}

// TestRevokedWhileSigning revokes while an operation stands in state signing, its code spent and its signature lost in a
// crash: nobody can finish it any more.
func TestRevokedWhileSigning(t *testing.T) {
	t.Parallel()
	i := system.New(t, build.Program(t, failpoints))
	i.Start()
	credential := i.Credential(1)
	o, code := i.Operation(credential, "interrupted", raw, "document")
	i.Stop()
	i.Start(failpoint("sign", 4))
	if _, err := i.Authorize(o.GetId(), code); err == nil {
		t.Fatal("the server was to die")
	}
	i.AwaitEnd()
	i.Start()
	if _, err := revokeBy(t.Context(), i.Portal(), credential, sendRevocation(t, i, credential)); err != nil {
		t.Fatal(err)
	}
	_, err := resumed(t, i, o.GetId(), code)
	wantRefusal(t, err, codes.FailedPrecondition, "CREDENTIAL_UNUSABLE", "")
	if log := logFrom(i, 0); count(log, "signing.signed")+count(log, "integrity.alarm") != 0 {
		t.Error("it was signed, or the refusal is taken for an attack")
	}
	endRun(t, i)
}
