package agreement

import (
	"errors"
	"testing"

	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/sfnt"
)

// The new cmap says of every character what the old one said, and of one more.
func TestMapRune(t *testing.T) {
	for name, ttf := range map[string][]byte{"regular": goregular.TTF, "bold": gobold.TTF} {
		before, err := sfnt.Parse(ttf)
		if err != nil {
			t.Fatal(err)
		}
		_, after, err := loadFont(ttf)
		if err != nil {
			t.Fatal(err)
		}
		var buf sfnt.Buffer
		for r := rune(0); r < 0x10000; r++ {
			old := r
			if r == letterApostrophe {
				old = quoteApostrophe
			}
			want, err1 := before.GlyphIndex(&buf, old)
			got, err2 := after.GlyphIndex(&buf, r)
			if err1 != nil || err2 != nil || got != want {
				t.Fatalf("%s: %U is glyph %d, want %d (%v, %v)", name, r, got, want, err1, err2)
			}
		}
		if _, err := mapRune(ttf, 'A', 1); !errors.Is(err, errFont) {
			t.Errorf("a character mapped twice: %v", err)
		}
	}
}

func FuzzMapRune(f *testing.F) {
	f.Add(goregular.TTF[:400], uint16(letterApostrophe))
	f.Add([]byte{0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 'c', 'm', 'a', 'p', 0, 0, 0, 0, 0, 0, 0, 27, 0, 0, 0, 9}, uint16(1))
	f.Fuzz(func(t *testing.T, ttf []byte, r uint16) {
		if out, err := mapRune(ttf, r, 3); err != nil && (!errors.Is(err, errFont) || out != nil) {
			t.Errorf("%v", err)
		}
	})
}
