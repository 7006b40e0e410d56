// Package system runs the real program as processes, for tests: it builds it, makes installations, serves them, kills
// them, and is every client over the real interface.
package system

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/client"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Builder builds the program once for each set of build flags.
type Builder struct {
	dir  string
	mu   sync.Mutex
	made map[string]string
}

// NewBuilder builds into dir, which the caller removes.
func NewBuilder(dir string) *Builder { return &Builder{dir: dir, made: map[string]string{}} }

// Program returns the path of the program built with flags, such as -tags=failpoint or -race.
func (b *Builder) Program(t testing.TB, flags ...string) string {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	key := strings.Join(flags, " ")
	if p, ok := b.made[key]; ok {
		return p
	}
	p := filepath.Join(b.dir, fmt.Sprintf("ecsigner-%d", len(b.made)))
	args := append(append([]string{"build", "-o", p}, flags...), "github.com/ecsigner/ecsigner/cmd/ecsigner")
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		t.Fatalf("building the program: %v\n%s", err, out)
	}
	b.made[key] = p
	return p
}

// Installation is one installation in a directory of its own, with ports of its own, and its server process.
type Installation struct {
	t       testing.TB
	Program string
	Dir     string
	Address string
	PKI     string
	Key     pb.KeyAlgorithm // of the credentials that Credential makes; New says EC P-256

	cmd     *exec.Cmd
	ended   chan struct{} // closed when the process has ended
	Stderr  *Output       // of all server processes so far
	clients map[string]*client.Conn
	seen    map[string]bool
}

// Output collects what processes say; it is safe to read while they run.
type Output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

// String returns everything said so far.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// New makes an installation with `ecsigner init` and the given further arguments. Nothing is started.
func New(t testing.TB, program string, args ...string) *Installation {
	t.Helper()
	i := &Installation{
		t: t, Program: program, Dir: filepath.Join(t.TempDir(), "installation"), Stderr: &Output{},
		clients: map[string]*client.Conn{}, seen: map[string]bool{}, Key: pb.KeyAlgorithm_KEY_ALGORITHM_ECDSA_P256_SHA256,
	}
	i.Address, i.PKI = freePort(t), freePort(t)
	i.Run("init", append([]string{"--dir", i.Dir, "--listen", i.Address, "--pki-listen", i.PKI, "--rate", "100000", "--budget", "0"}, args...)...)
	t.Cleanup(i.cleanup)
	return i
}

// Attach returns an installation whose server the test itself runs, in this process, on an address.
func Attach(t testing.TB, dir, address string) *Installation {
	t.Helper()
	i := &Installation{
		t: t, Dir: dir, Address: address, Stderr: &Output{},
		clients: map[string]*client.Conn{}, seen: map[string]bool{}, Key: pb.KeyAlgorithm_KEY_ALGORITHM_ECDSA_P256_SHA256,
	}
	t.Cleanup(i.cleanup)
	return i
}

// Within makes t, a subtest, answer for the installation until it ends.
func (i *Installation) Within(t testing.TB) {
	former := i.t
	i.t = t
	t.Cleanup(func() { i.t = former })
}

func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func (i *Installation) cleanup() {
	for _, c := range i.clients {
		_ = c.Close()
	}
	i.Kill()
	if i.t.Failed() {
		i.t.Logf("the server said:\n%s", i.Stderr)
	}
}

// Run runs one command of the program to its end and returns its output; the test fails if the command does.
func (i *Installation) Run(command string, args ...string) string {
	i.t.Helper()
	out, err := i.Try(command, args...)
	if err != nil {
		i.t.Fatalf("ecsigner %s: %v\n%s", command, err, out)
	}
	return out
}

// Try is Run for commands that may fail. One that has not ended after half a minute is killed.
func (i *Installation) Try(command string, args ...string) (string, error) {
	i.t.Helper()
	ctx, cancel := context.WithTimeout(i.Context(), 30*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, i.Program, append(strings.Fields(command), args...)...).CombinedOutput()
	return string(out), err
}

// Path is a path below the installation's directory.
func (i *Installation) Path(p ...string) string {
	return filepath.Join(append([]string{i.Dir}, p...)...)
}

