// Package custody is what the two use cases of credentials share, the way to one and its life afterwards: how sealed
// credentials and challenges are read, how codes go out and come back, and that a record which was changed outside this
// program raises the alarm. It knows no order of steps.
package custody

import (
	"context"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/ca"
	"github.com/ecsigner/ecsigner/call"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/otp"
	"github.com/ecsigner/ecsigner/otp/sms"
	"github.com/ecsigner/ecsigner/sam"
)

// ErrIntegrity: a stored record was changed outside this program. An alarm is in the operation log.
var ErrIntegrity = errors.New("enrol: stored record was tampered with")

// ErrClock: the clock stands before what this program has already seen.
var ErrClock = errors.New("enrol: the clock went back")

// MaxBack is how far the clock may step back, as where signatures are activated.
const MaxBack = 5 * time.Second

// Trust is the trust core as this package needs it; *sam.Module is one.
type Trust interface {
	Bindings
	Codes
}

// Bindings opens what credentials are bound to. Opening returns sam.ErrSeal for a record that was changed, sam.ErrStale
// for one that was replaced.
type Bindings interface {
	OpenBinding(ctx context.Context, s credential.Sealed) (credential.Binding, error)
	// Buried tells whether a wrapped key, by its SHA-256, was destroyed.
	Buried(wrapped []byte) bool
}

// Codes makes challenges and derives their codes.
type Codes interface {
	SealChallenge(ctx context.Context, c sam.Challenge) (credential.Sealed, error)
	OpenChallenge(ctx context.Context, s credential.Sealed) (sam.Challenge, error)
	Code(ctx context.Context, challenge credential.Sealed) (string, error)
	Match(ctx context.Context, challenge credential.Sealed, code string) (bool, error)
}

// Tx is the part of a use case's unit of work that this package needs.
type Tx interface {
	otp.Tx
	audit.Appender
	// Credential returns call.ErrNotFound for an unknown id. It is locked until commit.
	Credential(id credential.ID) (credential.Record, error)
}

// Custody is the shared room of a use case; all fields are required. View and Update run a unit of work of its store.
type Custody struct {
	Trust  Trust
	Memory *otp.Memory
	Limits otp.Limits
	Rand   io.Reader
	// Alarm is told what the operator has to look at. It must not block.
	Alarm  func(ctx context.Context, kind, subject string, err error)
	View   func(ctx context.Context, f func(Tx) error) error
	Update func(ctx context.Context, f func(Tx) error) error
}

// Random returns n random bytes.
func (c *Custody) Random(n int) ([]byte, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(c.Rand, b); err != nil {
		return nil, fmt.Errorf("drawing random bytes: %w", err)
	}
	return b, nil
}

// NewID returns prefix and 128 random bits in base32.
func (c *Custody) NewID(prefix string) (string, error) {
	b, err := c.Random(16)
	if err != nil {
		return "", err
	}
	return prefix + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b)), nil
}

// Notice is a message to the person; the texts with codes are named by their challenges.
func (c *Custody) Notice(kind sms.Kind, subject string, now time.Time) (sms.Message, error) {
	id, err := c.NewID("msg-")
	return sms.Message{ID: id, Kind: kind, Subject: subject, CreatedAt: now, NotBefore: now}, err
}

// Integrity raises the alarm when err means that somebody else wrote to the database; other errors pass unchanged.
func (c *Custody) Integrity(ctx context.Context, kind, subject string, err error) error {
	if !errors.Is(err, sam.ErrSeal) && !errors.Is(err, sam.ErrEncoding) && !errors.Is(err, sam.ErrStale) &&
		!errors.Is(err, credential.ErrEncoding) && !errors.Is(err, otp.ErrBehind) {
		return err
	}
	var lock *otp.BehindError
	if errors.As(err, &lock) {
		kind, subject = "lock", lock.Account
	}
	c.Alarm(ctx, kind, subject, err)
	event := audit.IntegrityAlarm{Record: kind, Subject: subject, Reason: call.Plain(err.Error())}
	if failed := c.Update(ctx, func(tx Tx) error { tx.Append(event); return nil }); failed != nil {
		err = errors.Join(err, fmt.Errorf("recording the alarm: %w", failed))
	}
	return fmt.Errorf("%w: %w", ErrIntegrity, err)
}

// IsNotFound knows the sentinels of all packages whose records a unit of work holds.
func IsNotFound(err error) bool {
	return errors.Is(err, call.ErrNotFound) || errors.Is(err, otp.ErrNotFound) || errors.Is(err, ca.ErrNotFound)
}

// Text fills a text that the provider signs with its name. "Sp. z o.o." ends a sentence by itself. parts of the phone
// network is how long it may be; 0: sms.DefaultParts.
func Text(kind sms.Kind, language string, parts int, provider string, fixed map[string]string) string {
	return sms.Compose(kind, language, parts, sms.Fields{
		Fixed: fixed, Names: map[string]string{"who": strings.TrimSuffix(provider, ".")},
	})
}

// Mask hides most digits of a phone; an empty one stays empty.
func Mask(phone string) string {
	if phone == "" {
		return ""
	}
	return sms.MaskPhone(phone)
}
