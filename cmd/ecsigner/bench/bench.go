// Package bench measures the engine against the bare HSM: in one run, on one machine, what the HSM signs by itself and
// what comes out of the whole service over mutual TLS, with code, durable commits and log receipt. The service is a
// process of its own with an installation of its own, set up and enrolled as any other.
package bench

import (
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
	Program  string        // path of the ecsigner binary that is measured
	JSON     bool          // write the report as JSON, not as tables
	Duration time.Duration // of each row: the measured window of the service, before and after together of the raw HSM
	Callers  []int         // one row of the service for each number of callers
	Persons  int           // enrolled persons, each with a credential of its own
	Writer   io.Writer     // takes the report
	Progress io.Writer     // is told what is being done
}

// Bounds of the options. One client may have 256 calls in progress (server.DefaultLimits).
const (
	maxCallers  = 256
	maxPersons  = 2000
	minDuration = 200 * time.Millisecond
	maxDuration = time.Hour
)

func (o Options) check() error {
	switch {
	case o.Duration < minDuration || o.Duration > maxDuration:
		return fmt.Errorf("%w: duration must be %v to %v", ErrOptions, minDuration, maxDuration)
	case len(o.Callers) == 0 || slices.Min(o.Callers) < 1 || slices.Max(o.Callers) > maxCallers:
		return fmt.Errorf("%w: callers must be numbers from 1 to %d", ErrOptions, maxCallers)
	case o.Persons < 1 || o.Persons > maxPersons:
		return fmt.Errorf("%w: persons must be 1 to %d", ErrOptions, maxPersons)
	}
	return nil
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
	report, err := measure(ctx, o, work)
	if err != nil {
		return err
	}
	if o.JSON {
		return report.WriteJSON(o.Writer)
	}
	return report.WriteText(o.Writer)
}

// measure takes the rows in order: raw HSM, service, raw HSM again.
func measure(ctx context.Context, o Options, work string) (_ *Report, err error) {
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(o.Progress, format+"\n", args...) }
	r := &Report{Schema: Schema, Started: time.Now().UTC().Truncate(time.Second)}
	say("setting up an installation in %s", work)
	s, err := initialise(ctx, o.Program, filepath.Join(work, "installation"))
	if err != nil {
		return nil, err
	}
	cfg, err := config.Load(s.path("ecsigner.yaml"))
	if err != nil {
		return nil, err
	}
	r.Settings = Settings{
		DurationSeconds: o.Duration.Seconds(), Callers: o.Callers, Persons: o.Persons, HSMSessions: cfg.HSM.Sessions, Format: "cades-b-b",
	}
	if r.Machine, err = describe(ctx, o.Program, cfg.HSM.Module, work); err != nil {
		return nil, err
	}
	if r.Outbox, err = outboxCost(work); err != nil {
		return nil, err
	}
	raw, err := openRaw(ctx, cfg.HSM, filepath.Join(work, "raw"))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, raw.close()) }()
	say("raw HSM, %d threads, before the service", cfg.HSM.Sessions)
	if err := raw.measure(ctx, o.Duration/2, &r.Raw.TokenSign.Before, &r.Raw.UnwrapSign.Before); err != nil {
		return nil, err
	}
	if err := s.measure(ctx, o, r, say); err != nil {
		return nil, err
	}
	say("raw HSM, after the service")
	if err := raw.measure(ctx, o.Duration/2, &r.Raw.TokenSign.After, &r.Raw.UnwrapSign.After); err != nil {
		return nil, err
	}
	r.relate()
	return r, nil
}
