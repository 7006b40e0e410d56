package cades

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/ecsigner/ecsigner/signer/revinfo/status"
)

// maxCMS bounds what Parse looks at, in bytes; evidence and time-stamps of long-term levels fit well below it.
const maxCMS = 16 << 20

// maxCertificates bounds the embedded certificates that Parse reads.
const maxCertificates = 256

// Signature is a parsed detached CMS signature with one signer. Nothing in it is verified before Verify says so.
type Signature struct {
	Certificate        *x509.Certificate // the signer's
	Certificates       [][]byte          // all embedded certificates in DER, in the order of the file
	Algorithm          Algorithm
	Value              []byte    // the signature value
	SignedAttributes   []byte    // DER SET OF, as signed
	MessageDigest      []byte    // signed attribute
	SigningTime        time.Time // signed attribute, zero when absent (always in PAdES)
	MIMEType           string    // signed attribute, empty when absent
	SignatureTimeStamp []byte    // unsigned signature-time-stamp token, DER; nil when absent; not verified here
	attributes         Signed
	salt               int // bytes, of PSS
}

// Signed are the known signed attributes of a signature; the others are kept only in their DER.
type Signed struct {
	ContentType   asn1.ObjectIdentifier
	MessageDigest []byte
	SigningTime   time.Time // zero when absent
	mimeType      string
	certHash      []byte
	certHashWith  crypto.Hash
	certIssuer    []byte // of issuerSerial, a Name; nil when absent
	certSerial    []byte // INTEGER
	wrongHints    bool   // content-hints are there and malformed
}

// Parse reads a detached CMS signature strictly: DER only, one SignerInfo with signed attributes, the signer's
// certificate embedded, no eContent, nothing after it. It never panics. Errors wrap ErrMalformed or ErrUnsupported.
func Parse(der []byte) (*Signature, error) {
	if len(der) > maxCMS {
		return nil, fmt.Errorf("%w: %d bytes, more than %d", ErrUnsupported, len(der), maxCMS)
	}
	in := cryptobyte.String(der)
	var info, wrapped, sd, digestAlgs, encap, signers cryptobyte.String
	var oid asn1.ObjectIdentifier
	if !in.ReadASN1(&info, cbasn1.SEQUENCE) || !in.Empty() || !info.ReadASN1ObjectIdentifier(&oid) {
		return nil, fmt.Errorf("%w: no DER ContentInfo", ErrMalformed)
	}
	if !oid.Equal(oidSignedData) {
		return nil, fmt.Errorf("%w: content type %v is not SignedData", ErrUnsupported, oid)
	}
	var version int64
	if !info.ReadASN1(&wrapped, cbasn1.Tag(0).ContextSpecific().Constructed()) || !info.Empty() ||
		!wrapped.ReadASN1(&sd, cbasn1.SEQUENCE) || !wrapped.Empty() ||
		!sd.ReadASN1Integer(&version) ||
		!sd.ReadASN1(&digestAlgs, cbasn1.SET) || !sd.ReadASN1(&encap, cbasn1.SEQUENCE) ||
		!encap.ReadASN1ObjectIdentifier(&oid) {
		return nil, fmt.Errorf("%w: SignedData", ErrMalformed)
	}
	if !encap.Empty() || !oid.Equal(oidData) {
		return nil, fmt.Errorf("%w: content %v attached or not id-data", ErrUnsupported, oid)
	}
	s := &Signature{}
	if err := s.readCertificates(&sd); err != nil {
		return nil, err
	}
	var crls cryptobyte.String
	var hasCRLs bool
	if !sd.ReadOptionalASN1(&crls, &hasCRLs, cbasn1.Tag(1).ContextSpecific().Constructed()) ||
		!sd.ReadASN1(&signers, cbasn1.SET) || !sd.Empty() {
		return nil, fmt.Errorf("%w: SignedData", ErrMalformed)
	}
	signerVersion, err := s.readSignerInfo(&signers)
	if err != nil {
		return nil, err
	}
	// RFC 5652 section 5.1: with nothing but certificates and id-data, the version is the signer's; evidence other than
	// CRLs makes it 5.
	if version != signerVersion && (version != 5 || !hasCRLs) {
		return nil, fmt.Errorf("%w: SignedData version %d", ErrMalformed, version)
	}
	if err := s.listed(digestAlgs); err != nil {
		return nil, err
	}
	if !signers.Empty() {
		return nil, fmt.Errorf("%w: more than one signer", ErrUnsupported)
	}
	return s, nil
}

