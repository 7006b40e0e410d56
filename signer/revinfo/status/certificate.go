package status

import (
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

var oidQCStatements = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 3}

// NoCheck reports whether the issuer says that nothing need be known about the revocation of an OCSP responder (RFC 6960
// section 4.2.2.2.1).
func NoCheck(responder *x509.Certificate) bool { return find(responder.Extensions, oidNoCheck) != nil }

// NeverRevoked reports whether the issuer says that there will never be anything about the revocation of a certificate:
// noRevAvail (RFC 9608), or a validity-assured short-term certificate (EN 319 412-1 clause 5.2).
func NeverRevoked(c *x509.Certificate) bool {
	return find(c.Extensions, asn1.ObjectIdentifier{2, 5, 29, 56}) != nil || find(c.Extensions, asn1.ObjectIdentifier{0, 4, 0, 194121, 2, 1}) != nil
}

const (
	maxCertificate = 64 << 10 // bytes
	maxFile        = 64       // certificates in a file
)

// ParseCertificate is crypto/x509 behind a limit of size. It is strict: certificates with negative serial numbers, RSA keys
// beyond 8,192 bits or unknown kinds of strings are refused, whoever issued them. Two extensions that some issuers mark critical
// and crypto/x509 does not know do not stand in the way of a path: statements of a qualified certificate (RFC 3739 section
// 3.2.6), which restrict nothing here, and id-pkix-ocsp-nocheck, which is looked at.
func ParseCertificate(der []byte) (*x509.Certificate, error) {
	if len(der) > maxCertificate {
		return nil, fmt.Errorf("%w: a certificate of %d bytes, at most %d are read", ErrMalformed, len(der), maxCertificate)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("%w: certificate, as crypto/x509 reads it: %w", ErrMalformed, err)
	}
	c.UnhandledCriticalExtensions = slices.DeleteFunc(c.UnhandledCriticalExtensions, func(id asn1.ObjectIdentifier) bool {
		return id.Equal(oidQCStatements) || id.Equal(oidNoCheck)
	})
	return c, nil
}

// ParseCertificates reads one certificate in DER, or in PEM, which RFC 5280 section 4.2.2.1 forbids and some serve, or a
// SignedData that holds nothing but certificates (RFC 5652). Of several, those that cannot be read are left out.
func ParseCertificates(data []byte) (certs []*x509.Certificate, err error) {
	if block, _ := pem.Decode(data); block != nil {
		data = block.Bytes
	}
	list := cryptobyte.String(data)
	if inner, ok := certsOnly(data); ok {
		list = inner
	}
	for n := 0; !list.Empty() && n < maxFile; n++ {
		var one cryptobyte.String
		var tag cbasn1.Tag
		if !list.ReadAnyASN1Element(&one, &tag) {
			return nil, malformed("file of certificates")
		}
		c, failed := ParseCertificate(one)
		if failed != nil {
			err = failed
			continue
		}
		certs = append(certs, c)
	}
	if len(certs) > 0 {
		return certs, nil
	}
	if err == nil {
		err = malformed("file of certificates: there is none in it")
	}
	return nil, err
}

// certsOnly returns the certificates of a SignedData.
func certsOnly(data []byte) (list cryptobyte.String, ok bool) {
	var outer, wrapped, signed cryptobyte.String
	var id asn1.ObjectIdentifier
	s := cryptobyte.String(data)
	ok = s.ReadASN1(&outer, cbasn1.SEQUENCE) && outer.ReadASN1ObjectIdentifier(&id) && id.Equal(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}) &&
		outer.ReadASN1(&wrapped, explicit(0)) && wrapped.ReadASN1(&signed, cbasn1.SEQUENCE) && signed.SkipASN1(cbasn1.INTEGER) &&
		signed.SkipASN1(cbasn1.SET) && signed.SkipASN1(cbasn1.SEQUENCE) && signed.ReadASN1(&list, explicit(0))
	return list, ok
}
