package enrol

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/ecsigner/ecsigner/custody"
)

// lookout is the list of enrolments whose provider is to be asked. It is only in memory: what is open is in the store,
// and all of it is asked about at start.
type lookout struct {
	mu     *sync.Mutex
	due    map[string]look
	signal chan struct{}
}

// look is when to ask, and how often that failed.
type look struct {
	at     time.Time
	failed int
}

const (
	parallelLooks = 8
	maxLookPause  = time.Minute
)

func newLookout() lookout {
	return lookout{mu: &sync.Mutex{}, due: map[string]look{}, signal: make(chan struct{}, 1)}
}

// wake has an enrolment looked at now.
func (l lookout) wake(id string) { l.put(id, look{}) }

func (l lookout) put(id string, next look) {
	l.mu.Lock()
	if had, ok := l.due[id]; !ok || next.at.Before(had.at) {
		l.due[id] = next
	}
	l.mu.Unlock()
	select {
	case l.signal <- struct{}{}:
	default:
	}
}

// next takes one that is due, or says how long to wait for one.
func (l lookout) next(now time.Time) (id string, found look, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	wait = maxLookPause
	for candidate, c := range l.due {
		if until := c.at.Sub(now); until > 0 {
			wait = min(wait, until)
			continue
		}
		delete(l.due, candidate)
		return candidate, c, 0
	}
	return "", look{}, wait
}

// Follow asks the providers until ctx ends: about everything that is open now and again each poll, and about whatever a
// callback names at once. What fails is tried again with growing pauses, and failed is told; nothing here ever tells a
// person's data.
func (s *Service) Follow(ctx context.Context, poll time.Duration, failed func(enrolment string, err error)) {
	var flight sync.WaitGroup
	defer flight.Wait()
	slots := make(chan struct{}, parallelLooks)
	var polled time.Time
	for ctx.Err() == nil {
		if now := time.Now(); now.Sub(polled) >= poll { // monotonic: pauses, not times of day
			if err := s.lookAll(ctx); err != nil && ctx.Err() == nil {
				failed("", err)
			}
			polled = now
		}
		id, found, wait := s.lookout.next(time.Now())
		if id == "" {
			pause(ctx, s.lookout.signal, min(wait, poll))
			continue
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		flight.Go(func() {
			defer func() { <-slots }()
			err := s.Look(ctx, id)
			if err == nil || ctx.Err() != nil {
				return
			}
			failed(id, err)
			if !errors.Is(err, ErrIntegrity) && !errors.Is(err, ErrForeignResult) && !custody.IsNotFound(err) { // those wait for the poll
				again := min(time.Second<<min(found.failed, 10), maxLookPause)
				s.lookout.put(id, look{at: time.Now().Add(again), failed: found.failed + 1})
			}
		})
	}
}

func pause(ctx context.Context, signal <-chan struct{}, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-signal:
	case <-t.C:
	}
}

// lookAll puts every enrolment on the list that waits for a provider who is asked.
func (s *Service) lookAll(ctx context.Context) error {
	if len(s.Proofers) == 0 {
		return nil
	}
	var finders []finder
	for _, state := range []State{StateProofing, StateDeferred} {
		finders = append(finders, func(tx Tx, after string) ([]Enrolment, error) { return tx.EnrolmentsIn(state, after, maxPage) })
	}
	return s.each(ctx, finders, func(row Enrolment) error {
		if _, ok := s.Proofers[row.Proofing.Provider]; ok {
			s.lookout.wake(row.ID)
		}
		return nil
	})
}

// finder reads a page of enrolments with id > after.
type finder func(tx Tx, after string) ([]Enrolment, error)

// each calls f for everything that the finders find. Errors are joined and do not keep f from the others.
func (s *Service) each(ctx context.Context, finders []finder, f func(row Enrolment) error) error {
	var failed error
	for _, find := range finders {
		for after, more := "", true; more; {
			var rows []Enrolment
			err := s.Store.View(ctx, func(tx Tx) (err error) {
				rows, err = find(tx, after)
				return err
			})
			if err != nil {
				return errors.Join(failed, err)
			}
			for _, row := range rows {
				after = row.ID
				failed = errors.Join(failed, f(row))
			}
			more = len(rows) == maxPage && ctx.Err() == nil
		}
	}
	return failed
}
