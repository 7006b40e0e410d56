package tsp

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	_ "crypto/sha1"   // SHA-1 behind crypto.Hash: certificate identifiers of RFC 2634 and imprints of old tokens
	_ "crypto/sha256" // SHA-256 behind crypto.Hash
	_ "crypto/sha3"   // SHA-3 behind crypto.Hash
	_ "crypto/sha512" // SHA-384 and SHA-512 behind crypto.Hash
	"encoding/asn1"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

var (
	oidTSTInfo              = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 4}
	oidContentType          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidMessageDigest        = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	oidSigningCertificate   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 12}
	oidSigningCertificateV2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 47}
	oidExtKeyUsage          = asn1.ObjectIdentifier{2, 5, 29, 37}
	oidTimeStamping         = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 8}

	oidRSA  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	oidMGF1 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 8}
	oidPSS  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}
)

// hashes are the digests that a token may name, with the signature algorithms that contain them.
var hashes = [...]struct {
	hash            crypto.Hash
	oid, rsa, ecdsa asn1.ObjectIdentifier
}{
	{crypto.SHA1, asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}, nil, nil}, // never of a signature
	{crypto.SHA256, asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}, asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}},
	{crypto.SHA384, asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 12}, asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3}},
	{crypto.SHA512, asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 13}, asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 4}},
	{crypto.SHA3_256, asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 8}, asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 3, 14}, asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 3, 10}},
	{crypto.SHA3_384, asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 9}, asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 3, 15}, asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 3, 11}},
	{crypto.SHA3_512, asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 10}, asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 3, 16}, asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 3, 12}},
}

// readHash reads an AlgorithmIdentifier of a digest, with NULL parameters or none (RFC 5754 section 2).
func readHash(in *cryptobyte.String) (crypto.Hash, error) {
	oid, params, ok := readAlgorithm(in)
	if !ok {
		return 0, fmt.Errorf("%w: digest algorithm", ErrMalformed)
	}
	for _, h := range hashes {
		if h.oid.Equal(oid) && isNull(params) {
			return h.hash, nil
		}
	}
	return 0, fmt.Errorf("%w: digest algorithm %v", ErrUnsupported, oid)
}

// readAlgorithm reads an AlgorithmIdentifier (RFC 5280 section 4.1.1.2); params is the element, or empty.
func readAlgorithm(in *cryptobyte.String) (oid asn1.ObjectIdentifier, params cryptobyte.String, ok bool) {
	var id cryptobyte.String
	var tag cbasn1.Tag
	if !in.ReadASN1(&id, cbasn1.SEQUENCE) || !id.ReadASN1ObjectIdentifier(&oid) {
		return nil, nil, false
	}
	if !id.Empty() && !id.ReadAnyASN1Element(&params, &tag) {
		return nil, nil, false
	}
	return oid, params, id.Empty()
}

func isNull(params []byte) bool { return len(params) == 0 || string(params) == "\x05\x00" }

// verify checks the value of a SignerInfo over the DER of its signed attributes. hash is that of digestAlgorithm, with
// which the attributes are digested too (RFC 5652 section 5.4), so that the signature algorithm must not name another.
func verify(pub crypto.PublicKey, hash crypto.Hash, algorithm cryptobyte.String, attributes, value []byte) error {
	oid, params, ok := readAlgorithm(&algorithm)
	if !ok {
		return fmt.Errorf("%w: signature algorithm", ErrMalformed)
	}
	digest := sum(hash, attributes)
	var valid bool
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		if !named(oid, hash, false) || !isNull(params) || k.Curve != elliptic.P256() && k.Curve != elliptic.P384() && k.Curve != elliptic.P521() {
			return fmt.Errorf("%w: signature algorithm %v with %v and an elliptic curve key", ErrUnsupported, oid, hash)
		}
		valid = ecdsa.VerifyASN1(k, digest, value)
	case *rsa.PublicKey:
		// Shorter keys are broken or about to be; longer ones only make verification slow.
		if bits := k.N.BitLen(); bits < 2048 || bits > 16384 {
			return fmt.Errorf("%w: an RSA key of %d bits", ErrUnsupported, bits)
		}
		switch {
		case oid.Equal(oidPSS):
			salt, err := readPSS(params, hash)
			if err != nil {
				return err
			}
			valid = rsa.VerifyPSS(k, hash, digest, value, &rsa.PSSOptions{SaltLength: salt}) == nil
		case hash != crypto.SHA1 && isNull(params) && (oid.Equal(oidRSA) || named(oid, hash, true)):
			valid = rsa.VerifyPKCS1v15(k, hash, digest, value) == nil
		default:
			return fmt.Errorf("%w: signature algorithm %v with %v and an RSA key", ErrUnsupported, oid, hash)
		}
	default:
		return fmt.Errorf("%w: a public key of type %T", ErrUnsupported, pub)
	}
	if !valid {
		return ErrSignature
	}
	return nil
}

// named reports whether oid is the signature algorithm of RSA (PKCS#1 v1.5) or ECDSA with this hash.
func named(oid asn1.ObjectIdentifier, hash crypto.Hash, isRSA bool) bool {
	for _, h := range hashes {
		if h.hash == hash && (isRSA && h.rsa.Equal(oid) || !isRSA && h.ecdsa.Equal(oid)) {
			return len(oid) > 0
		}
	}
	return false
}

// readPSS reads RSASSA-PSS-params (RFC 4055 section 3.1) and returns the length of the salt in bytes. The hash must be that
// of the digest, in the mask generation too; the defaults, which are SHA-1, are refused.
func readPSS(params cryptobyte.String, want crypto.Hash) (salt int, err error) {
	var seq, field, mgf cryptobyte.String
	if !params.ReadASN1(&seq, cbasn1.SEQUENCE) || !params.Empty() || !seq.ReadASN1(&field, explicit(0)) {
		return 0, fmt.Errorf("%w: RSASSA-PSS without the parameters of a strong hash", ErrUnsupported)
	}
	hash, err := readHash(&field)
	if err != nil {
		return 0, err
	}
	if !seq.ReadASN1(&field, explicit(1)) {
		return 0, fmt.Errorf("%w: RSASSA-PSS with the default mask generation", ErrUnsupported)
	}
	oid, mgf, ok := readAlgorithm(&field)
	if !ok || !oid.Equal(oidMGF1) {
		return 0, fmt.Errorf("%w: RSASSA-PSS mask generation %v", ErrUnsupported, oid)
	}
	mask, err := readHash(&mgf)
	if err != nil {
		return 0, err
	}
	if hash != want || mask != want || hash == crypto.SHA1 {
		return 0, fmt.Errorf("%w: RSASSA-PSS with %v and %v, the digest is %v", ErrUnsupported, hash, mask, want)
	}
	salt = 20 // the default
	if seq.PeekASN1Tag(explicit(2)) && (!seq.ReadASN1(&field, explicit(2)) || !field.ReadASN1Integer(&salt) || !field.Empty() || salt < 0 || salt > 512) {
		return 0, fmt.Errorf("%w: RSASSA-PSS salt length", ErrMalformed)
	}
	return salt, nil
}

func sum(h crypto.Hash, data []byte) []byte {
	w := h.New()
	w.Write(data) // a hash never returns an error
	return w.Sum(nil)
}

// explicit is the tag [n] of an EXPLICIT field, or of an IMPLICIT one that is constructed.
func explicit(n uint8) cbasn1.Tag { return cbasn1.Tag(n).ContextSpecific().Constructed() }
