package lint

import (
	"encoding/asn1"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Statement identifiers of EN 319 412-5 and RFC 3739.
const (
	qcCompliance  = "0.4.0.1862.1.1"
	qcLimit       = "0.4.0.1862.1.2"
	qcRetention   = "0.4.0.1862.1.3"
	qcSSCD        = "0.4.0.1862.1.4"
	qcPDS         = "0.4.0.1862.1.5"
	qcType        = "0.4.0.1862.1.6"
	qcLegislation = "0.4.0.1862.1.7"
	qcSyntaxV2    = "1.3.6.1.5.5.7.11.2"

	qcTypeESign       = "0.4.0.1862.1.6.1"
	semanticsNatural  = "0.4.0.194121.1.1"
	semanticsLegal    = "0.4.0.194121.1.2"
	policyQCPNQSCD    = "0.4.0.194112.1.2"
	policyQCPNoDevice = "0.4.0.194112.1.0"
)

type statement struct {
	oid  string
	info []byte // DER of statementInfo; empty when absent
}

// statements reads the value of a qcStatements extension.
func statements(der []byte) ([]statement, error) {
	var list []asn1.RawValue
	if err := unmarshalAll(der, &list); err != nil {
		return nil, err
	}
	var out []statement
	for _, one := range list {
		parts, err := elements(one.Bytes)
		if err != nil || len(parts) < 1 || len(parts) > 2 || one.Tag != asn1.TagSequence {
			return nil, errors.New("a statement is not an identifier and at most one value")
		}
		var id asn1.ObjectIdentifier
		if err := unmarshalAll(parts[0].FullBytes, &id); err != nil {
			return nil, err
		}
		s := statement{oid: id.String()}
		if len(parts) == 2 {
			s.info = parts[1].FullBytes
		}
		out = append(out, s)
	}
	return out, nil
}

// statement returns the first statement of an identifier.
func (c *certificate) statement(oid string) (statement, bool) {
	if e := c.extension(oidQCStatements); e != nil {
		for _, s := range e.statements {
			if s.oid == oid {
				return s, true
			}
		}
	}
	return statement{}, false
}

// statementRules judge qcStatements, EN 319 412-5.
func statementRules() []rule {
	p := persons()
	return []rule{
		{"qc-readable", "RFC 3739 3.2.6", p, checkStatementsReadable},
		{"qc-once", "EN 319 412-5 QCS-4.1-02A", p, checkStatementsOnce},
		{"qc-known", "certificate profile", p, checkStatementsKnown},
		{"qc-compliance", "EN 319 412-5 4.2.1", p, checkCompliance},
		{"qc-device", "EN 319 412-5 4.2.2", p, checkDevice},
		{"qc-device-policy", "EN 319 411-2 GEN-6.6.1-03", p, checkDevicePolicy},
		{"qc-type", "EN 319 412-5 4.2.3", p, checkType},
		{"qc-legislation", "EN 319 412-5 4.2.4", p, checkLegislation},
		{"qc-disclosure", "EN 319 412-5 4.3.4", p, checkDisclosure},
		{"qc-retention", "EN 319 412-5 4.3.3", p, checkRetention},
		{"qc-semantics", "EN 319 412-1 5.1.1", p, checkSemantics},
	}
}

func checkStatementsReadable(c *certificate, _ *Want) string {
	e := c.extension(oidQCStatements)
	if e == nil {
		return "qcStatements is absent"
	}
	if e.badStatements {
		return "qcStatements is not a sequence of statements"
	}
	return ""
}

func checkStatementsOnce(c *certificate, _ *Want) string {
	e := c.extension(oidQCStatements)
	if e == nil {
		return ""
	}
	seen := map[string]bool{}
	for _, s := range e.statements {
		key := s.oid
		if key == qcSyntaxV2 { // one for the person's identifier, one for the organisation's
			key += string(s.info)
		}
		if seen[key] {
			return "statement " + s.oid + " stands twice"
		}
		seen[key] = true
	}
	return ""
}

func checkStatementsKnown(c *certificate, _ *Want) string {
	e := c.extension(oidQCStatements)
	if e == nil {
		return ""
	}
	list := []string{qcCompliance, qcSSCD, qcType, qcPDS, qcRetention, qcSyntaxV2}
	for _, s := range e.statements {
		if !slices.Contains(list, s.oid) {
			return "the profile has no statement " + s.oid
		}
	}
	return ""
}

func checkCompliance(c *certificate, _ *Want) string {
	s, ok := c.statement(qcCompliance)
	if !ok || len(s.info) > 0 {
		return "QcCompliance is absent or holds a value"
	}
	return ""
}

func checkDevice(c *certificate, w *Want) string {
	s, ok := c.statement(qcSSCD)
	if ok != w.QSCD {
		return fmt.Sprintf("QcSSCD stated: %t, key declared to be in a qualified device: %t", ok, w.QSCD)
	}
	if len(s.info) > 0 {
		return "QcSSCD holds a value"
	}
	return ""
}

// checkDevicePolicy: QcSSCD if and only if the policy is the one for qualified devices.
func checkDevicePolicy(c *certificate, _ *Want) string {
	_, device := c.statement(qcSSCD)
	var qscd, plain bool
	for _, p := range c.Policies {
		qscd = qscd || p.String() == policyQCPNQSCD
		plain = plain || p.String() == policyQCPNoDevice
	}
	if device != qscd || plain == qscd {
		return fmt.Sprintf("QcSSCD stated: %t, policy QCP-n-qscd: %t, QCP-n: %t", device, qscd, plain)
	}
	return ""
}

func checkType(c *certificate, _ *Want) string {
	s, ok := c.statement(qcType)
	if !ok {
		return "QcType is absent"
	}
	var types []asn1.ObjectIdentifier
	if err := unmarshalAll(s.info, &types); err != nil {
		return "QcType cannot be read: " + err.Error()
	}
	if len(types) != 1 || types[0].String() != qcTypeESign {
		return fmt.Sprintf("QcType is %v, must be esign alone", types)
	}
	return ""
}

func checkLegislation(c *certificate, _ *Want) string {
	if _, ok := c.statement(qcLegislation); ok {
		return "QcCClegislation shall not stand in an EU certificate"
	}
	return ""
}

func checkDisclosure(c *certificate, w *Want) string {
	s, ok := c.statement(qcPDS)
	if !ok {
		return "QcPDS is absent"
	}
	list, err := disclosures(s.info)
	if err != nil {
		return "QcPDS cannot be read: " + err.Error()
	}
	seen := map[string]bool{}
	for _, p := range list {
		if fault := DisclosureFault(p.language, p.url); fault != "" {
			return fault
		}
		if seen[p.language] {
			return "two statements in " + p.language
		}
		seen[p.language] = true
		if w.PDS[p.language] != p.url {
			return fmt.Sprintf("%s is %s, must be %s", p.language, p.url, w.PDS[p.language])
		}
	}
	if !seen["en"] || len(seen) != len(w.PDS) {
		return "English or another configured language is missing"
	}
	return ""
}

type disclosure struct{ url, language string }

// disclosures reads SEQUENCE OF SEQUENCE { url IA5String, language PrintableString }.
func disclosures(der []byte) ([]disclosure, error) {
	var list []asn1.RawValue
	if err := unmarshalAll(der, &list); err != nil {
		return nil, err
	}
	var out []disclosure
	for _, one := range list {
		parts, err := elements(one.Bytes)
		if err != nil || one.Tag != asn1.TagSequence || len(parts) != 2 ||
			parts[0].Tag != asn1.TagIA5String || parts[1].Tag != asn1.TagPrintableString {
			return nil, errors.New("an entry is not a sequence of an IA5String and a PrintableString")
		}
		out = append(out, disclosure{string(parts[0].Bytes), string(parts[1].Bytes)})
	}
	return out, nil
}

// DisclosureFault says what is wrong with one entry of QcPDS: https:// only, an ISO 639-1 code in lower case.
func DisclosureFault(language, address string) string {
	if len(language) != 2 || strings.Trim(language, "abcdefghijklmnopqrstuvwxyz") != "" {
		return fmt.Sprintf("language %q is not two lower-case letters", language)
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return fmt.Sprintf("address %q of the disclosure statement is not https://", address)
	}
	return ""
}

func checkRetention(c *certificate, w *Want) string {
	s, ok := c.statement(qcRetention)
	if !ok {
		return "QcRetentionPeriod is absent"
	}
	var years int
	if err := unmarshalAll(s.info, &years); err != nil || years < 1 || years != w.RetentionYears {
		return fmt.Sprintf("QcRetentionPeriod is %d, must be %d", years, w.RetentionYears)
	}
	return ""
}

// checkSemantics: SemanticsId-Natural always, SemanticsId-Legal exactly when an organisation is named, nothing else.
func checkSemantics(c *certificate, _ *Want) string {
	want := []string{semanticsNatural}
	if len(c.values(oidOrganizationID)) > 0 {
		want = append(want, semanticsLegal)
	}
	e := c.extension(oidQCStatements)
	if e == nil {
		return "the semantics identifier is absent"
	}
	var got []string
	for _, s := range e.statements {
		if s.oid != qcSyntaxV2 {
			continue
		}
		var info []asn1.RawValue
		if err := unmarshalAll(s.info, &info); err != nil || len(info) != 1 {
			return "the semantics information cannot be read"
		}
		var id asn1.ObjectIdentifier
		if err := unmarshalAll(info[0].FullBytes, &id); err != nil {
			return "the semantics identifier cannot be read"
		}
		got = append(got, id.String())
	}
	if !slices.Equal(got, want) {
		return fmt.Sprintf("semantics identifiers are %v, must be %v", got, want)
	}
	return ""
}
