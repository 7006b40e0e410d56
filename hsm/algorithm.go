package hsm

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/asn1"
	"fmt"
	"math/big"
	"slices"
	"strings"

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

	// RSA3072 is a signatory's key, which makes signatures by any of the next six.
	RSA3072 = "rsa-3072"
	// PKCS1SHA256, PKCS1SHA384 and PKCS1SHA512 are RSASSA-PKCS1-v1_5 over digests of that hash.
	PKCS1SHA256 = "rsa-pkcs1-sha256"
	PKCS1SHA384 = "rsa-pkcs1-sha384"
	PKCS1SHA512 = "rsa-pkcs1-sha512"
	// PSSSHA256, PSSSHA384 and PSSSHA512 are RSASSA-PSS over digests of that hash, with MGF1 of the same hash and a salt
	// as long as it.
	PSSSHA256 = "rsa-pss-sha256"
	PSSSHA384 = "rsa-pss-sha384"
	PSSSHA512 = "rsa-pss-sha512"
)

// rsaBytes is the length of the modulus, and of a signature, of an RSA3072 key.
const rsaBytes = 3072 / 8

// algorithm is what the token needs to know about a kind of key.
type algorithm struct {
	name     string
	generate uint           // mechanism that makes the pair
	keyType  uint           // CKA_KEY_TYPE
	params   []byte         // CKA_EC_PARAMS, DER; nil for RSA
	sign     uint           // mechanism that signs; 0 for RSA3072, which names a key and no signature
	pss      []byte         // parameter of the mechanism
	prefix   []byte         // of the digest before it is signed
	hash     crypto.Hash    // of the digests to be signed; 0 for a message, and for RSA3072
	curve    elliptic.Curve // nil for Ed25519 and RSA
}

// digestInfo is the DER of a DigestInfo up to the digest (RFC 8017, section 9.2, note 1): CKM_RSA_PKCS pads what it is
// given, so the encoding around the digest is ours. nil for another hash.
func digestInfo(h crypto.Hash) []byte {
	var last, size byte // of the object identifier 2.16.840.1.101.3.4.2.x, and of the digest
	switch h {
	case crypto.SHA256:
		last, size = 1, 32
	case crypto.SHA384:
		last, size = 2, 48
	case crypto.SHA512:
		last, size = 3, 64
	default:
		return nil
	}
	return []byte{
		0x30, 17 + size, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, last, 0x05, 0x00, 0x04, size,
	}
}

// rsaKey is a key of RSA, of which no way to sign is said.
func rsaKey(name string) *algorithm {
	return &algorithm{name: name, generate: pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN, keyType: pkcs11.CKK_RSA}
}

func rsaPKCS1(name string, h crypto.Hash) *algorithm {
	a := rsaKey(name)
	a.sign, a.hash, a.prefix = pkcs11.CKM_RSA_PKCS, h, digestInfo(h)
	return a
}

// rsaPSS signs by PSS; the two mechanisms are those of the hash.
func rsaPSS(name string, h crypto.Hash, mechanism, mgf uint) *algorithm {
	a := rsaKey(name)
	a.sign, a.hash = pkcs11.CKM_RSA_PKCS_PSS, h
	a.pss = pkcs11.NewPSSParams(mechanism, mgf, uint(h.Size())) //nolint:gosec // 32 to 64
	return a
}

func (a *algorithm) isRSA() bool { return a.keyType == pkcs11.CKK_RSA }

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
	case RSA3072:
		return rsaKey(name), nil
	case PKCS1SHA256:
		return rsaPKCS1(name, crypto.SHA256), nil
	case PKCS1SHA384:
		return rsaPKCS1(name, crypto.SHA384), nil
	case PKCS1SHA512:
		return rsaPKCS1(name, crypto.SHA512), nil
	case PSSSHA256:
		return rsaPSS(name, crypto.SHA256, pkcs11.CKM_SHA256, pkcs11.CKG_MGF1_SHA256), nil
	case PSSSHA384:
		return rsaPSS(name, crypto.SHA384, pkcs11.CKM_SHA384, pkcs11.CKG_MGF1_SHA384), nil
	case PSSSHA512:
		return rsaPSS(name, crypto.SHA512, pkcs11.CKM_SHA512, pkcs11.CKG_MGF1_SHA512), nil
	}
	return nil, fmt.Errorf("%w: %q is not offered", ErrAlgorithm, name)
}

// named is algorithmNamed for one use, which is that of the names given.
func named(name, use string, names ...string) (*algorithm, error) {
	if !slices.Contains(names, name) {
		return nil, fmt.Errorf("%w: %q is not offered for %s; use %s", ErrAlgorithm, name, use, strings.Join(names, ", "))
	}
	return algorithmNamed(name)
}

func serviceKey(name string) (*algorithm, error) {
	return named(name, "service keys", ECDSAP256, ECDSAP384, Ed25519)
}

func signatoryKey(name string) (*algorithm, error) {
	return named(name, "signatories' keys", ECDSAP256, ECDSAP384, RSA3072)
}

// signatorySignature finds how a signatory's key signs digests. An EC key has one way, of its own name.
func signatorySignature(name string) (*algorithm, error) {
	return named(name, "signatories' signatures", ECDSAP256, ECDSAP384,
		PKCS1SHA256, PKCS1SHA384, PKCS1SHA512, PSSSHA256, PSSSHA384, PSSSHA512)
}

// algorithmOf finds the algorithm of a service key by its CKA_EC_PARAMS.
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

// publicRSA decodes CKA_MODULUS and CKA_PUBLIC_EXPONENT. Nothing but what was asked for is a key of ours.
func publicRSA(modulus, exponent []byte) (crypto.PublicKey, error) {
	n, e := new(big.Int).SetBytes(modulus), new(big.Int).SetBytes(exponent)
	if n.BitLen() != 8*rsaBytes || n.Bit(0) == 0 || e.Cmp(big.NewInt(65537)) != 0 {
		return nil, fmt.Errorf("%w: the device returned an RSA key of %d bits with exponent %v", ErrUnsupported, n.BitLen(), e)
	}
	return &rsa.PublicKey{N: n, E: 65537}, nil
}

// encode turns what C_Sign returned into the signature's usual form: for RSA as it is; for ECDSA r and s as the DER
// Ecdsa-Sig-Value of RFC 3279, section 2.2.3 (PKCS #11 returns them side by side).
func (a *algorithm) encode(raw []byte) ([]byte, error) {
	if a.isRSA() {
		if len(raw) != rsaBytes {
			return nil, fmt.Errorf("%w: the device returned an RSA signature of %d bytes", ErrUnsupported, len(raw))
		}
		return raw, nil
	}
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
