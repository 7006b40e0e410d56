// Package cades builds and reads CMS signatures at the baseline level B-B: detached CAdES (ETSI EN 319 122-1) and the
// CMS inside a PAdES signature (ETSI EN 319 142-1). It holds no key: the caller gets the signed attributes, has their
// digest signed elsewhere and hands the signature value back. Everything written is DER (definite lengths, sorted
// SET OF), so the same input always gives the same bytes. Package levels reads what others made, and raises signatures to
// the higher levels.
package cades

import (
	"bytes"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Errors of this package, wrapped with what was wrong and where.
var (
	// ErrInput: the caller's attributes, certificates or algorithm do not fit together.
	ErrInput = errors.New("cades: unusable input")
	// ErrMalformed: the CMS is not the strict DER structure that this package writes.
	ErrMalformed = errors.New("cades: malformed CMS")
	// ErrUnsupported: well-formed, but of a kind that this package does not judge (several signers, attached content,
	// an algorithm outside Algorithm).
	ErrUnsupported = errors.New("cades: unsupported CMS")
	// ErrDigest: the content is not the content that was signed.
	ErrDigest = errors.New("cades: content digest differs from the signed message-digest")
	// ErrSignature: the signature value does not verify with the signer's certificate.
	ErrSignature = errors.New("cades: signature value does not verify")
	// ErrProfile: the signature verifies, but its signed attributes break the baseline profile.
	ErrProfile = errors.New("cades: signed attributes break the baseline profile")
	// ErrContent: the signature is detached, and what was signed is not given.
	ErrContent = errors.New("cades: the content of the detached signature is needed")
	// ErrTimeStamp: a time-stamp is missing, does not verify or covers something else.
	ErrTimeStamp = errors.New("cades: time-stamp")
	// ErrEvidence: a certificate or revocation data are missing that long-term validation needs.
	ErrEvidence = errors.New("cades: evidence for long-term validation")
)

// Profile says which baseline the signed attributes follow. The two differ in where the claimed signing time lives.
type Profile uint8

const (
	// PAdES (EN 319 142-1 clause 6.3): no signing-time attribute, the time stands in /M of the PDF.
	PAdES Profile = iota + 1
	// CAdES (EN 319 122-1 clause 6.3): signing-time shall be present.
	CAdES
)

var (
	oidData                 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	oidSignedData           = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidContentType          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidMessageDigest        = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	oidSigningTime          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 5}
	oidSigningCertificateV2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 47}
	oidSignatureTimeStamp   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 14}
	oidContentHints         = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 4}
	oidMIMEType             = asn1.ObjectIdentifier{0, 4, 0, 1733, 2, 1}
)

// Attributes is what the signed attributes say.
type Attributes struct {
	Certificate   []byte    // the signer's certificate, DER
	Parsed        *Chain    // one that begins with Certificate; nil: it is parsed
	ContentDigest []byte    // digest of the content with Algorithm.Hash
	Algorithm     Algorithm // of the signature; its hash also identifies the certificate
	SigningTime   time.Time // CAdES: required, written in UTC with whole seconds; PAdES: must be zero
	MIMEType      string    // CAdES only, optional: the type of the content (mime-type, EN 319 122-1 clause 5.2.4.2)

	// All of these are optional.
	CommitmentType asn1.ObjectIdentifier // commitment-type-indication, such as ProofOfApproval; in PAdES not beside a reason
	ClaimedRoles   []string              // signer-attributes-v2: what the signatory claims to be; nobody certifies it
	Policy         *Policy               // signature-policy-identifier
	// ContentDescription, in CAdES only, says in words what the content is (content-hints, EN 319 122-1 clause 5.2.4.1).
	ContentDescription string
}

// SignedAttributes returns the DER encoding of the signed attributes as SET OF Attribute, the form whose digest is
// signed (RFC 5652 section 5.4): content-type, message-digest, signing-certificate-v2 (RFC 5035, without
// issuerSerial), for CAdES signing-time, and what a asks for. Errors wrap ErrInput.
func SignedAttributes(p Profile, a Attributes) ([]byte, error) {
	hash, err := a.check(p)
	if err != nil {
		return nil, err
	}
	attrs := [][]byte{
		attribute(oidContentType, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(oidData) }),
		attribute(oidMessageDigest, func(b *cryptobyte.Builder) { b.AddASN1OctetString(a.ContentDigest) }),
		attribute(oidSigningCertificateV2, func(b *cryptobyte.Builder) {
			addSigningCertificate(b, a.Algorithm, hash)
		}),
	}
	if p == CAdES {
		attrs = append(attrs, attribute(oidSigningTime, func(b *cryptobyte.Builder) { addTime(b, a.SigningTime) }))
	}
	return setOf(cbasn1.SET, append(attrs, a.optional()...))
}

