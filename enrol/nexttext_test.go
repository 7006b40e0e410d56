package enrol

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"

	"github.com/ecsigner/ecsigner/enrol/agreement"
	"github.com/ecsigner/ecsigner/sam"
)

// states reads the states out of the source of package sam, so that a new one cannot be forgotten here.
func states(t *testing.T) []State {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../sam/records.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var all []State
	ast.Inspect(file, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if id, ok := v.Type.(*ast.Ident); ok && id.Name == "State" {
			text, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, State(text))
		}
		return true
	})
	return all
}

func TestEveryStateHasANextText(t *testing.T) {
	all := states(t)
	if len(all) < 13 {
		t.Fatalf("only %d states were seen: %v", len(all), all)
	}
	for _, state := range append(all, wrongData, proveAgain) {
		seen := map[string]string{}
		for _, language := range agreement.Languages() {
			text := nextText(state, language)
			if text == "" || !strings.HasSuffix(text, ".") || strings.Contains(text, "%") {
				t.Errorf("%s in %s: %q", state, language, text)
			}
			if other, twice := seen[text]; twice {
				t.Errorf("%s says the same in %s and %s: %q", state, language, other, text)
			}
			seen[text] = language
		}
		if nextText(state, "de") != nextText(state, "en") {
			t.Errorf("%s: a language without texts does not fall back to English", state)
		}
		// Who cannot do anything is not told to, and who can, is.
		waits := state == sam.StateDeferred || state == StateIssuing
		if got := strings.Contains(nextText(state, "en"), "nothing to do"); got != waits {
			t.Errorf("%s: %q", state, nextText(state, "en"))
		}
	}
}

// Who was sent back is told something else than who comes there first.
func TestNextTextOfWhoWasSentBack(t *testing.T) {
	for _, c := range []struct {
		state  State
		reason Reason
		want   State
	}{
		{StateData, "", StateData},
		{StateData, ReasonPhoneDiffers, wrongData},
		{StatePhone, "", StatePhone},
		{StatePhone, ReasonTooOld, proveAgain},
	} {
		r := record{row: Enrolment{Language: "pl", Proofing: Proofing{Reason: c.reason}}, sealed: sam.Enrolment{State: c.state}}
		if got := r.nextText(); got != nextText(c.want, "pl") {
			t.Errorf("%s, %q: %q", c.state, c.reason, got)
		}
	}
}
