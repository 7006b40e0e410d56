package object_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/ecsigner/ecsigner/signer/pdf/object"
)

// parse reads the first object of data, which is all there is.
func parse(data []byte) (object.Value, error) {
	p := object.Parser{Buf: data, Depth: 64, Values: 1 << 18, Final: true}
	return p.Value()
}

func TestStrings(t *testing.T) {
	for raw, want := range map[string]string{
		`(plain)`:                "plain",
		`(a(b)c)`:                "a(b)c",
		`(\n\r\t\b\f\(\)\\\q)`:   "\n\r\t\b\f()\\q",
		`(\101\7\0053)`:          "A\x07\x053",
		"(a\\\nb\\\r\nc\\\rd)":   "abcd",
		`<>`:                     "",
		`<4>`:                    "@",
		`<feff0428 0429>`:        "ШЩ",
		`<FEFFD83DDE00>`:         "😀",
		`<EFBBBFD0A8>`:           "Ш",
		`(\376\377\004\(\004\))`: "ШЩ",
	} {
		v, err := parse([]byte(raw))
		if err != nil {
			t.Errorf("%s: %v", raw, err)
			continue
		}
		if got := v.Unicode(); v.Kind != object.String || got != want {
			t.Errorf("%s: %q, want %q", raw, got, want)
		}
	}
}

func TestTextStringRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text")
		v, err := parse(object.TextString(text))
		if err != nil {
			t.Fatal(err)
		}
		if got := v.Unicode(); got != text {
			t.Fatalf("%q reads back as %q", text, got)
		}
	})
}

func TestFloat(t *testing.T) {
	for raw, want := range map[string]float64{"7": 7, "-3": -3, "+.25": .25, "7.": 7, "-4.5": -4.5} {
		if v, err := parse([]byte(raw)); err != nil {
			t.Errorf("%s: %v", raw, err)
		} else if got, ok := v.Float(); !ok || got != want {
			t.Errorf("%s: %v, %v", raw, got, ok)
		}
	}
	for _, raw := range []string{"(7)", "null", "7 0 R", "true", strings.Repeat("9", 400) + ".0"} {
		if v, err := parse([]byte(raw)); err == nil {
			if got, ok := v.Float(); ok {
				t.Errorf("%s: %v", raw, got)
			}
		}
	}
}

// TestWith sets keys one after the other and finds the last value of each, and every other entry as it was.
func TestWith(t *testing.T) {
	values := []string{"1", "(x)", "/N", "<< /A [1 2] >>", "[3 0 R]", "null", "<00>", "-.5", "% c\n7"}
	rapid.Check(t, func(t *rapid.T) {
		want := map[string]string{}
		body := ""
		key := rapid.SampledFrom([]string{"A", "B", "C", "D", "E"})
		for _, k := range rapid.SliceOfNDistinct(key, 0, 5, rapid.ID[string]).Draw(t, "keys") {
			v := rapid.SampledFrom(values).Draw(t, "value")
			body += "/" + k + rapid.SampledFrom([]string{" ", "\n", " % remark >>\r"}).Draw(t, "space") + v + " "
			want[k] = strings.TrimPrefix(v, "% c\n")
		}
		read := func(raw string) object.Value {
			v, err := parse([]byte(raw))
			if err != nil {
				t.Fatalf("%q: %v", raw, err)
			}
			return v
		}
		v := read("<<" + body + ">>")
		for range 3 {
			k, raw := key.Draw(t, "set"), rapid.SampledFrom(values[:8]).Draw(t, "to")
			v, want[k] = v.With(k, []byte(raw)), raw
		}
		again := read(string(v.Raw))
		if len(again.Entries) != len(want) {
			t.Fatalf("%q has %d keys, want %d", v.Raw, len(again.Entries), len(want))
		}
		for k, raw := range want {
			if got := string(again.Get(k).Raw); got != raw {
				t.Fatalf("/%s is %q, want %q, in %q", k, got, raw, v.Raw)
			}
		}
	})
}

// seeds are objects of every kind, alone and in each other, and what is almost one.
var seeds = []string{
	"null", "true", "false ", "0", "-17", "+3", "8388608 0 R", "99999999999999999999", "-.5", "4.", "+.25", "1e5", "--5", ".",
	"12 0 R", "12 65535 R", "12 65536 R", "12 0 Rx", "1 2 3", "1 0 obj", "007 0 R",
	"/Name", "/A#20B#2f#", "/#", "/", "/ /A", "/\xd0\xa8", "(plain)", `(a(b)c\)\\\n\101\7\0053\q)`, "(a\\\r\nb\\\nc)", "(open", "()", "<4142 43>", "<4", "<0g>",
	"<FEFF04280429>", "<>", "<feffD83D>", "[]", "[1 -2 .3 true null (x) <00> /N 3 0 R 77 [[]] << >>]", "[1 2 R 3 0 R 4]", "[(]", "[1]]", "]",
	"<<>>", "<< /A 1 /B 2 0 R /C << /D [ ] /E (>>) >> >>", "<</A/B/C(d)/E<00>/F[1]/G<</H null>>>>", "<< /A 1 /A 2 >>", "<< /A >>", "<< 1 2 >>", "<</A 1>",
	"<< % a >>\n/A % b\r1 % c\n>> % d", "% only a remark", "%\n7", "{}", ")", ">", "nil", "R", "endobj", "\x00\t\n\f\r 5\x00",
	"<< /Type /Sig /ByteRange [0 9999999999 9999999999 9999999999] /Contents <000000> /M (D:20250102030405Z) >>",
	"<< /FT /Sig /T <FEFF0428> /V 7 0 R /Kids [8 0 R 9 0 R] /Rect [0 0 .5 -1.25] /F 132 >>",
	"<< /Length 3 /#4cength 4 >>\nstream\nabc\nendstream", "[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]",
}

