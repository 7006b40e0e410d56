package voucher

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

// However many keys and clients come, memory holds no more than the limits allow for one window, and nothing after it.
func TestGuessMemoryIsBounded(t *testing.T) {
	limits := Limits{Person: 3, Caller: 50, Window: 10 * time.Minute}
	g := NewGuesses(limits)
	now := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	taken := 0
	for i := range 20000 {
		now = now.Add(100 * time.Millisecond) // over half an hour
		_, err := g.Take("portal", fmt.Sprint(i), now)
		var limited *RateError
		switch {
		case err == nil:
			taken++
		case !errors.As(err, &limited) || limited.Wait <= 0 || limited.Wait > limits.Window:
			t.Fatal(err)
		}
		// What left the window is forgotten within an eighth of it.
		if most := 2 * limits.Caller; len(g.persons) > most || len(g.callers["portal"]) > most {
			t.Fatalf("%d persons, %d times", len(g.persons), len(g.callers["portal"]))
		}
	}
	if windows := 4; taken > windows*limits.Caller || taken < 3*limits.Caller {
		t.Errorf("%d of 20000 were looked at in half an hour", taken)
	}
	if _, err := g.Take("other", "x", now.Add(2*limits.Window)); err != nil || len(g.persons) != 1 || len(g.callers) != 1 {
		t.Errorf("%d persons and %d clients are left, %v", len(g.persons), len(g.callers), err)
	}
}

// Taking a count back leaves none.
func TestGuessUndo(t *testing.T) {
	g := NewGuesses(Limits{Person: 1, Caller: 1, Window: time.Minute})
	now := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	for range 3 {
		undo, err := g.Take("portal", "x", now)
		if err != nil {
			t.Fatal(err)
		}
		undo()
	}
	if len(g.callers)+len(g.persons) != 0 {
		t.Errorf("%v %v", g.callers, g.persons)
	}
}
