package enrol

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/ca"
	"github.com/ecsigner/ecsigner/call"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/enrol/agreement"
	"github.com/ecsigner/ecsigner/enrol/voucher"
	"github.com/ecsigner/ecsigner/otp"
	"github.com/ecsigner/ecsigner/sam"
	"golang.org/x/sync/singleflight"
)

// Trust is the trust core as this use case needs it; *sam.Module is one.
type Trust interface {
	Seals
	Codes
	// Generate makes the signatory's key for a sealed enrolment in state issuing; sam.ErrNotAuthorised otherwise.
	Generate(ctx context.Context, enrolment credential.Sealed) (sam.GeneratedKey, error)
	// Raise makes bindings of id below version stale.
	Raise(id credential.ID, version uint64)
	// Recipients returns the pseudonyms of a phone number on the day of now and on the one before.
	Recipients(phone string, now time.Time) []string
	Graves
	Operations
	Door
}

// Operations seals and opens what the credential that is renewed signs.
type Operations interface {
	SealOperation(ctx context.Context, o sam.Operation) (credential.Sealed, error)
	OpenOperation(ctx context.Context, s credential.Sealed) (sam.Operation, error)
	Activate(ctx context.Context, operation, challenge credential.Sealed, means []string, notAfter time.Time) (credential.Sealed, error)
	// GenerateRenewal is Generate for an enrolment that renews a credential.
	GenerateRenewal(ctx context.Context, r sam.Renewing) (sam.GeneratedKey, error)
}

// Door is the one to the key of the credential that is renewed; see sam.Module.
type Door interface {
	Verify(ctx context.Context, r sam.Release) error
	Sign(ctx context.Context, r sam.Release) ([][]byte, error)
	Finish(operation string, until time.Time)
}

// Graves remembers the wrapped keys that were destroyed, by their SHA-256.
type Graves interface {
	// Bury makes the trust core refuse the key for good.
	Bury(wrapped []byte)
	Buried(wrapped []byte) bool
}

// Seals seals and opens the long-lived records. Opening returns sam.ErrSeal for one that was changed.
type Seals interface {
	SealEnrolment(ctx context.Context, e sam.Enrolment) (credential.Sealed, error)
	OpenEnrolment(ctx context.Context, s credential.Sealed) (sam.Enrolment, error)
	SealBinding(ctx context.Context, b credential.Binding) (credential.Sealed, error)
	OpenBinding(ctx context.Context, s credential.Sealed) (credential.Binding, error)
}

// Codes makes challenges and derives their codes.
type Codes interface {
	SealChallenge(ctx context.Context, c sam.Challenge) (credential.Sealed, error)
	OpenChallenge(ctx context.Context, s credential.Sealed) (sam.Challenge, error)
	Code(ctx context.Context, challenge credential.Sealed) (string, error)
	Match(ctx context.Context, challenge credential.Sealed, code string) (bool, error)
}

// Authority is the CA that issues to persons; *ca.Authority is one.
type Authority interface {
	Issuer
	Revoker
}

// Issuer makes certificates in steps; see package ca.
type Issuer interface {
	Prepare(request ca.Request) (*ca.Intent, error)
	Intend(tx ca.Tx, intent *ca.Intent) error
	Sign(ctx context.Context, c ca.Certificate) ([]byte, error)
	Record(tx ca.Tx, serial string, der []byte) error
}

// Revoker ends certificates and publishes which have ended.
type Revoker interface {
	Certificate() *x509.Certificate
	Revoke(tx ca.Tx, serial string, reason ca.Reason, at time.Time) error
	CRL(ctx context.Context, previous []byte, revoked []ca.Certificate, now time.Time) ([]byte, error)
}

// RenewalRules say when a credential can be renewed with its own signature. The zero value offers no renewal and reminds
// nobody.
type RenewalRules struct {
	Window   time.Duration // before the end of the certificate
	ProofAge time.Duration // how old the identity proofing may be at acceptance (EN 319 411-1 REG-6.3.1-00D)
	Notice   time.Duration // before the end of the certificate: when the person is told, once
}

// Config wires a Service. All fields but TestMode, Parts, Proofers and Renewal are required.
type Config struct {
	Store     Store
	Trust     Trust
	Authority Authority
	Seal      SealKey
	Memory    *otp.Memory
	Limits    otp.Limits
	Products  []Product          // the catalogue
	Guesses   GuessLimits        // of wrong voucher codes
	Provider  agreement.Provider // who issues, as the agreement names it; its PDSURL, PDSSHA256 and Issuer are filled in
	PDS       map[string]string  // URL of the PKI disclosure statement by language; en stands for those that are missing
	PDSSHA256 map[string][]byte  // SHA-256 of each, where it is pinned; may be nil
	Terms     agreement.Terms    // what the person accepts
	TestMode  bool               // the agreement says that the certificate is a test and worth nothing
	Life      time.Duration      // of an enrolment, from voucher to acceptance
	Parts     int                // of the phone network that a text may take; 0: sms.DefaultParts
	// Proofers are the identity providers that are asked over the network, by name. All others report by themselves.
	Proofers     map[string]Provider
	ProofAge     time.Duration // longest time from the proof of the identity to the making of the key
	DeferredLife time.Duration // how long a deferred result is waited for
	Now          func() time.Time
	Rand         io.Reader
	Renewal      RenewalRules
	// Alarm is told what the operator has to look at: a broken seal, an issuing that stopped. It must not block.
	Alarm func(ctx context.Context, kind, subject string, err error)
}