// Start starts the server with further environment variables and waits until it answers.
func (i *Installation) Start(env ...string) {
	i.t.Helper()
	if line := i.TryStart(env...); !strings.HasPrefix(line, "serving") {
		i.t.Fatalf("the server did not start: %q\n%s", line, i.Stderr)
	}
}

// TryStart starts the server and returns the first line that it prints, or "" when it ended without one.
func (i *Installation) TryStart(env ...string) string {
	i.t.Helper()
	i.Kill()
	cmd := exec.Command(i.Program, "serve", "--config", i.Path("ecsigner.yaml"))
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = i.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		i.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		i.t.Fatal(err)
	}
	defer time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() }).Stop() // then it prints no line
	line, _ := bufio.NewReader(out).ReadString('\n')
	i.cmd, i.ended = cmd, make(chan struct{})
	go func(ended chan struct{}) {
		_ = cmd.Wait()
		close(ended)
	}(i.ended)
	if line == "" {
		<-i.ended // so that all it said is there to be read
	}
	return line
}

// PID of the server process.
func (i *Installation) PID() int { return i.cmd.Process.Pid }

// Kill ends the server with SIGKILL, if it runs, and waits for its end.
func (i *Installation) Kill() { i.signal(syscall.SIGKILL) }

// Stop ends the server with SIGTERM, if it runs, and returns its exit code: -1 when it had to be killed after a minute.
func (i *Installation) Stop() int {
	i.t.Helper()
	cmd := i.cmd
	if cmd == nil {
		return 0
	}
	i.signal(syscall.SIGTERM)
	return cmd.ProcessState.ExitCode()
}

func (i *Installation) signal(s syscall.Signal) {
	if i.cmd == nil {
		return
	}
	_ = i.cmd.Process.Signal(s) // it may have ended by itself
	defer time.AfterFunc(time.Minute, func() { _ = i.cmd.Process.Kill() }).Stop()
	<-i.ended
	i.cmd = nil
}

// AwaitEnd waits until the server has ended by itself.
func (i *Installation) AwaitEnd() {
	i.t.Helper()
	select {
	case <-i.ended:
		i.cmd = nil
	case <-time.After(time.Minute):
		i.t.Fatal("the server is still running")
	}
}

// Client returns the connection of a client with this name and role; it is added with its first use. The first operator
// is "operator".
func (i *Installation) Client(name string, role pb.Role) *client.Conn {
	i.t.Helper()
	if c, ok := i.clients[name]; ok {
		return c
	}
	dir := i.Path("clients", name)
	if _, err := os.Stat(dir); err != nil {
		key, csr, err := client.NewKey(name)
		i.must(err)
		a, err := i.Operator().Admin.CreateClient(i.Context(), &pb.CreateClientRequest{
			RequestId: client.RequestID(), Name: name, DisplayName: "Client " + name, Role: role, Csr: csr,
		})
		i.must(err)
		chain := a.GetCertificateChain()
		i.must(client.WriteProfile(dir, i.Address, key, chain, chain[len(chain)-1]))
	}
	c, err := client.Dial(dir)
	i.must(err)
	i.clients[name] = c
	return c
}

// Operator, Portal, Identity and Documents are clients of these roles.
func (i *Installation) Operator() *client.Conn { return i.Client("operator", pb.Role_ROLE_OPERATOR) }

// Portal leads persons through enrolment.
func (i *Installation) Portal() *client.Conn { return i.Client("portal", pb.Role_ROLE_PORTAL) }

// Identity reports results of identity proofing.
func (i *Installation) Identity() *client.Conn { return i.Client("identity", pb.Role_ROLE_IDENTITY) }

// Documents asks for signatures.
func (i *Installation) Documents() *client.Conn { return i.Client("documents", pb.Role_ROLE_DOCUMENTS) }

// Context ends with the test.
func (i *Installation) Context() context.Context { return i.t.Context() }

func (i *Installation) must(err error) {
	i.t.Helper()
	if err != nil {
		i.t.Fatal(err)
	}
}

