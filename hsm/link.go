package hsm

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/miekg/pkcs11"
)

// link is a device's connection in one generation of the module: slot, login and the handles found since.
// It is replaced as a whole, so nothing of it outlives its generation.
type link struct {
	generation uint64
	slot       uint
	anchor     pkcs11.SessionHandle // open as long as the link: the login lasts while a session is open
	wraps      []uint               // authenticated key wraps that the token offers, best first
	populated  *atomic.Bool         // an object was found on the token, in this generation or one before

	mu       sync.Mutex
	handles  map[object]pkcs11.ObjectHandle
	admitted map[pkcs11.ObjectHandle][]*pkcs11.Mechanism // KEKs found sound, each with its wrap
	newest   *kek
}

// object names what the token holds: labels are unique within a class.
type object struct {
	class uint
	label string
}

// connect finds the token, opens the session that keeps the login alive, and logs in.
func (m *Module) connect(cfg Config, generation uint64, populated *atomic.Bool) (_ *link, err error) {
	slot, err := m.findToken(cfg.TokenLabel)
	if err != nil {
		return nil, err
	}
	l := &link{
		generation: generation,
		slot:       slot,
		populated:  populated,
		handles:    map[object]pkcs11.ObjectHandle{},
		admitted:   map[pkcs11.ObjectHandle][]*pkcs11.Mechanism{},
	}
	offered, err := m.k.GetMechanismList(slot)
	if err != nil {
		return nil, fmt.Errorf("%w: listing the mechanisms of token %q: %w", ErrUnavailable, cfg.TokenLabel, err)
	}
	for _, want := range authenticatedWraps() {
		for _, o := range offered {
			if o.Mechanism == want {
				l.wraps = append(l.wraps, want)
			}
		}
	}
	if len(l.wraps) == 0 {
		return nil, fmt.Errorf("%w: token %q offers no AES key wrap with padding (RFC 5649); use a device or firmware that does", ErrUnsupported, cfg.TokenLabel)
	}
	l.anchor, err = m.k.OpenSession(slot, sessionFlags)
	if err != nil {
		return nil, fmt.Errorf("%w: opening a session with token %q: %w", ErrUnavailable, cfg.TokenLabel, err)
	}
	if err := m.login(l.anchor, cfg); err != nil {
		return nil, errors.Join(err, m.k.CloseSession(l.anchor))
	}
	return l, nil
}

// findToken returns the slot of the token with the label.
func (m *Module) findToken(label string) (uint, error) {
	slots, err := m.k.GetSlotList(true)
	if err != nil {
		return 0, fmt.Errorf("%w: listing slots: %w", ErrUnavailable, err)
	}
	found, slot := 0, uint(0)
	for _, s := range slots {
		info, err := m.k.GetTokenInfo(s)
		if err != nil {
			continue // another slot's trouble is not ours; ours would then not be found
		}
		if info.Flags&pkcs11.CKF_TOKEN_INITIALIZED != 0 && info.Label == label {
			found, slot = found+1, s
		}
	}
	switch found {
	case 1:
		return slot, nil
	case 0:
		return 0, fmt.Errorf("%w: no token is labelled %q; correct the label in the configuration, or initialise the token", ErrToken, label)
	default:
		return 0, fmt.Errorf("%w: %d tokens are labelled %q; labels must be unique", ErrToken, found, label)
	}
}

func (m *Module) login(s pkcs11.SessionHandle, cfg Config) error {
	pin, err := cfg.PIN()
	if err != nil {
		return fmt.Errorf("%w: reading the PIN of token %q: %w", ErrPIN, cfg.TokenLabel, err)
	}
	if len(pin) == 0 {
		return fmt.Errorf("%w: the PIN of token %q is empty; set it", ErrPIN, cfg.TokenLabel)
	}
	err = m.k.Login(s, pkcs11.CKU_USER, string(pin))
	var code pkcs11.Error
	switch {
	case err == nil, errors.Is(err, pkcs11.Error(pkcs11.CKR_USER_ALREADY_LOGGED_IN)):
		return nil
	case errors.As(err, &code) && pinRefused(code):
		return fmt.Errorf("%w: token %q answered %w; correct the PIN before trying again, repeated failures lock the token", ErrPIN, cfg.TokenLabel, err)
	default:
		return fmt.Errorf("%w: logging in to token %q: %w", ErrUnavailable, cfg.TokenLabel, err)
	}
}

