package otp

import (
	"sync"
	"time"
)

// Memory remembers the attempts and the spending of living challenges, failures and locks beside the database: one that is
// put back while the process runs, as a whole or by a row, can neither revive a code nor open a lock. It is safe for
// concurrent use.
type Memory struct {
	mu     sync.Mutex
	seen   map[ID]memory
	locks  map[lockKey]*lockMemory
	number uint64 // of the last change of a lock
	texts  map[spender][]time.Time
	swept  uint
}

type memory struct {
	attempts int
	spent    time.Time
	expires  time.Time
}

// NewMemory returns an empty memory, as at the start of a process.
func NewMemory() *Memory {
	return &Memory{seen: map[ID]memory{}, locks: map[lockKey]*lockMemory{}, texts: map[spender][]time.Time{}}
}

// Note records an outcome after it was committed. Challenges that expired before now are forgotten.
func (m *Memory) Note(id ID, o Outcome, expires, now time.Time) {
	if o.Attempt == 0 {
		return
	}
	m.NoteLocks(o.locks, now)
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.seen[id]
	s.attempts = max(s.attempts, o.Attempt)
	s.expires = expires
	if o.Result == Accepted {
		s.spent = now
	}
	m.seen[id] = s
	if len(m.seen)%256 == 0 {
		for k, v := range m.seen {
			if v.expires.Before(now) {
				delete(m.seen, k)
			}
		}
	}
}

// ahead tells whether more is remembered of c than the database holds. What is noted was committed before, so a database
// that nobody else writes to is never behind.
func (m *Memory) ahead(c Challenge) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.seen[c.ID]
	return s.attempts > c.Attempts || !s.spent.IsZero() && c.Spent.IsZero()
}
