package system_test

import (
	"crypto/x509"
	"strings"
	"testing"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/system"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"google.golang.org/grpc/codes"
)

// TestOperatorCommands has an operator do with commands what credentials need in their life.
func TestOperatorCommands(t *testing.T) {
	t.Parallel()
	i := system.New(t, build.Program(t))
	i.Start()
	credential := i.Credential(1)
	operator := i.Path("clients", "operator")
	run := func(want, command string, args ...string) {
		t.Helper()
		out, err := i.Try(command, append(args, "--client", operator)...)
		if !strings.Contains(out, want) || (err != nil) != strings.HasPrefix(out, "ecsigner: ") {
			t.Errorf("ecsigner %s %v: %v\n%s\nwant %q", command, args, err, out, want)
		}
	}
	sign := func(title string) error {
		t.Helper()
		o, code := i.Operation(credential, title, raw, title)
		_, err := i.Authorize(o.GetId(), code)
		return err
	}

	run(`--algorithm "dsa" is unknown`, "sign contract.pdf", "--credential", credential, "--algorithm", "dsa")

	// Access.
	o, code := i.Operation(credential, "withdrawn", raw, "document")
	run("documents may no longer use "+credential, "credential withdraw", credential, "--from", "documents")
	_, err := i.Authorize(o.GetId(), code)
	wantRefusal(t, err, codes.FailedPrecondition, "CREDENTIAL_UNUSABLE", "")
	run("documents may use "+credential, "credential grant", credential, "--to", "documents")
	if err := sign("granted again"); err != nil {
		t.Error(err)
	}
	run("NOT_FOUND", "credential withdraw", "cred-none", "--from", "documents")

	// Locks.
	for _, title := range []string{"guessed", "guessed again"} {
		o, code := i.Operation(credential, title, raw, title)
		for range 3 {
			_, _ = i.Authorize(o.GetId(), wrong(code))
		}
	}
	_, err = i.Documents().Signing.CreateSigningOperation(i.Context(), hashes(credential, "locked", "document"))
	wantRefusal(t, err, codes.FailedPrecondition, "CODES_LOCKED", "")
	run("no longer locked for documents", "credential unlock", credential, "--for", "documents")
	if err := sign("unlocked"); err != nil {
		t.Error(err)
	}

	// Revocation.
	run("--yes", "credential revoke", credential, "--reason", "key-compromise")
	run("use one of affiliation-changed", "credential revoke", credential, "--reason", "boredom", "--yes")
	if err := sign("not revoked yet"); err != nil {
		t.Error(err)
	}
	run(credential+" is revoked", "credential revoke", credential, "--reason", "key-compromise", "--yes")
	run(credential+"  revoked", "credential list")
	run(", key-compromise", "credential show", credential)
	run("NOT_FOUND", "credential show", "cred-none")
	run("revoked", "credential revoke", credential, "--reason", "key-compromise", "--yes")
	r, err := i.Documents().CA.GetCrl(i.Context(), &pb.GetCrlRequest{})
	if err != nil {
		t.Fatal(err)
	}
	list, err := x509.ParseRevocationList(r.GetCrl())
	if err != nil || len(list.RevokedCertificateEntries) != 1 || list.RevokedCertificateEntries[0].ReasonCode != 1 {
		t.Errorf("the revocation list has %v, %v", list.RevokedCertificateEntries, err)
	}
}
