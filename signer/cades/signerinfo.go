package cades

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/ecsigner/ecsigner/signer/cms"
)

// Content returns the digest of the content of a detached signature, made with h. It is asked at most once for each hash.
type Content func(h crypto.Hash) ([]byte, error)

// signerOf is one SignerInfo of a CMS that others may have made, as far as it can be read.
type signerOf struct {
	info        *cms.SignerInfo
	attributes  attributes
	hashed      []byte // the signed attributes in DER, as SET OF; nil when there are none
	algorithm   Algorithm
	salt        int // bytes, of PSS
	certificate *x509.Certificate
}

// readSigner reads a SignerInfo. The error wraps ErrMalformed, ErrUnsupported or ErrProfile; what was read until then is
// returned with it.
func readSigner(info *cms.SignerInfo, certificates [][]byte) (*signerOf, error) {
	s := &signerOf{info: info}
	sid, err := cms.DER(info.SID)
	if err != nil {
		return s, fmt.Errorf("%w: sid: %w", ErrMalformed, err)
	}
	// Read for their certificate hash: issuer and serial number are not always unique.
	s.hashed, err = info.SignedAttrsDER()
	if err == nil && s.hashed != nil {
		s.attributes, err = parseAttributes(s.hashed)
	}
	var errFind error
	if s.certificate, errFind = findCertificate(sid, cbasn1.Tag(sid[0]), certificates, s.attributes.namesCertificate); errFind != nil {
		return s, errFind
	}
	if err != nil {
		return s, fmt.Errorf("%w: signed attributes: %w", ErrMalformed, err)
	}
	if s.algorithm, s.salt, err = foreignAlgorithm(info.DigestAlgorithm, info.SignatureAlgorithm); err != nil {
		return s, err
	}
	if s.hashed == nil {
		return s, fmt.Errorf("%w: there are no signed attributes", ErrProfile)
	}
	return s, nil
}

// foreignAlgorithm is algorithmOf for identifiers in BER, with or without NULL where the standards want the other.
func foreignAlgorithm(digestID, signatureID []byte) (a Algorithm, salt int, err error) {
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

// verify checks message-digest, content-type and the signature value.
func (s *signerOf) verify(sd *cms.SignedData, digests *digests) error {
	sum, err := digests.of(s.algorithm.Hash())
	if err != nil {
		return err
	}
	if !bytes.Equal(sum, s.attributes.messageDigest) {
		return ErrDigest
	}
	if !s.attributes.contentType.Equal(sd.ContentType) { // RFC 5652 section 11.1
		return fmt.Errorf("%w: content-type is %v, the content %v", ErrSignature, s.attributes.contentType, sd.ContentType)
	}
	err = s.algorithm.verify(s.certificate.PublicKey, digest(s.algorithm.Hash(), s.hashed), s.info.Value, s.salt)
	if err == nil {
		return nil
	}
	// Some hash the attributes in the order in which they wrote them, although it is not that of DER.
	asWritten := append([]byte{byte(cbasn1.SET)}, s.info.SignedAttrs[1:]...)
	if s.algorithm.verify(s.certificate.PublicKey, digest(s.algorithm.Hash(), asWritten), s.info.Value, s.salt) == nil {
		return nil
	}
	if errors.Is(err, ErrInput) { // the key does not fit
		return fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	return err
}

// digests are those of the content, each made once.
type digests struct {
	sd      *cms.SignedData
	content Content
	made    map[crypto.Hash][]byte
	ctx     context.Context // ends the reading of attached content
}

func newDigests(ctx context.Context, sd *cms.SignedData, content Content) *digests {
	return &digests{sd, content, map[crypto.Hash][]byte{}, ctx}
}

// untilDone is a reader until the context ends.
type untilDone struct {
	io.Reader
	ctx context.Context
}

func (u untilDone) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.Reader.Read(p)
}

// prepare makes digests of attached content with several hashes in one pass.
func (d *digests) prepare(hashes ...crypto.Hash) error {
	if !d.sd.Attached() {
		return nil
	}
	var writers []io.Writer
	sums := map[crypto.Hash]func([]byte) []byte{}
	for _, h := range hashes {
		if d.made[h] == nil && sums[h] == nil {
			w := h.New()
			writers, sums[h] = append(writers, w), w.Sum
		}
	}
	if len(writers) == 0 {
		return nil
	}
	if _, err := io.Copy(io.MultiWriter(writers...), untilDone{d.sd.Content(), d.ctx}); err != nil {
		return fmt.Errorf("cades: reading the attached content: %w", err)
	}
	for h, sum := range sums {
		d.made[h] = sum(nil)
	}
	return nil
}

func (d *digests) of(h crypto.Hash) ([]byte, error) {
	if d.made[h] != nil {
		return d.made[h], nil
	}
	if d.sd.Attached() {
		err := d.prepare(h)
		return d.made[h], err
	}
	if d.content == nil {
		return nil, ErrContent
	}
	sum, err := d.content(h)
	if err != nil {
		return nil, fmt.Errorf("cades: digest of the detached content: %w", err)
	}
	if len(sum) != h.Size() {
		return nil, fmt.Errorf("%w: content digest has %d bytes, %v needs %d", ErrInput, len(sum), h, h.Size())
	}
	d.made[h] = sum
	return sum, nil
}

// findCertificate picks the certificate that a SignerIdentifier in DER names; if several, the one that is preferred.
func findCertificate(sid []byte, tag cbasn1.Tag, certificates [][]byte, prefer func(der []byte) bool) (found *x509.Certificate, err error) {
	err = fmt.Errorf("%w: the signer's certificate is not embedded", ErrUnsupported)
	for _, der := range certificates {
		id, ok := issuerAndSerial(der)
		named := ok && bytes.Equal(id, sid)
		if !named && tag == cbasn1.SEQUENCE {
			continue
		}
		c, errParse := x509.ParseCertificate(der)
		if errParse != nil {
			// A certificate of the chain that we cannot read does not matter, the signer's own does.
			if named {
				err = fmt.Errorf("%w: the signer's certificate cannot be read: %w", ErrUnsupported, errParse)
			}
			continue
		}
		if tag == cbasn1.Tag(0).ContextSpecific() {
			var b cryptobyte.Builder
			b.AddASN1(tag, func(b *cryptobyte.Builder) { b.AddBytes(c.SubjectKeyId) })
			der, err := b.Bytes()
			named = err == nil && bytes.Equal(der, sid)
		}
		if named && (found == nil || prefer(der)) {
			found = c
		}
	}
	if found != nil {
		return found, nil
	}
	return nil, err
}

// issuerAndSerial encodes IssuerAndSerialNumber (RFC 5652 section 10.2.4) of a certificate.
func issuerAndSerial(der []byte) ([]byte, bool) {
	in := cryptobyte.String(der)
	var certificate, tbs, serial, issuer cryptobyte.String
	ok := in.ReadASN1(&certificate, cbasn1.SEQUENCE) && certificate.ReadASN1(&tbs, cbasn1.SEQUENCE) &&
		tbs.SkipOptionalASN1(cbasn1.Tag(0).ContextSpecific().Constructed()) && tbs.ReadASN1Element(&serial, cbasn1.INTEGER) &&
		tbs.SkipASN1(cbasn1.SEQUENCE) && tbs.ReadASN1Element(&issuer, cbasn1.SEQUENCE)
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(issuer)
		b.AddBytes(serial)
	})
	id, err := b.Bytes()
	return id, ok && err == nil
}
