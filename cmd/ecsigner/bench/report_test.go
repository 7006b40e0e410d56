package bench

import (
	"bytes"
	"encoding/json"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func sampleReport() *Report {
	r := &Report{
		Schema: Schema, Started: time.Date(2026, 11, 24, 0, 30, 0, 0, time.UTC),
		Machine: Machine{
			Program: "ecsigner v1", OS: "Linux 6.1 amd64", CPU: "Example CPU", Cores: 2, Load: 0.25, Go: "go1.26", Module: "/usr/lib/softhsm/libsofthsm2.so",
			HSMVersion: "2.6.1", Filesystem: "ext4", SyncMS: Quantiles{0.5, 1, 2},
		},
		Settings: Settings{DurationSeconds: 10, HSMSessions: 4, Format: "cades-b-b"},
		Raw: []RawRow{{
			Algorithm: "ecdsa-p256", Placement: onToken, Batch: 1,
			Before: RawRun{Operations: 100_000, Signatures: 100_000, OperationsPerSecond: 20_000, PerSecond: 20_000, CPUMicros: 100, LatencyMS: Quantiles{0.1, 0.2, 0.4}},
			After:  RawRun{Operations: 90_000, Signatures: 90_000, OperationsPerSecond: 18_000, PerSecond: 18_000, CPUMicros: 110, LatencyMS: Quantiles{0.1, 0.3, 0.5}},
		}, {
			Algorithm: "ecdsa-p256", Placement: wrapped, Batch: 1,
			Before: RawRun{Operations: 5_000, Signatures: 5_000, OperationsPerSecond: 1_000, PerSecond: 1_000, CPUMicros: 2_000, LatencyMS: Quantiles{4, 5, 6}},
			After:  RawRun{Operations: 5_000, Signatures: 5_000, OperationsPerSecond: 1_000, PerSecond: 1_000, CPUMicros: 2_000, LatencyMS: Quantiles{4, 5, 6}},
		}, {
			Algorithm: "rsa-3072-pss", Placement: wrapped, Batch: 100,
			Before: RawRun{Operations: 30, Signatures: 3_000, OperationsPerSecond: 6, PerSecond: 600, CPUMicros: 2_500, LatencyMS: Quantiles{300, 310, 320}},
			After:  RawRun{Operations: 20, Signatures: 2_000, OperationsPerSecond: 4, PerSecond: 400, CPUMicros: 2_500, LatencyMS: Quantiles{300, 310, 320}},
		}},
		Outbox:    Outbox{WriteCPUMicros: 60},
		Enrolment: []Enrolment{{Key: ECDSAP256, Persons: 64, Parallel: 8, Seconds: 8, PerSecond: 8, CPUMillis: 40}},
		Service: []Service{{
			Algorithm: "ecdsa-p256", Batch: 1,
			Callers: 16, Operations: 2_500, Signatures: 2_500, Seconds: 10, OperationsPerSecond: 250, PerSecond: 250, Verified: 16,
			ServerCPUMicros: 5_000, ClientCPUMicros: 1_000,
			LatencyMS: Latency{Create: Quantiles{5, 7, 9}, Code: Quantiles{6, 8, 10}, Authorise: Quantiles{7, 9, 11}, Total: Quantiles{18, 24, 30}},
		}, {
			Algorithm: "rsa-3072-pss", Batch: 100,
			Callers: 16, Operations: 20, Signatures: 2_000, Seconds: 10, OperationsPerSecond: 2, PerSecond: 200, Verified: 1_600,
			ServerCPUMicros: 3_000, ClientCPUMicros: 10,
		}},
		Profiles: []Profile{{
			Algorithm: "ecdsa-p256", Batch: 1, Callers: 16, Signatures: 2_000, CPUSeconds: 10,
			Parts: []Share{{partHSM, 60, 3_000}, {"signer", 40, 2_000}},
		}, {
			Algorithm: "rsa-3072-pss", Batch: 100, Callers: 16, Signatures: 2_000, CPUSeconds: 6,
			Parts: []Share{{partHSM, 99, 2_970}, {"audit", 1, 30}},
		}},
		Server: Server{MaxRSSMegabytes: 80},
	}
	r.relate()
	return r
}

func TestRelate(t *testing.T) {
	r := sampleReport()
	for i, want := range []struct{ rate, cpu, drift float64 }{{19_000, 105, -10}, {1_000, 2_000, 0}, {500, 2_500, -33.3}} {
		if raw := r.Raw[i]; raw.PerSecond != want.rate || raw.CPUMicros != want.cpu || raw.DriftPercent != want.drift {
			t.Errorf("raw %d: %+v", i, raw)
		}
	}
	// Each row is held against the raw signatures of its own algorithm, batch and placement.
	for i, want := range []struct{ ratio, engine, busy float64 }{{0.25, 3_000, 1.5}, {0.4, 500, 0.6}} {
		if s := r.Service[i]; s.RatioToRaw != want.ratio || s.EngineCPUMicros != want.engine || s.BusyCores != want.busy {
			t.Errorf("service %d: %+v", i, s)
		}
	}
	var empty Report
	empty.Service, empty.Raw = []Service{{}}, []RawRow{{Placement: wrapped}}
	empty.relate() // nothing measured is no division by nothing
	if s := empty.Service[0]; s.RatioToRaw != 0 {
		t.Errorf("empty: %+v", s)
	}
}

// The JSON report says everything, and only what the schema knows.
func TestJSONRoundTrip(t *testing.T) {
	want := sampleReport()
	var b bytes.Buffer
	if err := want.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(&b)
	d.DisallowUnknownFields()
	var got Report
	if err := d.Decode(&got); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(&got, want) {
		t.Errorf("got  %+v\nwant %+v", got, *want)
	}
	if d.More() {
		t.Error("more than one JSON document")
	}
}

// Every field has a name in the schema's own spelling: a field without a tag would be named as Go names it.
func TestJSONNames(t *testing.T) {
	snake := regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	var walk func(reflect.Type)
	walk = func(typ reflect.Type) {
		switch {
		case typ.Kind() == reflect.Slice:
			walk(typ.Elem())
		case typ.Kind() == reflect.Struct && typ != reflect.TypeFor[time.Time]():
			for i := range typ.NumField() {
				f := typ.Field(i)
				if !snake.MatchString(f.Tag.Get("json")) {
					t.Errorf("%s.%s is named %q", typ.Name(), f.Name, f.Tag.Get("json"))
				}
				walk(f.Type)
			}
		}
	}
	walk(reflect.TypeFor[Report]())
}

func TestMarkdown(t *testing.T) {
	var b bytes.Buffer
	if err := sampleReport().WriteMarkdown(&b); err != nil {
		t.Fatal(err)
	}
	const want = `
| Taken on |                                                                 |
| -------- | --------------------------------------------------------------- |
| program  | ecsigner v1, go1.26, 2026-11-24                                 |
| machine  | Example CPU, 2 cores, load 0.25 before the run, Linux 6.1 amd64 |
| HSM      | /usr/lib/softhsm/libsofthsm2.so 2.6.1, 4 sessions               |
| disk     | ext4, fdatasync p50 0.50 ms, p99 2.00 ms                        |
| each row | 10.0 s, cades-b-b                                               |

Raw HSM, without the service:

| Raw                               | signatures/s | operations/s | drift   | CPU µs a signature | ms an operation       |
| --------------------------------- | ------------ | ------------ | ------- | ------------------ | --------------------- |
| ecdsa-p256, key on the token      | 19000        | 19000        | -10.0 % | 105                | 0.1 / 0.2 / 0.4       |
| ecdsa-p256, unwrap and sign       | 1000         | 1000         | +0.0 %  | 2000               | 4.0 / 5.0 / 6.0       |
| rsa-3072-pss, unwrap and sign 100 | 500          | 5.00         | -33.3 % | 2500               | 300.0 / 310.0 / 320.0 |

Service, from the request to the released signature:

| Service                        | signatures/s | operations/s | ratio to raw | server CPU µs | less raw HSM | client CPU µs | cores busy |
| ------------------------------ | ------------ | ------------ | ------------ | ------------- | ------------ | ------------- | ---------- |
| ecdsa-p256, 16 callers         | 250          | 250          | 0.250        | 5000          | 3000         | 1000          | 1.50       |
| rsa-3072-pss × 100, 16 callers | 200          | 2.00         | 0.400        | 3000          | 500          | 10.0          | 0.60       |

Latency of one operation in ms, p50 / p95 / p99:

| Latency                        | create          | code on the phone | authorise        | total              |
| ------------------------------ | --------------- | ----------------- | ---------------- | ------------------ |
| ecdsa-p256, 16 callers         | 5.0 / 7.0 / 9.0 | 6.0 / 8.0 / 10.0  | 7.0 / 9.0 / 11.0 | 18.0 / 24.0 / 30.0 |
| rsa-3072-pss × 100, 16 callers | 0.0 / 0.0 / 0.0 | 0.0 / 0.0 / 0.0   | 0.0 / 0.0 / 0.0  | 0.0 / 0.0 / 0.0    |

Beside it:

| What                  | Used                                                    |
| --------------------- | ------------------------------------------------------- |
| outbox file           | 60 µs CPU a message, part of the server's               |
| enrolment, ecdsa-p256 | 64 persons in 8.0 s, 8 at a time, 40 ms server CPU each |
| server memory         | 80 MB at most                                           |

Where the server's CPU time goes, µs for one signature (share):

| Part           | ecdsa-p256    | rsa-3072-pss × 100 |
| -------------- | ------------- | ------------------ |
| PKCS#11 module | 3000 (60.0 %) | 2970 (99.0 %)      |
| signer         | 2000 (40.0 %) |                    |
| audit          |               | 30.0 (1.0 %)       |
`
	if d := cmp.Diff(strings.TrimPrefix(want, "\n"), b.String()); d != "" {
		t.Error(d)
	}
}
