package enrol_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/ecsigner/ecsigner/enrol"
)

// What is not a letter of a document, or could make two names look alike, is refused with ErrName and the field's name:
// in the Latin names, and in the name in the person's own script.
func TestNamesThatAreNone(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	p := newWorld(t).reach(enrol.StateParameters)
	for _, c := range []struct{ name, latin, local string }{
		{"emoji", "Ola😀", "Оля😀"},
		{"emoji of two", "Ola🇺🇦", "Оля🇺🇦"},
		{"emoji by a selector", "Ola☎\ufe0f", "Оля☎\ufe0f"},
		{"right-to-left mark", "Ol\u200fa", "Ол\u200fя"},
		{"left-to-right mark", "Ol\u200ea", "Ол\u200eя"},
		{"right-to-left override", "Ol\u202ea", "Ол\u202eя"},
		{"isolate", "Ol\u2067a", "Ол\u2067я"},
		{"Arabic letter mark", "Ol\u061ca", "Ол\u061cя"},
		{"zero-width space", "Ol\u200ba", "Ол\u200bя"},
		{"zero-width joiner", "Ol\u200da", "Ол\u200dя"},
		{"zero-width non-joiner", "Ol\u200ca", "Ол\u200cя"},
		{"word joiner", "Ol\u2060a", "Ол\u2060я"},
		{"byte order mark", "\ufeffOla", "\ufeffОля"},
		{"soft hyphen", "Ol\u00ada", "Ол\u00adя"},
		{"tag", "Ola\U000e0041", "Оля\U000e0041"},
		{"no-break space", "Ola\u00a0Maria", "Оля\u00a0Марія"},
		{"stacked accents", "O" + strings.Repeat("\u0301", 10) + "la", "О" + strings.Repeat("\u0301", 10) + "ля"},
		{"loose accent", "Ox\u030cla", "Оя\u0301"},
		{"enclosing mark", "Ola\u20dd", "Оля\u20dd"},
		{"grapheme joiner", "Ol\u034fa", "Ол\u034fя"},
		{"two scripts", "Оla", "Oля"},
		{"Greek look-alike", "\u039fla", "\u039fля"},
		{"one word of another script", "Ola Марія", "Оля Maria"},
		{"mathematical letters", "𝐎𝐥𝐚", "𝐎𝐥𝐚"},
		{"full width", "Ｏｌａ", "Ｏｌａ"},
		{"ligature", "O\ufb01a", "O\ufb01a"},
		{"phonetic letter", "Ol\u0251", ""},
		{"small capital", "O\u029fa", ""},
		{"digit", "Ola2", "Оля2"},
		{"underscore", "O_la", "О_ля"},
		{"markup", "O<b>la", "О<b>ля"},
		{"line break", "Ola\nMaria", "Оля\nМарія"},
		{"private use", "Ol\ue000a", "Ол\ue000я"},
		{"unassigned", "Ol\u0378a", "Ол\u0378я"},
	} {
		for field, set := range map[string]func(*enrol.PersonalData) string{
			"given_name": func(d *enrol.PersonalData) string { d.GivenName = c.latin; return c.latin },
			"surname":    func(d *enrol.PersonalData) string { d.Surname = c.latin; return c.latin },
			"local_name": func(d *enrol.PersonalData) string { d.LocalName = c.local; return c.local },
		} {
			d := data()
			if set(&d) == "" {
				continue
			}
			_, err := p.SetPersonalData(ctx, portal, p.id, p.request(), d)
			var f *enrol.FieldError
			if !errors.As(err, &f) || f.Field != field || !errors.Is(err, enrol.ErrName) {
				t.Errorf("%s: %s: %v", field, c.name, err)
			}
		}
	}
}

// A name stays as the document has it: nothing is transliterated, only composed.
func TestNamesAreTakenAsTheyAre(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	p := newWorld(t).reach(enrol.StateParameters)
	for given, want := range map[string]string{
		"Oleksii":              "Oleksii",
		"Oleksiy":              "Oleksiy",
		"ŁUCJA ŻANETA":         "ŁUCJA ŻANETA",
		"Łucja":                "Łucja",
		"Z\u0307ofia":          "Żofia",
		"D’Arcy-Anne":          "D’Arcy-Anne",
		"Đorđe":                "Đorđe",
		"Siân":                 "Siân",
		"Þórarinn":             "Þórarinn",
		"Ştefan":               "Ştefan",
		"A\u030angstro\u0308m": "Ångström",
	} {
		d := data()
		d.GivenName = given
		v, err := p.SetPersonalData(ctx, portal, p.id, p.request(), d)
		if err != nil || v.Person.GivenName != want {
			t.Errorf("%+q became %+q: %v", given, v.Person.GivenName, err)
		}
	}
}
