package status

import (
	"bytes"
	"crypto"
	"crypto/sha1" // identifiers of issuers (RFC 6960 section 4.1.1, RFC 5019 section 2.1.1), not signatures
	_ "crypto/sha256"
	_ "crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

var (
	oidBasic         = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 1}
	oidNonce         = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 2}
	oidNoCheck       = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 5}
	oidArchiveCutoff = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 6}
)

// Answer is an OCSPResponse with a BasicOCSPResponse in it (RFC 6960 section 4.2.1). It is not changed after it was read.
// golang.org/x/crypto/ocsp is not enough here: it reads the first certificate only, no RSASSA-PSS, and neither compares the
// issuer's hashes nor sees extensions of the whole answer. It is the second reader in the tests.
type Answer struct {
	Raw        []byte
	Algorithm  x509.SignatureAlgorithm // of the signature; 0: none that is checked
	ProducedAt time.Time

	tbs, signature []byte
	responderName  []byte // Name; or
	responderKey   []byte // SHA-1 of the key
	singles        []Single
	extensions     []pkix.Extension
	certificates   [][]byte
}

// Status of a certificate.
type Status uint8

// What a responder may say (RFC 6960 section 2.2).
const (
	Good Status = iota
	Revoked
	Unknown
)

// Single is a SingleResponse: what an answer says about one certificate.
type Single struct {
	Status                 Status
	Revocation             Revocation // where Status is Revoked
	ThisUpdate, NextUpdate time.Time  // NextUpdate is zero where there is none

	hash                      crypto.Hash // 0: not known
	nameHash, keyHash, serial []byte
	extensions                []pkix.Extension
}

// ParseAnswer reads an answer. One without success has no body and is an error.
func ParseAnswer(der []byte) (*Answer, error) {
	var outer, wrapped, body, octets cryptobyte.String
	var kind asn1.ObjectIdentifier
	var code int
	s := cryptobyte.String(der)
	if !s.ReadASN1(&outer, cbasn1.SEQUENCE) || !s.Empty() || !outer.ReadASN1Enum(&code) {
		return nil, malformed("OCSP answer: responseStatus")
	}
	if code != 0 {
		names := map[int]string{1: "malformed request", 2: "internal error", 3: "try later", 5: "signature required", 6: "unauthorized"}
		return nil, fmt.Errorf("OCSP responder: %q, status %d", names[code], code)
	}
	if !outer.ReadASN1(&wrapped, explicit(0)) || !outer.Empty() || !wrapped.ReadASN1(&body, cbasn1.SEQUENCE) || !wrapped.Empty() ||
		!body.ReadASN1ObjectIdentifier(&kind) || !body.ReadASN1(&octets, cbasn1.OCTET_STRING) || !body.Empty() {
		return nil, malformed("OCSP answer: responseBytes")
	}
	if !kind.Equal(oidBasic) {
		return nil, fmt.Errorf("%w: OCSP answer of type %s", ErrUnsupported, kind)
	}
	a := &Answer{Raw: der}
	return a, a.basic(octets)
}

func (a *Answer) basic(s cryptobyte.String) error {
	var outer, tbs, ai cryptobyte.String
	var signature asn1.BitString
	switch {
	case !s.ReadASN1(&outer, cbasn1.SEQUENCE) || !s.Empty():
		return malformed("BasicOCSPResponse")
	case !outer.ReadASN1Element(&tbs, cbasn1.SEQUENCE):
		return malformed("BasicOCSPResponse: tbsResponseData")
	case !outer.ReadASN1(&ai, cbasn1.SEQUENCE):
		return malformed("BasicOCSPResponse: signatureAlgorithm")
	case !outer.ReadASN1BitString(&signature) || signature.BitLength%8 != 0:
		return malformed("BasicOCSPResponse: signature")
	}
	a.tbs, a.signature, a.Algorithm = tbs, signature.Bytes, algorithm(ai)
	var wrapped, list cryptobyte.String
	var present bool
	if !outer.ReadOptionalASN1(&wrapped, &present, explicit(0)) || !outer.Empty() {
		return malformed("BasicOCSPResponse: certs")
	}
	if present && (!wrapped.ReadASN1(&list, cbasn1.SEQUENCE) || !wrapped.Empty()) {
		return malformed("BasicOCSPResponse: certs")
	}
	for !list.Empty() {
		var one cryptobyte.String
		if !list.ReadASN1Element(&one, cbasn1.SEQUENCE) {
			return malformed("BasicOCSPResponse: certificate")
		}
		a.certificates = append(a.certificates, one)
	}
	return a.data(tbs)
}

// maxSingles bounds the certificates that an answer speaks of: it is searched for one of them again and again.
const maxSingles = 64

