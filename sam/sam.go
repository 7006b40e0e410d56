// Package sam is the signature activation module: it seals the records that lead to a signature, derives one-time
// codes, checks the signature activation data and is the only door to signatories' keys (EN 419 241-2).
//
// It is kept small so that it can be audited in one sitting. It trusts neither the database nor the caller: whatever
// it acts on must carry a seal that only this package, with a key the database never sees, can have made.
package sam

import (
	"bytes"
	"context"
	"crypto"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/ecsigner/ecsigner/credential"
	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
)

// Errors of this package. Each refuses before a key is touched.
var (
	// ErrSeal: a record was not sealed by this installation, in this epoch where the record is short-lived, or was changed since.
	ErrSeal = errors.New("sam: seal broken")
	// ErrStale: the record is older than what this process knows: a binding that was replaced, an operation as it was
	// before its signatures were recorded.
	ErrStale = errors.New("sam: record is older than what is known")
	// ErrNotAuthorised: the sealed records are genuine but do not authorise what is asked.
	ErrNotAuthorised = errors.New("sam: not authorised")
	// ErrExpired: the activation or the operation has ended.
	ErrExpired = errors.New("sam: activation expired")
)

// Device is the HSM as this package needs it.
//
// All methods are safe for concurrent use and honour the context's deadline. A call that fails is never repeated by
// the device once a signature may have been made.
type Device interface {
	// MAC returns HMAC-SHA-256 of data under the installation's seal key, which never leaves the device.
	MAC(ctx context.Context, data []byte) ([]byte, error)
	// GenerateKey makes a key pair and returns the private key wrapped under the newest KEK, the KEK's id, and the public key.
	GenerateKey(ctx context.Context, algorithm string) (wrapped []byte, kek string, public crypto.PublicKey, err error)
	// SignWrapped unwraps the key for this call alone, signs each digest once, in order, and destroys it.
	SignWrapped(ctx context.Context, kek string, wrapped []byte, algorithm string, digests [][]byte) ([][]byte, error)
}

// Config says for which installation and epoch a Module seals.
type Config struct {
	Installation string // name of this installation, part of every seal
	Epoch        uint64 // of the device; raising it voids every operation, challenge and activation
	Digits       int    // length of a one-time code, 6 to 9
	Now          func() time.Time
}

// Module is the trust core of one running process. It is safe for concurrent use.
type Module struct {
	device Device
	config Config
	keys   map[kind][]byte // subkeys of the epoch: in memory only

	mu       sync.Mutex
	floors   map[credential.ID]uint64
	finished map[string]time.Time         // operation: until when its activation would last
	buried   map[string]bool              // SHA-256 of wrapped keys that were destroyed
	macs     map[[sha256.Size]byte][]byte // by the hash of the message: what the device said
}

// kind separates the domains of seals and subkeys.
type kind string

const (
	kindBinding    kind = "binding"
	kindEnrolment  kind = "enrolment"
	kindOperation  kind = "operation"
	kindChallenge  kind = "challenge"
	kindActivation kind = "activation"
	kindCode       kind = "code"
	kindHead       kind = "head"
	kindSpool      kind = "spool"
	kindRecipient  kind = "recipient"
	kindSubkey     kind = "subkey"
)

// Open derives the epoch's subkeys in the device. They live in this process's memory only.
func Open(ctx context.Context, device Device, config Config) (*Module, error) {
	if config.Installation == "" || config.Digits < 6 || config.Digits > 9 || config.Now == nil {
		return nil, fmt.Errorf("sam: installation name, clock and 6 to 9 code digits are required (digits: %d)", config.Digits)
	}
	m := &Module{
		device: device, config: config, keys: map[kind][]byte{}, floors: map[credential.ID]uint64{}, finished: map[string]time.Time{},
		buried: map[string]bool{},
		macs:   map[[sha256.Size]byte][]byte{},
	}
	for _, k := range []kind{kindOperation, kindChallenge, kindActivation, kindCode, kindHead, kindSpool, kindRecipient} {
		epoch := config.Epoch
		if k == kindHead || k == kindSpool || k == kindRecipient {
			epoch = 0 // what they guard outlives an epoch
		}
		var e credential.Encoder
		e.String(string(k))
		e.Uint64(epoch)
		key, err := device.MAC(ctx, m.message(kindSubkey, e.Data()))
		if err != nil {
			return nil, fmt.Errorf("deriving the %s key of epoch %d: %w", k, config.Epoch, err)
		}
		m.keys[k] = key
	}
	return m, nil
}

