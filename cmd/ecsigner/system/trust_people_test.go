package system_test

import (
	"testing"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/client"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/system"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"google.golang.org/grpc/codes"
)

// applicant is somebody on the way to a certificate.
type applicant struct {
	id     string
	accept *pb.AcceptAgreementRequest // with the right code; nil before the identity is proven
}

// TestTrustEnrolmentWriter changes enrolments behind the running engine's back, so that a person who was not proven, or
// another one, would get a certificate. Every change is refused and named, nothing is issued; with the records as they
// were, the right code issues.
func TestTrustEnrolmentWriter(t *testing.T) {
	t.Parallel()
	i := system.New(t, build.Program(t))
	i.Start()
	db := newWriter(t, i)

	var unproven, negative applicant
	unproven.id, _ = i.Proofing(11)
	var reference string
	negative.id, reference = i.Proofing(12)
	report := system.Proven(12, negative.id, reference)
	report.Outcome = pb.IdentityOutcome_IDENTITY_OUTCOME_NEGATIVE
	if _, err := i.Identity().Enrolment.ReportIdentityResult(i.Context(), report); err != nil {
		t.Fatal(err)
	}
	ready := func(n int) applicant {
		id, agreement := i.Enrolment(n)
		return applicant{id, i.Accept(id, agreement)}
	}
	one, two := ready(13), ready(14)

	sendCode := func(a applicant) error {
		_, err := i.Portal().Enrolment.SendAgreementCode(i.Context(), &pb.SendAgreementCodeRequest{RequestId: client.RequestID(), EnrolmentId: a.id})
		return err
	}
	accept := func(a applicant) error {
		_, err := i.Portal().Enrolment.AcceptAgreement(i.Context(), a.accept)
		return err
	}
	challenge := func(a applicant) string { return db.get("enrolments", a.id)["challenge"].(string) }

	for _, tt := range []struct {
		name   string
		who    applicant
		change func()
		call   func(applicant) error
		alarm  string
	}{
		{"says proven before there is a result", unproven, func() {
			db.put("enrolments", unproven.id, row{"state": "proven"})
		}, sendCode, "enrolment"},
		{"puts another person's proven record in its place", unproven, func() {
			db.put("enrolments", unproven.id, db.get("enrolments", one.id).pick("record", "seal", "state", "version", "agreement"))
		}, sendCode, "enrolment"},
		{"turns a negative result positive", negative, func() {
			db.replace("enrolments", negative.id, "record", "negative", "positive")
			db.put("enrolments", negative.id, row{"state": "proven"})
		}, sendCode, "enrolment"},
		{"says accepted", one, func() { db.put("enrolments", one.id, row{"state": "issuing"}) }, accept, "enrolment"},
		{"changes the phone", one, func() { db.put("enrolments", one.id, row{"phone": "+380671234567"}) }, accept, "enrolment"},
		{"changes the agreement", one, func() { db.put("enrolments", one.id, row{"agreement": []byte("%PDF-")}) }, accept, "enrolment"},
		{"changes a name in the sealed record", one, func() {
			db.replace("enrolments", one.id, "record", "Olena", "Elena")
		}, accept, "enrolment"},
		{"swaps two persons", one, func() {
			a, b := db.get("enrolments", one.id), db.get("enrolments", two.id)
			db.put("enrolments", one.id, b)
			db.put("enrolments", two.id, a)
		}, accept, "enrolment"},
		{"points to another person's challenge", one, func() {
			db.put("enrolments", one.id, row{"challenge": challenge(two)})
		}, accept, "challenge"},
		{"puts another person's sealed challenge in its place", one, func() {
			db.put("challenges", challenge(one), db.get("challenges", challenge(two)).pick("record", "seal", "expires"))
		}, accept, "challenge"},
		{"lets the code live longer", one, func() {
			db.put("challenges", challenge(one), row{"expires": db.get("challenges", challenge(one))["expires"].(int64) + 1e9})
		}, accept, "challenge"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			i.Within(t)
			from := logLength(i)
			all := [][2]string{
				{"enrolments", unproven.id},
				{"enrolments", negative.id},
				{"enrolments", one.id},
				{"enrolments", two.id},
				{"challenges", challenge(one)},
				{"challenges", challenge(two)},
			}
			before := make([]row, len(all))
			for n, p := range all {
				before[n] = db.get(p[0], p[1])
			}
			tt.change()
			wantTampered(t, tt.call(tt.who))
			entries := logFrom(i, from)
			if count(entries, "integrity.alarm", "record", tt.alarm) == 0 {
				t.Errorf("no alarm about %s stands in the log: %v", tt.alarm, entries)
			}
			if len(entries) != count(entries, "integrity.alarm") {
				t.Errorf("something was done: %v", entries)
			}
			for n, p := range all {
				db.put(p[0], p[1], before[n])
			}
		})
	}

	// What says that it is being issued is resumed at start: not without its seal.
	before := db.get("enrolments", two.id)
	db.put("enrolments", two.id, row{"state": "issuing", "wrapped": []byte("key"), "public_key": []byte("key")})
	i.Stop()
	i.Start()
	db.put("enrolments", two.id, before)
	entries := logFrom(i, 0)
	if count(entries, "integrity.alarm", "subject", two.id) == 0 || count(entries, "certificate.issued") != 0 || count(entries, "key.generated") != 0 {
		t.Errorf("after the restart the log is %v", entries)
	}

	if err := accept(one); err != nil {
		t.Errorf("with the records put back: %v", err)
	}
	if entries := logFrom(i, 0); count(entries, "certificate.issued") != 1 {
		t.Errorf("the log is %v", entries)
	}
}

