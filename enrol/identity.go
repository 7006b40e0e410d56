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
	"github.com/ecsigner/ecsigner/otp/sms"
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
		return View{}, &FieldError{"provider", fmt.Errorf("%w: give the name of the provider", ErrField)}
	}
	r, err := newRequest(caller, requestID, "StartIdentityProofing", id, provider)
	if err != nil {
		return View{}, err
	}
	reference, err := s.newID("idp-")
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

// IdentityResult is what an identity provider found (ETSI TS 119 461 clause 8.5).
type IdentityResult struct {
	Enrolment   string
	Reference   string // the enrolment's ProofingReference
	Session     string // the provider's own, where it has one
	Outcome     Outcome
	Level       string   // of identity proofing that was reached, as the provider says
	Method      string   // how it was proven, as the provider says
	Person      Person   // as proven; compared when positive
	BirthDate   string   // YYYY-MM-DD
	Phone       string   // E.164
	Document    Document // that was presented
	Reasons     []string // codes of the provider
	Evidence    []byte   // the evidence package: its SHA-256 is sealed, the provider keeps it
	CompletedAt time.Time

	evidenceSHA256 []byte // instead of Evidence, where the package was hashed as it came
}

func (i IdentityResult) normal() IdentityResult {
	for _, s := range []*string{&i.Person.GivenName, &i.Person.Surname, &i.Person.LocalName, &i.Person.Organisation} {
		*s = norm.NFC.String(*s)
	}
	i.CompletedAt = i.CompletedAt.UTC().Truncate(time.Microsecond)
	return i
}

// evidence is the digest of the evidence package, nil when there is none.
func (i IdentityResult) evidence() []byte {
	if len(i.Evidence) == 0 {
		return i.evidenceSHA256
	}
	return digest(i.Evidence)
}

// ReportIdentityResult takes the result of the provider that was named, where that one is not asked over the network. A
// positive one makes the agreement, or sends the person to look at other data than they gave; a negative one ends the
// enrolment, even a positive one before it; a deferred one says that the provider decides later. Another provider's
// enrolment, an unknown one, and another reference are all ErrNotFound.
func (s *Service) ReportIdentityResult(ctx context.Context, caller, requestID string, i IdentityResult) (View, error) {
	i = i.normal()
	if i.Outcome != Positive && i.Outcome != Negative && i.Outcome != Deferred {
		return View{}, &FieldError{"outcome", fmt.Errorf("%w: report %s, %s or %s", ErrField, Positive, Negative, Deferred)}
	}
	r, err := newRequest(caller, requestID, "ReportIdentityResult", i.Enrolment, i.Reference, string(i.Outcome),
		i.Person.GivenName, i.Person.Surname, i.Person.LocalName, i.Person.Country, i.Person.IdentifierType, i.Person.Identifier,
		i.Person.Organisation, i.Person.OrganisationID,
		i.BirthDate, i.Phone, string(digest(i.Evidence)), strconv.FormatInt(i.CompletedAt.UnixMicro(), 10))
	if err != nil {
		return View{}, err
	}
	var v View
	err = again(ctx, func() error {
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
		if err := from.in(now, i.takenIn()...); err != nil {
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
			return r.put(tx, i.Enrolment)
		})
		return err
	})
	return v, err
}

// takenIn are the states in which a result is taken. What is final is never overwritten but by a final refusal before the
// agreement is accepted: a provider that finds a fraud afterwards is heard. Negative is the end; only a new enrolment
// can be positive after it.
func (i IdentityResult) takenIn() []State {
	if i.Outcome == Negative {
		return []State{StateProofing, StateDeferred, StateReview, StateProven}
	}
	return []State{StateProofing, StateDeferred}
}