// listed checks that digestAlgorithms, which is not signed, names the digest of the signer.
func (s *Signature) listed(digestAlgs cryptobyte.String) error {
	found := false
	for !digestAlgs.Empty() {
		var id cryptobyte.String
		if !digestAlgs.ReadASN1Element(&id, cbasn1.SEQUENCE) {
			return fmt.Errorf("%w: digestAlgorithms", ErrMalformed)
		}
		found = found || isDigestIdentifier(id, algorithms[s.Algorithm].digestOID)
	}
	if !found {
		return fmt.Errorf("%w: digestAlgorithms lack the signer's", ErrMalformed)
	}
	return nil
}

func (s *Signature) readCertificates(sd *cryptobyte.String) error {
	var set cryptobyte.String
	var present bool
	if !sd.ReadOptionalASN1(&set, &present, cbasn1.Tag(0).ContextSpecific().Constructed()) {
		return fmt.Errorf("%w: certificates", ErrMalformed)
	}
	for !set.Empty() {
		var c cryptobyte.String
		if !set.ReadASN1Element(&c, cbasn1.SEQUENCE) {
			return fmt.Errorf("%w: certificates, of which only X.509 is read", ErrMalformed)
		}
		if len(s.Certificates) >= maxCertificates {
			return fmt.Errorf("%w: more than %d certificates", ErrUnsupported, maxCertificates)
		}
		s.Certificates = append(s.Certificates, c)
	}
	return nil
}

// readSignerInfo reads the one SignerInfo and returns its version.
func (s *Signature) readSignerInfo(in *cryptobyte.String) (version int64, err error) {
	var si, sid, digestAlg, attrs, sigAlg, unsigned cryptobyte.String
	var tag cbasn1.Tag
	var hasUnsigned bool
	if !in.ReadASN1(&si, cbasn1.SEQUENCE) || !si.ReadASN1Integer(&version) || !si.ReadAnyASN1Element(&sid, &tag) || !si.ReadASN1Element(&digestAlg, cbasn1.SEQUENCE) ||
		!si.ReadASN1Element(&attrs, cbasn1.Tag(0).ContextSpecific().Constructed()) ||
		!si.ReadASN1Element(&sigAlg, cbasn1.SEQUENCE) || !si.ReadASN1Bytes(&s.Value, cbasn1.OCTET_STRING) ||
		!si.ReadOptionalASN1(&unsigned, &hasUnsigned, cbasn1.Tag(1).ContextSpecific().Constructed()) || !si.Empty() {
		return 0, fmt.Errorf("%w: SignerInfo (signed attributes are required)", ErrMalformed)
	}
	if s.Algorithm, s.salt, err = algorithmOf(digestAlg, sigAlg); err != nil {
		return 0, err
	}
	s.SignedAttributes = slices.Clone(attrs)
	s.SignedAttributes[0] = byte(cbasn1.SET)
	if s.attributes, err = ParseSigned(s.SignedAttributes); err != nil {
		return 0, err
	}
	s.MessageDigest, s.SigningTime, s.MIMEType = s.attributes.MessageDigest, s.attributes.SigningTime, s.attributes.mimeType
	if err := s.readUnsigned(unsigned); err != nil {
		return 0, err
	}
	if want := map[cbasn1.Tag]int64{cbasn1.SEQUENCE: 1, cbasn1.Tag(0).ContextSpecific(): 3}[tag]; version != want {
		return 0, fmt.Errorf("%w: SignerInfo version %d", ErrMalformed, version)
	}
	s.Certificate, err = FindCertificate(sid, s.Certificates, s.attributes.NamesCertificate)
	return version, err
}

