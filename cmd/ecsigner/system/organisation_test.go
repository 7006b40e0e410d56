package system_test

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/client"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/system"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// TestOrganisationWay goes from a voucher of a product for organisations, made by the command, to a certificate that names
// person and organisation, and exports the evidence of the agreement.
func TestOrganisationWay(t *testing.T) {
	t.Parallel()
	i := system.New(t, build.Program(t))
	i.Start()
	portal, ctx := i.Portal(), i.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	voucher := strings.TrimSpace(i.Run("voucher create", "--client", i.Path("clients", "operator"), "--product", "qes-org-1y"))
	e, err := portal.Enrolment.CreateEnrolment(ctx, &pb.CreateEnrolmentRequest{
		RequestId: client.RequestID(), VoucherCode: voucher, Language: "pl", PersonKey: "visitor-1",
	})
	must(err)
	id := e.GetEnrolment().GetId()
	if got := e.GetEnrolment(); got.GetProduct() != "qes-org-1y" || got.GetNextText() == "" {
		t.Errorf("product %q, next %q", got.GetProduct(), got.GetNextText())
	}
	parameters := &pb.CertificateParameters{
		Years: 1, IdentifierType: pb.IdentifierType_IDENTIFIER_TYPE_IDC, Algorithm: pb.KeyAlgorithm_KEY_ALGORITHM_ECDSA_P256_SHA256,
	}
	_, err = portal.Enrolment.SetParameters(ctx, &pb.SetParametersRequest{RequestId: client.RequestID(), EnrolmentId: id, Parameters: parameters})
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("without an organisation: %v", err)
	}
	parameters.ForOrganisation = true
	_, err = portal.Enrolment.SetParameters(ctx, &pb.SetParametersRequest{RequestId: client.RequestID(), EnrolmentId: id, Parameters: parameters})
	must(err)
	data := &pb.PersonalData{
		GivenName: "Zażółć", Surname: "Jaźń-Łęcka", LocalName: "Zażółć Jaźń-Łęcka", Country: "PL", Identifier: "ABA300000",
		BirthDate: "1980-05-14", Phone: "+48501234567", Organisation: "Przykład sp. z o.o.", OrganisationId: "VATPL-9512352379",
	}
	_, err = portal.Enrolment.SetPersonalData(ctx, &pb.SetPersonalDataRequest{RequestId: client.RequestID(), EnrolmentId: id, PersonalData: data})
	must(err)
	_, err = portal.Enrolment.SendPhoneCode(ctx, &pb.SendPhoneCodeRequest{RequestId: client.RequestID(), EnrolmentId: id})
	must(err)
	_, err = portal.Enrolment.ConfirmPhone(ctx, &pb.ConfirmPhoneRequest{RequestId: client.RequestID(), EnrolmentId: id, Code: i.Code("phone", "")})
	must(err)
	i.Identity()
	p, err := portal.Enrolment.StartIdentityProofing(ctx, &pb.StartIdentityProofingRequest{RequestId: client.RequestID(), EnrolmentId: id, Provider: "identity"})
	must(err)
	_, err = i.Identity().Enrolment.ReportIdentityResult(ctx, &pb.ReportIdentityResultRequest{
		RequestId: client.RequestID(), EnrolmentId: id, Reference: p.GetEnrolment().GetProofingReference(),
		Outcome: pb.IdentityOutcome_IDENTITY_OUTCOME_POSITIVE, ProvenData: data,
		IdentifierType: pb.IdentifierType_IDENTIFIER_TYPE_IDC, Evidence: []byte("evidence"), CompleteTime: timestamppb.Now(),
	})
	must(err)
	_, pdf, err := portal.Agreement(ctx, id)
	must(err)
	sum := sha256.Sum256(pdf)
	accept := i.Accept(id, sum[:])
	accept.Consents = append(system.Consents(), "subscriber", "publication")
	accept.Context = &pb.AcceptanceContext{Address: "192.0.2.7", UserAgent: "Mozilla/5.0", Session: "s-1"}
	a, err := portal.Enrolment.AcceptAgreement(ctx, accept)
	must(err)
	if a.GetEnrolment().GetState() != pb.EnrolmentState_ENROLMENT_STATE_ISSUED {
		t.Fatalf("state %v", a.GetEnrolment().GetState())
	}
	c, err := i.Operator().Credential.GetCredential(ctx, &pb.GetCredentialRequest{CredentialId: a.GetEnrolment().GetCredentialId()})
	must(err)
	leaf, err := x509.ParseCertificate(c.GetCredential().GetCertificateChain()[0])
	must(err)
	for _, want := range []string{"O=Przykład sp. z o.o.", "SERIALNUMBER=IDCPL-ABA300000", "2.5.4.97="} {
		if !strings.Contains(leaf.Subject.String(), want) {
			t.Errorf("subject %s lacks %s", leaf.Subject, want)
		}
	}

	out := filepath.Join(t.TempDir(), "evidence")
	said := i.Run("enrolment evidence", "--client", i.Path("clients", "portal"), "--out", out, id)
	record, err := os.ReadFile(filepath.Join(out, "evidence.json"))
	must(err)
	digest := sha256.Sum256(record)
	var evidence struct {
		Document struct{ SHA256 string }
		Consents []struct {
			Name  string
			Given bool
		}
	}
	must(json.Unmarshal(record, &evidence))
	if !strings.Contains(said, hex.EncodeToString(digest[:])) || evidence.Document.SHA256 != hex.EncodeToString(sum[:]) || len(evidence.Consents) != 6 {
		t.Errorf("%s\n%+v", said, evidence)
	}
	for _, c := range evidence.Consents {
		if !c.Given {
			t.Errorf("consent %s was given", c.Name)
		}
	}
	i.Stop()
	i.VerifyLog()
	entries, err := filepath.Glob(i.Path("data", "log", "tile", "entries", "*"))
	must(err)
	found := false
	for _, name := range entries {
		err := filepath.Walk(name, func(path string, info os.FileInfo, err error) error {
			if err != nil || info.IsDir() {
				return err
			}
			b, err := os.ReadFile(path)
			found = found || strings.Contains(string(b), `"consents":"data obligations device records publication subscriber","evidence":"`+hex.EncodeToString(digest[:]))
			return err
		})
		must(err)
	}
	if !found {
		t.Error("the log does not hold consents and evidence")
	}
}

