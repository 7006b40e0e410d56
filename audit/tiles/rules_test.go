package tiles_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/audit/tiles"
)

// TestRules breaks each rule once: the log is sound as a tree, signed by its key, and convicted by what it tells.
func TestRules(t *testing.T) {
	revoked := audit.BindingChanged{Credential: "cred-0", Version: 2, Status: "revoked", Binding: digest("b")}
	var withdrawn audit.Event = audit.AccessWithdrawn{Credential: "cred-0", Client: "documents", Caller: "operator"}
	s, other := signing(0, 0, 2), signing(1, 0, 2)
	const request, code, accept, activate, sign = 0, 1, 2, 3, 4
	signed := s[sign].(audit.SigningSigned)
	activated := s[activate].(audit.SigningActivated)
	refused := func(attempt uint64) audit.Event {
		return audit.CodeRefused{Challenge: "sign-0", Purpose: "sign", Subject: "op-0", Caller: "documents", Result: "rejected", Attempt: attempt}
	}
	resent := func(subject string) audit.Event {
		return audit.CodeResent{Challenge: "sign-0", Purpose: "sign", Subject: subject, Caller: "documents", Sent: 2}
	}
	accepted := func(attempt uint64) audit.Event {
		return audit.CodeAccepted{Challenge: "sign-0", Purpose: "sign", Subject: "op-0", Caller: "documents", Attempt: attempt}
	}
	withSigned := func(change func(*audit.SigningSigned)) []audit.Event {
		e := signed
		change(&e)
		return append(append([]audit.Event{}, s[:sign]...), e)
	}
	withActivated := func(change func(*audit.SigningActivated)) []audit.Event {
		e := activated
		change(&e)
		return append(append([]audit.Event{}, s[:activate]...), e)
	}
	revoking := []audit.Event{
		audit.CodeRequested{Challenge: "revoke-0", Purpose: "revoke", Subject: "cred-0", Caller: "portal"},
		audit.CodeAccepted{Challenge: "revoke-0", Purpose: "revoke", Subject: "cred-0", Caller: "portal", Attempt: 1},
	}
	byCodeOf := func(challenge string) audit.Event {
		return audit.CertificateRevoked{Credential: "cred-0", Serial: "0001", Requester: "signatory", Means: "sms-code", Challenge: challenge}
	}
	byCode := byCodeOf("revoke-0")
	destroyed := audit.KeyDestroyed{Credential: "cred-0", SPKI: digest("s"), Wrapped: digest("w")}
	for _, c := range []struct {
		name   string
		events []audit.Event
		want   string // empty: the log holds
	}{
		{"sound", s, ""},
		{"activated before the code was recorded", []audit.Event{s[request], s[code], s[activate], s[accept], s[sign]}, ""},
		{"refusals", []audit.Event{s[request], s[code], refused(1), refused(2), accepted(3), s[activate], s[sign]}, ""},
		{"refused without counting", []audit.Event{s[request], s[code], refused(1), refused(0), accepted(2), refused(0)}, ""},
		{"resent", []audit.Event{s[request], s[code], resent("op-0"), s[accept], s[activate], s[sign]}, ""},
		{"resent for another", []audit.Event{s[request], s[code], resent("op-1")}, "sent again"},
		{"resent after it was spent", []audit.Event{s[request], s[code], s[accept], resent("op-0")}, "sent again"},
		{
			"resumed",
			[]audit.Event{
				s[request], s[code], s[accept], s[activate],
				audit.SigningResumed{Operation: "op-0", Fence: 2},
				audit.SigningWithheld{Operation: "op-0", Fence: 1, Reason: "fence"},
				s[sign],
			},
			"",
		},
		{"closed", []audit.Event{s[request], audit.SigningClosed{Operation: "op-0", Outcome: audit.OutcomeExpired}}, ""},
		{"restarted", []audit.Event{audit.ServiceStarted{Version: "1", Epoch: 1, Size: 12}, audit.ServiceStopped{}, audit.ServiceStarted{Version: "1", Epoch: 1, Size: 14}}, ""},

		{"signed out of nothing", s[sign:], "without an activation"},
		{"signed without activation", []audit.Event{s[request], s[code], s[accept], s[sign]}, "without an activation"},
		{"signed for another operation's activation", append(append([]audit.Event{}, other[:sign]...), s[sign]), "without an activation"},
		{"signed other digests", withSigned(func(e *audit.SigningSigned) { e.DTBSR = digests(2, "x") }), "something else than was authorised"},
		{"signed in other order", withSigned(func(e *audit.SigningSigned) { e.DTBSR = [][]byte{e.DTBSR[1], e.DTBSR[0]} }), "something else"},
		{"signed fewer digests", withSigned(func(e *audit.SigningSigned) { e.DTBSR = e.DTBSR[:1] }), "something else"},
		{"signed with another credential", withSigned(func(e *audit.SigningSigned) { e.Credential = "cred-9" }), "something else"},
		{"too few signatures", withSigned(func(e *audit.SigningSigned) { e.Signatures = e.Signatures[:1] }), "1 signatures for 2 digests"},
		{"signed twice", append(append([]audit.Event{}, s...), s[sign]), "signed twice"},
		{"signed after closing", []audit.Event{s[request], s[code], s[accept], s[activate], audit.SigningClosed{Operation: "op-0", Outcome: audit.OutcomeAbandoned}, s[sign]}, "after it was closed"},
		{"signed without a code", []audit.Event{s[request], s[code], s[activate], s[sign]}, "no code of it was accepted"},
		{"signed after revocation", []audit.Event{s[request], s[code], s[accept], s[activate], revoked, s[sign]}, `version 2 was "revoked"`},
		{"activated after revocation", []audit.Event{s[request], s[code], s[accept], revoked, s[activate]}, `version 2 was "revoked"`},
		{"requested without access", []audit.Event{withdrawn, s[request]}, "no access"},
		{"activated without access", []audit.Event{s[request], s[code], s[accept], withdrawn, s[activate]}, "no access"},
		{"activated unrequested", s[activate:], "something else than was requested"},
		{"activated other digests", withActivated(func(e *audit.SigningActivated) { e.DTBSR = digests(2, "x") }), "something else than was requested"},
		{"activated by another", withActivated(func(e *audit.SigningActivated) { e.Caller = "other" }), "something else than was requested"},
		{"activated twice", append(append([]audit.Event{}, s...), s[activate]), "activated again"},
		{"requested twice", append(append([]audit.Event{}, s...), s[request]), "requested before"},
		{"resumed unopened", []audit.Event{audit.SigningResumed{Operation: "op-0", Fence: 2}}, "was not open"},
		{"fence stands still", []audit.Event{s[request], s[code], s[accept], s[activate], audit.SigningResumed{Operation: "op-0", Fence: 1}}, "fence 1 of op-0 follows fence 1"},
		{"withheld unauthorised", []audit.Event{audit.SigningWithheld{Operation: "op-0", Fence: 1}}, "nobody authorised"},
		{"closed after signing", append(append([]audit.Event{}, s...), audit.SigningClosed{Operation: "op-0", Outcome: audit.OutcomeExpired}), "closed after its end"},

		{"attempt left out", []audit.Event{s[code], refused(1), refused(3)}, "attempt 3 of challenge sign-0 follows attempt 1"},
		{"attempt repeated", []audit.Event{s[code], refused(1), refused(1)}, "attempt 1 of challenge sign-0 follows attempt 1"},
		{"count went back", []audit.Event{s[code], refused(1), refused(2), accepted(1)}, "follows attempt 2"},
		{"accepted uncounted", []audit.Event{s[code], accepted(0)}, "attempt 0"},
		{"accepted twice", []audit.Event{s[code], accepted(1), accepted(2)}, "after it was spent"},
		{"answered unasked", []audit.Event{refused(1)}, `of "" was answered`},
		{"challenge of another operation", []audit.Event{other[code], audit.CodeAccepted{Challenge: "sign-1", Purpose: "sign", Subject: "op-0", Attempt: 1}}, `was answered for "op-0"`},
		{"challenge with two subjects", []audit.Event{s[code], audit.CodeRequested{Challenge: "sign-0", Purpose: "sign", Subject: "op-1"}}, "two subjects"},

		{"binding version repeated", []audit.Event{revoked, revoked}, "version 2 of cred-0 follows version 2"},
		{"binding version went back", []audit.Event{revoked, audit.BindingChanged{Credential: "cred-0", Version: 1, Status: "active", Binding: digest("b")}}, "follows version 2"},
		{"revoked twice", []audit.Event{audit.CertificateRevoked{Credential: "cred-0", Serial: "0001"}, audit.CertificateRevoked{Credential: "cred-0", Serial: "0001"}}, "revoked twice"},
		{"revoked unissued", []audit.Event{audit.CertificateRevoked{Credential: "cred-0", Serial: "0002"}}, "not issued"},
		{"revoked by a code", []audit.Event{revoking[0], revoking[1], byCode, revoked, destroyed}, ""},
		{"revoked by a code that nobody sent", []audit.Event{byCode}, "no code of cred-0 was accepted"},
		{"revoked by the code of a signature", append(append([]audit.Event{}, s[:activate]...), byCodeOf("sign-0")), "no code of cred-0 was accepted"},
		{"destroyed while active", []audit.Event{destroyed}, `destroyed while the credential was "active"`},
		{"destroyed twice", []audit.Event{revoked, destroyed, destroyed}, "destroyed twice"},
		{"started too far", []audit.Event{audit.ServiceStarted{Version: "1", Epoch: 1, Size: 13}}, "found 13 entries, 12 precede"},
		{"epoch went back", []audit.Event{audit.ServiceStarted{Version: "1", Epoch: 2}, audit.ServiceStarted{Version: "1", Epoch: 1}}, "epoch 1 follows epoch 2"},
	} {
		m, dir := newMemory(t), t.TempDir()
		m.add(issuing(0)...)
		m.add(c.events...)
		m.export(dir)
		judge(t, c.name, m, dir, c.want)
	}
}

