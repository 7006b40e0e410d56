package system_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/client"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/system"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"google.golang.org/protobuf/proto"
)

// signingCrash says what must stand in the log, and nowhere else, when the server dies right after a step of signing,
// and what finishing the operation then adds.
type signingCrash struct {
	step  int
	left  string // events right after the restart: start-up adds none
	state pb.SigningState
	added string // events until the end
	retry string // code of the call that finishes it: "right", "none" or "wrong"; once activated it does not matter
}

func signingCrashes() []signingCrash {
	const (
		requested = "SigningRequested CodeRequested"
		activated = "CodeAccepted SigningActivated"
		none      = pb.SigningState_SIGNING_STATE_UNSPECIFIED
		waiting   = pb.SigningState_SIGNING_STATE_REQUESTED
		signing   = pb.SigningState_SIGNING_STATE_SIGNING
		signed    = pb.SigningState_SIGNING_STATE_SIGNED
	)
	return []signingCrash{
		{1, "", none, requested + " " + activated + " SigningSigned", "right"},
		{2, requested, waiting, activated + " SigningSigned", "right"},
		{3, requested + " " + activated, signing, "SigningResumed SigningSigned", "right"},
		{4, requested + " " + activated, signing, "SigningResumed SigningSigned", "none"},
		{5, requested + " " + activated, signing, "SigningResumed SigningSigned", "wrong"},
		{6, requested + " " + activated + " SigningSigned", signed, "", "none"},
		{7, requested + " " + activated + " SigningSigned", signed, "", "right"},
	}
}

// signings are the signed operations of one installation: whatever was answered once never changes.
type signings struct {
	i           *system.Installation
	credential  string
	vkey        string
	certificate *x509.Certificate
	contract    []byte
	answered    []*pb.SigningOperation
	files       [][]byte // the signed PDF of each
	uploads     int
}

func newSignings(t *testing.T) *signings {
	contract, err := os.ReadFile("../../../testdata/contract/contract.pdf")
	if err != nil {
		t.Fatal(err)
	}
	s := &signings{i: system.New(t, build.Program(t, failpoints), "--digits", "9"), contract: contract}
	s.i.Start()
	s.credential = s.i.Credential(1)
	s.vkey, s.certificate = public(t, s.i, s.credential)
	return s
}

// request asks for one signature of each format; the PDF is uploaded for it.
func (s *signings) request(t *testing.T, title string) *pb.CreateSigningOperationRequest {
	t.Helper()
	d, err := s.i.Documents().Upload(t.Context(), "contract.pdf", bytes.NewReader(s.contract), func(int64) {})
	if err != nil {
		t.Fatal(err)
	}
	s.uploads++
	sum := sha256.Sum256([]byte(title))
	hash := &pb.SigningItemRequest_Sha256{Sha256: sum[:]}
	return &pb.CreateSigningOperationRequest{
		RequestId: client.RequestID(), CredentialId: s.credential, Title: title, Language: "en",
		Items: []*pb.SigningItemRequest{
			{Source: &pb.SigningItemRequest_DocumentId{DocumentId: d.GetId()}, Format: pb.SignatureFormat_SIGNATURE_FORMAT_PADES_B_B},
			{Source: hash, Format: pb.SignatureFormat_SIGNATURE_FORMAT_CADES_B_B},
			{Source: hash, Format: pb.SignatureFormat_SIGNATURE_FORMAT_RAW},
		},
	}
}

func (s *signings) create(t *testing.T, r *pb.CreateSigningOperationRequest) (*pb.SigningOperation, error) {
	a, err := s.i.Documents().Signing.CreateSigningOperation(t.Context(), r)
	return a.GetOperation(), err
}

func (s *signings) get(t *testing.T, id string) *pb.SigningOperation {
	t.Helper()
	a, err := s.i.Documents().Signing.GetSigningOperation(t.Context(), &pb.GetSigningOperationRequest{OperationId: id})
	if err != nil {
		t.Fatal(err)
	}
	return a.GetOperation()
}

