package augment

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/ecsigner/ecsigner/signer/cades"
)

// Config wires a Service. Store, Source, Spool, Now, Rand, Life and Failed are required.
type Config struct {
	Store   Store
	Source  Source
	Spool   Spool
	Stamper Stamper      // nil: no level above B-B is offered
	Prover  cades.Prover // nil: none above B-T
	Hash    crypto.Hash  // of time-stamps; 0: SHA-256
	Now     func() time.Time
	Rand    io.Reader
	Life    time.Duration // how long a level is tried
	Space   int           // bytes kept for a time-stamp when no authority answers that could tell its size; 0: DefaultSpace
	// Failed is told of each attempt that failed, and may hear of the store too (subject "").
	Failed func(subject string, item int, reason Reason, err error)
}

// DefaultSpace is more than the time-stamps of common authorities take.
const DefaultSpace = 16 << 10

const (
	parallel     = 8
	batch        = 4 * parallel
	idle         = time.Second
	attemptTime  = 5 * time.Minute // of one attempt; a large document is read several times
	sizeTime     = 3 * time.Second // for learning the size of a time-stamp while a client waits
	firstPause   = 2 * time.Second
	longestPause = 5 * time.Minute
	longestWait  = 15 * time.Minute // for a list that is due later: its issuer may be early
	// attribute is what stands around a token in a CMS: unsigned attributes, identifier, set, and longer lengths above it.
	attribute = 96
)

// Service raises signatures. It is safe for concurrent use.
type Service struct {
	Config
	wake  chan struct{}
	slots chan struct{}

	mu     sync.Mutex
	flying map[place]bool
	flight sync.WaitGroup
}

// place is an item of a subject.
type place struct {
	subject string
	item    int
}

// New checks the wiring.
func New(c Config) (*Service, error) {
	if c.Store == nil || c.Source == nil || c.Spool == nil || c.Now == nil || c.Rand == nil || c.Failed == nil || c.Life <= 0 || c.Space < 0 {
		return nil, errors.New("augment: incomplete configuration")
	}
	if c.Hash == 0 {
		c.Hash = crypto.SHA256
	}
	if c.Space == 0 {
		c.Space = DefaultSpace
	}
	return &Service{Config: c, wake: make(chan struct{}, 1), slots: make(chan struct{}, parallel), flying: map[place]bool{}}, nil
}

// Offers returns nil when signatures of this kind can be raised to a level, else ErrNotOffered.
func (s *Service) Offers(k Kind, l cades.Level) error {
	switch {
	case l == cades.LevelBB && k.own():
		return nil
	case l < cades.LevelBT || l > cades.LevelBLTA:
	case k == KindPAdESHash && l > cades.LevelBT:
		return fmt.Errorf("%w: the client raises a PDF that stays with it to %v itself", ErrNotOffered, l)
	case s.Stamper == nil:
		return fmt.Errorf("%w: no time-stamping authority is configured", ErrNotOffered)
	case l > cades.LevelBT && k != KindStamp && s.Prover == nil:
		return fmt.Errorf("%w: no source of revocation data is configured", ErrNotOffered)
	default:
		return nil
	}
	return fmt.Errorf("%w: %v", ErrNotOffered, l)
}

// Reserve returns how many bytes a CMS needs beyond itself to take a time-stamp later. It asks the authorities that it
// knows nothing of, a few seconds long, and takes the configured size when none of them answers: signing does not wait for
// them.
func (s *Service) Reserve(ctx context.Context) int {
	n := s.Space
	if s.Stamper == nil {
		return n + attribute
	}
	ctx, cancel := context.WithTimeout(ctx, sizeTime)
	defer cancel()
	if learned, err := s.Stamper.MaxSize(ctx, s.Hash); err == nil && learned > 0 {
		n = learned
	}
	return n + attribute
}

// NewJob returns the job that raises an item of an operation that is being signed now.
func (s *Service) NewJob(subject string, item int, kind Kind, document string, target cades.Level) Job {
	now := s.Now().Truncate(time.Microsecond)
	return Job{
		Subject: subject, Item: item, Kind: kind, Document: document, Target: target, Reached: cades.LevelBB, State: Pending,
		NotBefore: now, Created: now, Ends: now.Add(s.Life),
	}
}

// Wake asks for a look at the queue now. It never blocks.
func (s *Service) Wake() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Run works on the queue until ctx ends, and returns when nothing is under way any more.
func (s *Service) Run(ctx context.Context) {
	defer s.flight.Wait()
	for ctx.Err() == nil {
		more, err := s.look(ctx)
		if err != nil && ctx.Err() == nil {
			s.Failed("", 0, ReasonInternal, err)
		}
		if more && err == nil {
			continue
		}
		t := time.NewTimer(idle)
		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-t.C:
		}
		t.Stop()
	}
}

// look starts what is due now, as slots become free, and tells whether there may be more.
func (s *Service) look(ctx context.Context) (more bool, err error) {
	var due []Job
	err = s.Store.View(ctx, func(tx Tx) (err error) {
		due, err = tx.DueJobs(s.Now(), batch)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("reading the queue: %w", err)
	}
	started := 0
	for _, j := range due {
		at := place{j.Subject, j.Item}
		s.mu.Lock()
		busy := s.flying[at]
		s.flying[at] = true
		s.mu.Unlock()
		if busy {
			continue
		}
		started++
		select {
		case s.slots <- struct{}{}:
		case <-ctx.Done():
			s.land(at)
			return false, ctx.Err()
		}
		s.flight.Go(func() {
			defer func() { <-s.slots; s.land(at); s.Wake() }()
			if err := s.attend(ctx, j.Subject, j.Item); err != nil && ctx.Err() == nil {
				s.Failed(j.Subject, j.Item, ReasonInternal, err)
			}
		})
	}
	return len(due) == batch && started > 0, nil
}

func (s *Service) land(at place) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.flying, at)
}
