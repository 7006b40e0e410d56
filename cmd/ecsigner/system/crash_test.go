package system_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/system"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
)

// failpoints are the flags of the build that can be killed at a step.
const failpoints = "-tags=failpoint"

// numbered reads the sources of a package, or one file, and returns the numbers of its "// step N:" comments. It fails unless they
// run from 1 on without a gap, and unless each has exactly one call of failpoint(…, N).
func numbered(t *testing.T, dir string) []int {
	t.Helper()
	pattern := dir
	if !strings.HasSuffix(dir, ".go") {
		pattern = filepath.Join(dir, "*.go")
	}
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no sources in %s: %v", dir, err)
	}
	comment := regexp.MustCompile(`^// step (\d+)\b`)
	var steps, calls []int
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, group := range f.Comments {
			for _, c := range group.List {
				if m := comment.FindStringSubmatch(c.Text); m != nil {
					n, _ := strconv.Atoi(m[1])
					steps = append(steps, n)
				}
			}
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				if to, ok := call.Fun.(*ast.Ident); ok && to.Name == "failpoint" {
					last, _ := call.Args[len(call.Args)-1].(*ast.BasicLit)
					n, err := strconv.Atoi(last.Value)
					if err != nil {
						t.Errorf("%s: failpoint without a literal number", name)
					}
					calls = append(calls, n)
				}
			}
			return true
		})
	}
	slices.Sort(steps)
	slices.Sort(calls)
	for k, n := range steps {
		if n != k+1 {
			t.Fatalf("%s: the numbered steps are %v", dir, steps)
		}
	}
	if !slices.Equal(steps, calls) {
		t.Fatalf("%s: steps %v have failpoints %v", dir, steps, calls)
	}
	return steps
}

// failpoint is the environment that kills the server right after a step.
func failpoint(sequence string, step int) string {
	return fmt.Sprintf("ECSIGNER_FAILPOINT=%s:%d", sequence, step)
}

// reason is the stable reason of a refused call, or the error's text.
func reason(err error) string {
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return fmt.Sprint(err)
}

// entries reads the operation log from an index on, as an auditor.
func entries(t *testing.T, i *system.Installation, from int64) [][]byte {
	t.Helper()
	var all [][]byte
	for {
		page, err := i.Client("auditor", pb.Role_ROLE_AUDITOR).Audit.ListEntries(t.Context(), &pb.ListEntriesRequest{StartIndex: from})
		if err != nil {
			t.Fatal(err)
		}
		if len(page.GetEntries()) == 0 {
			return all
		}
		all, from = append(all, page.GetEntries()...), page.GetNextIndex()
	}
}

// kinds names the events from an index on, but for starts, stops and notices of signatures, in order: "CodeAccepted SigningActivated".
func kinds(t *testing.T, i *system.Installation, from int64) string {
	t.Helper()
	var names []string
	for _, entry := range entries(t, i, from) {
		_, event, err := audit.Decode(entry)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(fmt.Sprintf("%T", event), "audit.")
		if notice, ok := event.(audit.NoticeSent); ok && notice.Kind == "signed" {
			continue // told of in the transaction of the signature; notices counts them
		}
		if name != "ServiceStarted" && name != "ServiceStopped" {
			names = append(names, name)
		}
	}
	return strings.Join(names, " ")
}

// notices counts the notices of an operation's signatures.
func notices(i *system.Installation, operation string) int {
	return count(logFrom(i, 0), "notice.sent", "subject", operation, "kind", "signed")
}

// logSize is the number of entries now.
func logSize(t *testing.T, i *system.Installation) int64 {
	t.Helper()
	return int64(len(entries(t, i, 0)))
}

// endRun stops the server cleanly and has the published log verified.
func endRun(t *testing.T, i *system.Installation) {
	t.Helper()
	if code := i.Stop(); code != 0 {
		t.Errorf("the server ended with code %d", code)
	}
	if said := i.VerifyLog(); !strings.Contains(said, "0 findings") {
		t.Errorf("the log verifier said:\n%s", said)
	}
}

