package hsm

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/miekg/pkcs11"
)

// sessionFlags opens sessions that may also create permanent objects.
const sessionFlags = pkcs11.CKF_SERIAL_SESSION | pkcs11.CKF_RW_SESSION

// session is a place in the pool and, when link is not nil, a session opened over that link.
type session struct {
	link *link
	h    pkcs11.SessionHandle
}

// close ends the session and with it its objects and whatever operation it was in.
func (s *session) close(k cryptoki) {
	if s.link != nil {
		_ = k.CloseSession(s.h) // a session that cannot be closed is not used again either
		s.link = nil
	}
}

// call is what a function running inside the device has at hand.
type call struct {
	ctx     context.Context
	k       cryptoki
	s       pkcs11.SessionHandle
	link    *link
	objects *sync.RWMutex
	label   string // of the token, for error texts
	alive   func() // resets the watch over the device's silence

	// final is set before a step that must not be repeated: C_Sign, making a permanent object.
	final bool
	// taint is set when the session must not be used again although the call succeeded.
	taint bool
}

// loggedIn asks the device about the session.
func (c *call) loggedIn() error {
	info, err := c.k.GetSessionInfo(c.s)
	if err != nil {
		return fmt.Errorf("asking for the session's state: %w", err)
	}
	if info.State != pkcs11.CKS_RW_USER_FUNCTIONS {
		return fmt.Errorf("asking for the session's state: %w", pkcs11.Error(pkcs11.CKR_USER_NOT_LOGGED_IN))
	}
	return nil
}

// gone reports that the caller no longer waits.
func (c *call) gone() error {
	if c.ctx.Err() != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, context.Cause(c.ctx))
	}
	return nil
}

// class is what an error says about session and device.
type class int

const (
	callers      class = iota // the request's fault, or final
	staleHandle               // an object's handle is no longer valid
	staleSession              // the session is unusable
	doubtful                  // may be anything
	lost                      // the device, or our login, is gone
)

func classify(err error) class {
	if errors.Is(err, errEmptied) && !errors.Is(err, ErrUnavailable) { // judged already where it is why others are refused
		return lost
	}
	var code pkcs11.Error
	if !errors.As(err, &code) || errors.Is(err, ErrUnavailable) || errors.Is(err, ErrWrappedKey) || errors.Is(err, ErrUnsupported) {
		return callers // judged already, or none of the device's
	}
	switch uint(code) {
	case pkcs11.CKR_KEY_HANDLE_INVALID, pkcs11.CKR_OBJECT_HANDLE_INVALID,
		pkcs11.CKR_WRAPPING_KEY_HANDLE_INVALID, pkcs11.CKR_UNWRAPPING_KEY_HANDLE_INVALID:
		return staleHandle
	case pkcs11.CKR_SESSION_CLOSED, pkcs11.CKR_SESSION_HANDLE_INVALID,
		pkcs11.CKR_OPERATION_ACTIVE, pkcs11.CKR_OPERATION_NOT_INITIALIZED:
		return staleSession
	case pkcs11.CKR_GENERAL_ERROR, pkcs11.CKR_FUNCTION_FAILED, pkcs11.CKR_FUNCTION_CANCELED,
		pkcs11.CKR_HOST_MEMORY, pkcs11.CKR_DEVICE_MEMORY:
		return doubtful
	case pkcs11.CKR_DEVICE_ERROR, pkcs11.CKR_DEVICE_REMOVED, pkcs11.CKR_TOKEN_NOT_PRESENT,
		pkcs11.CKR_TOKEN_NOT_RECOGNIZED, pkcs11.CKR_SLOT_ID_INVALID,
		pkcs11.CKR_CRYPTOKI_NOT_INITIALIZED, pkcs11.CKR_USER_NOT_LOGGED_IN:
		return lost
	}
	return callers
}

// pinRefused tells a refused PIN from a device that is in trouble.
func pinRefused(code pkcs11.Error) bool {
	switch uint(code) {
	case pkcs11.CKR_PIN_INCORRECT, pkcs11.CKR_PIN_INVALID, pkcs11.CKR_PIN_LEN_RANGE, pkcs11.CKR_PIN_EXPIRED,
		pkcs11.CKR_PIN_LOCKED, pkcs11.CKR_USER_PIN_NOT_INITIALIZED:
		return true
	}
	return false
}

