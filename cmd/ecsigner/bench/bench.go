// Package bench measures the engine against the bare HSM: in one run, on one machine, what the HSM signs by itself and
// what comes out of the whole service over mutual TLS, with code, durable commits and log receipt. The service is a
// process of its own with an installation of its own, set up and enrolled as any other.
package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/config"
)

// ErrOptions: the options of a run contradict the limits of the service or make no measurement.
var ErrOptions = errors.New("bench: options are wrong")

// Options of one run.
type Options struct {
	Program    string        // path of the ecsigner binary that is measured
	JSON       bool          // write the report as JSON, not as Markdown
	Duration   time.Duration // of each row: the measured window of the service, before and after together of the raw HSM
	Algorithms []string      // keys, or schemes of RSA, to measure; Known lists them
	Batches    []int         // digests under one code, one group of rows for each number
	Callers    []int         // one row of the service for each number of callers
	Persons    int           // enrolled with each type of ECDSA key, each with a credential of its own
	RSAPersons int           // enrolled with an RSA key
	Profile    bool          // also tell where the service's CPU time goes
	ProfileDir string        // where the profiles stay; empty: nowhere
	Writer     io.Writer     // takes the report
	Progress   io.Writer     // is told what is being done
}

// Bounds of the options. One client may have 256 calls in progress (server.DefaultLimits), one operation 100 items.
const (
	maxCallers  = 256
	maxPersons  = 2000
	maxBatch    = 100
	minDuration = 200 * time.Millisecond
	maxDuration = time.Hour
)

func (o Options) check() error {
	unknown := func(key string) bool { return schemes(key) == nil }
	switch {
	case o.Duration < minDuration || o.Duration > maxDuration:
		return fmt.Errorf("%w: duration must be %v to %v", ErrOptions, minDuration, maxDuration)
	case len(o.Algorithms) == 0 || slices.ContainsFunc(o.Algorithms, unknown) || o.twice():
		return fmt.Errorf("%w: algorithms must be some of %s", ErrOptions, Known())
	case len(o.Batches) == 0 || slices.Min(o.Batches) < 1 || slices.Max(o.Batches) > maxBatch || repeats(o.Batches):
		return fmt.Errorf("%w: batches must be different numbers from 1 to %d", ErrOptions, maxBatch)
	case len(o.Callers) == 0 || slices.Min(o.Callers) < 1 || slices.Max(o.Callers) > maxCallers:
		return fmt.Errorf("%w: callers must be numbers from 1 to %d", ErrOptions, maxCallers)
	case o.Persons < 1 || o.RSAPersons < 1 || o.Persons+o.RSAPersons > maxPersons || o.everybody() > maxPersons:
		return fmt.Errorf("%w: persons must be 1 to %d together", ErrOptions, maxPersons)
	}
	return nil
}

// twice tells that something would be measured twice.
func (o Options) twice() bool {
	var names []string
	for _, name := range o.Algorithms {
		for _, s := range schemes(name) {
			names = append(names, s.name)
		}
	}
	return repeats(names)
}

// everybody counts the persons of all keys.
func (o Options) everybody() (n int) {
	for _, key := range o.keys() {
		n += o.persons(key)
	}
	return n
}

func repeats[T cmp.Ordered](list []T) bool {
	return len(slices.Compact(slices.Sorted(slices.Values(list)))) != len(list)
}

// Run measures and writes the report to o.Writer. Everything happens in a new directory below os.TempDir, which is
// removed at the end: TMPDIR chooses the disk that is measured. Any refused call fails the whole run.
func Run(ctx context.Context, o Options) (err error) {
	if err := o.check(); err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "ecsigner-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	if o.Profile && o.ProfileDir == "" {
		o.ProfileDir = filepath.Join(work, "profiles")
	}
	r := &run{Options: o, work: work, report: Report{Schema: Schema, Started: time.Now().UTC().Truncate(time.Second), Profiles: []Profile{}}}
	if err := r.measure(ctx); err != nil {
		return err
	}
	if o.JSON {
		return r.report.WriteJSON(o.Writer)
	}
	return r.report.WriteMarkdown(o.Writer)
}

// run is the state of one run.
type run struct {
	Options
	work   string
	report Report

	server      *server
	raw         *raw
	clients     *clients
	phone       *phone
	credentials map[string][]string // by key
	rows        int                 // of the service, begun
}

func (r *run) say(format string, args ...any) { _, _ = fmt.Fprintf(r.Progress, format+"\n", args...) }

// measure sets up, enrols, and takes the rows of each workload: raw HSM, service, raw HSM again.
func (r *run) measure(ctx context.Context) (err error) {
	r.say("setting up an installation in %s", r.work)
	if r.server, err = initialise(ctx, r.Program, filepath.Join(r.work, "installation")); err != nil {
		return err
	}
	cfg, err := config.Load(r.server.path("ecsigner.yaml"))
	if err != nil {
		return err
	}
	r.report.Settings = Settings{
		DurationSeconds: r.Duration.Seconds(), HSMSessions: cfg.HSM.Sessions, Format: "cades-b-b",
	}
	if r.report.Machine, err = describe(ctx, r.Program, cfg.HSM.Module, r.work); err != nil {
		return err
	}
	if r.report.Outbox, err = outboxCost(r.work); err != nil {
		return err
	}
	if r.raw, err = openRaw(ctx, cfg.HSM, filepath.Join(r.work, "raw"), r.keys()); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.raw.close()) }()
	if err := r.served(ctx, func() error { return r.rates(ctx) }); err != nil {
		return err
	}
	r.report.relate()
	return nil
}

// around measures the raw HSM with a workload, does what is given, and measures it again, so that a drift of the
// machine shows.
func (r *run) around(ctx context.Context, w workload, between func() error) error {
	kinds, err := r.raw.kinds(ctx, w)
	if err != nil {
		return err
	}
	rows := make([]RawRow, len(kinds))
	r.say("%v: raw HSM, %d threads", w, r.raw.threads)
	for i, k := range kinds {
		rows[i] = RawRow{Algorithm: w.name, Placement: k.placement, Batch: w.batch}
		if rows[i].Before, err = r.raw.loop(ctx, r.Duration/2, w.batch, k.sign); err != nil {
			return fmt.Errorf("%v: raw HSM, key %s: %w", w, k.placement, err)
		}
	}
	if err := between(); err != nil {
		return err
	}
	r.say("%v: raw HSM again", w)
	for i, k := range kinds {
		if rows[i].After, err = r.raw.loop(ctx, r.Duration/2, w.batch, k.sign); err != nil {
			return fmt.Errorf("%v: raw HSM, key %s: %w", w, k.placement, err)
		}
	}
	r.report.Raw = append(r.report.Raw, rows...)
	return nil
}
