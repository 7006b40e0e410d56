//go:build interop

package interop

import (
	"testing"
)

func TestInteropExplore(t *testing.T) {
	w, r, allowed := shared(t), judges(t), readAllowed(t)
	for _, f := range w.vectors(t, r) {
		subjects := []subject{f.subject}
		raised, err := w.raise(f)
		if err != nil {
			t.Errorf("%s: %v", f.name(), err)
		}
		for i, s := range append(subjects, raised...) {
			for _, j := range all[:4] {
				said, err := j.ask(w, r, s)
				t.Logf("%s: %d %s: %s: %s %v", f.name(), i, s.level, j.name, allowed.allow(j, s, said), err)
			}
		}
	}
}
