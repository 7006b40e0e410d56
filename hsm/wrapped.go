package hsm

import (
	"context"
	"crypto"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strconv"

	"github.com/miekg/pkcs11"
)

// kek is a key encryption key on the token.
type kek struct {
	id           string
	year, number int
}

// authenticatedWraps are the mechanisms of RFC 5649, AES key wrap with padding, best first. The older
// CKM_AES_KEY_WRAP (RFC 3394) cannot take a private key, whose encoding is no multiple of 8 bytes.
func authenticatedWraps() []uint { return []uint{ckmAESKeyWrapKWP, pkcs11.CKM_AES_KEY_WRAP_PAD} }

// parseKEK reads an id such as "kek-2026-1": the year and a number within it.
func parseKEK(id string) (kek, bool) {
	m := regexp.MustCompile(`^kek-([0-9]{4})-([1-9][0-9]{0,3})$`).FindStringSubmatch(id)
	if m == nil {
		return kek{}, false
	}
	year, _ := strconv.Atoi(m[1]) // digits, by the pattern
	number, _ := strconv.Atoi(m[2])
	return kek{id, year, number}, true
}

// CreateKEK makes a key encryption key on the token, AES-256, with an id such as "kek-2026-1"; the one
// with the highest year and number wraps new keys from then on (in other processes, from their next
// start). Even a holder of the PIN cannot read
// what it wraps: it neither encrypts nor decrypts, cannot be changed or copied, and its
// CKA_UNWRAP_TEMPLATE lets keys be unwrapped only as sensitive and not extractable. A device that does
// not enforce this gets no KEK. Errors: ErrExists, ErrUnsupported, ErrUnavailable.
func (d *Device) CreateKEK(ctx context.Context, id string) error {
	if _, ok := parseKEK(id); !ok {
		return fmt.Errorf("hsm: %q is no id of a KEK; use kek-YEAR-NUMBER, such as kek-2026-1", id)
	}
	return create(ctx, d, id, []uint{pkcs11.CKO_SECRET_KEY}, func(c *call) error {
		h, err := c.generateKEK(id)
		if err != nil {
			return err
		}
		if _, err := c.admit(h); err != nil {
			return errors.Join(err, c.k.DestroyObject(c.s, h))
		}
		c.link.forget()
		return nil
	})
}

func (c *call) generateKEK(id string) (pkcs11.ObjectHandle, error) {
	unwrapTemplate, release := guard()
	defer release()
	template := append(secretTemplate(id, pkcs11.CKK_AES, pkcs11.CKA_ID, id, pkcs11.CKA_WRAP, true, pkcs11.CKA_UNWRAP, true), unwrapTemplate)
	h, err := restricted(template, c.link.wraps[0], func(t []*pkcs11.Attribute) (pkcs11.ObjectHandle, error) {
		return c.k.GenerateKey(c.s, mechanism(pkcs11.CKM_AES_KEY_GEN), t)
	})
	var code pkcs11.Error
	if errors.As(err, &code) && classify(err) == callers {
		return 0, fmt.Errorf("%w: token %q refuses a key with an unwrap template (%w); its wrapped keys could be read with the PIN", ErrUnsupported, c.label, err)
	}
	if err != nil {
		return 0, fmt.Errorf("making the key encryption key: %w", err)
	}
	return h, nil
}

