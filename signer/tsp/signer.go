package tsp

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"math/big"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// signerInfo is the one SignerInfo of a token (RFC 5652 section 5.3).
type signerInfo struct {
	sid        cryptobyte.String
	sidTag     cbasn1.Tag
	hash       crypto.Hash
	attributes []byte // DER SET OF, as signed
	algorithm  cryptobyte.String
	value      []byte

	contentType   asn1.ObjectIdentifier
	messageDigest []byte
	names         []certificateID // of signing-certificate and signing-certificate-v2, the first of each
}

// certificateID is ESSCertID or ESSCertIDv2 (RFC 5035 sections 5 and 4).
type certificateID struct {
	hash   crypto.Hash
	digest []byte
	serial *big.Int // of issuerSerial, nil when absent
}

func (s *signerInfo) read(signers *cryptobyte.String) error {
	var si, attrs, unsigned cryptobyte.String
	var version int
	if !signers.ReadASN1(&si, cbasn1.SEQUENCE) || !si.ReadASN1Integer(&version) || !si.ReadAnyASN1Element(&s.sid, &s.sidTag) {
		return fmt.Errorf("%w: SignerInfo", ErrMalformed)
	}
	var err error
	if s.hash, err = readHash(&si); err != nil {
		return fmt.Errorf("SignerInfo: %w", err)
	}
	if s.hash == crypto.SHA1 {
		return fmt.Errorf("%w: signed with SHA-1", ErrUnsupported)
	}
	if !si.ReadASN1Element(&attrs, explicit(0)) {
		return fmt.Errorf("%w: SignerInfo has no signed attributes", ErrMalformed)
	}
	if !si.ReadASN1Element(&s.algorithm, cbasn1.SEQUENCE) || !si.ReadASN1Bytes(&s.value, cbasn1.OCTET_STRING) ||
		!si.ReadOptionalASN1(&unsigned, nil, explicit(1)) || !si.Empty() {
		return fmt.Errorf("%w: SignerInfo behind the signed attributes", ErrMalformed)
	}
	s.attributes = slices.Clone(attrs)
	s.attributes[0] = byte(cbasn1.SET) // RFC 5652 section 5.4: the tag of a SET OF is signed, not [0]
	return s.readAttributes()
}

func (s *signerInfo) readAttributes() error {
	in := cryptobyte.String(s.attributes)
	var set cryptobyte.String
	if !in.ReadASN1(&set, cbasn1.SET) || !in.Empty() {
		return fmt.Errorf("%w: signed attributes", ErrMalformed)
	}
	seen := map[string]bool{}
	for !set.Empty() {
		var a, values cryptobyte.String
		var oid asn1.ObjectIdentifier
		if !set.ReadASN1(&a, cbasn1.SEQUENCE) || !a.ReadASN1ObjectIdentifier(&oid) || !a.ReadASN1(&values, cbasn1.SET) || !a.Empty() {
			return fmt.Errorf("%w: signed attributes", ErrMalformed)
		}
		if seen[oid.String()] {
			return fmt.Errorf("%w: signed attribute %v stands twice", ErrMalformed, oid)
		}
		seen[oid.String()] = true
		if err := s.readAttribute(oid, values); err != nil {
			return err
		}
	}
	return nil
}

// readAttribute takes over the attributes that matter, which have one value each.
func (s *signerInfo) readAttribute(oid asn1.ObjectIdentifier, v cryptobyte.String) error {
	ok := true
	switch {
	case oid.Equal(oidContentType):
		ok = v.ReadASN1ObjectIdentifier(&s.contentType) && v.Empty()
	case oid.Equal(oidMessageDigest):
		ok = v.ReadASN1Bytes(&s.messageDigest, cbasn1.OCTET_STRING) && v.Empty()
	case oid.Equal(oidSigningCertificate), oid.Equal(oidSigningCertificateV2):
		var id certificateID
		if id, ok = readCertificateID(v, oid.Equal(oidSigningCertificateV2)); ok {
			s.names = append(s.names, id)
		}
	}
	if !ok {
		return fmt.Errorf("%w: signed attribute %v", ErrMalformed, oid)
	}
	return nil
}

