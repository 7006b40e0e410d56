package system_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/system"
	"github.com/ecsigner/ecsigner/signer/tsp/tsptest"
)

// terminal runs a command that asks for a code, which it gets on its standard input once the text has come.
type terminal struct {
	t   *testing.T
	cmd *exec.Cmd
	in  interface{ Write([]byte) (int, error) }
	out *system.Output
}

func begin(t *testing.T, i *system.Installation, args ...string) *terminal {
	t.Helper()
	c := &terminal{t: t, cmd: exec.Command(i.Program, args...), out: &system.Output{}}
	in, err := c.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.in, c.cmd.Stdout, c.cmd.Stderr = in, c.out, c.out
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.cmd.Process.Kill() })
	return c
}

func (c *terminal) until(text string) {
	c.t.Helper()
	for end := time.Now().Add(20 * time.Second); !strings.Contains(c.out.String(), text); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			c.t.Fatalf("waiting for %q: %s", text, c.out)
		}
	}
}

func (c *terminal) end(ok bool) {
	c.t.Helper()
	if err := c.cmd.Wait(); (err == nil) != ok {
		c.t.Fatalf("%v\n%s", err, c.out)
	}
}

// TestSignFolder signs a folder under one code at B-LTA; the command is killed while it asks for the code, and once more while
// the levels are made, and goes on each time. Then a result is augmented.
func TestSignFolder(t *testing.T) {
	s := newSignings(t)
	s.i.Documents()
	tsa := withAuthority(t, s.i)
	tsa.Misbehave(tsptest.Faults{Status: 503})
	s.i.Start()
	folder, out := t.TempDir(), filepath.Join(t.TempDir(), "signed")
	for n := range 3 {
		write(t, filepath.Join(folder, fmt.Sprintf("contract-%d.pdf", n)), string(s.contract), 0o600)
	}
	write(t, filepath.Join(folder, "notes.txt"), "not a PDF", 0o600)
	profile := s.i.Path("clients", "documents")
	args := []string{
		"sign", folder, "--out", out, "--credential", s.credential, "--title", "A folder", "--language", "en", "--level", "B-LTA",
		"--reason", "because", "--visible", "last:top-left", "--wait", "2s", "--client", profile,
	}
	mark := logSize(t, s.i)
	first := begin(t, s.i, args...)
	first.until("code from the phone")
	if err := first.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.cmd.Wait()
	code := s.i.Code("sign", "“A folder”")

	second := begin(t, s.i, args...)
	second.until("code from the phone")
	if _, err := fmt.Fprintln(second.in, code); err != nil {
		t.Fatal(err)
	}
	second.end(false) // the authority is down, and it waits for two seconds alone
	if !strings.Contains(second.out.String(), "going on with the run") || !strings.Contains(second.out.String(), "pending") ||
		!strings.Contains(second.out.String(), "time-stamp-unavailable") {
		t.Errorf("it said: %s", second.out)
	}
	other := begin(t, s.i, append(args, "--location", "Kyiv")...)
	other.end(false)
	if !strings.Contains(other.out.String(), "other files or options") {
		t.Errorf("another run: %s", other.out)
	}
	tsa.Misbehave(tsptest.Faults{})
	args[len(args)-3] = "30s"
	third := begin(t, s.i, args...)
	third.end(true)
	for n := range 3 {
		file, err := os.ReadFile(filepath.Join(out, fmt.Sprintf("contract-%d.signed.pdf", n)))
		if err != nil || !bytes.HasPrefix(file, s.contract) || !bytes.Contains(file, []byte("/DSS")) || bytes.Count(file, []byte("/ETSI.RFC3161")) != 1 {
			t.Errorf("file %d: %d bytes, %v", n, len(file), err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(out, ".ecsigner*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	log := kinds(t, s.i, mark)
	if strings.Count(log, "SigningRequested") != 1 || strings.Count(log, "SigningSigned") != 1 || strings.Count(log, "ArtefactRecorded") != 9 {
		t.Errorf("the log tells %q", log)
	}

	result := filepath.Join(out, "contract-0.signed.pdf")
	said := s.i.Run("augment", result, "--client", profile)
	file, err := os.ReadFile(filepath.Join(out, "contract-0.signed.augmented.pdf"))
	if err != nil || bytes.Count(file, []byte("/ETSI.RFC3161")) != 2 {
		t.Errorf("renewed: %d bytes, %v, %s", len(file), err, said)
	}
	s.i.Run("augment", filepath.Join(folder, "contract-1.pdf"), "--timestamp-only", "--client", profile)
	if _, err := s.i.Try("augment", filepath.Join(folder, "notes.txt"), "--client", profile); err == nil {
		t.Error("a text was augmented")
	}
	endRun(t, s.i)
}

// TestSignOtherFormats makes CAdES with and without its content, with the attributes that it may have.
func TestSignOtherFormats(t *testing.T) {
	s := newSignings(t)
	s.i.Documents()
	withAuthority(t, s.i)
	s.i.Start()
	file := filepath.Join(t.TempDir(), "data.csv")
	write(t, file, "a;b\n", 0o600)
	profile := s.i.Path("clients", "documents")
	for _, c := range []struct{ format, title, target string }{
		{"cades", "detached", file + ".p7s"}, {"cades-attached", "attached", file + ".p7m"},
	} {
		run := begin(t, s.i, "sign", file, "--format", c.format, "--credential", s.credential, "--title", c.title, "--language", "en", "--level", "B-LT",
			"--commitment", "proof-of-approval", "--role", "director", "--mime-type", "text/csv", "--state", filepath.Join(t.TempDir(), "state"), "--client", profile)
		run.until("code from the phone")
		if _, err := fmt.Fprintln(run.in, s.i.Code("sign", "“"+c.title+"”")); err != nil {
			t.Fatal(err)
		}
		run.end(true)
		if _, err := os.Stat(c.target); err != nil {
			t.Error(err)
		}
	}
	if out, err := s.i.Try("augment", file+".p7s", "--client", profile); err == nil || !strings.Contains(out, "CONTENT_MISMATCH") {
		t.Errorf("a detached signature alone: %s", out)
	}
	s.i.Run("augment", file+".p7s", "--content", file, "--client", profile)
	s.i.Run("augment", file+".p7m", "--client", profile)
	endRun(t, s.i)
}