// same reports whether two values are one, in spelling, meaning and place.
func same(a, b object.Value) bool { return a.Pos == b.Pos && alike(a, b) }

// alike reports whether two values are one in spelling and meaning, wherever they stand.
func alike(a, b object.Value) bool {
	return a.Kind == b.Kind && bytes.Equal(a.Raw, b.Raw) && a.Int == b.Int && a.Text == b.Text && a.Ref == b.Ref &&
		slices.EqualFunc(a.Elems, b.Elems, alike) &&
		slices.EqualFunc(a.Entries, b.Entries, func(x, y object.Entry) bool { return x.Key == y.Key && alike(x.Value, y.Value) })
}

// FuzzValue reads an object from any bytes, at a place in a file, and cut off after some of them.
func FuzzValue(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s), len(s)/2)
	}
	f.Fuzz(func(t *testing.T, data []byte, cut int) {
		const base = 1000
		at := func(data []byte, base int64) *object.Parser {
			return &object.Parser{Buf: data, Base: base, Depth: 32, Values: 1 << 12, Final: true}
		}
		p := at(data, base)
		v, err := p.Value()
		checkCut(t, data, cut, v, err)
		if err != nil {
			if !errors.Is(err, object.ErrDamaged) && !errors.Is(err, object.ErrTooLarge) {
				t.Fatalf("%q: %v", data, err)
			}
			return
		}
		if p.Pos != int(v.Pos)-base+len(v.Raw) {
			t.Fatalf("%q: %d bytes were read, and the object is %q at %d", data, p.Pos, v.Raw, v.Pos)
		}
		checkPlaces(t, data, base, v)
		again, err := at(v.Raw, v.Pos).Value()
		if err != nil || !same(v, again) {
			t.Fatalf("%q reads as %+v, then as %+v, %v", v.Raw, v, again, err)
		}
		in, err := at(data, -1).Value()
		if err != nil || !alike(v, in) || in.Pos != -1 {
			t.Fatalf("%q in an object stream: %+v, %v", v.Raw, in, err)
		}
		if v.Kind == object.Dict {
			checkWith(t, v)
		}
		if v.Kind == object.Array {
			longer, err := parse(v.Append([]byte("/Last")))
			if n := len(v.Elems); err != nil || len(longer.Elems) != n+1 || !slices.EqualFunc(longer.Elems[:n], v.Elems, alike) || longer.Elems[n].Text != "Last" {
				t.Fatalf("%q with one element more: %+v, %v", v.Raw, longer, err)
			}
		}
	})
}

// checkCut: a parser that sees only the beginning asks for more or says what it says of the whole.
func checkCut(t *testing.T, data []byte, cut int, v object.Value, err error) {
	if cut < 0 || cut >= len(data) {
		return
	}
	got, cutErr := (&object.Parser{Buf: data[:cut], Base: 1000, Depth: 32, Values: 1 << 12}).Value()
	switch {
	case errors.Is(cutErr, object.ErrMore):
	case (cutErr == nil) != (err == nil), err != nil && cutErr.Error() != err.Error(), !same(got, v):
		t.Fatalf("%q, cut at %d: %+v, %v; whole: %+v, %v", data, cut, got, cutErr, v, err)
	}
}

// checkPlaces: a value and all that it holds are the bytes of the file where they say that they stand, one after the other.
func checkPlaces(t *testing.T, data []byte, base int64, v object.Value) {
	at := v.Pos - base
	if at < 0 || at+int64(len(v.Raw)) > int64(len(data)) || !bytes.Equal(data[at:][:len(v.Raw)], v.Raw) || len(v.Raw) == 0 {
		t.Fatalf("%q stands at %d of %q", v.Raw, v.Pos, data)
	}
	inner := v.Elems
	for _, e := range v.Entries {
		inner = append(inner, e.Value)
		if name, err := parse(object.AppendName(nil, e.Key)); err != nil || name.Kind != object.Name || name.Text != e.Key {
			t.Fatalf("key %q is written as one that reads as %q, %v", e.Key, name.Text, err)
		}
	}
	free := v.Pos + 1
	for _, e := range inner {
		if e.Pos < free || e.Pos+int64(len(e.Raw)) >= v.Pos+int64(len(v.Raw)) {
			t.Fatalf("%q at %d does not lie within %q at %d", e.Raw, e.Pos, v.Raw, v.Pos)
		}
		free = e.Pos + int64(len(e.Raw))
		checkPlaces(t, data, base, e)
	}
}

// checkWith sets a key that is there and one that is not, one after the other: they are what was set, all others as before.
func checkWith(t *testing.T, v object.Value) {
	want, keys := map[string][]byte{}, []string{"Fuzzed"}
	for _, e := range v.Entries {
		want[e.Key] = e.Value.Raw
	}
	if n := len(v.Entries); n > 0 {
		keys = append(keys, v.Entries[0].Key, v.Entries[n-1].Key, v.Entries[n/2].Key)
	}
	changed := v
	for _, k := range keys {
		for _, raw := range [][]byte{v.Raw, []byte("7 0 R"), []byte("5")} {
			changed, want[k] = changed.With(k, raw), raw
			got, err := parse(changed.Raw)
			if err != nil || len(got.Entries) != len(want) {
				t.Fatalf("%q with /%s %q: %q, %v", v.Raw, k, raw, got.Raw, err)
			}
			for _, e := range got.Entries {
				if !bytes.Equal(e.Value.Raw, want[e.Key]) {
					t.Fatalf("%q with /%s %q: /%s is %q", v.Raw, k, raw, e.Key, e.Value.Raw)
				}
			}
		}
	}
}