// Message waits for the next unseen text on the "phone" whose kind and text fit.
func (i *Installation) Message(kind, contains string) string {
	i.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		files, err := filepath.Glob(i.Path("outbox", "*.json"))
		i.must(err)
		for _, f := range files {
			var m struct{ Kind, Text string }
			b, err := os.ReadFile(f)
			i.must(err)
			if !i.seen[f] && json.Unmarshal(b, &m) == nil && m.Kind == kind && strings.Contains(straight(m.Text), straight(contains)) {
				i.seen[f] = true
				return m.Text
			}
		}
		select {
		case <-i.t.Context().Done():
		case <-time.After(5 * time.Millisecond):
		}
	}
	i.t.Fatalf("no message of kind %s with %q came to the phone", kind, contains)
	return ""
}

// straight writes quotation marks as a text in the default alphabet of the phone network has them.
func straight(text string) string { return strings.NewReplacer("“", `"`, "”", `"`).Replace(text) }

// Code waits for a message like Message and returns the code in it.
func (i *Installation) Code(kind, contains string) string {
	i.t.Helper()
	return regexp.MustCompile(`\b\d{6,9}\b`).FindString(i.Message(kind, contains))
}

// Person number n: 0 to 499, each with a right check digit and a phone of its own.
func Person(n int) *pb.PersonalData {
	base := fmt.Sprintf("29354%03d%d", n, 2)
	sum := 0
	for k, w := range []int{-1, 5, 7, 9, 4, 6, 10, 5, 7} {
		sum += w * int(base[k]-'0')
	}
	return &pb.PersonalData{
		GivenName: "Olena", Surname: "Kovalchuk" + strings.Repeat("a", n%7), LocalName: "Олена Ковальчук", Country: "UA",
		Identifier: fmt.Sprintf("%s%d", base, sum%11%10), BirthDate: "1980-05-14", Phone: fmt.Sprintf("+38050%07d", n),
	}
}

// Proofing leads person n to the proofing of identity and returns the enrolment and the reference of the proofing.
func (i *Installation) Proofing(n int) (id, reference string) {
	i.t.Helper()
	ctx, portal := i.Context(), i.Portal()
	v, err := i.Operator().Admin.CreateVouchers(ctx, &pb.CreateVouchersRequest{
		RequestId: client.RequestID(), Product: "qes", Years: 1, Count: 1, ExpireTime: timestamppb.New(time.Now().AddDate(1, 0, 0)),
	})
	i.must(err)
	e, err := portal.Enrolment.CreateEnrolment(ctx, &pb.CreateEnrolmentRequest{
		RequestId: client.RequestID(), VoucherCode: v.GetCodes()[0], Language: "uk",
	})
	i.must(err)
	id = e.GetEnrolment().GetId()
	_, err = portal.Enrolment.SetParameters(ctx, &pb.SetParametersRequest{
		RequestId: client.RequestID(), EnrolmentId: id, Parameters: &pb.CertificateParameters{
			Years: 1, IdentifierType: pb.IdentifierType_IDENTIFIER_TYPE_TIN, Algorithm: i.Key,
		},
	})
	i.must(err)
	_, err = portal.Enrolment.SetPersonalData(ctx, &pb.SetPersonalDataRequest{RequestId: client.RequestID(), EnrolmentId: id, PersonalData: Person(n)})
	i.must(err)
	_, err = portal.Enrolment.SendPhoneCode(ctx, &pb.SendPhoneCodeRequest{RequestId: client.RequestID(), EnrolmentId: id})
	i.must(err)
	_, err = portal.Enrolment.ConfirmPhone(ctx, &pb.ConfirmPhoneRequest{RequestId: client.RequestID(), EnrolmentId: id, Code: i.Code("phone", "")})
	i.must(err)
	i.Identity() // the provider is a client; it must exist before its name is used
	p, err := portal.Enrolment.StartIdentityProofing(ctx, &pb.StartIdentityProofingRequest{
		RequestId: client.RequestID(), EnrolmentId: id, Provider: "identity",
	})
	i.must(err)
	return id, p.GetEnrolment().GetProofingReference()
}

// Vouchers makes n vouchers and returns their codes.
func (i *Installation) Vouchers(n uint32) []string {
	i.t.Helper()
	v, err := i.Operator().Admin.CreateVouchers(i.Context(), &pb.CreateVouchersRequest{
		RequestId: client.RequestID(), Product: "qes", Years: 1, Count: n, ExpireTime: timestamppb.New(time.Now().AddDate(1, 0, 0)),
	})
	i.must(err)
	return v.GetCodes()
}

