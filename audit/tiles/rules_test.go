package tiles_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/audit/tiles"
)

// story is a log to judge: its events, and where it breaks which rule.
type story struct {
	name   string
	events []audit.Event
	at     int    // index in events of the entry that breaks the rule
	want   string // empty: the log holds
}

// Where the events of a signing stand.
const (
	asked = iota
	code
	accept
	activate
	sign
)

// with returns events with others in the place of those from i to j.
func with(events []audit.Event, i, j int, others ...audit.Event) []audit.Event {
	return append(append(append([]audit.Event{}, events[:i]...), others...), events[j:]...)
}

// edited returns events with the i-th changed.
func edited[E audit.Event](events []audit.Event, i int, change func(*E)) []audit.Event {
	e := events[i].(E)
	change(&e)
	return with(events, i, i+1, e)
}

func refused(attempt uint64) audit.Event {
	return audit.CodeRefused{Challenge: "sign-0", Purpose: "sign", Subject: "op-0", Caller: "documents", Result: "rejected", Attempt: attempt}
}

func answered(attempt uint64) audit.Event {
	return audit.CodeAccepted{Challenge: "sign-0", Purpose: "sign", Subject: "op-0", Caller: "documents", Attempt: attempt}
}

// newer asks for another code for the operation.
func newer() audit.Event {
	return audit.CodeRequested{Challenge: "sign-9", Purpose: "sign", Subject: "op-0", Caller: "documents", Credential: "cred-0"}
}

func closing(outcome string) audit.Event {
	return audit.SigningClosed{Operation: "op-0", Outcome: outcome}
}

func raised(item uint64, level string) audit.Event {
	return audit.ArtefactRecorded{Operation: "op-0", Item: item, Level: level, Artefact: digest("%s", level)}
}

func resumed(fence uint64) audit.Event { return audit.SigningResumed{Operation: "op-0", Fence: fence} }

func locked(caller, scope string) audit.Event {
	return audit.CodeLocked{Credential: "cred-0", Caller: caller, Scope: scope}
}

