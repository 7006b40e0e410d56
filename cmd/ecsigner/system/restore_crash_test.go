package system_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/client"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/system"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"google.golang.org/grpc/codes"
)

// killed runs a command that is killed right after a step, and fails unless it was.
func killed(t *testing.T, i *system.Installation, sequence string, step int, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, i.Program, args...)
	c.Env = append(os.Environ(), failpoint(sequence, step))
	out, err := c.CombinedOutput()
	if err == nil || c.ProcessState.ExitCode() != -1 {
		t.Fatalf("step %d of %s did not kill it: %v\n%s", step, sequence, err, out)
	}
}

// TestBackupUnderLoad makes backups while signatures are made: each is whole, and restored with the log it loses nothing
// that was answered.
func TestBackupUnderLoad(t *testing.T) {
	t.Parallel()
	i := system.New(t, build.Program(t))
	i.Start()
	credential := i.Credential(1)
	vkey, certificate := public(t, i, credential)
	stop, done := make(chan struct{}), make(chan []*pb.SigningOperation)
	go func() {
		var signed []*pb.SigningOperation
		for k := 0; ; k++ {
			select {
			case <-stop:
				done <- signed
				return
			default:
			}
			o, code := i.Operation(credential, "load "+string(rune('a'+k%26))+string(rune('a'+k/26%26)), raw, "load")
			if o, err := i.Authorize(o.GetId(), code); err == nil {
				signed = append(signed, o)
			}
		}
	}()
	var backups []string
	for range 3 {
		backups = append(backups, backedUp(t, i))
		next := time.Now().Add(time.Second) // the name has seconds
		await(t, "the next second comes", func() bool { return time.Now().After(next) })
	}
	close(stop)
	signed := <-done
	if len(signed) < 3 {
		t.Fatalf("only %d operations were signed meanwhile", len(signed))
	}
	if code := i.Stop(); code != 0 {
		t.Fatalf("the server ended with code %d", code)
	}
	log := loseDatabase(t, i)
	r := restored(t, i, backups[0], log)
	i.Start()
	for _, o := range signed {
		judge(t, vkey, certificate, o)
		a, err := i.Documents().Signing.GetSigningOperation(t.Context(), &pb.GetSigningOperationRequest{OperationId: o.GetId()})
		if err == nil && a.GetOperation().GetState() == pb.SigningState_SIGNING_STATE_SIGNED {
			judge(t, vkey, certificate, a.GetOperation())
			continue
		}
		wantRefusal(t, err, codes.NotFound, "RECORD_LOST", "")
	}
	if len(r.Lost) == 0 {
		t.Error("nothing was signed after the first backup")
	}
	endRun(t, i)
}

// TestCrashBackup kills a backup after each step. What is left is either a whole backup or none, and the next one clears up.
func TestCrashBackup(t *testing.T) {
	t.Parallel()
	i := system.New(t, build.Program(t, failpoints))
	i.Start()
	to := filepath.Join(t.TempDir(), "backups")
	args := []string{"backup", "--config", i.Path("ecsigner.yaml"), "--to", to, "--keep", "2"}
	last := time.Time{}
	fresh := func() { // the name has seconds
		await(t, "another second begins", func() bool { return time.Now().Truncate(time.Second).After(last) })
		last = time.Now().Truncate(time.Second)
	}
	steps := numbered(t, "../backup")
	for _, step := range steps {
		fresh()
		killed(t, i, "backup", step, args...)
		names, err := os.ReadDir(to)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range names {
			_, err := os.Stat(filepath.Join(to, n.Name(), "manifest.json"))
			if hidden := strings.HasPrefix(n.Name(), "."); !hidden && err != nil {
				t.Errorf("after step %d %s is a backup without a manifest", step, n.Name())
			}
		}
	}
	fresh()
	i.Run("backup", args[1:]...)
	left, err := filepath.Glob(filepath.Join(to, "demo-*"))
	partial, _ := filepath.Glob(filepath.Join(to, ".partial*"))
	if err != nil || len(left) != 2 || len(partial) != 0 {
		t.Errorf("%d backups stay of 2, %v, %v", len(left), partial, err)
	}
	endRun(t, i)
}

