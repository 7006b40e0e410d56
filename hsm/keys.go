package hsm

import (
	"context"
	"crypto"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/miekg/pkcs11"
)

// Labels of the objects of which a token holds one.
const (
	// SealLabel is the label of the HMAC key behind MAC.
	SealLabel = "seal"
	// EpochLabel is the label of the epoch's data object.
	EpochLabel = "epoch"
	// application is CKA_APPLICATION of data objects.
	application = "ecsigner"
)

// create makes one permanent object under a label that the token does not hold yet in these classes.
// Creation keeps every search of this process out meanwhile. It is never repeated by itself: after an
// error the object may or may not exist, and a second attempt finds out.
func create(ctx context.Context, d *Device, label string, classes []uint, f func(*call) error) error {
	_, err := do(ctx, d, func(c *call) (struct{}, error) {
		c.objects.Lock()
		defer c.objects.Unlock()
		for _, class := range classes {
			found, err := c.search(pkcs11.CKA_CLASS, class, pkcs11.CKA_LABEL, label, pkcs11.CKA_TOKEN, true)
			if err != nil {
				return struct{}{}, err
			}
			if len(found) > 0 {
				return struct{}{}, fmt.Errorf("%w: token %q already holds %q; choose another label", ErrExists, c.label, label)
			}
		}
		if err := c.gone(); err != nil {
			return struct{}{}, err
		}
		c.final = true
		return struct{}{}, f(c)
	})
	return err
}

// restricted calls f with the template and CKA_ALLOWED_MECHANISMS, and without the latter where the
// device does not know it.
func restricted(template []*pkcs11.Attribute, mechanism uint, f func([]*pkcs11.Attribute) (pkcs11.ObjectHandle, error)) (pkcs11.ObjectHandle, error) {
	h, err := f(append(slices.Clone(template), pkcs11.NewAttribute(pkcs11.CKA_ALLOWED_MECHANISMS, mechanism)))
	if errors.Is(err, pkcs11.Error(pkcs11.CKR_ATTRIBUTE_TYPE_INVALID)) || errors.Is(err, pkcs11.Error(pkcs11.CKR_TEMPLATE_INCONSISTENT)) {
		return f(template)
	}
	return h, err
}

// secretTemplate describes a permanent symmetric key of 256 bits that nobody can read, change or copy, and
// that does what usage, in pairs, allows and nothing else.
func secretTemplate(label string, keyType uint, usage ...any) []*pkcs11.Attribute {
	template := attributes(append(usage,
		pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY, pkcs11.CKA_KEY_TYPE, keyType, pkcs11.CKA_VALUE_LEN, 32,
		pkcs11.CKA_LABEL, label, pkcs11.CKA_TOKEN, true, pkcs11.CKA_PRIVATE, true,
		pkcs11.CKA_SENSITIVE, true, pkcs11.CKA_EXTRACTABLE, false,
		pkcs11.CKA_MODIFIABLE, false, pkcs11.CKA_COPYABLE, false)...)
	for _, use := range []uint{
		pkcs11.CKA_SIGN, pkcs11.CKA_VERIFY, pkcs11.CKA_ENCRYPT, pkcs11.CKA_DECRYPT,
		pkcs11.CKA_WRAP, pkcs11.CKA_UNWRAP, pkcs11.CKA_DERIVE,
	} {
		if !slices.ContainsFunc(template, func(a *pkcs11.Attribute) bool { return a.Type == use }) {
			template = append(template, pkcs11.NewAttribute(use, false))
		}
	}
	return template
}

// CreateSealKey makes the installation's HMAC key on the token: generic secret of 256 bits, not
// extractable, fixed. Errors: ErrExists, ErrUnavailable.
func (d *Device) CreateSealKey(ctx context.Context) error {
	return create(ctx, d, SealLabel, []uint{pkcs11.CKO_SECRET_KEY}, func(c *call) error {
		template := secretTemplate(SealLabel, pkcs11.CKK_GENERIC_SECRET, pkcs11.CKA_SIGN, true)
		_, err := restricted(template, pkcs11.CKM_SHA256_HMAC, func(t []*pkcs11.Attribute) (pkcs11.ObjectHandle, error) {
			return c.k.GenerateKey(c.s, mechanism(pkcs11.CKM_GENERIC_SECRET_KEY_GEN), t)
		})
		if err != nil {
			return fmt.Errorf("making the seal key: %w", err)
		}
		return nil
	})
}

