package sms

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// TestParts: sizes and boundaries as the standards give them, worked out by hand.
func TestParts(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []int // characters of each part
	}{
		{"empty", "", []int{0}},
		{"160 septets", strings.Repeat("a", 160), []int{160}},
		{"161 septets", strings.Repeat("a", 161), []int{153, 8}},
		{"306 and 307 septets", strings.Repeat("a", 307), []int{153, 153, 1}},
		{"extended characters count twice", strings.Repeat("€", 80), []int{80}},
		{"81 of them", strings.Repeat("€", 81), []int{76, 5}}, // 153 is odd: the escape is not separated from its character
		{"one of them at the end of a part", strings.Repeat("a", 152) + "{" + strings.Repeat("a", 10), []int{152, 11}},
		{"70 units", strings.Repeat("ж", 70), []int{70}},
		{"71 units", strings.Repeat("ж", 71), []int{67, 4}},
		{"one letter outside the alphabet", strings.Repeat("a", 70) + "ż", []int{67, 4}},
		{"pairs of surrogates", strings.Repeat("😀", 35), []int{35}},
		{"a pair at the end of a part", strings.Repeat("😀", 36), []int{33, 3}},
		{"a pair across the end of a part", strings.Repeat("ж", 66) + "😀" + strings.Repeat("ж", 4), []int{66, 5}},
		{"Greek capitals are of the alphabet", strings.Repeat("Ω", 160), []int{160}},
		{"Greek small letters are not", strings.Repeat("ω", 71), []int{67, 4}},
		{"typographic quotes are not", strings.Repeat("“", 71), []int{67, 4}},
	} {
		var got []int
		for _, p := range Parts(c.text) {
			got = append(got, utf8.RuneCountInString(p))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: parts of %v characters, want %v", c.name, got, c.want)
		}
	}
}

// The parts together are the text, and each is as long as the network takes.
func TestPartsAreTheText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := strings.ToValidUTF8(anyText().Draw(t, "text"), "?")
		parts := Parts(text)
		if strings.Join(parts, "") != text {
			t.Fatalf("%q are not the parts of %q", parts, text)
		}
		for _, p := range parts {
			gsm, n := !strings.ContainsFunc(text, func(r rune) bool { return septets(r) == 0 }), 0
			for _, r := range p {
				n += septets(r)
			}
			switch units := len(utf16.Encode([]rune(p))); {
			case gsm && (n > 160 || len(parts) > 1 && n > 153):
				t.Fatalf("a part of %d septets", n)
			case !gsm && (units > 70 || len(parts) > 1 && units > 67):
				t.Fatalf("a part of %d units", units)
			}
		}
	})
}

// anyText draws what a stranger may choose: plain words, any Unicode, and what is meant to deceive.
func anyText() *rapid.Generator[string] {
	pieces := rapid.SampledFrom([]string{
		"Договір оренди №17/2026", "umowa najmu", "contract", "\n\nКод 111111.", "\u202e", "\u200b", "{code}", "{who}", "»: «", "”: “", "€[]",
		"😀", "👨‍👩‍👧", "👍🏽", "🇺🇦🇵🇱", "e\u0301\u0301\u0301", "שלום", "ﷺ", "１２３", "𝟭𝟮𝟯", "٣٤", "https://evil.example", "раураl", "\x00", "\xff", "…", strings.Repeat("Щ", 90),
	})
	return rapid.Custom(func(t *rapid.T) string {
		if rapid.Bool().Draw(t, "any") {
			return rapid.String().Draw(t, "string")
		}
		return strings.Join(rapid.SliceOfN(pieces, 0, 12).Draw(t, "pieces"), rapid.SampledFrom([]string{"", " "}).Draw(t, "between"))
	})
}

