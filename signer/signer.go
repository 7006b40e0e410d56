// Package signer is the use case of signing: prepare, authorise, sign, release. It is the only place that knows the
// order of these steps; formats, codes, keys and the log know nothing of each other.
package signer

import (
	"context"
	"errors"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/augment"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/otp"
	"github.com/ecsigner/ecsigner/otp/sms"
	"github.com/ecsigner/ecsigner/sam"
	"github.com/ecsigner/ecsigner/signer/cades"
)

// Errors that a Store and its Tx return.
var (
	// ErrNotFound: there is no such record.
	ErrNotFound = errors.New("signer: not found")
	// ErrConflict: the record was changed by somebody else since it was read.
	ErrConflict = errors.New("signer: changed meanwhile")
	// ErrOutcomeUnknown: the commit may or may not have happened. Read back; never repeat blindly.
	ErrOutcomeUnknown = errors.New("signer: outcome of the commit is unknown")
)

// OperationID names a signing operation.
type OperationID string

// State of an operation.
type State string

// States of an operation.
const (
	StateRequested State = "requested" // waits for the code
	StateSigning   State = "signing"   // activated; one holder of the fence signs
	StateSigned    State = "signed"    // signatures and their evidence are durable
	StateClosed    State = "closed"    // expired, cancelled or abandoned; final
)

// Operation is one signing operation as stored. What is authorised is inside Sealed.
type Operation struct {
	ID         OperationID
	Version    uint64 // raised by PutOperation; 0 for a new one
	Caller     string
	Credential credential.ID
	State      State
	Outcome    string            // why it was closed
	Sealed     credential.Sealed // of sam.Operation
	Items      []byte            // MarshalItems; its SHA-256 is in the sealed record
	Challenge  otp.ID            // the current one
	Activation credential.Sealed // of sam.Activation, from state signing on
	Fence      uint64            // who may record: raised by each activation and resumption
	Lease      time.Time         // nobody else may resume before
	Signatures [][]byte          // from state signed on, one a DTBS/R
	Results    [][]byte          // finished CMS, PDF tail or raw signature, one an item
	LogIndex   int64             // of the entry that recorded the signatures, from state signed on
	Created    time.Time
	Expires    time.Time
}

// Document is an uploaded document; its bytes are in the spool.
type Document struct {
	ID      string
	Caller  string
	Name    string
	Size    int64
	SHA256  []byte
	Created time.Time
}

// Requests remembers answered request ids (AIP-155), so that a repeated call has no second effect.
type Requests interface {
	// Request returns the fingerprint and the result of an earlier call, or nil and "" when there was none.
	Request(caller, id string) (fingerprint []byte, result string, err error)
	// PutRequest stores them. The id is new: ErrConflict otherwise.
	PutRequest(caller, id string, fingerprint []byte, result string) error
}

// Outbox takes messages that are sent after the commit.
type Outbox interface {
	Enqueue(m sms.Message) error
	sms.Deliveries
}

// Grants says which document systems may use which credential.
type Grants interface {
	// Grant returns ErrNotFound when client may not use the credential.
	Grant(id credential.ID, client string) (credential.Grant, error)
}

// Documents keeps the records of uploaded documents.
type Documents interface {
	// Document returns ErrNotFound for an unknown id.
	Document(id string) (Document, error)
	PutDocument(d Document) error
}

// Raisings are the jobs and artefacts of an operation.
type Raisings interface {
	// PutJob stores a new job with the signatures that it raises.
	PutJob(j augment.Job) error
	// Jobs returns those of an operation in the order of its items.
	Jobs(subject string) ([]augment.Job, error)
	// ArtefactsOf returns what was made of them, without the bytes.
	ArtefactsOf(subject string) ([]augment.Artefact, error)
}