// MAC returns HMAC-SHA-256 of data under the seal key, 32 bytes. Errors: ErrAbsent, ErrUnavailable.
func (d *Device) MAC(ctx context.Context, data []byte) ([]byte, error) {
	data = slices.Clone(data) // the call may outlive our caller's interest
	return do(ctx, d, func(c *call) ([]byte, error) {
		key, err := c.handle(object{pkcs11.CKO_SECRET_KEY, SealLabel})
		if err != nil {
			return nil, err
		}
		if err := c.k.SignInit(c.s, mechanism(pkcs11.CKM_SHA256_HMAC), key); err != nil {
			return nil, fmt.Errorf("computing a MAC: %w", err)
		}
		mac, err := c.k.Sign(c.s, data)
		if err != nil {
			return nil, fmt.Errorf("computing a MAC: %w", err)
		}
		if len(mac) != crypto.SHA256.Size() {
			return nil, fmt.Errorf("%w: the device returned an HMAC-SHA-256 of %d bytes", ErrUnsupported, len(mac))
		}
		return mac, nil
	})
}

// CreateEpoch puts the epoch 1 on the token. Errors: ErrExists, ErrUnavailable.
func (d *Device) CreateEpoch(ctx context.Context) error {
	return create(ctx, d, EpochLabel, []uint{pkcs11.CKO_DATA}, func(c *call) error { return c.putEpoch(1) })
}

func (c *call) putEpoch(epoch uint64) error {
	_, err := c.k.CreateObject(c.s, attributes(
		pkcs11.CKA_CLASS, pkcs11.CKO_DATA, pkcs11.CKA_APPLICATION, application, pkcs11.CKA_LABEL, EpochLabel,
		pkcs11.CKA_TOKEN, true, pkcs11.CKA_PRIVATE, true, pkcs11.CKA_MODIFIABLE, false, pkcs11.CKA_COPYABLE, false,
		pkcs11.CKA_VALUE, binary.BigEndian.AppendUint64(nil, epoch)))
	if err != nil {
		return fmt.Errorf("writing the epoch: %w", err)
	}
	return nil
}

// epochs returns the highest epoch on the token and the objects that hold one. The caller holds
// Module.objects.
func (c *call) epochs() (highest uint64, objects []pkcs11.ObjectHandle, err error) {
	objects, err = c.search(pkcs11.CKA_CLASS, pkcs11.CKO_DATA, pkcs11.CKA_LABEL, EpochLabel, pkcs11.CKA_TOKEN, true)
	if err != nil {
		return 0, nil, err
	}
	if len(objects) == 0 {
		if err := c.emptied(c.search); err != nil {
			return 0, nil, err
		}
		return 0, nil, fmt.Errorf("%w: token %q holds no epoch; initialise the installation", ErrAbsent, c.label)
	}
	for _, o := range objects {
		v, err := c.values(o, pkcs11.CKA_VALUE)
		if err != nil {
			return 0, nil, err
		}
		if len(v[0]) != 8 {
			return 0, nil, fmt.Errorf("%w: token %q holds an epoch of %d bytes; remove the foreign object", ErrToken, c.label, len(v[0]))
		}
		highest = max(highest, binary.BigEndian.Uint64(v[0]))
	}
	return highest, objects, nil
}

// Epoch returns the installation's epoch. Errors: ErrAbsent, ErrUnavailable.
func (d *Device) Epoch(ctx context.Context) (uint64, error) {
	return do(ctx, d, func(c *call) (uint64, error) {
		c.objects.RLock()
		defer c.objects.RUnlock()
		epoch, _, err := c.epochs()
		return epoch, err
	})
}

