package system_test

import (
	"strings"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/system"
)

// TestQuietEntriesArePublished: what happens in a quiet installation, without a signature or a certificate, stands in
// the published log soon, so that a copy of it elsewhere lacks nothing.
func TestQuietEntriesArePublished(t *testing.T) {
	t.Parallel()
	i := system.New(t, build.Program(t))
	i.Start()
	i.Run("voucher create", "--client", i.Path("clients", "operator"))
	deadline := time.Now().Add(20 * time.Second)
	for {
		said, err := i.Try("audit verify", "--key", i.Path("pki", "log.vkey"), i.Path("data", "log"))
		if err == nil && strings.Contains(said, "voucher.created") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the voucher is not in the published log: %v\n%s", err, said)
		}
		time.Sleep(100 * time.Millisecond)
	}
}
