package otp

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var start = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

type fakeTx struct {
	challenges map[ID]Challenge
	locks      map[[2]string]Lock
	puts       int
}

func newTx(c ...Challenge) *fakeTx {
	tx := &fakeTx{challenges: map[ID]Challenge{}, locks: map[[2]string]Lock{}}
	for _, x := range c {
		tx.challenges[x.ID] = x
	}
	return tx
}

func (tx *fakeTx) Challenge(id ID) (Challenge, error) {
	c, ok := tx.challenges[id]
	if !ok {
		return Challenge{}, ErrNotFound
	}
	return c, nil
}
func (tx *fakeTx) PutChallenge(c Challenge) error { tx.puts++; tx.challenges[c.ID] = c; return nil }
func (tx *fakeTx) Lock(a, c string) (Lock, error) { return tx.locks[[2]string{a, c}], nil }
func (tx *fakeTx) PutLock(l Lock) error {
	tx.puts++
	tx.locks[[2]string{l.Account, l.Caller}] = l
	return nil
}

func challenge(id ID) Challenge {
	return Challenge{ID: id, Account: "cred", Caller: "docs", Number: 1, Expires: start.Add(5 * time.Minute)}
}

func try(t *testing.T, tx Tx, m *Memory, id ID, match bool, now time.Time) Outcome {
	t.Helper()
	o, err := DefaultLimits().Try(tx, m, id, match, now)
	if err != nil {
		t.Fatal(err)
	}
	m.Note(id, o, start.Add(5*time.Minute), now)
	return o
}

func TestCodeIsSpentOnce(t *testing.T) {
	tx, m := newTx(challenge("c")), NewMemory()
	if o := try(t, tx, m, "c", true, start); o.Result != Accepted || o.Attempt != 1 {
		t.Fatalf("got %+v", o)
	}
	for _, match := range []bool{true, false} {
		if o := try(t, tx, m, "c", match, start); o.Result != Spent || o.Attempt != 0 {
			t.Errorf("second try (match %v): %+v", match, o)
		}
	}
}

// TestAnswerAfterTheEndDoesNotDependOnTheCode: right and wrong codes are answered alike once nothing can be won.
func TestAnswerAfterTheEndDoesNotDependOnTheCode(t *testing.T) {
	for name, prepare := range map[string]func(c *Challenge, tx *fakeTx) time.Time{
		"expired":   func(c *Challenge, _ *fakeTx) time.Time { return c.Expires },
		"spent":     func(c *Challenge, _ *fakeTx) time.Time { c.Spent = start; return start },
		"voided":    func(c *Challenge, _ *fakeTx) time.Time { c.Voided = start; return start },
		"exhausted": func(c *Challenge, _ *fakeTx) time.Time { c.Attempts = 3; return start },
		"locked": func(_ *Challenge, tx *fakeTx) time.Time {
			tx.locks[[2]string{"cred", ""}] = Lock{Locked: start}
			return start
		},
	} {
		t.Run(name, func(t *testing.T) {
			var got [2]Outcome
			for i, match := range []bool{true, false} {
				tx := newTx()
				c := challenge("c")
				now := prepare(&c, tx)
				tx.challenges["c"] = c
				got[i] = try(t, tx, NewMemory(), "c", match, now)
				if tx.puts != 0 {
					t.Error("a try that cannot win was counted")
				}
			}
			if got[0] != got[1] || got[0].Result == Accepted || got[0].Result == Rejected {
				t.Errorf("right: %+v, wrong: %+v", got[0], got[1])
			}
		})
	}
}