// RaiseEpoch raises the epoch by one and returns the new one. A new object is written before the old one
// is removed and the highest counts, so no interruption can lower it. After an error read the epoch
// before trying again. Errors: ErrAbsent, ErrUnavailable.
func (d *Device) RaiseEpoch(ctx context.Context) (uint64, error) {
	return do(ctx, d, func(c *call) (uint64, error) {
		c.objects.Lock()
		defer c.objects.Unlock()
		epoch, old, err := c.epochs()
		if err != nil {
			return 0, err
		}
		if err := c.gone(); err != nil {
			return 0, err
		}
		c.final = true
		if err := c.putEpoch(epoch + 1); err != nil {
			return 0, err
		}
		for _, o := range old {
			if err := c.k.DestroyObject(c.s, o); err != nil {
				return 0, fmt.Errorf("removing the old epoch: %w", err)
			}
		}
		return epoch + 1, nil
	})
}

// CreateServiceKey makes a permanent key pair (algorithm ECDSAP256, ECDSAP384 or Ed25519) whose private
// part is not extractable, and returns the public key. Errors: ErrExists, ErrAlgorithm, ErrUnavailable.
func (d *Device) CreateServiceKey(ctx context.Context, label, name string) (crypto.PublicKey, error) {
	a, err := serviceKey(name)
	if err != nil {
		return nil, err
	}
	if label == "" {
		return nil, errors.New("hsm: a service key needs a label")
	}
	err = create(ctx, d, label, []uint{pkcs11.CKO_PRIVATE_KEY, pkcs11.CKO_PUBLIC_KEY}, func(c *call) error {
		public := a.publicTemplate(true, pkcs11.CKA_LABEL, label, pkcs11.CKA_ID, label)
		private := a.privateTemplate(true, false, pkcs11.CKA_LABEL, label, pkcs11.CKA_ID, label, pkcs11.CKA_MODIFIABLE, false)
		_, err := restricted(private, a.sign, func(t []*pkcs11.Attribute) (pkcs11.ObjectHandle, error) {
			_, h, err := c.k.GenerateKeyPair(c.s, mechanism(a.generate), public, t)
			return h, err
		})
		if err != nil {
			return fmt.Errorf("making the key pair %q: %w", label, err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	s, err := d.Signer(ctx, label)
	if err != nil {
		return nil, err
	}
	return s.Public(), nil
}

// privateTemplate describes a private key that can sign and nothing else. It leaves CKA_MODIFIABLE open:
// SoftHSM 2.6 cannot unwrap a key with CKA_MODIFIABLE false (CKR_ATTRIBUTE_READ_ONLY), and PKCS #11 lets
// nobody turn sensitive or not extractable back (v2.40, sections 4.8 and 4.9).
func (a *algorithm) privateTemplate(token, extractable bool, more ...any) []*pkcs11.Attribute {
	return attributes(append(more,
		pkcs11.CKA_CLASS, pkcs11.CKO_PRIVATE_KEY, pkcs11.CKA_KEY_TYPE, a.keyType, pkcs11.CKA_TOKEN, token,
		pkcs11.CKA_PRIVATE, true, pkcs11.CKA_SENSITIVE, true, pkcs11.CKA_EXTRACTABLE, extractable,
		pkcs11.CKA_COPYABLE, false, pkcs11.CKA_SIGN, true,
		pkcs11.CKA_DECRYPT, false, pkcs11.CKA_UNWRAP, false, pkcs11.CKA_DERIVE, false)...)
}

func (a *algorithm) publicTemplate(token bool, more ...any) []*pkcs11.Attribute {
	if a.isRSA() {
		more = append(more, pkcs11.CKA_MODULUS_BITS, 8*rsaBytes, pkcs11.CKA_PUBLIC_EXPONENT, []byte{1, 0, 1})
	} else {
		more = append(more, pkcs11.CKA_EC_PARAMS, a.params)
	}
	return attributes(append(more,
		pkcs11.CKA_CLASS, pkcs11.CKO_PUBLIC_KEY, pkcs11.CKA_KEY_TYPE, a.keyType,
		pkcs11.CKA_TOKEN, token, pkcs11.CKA_PRIVATE, false, pkcs11.CKA_MODIFIABLE, false, pkcs11.CKA_VERIFY, true)...)
}