// probeKEK tries what the unwrap template must forbid. Some devices accept the attribute and ignore it.
func (c *call) probeKEK(h pkcs11.ObjectHandle, mech []*pkcs11.Mechanism) error {
	a, err := signatoryKey(ECDSAP256)
	if err != nil {
		return err
	}
	wrapped, _, err := c.generateWrapped(a, h, mech)
	if err != nil {
		return err
	}
	honest, err := c.k.UnwrapKey(c.s, mech, h, wrapped, a.privateTemplate(false, false))
	if err != nil {
		return fmt.Errorf("%w: token %q does not unwrap what it wrapped: %w", ErrUnsupported, c.label, err)
	}
	if err := errors.Join(c.guarded(honest, a), c.k.DestroyObject(c.s, honest)); err != nil {
		return err
	}
	for _, change := range attributes(pkcs11.CKA_SENSITIVE, false, pkcs11.CKA_EXTRACTABLE, true) {
		template := a.privateTemplate(false, false)
		for _, t := range template {
			if t.Type == change.Type {
				t.Value = change.Value
			}
		}
		open, err := c.k.UnwrapKey(c.s, mech, h, wrapped, template)
		if err != nil {
			continue
		}
		held := c.guarded(open, a) // a device may also override the wish and keep to the template
		if err := errors.Join(held, c.k.DestroyObject(c.s, open)); err != nil {
			return fmt.Errorf("%w: token %q accepts an unwrap template but does not enforce it; its wrapped keys could be read with the PIN", ErrUnsupported, c.label)
		}
	}
	return nil
}

// GenerateKey makes a signatory's key pair (ECDSAP256, ECDSAP384 or RSA3072) and returns the private key
// wrapped under the newest KEK (PKCS #8 under RFC 5649), that KEK's id, and the public key. Nothing of it
// stays on the token. The wrapped key has been unwrapped once, so it is known to work.
// Errors: ErrAlgorithm, ErrAbsent (no KEK), ErrUnsupported, ErrUnavailable.
func (d *Device) GenerateKey(ctx context.Context, name string) (wrapped []byte, kek string, public crypto.PublicKey, err error) {
	a, err := signatoryKey(name)
	if err != nil {
		return nil, "", nil, err
	}
	type result struct {
		wrapped []byte
		kek     string
		public  crypto.PublicKey
	}
	r, err := do(ctx, d, func(c *call) (r result, err error) {
		id, h, err := c.newestKEK()
		if err != nil {
			return r, err
		}
		mech, err := c.admit(h)
		if err != nil {
			return r, err
		}
		r.kek = id
		if r.wrapped, r.public, err = c.generateWrapped(a, h, mech); err != nil {
			return r, err
		}
		key, err := c.unwrap(a, h, mech, r.wrapped)
		if err != nil {
			return r, err
		}
		return r, errors.Join(c.guarded(key, a), c.k.DestroyObject(c.s, key))
	})
	if err != nil {
		return nil, "", nil, err
	}
	return r.wrapped, r.kek, r.public, nil
}

// generateWrapped makes a key pair as session objects, wraps the private key and destroys both. On an
// error the session is closed, which destroys what is left.
func (c *call) generateWrapped(a *algorithm, kek pkcs11.ObjectHandle, mech []*pkcs11.Mechanism) ([]byte, crypto.PublicKey, error) {
	pub, priv, err := c.k.GenerateKeyPair(c.s, mechanism(a.generate),
		a.publicTemplate(false), a.privateTemplate(false, true))
	if err != nil {
		return nil, nil, fmt.Errorf("making a signatory's key pair: %w", err)
	}
	defer func() {
		if err := errors.Join(c.k.DestroyObject(c.s, priv), c.k.DestroyObject(c.s, pub)); err != nil {
			c.taint = true
		}
	}()
	wrapped, err := c.k.WrapKey(c.s, mech, kek, priv)
	if err != nil {
		return nil, nil, fmt.Errorf("wrapping a signatory's key: %w", err)
	}
	public, err := c.publicKeyOf(a, pub)
	return wrapped, public, err
}

