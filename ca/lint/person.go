package lint

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// personRules judge the subject of a natural person, EN 319 412-2 section 4.2.4.
func personRules() []rule {
	return []rule{
		{"person-named", "EN 319 412-2 NAT-4.2.4-1", persons(), checkNamed},
		{"person-pseudonym", "EN 319 412-2 NAT-4.2.4-4", persons(), checkPseudonym},
		{"person-script", "EN 319 412-2 NAT-4.2.4-19", persons(), checkScript},
		{"person-common-name", "certificate profile", persons(), checkCommonName},
		{"person-identifier", "EN 319 412-1 NAT-5.1.3", persons(), checkIdentifierForm},
		{"person-identifier-digits", "national rules", persons(), checkIdentifierDigits},
		{"person-identifier-case", "X.520 6.2.9 caseIgnoreMatch", persons(), checkIdentifierCase},
		{"person-organisation", "EN 319 411-1 GEN-6.3.3-11, EN 319 412-1 LEG-5.1.4", persons(), checkPersonOrganisation},
	}
}

func checkNamed(c *certificate, _ *Want) string {
	if c.value(oidGivenName)+c.value(oidSurname)+c.value(oidPseudonym) == "" {
		return "neither givenName nor surname nor pseudonym is present"
	}
	return ""
}

func checkPseudonym(c *certificate, _ *Want) string {
	if c.value(oidPseudonym) != "" && c.value(oidGivenName)+c.value(oidSurname) != "" {
		return "a pseudonym stands beside the name"
	}
	return ""
}

func checkScript(c *certificate, _ *Want) string {
	if !OneScript(c.value(oidGivenName), c.value(oidSurname), c.value(oidCommonName)) {
		return "givenName, surname and commonName mix scripts"
	}
	return ""
}

// OneScript tells whether all letters of the texts belong to one script.
func OneScript(texts ...string) bool {
	seen := ""
	for _, r := range strings.Join(texts, "") {
		if !unicode.IsLetter(r) || unicode.Is(unicode.Common, r) || unicode.Is(unicode.Inherited, r) {
			continue
		}
		for name, table := range unicode.Scripts {
			if !unicode.Is(table, r) {
				continue
			}
			if seen != "" && seen != name {
				return false
			}
			seen = name
			break
		}
	}
	return true
}

// checkCommonName: the common name is the name itself, so that no reader shows another person.
func checkCommonName(c *certificate, _ *Want) string {
	want := CommonName(c.value(oidGivenName), c.value(oidSurname))
	if want == "" {
		want = c.value(oidPseudonym)
	}
	if got := c.value(oidCommonName); got != want {
		return fmt.Sprintf("is %q, must be %q", got, want)
	}
	return ""
}

// CommonName joins a given name and a surname, either of which may be empty.
func CommonName(given, surname string) string { return strings.TrimSpace(given + " " + surname) }

func checkIdentifierForm(c *certificate, _ *Want) string {
	for _, v := range c.values(oidSerialNumber) {
		if _, _, _, ok := SplitIdentifier(v); !ok {
			return fmt.Sprintf("serialNumber %q is not a type, a country, a hyphen and a number", v)
		}
	}
	return ""
}

func checkIdentifierDigits(c *certificate, w *Want) string {
	if w.CheckIdentifier == nil {
		return ""
	}
	kind, country, value, _ := SplitIdentifier(c.value(oidSerialNumber))
	if err := w.CheckIdentifier(kind, country, value); err != nil {
		return err.Error()
	}
	return ""
}

// checkIdentifierCase: readers compare serialNumber without regard to case, so that a number in small letters would be
// the name of whoever has it in capitals.
func checkIdentifierCase(c *certificate, _ *Want) string {
	if v := c.value(oidSerialNumber); v != strings.ToUpper(v) {
		return fmt.Sprintf("serialNumber %q holds small letters", v)
	}
	return ""
}

// checkPersonOrganisation: name and identifier of an organisation stand together or not at all.
func checkPersonOrganisation(c *certificate, w *Want) string {
	names, ids := len(c.values(oidOrganization)), len(c.values(oidOrganizationID))
	if names != ids {
		return fmt.Sprintf("organizationName stands %d times, organizationIdentifier %d", names, ids)
	}
	if ids == 0 {
		return ""
	}
	if detail := checkOrganisationID(c, w); detail != "" {
		return detail
	}
	if w.CheckOrganisation != nil {
		if err := w.CheckOrganisation(c.value(oidOrganizationID)); err != nil {
			return err.Error()
		}
	}
	return ""
}

// SplitIdentifier takes a natural person's serialNumber apart, EN 319 412-1 NAT-5.1.3: PAS, IDC, PNO, TIN or EID, a
// country (only TIN knows EL), a hyphen and 1 to 58 printable characters, so that the whole fits the 64 of X.520.
func SplitIdentifier(s string) (kind, country, value string, ok bool) {
	if len(s) < 7 || len(s) > 64 || s[5] != '-' {
		return "", "", "", false
	}
	kind, country, value = s[:3], s[3:5], s[6:]
	if !slices.Contains([]string{"PAS", "IDC", "PNO", "TIN", "EID"}, kind) {
		return "", "", "", false
	}
	if !Country(country) && (kind != "TIN" || country != "EL") {
		return "", "", "", false
	}
	for _, r := range value {
		letter := r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z'
		if !letter && (r < '0' || r > '9') && !strings.ContainsRune("-./:()+,' ", r) {
			return "", "", "", false
		}
	}
	return kind, country, value, TextFault(value) == ""
}
