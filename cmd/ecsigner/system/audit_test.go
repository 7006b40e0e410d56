package system_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/system"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
)

// TestAuditCommands reads the log as an auditor does at the command line: listed by filter, followed while a signature is
// made and the server is killed and started again, verified with the log's key; another key is refused.
func TestAuditCommands(t *testing.T) {
	t.Parallel()
	i := system.New(t, build.Program(t))
	i.Start()
	i.Client("auditor", pb.Role_ROLE_AUDITOR)
	profile, key := i.Path("clients", "auditor"), i.Path("pki", "log.vkey")
	credential := i.Credential(1)

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var out lockedBuffer
	follow := exec.CommandContext(ctx, i.Program, "audit", "follow", "--client", profile, "--key", key, "--kind", "signing.signed,service.started")
	follow.Stdout, follow.Stderr = &out, &out
	follow.Cancel = func() error { return follow.Process.Signal(os.Interrupt) }
	if err := follow.Start(); err != nil {
		t.Fatal(err)
	}
	await := func(text string) {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); !strings.Contains(out.String(), text); {
			if time.Now().After(deadline) {
				t.Fatalf("follow did not print %q:\n%s", text, out.String())
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	sign := func(title string) string {
		t.Helper()
		o, code := i.Operation(credential, title, raw, title)
		if _, err := i.Authorize(o.GetId(), code); err != nil {
			t.Fatal(err)
		}
		return o.GetId()
	}
	first := sign("before")
	await(first)
	i.Kill()
	i.Start()
	second := sign("after")
	await(second)
	if n := strings.Count(out.String(), "signing.signed"); n != 2 {
		t.Errorf("two signatures were made, follow printed %d:\n%s", n, out.String())
	}
	stop()
	if err := follow.Wait(); follow.ProcessState.ExitCode() != 0 {
		t.Errorf("follow ended with %v", err)
	}

	list := i.Run("audit list", "--client", profile, "--key", key, "--operation", first)
	for _, kind := range []string{"signing.requested", "code.requested", "code.accepted", "signing.activated", "signing.signed", "notice.sent"} {
		if strings.Count(list, " "+kind+" ") != 1 {
			t.Errorf("the entries of an operation lack %s:\n%s", kind, list)
		}
	}
	if strings.Contains(list, second) || strings.Count(list, "\n") != 6 {
		t.Errorf("the filter let more through:\n%s", list)
	}
	if line := i.Run("audit list", "--client", profile, "--json", "--most", "1"); !strings.HasPrefix(line, `{"v":1,"type":"`) || strings.Count(line, "\n") != 1 {
		t.Errorf("--json --most 1: %q", line)
	}
	other := system.New(t, i.Program)
	if out, err := i.Try("audit list", "--client", profile, "--key", other.Path("pki", "log.vkey")); err == nil {
		t.Errorf("the key of another log is accepted:\n%s", out)
	}
	if out, err := i.Try("audit list", "--client", i.Path("clients", "operator")); err == nil || !strings.Contains(out, "role") {
		t.Errorf("an operator reads the log: %s", out)
	}
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