// SignWrapped unwraps a signatory's key as a session object that cannot be read, signs every digest in
// order with one C_Sign each, and destroys the object. The name is that of the signature: ECDSAP256 and
// ECDSAP384 for keys of that name, one of PKCS1… or PSS… for an RSA3072 key. ECDSA signatures are DER (RFC
// 3279), RSA signatures the plain bytes of RFC 8017. On an error no signature is returned and none is
// tried again, though the device may have made some.
// Errors: ErrAlgorithm, ErrDigest, ErrAbsent (no such KEK), ErrWrappedKey, ErrUnavailable.
func (d *Device) SignWrapped(ctx context.Context, kek string, wrapped []byte, name string, digests [][]byte) ([][]byte, error) {
	a, err := signatorySignature(name)
	if err != nil {
		return nil, err
	}
	if err := a.checkDigests(digests); err != nil {
		return nil, err
	}
	if _, ok := parseKEK(kek); !ok {
		return nil, fmt.Errorf("%w: %q is no id of a KEK", ErrAbsent, kek)
	}
	wrapped = slices.Clone(wrapped)
	own := make([][]byte, len(digests))
	for i := range digests {
		own[i] = slices.Clone(digests[i])
	}
	return do(ctx, d, func(c *call) ([][]byte, error) {
		h, err := c.handle(object{pkcs11.CKO_SECRET_KEY, kek})
		if err != nil {
			return nil, err
		}
		mech, err := c.admit(h)
		if err != nil {
			return nil, err
		}
		key, err := c.unwrap(a, h, mech, wrapped)
		if err != nil {
			return nil, err
		}
		if err := c.guarded(key, a); err != nil {
			return nil, err // the session is closed, the object with it
		}
		signatures := make([][]byte, len(own))
		for i, digest := range own {
			if err := c.gone(); err != nil {
				return nil, err
			}
			if signatures[i], err = c.sign(a, key, digest); err != nil {
				return nil, err
			}
			c.alive()
		}
		// The signatures exist: an object that resists is destroyed by closing the session.
		c.taint = c.k.DestroyObject(c.s, key) != nil
		return signatures, nil
	})
}

// unwrap restores a wrapped key as a session object.
func (c *call) unwrap(a *algorithm, kek pkcs11.ObjectHandle, mech []*pkcs11.Mechanism, wrapped []byte) (pkcs11.ObjectHandle, error) {
	if len(wrapped) < 24 || len(wrapped)%8 != 0 { // RFC 5649, section 4.1; shorter holds no private key
		return 0, fmt.Errorf("%w: %d bytes are no wrapped key", ErrWrappedKey, len(wrapped))
	}
	h, err := c.k.UnwrapKey(c.s, mech, kek, wrapped, a.privateTemplate(false, false))
	if err != nil && classify(err) == doubtful {
		h, err = c.k.UnwrapKey(c.s, mech, kek, wrapped, a.privateTemplate(false, false))
	}
	if err == nil {
		return h, nil
	}
	// SoftHSM says CKR_GENERAL_ERROR when the integrity check fails. A refusal that repeats while the
	// device answers otherwise is the key's fault, and must not count as trouble of the device.
	if kind := classify(err); (kind == callers || kind == doubtful) && c.loggedIn() == nil {
		return 0, fmt.Errorf("%w: unwrapping: %w", ErrWrappedKey, err)
	}
	return 0, fmt.Errorf("unwrapping a signatory's key: %w", err)
}

// guarded refuses an unwrapped private key that could be read, or is not of the algorithm.
func (c *call) guarded(key pkcs11.ObjectHandle, a *algorithm) error {
	kind := uint(pkcs11.CKA_EC_PARAMS)
	if a.isRSA() {
		kind = pkcs11.CKA_MODULUS
	}
	values, err := c.values(key, pkcs11.CKA_SENSITIVE, pkcs11.CKA_EXTRACTABLE, kind)
	if err != nil {
		return err
	}
	if string(values[0]) != "\x01" || string(values[1]) != "\x00" {
		return fmt.Errorf("%w: token %q unwrapped a key that could be read", ErrUnsupported, c.label)
	}
	if a.isRSA() && new(big.Int).SetBytes(values[2]).BitLen() != 8*rsaBytes || !a.isRSA() && string(values[2]) != string(a.params) {
		return fmt.Errorf("%w: it is no key for %s", ErrWrappedKey, a.name)
	}
	return nil
}

// admit returns the wrap that belongs to a KEK, after it has tried, once in a generation, that the KEK
// is of our making: a holder of the PIN could put a key of the same name there whose value he knows.
// Errors: ErrUnsupported.
func (c *call) admit(kek pkcs11.ObjectHandle) ([]*pkcs11.Mechanism, error) {
	c.link.mu.Lock()
	mech, ok := c.link.admitted[kek]
	c.link.mu.Unlock()
	if ok {
		return mech, nil
	}
	if err := c.inspectKEK(kek); err != nil {
		return nil, err
	}
	mech, err := c.wrapMechanism(kek)
	if err != nil {
		return nil, err
	}
	if err := c.probeKEK(kek, mech); err != nil {
		return nil, err
	}
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	c.link.admitted[kek] = mech
	return mech, nil
}

