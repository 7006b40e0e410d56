package enrol

import (
	"context"
	"crypto/hmac"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/ca"
	"github.com/ecsigner/ecsigner/call"
	"github.com/ecsigner/ecsigner/custody"
	"github.com/ecsigner/ecsigner/enrol/person"
	"github.com/ecsigner/ecsigner/otp/sms"
	"github.com/ecsigner/ecsigner/sam"
)

// certificateOf is the certificate that an enrolment leads to. One request a enrolment: the CA never makes two. The
// person is named by the identifier, so that one DN never goes to two persons (EN 319 411-1 GEN-6.3.3-10).
func certificateOf(e sam.Enrolment, from time.Time) ca.Request {
	id := ca.Identifier{Kind: e.Person.IdentifierType, Country: e.Person.Country, Value: e.Person.Identifier}
	return ca.Request{
		ID: e.ID, Person: id.String(), Profile: ca.NaturalPerson,
		Natural: ca.Natural{
			Country: e.Person.Country, GivenName: e.Person.GivenName, Surname: e.Person.Surname, Identifier: id,
			Organisation: e.Person.Organisation, OrganisationID: e.Person.OrganisationID,
		},
		NotBefore: from, Years: int(e.Years),
	}
}

// personOf names whose the subject name and the key of a certificate are. A personal or tax number is one person's for
// ever; the number of a document only says which document it is, so the birth date tells persons apart whose documents
// were given the same.
func personOf(r record) string {
	p := r.sealed.Person
	name := ca.Identifier{Kind: p.IdentifierType, Country: p.Country, Value: p.Identifier}.String()
	if p.IdentifierType == "PAS" || p.IdentifierType == "IDC" {
		name += " born " + r.row.BirthDate
	}
	return name
}

// StartIdentityProofing names the provider that will prove the identity. One that is asked over the network opens a
// session, and the view's Proofing has its address. All others report under the view's ProofingReference, by the name of
// their client certificate. While it is under way it may be started anew: what the former one proves is void then.
// ErrProvider.
func (s *Service) StartIdentityProofing(ctx context.Context, caller, id, requestID, provider string) (View, error) {
	if !audit.ValidID(provider) {
		return View{}, call.Wrong("provider", fmt.Errorf("%w: give the name of the provider", ErrField))
	}
	r, err := call.NewRequest(caller, requestID, "StartIdentityProofing", id, provider)
	if err != nil {
		return View{}, err
	}
	reference, err := s.room.NewID("idp-")
	if err != nil {
		return View{}, err
	}
	v, err := s.transit(ctx, r, id, func(from record, now time.Time) (change, error) {
		if err := from.in(now, StatePhone, StateProofing); err != nil {
			return change{}, err
		}
		session, err := s.session(ctx, from, provider, reference)
		if err != nil {
			return change{}, err
		}
		to, err := s.next(ctx, from, now, StateProofing, func(e *sam.Enrolment, row *Enrolment) {
			unprove(from, e, row)
			e.Identity = sam.Identity{Provider: provider, Reference: reference, Session: session.ID, At: now}
			row.Proofing = Proofing{Provider: provider, Session: session.ID, URL: session.URL, Expires: session.Expires}
		})
		return change{to: to, events: []audit.Event{audit.IdentityStarted{Enrolment: id, Provider: provider}}}, err
	})
	if _, ok := s.Proofers[provider]; ok && err == nil {
		s.lookout.wake(id) // a callback may have come before the session was known
	}
	return v, err
}

// session opens a session at a provider that is asked over the network. One whose opening is not recorded afterwards is
// left to expire: no result of it is ever taken.
func (s *Service) session(ctx context.Context, r record, provider, reference string) (Session, error) {
	p, ok := s.Proofers[provider]
	if !ok {
		return Session{}, nil
	}
	session, err := p.Start(ctx, ProofingRequest{
		Reference: reference, Language: r.row.Language, Claimed: r.sealed.Person, BirthDate: r.row.BirthDate, Phone: r.row.Phone,
	})
	if err == nil && !audit.ValidID(session.ID) {
		err = fmt.Errorf("%w: its session has no usable id", ErrProvider)
	}
	session.Expires = session.Expires.UTC().Truncate(time.Microsecond)
	return session, err
}

