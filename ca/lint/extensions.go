package lint

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
)

// extensionRules judge the extensions that are not statements on qualification.
func extensionRules() []rule {
	return []rule{
		{"extension-known", "certificate profile", nil, checkKnown},
		{"extension-forbidden", "EN 319 412-2 4.3", nil, checkForbidden},
		{"extension-critical", "EN 319 412-2 4.3", nil, checkCritical},
		{"key-usage", "EN 319 412-2 NAT-4.3.2", nil, checkKeyUsage},
		{"extended-key-usage", "RFC 5280 4.2.1.12", nil, checkExtendedKeyUsage},
		{"basic-constraints", "RFC 5280 4.2.1.9", nil, checkBasicConstraints},
		{"subject-key-identifier", "RFC 7093 2", nil, checkSubjectKeyID},
		{"authority-key-identifier", "EN 319 412-2 4.3.1", nil, checkAuthorityKeyID},
		{"policies", "EN 319 411-2 GEN-6.6.1", nil, checkPolicies},
		{"authority-information", "EN 319 412-2 4.4.1", nil, checkAuthorityInfo},
		{"crl-distribution-point", "EN 319 412-2 GEN-4.3.11", nil, checkCRLPoint},
		{"subject-alternative-name", "RFC 5280 4.2.1.6", nil, checkAltNames},
	}
}

// known lists the extensions a kind may hold; whether it must is for the extension's own rule.
func known(k Kind) []string {
	list := []string{oidKeyUsage, oidSubjectKeyID, oidAuthorityKeyID}
	switch k {
	case Root, TLSRoot:
		return append(list, oidBasicConstraints)
	case IssuingCA:
		return append(list, oidBasicConstraints, oidPolicies, oidAuthorityInfo, oidCRLPoints)
	case NaturalPerson:
		return append(list, oidPolicies, oidAuthorityInfo, oidCRLPoints, oidQCStatements)
	case ServiceSeal:
		return append(list, oidPolicies, oidAuthorityInfo, oidCRLPoints)
	default:
		return append(list, oidExtendedKeyUsage, oidSubjectAltName)
	}
}

func checkKnown(c *certificate, w *Want) string {
	list := known(w.Kind)
	for _, e := range c.extensions {
		if !slices.Contains(list, e.oid) {
			return "the profile has no extension " + e.oid
		}
	}
	return ""
}

func checkForbidden(c *certificate, _ *Want) string {
	for _, oid := range []string{oidPolicyMappings, oidNameConstraints, oidPolicyLimits, oidInhibitAnyPolicy} {
		if c.extension(oid) != nil {
			return "extension " + oid + " shall not be present"
		}
	}
	return ""
}

// checkCritical: keyUsage and basicConstraints are critical and nothing else is.
func checkCritical(c *certificate, _ *Want) string {
	for _, e := range c.extensions {
		must := e.oid == oidKeyUsage || e.oid == oidBasicConstraints
		if e.critical != must {
			return fmt.Sprintf("extension %s: critical is %t, must be %t", e.oid, e.critical, must)
		}
	}
	return ""
}

// checkKeyUsage compares bytes: the profile allows one value, and DER has one encoding for it.
func checkKeyUsage(c *certificate, w *Want) string {
	want := "03020640" // nonRepudiation alone, type A
	switch w.Kind {
	case Root, IssuingCA, TLSRoot:
		want = "03020106" // keyCertSign, cRLSign
	case TLSServer, TLSClient:
		want = "03020780" // digitalSignature
	}
	e := c.extension(oidKeyUsage)
	if e == nil {
		return "absent"
	}
	if got := hex.EncodeToString(e.value); got != want {
		return "is " + got + ", must be " + want
	}
	return ""
}

func checkExtendedKeyUsage(c *certificate, w *Want) string {
	var want []x509.ExtKeyUsage
	switch w.Kind {
	case TLSServer:
		want = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	case TLSClient:
		want = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	}
	if !slices.Equal(c.ExtKeyUsage, want) || len(c.UnknownExtKeyUsage) > 0 {
		return fmt.Sprintf("is %v %v, must be %v", c.ExtKeyUsage, c.UnknownExtKeyUsage, want)
	}
	return ""
}