// handle returns the handle of the one object with this class and label, from the cache after the first
// search. Errors: ErrAbsent.
func (c *call) handle(o object) (pkcs11.ObjectHandle, error) {
	c.link.mu.Lock()
	h, ok := c.link.handles[o]
	c.link.mu.Unlock()
	if ok {
		return h, nil
	}
	found, err := c.find(pkcs11.CKA_CLASS, o.class, pkcs11.CKA_LABEL, o.label, pkcs11.CKA_TOKEN, true)
	switch {
	case err != nil:
		return 0, err
	case len(found) == 0:
		if err := c.emptied(c.find); err != nil {
			return 0, err
		}
		return 0, fmt.Errorf("%w: token %q holds no %q; create it, or correct the label", ErrAbsent, c.label, o.label)
	case len(found) > 1:
		return 0, fmt.Errorf("%w: token %q holds %d objects labelled %q; remove the wrong ones", ErrToken, c.label, len(found), o.label)
	}
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	c.link.handles[o] = found[0]
	c.link.populated.Store(true)
	return found[0], nil
}

// errEmptied: the token holds nothing at all, and held something before. It is not the objects that are gone but the token,
// as where the directory of a software token is unmounted: the device is lost.
var errEmptied = errors.New("the token that held objects holds none")

// emptied returns errEmptied if that is so. It looks with search, or with find where the caller does not hold
// Module.objects.
func (c *call) emptied(look func(pairs ...any) ([]pkcs11.ObjectHandle, error)) error {
	if !c.link.populated.Load() {
		return nil
	}
	found, err := look(pkcs11.CKA_TOKEN, true)
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("%w: %q", errEmptied, c.label)
	}
	return err
}

// forget empties the cache of handles.
func (l *link) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.handles)
	clear(l.admitted)
	l.newest = nil
}

// find searches the token for objects with the attributes given in pairs. The caller must not hold
// Module.objects.
func (c *call) find(pairs ...any) ([]pkcs11.ObjectHandle, error) {
	c.objects.RLock()
	defer c.objects.RUnlock()
	return c.search(pairs...)
}

// search is find for a caller that holds Module.objects.
func (c *call) search(pairs ...any) ([]pkcs11.ObjectHandle, error) {
	const page = 64
	if err := c.k.FindObjectsInit(c.s, attributes(pairs...)); err != nil {
		return nil, fmt.Errorf("searching: %w", err)
	}
	var found []pkcs11.ObjectHandle
	for {
		some, _, err := c.k.FindObjects(c.s, page)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("searching: %w", err), c.k.FindObjectsFinal(c.s))
		}
		if found = append(found, some...); len(some) == 0 {
			break
		}
	}
	if err := c.k.FindObjectsFinal(c.s); err != nil {
		return nil, fmt.Errorf("ending a search: %w", err)
	}
	return found, nil
}

// values reads attributes of an object, in the order asked for.
func (c *call) values(h pkcs11.ObjectHandle, types ...uint) ([][]byte, error) {
	template := make([]*pkcs11.Attribute, len(types))
	for i, typ := range types {
		template[i] = pkcs11.NewAttribute(typ, nil)
	}
	got, err := c.k.GetAttributeValue(c.s, h, template)
	if err != nil {
		return nil, fmt.Errorf("reading attributes: %w", err)
	}
	values := make([][]byte, len(got))
	for i, a := range got {
		values[i] = a.Value
	}
	return values, nil
}
