package bench

import (
	"math"
	"slices"
	"time"
)

// percentile returns the nearest-rank percentile of sorted values: the smallest value that is not exceeded by at least
// p percent of them, with p in (0, 100]. Of no values it is 0.
func percentile(sorted []time.Duration, p float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(math.Ceil(p / 100 * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// quantiles sorts the values in place and returns median, 95th and 99th percentile in milliseconds.
func quantiles(values []time.Duration) Quantiles {
	slices.Sort(values)
	return Quantiles{
		P50: milliseconds(percentile(values, 50)), P95: milliseconds(percentile(values, 95)), P99: milliseconds(percentile(values, 99)),
	}
}

func milliseconds(d time.Duration) float64 { return round(float64(d)/float64(time.Millisecond), 3) }

// per returns what one of n took, in microseconds.
func per(d time.Duration, n int) float64 {
	if n == 0 {
		return 0
	}
	return round(float64(d)/float64(time.Microsecond)/float64(n), 1)
}

// rate returns how many a second n in d are.
func rate(n int, d time.Duration) float64 {
	if d <= 0 {
		return 0
	}
	return round(float64(n)/d.Seconds(), 1)
}

// round keeps as many decimals as a measurement deserves.
func round(f float64, decimals int) float64 {
	scale := math.Pow10(decimals)
	return math.Round(f*scale) / scale
}
