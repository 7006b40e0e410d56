package cades

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	_ "crypto/sha256" // SHA-256 behind crypto.Hash
	_ "crypto/sha512" // SHA-384 and SHA-512 behind crypto.Hash
	"encoding/asn1"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/ecsigner/ecsigner/signer/cms"
)

// Algorithm names a signature algorithm with its hash. The zero value is none. The numbers are part of stored states
// and never change their meaning.
type Algorithm uint8

// The algorithms that can be written and read. PSS uses MGF1 with the same hash and a salt as long as the hash.
const (
	ECDSAWithSHA256 Algorithm = 1
	ECDSAWithSHA384 Algorithm = 2
	ECDSAWithSHA512 Algorithm = 3
	RSAWithSHA256   Algorithm = 4 // PKCS#1 v1.5
	RSAWithSHA384   Algorithm = 5
	RSAWithSHA512   Algorithm = 6
	PSSWithSHA256   Algorithm = 7
	PSSWithSHA384   Algorithm = 8
	PSSWithSHA512   Algorithm = 9
)

type family uint8

const (
	familyECDSA family = iota
	familyRSA
	familyPSS
)

type algorithmInfo struct {
	name      string
	family    family
	hash      crypto.Hash
	oid       asn1.ObjectIdentifier // of the signature
	digestOID asn1.ObjectIdentifier
}

var (
	oidSHA256        = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidSHA384        = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}
	oidSHA512        = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}
	oidRSAEncryption = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	oidMGF1          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 8}
	oidPSS           = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}
)

// algorithms is indexed by Algorithm.
var algorithms = [...]algorithmInfo{
	ECDSAWithSHA256: {"ECDSA-SHA256", familyECDSA, crypto.SHA256, asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}, oidSHA256},
	ECDSAWithSHA384: {"ECDSA-SHA384", familyECDSA, crypto.SHA384, asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3}, oidSHA384},
	ECDSAWithSHA512: {"ECDSA-SHA512", familyECDSA, crypto.SHA512, asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 4}, oidSHA512},
	RSAWithSHA256:   {"RSA-SHA256", familyRSA, crypto.SHA256, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}, oidSHA256},
	RSAWithSHA384:   {"RSA-SHA384", familyRSA, crypto.SHA384, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 12}, oidSHA384},
	RSAWithSHA512:   {"RSA-SHA512", familyRSA, crypto.SHA512, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 13}, oidSHA512},
	PSSWithSHA256:   {"RSA-PSS-SHA256", familyPSS, crypto.SHA256, oidPSS, oidSHA256},
	PSSWithSHA384:   {"RSA-PSS-SHA384", familyPSS, crypto.SHA384, oidPSS, oidSHA384},
	PSSWithSHA512:   {"RSA-PSS-SHA512", familyPSS, crypto.SHA512, oidPSS, oidSHA512},
}

// Valid reports whether a is one of the named algorithms.
func (a Algorithm) Valid() bool { return a != 0 && int(a) < len(algorithms) }

// String returns the algorithm's name, for logs and messages.
func (a Algorithm) String() string {
	if !a.Valid() {
		return fmt.Sprintf("algorithm %d", uint8(a))
	}
	return algorithms[a].name
}

// Hash returns the hash that a uses for the content and for the signed attributes, 0 when a is not valid.
func (a Algorithm) Hash() crypto.Hash {
	h, _ := a.hash()
	return h
}

func (a Algorithm) hash() (crypto.Hash, bool) {
	if !a.Valid() {
		return 0, false
	}
	return algorithms[a].hash, true
}

func (a Algorithm) isSHA256() bool { return algorithms[a].hash == crypto.SHA256 }

