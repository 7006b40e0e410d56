package otp

import (
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// wrongCodes makes n failures of one caller, each with a challenge of its own.
func wrongCodes(t *testing.T, tx *fakeTx, m *Memory, n int) (last Outcome) {
	t.Helper()
	for range n {
		c := challenge(ID(fmt.Sprint("failure-", len(tx.challenges))))
		tx.challenges[c.ID] = c
		last = try(t, tx, m, c.ID, false, start)
	}
	return last
}

// TestTrustLocksCannotBeTaken has a writer of the database take failures and locks away: whoever tries then is refused,
// and a right code is not spent.
func TestTrustLocksCannotBeTaken(t *testing.T) {
	mine, all := [2]string{"cred", "docs"}, [2]string{"cred", ""}
	for name, c := range map[string]struct {
		failures int
		change   func(locks map[[2]string]Lock)
		want     Result // empty: BehindError
	}{
		"all rows deleted":         {3, func(l map[[2]string]Lock) { clear(l) }, ""},
		"the caller's deleted":     {1, func(l map[[2]string]Lock) { delete(l, mine) }, ""},
		"the account's deleted":    {1, func(l map[[2]string]Lock) { delete(l, all) }, ""},
		"one failure less":         {4, func(l map[[2]string]Lock) { k := l[mine]; k.Failures--; l[mine] = k }, ""},
		"the lock taken":           {5, func(l map[[2]string]Lock) { k := l[mine]; k.Locked = time.Time{}; l[mine] = k }, ""},
		"the lock and its row":     {5, func(l map[[2]string]Lock) { delete(l, mine) }, ""},
		"a longer past":            {4, func(l map[[2]string]Lock) { k := l[all]; k.Since = start.Add(-48 * time.Hour); l[all] = k }, Accepted},
		"no past":                  {4, func(l map[[2]string]Lock) { k := l[mine]; k.Since = time.Time{}; l[mine] = k }, Accepted},
		"unchanged, locked":        {5, func(map[[2]string]Lock) {}, Locked},
		"unchanged, open":          {4, func(map[[2]string]Lock) {}, Accepted},
		"more failures than known": {1, func(l map[[2]string]Lock) { k := l[mine]; k.Failures = 5; l[mine] = k }, Locked},
	} {
		t.Run(name, func(t *testing.T) {
			tx, m := newTx(), NewMemory()
			wrongCodes(t, tx, m, c.failures)
			c.change(tx.locks)
			tx.challenges["right"] = challenge("right")
			o, err := DefaultLimits().Try(tx, m, "right", true, start)
			var behind *BehindError
			switch {
			case c.want != "" && (err != nil || o.Result != c.want):
				t.Errorf("%+v, %v; want %s", o, err, c.want)
			case c.want == "" && (!errors.As(err, &behind) || !errors.Is(err, ErrBehind) || behind.Account != "cred"):
				t.Errorf("%+v, %v; want a BehindError", o, err)
			case c.want == "" && !tx.challenges["right"].Spent.IsZero():
				t.Error("the code was spent")
			}
			if _, err := DefaultLimits().Send(tx, m, Request{Account: "cred", Caller: "docs"}, start); (c.want == "") != errors.As(err, &behind) {
				t.Errorf("another code: %v", err)
			}
			lock, err := m.Unlock(tx, "cred", "docs")
			if err != nil {
				t.Fatal(err)
			}
			m.NoteLocks(lock, start)
			if lock, err = m.Unlock(tx, "cred", ""); err != nil {
				t.Fatal(err)
			}
			m.NoteLocks(lock, start)
			if _, err := DefaultLimits().Send(tx, m, Request{Account: "cred", Caller: "docs"}, start); err != nil {
				t.Errorf("after an operator unlocked: %v", err)
			}
		})
	}
}

// A window whose start was set back in the database goes on.
func TestTrustWindowCannotBeEnded(t *testing.T) {
	tx, m := newTx(), NewMemory()
	for n := range 9 {
		c := challenge(ID(fmt.Sprint(n)))
		c.Caller = fmt.Sprint("docs-", n%3)
		tx.challenges[c.ID] = c
		try(t, tx, m, c.ID, false, start)
		k := tx.locks[[2]string{"cred", ""}]
		k.Since = start.Add(-25 * time.Hour)
		tx.locks[[2]string{"cred", ""}] = k
	}
	c := challenge("last")
	c.Caller = "docs-9"
	tx.challenges[c.ID] = c
	if o := try(t, tx, m, c.ID, false, start); !o.NowLocked || o.Scope != ScopeAccount {
		t.Errorf("ten failures in a day, with the window set back: %+v", o)
	}
}

// history is a database written by units of work one after another, whose callers note what they did when they get to it.
type history struct {
	tx     *fakeTx
	memory *Memory
	now    time.Time
	later  []func()                          // notes not made yet
	log    []func(m *Memory, jitter rapidly) // what a restart replays
}

type rapidly func() time.Duration

// TestNoFalseAlarm: whatever is tried, forgiven and unlocked, and however late and out of order the callers note it, the
// database is never taken for one that was set back; nor after a restart, when only the log is left, nor when units of
// work fail.
func TestNoFalseAlarm(t *testing.T) {
	accounts, callers := []string{"cred-1", "cred-2"}, []string{"docs-1", "docs-2", "docs-3"}
	limits := DefaultLimits()
	rapid.Check(t, func(t *rapid.T) {
		h := &history{tx: newTx(), memory: NewMemory(), now: start}
		draw := func(n int, what string) int { return rapid.IntRange(0, n-1).Draw(t, what) }
		unit := func(f func(tx *fakeTx) (note func(), replay func(m *Memory, jitter rapidly), err error)) {
			tx := &fakeTx{challenges: maps.Clone(h.tx.challenges), locks: maps.Clone(h.tx.locks)}
			note, replay, err := f(tx)
			if err != nil {
				t.Fatalf("after %d entries: %v", len(h.log), err)
			}
			if draw(5, "fails") == 0 {
				return // rolled back, never noted
			}
			h.tx = tx
			h.later = append(h.later, note)
			h.log = append(h.log, replay)
		}
		for n := range rapid.IntRange(1, 80).Draw(t, "steps") {
			account, caller := accounts[draw(2, "account")], callers[draw(3, "caller")]
			switch action := draw(12, "action"); {
			case action < 8:
				match, at := action == 0, h.now
				unit(func(tx *fakeTx) (func(), func(*Memory, rapidly), error) {
					c := Challenge{ID: ID(fmt.Sprint(n)), Account: account, Caller: caller, Number: 1, Expires: at.Add(time.Minute)}
					tx.challenges[c.ID] = c
					o, err := limits.Try(tx, h.memory, c.ID, match, at)
					return func() { h.memory.Note(c.ID, o, c.Expires, at) }, func(m *Memory, jitter rapidly) {
						entry := at.Add(jitter())
						switch {
						case o.Result == Accepted:
							m.Forgiven(account, caller)
						case o.Attempt > 0:
							m.Failed(account, caller, o.Failures, entry)
						}
						if o.NowLocked {
							m.Locked(account, caller, o.Scope, entry)
						}
					}, err
				})
			case action == 8:
				who := []string{"", caller}[draw(2, "all")]
				unit(func(tx *fakeTx) (func(), func(*Memory, rapidly), error) {
					lock, err := h.memory.Unlock(tx, account, who)
					at := h.now
					return func() { h.memory.NoteLocks(lock, at) }, func(m *Memory, _ rapidly) { m.Unlocked(account, who) }, err
				})
			case action == 9:
				h.now = h.now.Add(time.Duration(rapid.IntRange(0, 30*3600).Draw(t, "seconds")) * time.Second)
			case action == 10: // everybody notes, the last first
				for len(h.later) > 0 {
					h.later[len(h.later)-1]()
					h.later = h.later[:len(h.later)-1]
				}
			default:
				h.later, h.memory = nil, NewMemory()
				for _, replay := range h.log {
					replay(h.memory, func() time.Duration {
						return time.Duration(rapid.IntRange(0, 5000).Draw(t, "milliseconds")) * time.Millisecond
					})
				}
			}
			for len(h.later) > 0 && draw(3, "notes") > 0 {
				k := draw(len(h.later), "which")
				h.later[k]()
				h.later = append(h.later[:k], h.later[k+1:]...)
			}
		}
	})
}

// What a restart brings back from the log is as strict as what was known before, within one window.
func TestLocksComeBackFromTheLog(t *testing.T) {
	m := NewMemory()
	for n := range 4 {
		m.Failed("cred", "docs", n+1, start)
	}
	m.Failed("cred", "others", 5, start)
	m.Forgiven("cred", "others")
	m.Locked("cred-2", "docs", ScopeAccount, start)
	m.Locked("cred-3", "docs", ScopeCaller, start)
	m.Unlocked("cred-3", "docs")
	for account, want := range map[string]bool{"cred": true, "cred-2": true, "cred-3": false} {
		tx := newTx(Challenge{ID: "c", Account: account, Caller: "docs", Expires: start.Add(time.Minute)})
		_, err := DefaultLimits().Try(tx, m, "c", true, start)
		if got := errors.Is(err, ErrBehind); got != want {
			t.Errorf("%s with empty rows: %v", account, err)
		}
	}
	if got := m.known("cred", ""); got.Failures != 5 {
		t.Errorf("the account has %d failures", got.Failures)
	}
	if got := m.known("cred", "others"); got.Failures != 0 {
		t.Errorf("a forgiven caller has %d failures", got.Failures)
	}
}
