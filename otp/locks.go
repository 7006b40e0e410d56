package otp

import (
	"fmt"
	"slices"
	"time"
)

// BehindError: the database holds fewer failures of an account than this process knows of, or a lock less. Somebody else
// wrote to it. An operator who unlocks the account ends this too.
type BehindError struct{ Account string }

func (e *BehindError) Error() string { return "otp: failures or a lock were set back" }

// Unwrap returns ErrBehind.
func (e *BehindError) Unwrap() error { return ErrBehind }

// lockKey names a lock: of one caller, or of all where the caller is empty.
type lockKey struct{ account, caller string }

// lockMemory is what is known of one lock beside its row.
//
// Units of work run one after another, but what they did is noted by their callers, in any order and a little later. So
// each change takes a number while its unit of work runs, and the highest number noted is what is known; a change that
// lowers counts is allowed from the moment in which it is made, for units of work behind it already read it.
type lockMemory struct {
	last     Lock
	number   uint64
	lowering []change
	noted    time.Time
}

// change is what a unit of work makes of a lock.
type change struct {
	number uint64
	lock   Lock
}

// Change is what became of locks in a unit of work; it is noted once that has committed.
type Change struct{ all []change }

// prepare numbers a change in the order of the writer. It is called inside the unit of work; what is lowered there may
// never be committed, and then allows what a right code or an operator would have allowed.
func (m *Memory) prepare(c *Change, lock Lock, lowers bool) *Change {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.number++
	made := change{m.number, lock}
	if lowers {
		s := m.lockOf(lock.Account, lock.Caller)
		s.lowering = append(s.lowering, made)
	}
	if c == nil {
		c = &Change{}
	}
	c.all = append(c.all, made)
	return c
}

// NoteLocks records changes after their unit of work was committed.
func (m *Memory) NoteLocks(c *Change, now time.Time) {
	if m == nil || c == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, made := range c.all {
		s := m.lockOf(made.lock.Account, made.lock.Caller)
		s.noted = now
		if made.number > s.number {
			s.last, s.number = made.lock, made.number
		}
		s.lowering = slices.DeleteFunc(s.lowering, func(l change) bool { return l.number <= s.number })
	}
	if len(m.locks)%256 == 0 {
		for k, s := range m.locks {
			// Kept for a while: a note that is late must not pass for news.
			if s.last.Failures == 0 && s.last.Locked.IsZero() && len(s.lowering) == 0 && now.Sub(s.noted) > lateNote {
				delete(m.locks, k)
			}
		}
	}
}

const (
	lateNote  = 10 * time.Minute // no unit of work takes longer
	clockRoom = time.Minute      // between the time of a decision and that of its entry in the log
)

func (m *Memory) lockOf(account, caller string) *lockMemory {
	k := lockKey{account, caller}
	if m.locks[k] == nil {
		m.locks[k] = &lockMemory{}
	}
	return m.locks[k]
}

