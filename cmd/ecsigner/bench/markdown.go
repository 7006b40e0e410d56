package bench

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// WriteMarkdown writes the report as tables for people, as docs/benchmarks.md holds them.
func (r *Report) WriteMarkdown(w io.Writer) error {
	m, s := r.Machine, r.Settings
	sections := []string{
		table([]string{"Taken on", ""}, [][]string{
			{"program", m.Program + ", " + m.Go + ", " + r.Started.Format("2006-01-02")},
			{"machine", fmt.Sprintf("%s, %d cores, load %.2f before the run, %s", m.CPU, m.Cores, m.Load, m.OS)},
			{"HSM", strings.TrimSpace(m.Module+" "+m.HSMVersion) + fmt.Sprintf(", %d sessions", s.HSMSessions)},
			{"disk", fmt.Sprintf("%s, fdatasync p50 %.2f ms, p99 %.2f ms", m.Filesystem, m.SyncMS.P50, m.SyncMS.P99)},
			{"each row", fmt.Sprintf("%.1f s, %s", s.DurationSeconds, s.Format)},
		}),
		"Raw HSM, without the service:", r.rawTable(),
		"Service, from the request to the released signature:", r.serviceTable(),
		"Latency of one operation in ms, p50 / p95 / p99:", r.latencyTable(),
		"Beside it:", r.restTable(),
	}
	if len(r.Profiles) > 0 {
		sections = append(sections, "Where the server's CPU time goes, µs for one signature (share):", r.profileTable())
	}
	_, err := io.WriteString(w, strings.Join(sections, "\n\n")+"\n")
	return err
}

// name is how tables name a workload.
func name(algorithm string, batch int) string {
	return workload{scheme: scheme{name: algorithm}, batch: batch}.String()
}

func (r *Report) rawTable() string {
	var rows [][]string
	for _, w := range r.Raw {
		what := "unwrap and sign"
		switch {
		case w.Placement == onToken:
			what = "key on the token"
		case w.Batch > 1:
			what = fmt.Sprintf("unwrap and sign %d", w.Batch)
		}
		rows = append(rows, []string{
			w.Algorithm + ", " + what, figure(w.PerSecond), figure((w.Before.OperationsPerSecond + w.After.OperationsPerSecond) / 2),
			fmt.Sprintf("%+.1f %%", w.DriftPercent), figure(w.CPUMicros), w.Before.LatencyMS.String(),
		})
	}
	return table([]string{"Raw", "signatures/s", "operations/s", "drift", "CPU µs a signature", "ms an operation"}, rows)
}

func (r *Report) serviceTable() string {
	var rows [][]string
	for _, s := range r.Service {
		rows = append(rows, []string{
			rowName(s), figure(s.PerSecond), figure(s.OperationsPerSecond), fmt.Sprintf("%.3f", s.RatioToRaw), figure(s.ServerCPUMicros),
			figure(s.EngineCPUMicros), figure(s.ClientCPUMicros), fmt.Sprintf("%.2f", s.BusyCores),
		})
	}
	return table([]string{
		"Service", "signatures/s", "operations/s", "ratio to raw", "server CPU µs", "less raw HSM", "client CPU µs", "cores busy",
	}, rows)
}

func rowName(s Service) string {
	return fmt.Sprintf("%s, %d callers", name(s.Algorithm, s.Batch), s.Callers)
}

func (r *Report) latencyTable() string {
	var rows [][]string
	for _, s := range r.Service {
		l := s.LatencyMS
		rows = append(rows, []string{rowName(s), l.Create.String(), l.Code.String(), l.Authorise.String(), l.Total.String()})
	}
	return table([]string{"Latency", "create", "code on the phone", "authorise", "total"}, rows)
}

func (r *Report) restTable() string {
	rows := [][]string{{"outbox file", fmt.Sprintf("%.0f µs CPU a message, part of the server's", r.Outbox.WriteCPUMicros)}}
	for _, e := range r.Enrolment {
		rows = append(rows, []string{
			"enrolment, " + e.Key, fmt.Sprintf("%d persons in %.1f s, %d at a time, %.0f ms server CPU each", e.Persons, e.Seconds, e.Parallel, e.CPUMillis),
		})
	}
	rows = append(rows, []string{"server memory", fmt.Sprintf("%.0f MB at most", r.Server.MaxRSSMegabytes)})
	return table([]string{"What", "Used"}, rows)
}

// profileTable has a column for each workload and a row for each part, the largest of the first workload first.
func (r *Report) profileTable() string {
	head := []string{"Part"}
	var parts []string
	for _, p := range r.Profiles {
		head = append(head, name(p.Algorithm, p.Batch))
		for _, s := range p.Parts {
			if !slices.Contains(parts, s.Part) {
				parts = append(parts, s.Part)
			}
		}
	}
	rows := make([][]string, len(parts))
	for i, part := range parts {
		rows[i] = []string{part}
		for _, p := range r.Profiles {
			cell := ""
			for _, s := range p.Parts {
				if s.Part == part {
					cell = fmt.Sprintf("%s (%.1f %%)", figure(s.CPUMicros), s.Percent)
				}
			}
			rows[i] = append(rows[i], cell)
		}
	}
	return table(head, rows)
}

// figure writes three digits of what is small and no fractions of what is not.
func figure(f float64) string {
	switch {
	case f < 10:
		return fmt.Sprintf("%.2f", f)
	case f < 100:
		return fmt.Sprintf("%.1f", f)
	}
	return fmt.Sprintf("%.0f", f)
}

// table writes a Markdown table that also reads well as it is.
func table(head []string, rows [][]string) string {
	rule := make([]string, len(head))
	width := make([]int, len(head))
	for _, row := range append([][]string{head}, rows...) {
		for i, cell := range row {
			width[i] = max(width[i], utf8.RuneCountInString(cell), 3)
		}
	}
	for i, w := range width {
		rule[i] = strings.Repeat("-", w)
	}
	var lines []string
	for _, row := range append([][]string{head, rule}, rows...) {
		var b strings.Builder
		for i, cell := range row {
			b.WriteString("| " + cell + strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell)+1))
		}
		lines = append(lines, b.String()+"|")
	}
	return strings.Join(lines, "\n")
}

// String writes the values as the tables show them.
func (q Quantiles) String() string { return fmt.Sprintf("%.1f / %.1f / %.1f", q.P50, q.P95, q.P99) }
