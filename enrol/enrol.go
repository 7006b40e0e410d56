// Package enrol is the use case of getting a credential: voucher, parameters, personal data, phone, identity proofing,
// agreement, key and certificate; a first one, or one that renews another. What comes after is in package tenure.
package enrol

import (
	"context"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/ca"
	"github.com/ecsigner/ecsigner/call"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/otp"
	"github.com/ecsigner/ecsigner/otp/sms"
)

// Errors that a Store and its Tx return.
var (
	// ErrNotFound: there is no such record.
	ErrNotFound = call.ErrNotFound
	// ErrConflict: the record was changed by somebody else since it was read.
	ErrConflict = call.ErrConflict
	// ErrOutcomeUnknown: the commit may or may not have happened. Read back; never repeat blindly.
	ErrOutcomeUnknown = call.ErrOutcomeUnknown
)

// Voucher pays for one certificate. The code itself is never stored.
type Voucher struct {
	Hash      []byte // SHA-256 of the normalised code
	Product   string // e.g. "qes-1y"
	Years     uint8  // longest validity it pays for
	Expires   time.Time
	Enrolment string // that redeemed it, empty before
	Created   time.Time
	Caller    string
}

// Enrolment is one enrolment as stored. What decides is inside Sealed (sam.Enrolment).
type Enrolment struct {
	ID        string
	Version   uint64 // of the sealed record
	Caller    string
	State     string // of the sealed record; for lists only
	Sealed    credential.Sealed
	Phone     string // E.164; its commitment is sealed
	PhoneSalt []byte
	Language  string
	BirthDate string // YYYY-MM-DD as given
	Challenge otp.ID // the current one
	Wrapped   []byte // wrapped key while issuing; its SHA-256 is sealed
	PublicKey []byte // DER SubjectPublicKeyInfo while issuing; its SHA-256 is sealed
	Agreement []byte // PDF; its SHA-256 is sealed
	Sealing   []byte // PDF tail with the service's seal, from acceptance on
	Proofing  Proofing
	Created   time.Time
	Updated   time.Time
	Expires   time.Time
}

// Outbox takes messages that are sent after the commit.
type Outbox interface {
	Enqueue(m sms.Message) error
	sms.Deliveries
}

// Vouchers keeps vouchers by the hash of their code.
type Vouchers interface {
	// Voucher returns ErrNotFound for an unknown hash. It is locked until commit.
	Voucher(hash []byte) (Voucher, error)
	PutVoucher(v Voucher) error
}

// Credentials keeps credentials.
type Credentials interface {
	// Credential returns ErrNotFound for an unknown id. It is locked until commit.
	Credential(id credential.ID) (credential.Record, error)
	// PutCredential inserts or replaces; ErrConflict unless r.Version is one more than the stored one (1 for a new one).
	PutCredential(r credential.Record) error
}

// Lists finds records in order of their ids.
type Lists interface {
	// Enrolments returns those of a caller with id > after, at most limit.
	Enrolments(caller, after string, limit int) ([]Enrolment, error)
	// Unfinished returns the enrolments in state issuing, at most limit: those to resume.
	Unfinished(limit int) ([]Enrolment, error)
}

// Renewal is what the current credential signs so that it is renewed: the agreement, under an operation of the trust core.
type Renewal struct {
	Enrolment  string
	Operation  credential.Sealed // sam.Operation
	Prepared   []byte            // signature to be embedded (pades.Prepared); the operation is sealed over it
	Activation credential.Sealed // from the acceptance on
	Fence      uint64            // attempts to sign, from the acceptance on
	Tail       []byte            // bytes that the signature appends to the agreement; the whole is sealed (sam.Enrolment.Signed)
}

// Renewals keeps them, one for each enrolment that renews.
type Renewals interface {
	// Renewal returns ErrNotFound before a code was sent.
	Renewal(enrolment string) (Renewal, error)
	PutRenewal(r Renewal) error
}

// Waiting finds enrolments that something is to be done about, in order of their ids.
type Waiting interface {
	// EnrolmentsIn returns those in a state with id > after, at most limit.
	EnrolmentsIn(state State, after string, limit int) ([]Enrolment, error)
	// Overdue returns those in a state before issuing whose time is over, with id > after, at most limit.
	Overdue(now time.Time, after string, limit int) ([]Enrolment, error)
}

// Callbacks remembers what identity providers called about.
type Callbacks interface {
	// EnrolmentOf returns the id of the enrolment that waits for a session; ErrNotFound.
	EnrolmentOf(provider, session string) (string, error)
	// Called tells whether an event was noted before.
	Called(provider, event string) (bool, error)
	// PutCallback notes an event; ErrConflict when it was noted before.
	PutCallback(provider string, c Callback, received time.Time) error
}

// Tx is the unit of work of enrolment.
type Tx interface {
	otp.Tx
	audit.Appender
	ca.Tx
	Requests
	Outbox
	Vouchers
	Dossiers
	Credentials
	Lists
	Renewals
	Waiting
	Callbacks
	// Enrolment returns ErrNotFound for an unknown id. It is locked until commit.
	Enrolment(id string) (Enrolment, error)
	// PutEnrolment inserts or replaces; ErrConflict unless e.Version is one more than the stored one (1 for a new one).
	PutEnrolment(e Enrolment) error
	// TouchEnrolment replaces what is not sealed (challenge, wrapped key, sealing; not Proofing) without raising the version.
	TouchEnrolment(e Enrolment) error
}

// Store runs units of work.
type Store interface {
	// Update runs f alone on the rows it touches; its changes and events commit together. f is pure and may run twice.
	// nil: durable. ErrOutcomeUnknown: read back, never repeat blindly. Any other error: nothing happened.
	Update(ctx context.Context, f func(Tx) error) (audit.Commit, error)
	// View runs f on a consistent snapshot that is not older than the last Update of this process. Writes fail.
	View(ctx context.Context, f func(Tx) error) error
}