func TestLocks(t *testing.T) {
	tx, m := newTx(), NewMemory()
	var locked []Outcome
	for i := range 5 {
		id := ID(rune('a' + i))
		tx.challenges[id] = challenge(id)
		if o := try(t, tx, m, id, false, start); o.NowLocked {
			locked = append(locked, o)
		}
	}
	if len(locked) != 1 || locked[0].Scope != ScopeCaller {
		t.Fatalf("five failures locked %+v, want the caller once", locked)
	}
	other := challenge("other")
	other.Caller = "docs-2"
	tx.challenges["other"] = other
	if o := try(t, tx, m, "other", true, start); o.Result != Accepted {
		t.Errorf("another caller is locked out too: %+v", o)
	}
	if _, err := DefaultLimits().Send(tx, m, Request{Account: "cred", Caller: "docs"}, start); !errors.Is(err, ErrLocked) {
		t.Errorf("a new code for a locked caller: %v", err)
	}
	lock, err := m.Unlock(tx, "cred", "docs")
	if err != nil {
		t.Fatal(err)
	}
	m.NoteLocks(lock, start)
	if _, err := DefaultLimits().Send(tx, m, Request{Account: "cred", Caller: "docs"}, start); err != nil {
		t.Errorf("still locked after unlock: %v", err)
	}
}

func TestAccountLockNeedsItsWindow(t *testing.T) {
	tx, m := newTx(), NewMemory()
	fail := func(n int, at time.Time) (last Outcome) {
		for i := range n {
			c := challenge(ID(at.String() + string(rune(i))))
			c.Caller, c.Expires = string(rune('A'+i%5)), at.Add(time.Minute)
			tx.challenges[c.ID] = c
			last = try(t, tx, m, c.ID, false, at)
		}
		return last
	}
	fail(9, start)
	if o := fail(1, start.Add(25*time.Hour)); o.Scope == ScopeAccount {
		t.Error("failures of yesterday lock today")
	}
	if o := fail(9, start.Add(26*time.Hour)); o.Scope != ScopeAccount {
		t.Errorf("ten failures in a day: %+v", o)
	}
}

// send asks for a code and keeps the new challenge that is due, if one is.
func send(t *testing.T, tx *fakeTx, m *Memory, r Request, now time.Time) (Turn, error) {
	t.Helper()
	turn, err := DefaultLimits().Send(tx, m, r, now)
	if err == nil && turn.Again.ID == "" {
		c := challenge(ID(fmt.Sprint(turn.Number)))
		c.Number, c.Sent, c.Expires = turn.Number, turn.Sent, now.Add(5*time.Minute)
		tx.challenges[c.ID] = c
	}
	return turn, err
}

func TestNewCodes(t *testing.T) {
	tx, m := newTx(), NewMemory()
	for n := 1; n <= DefaultLimits().Codes; n++ {
		r := Request{Account: "cred", Caller: "docs", Fresh: true}
		if n > 1 {
			r.Previous = ID(fmt.Sprint(n - 1))
		}
		turn, err := send(t, tx, m, r, start)
		if err != nil || turn.Number != n || turn.Again.ID != "" {
			t.Fatalf("code %d: %+v, %v", n, turn, err)
		}
		if n > 1 && tx.challenges[r.Previous].Voided.IsZero() {
			t.Error("the previous code still lives")
		}
	}
	if _, err := send(t, tx, m, Request{Previous: "3", Account: "cred", Caller: "docs", Fresh: true}, start); !errors.Is(err, ErrTooMany) {
		t.Errorf("a fourth code: %v", err)
	}
}

