package voucher

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ecsigner/ecsigner/call"
	"github.com/ecsigner/ecsigner/credential"
)

// Limits bounds wrong voucher codes. A guess that hits is out of reach anyway (a code has 95 random bits); the
// limits keep a portal from being used to try.
type Limits struct {
	Person  int            // wrong codes of one person at one client within Window
	Caller  int            // wrong codes of one client within Window
	Callers map[string]int // the same for single clients by name
	Window  time.Duration
}

// DefaultLimits are 10 wrong codes of a person and 600 of a client within 10 minutes.
func DefaultLimits() Limits {
	return Limits{Person: 10, Caller: 600, Window: 10 * time.Minute}
}

// Check judges limits as they were configured.
func (l Limits) Check() error {
	if l.Person < 1 || l.Caller < 1 || l.Window <= 0 || slices.ContainsFunc(values(l.Callers), func(n int) bool { return n < 1 }) {
		return errors.New("enrol: limits of voucher codes must be positive")
	}
	return nil
}

func values(m map[string]int) []int {
	var all []int
	for _, v := range m {
		all = append(all, v)
	}
	return all
}

func (l Limits) of(caller string) int {
	if n, ok := l.Callers[caller]; ok {
		return n
	}
	return l.Caller
}

// RateError refuses every voucher code, right ones too, until Wait is over. Nothing was counted.
type RateError struct{ Wait time.Duration }

func (e *RateError) Error() string { return fmt.Sprintf("%v: wait %s", ErrRate, e.Wait) }

// Unwrap returns ErrRate.
func (e *RateError) Unwrap() error { return ErrRate }

// RetryAfter is when the next code is looked at.
func (e *RateError) RetryAfter() time.Duration { return e.Wait }

// FieldName returns the field's name.
func (e *RateError) FieldName() string { return "voucher" }

// Guesses remembers wrong voucher codes of the last Window. It holds at most as many times and persons as the limits of
// all clients together allow. What one process counted, the next one reads from the log (VoucherRefused).
type Guesses struct {
	mu      sync.Mutex
	limits  Limits
	callers map[string][]time.Time
	persons map[[2]string][]time.Time
	swept   time.Time
}

// NewGuesses counts from nothing.
func NewGuesses(l Limits) *Guesses {
	return &Guesses{limits: l, callers: map[string][]time.Time{}, persons: map[[2]string][]time.Time{}}
}

// Take counts a code before it is looked at, so that those who try at the same time do not get past the limit together.
// undo takes the count back: the code was right, or nothing came of it. person may be empty.
func (g *Guesses) Take(caller, person string, now time.Time) (undo func(), err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sweep(now)
	key := [2]string{caller, person}
	wait := g.wait(g.callers[caller], g.limits.of(caller), now)
	if person != "" {
		wait = max(wait, g.wait(g.persons[key], g.limits.Person, now))
	}
	if wait > 0 {
		return nil, &RateError{Wait: wait}
	}
	g.add(key, now)
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		drop(g.callers, caller, now)
		drop(g.persons, key, now)
	}, nil
}

// wait is how long it takes until fewer than limit of the times lie in the window.
func (g *Guesses) wait(times []time.Time, limit int, now time.Time) time.Duration {
	times = g.recent(times, now)
	if len(times) < limit {
		return 0
	}
	return times[len(times)-limit].Add(g.limits.Window).Sub(now)
}

func (g *Guesses) recent(times []time.Time, now time.Time) []time.Time {
	begin := now.Add(-g.limits.Window)
	return times[slices.IndexFunc(append(slices.Clone(times), now), func(t time.Time) bool { return t.After(begin) }):]
}

func (g *Guesses) add(key [2]string, at time.Time) {
	insert := func(times []time.Time) []time.Time {
		i := len(times)
		for i > 0 && times[i-1].After(at) {
			i--
		}
		return slices.Insert(times, i, at)
	}
	g.callers[key[0]] = insert(g.callers[key[0]])
	if key[1] != "" {
		g.persons[key] = insert(g.persons[key])
	}
}

func drop[K comparable](m map[K][]time.Time, k K, at time.Time) {
	if i := slices.Index(m[k], at); i >= 0 {
		m[k] = slices.Delete(m[k], i, i+1)
	}
	if len(m[k]) == 0 {
		delete(m, k)
	}
}

// sweep forgets what left the window, a few times in each.
func (g *Guesses) sweep(now time.Time) {
	if now.Sub(g.swept) < g.limits.Window/8 && !now.Before(g.swept) {
		return
	}
	g.swept = now
	sweep(g, g.callers, now)
	sweep(g, g.persons, now)
}

func sweep[K comparable](g *Guesses, m map[K][]time.Time, now time.Time) {
	for k, times := range m {
		if m[k] = slices.Clone(g.recent(times, now)); len(m[k]) == 0 {
			delete(m, k)
		}
	}
}

// Refused counts a wrong code that the log tells of, at now, for the time in which it still counts.
func (g *Guesses) Refused(caller, person string, at, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if at.After(now.Add(-g.limits.Window)) {
		g.add([2]string{caller, person}, at)
	}
}

// maxPerson is the longest key of a person in bytes.
const maxPerson = 128

// Guesser is the pseudonym of a portal's person, by which wrong codes are counted and logged; empty without one.
func Guesser(caller, person string) (string, error) {
	if person == "" {
		return "", nil
	}
	if len(person) > maxPerson {
		return "", call.Wrong("person_key", fmt.Errorf("%w: at most %d bytes", call.ErrField, maxPerson))
	}
	var e credential.Encoder
	e.String("ecsigner person at a portal")
	e.String(caller)
	e.String(person)
	sum := sha256.Sum256(e.Data())
	return hex.EncodeToString(sum[:16]), nil
}

// RefusalOf is the refusal of a code as the log names it; empty for any other error.
func RefusalOf(err error) string {
	for _, r := range []struct {
		err  error
		name string
	}{
		{ErrCode, "mistyped"}, {ErrUnknown, "unknown"}, {ErrUsed, "used"}, {ErrExpired, "expired"},
	} {
		if errors.Is(err, r.err) {
			return r.name
		}
	}
	return ""
}
