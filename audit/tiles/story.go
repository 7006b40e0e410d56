package tiles

import "github.com/ecsigner/ecsigner/audit"

// Story follows a log entry by entry, as [VerifyDir] does, for whoever has the entries at hand: each must be canonical,
// and what they tell must hold. It is not safe for concurrent use.
type Story struct{ rules *rules }

// NewStory begins before the first entry.
func NewStory() *Story { return &Story{newRules(mostTries)} }

// Next takes the entry at index, which must be that after the last one, and says what is wrong with it; nil if nothing is.
func (s *Story) Next(index int64, entry []byte) []string {
	at, e, err := audit.Decode(entry)
	if err != nil {
		return []string{err.Error()}
	}
	return s.rules.check(index, at, e)
}
