// Package mutations tells tests of seeded damage how many files to damage.
package mutations

import (
	"os"
	"strconv"
	"testing"
)

// Count is n, or what the environment's MUTATIONS says.
func Count(t testing.TB, n int) int {
	t.Helper()
	s := os.Getenv("MUTATIONS")
	if s == "" {
		return n
	}
	n, err := strconv.Atoi(s)
	if err != nil || n <= 0 {
		t.Fatalf("MUTATIONS=%s is no count", s)
	}
	return n
}
