package lint

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"time"
)

// frameRules judge the fields around the names and extensions.
func frameRules() []rule {
	return []rule{
		{"version-3", "RFC 5280 4.1.2.1", nil, checkVersion},
		{"serial-form", "RFC 5280 4.1.2.2", nil, checkSerial},
		{"signature-algorithm", "TS 119 312 6", nil, checkSignatureAlgorithm},
		{"algorithm-end", "TS 119 312 9", nil, checkAlgorithmEnd},
		{"public-key-allowed", "TS 119 312 6", nil, checkPublicKey},
		{"public-key-expected", "EN 319 411-1 GEN-6.3.3", nil, checkExpectedKey},
		{"issuer-name", "RFC 5280 4.1.2.4", nil, checkIssuerName},
		{"time-encoding", "RFC 5280 4.1.2.5", nil, checkTimeEncoding},
		{"validity-order", "RFC 5280 4.1.2.5", nil, checkValidityOrder},
		{"validity-within-issuer", "EN 319 411-1 GEN-6.5.1", nil, checkValidityWithinIssuer},
		{"validity-whole-years", "certificate profile", nil, checkWholeYears},
		{"device-certification", "EN 319 411-2 SDP-6.5.1", persons(), checkDeviceEnd},
		{"unique-identifiers", "RFC 5280 4.1.2.8", nil, checkUniqueIDs},
		{"default-encoded", "X.690 11.5", nil, checkDefaults},
		{"signature", "RFC 5280 6.1.3", nil, checkSignature},
	}
}

func checkVersion(c *certificate, _ *Want) string {
	if c.Version != 3 {
		return fmt.Sprintf("version is %d", c.Version)
	}
	return ""
}

// serialOctets is one octet naming the issuing instance and seventeen random ones.
const serialOctets = 18

func checkSerial(c *certificate, _ *Want) string {
	if len(c.serial) != serialOctets || c.serial[0] < 0x01 || c.serial[0] > 0x7f {
		return fmt.Sprintf("serial %x is not 18 octets that start with 01 to 7f", c.serial)
	}
	return ""
}

func checkSignatureAlgorithm(c *certificate, _ *Want) string {
	switch c.SignatureAlgorithm {
	case x509.ECDSAWithSHA256, x509.ECDSAWithSHA384, x509.ECDSAWithSHA512,
		x509.SHA256WithRSA, x509.SHA384WithRSA, x509.SHA512WithRSA,
		x509.SHA256WithRSAPSS, x509.SHA384WithRSAPSS, x509.SHA512WithRSAPSS:
		return ""
	}
	return "not an allowed algorithm: " + c.SignatureAlgorithm.String()
}

// checkAlgorithmEnd refuses a certificate that would outlive the algorithm it is signed with.
func checkAlgorithmEnd(c *certificate, _ *Want) string {
	switch c.SignatureAlgorithm {
	case x509.SHA256WithRSA, x509.SHA384WithRSA, x509.SHA512WithRSA:
		end := time.Date(2029, 1, 1, 0, 0, 0, 0, time.UTC)
		if c.NotAfter.After(end) {
			return "RSA PKCS#1 v1.5 ends 2029-01-01, before notAfter"
		}
	}
	return ""
}

func checkPublicKey(c *certificate, w *Want) string {
	switch key := c.PublicKey.(type) {
	case *ecdsa.PublicKey:
		if key.Curve == elliptic.P384() || key.Curve == elliptic.P256() && w.Kind != Root && w.Kind != IssuingCA {
			return ""
		}
		return "curve " + key.Curve.Params().Name + " is not allowed here"
	case *rsa.PublicKey:
		if w.Kind == NaturalPerson && key.N.BitLen() >= 3072 && key.E == 65537 {
			return ""
		}
		return fmt.Sprintf("RSA of %d bits, exponent %d, is not allowed here", key.N.BitLen(), key.E)
	}
	return fmt.Sprintf("key type %T is not allowed", c.PublicKey)
}

