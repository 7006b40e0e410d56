package doctor

import (
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/otp"
)

// story is what the log tells, as far as rows are compared with it.
type story struct {
	latest time.Time // of any entry
	times  []time.Time
	epoch  uint64
	keys   map[string][]byte // SHA-256 of the public key, by enrolment
	locked map[[2]string]bool
}

func newStory() *story { return &story{keys: map[string][]byte{}, locked: map[[2]string]bool{}} }

func (s *story) tell(_ int64, at time.Time, event audit.Event) {
	s.times = append(s.times, at)
	if at.After(s.latest) {
		s.latest = at
	}
	switch e := event.(type) {
	case audit.ServiceStarted:
		s.epoch = max(s.epoch, e.Epoch)
	case audit.ServiceRestored:
		s.epoch = max(s.epoch, e.Epoch)
	case audit.KeyGenerated:
		s.keys[e.Enrolment] = e.SPKI
	case audit.CodeLocked:
		s.locked[lockOf(e.Credential, e.Caller, e.Scope)] = true
	case audit.CodeUnlocked:
		delete(s.locked, lockOf(e.Credential, e.Caller, e.Scope))
	}
}

// lockOf names the row that counts: a lock for everybody has no caller.
func lockOf(account, caller, scope string) [2]string {
	if scope == otp.ScopeAccount {
		caller = ""
	}
	return [2]string{account, caller}
}
