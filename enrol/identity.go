package enrol

import (
	"context"
	"crypto/hmac"
	"fmt"
	"strconv"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/ca"
	"github.com/ecsigner/ecsigner/sam"
	"golang.org/x/text/unicode/norm"
)

// clockSkew is how far the clock of an identity provider may be ahead of ours or behind.
const clockSkew = 5 * time.Minute

// certificateOf is the certificate that an enrolment leads to. One request a enrolment: the CA never makes two. The
// person is named by the identifier, so that one DN never goes to two persons (EN 319 411-1 GEN-6.3.3-10).
func certificateOf(e sam.Enrolment, from time.Time) ca.Request {
	id := ca.Identifier{Kind: e.Person.IdentifierType, Country: e.Person.Country, Value: e.Person.Identifier}
	return ca.Request{
		ID: e.ID, Person: id.String(), Profile: ca.NaturalPerson,
		Natural: ca.Natural{
			Country: e.Person.Country, GivenName: e.Person.GivenName, Surname: e.Person.Surname, Identifier: id,
		},
		NotBefore: from, Years: int(e.Years),
	}
}

// StartIdentityProofing names the provider, by the name of its client certificate, that will prove the identity. The
// view's ProofingReference is what the provider reports its result under.
func (s *Service) StartIdentityProofing(ctx context.Context, caller, id, requestID, provider string) (View, error) {
	if !audit.ValidID(provider) {
		return View{}, &FieldError{"provider", fmt.Errorf("%w: give the name of the provider's client certificate", ErrField)}
	}
	r, err := newRequest(caller, requestID, "StartIdentityProofing", id, provider)
	if err != nil {
		return View{}, err
	}
	reference, err := s.newID("idp-")
	if err != nil {
		return View{}, err
	}
	return s.transit(ctx, r, id, func(from record, now time.Time) (change, error) {
		if err := from.in(now, StatePhone); err != nil {
			return change{}, err
		}
		to, err := s.next(ctx, from, now, StateProofing, func(e *sam.Enrolment, _ *Enrolment) {
			e.Identity = sam.Identity{Provider: provider, Reference: reference, At: now}
		})
		return change{to: to, events: []audit.Event{audit.IdentityStarted{Enrolment: id, Provider: provider}}}, err
	})
}

// IdentityResult is what an identity provider found (ETSI TS 119 461 clause 8.5).
type IdentityResult struct {
	Enrolment   string
	Reference   string // the enrolment's ProofingReference
	Outcome     Outcome
	Person      Person // as proven; compared when positive
	BirthDate   string // YYYY-MM-DD
	Phone       string // E.164
	Evidence    []byte // the evidence package: its SHA-256 is sealed, the provider keeps it
	CompletedAt time.Time
}

func (i IdentityResult) normal() IdentityResult {
	for _, s := range []*string{&i.Person.GivenName, &i.Person.Surname, &i.Person.LocalName} {
		*s = norm.NFC.String(*s)
	}
	return i
}

// ReportIdentityResult takes the result of the provider that was named. A positive one makes the agreement; a
// negative one ends the enrolment; a deferred one says that the provider decides later. A positive one whose data or phone differ from the form is an ErrIdentityDiffers:
// it is recorded in the log and changes nothing. Another provider's enrolment, an unknown one, and another reference
// are all ErrNotFound.
func (s *Service) ReportIdentityResult(ctx context.Context, caller, requestID string, i IdentityResult) (View, error) {
	i = i.normal()
	if i.Outcome != Positive && i.Outcome != Negative && i.Outcome != Deferred {
		return View{}, &FieldError{"outcome", fmt.Errorf("%w: report %s, %s or %s", ErrField, Positive, Negative, Deferred)}
	}
	r, err := newRequest(caller, requestID, "ReportIdentityResult", i.Enrolment, i.Reference, string(i.Outcome),
		i.Person.GivenName, i.Person.Surname, i.Person.LocalName, i.Person.Country, i.Person.IdentifierType, i.Person.Identifier,
		i.BirthDate, i.Phone, string(digest(i.Evidence)), strconv.FormatInt(i.CompletedAt.UnixMicro(), 10))
	if err != nil {
		return View{}, err
	}
	var v View
	err = again(ctx, func() error {
		from, done, err := s.proofing(ctx, r, i)
		if err != nil {
			return err
		}
		if done {
			v = view(from)
			return nil
		}
		now := s.now()
		if err := from.in(now, StateProofing, StateDeferred); err != nil {
			return err
		}
		if err := i.timely(from.sealed, now); err != nil {
			return err
		}
		if different := i.differences(from); i.Outcome == Positive && len(different) > 0 {
			return s.differs(ctx, r, i, different)
		}
		c, err := s.proven(ctx, from, i, now)
		if err != nil {
			return err
		}
		if _, err := s.Store.Update(ctx, func(tx Tx) error { return c.record(tx, from, r) }); err != nil {
			return err
		}
		v = view(c.to)
		return nil
	})
	return v, err
}

