package otp

import (
	"fmt"
	"slices"
	"time"
)

// BudgetError: so many texts with codes went to this number, or were asked for by this caller, that for now no more go.
type BudgetError struct {
	Scope string        // ScopeNumber or ScopeCaller
	After time.Duration // when the next one may go
}

// ScopeNumber is the budget of one phone number.
const ScopeNumber = "number"

func (e *BudgetError) Error() string {
	return fmt.Sprintf("otp: the budget of texts of this %s is used up for %s", e.Scope, e.After)
}

// RetryAfter is when the same call may succeed.
func (e *BudgetError) RetryAfter() time.Duration { return e.After }

// BudgetWindow is the time over which texts count.
const BudgetWindow = 24 * time.Hour

// Spend takes one text from the budgets of a number and of a caller before its unit of work runs, and returns what gives
// it back when that did not commit or sent nothing. The number is known by its pseudonyms of the window's days, the
// present one first. It returns a BudgetError, and takes nothing, when a budget is used up; a limit of 0 is none.
//
// The count is held in memory and comes back from the operation log, which tells of each text with a code in the
// transaction that puts it on its way: nobody who writes to the database resets it.
func (l Limits) Spend(m *Memory, numbers []string, caller string, now time.Time) (giveBack func(), err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	own := spender{ScopeCaller, caller}
	for _, b := range []struct {
		scope string
		names []string
		limit int
	}{{ScopeNumber, numbers, l.NumberBudget}, {ScopeCaller, []string{caller}, l.CallerBudget}} {
		var texts []time.Time
		for _, name := range b.names {
			texts = append(texts, m.recent(spender{b.scope, name}, now)...)
		}
		if b.limit > 0 && len(texts) >= b.limit {
			slices.SortFunc(texts, time.Time.Compare)
			free := texts[len(texts)-b.limit].Add(BudgetWindow) // when so many are left that one more fits
			return nil, &BudgetError{Scope: b.scope, After: free.Sub(now)}
		}
	}
	number := spender{ScopeNumber, numbers[0]}
	m.texts[number] = append(m.texts[number], now)
	m.texts[own] = append(m.texts[own], now)
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		for _, s := range []spender{number, own} {
			if i := slices.Index(m.texts[s], now); i >= 0 {
				m.texts[s] = slices.Delete(m.texts[s], i, i+1)
			}
		}
	}, nil
}

// Spent replays a text that the operation log tells of. now is the time of the replay.
func (m *Memory) Spent(number, caller string, at, now time.Time) {
	if now.Sub(at) >= BudgetWindow {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range []spender{{ScopeNumber, number}, {ScopeCaller, caller}} {
		if s.name != "" {
			m.texts[s] = append(m.texts[s], at)
		}
	}
}

// spender is a number, by its pseudonym of one day, or a caller.
type spender struct{ scope, name string }

// recent returns the times of a spender's texts within the window, and forgets the others.
func (m *Memory) recent(s spender, now time.Time) []time.Time {
	m.swept++
	if m.swept%4096 == 0 { // pseudonyms of earlier days are asked for no more
		for k, texts := range m.texts {
			if len(texts) == 0 || now.Sub(texts[len(texts)-1]) >= 2*BudgetWindow {
				delete(m.texts, k)
			}
		}
	}
	texts := m.texts[s]
	old := 0
	for old < len(texts) && now.Sub(texts[old]) >= BudgetWindow {
		old++
	}
	if old > 0 {
		m.texts[s] = texts[old:]
	}
	return m.texts[s]
}
