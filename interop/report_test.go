//go:build interop

package interop

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// document is what is written from the runs.
const document = "../docs/interop.md"

// readAllowed reads allowed.txt, whose lines are those of verdicts.txt with what a judge may add as text.
func readAllowed(t *testing.T) expectations {
	t.Helper()
	var all expectations
	lines := rows(t, "allowed.txt")
	for _, n := range slices.Sorted(maps.Keys(lines)) {
		line := lines[n]
		if len(line) != 4 || line[3] == "" {
			t.Fatalf("allowed.txt, line %d: judge, when, text and reason are needed", n)
		}
		all = append(all, &verdict{judge: line[0], when: line[1], tags: strings.Fields(line[1]), text: line[2], reason: line[3]})
	}
	return all
}

// allow takes out of what a judge says what is allowed to stand there.
func (e expectations) allow(j judge, s subject, said string) string {
	for _, a := range e {
		if a.judge == j.name && a.fits(s) && strings.Contains(said, " "+a.text) {
			a.used.Store(true)
			said = strings.ReplaceAll(said, " "+a.text, "")
		}
	}
	return said
}

// publish writes docs/interop.md. In CI it must be the same as before.
func publish(t *testing.T, sections ...string) {
	t.Helper()
	text := strings.Join(sections, "\n")
	before, err := os.ReadFile(document)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if string(before) == text {
		return
	}
	if err := os.WriteFile(document, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if os.Getenv("CI") != "" {
		t.Error("docs/interop.md was not what the judges say; it is now: commit it")
	} else {
		t.Log("docs/interop.md was written anew")
	}
}

const preface = `# Interoperability

What programs that we did not write say of what the formats make. This page is written by ` + "`make interop`" + `, which signs, raises and
has judged every file that is spoken of here; where a judge says one word that it did not say before, the command fails. What must be
said stands in ` + "`interop/verdicts.txt`" + `, and what may be said besides in ` + "`interop/allowed.txt`" + `.
`

// matrixSections shows the judges, the matrix, and the verdicts behind it.
func matrixSections(results [][]result, expected, allowed expectations) string {
	var b strings.Builder
	b.WriteString("\n## Judges\n\n| Judge | What it is, and what it judges |\n|---|---|\n")
	for _, j := range all {
		fmt.Fprintf(&b, "| %s | %s |\n", j.name, j.what)
	}
	b.WriteString(`
## Matrix

A row is one signature. It is made once and then raised, so that it is judged five times: at B-B, B-T, B-LT, B-LTA, and at B-LTA once its
archive time-stamp was renewed. A sign stands for each of the five files: ` + "`+`" + ` the judge says what it must, ` + "`.`" + ` it cannot judge
(the reasons stand below), a space: the judge is for other formats. Every algorithm and every shape is seen at every level; the shapes take
the algorithms in turn, rather than each with each. Time-stamps come from a P-256 unit, with RSA signatures from an RSA-3072 unit.
`)
	format := ""
	for _, rs := range results {
		s := rs[0].subject
		if s.format != format {
			format = s.format
			fmt.Fprintf(&b, "\n### %s\n\n| Input | Algorithm |", format)
			for _, j := range all {
				b.WriteString(" " + j.name + " |")
			}
			b.WriteString("\n|---|---|" + strings.Repeat("---|", len(all)) + "\n")
		}
		fmt.Fprintf(&b, "| %s | %s |", s.shape, s.alg)
		for _, j := range all {
			b.WriteString(" " + signs(rs, j) + " |")
		}
		b.WriteString("\n")
	}
	b.WriteString("\n## Verdicts\n\nThe first line of a judge that fits holds.\n\n| Judge | When | It must say | Remark |\n|---|---|---|---|\n")
	for _, v := range expected {
		when, text := v.when, "`"+v.text+"`"
		if when == "" {
			when = "else"
		}
		if v.text == "" {
			text = "not asked"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", v.judge, strings.ReplaceAll(when, "/", ", "), text, v.reason)
	}
	b.WriteString("\n## Allowed besides\n\n| Judge | When | It may add | Why |\n|---|---|---|---|\n")
	for _, a := range allowed {
		fmt.Fprintf(&b, "| %s | %s | `%s` | %s |\n", a.judge, strings.ReplaceAll(a.when, "/", ", "), a.text, a.reason)
	}
	return b.String()
}

func signs(rs []result, j judge) string {
	text := ""
	for _, one := range rs {
		switch {
		case one.judge != j.name:
		case one.expected.text == "":
			text += "."
		default:
			text += "+"
		}
	}
	if text == "" {
		return ""
	}
	return "`" + text + "`"
}
