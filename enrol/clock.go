package enrol

import (
	"fmt"
	"time"

	"github.com/ecsigner/ecsigner/custody"
)

// ErrClock: the clock stands before what this program has already seen. Nothing is decided until it is set right, because
// a limit of time would last longer than it may.
var ErrClock = custody.ErrClock

// Seen tells of a time that the operation log holds. It is called when the log is read at start.
func (s *Service) Seen(at time.Time) {
	s.times.Lock()
	defer s.times.Unlock()
	if at.After(s.latest) {
		s.latest = at
	}
}

// clock is the time of a decision that a limit of time governs; ErrClock when the clock went back.
func (s *Service) clock() (time.Time, error) {
	now := s.now()
	s.times.Lock()
	latest := s.latest
	s.times.Unlock()
	if now.Before(latest.Add(-custody.MaxBack)) {
		return time.Time{}, fmt.Errorf("%w; set it right, it was %s already", ErrClock, latest.Format(time.RFC3339))
	}
	s.Seen(now)
	return now, nil
}

// deadline is until when the enrolment may go on.
func (s *Service) deadline(r record) time.Time {
	end := r.row.Expires
	if r.sealed.State == StateDeferred {
		if waits := r.sealed.At.Add(s.DeferredLife); waits.Before(end) {
			end = waits
		}
	}
	return end
}

// tooOld tells whether the proof of the identity can no longer carry a certificate (EN 319 411-1 REG-6.3.1-00D). That of a
// renewal has a limit of its own, under its seal.
func (s *Service) tooOld(r record, now time.Time) bool {
	return r.sealed.Renews == "" && now.Sub(r.sealed.Identity.At) > s.ProofAge
}
