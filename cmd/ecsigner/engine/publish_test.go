package engine

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/store"
)

// TestActivationEndsWithoutPublication: for a minute nobody is refused; then activations are, until it works again.
func TestActivationEndsWithoutPublication(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	alarms := 0
	p := &publisher{
		now: func() time.Time { return now }, logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		alarm: func(_ context.Context, kind, _ string, _ error) {
			if kind == "publication" {
				alarms++
			}
		},
	}
	broken := errors.New("read-only file system")
	if err := errors.Join(p.activating(), p.Healthy(t.Context())); err != nil {
		t.Fatal(err)
	}
	p.failed(broken)
	now = now.Add(publicationGrace - time.Second)
	p.failed(broken)
	if err := p.activating(); err != nil {
		t.Errorf("within the grace: %v", err)
	}
	if err := p.Healthy(t.Context()); !errors.Is(err, broken) {
		t.Errorf("health says %v", err)
	}
	now = now.Add(time.Second)
	if err := p.activating(); !errors.Is(err, store.ErrUnpublished) {
		t.Errorf("after the grace: %v", err)
	}
	if alarms != 1 {
		t.Errorf("%d alarms", alarms)
	}
}
