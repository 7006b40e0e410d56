package hsm_test

import (
	"context"
	"sync"
	"testing"

	"github.com/miekg/pkcs11"

	"github.com/ecsigner/ecsigner/hsm"
	"github.com/ecsigner/ecsigner/hsm/hsmtest"
)

// faulty is SoftHSM that fails on command. Its Initialize and Finalize keep the real library, which
// other tests share, and end just the sessions opened through it, as the real ones would.
type faulty struct {
	hsm.Cryptoki

	mu       sync.Mutex
	calls    map[string]int
	once     map[string][]uint // codes for the next calls of a function
	always   map[string]uint   // code for every call
	after    map[string]uint   // code after the real call has been made
	hang     chan struct{}     // Sign waits for it
	hanging  int
	sessions map[pkcs11.SessionHandle]bool
	stale    []string // uses of a session that this initialisation did not open
	edit     func([]*pkcs11.Attribute) []*pkcs11.Attribute
}

func newFaulty(t testing.TB) (*faulty, *hsm.Module, hsm.Config) {
	t.Helper()
	real, cfg := hsmtest.Token(t)
	f := &faulty{
		Cryptoki: real.Below(), calls: map[string]int{}, once: map[string][]uint{}, always: map[string]uint{},
		after: map[string]uint{}, sessions: map[pkcs11.SessionHandle]bool{},
	}
	m, err := hsm.NewModule(hsmtest.Module, f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		if len(f.stale) > 0 {
			t.Errorf("stale sessions used: %v", f.stale)
		}
	})
	return f, m, cfg
}

// faultyDevice is newFaulty with an open, filled device and a service key "log".
func faultyDevice(t testing.TB, sessions int) (*faulty, *hsm.Module, *hsm.Device) {
	t.Helper()
	f, m, cfg := newFaulty(t)
	cfg.Sessions = sessions
	d, err := m.Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	if err := hsmtest.Fill(context.Background(), d); err != nil {
		t.Fatal(err)
	}
	if _, err := d.CreateServiceKey(context.Background(), "log", hsm.ECDSAP256); err != nil {
		t.Fatal(err)
	}
	return f, m, d
}

func (f *faulty) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *faulty) count(name string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[name]
}

// fault counts a call and says whether it fails.
func (f *faulty) fault(name string, s pkcs11.SessionHandle) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls[name]++
	if s != 0 && !f.sessions[s] {
		f.stale = append(f.stale, name)
		return pkcs11.Error(pkcs11.CKR_SESSION_HANDLE_INVALID)
	}
	if next := f.once[name]; len(next) > 0 {
		f.once[name] = next[1:]
		if next[0] != pkcs11.CKR_OK {
			return pkcs11.Error(next[0])
		}
		return nil
	}
	if code, ok := f.always[name]; ok {
		return pkcs11.Error(code)
	}
	return nil
}

// late says whether a call fails although it was carried out.
func (f *faulty) late(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if code, ok := f.after[name]; ok {
		return pkcs11.Error(code)
	}
	return nil
}

func (f *faulty) Initialize(...pkcs11.InitializeOption) error { return f.fault("Initialize", 0) }

func (f *faulty) Finalize() error {
	err := f.fault("Finalize", 0)
	f.mu.Lock()
	defer f.mu.Unlock()
	for s := range f.sessions {
		_ = f.Cryptoki.CloseSession(s)
	}
	clear(f.sessions)
	return err
}

func (f *faulty) GetSlotList(present bool) ([]uint, error) {
	if err := f.fault("GetSlotList", 0); err != nil {
		return nil, err
	}
	return f.Cryptoki.GetSlotList(present)
}

func (f *faulty) GetMechanismList(slot uint) ([]*pkcs11.Mechanism, error) {
	list, err := f.Cryptoki.GetMechanismList(slot)
	if f.fault("GetMechanismList", 0) != nil {
		return nil, err
	}
	return list, err
}

func (f *faulty) OpenSession(slot, flags uint) (pkcs11.SessionHandle, error) {
	if err := f.fault("OpenSession", 0); err != nil {
		return 0, err
	}
	s, err := f.Cryptoki.OpenSession(slot, flags)
	if err == nil {
		f.set(func() { f.sessions[s] = true })
	}
	return s, err
}

func (f *faulty) CloseSession(s pkcs11.SessionHandle) error {
	if err := f.fault("CloseSession", s); err != nil {
		return err
	}
	f.set(func() { delete(f.sessions, s) })
	return f.Cryptoki.CloseSession(s)
}

func (f *faulty) GetSessionInfo(s pkcs11.SessionHandle) (pkcs11.SessionInfo, error) {
	if err := f.fault("GetSessionInfo", s); err != nil {
		return pkcs11.SessionInfo{}, err
	}
	return f.Cryptoki.GetSessionInfo(s)
}