// TestTrustClients has each kind of client try what is not its own, over the real interface.
func TestTrustClients(t *testing.T) {
	t.Parallel()
	i := system.New(t, build.Program(t))
	i.Start()
	credential := i.Credential(1)
	o, code := i.Operation(credential, "contract", raw, "contract")
	id, reference := i.Proofing(2)
	other := i.Client("other-documents", pb.Role_ROLE_DOCUMENTS)
	authorize := func(c *client.Conn) error {
		_, err := c.Signing.AuthorizeSigningOperation(i.Context(), &pb.AuthorizeSigningOperationRequest{
			RequestId: client.RequestID(), OperationId: o.GetId(), Code: code,
		})
		return err
	}
	create := func(c *client.Conn, credential string) error {
		_, err := c.Signing.CreateSigningOperation(i.Context(), &pb.CreateSigningOperationRequest{
			RequestId: client.RequestID(), CredentialId: credential, Title: "theirs", Language: "en",
			Items: []*pb.SigningItemRequest{{Source: &pb.SigningItemRequest_Sha256{Sha256: make([]byte, 32)}, Format: raw}},
		})
		return err
	}
	report := func(c *client.Conn, edit func(*pb.ReportIdentityResultRequest)) error {
		r := system.Proven(2, id, reference)
		edit(r)
		_, err := c.Enrolment.ReportIdentityResult(i.Context(), r)
		return err
	}
	as := func(*pb.ReportIdentityResultRequest) {}

	from := logLength(i)
	for _, tt := range []struct {
		name   string
		err    error
		code   codes.Code
		reason string
	}{
		{"the portal signs", authorize(i.Portal()), codes.PermissionDenied, "ROLE_NOT_ALLOWED"},
		{"the portal asks for a signature", create(i.Portal(), credential), codes.PermissionDenied, "ROLE_NOT_ALLOWED"},
		{"the operator signs", authorize(i.Operator()), codes.PermissionDenied, "ROLE_NOT_ALLOWED"},
		{"the operator asks for a signature", create(i.Operator(), credential), codes.PermissionDenied, "ROLE_NOT_ALLOWED"},
		{"the identity provider signs", authorize(i.Identity()), codes.PermissionDenied, "ROLE_NOT_ALLOWED"},
		{"the portal reports a result", report(i.Portal(), as), codes.PermissionDenied, "ROLE_NOT_ALLOWED"},
		{"the operator reports a result", report(i.Operator(), as), codes.PermissionDenied, "ROLE_NOT_ALLOWED"},
		{"another provider reports a result", report(i.Client("other-identity", pb.Role_ROLE_IDENTITY), as), codes.NotFound, "NOT_FOUND"},
		{"the result is for another proofing", report(i.Identity(), func(r *pb.ReportIdentityResultRequest) {
			r.Reference += "x"
		}), codes.NotFound, "NOT_FOUND"},
		{"another document system signs with the right code", authorize(other), codes.NotFound, "NOT_FOUND"},
		{"another document system uses the credential", create(other, credential), codes.FailedPrecondition, "CREDENTIAL_UNUSABLE"},
		{"another document system uses no credential at all", create(other, "cred-none"), codes.FailedPrecondition, "CREDENTIAL_UNUSABLE"},
	} {
		t.Run(tt.name, func(t *testing.T) { wantRefusal(t, tt.err, tt.code, tt.reason, "") })
	}
	// Foreign and unknown answer alike, to the letter.
	if a, b := create(other, credential), create(other, "cred-none"); a.Error() != b.Error() {
		t.Errorf("a foreign credential answers %v, an unknown one %v", a, b)
	}
	// Another phone or another person that was proven issues nothing, and what differs is in the log.
	otherID, otherReference := i.Proofing(3)
	for _, r := range []struct {
		report *pb.ReportIdentityResultRequest
		edit   func(d *pb.PersonalData)
		want   pb.EnrolmentState
	}{
		{system.Proven(2, id, reference), func(d *pb.PersonalData) { d.Phone = "+380671234567" }, pb.EnrolmentState_ENROLMENT_STATE_DATA},
		{system.Proven(3, otherID, otherReference), func(d *pb.PersonalData) { d.Surname = "Somebody" }, pb.EnrolmentState_ENROLMENT_STATE_REVIEW},
	} {
		r.edit(r.report.GetProvenData())
		if a, err := i.Identity().Enrolment.ReportIdentityResult(i.Context(), r.report); err != nil || a.GetState() != r.want {
			t.Errorf("the proofing proved something else: %v, %v; want %v", a, err, r.want)
		}
		_, err := i.Portal().Enrolment.AcceptAgreement(i.Context(), &pb.AcceptAgreementRequest{
			RequestId: client.RequestID(), EnrolmentId: r.report.GetEnrolmentId(), AgreementSha256: make([]byte, 32), Code: "123456",
		})
		wantRefusal(t, err, codes.FailedPrecondition, "WRONG_STATE", "")
	}
	entries := logFrom(i, from)
	for _, kind := range []string{"signing.requested", "signing.activated", "signing.signed", "key.generated"} {
		if n := count(entries, kind); n != 0 {
			t.Errorf("the log has %d times %s: %v", n, kind, entries)
		}
	}
	if all, differ := count(entries, "identity.reported"), count(entries, "identity.reported", "outcome", "differs"); all != 2 || differ != 2 {
		t.Errorf("of %d reports in the log %d say that they differ: %v", all, differ, entries)
	}
	if _, err := i.Authorize(o.GetId(), code); err != nil {
		t.Errorf("its own document system is refused: %v", err)
	}
}
