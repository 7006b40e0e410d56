package appearance

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

// The document names every option, and no other.
func TestDocumentNamesEveryOption(t *testing.T) {
	data, err := os.ReadFile("../../docs/appearance.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(data), "\n## Options\n")
	table, _, _ = strings.Cut(table, "\n## ")
	named := map[string]bool{}
	for line := range strings.Lines(table) {
		if cells := strings.Split(line, "|"); len(cells) > 2 {
			for i, name := range strings.Split(cells[1], "`") {
				if i%2 == 1 {
					named[name] = true
				}
			}
		}
	}
	options := reflect.TypeFor[Appearance]()
	for i := range options.NumField() {
		if name := options.Field(i).Name; !named[name] {
			t.Errorf("%s is not in the table", name)
		} else {
			delete(named, name)
		}
	}
	for name := range named {
		t.Errorf("%s is in the table and is no option", name)
	}
}
