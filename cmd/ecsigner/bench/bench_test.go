package bench

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"
)

// few are the smallest good options.
func few() Options {
	return Options{
		Duration: time.Second, Algorithms: []string{ECDSAP256}, Batches: []int{1}, Callers: []int{1}, Persons: 1, RSAPersons: 1,
		Writer: io.Discard, Progress: io.Discard,
	}
}

func TestOptionsThatMeasureNothing(t *testing.T) {
	good := few()
	for name, spoil := range map[string]func(*Options){
		"no time":           func(o *Options) { o.Duration = 0 },
		"too short":         func(o *Options) { o.Duration = time.Millisecond },
		"too long":          func(o *Options) { o.Duration = 2 * time.Hour },
		"no callers":        func(o *Options) { o.Callers = nil },
		"zero callers":      func(o *Options) { o.Callers = []int{16, 0} },
		"too many callers":  func(o *Options) { o.Callers = []int{257} },
		"no persons":        func(o *Options) { o.Persons = 0 },
		"too many persons":  func(o *Options) { o.Persons = 2000 },
		"no RSA persons":    func(o *Options) { o.RSAPersons = 0 },
		"no algorithm":      func(o *Options) { o.Algorithms = nil },
		"unknown algorithm": func(o *Options) { o.Algorithms = []string{ECDSAP256, "rsa-1024"} },
		"one twice":         func(o *Options) { o.Algorithms = []string{RSA3072, RSA3072} },
		"no batch":          func(o *Options) { o.Batches = nil },
		"an empty batch":    func(o *Options) { o.Batches = []int{0} },
		"too large a batch": func(o *Options) { o.Batches = []int{1, 101} },
		"a batch twice":     func(o *Options) { o.Batches = []int{1, 100, 1} },
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
	o := few()
	o.Program = "/nonexistent/ecsigner"
	if err := Run(context.Background(), o); err == nil {
		t.Error("a run without a program succeeded")
	}
}
