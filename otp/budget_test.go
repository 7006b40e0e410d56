package otp

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func spend(l Limits, m *Memory, number, caller string, now time.Time) (func(), time.Duration, string) {
	undo, err := l.Spend(m, []string{number}, caller, now)
	var used *BudgetError
	if errors.As(err, &used) {
		return nil, used.RetryAfter(), used.Scope
	}
	return undo, 0, ""
}

func TestBudgets(t *testing.T) {
	l := Limits{NumberBudget: 3, CallerBudget: 5}
	m := NewMemory()
	for n := range 3 {
		if _, after, scope := spend(l, m, "number-1", "docs", start.Add(time.Duration(n)*time.Hour)); scope != "" {
			t.Fatalf("text %d: %s, %v", n, scope, after)
		}
	}
	now := start.Add(3 * time.Hour)
	if _, after, scope := spend(l, m, "number-1", "others", now); scope != ScopeNumber || after != 21*time.Hour {
		t.Errorf("a fourth text to a number: %q, %v", scope, after)
	}
	undo, _, scope := spend(l, m, "number-2", "docs", now)
	if scope != "" {
		t.Fatal(scope)
	}
	undo() // nothing was sent
	for range 2 {
		if _, _, scope := spend(l, m, "number-2", "docs", now); scope != "" {
			t.Fatalf("within the caller's budget: %s", scope)
		}
	}
	if _, after, scope := spend(l, m, "number-3", "docs", now); scope != ScopeCaller || after != 21*time.Hour {
		t.Errorf("a sixth text of a caller: %q, %v", scope, after)
	}
	if _, _, scope := spend(l, m, "number-3", "others", now); scope != "" {
		t.Errorf("another caller: %s", scope)
	}
	if _, _, scope := spend(l, m, "number-1", "docs", start.Add(24*time.Hour)); scope != "" {
		t.Errorf("after a day: %s", scope)
	}
	if _, _, scope := spend(Limits{}, m, "number-1", "docs", start); scope != "" {
		t.Errorf("without limits: %s", scope)
	}
}

// A number's texts of yesterday and today count together, though its pseudonym changes at midnight.
func TestBudgetOverMidnight(t *testing.T) {
	l, m := Limits{NumberBudget: 2}, NewMemory()
	late := time.Date(2026, 11, 24, 23, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		numbers []string
		at      time.Time
		fits    bool
	}{
		{[]string{"tuesday", "monday"}, late, true},
		{[]string{"wednesday", "tuesday"}, late.Add(2 * time.Hour), true},
		{[]string{"wednesday", "tuesday"}, late.Add(3 * time.Hour), false},
		{[]string{"wednesday", "tuesday"}, late.Add(24 * time.Hour), true},
	} {
		if _, err := l.Spend(m, c.numbers, "docs", c.at); (err == nil) != c.fits {
			t.Errorf("%v at %s: %v", c.numbers, c.at, err)
		}
	}
}

// TestBudgetHolds: whenever texts are asked for, and whether or not the log brings them back in between, no window of a
// day ever holds more than the budget; and what is refused until a time fits at that time.
func TestBudgetHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := Limits{NumberBudget: rapid.IntRange(1, 5).Draw(t, "number"), CallerBudget: rapid.IntRange(1, 8).Draw(t, "caller")}
		m, now := NewMemory(), start
		type text struct {
			number, caller string
			at             time.Time
		}
		var sent []text
		within := func(of func(text) bool, until time.Time) (n int) {
			for _, s := range sent {
				if of(s) && until.Sub(s.at) < BudgetWindow {
					n++
				}
			}
			return n
		}
		for range rapid.IntRange(1, 60).Draw(t, "texts") {
			now = now.Add(time.Duration(rapid.IntRange(0, 12*3600).Draw(t, "seconds")) * time.Second)
			s := text{fmt.Sprint("n", rapid.IntRange(0, 2).Draw(t, "to")), fmt.Sprint("c", rapid.IntRange(0, 1).Draw(t, "of")), now}
			undo, after, refused := spend(l, m, s.number, s.caller, now)
			switch {
			case refused != "":
				now = now.Add(after)
				s.at = now
				if _, again, scope := spend(l, m, s.number, s.caller, now); scope == refused {
					t.Fatalf("refused for %v, and then for %v", after, again)
				} else if scope == "" {
					sent = append(sent, s)
				}
			case rapid.IntRange(0, 4).Draw(t, "fails") == 0:
				undo()
			default:
				sent = append(sent, s)
			}
			if rapid.IntRange(0, 9).Draw(t, "restart") == 0 {
				m = NewMemory()
				for _, s := range sent {
					m.Spent(s.number, s.caller, s.at, now)
				}
			}
			if n := within(func(o text) bool { return o.number == s.number }, now); n > l.NumberBudget {
				t.Fatalf("%d texts to one number, budget %d", n, l.NumberBudget)
			}
			if n := within(func(o text) bool { return o.caller == s.caller }, now); n > l.CallerBudget {
				t.Fatalf("%d texts of one caller, budget %d", n, l.CallerBudget)
			}
		}
	})
}
