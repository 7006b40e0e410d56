package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/bench"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/system"
)

// TestBenchRunsForReal takes the shortest useful measurement of the real program and holds the report against what
// every measurement must say.
func TestBenchRunsForReal(t *testing.T) {
	program, work, profiles := system.NewBuilder(t.TempDir()).Program(t), t.TempDir(), t.TempDir()
	var out, progress bytes.Buffer
	c := exec.Command(program, "bench", "--all", "--json", "--duration", "300ms", "--callers", "2", "--persons", "2", "--rsa-persons", "1", "--profile", profiles)
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
	if len(r.Raw) != 7 || len(r.Service) != 6 || len(r.Profiles) != 6 || len(r.Enrolment) != 2 || r.Settings.HSMSessions < 1 {
		t.Fatalf("%+v", r)
	}
	figures := map[string]float64{"disk": r.Machine.SyncMS.P50, "outbox": r.Outbox.WriteCPUMicros, "memory": r.Server.MaxRSSMegabytes}
	for i, raw := range r.Raw {
		of := fmt.Sprintf("raw %d: ", i)
		figures[of+"rate"], figures[of+"CPU"] = raw.PerSecond, raw.CPUMicros
	}
	for i, s := range r.Service {
		of := fmt.Sprintf("service %d: ", i)
		for name, value := range map[string]float64{
			"rate": s.PerSecond, "operations": s.OperationsPerSecond, "ratio": s.RatioToRaw, "server CPU": s.ServerCPUMicros, "client CPU": s.ClientCPUMicros,
			"create": s.LatencyMS.Create.P50, "code": s.LatencyMS.Code.P50, "authorise": s.LatencyMS.Authorise.P95, "total": s.LatencyMS.Total.P99,
		} {
			figures[of+name] = value
		}
		if s.Callers != 2 || s.Verified != 2*s.Batch || s.Operations < 1 || s.Signatures != s.Operations*s.Batch {
			t.Errorf("%+v", s)
		}
	}
	for i, p := range r.Profiles {
		if len(p.Parts) == 0 || p.Signatures < p.Batch {
			t.Errorf("profile %d: %+v", i, p)
		}
		figures[fmt.Sprintf("profile %d", i)] = p.CPUSeconds
		file := filepath.Join(profiles, fmt.Sprintf("cpu-%s-%d.pprof", p.Algorithm, p.Batch))
		if info, err := os.Stat(file); err != nil || info.Size() == 0 {
			t.Errorf("profile %d: %v", i, err)
		}
	}
	for name, value := range figures {
		if value <= 0 {
			t.Errorf("%s is %v", name, value)
		}
	}
	if left, err := os.ReadDir(work); err != nil || len(left) > 0 {
		t.Errorf("files stay: %v, %v", left, err)
	}
	said, err := exec.Command(program, "bench", "--callers", "0").CombinedOutput()
	if err == nil || !strings.Contains(string(said), "callers must be numbers from 1 to 256") {
		t.Errorf("no callers: %v, %s", err, said)
	}
}

// TestBenchDocumentRunsForReal measures a small "large" document.
func TestBenchDocumentRunsForReal(t *testing.T) {
	program, work := system.NewBuilder(t.TempDir()).Program(t), t.TempDir()
	var out, progress bytes.Buffer
	c := exec.Command(program, "bench", "document", "--json", "--size", "20000000", "--pairs", "2")
	c.Env, c.Stdout, c.Stderr = append(os.Environ(), "TMPDIR="+work), &out, &progress
	if err := c.Run(); err != nil {
		t.Fatalf("%v\n%s", err, progress.String())
	}
	d := json.NewDecoder(&out)
	d.DisallowUnknownFields()
	var r bench.DocumentReport
	if err := d.Decode(&r); err != nil {
		t.Fatal(err)
	}
	if r.Schema != bench.DocumentSchema || r.Bytes != 20_000_000 || len(r.Pairs) != 2 || r.IdleMegabytes <= 0 || r.Ratio <= 0 {
		t.Errorf("%+v", r)
	}
	for i, p := range r.Pairs {
		if p.Seconds <= 0 || p.ServerCPU <= 0 || p.SHA256CPU <= 0 || p.TransferCPU <= 0 || p.PeakMegabytes < r.IdleMegabytes/2 {
			t.Errorf("pair %d: %+v", i, p)
		}
	}
	if left, err := os.ReadDir(work); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
