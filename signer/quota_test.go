package signer

import (
	"errors"
	"testing"
	"time"
)

func TestQuota(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	q := newQuota(100, time.Hour)
	refused := func(caller string, want bool) {
		t.Helper()
		if err := q.room(caller, now); errors.Is(err, ErrQuota) != want || err != nil && !want {
			t.Errorf("%s: %v", caller, err)
		}
	}
	refused("a", false)
	q.keep("a", "d1", 60, now)
	refused("a", false)
	q.keep("a", "d2", 60, now.Add(time.Minute))
	refused("a", true)
	refused("b", false) // nobody pays for another
	q.gone("d1")        // acknowledged
	q.gone("d1")        // twice
	refused("a", false)
	q.keep("a", "d3", 40, now.Add(2*time.Minute))
	refused("a", true)
	now = now.Add(61 * time.Minute) // d2 has ended
	refused("a", false)
	now = now.Add(time.Minute)
	refused("a", false)
	if len(q.kept) != 0 || len(q.sums) != 0 || len(q.due) != 0 {
		t.Errorf("left: %v, %v, %v", q.kept, q.sums, q.due)
	}
	free := newQuota(0, time.Hour)
	free.keep("a", "d", 1<<40, now)
	if err := free.room("a", now); err != nil || len(free.kept) != 0 {
		t.Errorf("without a limit: %v, %v", err, free.kept)
	}
}
