package lint

import (
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
)

// Object identifiers as dotted text, which compares and prints simply.
const (
	oidCommonName     = "2.5.4.3"
	oidSurname        = "2.5.4.4"
	oidSerialNumber   = "2.5.4.5"
	oidCountry        = "2.5.4.6"
	oidOrganization   = "2.5.4.10"
	oidGivenName      = "2.5.4.42"
	oidPseudonym      = "2.5.4.65"
	oidOrganizationID = "2.5.4.97"

	oidSubjectKeyID     = "2.5.29.14"
	oidKeyUsage         = "2.5.29.15"
	oidSubjectAltName   = "2.5.29.17"
	oidIssuerAltName    = "2.5.29.18"
	oidBasicConstraints = "2.5.29.19"
	oidCRLNumber        = "2.5.29.20"
	oidReasonCode       = "2.5.29.21"
	oidNameConstraints  = "2.5.29.30"
	oidCRLPoints        = "2.5.29.31"
	oidPolicies         = "2.5.29.32"
	oidPolicyMappings   = "2.5.29.33"
	oidAuthorityKeyID   = "2.5.29.35"
	oidPolicyLimits     = "2.5.29.36"
	oidExtendedKeyUsage = "2.5.29.37"
	oidInhibitAnyPolicy = "2.5.29.54"
	oidExpiredOnCRL     = "2.5.29.60"
	oidAuthorityInfo    = "1.3.6.1.5.5.7.1.1"
	oidQCStatements     = "1.3.6.1.5.5.7.1.3"
)

// certificate is what the rules read: the standard parser's view beside the raw parts that it hides.
type certificate struct {
	*x509.Certificate
	serial     []byte // content octets of the INTEGER
	subject    []attribute
	issuer     []attribute
	times      [2]asn1.RawValue
	uniqueIDs  bool
	extensions []extension
}

type attribute struct {
	oid   string
	tag   int
	value string
	alone bool // the only attribute of its RelativeDistinguishedName
}

type extension struct {
	oid           string
	critical      bool
	falseEncoded  bool // "critical FALSE" is written out, which DER forbids for a default
	value         []byte
	statements    []statement // qcStatements only
	badStatements bool
}

func (c *certificate) extension(oid string) *extension {
	for i := range c.extensions {
		if c.extensions[i].oid == oid {
			return &c.extensions[i]
		}
	}
	return nil
}

// values returns every value of an attribute type in the subject.
func (c *certificate) values(oid string) []string {
	var found []string
	for _, a := range c.subject {
		if a.oid == oid {
			found = append(found, a.value)
		}
	}
	return found
}

// value returns the first value of an attribute type in the subject, or "".
func (c *certificate) value(oid string) string {
	if v := c.values(oid); len(v) > 0 {
		return v[0]
	}
	return ""
}

func parseCertificate(der []byte) (*certificate, error) {
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	parts, err := signedParts(der)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	return parseTBS(parsed, parts[0].Bytes)
}

// signedParts splits a certificate or list into content, algorithm and signature. The standard parser overlooks
// elements that follow these three.
func signedParts(der []byte) ([]asn1.RawValue, error) {
	var outer asn1.RawValue
	if err := unmarshalAll(der, &outer); err != nil {
		return nil, err
	}
	parts, err := elements(outer.Bytes)
	if err != nil {
		return nil, err
	}
	if len(parts) != 3 {
		return nil, fmt.Errorf("%d parts, must be 3", len(parts))
	}
	return parts, nil
}

