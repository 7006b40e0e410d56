package engine

import (
	"context"
	"log/slog"
	"net/http"
	"path"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/server"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics are what an operator watches. Labels are methods, reasons, kinds of events and parts of the service: nothing
// of a person, a client or an operation.
type metrics struct {
	registry *prometheus.Registry
	calls    *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	events   *prometheus.CounterVec
	entries  prometheus.Gauge
	messages *prometheus.CounterVec
	levels   *prometheus.CounterVec
	next     int64 // first entry of the log that is not counted yet
}

func newMetrics(version string) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ecsigner_calls_total", Help: "gRPC calls that ended, by method and by the reason they were refused for, empty if answered.",
		}, []string{"method", "reason"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "ecsigner_call_seconds", Help: "How long gRPC calls took, by method and by the reason they were refused for, empty if answered.",
			Buckets: []float64{.002, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"method", "reason"}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ecsigner_log_events_total", Help: "Events recorded in the operation log since the start, by kind.",
		}, []string{"event"}),
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ecsigner_messages_total", Help: "Texts to phones, by kind: accepted by a provider, given up (failed), and what providers reported (delivered, failed).",
		}, []string{"kind", "status"}),
		levels: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "ecsigner_level_failures_total", Help: "Attempts to raise a signature that failed, by reason.",
		}, []string{"reason"}),
		entries: prometheus.NewGauge(prometheus.GaugeOpts{Name: "ecsigner_log_entries", Help: "Entries of the operation log."}),
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "ecsigner_info", Help: "1, with the version of the program.", ConstLabels: prometheus.Labels{"version": version},
	})
	info.Set(1)
	m.registry.MustRegister(
		m.calls, m.seconds, m.events, m.entries, m.messages, m.levels, info,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}

// called counts a call. Methods are written as SERVICE/METHOD.
func (m *metrics) called(c server.Call) {
	method := path.Base(path.Dir(c.Method)) + "/" + path.Base(c.Method)
	m.calls.WithLabelValues(method, string(c.Reason)).Inc()
	m.seconds.WithLabelValues(method, string(c.Reason)).Observe(c.Took.Seconds())
}

// notRaised counts an attempt at a level that failed.
func (m *metrics) notRaised(reason string) { m.levels.WithLabelValues(reason).Inc() }

// watch reports at each look whether a part works. A part that does not answer in time does not work.
func (m *metrics) watch(checks []server.Check) {
	for _, c := range checks {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "ecsigner_healthy", Help: "1 while the part works.", ConstLabels: prometheus.Labels{"part": c.Name},
		}, func() float64 {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			if c.Test(ctx) != nil {
				return 0
			}
			return 1
		}))
	}
}

// entriesReader is the log as metrics read it.
type entriesReader interface {
	Size(ctx context.Context) (int64, error)
	ReadEntries(ctx context.Context, from int64, n int) ([][]byte, error)
}

// follow counts what the log got since the last time. The log is the truth: what is counted is durable.
func (m *metrics) follow(ctx context.Context, log entriesReader) error {
	size, err := log.Size(ctx)
	if err != nil {
		return err
	}
	m.entries.Set(float64(size))
	for m.next < size {
		page, err := log.ReadEntries(ctx, m.next, int(min(size-m.next, 1000)))
		if err != nil {
			return err
		}
		for _, entry := range page {
			_, event, err := audit.Decode(entry)
			if err != nil {
				return err
			}
			m.events.WithLabelValues(audit.Kind(event)).Inc()
			m.next++
		}
	}
	return nil
}

// server answers GET /metrics.
func (m *metrics) server(logger *slog.Logger) *http.Server {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelWarn), MaxRequestsInFlight: 4, Timeout: 10 * time.Second,
	}))
	return &http.Server{
		Handler: http.MaxBytesHandler(mux, 1<<10), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 8 << 10,
		ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
}
