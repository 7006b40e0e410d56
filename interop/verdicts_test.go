//go:build interop

package interop

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// verdict is a line of verdicts.txt: what a judge must say of every subject that has the tags, literally.
type verdict struct {
	judge, when string
	tags        []string // each may name several alternatives, between strokes
	text        string   // empty: it is not asked
	reason      string   // why it is not asked, or what its word is worth
	used        atomic.Bool
}

// expectations are all lines; the first that fits a subject holds.
type expectations []*verdict

// readVerdicts reads lines of "judge | when | verdict" and "judge | when | - | why it cannot judge".
func readVerdicts(t *testing.T, file string) expectations {
	t.Helper()
	var all expectations
	lines := rows(t, file)
	for _, n := range slices.Sorted(maps.Keys(lines)) {
		line := lines[n]
		if len(line) < 3 || len(line) > 4 {
			t.Fatalf("%s, line %d: %d columns", file, n, len(line))
		}
		v := &verdict{judge: line[0], when: line[1], text: line[2]}
		if line[1] != "" {
			v.tags = strings.Fields(line[1])
		}
		if len(line) == 4 {
			v.reason = line[3]
		}
		if v.text == "-" {
			if v.text = ""; v.reason == "" {
				t.Fatalf("%s, line %d: no reason", file, n)
			}
		}
		all = append(all, v)
	}
	return all
}

// rows reads a file of lines with columns between strokes, by line number. Lines that begin with # are remarks.
func rows(t *testing.T, name string) map[int][]string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	found := map[int][]string{}
	for n, line := range strings.Split(string(data), "\n") {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		cells := strings.Split(line, "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		found[n+1] = cells
	}
	return found
}

// fits tells whether a subject has all tags.
func (v *verdict) fits(s subject) bool {
	have := s.tags()
	return !slices.ContainsFunc(v.tags, func(want string) bool {
		return !slices.ContainsFunc(strings.Split(want, "/"), func(w string) bool { return slices.Contains(have, w) })
	})
}

// of returns what a judge must say of a subject.
func (e expectations) of(j judge, s subject) (*verdict, error) {
	for _, v := range e {
		if v.judge == j.name && v.fits(s) {
			v.used.Store(true)
			return v, nil
		}
	}
	return nil, fmt.Errorf("it is not said what %s must say of %v", j.name, s)
}

// unused complains of lines that speak of nothing.
func (e expectations) unused(t *testing.T, file string) {
	t.Helper()
	for _, v := range e {
		if !v.used.Load() {
			t.Errorf("%s: nothing fits %q of %s", file, v.when, v.judge)
		}
	}
}