// TestIssuingRules leaves out or spoils each step of issuing.
func TestIssuingRules(t *testing.T) {
	const prepared, accepted, code, intended, issued = 2, 5, 6, 8, 9
	for name, c := range map[string]struct {
		change func([]audit.Event) []audit.Event
		want   string
	}{
		"sound":            {func(e []audit.Event) []audit.Event { return e }, ""},
		"no agreement":     {func(e []audit.Event) []audit.Event { return without(e, accepted) }, "without an accepted agreement"},
		"intended early":   {func(e []audit.Event) []audit.Event { e[accepted], e[intended] = e[intended], e[accepted]; return e }, "before its agreement"},
		"never prepared":   {func(e []audit.Event) []audit.Event { return without(e, prepared) }, "another agreement"},
		"other agreement":  {func(e []audit.Event) []audit.Event { return append(e[:prepared+1], without(issuing(1), 0)[1:]...) }, ""},
		"no code":          {func(e []audit.Event) []audit.Event { return without(e, code) }, "no code of enr-0 accepted"},
		"no intent":        {func(e []audit.Event) []audit.Event { return without(e, intended) }, "without intent"},
		"issued twice":     {func(e []audit.Event) []audit.Event { return append(e, e[issued]) }, "issued twice"},
		"intended twice":   {func(e []audit.Event) []audit.Event { return append(e, e[intended]) }, "intended before"},
		"for someone else": {func(e []audit.Event) []audit.Event { return append(issuing(1)[:8], swap(e)...) }, "was intended for enr-0"},
	} {
		m, dir := newMemory(t), t.TempDir()
		m.add(c.change(issuing(0))...)
		m.export(dir)
		judge(t, name, m, dir, c.want)
	}
}

