package sam

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ecsigner/ecsigner/credential"
)

// ErrEncoding means that bytes are not the canonical encoding of the record they claim to be.
var ErrEncoding = errors.New("sam: not a canonical record")

// Purpose says what a code may do. A code fits exactly one purpose.
type Purpose string

// Purposes of codes.
const (
	PurposePhone     Purpose = "phone"     // proves possession of the phone in an enrolment
	PurposeAgreement Purpose = "agreement" // accepts the issuance agreement
	PurposeSign      Purpose = "sign"      // authorises a signing operation
	PurposeRevoke    Purpose = "revoke"    // revokes a credential
)

// PhoneCommitment hides a phone number behind a random salt, so that erasing the salt and the number leaves nothing.
func PhoneCommitment(salt []byte, phone string) []byte {
	h := hmac.New(sha256.New, salt)
	h.Write([]byte(phone))
	return h.Sum(nil)
}

// Operation is what a signatory is asked to authorise: the digests and everything shown about them.
type Operation struct {
	ID             string
	Caller         string // client that asked
	Credential     credential.ID
	BindingVersion uint64
	Algorithm      credential.Scheme
	Digests        [][]byte // DTBS/R in order
	Title          string   // shown
	CallerName     string   // shown: the caller's registered name
	Language       string   // of the text: ISO 639-1
	Documents      [][]byte // SHA-256 of each document or the given hash, shown; same order as Digests
	Details        []byte   // SHA-256 over how the results are assembled (formats, prepared states)
	Expires        time.Time
	Digits         uint8 // that its codes have at least; 0: as many as those of the installation
}

// Challenge is the record that one code answers.
type Challenge struct {
	ID      string
	Purpose Purpose
	Subject []byte // seal of the operation or of the enrolment
	Nonce   []byte
	Phone   []byte // commitment to the number the code goes to
	Expires time.Time
	Digits  uint8 // of the code, 6 to 9; 0: as many as those of the installation
}

// Activation is the signature activation data: proof that the signatory authorised this operation.
type Activation struct {
	Operation []byte // its seal
	Challenge []byte // its seal
	Means     []string
	NotAfter  time.Time
}

// Person holds the attributes that stand in the certificate.
type Person struct {
	GivenName      string // Latin form as in the identity document
	Surname        string
	Country        string // ISO 3166-1 alpha-2 of the identifier
	IdentifierType string // PNO, TIN, PAS, IDC (EN 319 412-1 clause 5.1.3)
	Identifier     string
	LocalName      string // full name in the person's own script, shown in the agreement
	Organisation   string // legal name of the organisation that the person acts for, empty without one
	OrganisationID string // its identifier (EN 319 412-1 clause 5.1.4), e.g. VATPL-5260250274
}

// Outcome of identity proofing.
type Outcome string

// Outcomes of identity proofing. The empty outcome is "not yet".
const (
	Positive Outcome = "positive"
	Negative Outcome = "negative"
	Deferred Outcome = "deferred" // not final: the provider decides later
)

// Identity is the result of identity proofing.
type Identity struct {
	Outcome   Outcome
	Provider  string
	Reference string    // by which the provider reports to us
	Session   string    // the provider's own name of the session, empty where it has none
	Method    string    // how the identity was proven, as the provider says
	Report    []byte    // SHA-256 of everything the provider reported, empty before
	Evidence  []byte    // SHA-256 of the evidence package
	Person    Person    // as proven
	Phone     []byte    // commitment to the phone that the proofing confirmed
	At        time.Time // when it was completed; before that, when it was started
}

// State of an enrolment.
type State string

// States of an enrolment, in order.
const (
	StateCreated    State = "created"    // voucher redeemed
	StateParameters State = "parameters" // certificate parameters chosen
	StateData       State = "data"       // personal data given
	StatePhone      State = "phone"      // phone confirmed by a code
	StateProofing   State = "proofing"   // identity proofing under way
	StateDeferred   State = "deferred"   // the provider decides later
	StateReview     State = "review"     // identity positive, but other data were proven than given: the person looks at them
	StateProven     State = "proven"     // identity positive, agreement made
	StateIssuing    State = "issuing"    // agreement accepted, key and certificate under way
	StateIssued     State = "issued"     // credential can be used
	StateRejected   State = "rejected"   // identity negative
	StateCancelled  State = "cancelled"  // given up
	StateExpired    State = "expired"    // not finished in time
)