// message is what a seal covers: kind, installation and record, each behind its length.
func (m *Module) message(k kind, record []byte) []byte {
	var e credential.Encoder
	e.String("ecsigner seal v1")
	e.String(string(k))
	e.String(m.config.Installation)
	e.Bytes(record)
	return e.Data()
}

// mac seals with the device for long-lived kinds and with the epoch's subkey for the others.
func (m *Module) mac(ctx context.Context, k kind, record []byte) ([]byte, error) {
	if key, ok := m.keys[k]; ok {
		h := hmac.New(sha256.New, key)
		h.Write(m.message(k, record))
		return h.Sum(nil), nil
	}
	return m.deviceMAC(ctx, m.message(k, record))
}

// maxMACs bounds what is remembered: some 15 MB.
const maxMACs = 100_000

// deviceMAC asks the device once for each message. A binding is opened four times for every signature, and a network HSM
// makes a round trip of each; what it said of the same bytes a moment ago it would say again.
func (m *Module) deviceMAC(ctx context.Context, message []byte) ([]byte, error) {
	sum := sha256.Sum256(message)
	m.mu.Lock()
	mac, ok := m.macs[sum]
	m.mu.Unlock()
	if ok {
		return bytes.Clone(mac), nil
	}
	mac, err := m.device.MAC(ctx, message)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.macs) >= maxMACs {
		clear(m.macs)
	}
	m.macs[sum] = bytes.Clone(mac)
	return mac, nil
}

func (m *Module) seal(ctx context.Context, k kind, r interface{ MarshalBinary() ([]byte, error) }) (credential.Sealed, error) {
	record, err := r.MarshalBinary()
	if err != nil {
		return credential.Sealed{}, fmt.Errorf("encoding %s: %w", k, err)
	}
	s, err := m.mac(ctx, k, record)
	if err != nil {
		return credential.Sealed{}, fmt.Errorf("sealing %s: %w", k, err)
	}
	return credential.Sealed{Record: record, Seal: s}, nil
}

// open checks the seal before it decodes a byte of the record.
func (m *Module) open(ctx context.Context, k kind, s credential.Sealed, r interface{ UnmarshalBinary([]byte) error }) error {
	want, err := m.mac(ctx, k, s.Record)
	if err != nil {
		return fmt.Errorf("checking the seal of %s: %w", k, err)
	}
	if !hmac.Equal(want, s.Seal) {
		return fmt.Errorf("%w: %s", ErrSeal, k)
	}
	return r.UnmarshalBinary(s.Record)
}

// SealBinding seals a binding. The caller must have the right to make it; this package cannot know.
func (m *Module) SealBinding(ctx context.Context, b credential.Binding) (credential.Sealed, error) {
	return m.seal(ctx, kindBinding, &b)
}