// TestCrashRestore kills a restore after each step. The service does not start before it was run again, and then everything
// is as if it had not been interrupted.
func TestCrashRestore(t *testing.T) {
	t.Parallel()
	i := system.New(t, build.Program(t, failpoints))
	i.Start()
	credential, revoked := i.Credential(1), i.Credential(2)
	vkey, certificate := public(t, i, credential)
	backup := backedUp(t, i)
	o, code := i.Operation(credential, "after the backup", raw, "one")
	if _, err := i.Authorize(o.GetId(), code); err != nil {
		t.Fatal(err)
	}
	if _, err := i.Operator().Credential.RevokeCredential(t.Context(), &pb.RevokeCredentialRequest{
		RequestId: client.RequestID(), CredentialId: revoked, Reason: pb.RevocationReason_REVOCATION_REASON_SUPERSEDED,
	}); err != nil {
		t.Fatal(err)
	}
	if code := i.Stop(); code != 0 {
		t.Fatalf("the server ended with code %d", code)
	}
	log := loseDatabase(t, i)
	args := []string{"restore", "--dir", i.Dir, "--backup", backup, "--log", log}
	steps := numbered(t, "../restore")
	for _, step := range steps {
		if err := os.RemoveAll(i.Path("data")); err != nil {
			t.Fatal(err)
		}
		killed(t, i, "restore", step, args...)
		if _, err := os.Stat(i.Path("data", "restoring")); err == nil {
			if line := i.TryStart(); line != "" {
				t.Errorf("after step %d the service started", step)
			}
			i.Kill()
		}
		if step == steps[len(steps)-1] {
			break // it was done
		}
		r := restored(t, i, backup, log)
		if len(r.Replayed.Revoked) != 1 || len(r.Lost) != 1 || r.Bindings != 2 {
			t.Errorf("after step %d the report says %+v", step, r)
		}
	}
	i.Start()
	if serials := revokedSerials(t, i); len(serials) != 1 {
		t.Errorf("the revocation list has %v", serials)
	}
	_, err := i.Documents().Signing.CreateSigningOperation(t.Context(), hashes(revoked, "revoked", "two"))
	wantRefusal(t, err, codes.FailedPrecondition, "CREDENTIAL_UNUSABLE", "")
	o, code = i.Operation(credential, "after the restore", raw, "three")
	if o, err = i.Authorize(o.GetId(), code); err != nil {
		t.Fatal(err)
	}
	judge(t, vkey, certificate, o)
	told := logFrom(i, 0)
	if count(told, "service.restored") != 1 || count(told, "certificate.revoked") != 1 {
		t.Errorf("the log tells of %d restores and %d revocations", count(told, "service.restored"), count(told, "certificate.revoked"))
	}
	endRun(t, i)
}