// Enrolment is the sealed state of one enrolment. Version rises with each transition.
type Enrolment struct {
	ID         string
	Version    uint64
	Caller     string
	Voucher    []byte // SHA-256 of the redeemed code
	Product    string // that the voucher paid for
	State      State
	Signatory  string
	Years      uint8
	Algorithm  credential.Algorithm
	Type       string // identifier type of the certificate: PNO, TIN, PAS or IDC
	ForOrg     bool   // the certificate names an organisation too
	Person     Person // as given; as proven once the person has reviewed a difference
	Phone      []byte // commitment to the given phone
	Confirmed  string // challenge that confirmed the phone, empty before
	Identity   Identity
	Agreement  []byte // SHA-256 of the agreement's PDF
	AcceptedBy string // challenge that accepted it, empty before
	AcceptedAt time.Time
	Consents   []string      // names of the consents that were given with the acceptance, in the order of the agreement
	Evidence   []byte        // SHA-256 of the record of how the agreement was accepted, empty before
	Renews     credential.ID // the credential that this one renews, empty for a first one
	ProofEnds  time.Time     // of a renewal: until when the identity proofing counts
	Signed     []byte        // of a renewal: SHA-256 of the agreement as the renewed credential signed it, empty before
	SignedAs   string        // of a renewal: the operation whose signature that is, empty before
	Credential credential.ID // chosen when issuing starts
	KEK        string        // of the generated key, empty before
	Wrapped    []byte        // SHA-256 of the wrapped key
	SPKI       []byte        // SHA-256 of its public key
	Serial     string        // of the intended certificate, lower-case hex, empty before
	TBS        []byte        // SHA-256 of the intended certificate's to-be-signed part
	At         time.Time     // of this transition
}

// MayIssue reports as ErrNotAuthorised why no key or certificate may be made for this enrolment.
func (e Enrolment) MayIssue() error {
	for _, rule := range []struct {
		holds bool
		text  string
	}{
		{e.State == StateIssuing, "enrolment is not in state issuing"},
		{e.Identity.Outcome == Positive, "identity is not proven"},
		{e.Confirmed != "", "phone is not confirmed by a code"},
		{len(e.Phone) > 0 && hmac.Equal(e.Phone, e.Identity.Phone), "identity proofing confirmed another phone"},
		{e.Person == e.Identity.Person, "identity proofing proved other data"},
		{len(e.Agreement) == sha256.Size && e.AcceptedBy != "", "agreement is not accepted"},
		{e.Credential != "", "no credential id was chosen"},
	} {
		if !rule.holds {
			return fmt.Errorf("%w: %s", ErrNotAuthorised, rule.text)
		}
	}
	return e.renewed()
}

// Formats of the records of operations and challenges. The first ones are read and checked, so that what was open under
// them can be finished; they had no digits.
const (
	operationV1, operationV2 = "ecsigner operation v1", "ecsigner operation v2"
	challengeV1, challengeV2 = "ecsigner challenge v1", "ecsigner challenge v2"
)

// MarshalBinary returns the canonical encoding, in the newest format.
func (o *Operation) MarshalBinary() ([]byte, error) { return o.encode(operationV2), nil }

func (o *Operation) encode(format string) []byte {
	var e credential.Encoder
	e.String(format)
	e.String(o.ID)
	e.String(o.Caller)
	e.String(string(o.Credential))
	e.Uint64(o.BindingVersion)
	e.String(string(o.Algorithm))
	e.List(o.Digests)
	e.String(o.Title)
	e.String(o.CallerName)
	e.String(o.Language)
	e.List(o.Documents)
	e.Bytes(o.Details)
	e.Time(o.Expires)
	if format != operationV1 {
		e.Uint64(uint64(o.Digits))
	}
	return e.Data()
}