// known returns what was noted last of a lock.
func (m *Memory) known(account, caller string) Lock {
	if m == nil {
		return Lock{}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.locks[lockKey{account, caller}]; s != nil {
		return s.last
	}
	return Lock{}
}

// lockAhead tells whether more is known of a lock than its row says. A window of 0 never ends.
func (m *Memory) lockAhead(row Lock, window time.Duration, now time.Time) bool {
	if m == nil {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.locks[lockKey{row.Account, row.Caller}]
	if s == nil {
		return false
	}
	more := func(known Lock) bool {
		counts := window == 0 || now.Sub(known.Since) < window-clockRoom
		return !known.Locked.IsZero() && row.Locked.IsZero() || counts && known.Failures > row.Failures
	}
	return more(s.last) && !slices.ContainsFunc(s.lowering, func(l change) bool { return !more(l.lock) })
}

// What follows brings the memory of locks back from the operation log, entry by entry, before anything is served.

// Failed replays a counted wrong code. failures are those of the account that its entry tells of; an older entry does not,
// and then only the caller's are counted.
func (m *Memory) Failed(account, caller string, failures int, at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	mine := m.lockOf(account, caller)
	mine.last.Account, mine.last.Caller = account, caller
	mine.last.Failures++
	if mine.last.Since.IsZero() {
		mine.last.Since = at
	}
	if failures == 0 {
		return
	}
	all := m.lockOf(account, "")
	if failures == 1 || all.last.Since.IsZero() {
		all.last.Since = at
	}
	all.last.Account, all.last.Failures = account, failures
}

// Forgiven replays a right code: it ends the caller's row of failures.
func (m *Memory) Forgiven(account, caller string) { m.Unlocked(account, caller) }

// Locked replays a lock, of all callers where scope is ScopeAccount.
func (m *Memory) Locked(account, caller, scope string, at time.Time) {
	if scope == ScopeAccount {
		caller = ""
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.lockOf(account, caller)
	s.last.Account, s.last.Caller, s.last.Locked = account, caller, at
}

// Unlocked replays that an operator opened an account, for all callers where caller is empty.
func (m *Memory) Unlocked(account, caller string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.locks, lockKey{account, caller})
}

// read returns the row of a lock, or a BehindError when it says less than is known.
func (l Limits) read(tx Tx, m *Memory, account, caller string, now time.Time) (Lock, error) {
	row, err := tx.Lock(account, caller)
	if err != nil {
		return Lock{}, fmt.Errorf("reading the lock: %w", err)
	}
	row.Account, row.Caller = account, caller
	if m.lockAhead(row, l.window(caller), now) {
		return Lock{}, &BehindError{Account: account}
	}
	return row, nil
}

// window is the time over which failures count: for one caller until a right code, for all together AccountWindow.
func (l Limits) window(caller string) time.Duration {
	if caller == "" {
		return l.AccountWindow
	}
	return 0
}

// over tells whether the window of a row has ended.
func (l Limits) over(row Lock, now time.Time) bool {
	w := l.window(row.Caller)
	return w > 0 && now.Sub(row.Since) >= w
}

// lock returns the scope that is locked, or "".
func (l Limits) lock(tx Tx, m *Memory, account, caller string, now time.Time) (string, error) {
	for _, k := range []struct {
		caller, scope string
		limit         int
	}{{"", ScopeAccount, l.AccountLock}, {caller, ScopeCaller, l.CallerLock}} {
		row, err := l.read(tx, m, account, k.caller, now)
		if err != nil {
			return "", err
		}
		// So many failures lock also where the mark of the lock was taken away.
		if !row.Locked.IsZero() || k.limit > 0 && row.Failures >= k.limit && !l.over(row, now) {
			return k.scope, nil
		}
	}
	return "", nil
}

// fail counts a failure for the caller and for the account, and returns the widest scope that it locked and the failures
// of the account.
func (l Limits) fail(tx Tx, m *Memory, c Challenge, now time.Time) (scope string, failures int, changes *Change, err error) {
	for _, k := range []struct {
		caller, scope string
		limit         int
	}{{c.Caller, ScopeCaller, l.CallerLock}, {"", ScopeAccount, l.AccountLock}} {
		row, err := l.read(tx, m, c.Account, k.caller, now)
		if err != nil {
			return "", 0, nil, err
		}
		// A start of the window that was set back in the database does not end it: what is known counts on.
		known := m.known(c.Account, k.caller)
		if known.Failures > 0 && known.Since.After(row.Since) {
			row.Since = known.Since
		}
		restart := row.Failures > 0 && l.over(row, now)
		if restart || row.Since.IsZero() {
			row.Since = now
		}
		if restart {
			row.Failures = 0
		}
		row.Failures++
		if row.Failures >= k.limit {
			row.Locked = now
			scope = k.scope
		}
		if err := tx.PutLock(row); err != nil {
			return "", 0, nil, fmt.Errorf("counting the failure: %w", err)
		}
		changes, failures = m.prepare(changes, row, restart), row.Failures // at last those of the account
	}
	return scope, failures, changes, nil
}

// forgive ends the caller's row of failures after a right code; the account's window keeps its count.
func (l Limits) forgive(tx Tx, m *Memory, c Challenge, now time.Time) (*Change, error) {
	row, err := l.read(tx, m, c.Account, c.Caller, now)
	if err != nil {
		return nil, err
	}
	if row.Failures == 0 {
		return nil, nil
	}
	open := Lock{Account: c.Account, Caller: c.Caller}
	return m.prepare(nil, open, true), tx.PutLock(open)
}

// Unlock opens the account for one caller, or ends the lock for all where caller is empty, as an operator asks. What it
// returns is to be noted after the commit.
func (m *Memory) Unlock(tx Tx, account, caller string) (*Change, error) {
	return m.prepare(nil, Lock{Account: account, Caller: caller}, true), Unlock(tx, account, caller)
}
