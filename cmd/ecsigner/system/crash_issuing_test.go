package system_test

import (
	"fmt"
	"maps"
	"testing"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/system"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
)

// TestCrashIssuing kills the server right after each numbered step of issuing. The acceptance is never lost and never
// asked for again; after the restart there is one key, one certificate and one credential, and it signs.
func TestCrashIssuing(t *testing.T) {
	i := system.New(t, build.Program(t, "-tags=failpoint"))
	i.Start()
	i.Credential(0)
	objects := tokenObjects(t, i)
	steps := numbered(t, "../../../enrol/issue.go")
	if len(steps) != 8 || steps[len(steps)-1] != 8 {
		t.Fatalf("the steps of issuing are %v; this test knows 1 to 8", steps)
	}
	for _, step := range steps {
		t.Run(fmt.Sprintf("step %d", step), func(t *testing.T) {
			i.Within(t)
			id, agreement := i.Enrolment(step)
			accept := i.Accept(id, agreement)
			from := logSize(t, i)
			i.Stop()

			i.Start(failpoint("issue", step))
			if a, err := i.Portal().Enrolment.AcceptAgreement(i.Context(), accept); err == nil {
				t.Fatalf("answered %v although the server was to die", a)
			}
			i.AwaitEnd()
			i.Start()

			e, err := i.Portal().Enrolment.GetEnrolment(i.Context(), &pb.GetEnrolmentRequest{EnrolmentId: id})
			if err != nil || e.GetEnrolment().GetState() != pb.EnrolmentState_ENROLMENT_STATE_ISSUED {
				t.Fatalf("after the restart: %v, %v", e.GetEnrolment().GetState(), err)
			}
			again, err := i.Portal().Enrolment.AcceptAgreement(i.Context(), accept)
			if err != nil || again.GetEnrolment().GetCredentialId() != e.GetEnrolment().GetCredentialId() {
				t.Errorf("the same request again: %v, %v", again, err)
			}
			count := map[string]int{}
			for _, entry := range entries(t, i, from) {
				_, event, err := audit.Decode(entry)
				if err != nil {
					t.Fatal(err)
				}
				count[audit.Kind(event)]++
			}
			for _, kind := range []string{"agreement.accepted", "agreement.sealed", "key.generated", "certificate.intended", "certificate.issued", "binding.changed"} {
				if count[kind] != 1 {
					t.Errorf("%d entries %s, want one", count[kind], kind)
				}
			}
			credential := e.GetEnrolment().GetCredentialId()
			i.Grant(credential, "documents")
			o, code := i.Operation(credential, fmt.Sprintf("after step %d", step), pb.SignatureFormat_SIGNATURE_FORMAT_RAW, "x")
			if _, err := i.Authorize(o.GetId(), code); err != nil {
				t.Errorf("the credential does not sign: %v", err)
			}
			if now := tokenObjects(t, i); !maps.Equal(now, objects) {
				t.Errorf("the token holds other objects than before: %d, were %d", len(now), len(objects))
			}
		})
	}
	endRun(t, i)
}