// Tx is the unit of work of signing.
type Tx interface {
	otp.Tx
	audit.Appender
	Requests
	Outbox
	Grants
	Documents
	Lists
	Raisings
	// Operation returns ErrNotFound for an unknown id. It is locked until commit.
	Operation(id OperationID) (Operation, error)
	// PutOperation stores o and raises its version. ErrConflict when o.Version is not the stored one.
	PutOperation(o Operation) error
	// Credential returns ErrNotFound for an unknown id. It is locked until commit.
	Credential(id credential.ID) (credential.Record, error)
	// OpenOperations returns the operations in state requested or signing that ended before t, at most limit.
	OpenOperations(t time.Time, limit int) ([]Operation, error)
	// NextIndex is the log index that the next appended event gets if this unit of work commits.
	NextIndex() int64
}

// Store runs units of work.
type Store interface {
	// Update runs f alone on the rows it touches; its changes and events commit together. f is pure and may run twice.
	// nil: durable. ErrOutcomeUnknown: read back, never repeat blindly. Any other error: nothing happened.
	Update(ctx context.Context, f func(Tx) error) (audit.Commit, error)
	// View runs f on a consistent snapshot that is not older than the last Update of this process. Writes fail.
	View(ctx context.Context, f func(Tx) error) error
	// Receipt returns the receipt of a committed entry under the first signed head that covers it: always the same bytes.
	Receipt(ctx context.Context, index int64) ([]byte, error)
}

// Spool holds uploaded documents, encrypted, outside the database. Its Open returns ErrNotFound for a document that was
// fetched, expired or never committed.
type (
	Spool       = augment.Spool
	SpoolWriter = augment.SpoolWriter
	SpoolReader = augment.SpoolReader
)

// Levels raises signatures after they were recorded; *augment.Service is one.
type Levels interface {
	// Offers returns nil when signatures of this kind can be raised to the level, else augment.ErrNotOffered.
	Offers(k augment.Kind, l cades.Level) error
	// Reserve returns how many bytes a CMS needs beyond itself to take a time-stamp later.
	Reserve(ctx context.Context) int
	NewJob(subject string, item int, k augment.Kind, document string, target cades.Level) augment.Job
	// Wake has the work begin now.
	Wake()
	Made
}

// Made is what was made of signatures, and the documents that are needed for more.
type Made interface {
	// Stored returns an artefact as the operation log knows it, else augment.ErrIntegrity.
	Stored(ctx context.Context, subject string, item int, level cades.Level) (augment.Artefact, error)
	// Dispose deletes a document now, or when the last job that needs it has ended. It tells which.
	Dispose(ctx context.Context, document string) (gone bool, err error)
}

// Activator is the trust core as signing needs it; *sam.Module is one.
type Activator interface {
	OpenBinding(ctx context.Context, s credential.Sealed) (credential.Binding, error)
	SealOperation(ctx context.Context, o sam.Operation) (credential.Sealed, error)
	OpenOperation(ctx context.Context, s credential.Sealed) (sam.Operation, error)
	// Verify tells, without touching a key, whether Sign would refuse now.
	Verify(ctx context.Context, r sam.Release) error
	Sign(ctx context.Context, r sam.Release) ([][]byte, error)
	// Finish makes Sign refuse an operation whose signatures are recorded.
	Finish(operation string, until time.Time)
	Codes
	Recipients
}

// Recipients names phone numbers where they are counted.
type Recipients interface {
	// Recipients returns the pseudonyms of a number on the day of now and on the one before.
	Recipients(phone string, now time.Time) []string
}

// Codes makes challenges, derives their codes and turns a right one into an activation.
type Codes interface {
	SealChallenge(ctx context.Context, c sam.Challenge) (credential.Sealed, error)
	OpenChallenge(ctx context.Context, s credential.Sealed) (sam.Challenge, error)
	Code(ctx context.Context, challenge credential.Sealed) (string, error)
	Match(ctx context.Context, challenge credential.Sealed, code string) (bool, error)
	Activate(ctx context.Context, operation, challenge credential.Sealed, means []string, notAfter time.Time) (credential.Sealed, error)
}
