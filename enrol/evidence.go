package enrol

import (
	"bytes"
	"context"
	"crypto/hmac"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/call"
	"github.com/ecsigner/ecsigner/custody"
	"github.com/ecsigner/ecsigner/enrol/agreement"
	"github.com/ecsigner/ecsigner/otp"
	"github.com/ecsigner/ecsigner/sam"
)

// evidenceFormat names the form of an evidence record; a change makes a new one.
const evidenceFormat = "ecsigner acceptance v1"

// Dossier is what is known of how an agreement came to be accepted. It is under no seal of its own: once accepted, its
// evidence is held against the digest in the sealed enrolment.
type Dossier struct {
	Enrolment string
	Document  []byte    // SHA-256 of the agreement that the rest is about
	Basis     []byte    // JSON: what the agreement refers to, as it was when it was made
	Shown     time.Time // first time that the portal fetched it for the person
	CodeSent  time.Time // last time that a code for it was sent
	Evidence  []byte    // JSON, from the acceptance on
}

// Dossiers keeps them by enrolment.
type Dossiers interface {
	// Dossier returns ErrNotFound when there is none. It is locked until commit.
	Dossier(enrolment string) (Dossier, error)
	PutDossier(d Dossier) error
}

// Acceptance is the person's wilful act (EN 319 411-1 REG-6.3.4-08) as the portal hands it on.
type Acceptance struct {
	SHA256   []byte   // of the document that was shown
	Consents []string // names of the consents given, each on its own; see View.Consents
	Code     string
	Context  AcceptanceContext
}

// AcceptanceContext is what a portal knows of where the person is. All of it may be empty.
type AcceptanceContext struct {
	Address   string // IPv4 or IPv6
	UserAgent string // at most 256 characters
	Session   string // the portal's own name of it
}

func (c AcceptanceContext) check() error {
	if c.Address != "" {
		if _, err := netip.ParseAddr(c.Address); err != nil {
			return call.Wrong("address", fmt.Errorf("%w: give an IPv4 or IPv6 address, or none", ErrField))
		}
	}
	if utf8.RuneCountInString(c.UserAgent) > 256 || strings.ContainsFunc(c.UserAgent, unicode.IsControl) || !utf8.ValidString(c.UserAgent) {
		return call.Wrong("user_agent", fmt.Errorf("%w: at most 256 characters, no control characters", ErrField))
	}
	if len(c.Session) > 128 || strings.ContainsFunc(c.Session, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return call.Wrong("session", fmt.Errorf("%w: at most 128 ASCII characters without blanks", ErrField))
	}
	return nil
}

// ConsentError names the required consents that were not given. Nothing was counted.
type ConsentError struct{ Missing []string }

func (e *ConsentError) Error() string { return fmt.Sprintf("%v: %v", ErrConsent, e.Missing) }

// Unwrap returns ErrConsent.
func (e *ConsentError) Unwrap() error { return ErrConsent }

// FieldName returns the field's name.
func (e *ConsentError) FieldName() string { return "consents" }

// consentsOf are what the agreement of an enrolment asks for.
func consentsOf(r record) []agreement.Consent {
	return agreement.Consents(r.row.Language, r.sealed.Person.Organisation)
}

// consent puts the given consents into the agreement's order. A required one that is missing is a ConsentError, one that
// the agreement does not have a FieldError.
func consent(asked []agreement.Consent, given []string) ([]string, error) {
	var ordered, missing []string
	for _, c := range asked {
		switch {
		case slices.Contains(given, c.Name):
			ordered = append(ordered, c.Name)
		case c.Required:
			missing = append(missing, c.Name)
		}
	}
	if len(missing) > 0 {
		return nil, &ConsentError{missing}
	}
	if len(ordered) != len(given) {
		return nil, call.Wrong("consents", fmt.Errorf("%w: name each consent of the agreement once, and no other", ErrField))
	}
	return ordered, nil
}

// reference is a text that the agreement makes its own.
type reference struct {
	Version string `json:"version,omitempty"`
	URL     string `json:"url"`
	SHA256  string `json:"sha256,omitempty"`
}

// basis is what an agreement refers to.
type basis struct {
	Edition  string    `json:"edition"` // of the agreement's text
	Language string    `json:"language"`
	Issuer   string    `json:"issuer"`
	Policy   string    `json:"policy"`
	Terms    reference `json:"terms"`
	PDS      reference `json:"pki_disclosure_statement"`
}

