package appearance

import (
	"fmt"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/bidi"
	"golang.org/x/text/unicode/norm"

	"github.com/ecsigner/ecsigner/signer/appearance/font"
)

const maxText = 1024 // characters of one text

// clean brings a text into the composed form and refuses what would not be shown right: this package sets one glyph
// after the other from left to right, which is correct for scripts such as Latin, Cyrillic and Greek, and for none that
// needs shaping. Errors wrap ErrText.
func clean(text string) (string, error) {
	text = norm.NFC.String(text)
	n := 0
	for _, r := range text {
		if n++; n > maxText {
			return "", fmt.Errorf("%w: longer than %d characters", ErrText, maxText)
		}
		if why := unfit(r); why != "" {
			return "", fmt.Errorf("%w: %s %s", ErrText, describe(r), why)
		}
	}
	return text, nil
}

// unfit says why a character cannot be shown one glyph a character, or nothing.
func unfit(r rune) string {
	class, _ := bidi.LookupRune(r)
	switch {
	case r == unicode.ReplacementChar:
		return "stands for a character that was lost before"
	case r == '\u2028' || r == '\u2029' || unicode.Is(unicode.Cc, r):
		return "is a control character; give further lines one by one"
	case class.Class() == bidi.R || class.Class() == bidi.AL || class.Class() == bidi.AN:
		return "is written from right to left, which is not supported"
	case unicode.Is(unicode.M, r):
		return "is a combining mark without a composed form, which is not supported"
	case unicode.Is(unicode.Cf, r):
		return "is an invisible format character, which is not supported"
	case r >= 0x1f000 && r < 0x20000 && unicode.Is(unicode.S, r):
		return "is an emoji or pictograph, which is not supported"
	case r >= 0x1100 && r <= 0x11ff, needsShaping(r):
		return "belongs to a script that needs shaping, which is not supported"
	}
	return ""
}

// needsShaping knows the scripts, written from left to right, whose letters change shape or place beside others.
func needsShaping(r rune) bool {
	return unicode.In(r, unicode.Mongolian, unicode.Phags_Pa, unicode.Devanagari, unicode.Bengali, unicode.Gurmukhi, unicode.Gujarati,
		unicode.Oriya, unicode.Tamil, unicode.Telugu, unicode.Kannada, unicode.Malayalam, unicode.Sinhala, unicode.Thai, unicode.Lao,
		unicode.Tibetan, unicode.Myanmar, unicode.Khmer, unicode.Javanese, unicode.Balinese, unicode.Tai_Tham)
}

func describe(r rune) string { return fmt.Sprintf("%q (U+%04X)", r, r) }

// check wants every character of a text in the font. Errors wrap ErrText and name each that it lacks: a box or a gap in
// its place would not be what the person approved.
func check(f *font.Font, text string) error {
	lacking := f.Lacking(text)
	if len(lacking) == 0 {
		return nil
	}
	names := make([]string, len(lacking))
	for i, r := range lacking {
		names[i] = describe(r)
	}
	return fmt.Errorf("%w: the font %s lacks %s", ErrText, f.Name(), strings.Join(names, ", "))
}