// fits checks that a key of this type makes signatures with a.
func (a Algorithm) fits(pub crypto.PublicKey) error {
	if !a.Valid() {
		return fmt.Errorf("%w: unknown %v", ErrInput, a)
	}
	isEC := algorithms[a].family == familyECDSA
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		if isEC && (k.Curve == elliptic.P256() || k.Curve == elliptic.P384() || k.Curve == elliptic.P521()) {
			return nil
		}
	case *rsa.PublicKey:
		// Shorter keys are broken or about to be; longer ones only make verification slow.
		if !isEC && k.N.BitLen() >= 2048 && k.N.BitLen() <= 16384 {
			return nil
		}
	}
	if k, ok := pub.(*rsa.PublicKey); ok && !isEC {
		return fmt.Errorf("%w: an RSA key of %d bits, 2048 to 16384 are accepted", ErrInput, k.N.BitLen())
	}
	return fmt.Errorf("%w: a %T cannot make %v signatures", ErrInput, pub, a)
}

// signatureSize is the greatest length in bytes of a signature value made with a and pub.
func (a Algorithm) signatureSize(pub crypto.PublicKey) int {
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		// SEQUENCE of two INTEGERs, each with a possible sign byte; P-521 needs a two-byte outer length.
		n := 2 * (2 + (k.Curve.Params().BitSize+7)/8 + 1)
		if n > 127 {
			return n + 3
		}
		return n + 2
	case *rsa.PublicKey:
		return k.Size()
	}
	return 0
}

// Verify checks a signature value over a digest: ErrSignature if it is not valid, ErrInput if the key does not fit.
func (a Algorithm) Verify(pub crypto.PublicKey, digest, sig []byte) error {
	return a.VerifySalted(pub, digest, sig, rsa.PSSSaltLengthEqualsHash)
}

// VerifySalted is Verify for PSS with a salt of so many bytes, as others may choose.
func (a Algorithm) VerifySalted(pub crypto.PublicKey, digest, sig []byte, salt int) error {
	if err := a.fits(pub); err != nil {
		return err
	}
	info := algorithms[a]
	ok := false
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		ok = ecdsa.VerifyASN1(k, digest, sig)
	case *rsa.PublicKey:
		if info.family == familyPSS {
			ok = rsa.VerifyPSS(k, info.hash, digest, sig, &rsa.PSSOptions{SaltLength: salt}) == nil
		} else {
			ok = rsa.VerifyPKCS1v15(k, info.hash, digest, sig) == nil
		}
	}
	if !ok {
		return fmt.Errorf("%w (%v)", ErrSignature, a)
	}
	return nil
}

// digestIdentifier is the AlgorithmIdentifier of the hash, without parameters (RFC 5754 section 2).
func (a Algorithm) digestIdentifier() []byte { return identifier(algorithms[a].digestOID, nil) }

// signatureIdentifier is the AlgorithmIdentifier of the signature: no parameters for ECDSA (RFC 5758 section 3.2),
// NULL for RSA (RFC 5754 section 3.2), all parameters for PSS (RFC 4055 section 3.1).
func (a Algorithm) signatureIdentifier() []byte {
	info := algorithms[a]
	switch info.family {
	case familyRSA:
		return identifier(info.oid, addNull)
	case familyPSS:
		return identifier(info.oid, func(b *cryptobyte.Builder) { addPSSParameters(b, info) })
	default:
		return identifier(info.oid, nil)
	}
}

func identifier(oid asn1.ObjectIdentifier, params cryptobyte.BuilderContinuation) []byte {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oid)
		if params != nil {
			params(b)
		}
	})
	return b.BytesOrPanic() // constant input
}

func addNull(b *cryptobyte.Builder) { b.AddASN1NULL() }

// addPSSParameters encodes RSASSA-PSS-params; the hash identifiers in it carry NULL (RFC 4055 section 2.1), and the
// trailer field is the default, which DER leaves out.
func addPSSParameters(b *cryptobyte.Builder, info algorithmInfo) {
	hash := identifier(info.digestOID, addNull)
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) { b.AddBytes(hash) })
		b.AddASN1(cbasn1.Tag(1).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
			b.AddBytes(identifier(oidMGF1, func(b *cryptobyte.Builder) { b.AddBytes(hash) }))
		})
		b.AddASN1(cbasn1.Tag(2).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
			b.AddASN1Int64(int64(info.hash.Size()))
		})
	})
}