// inspectKEK reads the attributes that matter. CKA_LOCAL, CKA_ALWAYS_SENSITIVE and CKA_NEVER_EXTRACTABLE
// are set by the token alone (PKCS #11 v2.40, section 4.8).
func (c *call) inspectKEK(kek pkcs11.ObjectHandle) error {
	for _, want := range attributes(
		pkcs11.CKA_LOCAL, true, pkcs11.CKA_ALWAYS_SENSITIVE, true, pkcs11.CKA_NEVER_EXTRACTABLE, true,
		pkcs11.CKA_MODIFIABLE, false, pkcs11.CKA_COPYABLE, false, pkcs11.CKA_ENCRYPT, false, pkcs11.CKA_DECRYPT, false,
	) {
		got, err := c.values(kek, want.Type)
		if err != nil {
			return err
		}
		if string(got[0]) != string(want.Value) {
			return fmt.Errorf("%w: a KEK of token %q has attribute %#x = %x, so its wrapped keys could be read with the PIN; find out who made it", ErrUnsupported, c.label, want.Type, got[0])
		}
	}
	return nil
}

// wrapMechanism returns the wrap that this KEK allows; one that allows any takes the token's best.
func (c *call) wrapMechanism(kek pkcs11.ObjectHandle) ([]*pkcs11.Mechanism, error) {
	mech := c.link.wraps[0]
	values, err := c.values(kek, pkcs11.CKA_ALLOWED_MECHANISMS)
	switch {
	case errors.Is(err, pkcs11.Error(pkcs11.CKR_ATTRIBUTE_TYPE_INVALID)): // unknown here: any is allowed
	case err != nil:
		return nil, err
	case len(values[0]) > 0:
		i := slices.IndexFunc(c.link.wraps, func(w uint) bool { return allows(values[0], w) })
		if i < 0 {
			return nil, fmt.Errorf("%w: a KEK of token %q allows no key wrap that the token offers", ErrUnsupported, c.label)
		}
		mech = c.link.wraps[i]
	}
	return mechanism(mech), nil
}

// allows reads a value of CKA_ALLOWED_MECHANISMS, an array of CK_ULONG in the machine's byte order.
func allows(list []byte, mechanism uint) bool {
	for ; len(list) >= 8; list = list[8:] {
		if binary.NativeEndian.Uint64(list) == uint64(mechanism) {
			return true
		}
	}
	return false
}

// newestKEK returns the KEK with the highest year and number. It is searched once in a generation, and
// again after CreateKEK.
func (c *call) newestKEK() (string, pkcs11.ObjectHandle, error) {
	c.link.mu.Lock()
	best := c.link.newest
	c.link.mu.Unlock()
	if best == nil {
		found, err := c.find(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY, pkcs11.CKA_KEY_TYPE, pkcs11.CKK_AES, pkcs11.CKA_TOKEN, true)
		if err != nil {
			return "", 0, err
		}
		for _, o := range found {
			label, err := c.values(o, pkcs11.CKA_LABEL)
			if err != nil {
				return "", 0, err
			}
			k, ok := parseKEK(string(label[0]))
			if ok && (best == nil || k.year > best.year || k.year == best.year && k.number > best.number) {
				best = &k
			}
		}
		if best == nil {
			if err := c.emptied(c.find); err != nil {
				return "", 0, err
			}
			return "", 0, fmt.Errorf("%w: token %q holds no KEK; create one", ErrAbsent, c.label)
		}
		c.link.mu.Lock()
		c.link.newest = best
		c.link.mu.Unlock()
	}
	h, err := c.handle(object{pkcs11.CKO_SECRET_KEY, best.id})
	return best.id, h, err
}
