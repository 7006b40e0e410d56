package cades

import (
	"bytes"
	"crypto/x509"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// FindCertificate picks the certificate that a SignerIdentifier in DER names; if several, the one that is preferred. Errors wrap
// ErrUnsupported.
func FindCertificate(sid []byte, certificates [][]byte, prefer func(der []byte) bool) (found *x509.Certificate, err error) {
	err = fmt.Errorf("%w: the signer's certificate is not embedded", ErrUnsupported)
	if len(sid) == 0 {
		return nil, err
	}
	tag := cbasn1.Tag(sid[0])
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
