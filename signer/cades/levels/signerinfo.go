package levels

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io"

	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/cms"
)

// Content returns the digest of the content of a detached signature, made with h. It is asked at most once for each hash.
type Content func(h crypto.Hash) ([]byte, error)

// signerOf is one SignerInfo of a CMS that others may have made, as far as it can be read.
type signerOf struct {
	info        *cms.SignerInfo
	attributes  cades.Signed
	hashed      []byte // the signed attributes in DER, as SET OF; nil when there are none
	algorithm   cades.Algorithm
	salt        int // bytes, of PSS
	certificate *x509.Certificate
}

// readSigner reads a SignerInfo. The error wraps cades.ErrMalformed, cades.ErrUnsupported or cades.ErrProfile; what was read until
// then is returned with it.
func readSigner(info *cms.SignerInfo, certificates [][]byte) (*signerOf, error) {
	s := &signerOf{info: info}
	sid, err := cms.DER(info.SID)
	if err != nil {
		return s, fmt.Errorf("%w: sid: %w", cades.ErrMalformed, err)
	}
	// Read for their certificate hash: issuer and serial number are not always unique.
	s.hashed, err = info.SignedAttrsDER()
	if err == nil && s.hashed != nil {
		s.attributes, err = cades.ParseSigned(s.hashed)
	}
	var errFind error
	if s.certificate, errFind = cades.FindCertificate(sid, certificates, s.attributes.NamesCertificate); errFind != nil {
		return s, errFind
	}
	if err != nil {
		return s, fmt.Errorf("%w: signed attributes: %w", cades.ErrMalformed, err)
	}
	if s.algorithm, s.salt, err = cades.ReadAlgorithm(info.DigestAlgorithm, info.SignatureAlgorithm); err != nil {
		return s, err
	}
	if s.hashed == nil {
		return s, fmt.Errorf("%w: there are no signed attributes", cades.ErrProfile)
	}
	return s, nil
}

// verify checks message-digest, content-type and the signature value.
func (s *signerOf) verify(sd *cms.SignedData, digests *digests) error {
	sum, err := digests.of(s.algorithm.Hash())
	if err != nil {
		return err
	}
	if !bytes.Equal(sum, s.attributes.MessageDigest) {
		return cades.ErrDigest
	}
	if !s.attributes.ContentType.Equal(sd.ContentType) { // RFC 5652 section 11.1
		return fmt.Errorf("%w: content-type is %v, the content %v", cades.ErrSignature, s.attributes.ContentType, sd.ContentType)
	}
	err = s.algorithm.VerifySalted(s.certificate.PublicKey, digest(s.algorithm.Hash(), s.hashed), s.info.Value, s.salt)
	if err == nil {
		return nil
	}
	// Some hash the attributes in the order in which they wrote them, although it is not that of DER.
	asWritten := append([]byte{byte(cbasn1.SET)}, s.info.SignedAttrs[1:]...)
	if s.algorithm.VerifySalted(s.certificate.PublicKey, digest(s.algorithm.Hash(), asWritten), s.info.Value, s.salt) == nil {
		return nil
	}
	if errors.Is(err, cades.ErrInput) { // the key does not fit
		return fmt.Errorf("%w: %w", cades.ErrUnsupported, err)
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
		return nil, cades.ErrContent
	}
	sum, err := d.content(h)
	if err != nil {
		return nil, fmt.Errorf("cades: digest of the detached content: %w", err)
	}
	if len(sum) != h.Size() {
		return nil, fmt.Errorf("%w: content digest has %d bytes, %v needs %d", cades.ErrInput, len(sum), h, h.Size())
	}
	d.made[h] = sum
	return sum, nil
}