// UnmarshalBinary accepts exactly what MarshalBinary makes, or made in the first format, else ErrEncoding.
func (o *Operation) UnmarshalBinary(data []byte) error {
	d := credential.NewDecoder(data)
	format := d.String()
	*o = Operation{
		ID: d.String(), Caller: d.String(), Credential: credential.ID(d.String()), BindingVersion: d.Uint64(),
		Algorithm: credential.Scheme(d.String()), Digests: d.List(), Title: d.String(), CallerName: d.String(),
		Language: d.String(), Documents: d.List(), Details: d.Bytes(), Expires: d.Time(),
	}
	if format != operationV1 {
		o.Digits = d.Uint8()
	}
	return canonical(d, o.encode(format), data, format, operationV1, operationV2)
}

// MarshalBinary returns the canonical encoding, in the newest format.
func (c *Challenge) MarshalBinary() ([]byte, error) { return c.encode(challengeV2), nil }

func (c *Challenge) encode(format string) []byte {
	var e credential.Encoder
	e.String(format)
	e.String(c.ID)
	e.String(string(c.Purpose))
	e.Bytes(c.Subject)
	e.Bytes(c.Nonce)
	e.Bytes(c.Phone)
	e.Time(c.Expires)
	if format != challengeV1 {
		e.Uint64(uint64(c.Digits))
	}
	return e.Data()
}

// UnmarshalBinary accepts exactly what MarshalBinary makes, or made in the first format, else ErrEncoding.
func (c *Challenge) UnmarshalBinary(data []byte) error {
	d := credential.NewDecoder(data)
	format := d.String()
	*c = Challenge{
		ID: d.String(), Purpose: Purpose(d.String()), Subject: d.Bytes(), Nonce: d.Bytes(), Phone: d.Bytes(), Expires: d.Time(),
	}
	if format != challengeV1 {
		c.Digits = d.Uint8()
	}
	return canonical(d, c.encode(format), data, format, challengeV1, challengeV2)
}

// MarshalBinary returns the canonical encoding.
func (a *Activation) MarshalBinary() ([]byte, error) {
	var e credential.Encoder
	e.String("ecsigner activation v1")
	e.Bytes(a.Operation)
	e.Bytes(a.Challenge)
	e.Strings(a.Means)
	e.Time(a.NotAfter)
	return e.Data(), nil
}

// UnmarshalBinary accepts exactly what MarshalBinary makes, else ErrEncoding.
func (a *Activation) UnmarshalBinary(data []byte) error {
	d := credential.NewDecoder(data)
	format := d.String()
	*a = Activation{Operation: d.Bytes(), Challenge: d.Bytes(), Means: d.Strings(), NotAfter: d.Time()}
	return finish(d, a, data, format, "ecsigner activation v1")
}

// Formats of an enrolment's record. The first one is read, so that enrolments that began under it can be finished. That of
// a renewal is the newest with three fields more.
const (
	enrolmentV1 = "ecsigner enrolment v1"
	enrolmentV2 = "ecsigner enrolment v2"
	renewalV2   = "ecsigner renewal v2"
)

// MarshalBinary returns the canonical encoding, in the newest format.
func (e *Enrolment) MarshalBinary() ([]byte, error) {
	if e.Renews != "" {
		return e.encode(renewalV2), nil
	}
	return e.encode(enrolmentV2), nil
}

func (e *Enrolment) encode(format string) []byte {
	var w credential.Encoder
	w.String(format)
	w.String(e.ID)
	w.Uint64(e.Version)
	w.String(e.Caller)
	w.Bytes(e.Voucher)
	w.String(string(e.State))
	w.String(e.Signatory)
	w.Uint64(uint64(e.Years))
	w.String(string(e.Algorithm))
	w.String(e.Type)
	e.Person.encode(&w, format)
	w.Bytes(e.Phone)
	w.String(e.Confirmed)
	w.String(string(e.Identity.Outcome))
	w.String(e.Identity.Provider)
	w.String(e.Identity.Reference)
	w.Bytes(e.Identity.Evidence)
	e.Identity.Person.encode(&w, format)
	w.Bytes(e.Identity.Phone)
	w.Time(e.Identity.At)
	w.Bytes(e.Agreement)
	w.String(e.AcceptedBy)
	w.Time(e.AcceptedAt)
	w.String(string(e.Credential))
	w.String(e.KEK)
	w.Bytes(e.Wrapped)
	w.Bytes(e.SPKI)
	w.String(e.Serial)
	w.Bytes(e.TBS)
	w.Time(e.At)
	if format == enrolmentV1 {
		return w.Data()
	}
	w.String(e.Product)
	w.Bool(e.ForOrg)
	w.String(e.Identity.Session)
	w.String(e.Identity.Method)
	w.Bytes(e.Identity.Report)
	w.Strings(e.Consents)
	w.String(string(e.Renews))
	w.Bytes(e.Evidence)
	if format == renewalV2 {
		w.Time(e.ProofEnds)
		w.Bytes(e.Signed)
		w.String(e.SignedAs)
	}
	return w.Data()
}