func (s *Signature) readUnsigned(in cryptobyte.String) error {
	for !in.Empty() {
		oid, value, err := readAttribute(&in)
		if err != nil {
			return fmt.Errorf("unsigned attributes: %w", err)
		}
		var token cryptobyte.String
		if oid.Equal(oidSignatureTimeStamp) && s.SignatureTimeStamp == nil {
			if !value.ReadASN1Element(&token, cbasn1.SEQUENCE) {
				return fmt.Errorf("%w: signature-time-stamp", ErrMalformed)
			}
			s.SignatureTimeStamp = token
		}
	}
	return nil
}

// readAttribute reads one Attribute and the bytes inside its SET of values.
func readAttribute(in *cryptobyte.String) (asn1.ObjectIdentifier, cryptobyte.String, error) {
	var a, values cryptobyte.String
	var oid asn1.ObjectIdentifier
	if !in.ReadASN1(&a, cbasn1.SEQUENCE) || !a.ReadASN1ObjectIdentifier(&oid) || !a.ReadASN1(&values, cbasn1.SET) ||
		!a.Empty() || values.Empty() {
		return nil, nil, fmt.Errorf("%w: attribute", ErrMalformed)
	}
	return oid, values, nil
}

// ParseSigned reads the signed attributes, DER: sorted as DER SET OF, no type twice, and the known ones single-valued. Errors wrap
// ErrMalformed.
func ParseSigned(der []byte) (Signed, error) {
	var a Signed
	in := cryptobyte.String(der)
	var set cryptobyte.String
	if !in.ReadASN1(&set, cbasn1.SET) || !in.Empty() {
		return a, fmt.Errorf("%w: signed attributes are not a SET", ErrMalformed)
	}
	var previous []byte
	seen := map[string]bool{}
	for !set.Empty() {
		var element cryptobyte.String
		if !set.ReadASN1Element(&element, cbasn1.SEQUENCE) {
			return a, fmt.Errorf("%w: signed attributes", ErrMalformed)
		}
		if bytes.Compare(previous, element) > 0 {
			return a, fmt.Errorf("%w: signed attributes are not in DER order", ErrMalformed)
		}
		previous = element
		oid, value, err := readAttribute(&element)
		if err != nil {
			return a, err
		}
		if seen[oid.String()] {
			return a, fmt.Errorf("%w: signed attribute %v appears twice", ErrMalformed, oid)
		}
		seen[oid.String()] = true
		if !a.read(oid, value) {
			return a, fmt.Errorf("%w: signed attribute %v", ErrMalformed, oid)
		}
	}
	if a.ContentType == nil || a.MessageDigest == nil {
		return a, fmt.Errorf("%w: content-type or message-digest is missing", ErrMalformed)
	}
	return a, nil
}

// read takes one attribute over; unknown ones are well-formed by definition.
func (a *Signed) read(oid asn1.ObjectIdentifier, v cryptobyte.String) bool {
	switch {
	case oid.Equal(oidContentType):
		return v.ReadASN1ObjectIdentifier(&a.ContentType) && v.Empty()
	case oid.Equal(oidMessageDigest):
		return v.ReadASN1Bytes(&a.MessageDigest, cbasn1.OCTET_STRING) && v.Empty()
	case oid.Equal(oidSigningTime):
		if v.PeekASN1Tag(cbasn1.UTCTime) {
			return v.ReadASN1UTCTime(&a.SigningTime) && v.Empty()
		}
		return v.ReadASN1GeneralizedTime(&a.SigningTime) && v.Empty()
	case oid.Equal(oidMIMEType):
		var text cryptobyte.String
		ok := v.ReadASN1(&text, cbasn1.UTF8String) && v.Empty() && utf8.Valid(text)
		a.mimeType = string(text)
		return ok
	case oid.Equal(oidSigningCertificateV2):
		return a.readSigningCertificate(v)
	case oid.Equal(oidContentHints): // RFC 2634 section 2.9
		var hints cryptobyte.String
		a.wrongHints = !v.ReadASN1(&hints, cbasn1.SEQUENCE) || !v.Empty() || !hints.SkipOptionalASN1(cbasn1.UTF8String) ||
			!hints.SkipASN1(cbasn1.OBJECT_IDENTIFIER) || !hints.Empty()
	}
	return true
}

