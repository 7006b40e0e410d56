package engine

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// gauge adds a value that is asked for at each look.
func (m *metrics) gauge(name, help string, labels prometheus.Labels, value func() float64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, value))
}

// look adds what the engine's parts tell of themselves: how busy they are, and what waits.
func (e *Engine) look(m *metrics) {
	m.gauge("ecsigner_calls_in_flight", "Calls in progress.", prometheus.Labels{"kind": "unary"}, func() float64 {
		calls, _ := e.server.InFlight()
		return float64(calls)
	})
	m.gauge("ecsigner_calls_in_flight", "Calls in progress.", prometheus.Labels{"kind": "stream"}, func() float64 {
		_, streams := e.server.InFlight()
		return float64(streams)
	})
	m.gauge("ecsigner_hsm_sessions_busy", "Calls inside the HSM now.", nil, func() float64 {
		busy, _ := e.device.Sessions()
		return float64(busy)
	})
	m.gauge("ecsigner_hsm_sessions", "Calls that can be inside the HSM at once.", nil, func() float64 {
		_, all := e.device.Sessions()
		return float64(all)
	})
	m.gauge("ecsigner_store_waiting", "Units of work that wait for the writer or for their commit.", nil, func() float64 {
		return float64(e.db.Waiting())
	})
	m.gauge("ecsigner_outbox_messages", "Messages that wait to be sent.", nil, func() float64 {
		n, _, err := e.backlog()
		if err != nil {
			return -1
		}
		return float64(n)
	})
	m.gauge("ecsigner_outbox_oldest_seconds", "How long the oldest message waits.", nil, func() float64 {
		_, oldest, err := e.backlog()
		if err != nil {
			return -1
		}
		return age(oldest)
	})
	m.gauge("ecsigner_levels_waiting", "Signatures that wait for a higher level.", nil, func() float64 {
		n, _, err := e.jobs()
		if err != nil {
			return -1
		}
		return float64(n)
	})
	m.gauge("ecsigner_levels_oldest_seconds", "How long the oldest of them waits.", nil, func() float64 {
		_, oldest, err := e.jobs()
		if err != nil {
			return -1
		}
		return age(oldest)
	})
	m.gauge("ecsigner_crl_age_seconds", "Age of the revocation list that is served; 0 before the first.", nil, func() float64 {
		made, _ := e.tenure.CRLTimes()
		return age(made)
	})
	m.gauge("ecsigner_crl_left_seconds", "How long the revocation list that is served still lasts; 0 before the first.", nil, func() float64 {
		_, ends := e.tenure.CRLTimes()
		return -age(ends)
	})
}

func (e *Engine) backlog() (int, time.Time, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return e.db.Backlog(ctx)
}

func (e *Engine) jobs() (int, time.Time, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return e.db.JobBacklog(ctx)
}

// age in seconds; 0 of no time at all.
func age(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return time.Since(t).Seconds()
}
