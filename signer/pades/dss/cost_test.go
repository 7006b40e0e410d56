package dss

import (
	"errors"
	"testing"

	"github.com/ecsigner/ecsigner/signer/revinfo"
)

// TestTrustLargeLists: lists of tens of megabytes, which are small in a compressed store, are not hashed for thousands of
// certificates of one name.
func TestTrustLargeLists(t *testing.T) {
	for _, c := range []struct{ size, least, most int }{{64 << 20, 2, 16}, {1 << 10, maxChecks, maxChecks}} {
		e := NewEvidence(revinfo.Evidence{})
		calls := 0
		for range 2 * maxChecks {
			e.verified(new(int), new(int), c.size, func() error { calls++; return errors.New("not by this one") })
		}
		if calls < c.least || calls > c.most {
			t.Errorf("%d bytes: hashed %d times", c.size, calls)
		}
	}
}