func (s *signings) file(t *testing.T, id string) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := s.i.Documents().Download(t.Context(), id, 0, pb.ArtifactContent_ARTIFACT_CONTENT_FULL, &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// keep remembers what was answered.
func (s *signings) keep(t *testing.T, o *pb.SigningOperation) {
	t.Helper()
	judge(t, s.vkey, s.certificate, o)
	s.answered, s.files = append(s.answered, o), append(s.files, s.file(t, o.GetId()))
}

// unchanged asks again for everything that was answered, in every way, and wants the same bytes.
func (s *signings) unchanged(t *testing.T) {
	t.Helper()
	for k, o := range s.answered {
		for _, code := range []string{"", "000000000"} {
			if again, err := s.i.Authorize(o.GetId(), code); err != nil || !proto.Equal(again, o) {
				t.Errorf("%s, authorised again with %q: %v, %v; was %v", o.GetTitle(), code, again, err, o)
			}
		}
		if again := s.get(t, o.GetId()); !proto.Equal(again, o) {
			t.Errorf("%s is now %v; was %v", o.GetTitle(), again, o)
		}
		if !bytes.Equal(s.file(t, o.GetId()), s.files[k]) {
			t.Errorf("%s: the signed PDF has other bytes than before", o.GetTitle())
		}
	}
}

// TestCrashSigning kills the server right after each numbered step of signing.
func TestCrashSigning(t *testing.T) {
	cases := signingCrashes()
	if steps := numbered(t, "../../../signer"); len(steps) != len(cases) {
		t.Fatalf("steps %v need a case each; there are %d", steps, len(cases))
	}
	s := newSignings(t)
	objects := tokenObjects(t, s.i)
	endRun(t, s.i)
	for k, c := range cases {
		if c.step != k+1 {
			t.Fatalf("case %d is for step %d", k+1, c.step)
		}
		t.Run(fmt.Sprintf("step %d", c.step), func(t *testing.T) {
			s.i.Within(t)
			s.crash(t, c)
			s.unchanged(t)
			endRun(t, s.i)
			if now := tokenObjects(t, s.i); !maps.Equal(now, objects) {
				t.Errorf("the token holds other objects than before: %d, were %d", len(now), len(objects))
			}
		})
	}
	s.residue(t)
}

// residue acknowledges everything that was signed: of its documents nothing is left, and nothing half written of others.
func (s *signings) residue(t *testing.T) {
	t.Helper()
	s.i.Start()
	for _, o := range s.answered {
		if _, err := s.i.Documents().Signing.CompleteSigningOperation(t.Context(), &pb.CompleteSigningOperationRequest{
			RequestId: client.RequestID(), OperationId: o.GetId(),
		}); err != nil {
			t.Error(err)
		}
	}
	left, err := filepath.Glob(s.i.Path("data", "spool", "*"))
	if err != nil || len(left) != s.uploads-len(s.answered) || slices.ContainsFunc(left, func(name string) bool { return strings.HasSuffix(name, ".part") }) {
		t.Errorf("of %d documents %d are acknowledged, and the spool holds %v, %v", s.uploads, len(s.answered), left, err)
	}
	endRun(t, s.i)
}

func (s *signings) crash(t *testing.T, c signingCrash) {
	title := fmt.Sprintf("crash at %d", c.step)
	s.i.Start(failpoint("sign", c.step))
	s.unchanged(t)
	r := s.request(t, title)
	mark := logSize(t, s.i)

	o, err := s.create(t, r)
	var code string
	if c.step > 2 {
		if err != nil {
			t.Fatal(err)
		}
		code = s.i.Code("sign", "“"+title+"”")
		o, err = s.i.Authorize(o.GetId(), code)
	}
	if err == nil {
		t.Fatalf("an answer came from a dead server: %v", o)
	}
	s.i.AwaitEnd()

	s.i.Start()
	if left := kinds(t, s.i, mark); left != c.left {
		t.Errorf("the crash left %q in the log, want %q", left, c.left)
	}
	o, err = s.create(t, r)
	if err != nil {
		t.Fatalf("repeating the request: %v", err)
	}
	want := c.state
	if want == pb.SigningState_SIGNING_STATE_UNSPECIFIED {
		want = pb.SigningState_SIGNING_STATE_REQUESTED
	}
	if o.GetState() != want {
		t.Errorf("the operation is %s, want %s", o.GetState(), want)
	}
	again, err := s.create(t, r)
	for _, one := range []*pb.SigningOperation{again, o} { // its text may have been handed over in between
		if sent := one.GetSentCode(); sent != nil {
			sent.Delivery, sent.DeliveryTime = pb.Delivery_DELIVERY_UNSPECIFIED, nil
		}
	}
	if err != nil || !proto.Equal(again, o) {
		t.Errorf("the same request makes %v, %v beside %v", again, err, o)
	}
	if o.GetState() != pb.SigningState_SIGNING_STATE_SIGNED {
		for _, item := range o.GetItems() {
			if len(item.GetSignature()) > 0 || len(item.GetCms()) > 0 || len(o.GetReceipt()) > 0 {
				t.Errorf("released without evidence: %v", o)
			}
		}
	}
	if code == "" {
		code = s.i.Code("sign", "“"+title+"”")
	}
	s.finish(t, c, o, code)
	if all := kinds(t, s.i, mark); all != join(c.left, c.added) {
		t.Errorf("the log tells %q, want %q", all, join(c.left, c.added))
	}
	if n := notices(s.i, o.GetId()); n != 1 {
		t.Errorf("the person is told of the signature %d times", n)
	}
	s.spent(t, code, title)
}

func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + " " + b
}