// signingStories begin after credential 0 was issued and granted.
func signingStories() []story {
	s, other := signing(0, 0, 2), signing(1, 0, 2)
	withdrawn := audit.AccessWithdrawn{Credential: "cred-0", Client: "documents", Caller: "operator"}
	revoked := audit.BindingChanged{Credential: "cred-0", Version: 2, Status: "revoked", Binding: digest("b")}
	late := audit.SigningWithheld{Operation: "op-0", Fence: 1, Reason: "fence"}
	return []story{
		{"sound", s, 0, ""},
		{"refusals", with(s, accept, accept+1, refused(1), refused(2), answered(3)), 0, ""},
		{"refused without counting", with(s, accept, accept+1, refused(1), refused(0), answered(2), refused(0)), 0, ""},
		{"asked for twice", with(s, code, code, s[code]), 0, ""},
		{"resumed twice", with(s, sign, sign, resumed(2), late, resumed(3)), 0, ""},
		{"closed", []audit.Event{s[asked], s[code], closing(audit.OutcomeExpired)}, 0, ""},
		{"withheld after its end", with(s, sign, sign+1, closing(audit.OutcomeAbandoned), late), 0, ""},

		{"raised level by level", append(s, raised(0, "B-T"), raised(1, "B-T"), raised(0, "B-LT"), raised(0, "B-LTA")), 0, ""},
		{"raised before it was signed", with(s, sign, sign, raised(0, "B-T")), 4, "was not signed"},
		{"raised although it was closed", append(with(s, sign, sign+1, closing(audit.OutcomeAbandoned)), raised(0, "B-T")), 5, "was not signed"},
		{"raised out of nothing", []audit.Event{raised(0, "B-T")}, 0, "was not signed"},
		{"raised twice", append(s, raised(0, "B-T"), raised(0, "B-T")), 6, "out of order"},
		{"raised over a level", append(s, raised(0, "B-T"), raised(0, "B-LTA")), 6, "out of order"},
		{"raised again after a restore", append(s, raised(0, "B-T"), audit.ServiceRestored{Backup: 1, Size: 2, Epoch: 2, Report: digest("r")}, raised(0, "B-T"), raised(0, "B-LT")), 0, ""},
		{"raised over a level after a restore", append(s, audit.ServiceRestored{Backup: 1, Size: 2, Epoch: 2, Report: digest("r")}, raised(0, "B-LT")), 6, "out of order"},
		{"raised to no level", append(s, raised(0, "B-B")), 5, "out of order"},

		{"signed out of nothing", s[sign:], 0, "signed, but never requested"},
		{"signed without activation", with(s, activate, sign), 3, "without an activation"},
		{"signed for another operation's activation", append(other[:sign:sign], s[sign]), 4, "never requested"},
		{"signed other digests", edited(s, sign, func(e *audit.SigningSigned) { e.DTBSR = digests(2, "x") }), sign, "something else than was authorised"},
		{"signed in other order", edited(s, sign, func(e *audit.SigningSigned) { e.DTBSR = [][]byte{e.DTBSR[1], e.DTBSR[0]} }), sign, "something else"},
		{"signed fewer digests", edited(s, sign, func(e *audit.SigningSigned) { e.DTBSR = e.DTBSR[:1] }), sign, "something else"},
		{"signed with another credential", edited(s, sign, func(e *audit.SigningSigned) { e.Credential = "cred-9" }), sign, "something else"},
		{"signed under another binding", edited(s, sign, func(e *audit.SigningSigned) { e.BindingVersion = 2 }), sign, "something else"},
		{"too few signatures", edited(s, sign, func(e *audit.SigningSigned) { e.Signatures = e.Signatures[:1] }), sign, "1 signatures for 2 digests"},
		{"signed twice", append(s, s[sign]), 5, "was signed after it was signed"},
		{"signed after closing", with(s, sign, sign, closing(audit.OutcomeAbandoned)), 5, "was signed after it was closed"},
		{"signed after revocation", with(s, sign, sign, revoked), 5, `version 2 was "revoked"`},

		{"activated without a code", with(s, accept, activate), 2, "no code of it was accepted"},
		{"activated before its code", with(s, accept, sign, s[activate], s[accept]), 2, "no code of it was accepted"},
		{"activated by a wrong code", with(s, accept, activate, refused(1)), 3, "no code of it was accepted"},
		{"activated by another's code", edited(append(other[:activate:activate], s...), 6, func(e *audit.SigningActivated) { e.Challenge = "sign-1" }), 6, "no code of it was accepted"},
		{"activated by a replaced code", with(s, activate, activate, newer()), 4, "no code of it was accepted"},
		{"activated after revocation", with(s, activate, sign+1, revoked, s[activate]), 4, `version 2 was "revoked"`},
		{"activated without access", with(s, activate, sign+1, withdrawn, s[activate]), 4, "no access"},
		{"activated unrequested", s[activate:sign], 0, "activated, but never requested"},
		{"activated other digests", edited(s[:sign], activate, func(e *audit.SigningActivated) { e.DTBSR = digests(2, "x") }), activate, "something else than was requested"},
		{"activated by another", edited(s[:sign], activate, func(e *audit.SigningActivated) { e.Caller = "other" }), activate, "something else than was requested"},
		{"activated twice", with(s, sign, sign, s[activate]), 4, "activated again"},
		{"activated after its end", append(s, s[activate]), 5, "activated after it was signed"},

		{"requested without access", append([]audit.Event{withdrawn}, s...)[:2], 1, "no access"},
		{"requested twice", append(s, s[asked]), 5, "requested before"},
		{"resumed unrequested", []audit.Event{resumed(2)}, 0, "never requested"},
		{"resumed before its activation", with(s, activate, activate, resumed(2)), 3, "never activated"},
		{"resumed after its end", append(s, resumed(2)), 5, "resumed after it was signed"},
		{"fence stands still", with(s, sign, sign, resumed(1)), 4, "fence 1 of op-0 follows fence 1"},
		{"fence left out", with(s, sign, sign, resumed(3)), 4, "fence 3 of op-0 follows fence 1"},
		{"withheld unauthorised", []audit.Event{s[asked], audit.SigningWithheld{Operation: "op-0", Fence: 1}}, 1, "nobody authorised"},
		{"closed after signing", append(s, closing(audit.OutcomeExpired)), 5, "closed after it was signed"},
		{"closed twice", []audit.Event{s[asked], closing(audit.OutcomeExpired), closing(audit.OutcomeExpired)}, 2, "closed after it was closed"},

		{"binding version repeated", []audit.Event{revoked, revoked}, 1, "version 2 of cred-0 follows version 2"},
		{"binding version left out", []audit.Event{audit.BindingChanged{Credential: "cred-0", Version: 3, Status: "suspended", Binding: digest("b")}}, 0, "version 3 of cred-0 follows version 1"},
		{"binding version went back", []audit.Event{revoked, audit.BindingChanged{Credential: "cred-0", Version: 1, Status: "active", Binding: digest("b")}}, 1, "follows version 2"},
		{"active again", []audit.Event{revoked, audit.BindingChanged{Credential: "cred-0", Version: 3, Status: "active", Binding: digest("b")}}, 1, "active again after it was revoked"},
		{"bound unissued", []audit.Event{audit.BindingChanged{Credential: "cred-7", Version: 1, Status: "active", Binding: digest("b")}}, 0, "no certificate of it"},
		{"access to nothing", []audit.Event{audit.AccessGranted{Credential: "cred-7", Client: "documents"}}, 0, "no certificate of it"},
		{"withdrawn ungranted", []audit.Event{withdrawn, withdrawn}, 1, "not granted"},
		{"revoked twice", []audit.Event{audit.CertificateRevoked{Credential: "cred-0", Serial: "0001"}, audit.CertificateRevoked{Credential: "cred-0", Serial: "0001"}}, 1, "revoked twice"},
		{"revoked unissued", []audit.Event{audit.CertificateRevoked{Credential: "cred-0", Serial: "0002"}}, 0, "not issued"},
		{"started too far", []audit.Event{audit.ServiceStarted{Version: "1", Epoch: 1, Size: issuingLength + 1}}, 0, fmt.Sprintf("found %d entries, %d precede", issuingLength+1, issuingLength)},
		{"restarted", []audit.Event{audit.ServiceStarted{Version: "1", Epoch: 1, Size: 12}, audit.ServiceStopped{}, audit.ServiceStarted{Version: "1", Epoch: 1, Size: 14}}, 0, ""},
		{"epoch went back", []audit.Event{audit.ServiceStarted{Version: "1", Epoch: 2}, audit.ServiceStarted{Version: "1", Epoch: 1}}, 1, "epoch 1 follows epoch 2"},
	}
}

