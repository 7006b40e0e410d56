package tiles

import (
	"fmt"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/audit"
)

// TestRulesForgetWhatEnded: of an operation that ended nothing is remembered but its mark, whether it was signed or given
// up after many codes. Otherwise a log of many years could not be verified.
func TestRulesForgetWhatEnded(t *testing.T) {
	r := newRules(0)
	r.held["cred"] = &credentialStory{version: 1, status: activeStatus}
	r.grants[[2]string{"cred", "documents"}] = true
	digests := [][]byte{make([]byte, 32)}
	index := int64(0)
	tell := func(events ...audit.Event) {
		for _, e := range events {
			if found := r.check(index, time.Unix(index, 0), e); len(found) != 0 {
				t.Fatalf("entry %d: %v", index, found)
			}
			index++
		}
	}
	const operations = 500
	for i := range operations {
		op := fmt.Sprintf("op-%d", i)
		tell(audit.SigningRequested{Operation: op, Credential: "cred", Caller: "documents", BindingVersion: 1, DTBSR: digests})
		for k := range 3 {
			tell(audit.CodeRequested{Challenge: fmt.Sprintf("ch-%d-%d", i, k), Purpose: "sign", Subject: op, Caller: "documents", Credential: "cred"})
		}
		if len(r.challenges) != 1 {
			t.Fatalf("%d challenges of one operation are remembered", len(r.challenges))
		}
		last := fmt.Sprintf("ch-%d-2", i)
		if i%2 == 0 {
			tell(audit.SigningClosed{Operation: op, Outcome: audit.OutcomeExpired})
			continue
		}
		tell(
			audit.CodeAccepted{Challenge: last, Purpose: "sign", Subject: op, Caller: "documents", Attempt: 1},
			audit.SigningActivated{Operation: op, Credential: "cred", Caller: "documents", BindingVersion: 1, DTBSR: digests, Challenge: last},
			audit.SigningSigned{Operation: op, Credential: "cred", BindingVersion: 1, DTBSR: digests, Signatures: digests},
		)
	}
	if len(r.operations) != 0 || len(r.challenges) != 0 || len(r.current) != 0 || len(r.ended) != operations {
		t.Errorf("remembered: %d operations, %d challenges, %d current, %d marks", len(r.operations), len(r.challenges), len(r.current), len(r.ended))
	}
}