// proofing reads the enrolment that a result is for, if it waits for this provider's result under this reference.
func (s *Service) proofing(ctx context.Context, r request, i IdentityResult) (record, bool, error) {
	var row Enrolment
	var done bool
	err := s.Store.View(ctx, func(tx Tx) (err error) {
		if _, done, err = r.answered(tx); err != nil {
			return err
		}
		row, err = tx.Enrolment(i.Enrolment)
		return err
	})
	if err != nil {
		return record{}, false, err
	}
	from, err := s.open(ctx, row)
	if err != nil {
		return record{}, false, err
	}
	asked := from.sealed.Identity
	if asked.Provider == "" || asked.Provider != r.caller || !hmac.Equal([]byte(asked.Reference), []byte(i.Reference)) {
		return record{}, false, ErrNotFound
	}
	return from, done, nil
}

// timely refuses a result from before the proofing was asked for, or from the future.
func (i IdentityResult) timely(e sam.Enrolment, now time.Time) error {
	asked := e.Identity.At
	if asked.IsZero() {
		asked = e.At // of a record that began before the start was sealed
	}
	if i.CompletedAt.Before(asked.Add(-clockSkew)) || i.CompletedAt.After(now.Add(clockSkew)) {
		return &FieldError{"complete_time", fmt.Errorf("%w: it must lie between the start of this proofing and now; check the clock", ErrField)}
	}
	return nil
}

// differences names the fields in which the proven identity is not the given one.
func (i IdentityResult) differences(r record) []string {
	form := r.sealed.Person
	var names []string
	for _, f := range []struct{ name, proven, given string }{
		{"given_name", i.Person.GivenName, form.GivenName},
		{"surname", i.Person.Surname, form.Surname},
		{"local_name", i.Person.LocalName, form.LocalName},
		{"country", i.Person.Country, form.Country},
		{"identifier_type", i.Person.IdentifierType, form.IdentifierType},
		{"identifier", i.Person.Identifier, form.Identifier},
		{"birth_date", i.BirthDate, r.row.BirthDate},
		{"phone", i.Phone, r.row.Phone},
	} {
		if f.proven != f.given {
			names = append(names, f.name)
		}
	}
	return names
}

// differs records the refusal. It is no answer to the request id: the provider may report again.
func (s *Service) differs(ctx context.Context, r request, i IdentityResult, fields []string) error {
	event := audit.IdentityReported{Enrolment: i.Enrolment, Outcome: "differs", Evidence: evidence(i), Caller: r.caller}
	if _, err := s.Store.Update(ctx, func(tx Tx) error { tx.Append(event); return nil }); err != nil {
		return err
	}
	return &DifferenceError{Fields: fields}
}

// evidence is the digest of the evidence package, nil when there is none.
func evidence(i IdentityResult) []byte {
	if len(i.Evidence) == 0 {
		return nil
	}
	return digest(i.Evidence)
}

// proven decides what a result leads to.
func (s *Service) proven(ctx context.Context, from record, i IdentityResult, now time.Time) (change, error) {
	identity := sam.Identity{
		Outcome: i.Outcome, Provider: from.sealed.Identity.Provider, Reference: i.Reference, Evidence: evidence(i),
		At: i.CompletedAt.UTC().Truncate(time.Microsecond),
	}
	reported := audit.IdentityReported{
		Enrolment: i.Enrolment, Outcome: string(i.Outcome), Evidence: identity.Evidence, Caller: from.sealed.Identity.Provider,
	}
	if i.Outcome == Deferred {
		to, err := s.next(ctx, from, now, StateDeferred, func(e *sam.Enrolment, _ *Enrolment) {
			e.Identity.Outcome, e.Identity.Evidence = Deferred, identity.Evidence
		})
		return change{to: to, events: []audit.Event{reported}}, err
	}
	if i.Outcome == Negative {
		to, err := s.next(ctx, from, now, StateRejected, func(e *sam.Enrolment, _ *Enrolment) { e.Identity = identity })
		closed := audit.EnrolmentClosed{Enrolment: i.Enrolment, Outcome: string(StateRejected)}
		return change{to: to, events: []audit.Event{reported}, after: []audit.Event{closed}}, err
	}
	identity.Person, identity.Phone = i.Person, sam.PhoneCommitment(from.row.PhoneSalt, i.Phone)
	// The agreement is made from what was proven, which is what the certificate will say.
	proven := from.sealed
	proven.Person = identity.Person
	document, language, err := s.rehearse(proven, from.row, now)
	if err != nil {
		return change{}, err
	}
	to, err := s.next(ctx, from, now, StateProven, func(e *sam.Enrolment, row *Enrolment) {
		e.Identity, e.Agreement = identity, digest(document)
		row.Agreement, row.Challenge = document, ""
	})
	prepared := audit.AgreementPrepared{
		Enrolment: i.Enrolment, Document: digest(document), Version: s.Terms.Version, Language: language,
	}
	return change{to: to, events: []audit.Event{reported, prepared}}, err
}
