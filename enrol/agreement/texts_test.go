package agreement

import (
	"reflect"
	"strings"
	"testing"
)

// Every language has every text, and the fonts have every character of it.
func TestTextsAreWhole(t *testing.T) {
	f, err := loadFonts()
	if err != nil {
		t.Fatal(err)
	}
	for _, language := range Languages() {
		texts, ok := textsIn(language)
		if !ok {
			t.Fatalf("%s is offered and has no texts", language)
		}
		texts.parties.clauses = []string{"parties are shown in figures, without a clause"}
		var walk func(path string, v reflect.Value)
		walk = func(path string, v reflect.Value) {
			switch v.Kind() {
			case reflect.String:
				if strings.TrimSpace(v.String()) == "" {
					t.Errorf("%s: %s is empty", language, path)
				}
				for _, r := range v.String() {
					if !f.has(r) {
						t.Errorf("%s: %s: the fonts have no %U", language, path, r)
					}
				}
			case reflect.Struct:
				for i := range v.NumField() {
					walk(path+"."+v.Type().Field(i).Name, v.Field(i))
				}
			case reflect.Slice, reflect.Array:
				if v.Len() == 0 {
					t.Errorf("%s: %s is empty", language, path)
				}
				for i := range v.Len() {
					walk(path, v.Index(i))
				}
			case reflect.Func:
				if v.IsNil() {
					t.Errorf("%s: %s is missing", language, path)
				}
			default:
				t.Errorf("%s: %s is a %s", language, path, v.Kind())
			}
		}
		walk("texts", reflect.ValueOf(texts))
		// Clauses name sections by number: 2 data, 4 key, 5 obligations, 7 revocation, 8 records, 9 publication, 10 consents.
		if len(texts.sections) != 9 {
			t.Errorf("%s: %d sections behind the first two, want 9", language, len(texts.sections))
		}
	}
}

func TestUkrainianYears(t *testing.T) {
	for n, want := range map[int]string{
		1: "1 рік", 2: "2 роки", 4: "4 роки", 5: "5 років", 7: "7 років", 11: "11 років", 12: "12 років", 20: "20 років",
		21: "21 рік", 22: "22 роки", 100: "100 років",
	} {
		if got := ukrainianYears(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}