// The same code goes out again exactly while it can be answered.
func TestSentAgain(t *testing.T) {
	r := Request{Previous: "1", Account: "cred", Caller: "docs"}
	for name, c := range map[string]struct {
		change func(*Challenge)
		after  time.Duration
		again  bool
	}{
		"at once":        {func(*Challenge) {}, 0, true},
		"after a try":    {func(c *Challenge) { c.Attempts = 2 }, 0, true},
		"at the end":     {func(*Challenge) {}, 5*time.Minute - 1, true},
		"after its life": {func(*Challenge) {}, 5 * time.Minute, false},
		"exhausted":      {func(c *Challenge) { c.Attempts = 3 }, 0, false},
		"voided":         {func(c *Challenge) { c.Voided = start }, 0, false},
		"spent":          {func(c *Challenge) { c.Spent = start }, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			first := challenge("1")
			first.Sent = 1
			c.change(&first)
			tx := newTx(first)
			turn, err := send(t, tx, NewMemory(), r, start.Add(c.after))
			if err != nil || (turn.Again.ID == "1") != c.again || c.again != (turn.Number == 1) || turn.Sent != 1 && !c.again || turn.Sent != 2 && c.again {
				t.Errorf("%+v, %v", turn, err)
			}
			if !c.again && tx.challenges["1"].Voided.IsZero() {
				t.Error("the old code still lives")
			}
		})
	}
	tx, m := newTx(), NewMemory()
	if _, err := send(t, tx, m, Request{Account: "cred", Caller: "docs"}, start); err != nil {
		t.Fatal(err)
	}
	for n := range DefaultLimits().Resends {
		if turn, err := send(t, tx, m, r, start); err != nil || turn.Sent != n+2 {
			t.Fatalf("%+v, %v", turn, err)
		}
	}
	if _, err := send(t, tx, m, r, start); !errors.Is(err, ErrResent) {
		t.Errorf("once more than allowed: %v", err)
	}
	try(t, tx, m, "1", false, start)
	c := tx.challenges["1"]
	c.Attempts = 0
	tx.challenges["1"] = c
	if _, err := send(t, tx, m, r, start); !errors.Is(err, ErrBehind) {
		t.Errorf("with the tries set back: %v", err)
	}
}

// TestTrustOldDatabaseRevivesNothing puts back the rows from before a try, and before the spending.
func TestTrustOldDatabaseRevivesNothing(t *testing.T) {
	for _, first := range []bool{false, true} {
		id := ID(fmt.Sprint(first))
		tx, m := newTx(challenge(id)), NewMemory()
		try(t, tx, m, id, first, start)
		after := tx.challenges[id]
		for _, match := range []bool{false, true} {
			tx.challenges[id] = challenge(id)
			if o, err := DefaultLimits().Try(tx, m, id, match, start); !errors.Is(err, ErrBehind) || o != (Outcome{}) {
				t.Errorf("after %v, set back and tried with %v: %+v, %v", first, match, o, err)
			}
		}
		tx.challenges[id] = after
		if o := try(t, tx, m, id, true, start); (o.Result == Accepted) == first {
			t.Errorf("after %v, put right: %+v", first, o)
		}
	}
}

// TestModel: whatever the order of tries, at most Tries are counted for a code and at most one is accepted.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tx, m := newTx(challenge("c")), NewMemory()
		counted, accepted, now := 0, 0, start
		for range rapid.IntRange(1, 20).Draw(t, "tries") {
			now = now.Add(time.Duration(rapid.IntRange(0, 60).Draw(t, "wait")) * time.Second)
			o, err := DefaultLimits().Try(tx, m, "c", rapid.Bool().Draw(t, "match"), now)
			if err != nil {
				t.Fatal(err)
			}
			m.Note("c", o, start.Add(5*time.Minute), now)
			if o.Attempt > 0 {
				counted++
				if o.Attempt != counted {
					t.Fatalf("attempt %d is numbered %d", counted, o.Attempt)
				}
			}
			if o.Result == Accepted {
				accepted++
				if !now.Before(start.Add(5 * time.Minute)) {
					t.Fatal("accepted after its life")
				}
			}
		}
		if counted > 3 || accepted > 1 {
			t.Fatalf("%d counted, %d accepted", counted, accepted)
		}
	})
}

func TestMemoryConcurrently(t *testing.T) {
	m := NewMemory()
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			m.Note("c", Outcome{Result: Rejected, Attempt: i%3 + 1}, start, start)
			m.ahead(challenge("c"))
		})
	}
	wg.Wait()
	c := challenge("c")
	for attempts, want := range []bool{true, true, true, false} {
		c.Attempts = attempts
		if m.ahead(c) != want {
			t.Errorf("of 3 attempts the database holds %d, and is behind: %v", attempts, !want)
		}
	}
}
