package bench

import (
	"encoding/json"
	"io"
	"time"
)

// Schema names the form of the JSON report, which docs/benchmarks.md describes. A field that changes its meaning
// changes this name.
const Schema = "ecsigner-bench/2"

// Report is the result of one run.
type Report struct {
	Schema    string      `json:"schema"`
	Started   time.Time   `json:"started"`
	Machine   Machine     `json:"machine"`
	Settings  Settings    `json:"settings"`
	Raw       []RawRow    `json:"raw"`
	Outbox    Outbox      `json:"outbox"`
	Enrolment []Enrolment `json:"enrolment"`
	Service   []Service   `json:"service"`
	Profiles  []Profile   `json:"profiles"`
	Server    Server      `json:"server"`
}

// Machine says where the figures were taken: without it they mean nothing.
type Machine struct {
	Program    string    `json:"program"` // what --version says
	OS         string    `json:"os"`
	CPU        string    `json:"cpu"`
	Cores      int       `json:"cores"`
	Load       float64   `json:"load"` // of the last minute before the run: what else the machine was doing
	Go         string    `json:"go"`
	Module     string    `json:"module"`      // path of the PKCS#11 library
	HSMVersion string    `json:"hsm_version"` // of SoftHSM, otherwise empty
	Filesystem string    `json:"filesystem"`
	SyncMS     Quantiles `json:"sync_ms"` // appending 4 KiB and fdatasync, in the directory of the installation
}

// Settings are the options of the run and what the installation's configuration decides.
type Settings struct {
	DurationSeconds float64 `json:"duration_seconds"`
	HSMSessions     int     `json:"hsm_sessions"` // of the server, and threads of the raw rows
	Format          string  `json:"format"`       // of each signature
}

// Quantiles are milliseconds.
type Quantiles struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
}

// RawRow is what the HSM does by itself, in this process, measured before and after the service's rows of the same
// workload.
type RawRow struct {
	Algorithm    string  `json:"algorithm"`
	Placement    string  `json:"placement"` // "token": C_Sign alone; "wrapped": unwrap, C_Sign for each digest, destroy
	Batch        int     `json:"batch"`     // digests of one operation
	Before       RawRun  `json:"before"`
	After        RawRun  `json:"after"`
	PerSecond    float64 `json:"per_second"`    // signatures, mean of both
	CPUMicros    float64 `json:"cpu_micros"`    // of one signature, mean of both
	DriftPercent float64 `json:"drift_percent"` // of the rate, from before to after
}

// RawRun is one measurement of the HSM.
type RawRun struct {
	Operations          int       `json:"operations"`
	Signatures          int       `json:"signatures"`
	OperationsPerSecond float64   `json:"operations_per_second"`
	PerSecond           float64   `json:"per_second"` // signatures
	CPUMicros           float64   `json:"cpu_micros"` // of this process for one signature
	LatencyMS           Quantiles `json:"latency_ms"` // of one operation
}

// Outbox is what the "phone" costs: the server writes each text to a file of its own.
type Outbox struct {
	WriteCPUMicros float64 `json:"write_cpu_micros"` // of one message, part of the server's CPU
}

// Enrolment is how the persons with one kind of key got their credentials.
type Enrolment struct {
	Key       string  `json:"key"`
	Persons   int     `json:"persons"`
	Parallel  int     `json:"parallel"`
	Seconds   float64 `json:"seconds"`
	PerSecond float64 `json:"per_second"`
	CPUMillis float64 `json:"server_cpu_millis"` // for one person
}

// Service is one row of authorised signatures: created, authorised with the code, released with a receipt.
type Service struct {
	Algorithm           string  `json:"algorithm"`
	Batch               int     `json:"batch"` // digests under one code
	Callers             int     `json:"callers"`
	Operations          int     `json:"operations"` // completed in the window
	Signatures          int     `json:"signatures"`
	Seconds             float64 `json:"seconds"` // of the window
	OperationsPerSecond float64 `json:"operations_per_second"`
	PerSecond           float64 `json:"per_second"`        // signatures
	RatioToRaw          float64 `json:"ratio_to_raw"`      // to the raw row of the same algorithm and batch, key wrapped
	Verified            int     `json:"verified"`          // signatures checked with the certificate's key after the window
	LatencyMS           Latency `json:"latency_ms"`        // of one operation
	ServerCPUMicros     float64 `json:"server_cpu_micros"` // for one signature
	EngineCPUMicros     float64 `json:"engine_cpu_micros"` // server_cpu_micros less the raw HSM's
	ClientCPUMicros     float64 `json:"client_cpu_micros"` // of this process for one signature: all callers, TLS, the phone
	BusyCores           float64 `json:"busy_cores"`        // server and client together
}

// Latency is how long the parts of one operation took, seen by the caller.
type Latency struct {
	Create    Quantiles `json:"create"`
	Code      Quantiles `json:"code"` // from the answer to create until the code is on the phone
	Authorise Quantiles `json:"authorise"`
	Total     Quantiles `json:"total"`
}

// Profile is where the server's CPU time went, in a run of its own under the profiler.
type Profile struct {
	Algorithm  string  `json:"algorithm"`
	Batch      int     `json:"batch"`
	Callers    int     `json:"callers"`
	Signatures int     `json:"signatures"`  // made meanwhile
	CPUSeconds float64 `json:"cpu_seconds"` // all of it but the start of the service
	Parts      []Share `json:"parts"`       // the largest first
}

// Share is a part of the CPU time: a package of ours, which is named by its path, or what it calls.
type Share struct {
	Part      string  `json:"part"`
	Percent   float64 `json:"percent"`
	CPUMicros float64 `json:"cpu_micros"` // for one signature
}

// Server is what the service used over the whole run.
type Server struct {
	MaxRSSMegabytes float64 `json:"max_rss_megabytes"`
}

// relate computes what compares rows with each other.
func (r *Report) relate() {
	for i := range r.Raw {
		row := &r.Raw[i]
		row.PerSecond = round((row.Before.PerSecond+row.After.PerSecond)/2, 1)
		row.CPUMicros = round((row.Before.CPUMicros+row.After.CPUMicros)/2, 1)
		if row.Before.PerSecond > 0 {
			row.DriftPercent = round(100*(row.After.PerSecond/row.Before.PerSecond-1), 1)
		}
	}
	for i := range r.Service {
		s := &r.Service[i]
		for _, raw := range r.Raw {
			if raw.Algorithm == s.Algorithm && raw.Batch == s.Batch && raw.Placement == wrapped && raw.PerSecond > 0 {
				s.RatioToRaw = round(s.PerSecond/raw.PerSecond, 3)
				s.EngineCPUMicros = round(s.ServerCPUMicros-raw.CPUMicros, 1)
			}
		}
		s.BusyCores = round(s.PerSecond*(s.ServerCPUMicros+s.ClientCPUMicros)/1e6, 2)
	}
}

// WriteJSON writes the report as one JSON document.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}
