// Package tenure is the use case of a credential's life after it was issued: who may use it, how its person and staff of the
// provider revoke it, that its key is destroyed and the revocation list made, and that its person is told in time of its end.
// A revocation goes through this package alone: one transaction changes certificate and credential.
package tenure

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/ca"
	"github.com/ecsigner/ecsigner/call"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/custody"
	"github.com/ecsigner/ecsigner/otp"
	"github.com/ecsigner/ecsigner/otp/sms"
	"github.com/ecsigner/ecsigner/sam"
)

// Errors that a Store and its Tx return, and callers of the service meet.
var (
	// ErrNotFound: there is no such record, or not for this caller.
	ErrNotFound = call.ErrNotFound
	// ErrConflict: the record was changed by somebody else since it was read.
	ErrConflict = call.ErrConflict
	// ErrOutcomeUnknown: the commit may or may not have happened. Read back; never repeat blindly.
	ErrOutcomeUnknown = call.ErrOutcomeUnknown
	// ErrRequestReused: the request id was used before with another body.
	ErrRequestReused = call.ErrReused
	// ErrField: the field is empty, too long or has the wrong form; the call.FieldError around it names it.
	ErrField = call.ErrField
	// ErrState: no code was sent yet.
	ErrState = call.ErrState
	// ErrCode: the code was not accepted; the custody.CodeError around it says why and how many tries are left.
	ErrCode = custody.ErrCode
	// ErrIntegrity: a stored record was changed outside this program. An alarm is in the operation log.
	ErrIntegrity = custody.ErrIntegrity
	// ErrClock: the clock stands before a revocation, so no list can be made until it is set right.
	ErrClock = custody.ErrClock
	// ErrRevoked: the credential is revoked, which is final.
	ErrRevoked = errors.New("enrol: credential is revoked")
	// ErrTooManyCodes: all codes of this revocation were sent; a day later they count anew.
	ErrTooManyCodes = otp.ErrTooMany
	// ErrResent: the code was sent again as often as allowed; it still lives.
	ErrResent = otp.ErrResent
	// ErrLocked: too many wrong codes; an operator can unlock the credential.
	ErrLocked = otp.ErrLocked
)

// Words of the packages below that callers of this use case need.
type (
	// CodeSent says that a code is on its way.
	CodeSent = custody.CodeSent
	// CodeError says why a code was not accepted. The refusal is recorded.
	CodeError = custody.CodeError
)

// Outbox takes messages that are sent after the commit.
type Outbox interface {
	Enqueue(m sms.Message) error
}

// Credentials keeps credentials.
type Credentials interface {
	// Credential returns ErrNotFound for an unknown id. It is locked until commit.
	Credential(id credential.ID) (credential.Record, error)
	// PutCredential replaces; ErrConflict unless r.Version is one more than the stored one.
	PutCredential(r credential.Record) error
	// CredentialsOf returns those with id > after that client was granted (client "" for all), at most limit, in order of
	// their ids.
	CredentialsOf(client string, after credential.ID, limit int) ([]credential.Record, error)
}

// Grants keeps who may use a credential.
type Grants interface {
	// Grant returns ErrNotFound when there is none.
	Grant(id credential.ID, client string) (credential.Grant, error)
	PutGrant(g credential.Grant) error
	// DeleteGrant withdraws a grant; an absent one is no error.
	DeleteGrant(id credential.ID, client string) error
}

// Lifecycle keeps what a credential needs after it was issued.
type Lifecycle interface {
	// RevocationCode returns the current challenge by whose code the person may revoke, empty when there is none.
	RevocationCode(id credential.ID) (otp.ID, error)
	PutRevocationCode(id credential.ID, challenge otp.ID) error
	// RevokedWithKey returns credentials with id > after whose certificate is revoked and whose wrapped key is still
	// there, in order of their ids, at most limit.
	RevokedWithKey(after credential.ID, limit int) ([]credential.Record, error)
}

// Reminders say whom to tell that a certificate is about to end.
type Reminders interface {
	// Ending returns credentials with a key whose certificate ends after from, at until at the latest, and of which no
	// reminder is stored, the earliest end first, at most limit.
	Ending(from, until time.Time, limit int) ([]credential.Record, error)
	PutReminder(id credential.ID, at time.Time) error
}

// Tx is the unit of work.
type Tx interface {
	otp.Tx
	audit.Appender
	ca.Tx
	call.Requests
	Outbox
	Credentials
	Grants
	Lifecycle
	Reminders
}