func without(e []audit.Event, i int) []audit.Event {
	return append(append([]audit.Event{}, e[:i]...), e[i+1:]...)
}

// swap issues the certificate intended for enrolment 0 to enrolment 1.
func swap(e []audit.Event) []audit.Event {
	cert := e[9].(audit.CertificateIssued)
	cert.Enrolment = "enr-1"
	e[9] = cert
	return e
}

func TestClockRule(t *testing.T) {
	for back, want := range map[time.Duration]string{5 * time.Second: "", 5*time.Second + time.Microsecond: "before an earlier entry"} {
		m, dir := newMemory(t), t.TempDir()
		m.add(audit.ServiceStopped{})
		for _, by := range []time.Duration{back, back} { // measured from the latest, not the last
			entry, err := audit.Encode(m.now.Add(-by), audit.ServiceStopped{})
			if err != nil {
				t.Fatal(err)
			}
			m.addRaw(entry)
		}
		m.export(dir)
		judge(t, back.String(), m, dir, want)
	}
}

func TestForeignEntry(t *testing.T) {
	m, dir := newMemory(t), t.TempDir()
	m.addRaw([]byte(`{"v":1}`), nil)
	m.export(dir)
	judge(t, "foreign entries", m, dir, "entry 0: audit: not a canonical entry")
}

func TestFindingsAreBounded(t *testing.T) {
	m, dir := newMemory(t), t.TempDir()
	m.addRaw(make([][]byte, 1500)...)
	m.export(dir)
	r, err := m.verify(dir)
	if !errors.Is(err, tiles.ErrFindings) || len(r.Findings) != 1000 || r.More != 500 {
		t.Errorf("%v, %d findings and %d more", err, len(r.Findings), r.More)
	}
}