// data reads ResponseData.
func (a *Answer) data(tbs cryptobyte.String) error {
	var list, name cryptobyte.String
	var ok bool
	version := 0
	if !tbs.ReadASN1(&tbs, cbasn1.SEQUENCE) || !tbs.ReadOptionalASN1Integer(&version, explicit(0), 0) || version != 0 {
		return malformed("ResponseData: version")
	}
	switch {
	case tbs.PeekASN1Tag(explicit(1)):
		ok = tbs.ReadASN1(&name, explicit(1))
		a.responderName = name
	case tbs.PeekASN1Tag(explicit(2)):
		var key cryptobyte.String
		ok = tbs.ReadASN1(&name, explicit(2)) && name.ReadASN1(&key, cbasn1.OCTET_STRING) && name.Empty() && len(key) == sha1.Size
		a.responderKey = key
	}
	if !ok {
		return malformed("ResponseData: responderID")
	}
	if a.ProducedAt, ok = readGeneralized(&tbs); !ok {
		return malformed("ResponseData: producedAt")
	}
	if !tbs.ReadASN1(&list, cbasn1.SEQUENCE) {
		return malformed("ResponseData: responses")
	}
	for !list.Empty() {
		if len(a.singles) == maxSingles {
			return fmt.Errorf("%w: an OCSP answer on more than %d certificates", ErrUnsupported, maxSingles)
		}
		one, err := readSingle(&list)
		if err != nil {
			return err
		}
		a.singles = append(a.singles, one)
	}
	if a.extensions, ok = optionalExtensions(&tbs); !ok || !tbs.Empty() {
		return malformed("ResponseData: responseExtensions")
	}
	return nil
}

func optionalExtensions(s *cryptobyte.String) (list []pkix.Extension, ok bool) {
	var wrapped cryptobyte.String
	if !s.PeekASN1Tag(explicit(1)) {
		return nil, true
	}
	if !s.ReadASN1(&wrapped, explicit(1)) {
		return nil, false
	}
	list, ok = readExtensions(&wrapped)
	return list, ok && wrapped.Empty()
}

func readSingle(list *cryptobyte.String) (r Single, err error) {
	var one, id, ai, name, key, wrapped cryptobyte.String
	var hash asn1.ObjectIdentifier
	var ok bool
	if !list.ReadASN1(&one, cbasn1.SEQUENCE) || !one.ReadASN1(&id, cbasn1.SEQUENCE) || !id.ReadASN1(&ai, cbasn1.SEQUENCE) ||
		!ai.ReadASN1ObjectIdentifier(&hash) || !id.ReadASN1(&name, cbasn1.OCTET_STRING) || !id.ReadASN1(&key, cbasn1.OCTET_STRING) {
		return r, malformed("SingleResponse: certID")
	}
	if r.serial, ok = readInteger(&id); !ok || !id.Empty() {
		return r, malformed("SingleResponse: serialNumber")
	}
	r.hash, r.nameHash, r.keyHash = hashOf(hash), name, key
	if err := r.readStatus(&one); err != nil {
		return r, err
	}
	if r.ThisUpdate, ok = readGeneralized(&one); !ok {
		return r, malformed("SingleResponse: thisUpdate")
	}
	if one.PeekASN1Tag(explicit(0)) {
		if ok = one.ReadASN1(&wrapped, explicit(0)); ok {
			r.NextUpdate, ok = readGeneralized(&wrapped)
		}
		if !ok || !wrapped.Empty() {
			return r, malformed("SingleResponse: nextUpdate")
		}
	}
	if r.extensions, ok = optionalExtensions(&one); !ok || !one.Empty() {
		return r, malformed("SingleResponse: singleExtensions")
	}
	return r, nil
}

// readStatus reads CertStatus.
func (r *Single) readStatus(s *cryptobyte.String) error {
	var body cryptobyte.String
	var tag cbasn1.Tag
	if !s.ReadAnyASN1(&body, &tag) {
		return malformed("SingleResponse: certStatus")
	}
	switch {
	case tag == implicit(0) && body.Empty():
		r.Status = Good
	case tag == implicit(2) && body.Empty():
		r.Status = Unknown
	case tag == explicit(1):
		r.Status = Revoked
		var ok bool
		if r.Revocation.Time, ok = readGeneralized(&body); !ok {
			return malformed("SingleResponse: revocationTime")
		}
		if body.Empty() {
			return nil
		}
		var reason cryptobyte.String
		if !body.ReadASN1(&reason, explicit(0)) || !body.Empty() || !reason.ReadASN1Enum(&r.Revocation.Reason) || !reason.Empty() {
			return malformed("SingleResponse: revocationReason")
		}
	default:
		return malformed("SingleResponse: certStatus")
	}
	return nil
}

func hashOf(id asn1.ObjectIdentifier) crypto.Hash {
	if id.Equal(asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}) {
		return crypto.SHA1
	}
	for i, h := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
		if id.Equal(asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, i + 1}) {
			return h
		}
	}
	return 0
}

func sum(h crypto.Hash, b []byte) []byte {
	d := h.New()
	d.Write(b)
	return d.Sum(nil)
}

