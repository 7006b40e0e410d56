package bench

import (
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/config"
)

func TestRawMeasuresBothPlacements(t *testing.T) {
	t.Setenv("SOFTHSM2_CONF", "") // restored at the end
	cfg := config.HSM{Module: "/usr/lib/softhsm/libsofthsm2.so", Sessions: 2, Timeout: 10 * time.Second}
	r, err := openRaw(t.Context(), cfg, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var token, unwrap RawRun
	if err := r.measure(t.Context(), 200*time.Millisecond, &token, &unwrap); err != nil {
		t.Error(err)
	}
	for name, run := range map[string]RawRun{"token": token, "unwrap": unwrap} {
		if run.Signatures < 1 || run.PerSecond <= 0 || run.CPUMicros <= 0 || run.LatencyMS.P50 <= 0 || run.LatencyMS.P99 < run.LatencyMS.P50 {
			t.Errorf("%s: %+v", name, run)
		}
	}
	if err := r.close(); err != nil {
		t.Error(err)
	}
	cfg.Module = "/nonexistent.so"
	if _, err := openRaw(t.Context(), cfg, t.TempDir()); err == nil {
		t.Error("a missing library was measured")
	}
}
