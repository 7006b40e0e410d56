package hsm

import (
	"errors"
	"fmt"

	"github.com/miekg/pkcs11"
)

// InitToken loads the library at path, which must not be in use in this process, and initialises a token:
// see [Module.InitToken].
func InitToken(path, label string, soPIN, userPIN []byte) error {
	m, err := Load(path)
	if err != nil {
		return err
	}
	return errors.Join(m.InitToken(label, soPIN, userPIN), m.Close())
}

// InitToken initialises the first slot that holds no initialised token, gives it the label (1 to 32
// bytes), the security officer's PIN and the user PIN. It never touches an initialised token and refuses
// a label that one of them has. Errors: ErrToken, ErrPIN, ErrUnavailable.
func (m *Module) InitToken(label string, soPIN, userPIN []byte) error {
	if label == "" || len(label) > 32 {
		return fmt.Errorf("%w: a token's label has 1 to 32 bytes", ErrToken)
	}
	if err := m.enter(); err != nil {
		return err
	}
	defer m.leave()
	m.objects.Lock()
	defer m.objects.Unlock()
	slot, err := m.freeSlot(label)
	if err != nil {
		return err
	}
	if err := m.k.InitToken(slot, string(soPIN), label); err != nil {
		return initError("initialising the token", err)
	}
	s, err := m.k.OpenSession(slot, sessionFlags)
	if err != nil {
		return initError("opening a session with the new token", err)
	}
	defer func() { _ = m.k.CloseSession(s) }() // closing the last session logs the security officer out
	if err := m.k.Login(s, pkcs11.CKU_SO, string(soPIN)); err != nil {
		return initError("logging in as security officer", err)
	}
	if err := m.k.InitPIN(s, string(userPIN)); err != nil {
		return initError("setting the user PIN", err)
	}
	return nil
}

func initError(doing string, err error) error {
	var code pkcs11.Error
	if errors.As(err, &code) && pinRefused(code) {
		return fmt.Errorf("%w: %s: %w; choose a PIN of a length the device allows", ErrPIN, doing, err)
	}
	return fmt.Errorf("%w: %s: %w", ErrToken, doing, err)
}

// freeSlot returns the first slot without an initialised token, provided none has the label.
func (m *Module) freeSlot(label string) (uint, error) {
	slots, err := m.k.GetSlotList(true)
	if err != nil {
		return 0, fmt.Errorf("%w: listing slots: %w", ErrUnavailable, err)
	}
	free := -1
	for i, s := range slots {
		info, err := m.k.GetTokenInfo(s)
		switch {
		case err != nil: // somebody else's token in trouble; its label cannot be told
			return 0, fmt.Errorf("%w: slot %d does not say what it holds: %w", ErrToken, s, err)
		case info.Flags&pkcs11.CKF_TOKEN_INITIALIZED == 0:
			if free < 0 {
				free = i
			}
		case info.Label == label:
			return 0, fmt.Errorf("%w: a token labelled %q exists; choose another label, or remove that token", ErrToken, label)
		}
	}
	if free < 0 {
		return 0, fmt.Errorf("%w: no slot is free; add one in the device's own administration", ErrToken)
	}
	return slots[free], nil
}