// codeStories begin after credential 0 was issued and granted, too.
func codeStories() []story {
	s, other := signing(0, 0, 2), signing(1, 0, 2)
	resent := func(subject string) audit.Event {
		return audit.CodeResent{Challenge: "sign-0", Purpose: "sign", Subject: subject, Caller: "documents", Sent: 2}
	}
	unlocked := audit.CodeUnlocked{Credential: "cred-0", Caller: "documents", Scope: "caller"}
	return []story{
		{"locked and unlocked", with(s, accept, accept+1, refused(1), locked("documents", "caller"), refused(0), unlocked, answered(2)), 0, ""},
		{"locked for another", with(s, accept, accept, locked("other", "caller")), 0, ""},
		{"unlocked unlocked", []audit.Event{unlocked}, 0, ""},
		{"replaced", with(s, accept, accept, refused(1), newer(), refused(0))[:5], 0, ""},

		{"resent", with(s, accept, accept, resent("op-0")), 0, ""},
		{"resent for another", with(s, accept, accept, resent("op-1")), accept, "sent again"},
		{"resent after it was spent", with(s, activate, activate, resent("op-0")), activate, "sent again"},
		{"resent after a newer code", []audit.Event{s[asked], s[code], newer(), resent("op-0")}, 3, "sent again"},
		{"attempt left out", []audit.Event{s[asked], s[code], refused(1), refused(3)}, 3, "attempt 3 of challenge sign-0 follows attempt 1"},
		{"attempt repeated", []audit.Event{s[asked], s[code], refused(1), refused(1)}, 3, "attempt 1 of challenge sign-0 follows attempt 1"},
		{"count went back", []audit.Event{s[asked], s[code], refused(1), refused(2), answered(1)}, 4, "follows attempt 2"},
		{"too many attempts", []audit.Event{s[asked], s[code], refused(1), refused(2), refused(3), refused(4), refused(5), refused(6)}, 7, "attempt 6 of challenge sign-0 was counted, a code has 5"},
		{"accepted uncounted", []audit.Event{s[asked], s[code], answered(0)}, 2, "attempt 0"},
		{"accepted twice", []audit.Event{s[asked], s[code], answered(1), answered(2)}, 3, "after it was spent"},
		{"refused after it was accepted", []audit.Event{s[asked], s[code], answered(1), refused(2)}, 3, "after it was spent"},
		{"answered unasked", []audit.Event{s[asked], refused(1)}, 1, "no code of it was requested"},
		{"answered after a newer code", []audit.Event{s[asked], s[code], newer(), answered(1)}, 3, "another replaced it"},
		{"answered after its operation ended", []audit.Event{s[asked], s[code], closing(audit.OutcomeExpired), answered(1)}, 3, "no code of it was requested"},
		{"challenge of another operation", []audit.Event{other[asked], other[code], audit.CodeAccepted{Challenge: "sign-1", Purpose: "sign", Subject: "op-0", Attempt: 1}}, 2, `was answered for "op-0"`},
		{"challenge of another purpose", []audit.Event{s[asked], s[code], audit.CodeAccepted{Challenge: "sign-0", Purpose: "revoke", Subject: "op-0", Attempt: 1}}, 2, `was answered for "op-0"`},
		{"challenge with two subjects", []audit.Event{s[asked], s[code], audit.CodeRequested{Challenge: "sign-0", Purpose: "sign", Subject: "op-1"}}, 2, "two subjects"},
		{"code after the end", append(s, newer()), 5, "requested for op-0 after it was signed"},
		{"counted while locked", []audit.Event{s[asked], s[code], refused(1), locked("documents", "caller"), refused(2)}, 4, "while cred-0 was locked"},
		{"accepted while locked for all", []audit.Event{s[asked], s[code], refused(1), locked("other", "account"), answered(2)}, 4, "while cred-0 was locked"},
		{"unlocked for another only", []audit.Event{s[asked], s[code], locked("other", "account"), unlocked, refused(1)}, 4, "while cred-0 was locked"},
		{"locked twice", []audit.Event{locked("documents", "caller"), locked("documents", "caller")}, 1, "locked twice"},
	}
}

