package tsp

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/ecsigner/ecsigner/signer/cms"
)

// signerInfo is the one SignerInfo of a token (RFC 5652 section 5.3).
type signerInfo struct {
	*cms.SignerInfo
	hash       crypto.Hash
	attributes []byte // DER SET OF, as signed

	contentType   asn1.ObjectIdentifier
	messageDigest []byte
	names         []certificateID // of signing-certificate and signing-certificate-v2, the first of each
}

// certificateID is ESSCertID or ESSCertIDv2 (RFC 5035 sections 5 and 4).
type certificateID struct {
	hash   crypto.Hash
	digest []byte
	serial *big.Int // of issuerSerial, nil when absent
	issuer pkix.RDNSequence
}

func readSigner(si *cms.SignerInfo) (*signerInfo, error) {
	s := &signerInfo{SignerInfo: si}
	digest, err := cms.DER(si.DigestAlgorithm)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	in := cryptobyte.String(digest)
	if s.hash, err = readHash(&in); err != nil {
		return nil, fmt.Errorf("SignerInfo: %w", err)
	}
	if s.hash == crypto.SHA1 {
		return nil, fmt.Errorf("%w: signed with SHA-1", ErrUnsupported)
	}
	if s.attributes, err = si.SignedAttrsDER(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	seen := map[string]bool{}
	for _, a := range si.Signed {
		if seen[a.Type.String()] {
			return nil, fmt.Errorf("%w: signed attribute %v stands twice", ErrMalformed, a.Type)
		}
		seen[a.Type.String()] = true
		if err := s.readAttribute(a); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// digestedWith reports whether an AlgorithmIdentifier is that of the signer's digest.
func (s *signerInfo) digestedWith(identifier []byte) bool {
	der, err := cms.DER(identifier)
	in := cryptobyte.String(der)
	h, errHash := readHash(&in)
	return err == nil && errHash == nil && h == s.hash
}

// readAttribute takes over the attributes that matter, which have one value each.
func (s *signerInfo) readAttribute(a cms.Attribute) error {
	old, v2 := a.Type.Equal(oidSigningCertificate), a.Type.Equal(oidSigningCertificateV2)
	if !old && !v2 && !a.Type.Equal(oidContentType) && !a.Type.Equal(oidMessageDigest) {
		return nil
	}
	ok := len(a.Values) == 1
	if ok {
		der, err := cms.DER(a.Values[0])
		v := cryptobyte.String(der)
		switch {
		case err != nil:
			ok = false
		case a.Type.Equal(oidContentType):
			ok = v.ReadASN1ObjectIdentifier(&s.contentType) && v.Empty()
		case a.Type.Equal(oidMessageDigest):
			ok = v.ReadASN1Bytes(&s.messageDigest, cbasn1.OCTET_STRING) && v.Empty()
		default:
			var id certificateID
			id, ok = readCertificateID(v, v2)
			s.names = append(s.names, id)
		}
	}
	if !ok {
		return fmt.Errorf("%w: signed attribute %v", ErrMalformed, a.Type)
	}
	return nil
}

// readCertificateID reads the first identifier of SigningCertificate or SigningCertificateV2: the signer's (RFC 5035
// section 3). A hash that we do not know identifies nothing: id.hash is 0.
func readCertificateID(v cryptobyte.String, v2 bool) (id certificateID, ok bool) {
	var sc, certs, first, issuerSerial, names, name cryptobyte.String
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
			issuerSerial.ReadASN1(&names, cbasn1.SEQUENCE) && issuerSerial.ReadASN1Integer(id.serial) && issuerSerial.Empty() &&
			names.ReadASN1(&name, explicit(4)) && names.Empty() // a directoryName, and nothing else
		rest, err := asn1.Unmarshal(name, &id.issuer)
		return id, ok && err == nil && len(rest) == 0
	}
	return id, true
}

// is reports whether the identifier names this certificate.
func (id certificateID) is(c *x509.Certificate) bool {
	if id.hash == 0 || !bytes.Equal(id.digest, sum(id.hash, c.Raw)) {
		return false
	}
	if id.serial == nil {
		return true
	}
	var issuer pkix.RDNSequence
	_, err := asn1.Unmarshal(c.RawIssuer, &issuer)
	return err == nil && id.serial.Cmp(c.SerialNumber) == 0 && strings.EqualFold(id.issuer.String(), issuer.String()) // in whatever kind of string
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
	if err := verify(c.PublicKey, s.hash, s.SignatureAlgorithm, s.attributes, s.Value); err != nil {
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
	sid := cryptobyte.String(s.SID)
	var inner, issuer cryptobyte.String
	serial := new(big.Int)
	if sid.PeekASN1Tag(cbasn1.SEQUENCE) {
		return sid.ReadASN1(&inner, cbasn1.SEQUENCE) && inner.ReadASN1Element(&issuer, cbasn1.SEQUENCE) && inner.ReadASN1Integer(serial) &&
			inner.Empty() && bytes.Equal(issuer, c.RawIssuer) && serial.Cmp(c.SerialNumber) == 0
	}
	return sid.ReadASN1(&inner, cbasn1.Tag(0).ContextSpecific()) && len(c.SubjectKeyId) > 0 && bytes.Equal(inner, c.SubjectKeyId)
}

// stampsOnly checks the extended key usage of a time-stamp unit: critical, and time-stamping alone (RFC 3161 section 2.3); and
// that its key is for signatures and nothing else, if anything is said of that.
func stampsOnly(c *x509.Certificate) error {
	const signs = x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment
	if c.KeyUsage != 0 && c.KeyUsage&^signs != 0 {
		return fmt.Errorf("%w: the key of its certificate is not for signatures alone", ErrSigner)
	}
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