// basisIn is what an agreement in the language refers to, when it is made now.
func (s *Service) basisIn(language string) basis {
	p := s.providerIn(language)
	return basis{
		Edition: agreement.Edition(language), Language: language, Issuer: p.Issuer, Policy: p.PolicyOID,
		Terms: reference{s.Terms.Version, s.Terms.URL, hex.EncodeToString(s.Terms.SHA256)},
		PDS:   reference{p.PDSVersion, p.PDSURL, hex.EncodeToString(p.PDSSHA256)},
	}
}

// providerIn is the provider as an agreement in the language names it.
func (s *Service) providerIn(language string) agreement.Provider {
	p := s.Provider
	p.Issuer = s.Authority.Certificate().Subject.CommonName
	p.PDSURL, p.PDSSHA256 = s.PDS[language], s.PDSSHA256[language]
	if p.PDSURL == "" {
		p.PDSURL, p.PDSSHA256 = s.PDS["en"], s.PDSSHA256["en"]
	}
	return p
}

// opened begins the dossier of an agreement that was just made.
func (s *Service) opened(enrolment, language string, document []byte) (func(Tx) error, error) {
	b, err := json.Marshal(s.basisIn(language))
	if err != nil {
		return nil, fmt.Errorf("encoding what the agreement refers to: %w", err)
	}
	d := Dossier{Enrolment: enrolment, Document: digest(document), Basis: b}
	return func(tx Tx) error { return tx.PutDossier(d) }, nil
}

// dossier reads that of the enrolment's present agreement; an empty one when there is none yet.
func dossier(tx Tx, r record) (Dossier, error) {
	d, err := tx.Dossier(r.row.ID)
	switch {
	case custody.IsNotFound(err), err == nil && !bytes.Equal(d.Document, r.sealed.Agreement):
		return Dossier{Enrolment: r.row.ID, Document: r.sealed.Agreement}, nil
	}
	return d, err
}

// shown records that the portal fetched the agreement for the person, the first time before it is accepted. ErrConflict
// when it is no longer the enrolment's.
func (s *Service) shown(ctx context.Context, caller string, r record) error {
	if r.sealed.State != StateProven {
		return nil
	}
	var seen bool
	err := s.Store.View(ctx, func(tx Tx) error {
		d, err := dossier(tx, r)
		seen = !d.Shown.IsZero()
		return err
	})
	if err != nil || seen {
		return err
	}
	now := s.now()
	_, err = s.Store.Update(ctx, func(tx Tx) error {
		if _, err := r.unchanged(tx); err != nil {
			return err
		}
		d, err := dossier(tx, r)
		if err != nil || !d.Shown.IsZero() {
			return err
		}
		d.Shown = now
		tx.Append(audit.AgreementShown{Enrolment: r.row.ID, Document: r.sealed.Agreement, Caller: caller})
		return tx.PutDossier(d)
	})
	return err
}

// noteSent records when a code for the agreement was sent; it runs in the transaction that sends it.
func noteSent(tx Tx, r record, st step, now time.Time) error {
	if st.state != StateProven {
		return nil
	}
	d, err := dossier(tx, r)
	if err != nil {
		return err
	}
	d.CodeSent = now
	return tx.PutDossier(d)
}

// evidenceRecord is what is kept as proof of an acceptance: EN 319 411-1 REG-6.3.4-07 and -08. The code itself is in it
// nowhere.
type evidenceRecord struct {
	Format    string          `json:"format"`
	Enrolment string          `json:"enrolment"`
	Product   string          `json:"product,omitempty"`
	Caller    string          `json:"portal"`
	Request   string          `json:"request_id"`
	Document  documentFacts   `json:"document"`
	Subject   subjectFacts    `json:"certificate"`
	Consents  []consentFact   `json:"consents"`
	Code      codeFacts       `json:"code"`
	Shown     string          `json:"shown_at"`
	Accepted  string          `json:"accepted_at"`
	Identity  identityFacts   `json:"identity_proofing"`
	Context   contextFacts    `json:"context"`
	Basis     json.RawMessage `json:"refers_to"`
}

type documentFacts struct {
	SHA256 string `json:"sha256"`
	Bytes  int    `json:"bytes"`
	Made   string `json:"made_at"`
}

type subjectFacts struct {
	GivenName      string `json:"given_name"`
	Surname        string `json:"surname"`
	CommonName     string `json:"common_name"`
	LocalName      string `json:"local_name,omitempty"` // not in the certificate
	Country        string `json:"country"`
	SerialNumber   string `json:"serial_number"`
	Organisation   string `json:"organisation,omitempty"`
	OrganisationID string `json:"organisation_id,omitempty"`
	Years          uint8  `json:"years"`
	KeyAlgorithm   string `json:"key_algorithm"`
}

type consentFact struct {
	Name     string `json:"name"`
	Text     string `json:"text"`
	Required bool   `json:"required"`
	Given    bool   `json:"given"`
}

