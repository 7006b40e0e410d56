package demo

import (
	"bytes"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// Whatever a judge says that it should not, or leaves out, fails the demo; and the others are heard all the same.
func TestAJudgeThatObjectsFailsTheDemo(t *testing.T) {
	says := func(words string) []string { return []string{"echo", words} }
	for name, c := range map[string]struct {
		verdict verdict
		shown   string
		fails   bool
	}{
		"agrees":           {verdict{commands: [][]string{says("it is valid"), says("valid, too")}, want: []string{"valid"}, never: []string{"error"}}, "valid", false},
		"says too little":  {verdict{commands: [][]string{says("it is valid")}, want: []string{"valid", "trusted"}}, `OBJECTS: no "trusted"`, true},
		"says too much":    {verdict{commands: [][]string{says("valid, one error")}, want: []string{"valid"}, never: []string{"error"}}, `OBJECTS: "error"`, true},
		"the second only":  {verdict{commands: [][]string{says("valid"), says("broken")}, want: []string{"valid"}}, `OBJECTS: no "valid"`, true},
		"the first only":   {verdict{commands: [][]string{says("broken"), says("valid")}, want: []string{"valid"}}, `OBJECTS: no "valid"`, true},
		"is not installed": {verdict{commands: [][]string{{"/nonexistent/judge"}}, want: []string{"valid"}}, `OBJECTS: no "valid"`, true},
		"cannot judge":     {verdict{commands: [][]string{says("unknown")}, want: []string{"unknown"}, note: "knows no RSA: "}, "knows no RSA: unknown", false},
	} {
		var shown bytes.Buffer
		d := &demo{ctx: t.Context(), Options: Options{Out: t.TempDir()}, print: newPrinter(&shown)}
		c.verdict.judge = "judge"
		err := d.hear([]subject{{"file", []verdict{c.verdict}}, {"other", []verdict{{judge: "last", commands: [][]string{says("heard")}, want: []string{"heard"}}}}})
		if (err != nil) != c.fails {
			t.Errorf("%s: %v", name, err)
		}
		if want := "     judge               " + c.shown + "\n"; !strings.Contains(shown.String(), want) {
			t.Errorf("%s: shown\n%s", name, shown.String())
		}
		if !strings.Contains(shown.String(), "last                heard") {
			t.Errorf("%s: the other judge was not heard:\n%s", name, shown.String())
		}
	}
}

// A new machine has only what .ci/install-packages brings: each program that judges comes from one of its packages.
func TestJudgesAreInstalled(t *testing.T) {
	list, err := os.ReadFile("../../../.ci/install-packages")
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ = bytes.Cut(list, []byte("wanted=("))
	list, _, _ = bytes.Cut(list, []byte(")"))
	packages := strings.Fields(string(list))
	d := &demo{Options: Options{Program: "/ecsigner"}, server: &server{}}
	programs := map[string]bool{"certutil": true}
	for _, s := range d.verdicts() {
		for _, v := range s.verdicts {
			for _, c := range v.commands {
				programs[c[0]] = true
			}
		}
	}
	delete(programs, d.Program)
	for p := range programs {
		path, err := exec.LookPath(p)
		if err != nil {
			t.Error(err)
			continue
		}
		out, err := exec.CommandContext(t.Context(), "dpkg-query", "-S", path).Output()
		from, _, _ := strings.Cut(string(out), ":")
		if err != nil || !slices.Contains(packages, from) {
			t.Errorf("%s comes from %q (%v), which is not installed by .ci/install-packages", p, from, err)
		}
	}
	if len(programs) < 5 {
		t.Errorf("only %v judge", programs)
	}
}
