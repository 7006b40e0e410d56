package bench

import (
	"slices"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/config"
)

func TestRawMeasuresEveryWorkload(t *testing.T) {
	t.Setenv("SOFTHSM2_CONF", "") // restored at the end
	cfg := config.HSM{Module: "/usr/lib/softhsm/libsofthsm2.so", Sessions: 2, Timeout: 10 * time.Second}
	keys := []string{ECDSAP256, RSA3072, ECDSAP384}
	r, err := openRaw(t.Context(), cfg, t.TempDir(), keys)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, w := range (Options{Algorithms: keys, Batches: []int{1, 3}, Callers: []int{1}}).workloads() {
		kinds, err := r.kinds(t.Context(), w)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range kinds {
			names = append(names, w.String()+" "+k.placement)
			run, err := r.loop(t.Context(), 50*time.Millisecond, w.batch, k.sign)
			if err != nil {
				t.Errorf("%v: %v", w, err)
			}
			if run.Operations < 1 || run.Signatures != run.Operations*w.batch || run.PerSecond <= 0 || run.CPUMicros <= 0 ||
				run.LatencyMS.P50 <= 0 || run.LatencyMS.P95 < run.LatencyMS.P50 || run.LatencyMS.P99 < run.LatencyMS.P95 {
				t.Errorf("%v: %+v", w, run)
			}
		}
	}
	if want := []string{
		"ecdsa-p256 token", "ecdsa-p256 wrapped", "ecdsa-p256 × 3 wrapped", "rsa-3072-pss wrapped", "rsa-3072-pss × 3 wrapped",
		"rsa-3072-pkcs1 wrapped", "rsa-3072-pkcs1 × 3 wrapped", "ecdsa-p384 wrapped", "ecdsa-p384 × 3 wrapped",
	}; !slices.Equal(names, want) {
		t.Errorf("measured %q", names)
	}
	if err := r.close(); err != nil {
		t.Error(err)
	}
	cfg.Module = "/nonexistent.so"
	if _, err := openRaw(t.Context(), cfg, t.TempDir(), keys); err == nil {
		t.Error("a missing library was measured")
	}
}

func TestRawRunCountsOperationsAndSignatures(t *testing.T) {
	took := []time.Duration{30 * time.Millisecond, 10 * time.Millisecond, 20 * time.Millisecond, 40 * time.Millisecond}
	got := rawRun(took, 100, 2*time.Second, time.Second)
	want := RawRun{
		Operations: 4, Signatures: 400, OperationsPerSecond: 2, PerSecond: 200, CPUMicros: 2500, LatencyMS: Quantiles{20, 40, 40},
	}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}
