//go:build interop

package interop

import (
	"slices"
	"testing"
)

// TestInterop has the judges judged first, and then what we make; docs/interop.md is written from both.
func TestInterop(t *testing.T) {
	t.Parallel()
	var sections []string
	section := func(name string, f func(*testing.T) string) {
		t.Run(name, func(t *testing.T) { sections = append(sections, f(t)) })
	}
	section("faults", faultSection)
	section("foreign", foreignSection)
	section("matrix", matrix)
	if !t.Failed() && len(sections) == 3 && !slices.Contains(sections, "") {
		sections = []string{sections[2], sections[1], sections[0]} // the judges are shown with the matrix
		publish(t, append([]string{preface}, sections...)...)
	}
}
