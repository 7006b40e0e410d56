// Package hsm is the engine's hardware security module: one PKCS #11 token that makes, wraps and uses
// keys which never leave it.
//
// A [Module] is the loaded PKCS #11 library, a [Device] one token in it. The device keeps a fixed number
// of sessions; every wait has a deadline. A call that does not come back in time is abandoned together
// with its session. When the device is lost, calls fail fast with [ErrUnavailable] while the module is
// initialised again in the background; keys are then looked up anew, so a handle from before the loss is
// never used after it.
//
// Signatories' keys are made as session objects and leave the token only wrapped (RFC 5649) under a key
// encryption key (KEK) that a holder of the PIN cannot use to read them. Service keys (certification
// authority, seal, log) are permanent objects and are seen as [crypto.Signer].
package hsm

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// What an operator or caller can do something about. Every error of this package wraps one of these,
// or is a plain programming error of the caller.
var (
	// ErrModule: the PKCS #11 library cannot be loaded or initialised.
	ErrModule = errors.New("hsm: PKCS #11 library not usable")
	// ErrToken: no token with the configured label, or (InitToken) the label is taken or no slot is free.
	ErrToken = errors.New("hsm: token not usable")
	// ErrPIN: the token refused the PIN, or the PIN could not be read. Repeating may lock the token.
	ErrPIN = errors.New("hsm: PIN not accepted")
	// ErrUnavailable: the device does not answer now: sessions exhausted, device lost, call timed out.
	// Trying later may succeed. A signature may or may not have been made; none was returned.
	ErrUnavailable = errors.New("hsm: device unavailable")
	// ErrUnsupported: the device lacks a mechanism or a protection that the engine requires.
	ErrUnsupported = errors.New("hsm: not supported by the device")
	// ErrExists: an object with this label is already on the token.
	ErrExists = errors.New("hsm: object exists")
	// ErrAbsent: the token does not hold the object asked for.
	ErrAbsent = errors.New("hsm: object absent")
	// ErrWrappedKey: the wrapped key is damaged, altered, of another kind or wrapped under another KEK.
	ErrWrappedKey = errors.New("hsm: wrapped key refused")
	// ErrAlgorithm: the algorithm, or the combination of key and hash, is not one that is offered.
	ErrAlgorithm = errors.New("hsm: algorithm refused")
	// ErrDigest: a digest's length is not that of the algorithm's hash, or there is no digest.
	ErrDigest = errors.New("hsm: digest refused")
)

// Defaults of Config.
const (
	// DefaultSessions suits a software token, which gains little from parallel calls.
	DefaultSessions = 4
	// DefaultTimeout is longer than any single call of a healthy device.
	DefaultTimeout = 10 * time.Second
)

// Config says which token to use and how.
type Config struct {
	// Module is the path of the PKCS #11 library. Used by Open alone.
	Module string
	// TokenLabel is the label given to the token when it was initialised.
	TokenLabel string
	// PIN returns the user PIN. It is called at Open and after each loss of the device, and may return the
	// same slice each time: the device neither keeps nor changes it.
	PIN func() ([]byte, error)
	// Sessions is the number of calls that may be inside the device at once; 0 means DefaultSessions.
	Sessions int
	// Timeout bounds the wait for a session, and then the silence of the device: a call that has made no
	// progress for so long is abandoned. It applies in addition to the caller's deadline. 0 means
	// DefaultTimeout.
	Timeout time.Duration
}

// Device is one logged-in token. It is safe for concurrent use.
type Device struct {
	cfg   Config
	mod   *Module
	owner bool // Close closes the module, too
	pool  chan *session
	gone  chan struct{} // closed by Close
	link  *link         // the present connection; written only while no call is in flight
}

// Open loads the library cfg.Module and opens the token. The library must not be in use elsewhere in
// this process (a PKCS #11 library is initialised once per process): to use several tokens, Load it
// once and use [Module.Open]. Errors: ErrModule, ErrToken, ErrPIN, ErrUnsupported, ErrUnavailable.
func Open(ctx context.Context, cfg Config) (*Device, error) {
	m, err := Load(cfg.Module)
	if err != nil {
		return nil, err
	}
	d, err := m.Open(ctx, cfg)
	if err != nil {
		return nil, errors.Join(err, m.Close())
	}
	d.owner = true
	return d, nil
}

// Open opens a token of the module. Errors: ErrToken, ErrPIN, ErrUnsupported, ErrUnavailable.
func (m *Module) Open(ctx context.Context, cfg Config) (*Device, error) {
	if cfg.Sessions == 0 {
		cfg.Sessions = DefaultSessions
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	if cfg.Sessions < 0 || cfg.Timeout < 0 || cfg.PIN == nil {
		return nil, errors.New("hsm: configuration needs a PIN source, sessions and a timeout above zero")
	}
	d := &Device{cfg: cfg, mod: m, pool: make(chan *session, cfg.Sessions), gone: make(chan struct{})}
	for range cfg.Sessions {
		d.pool <- &session{}
	}
	if err := m.attach(ctx, d); err != nil {
		return nil, err
	}
	return d, nil
}

// Close waits for the calls in flight, at most Config.Timeout, and closes every session, which destroys
// every session object. The device cannot be used afterwards.
func (d *Device) Close() error {
	select {
	case <-d.gone:
		return nil
	default:
		close(d.gone)
	}
	late := time.NewTimer(d.cfg.Timeout)
	defer late.Stop()
	var stuck error
	open := make([]*session, 0, d.cfg.Sessions)
collect:
	for range d.cfg.Sessions {
		select {
		case s := <-d.pool:
			open = append(open, s)
		case <-late.C:
			stuck = fmt.Errorf("%w: %d calls did not return before the device was closed", ErrUnavailable, d.cfg.Sessions-len(open))
			break collect
		}
	}
	d.mod.detach(d, open)
	if d.owner {
		return errors.Join(stuck, d.mod.Close())
	}
	return stuck
}

// Sessions tells how many calls are inside the device now, and how many can be at once.
func (d *Device) Sessions() (busy, all int) { return cap(d.pool) - len(d.pool), cap(d.pool) }

// Healthy asks the device whether it still answers and knows us as logged in. Errors: ErrUnavailable.
func (d *Device) Healthy(ctx context.Context) error {
	_, err := do(ctx, d, func(c *call) (struct{}, error) { return struct{}{}, c.loggedIn() })
	return err
}