// algorithmOf finds the Algorithm of a SignerInfo's two identifiers, and the length of the salt of PSS. It also reads what RFC 5754
// and RFC 3370 allow others to write: NULL parameters of a digest, and plain rsaEncryption as the signature algorithm.
func algorithmOf(digestID, signatureID []byte) (a Algorithm, salt int, err error) {
	for i := range algorithms {
		a := Algorithm(i)
		if !a.Valid() || !isDigestIdentifier(digestID, algorithms[a].digestOID) {
			continue
		}
		if salt, ok := a.pssSalt(signatureID); ok && algorithms[a].family == familyPSS {
			return a, salt, nil
		}
		if bytes.Equal(signatureID, a.signatureIdentifier()) {
			return a, 0, nil
		}
		if algorithms[a].family == familyRSA && bytes.Equal(signatureID, identifier(oidRSAEncryption, addNull)) {
			return a, 0, nil
		}
	}
	return 0, 0, fmt.Errorf("%w: digest algorithm %v with signature algorithm %v", ErrUnsupported, oidOf(digestID), oidOf(signatureID))
}

// oidOf is for messages.
func oidOf(identifier []byte) asn1.ObjectIdentifier {
	in := cryptobyte.String(identifier)
	var fields cryptobyte.String
	var oid asn1.ObjectIdentifier
	_ = in.ReadASN1(&fields, cbasn1.SEQUENCE) && fields.ReadASN1ObjectIdentifier(&oid)
	return oid
}

func isDigestIdentifier(der []byte, oid asn1.ObjectIdentifier) bool {
	return bytes.Equal(der, identifier(oid, nil)) || bytes.Equal(der, identifier(oid, addNull))
}

func digest(h crypto.Hash, data []byte) []byte {
	w := h.New()
	w.Write(data) // a hash never returns an error
	return w.Sum(nil)
}

// ReadAlgorithm finds the Algorithm of a SignerInfo by others from its two identifiers, in BER or DER, with or without NULL where
// the standards want the other, and the length of the salt of PSS in bytes. Errors wrap ErrMalformed or ErrUnsupported.
func ReadAlgorithm(digestID, signatureID []byte) (a Algorithm, salt int, err error) {
	digestDER, err := cms.DER(digestID)
	if err != nil {
		return 0, 0, fmt.Errorf("%w: digestAlgorithm: %w", ErrMalformed, err)
	}
	signatureDER, err := cms.DER(signatureID)
	if err != nil {
		return 0, 0, fmt.Errorf("%w: signatureAlgorithm: %w", ErrMalformed, err)
	}
	if a, salt, err := algorithmOf(digestDER, signatureDER); err == nil {
		return a, salt, nil
	}
	for i := range algorithms {
		a := Algorithm(i)
		if !a.Valid() || algorithms[a].family == familyPSS || !isDigestIdentifier(digestDER, algorithms[a].digestOID) {
			continue
		}
		if isDigestIdentifier(signatureDER, algorithms[a].oid) ||
			algorithms[a].family == familyRSA && isDigestIdentifier(signatureDER, oidRSAEncryption) {
			return a, 0, nil
		}
	}
	return algorithmOf(digestDER, signatureDER)
}

// HashIdentifier is the AlgorithmIdentifier of a hash of Algorithm, without parameters (RFC 5754 section 2); nil
// when it is of none.
func HashIdentifier(h crypto.Hash) []byte {
	for _, info := range algorithms[ECDSAWithSHA256:RSAWithSHA256] {
		if info.hash == h {
			return identifier(info.digestOID, nil)
		}
	}
	return nil
}

// HashOf returns the hash of an AlgorithmIdentifier in DER, 0 when it is none of Algorithm.
func HashOf(der []byte) crypto.Hash {
	for _, info := range algorithms[ECDSAWithSHA256:RSAWithSHA256] {
		if isDigestIdentifier(der, info.digestOID) {
			return info.hash
		}
	}
	return 0
}
