package system_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/system"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// TestLogSurvivesTheDatabase kills the service right after an answer and takes its database away at that moment, many times:
// whatever was answered is in the published directory.
func TestLogSurvivesTheDatabase(t *testing.T) {
	t.Parallel()
	i := system.New(t, build.Program(t))
	i.Start()
	credential := i.Credential(1)
	backup := backedUp(t, i)
	for round := range 5 {
		var answered []*pb.SigningOperation
		for k := range 1 + round {
			o, code := i.Operation(credential, fmt.Sprintf("round %d %d", round, k), raw, "text")
			o, err := i.Authorize(o.GetId(), code)
			if err != nil {
				t.Fatal(err)
			}
			answered = append(answered, o)
		}
		open, _ := i.Operation(credential, fmt.Sprintf("open %d", round), raw, "text")
		i.Kill() // no signed head covers the last entries yet
		log := loseDatabase(t, i)
		restored(t, i, backup, log)
		i.Start()
		told := logFrom(i, 0)
		for _, o := range answered {
			if count(told, "signing.signed", "operation", o.GetId()) != 1 {
				t.Errorf("round %d: the log lost the signature of %s", round, o.GetId())
			}
		}
		if count(told, "signing.requested", "operation", open.GetId()) != 1 {
			t.Errorf("round %d: the log lost the operation that was answered last", round)
		}
	}
	endRun(t, i)
}

// TestDirectoryOfTheLogFails takes the published log away from a running service: it says so at once and goes on for a
// while, and makes good what it missed.
func TestDirectoryOfTheLogFails(t *testing.T) {
	t.Parallel()
	i := system.New(t, build.Program(t))
	i.Start()
	credential := i.Credential(1)
	healthy := func() bool {
		h, err := healthpb.NewHealthClient(i.Documents()).Check(t.Context(), &healthpb.HealthCheckRequest{Service: "log"})
		return err == nil && h.GetStatus() == healthpb.HealthCheckResponse_SERVING
	}
	if !healthy() {
		t.Fatal("the log is not healthy from the start")
	}
	if err := os.Rename(i.Path("data", "log"), i.Path("data", "elsewhere")); err != nil {
		t.Fatal(err)
	}
	await(t, "health says that the log is not published", func() bool { return !healthy() })
	if !strings.Contains(i.Stderr.String(), `"kind":"publication"`) {
		t.Error("no alarm was raised")
	}
	o, code := i.Operation(credential, "meanwhile", raw, "text")
	if _, err := i.Authorize(o.GetId(), code); err != nil {
		t.Errorf("within the grace: %v", err)
	}
	if err := os.Rename(i.Path("data", "elsewhere"), i.Path("data", "log")); err != nil {
		t.Fatal(err)
	}
	await(t, "the log is published again", healthy)
	endRun(t, i)
}

// TestStartWithAnotherLog puts another directory in the place of the published log. The service does not start.
func TestStartWithAnotherLog(t *testing.T) {
	t.Parallel()
	i := system.New(t, build.Program(t))
	i.Start()
	i.Credential(1)
	old := backedUp(t, i)
	i.Credential(2)
	if code := i.Stop(); code != 0 {
		t.Fatalf("the server ended with code %d", code)
	}
	// The database of the backup with its own head file: only the published log knows better.
	if err := os.Rename(i.Path("data", "db"), i.Path("newest")); err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{"db": i.Path("data", "db"), "heads": i.Path("data", "heads")} {
		if from == "db" {
			if err := os.CopyFS(to, os.DirFS(old+"/"+from)); err != nil {
				t.Fatal(err)
			}
			continue
		}
		b, err := os.ReadFile(old + "/" + from)
		if err == nil {
			err = os.WriteFile(to, b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if line := i.TryStart(); line != "" || !strings.Contains(i.Stderr.String(), "older than the published log; run `ecsigner restore`") {
		t.Errorf("it said %q", line)
	}
}