// reported reads the enrolment that a result is for, if it waits for this provider's result under this reference.
func (s *Service) reported(ctx context.Context, r request, i IdentityResult) (record, bool, error) {
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
	_, fetched := s.Proofers[r.caller] // its results are fetched from where it is known to be, whoever has its name
	if asked.Provider == "" || asked.Provider != r.caller || fetched || !hmac.Equal([]byte(asked.Reference), []byte(i.Reference)) {
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

// judged decides what a result leads to. When nothing moves, only the change's events are to be recorded.
func (s *Service) judged(ctx context.Context, from record, i IdentityResult, now time.Time) (c change, moves bool, err error) {
	if from.sealed.State == StateProofing || from.sealed.State == StateDeferred { // later At is that of the result
		if err := i.timely(from.sealed, now); err != nil {
			return change{}, false, err
		}
	}
	var f findings
	if i.Outcome == Positive {
		f = s.found(from, i, now)
	}
	switch {
	case i.Outcome == Negative:
		c, err = s.rejected(ctx, from, i, now)
		return c, true, err
	case i.Outcome == Deferred, f.reason == ReasonBirthDateConflict:
		if from.sealed.State == StateDeferred {
			return change{to: from, events: []audit.Event{i.event(from, string(Deferred))}}, false, nil
		}
		c, err = s.deferred(ctx, from, i, f, now)
		return c, true, err
	case f.reason == ReasonTooOld:
		c, err = s.sentBack(ctx, from, StatePhone, f, i.event(from, outcomeTooOld), now)
		return c, true, err
	case f.reason == ReasonDiffers:
		c, err = s.review(ctx, from, i, f, now)
		return c, true, err
	case f.reason != "":
		c, err = s.sentBack(ctx, from, StateData, f, i.event(from, outcomeDiffers), now)
		return c, true, err
	}
	c, err = s.proven(ctx, from, i, now)
	if field := (*FieldError)(nil); errors.As(err, &field) { // no certificate can be made of it
		c, err = s.sentBack(ctx, from, StateData, findings{reason: ReasonAttributeRefused}, i.event(from, outcomeDiffers), now)
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

// event is how the log tells of a result.
func (i IdentityResult) event(from record, outcome string) audit.Event {
	return audit.IdentityReported{
		Enrolment: from.row.ID, Outcome: outcome, Evidence: i.evidence(), Caller: from.sealed.Identity.Provider,
	}
}

// identity is the sealed result. Its time is never after now: a provider whose clock is ahead makes no proof younger.
func (i IdentityResult) identity(from record, now time.Time) sam.Identity {
	asked := from.sealed.Identity
	at := i.CompletedAt
	if at.After(now) {
		at = now
	}
	id := sam.Identity{
		Outcome: i.Outcome, Provider: asked.Provider, Reference: asked.Reference, Session: asked.Session, Method: i.Method,
		Report: digest(i.report(asked.Provider)), Evidence: i.evidence(), At: at,
	}
	if i.Outcome == Positive {
		id.Person, id.Phone = i.person(from.sealed.Person), sam.PhoneCommitment(from.row.PhoneSalt, i.Phone)
	}
	return id
}

// person is the proven person. What no document proves, the name in the person's own script, is as given where the provider
// is silent. An organisation is what was proven, and none where the certificate names none.
func (i IdentityResult) person(given Person) Person {
	p := i.Person
	if p.LocalName == "" {
		p.LocalName = given.LocalName
	}
	if given.Organisation == "" {
		p.Organisation, p.OrganisationID = "", ""
	}
	return p
}

func (s *Service) rejected(ctx context.Context, from record, i IdentityResult, now time.Time) (change, error) {
	to, err := s.next(ctx, from, now, StateRejected, func(e *sam.Enrolment, row *Enrolment) {
		identity := i.identity(from, now)
		unprove(from, e, row)
		e.Identity, row.Proofing = identity, Proofing{Report: i.report(identity.Provider)}
	})
	return change{
		to: to, events: []audit.Event{i.event(from, string(Negative))},
		after: []audit.Event{audit.EnrolmentClosed{Enrolment: from.row.ID, Outcome: string(StateRejected)}},
		also:  func(tx Tx) error { return void(tx, from.row.Challenge, now) },
	}, err
}

// deferred waits, and tells the person so. The time of the start stays sealed.
func (s *Service) deferred(ctx context.Context, from record, i IdentityResult, f findings, now time.Time) (change, error) {
	to, err := s.next(ctx, from, now, StateDeferred, func(e *sam.Enrolment, row *Enrolment) {
		e.Identity.Outcome, e.Identity.Evidence, e.Identity.Method = Deferred, i.evidence(), i.Method
		e.Identity.Report = digest(i.report(e.Identity.Provider))
		row.Proofing.Report, row.Proofing.Reason, row.Proofing.Fields = i.report(e.Identity.Provider), f.reason, f.fields
	})
	if err != nil {
		return change{}, err
	}
	return s.withNotice(change{to: to, events: []audit.Event{i.event(from, string(Deferred))}}, sms.KindDeferred, now)
}

// withNotice puts a notice to the person on its way with the change, if the phone was confirmed.
func (s *Service) withNotice(c change, kind sms.Kind, now time.Time) (change, error) {
	if c.to.sealed.Confirmed == "" {
		return c, nil
	}
	m, err := s.message(kind, c.to.row.ID, now)
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
func (s *Service) review(ctx context.Context, from record, i IdentityResult, f findings, now time.Time) (change, error) {
	to, err := s.next(ctx, from, now, StateReview, func(e *sam.Enrolment, row *Enrolment) {
		e.Identity = i.identity(from, now)
		row.Proofing = Proofing{
			Provider: e.Identity.Provider, Session: e.Identity.Session, Reason: f.reason, Fields: f.fields,
			Report: i.report(e.Identity.Provider),
		}
	})
	return change{to: to, events: []audit.Event{i.event(from, outcomeDiffers)}}, err
}

// sentBack voids the proofing and says why.
func (s *Service) sentBack(ctx context.Context, from record, to State, f findings, event audit.Event, now time.Time) (change, error) {
	n, err := s.next(ctx, from, now, to, func(e *sam.Enrolment, row *Enrolment) {
		unprove(from, e, row)
		row.Proofing = Proofing{Reason: f.reason, Fields: f.fields}
		if to == StateData {
			e.Confirmed = ""
		}
	})
	return change{to: n, events: []audit.Event{event}, also: func(tx Tx) error { return void(tx, from.row.Challenge, now) }}, err
}

// proven makes the agreement from what was proven, which is what the certificate will say.
func (s *Service) proven(ctx context.Context, from record, i IdentityResult, now time.Time) (change, error) {
	identity := i.identity(from, now)
	c, err := s.agreed(ctx, from, identity, now, func(row *Enrolment) {
		row.Proofing = Proofing{Provider: identity.Provider, Session: identity.Session, Report: i.report(identity.Provider)}
	})
	c.events = append([]audit.Event{i.event(from, string(Positive))}, c.events...)
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
