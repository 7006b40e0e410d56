package bench

import (
	"bytes"
	"encoding/json"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
)

func sampleReport() *Report {
	r := &Report{
		Schema: Schema, Started: time.Date(2026, 11, 24, 0, 30, 0, 0, time.UTC),
		Machine: Machine{
			Program: "ecsigner v1", OS: "Linux 6.1 amd64", CPU: "Example CPU", Cores: 2, Load: 0.25, Go: "go1.26", Module: "/usr/lib/softhsm/libsofthsm2.so",
			HSMVersion: "2.6.1", Filesystem: "ext4", SyncMS: Quantiles{0.5, 2},
		},
		Settings: Settings{DurationSeconds: 10, Callers: []int{16, 64}, Persons: 64, HSMSessions: 4, Format: "cades-b-b"},
		Raw: Raw{
			TokenSign: RawRow{
				Before: RawRun{Signatures: 100_000, PerSecond: 20_000, CPUMicros: 100, LatencyMS: Quantiles{0.1, 0.4}},
				After:  RawRun{Signatures: 90_000, PerSecond: 18_000, CPUMicros: 110, LatencyMS: Quantiles{0.1, 0.5}},
			},
			UnwrapSign: RawRow{
				Before: RawRun{Signatures: 5_000, PerSecond: 1_000, CPUMicros: 2_000, LatencyMS: Quantiles{4, 6}},
				After:  RawRun{Signatures: 5_000, PerSecond: 1_000, CPUMicros: 2_000, LatencyMS: Quantiles{4, 6}},
			},
		},
		Outbox:    Outbox{WriteCPUMicros: 60},
		Enrolment: Enrolment{Persons: 64, Parallel: 8, Seconds: 8, PerSecond: 8, CPUMillis: 40},
		Service: []Service{{
			Callers: 16, Signatures: 2_500, Seconds: 10, PerSecond: 250, Verified: 16, ServerCPUMicros: 5_000, ClientCPUMicros: 1_000,
			LatencyMS: Latency{Create: Quantiles{5, 9}, Code: Quantiles{6, 10}, Authorise: Quantiles{7, 11}, Total: Quantiles{18, 30}},
		}},
		Server: Server{MaxRSSMegabytes: 80},
	}
	r.relate()
	return r
}

func TestRelate(t *testing.T) {
	r := sampleReport()
	if raw := r.Raw.TokenSign; raw.PerSecond != 19_000 || raw.CPUMicros != 105 || raw.DriftPercent != -10 {
		t.Errorf("token: %+v", raw)
	}
	if raw := r.Raw.UnwrapSign; raw.PerSecond != 1_000 || raw.CPUMicros != 2_000 || raw.DriftPercent != 0 {
		t.Errorf("unwrap: %+v", raw)
	}
	if s := r.Service[0]; s.RatioToRaw != 0.25 || s.EngineCPUMicros != 3_000 || s.BusyCores != 1.5 {
		t.Errorf("service: %+v", s)
	}
	var empty Report
	empty.Service = []Service{{}}
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

func TestText(t *testing.T) {
	var b bytes.Buffer
	if err := sampleReport().WriteText(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"Example CPU, 2 cores, load 0.25", "ext4, fdatasync p50 0.50 ms, p99 2.00 ms", "2.6.1", "19000", "-10.0 %", "16 callers", "0.250", "3000", "18.0/30.0",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the tables lack %q:\n%s", want, b.String())
		}
	}
}
