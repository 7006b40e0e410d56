package agreement

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Longest texts, in characters. Names may be longer than the bounds of RFC 5280 (ETSI EN 319 412-2 NAT-4.2.4-18).
const (
	longestName = 200
	longestText = 300
	longestMark = 64
	longestID   = 40 // of the document, which stands in one line of its head
)

// check refuses what would not be printed exactly as it will stand in the certificate.
func (d Data) check(f fonts) error {
	for _, v := range []struct {
		field, value string
		longest      int
		form         func(string) string // says what the value must be, or nothing
	}{
		{"number", d.Number, longestID, nil},
		{"provider name", d.Provider.Name, longestName, nil},
		{"provider registration identifier", d.Provider.RegistrationID, longestMark, nil},
		{"provider address", d.Provider.Address, longestText, nil},
		{"policy OID", d.Provider.PolicyOID, longestMark, dotted},
		{"PDS URL", d.Provider.PDSURL, longestText, webAddress},
		{"issuer", d.Provider.Issuer, longestName, nil},
		{"terms version", d.Terms.Version, longestMark, nil},
		{"terms URL", d.Terms.URL, longestText, webAddress},
		{"given name", d.Subject.GivenName, longestName, nil},
		{"surname", d.Subject.Surname, longestName, nil},
		{"common name", d.Subject.CommonName, 2*longestName + 1, nil},
		{"country", d.Subject.Country, 2, country},
		{"serial number", d.Subject.SerialNumber, longestMark, nil},
		{"phone", d.Phone, 16, e164},
		{"key algorithm", d.KeyAlgorithm, longestMark, nil},
	} {
		if err := f.checkText(v.field, v.value, v.longest); err != nil {
			return err
		}
		if v.form != nil {
			if want := v.form(v.value); want != "" {
				return fieldError(v.field, want)
			}
		}
	}
	for _, v := range []struct {
		field, value string
		longest      int
	}{
		{"local name", d.Subject.LocalName, longestName},
		{"organisation", d.Subject.Organisation, longestName},
		{"organisation identifier", d.Subject.OrganisationID, longestMark},
		{"PDS version", d.Provider.PDSVersion, longestMark},
	} {
		if v.value == "" { // may be left out
			continue
		}
		if err := f.checkText(v.field, v.value, v.longest); err != nil {
			return err
		}
	}
	switch {
	case (d.Subject.Organisation == "") != (d.Subject.OrganisationID == ""):
		return fieldError("organisation", "give name and identifier, or neither")
	case d.Provider.PDSSHA256 != nil && len(d.Provider.PDSSHA256) != sha256.Size:
		return fieldError("PDS SHA-256", "give 32 bytes or none")
	case d.At.Year() < 2000 || d.At.Year() > 9998: // a year of five digits is no PDF date
		return fieldError("time", "set the time at which the document is made")
	case d.ValidityYears < 1 || d.ValidityYears > 10:
		return fieldError("validity", "give 1 to 10 years")
	case d.Terms.RetentionYears < 7 || d.Terms.RetentionYears > 100:
		return fieldError("retention", "give 7 to 100 years")
	case d.Terms.SHA256 != nil && len(d.Terms.SHA256) != sha256.Size:
		return fieldError("terms SHA-256", "give 32 bytes or none")
	}
	return nil
}

func fieldError(field, want string) error { return fmt.Errorf("%w: %s: %s", ErrField, field, want) }

// checkText accepts text of which every character is seen, in the order in which it is stored.
func (f fonts) checkText(field, s string, longest int) error {
	switch {
	case !utf8.ValidString(s):
		return fieldError(field, "must be UTF-8")
	case s == "":
		return fieldError(field, "must not be empty")
	case utf8.RuneCountInString(s) > longest:
		return fieldError(field, fmt.Sprintf("must not be longer than %d characters", longest))
	case s[0] == ' ' || s[len(s)-1] == ' ' || strings.Contains(s, "  "):
		return fieldError(field, "must not begin or end with a space or hold two in a row")
	}
	for _, r := range s {
		// IsPrint is false for controls, direction marks and other format characters, private use, and every space
		// but U+0020; combining marks have no place of their own in the line.
		if !unicode.IsPrint(r) || unicode.IsMark(r) || r == utf8.RuneError {
			return fieldError(field, fmt.Sprintf("remove the character %U, which cannot be seen as it is", r))
		}
		if !f.has(r) {
			return fmt.Errorf("%w: %w: %s: replace the character %q (%U)", ErrField, ErrGlyph, field, r, r)
		}
	}
	return nil
}

func dotted(s string) string {
	parts := strings.Split(s, ".")
	for _, p := range parts {
		if p == "" || strings.Trim(p, "0123456789") != "" {
			return "must be a dotted OID"
		}
	}
	if len(parts) < 2 {
		return "must be a dotted OID"
	}
	return ""
}

func webAddress(s string) string {
	host, ok := strings.CutPrefix(s, "https://")
	if !ok {
		host, ok = strings.CutPrefix(s, "http://")
	}
	ascii := func(r rune) bool { return r <= ' ' || r > '~' }
	if !ok || host == "" || strings.ContainsFunc(s, ascii) {
		return "must be an http or https URL in ASCII"
	}
	return ""
}

func country(s string) string {
	if len(s) != 2 || strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return "must be two capital letters"
	}
	return ""
}

func e164(s string) string {
	digits, ok := strings.CutPrefix(s, "+")
	if !ok || len(digits) < 7 || len(digits) > 15 || digits[0] == '0' || strings.Trim(digits, "0123456789") != "" {
		return "must be E.164, such as +380441234567"
	}
	return ""
}

// maskPhone shows the first digits of the country and the last two, as messages do: "+380•••••••67".
func maskPhone(s string) string {
	return s[:4] + strings.Repeat("•", len(s)-6) + s[len(s)-2:]
}