// ReportIdentityResult takes the result of the provider that was named, where that one is not asked over the network. A
// positive one makes the agreement, or sends the person to look at other data than they gave; a negative one ends the
// enrolment, even a positive one before it; a deferred one says that the provider decides later. Another provider's
// enrolment, an unknown one, and another reference are all ErrNotFound.
func (s *Service) ReportIdentityResult(ctx context.Context, caller, requestID string, i IdentityResult) (View, error) {
	i = i.Normal()
	if i.Outcome != Positive && i.Outcome != Negative && i.Outcome != Deferred {
		return View{}, call.Wrong("outcome", fmt.Errorf("%w: report %s, %s or %s", ErrField, Positive, Negative, Deferred))
	}
	r, err := call.NewRequest(caller, requestID, "ReportIdentityResult", i.Enrolment, i.Reference, string(i.Outcome),
		i.Person.GivenName, i.Person.Surname, i.Person.LocalName, i.Person.Country, i.Person.IdentifierType, i.Person.Identifier,
		i.Person.Organisation, i.Person.OrganisationID,
		i.BirthDate, i.Phone, string(digest(i.Evidence)), strconv.FormatInt(i.CompletedAt.UnixMicro(), 10))
	if err != nil {
		return View{}, err
	}
	var v View
	err = call.Again(ctx, func() error {
		from, done, err := s.reported(ctx, r, i)
		if err != nil {
			return err
		}
		if done {
			v = view(from)
			return nil
		}
		now, err := s.clock()
		if err != nil {
			return err
		}
		if err := from.in(now, i.TakenIn()...); err != nil {
			return err
		}
		c, moves, err := s.judged(ctx, from, i, now)
		if err != nil {
			return err
		}
		v = view(c.to)
		_, err = s.Store.Update(ctx, func(tx Tx) error {
			if moves {
				return c.record(tx, from, r)
			}
			if _, err := from.unchanged(tx); err != nil {
				return err
			}
			for _, e := range c.events {
				tx.Append(e)
			}
			return r.Put(tx, i.Enrolment)
		})
		return err
	})
	return v, err
}

