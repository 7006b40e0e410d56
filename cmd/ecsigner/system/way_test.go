package system_test

import (
	"strings"
	"testing"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/system"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
)

// TestWholeWay walks once from voucher to signature over a server built with the race detector.
func TestWholeWay(t *testing.T) {
	i := system.New(t, build.Program(t, "-race"))
	i.Start()
	credential := i.Credential(1)
	o, code := i.Operation(credential, "contract", pb.SignatureFormat_SIGNATURE_FORMAT_RAW, "a", "b")
	signed, err := i.Authorize(o.GetId(), code)
	if err != nil || len(signed.GetItems()) != 2 || len(signed.GetReceipt()) == 0 {
		t.Fatalf("%v, %v", signed, err)
	}
	if code := i.Stop(); code != 0 {
		t.Errorf("the server ended with code %d", code)
	}
	if said := i.VerifyLog(); !strings.Contains(said, "0 findings") {
		t.Errorf("the log verifier said:\n%s", said)
	}
	if strings.Contains(i.Stderr.String(), "DATA RACE") {
		t.Error("the server has a data race")
	}
}
