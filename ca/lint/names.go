package lint

import (
	"bytes"
	"encoding/asn1"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// nameRules judge the subject of every kind and of organisations.
func nameRules() []rule {
	return []rule{
		{"subject-expected", "EN 319 411-1 GEN-6.3.3", nil, checkExpectedSubject},
		{"subject-single-valued", "EN 319 412-2 4.2", nil, checkSingleValued},
		{"subject-string-type", "RFC 5280 4.1.2.4", nil, checkStringTypes},
		{"subject-text", "certificate profile", nil, checkText},
		{"subject-attributes", "EN 319 412-2 4.2, EN 319 412-3 4.2", nil, checkAttributes},
		{"subject-country", "X.520 6.3.1", nil, checkCountry},
		{"organisation-identifier", "EN 319 412-1 LEG-5.1.4", organisations(), checkOrganisationID},
		{"test-name", "certificate profile", authorities(), checkTestName},
	}
}

func checkExpectedSubject(c *certificate, w *Want) string {
	if w.Subject != nil && !bytes.Equal(w.Subject, c.RawSubject) {
		return "the subject is not the one that was requested"
	}
	return ""
}

func checkSingleValued(c *certificate, _ *Want) string {
	for _, a := range c.subject {
		if !a.alone {
			return "attribute " + a.oid + " shares its relative name with another"
		}
	}
	return ""
}

func checkStringTypes(c *certificate, _ *Want) string {
	for _, a := range c.subject {
		want := asn1.TagUTF8String
		if a.oid == oidCountry || a.oid == oidSerialNumber {
			want = asn1.TagPrintableString
		}
		if a.tag != want {
			return fmt.Sprintf("attribute %s has string type %d, must be %d", a.oid, a.tag, want)
		}
	}
	return ""
}

func checkText(c *certificate, _ *Want) string {
	for _, a := range c.subject {
		if detail := TextFault(a.value); detail != "" {
			return "attribute " + a.oid + " " + detail
		}
	}
	return ""
}

// maxText is the length in runes at which a name stops being one. EN 319 412-2 NAT-4.2.4-18 lifts the limits of
// RFC 5280 appendix A for natural persons, so this is ours.
const maxText = 200

// TextFault says what is wrong with a text that shall stand in a name: it must be valid UTF-8 in normal form C,
// not empty, at most 200 characters, without control or invisible formatting characters, spaces only single and
// inside. "" means nothing is wrong.
func TextFault(s string) string {
	switch {
	case s == "":
		return "is empty"
	case !utf8.ValidString(s):
		return "is not valid UTF-8"
	case utf8.RuneCountInString(s) > maxText:
		return fmt.Sprintf("has more than %d characters", maxText)
	case !norm.NFC.IsNormalString(s):
		return "is not in Unicode normal form C"
	case strings.TrimSpace(s) != s || strings.Contains(s, "  "):
		return "has leading, trailing or double spaces"
	}
	for _, r := range s {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r != ' ' && unicode.IsSpace(r) || r == utf8.RuneError {
			return fmt.Sprintf("holds the character U+%04X", r)
		}
	}
	return ""
}

// attributeSet returns the attributes that a kind's subject must have once each, and those it may have once.
func attributeSet(k Kind) (must, may []string) {
	switch k {
	case Root, IssuingCA, ServiceSeal:
		return []string{oidCountry, oidOrganization, oidOrganizationID, oidCommonName}, nil
	case TLSRoot:
		return []string{oidCountry, oidOrganization, oidCommonName}, nil
	case NaturalPerson:
		return []string{oidCountry, oidSerialNumber, oidCommonName},
			[]string{oidSurname, oidGivenName, oidPseudonym, oidOrganization, oidOrganizationID}
	case TLSClient:
		return []string{oidOrganization, oidCommonName}, nil
	default:
		return []string{oidCommonName}, nil
	}
}

func checkAttributes(c *certificate, w *Want) string {
	must, may := attributeSet(w.Kind)
	for _, oid := range must {
		if n := len(c.values(oid)); n != 1 {
			return fmt.Sprintf("attribute %s stands %d times, must stand once", oid, n)
		}
	}
	for _, a := range c.subject {
		if !slices.Contains(must, a.oid) && !slices.Contains(may, a.oid) {
			return "the profile has no attribute " + a.oid
		}
		if len(c.values(a.oid)) != 1 {
			return "attribute " + a.oid + " stands more than once"
		}
	}
	return ""
}

func checkCountry(c *certificate, _ *Want) string {
	for _, v := range c.values(oidCountry) {
		if !Country(v) {
			return fmt.Sprintf("%q is not an ISO 3166-1 alpha-2 code", v)
		}
	}
	return ""
}

func checkOrganisationID(c *certificate, _ *Want) string {
	id := c.value(oidOrganizationID)
	if !OrganisationID(id) {
		return fmt.Sprintf("%q is not three letters, a country, a hyphen and a number", id)
	}
	if id == c.value(oidOrganization) {
		return "repeats organizationName"
	}
	return ""
}

// OrganisationID tells whether s has the form of EN 319 412-1 LEG-5.1.4, such as VATPL-5260250274.
func OrganisationID(s string) bool {
	head, number, ok := strings.Cut(s, "-")
	if !ok || len(head) < 5 || number == "" || TextFault(s) != "" {
		return false
	}
	kind, country, division := head[:3], head[3:5], head[5:]
	if !slices.Contains([]string{"VAT", "NTR", "PSD", "LEI", "EOR", "EXC"}, kind) {
		return false
	}
	if division != "" && (kind != "NTR" || !strings.HasPrefix(division, "+") || len(division) == 1) {
		return false
	}
	switch {
	case kind == "LEI":
		return country == "XG"
	case kind == "VAT" && (country == "EL" || country == "XI"):
		return true
	}
	return Country(country)
}

func checkTestName(c *certificate, w *Want) string {
	if name := c.value(oidCommonName); !strings.HasPrefix(name, w.TestPrefix) {
		return fmt.Sprintf("common name %q of a test CA does not start with %q", name, w.TestPrefix)
	}
	return ""
}

// isoCountries holds the officially assigned codes of ISO 3166-1 alpha-2.
const isoCountries = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT " +
	"BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK " +
	"FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE " +
	"JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ " +
	"MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO " +
	"RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW " +
	"TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW"

// Country tells whether code is an assigned ISO 3166-1 alpha-2 code in upper case.
func Country(code string) bool {
	return len(code) == 2 && slices.Contains(strings.Fields(isoCountries), code)
}
