package appearance

import (
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/image/font/gofont/goregular"
	"pgregory.net/rapid"

	"github.com/ecsigner/ecsigner/signer/pdf/pages"
)

func TestTextsThatCannotBeShown(t *testing.T) {
	for text, want := range map[string]string{
		"Ім'я 😀":           `'😀' (U+1F600) is an emoji`,
		"שלום":             "U+05E9) is written from right to left",
		"علي":              "U+0639) is written from right to left",
		"а\u0301":          "U+0301) is a combining mark without a composed form",
		"x\u200dy":         "U+200D) is an invisible format character",
		"a\u202eb":         "U+202E) is an invisible format character",
		"line\nbreak":      "U+000A) is a control character",
		"a\u2028b":         "U+2028) is a control character",
		"नमस्ते":           "needs shaping",
		"lost \ufffd":      "U+FFFD) stands for a character that was lost",
		"broken \xff":      "U+FFFD) stands for a character that was lost",
		"日本 日 Ж":           "the font GoRegular lacks '日' (U+65E5), '本' (U+672C)",
		longText(1025):     "longer than 1024 characters",
		"ᄒ":                "needs shaping",
		"\U0001F1FA":       "is an emoji",
		"flag \U000E0067x": "invisible format character",
	} {
		a := Appearance{Lines: []string{text}}
		err := a.Check()
		if !errors.Is(err, ErrText) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %q expected, got %v", text, want, err)
		}
	}
}

func longText(n int) string { return strings.Repeat("я", n) }

func TestDecomposedTextIsComposed(t *testing.T) {
	// "й", "ї", "ą", "ó" as letter and mark.
	got, err := clean("и\u0306 і\u0308 a\u0328 o\u0301")
	if err != nil || got != "й ї ą ó" {
		t.Errorf("%q, %v", got, err)
	}
}

// What Ukrainian and Polish need is in the fonts that are built in.
func TestBuiltInFontsKnowBothLanguages(t *testing.T) {
	a := Appearance{Language: "uk", Lines: []string{
		"АБВГҐДЕЄЖЗИІЇЙКЛМНОПРСТУФХЦЧШЩЬЮЯ абвгґдеєжзиіїйклмнопрстуфхцчшщьюя ʼ’'«»№—–…",
		"AĄBCĆDEĘFGHIJKLŁMNŃOÓPQRSŚTUVWXYZŹŻ aąbcćdeęfghijklłmnńoópqrsśtuvwxyzźż „”€",
		"non\u00a0breaking\u202fspaces\u2011and hyphens",
	}}
	if err := a.Check(); err != nil {
		t.Error(err)
	}
	a = Appearance{Font: goregular.TTF, Lines: []string{"Ґ"}}
	if err := a.Check(); err != nil {
		t.Error(err)
	}
}

func TestTimeIsShownWithItsOffset(t *testing.T) {
	at := time.Date(2026, 3, 1, 22, 4, 5, 0, time.UTC)
	for _, c := range []struct {
		language, want, zone string
	}{
		{"en", "2026-03-01 22:04:05 UTC", ""},
		{"uk", "02.03.2026 00:04:05 +02:00", "Europe/Kyiv"},
		{"pl", "01.03.2026 18:34:05 -03:30", "America/St_Johns"},
	} {
		l, _ := labelsOf(c.language)
		zone, err := (&Appearance{Zone: c.zone}).location()
		if err != nil {
			t.Fatal(err)
		}
		if got := l.when(at, zone); got != c.want {
			t.Errorf("%s: %q, not %q", c.language, got, c.want)
		}
	}
}

func sample(t testing.TB, texts ...string) []block {
	f := parse(t, goregular.TTF)
	var blocks []block
	for i, s := range texts {
		b := block{face: f, scale: 1, colour: "#000000", text: s}
		if i > 1 {
			b.label = "Label:"
		}
		blocks = append(blocks, b)
	}
	return blocks
}

