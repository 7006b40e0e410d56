package system_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/client"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/system"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// widenWindow lets credentials be renewed from their first day on: a test cannot wait for their last.
func widenWindow(t *testing.T, i *system.Installation) {
	t.Helper()
	configure(t, i, "window: 1440h", "window: 8784h")
}

// renewalRequest asks for the renewal of a credential, with a voucher of its own.
func renewalRequest(t *testing.T, i *system.Installation, credential string) *pb.CreateRenewalRequest {
	t.Helper()
	v, err := i.Operator().Admin.CreateVouchers(t.Context(), &pb.CreateVouchersRequest{
		RequestId: client.RequestID(), Product: "qes", Years: 1, Count: 1, ExpireTime: timestamppb.New(time.Now().AddDate(1, 0, 0)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return &pb.CreateRenewalRequest{
		RequestId: client.RequestID(), CredentialId: credential, VoucherCode: v.GetCodes()[0],
		Parameters: &pb.CertificateParameters{
			Years: 1, IdentifierType: pb.IdentifierType_IDENTIFIER_TYPE_TIN, Algorithm: i.Key,
		},
	}
}

// renewal leads to the step before the acceptance, with its code sent.
func renewal(t *testing.T, i *system.Installation, credential string) *pb.AcceptAgreementRequest {
	t.Helper()
	r, err := i.Portal().Enrolment.CreateRenewal(t.Context(), renewalRequest(t, i, credential))
	if err != nil {
		t.Fatal(err)
	}
	e := r.GetEnrolment()
	_, pdf, err := i.Portal().Agreement(t.Context(), e.GetId())
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(pdf)
	if !bytes.Equal(sum[:], e.GetAgreementSha256()) || e.GetRenewsCredentialId() != credential ||
		e.GetNextAction() != pb.EnrolmentAction_ENROLMENT_ACTION_ACCEPT_AGREEMENT {
		t.Fatalf("the renewal is %v", e)
	}
	return i.Accept(e.GetId(), sum[:])
}

// TestRenewal renews a credential: the old key signs once, under the code of the acceptance, and independent readers find
// both signatures in the agreement good. Both credentials sign afterwards.
func TestRenewal(t *testing.T) {
	t.Parallel()
	i := system.New(t, build.Program(t))
	widenWindow(t, i)
	spy := startSpied(t, i)
	credential := i.Credential(1)
	_, certificate := public(t, i, credential)
	key := wrappedOf(t, i, credential)
	shown, err := i.Portal().Credential.GetCredential(t.Context(), &pb.GetCredentialRequest{CredentialId: credential})
	if err != nil || shown.GetCredential().GetRenewFromTime() == nil {
		t.Errorf("the portal is told %v, %v", shown, err)
	}
	_, err = i.Client("portal-2", pb.Role_ROLE_PORTAL).Enrolment.CreateRenewal(t.Context(), renewalRequest(t, i, credential))
	wantRefusal(t, err, codes.NotFound, "NOT_FOUND", "")

	accept := renewal(t, i, credential)
	before := len(of(usedKeys(t, spy), key))
	a, err := i.Portal().Enrolment.AcceptAgreement(t.Context(), accept)
	if err != nil || a.GetEnrolment().GetState() != pb.EnrolmentState_ENROLMENT_STATE_ISSUED {
		t.Fatalf("%v, %v", a, err)
	}
	uses := of(usedKeys(t, spy), key)[before:]
	if len(uses) != 1 || uses[0].signed != 1 || !uses[0].destroyed {
		t.Errorf("the old key was used %+v, want one C_Sign", uses)
	}
	if _, err := i.Portal().Enrolment.AcceptAgreement(t.Context(), accept); err != nil {
		t.Errorf("the same request again: %v", err)
	}
	judgeRenewal(t, i, accept.GetEnrolmentId(), certificate)

	renewed := a.GetEnrolment().GetCredentialId()
	i.Grant(renewed, "documents")
	_, fresh := public(t, i, renewed)
	if !bytes.Equal(fresh.RawSubject, certificate.RawSubject) || bytes.Equal(fresh.RawSubjectPublicKeyInfo, certificate.RawSubjectPublicKeyInfo) {
		t.Error("the new certificate is not one of the same person with another key")
	}
	for title, c := range map[string]string{"by the old key": credential, "by the new key": renewed} {
		o, code := i.Operation(c, title, raw, "document")
		if _, err := i.Authorize(o.GetId(), code); err != nil {
			t.Errorf("%s: %v", c, err)
		}
	}
	_, err = i.Portal().Enrolment.CreateRenewal(t.Context(), renewalRequest(t, i, renewed))
	wantRefusal(t, err, codes.FailedPrecondition, "NOT_RENEWABLE", "")
	if got := refusalOf(err).metadata["because"]; got != "renewed_before" {
		t.Errorf("because %q", got)
	}
	endRun(t, i)
}

// judgeRenewal has pdfsig judge the agreement of a renewal: the first signature is that of the certificate, the second seals.
func judgeRenewal(t *testing.T, i *system.Installation, enrolment string, certificate *x509.Certificate) {
	t.Helper()
	_, file, err := i.Portal().Agreement(t.Context(), enrolment)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "agreement.pdf")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "pdfsig", "-nocert", path).CombinedOutput()
	said := string(out)
	if strings.Count(said, "Signature Validation: Signature is Valid") != 2 {
		t.Errorf("pdfsig: %v\n%s", err, said)
	}
	first, _, _ := strings.Cut(said, "Signature #2")
	if !strings.Contains(first, certificate.Subject.CommonName) || !strings.Contains(said, "Total document signed") {
		t.Errorf("pdfsig names another signer first, or leaves bytes unsigned:\n%s", said)
	}
	says(t, "No syntax or stream encoding errors found", "qpdf", "--check", path)
}

// TestCrashRenewing kills the server right after the acceptance of a renewal and after each step in which the old key
// signs. After the restart the renewal is complete without anybody being asked again; there is one signature of the old key
// in the log, and each further attempt is an entry.
func TestCrashRenewing(t *testing.T) {
	i := system.New(t, build.Program(t, failpoints))
	widenWindow(t, i)
	i.Start()
	steps := numbered(t, "../../../enrol/renew_sign.go")
	if len(steps) != 3 {
		t.Fatalf("the steps of a renewal are %v; this test knows 1 to 3", steps)
	}
	for n, point := range []struct {
		sequence string
		step     int
		resumed  int // attempts of the old key after the first
	}{{"issue", 1, 1}, {"renew", 1, 1}, {"renew", 2, 1}, {"renew", 3, 0}, {"issue", 2, 0}, {"issue", 4, 0}, {"issue", 8, 0}} {
		t.Run(fmt.Sprintf("%s step %d", point.sequence, point.step), func(t *testing.T) {
			i.Within(t)
			credential := i.Credential(n)
			_, certificate := public(t, i, credential)
			accept := renewal(t, i, credential)
			objects := tokenObjects(t, i)
			from := logSize(t, i)
			i.Stop()
			i.Start(failpoint(point.sequence, point.step))
			if a, err := i.Portal().Enrolment.AcceptAgreement(t.Context(), accept); err == nil {
				t.Fatalf("answered %v although the server was to die", a)
			}
			i.AwaitEnd()
			i.Start()
			e, err := i.Portal().Enrolment.GetEnrolment(t.Context(), &pb.GetEnrolmentRequest{EnrolmentId: accept.GetEnrolmentId()})
			if err != nil || e.GetEnrolment().GetState() != pb.EnrolmentState_ENROLMENT_STATE_ISSUED {
				t.Fatalf("after the restart: %v, %v", e.GetEnrolment().GetState(), err)
			}
			number := map[string]int{}
			for _, entry := range entries(t, i, from) {
				_, event, err := audit.Decode(entry)
				if err != nil {
					t.Fatal(err)
				}
				number[audit.Kind(event)]++
			}
			for kind, want := range map[string]int{
				"agreement.accepted": 1, "signing.activated": 1, "signing.signed": 1, "signing.resumed": point.resumed, "signing.withheld": 0,
				"agreement.sealed": 1, "key.generated": 1, "certificate.issued": 1, "code.accepted": 1, "code.requested": 0,
			} {
				if number[kind] != want {
					t.Errorf("%d entries %s, want %d", number[kind], kind, want)
				}
			}
			judgeRenewal(t, i, accept.GetEnrolmentId(), certificate)
			if now := tokenObjects(t, i); !maps.Equal(now, objects) {
				t.Errorf("the token holds other objects than before: %d, were %d", len(now), len(objects))
			}
		})
	}
	endRun(t, i)
}

// TestRestoreEndsAPendingRenewal restores a backup that was made between the acceptance of a renewal and its signature: with
// the epoch what authorised the signature ended, so nothing may wait for it for ever.
func TestRestoreEndsAPendingRenewal(t *testing.T) {
	t.Parallel()
	i := system.New(t, build.Program(t, failpoints))
	widenWindow(t, i)
	i.Start()
	credential := i.Credential(1)
	accept := renewal(t, i, credential)
	i.Stop()
	i.Start(failpoint("renew", 1))
	if a, err := i.Portal().Enrolment.AcceptAgreement(t.Context(), accept); err == nil {
		t.Fatalf("answered %v although the server was to die", a)
	}
	i.AwaitEnd()
	backup := backedUp(t, i)
	report := restored(t, i, backup, loseDatabase(t, i))
	if len(report.Lost) != 1 || report.Lost[0].ID != accept.GetEnrolmentId() {
		t.Errorf("lost is %v", report.Lost)
	}
	i.Start()
	e, err := i.Portal().Enrolment.GetEnrolment(t.Context(), &pb.GetEnrolmentRequest{EnrolmentId: accept.GetEnrolmentId()})
	if err != nil || e.GetEnrolment().GetState() != pb.EnrolmentState_ENROLMENT_STATE_CANCELLED {
		t.Errorf("after the restore: %v, %v", e, err)
	}
	o, code := i.Operation(credential, "after the restore", raw, "one")
	if _, err := i.Authorize(o.GetId(), code); err != nil {
		t.Error(err)
	}
	i.Stop()
	if said := i.VerifyLog(); !strings.Contains(said, "0 findings") {
		t.Errorf("the log verifier said:\n%s", said)
	}
	if strings.Contains(i.Stderr.String(), "ALARM") {
		t.Error("the engine alarms")
	}
}