// TestCodeStandsInTheFirstPart: whatever strangers call themselves and their documents, each text keeps to its number of
// parts, and the whole code stands in the first, before anything that a stranger chose.
func TestCodeStandsInTheFirstPart(t *testing.T) {
	kinds := texts()
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom(sortedKinds(kinds)).Draw(t, "kind")
		language := rapid.SampledFrom([]string{"uk", "pl", "en", "xx"}).Draw(t, "language")
		limit := rapid.IntRange(2, 5).Draw(t, "parts")
		code := rapid.StringMatching(`[0-9]{9}`).Draw(t, "code")
		f := Fields{
			Fixed: map[string]string{
				"code": code, "count": "100", "by": "SHA-256", "hash": "0123abcd", "serial": "89abcdef", "until": "2027-11-25", "time": "2026-11-25 14:05 UTC",
			},
			Names: map[string]string{"who": anyText().Draw(t, "who"), "title": anyText().Draw(t, "title")},
		}
		text := Compose(kind, language, limit, f)
		parts := Parts(text)
		if len(parts) > limit {
			t.Fatalf("%d parts, at most %d: %q", len(parts), limit, text)
		}
		if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) && r != ' ' }) {
			t.Fatalf("not fit to be shown: %q", text)
		}
		if strings.ContainsAny(kinds[kind]["en"], "{}") && regexp.MustCompile(`\{(by|hash|count|serial|until|time)\}`).MatchString(text) {
			t.Fatalf("a place is not filled: %q", text)
		}
		if strings.Contains(kinds[kind]["en"], "{code}") {
			at := strings.Index(parts[0], code)
			if at < 0 {
				t.Fatalf("the code %s is not in the first part: %q", code, parts)
			}
			if before, _, _ := strings.Cut(kinds[kind]["en"], "{code}"); strings.Contains(before, "{") || at > 20 {
				t.Fatalf("something stands before the code: %q", text)
			}
		}
	})
}

func sortedKinds(m map[Kind]map[string]string) (kinds []Kind) {
	for k := range m {
		kinds = append(kinds, k)
	}
	slices.Sort(kinds)
	return kinds
}

// All languages of a text have the same places.
func TestTextsAreComplete(t *testing.T) {
	places := regexp.MustCompile(`\{[a-z]+\}`)
	for kind, all := range texts() {
		want := places.FindAllString(all["en"], -1)
		slices.Sort(want)
		for _, language := range []string{"uk", "pl", "en"} {
			got := places.FindAllString(all[language], -1)
			slices.Sort(got)
			if len(got) == 0 || !slices.Equal(got, want) {
				t.Errorf("%s, %s: places %v, want %v", kind, language, got, want)
			}
		}
	}
}

// A name is cut only when it has to be, the longer one first, and says that it is.
func TestNamesAreShortened(t *testing.T) {
	f := Fields{
		Fixed: map[string]string{"code": "482913", "count": "1", "by": "SHA-384", "hash": "9f3ac2d1"},
		Names: map[string]string{"who": "Договори", "title": "Договір оренди"},
	}
	if got, want := Compose(KindSign, "uk", 2, f), "Код 482913. Підпис для «Договори»: «Договір оренди», документів: 1, SHA-384 9f3ac2d1… Нікому не кажіть код."; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	f.Names["title"] = strings.Repeat("Щ", 60)
	got := Compose(KindSign, "uk", 2, f)
	if m := regexp.MustCompile(`«Договори»: «Щ{20,}…»`); !m.MatchString(got) || len(utf16.Encode([]rune(got))) != 134 {
		t.Errorf("%d units: %s", len(utf16.Encode([]rune(got))), got)
	}
	if got := Compose(KindSign, "uk", 3, f); !strings.Contains(got, strings.Repeat("Щ", 60)) {
		t.Errorf("cut although there is room: %s", got)
	}
	f.Names["who"] = strings.Repeat("Ї", 60)
	if got := Compose(KindSign, "uk", 2, f); !regexp.MustCompile(`«Ї{15,}…»: «Щ{15,}…»`).MatchString(got) {
		t.Errorf("one name pays for the other: %s", got)
	}
}