type codeFacts struct {
	Challenge string `json:"challenge"`
	Means     string `json:"means"`
	Phone     string `json:"phone"` // masked
	Number    int    `json:"number"`
	Sent      string `json:"sent_at"`
	Attempts  int    `json:"attempts"`
}

type identityFacts struct {
	Provider string `json:"provider"`
	Report   string `json:"report_sha256,omitempty"`
	Evidence string `json:"evidence_sha256,omitempty"`
	At       string `json:"completed_at"`
}

type contextFacts struct {
	Address   string `json:"address,omitempty"`
	UserAgent string `json:"user_agent,omitempty"`
	Session   string `json:"session,omitempty"`
}

func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000000Z")
}

// evidenceOf makes the record of an acceptance that is about to be decided.
func (s *Service) evidenceOf(r call.Request, from record, d Dossier, ch otp.Challenge, a Acceptance, consents []string, now time.Time) ([]byte, error) {
	e, n := from.sealed, certificateOf(from.sealed, now).Natural
	refersTo := d.Basis
	if len(refersTo) == 0 { // of an agreement that an earlier version made
		var err error
		if refersTo, err = json.Marshal(s.basisIn(from.row.Language)); err != nil {
			return nil, err
		}
	}
	out := evidenceRecord{
		Format: evidenceFormat, Enrolment: e.ID, Product: e.Product, Caller: r.Caller, Request: r.ID,
		Document: documentFacts{hex.EncodeToString(e.Agreement), len(from.row.Agreement), moment(e.At)},
		Subject: subjectFacts{
			GivenName: n.GivenName, Surname: n.Surname, CommonName: n.CommonName(), LocalName: e.Person.LocalName, Country: n.Country,
			SerialNumber: n.Identifier.String(), Organisation: n.Organisation, OrganisationID: n.OrganisationID,
			Years: e.Years, KeyAlgorithm: keyName(e.Algorithm),
		},
		Code: codeFacts{
			Challenge: string(ch.ID), Means: "sms-code", Phone: custody.Mask(from.row.Phone), Number: ch.Number,
			Sent: moment(d.CodeSent), Attempts: ch.Attempts + 1,
		},
		Shown: moment(d.Shown), Accepted: moment(now),
		Identity: identityFacts{
			e.Identity.Provider, hex.EncodeToString(e.Identity.Report), hex.EncodeToString(e.Identity.Evidence), moment(e.Identity.At),
		},
		Context: contextFacts(a.Context), Basis: refersTo,
	}
	for _, c := range consentsOf(from) {
		out.Consents = append(out.Consents, consentFact{c.Name, c.Text, c.Required, slices.Contains(consents, c.Name)})
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(out); err != nil {
		return nil, fmt.Errorf("encoding the evidence of the acceptance: %w", err)
	}
	return b.Bytes(), nil
}

// kept stores the evidence in the transaction of the acceptance, if what it says of the tries still holds.
func kept(tx Tx, d Dossier, ch otp.Challenge) error {
	stored, err := tx.Challenge(ch.ID)
	if err != nil {
		return err
	}
	if stored.Attempts != ch.Attempts+1 {
		return ErrConflict // somebody else's try came between; the evidence is made anew
	}
	return tx.PutDossier(d)
}

// Evidence is the proof that an agreement was accepted.
type Evidence struct {
	Record    []byte // JSON, as its digest was sealed
	SHA256    []byte
	Agreement AgreementDocument
}

// Evidence returns the proof of an acceptance. The client caller gets that of its own enrolments, an empty caller any.
// ErrNotFound for others, and for an enrolment without it: one that was not accepted, or by an earlier version.
func (s *Service) Evidence(ctx context.Context, caller, id string) (Evidence, error) {
	r, err := s.any(ctx, id)
	if err != nil {
		return Evidence{}, err
	}
	if caller != "" && r.row.Caller != caller || len(r.sealed.Evidence) == 0 {
		return Evidence{}, ErrNotFound
	}
	var d Dossier
	err = s.Store.View(ctx, func(tx Tx) (err error) {
		d, err = tx.Dossier(id)
		return err
	})
	if err != nil && !custody.IsNotFound(err) {
		return Evidence{}, err
	}
	if err != nil || !hmac.Equal(digest(d.Evidence), r.sealed.Evidence) {
		lost := fmt.Errorf("%w: evidence of the acceptance differs from the sealed record", sam.ErrSeal)
		return Evidence{}, s.room.Integrity(ctx, "evidence", id, errors.Join(lost, err))
	}
	return Evidence{Record: d.Evidence, SHA256: r.sealed.Evidence, Agreement: documentOf(r)}, nil
}