// issuingStories are whole logs.
func issuingStories() []story {
	s, other := issuing(0), issuing(1)
	enr := func(state string, version uint64) audit.Event {
		return audit.EnrolmentChanged{Enrolment: "enr-0", Version: version, State: state, Record: digest("r")}
	}
	end := audit.EnrolmentClosed{Enrolment: "enr-0", Outcome: "cancelled"}
	report := func(outcome string) audit.Event {
		return audit.IdentityReported{Enrolment: "enr-0", Outcome: outcome, Caller: "identity"}
	}
	return []story{
		{"sound", s, 0, ""},
		{"two persons", append(s, other...), 0, ""},
		{"cancelled", with(s, prepared, issuingLength, enr("cancelled", 6), end), 0, ""},
		{"other data proven first", with(s, identityReported, identityReported, report("differs")), 0, ""},
		{"other data accepted", with(s, identityReported, identityReported+1, report("differs"), report("accepted")), 0, ""},
		{"proofing begun again", with(s, identityReported, identityReported, enr("data", 6), s[identityStarted], enr("proofing", 7))[:identityReported+3], 0, ""},

		{"voucher made twice", with(s, enrolmentMade, enrolmentMade, s[voucherMade]), 1, "made before"},
		{"voucher invented", s[enrolmentMade:], 0, "never made"},
		{"voucher redeemed twice", append(s, audit.EnrolmentCreated{Enrolment: "enr-5", Voucher: s[enrolmentMade].(audit.EnrolmentCreated).Voucher, Caller: "portal"}), issuingLength, "redeemed before"},
		{"created twice", with(s, changed2, changed2, s[enrolmentMade]), 3, "created before"},
		{"changed uncreated", []audit.Event{enr("created", 1)}, 0, "never created"},
		{"version left out", with(s, changed2, changed3)[:changed3], 3, "version 3 of enr-0 follows version 1"},
		{"version repeated", with(s, changed2, changed2, s[changed1]), 3, "version 1 of enr-0 follows version 1"},
		{"changed after its end", with(s, prepared, issuingLength, end, enr("cancelled", 6)), prepared + 1, "changed after it was closed"},
		{"issued after its end", with(s, issued, issuingLength, end, s[issued]), issued + 1, "certified after it was closed"},
		{"key after its end", with(s, keyMade, issuingLength, end, s[keyMade]), keyMade + 1, "given a key after it was closed"},
		{"code after its end", with(s, agreementCode, issuingLength, end, s[agreementCode]), agreementCode + 1, "requested for enr-0 after it was closed"},
		{"closed after it was issued", append(s, end), issuingLength, "closed after it was issued"},

		{"phone confirmed without a code", with(s, phoneAnswer, phoneConfirmed), phoneAnswer, "no code for that was accepted"},
		{"identity unasked", with(s, identityStarted, identityStarted+1)[:identityReported], identityReported - 1, "nobody was asked"},
		{"identity negative", with(s, identityReported, identityReported+1, report("negative")), keyMade, "without a positive identity"},
		{"identity unreported", with(s, identityReported, prepared), keyMade - 1, "without a positive identity"},
		{"identity of other data", with(s, identityReported, identityReported+1, report("differs")), keyMade, "without a positive identity"},
		{"other data accepted, but not proven", with(s, identityReported, identityReported+1, report("accepted")), identityReported, "but none were proven"},
		{"other data of an earlier proofing accepted", with(s, identityReported, identityReported+1, report("differs"), s[identityStarted], report("accepted")), identityReported + 2, "but none were proven"},
		{"proofing begun again after it", with(s, prepared, prepared, s[identityStarted]), keyMade + 1, "without a positive identity"},
		{"no agreement", with(s, accepted, sealed+1, s[changed7]), keyMade - 2, "without an accepted agreement"},
		{"sealed unaccepted", with(s, accepted, accepted+1), sealed - 1, "sealed before it was accepted"},
		{"never prepared", with(s, prepared, prepared+1), accepted - 1, "another agreement than was prepared"},
		{"other agreement", edited(s, accepted, func(e *audit.AgreementAccepted) { e.Document = digest("x") })[:accepted+1], accepted, "another agreement than was prepared"},
		{"other agreement sealed", edited(s, sealed, func(e *audit.AgreementSealed) { e.Document = digest("x") }), sealed, "another agreement of enr-0 was sealed"},
		{"accepted without a code", with(s, agreementAnswer, accepted), accepted - 1, "no code for that was"},
		{"accepted by the phone's code", edited(s, accepted, func(e *audit.AgreementAccepted) { e.Challenge = "phone-0" }), accepted, "no code for that was"},
		{"no key", with(s, keyMade, intended), keyMade, "before a key was generated"},
		{"two keys", with(s, intended, intended, s[keyMade]), keyMade + 1, "a second key"},
		{"key of another", edited(append(s, other...), issuingLength+keyMade, func(e *audit.KeyGenerated) { e.Credential = "cred-0" })[:issuingLength+keyMade+1], issuingLength + keyMade, "which has a certificate"},
		{"no intent", with(s, intended, intended+1), issued - 1, "without intent"},
		{"intended twice", with(s, changed8, changed8, s[intended]), intended + 1, "intended before"},
		{"two intents", with(s, changed8, changed8, audit.CertificateIntended{Enrolment: "enr-0", Serial: "0099", TBS: digest("x")}), intended + 1, "a second certificate was intended"},
		{"issued twice", with(s, bound, bound, s[issued]), issued + 1, "issued twice"},
		{"for someone else", append(s[:issued:issued], edited(other, issued, func(e *audit.CertificateIssued) { e.Serial = "0001" })[:issued+1]...), issued + issued, "was intended for enr-0"},
		{"of another key", edited(s, issued, func(e *audit.CertificateIssued) { e.Credential = "cred-9" })[:bound], issued, "the key was generated for cred-0"},
		{"issued without a certificate", with(s, issued, changed9)[:issued+1], issued, "but no certificate of it"},
	}
}