// Service is the use case. It is safe for concurrent use; several processes may share one Store.
type Service struct {
	Config
	flight  singleflight.Group // of issuing, by enrolment: one process makes one key
	guesses *voucher.Guesses   // wrong voucher codes of the last minutes
	first   sync.Map           // enrolments that renew and were accepted here just now: nobody has tried to sign

	mu      sync.Mutex
	crl     revocationList  // newest that this process made
	revoked map[string]bool // serial numbers that every list must hold

	times  sync.Mutex // not mu, which is held while the device signs a list
	latest time.Time  // that was seen on the clock or in the log

	lookout lookout
}

// New checks the wiring.
func New(c Config) (*Service, error) {
	switch {
	case c.Store == nil || c.Trust == nil || c.Authority == nil || c.Memory == nil:
		return nil, errors.New("enrol: store, trust core, authority and memory of codes are required")
	case c.Now == nil || c.Rand == nil || c.Alarm == nil:
		return nil, errors.New("enrol: clock, randomness and alarm are required")
	case c.ProofAge <= 0 || c.DeferredLife <= 0:
		return nil, errors.New("enrol: age of a proof and life of a deferred result must be positive")
	case c.Life <= 0 || c.Limits.Life <= 0 || c.Limits.Tries <= 0 || c.Limits.Codes <= 0:
		return nil, errors.New("enrol: life of an enrolment and limits of codes must be positive")
	}
	if err := errors.Join(voucher.Catalogue(c.Products).Check(), c.Guesses.Check()); err != nil {
		return nil, err
	}
	if err := c.Seal.check(c.Authority.Certificate()); err != nil {
		return nil, err
	}
	return &Service{Config: c, revoked: map[string]bool{}, guesses: voucher.NewGuesses(c.Guesses), lookout: newLookout()}, nil
}

// now is the time of a decision, in the precision that is stored.
func (s *Service) now() time.Time { return s.Now().UTC().Truncate(time.Microsecond) }

func (s *Service) random(n int) ([]byte, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(s.Rand, b); err != nil {
		return nil, fmt.Errorf("drawing random bytes: %w", err)
	}
	return b, nil
}

// newID returns prefix and 128 random bits in base32.
func (s *Service) newID(prefix string) (string, error) {
	b, err := s.random(16)
	if err != nil {
		return "", err
	}
	return prefix + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b)), nil
}

func digest(b []byte) []byte {
	h := sha256.Sum256(b)
	return h[:]
}

// maxAttempts bounds how often a decision is made again because somebody else changed the record meanwhile.
const maxAttempts = 16

// again decides, acts and records; while the record was changed meanwhile, from the start.
func again(ctx context.Context, f func() error) error {
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

// request is a mutating call's identity (AIP-155): the same id with the same body has no second effect.
type request struct {
	caller, id  string
	fingerprint []byte
}

// newRequest hashes method and body. One-time codes are never part of a body: each code sent is an attempt of its own.
func newRequest(caller, id, method string, body ...string) (request, error) {
	if !audit.ValidID(caller) {
		return request{}, call.Wrong("caller", fmt.Errorf("%w: the client's name is not an identifier", ErrField))
	}
	if !audit.ValidID(id) {
		return request{}, call.Wrong("request_id", fmt.Errorf("%w: give 1 to %d letters, digits, '-', e.g. a UUID", ErrField, audit.MaxID))
	}
	var e credential.Encoder
	e.String(method)
	e.Strings(body)
	return request{caller: caller, id: id, fingerprint: digest(e.Data())}, nil
}

// answered returns the result of an earlier call with this request id, ErrRequestReused when its body was another.
func (r request) answered(tx Requests) (result string, done bool, err error) {
	fingerprint, result, err := tx.Request(r.caller, r.id)
	switch {
	case err != nil:
		return "", false, err
	case fingerprint == nil:
		return "", false, nil
	case string(fingerprint) != string(r.fingerprint):
		return "", false, ErrRequestReused
	}
	return result, true, nil
}

// fresh returns ErrConflict when the request was answered since it was looked at: its caller looks again, and finds that.
func (r request) fresh(tx Requests) error {
	_, done, err := r.answered(tx)
	if err == nil && done {
		return ErrConflict
	}
	return err
}

func (r request) put(tx Requests, result string) error {
	return tx.PutRequest(r.caller, r.id, r.fingerprint, result)
}