func judge(t *testing.T, name string, m *memory, dir, want string) {
	t.Helper()
	r, err := m.verify(dir)
	if want == "" {
		if err != nil {
			t.Errorf("%s: %v: %v", name, err, r.Findings)
		}
		return
	}
	var texts []string
	for _, f := range r.Findings {
		texts = append(texts, f.String())
	}
	if all := strings.Join(texts, "\n"); !errors.Is(err, tiles.ErrFindings) || !strings.Contains(all, want) {
		t.Errorf("%s: want %q, got:\n%s", name, want, all)
	}
}

// TestRenewalRules leaves out or spoils each step of a renewal.
func TestRenewalRules(t *testing.T) {
	const created, requested, code, accept, accepted, activated, signed = 0, 2, 3, 4, 5, 6, 7
	story := func() []audit.Event {
		agreement, dtbsr := digest("renewal"), digests(1, "renewal")
		return []audit.Event{
			audit.RenewalCreated{Enrolment: "enr-9", Credential: "cred-0", Original: "enr-0", Caller: "portal"},
			audit.AgreementPrepared{Enrolment: "enr-9", Document: agreement, Version: "1", Language: "uk"},
			audit.SigningRequested{
				Operation: "op-9", Credential: "cred-0", Caller: "portal", BindingVersion: 1, Algorithm: "ecdsa-p256", DTBSR: dtbsr,
				Documents: [][]byte{agreement}, Enrolment: "enr-9",
			},
			audit.CodeRequested{Challenge: "renew-9", Purpose: "sign", Subject: "enr-9", Caller: "portal", Credential: "cred-0"},
			audit.CodeAccepted{Challenge: "renew-9", Purpose: "sign", Subject: "enr-9", Caller: "portal", Attempt: 1},
			audit.AgreementAccepted{Enrolment: "enr-9", Challenge: "renew-9", Document: agreement, Means: "sms-code"},
			audit.SigningActivated{
				Operation: "op-9", Credential: "cred-0", Caller: "portal", BindingVersion: 1, DTBSR: dtbsr, Means: "sms-code",
				Challenge: "renew-9", Activation: digest("activation"),
			},
			audit.SigningSigned{Operation: "op-9", Credential: "cred-0", BindingVersion: 1, DTBSR: dtbsr, Signatures: digests(1, "signature")},
			audit.CertificateIntended{Enrolment: "enr-9", Serial: "0099", TBS: digest("tbs")},
			audit.CertificateIssued{Enrolment: "enr-9", Credential: "cred-9", Serial: "0099", Certificate: digest("cert")},
		}
	}
	replaced := func(at int, change func(e audit.Event) audit.Event) []audit.Event {
		e := story()
		e[at] = change(e[at])
		return e
	}
	for name, c := range map[string]struct {
		events []audit.Event
		want   string
	}{
		"sound":           {story(), ""},
		"no renewal":      {without(story(), created), "does not renew"},
		"nothing signed":  {without(story(), signed), "has not signed"},
		"no code":         {without(story(), accept), "no code of it was accepted"},
		"not accepted":    {without(story(), accepted), "before its agreement"},
		"not activated":   {without(story(), activated), "without an activation"},
		"code of a first": {replaced(code, func(e audit.Event) audit.Event { c := e.(audit.CodeRequested); c.Subject = "enr-0"; return c }), "was answered for"},
		"another document": {replaced(requested, func(e audit.Event) audit.Event {
			r := e.(audit.SigningRequested)
			r.Documents = [][]byte{digest("contract")}
			return r
		}), "something else than the agreement"},
		"another client": {replaced(requested, func(e audit.Event) audit.Event { r := e.(audit.SigningRequested); r.Caller = "documents"; return r }), "does not renew cred-0 for documents"},
		"of a revoked credential": {append([]audit.Event{
			audit.BindingChanged{Credential: "cred-0", Version: 2, Status: "revoked", Binding: digest("b")},
		}, story()...), `which is "revoked"`},
		"of a renewal": {append(story(), audit.RenewalCreated{Enrolment: "enr-10", Credential: "cred-9", Original: "enr-9", Caller: "portal"}), "itself a renewal"},
	} {
		m, dir := newMemory(t), t.TempDir()
		m.add(issuing(0)...)
		m.add(c.events...)
		m.export(dir)
		judge(t, name, m, dir, c.want)
	}
}
