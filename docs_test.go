package ecsigner_test

import (
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"
)

// The documents are held to what they speak of: a link, a file, a test, a step or a package that is gone fails here.
// What they say about commands is held to the program in cmd/ecsigner.

var (
	fence   = regexp.MustCompile("(?ms)^```.*?^```$")
	span    = regexp.MustCompile("`[^`]+`")
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
)

// files returns the names of all files of the tree whose name ends in one of the suffixes.
func files(t *testing.T, suffixes ...string) []string {
	t.Helper()
	var found []string
	err := fs.WalkDir(os.DirFS("."), ".", func(name string, d fs.DirEntry, err error) error {
		if d.IsDir() && slices.Contains([]string{".git", ".cache", "bin", "out"}, name) {
			return fs.SkipDir
		}
		if !d.IsDir() && slices.ContainsFunc(suffixes, func(s string) bool { return strings.HasSuffix(name, s) }) {
			found = append(found, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func text(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// quoted returns what stands between backticks in the documents that describe the present state; the changelog also
// names what is gone.
func quoted(t *testing.T) map[string][]string {
	found := map[string][]string{}
	for _, doc := range files(t, ".md") {
		if doc == "CHANGELOG.md" {
			continue
		}
		for _, s := range span.FindAllString(fence.ReplaceAllString(text(t, doc), ""), -1) {
			found[doc] = append(found[doc], strings.Trim(s, "`"))
		}
	}
	return found
}

// rows returns the cells of the tables below a heading, without head and ruler.
func rows(t *testing.T, doc, title string) [][]string {
	t.Helper()
	_, section, ok := strings.Cut("\n"+text(t, doc), "\n"+title+"\n")
	if !ok {
		t.Fatalf("%s has no heading %q", doc, title)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var found [][]string
	for line := range strings.Lines(section) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "|") {
			cells := strings.Split(strings.Trim(line, "|"), "|")
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			found = append(found, cells)
		}
	}
	if len(found) < 3 {
		t.Fatalf("%s has no table below %q", doc, title)
	}
	return found[2:]
}

// names returns what stands between backticks in a cell.
func names(cell string) []string {
	var found []string
	for _, s := range span.FindAllString(cell, -1) {
		found = append(found, strings.Trim(s, "`"))
	}
	return found
}

// anchor is the fragment by which a heading is linked to.
func anchor(title string) string {
	title = strings.ToLower(strings.ReplaceAll(title, "`", ""))
	title = regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(title, "")
	return strings.ReplaceAll(title, " ", "-")
}

func TestLinksResolve(t *testing.T) {
	links := 0
	for _, doc := range files(t, ".md") {
		body := span.ReplaceAllString(fence.ReplaceAllString(text(t, doc), ""), "")
		for _, m := range link.FindAllStringSubmatch(body, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			links++
			target, fragment, _ := strings.Cut(m[1], "#")
			file := doc
			if target != "" {
				file = path.Join(path.Dir(doc), target)
			}
			if !exists(file) {
				t.Errorf("%s links to %s, which is not there", doc, m[1])
				continue
			}
			if fragment == "" {
				continue
			}
			linked := fence.ReplaceAllString(text(t, file), "")
			if !slices.ContainsFunc(heading.FindAllStringSubmatch(linked, -1), func(h []string) bool { return anchor(h[1]) == fragment }) {
				t.Errorf("%s links to %s, a heading that is not there", doc, m[1])
			}
		}
	}
	if links < 20 {
		t.Errorf("only %d links were seen", links)
	}
}

// A file may be named from the root, or beside the document.
func TestNamedFilesAndTestsExist(t *testing.T) {
	file := regexp.MustCompile(`^[\w.-]+(/[\w.-]+)*\.(go|md|proto|yaml|jsonl)$`)
	test := regexp.MustCompile(`^(Test|Fuzz|Benchmark)[A-Z]\w*$`)
	installed := []string{"ecsigner.yaml"} // of an installation, not of the tree
	var tests strings.Builder
	for _, name := range files(t, "_test.go") {
		tests.WriteString(text(t, name))
	}
	seenFiles, seenTests := 0, 0
	for doc, all := range quoted(t) {
		for _, name := range all {
			switch {
			case test.MatchString(name):
				seenTests++
				if !strings.Contains(tests.String(), "\nfunc "+name+"(") {
					t.Errorf("%s names %s; there is no such test", doc, name)
				}
			case file.MatchString(name) && !slices.Contains(installed, name):
				seenFiles++
				if !exists(name) && !exists(path.Join(path.Dir(doc), name)) {
					t.Errorf("%s names %s, which is not there", doc, name)
				}
			}
		}
	}
	if seenFiles < 20 || seenTests < 3 {
		t.Errorf("only %d files and %d tests were seen", seenFiles, seenTests)
	}
}

func TestDesignShowsTheLayers(t *testing.T) {
	shown := map[string]bool{}
	for _, row := range rows(t, "docs/design.md", "## Packages") {
		name := names(row[0])[0]
		shown[name] = true
		rule, ok := allowed[name]
		if !ok {
			t.Errorf("docs/design.md has a row for %s, layering_test.go has none", name)
			continue
		}
		imports := names(row[2])
		switch row[2] {
		case "nothing":
			imports = []string{}
		case "everything":
			imports = []string{"*"}
		}
		if imports == nil || !slices.Equal(imports, rule) {
			t.Errorf("docs/design.md lets %s import %q, layering_test.go %v", name, row[2], rule)
		}
	}
	for name := range allowed {
		if !shown[name] {
			t.Errorf("docs/design.md has no row for %s", name)
		}
	}
}

// The steps of the two crash tables are those of the comments in the code, in order.
func TestDesignShowsTheSteps(t *testing.T) {
	step := regexp.MustCompile(`// step (\d+): `)
	for title, sources := range map[string][]string{
		"## A signature": {"signer/create.go", "signer/sign.go"},
		"## Issuing":     {"enrol/issue.go"},
	} {
		var code, shown []string
		for _, source := range sources {
			for _, m := range step.FindAllStringSubmatch(text(t, source), -1) {
				code = append(code, m[1])
			}
		}
		for _, row := range rows(t, "docs/design.md", title) {
			shown = append(shown, row[0])
		}
		if !slices.Equal(code, shown) {
			t.Errorf("docs/design.md, %s: steps %v; the code has %v", title, shown, code)
		}
	}
}

// entries.jsonl holds one entry of each kind; package audit sees to that.
func TestFormatsShowEveryEvent(t *testing.T) {
	shown := map[string]string{}
	for _, row := range rows(t, "docs/formats.md", "## 1. Operation log") {
		shown[names(row[0])[0]] = strings.Join(names(row[1]), " ")
	}
	for line := range strings.Lines(text(t, "audit/testdata/entries.jsonl")) {
		kind, fields := event(t, line)
		if got, ok := shown[kind]; !ok || got != fields {
			t.Errorf("docs/formats.md gives %s the fields %q, an entry has %q", kind, got, fields)
		}
		delete(shown, kind)
	}
	for kind := range shown {
		t.Errorf("docs/formats.md names %s; there is no such event", kind)
	}
}

// event returns the kind of an entry and its fields after v, type and at, in their order. No text in an entry holds a
// quote, so every name before a colon is a field.
func event(t *testing.T, entry string) (kind, fields string) {
	t.Helper()
	var keys []string
	for _, m := range regexp.MustCompile(`"(\w+)":`).FindAllStringSubmatch(entry, -1) {
		keys = append(keys, m[1])
	}
	m := regexp.MustCompile(`"type":"([a-z.]+)"`).FindStringSubmatch(entry)
	if m == nil || len(keys) < 3 {
		t.Fatalf("%s is no entry", entry)
	}
	return m[1], strings.Join(keys[3:], " ")
}

// Events and configuration keys that are named with a dot exist.
func TestNamedEventsAndKeysExist(t *testing.T) {
	known, groups := map[string]bool{}, map[string]bool{}
	for line := range strings.Lines(text(t, "audit/testdata/entries.jsonl")) {
		kind, _ := event(t, line)
		known[kind] = true
	}
	section := ""
	key := regexp.MustCompile(`^( *)(\w+):`)
	for line := range strings.Lines(text(t, "cmd/ecsigner/config/template.yaml")) {
		switch m := key.FindStringSubmatch(line); {
		case m == nil:
		case m[1] == "":
			section = m[2]
		case m[1] == "  ":
			known[section+"."+m[2]] = true
		}
	}
	for name := range known {
		group, _, _ := strings.Cut(name, ".")
		groups[group] = true
	}
	dotted := regexp.MustCompile(`^([a-z]+)\.[a-z_]+$`)
	seen := 0
	for doc, all := range quoted(t) {
		for _, name := range all {
			if m := dotted.FindStringSubmatch(name); m != nil && groups[m[1]] && !exists(path.Join(path.Dir(doc), name)) {
				seen++
				if !known[name] {
					t.Errorf("%s names %s; there is no such event or key", doc, name)
				}
			}
		}
	}
	if seen < 40 {
		t.Errorf("only %d events and keys were seen", seen)
	}
}

// What operators are told to look for is what the program writes.
func TestOperationsShowTheLinesOfTheLog(t *testing.T) {
	var code strings.Builder
	for _, name := range files(t, ".go") {
		if !strings.HasSuffix(name, "_test.go") {
			code.WriteString(text(t, name))
		}
	}
	for _, row := range rows(t, "docs/operations.md", "## What it says") {
		for _, line := range names(row[0]) {
			if !strings.Contains(code.String(), `"`+line+`"`) {
				t.Errorf("docs/operations.md explains %q, which the program never writes", line)
			}
		}
	}
}

func TestDependenciesAreExplained(t *testing.T) {
	mod, err := modfile.Parse("go.mod", []byte(text(t, "go.mod")), nil)
	if err != nil {
		t.Fatal(err)
	}
	explained := map[string]bool{}
	for _, row := range rows(t, "docs/dependencies.md", "# Direct dependencies") {
		for name := range strings.SplitSeq(row[0], ", ") {
			explained[name] = true
		}
	}
	for _, r := range mod.Require {
		if !r.Indirect && !explained[r.Mod.Path] {
			t.Errorf("docs/dependencies.md does not say why %s is there", r.Mod.Path)
		}
		if !r.Indirect {
			delete(explained, r.Mod.Path)
		}
	}
	for name := range explained {
		t.Errorf("docs/dependencies.md explains %s, which go.mod does not require directly", name)
	}
}