// reported reads the enrolment that a result is for, if it waits for this provider's result under this reference.
func (s *Service) reported(ctx context.Context, r call.Request, i IdentityResult) (record, bool, error) {
	var row Enrolment
	var done bool
	err := s.Store.View(ctx, func(tx Tx) (err error) {
		if _, done, err = r.Answered(tx); err != nil {
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
	_, fetched := s.Proofers[r.Caller] // its results are fetched from where it is known to be, whoever has its name
	if asked.Provider == "" || asked.Provider != r.Caller || fetched || !hmac.Equal([]byte(asked.Reference), []byte(i.Reference)) {
		return record{}, false, ErrNotFound
	}
	return from, done, nil
}

// judged decides what a result leads to. When nothing moves, only the change's events are to be recorded.
func (s *Service) judged(ctx context.Context, from record, i IdentityResult, now time.Time) (c change, moves bool, err error) {
	if from.sealed.State == StateProofing || from.sealed.State == StateDeferred { // later At is that of the result
		if err := i.Timely(from.sealed, now); err != nil {
			return change{}, false, err
		}
	}
	var f person.Findings
	if i.Outcome == Positive {
		f = s.found(from, i, now)
	}
	switch {
	case i.Outcome == Negative:
		c, err = s.rejected(ctx, from, i, now)
		return c, true, err
	case i.Outcome == Deferred, f.Reason == ReasonBirthDateConflict:
		if from.sealed.State == StateDeferred {
			return change{to: from, events: []audit.Event{reportedAs(i, from, string(Deferred))}}, false, nil
		}
		c, err = s.deferred(ctx, from, i, f, now)
		return c, true, err
	case f.Reason == ReasonTooOld:
		c, err = s.sentBack(ctx, from, StatePhone, f, reportedAs(i, from, outcomeTooOld), now)
		return c, true, err
	case f.Reason == ReasonDiffers:
		c, err = s.review(ctx, from, i, f, now)
		return c, true, err
	case f.Reason != "":
		c, err = s.sentBack(ctx, from, StateData, f, reportedAs(i, from, outcomeDiffers), now)
		return c, true, err
	}
	c, err = s.proven(ctx, from, i, now)
	if field := (*FieldError)(nil); errors.As(err, &field) { // no certificate can be made of it
		c, err = s.sentBack(ctx, from, StateData, person.Findings{Reason: ReasonAttributeRefused}, reportedAs(i, from, outcomeDiffers), now)
	}
	return c, true, err
}

// Outcomes that the log knows beside those of the provider.
const (
	outcomeDiffers  = "differs"
	outcomeAccepted = "accepted"
	outcomeTooOld   = "too-old"
	outcomeEnded    = "ended"
)

func (s *Service) rejected(ctx context.Context, from record, i IdentityResult, now time.Time) (change, error) {
	to, err := s.next(ctx, from, now, StateRejected, func(e *sam.Enrolment, row *Enrolment) {
		identity := identityOf(i, from, now)
		unprove(from, e, row)
		e.Identity, row.Proofing = identity, Proofing{Report: i.Report(identity.Provider)}
	})
	return change{
		to: to, events: []audit.Event{reportedAs(i, from, string(Negative))},
		after: []audit.Event{audit.EnrolmentClosed{Enrolment: from.row.ID, Outcome: string(StateRejected)}},
		also:  func(tx Tx) error { return custody.Void(tx, from.row.Challenge, now) },
	}, err
}

// deferred waits, and tells the person so. The time of the start stays sealed.
func (s *Service) deferred(ctx context.Context, from record, i IdentityResult, f person.Findings, now time.Time) (change, error) {
	to, err := s.next(ctx, from, now, StateDeferred, func(e *sam.Enrolment, row *Enrolment) {
		e.Identity.Outcome, e.Identity.Evidence, e.Identity.Method = Deferred, i.EvidenceDigest(), i.Method
		e.Identity.Report = digest(i.Report(e.Identity.Provider))
		row.Proofing.Report, row.Proofing.Reason, row.Proofing.Fields = i.Report(e.Identity.Provider), f.Reason, f.Fields
	})
	if err != nil {
		return change{}, err
	}
	return s.withNotice(change{to: to, events: []audit.Event{reportedAs(i, from, string(Deferred))}}, sms.KindDeferred, now)
}

// withNotice puts a notice to the person on its way with the change, if the phone was confirmed.
func (s *Service) withNotice(c change, kind sms.Kind, now time.Time) (change, error) {
	if c.to.sealed.Confirmed == "" {
		return c, nil
	}
	m, err := s.room.Notice(kind, c.to.row.ID, now)
	if err != nil {
		return change{}, err
	}
	c.after = append(c.after, audit.NoticeSent{Subject: c.to.row.ID, Kind: string(kind)})
	before := c.also
	c.also = func(tx Tx) error {
		if before != nil {
			if err := before(tx); err != nil {
				return err
			}
		}
		return tx.Enqueue(m)
	}
	return c, nil
}

// review shows the person what was proven.
func (s *Service) review(ctx context.Context, from record, i IdentityResult, f person.Findings, now time.Time) (change, error) {
	to, err := s.next(ctx, from, now, StateReview, func(e *sam.Enrolment, row *Enrolment) {
		e.Identity = identityOf(i, from, now)
		row.Proofing = Proofing{
			Provider: e.Identity.Provider, Session: e.Identity.Session, Reason: f.Reason, Fields: f.Fields,
			Report: i.Report(e.Identity.Provider),
		}
	})
	return change{to: to, events: []audit.Event{reportedAs(i, from, outcomeDiffers)}}, err
}

// sentBack voids the proofing and says why.
func (s *Service) sentBack(ctx context.Context, from record, to State, f person.Findings, event audit.Event, now time.Time) (change, error) {
	n, err := s.next(ctx, from, now, to, func(e *sam.Enrolment, row *Enrolment) {
		unprove(from, e, row)
		row.Proofing = Proofing{Reason: f.Reason, Fields: f.Fields}
		if to == StateData {
			e.Confirmed = ""
		}
	})
	return change{to: n, events: []audit.Event{event}, also: func(tx Tx) error { return custody.Void(tx, from.row.Challenge, now) }}, err
}

// proven makes the agreement from what was proven, which is what the certificate will say.
func (s *Service) proven(ctx context.Context, from record, i IdentityResult, now time.Time) (change, error) {
	identity := identityOf(i, from, now)
	c, err := s.agreed(ctx, from, identity, now, func(row *Enrolment) {
		row.Proofing = Proofing{Provider: identity.Provider, Session: identity.Session, Report: i.Report(identity.Provider)}
	})
	c.events = append([]audit.Event{reportedAs(i, from, string(Positive))}, c.events...)
	return c, err
}

// agreed makes the agreement from proven data, which become the enrolment's.
func (s *Service) agreed(ctx context.Context, from record, identity sam.Identity, now time.Time, edit func(row *Enrolment)) (change, error) {
	proven := from.sealed
	proven.Person = identity.Person
	document, language, err := s.rehearse(proven, from.row, now)
	if err != nil {
		return change{}, err
	}
	to, err := s.next(ctx, from, now, StateProven, func(e *sam.Enrolment, row *Enrolment) {
		e.Identity, e.Person, e.Agreement = identity, identity.Person, digest(document)
		row.Agreement, row.Challenge = document, ""
		edit(row)
	})
	if err != nil {
		return change{}, err
	}
	also, err := s.opened(from.row.ID, language, document)
	prepared := audit.AgreementPrepared{
		Enrolment: from.row.ID, Document: digest(document), Version: s.Terms.Version, Language: language,
	}
	return change{to: to, events: []audit.Event{prepared}, also: also}, err
}
