package bench

import (
	"os"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	const good = "4711 (a) b (c)) S 1 4711 4711 0 -1 4194560 5000 0 0 0 123 77 0 0 20 0 9 0 100"
	got, err := parseStat(good)
	if err != nil || got != 2*time.Second {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "1 (x) S 1", "1 (x) S 1 1 1 0 -1 1 1 0 0 0 x 7 0"} {
		if _, err := parseStat(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func TestCPUOfProcesses(t *testing.T) {
	if own, err := ownCPU(); err != nil || own <= 0 {
		t.Errorf("own: %v, %v", own, err)
	}
	if _, err := processCPU(os.Getpid()); err != nil {
		t.Error(err)
	}
	if _, err := processCPU(-1); err == nil {
		t.Error("a process that cannot exist used CPU")
	}
}

func TestMachine(t *testing.T) {
	dir := t.TempDir()
	m, err := describe(t.Context(), "/nonexistent/ecsigner", "/usr/lib/softhsm/libsofthsm2.so", dir)
	if err != nil {
		t.Fatal(err)
	}
	if m.Cores < 1 || m.Go == "" || m.OS == "" || m.Filesystem == "" || m.HSMVersion == "" || m.SyncMS.P50 <= 0 || m.SyncMS.P99 < m.SyncMS.P50 {
		t.Errorf("%+v", m)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("files stay: %v, %v", left, err)
	}
	if o, err := outboxCost(dir); err != nil || o.WriteCPUMicros <= 0 {
		t.Errorf("%+v, %v", o, err)
	}
}