// tokenObjects returns the names and sizes of the files of all objects on the token. SoftHSM rewrites a file when it
// looks at an object in some ways, so its bytes say nothing.
func tokenObjects(t *testing.T, i *system.Installation) map[string]int64 {
	t.Helper()
	objects := map[string]int64{}
	err := filepath.WalkDir(i.Path("softhsm", "tokens"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".object") {
			return err
		}
		info, err := d.Info()
		if err == nil {
			objects[d.Name()] = info.Size()
		}
		return err
	})
	if err != nil || len(objects) == 0 {
		t.Fatalf("no objects on the token: %v", err)
	}
	return objects
}

// judge checks a signed operation with nothing but public keys: each signature with the certificate, and the receipt
// with the log's key; it must prove exactly these signatures. It returns the index of the log's entry.
func judge(t *testing.T, vkey string, certificate *x509.Certificate, o *pb.SigningOperation) int64 {
	t.Helper()
	if o.GetState() != pb.SigningState_SIGNING_STATE_SIGNED {
		t.Fatalf("operation %s is %s", o.GetId(), o.GetState())
	}
	r, err := audit.ParseReceipt(o.GetReceipt())
	if err == nil {
		err = r.Verify(vkey)
	}
	if err != nil {
		t.Fatalf("receipt of %s: %v", o.GetId(), err)
	}
	_, event, err := audit.Decode(r.Entry)
	if err != nil {
		t.Fatal(err)
	}
	signed, ok := event.(audit.SigningSigned)
	if !ok || signed.Operation != o.GetId() || len(signed.Signatures) != len(o.GetItems()) {
		t.Fatalf("the receipt of %s proves %+v", o.GetId(), event)
	}
	for k, item := range o.GetItems() {
		sum := sha256.Sum256(item.GetSignature())
		if !bytes.Equal(signed.Signatures[k], sum[:]) || !bytes.Equal(signed.DTBSR[k], item.GetDtbsr()) {
			t.Errorf("the receipt of %s proves another signature %d", o.GetId(), k)
		}
		if !ecdsa.VerifyASN1(certificate.PublicKey.(*ecdsa.PublicKey), item.GetDtbsr(), item.GetSignature()) {
			t.Errorf("signature %d of %s does not verify", k, o.GetId())
		}
	}
	return r.Index
}

// public returns the log's key and the certificate of a credential.
func public(t *testing.T, i *system.Installation, credential string) (vkey string, certificate *x509.Certificate) {
	t.Helper()
	key, err := os.ReadFile(i.Path("pki", "log.vkey"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := i.Documents().Credential.GetCredential(t.Context(), &pb.GetCredentialRequest{CredentialId: credential})
	if err != nil {
		t.Fatal(err)
	}
	certificate, err = x509.ParseCertificate(c.GetCredential().GetCertificateChain()[0])
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(key)), certificate
}

// resumed authorises again and again while the server says that the lease of the interrupted run lasts.
func resumed(t *testing.T, i *system.Installation, id, code string) (*pb.SigningOperation, error) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		o, err := i.Authorize(id, code)
		if err == nil || reason(err) != "SIGNING_IN_PROGRESS" || time.Now().After(deadline) {
			return o, err
		}
		select {
		case <-t.Context().Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// TestReleaseHasNoFailpoint: only the build for crash tests can be told to kill itself.
func TestReleaseHasNoFailpoint(t *testing.T) {
	for _, c := range []struct {
		flags []string
		want  bool
	}{
		{nil, false},
		{[]string{failpoints}, true},
	} {
		program := build.Program(t, c.flags...)
		binary, err := os.ReadFile(program)
		if err != nil {
			t.Fatal(err)
		}
		if got := bytes.Contains(binary, []byte("ECSIGNER_FAILPOINT")); got != c.want {
			t.Errorf("built with %q: the variable's name is in the program: %v", c.flags, got)
		}
		symbols, err := exec.Command("go", "tool", "nm", program).Output()
		if err != nil {
			t.Fatal(err)
		}
		for _, pkg := range []string{"signer", "enrol", "cmd/ecsigner/backup", "cmd/ecsigner/restore"} {
			if got := bytes.Contains(symbols, []byte("ecsigner/"+pkg+".failpoint")); got != c.want {
				t.Errorf("built with %q: %s.failpoint is in the program: %v", c.flags, pkg, got)
			}
		}
	}
}
