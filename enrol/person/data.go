// Package person holds the rules about a person's data: what the person says, in which form a certificate can say it, what a
// provider proved, and in what the two differ. It stores nothing and asks nobody.
package person

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/ecsigner/ecsigner/ca"
	"github.com/ecsigner/ecsigner/call"
	"github.com/ecsigner/ecsigner/sam"
	"golang.org/x/text/unicode/norm"
)

// Data as the person types them.
type Data struct {
	GivenName      string // Latin letters, as in the travel document (ICAO Doc 9303)
	Surname        string
	LocalName      string // full name in the person's own script
	Country        string // ISO 3166-1 alpha-2, of the identifier
	Identifier     string // of the type chosen by SetParameters
	BirthDate      string // YYYY-MM-DD
	Phone          string // E.164
	Organisation   string // registered name; exactly when the parameters say ForOrganisation
	OrganisationID string // EN 319 412-1 clause 5.1.4, e.g. VATPL-5260250274
}

const (
	maxName  = 64 // characters of a given name or surname
	maxLocal = 128
	fullAge  = 18
	oldest   = 125
)

// Normal brings texts into Unicode normal form C: how a keyboard composes a letter must not make another name.
func (d Data) Normal() Data {
	for _, s := range []*string{&d.GivenName, &d.Surname, &d.LocalName, &d.Organisation} {
		*s = norm.NFC.String(*s)
	}
	return d
}

// Check judges the data by themselves, for an identifier of the given type, and returns what would stand in the
// certificate. Each error is a call.FieldError.
func (d Data) Check(identifierType string, now time.Time) (sam.Person, error) {
	for _, f := range []struct {
		name string
		err  error
	}{
		{"given_name", latinName(d.GivenName)},
		{"surname", latinName(d.Surname)},
		{"local_name", localName(d.LocalName)},
		{"identifier", identifier(identifierType, d.Country, d.Identifier)},
		{"birth_date", birthDate(identifierType, d, now)},
		{"phone", phoneNumber(d.Phone)},
	} {
		if f.err != nil {
			return sam.Person{}, call.Wrong(f.name, f.err)
		}
	}
	return sam.Person{
		GivenName: d.GivenName, Surname: d.Surname, LocalName: d.LocalName,
		Country: d.Country, IdentifierType: identifierType, Identifier: d.Identifier,
		Organisation: d.Organisation, OrganisationID: d.OrganisationID,
	}, nil
}

// latinName accepts a name as a travel document prints it: Latin letters, single blanks, hyphens and apostrophes. It is
// taken as it is, never transliterated (EN 319 412-2 NAT-4.2.4-12). Look-alikes that only compatibility maps to a letter,
// such as full-width forms, and signs of phonetics are no letters of a document.
func latinName(s string) error {
	if err := name(s, maxName, func(r rune) bool {
		ofNames := r <= 0x024f || r >= 0x1e00 && r <= 0x1eff // Basic Latin to Extended-B, Extended Additional
		return ofNames && unicode.Is(unicode.Latin, r) && (unicode.IsUpper(r) || unicode.IsLower(r))
	}, " -'’"); err != nil {
		return err
	}
	if !norm.NFKC.IsNormalString(s) {
		return fmt.Errorf("%w: use plain Latin letters", ErrName)
	}
	return nil
}

// localName accepts a full name in any one script. Accents are part of their letter, as normal form C writes them; those
// that stay loose could be stacked, and no reader would see the same name.
func localName(s string) error {
	var script *unicode.RangeTable
	err := name(s, maxLocal, func(r rune) bool {
		if script == nil && unicode.IsLetter(r) {
			script = scriptOf(r)
		}
		return unicode.IsLetter(r) && script != nil && unicode.Is(script, r)
	}, " -'’ʼ.")
	if err == nil && !norm.NFKC.IsNormalString(s) {
		return fmt.Errorf("%w: use plain letters of one script", ErrName)
	}
	return err
}

// name accepts letters with single marks between them. What is neither, such as control, direction and picture
// characters, is refused.
func name(s string, longest int, letter func(rune) bool, marks string) error {
	runes := []rune(s)
	if len(runes) == 0 || len(runes) > longest {
		return fmt.Errorf("%w: give 1 to %d characters", ErrName, longest)
	}
	between := true // at the start no mark may stand
	for _, r := range runes {
		isMark := strings.ContainsRune(marks, r)
		switch {
		case isMark && between && r != ' ': // "O.-K" has two marks, "A. B" a blank after one
			return fmt.Errorf("%w: a mark must follow a letter", ErrName)
		case isMark:
		case !letter(r):
			return fmt.Errorf("%w: letters as in the document, blank, hyphen and apostrophe only", ErrName)
		}
		between = isMark
	}
	if strings.HasPrefix(s, " ") || strings.HasSuffix(s, " ") || strings.Contains(s, "  ") || strings.HasSuffix(s, "-") {
		return fmt.Errorf("%w: no blank or hyphen at the ends, no double blank", ErrName)
	}
	return nil
}

func identifier(kind, country, value string) error {
	switch err := ca.CheckIdentifier(kind, country, value); {
	case err == nil:
		return nil
	case errors.Is(err, ca.ErrCheckDigit):
		return fmt.Errorf("%w: %w", ErrCheckDigit, err)
	default:
		return fmt.Errorf("%w: %w", ErrIdentifier, err)
	}
}

// birthDate demands a date of a living grown-up that the identifier does not contradict.
func birthDate(kind string, d Data, now time.Time) error {
	born, err := time.Parse(time.DateOnly, d.BirthDate)
	if err != nil {
		return fmt.Errorf("%w: write it as YYYY-MM-DD", ErrBirthDate)
	}
	if born.After(now) || born.AddDate(oldest, 0, 0).Before(now) {
		return fmt.Errorf("%w: nobody alive was born then", ErrBirthDate)
	}
	in, _, err := ca.Birth(ca.Identifier{Kind: kind, Country: d.Country, Value: d.Identifier})
	switch {
	case err == nil && !in.Equal(born):
		return fmt.Errorf("%w: the identifier says another one; compare both with the document", ErrBirthDate)
	case err != nil && !errors.Is(err, ca.ErrNoBirthDate):
		return fmt.Errorf("%w: %w", ErrIdentifier, err)
	case born.AddDate(fullAge, 0, 0).After(now):
		return ErrAge
	}
	return nil
}

// phoneNumber accepts E.164 with a country code that may be assigned: no zone begins with 0, 28, 83 or 89.
func phoneNumber(s string) error {
	wrong := fmt.Errorf("%w: write it with the country code and without blanks, e.g. +380501234567", ErrPhone)
	if len(s) < 9 || len(s) > 16 || s[0] != '+' || s[1] == '0' {
		return wrong
	}
	for i := 1; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return wrong
		}
	}
	if zone := s[1:3]; zone == "28" || zone == "83" || zone == "89" {
		return wrong
	}
	return nil
}
