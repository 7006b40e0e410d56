package system_test

import (
	"strings"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/client"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/system"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
)

// TestCodeSentAgain: the same code comes in a text of its own, and still signs; a new one that is wished voids it.
func TestCodeSentAgain(t *testing.T) {
	t.Parallel()
	i := system.New(t, build.Program(t))
	i.Start()
	o, code := i.Operation(i.Credential(1), "contract", raw, "document")
	send := func(fresh bool) (*pb.SentCode, error) {
		a, err := i.Documents().Signing.SendCode(i.Context(), &pb.SendCodeRequest{RequestId: client.RequestID(), OperationId: o.GetId(), NewCode: fresh})
		return a.GetSentCode(), err
	}
	again, err := send(false)
	if err != nil || again.GetNumber() != 1 || again.GetSentCount() != 2 {
		t.Fatalf("%v, %v", again, err)
	}
	if second := i.Code("sign", "\"contract\""); second != code {
		t.Errorf("the text that was sent again says %s, the first %s", second, code)
	}
	if last, err := send(false); err != nil || !last.GetExpireTime().AsTime().Equal(again.GetExpireTime().AsTime()) {
		t.Errorf("%v, %v", last, err)
	}
	if _, err := send(false); refusalOf(err).reason != "CODE_SENT_OFTEN" {
		t.Errorf("a fourth text of one code: %v", err)
	}
	i.Code("sign", "\"contract\"")
	fresh, err := send(true)
	if err != nil || fresh.GetNumber() != 2 || fresh.GetSentCount() != 1 {
		t.Fatalf("%v, %v", fresh, err)
	}
	next := i.Code("sign", "\"contract\"")
	if next != code {
		if _, err := i.Authorize(o.GetId(), code); refusalOf(err).reason != "CODE_REJECTED" {
			t.Errorf("the voided code: %v", err)
		}
	}
	if _, err := i.Authorize(o.GetId(), next); err != nil {
		t.Error(err)
	}
	if notice := i.Message("signed", `"contract"`); !strings.HasPrefix(notice, `Your signature was used for "Client documents": "contract", documents: 1, 20`) {
		t.Errorf("the notice says %q", notice)
	}
}

// TestTextBudget: so many texts with codes go to one number in a day, and no restart begins the day anew. Others get theirs.
func TestTextBudget(t *testing.T) {
	t.Parallel()
	i := system.New(t, build.Program(t), "--budget", "5")
	i.Start()
	one, two := i.Credential(1), i.Credential(2) // two texts each
	i.Operation(one, "third", raw, "document")
	o, _ := i.Operation(one, "fourth", raw, "document")
	create := func() error {
		_, err := i.Documents().Signing.CreateSigningOperation(i.Context(), &pb.CreateSigningOperationRequest{
			RequestId: client.RequestID(), CredentialId: one, Title: "another", Language: "uk", HighValue: true,
			Items: []*pb.SigningItemRequest{{Source: &pb.SigningItemRequest_Sha256{Sha256: make([]byte, 32)}, Format: raw}},
		})
		return err
	}
	if err := create(); err != nil {
		t.Fatalf("the fifth text: %v", err)
	}
	if code := i.Code("sign", "«another»"); len(code) != 8 {
		t.Errorf("a code of high value is %s", code)
	}
	refused := func() {
		t.Helper()
		_, again := i.Documents().Signing.SendCode(i.Context(), &pb.SendCodeRequest{RequestId: client.RequestID(), OperationId: o.GetId()})
		for _, err := range []error{create(), again} {
			r := refusalOf(err)
			after := retryOf(err)
			if r.reason != "TEXTS_EXHAUSTED" || after > 24*time.Hour || after < 23*time.Hour {
				t.Errorf("a sixth text: %v, after %v", err, after)
			}
		}
	}
	refused()
	i.Operation(two, "of another person", raw, "document")
	i.Stop()
	db := newWriter(t, i)
	for _, table := range []string{"challenges", "requests", "locks", "outbox", "deliveries"} {
		if _, err := db.Exec("DELETE FROM " + table); err != nil {
			t.Fatal(err)
		}
	}
	i.Start()
	if err := create(); refusalOf(err).reason != "TEXTS_EXHAUSTED" {
		t.Errorf("after a restart without rows: %v", err)
	}
}

// retryOf is when a call may be repeated.
func retryOf(err error) time.Duration {
	for _, d := range status.Convert(err).Details() {
		if r, ok := d.(*errdetails.RetryInfo); ok {
			return r.GetRetryDelay().AsDuration()
		}
	}
	return 0
}
