package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// Schema names the form of the JSON report, which docs/benchmarks.md describes. A field that changes its meaning
// changes this name.
const Schema = "ecsigner-bench/1"

// Report is the result of one run.
type Report struct {
	Schema    string    `json:"schema"`
	Started   time.Time `json:"started"`
	Machine   Machine   `json:"machine"`
	Settings  Settings  `json:"settings"`
	Raw       Raw       `json:"raw"`
	Outbox    Outbox    `json:"outbox"`
	Enrolment Enrolment `json:"enrolment"`
	Service   []Service `json:"service"`
	Server    Server    `json:"server"`
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
	Callers         []int   `json:"callers"`
	Persons         int     `json:"persons"`
	HSMSessions     int     `json:"hsm_sessions"` // of the server, and threads of the raw rows
	Format          string  `json:"format"`       // of each signature
}

// Quantiles are milliseconds.
type Quantiles struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
}

// Raw is what the HSM does by itself, in this process.
type Raw struct {
	TokenSign  RawRow `json:"token_sign"`  // C_Sign with a key held on the token
	UnwrapSign RawRow `json:"unwrap_sign"` // unwrap, C_Sign, destroy: the placement of the service's keys
}

// RawRow is one kind of raw signature, measured before and after the service.
type RawRow struct {
	Before       RawRun  `json:"before"`
	After        RawRun  `json:"after"`
	PerSecond    float64 `json:"per_second"`    // mean of both
	CPUMicros    float64 `json:"cpu_micros"`    // of one signature, mean of both
	DriftPercent float64 `json:"drift_percent"` // of the rate, from before to after
}

// RawRun is one measurement of the HSM.
type RawRun struct {
	Signatures int       `json:"signatures"`
	PerSecond  float64   `json:"per_second"`
	CPUMicros  float64   `json:"cpu_micros"` // of this process for one signature
	LatencyMS  Quantiles `json:"latency_ms"`
}

// Outbox is what the "phone" costs: the server writes each text to a file of its own.
type Outbox struct {
	WriteCPUMicros float64 `json:"write_cpu_micros"` // of one message, part of the server's CPU
}

// Enrolment is how the persons got their credentials.
type Enrolment struct {
	Persons   int     `json:"persons"`
	Parallel  int     `json:"parallel"`
	Seconds   float64 `json:"seconds"`
	PerSecond float64 `json:"per_second"`
	CPUMillis float64 `json:"server_cpu_millis"` // for one person
}

// Service is one row of authorised signatures: created, authorised with the code, released with a receipt.
type Service struct {
	Callers         int     `json:"callers"`
	Signatures      int     `json:"signatures"` // completed in the window
	Seconds         float64 `json:"seconds"`    // of the window
	PerSecond       float64 `json:"per_second"`
	RatioToRaw      float64 `json:"ratio_to_raw"` // to unwrap_sign
	Verified        int     `json:"verified"`     // signatures checked with the certificate's key after the window
	LatencyMS       Latency `json:"latency_ms"`
	ServerCPUMicros float64 `json:"server_cpu_micros"` // for one signature
	EngineCPUMicros float64 `json:"engine_cpu_micros"` // server_cpu_micros less the raw HSM's
	ClientCPUMicros float64 `json:"client_cpu_micros"` // of this process: all callers, TLS, the phone
	BusyCores       float64 `json:"busy_cores"`        // server and client together
}

// Latency is how long the parts of one signature took, seen by the caller.
type Latency struct {
	Create    Quantiles `json:"create"`
	Code      Quantiles `json:"code"` // from the answer to create until the code is on the phone
	Authorise Quantiles `json:"authorise"`
	Total     Quantiles `json:"total"`
}

// Server is what the service used over the whole run.
type Server struct {
	MaxRSSMegabytes float64 `json:"max_rss_megabytes"`
}

// relate computes what compares rows with each other.
func (r *Report) relate() {
	for _, row := range []*RawRow{&r.Raw.TokenSign, &r.Raw.UnwrapSign} {
		row.PerSecond = round((row.Before.PerSecond+row.After.PerSecond)/2, 1)
		row.CPUMicros = round((row.Before.CPUMicros+row.After.CPUMicros)/2, 1)
		if row.Before.PerSecond > 0 {
			row.DriftPercent = round(100*(row.After.PerSecond/row.Before.PerSecond-1), 1)
		}
	}
	for i := range r.Service {
		s := &r.Service[i]
		if r.Raw.UnwrapSign.PerSecond > 0 {
			s.RatioToRaw = round(s.PerSecond/r.Raw.UnwrapSign.PerSecond, 3)
		}
		s.EngineCPUMicros = round(s.ServerCPUMicros-r.Raw.UnwrapSign.CPUMicros, 1)
		s.BusyCores = round(s.PerSecond*(s.ServerCPUMicros+s.ClientCPUMicros)/1e6, 2)
	}
}

// WriteJSON writes the report as one JSON document.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// WriteText writes the report as tables for people.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(t, format+"\n", args...) } // Flush tells of errors
	m, s := r.Machine, r.Settings
	line("program\t%s, %s", m.Program, m.Go)
	line("machine\t%s, %d cores, load %.2f before the run, %s", m.CPU, m.Cores, m.Load, m.OS)
	line("HSM\t%s %s", m.Module, m.HSMVersion)
	line("disk\t%s, fdatasync p50 %.2f ms, p99 %.2f ms", m.Filesystem, m.SyncMS.P50, m.SyncMS.P99)
	line("run\t%.1f s a row, %d persons, %d HSM sessions, %s\n", s.DurationSeconds, s.Persons, s.HSMSessions, s.Format)
	line("raw HSM\tsignatures/s\tbefore\tafter\tdrift\tCPU µs\tp50 ms\tp99 ms")
	for _, row := range []struct {
		name string
		RawRow
	}{{"key on the token", r.Raw.TokenSign}, {"unwrap and sign", r.Raw.UnwrapSign}} {
		line("%s\t%.0f\t%.0f\t%.0f\t%+.1f %%\t%.0f\t%.2f\t%.2f", row.name, row.PerSecond, row.Before.PerSecond, row.After.PerSecond,
			row.DriftPercent, row.CPUMicros, row.Before.LatencyMS.P50, row.Before.LatencyMS.P99)
	}
	line("\nservice\tsignatures/s\tratio to raw\tserver CPU µs\tless raw HSM\tclient CPU µs\tcores busy")
	for _, row := range r.Service {
		line("%d callers\t%.0f\t%.3f\t%.0f\t%.0f\t%.0f\t%.2f", row.Callers, row.PerSecond, row.RatioToRaw, row.ServerCPUMicros,
			row.EngineCPUMicros, row.ClientCPUMicros, row.BusyCores)
	}
	line("\nlatency, ms (p50/p99)\tcreate\tcode on the phone\tauthorise\ttotal")
	for _, row := range r.Service {
		l := row.LatencyMS
		line("%d callers\t%v\t%v\t%v\t%v", row.Callers, l.Create, l.Code, l.Authorise, l.Total)
	}
	line("\noutbox file\t%.0f µs CPU a message, part of the server's", r.Outbox.WriteCPUMicros)
	line("enrolment\t%d persons in %.1f s, %d at a time, %.1f ms server CPU each", r.Enrolment.Persons, r.Enrolment.Seconds,
		r.Enrolment.Parallel, r.Enrolment.CPUMillis)
	line("server memory\t%.0f MB at most", r.Server.MaxRSSMegabytes)
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// String writes both values as the tables show them.
func (q Quantiles) String() string { return fmt.Sprintf("%.1f/%.1f", q.P50, q.P99) }
