package object

import (
	"strings"
	"testing"
)

// FuzzSkip: to skip an object is to read it, but for keys that appear twice and for how many parts there are.
func FuzzSkip(f *testing.F) {
	for _, s := range []string{
		"<</A(()\\(\\)\\\\)/B<4 1 4>/C[1 0 R 2 null true -1.5 +.5]/D<<>>/#41/E>>", "<< /Length 4 >>\nstream", "[% comment\n1]", "(\\", "<4G>", "<< /Length 1 0 R /Length 2>>",
		"1 0 R", "1 0", "[[[", ">>", "/", "-", "<<//Length>>", "<</Length 1/>>", "<< /L#65ngth 3 >>", "<< /Length << /Length 1 >> >>",
	} {
		f.Add([]byte(s), true)
		f.Add([]byte(s), false)
	}
	f.Fuzz(func(t *testing.T, data []byte, final bool) {
		a := &Parser{Buf: data, Depth: 20, Values: 1 << 30, Final: final}
		b := &Parser{Buf: data, Depth: 20, Values: 1 << 30, Final: final}
		v, err1 := a.Value()
		kind, length, err2 := b.Skip()
		switch {
		case err1 != nil && strings.Contains(err1.Error(), "appears twice"):
		case (err1 == nil) != (err2 == nil):
			t.Fatalf("read: %v; skipped: %v", err1, err2)
		case err1 == nil && (a.Pos != b.Pos || v.Kind != kind):
			t.Fatalf("read %d bytes of kind %d, skipped %d of kind %d", a.Pos, v.Kind, b.Pos, kind)
		case err1 == nil && v.Get("Length").Kind == Integer && length.Int != v.Get("Length").Int, err1 == nil && v.Get("Length").Ref != length.Ref:
			t.Fatalf("/Length %q and %v", v.Get("Length").Raw, length)
		}
	})
}
