package enrol

import (
	"context"
	"time"

	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/custody"
	"github.com/ecsigner/ecsigner/enrol/agreement"
	"github.com/ecsigner/ecsigner/enrol/person"
	"github.com/ecsigner/ecsigner/sam"
)

// Words of the trust core that callers of this use case need.
type (
	// Person holds the attributes that stand in the certificate.
	Person = sam.Person
	// State of an enrolment.
	State = sam.State
	// Outcome of identity proofing.
	Outcome = sam.Outcome
	// Consent is one thing that the agreement asks the person to agree to.
	Consent = agreement.Consent
)

// States of an enrolment, in order; rejected, cancelled and expired are ends as issued is.
const (
	StateCreated    = sam.StateCreated
	StateParameters = sam.StateParameters
	StateData       = sam.StateData
	StatePhone      = sam.StatePhone
	StateProofing   = sam.StateProofing
	StateDeferred   = sam.StateDeferred
	StateReview     = sam.StateReview
	StateProven     = sam.StateProven
	StateIssuing    = sam.StateIssuing
	StateIssued     = sam.StateIssued
	StateRejected   = sam.StateRejected
	StateCancelled  = sam.StateCancelled
	StateExpired    = sam.StateExpired
)

// Outcomes of identity proofing.
const (
	Positive = sam.Positive
	Negative = sam.Negative
	Deferred = sam.Deferred
)

// Action names the call that an enrolment waits for.
type Action string

// Actions in their order. The empty action: nothing more is to be done.
const (
	ActionSetParameters   Action = "set_parameters"
	ActionSetPersonalData Action = "set_personal_data"
	ActionConfirmPhone    Action = "confirm_phone" // SendPhoneCode, then ConfirmPhone
	ActionStartProofing   Action = "start_identity_proofing"
	ActionAwaitProofing   Action = "await_identity_result"
	ActionAwaitDeferred   Action = "await_deferred_result" // the provider decides later
	ActionReviewProven    Action = "review_proven_data"    // AcceptProvenData, or SetPersonalData and a new proofing
	ActionAcceptAgreement Action = "accept_agreement"      // Agreement, SendAgreementCode, then AcceptAgreement
	ActionAwaitCredential Action = "await_credential"
	ActionNone            Action = ""
)

// nextAction says what an enrolment in this state waits for.
func nextAction(state State) Action {
	switch state {
	case StateCreated:
		return ActionSetParameters
	case StateParameters:
		return ActionSetPersonalData
	case StateData:
		return ActionConfirmPhone
	case StatePhone:
		return ActionStartProofing
	case StateProofing:
		return ActionAwaitProofing
	case StateDeferred:
		return ActionAwaitDeferred
	case StateReview:
		return ActionReviewProven
	case StateProven:
		return ActionAcceptAgreement
	case StateIssuing:
		return ActionAwaitCredential
	}
	return ActionNone
}

// View is an enrolment as its caller sees it.
type View struct {
	ID                string
	Version           uint64 // rises with each transition
	State             State
	NextAction        Action
	Language          string // ISO 639-1
	Product           string // that the voucher paid for
	Years             uint8
	IdentifierType    string // PNO, TIN, PAS or IDC
	Algorithm         credential.Algorithm
	ForOrganisation   bool
	Person            Person
	MaskedPhone       string
	ProofingReference string // by which the identity provider reports its result
	Outcome           Outcome
	AgreementSHA256   []byte
	Renews            credential.ID // the credential that this one renews, empty for a first one
	Proofing          ProofingView
	NextText          string        // what happens next, for the person, in Language
	Consents          []Consent     // that the agreement asks for; none before it is made
	Given             []string      // names of the consents given, from the acceptance on
	Credential        credential.ID // once issued
	Serial            string        // of the certificate, lower-case hex; once issued
	Expires           time.Time     // until when the agreement must be accepted
	Created           time.Time
	Updated           time.Time
}

// ProofingView is what identity proofing wants of the person, and what it came to where they have to look at it.
type ProofingView struct {
	Provider     string
	URL          string    // where the person proves who they are, while a session waits
	Expires      time.Time // of the session; zero where the provider does not say
	Reason       Reason    // why there is no agreement; empty otherwise
	Fields       []string  // that the reason is about
	Proven       Person    // the data of a positive result, in state review and after
	BirthDate    string    // the same, YYYY-MM-DD
	ReportSHA256 []byte    // of everything that was reported: what AcceptProvenData takes
}

// next says what the enrolment waits for. Whoever was sent back to the data has to change them first.
func (r record) next() Action {
	if r.sealed.State == StateData && r.row.Proofing.Reason != "" {
		return ActionSetPersonalData
	}
	return nextAction(r.sealed.State)
}

func (r record) proofing() ProofingView {
	p := r.row.Proofing
	v := ProofingView{Provider: r.sealed.Identity.Provider, Reason: p.Reason, Fields: p.fields()}
	switch r.sealed.State {
	case StateProofing:
		v.URL, v.Expires = p.URL, p.Expires
	case StateReview, StateProven, StateIssuing, StateIssued:
		v.Proven, v.BirthDate, v.ReportSHA256 = r.sealed.Identity.Person, person.ProvenBirthDate(p.Report), r.sealed.Identity.Report
	}
	return v
}

func view(r record) View {
	e := r.sealed
	v := View{
		ID: e.ID, Version: e.Version, State: e.State, NextAction: r.next(), Proofing: r.proofing(), Language: r.row.Language, Years: e.Years,
		Product: e.Product, IdentifierType: e.Type, Algorithm: e.Algorithm, ForOrganisation: e.ForOrg, Person: e.Person, MaskedPhone: custody.Mask(r.row.Phone),
		ProofingReference: e.Identity.Reference, Outcome: e.Identity.Outcome, AgreementSHA256: e.Agreement, Renews: e.Renews,
		NextText: r.nextText(), Given: e.Consents,
		Expires: r.until, Created: r.row.Created, Updated: e.At,
	}
	if len(e.Agreement) > 0 {
		v.Consents = consentsOf(r)
	}
	if e.State == StateIssued {
		v.Credential, v.Serial = e.Credential, e.Serial
	}
	return v
}

// Get returns an enrolment of the caller. Foreign and unknown enrolments are both ErrNotFound.
func (s *Service) Get(ctx context.Context, caller, id string) (View, error) {
	r, err := s.read(ctx, caller, id)
	if err != nil {
		return View{}, err
	}
	return view(r), nil
}

// read returns an enrolment of the caller, its seal checked.
func (s *Service) read(ctx context.Context, caller, id string) (record, error) {
	var row Enrolment
	err := s.Store.View(ctx, func(tx Tx) (err error) {
		row, err = own(tx, caller, id)
		return err
	})
	if err != nil {
		return record{}, err
	}
	return s.open(ctx, row)
}

// maxPage is the longest list that one call returns.
const maxPage = 200

func page(limit int) int {
	if limit <= 0 || limit > maxPage {
		return maxPage
	}
	return limit
}

// List returns enrolments of the caller with id > after, in order of their ids, at most limit (200 when limit is 0 or
// larger).
func (s *Service) List(ctx context.Context, caller, after string, limit int) ([]View, error) {
	var rows []Enrolment
	err := s.Store.View(ctx, func(tx Tx) (err error) {
		rows, err = tx.Enrolments(caller, after, page(limit))
		return err
	})
	if err != nil {
		return nil, err
	}
	views := make([]View, 0, len(rows))
	for _, row := range rows {
		r, err := s.open(ctx, row)
		if err != nil {
			return nil, err
		}
		views = append(views, view(r))
	}
	return views, nil
}
