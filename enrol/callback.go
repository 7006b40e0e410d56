package enrol

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/call"
	"github.com/ecsigner/ecsigner/custody"
	"github.com/ecsigner/ecsigner/enrol/person"
)

// maxEvidence is the largest evidence package that is read to be hashed.
const maxEvidence = 256 << 20

// TakeCallback takes what a provider sent. When it returns nil the event is durable and will be looked after, by this
// process or the next; the same event again has no effect. It tells nothing about whether there is such a session.
// ErrCallback, ErrCallbackBody.
func (s *Service) TakeCallback(ctx context.Context, provider string, header http.Header, body []byte) error {
	p, ok := s.Proofers[provider]
	if !ok {
		return fmt.Errorf("%w: no such provider", ErrCallback)
	}
	now := s.now()
	c, err := p.ParseCallback(header, body, now)
	if err != nil {
		return err
	}
	if !audit.ValidID(c.Session) || c.Event == "" {
		return fmt.Errorf("%w: session or event is no identifier", ErrCallbackBody)
	}
	sum := sha256.Sum256([]byte(c.Event)) // whatever characters a provider uses
	c.Event = hex.EncodeToString(sum[:])
	var enrolment string
	_, err = s.Store.Update(ctx, func(tx Tx) error {
		enrolment = ""
		known, err := tx.Called(provider, c.Event)
		if err != nil || known {
			return err
		}
		if enrolment, err = tx.EnrolmentOf(provider, c.Session); err != nil && !custody.IsNotFound(err) {
			return err
		}
		tx.Append(audit.IdentityNotified{Provider: provider, Session: c.Session, Event: c.Event, Enrolment: enrolment})
		return tx.PutCallback(provider, c, now)
	})
	if errors.Is(err, ErrConflict) {
		return nil // the same event, at the same moment
	}
	if err == nil && enrolment != "" {
		s.lookout.wake(enrolment)
	}
	return err
}

// Look asks the provider of an enrolment what it found, and takes it. Nothing is asked where no result is waited for.
func (s *Service) Look(ctx context.Context, id string) error {
	from, err := s.any(ctx, id)
	if err != nil {
		return err
	}
	asked := from.sealed.Identity
	p, ok := s.Proofers[asked.Provider]
	if !ok || asked.Session == "" || !slices.Contains(IdentityResult{Outcome: Negative}.TakenIn(), from.sealed.State) {
		return nil
	}
	result, err := p.Fetch(ctx, asked.Session)
	if err != nil {
		return err
	}
	if result.Progress == ProgressPending {
		return nil
	}
	if result.Session != asked.Session || result.Reference != asked.Reference {
		s.Alarm(ctx, "proofing", id, ErrForeignResult)
		return ErrForeignResult
	}
	i, ended, news := result.report(from.sealed.Type)
	if !news {
		return nil
	}
	i.Enrolment = id
	if !ended && i.Outcome != Deferred {
		if i.EvidenceSHA256, err = evidenceOf(ctx, p, asked.Session); err != nil {
			return err
		}
	}
	return call.Again(ctx, func() error { return s.take(ctx, id, asked.Session, i, ended) })
}

// take records a fetched result, if the enrolment still waits for one of this session.
func (s *Service) take(ctx context.Context, id, session string, i IdentityResult, ended bool) error {
	from, err := s.any(ctx, id)
	if err != nil {
		return err
	}
	now, err := s.clock()
	if err != nil {
		return err
	}
	if from.sealed.Identity.Session != session {
		return nil
	}
	states := i.TakenIn()
	if ended { // a person at the provider may still decide about a deferred one: only its final word ends that
		states = []State{StateProofing, StateDeferred}
	}
	switch err := from.in(now, states...); {
	case errors.Is(err, ErrState), errors.Is(err, ErrExpired):
		return nil // it came too late; the sweeper ends what is overdue
	case err != nil:
		return err
	}
	i = i.Normal()
	var c change
	moves := true
	if ended {
		c, err = s.sentBack(ctx, from, StatePhone, person.Findings{Reason: ReasonSessionEnded}, reportedAs(i, from, outcomeEnded), now)
	} else {
		c, moves, err = s.judged(ctx, from, i, now)
	}
	if errors.Is(err, ErrExpired) || err == nil && !moves {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = s.Store.Update(ctx, func(tx Tx) error { return c.apply(tx, from, "") })
	return err
}

// report says what a fetched result is to us: a report, the end of its session without one, or nothing new. What is not
// final is deferred at most. kind is the identifier's that the certificate shall have.
func (r Result) report(kind string) (i IdentityResult, ended, news bool) {
	i = IdentityResult{
		Reference: r.Reference, Session: r.Session, Level: r.Level, Method: r.Method, Person: r.Person, BirthDate: r.BirthDate,
		Phone: r.Phone, Document: r.Document, Reasons: r.Reasons, CompletedAt: r.At,
	}
	for _, id := range r.Identifiers {
		if i.Person.Identifier == "" || id.Type == kind {
			i.Person.IdentifierType, i.Person.Country, i.Person.Identifier = id.Type, id.Country, id.Value
		}
		if id.Type == kind {
			break
		}
	}
	switch r.Progress {
	case ProgressPositive, ProgressNegative:
		i.Outcome = Outcome(r.Progress)
		if !r.Final {
			i.Outcome = Deferred
		}
		return i, false, true
	case ProgressDeferred:
		i.Outcome = Deferred
		return i, false, true
	case ProgressExpired, ProgressCancelled:
		return i, r.Final, r.Final
	}
	return i, false, false
}

// evidenceOf hashes a provider's evidence package; nil when it has none.
func evidenceOf(ctx context.Context, p Provider, session string) ([]byte, error) {
	r, err := p.Evidence(ctx, session)
	if err != nil || r == nil {
		return nil, err
	}
	h := sha256.New()
	n, err := io.Copy(h, io.LimitReader(r, maxEvidence+1))
	if err := errors.Join(err, r.Close()); err != nil {
		return nil, fmt.Errorf("%w: reading the evidence: %w", ErrProvider, err)
	}
	if n > maxEvidence {
		return nil, fmt.Errorf("%w: its evidence is larger than %d bytes", ErrProvider, maxEvidence)
	}
	return h.Sum(nil), nil
}
