package hsm

import (
	"time"

	"github.com/miekg/pkcs11"
)

// Cryptoki lets the tests put a failing device behind the interface.
type Cryptoki = cryptoki

// NewModule is Load over any implementation.
func NewModule(path string, k Cryptoki) (*Module, error) { return newModule(path, k) }

// Below returns what the module calls.
func (m *Module) Below() Cryptoki { return m.k }

// Raw returns the whole binding: what a holder of the PIN can call.
func (m *Module) Raw() *pkcs11.Ctx { return m.k.(*library).Ctx }

// SetPatience shortens the wait for calls that hang.
func (m *Module) SetPatience(d time.Duration) { m.patience = d }

// SetTimeout changes Config.Timeout; no call may be under way.
func (d *Device) SetTimeout(timeout time.Duration) { d.cfg.Timeout = timeout }

// Generation returns the number of initialisations.
func (m *Module) Generation() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.generation
}

// State returns what the module waits for: nil when it is up.
func (m *Module) State() (failedForGood bool, cause error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state == failed, m.cause
}

// Slot returns the slot of an open device.
func (d *Device) Slot() uint { return d.link.slot }

// Encode and Point give the tests the two decoders of what a device returns.
func Encode(name string, raw []byte) ([]byte, error) {
	a, err := algorithmNamed(name)
	if err != nil {
		return nil, err
	}
	return a.encode(raw)
}

func Point(name string, point []byte) (any, error) {
	a, err := algorithmNamed(name)
	if err != nil {
		return nil, err
	}
	return a.public(point)
}