func checkBasicConstraints(c *certificate, w *Want) string {
	switch w.Kind {
	case Root:
		if !c.BasicConstraintsValid || !c.IsCA || c.MaxPathLen >= 0 {
			return "a root is a CA without a path length"
		}
	case IssuingCA, TLSRoot:
		if !c.BasicConstraintsValid || !c.IsCA || c.MaxPathLen != 0 {
			return "an issuing CA is a CA with path length 0"
		}
	default:
		if c.extension(oidBasicConstraints) != nil {
			return "present in an end-entity certificate"
		}
	}
	return ""
}

func checkSubjectKeyID(c *certificate, _ *Want) string {
	if !bytes.Equal(c.SubjectKeyId, keyID(c.RawSubjectPublicKeyInfo)) || len(c.SubjectKeyId) == 0 {
		return fmt.Sprintf("%x is not the identifier of the key", c.SubjectKeyId)
	}
	return ""
}

func checkAuthorityKeyID(c *certificate, w *Want) string {
	e := c.extension(oidAuthorityKeyID)
	if e == nil {
		return "absent"
	}
	id := c.SubjectKeyId
	if w.Issuer != nil {
		id = w.Issuer.SubjectKeyId
	}
	// 30 n 80 m id: the identifier alone, without issuer and serial.
	want := append([]byte{0x30, byte(len(id) + 2), 0x80, byte(len(id))}, id...)
	if !bytes.Equal(e.value, want) {
		return fmt.Sprintf("is %x, must be the issuer's identifier %x", e.value, id)
	}
	return ""
}

func checkPolicies(c *certificate, w *Want) string {
	e := c.extension(oidPolicies)
	if len(w.Policies) == 0 {
		if e != nil {
			return "present"
		}
		return ""
	}
	if e == nil {
		return "absent"
	}
	var list []asn1.RawValue
	if err := unmarshalAll(e.value, &list); err != nil {
		return err.Error()
	}
	var got []string
	for _, p := range list {
		var id asn1.ObjectIdentifier
		if err := unmarshalAll(p.Bytes, &id); err != nil || p.Tag != asn1.TagSequence {
			return "a policy is not an identifier without qualifiers"
		}
		got = append(got, id.String())
	}
	if !slices.Equal(got, w.Policies) {
		return fmt.Sprintf("are %v, must be %v", got, w.Policies)
	}
	return ""
}

// checkAuthorityInfo: caIssuers alone, as long as no OCSP responder is offered.
func checkAuthorityInfo(c *certificate, w *Want) string {
	if len(c.OCSPServer) > 0 {
		return "names an OCSP responder, which is not offered"
	}
	if w.CAIssuers == "" {
		if c.extension(oidAuthorityInfo) != nil {
			return "present"
		}
		return ""
	}
	if !slices.Equal(c.IssuingCertificateURL, []string{w.CAIssuers}) {
		return fmt.Sprintf("caIssuers is %v, must be %s", c.IssuingCertificateURL, w.CAIssuers)
	}
	if !strings.HasPrefix(w.CAIssuers, "http://") {
		return "caIssuers must be http://, as fetching over TLS would need this very chain"
	}
	return ""
}

func checkCRLPoint(c *certificate, w *Want) string {
	if w.CRL == "" {
		if c.extension(oidCRLPoints) != nil {
			return "present"
		}
		return ""
	}
	if !slices.Equal(c.CRLDistributionPoints, []string{w.CRL}) {
		return fmt.Sprintf("is %v, must be %s", c.CRLDistributionPoints, w.CRL)
	}
	if !strings.HasPrefix(w.CRL, "http://") {
		return "must be http:// (or ldap://)"
	}
	return ""
}

func checkAltNames(c *certificate, w *Want) string {
	if c.extension(oidIssuerAltName) != nil {
		return "issuerAltName is present"
	}
	if len(w.DNSNames)+len(w.IPs) == 0 {
		if c.extension(oidSubjectAltName) != nil {
			return "present"
		}
		return ""
	}
	same := func(a, b net.IP) bool { return a.Equal(b) }
	if !slices.Equal(c.DNSNames, w.DNSNames) || !slices.EqualFunc(c.IPAddresses, w.IPs, same) ||
		!slices.EqualFunc(c.URIs, w.URIs, func(u *url.URL, text string) bool { return u.String() == text }) ||
		len(c.EmailAddresses) > 0 {
		return fmt.Sprintf("names %v %v %v, must be %v %v %v", c.DNSNames, c.IPAddresses, c.URIs, w.DNSNames, w.IPs, w.URIs)
	}
	return ""
}
