package bench

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"
)

func TestOptionsThatMeasureNothing(t *testing.T) {
	good := Options{Duration: time.Second, Callers: []int{1}, Persons: 1, Writer: io.Discard, Progress: io.Discard}
	for name, spoil := range map[string]func(*Options){
		"no time":          func(o *Options) { o.Duration = 0 },
		"too short":        func(o *Options) { o.Duration = time.Millisecond },
		"too long":         func(o *Options) { o.Duration = 2 * time.Hour },
		"no callers":       func(o *Options) { o.Callers = nil },
		"zero callers":     func(o *Options) { o.Callers = []int{16, 0} },
		"too many callers": func(o *Options) { o.Callers = []int{257} },
		"no persons":       func(o *Options) { o.Persons = 0 },
		"too many persons": func(o *Options) { o.Persons = 2001 },
	} {
		o := good
		spoil(&o)
		if err := Run(context.Background(), o); !errors.Is(err, ErrOptions) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := good.check(); err != nil {
		t.Error(err)
	}
}

func TestRunWithoutTheProgram(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	o := Options{Program: "/nonexistent/ecsigner", Duration: time.Second, Callers: []int{1}, Persons: 1, Writer: io.Discard, Progress: io.Discard}
	if err := Run(context.Background(), o); err == nil {
		t.Error("a run without a program succeeded")
	}
}