// TestVoucherGuessesSurviveAStart: who typed ten wrong codes waits, also when the service was started anew in between.
func TestVoucherGuessesSurviveAStart(t *testing.T) {
	t.Parallel()
	i := system.New(t, build.Program(t))
	i.Start()
	v, err := i.Operator().Admin.CreateVouchers(i.Context(), &pb.CreateVouchersRequest{
		RequestId: client.RequestID(), Product: "qes-1y", Count: 2, ExpireTime: timestamppb.New(time.Now().AddDate(1, 0, 0)),
	})
	if err != nil {
		t.Fatal(err)
	}
	redeem := func(code, person string) error {
		_, err := i.Portal().Enrolment.CreateEnrolment(i.Context(), &pb.CreateEnrolmentRequest{
			RequestId: client.RequestID(), VoucherCode: code, Language: "en", PersonKey: person,
		})
		return err
	}
	for range 10 {
		if err := redeem("0000-0000-0000-0000-0000", "visitor-1"); status.Code(err) != codes.NotFound {
			t.Fatal(err)
		}
	}
	for _, when := range []string{"before", "after"} {
		if err := redeem(v.GetCodes()[0], "visitor-1"); status.Code(err) != codes.ResourceExhausted {
			t.Errorf("%s a new start: %v", when, err)
		}
		if when == "before" {
			i.Stop()
			i.Start()
		}
	}
	if err := redeem(v.GetCodes()[1], "visitor-2"); err != nil {
		t.Errorf("another person: %v", err)
	}
}
