package enrol

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/ecsigner/ecsigner/ca"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/custody"
	"github.com/ecsigner/ecsigner/enrol/agreement"
	"github.com/ecsigner/ecsigner/enrol/voucher"
	"github.com/ecsigner/ecsigner/otp"
	"github.com/ecsigner/ecsigner/sam"
	"golang.org/x/sync/singleflight"
)

// Trust is the trust core as this use case needs it; *sam.Module is one.
type Trust interface {
	Seals
	custody.Trust
	// Generate makes the signatory's key for a sealed enrolment in state issuing; sam.ErrNotAuthorised otherwise.
	Generate(ctx context.Context, enrolment credential.Sealed) (sam.GeneratedKey, error)
	// Raise makes bindings of id below version stale.
	Raise(id credential.ID, version uint64)
	// Recipients returns the pseudonyms of a phone number on the day of now and on the one before.
	Recipients(phone string, now time.Time) []string
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

// Seals seals and opens the long-lived records. Opening returns sam.ErrSeal for one that was changed.
type Seals interface {
	SealEnrolment(ctx context.Context, e sam.Enrolment) (credential.Sealed, error)
	OpenEnrolment(ctx context.Context, s credential.Sealed) (sam.Enrolment, error)
	SealBinding(ctx context.Context, b credential.Binding) (credential.Sealed, error)
}

// Authority is the CA that issues to persons; *ca.Authority is one.
type Authority interface {
	Issuer
	Certificate() *x509.Certificate
}

// Issuer makes certificates in steps; see package ca.
type Issuer interface {
	Prepare(request ca.Request) (*ca.Intent, error)
	Intend(tx ca.Tx, intent *ca.Intent) error
	Sign(ctx context.Context, c ca.Certificate) ([]byte, error)
	Record(tx ca.Tx, serial string, der []byte) error
}

// RenewalRules say when a credential can be renewed with its own signature. The zero value offers no renewal.
type RenewalRules struct {
	Window   time.Duration // before the end of the certificate
	ProofAge time.Duration // how old the identity proofing may be at acceptance (EN 319 411-1 REG-6.3.1-00D)
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
	room    *custody.Custody
	flight  singleflight.Group // of issuing, by enrolment: one process makes one key
	guesses *voucher.Guesses   // wrong voucher codes of the last minutes
	first   sync.Map           // enrolments that renew and were accepted here just now: nobody has tried to sign

	times  sync.Mutex
	latest time.Time // that was seen on the clock or in the log

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
	return &Service{Config: c, room: room, guesses: voucher.NewGuesses(c.Guesses), lookout: newLookout()}, nil
}

// now is the time of a decision, in the precision that is stored.
func (s *Service) now() time.Time { return s.Now().UTC().Truncate(time.Microsecond) }

func digest(b []byte) []byte {
	h := sha256.Sum256(b)
	return h[:]
}
