package server

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/ecsigner/ecsigner/augment"
)

var updateDoc = flag.Bool("update-doc", false, "write docs/errors.md anew")

// TestReasonsAreDocumented holds docs/errors.md against the table of answers.
func TestReasonsAreDocumented(t *testing.T) {
	var b strings.Builder
	b.WriteString(`# Errors

Every refused call carries a status code and, in its details, a google.rpc.ErrorInfo with a stable reason of the domain
"ecsigner", the fields that are wrong (google.rpc.BadRequest), what to do (google.rpc.LocalizedMessage), and when to try
again (google.rpc.RetryInfo) where the same call may succeed later. Decide by the reason, never by the text. A mutating call
whose answer was lost is repeated with the same request id.

This table is made from the code: ` + "`go test ./server -run TestReasonsAreDocumented -update-doc`" + `.

| Reason | Status | What is wrong | What to do |
|---|---|---|---|
`)
	seen := map[Reason]bool{}
	for _, a := range answers {
		if seen[a.reason] {
			t.Errorf("reason %s stands twice", a.reason)
		}
		seen[a.reason] = true
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", a.reason, a.code, a.sentence, a.remedy)
	}
	b.WriteString(`
Why a level is not ready (metadata because, and the reason of its progress): `)
	for i, r := range augment.Reasons() {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString("`" + string(r) + "`")
	}
	b.WriteString(". After " + "`certificate-revoked`, `document-gone`, `signature-cannot-be-raised` and `time-stamp-too-large` nothing is tried again.\n")
	const path = "../docs/errors.md"
	if *updateDoc {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != b.String() {
		t.Errorf("%s is not what the code says; run with -update-doc and look at the difference", path)
	}
}
