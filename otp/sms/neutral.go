package sms

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// Neutral makes a text that a stranger chose fit to stand beside a code: what hides, reorders or breaks lines is gone;
// quotation marks cannot end the quotation in which it is shown; letters that run from right to left, digits that are
// none of 0 to 9, and letters that pose as those of another script inside a word stand as "?"; addresses lose the "//"
// by which phones make them links. Its result is neutral.
func Neutral(s string) string {
	for { // what one pass takes away may bring together what another must look at; each leaves less to do
		next := neutral(s)
		if next == s {
			return s
		}
		s = next
	}
}

func neutral(s string) string {
	var b strings.Builder
	marks := 0
	for _, r := range compatible(strings.ToValidUTF8(s, "?")) {
		if unicode.Is(unicode.M, r) {
			marks++
		} else {
			marks = 0
		}
		switch {
		case unicode.IsSpace(r), unicode.Is(unicode.Z, r), r == '\u2800':
			b.WriteByte(' ')
		case invisible(r), marks > 1, unicode.Is(unicode.Me, r):
		case strings.ContainsRune("\"“”„‟«»‹›‘’‚‛´`＂″〝〞〟❝❞❮❯", r):
			b.WriteByte('\'')
		case strings.ContainsRune("⁄∕⧸", r):
			b.WriteByte('/')
		case !unicode.IsGraphic(r), unicode.In(r, rightToLeft()...), unicode.IsDigit(r) && r > '9', r == unicode.ReplacementChar:
			b.WriteByte('?')
		default:
			b.WriteRune(r)
		}
	}
	text := strings.Join(strings.Fields(b.String()), " ")
	for strings.Contains(text, "://") {
		text = strings.ReplaceAll(text, "://", ":")
	}
	if text = unmixed(text); text == "" {
		return "?"
	}
	return text
}

// compatible replaces letters and digits in disguise (full-width, mathematical, circled) by the plain ones. № and … are
// what they look like.
func compatible(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case invisible(r) && !unicode.IsSpace(r):
		case r == '№' || r == '…':
			b.WriteRune(r)
		default:
			b.WriteString(norm.NFKC.String(string(r)))
		}
	}
	return norm.NFC.String(b.String())
}

// invisible tells whether nobody sees the character, or only what it does to others.
func invisible(r rune) bool {
	switch {
	case unicode.In(r, unicode.Cf, unicode.Cc), unicode.Is(unicode.Variation_Selector, r), r == '\u034f':
		return true
	case r == '\u115f', r == '\u1160', r == '\u3164', r == '\uffa0': // Hangul fillers
		return true
	}
	return unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r)
}

func rightToLeft() []*unicode.RangeTable {
	return []*unicode.RangeTable{
		unicode.Hebrew, unicode.Arabic, unicode.Syriac, unicode.Thaana, unicode.Nko, unicode.Samaritan, unicode.Mandaic,
		unicode.Adlam, unicode.Hanifi_Rohingya, unicode.Mende_Kikakui, unicode.Cypriot, unicode.Phoenician, unicode.Imperial_Aramaic,
		unicode.Avestan, unicode.Kharoshthi, unicode.Old_Turkic, unicode.Lydian, unicode.Yezidi, unicode.Sogdian, unicode.Old_Sogdian,
		unicode.Nabataean, unicode.Palmyrene, unicode.Hatran, unicode.Manichaean, unicode.Inscriptional_Parthian,
		unicode.Inscriptional_Pahlavi, unicode.Psalter_Pahlavi, unicode.Old_Hungarian, unicode.Old_North_Arabian,
		unicode.Old_South_Arabian, unicode.Meroitic_Cursive, unicode.Meroitic_Hieroglyphs, unicode.Chorasmian, unicode.Elymaic,
	}
}

// posing are the letters of a script that look like those of another one.
func posing() []struct {
	script  *unicode.RangeTable
	letters string
} {
	return []struct {
		script  *unicode.RangeTable
		letters string
	}{
		{unicode.Latin, "aAbBcCdDeEgGhHiIïÏjJkKlmMnNoOpPqrsStTuvwxXyYzZëË"},
		{unicode.Cyrillic, "аАвВгсСеЕёЁнНіІїЇјЈкКмМоОпрРтТуУхХѕЅԁԛԜԝһҺүҮӏгѵзьЬбЗ"},
		{unicode.Greek, "αΑΒεΕΖΗηιΙκΚΜνΝοΟρΡτΤυΥχΧγϲϹϳω"},
	}
}

// unmixed replaces, in each word that mixes scripts, the letters that pose as those of the word's main script.
func unmixed(text string) string {
	r := []rune(text)
	for begin := 0; begin < len(r); {
		end := begin
		for end < len(r) && (unicode.IsLetter(r[end]) || unicode.IsMark(r[end])) {
			end++
		}
		unmix(r[begin:end])
		begin = end + 1
	}
	return string(r)
}

func unmix(word []rune) {
	scripts := posing()
	main, most, mixed := 0, 0, 0
	for k, s := range scripts {
		n := 0
		for _, r := range word {
			if unicode.Is(s.script, r) {
				n++
			}
		}
		if n > 0 {
			mixed++
		}
		if n > most {
			main, most = k, n
		}
	}
	if mixed < 2 {
		return
	}
	for i, r := range word {
		for k, s := range scripts {
			if k != main && strings.ContainsRune(s.letters, r) {
				word[i] = '?'
			}
		}
	}
}

// attaches tells whether a character is seen on the one before it.
func attaches(r rune) bool {
	return unicode.Is(unicode.M, r) || r == '\u200d' || r >= 0x1f3fb && r <= 0x1f3ff
}