// Whatever the box and the text: what is set lies in the box, lines do not overlap, and nothing is lost, or there is
// an error.
func TestSettingStaysInItsBox(t *testing.T) {
	word := rapid.StringMatching(`[А-ЯA-Z][а-яa-zіїєґ-]{0,14}`)
	rapid.Check(t, func(rt *rapid.T) {
		var texts []string
		for range rapid.IntRange(1, 6).Draw(rt, "blocks") {
			texts = append(texts, strings.Join(rapid.SliceOfN(word, 1, 12).Draw(rt, "words"), " "))
		}
		blocks := sample(t, texts...)
		w, h := rapid.Float64Range(1, 400).Draw(rt, "w"), rapid.Float64Range(1, 200).Draw(rt, "h")
		s, err := typeset(blocks, w, h, 0, "#777777")
		if err != nil {
			if !errors.Is(err, ErrTooSmall) {
				rt.Fatal(err)
			}
			return
		}
		var all strings.Builder
		shortened := false
		for i, p := range s.pieces {
			if p.x < 0 || p.x+p.face.Width(p.text, p.size) > w+0.001 {
				rt.Errorf("%q reaches from %.1f to %.1f of %.1f", p.text, p.x, p.x+p.face.Width(p.text, p.size), w)
			}
			if p.y-p.size*0.7 < -0.5 || p.y+below*p.size > h+0.001 || p.size < minSize || p.size > maxSize {
				rt.Errorf("%q at %.1f of %.1f, size %.2f", p.text, p.y, h, p.size)
			}
			if i > 0 && p.y != s.pieces[i-1].y && p.y-s.pieces[i-1].y < p.size {
				rt.Errorf("%q overlaps the line above", p.text)
			}
			shortened = shortened || strings.HasSuffix(p.text, "…")
			if p.colour != "#777777" {
				all.WriteString(strings.ReplaceAll(p.text, " ", ""))
			}
		}
		if want := strings.ReplaceAll(strings.Join(texts, ""), " ", ""); !shortened && all.String() != want {
			rt.Errorf("%q set as %q", want, all.String())
		}
	})
}

func TestLongNames(t *testing.T) {
	const name = "Wolfeschlegelsteinhausenbergerdorff-Шевченко-Грушевський Костянтин-Олександр Всеволодович"
	roomy, err := typeset(sample(t, name), 500, 40, 0, "")
	if err != nil || len(roomy.pieces) != 1 {
		t.Errorf("a name that fits is set in %d lines, %v", len(roomy.pieces), err)
	}
	wrapped, err := typeset(sample(t, name), 170, 60, 0, "")
	if err != nil || len(wrapped.pieces) < 2 || strings.Contains(wrapped.pieces[len(wrapped.pieces)-1].text, "…") {
		t.Errorf("a name that fits in lines: %+v, %v", wrapped.pieces, err)
	}
	for _, p := range wrapped.pieces[:len(wrapped.pieces)-1] {
		if last, _ := utf8.DecodeLastRuneInString(p.text); last != '-' && !strings.Contains(name, p.text+" ") {
			t.Errorf("a word is broken after %q", p.text)
		}
	}
	short, err := typeset(sample(t, name), 60, 6, 0, "")
	if err != nil || len(short.pieces) != 1 || !strings.HasSuffix(short.pieces[0].text, "…") || !strings.HasPrefix(name, strings.TrimSuffix(short.pieces[0].text, "…")) {
		t.Errorf("a name in a tiny box: %+v, %v", short.pieces, err)
	}
	_, err = typeset(sample(t, name), 60, 2, 0, "")
	if !errors.Is(err, ErrTooSmall) || !strings.Contains(err.Error(), "needs a height of 3.8") {
		t.Errorf("no height: %v", err)
	}
	_, err = typeset(sample(t, name), 2, 60, 0, "")
	if !errors.Is(err, ErrTooSmall) || !strings.Contains(err.Error(), "2 points are left for a line") {
		t.Errorf("no width: %v", err)
	}
}

func TestOptionsThatCannotBeUsed(t *testing.T) {
	nan := 0.0
	nan /= nan
	for want, a := range map[string]Appearance{
		"page -1":                       {Page: -1},
		"rotation by 45":                {Rotate: 45},
		"width of -1":                   {Width: -1},
		"height of NaN":                 {Height: nan},
		"margin of 20000":               {Margin: 20000},
		"0.9 points: nobody could read": {FontSize: 0.9},
		"unknown corner":                {Corner: 4},
		"or place of the picture":       {PicturePlace: 5},
		"more than 16 lines":            {Lines: make([]string, 17)},
		"only a picture":                {PicturePlace: PictureOnly},
		"language \"de\"":               {Language: "de"},
		"zone \"Europe/Atlantis\"":      {Zone: "Europe/Atlantis"},
		"zone \"Local\"":                {Zone: "Local"},
		"zone \"../../etc/passwd\"":     {Zone: "../../etc/passwd"},
		"both a rectangle and a corner": {Rect: pages.Box{0, 0, 9, 9}, Corner: TopLeft},
		"corner, size or margin":        {Rect: pages.Box{0, 0, 9, 9}, Margin: 1},
		"colour \"red\"":                {Border: "red"},
		"colour \"#12345\"":             {Background: "#12345"},
		"without a colour":              {Ink: "none"},
	} {
		if err := a.Check(); !errors.Is(err, ErrOptions) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q expected, got %v", want, err)
		}
	}
}
