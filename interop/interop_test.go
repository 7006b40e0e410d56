//go:build interop

package interop

import "testing"

// TestInterop has the judges judged first, and then what we make; docs/interop.md is written from both.
func TestInterop(t *testing.T) {
	var sections []string
	section := func(name string, f func(*testing.T) string) {
		t.Run(name, func(t *testing.T) { sections = append(sections, f(t)) })
	}
	section("matrix", matrix)
	if !t.Failed() && len(sections) == 1 {
		publish(t, append([]string{preface}, sections...)...)
	}
}