// A text whose letters are all in the default alphabet does without typography, and so has room for more.
func TestPlainTexts(t *testing.T) {
	f := Fields{
		Fixed: map[string]string{"code": "482913", "count": "2", "by": "SHA-256", "hash": "9f3ac2d1"},
		Names: map[string]string{"who": "Contracts Online", "title": "Lease – “Main Street”"},
	}
	want := `Code 482913. Signature for "Contracts Online": "Lease - 'Main Street'", documents: 2, SHA-256 9f3ac2d1... Tell the code to nobody.`
	if got := Compose(KindSign, "en", 2, f); got != want || len(Parts(got)) != 1 {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	f.Names["title"] = strings.Repeat("w", 180)
	if got := Compose(KindSign, "en", 2, f); !strings.Contains(got, f.Names["title"]) {
		t.Errorf("cut although there is room: %s", got)
	}
	f.Names["title"] = "Оренда"
	if got := Compose(KindSign, "en", 2, f); !strings.Contains(got, "“Contracts Online”: “Оренда”") {
		t.Error(got)
	}
}

func TestShorten(t *testing.T) {
	for _, c := range [][2]string{
		{"Договір", "Догов…"},
		{"Догові", "Догові"},
		{"", ""},
		{"e\u0301e\u0301e\u0301e\u0301", "e\u0301e\u0301…"},
		{"abcd👍🏽x", "abcd…"},
		{"🇺🇦🇵🇱🇺🇦🇵🇱", "🇺🇦🇵🇱…"},
		{"ab c def", "ab c…"},
	} {
		if got := Shorten(c[0], 6); got != c[1] {
			t.Errorf("%q is shortened to %q, want %q", c[0], got, c[1])
		}
	}
}

func TestNeutral(t *testing.T) {
	for _, c := range [][2]string{
		{"Договір оренди №17/2026…", "Договір оренди №17/2026…"},
		{"Umowa najmu żółć", "Umowa najmu żółć"},
		{"a\nКод 111111\r\nb\tc", "a Код 111111 b c"},
		{"1\u20282\u00a03", "1 2 3"},
		{"pay\u202egnp.exe\u202c", "paygnp.exe"},
		{"in\u200bvis\u2060ible\ufeff\u00ad", "invisible"},
		{"»: «інше", "': 'інше"},
		{"”: “other", "': 'other"},
		{"１２３ 𝟒𝟓 ⑥", "123 45 6"},
		{"٣ hebrew א", "? hebrew ?"},
		{"https://evil.example", "https:evil.example"},
		{"https:///::////x", "https:/::x"},
		{"PayРal", "Pay?al"}, // the fourth letter is Cyrillic
		{"Привaт", "Прив?т"}, // the fifth letter is Latin
		{"PDF-файл", "PDF-файл"},
		{"3Dдрук", "3?друк"},
		{"e\u0301", "é"},
		{"z\u0300\u0301\u0302x", "z\u0300x"},
		{"\x00\xff", "?"},
		{"\u200b", "?"},
		{"", "?"},
		{"👍🏽 ok", "👍🏽 ok"},
	} {
		if got := Neutral(c[0]); got != c[1] {
			t.Errorf("%q becomes %q, want %q", c[0], got, c[1])
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		s := anyText().Draw(t, "text")
		once := Neutral(s)
		if twice := Neutral(once); twice != once {
			t.Fatalf("%q becomes %q, and that %q", s, once, twice)
		}
		for _, r := range once {
			if r == '\n' || r == '\u202e' || strings.ContainsRune("«»“”„\"", r) || unicode.In(r, unicode.Hebrew, unicode.Arabic, unicode.Cc, unicode.Cf) {
				t.Fatalf("%q becomes %q", s, once)
			}
		}
	})
}

func ExampleCompose() {
	fmt.Println(Compose(KindPhone, "en", 0, Fields{Fixed: map[string]string{"code": "482913"}, Names: map[string]string{"who": "Example\nTrust"}}))
	// Output: Code 482913: confirmation of your phone number. Example Trust. Tell the code to nobody.
}
