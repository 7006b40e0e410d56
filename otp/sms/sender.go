package sms

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// ErrObsolete: nobody waits for this message any more; it is dropped.
var ErrObsolete = errors.New("sms: message is obsolete")

// Sender moves messages from the outbox to the provider, several at a time: one text that the provider is slow with holds
// up no other person's. One Sender serves one outbox.
type Sender struct {
	Queue     Queue
	Provider  Provider
	Composers map[Kind]Composer
	Now       func() time.Time
	// Failed is told of each failure with the message's id. The text never reaches it.
	Failed func(id string, err error)
	// Settled is told of each message that has left the outbox as accepted or failed; nil: nobody is.
	Settled func(kind Kind, status Status)

	wake  chan struct{}
	slots chan struct{} // one for each message on its way

	mu     sync.Mutex
	flying map[string]bool // messages on their way
	flight sync.WaitGroup
}

// NewSender returns a sender that Run drives.
func NewSender(q Queue, p Provider, c map[Kind]Composer, now func() time.Time, failed func(string, error)) *Sender {
	return &Sender{
		Queue: q, Provider: p, Composers: c, Now: now, Failed: failed,
		wake: make(chan struct{}, 1), slots: make(chan struct{}, parallel), flying: map[string]bool{},
	}
}

// Wake asks for a look at the outbox now. It never blocks.
func (s *Sender) Wake() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

const (
	parallel    = 32
	batch       = 2 * parallel // more than can be on their way: a look always sees those that wait
	idle        = time.Second
	sendTimeout = 30 * time.Second
	maxTries    = 8
	maxPause    = time.Minute
)

// Run sends until ctx ends, and returns when nothing is on its way any more.
func (s *Sender) Run(ctx context.Context) {
	defer s.flight.Wait()
	for ctx.Err() == nil {
		more, err := s.look(ctx)
		if err != nil && ctx.Err() == nil {
			s.Failed("", err)
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
func (s *Sender) look(ctx context.Context) (more bool, err error) {
	// What is on its way before the outbox is read may be removed from it while it is read: it is not started again.
	s.mu.Lock()
	before := maps.Clone(s.flying)
	s.mu.Unlock()
	due, err := s.Queue.Due(ctx, s.Now(), batch)
	if err != nil {
		return false, fmt.Errorf("reading the outbox: %w", err)
	}
	for _, m := range due {
		if before[m.ID] {
			continue
		}
		select {
		case s.slots <- struct{}{}:
		case <-ctx.Done():
			return false, ctx.Err()
		}
		s.mu.Lock()
		s.flying[m.ID] = true
		s.mu.Unlock()
		s.flight.Go(func() { s.fly(ctx, m) })
	}
	return len(due) == batch, nil
}

// fly brings one message to its end, for this time.
func (s *Sender) fly(ctx context.Context, m Message) {
	if err := s.one(ctx, m); err != nil && ctx.Err() == nil {
		s.Failed(m.ID, err)
	}
	s.mu.Lock()
	delete(s.flying, m.ID)
	s.mu.Unlock()
	<-s.slots
}

// one sends one message. A delivery that fails is tried again later, with growing pauses; the code in the text stays
// the same because it is derived from the challenge.
func (s *Sender) one(ctx context.Context, m Message) error {
	by, err := s.deliver(ctx, m)
	switch {
	case err == nil:
		return s.settle(ctx, m, Taken, by)
	case errors.Is(err, ErrObsolete):
		return s.Queue.Done(ctx, m.ID)
	case ctx.Err() != nil:
		return ctx.Err()
	}
	s.Failed(m.ID, err)
	m.Attempts++
	if m.Attempts >= maxTries || errors.Is(err, ErrRejected) {
		return s.settle(ctx, m, Failed, by)
	}
	m.NotBefore = s.Now().Add(min(maxPause, time.Second<<m.Attempts))
	return s.Queue.Defer(ctx, m)
}

// settle ends a message. What cannot be stored is sent again, under the same id.
func (s *Sender) settle(ctx context.Context, m Message, status Status, by Accepted) error {
	err := s.Queue.Settle(ctx, Delivery{Message: m.ID, Kind: m.Kind, Challenge: m.Challenge, Status: status, Accepted: by, At: s.Now()})
	if err == nil && s.Settled != nil {
		s.Settled(m.Kind, status)
	}
	return err
}

func (s *Sender) deliver(ctx context.Context, m Message) (Accepted, error) {
	compose, ok := s.Composers[m.Kind]
	if !ok {
		return Accepted{}, fmt.Errorf("sms: no text for messages of kind %q", m.Kind)
	}
	text, err := compose(ctx, m)
	if err != nil {
		return Accepted{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	return s.Provider.Send(ctx, m.ID, m.Kind, text)
}

// File is a provider that writes each text to a file of its own instead of sending it: the phone of demonstrations and
// tests. Codes stand in these files in the clear; it is no provider for production.
type File struct {
	Dir string // created with mode 0700
	Now func() time.Time
}

// fileMessage is the content of one file.
type fileMessage struct {
	ID   string    `json:"id"`
	Kind Kind      `json:"kind"`
	To   string    `json:"to"`
	Text string    `json:"text"`
	At   time.Time `json:"at"`
}

// Send writes DIR/ID.json with mode 0600, complete or not at all.
func (f File) Send(_ context.Context, id string, kind Kind, text Text) (Accepted, error) {
	return Accepted{Provider: "file"}, f.write(id, kind, text)
}

func (f File) write(id string, kind Kind, text Text) error {
	if id == "" || strings.ContainsAny(id, `/\`) || strings.HasPrefix(id, ".") {
		return fmt.Errorf("sms: message id %q cannot name a file", id)
	}
	if err := os.MkdirAll(f.Dir, 0o700); err != nil {
		return fmt.Errorf("sms: making the outbox directory: %w", err)
	}
	b, err := json.MarshalIndent(fileMessage{ID: id, Kind: kind, To: text.To, Text: text.Body, At: f.Now().UTC()}, "", "  ")
	if err != nil {
		return errors.New("sms: the message cannot be encoded")
	}
	tmp, err := os.CreateTemp(f.Dir, ".part-*")
	if err != nil {
		return fmt.Errorf("sms: writing the message: %w", err)
	}
	defer func() { _ = os.Remove(tmp.Name()) }()
	_, err = tmp.Write(append(b, '\n'))
	if err = errors.Join(err, tmp.Close()); err != nil {
		return fmt.Errorf("sms: writing the message: %w", err)
	}
	return os.Rename(tmp.Name(), filepath.Join(f.Dir, id+".json"))
}

// MaskPhone shows the country's first digits and the last two: "+380•••••••67".
func MaskPhone(phone string) string {
	if len(phone) < 8 {
		return strings.Repeat("•", len(phone))
	}
	return phone[:4] + strings.Repeat("•", len(phone)-6) + phone[len(phone)-2:]
}