// parseTBS walks the to-be-signed part field by field, so that encodings the standard parser forgives stay visible.
func parseTBS(parsed *x509.Certificate, rest []byte) (*certificate, error) {
	c := &certificate{Certificate: parsed}
	fields, err := elements(rest)
	if err != nil {
		return nil, fmt.Errorf("tbsCertificate: %w", err)
	}
	if len(fields) > 0 && fields[0].Class == asn1.ClassContextSpecific {
		fields = fields[1:] // the version, which the standard parser has read
	}
	if len(fields) < 6 {
		return nil, errors.New("tbsCertificate: fields are missing")
	}
	c.serial = fields[0].Bytes
	if c.issuer, err = attributes(fields[2].Bytes); err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	validity, err := elements(fields[3].Bytes)
	if err != nil || len(validity) != 2 {
		return nil, errors.New("validity is not two times")
	}
	c.times = [2]asn1.RawValue{validity[0], validity[1]}
	if c.subject, err = attributes(fields[4].Bytes); err != nil {
		return nil, fmt.Errorf("subject: %w", err)
	}
	last := 0
	for _, f := range fields[6:] {
		if f.Class != asn1.ClassContextSpecific || f.Tag <= last || f.Tag > 3 {
			return nil, fmt.Errorf("tbsCertificate: an element of tag %d follows one of tag %d", f.Tag, last)
		}
		last = f.Tag
		if f.Tag != 3 {
			c.uniqueIDs = true
		} else if c.extensions, err = extensions(f.Bytes); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// extensions reads SEQUENCE OF Extension.
func extensions(der []byte) ([]extension, error) {
	var list []asn1.RawValue
	if err := unmarshalAll(der, &list); err != nil {
		return nil, fmt.Errorf("extensions: %w", err)
	}
	out := make([]extension, 0, len(list))
	for _, one := range list {
		parts, err := elements(one.Bytes)
		if err != nil || len(parts) < 2 || len(parts) > 3 {
			return nil, errors.New("extensions: an extension has not two or three parts")
		}
		var e extension
		var id asn1.ObjectIdentifier
		if err := unmarshalAll(parts[0].FullBytes, &id); err != nil {
			return nil, fmt.Errorf("extensions: %w", err)
		}
		e.oid = id.String()
		if len(parts) == 3 {
			if err := unmarshalAll(parts[1].FullBytes, &e.critical); err != nil {
				return nil, fmt.Errorf("extensions: critical: %w", err)
			}
			e.falseEncoded = !e.critical
		}
		if err := unmarshalAll(parts[len(parts)-1].FullBytes, &e.value); err != nil {
			return nil, fmt.Errorf("extensions: value: %w", err)
		}
		if e.oid == oidQCStatements {
			var err error
			e.statements, err = statements(e.value)
			e.badStatements = err != nil
		}
		out = append(out, e)
	}
	return out, nil
}

// attributes flattens a Name: SEQUENCE OF SET OF SEQUENCE { type, value }; der is the content of the outer SEQUENCE.
func attributes(der []byte) ([]attribute, error) {
	sets, err := elements(der)
	if err != nil {
		return nil, err
	}
	var out []attribute
	for _, set := range sets {
		pairs, err := elements(set.Bytes)
		if err != nil {
			return nil, err
		}
		for _, pair := range pairs {
			parts, err := elements(pair.Bytes)
			if err != nil || len(parts) != 2 {
				return nil, errors.New("an attribute is not a type and a value")
			}
			var id asn1.ObjectIdentifier
			if err := unmarshalAll(parts[0].FullBytes, &id); err != nil {
				return nil, err
			}
			out = append(out, attribute{id.String(), parts[1].Tag, string(parts[1].Bytes), len(pairs) == 1})
		}
	}
	return out, nil
}

// elements splits the content of a constructed value into its DER elements.
func elements(der []byte) ([]asn1.RawValue, error) {
	var out []asn1.RawValue
	for len(der) > 0 {
		var v asn1.RawValue
		rest, err := asn1.Unmarshal(der, &v)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
		der = rest
	}
	return out, nil
}

// unmarshalAll is asn1.Unmarshal that refuses trailing bytes.
func unmarshalAll(der []byte, out any) error {
	rest, err := asn1.Unmarshal(der, out)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return errors.New("bytes follow the value")
	}
	return nil
}
