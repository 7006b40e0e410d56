package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/bench"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/system"
)

// TestBenchRunsForReal takes the shortest useful measurement of the real program and holds the report against what
// every measurement must say.
func TestBenchRunsForReal(t *testing.T) {
	program, work := system.NewBuilder(t.TempDir()).Program(t), t.TempDir()
	var out, progress bytes.Buffer
	c := exec.Command(program, "bench", "--json", "--duration", "1s", "--callers", "2", "--persons", "2")
	c.Env, c.Stdout, c.Stderr = append(os.Environ(), "TMPDIR="+work), &out, &progress
	if err := c.Run(); err != nil {
		t.Fatalf("%v\n%s", err, progress.String())
	}
	d := json.NewDecoder(&out)
	d.DisallowUnknownFields()
	var r bench.Report
	if err := d.Decode(&r); err != nil {
		t.Fatal(err)
	}
	if d.More() || r.Schema != bench.Schema {
		t.Errorf("not one document of schema %s: %q", bench.Schema, r.Schema)
	}
	if len(r.Service) != 1 || r.Enrolment.Persons != 2 || r.Settings.HSMSessions < 1 {
		t.Fatalf("%+v", r)
	}
	s := r.Service[0]
	for name, value := range map[string]float64{
		"raw token_sign": r.Raw.TokenSign.PerSecond, "raw token CPU": r.Raw.TokenSign.CPUMicros,
		"raw unwrap_sign": r.Raw.UnwrapSign.PerSecond, "raw unwrap CPU": r.Raw.UnwrapSign.CPUMicros,
		"disk": r.Machine.SyncMS.P50, "outbox": r.Outbox.WriteCPUMicros, "enrolment CPU": r.Enrolment.CPUMillis, "memory": r.Server.MaxRSSMegabytes,
		"rate": s.PerSecond, "ratio": s.RatioToRaw, "server CPU": s.ServerCPUMicros, "client CPU": s.ClientCPUMicros,
		"create": s.LatencyMS.Create.P50, "code": s.LatencyMS.Code.P50, "authorise": s.LatencyMS.Authorise.P50, "total": s.LatencyMS.Total.P99,
	} {
		if value <= 0 {
			t.Errorf("%s is %v", name, value)
		}
	}
	if s.Callers != 2 || s.Verified != 2 || s.Signatures < 1 {
		t.Errorf("%+v", s)
	}
	if left, err := os.ReadDir(work); err != nil || len(left) > 0 {
		t.Errorf("files stay: %v, %v", left, err)
	}
	said, err := exec.Command(program, "bench", "--callers", "0").CombinedOutput()
	if err == nil || !strings.Contains(string(said), "callers must be numbers from 1 to 256") {
		t.Errorf("no callers: %v, %s", err, said)
	}
}
