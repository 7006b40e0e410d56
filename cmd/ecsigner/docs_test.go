package main

import (
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// written finds commands of this program in documents: at the start of a line of code, or of what stands in backticks.
var written = regexp.MustCompile("(?m)(?:`|^    |^until |^)(?:bin/)?ecsigner ([^`\n]+)")

// check returns what is wrong with the arguments of a command as somebody wrote it down.
func check(line string) error {
	if end := regexp.MustCompile(` (\||&|;|\d?>)|;`).FindStringIndex(line); end != nil {
		line = line[:end[0]]
	}
	quoted := regexp.MustCompile(`"[^"]*"`)
	args := strings.Fields(quoted.ReplaceAllString(line, "quoted"))
	c, rest, err := root().Find(args)
	if err != nil {
		return err
	}
	c.InitDefaultHelpFlag()
	c.InitDefaultVersionFlag()
	if c.HasSubCommands() && len(rest) > 0 && !strings.HasPrefix(rest[0], "-") {
		return fmt.Errorf("%s has no command %s", c.CommandPath(), rest[0])
	}
	for _, arg := range rest {
		if name, ok := strings.CutPrefix(arg, "--"); ok {
			name, _, _ = strings.Cut(name, "=")
			if c.Flags().Lookup(name) == nil {
				return fmt.Errorf("%s has no flag --%s", c.CommandPath(), name)
			}
		}
	}
	return nil
}

func TestCommandsInDocumentsExist(t *testing.T) {
	tree := os.DirFS("../..")
	format := regexp.MustCompile(`^[a-z ]+ v[0-9]+\b`) // the name of a format, such as "ecsigner seal v1"
	seen := 0
	for _, pattern := range []string{"*.md", "docs/*.md", ".ci/*.md"} {
		docs, err := fs.Glob(tree, pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, doc := range docs {
			b, err := fs.ReadFile(tree, doc)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range written.FindAllStringSubmatch(string(b), -1) {
				if format.MatchString(m[1]) {
					continue
				}
				seen++
				if err := check(m[1]); err != nil {
					t.Errorf("%s: ecsigner %s: %v", doc, m[1], err)
				}
			}
		}
	}
	if seen < 25 {
		t.Errorf("only %d commands were seen", seen)
	}
}

// TestHelp: a command says what it does, shows an example that exists, and tells which flags it cannot do without.
func TestHelp(t *testing.T) {
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			walk(sub)
		}
		if c.HasSubCommands() || c.Hidden {
			return
		}
		if c.Long == "" || c.Example == "" {
			t.Errorf("%s: no description or no example", c.CommandPath())
		}
		for line := range strings.Lines(c.Example) {
			args, ok := strings.CutPrefix(strings.TrimSpace(line), "ecsigner ")
			if err := check(args); !ok || err != nil || !strings.HasPrefix("ecsigner "+args, c.CommandPath()) {
				t.Errorf("%s: example %q: %v", c.CommandPath(), line, err)
			}
		}
		for _, m := range regexp.MustCompile(`--([a-z-]+)`).FindAllStringSubmatch(c.Flags().FlagUsages(), -1) {
			f := c.Flags().Lookup(m[1])
			required := slices.Contains(f.Annotations[cobra.BashCompOneRequiredFlag], "true")
			if f.Usage == "" || required != strings.HasSuffix(f.Usage, "(required)") {
				t.Errorf("%s --%s: required %v, but it says %q", c.CommandPath(), f.Name, required, f.Usage)
			}
			if required && !strings.Contains(c.Example, "--"+f.Name) {
				t.Errorf("%s: the example lacks the required --%s", c.CommandPath(), f.Name)
			}
		}
	}
	walk(root())
}

func TestMistypedCommands(t *testing.T) {
	for _, args := range [][]string{{"frobnicate"}, {"client", "ad"}, {"voucher", "creat"}, {"credential", "x"}, {"audit", "verfy"}} {
		c := root()
		c.SetArgs(args)
		if err := c.Execute(); err == nil || !strings.Contains(err.Error(), args[len(args)-1]) {
			t.Errorf("%v: %v", args, err)
		}
	}
}

func TestClientCommandsAskWhoCalls(t *testing.T) {
	t.Setenv("ECSIGNER_CLIENT", "")
	c := root()
	c.SetArgs([]string{"credential", "list"})
	if err := c.Execute(); err == nil || !strings.Contains(err.Error(), "--client") {
		t.Error(err)
	}
}
