package hsm

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/pkcs11"
)

// Module is a PKCS #11 library, loaded and initialised in this process. There is one for all the tokens
// it serves. It is safe for concurrent use.
type Module struct {
	path string
	k    cryptoki

	// objects keeps searches away from the creation of permanent objects: SoftHSM before 2.7 fails a
	// search that meets one with CKR_GENERAL_ERROR.
	objects sync.RWMutex

	stop     chan struct{}  // closed by Close
	work     sync.WaitGroup // the one goroutine that restores a lost device
	patience time.Duration  // with calls still inside the library, before each attempt to finalise it

	mu         sync.Mutex
	state      state
	cause      error         // why state is not up
	doubts     int           // failures in a row that may or may not mean a lost device
	inflight   int           // calls inside the library
	idle       chan struct{} // when not nil, closed as soon as inflight is zero
	generation uint64        // counts initialisations; what belongs to an older one is never used
	devices    map[*Device]struct{}
}

type state int

const (
	up     state = iota
	down         // lost, being restored
	failed       // restoring was given up; only a restart helps
	closed
)

const (
	// maxDoubts is the number of unspecific failures in a row that is taken for a lost device.
	maxDoubts = 3
	// A lost device is tried again after firstPause, then with doubled pauses up to lastPause.
	firstPause = 100 * time.Millisecond
	lastPause  = 5 * time.Second
	// patience is Module.patience.
	patience = 10 * time.Second
)

// Load loads and initialises the PKCS #11 library at path. It fails when the library is already
// initialised in this process. Errors: ErrModule.
func Load(path string) (*Module, error) {
	lib, err := loadLibrary(path)
	if err != nil {
		return nil, err
	}
	return newModule(path, lib)
}

func newModule(path string, k cryptoki) (*Module, error) {
	switch err := k.Initialize(); {
	case errors.Is(err, pkcs11.Error(pkcs11.CKR_CRYPTOKI_ALREADY_INITIALIZED)):
		return nil, fmt.Errorf("%w: %q is already in use in this process; load it once and share the module", ErrModule, path)
	case err != nil:
		return nil, fmt.Errorf("%w: %q does not initialise (%w); check its own configuration and access to its token directory or network", ErrModule, path, err)
	}
	return &Module{path: path, k: k, stop: make(chan struct{}), patience: patience, generation: 1, devices: map[*Device]struct{}{}}, nil
}

// Close finalises the library. Devices still open become unusable. The library stays mapped in memory,
// as unloading one with threads of its own is not safe; it can be loaded again.
func (m *Module) Close() error {
	m.mu.Lock()
	if m.state == closed {
		m.mu.Unlock()
		return nil
	}
	m.state, m.cause = closed, errors.New("module closed")
	close(m.stop)
	m.mu.Unlock()
	restored := make(chan struct{})
	go func() {
		m.work.Wait()
		close(restored)
	}()
	late := time.NewTimer(m.patience)
	defer late.Stop()
	select {
	case <-restored:
	case <-late.C:
		return fmt.Errorf("%w: %q hangs while it is initialised again", ErrUnavailable, m.path)
	}
	if err := m.quiesce(); err != nil {
		return err
	}
	if err := m.k.Finalize(); err != nil && !errors.Is(err, pkcs11.Error(pkcs11.CKR_CRYPTOKI_NOT_INITIALIZED)) {
		return fmt.Errorf("%w: finalising: %w", ErrModule, err)
	}
	return nil
}

// enter begins a call into the library; leave must follow.
func (m *Module) enter() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state != up {
		return fmt.Errorf("%w: %w", ErrUnavailable, m.cause)
	}
	m.inflight++
	return nil
}

func (m *Module) leave() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.inflight--
	if m.inflight == 0 && m.idle != nil {
		close(m.idle)
		m.idle = nil
	}
}