// UnmarshalBinary accepts exactly what MarshalBinary makes, or made in the first format, else ErrEncoding.
func (e *Enrolment) UnmarshalBinary(data []byte) error {
	d := credential.NewDecoder(data)
	format := d.String()
	*e = Enrolment{
		ID: d.String(), Version: d.Uint64(), Caller: d.String(), Voucher: d.Bytes(), State: State(d.String()),
		Signatory: d.String(), Years: d.Uint8(), Algorithm: credential.Algorithm(d.String()), Type: d.String(),
		Person: decodePerson(d, format), Phone: d.Bytes(), Confirmed: d.String(),
		Identity: Identity{
			Outcome: Outcome(d.String()), Provider: d.String(), Reference: d.String(), Evidence: d.Bytes(),
			Person: decodePerson(d, format), Phone: d.Bytes(), At: d.Time(),
		},
		Agreement: d.Bytes(), AcceptedBy: d.String(), AcceptedAt: d.Time(), Credential: credential.ID(d.String()),
		KEK: d.String(), Wrapped: d.Bytes(), SPKI: d.Bytes(), Serial: d.String(), TBS: d.Bytes(), At: d.Time(),
	}
	if format != enrolmentV1 {
		e.Product, e.ForOrg = d.String(), d.Bool()
		e.Identity.Session, e.Identity.Method, e.Identity.Report = d.String(), d.String(), d.Bytes()
		e.Consents, e.Renews, e.Evidence = d.Strings(), credential.ID(d.String()), d.Bytes()
	}
	if format == renewalV2 {
		e.ProofEnds, e.Signed, e.SignedAs = d.Time(), d.Bytes(), d.String()
	}
	if (format == renewalV2) != (e.Renews != "") {
		return fmt.Errorf("%w: only a renewal renews", ErrEncoding)
	}
	return canonical(d, e.encode(format), data, format, enrolmentV1, enrolmentV2, renewalV2)
}

func (p Person) encode(w *credential.Encoder, format string) {
	fields := []string{p.GivenName, p.Surname, p.Country, p.IdentifierType, p.Identifier, p.LocalName}
	if format != enrolmentV1 {
		fields = append(fields, p.Organisation, p.OrganisationID)
	}
	w.Strings(fields)
}

func decodePerson(d *credential.Decoder, format string) Person {
	f := d.Strings()
	if format == enrolmentV1 && len(f) == 6 {
		f = append(f, "", "")
	}
	if len(f) != 8 {
		return Person{} // which encodes differently, and so is refused
	}
	return Person{
		GivenName: f[0], Surname: f[1], Country: f[2], IdentifierType: f[3], Identifier: f[4], LocalName: f[5],
		Organisation: f[6], OrganisationID: f[7],
	}
}

// finish refuses leftovers, a foreign format and any encoding that is not the one canonical one.
func finish(d *credential.Decoder, r interface{ MarshalBinary() ([]byte, error) }, data []byte, format, want string) error {
	again, err := r.MarshalBinary()
	if err != nil {
		return err
	}
	return canonical(d, again, data, format, want)
}

func canonical(d *credential.Decoder, again, data []byte, format string, want ...string) error {
	if err := d.Finish(); err != nil {
		return fmt.Errorf("%w: %w", ErrEncoding, err)
	}
	if !slices.Contains(want, format) || !bytes.Equal(again, data) {
		return fmt.Errorf("%w: want %q", ErrEncoding, want[len(want)-1])
	}
	return nil
}
