package call

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/credential"
)

// Errors that a store and its units of work return.
var (
	// ErrNotFound: there is no such record.
	ErrNotFound = errors.New("enrol: not found")
	// ErrConflict: the record was changed by somebody else since it was read.
	ErrConflict = errors.New("enrol: changed meanwhile")
	// ErrOutcomeUnknown: the commit may or may not have happened. Read back; never repeat blindly.
	ErrOutcomeUnknown = errors.New("enrol: outcome of the commit is unknown")
)

var (
	// ErrReused: the request id was used before with another body.
	ErrReused = errors.New("enrol: request id was used with another body")
	// ErrState: the call comes out of order.
	ErrState = errors.New("enrol: this step is not next")
)

// maxAttempts bounds how often a decision is made again because somebody else changed the record meanwhile.
const maxAttempts = 16

// Again decides, acts and records; while the record was changed meanwhile, from the start.
func Again(ctx context.Context, f func() error) error {
	for range maxAttempts {
		err := f()
		if !errors.Is(err, ErrConflict) {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return ErrConflict
}

// Requests remembers answered request ids (AIP-155).
type Requests interface {
	// Request returns the fingerprint and the result of an earlier call, or nil and "" when there was none.
	Request(caller, id string) (fingerprint []byte, result string, err error)
	// PutRequest stores them. The id is new: ErrConflict otherwise.
	PutRequest(caller, id string, fingerprint []byte, result string) error
}

// Request is a mutating call's identity (AIP-155): the same id with the same body has no second effect.
type Request struct {
	Caller, ID  string
	fingerprint []byte
}

// NewRequest hashes method and body. One-time codes are never part of a body: each code sent is an attempt of its own.
// Each error is a FieldError.
func NewRequest(caller, id, method string, body ...string) (Request, error) {
	if !audit.ValidID(caller) {
		return Request{}, Wrong("caller", fmt.Errorf("%w: the client's name is not an identifier", ErrField))
	}
	if !audit.ValidID(id) {
		return Request{}, Wrong("request_id", fmt.Errorf("%w: give 1 to %d letters, digits, '-', e.g. a UUID", ErrField, audit.MaxID))
	}
	var e credential.Encoder
	e.String(method)
	e.Strings(body)
	sum := sha256.Sum256(e.Data())
	return Request{Caller: caller, ID: id, fingerprint: sum[:]}, nil
}

// Answered returns the result of an earlier call with this request id, ErrReused when its body was another.
func (r Request) Answered(tx Requests) (result string, done bool, err error) {
	fingerprint, result, err := tx.Request(r.Caller, r.ID)
	switch {
	case err != nil:
		return "", false, err
	case fingerprint == nil:
		return "", false, nil
	case string(fingerprint) != string(r.fingerprint):
		return "", false, ErrReused
	}
	return result, true, nil
}

// Fresh returns ErrConflict when the request was answered since it was looked at: its caller looks again, and finds that.
func (r Request) Fresh(tx Requests) error {
	_, done, err := r.Answered(tx)
	if err == nil && done {
		return ErrConflict
	}
	return err
}

// Put stores what the request was answered with.
func (r Request) Put(tx Requests, result string) error {
	return tx.PutRequest(r.Caller, r.ID, r.fingerprint, result)
}
