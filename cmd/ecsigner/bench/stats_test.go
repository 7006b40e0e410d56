package bench

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestPercentile(t *testing.T) {
	ms := func(values ...int) (d []time.Duration) {
		for _, v := range values {
			d = append(d, time.Duration(v)*time.Millisecond)
		}
		return d
	}
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(i+1) * time.Millisecond
	}
	for _, c := range []struct {
		name   string
		sorted []time.Duration
		p      float64
		want   time.Duration
	}{
		{"nothing", nil, 50, 0},
		{"one", ms(7), 99, 7 * time.Millisecond},
		{"median of two is the lower", ms(1, 9), 50, time.Millisecond},
		{"median of three", ms(1, 2, 9), 50, 2 * time.Millisecond},
		{"95th of a hundred", hundred, 95, 95 * time.Millisecond},
		{"99th of two", ms(1, 9), 99, 9 * time.Millisecond},
		{"median of a hundred", hundred, 50, 50 * time.Millisecond},
		{"99th of a hundred", hundred, 99, 99 * time.Millisecond},
		{"maximum", hundred, 100, 100 * time.Millisecond},
		{"5th of the classic example", ms(15, 20, 35, 40, 50), 5, 15 * time.Millisecond},
		{"40th of the classic example", ms(15, 20, 35, 40, 50), 40, 20 * time.Millisecond},
	} {
		if got := percentile(c.sorted, c.p); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// The definition of the nearest rank: at least p percent are not above it, and it is the smallest such value.
func TestPercentileIsTheNearestRank(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Int64Range(0, 50), 1, 60).Draw(t, "values")
		p := rapid.IntRange(1, 100).Draw(t, "p")
		var d []time.Duration
		for _, v := range values {
			d = append(d, time.Duration(v))
		}
		slices.Sort(d)
		got := percentile(d, float64(p))
		below := func(limit time.Duration) (n int) {
			for _, v := range d {
				if v <= limit {
					n++
				}
			}
			return n
		}
		if 100*below(got) < p*len(d) {
			t.Fatalf("only %d of %d are not above %v", below(got), len(d), got)
		}
		if 100*below(got-1) >= p*len(d) {
			t.Fatalf("%v is not the smallest", got)
		}
	})
}

func TestRates(t *testing.T) {
	if got := per(3*time.Millisecond, 2); got != 1500 {
		t.Errorf("per: %v µs", got)
	}
	if got := per(time.Second, 0); got != 0 {
		t.Errorf("per nothing: %v", got)
	}
	if got := rate(30, 2*time.Second); got != 15 {
		t.Errorf("rate: %v", got)
	}
	if got := rate(30, 0); got != 0 {
		t.Errorf("rate of no time: %v", got)
	}
}

func TestSummaryCountsTheWindow(t *testing.T) {
	zero := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(s int, ms int) sample {
		d := time.Duration(ms) * time.Millisecond
		return sample{end: zero.Add(time.Duration(s) * time.Second), create: d, code: 2 * d, authorise: 3 * d, total: 6 * d}
	}
	done := []caller{
		{samples: []sample{at(1, 900), at(3, 1), at(5, 2)}}, // the first ended while warming up
		{samples: []sample{at(4, 3), at(12, 4), at(13, 900)}},
		{},
	}
	begin := usage{at: zero.Add(2 * time.Second), server: time.Second, client: time.Second}
	end := usage{at: zero.Add(12 * time.Second), server: 3 * time.Second, client: 2 * time.Second}
	want := Service{
		Operations: 4, Signatures: 4, Seconds: 10, OperationsPerSecond: 0.4, PerSecond: 0.4,
		ServerCPUMicros: 500_000, ClientCPUMicros: 250_000,
		LatencyMS: Latency{
			Create: Quantiles{2, 4, 4}, Code: Quantiles{4, 8, 8}, Authorise: Quantiles{6, 12, 12}, Total: Quantiles{12, 24, 24},
		},
	}
	if got := summary(done, 1, begin, end); got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	// A batch counts once as an operation and as many times as signatures, to which the CPU time belongs.
	want.Signatures, want.PerSecond, want.ServerCPUMicros, want.ClientCPUMicros = 200, 20, 10_000, 5_000
	if got := summary(done, 50, begin, end); got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}
