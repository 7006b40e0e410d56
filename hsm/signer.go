package hsm

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"fmt"
	"io"
	"slices"

	"github.com/miekg/pkcs11"
)

// signer is a service key pair on the token.
type signer struct {
	d      *Device
	label  string
	a      *algorithm
	public crypto.PublicKey
}

// Signer returns the service key pair with this label. The signer is safe for concurrent use and each
// Sign has its own deadline, Config.Timeout. An ECDSA key takes SHA-256 (P-256) or SHA-384 (P-384)
// digests and returns DER; an Ed25519 key takes the message with crypto.Hash(0). The io.Reader of Sign is
// not used: the token has its own randomness. A signature is tried once. Errors, also of Sign: ErrAbsent,
// ErrAlgorithm, ErrDigest, ErrUnavailable.
func (d *Device) Signer(ctx context.Context, label string) (crypto.Signer, error) {
	return do(ctx, d, func(c *call) (crypto.Signer, error) {
		if _, err := c.handle(object{pkcs11.CKO_PRIVATE_KEY, label}); err != nil {
			return nil, err
		}
		h, err := c.handle(object{pkcs11.CKO_PUBLIC_KEY, label})
		if err != nil {
			return nil, err
		}
		a, public, err := c.publicKey(h)
		if err != nil {
			return nil, err
		}
		return &signer{d, label, a, public}, nil
	})
}

// publicKey reads the public key object of a service key.
func (c *call) publicKey(h pkcs11.ObjectHandle) (*algorithm, crypto.PublicKey, error) {
	values, err := c.values(h, pkcs11.CKA_EC_PARAMS, pkcs11.CKA_EC_POINT)
	if err != nil {
		return nil, nil, err
	}
	a, err := algorithmOf(values[0])
	if err != nil {
		return nil, nil, err
	}
	public, err := a.public(values[1])
	return a, public, err
}

// publicKeyOf reads the public key object of a key made as a.
func (c *call) publicKeyOf(a *algorithm, h pkcs11.ObjectHandle) (crypto.PublicKey, error) {
	if !a.isRSA() {
		_, public, err := c.publicKey(h)
		return public, err
	}
	values, err := c.values(h, pkcs11.CKA_MODULUS, pkcs11.CKA_PUBLIC_EXPONENT)
	if err != nil {
		return nil, err
	}
	return publicRSA(values[0], values[1])
}

func (s *signer) Public() crypto.PublicKey { return s.public }

func (s *signer) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	var hash crypto.Hash
	if opts != nil {
		hash = opts.HashFunc()
	}
	if hash != s.a.hash {
		return nil, fmt.Errorf("%w: the %s key %q signs %s, not %s", ErrAlgorithm, s.a.name, s.label, hashName(s.a.hash), hashName(hash))
	}
	if o, ok := opts.(*ed25519.Options); ok && o.Context != "" {
		return nil, fmt.Errorf("%w: the key %q signs pure Ed25519, without a context", ErrAlgorithm, s.label)
	}
	if s.a.hash != 0 {
		if err := s.a.checkDigests([][]byte{digest}); err != nil {
			return nil, err
		}
	}
	digest = slices.Clone(digest)
	return do(context.Background(), s.d, func(c *call) ([]byte, error) {
		h, err := c.handle(object{pkcs11.CKO_PRIVATE_KEY, s.label})
		if err != nil {
			return nil, err
		}
		return c.sign(s.a, h, digest)
	})
}

func hashName(h crypto.Hash) string {
	if h == 0 {
		return "messages"
	}
	return h.String() + " digests"
}

// sign makes one signature. Once C_Sign has been called nothing repeats it, as it may have made one.
func (c *call) sign(a *algorithm, key pkcs11.ObjectHandle, data []byte) ([]byte, error) {
	if err := c.k.SignInit(c.s, []*pkcs11.Mechanism{pkcs11.NewMechanism(a.sign, a.pss)}, key); err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	c.final = true
	raw, err := c.k.Sign(c.s, slices.Concat(a.prefix, data))
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	return a.encode(raw)
}
