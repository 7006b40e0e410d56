package system_test

import (
	"os"
	"strings"
	"testing"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/client"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/system"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/proto"
)

// movedToken takes the token away from a running server, and gives it back.
type movedToken struct {
	i    *system.Installation
	path string
}

func (k movedToken) away(t *testing.T) {
	t.Helper()
	if err := os.Rename(k.path, k.path+".away"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Rename(k.path+".away", k.path) }) // also where the test ends early
}

// back waits until the server has found the token again; it is not restarted.
func (k movedToken) back(t *testing.T) {
	t.Helper()
	if err := os.Rename(k.path+".away", k.path); err != nil {
		t.Fatal(err)
	}
	await(t, "the HSM is found again", func() bool {
		h, err := healthpb.NewHealthClient(k.i.Documents()).Check(t.Context(), &healthpb.HealthCheckRequest{Service: "hsm"})
		return err == nil && h.GetStatus() == healthpb.HealthCheckResponse_SERVING
	})
}

// TestHSMGoneEnrolling takes the token away before each step of enrolment. What needs it is refused with a clear reason and
// leaves nothing; once it is back the same request goes through, without a restart.
func TestHSMGoneEnrolling(t *testing.T) {
	t.Parallel()
	i := system.New(t, build.Program(t))
	i.Start()
	i.Credential(0)
	k := movedToken{i, i.Path("softhsm", "tokens")}
	w := &walk{i: i, person: 300, voucher: i.Vouchers(1)[0], objects: tokenObjects(t, i)}
	refused := 0
	for _, s := range enrolmentSteps() {
		t.Run(s.name, func(t *testing.T) {
			i.Within(t)
			w.t = t
			mark, texts := logSize(t, i), w.texts()
			k.away(t)
			got, err := s.call(w)
			switch {
			case err != nil && reason(err) != "HSM_UNAVAILABLE":
				t.Errorf("refused with %s: %v", reason(err), err)
			case err != nil:
				refused++
				if left := kinds(t, i, mark); left != "" {
					t.Errorf("a refusal left %q in the log", left)
				}
			case s.name == "accept":
				if e := got.(*pb.Enrolment); e.GetState() != pb.EnrolmentState_ENROLMENT_STATE_ISSUING {
					t.Errorf("a certificate without a token: %v", e)
				}
			}
			k.back(t)
			await(t, "the same request goes through", func() bool {
				got, err = s.call(w)
				return err == nil && (s.name != "accept" || got.(*pb.Enrolment).GetState() == pb.EnrolmentState_ENROLMENT_STATE_ISSUED)
			})
			again, err := s.call(w)
			if err != nil || !proto.Equal(got, again) {
				t.Errorf("the same request once more: %v, %v; was %v", again, err, got)
			}
			w.last = again.(*pb.Enrolment)
			w.id = w.last.GetId()
			if got, want := kinds(t, i, mark), strings.TrimSpace(s.entries+" "+s.resumed); got != want {
				t.Errorf("the log tells %q, want %q", got, want)
			}
			w.told(s, texts)
			w.residue()
		})
		if t.Failed() {
			return
		}
	}
	if refused < 5 {
		t.Errorf("only %d steps needed the token", refused)
	}
	i.Within(t)
	endRun(t, i)
}

// TestHSMGoneSigning takes the token away before an operation is made, before its code comes, and while nobody asks. New
// connections fail, which the log tells; once it is back everything goes on, without a restart.
func TestHSMGoneSigning(t *testing.T) {
	t.Parallel()
	i := system.New(t, build.Program(t, failpoints))
	i.Start()
	credential := i.Credential(1)
	vkey, certificate := public(t, i, credential)
	k := movedToken{i, i.Path("softhsm", "tokens")}
	mark := logSize(t, i)

	k.away(t)
	r := hashes(credential, "tokenless", "document")
	_, err := i.Documents().Signing.CreateSigningOperation(t.Context(), r)
	if err != nil && reason(err) != "HSM_UNAVAILABLE" {
		t.Errorf("refused with %s: %v", reason(err), err)
	}
	k.back(t)
	a, err := i.Documents().Signing.CreateSigningOperation(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	id, code := a.GetOperation().GetId(), i.Code("sign", "“tokenless”")

	k.away(t)
	for range 3 {
		o, err := i.Authorize(id, code)
		if got := reason(err); err == nil || got != "HSM_UNAVAILABLE" && got != "SIGNING_IN_PROGRESS" {
			t.Fatalf("signed without a token: %v, %s", o, got)
		}
	}
	stranger, err := client.Dial(i.Path("clients", "documents"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stranger.Close() }()
	get := &pb.GetSigningOperationRequest{OperationId: id}
	if o, err := stranger.Signing.GetSigningOperation(t.Context(), get); err == nil {
		t.Errorf("a new connection without the server's key: %v", o)
	}
	await(t, "the server tells of the handshake", func() bool {
		return strings.Contains(i.Stderr.String(), "connection refused: the key of the server's certificate cannot be used")
	})
	if a, err := i.Documents().Signing.GetSigningOperation(t.Context(), get); err != nil || len(a.GetOperation().GetItems()[0].GetSignature()) > 0 {
		t.Errorf("an old connection: %v, %v", a, err)
	}
	k.back(t)
	stranger.ResetConnectBackoff()
	await(t, "new connections are served", func() bool {
		_, err := stranger.Signing.GetSigningOperation(t.Context(), get)
		return err == nil
	})
	o, err := resumed(t, i, id, "")
	if err != nil {
		t.Fatal(err)
	}
	judge(t, vkey, certificate, o)
	if n := count(logFrom(i, mark), "signing.signed"); n != 1 {
		t.Errorf("%d entries of signatures", n)
	}

	// Nobody asks while it is away: the next one finds out, and all goes on.
	k.away(t)
	k.back(t)
	next, code := i.Operation(credential, "afterwards", raw, "document")
	await(t, "the next signature", func() bool {
		o, err = i.Authorize(next.GetId(), code)
		return err == nil
	})
	judge(t, vkey, certificate, o)
	endRun(t, i)
}
