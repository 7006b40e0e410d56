package otp

import (
	"sync"
	"time"
)

// Memory remembers the attempts and the spending of living challenges beside the database, and the stricter of the two
// counts: a database that is put back while the process runs cannot revive a code. It is safe for concurrent use.
type Memory struct {
	mu   sync.Mutex
	seen map[ID]memory
}

type memory struct {
	attempts int
	spent    time.Time
	expires  time.Time
}

// NewMemory returns an empty memory, as at the start of a process.
func NewMemory() *Memory { return &Memory{seen: map[ID]memory{}} }

// Note records an outcome after it was committed. Challenges that expired before now are forgotten.
func (m *Memory) Note(id ID, o Outcome, expires, now time.Time) {
	if o.Attempt == 0 {
		return
	}
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

// apply makes c as strict as what is remembered.
func (m *Memory) apply(c *Challenge) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.seen[c.ID]
	if !ok {
		return
	}
	c.Attempts = max(c.Attempts, s.attempts)
	if c.Spent.IsZero() {
		c.Spent = s.spent
	}
}