// finish takes the operation to its signatures.
func (s *signings) finish(t *testing.T, c signingCrash, before *pb.SigningOperation, code string) {
	t.Helper()
	given := map[string]string{"right": code, "none": "", "wrong": "000000000"}[c.retry]
	o, err := resumed(t, s.i, before.GetId(), given)
	if err != nil {
		t.Fatalf("finishing the operation: %v", err)
	}
	if c.state == pb.SigningState_SIGNING_STATE_SIGNED && !proto.Equal(o, before) {
		t.Errorf("recorded before the crash: %v; released after it: %v", before, o)
	}
	if again, err := s.i.Authorize(o.GetId(), code); err != nil || !proto.Equal(again, o) {
		t.Errorf("the same code releases %v, %v beside %v", again, err, o)
	}
	s.keep(t, o)
}

// spent tries a used code on another operation with the same content.
func (s *signings) spent(t *testing.T, code, title string) {
	t.Helper()
	o, err := s.create(t, s.request(t, title))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.i.Authorize(o.GetId(), code); reason(err) != "CODE_REJECTED" {
		t.Errorf("a spent code, tried on another operation: %v", err)
	}
	if _, err := s.i.Documents().Signing.CancelSigningOperation(t.Context(), &pb.CancelSigningOperationRequest{
		RequestId: client.RequestID(), OperationId: o.GetId(),
	}); err != nil {
		t.Error(err)
	}
}

// TestCrashSigningAgain kills the server again each time that it resumes the same operation.
func TestCrashSigningAgain(t *testing.T) {
	s := newSignings(t)
	r := s.request(t, "unlucky")
	mark := logSize(t, s.i)
	o, err := s.create(t, r)
	if err != nil {
		t.Fatal(err)
	}
	code := s.i.Code("sign", "“unlucky”")
	for step := 3; step <= 6; step++ {
		s.i.Start(failpoint("sign", step))
		if o, err := resumed(t, s.i, o.GetId(), code); err == nil {
			t.Fatalf("an answer came from a dead server: %v", o)
		}
		s.i.AwaitEnd()
	}
	s.i.Start()
	o, err = s.i.Authorize(o.GetId(), "")
	if err != nil {
		t.Fatal(err)
	}
	s.keep(t, o)
	want := "SigningRequested CodeRequested CodeAccepted SigningActivated SigningResumed SigningResumed SigningResumed SigningSigned"
	if all := kinds(t, s.i, mark); all != want {
		t.Errorf("the log tells %q, want %q", all, want)
	}
	s.unchanged(t)
	endRun(t, s.i)
}