// publicKey returns the bytes of subjectPublicKey, which key hashes are made of.
func publicKey(c *x509.Certificate) []byte {
	var seq cryptobyte.String
	var key asn1.BitString
	s := cryptobyte.String(c.RawSubjectPublicKeyInfo)
	if !s.ReadASN1(&seq, cbasn1.SEQUENCE) || !seq.SkipASN1(cbasn1.SEQUENCE) || !seq.ReadASN1BitString(&key) {
		return nil // cannot be: crypto/x509 read it
	}
	return key.RightAlign()
}

// About returns the part of the answer on a certificate of an issuer.
func (a *Answer) About(cert, issuer *x509.Certificate) (*Single, error) {
	serial := trim(octets(cert.SerialNumber))
	for i := range a.singles {
		r := &a.singles[i]
		if r.hash == 0 || !bytes.Equal(trim(r.serial), serial) || !bytes.Equal(r.keyHash, sum(r.hash, publicKey(issuer))) {
			continue
		}
		if bytes.Equal(r.nameHash, sum(r.hash, cert.RawIssuer)) {
			return r, r.understood()
		}
	}
	return nil, fmt.Errorf("the OCSP answer speaks of other certificates")
}

// understood refuses critical extensions (RFC 6960 section 4.4).
func (r *Single) understood() error {
	for _, e := range r.extensions {
		if e.Critical && !e.Id.Equal(oidArchiveCutoff) {
			return fmt.Errorf("%w: critical extension %s of an OCSP answer", ErrUnsupported, e.Id)
		}
	}
	return nil
}

// Cutoff returns since when ended certificates are still known (RFC 6960 section 4.4.4), zero if nothing is said.
func (r *Single) Cutoff() time.Time {
	if e := find(r.extensions, oidArchiveCutoff); e != nil {
		s := cryptobyte.String(e.Value)
		if t, ok := readGeneralized(&s); ok && s.Empty() {
			return t
		}
	}
	return time.Time{}
}

// maxCandidates are certificates in an answer that are tried.
const maxCandidates = 4

// named reports whether the responder that the answer names is c.
func (a *Answer) named(c *x509.Certificate) bool {
	if a.responderKey != nil {
		h := sha1.Sum(publicKey(c))
		return bytes.Equal(a.responderKey, h[:])
	}
	return SameName(a.responderName, c.RawSubject)
}

// Authentic checks that the issuer, or a responder that the issuer appointed, signed the answer (RFC 6960 section 4.2.2.2),
// and returns the responder's certificate; nil is the issuer itself.
func (a *Answer) Authentic(issuer *x509.Certificate) (*x509.Certificate, error) {
	for _, e := range a.extensions {
		if e.Critical && !e.Id.Equal(oidNonce) {
			return nil, fmt.Errorf("%w: critical extension %s of an OCSP answer", ErrUnsupported, e.Id)
		}
	}
	failed := fmt.Errorf("the OCSP responder is neither the issuer nor a certificate in the answer")
	if a.named(issuer) {
		// A responder that the issuer gave its own name is tried after this.
		if failed = checkSignature("OCSP answer", issuer, a.Algorithm, a.tbs, a.signature); failed == nil {
			return nil, nil
		}
	}
	for _, der := range a.certificates[:min(len(a.certificates), maxCandidates)] {
		c, err := ParseCertificate(der)
		if err != nil || !a.named(c) {
			continue
		}
		if failed = a.delegated(c, issuer); failed == nil {
			return c, nil
		}
	}
	return nil, failed
}

// delegated checks that c may answer for issuer, and that it did.
func (a *Answer) delegated(c, issuer *x509.Certificate) error {
	switch {
	case !bytes.Equal(c.RawIssuer, issuer.RawSubject):
		return fmt.Errorf("OCSP responder %x: its certificate is not issued by the issuer of the certificate asked about", c.SerialNumber)
	case !slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning):
		return fmt.Errorf("OCSP responder %x: its certificate is not for OCSP", c.SerialNumber)
	case c.KeyUsage != 0 && c.KeyUsage&(x509.KeyUsageDigitalSignature|x509.KeyUsageContentCommitment) == 0:
		return fmt.Errorf("OCSP responder %x: its key is not for signatures", c.SerialNumber)
	case len(c.UnhandledCriticalExtensions) > 0:
		return fmt.Errorf("%w: OCSP responder %x: critical extension %s", ErrUnsupported, c.SerialNumber, c.UnhandledCriticalExtensions[0])
	case a.ProducedAt.Before(c.NotBefore) || a.ProducedAt.After(c.NotAfter):
		return fmt.Errorf("OCSP responder %x: its certificate was not valid when it answered", c.SerialNumber)
	}
	if err := c.CheckSignatureFrom(issuer); err != nil {
		return fmt.Errorf("OCSP responder %x: certificate: %w", c.SerialNumber, err)
	}
	return checkSignature("OCSP answer", c, a.Algorithm, a.tbs, a.signature)
}