func (f *faulty) Login(s pkcs11.SessionHandle, user uint, pin string) error {
	if err := f.fault("Login", s); err != nil {
		return err
	}
	return f.Cryptoki.Login(s, user, pin)
}

func (f *faulty) FindObjectsInit(s pkcs11.SessionHandle, a []*pkcs11.Attribute) error {
	if err := f.fault("FindObjectsInit", s); err != nil {
		return err
	}
	return f.Cryptoki.FindObjectsInit(s, a)
}

func (f *faulty) FindObjects(s pkcs11.SessionHandle, n int) ([]pkcs11.ObjectHandle, bool, error) {
	if err := f.fault("FindObjects", s); err != nil {
		return nil, false, err
	}
	return f.Cryptoki.FindObjects(s, n)
}

func (f *faulty) FindObjectsFinal(s pkcs11.SessionHandle) error {
	if err := f.fault("FindObjectsFinal", s); err != nil {
		return err
	}
	return f.Cryptoki.FindObjectsFinal(s)
}

func (f *faulty) GetAttributeValue(s pkcs11.SessionHandle, h pkcs11.ObjectHandle, a []*pkcs11.Attribute) ([]*pkcs11.Attribute, error) {
	if err := f.fault("GetAttributeValue", s); err != nil {
		return nil, err
	}
	return f.Cryptoki.GetAttributeValue(s, h, a)
}

func (f *faulty) CreateObject(s pkcs11.SessionHandle, a []*pkcs11.Attribute) (pkcs11.ObjectHandle, error) {
	if err := f.fault("CreateObject", s); err != nil {
		return 0, err
	}
	return f.Cryptoki.CreateObject(s, a)
}

func (f *faulty) DestroyObject(s pkcs11.SessionHandle, h pkcs11.ObjectHandle) error {
	if err := f.fault("DestroyObject", s); err != nil {
		return err
	}
	return f.Cryptoki.DestroyObject(s, h)
}

func (f *faulty) GenerateKey(s pkcs11.SessionHandle, m []*pkcs11.Mechanism, a []*pkcs11.Attribute) (pkcs11.ObjectHandle, error) {
	if err := f.fault("GenerateKey", s); err != nil {
		return 0, err
	}
	if f.edit != nil {
		a = f.edit(a)
	}
	h, err := f.Cryptoki.GenerateKey(s, m, a)
	if late := f.late("GenerateKey"); err == nil && late != nil {
		return 0, late
	}
	return h, err
}

func (f *faulty) GenerateKeyPair(s pkcs11.SessionHandle, m []*pkcs11.Mechanism, pub, priv []*pkcs11.Attribute) (pkcs11.ObjectHandle, pkcs11.ObjectHandle, error) {
	if err := f.fault("GenerateKeyPair", s); err != nil {
		return 0, 0, err
	}
	a, b, err := f.Cryptoki.GenerateKeyPair(s, m, pub, priv)
	if late := f.late("GenerateKeyPair"); err == nil && late != nil {
		return 0, 0, late
	}
	return a, b, err
}

func (f *faulty) WrapKey(s pkcs11.SessionHandle, m []*pkcs11.Mechanism, kek, key pkcs11.ObjectHandle) ([]byte, error) {
	if err := f.fault("WrapKey", s); err != nil {
		return nil, err
	}
	return f.Cryptoki.WrapKey(s, m, kek, key)
}

func (f *faulty) UnwrapKey(s pkcs11.SessionHandle, m []*pkcs11.Mechanism, kek pkcs11.ObjectHandle, wrapped []byte, a []*pkcs11.Attribute) (pkcs11.ObjectHandle, error) {
	if err := f.fault("UnwrapKey", s); err != nil {
		return 0, err
	}
	return f.Cryptoki.UnwrapKey(s, m, kek, wrapped, a)
}

func (f *faulty) SignInit(s pkcs11.SessionHandle, m []*pkcs11.Mechanism, h pkcs11.ObjectHandle) error {
	if err := f.fault("SignInit", s); err != nil {
		return err
	}
	return f.Cryptoki.SignInit(s, m, h)
}

func (f *faulty) Sign(s pkcs11.SessionHandle, data []byte) ([]byte, error) {
	if err := f.fault("Sign", s); err != nil {
		return nil, err
	}
	f.mu.Lock()
	hang := f.hang
	if hang != nil {
		f.hanging++
	}
	f.mu.Unlock()
	if hang != nil {
		<-hang
	}
	sig, err := f.Cryptoki.Sign(s, data)
	if late := f.late("Sign"); err == nil && late != nil {
		return nil, late
	}
	return sig, err
}