func (a *Signed) readSigningCertificate(v cryptobyte.String) bool {
	var sc, certs, id, alg cryptobyte.String
	var hasAlg bool
	if !v.ReadASN1(&sc, cbasn1.SEQUENCE) || !v.Empty() || !sc.ReadASN1(&certs, cbasn1.SEQUENCE) ||
		!certs.ReadASN1(&id, cbasn1.SEQUENCE) {
		return false
	}
	a.certHashWith = crypto.SHA256
	if hasAlg = id.PeekASN1Tag(cbasn1.SEQUENCE); hasAlg {
		if !id.ReadASN1Element(&alg, cbasn1.SEQUENCE) {
			return false
		}
		a.certHashWith = 0 // a hash we do not know identifies nothing
		for _, info := range algorithms[ECDSAWithSHA256:RSAWithSHA256] {
			if isDigestIdentifier(alg, info.digestOID) {
				a.certHashWith = info.hash
			}
		}
	}
	if !id.ReadASN1Bytes(&a.certHash, cbasn1.OCTET_STRING) {
		return false
	}
	if id.Empty() {
		return true
	}
	var issuerSerial, names, name, serial cryptobyte.String // RFC 5035 section 5: one directoryName, and the serial number
	ok := id.ReadASN1(&issuerSerial, cbasn1.SEQUENCE) && id.Empty() && issuerSerial.ReadASN1(&names, cbasn1.SEQUENCE) &&
		issuerSerial.ReadASN1Element(&serial, cbasn1.INTEGER) && issuerSerial.Empty() &&
		names.ReadASN1(&name, cbasn1.Tag(4).ContextSpecific().Constructed()) && names.Empty()
	a.certIssuer, a.certSerial = name, serial
	return ok
}

// NamesCertificate reports whether signing-certificate-v2 is there and names exactly this certificate.
func (a Signed) NamesCertificate(der []byte) bool {
	if a.certHash == nil || a.certHashWith == 0 || !bytes.Equal(a.certHash, digest(a.certHashWith, der)) {
		return false
	}
	if a.certIssuer == nil {
		return true
	}
	id, ok := issuerAndSerial(der)
	in := cryptobyte.String(id)
	var fields, issuer cryptobyte.String
	return ok && in.ReadASN1(&fields, cbasn1.SEQUENCE) && fields.ReadASN1Element(&issuer, cbasn1.SEQUENCE) &&
		status.SameName(a.certIssuer, issuer) && bytes.Equal(a.certSerial, fields)
}

// Verify checks the signature value against the embedded certificate and the message digest against the digest of the
// content, made with s.Algorithm.Hash. It judges no chain, no validity period and no revocation.
// Errors: ErrDigest, ErrSignature.
func (s *Signature) Verify(contentDigest []byte) error {
	err := s.Algorithm.VerifySalted(s.Certificate.PublicKey, digest(s.Algorithm.Hash(), s.SignedAttributes), s.Value, s.salt)
	if errors.Is(err, ErrInput) {
		return fmt.Errorf("%w: %w", ErrSignature, err)
	}
	if err != nil {
		return err
	}
	if !bytes.Equal(contentDigest, s.MessageDigest) {
		return ErrDigest
	}
	return nil
}

// Conforms returns nil when the signed attributes meet the B-B rules of p, else an error that wraps ErrProfile.
func (s *Signature) Conforms(p Profile) error { return s.attributes.Conforms(p, s.Certificate.Raw) }

// Conforms returns nil when a meets the B-B rules of p for a signer with a certificate, DER, else an error that wraps ErrProfile.
func (a Signed) Conforms(p Profile, certificate []byte) error {
	switch {
	case !a.ContentType.Equal(oidData):
		return fmt.Errorf("%w: content-type is %v, not id-data", ErrProfile, a.ContentType)
	case !a.NamesCertificate(certificate):
		return fmt.Errorf("%w: signing-certificate-v2 is missing or names another certificate", ErrProfile)
	case a.wrongHints:
		return fmt.Errorf("%w: content-hints are malformed", ErrProfile)
	case p == PAdES && !a.SigningTime.IsZero():
		return fmt.Errorf("%w: PAdES forbids signing-time", ErrProfile)
	case p == CAdES && a.SigningTime.IsZero():
		return fmt.Errorf("%w: CAdES requires signing-time", ErrProfile)
	}
	return nil
}
