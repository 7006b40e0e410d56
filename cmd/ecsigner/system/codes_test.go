package system_test

import (
	"strings"
	"testing"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/client"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/system"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
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