// TestRestoreRefuses damages what a restore is given. Each is refused with a sentence that says what is wrong, and neither a
// database nor a raised epoch is left.
func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	i := system.New(t, build.Program(t))
	i.Start()
	i.Credential(1)
	old, size := backedUp(t, i), logSize(t, i)
	await(t, "the log is published", func() bool {
		text, err := os.ReadFile(i.Path("data", "log", "checkpoint"))
		lines := strings.Split(string(text), "\n")
		return err == nil && lines[1] == strconv.FormatInt(size, 10)
	})
	early := filepath.Join(t.TempDir(), "early")
	if err := os.CopyFS(early, os.DirFS(i.Path("data", "log"))); err != nil {
		t.Fatal(err)
	}
	i.Credential(2)
	backup := backedUp(t, i)
	i.Credential(3)
	if code := i.Stop(); code != 0 {
		t.Fatalf("the server ended with code %d", code)
	}
	heads, err := os.ReadFile(i.Path("data", "heads"))
	if err != nil {
		t.Fatal(err)
	}
	log := loseDatabase(t, i)
	other := system.New(t, build.Program(t))
	other.Start()
	other.Credential(1)
	if code := other.Stop(); code != 0 {
		t.Fatalf("the other server ended with code %d", code)
	}
	for _, c := range []struct {
		name, want string
		prepare    func(t *testing.T, backup, log string) (string, string)
	}{
		{"the database has a changed bit", "ecsigner.db is not what the manifest names", func(t *testing.T, b, l string) (string, string) {
			flip(t, filepath.Join(b, "db", "ecsigner.db"), 70_000)
			return b, l
		}},
		{"the head file has a changed bit", "heads is not what the manifest names", func(t *testing.T, b, l string) (string, string) {
			flip(t, filepath.Join(b, "heads"), 3)
			return b, l
		}},
		{"the manifest has a changed bit", "not a whole backup", func(t *testing.T, b, l string) (string, string) {
			flip(t, filepath.Join(b, "manifest.json"), 200)
			return b, l
		}},
		{"a file is missing", "log.vkey is missing or changed", func(t *testing.T, b, l string) (string, string) {
			remove(t, filepath.Join(b, "pki", "log.vkey"))
			return b, l
		}},
		{"a file is too many", "more is not what the manifest names", func(t *testing.T, b, l string) (string, string) {
			if err := os.WriteFile(filepath.Join(b, "more"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			return b, l
		}},
		{"the log is older than the backup", "give the newest copy of the log", func(_ *testing.T, b, _ string) (string, string) {
			return b, early
		}},
		{"the log is another installation's", "the published log does not hold", func(_ *testing.T, b, _ string) (string, string) {
			return b, other.Path("data", "log")
		}},
		{"the log has a changed bit", "the published log does not hold", func(t *testing.T, b, l string) (string, string) {
			flip(t, filepath.Join(l, "tile", "entries", bundleOf(t, l)), 300)
			return b, l
		}},
		{"the log has no checkpoint", "the published log does not hold", func(t *testing.T, b, l string) (string, string) {
			if err := os.RemoveAll(filepath.Join(l, "tail")); err != nil {
				t.Fatal(err)
			}
			remove(t, filepath.Join(l, "checkpoint"))
			return b, l
		}},
		{"the tail has a changed bit", "the MAC is wrong", func(t *testing.T, b, l string) (string, string) {
			flip(t, filepath.Join(l, "tail", "00000000000000000000"), 100)
			return b, l
		}},
		{"a head file that survived knows more", "entries are lost for good", func(t *testing.T, _, l string) (string, string) {
			if err := os.MkdirAll(i.Path("data"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(i.Path("data", "heads"), heads, 0o600); err != nil {
				t.Fatal(err)
			}
			return old, early
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			i.Within(t)
			b, l := filepath.Join(t.TempDir(), "backup"), filepath.Join(t.TempDir(), "log")
			for to, from := range map[string]string{b: backup, l: log} {
				if err := os.CopyFS(to, os.DirFS(from)); err != nil {
					t.Fatal(err)
				}
			}
			b, l = c.prepare(t, b, l)
			out, err := i.Try("restore", "--dir", i.Dir, "--backup", b, "--log", l)
			if err == nil || !strings.Contains(out, c.want) {
				t.Errorf("%v\n%s", err, out)
			}
			if _, err := os.Stat(i.Path("data", "db")); err == nil {
				t.Error("a database was left")
			}
			if strings.Contains(out, "epoch raised") {
				t.Error("the epoch was raised")
			}
		})
	}
	remove(t, i.Path("data", "heads"))
	if r := restored(t, i, backup, log); r.Epoch != 2 {
		t.Errorf("the first restore that went through raised the epoch to %d", r.Epoch)
	}
}

// flip changes one bit of a file.
func flip(t *testing.T, path string, at int) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil || len(b) <= at {
		t.Fatalf("%s has %d bytes: %v", path, len(b), err)
	}
	b[at] ^= 1
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// bundleOf returns the newest partial bundle of a log's first tile.
func bundleOf(t *testing.T, log string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(log, "tile", "entries", "000.p", "*"))
	if err != nil || len(found) == 0 {
		t.Fatalf("no bundle: %v", err)
	}
	return filepath.Join("000.p", filepath.Base(found[len(found)-1]))
}