// TestRules breaks each rule once: the log is sound as a tree, signed by its key, and convicted by what it tells, for
// that rule alone and at that entry.
func TestRules(t *testing.T) {
	before := issuing(0)
	for _, s := range append(signingStories(), codeStories()...) {
		t.Run(s.name, func(t *testing.T) {
			s.events, s.at = append(slices.Clone(before), s.events...), s.at+len(before)
			convict(t, s, tiles.Options{})
		})
	}
	for _, s := range issuingStories() {
		t.Run("issuing/"+s.name, func(t *testing.T) { convict(t, s, tiles.Options{}) })
	}
}

// TestTriesOfInstallation holds the log to fewer tries than any configuration allows.
func TestTriesOfInstallation(t *testing.T) {
	s := signing(0, 0, 1)
	events := append(issuing(0), s[asked], s[code], refused(1), refused(2), refused(3), refused(4))
	convict(t, story{"", events, 0, ""}, tiles.Options{})
	convict(t, story{"", events, len(events) - 1, "attempt 4 of challenge sign-0 was counted, a code has 3"}, tiles.Options{Tries: 3})
}

// convict wants exactly one finding, at the entry that breaks the rule; none when the story holds.
func convict(t *testing.T, s story, o tiles.Options) {
	t.Helper()
	m, dir := newMemory(t), t.TempDir()
	m.add(s.events...)
	m.export(dir)
	r, err := tiles.Verify(t.Context(), dir, m.vkey, o)
	switch {
	case s.want == "":
		if err != nil {
			t.Errorf("%v: %v", err, r.Findings)
		}
	case !errors.Is(err, tiles.ErrFindings) || len(r.Findings) != 1 || r.Findings[0].Index != int64(s.at) || !strings.Contains(r.Findings[0].Text, s.want):
		t.Errorf("want %q at entry %d alone, got %v: %v", s.want, s.at, err, r.Findings)
	}
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