// check validates a for profile p and returns the digest of the certificate.
func (a Attributes) check(p Profile) ([]byte, error) {
	h, ok := a.Algorithm.hash()
	if !ok {
		return nil, fmt.Errorf("%w: unknown %v", ErrInput, a.Algorithm)
	}
	if len(a.ContentDigest) != h.Size() {
		return nil, fmt.Errorf("%w: content digest has %d bytes, %v needs %d", ErrInput, len(a.ContentDigest), a.Algorithm, h.Size())
	}
	chain := a.Parsed
	if chain == nil {
		var err error
		if chain, err = ParseChain([][]byte{a.Certificate}); err != nil {
			return nil, err
		}
	} else if !bytes.Equal(chain.der[0], a.Certificate) {
		return nil, fmt.Errorf("%w: another chain was parsed", ErrInput)
	}
	cert := chain.leaf
	if err := a.Algorithm.fits(cert.PublicKey); err != nil {
		return nil, err
	}
	switch p {
	case PAdES:
		if !a.SigningTime.IsZero() || a.MIMEType != "" {
			return nil, fmt.Errorf("%w: PAdES forbids the signing-time attribute and has no mime-type; the time goes to /M", ErrInput)
		}
	case CAdES:
		if y := a.SigningTime.UTC().Year(); a.SigningTime.IsZero() || y < 1950 || y > 9999 {
			return nil, fmt.Errorf("%w: CAdES needs a signing time between 1950 and 9999", ErrInput)
		}
		if !utf8.ValidString(a.MIMEType) || len(a.MIMEType) > 255 {
			return nil, fmt.Errorf("%w: MIME type is not UTF-8 of at most 255 bytes", ErrInput)
		}
	default:
		return nil, fmt.Errorf("%w: unknown profile %d", ErrInput, p)
	}
	return digest(h, a.Certificate), a.checkOptions(p)
}

// attribute encodes Attribute ::= SEQUENCE { attrType, SET OF one value }.
func attribute(oid asn1.ObjectIdentifier, value cryptobyte.BuilderContinuation) []byte {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oid)
		b.AddASN1(cbasn1.SET, value)
	})
	return b.BytesOrPanic() // inputs are checked: only constant OIDs and bounded values get here
}

// addSigningCertificate encodes SigningCertificateV2 (RFC 5035). The default hash, SHA-256, must be left out in DER.
func addSigningCertificate(b *cryptobyte.Builder, alg Algorithm, certHash []byte) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { // SigningCertificateV2
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { // certs
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) { // ESSCertIDv2
				if !alg.isSHA256() {
					b.AddBytes(alg.digestIdentifier())
				}
				b.AddASN1OctetString(certHash)
			})
		})
	})
}

// addTime encodes Time: UTCTime through 2049, GeneralizedTime from 2050 (RFC 5652 section 11.3).
func addTime(b *cryptobyte.Builder, t time.Time) {
	t = t.UTC().Truncate(time.Second)
	if t.Year() >= 2050 {
		b.AddASN1GeneralizedTime(t)
		return
	}
	b.AddASN1UTCTime(t)
}

// setOf encodes a SET OF with its elements in DER order.
func setOf(tag cbasn1.Tag, elements [][]byte) ([]byte, error) {
	sorted := slices.Clone(elements)
	slices.SortFunc(sorted, slices.Compare)
	var b cryptobyte.Builder
	b.AddASN1(tag, func(b *cryptobyte.Builder) {
		for _, e := range sorted {
			b.AddBytes(e)
		}
	})
	der, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInput, err)
	}
	return der, nil
}

func encodeOID(oid asn1.ObjectIdentifier) []byte {
	var b cryptobyte.Builder
	b.AddASN1ObjectIdentifier(oid)
	return b.BytesOrPanic() // constants
}