// do runs f in a session of its own. When f fails because of the session or a stale handle, and has not
// set final, it runs once more in a fresh session; f must therefore leave nothing behind when it fails.
// f may still be running when do returns early: it must not touch what belongs to the caller.
func do[T any](ctx context.Context, d *Device, f func(*call) (T, error)) (T, error) {
	for first := true; ; first = false {
		out := attempt(ctx, d, f)
		kind := classify(out.err)
		if out.err == nil || kind == callers {
			return out.value, out.err
		}
		if kind == staleHandle {
			out.link.forget()
		}
		if first && !out.final && kind != lost {
			continue
		}
		switch kind {
		case lost:
			d.mod.lose(out.link.generation, out.err)
		case staleSession, doubtful:
			d.mod.doubt(out.link.generation, out.err)
		}
		var zero T
		return zero, fmt.Errorf("%w: %w", ErrUnavailable, out.err)
	}
}

// outcome is how one attempt ended.
type outcome[T any] struct {
	value T
	err   error
	final bool
	link  *link // not nil when err is the device's
}

// attempt runs f once, in a goroutine of its own, and stops waiting when ctx ends or the device has been
// silent for the configured time. An abandoned call keeps its place in the pool until it comes back, so
// that a hanging device holds at most as many threads as there are sessions.
func attempt[T any](ctx context.Context, d *Device, f func(*call) (T, error)) outcome[T] {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s, err := d.acquire(ctx)
	if err != nil {
		return outcome[T]{err: err}
	}
	watch := time.AfterFunc(d.cfg.Timeout, func() {
		cancel(fmt.Errorf("no answer within %v", d.cfg.Timeout))
	})
	defer watch.Stop()
	done := make(chan outcome[T], 1)
	go func() {
		c := &call{ctx: ctx, label: d.cfg.TokenLabel, alive: func() { watch.Reset(d.cfg.Timeout) }}
		var out outcome[T]
		out.value, out.err = inside(d, s, c, f)
		out.final, out.link = c.final, c.link
		d.pool <- s
		done <- out
	}()
	select {
	case out := <-done:
		return out
	case <-ctx.Done():
		return outcome[T]{err: fmt.Errorf("%w: %w", ErrUnavailable, context.Cause(ctx))}
	}
}

// inside runs f within the library, in session s. A session that has seen an error, or whose caller has
// gone, is closed rather than used again.
func inside[T any](d *Device, s *session, c *call, f func(*call) (T, error)) (value T, err error) {
	m := d.mod
	if err := m.enter(); err != nil {
		return value, err
	}
	defer m.leave()
	m.mu.Lock()
	c.k, c.link, c.objects = m.k, d.link, &m.objects
	m.mu.Unlock()
	if s.link != c.link {
		s.link = nil // of an earlier generation, and closed with it
		h, err := m.k.OpenSession(c.link.slot, sessionFlags)
		if errors.Is(err, pkcs11.Error(pkcs11.CKR_SESSION_COUNT)) {
			return value, fmt.Errorf("%w: token %q allows no more sessions; configure fewer than %d, or end other programs that use it", ErrUnavailable, c.label, d.cfg.Sessions+1)
		}
		if err != nil {
			return value, fmt.Errorf("opening a session: %w", err)
		}
		s.link, s.h = c.link, h
	}
	c.s = s.h
	value, err = f(c)
	if err != nil || c.taint || c.ctx.Err() != nil {
		s.close(m.k)
	}
	if err == nil {
		m.succeeded()
	}
	return value, err
}

// acquire waits for a place in the pool, at most until ctx ends or Config.Timeout has passed.
func (d *Device) acquire(ctx context.Context) (*session, error) {
	select {
	case <-d.gone:
		return nil, fmt.Errorf("%w: closed", ErrUnavailable)
	default:
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, context.Cause(ctx))
	}
	select {
	case s := <-d.pool:
		return s, nil
	default:
	}
	late := time.NewTimer(d.cfg.Timeout)
	defer late.Stop()
	select {
	case s := <-d.pool:
		return s, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: all %d sessions are busy: %w", ErrUnavailable, d.cfg.Sessions, context.Cause(ctx))
	case <-late.C:
		return nil, fmt.Errorf("%w: all %d sessions were busy for %v", ErrUnavailable, d.cfg.Sessions, d.cfg.Timeout)
	case <-d.gone:
		return nil, fmt.Errorf("%w: closed", ErrUnavailable)
	}
}
