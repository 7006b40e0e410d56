// Package ca is the certification authority: profiles as data, linting before signing, issuance whose intent is durable
// before the key is used, revocation and revocation lists.
//
// A certificate is made in three steps, so that a crash never leaves two for one request:
//
//	Prepare   build the certificate, sign it with a throwaway key, judge it      (no database, no HSM)
//	Intend    write down what will be signed                                    (one transaction)
//	Sign      sign exactly those bytes, compare, verify                         (HSM)
//	Record    store the certificate                                             (one transaction)
//
// After a crash the stored intent is signed again under the same serial number.
package ca

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/ecsigner/ecsigner/ca/lint"
)

// Errors of this package. They are wrapped with what was found and what to do.
var (
	ErrConfig         = errors.New("ca: configuration is wrong")
	ErrKey            = errors.New("ca: key is not allowed in this profile")
	ErrRequest        = errors.New("ca: certificate request is wrong")
	ErrValidity       = errors.New("ca: validity period is not possible")
	ErrLint           = errors.New("ca: refused by the certificate rules")
	ErrNotFound       = errors.New("ca: no such certificate")
	ErrSubjectTaken   = errors.New("ca: the subject name belongs to another person")
	ErrKeyTaken       = errors.New("ca: the public key is certified for another person")
	ErrRequestTaken   = errors.New("ca: a certificate for this request is intended or issued already")
	ErrIntentChanged  = errors.New("ca: the stored intent is not what was requested")
	ErrNotIntended    = errors.New("ca: the certificate is not waiting to be signed")
	ErrAlreadyIssued  = errors.New("ca: the certificate is issued already")
	ErrAlreadyRevoked = errors.New("ca: the certificate is revoked already")
	ErrReason         = errors.New("ca: revocation reason is not offered")
	ErrSigning        = errors.New("ca: the signing key failed")
	ErrSignature      = errors.New("ca: the signature does not belong to this certificate")
	ErrListOrder      = errors.New("ca: the revocation list does not follow the one published before")
)

// testPrefix starts the common name of every CA of a test installation.
const testPrefix = "TEST "

// Authority is one CA key with its certificate. It is safe for concurrent use if its key is.
type Authority struct {
	cfg     Config
	profile Profile
	cert    *x509.Certificate
	key     crypto.Signer
	rand    io.Reader
	zlint   *zlintRules
}

// New opens an authority of profile Root, IssuingCA or TLSRoot. issuer is the certificate of the CA above, nil for a
// self-signed one. The key must be the one that der certifies, and der must pass the rules of its profile today, so a
// configuration that was changed behind an existing CA is noticed here and not in certificates.
func New(cfg Config, profile Profile, der []byte, issuer *x509.Certificate, key crypto.Signer, rand io.Reader) (*Authority, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if !profile.authority() {
		return nil, fmt.Errorf("%w: profile %q is not that of a CA", ErrConfig, profile)
	}
	want := wanted(cfg, profile, issuer)
	want.Signed = true
	if found := lint.Certificate(der, want); found != nil {
		return nil, fmt.Errorf("%w: CA certificate: %s", ErrLint, lint.Describe(found))
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("%w: CA certificate: %w", ErrConfig, err)
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil || !bytes.Equal(spki, cert.RawSubjectPublicKeyInfo) {
		return nil, fmt.Errorf("%w: the key is not the one in the CA certificate; check the key label", ErrKey)
	}
	z, err := newZlintRules()
	if err != nil {
		return nil, err
	}
	return &Authority{cfg, profile, cert, key, rand, z}, nil
}

// Certificate returns the CA certificate. The caller must not change it.
func (a *Authority) Certificate() *x509.Certificate { return a.cert }

// FileName is the name, without extension, under which the CA's certificate (.cer) and revocation list (.crl) are
// published: the first 10 octets of the subject key identifier, so each key generation has its own addresses.
func (a *Authority) FileName() string { return FileName(a.cert) }

// FileName is the same for a CA whose key is not at hand.
func FileName(cert *x509.Certificate) string {
	id := cert.SubjectKeyId
	if len(id) > 10 {
		id = id[:10]
	}
	return hex.EncodeToString(id)
}

// CertificateURL is where certificates of this CA say that its own certificate is served (DER, RFC 5280 4.2.2.1).
func (a *Authority) CertificateURL() string { return certificateURL(a.cfg, a.cert) }

// CRLURL is where certificates of this CA say that its revocation list is served (DER).
func (a *Authority) CRLURL() string { return crlURL(a.cfg, a.cert) }

func certificateURL(cfg Config, issuer *x509.Certificate) string {
	return cfg.AIABase + "/" + FileName(issuer) + ".cer"
}

func crlURL(cfg Config, issuer *x509.Certificate) string {
	return cfg.CRLBase + "/" + FileName(issuer) + ".crl"
}

// checkKey holds the keys a profile allows.
func checkKey(profile Profile, pub crypto.PublicKey) error {
	if key, ok := pub.(*rsa.PublicKey); ok && profile.rules().rsa {
		if key.N.BitLen() < 3072 || key.N.BitLen() > 4096 || key.E != 65537 {
			return fmt.Errorf("%w: %s takes RSA of 3072 to 4096 bits with exponent 65537, not %d bits with %d", ErrKey, profile, key.N.BitLen(), key.E)
		}
		return nil
	}
	key, ok := pub.(*ecdsa.PublicKey)
	if !ok {
		return fmt.Errorf("%w: %s does not take a %T", ErrKey, profile, pub)
	}
	for _, curve := range profile.rules().curves {
		if key.Curve == curve {
			return nil
		}
	}
	return fmt.Errorf("%w: %s does not take curve %s", ErrKey, profile, key.Curve.Params().Name)
}

// signatureAlgorithm pairs a CA key with the hash of its strength.
func signatureAlgorithm(pub crypto.PublicKey) (x509.SignatureAlgorithm, crypto.Hash, error) {
	if key, ok := pub.(*ecdsa.PublicKey); ok {
		switch key.Curve {
		case elliptic.P256():
			return x509.ECDSAWithSHA256, crypto.SHA256, nil
		case elliptic.P384():
			return x509.ECDSAWithSHA384, crypto.SHA384, nil
		}
	}
	return 0, 0, fmt.Errorf("%w: a CA signs with P-256 or P-384, not %T", ErrKey, pub)
}

// second drops what certificates cannot carry.
func second(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }
