package levels

import (
	"errors"
	"testing"
)

// TestTrustLargeLists: a list of tens of megabytes is not hashed for hundreds of certificates of one name.
func TestTrustLargeLists(t *testing.T) {
	for _, c := range []struct{ size, least, most int }{{60 << 20, 2, 16}, {1 << 10, maxChecks, maxChecks}} {
		e, calls := &evidence{}, 0
		for range 2 * maxChecks {
			e.check(c.size, func() error { calls++; return errors.New("not by this one") })
		}
		if calls < c.least || calls > c.most {
			t.Errorf("%d bytes: hashed %d times", c.size, calls)
		}
	}
}
