package person

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/ecsigner/ecsigner/ca"
	"github.com/ecsigner/ecsigner/call"
	"golang.org/x/text/unicode/norm"
)

const maxOrganisation = 150 // characters of a registered name

// CheckOrganisation judges the organisation of the data: given exactly when the parameters say so. Each error is a
// call.FieldError.
func (d Data) CheckOrganisation(wanted bool) error {
	for _, f := range []struct{ name, value string }{{"organisation", d.Organisation}, {"organisation_id", d.OrganisationID}} {
		switch {
		case wanted && f.value == "":
			return call.Wrong(f.name, fmt.Errorf("%w: the parameters say that the certificate names one", ErrOrganisation))
		case !wanted && f.value != "":
			return call.Wrong(f.name, fmt.Errorf("%w: the parameters say that the certificate names none", ErrOrganisation))
		}
	}
	if !wanted {
		return nil
	}
	if err := registeredName(d.Organisation); err != nil {
		return call.Wrong("organisation", err)
	}
	switch err := ca.CheckOrganisationID(d.OrganisationID); {
	case errors.Is(err, ca.ErrCheckDigit):
		return call.Wrong("organisation_id", fmt.Errorf("%w: %w", ErrCheckDigit, err))
	case err != nil:
		return call.Wrong("organisation_id", fmt.Errorf("%w: %w", ErrOrganisation, err))
	}
	return nil
}

// registeredName accepts a name as a register writes it: words of letters and digits with the marks that stand in
// names. Within one word all letters are of one script, so that no look-alike hides in it.
func registeredName(s string) error {
	runes := []rune(s)
	wrong := func(text string) error { return fmt.Errorf("%w: %s", ErrOrganisation, text) }
	switch {
	case len(runes) == 0 || len(runes) > maxOrganisation:
		return wrong(fmt.Sprintf("give 1 to %d characters", maxOrganisation))
	case strings.TrimSpace(s) != s || strings.Contains(s, "  "):
		return wrong("no blank at the ends, no double blank")
	case !norm.NFKC.IsNormalString(strings.ReplaceAll(s, "№", "")):
		return wrong("use plain letters and marks")
	}
	var script *unicode.RangeTable
	letters := false
	for _, r := range runes {
		switch {
		case unicode.IsLetter(r):
			letters = true
			if script == nil {
				script = scriptOf(r)
			}
			if script == nil || !unicode.Is(script, r) {
				return wrong("a word mixes scripts")
			}
		case r >= '0' && r <= '9':
		case strings.ContainsRune(" -.,'’ʼ\"«»„”“()&+/:;!@№–", r):
			script = nil
		default:
			return wrong("letters, digits and the marks of a registered name only")
		}
	}
	if !letters {
		return wrong("it holds no letter")
	}
	return nil
}

// scriptOf returns the script of a letter, nil for one that several scripts share.
func scriptOf(r rune) *unicode.RangeTable {
	for name, t := range unicode.Scripts {
		if name != "Common" && name != "Inherited" && unicode.Is(t, r) {
			return t
		}
	}
	return nil
}
