package agreement

import (
	"reflect"
	"regexp"
	"slices"
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
		if len(texts.sections) != declarationsAt+1 || len(texts.declarations.clauses) != 5 {
			t.Errorf("%s: %d sections and %d declarations", language, len(texts.sections), len(texts.declarations.clauses))
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

func TestPolishYears(t *testing.T) {
	for n, want := range map[int]string{
		1: "1 rok", 2: "2 lata", 4: "4 lata", 5: "5 lat", 11: "11 lat", 12: "12 lat", 20: "20 lat", 21: "21 lat", 22: "22 lata", 112: "112 lat",
	} {
		if got := polishYears(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}

// Every language has the same clauses and the same values in them, so that nobody agrees to more or less than others.
func TestLanguagesSayTheSame(t *testing.T) {
	shape := func(language string) (all []string) {
		texts, _ := textsIn(language)
		for _, s := range append(texts.sections, texts.declarations, texts.subscriberPart) {
			for _, clause := range s.clauses {
				all = append(all, strings.Join(placeholders.FindAllString(clause, -1), " "))
			}
			all = append(all, "section")
		}
		return all
	}
	want := shape("uk")
	for _, language := range Languages() {
		if got := shape(language); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", language, got, want)
		}
	}
}

var placeholders = regexp.MustCompile(`\{[a-z_]+\}`)
