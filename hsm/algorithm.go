package hsm

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"encoding/asn1"
	"fmt"
	"math/big"

	"github.com/miekg/pkcs11"
)

// Names of the algorithms.
const (
	// ECDSAP256 is ECDSA on NIST P-256 over SHA-256 digests.
	ECDSAP256 = "ecdsa-p256"
	// ECDSAP384 is ECDSA on NIST P-384 over SHA-384 digests.
	ECDSAP384 = "ecdsa-p384"
	// Ed25519 is pure Ed25519 (RFC 8032), for service keys alone: it signs messages, not digests.
	Ed25519 = "ed25519"
)

// algorithm is what the token needs to know about a kind of key.
type algorithm struct {
	name     string
	generate uint           // mechanism that makes the pair
	keyType  uint           // CKA_KEY_TYPE
	params   []byte         // CKA_EC_PARAMS, DER
	sign     uint           // mechanism that signs
	hash     crypto.Hash    // of the digests to be signed; 0 for a message
	curve    elliptic.Curve // nil for Ed25519
}

// The mechanisms of Ed25519, PKCS #11 v3.0, sections 2.3.5 and 2.3.14; the binding knows v2.40.
const (
	ckkECEdwards           = 0x00000040
	ckmECEdwardsKeyPairGen = 0x00001055
	ckmEdDSA               = 0x00001057
	ckmAESKeyWrapKWP       = 0x0000210B // PKCS #11 v3.0, section 2.14
)

func algorithmNamed(name string) (*algorithm, error) {
	switch name {
	case ECDSAP256:
		return &algorithm{
			name: name, generate: pkcs11.CKM_EC_KEY_PAIR_GEN, keyType: pkcs11.CKK_EC, sign: pkcs11.CKM_ECDSA,
			params: []byte{0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07}, // 1.2.840.10045.3.1.7
			hash:   crypto.SHA256, curve: elliptic.P256(),
		}, nil
	case ECDSAP384:
		return &algorithm{
			name: name, generate: pkcs11.CKM_EC_KEY_PAIR_GEN, keyType: pkcs11.CKK_EC, sign: pkcs11.CKM_ECDSA,
			params: []byte{0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22}, // 1.3.132.0.34
			hash:   crypto.SHA384, curve: elliptic.P384(),
		}, nil
	case Ed25519:
		return &algorithm{
			name: name, generate: ckmECEdwardsKeyPairGen, keyType: ckkECEdwards, sign: ckmEdDSA,
			params: []byte{0x06, 0x03, 0x2b, 0x65, 0x70}, // 1.3.101.112
		}, nil
	}
	return nil, fmt.Errorf("%w: %q is not offered; use %s or %s (service keys also %s)", ErrAlgorithm, name, ECDSAP256, ECDSAP384, Ed25519)
}

// signatoryAlgorithm is algorithmNamed for the keys of signatories, which sign digests.
func signatoryAlgorithm(name string) (*algorithm, error) {
	a, err := algorithmNamed(name)
	if err == nil && a.hash == 0 {
		return nil, fmt.Errorf("%w: %q signs messages, a signatory's key signs digests; use %s or %s", ErrAlgorithm, name, ECDSAP256, ECDSAP384)
	}
	return a, err
}

// algorithmOf finds the algorithm by a public key's CKA_EC_PARAMS.
func algorithmOf(params []byte) (*algorithm, error) {
	for _, name := range []string{ECDSAP256, ECDSAP384, Ed25519} {
		if a, err := algorithmNamed(name); err == nil && string(a.params) == string(params) {
			return a, nil
		}
	}
	return nil, fmt.Errorf("%w: a key with EC parameters %x", ErrAlgorithm, params)
}

// checkDigests holds every digest to the length of the algorithm's hash.
func (a *algorithm) checkDigests(digests [][]byte) error {
	if len(digests) == 0 {
		return fmt.Errorf("%w: there is none to sign", ErrDigest)
	}
	for i, d := range digests {
		if len(d) != a.hash.Size() {
			return fmt.Errorf("%w: number %d has %d bytes, %s signs %v digests of %d bytes", ErrDigest, i+1, len(d), a.name, a.hash, a.hash.Size())
		}
	}
	return nil
}

// public decodes CKA_EC_POINT: the point in a DER OCTET STRING (PKCS #11 v2.40, section 2.3.3), or
// bare, as some devices have it.
func (a *algorithm) public(point []byte) (crypto.PublicKey, error) {
	var inner []byte
	if rest, err := asn1.Unmarshal(point, &inner); err != nil || len(rest) > 0 {
		inner = point
	}
	if a.curve == nil {
		if len(inner) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("%w: the device returned an Ed25519 point of %d bytes", ErrUnsupported, len(inner))
		}
		return ed25519.PublicKey(inner), nil
	}
	key, err := ecdsa.ParseUncompressedPublicKey(a.curve, inner)
	if err != nil {
		return nil, fmt.Errorf("%w: the device returned a point that is not on %s: %w", ErrUnsupported, a.curve.Params().Name, err)
	}
	return key, nil
}

// encode turns what C_Sign returned into the signature's usual form: for ECDSA r and s as the DER
// Ecdsa-Sig-Value of RFC 3279, section 2.2.3 (PKCS #11 returns them side by side).
func (a *algorithm) encode(raw []byte) ([]byte, error) {
	if a.curve == nil {
		if len(raw) != ed25519.SignatureSize {
			return nil, fmt.Errorf("%w: the device returned an Ed25519 signature of %d bytes", ErrUnsupported, len(raw))
		}
		return raw, nil
	}
	n := a.curve.Params().N
	half := (n.BitLen() + 7) / 8
	if len(raw) != 2*half {
		return nil, fmt.Errorf("%w: the device returned an ECDSA signature of %d bytes where %s has %d", ErrUnsupported, len(raw), a.name, 2*half)
	}
	r, s := new(big.Int).SetBytes(raw[:half]), new(big.Int).SetBytes(raw[half:])
	if r.Sign() == 0 || s.Sign() == 0 || r.Cmp(n) >= 0 || s.Cmp(n) >= 0 {
		return nil, fmt.Errorf("%w: the device returned an ECDSA signature out of range", ErrUnsupported)
	}
	return asn1.Marshal(struct{ R, S *big.Int }{r, s})
}
