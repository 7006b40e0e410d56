package server

import (
	"context"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/enrol"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// A portal gets the evidence of its own enrolments alone, an officer that of any.
func TestEvidenceOfWhom(t *testing.T) {
	e := serve(t)
	for role, want := range map[pb.Role]string{pb.Role_ROLE_PORTAL: "of portal", pb.Role_ROLE_OFFICER: "of "} {
		c := pb.NewEnrolmentServiceClient(e.as(RoleName(role), role))
		r, err := c.GetEnrolmentEvidence(within(t), &pb.GetEnrolmentEvidenceRequest{EnrolmentId: "enr-1"})
		if err != nil || string(r.GetEvidence()) != want {
			t.Errorf("%s: %q, %v", role, r.GetEvidence(), err)
		}
	}
}

// Who typed too many wrong vouchers is told how long to wait, and a missing consent by its name.
func TestRefusalsSayWhatIsLeft(t *testing.T) {
	e := serve(t)
	c := pb.NewEnrolmentServiceClient(e.as("portal", pb.Role_ROLE_PORTAL))
	e.on(func(context.Context, string) error { return &enrol.GuessError{Wait: 123 * time.Second} })
	_, err := c.CreateEnrolment(within(t), &pb.CreateEnrolmentRequest{RequestId: requestID, VoucherCode: "Z", Language: "uk"})
	wantReason(t, err, codes.ResourceExhausted, ReasonVoucherRate)
	if r, ok := detail[*errdetails.RetryInfo](err); !ok || r.GetRetryDelay().AsDuration() != 123*time.Second {
		t.Errorf("retry after %v", r.GetRetryDelay().AsDuration())
	}
	e.on(func(context.Context, string) error {
		return &enrol.ConsentError{Missing: []string{"device", "records"}}
	})
	_, err = c.AcceptAgreement(within(t), &pb.AcceptAgreementRequest{
		RequestId: requestID, EnrolmentId: "enr-1", AgreementSha256: make([]byte, 32), Code: "123456",
	})
	wantReason(t, err, codes.FailedPrecondition, ReasonConsent)
	if info, ok := detail[*errdetails.ErrorInfo](err); !ok || info.GetMetadata()["missing"] != "device records" {
		t.Errorf("metadata %v", info.GetMetadata())
	}
	if fields := fieldsOf(err); len(fields) != 1 || fields[0] != "consents" {
		t.Errorf("fields %v", fields)
	}
}

// What was proven of an organisation reaches the use case.
func TestProvenOrganisationCrossesTheEdge(t *testing.T) {
	e := serve(t)
	c := pb.NewEnrolmentServiceClient(e.as("identity", pb.Role_ROLE_IDENTITY))
	_, err := c.ReportIdentityResult(within(t), &pb.ReportIdentityResultRequest{
		RequestId: requestID, EnrolmentId: "enr-1", Reference: "idp-1", Outcome: pb.IdentityOutcome_IDENTITY_OUTCOME_POSITIVE,
		IdentifierType: pb.IdentifierType_IDENTIFIER_TYPE_PAS, CompleteTime: timestamppb.Now(),
		ProvenData: &pb.PersonalData{
			GivenName: "Olena", Surname: "Kovalchuk", LocalName: "Олена Ковальчук", Country: "UA", Identifier: "FA123456",
			BirthDate: "1980-05-14", Phone: "+380501234567", Organisation: "ТОВ «Приклад»", OrganisationId: "NTRUA-12345678",
		},
	})
	want := enrol.Person{
		GivenName: "Olena", Surname: "Kovalchuk", LocalName: "Олена Ковальчук", Country: "UA", IdentifierType: "PAS",
		Identifier: "FA123456", Organisation: "ТОВ «Приклад»", OrganisationID: "NTRUA-12345678",
	}
	if err != nil || e.report.Person != want {
		t.Errorf("%+v, %v", e.report.Person, err)
	}
}

// Every word of a product and of the parameters crosses the edge in both directions.
func TestProductsAndParametersCrossTheEdge(t *testing.T) {
	e := serve(t)
	c := pb.NewEnrolmentServiceClient(e.as("portal", pb.Role_ROLE_PORTAL))
	r, err := c.ListProducts(within(t), &pb.ListProductsRequest{})
	if err != nil || len(r.GetProducts()) != 1 {
		t.Fatalf("%v, %v", r, err)
	}
	p := r.GetProducts()[0]
	if p.GetName() != "qes-2y" || p.GetLongestYears() != 2 || p.GetOrganisation() != pb.OrganisationRule_ORGANISATION_RULE_OPTIONAL ||
		len(p.GetAlgorithms()) != 3 || len(p.GetIdentifierTypes()) != 4 {
		t.Errorf("product %v", p)
	}
	for _, kind := range p.GetIdentifierTypes() {
		if kind == 0 || identifierTypeOf(identifierType(kind)) != kind {
			t.Errorf("identifier type %v", kind)
		}
	}
	e.setView(enrol.View{
		Years: 2, IdentifierType: "IDC", Algorithm: credential.RSA3072, ForOrganisation: true, Product: "qes-org-2y", NextText: "Read it.",
		Person:   enrol.Person{Organisation: "Łąka", OrganisationID: "VATPL-9512352379"},
		Consents: []enrol.Consent{{Name: "data", Text: "They are right.", Required: true}, {Name: "publication", Text: "Publish it."}},
		Given:    []string{"data"},
	})
	got, err := c.GetEnrolment(within(t), &pb.GetEnrolmentRequest{EnrolmentId: "enr-1"})
	if err != nil {
		t.Fatal(err)
	}
	v := got.GetEnrolment()
	if !v.GetParameters().GetForOrganisation() || v.GetParameters().GetIdentifierType() != pb.IdentifierType_IDENTIFIER_TYPE_IDC ||
		v.GetProduct() != "qes-org-2y" || v.GetNextText() != "Read it." || v.GetPerson().GetOrganisation() != "Łąka" ||
		v.GetPerson().GetOrganisationId() != "VATPL-9512352379" || len(v.GetConsents()) != 2 || !v.GetConsents()[0].GetRequired() ||
		v.GetConsents()[1].GetRequired() || len(v.GetGivenConsents()) != 1 {
		t.Errorf("enrolment %v", v)
	}
}