// Proven is the report that person n is who they say, not yet sent.
func Proven(n int, id, reference string) *pb.ReportIdentityResultRequest {
	return &pb.ReportIdentityResultRequest{
		RequestId: client.RequestID(), EnrolmentId: id, Reference: reference,
		Outcome: pb.IdentityOutcome_IDENTITY_OUTCOME_POSITIVE, ProvenData: Person(n),
		IdentifierType: pb.IdentifierType_IDENTIFIER_TYPE_TIN, Evidence: []byte("evidence"), CompleteTime: timestamppb.Now(),
	}
}

// Enrolment leads person n to the step before acceptance and returns the enrolment and the SHA-256 of the agreement.
func (i *Installation) Enrolment(n int) (id string, agreement []byte) {
	i.t.Helper()
	id, reference := i.Proofing(n)
	_, err := i.Identity().Enrolment.ReportIdentityResult(i.Context(), Proven(n, id, reference))
	i.must(err)
	_, pdf, err := i.Portal().Agreement(i.Context(), id)
	i.must(err)
	sum := sha256.Sum256(pdf)
	return id, sum[:]
}

// Accept sends the acceptance code of an enrolment and returns the request that accepts, not yet sent.
func (i *Installation) Accept(id string, agreement []byte) *pb.AcceptAgreementRequest {
	i.t.Helper()
	_, err := i.Portal().Enrolment.SendAgreementCode(i.Context(), &pb.SendAgreementCodeRequest{RequestId: client.RequestID(), EnrolmentId: id})
	i.must(err)
	return &pb.AcceptAgreementRequest{
		RequestId: client.RequestID(), EnrolmentId: id, AgreementSha256: agreement, Code: i.Code("agreement", ""), Consents: Consents(),
	}
}

// Consents are those without which no agreement of a private person can be accepted.
func Consents() []string { return []string{"data", "obligations", "device", "records"} }

// Credential enrols person n to the end, grants the credential to Documents, and returns it.
func (i *Installation) Credential(n int) string {
	i.t.Helper()
	id, agreement := i.Enrolment(n)
	a, err := i.Portal().Enrolment.AcceptAgreement(i.Context(), i.Accept(id, agreement))
	i.must(err)
	credential := a.GetEnrolment().GetCredentialId()
	i.Documents()
	i.Grant(credential, "documents")
	return credential
}

// Grant lets a client use a credential.
func (i *Installation) Grant(credential, name string) {
	i.t.Helper()
	_, err := i.Operator().Credential.GrantAccess(i.Context(), &pb.GrantAccessRequest{
		RequestId: client.RequestID(), CredentialId: credential, Client: name,
	})
	i.must(err)
}

// Operation creates a signing operation over the hashes of the given texts and returns it with its code.
func (i *Installation) Operation(credential, title string, format pb.SignatureFormat, texts ...string) (*pb.SigningOperation, string) {
	i.t.Helper()
	r := &pb.CreateSigningOperationRequest{RequestId: client.RequestID(), CredentialId: credential, Title: title, Language: "en"}
	for _, text := range texts {
		sum := sha256.Sum256([]byte(text))
		r.Items = append(r.Items, &pb.SigningItemRequest{Source: &pb.SigningItemRequest_Sha256{Sha256: sum[:]}, Format: format})
	}
	o, err := i.Documents().Signing.CreateSigningOperation(i.Context(), r)
	i.must(err)
	return o.GetOperation(), i.Code("sign", "“"+title+"”")
}

// Authorize sends a code for an operation.
func (i *Installation) Authorize(id, code string) (*pb.SigningOperation, error) {
	a, err := i.Documents().Signing.AuthorizeSigningOperation(i.Context(), &pb.AuthorizeSigningOperationRequest{
		RequestId: client.RequestID(), OperationId: id, Code: code,
	})
	return a.GetOperation(), err
}

// VerifyLog has the program verify the published log; the server must have been stopped cleanly before.
func (i *Installation) VerifyLog() string {
	i.t.Helper()
	return i.Run("audit verify", "--key", i.Path("pki", "log.vkey"), i.Path("data", "log"))
}