// quiesce waits until no call is inside the library; the state must not be up. PKCS #11 leaves it
// undefined what happens to a call that is running while the library is finalised.
func (m *Module) quiesce() error {
	m.mu.Lock()
	if m.inflight == 0 {
		m.mu.Unlock()
		return nil
	}
	if m.idle == nil {
		m.idle = make(chan struct{})
	}
	idle, n := m.idle, m.inflight
	m.mu.Unlock()
	late := time.NewTimer(m.patience)
	defer late.Stop()
	select {
	case <-idle:
		return nil
	case <-late.C:
		return fmt.Errorf("%w: %d calls hang inside %q", ErrUnavailable, n, m.path)
	}
}

// succeeded forgets earlier doubts.
func (m *Module) succeeded() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.doubts = 0
}

// doubt counts an unspecific failure and takes several in a row for a lost device.
func (m *Module) doubt(generation uint64, cause error) {
	m.mu.Lock()
	m.doubts++
	lost := m.doubts >= maxDoubts
	m.mu.Unlock()
	if lost {
		m.lose(generation, cause)
	}
}

// lose declares the device of a generation lost and starts to restore it. From here on every call fails
// at once. A late report about an earlier generation changes nothing.
func (m *Module) lose(generation uint64, cause error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state != up || m.generation != generation {
		return
	}
	m.state, m.cause = down, cause
	m.work.Go(m.restore)
}

// restore initialises the library again until it works, the PIN is refused (a repetition could lock the
// token) or the module is closed.
func (m *Module) restore() {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		err := m.reinitialise()
		m.mu.Lock()
		switch {
		case m.state == closed:
		case err == nil:
			m.state, m.cause, m.doubts = up, nil, 0
		case errors.Is(err, ErrPIN):
			m.state, m.cause = failed, fmt.Errorf("%w; correct the PIN and restart", err)
		default:
			m.cause = err
		}
		again := m.state == down
		m.mu.Unlock()
		if !again {
			return
		}
		wait := time.NewTimer(pause)
		select {
		case <-m.stop:
			wait.Stop()
			return
		case <-wait.C:
		}
	}
}

func (m *Module) reinitialise() error {
	if err := m.quiesce(); err != nil {
		return err
	}
	_ = m.k.Finalize() // of a lost device it may well fail; what counts is that it initialises again
	if err := m.k.Initialize(); err != nil {
		return fmt.Errorf("initialising again: %w", err)
	}
	m.mu.Lock()
	m.generation++
	generation := m.generation
	devices := make([]*Device, 0, len(m.devices))
	for d := range m.devices {
		devices = append(devices, d)
	}
	m.mu.Unlock()
	for _, d := range devices {
		l, err := m.connect(d.cfg, generation, d.link.populated)
		if err != nil {
			return err
		}
		m.mu.Lock()
		d.link = l
		_, open := m.devices[d]
		m.mu.Unlock()
		if !open { // closed while it was being connected
			_ = m.k.CloseSession(l.anchor)
		}
	}
	return nil
}

// attach connects a new device. The library calls run in a goroutine of their own, so that a device that
// hangs cannot hold the caller beyond its deadline.
func (m *Module) attach(ctx context.Context, d *Device) error {
	if err := m.enter(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, d.cfg.Timeout)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		defer m.leave()
		m.mu.Lock()
		generation := m.generation
		m.mu.Unlock()
		l, err := m.connect(d.cfg, generation, new(atomic.Bool))
		if err == nil {
			m.mu.Lock()
			d.link = l
			m.devices[d] = struct{}{}
			m.mu.Unlock()
		}
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		go func() {
			if <-done == nil {
				m.detach(d, nil)
			}
		}()
		return fmt.Errorf("%w: opening token %q: %w", ErrUnavailable, d.cfg.TokenLabel, ctx.Err())
	}
}

// detach closes what a device still holds open in the present generation.
func (m *Module) detach(d *Device, open []*session) {
	m.mu.Lock()
	delete(m.devices, d)
	l := d.link
	current := l.generation == m.generation
	m.mu.Unlock()
	if !current || m.enter() != nil {
		return // initialised again since, or gone: the sessions went with the library
	}
	defer m.leave()
	for _, s := range open {
		if s.link == l { // a handle of an earlier generation may by now be somebody else's
			s.close(m.k)
		}
	}
	_ = m.k.CloseSession(l.anchor) // last, as closing a token's last session logs out
}