func checkExpectedKey(c *certificate, w *Want) string {
	if w.PublicKey != nil && !bytes.Equal(w.PublicKey, c.RawSubjectPublicKeyInfo) {
		return "the key is not the one that was requested"
	}
	return ""
}

func checkIssuerName(c *certificate, w *Want) string {
	want := c.RawSubject
	if w.Issuer != nil {
		want = w.Issuer.RawSubject
	}
	if !bytes.Equal(c.RawIssuer, want) {
		return "issuer is not the subject of the issuing certificate, byte for byte"
	}
	return ""
}

// checkTimeEncoding demands UTCTime to 2049 and GeneralizedTime after, both with seconds and Z.
func checkTimeEncoding(c *certificate, _ *Want) string {
	for i, year := range []int{c.NotBefore.Year(), c.NotAfter.Year()} {
		if detail := timeForm(c.times[i], year); detail != "" {
			return detail
		}
	}
	return ""
}

func timeForm(v asn1.RawValue, year int) string {
	tag, size := asn1.TagUTCTime, len("060102150405Z")
	if year >= 2050 {
		tag, size = asn1.TagGeneralizedTime, len("20060102150405Z")
	}
	if v.Tag != tag || len(v.Bytes) != size || v.Bytes[size-1] != 'Z' {
		return fmt.Sprintf("time %q has the wrong form for the year %d", v.Bytes, year)
	}
	return ""
}

func checkValidityOrder(c *certificate, _ *Want) string {
	if !c.NotBefore.Before(c.NotAfter) {
		return "notAfter is not later than notBefore"
	}
	return ""
}

func checkValidityWithinIssuer(c *certificate, w *Want) string {
	if w.Issuer == nil {
		return ""
	}
	if c.NotBefore.Before(w.Issuer.NotBefore) || c.NotAfter.After(w.Issuer.NotAfter) {
		return fmt.Sprintf("validity %s to %s leaves the issuer's %s to %s",
			day(c.NotBefore), day(c.NotAfter), day(w.Issuer.NotBefore), day(w.Issuer.NotAfter))
	}
	return ""
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// checkWholeYears demands a period of 1 to MaxYears years; notAfter is inclusive, hence one second less.
func checkWholeYears(c *certificate, w *Want) string {
	for years := 1; years <= w.MaxYears; years++ {
		if c.NotBefore.AddDate(years, 0, 0).Add(-time.Second).Equal(c.NotAfter) {
			return ""
		}
	}
	if w.MaxYears == 0 {
		return ""
	}
	return fmt.Sprintf("%s to %s is not a period of 1 to %d whole years", day(c.NotBefore), day(c.NotAfter), w.MaxYears)
}

func checkDeviceEnd(c *certificate, w *Want) string {
	if !w.QSCDEnds.IsZero() && c.NotAfter.After(w.QSCDEnds) {
		return "notAfter is past the end of the device's certification, " + day(w.QSCDEnds)
	}
	return ""
}

func checkUniqueIDs(c *certificate, _ *Want) string {
	if c.uniqueIDs {
		return "issuerUniqueID or subjectUniqueID is present"
	}
	return ""
}

func checkDefaults(c *certificate, _ *Want) string {
	for _, e := range c.extensions {
		if e.falseEncoded {
			return "extension " + e.oid + " writes out its default, critical FALSE"
		}
	}
	return ""
}

func checkSignature(c *certificate, w *Want) string {
	if !w.Signed {
		return ""
	}
	issuer := w.Issuer
	if issuer == nil {
		issuer = c.Certificate
	}
	if err := issuer.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature); err != nil {
		return err.Error()
	}
	return ""
}

// keyID is the key identifier of RFC 7093 section 2 method 1: the first 160 bits of SHA-256 over the key bits.
func keyID(spki []byte) []byte {
	var info struct {
		Algorithm asn1.RawValue
		Key       asn1.BitString
	}
	if err := unmarshalAll(spki, &info); err != nil {
		return nil
	}
	sum := sha256.Sum256(info.Key.Bytes)
	return sum[:20]
}