// OpenBinding checks the seal and the freshness of a binding. It returns ErrSeal or ErrStale.
func (m *Module) OpenBinding(ctx context.Context, s credential.Sealed) (credential.Binding, error) {
	var b credential.Binding
	if err := m.open(ctx, kindBinding, s, &b); err != nil {
		return credential.Binding{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if b.Version < m.floors[b.ID] {
		return credential.Binding{}, fmt.Errorf("%w: version %d, at least %d is known", ErrStale, b.Version, m.floors[b.ID])
	}
	return b, nil
}

// Raise makes every binding of id below version stale. It is called for each change of a binding, and at start for
// each change in the operation log, so that a database put back cannot revive a revoked credential.
func (m *Module) Raise(id credential.ID, version uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.floors[id] = max(m.floors[id], version)
}

// Finish makes Sign refuse an operation whose signatures are recorded; until is when its activation ends anyway. It is
// called after each such record, and at start for those in the operation log, so that rows put back cannot have the same
// digests signed a second time.
func (m *Module) Finish(operation string, until time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.finished[operation] = until
	if now := m.config.Now(); len(m.finished)%256 == 0 {
		maps.DeleteFunc(m.finished, func(_ string, until time.Time) bool { return until.Before(now) })
	}
}

// Bury makes Sign refuse a wrapped key for good, by its SHA-256: the key was destroyed. It is called for each destroyed
// key, and at start for each in the operation log, so that a blob put back from an old backup opens nothing.
func (m *Module) Bury(wrapped []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.buried[string(wrapped)] = true
}

// Buried reports whether the wrapped key with this SHA-256 was destroyed.
func (m *Module) Buried(wrapped []byte) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.buried[string(wrapped)]
}

// SealEnrolment seals the state of an enrolment; it is sealed again at each transition.
func (m *Module) SealEnrolment(ctx context.Context, e Enrolment) (credential.Sealed, error) {
	return m.seal(ctx, kindEnrolment, &e)
}

// OpenEnrolment checks the seal of an enrolment. It returns ErrSeal.
func (m *Module) OpenEnrolment(ctx context.Context, s credential.Sealed) (Enrolment, error) {
	var e Enrolment
	err := m.open(ctx, kindEnrolment, s, &e)
	return e, err
}

// SealOperation seals what a person is asked to authorise.
func (m *Module) SealOperation(ctx context.Context, o Operation) (credential.Sealed, error) {
	return m.seal(ctx, kindOperation, &o)
}

// OpenOperation checks the seal of an operation, not its age. It returns ErrSeal.
func (m *Module) OpenOperation(ctx context.Context, s credential.Sealed) (Operation, error) {
	var o Operation
	err := m.open(ctx, kindOperation, s, &o)
	return o, err
}

// SealChallenge seals the challenge that one code answers.
func (m *Module) SealChallenge(ctx context.Context, c Challenge) (credential.Sealed, error) {
	return m.seal(ctx, kindChallenge, &c)
}

// OpenChallenge checks the seal of a challenge, not its age. It returns ErrSeal.
func (m *Module) OpenChallenge(ctx context.Context, s credential.Sealed) (Challenge, error) {
	var c Challenge
	err := m.open(ctx, kindChallenge, s, &c)
	return c, err
}

// SpoolKey derives the key that encrypts one spooled document: 32 bytes, never stored.
func (m *Module) SpoolKey(document string) []byte {
	h := hmac.New(sha256.New, m.keys[kindSpool])
	h.Write(m.message(kindSpool, []byte(document)))
	return h.Sum(nil)
}

// Head returns the seal that guards one line of the head file outside the database. It does not depend on the epoch.
func (m *Module) Head(line []byte) []byte {
	h := hmac.New(sha256.New, m.keys[kindHead])
	h.Write(m.message(kindHead, line))
	return h.Sum(nil)
}

// Code derives the one-time code that answers a challenge (RFC 4226 truncation of a key that depends on purpose and
// challenge seal). It is derived, never stored: only the sender's text and the comparison ever hold it.
func (m *Module) Code(ctx context.Context, s credential.Sealed) (string, error) {
	c, err := m.OpenChallenge(ctx, s)
	if err != nil {
		return "", err
	}
	h := hmac.New(sha256.New, m.keys[kindCode])
	h.Write([]byte(c.Purpose))
	h.Write([]byte{0})
	h.Write(s.Seal)
	code, err := hotp.GenerateCodeCustom(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(h.Sum(nil)), 0,
		hotp.ValidateOpts{Digits: otp.Digits(m.digits(c.Digits)), Algorithm: otp.AlgorithmSHA256})
	if err != nil {
		return "", errors.New("sam: the code could not be derived")
	}
	return code, nil
}

// digits is how long a code is: as its record says, as configured where it does not say.
func (m *Module) digits(sealed uint8) int {
	if sealed == 0 {
		return m.config.Digits
	}
	return int(sealed)
}

// Recipient is a pseudonym of a phone number for one day (UTC): the same for the same number, so that texts to it can be
// counted, useless without the key, and another on the next day, so that the log links nothing for longer.
func (m *Module) Recipient(phone string, day time.Time) string {
	h := hmac.New(sha256.New, m.keys[kindRecipient])
	h.Write(m.message(kindRecipient, []byte(day.UTC().Format(time.DateOnly)+" "+phone)))
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// Recipients returns the pseudonyms of a number on the day of now and on the one before.
func (m *Module) Recipients(phone string, now time.Time) []string {
	return []string{m.Recipient(phone, now), m.Recipient(phone, now.AddDate(0, 0, -1))}
}

// Match compares a code with the expected one in constant time.
func (m *Module) Match(ctx context.Context, s credential.Sealed, code string) (bool, error) {
	want, err := m.Code(ctx, s)
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1, nil
}

// Activate seals the activation of an operation after its code was found right. It checks that the challenge was made
// for this operation and nothing else.
func (m *Module) Activate(ctx context.Context, operation, challenge credential.Sealed, means []string, notAfter time.Time) (credential.Sealed, error) {
	c, err := m.OpenChallenge(ctx, challenge)
	if err != nil {
		return credential.Sealed{}, err
	}
	if c.Purpose != PurposeSign || !hmac.Equal(c.Subject, operation.Seal) {
		return credential.Sealed{}, fmt.Errorf("%w: the code belongs to another operation", ErrNotAuthorised)
	}
	return m.seal(ctx, kindActivation, &Activation{
		Operation: operation.Seal, Challenge: challenge.Seal, Means: means, NotAfter: notAfter,
	})
}

// GeneratedKey is a fresh key of a signatory, wrapped.
type GeneratedKey struct {
	Wrapped []byte
	KEK     string
	Public  crypto.PublicKey
}

// Generate makes the signatory's key for an enrolment whose sealed state says that the identity was proven, the phone
// confirmed by code and proofing, and the agreement accepted. Else ErrNotAuthorised.
func (m *Module) Generate(ctx context.Context, enrolment credential.Sealed) (GeneratedKey, error) {
	e, err := m.OpenEnrolment(ctx, enrolment)
	if err != nil {
		return GeneratedKey{}, err
	}
	if err := e.MayIssue(); err != nil {
		return GeneratedKey{}, err
	}
	if e.Renews != "" {
		return GeneratedKey{}, fmt.Errorf("%w: a renewal needs the renewed credential", ErrNotAuthorised)
	}
	return m.generate(ctx, e)
}

// generate makes the key of an enrolment that was found good.
func (m *Module) generate(ctx context.Context, e Enrolment) (GeneratedKey, error) {
	wrapped, kek, public, err := m.device.GenerateKey(ctx, string(e.Algorithm))
	if err != nil {
		return GeneratedKey{}, fmt.Errorf("generating the key: %w", err)
	}
	return GeneratedKey{Wrapped: wrapped, KEK: kek, Public: public}, nil
}

// Release is everything that must agree before a key is unwrapped.
type Release struct {
	Binding    credential.Sealed
	Operation  credential.Sealed
	Challenge  credential.Sealed
	Activation credential.Sealed
	WrappedKey []byte
	Digests    [][]byte // the DTBS/R, in the authorised order
}

// Sign is the one door to signatories' keys. It verifies every seal, that the activation answers this challenge for
// this operation, that the operation is for this binding, and that digests are exactly the authorised ones in order;
// only then the key is unwrapped. It returns one signature for each digest.
func (m *Module) Sign(ctx context.Context, r Release) ([][]byte, error) {
	b, o, err := m.verified(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := m.unfinished(o.ID); err != nil {
		return nil, err
	}
	signatures, err := m.device.SignWrapped(ctx, b.KEK, r.WrappedKey, string(o.Algorithm), r.Digests)
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	if len(signatures) != len(r.Digests) {
		return nil, fmt.Errorf("signing: %d signatures for %d digests", len(signatures), len(r.Digests))
	}
	return signatures, nil
}

// unfinished refuses an operation that is known to be signed.
func (m *Module) unfinished(operation string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.finished[operation]; ok {
		return fmt.Errorf("%w: the signatures of operation %s are recorded", ErrStale, operation)
	}
	return nil
}

// Verify tells, without touching a key, whether seals, binding, activation and digests agree, or what does not. That an
// operation is finished, only Sign looks at: whoever reads rows while another call finishes is late, not an attacker.
func (m *Module) Verify(ctx context.Context, r Release) error {
	_, _, err := m.verified(ctx, r)
	return err
}

// verified opens binding and operation and checks everything that has to hold before the key is unwrapped.
func (m *Module) verified(ctx context.Context, r Release) (credential.Binding, Operation, error) {
	b, err := m.OpenBinding(ctx, r.Binding)
	if err != nil {
		return credential.Binding{}, Operation{}, err
	}
	o, err := m.OpenOperation(ctx, r.Operation)
	if err != nil {
		return credential.Binding{}, Operation{}, err
	}
	return b, o, m.check(ctx, b, o, r)
}

// check holds the sealed records against each other. Each condition names the row of a database writer's attack.
func (m *Module) check(ctx context.Context, b credential.Binding, o Operation, r Release) error {
	c, err := m.OpenChallenge(ctx, r.Challenge)
	if err != nil {
		return err
	}
	var a Activation
	if err := m.open(ctx, kindActivation, r.Activation, &a); err != nil {
		return err
	}
	now := m.config.Now()
	if now.After(a.NotAfter) || now.After(o.Expires) {
		return ErrExpired
	}
	wrapped := sha256.Sum256(r.WrappedKey)
	if m.Buried(wrapped[:]) || m.Buried(b.WrappedKey) {
		return fmt.Errorf("%w: the key was destroyed", ErrStale)
	}
	for _, rule := range []struct {
		holds bool
		text  string
	}{
		{b.Status == credential.Active, "credential is not active"},
		{o.Credential == b.ID && o.BindingVersion == b.Version, "operation is for another binding"},
		{b.Algorithm.Allows(o.Algorithm), "operation is for another algorithm"},
		{hmac.Equal(wrapped[:], b.WrappedKey), "wrapped key is not the bound one"},
		{c.Purpose == PurposeSign && hmac.Equal(c.Subject, r.Operation.Seal), "challenge is for another operation"},
		{hmac.Equal(c.Phone, b.Phone), "challenge went to another phone"},
		{m.digits(c.Digits) >= m.digits(o.Digits), "code is shorter than the operation asks for"},
		{hmac.Equal(a.Operation, r.Operation.Seal), "activation is for another operation"},
		{hmac.Equal(a.Challenge, r.Challenge.Seal), "activation answers another challenge"},
		{len(b.Factors) > 0 && !slices.ContainsFunc(b.Factors, func(f string) bool { return !slices.Contains(a.Means, f) }), "a factor is missing"},
		{len(o.Digests) > 0 && slices.EqualFunc(o.Digests, r.Digests, hmac.Equal), "digests are not the authorised ones"},
		{!slices.ContainsFunc(o.Digests, func(d []byte) bool { return len(d) != o.Algorithm.DigestSize() }), "digest length is not that of the scheme"},
	} {
		if !rule.holds {
			return fmt.Errorf("%w: %s", ErrNotAuthorised, rule.text)
		}
	}
	return nil
}