// readCertificateID reads the first identifier of SigningCertificate or SigningCertificateV2: the signer's (RFC 5035
// section 3). A hash that we do not know identifies nothing: id.hash is 0.
func readCertificateID(v cryptobyte.String, v2 bool) (id certificateID, ok bool) {
	var sc, certs, first, issuerSerial, names cryptobyte.String
	if !v.ReadASN1(&sc, cbasn1.SEQUENCE) || !v.Empty() || !sc.ReadASN1(&certs, cbasn1.SEQUENCE) || !certs.ReadASN1(&first, cbasn1.SEQUENCE) {
		return id, false
	}
	id.hash = crypto.SHA1
	if v2 {
		id.hash = crypto.SHA256
		if first.PeekASN1Tag(cbasn1.SEQUENCE) {
			id.hash, _ = readHash(&first)
		}
	}
	if !first.ReadASN1Bytes(&id.digest, cbasn1.OCTET_STRING) {
		return id, false
	}
	if !first.Empty() {
		id.serial = new(big.Int)
		ok = first.ReadASN1(&issuerSerial, cbasn1.SEQUENCE) && first.Empty() &&
			issuerSerial.ReadASN1(&names, cbasn1.SEQUENCE) && issuerSerial.ReadASN1Integer(id.serial) && issuerSerial.Empty()
		return id, ok
	}
	return id, true
}

// is reports whether the identifier names this certificate.
func (id certificateID) is(c *x509.Certificate) bool {
	return id.hash != 0 && bytes.Equal(id.digest, sum(id.hash, c.Raw)) && (id.serial == nil || id.serial.Cmp(c.SerialNumber) == 0)
}

// check finds the signer's certificate and verifies the signature.
func (s *signerInfo) check(content []byte, embedded, known [][]byte) (*x509.Certificate, error) {
	if !s.contentType.Equal(oidTSTInfo) {
		return nil, fmt.Errorf("%w: signed attribute content-type is %v, not TSTInfo", ErrMalformed, s.contentType)
	}
	if !bytes.Equal(s.messageDigest, sum(s.hash, content)) {
		return nil, fmt.Errorf("%w: message digest", ErrSignature)
	}
	c, err := s.find(embedded, known)
	if err != nil {
		return nil, err
	}
	if err := verify(c.PublicKey, s.hash, s.algorithm, s.attributes, s.value); err != nil {
		return nil, err
	}
	return c, stampsOnly(c)
}

// find returns the certificate that both the SignerIdentifier and every signing-certificate attribute name.
func (s *signerInfo) find(embedded, known [][]byte) (*x509.Certificate, error) {
	if len(s.names) == 0 {
		return nil, fmt.Errorf("%w: neither signing-certificate nor signing-certificate-v2 is there", ErrSigner)
	}
	reason := "its certificate is not there"
	for _, der := range slices.Concat(embedded, known) {
		c, err := x509.ParseCertificate(der)
		if err != nil || !s.identifies(c) {
			continue // one of the chain that we cannot read does not matter
		}
		if !slices.ContainsFunc(s.names, func(id certificateID) bool { return !id.is(c) }) {
			return c, nil
		}
		reason = "signing-certificate names another certificate"
	}
	return nil, fmt.Errorf("%w: %s", ErrSigner, reason)
}

// identifies compares with the SignerIdentifier: issuer and serial number, or key identifier.
func (s *signerInfo) identifies(c *x509.Certificate) bool {
	sid := s.sid
	var inner, issuer cryptobyte.String
	serial := new(big.Int)
	if s.sidTag == cbasn1.SEQUENCE {
		return sid.ReadASN1(&inner, cbasn1.SEQUENCE) && inner.ReadASN1Element(&issuer, cbasn1.SEQUENCE) && inner.ReadASN1Integer(serial) &&
			inner.Empty() && bytes.Equal(issuer, c.RawIssuer) && serial.Cmp(c.SerialNumber) == 0
	}
	return sid.ReadASN1(&inner, cbasn1.Tag(0).ContextSpecific()) && len(c.SubjectKeyId) > 0 && bytes.Equal(inner, c.SubjectKeyId)
}

// stampsOnly checks the extended key usage of a time-stamp unit: critical, and time-stamping alone (RFC 3161 section 2.3).
func stampsOnly(c *x509.Certificate) error {
	for _, e := range c.Extensions {
		if !e.Id.Equal(oidExtKeyUsage) {
			continue
		}
		if !e.Critical {
			return fmt.Errorf("%w: the extended key usage of its certificate is not critical", ErrSigner)
		}
		in := cryptobyte.String(e.Value)
		var list cryptobyte.String
		var oid asn1.ObjectIdentifier
		if in.ReadASN1(&list, cbasn1.SEQUENCE) && in.Empty() && list.ReadASN1ObjectIdentifier(&oid) && list.Empty() && oid.Equal(oidTimeStamping) {
			return nil
		}
		return fmt.Errorf("%w: its certificate is not for time-stamping alone", ErrSigner)
	}
	return fmt.Errorf("%w: its certificate has no extended key usage", ErrSigner)
}