// Store runs units of work.
type Store interface {
	// Update runs f alone on the rows it touches; its changes and events commit together. f is pure and may run twice.
	// nil: durable. ErrOutcomeUnknown: read back, never repeat blindly. Any other error: nothing happened.
	Update(ctx context.Context, f func(Tx) error) (audit.Commit, error)
	// View runs f on a consistent snapshot that is not older than the last Update of this process. Writes fail.
	View(ctx context.Context, f func(Tx) error) error
}

// Trust is the trust core as this use case needs it; *sam.Module is one.
type Trust interface {
	custody.Trust
	SealBinding(ctx context.Context, b credential.Binding) (credential.Sealed, error)
	// Raise makes bindings of id below version stale.
	Raise(id credential.ID, version uint64)
	// Bury makes the trust core refuse a wrapped key, by its SHA-256, for good.
	Bury(wrapped []byte)
	// Recipients returns the pseudonyms of a phone number on the day of now and on the one before.
	Recipients(phone string, now time.Time) []string
}

// Authority ends certificates and publishes which have ended; *ca.Authority is one.
type Authority interface {
	Certificate() *x509.Certificate
	Revoke(tx ca.Tx, serial string, reason ca.Reason, at time.Time) error
	CRL(ctx context.Context, previous []byte, revoked []ca.Certificate, now time.Time) ([]byte, error)
}

// Origins knows the enrolments that led to credentials; *enrol.Service is one. This package does not know how they go.
type Origins interface {
	// Origin returns the sealed record of an enrolment, checked. ErrNotFound.
	Origin(ctx context.Context, enrolment string) (sam.Enrolment, error)
	// RenewFrom says from when a credential that an enrolment led to can be renewed; zero where it cannot.
	RenewFrom(h custody.Held, origin sam.Enrolment, now time.Time) time.Time
	// Unlock opens the codes of an enrolment again. ErrNotFound.
	Unlock(ctx context.Context, caller, requestID, enrolment, client string) error
}

// Config wires a Service. All fields but Notice and Parts are required.
type Config struct {
	Store     Store
	Trust     Trust
	Authority Authority
	Origins   Origins
	Memory    *otp.Memory
	Limits    otp.Limits
	Provider  string        // name of the provider, as it signs texts
	Notice    time.Duration // before the end of a certificate: when the person is told, once; 0: never
	Parts     int           // of the phone network that a text may take; 0: sms.DefaultParts
	Now       func() time.Time
	Rand      io.Reader
	// Alarm is told what the operator has to look at: a broken seal, a list that cannot be made. It must not block.
	Alarm func(ctx context.Context, kind, subject string, err error)
}

// Service is the use case. It is safe for concurrent use; several processes may share one Store.
type Service struct {
	Config
	room *custody.Custody

	mu      sync.Mutex
	crl     revocationList  // newest that this process made
	revoked map[string]bool // serial numbers that every list must hold
}

// New checks the wiring.
func New(c Config) (*Service, error) {
	switch {
	case c.Store == nil || c.Trust == nil || c.Authority == nil || c.Origins == nil || c.Memory == nil:
		return nil, errors.New("tenure: store, trust core, authority, enrolments and memory of codes are required")
	case c.Now == nil || c.Rand == nil || c.Alarm == nil:
		return nil, errors.New("tenure: clock, randomness and alarm are required")
	case c.Limits.Life <= 0 || c.Limits.Tries <= 0 || c.Limits.Codes <= 0:
		return nil, errors.New("tenure: limits of codes must be positive")
	}
	room := &custody.Custody{
		Trust: c.Trust, Memory: c.Memory, Limits: c.Limits, Rand: c.Rand, Alarm: c.Alarm,
		View: func(ctx context.Context, f func(custody.Tx) error) error {
			return c.Store.View(ctx, func(tx Tx) error { return f(tx) })
		},
		Update: func(ctx context.Context, f func(custody.Tx) error) error {
			_, err := c.Store.Update(ctx, func(tx Tx) error { return f(tx) })
			return err
		},
	}
	return &Service{Config: c, room: room, revoked: map[string]bool{}}, nil
}

// now is the time of a decision, in the precision that is stored.
func (s *Service) now() time.Time { return s.Now().UTC().Truncate(time.Microsecond) }

// maxPage is the longest list that one call returns.
const maxPage = 200

func page(limit int) int {
	if limit <= 0 || limit > maxPage {
		return maxPage
	}
	return limit
}
