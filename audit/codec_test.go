package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func fill(b byte, n int) []byte { return bytes.Repeat([]byte{b}, n) }

// samples has one event of each kind, every field set to something that no other field of it holds.
func samples() []Event {
	two := [][]byte{fill(0xa1, 32), fill(0xa2, 32)}
	return []Event{
		VoucherCreated{"0ff1ce", "natural-2y", "operator-1"},
		EnrolmentCreated{"enr-1", "0ff1ce", "portal-1"},
		RenewalCreated{"enr-2", "cred-1", "enr-1", "portal-1"},
		EnrolmentChanged{"enr-1", 3, "data", "portal-1", fill(1, 32)},
		EnrolmentClosed{"enr-1", "issued"},
		PhoneConfirmed{"enr-1", "ch-1", fill(2, 32)},
		IdentityStarted{"enr-1", "idp.example.com"},
		IdentityReported{"enr-1", "positive", fill(3, 32), "identity-1"},
		AgreementPrepared{"enr-1", fill(4, 32), "2026-11 (uk)", "uk"},
		AgreementAccepted{"enr-1", "ch-2", fill(4, 32), "sms-code"},
		AgreementSealed{"enr-1", fill(4, 32), fill(5, 32)},
		KeyGenerated{"enr-1", "cred-1", "kek-2026", fill(6, 32), fill(7, 32)},
		CertificateIntended{"enr-1", "4a5b", fill(8, 32)},
		CertificateIssued{"enr-1", "cred-1", "4a5b", fill(9, 32)},
		CertificateRevoked{"cred-1", "4a5b", "key compromise", "officer-1", "signatory", "sms-code", "ch-4"},
		KeyDestroyed{"cred-1", fill(6, 32), fill(7, 32), "portal-1"},
		BindingChanged{"cred-1", 1, "active", fill(10, 32)},
		AccessGranted{"cred-1", "documents-1", "operator-1"},
		AccessWithdrawn{"cred-1", "documents-1", "operator-1"},
		CodeRequested{"ch-3", "sign", "op-1", "documents-1", "cred-1", "5e1f"},
		CodeResent{"ch-3", "sign", "op-1", "documents-1", "cred-1", 2, "5e1f"},
		CodeRefused{"ch-3", "sign", "op-1", "documents-1", "rejected", 1, "cred-2", 3},
		CodeAccepted{"ch-3", "sign", "op-1", "documents-1", 2, "cred-2"},
		CodeLocked{"cred-1", "documents-1", "caller"},
		CodeUnlocked{"cred-1", "documents-1", "caller"},
		SigningRequested{"op-1", "cred-1", "documents-1", 1, "ecdsa-p256-sha256", two, [][]byte{fill(0xb1, 32)}, "enr-2"},
		SigningActivated{"op-1", "cred-1", "documents-1", 1, two, "sms-code", "ch-3", fill(11, 32)},
		SigningResumed{"op-1", 2},
		SigningSigned{"op-1", "cred-1", 1, two, [][]byte{fill(0xc1, 32), fill(0xc2, 32)}},
		SigningWithheld{"op-1", 1, "fence lost"},
		SigningClosed{"op-1", OutcomeAbandoned},
		IntegrityAlarm{"binding", "cred-1", "the seal does not fit"},
		ServiceStarted{"v0.1.0+dirty", 1, 42},
		ServiceStopped{},
		NoticeSent{"cred-1", "signed"},
		ClientAdded{"documents-1", "documents", "operator-1"},
		ServiceRestored{40, 45, 2, fill(12, 32)},
		IdentityNotified{"veriff", "session-1", "0ff1ce", "enr-1"},
		VoucherRefused{"portal-1", "5ca1ab1e", "unknown"},
		AgreementShown{"enr-1", fill(4, 32), "portal-1"},
		ConsentsGiven{"enr-1", "data obligations device records", fill(12, 32)},
		ArtefactRecorded{"op-1", 2, "B-LTA", fill(13, 32)},
		AugmentationRecorded{"aug-1", "documents-1", "B-LT", fill(14, 32), fill(15, 32)},
	}
}

var sampleTime = time.Date(2026, 11, 24, 0, 0, 0, 123456789, time.UTC)

func TestEntriesGolden(t *testing.T) {
	var got bytes.Buffer
	for _, e := range samples() {
		entry, err := Encode(sampleTime, e)
		if err != nil {
			t.Fatal(err)
		}
		got.Write(append(entry, '\n'))
	}
	golden := filepath.Join("testdata", "entries.jsonl")
	if os.Getenv("AUDIT_UPDATE") != "" { // after a new kind of event, never after a change to an old one
		if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Fatalf("entries changed; old logs could no longer be read:\n%s", got.Bytes())
	}
	for i, line := range bytes.Split(bytes.TrimSpace(want), []byte("\n")) {
		if !json.Valid(line) {
			t.Errorf("not JSON: %s", line)
		}
		at, e, err := Decode(line)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(e, samples()[i]) {
			t.Errorf("%s\ndecodes as %+v", line, e)
		}
		if !at.Equal(sampleTime.Truncate(time.Microsecond)) {
			t.Errorf("time %v", at)
		}
	}
}

// Entries without the fields that came later are read, and are still what a writer makes of their event.
func TestOlderEntriesAreRead(t *testing.T) {
	older, err := os.ReadFile(filepath.Join("testdata", "older.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(bytes.TrimSpace(older), []byte("\n"))
	if len(lines) < 3 {
		t.Fatalf("only %d lines", len(lines))
	}
	for _, line := range lines {
		at, e, err := Decode(line)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if again, err := Encode(at, e); err != nil || !bytes.Equal(again, line) {
			t.Errorf("%s\nis written as %s, %v", line, again, err)
		}
	}
}

// TestEventsAreClosed holds the list of events, the samples and the source to each other.
func TestEventsAreClosed(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var declared []string
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv != nil && f.Name.Name == "event" {
				declared = append(declared, f.Recv.List[0].Type.(*ast.Ident).Name)
			}
		}
	}
	names := func(list []Event) (names []string) {
		for _, e := range list {
			names = append(names, reflect.TypeOf(e).Name())
		}
		return names
	}
	if got := names(events()); !slices.Equal(got, declared) {
		t.Errorf("events() is %v\ndeclared are %v", got, declared)
	}
	if got := names(samples()); !slices.Equal(got, declared) {
		t.Errorf("samples are %v\ndeclared are %v", got, declared)
	}
	kinds := map[string]bool{}
	for _, e := range samples() {
		if kinds[Kind(e)] {
			t.Errorf("kind %s twice", Kind(e))
		}
		kinds[Kind(e)] = true
		for _, f := range reflect.VisibleFields(reflect.TypeOf(e)) {
			if reflect.ValueOf(e).FieldByIndex(f.Index).IsZero() {
				t.Errorf("sample %s leaves %s empty", Kind(e), f.Name)
			}
		}
	}
}

func TestNeedsHead(t *testing.T) {
	for _, e := range samples() {
		k := Kind(e)
		if want := k == "signing.signed" || k == "certificate.issued" || strings.HasSuffix(k, ".recorded"); NeedsHead(e) != want {
			t.Errorf("%s: %v", k, !want)
		}
	}
	if !NeedsHead(&SigningSigned{}) || !NeedsHead(&CertificateIssued{}) {
		t.Error("a pointer slips through")
	}
}

func TestEncodeRefuses(t *testing.T) {
	long := strings.Repeat("x", MaxID+1)
	many := make([][]byte, MaxDigests+1)
	for i := range many {
		many[i] = fill(1, 32)
	}
	for name, e := range map[string]Event{
		"no id":                 SigningResumed{"", 1},
		"name of a person":      NoticeSent{"Іван Франко", "signed"},
		"Latin name":            NoticeSent{"Jan Kowalski", "signed"},
		"phone":                 NoticeSent{"+380441234567", "signed"},
		"e-mail":                NoticeSent{"jan@example.com", "signed"},
		"long id":               NoticeSent{long, "signed"},
		"long text":             CertificateRevoked{Credential: "cred-1", Serial: "4a5b", Reason: long},
		"quote":                 CertificateRevoked{Credential: "cred-1", Serial: "4a5b", Reason: `"`},
		"backslash":             CertificateRevoked{Credential: "cred-1", Serial: "4a5b", Reason: `\`},
		"newline":               CertificateRevoked{Credential: "cred-1", Serial: "4a5b", Reason: "\n"},
		"DEL":                   CertificateRevoked{Credential: "cred-1", Serial: "4a5b", Reason: "\x7f"},
		"number above 2^53":     SigningResumed{"op-1", 1 << 53},
		"negative size":         ServiceStarted{"v1", 1, -1},
		"no digest":             AgreementSealed{"enr-1", fill(1, 32), nil},
		"short digest":          AgreementSealed{"enr-1", fill(1, 31), fill(1, 32)},
		"long digest":           AgreementSealed{"enr-1", fill(1, 32), fill(1, 33)},
		"short optional digest": IdentityReported{"enr-1", "positive", fill(1, 20), ""},
		"unknown outcome":       SigningClosed{"op-1", "done"},
		"no digests to sign":    SigningActivated{"op-1", "cred-1", "c", 1, nil, "sms-code", "ch-1", fill(1, 32)},
		"SHA-1 to sign":         SigningSigned{"op-1", "cred-1", 1, [][]byte{fill(1, 20)}, nil},
		"too many digests":      SigningSigned{"op-1", "cred-1", 1, many, nil},
		"nil":                   nil,
	} {
		if entry, err := Encode(sampleTime, e); !errors.Is(err, ErrEvent) {
			t.Errorf("%s: %v, %s", name, err, entry)
		}
	}
	for _, at := range []time.Time{{}, time.Unix(0, 0), time.Unix(-1, 0), time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC)} {
		if _, err := Encode(at, ServiceStopped{}); !errors.Is(err, ErrEvent) {
			t.Errorf("%v: %v", at, err)
		}
	}
}

// TestAlarmIsAlwaysWritten: neither an error's text nor a tampered id keeps an alarm out of the log.
func TestAlarmIsAlwaysWritten(t *testing.T) {
	for _, text := range []string{
		"", `the seal of "op-1" \ does not fit`, "Іван\n\x00\xff", strings.Repeat("ї\"", 5000), "+380441234567",
	} {
		for _, e := range []Event{IntegrityAlarm{"operation", text, text}, SigningWithheld{"op-1", 1, text}} {
			entry, err := Encode(sampleTime, e)
			if err != nil {
				t.Errorf("%q: %v", text, err)
				continue
			}
			if _, _, err := Decode(entry); err != nil || strings.Contains(string(entry), "Іван") {
				t.Errorf("%s: %v", entry, err)
			}
		}
	}
}

// TestLargestOperationFits shows that MaxDigests never fails for lack of room.
func TestLargestOperationFits(t *testing.T) {
	id := strings.Repeat("x", MaxID)
	wide, narrow := make([][]byte, MaxDigests), make([][]byte, MaxDigests)
	for i := range wide {
		wide[i], narrow[i] = fill(0xff, 64), fill(0xff, 32)
	}
	const n = maxNumber
	for _, e := range []Event{
		SigningRequested{id, id, id, n, id, wide, wide, id},
		SigningActivated{id, id, id, n, wide, id, id, fill(1, 32)},
		SigningSigned{id, id, n, wide, narrow},
	} {
		entry, err := Encode(time.UnixMicro(maxNumber), e)
		if err != nil {
			t.Fatal(err)
		}
		if _, got, err := Decode(entry); err != nil || !reflect.DeepEqual(got, e) {
			t.Fatalf("%s: %v", Kind(e), err)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	const good = `{"v":1,"type":"signing.resumed","at":1795478400000000,"operation":"op-1","fence":2}`
	if _, _, err := Decode([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for name, entry := range map[string]string{
		"empty":            ``,
		"space":            strings.Replace(good, ",", ", ", 1),
		"newline":          good + "\n",
		"other version":    strings.Replace(good, `"v":1`, `"v":2`, 1),
		"unknown type":     strings.Replace(good, "resumed", "renamed", 1),
		"other order":      `{"v":1,"type":"signing.resumed","at":1795478400000000,"fence":2,"operation":"op-1"}`,
		"missing field":    `{"v":1,"type":"signing.resumed","at":1795478400000000,"operation":"op-1"}`,
		"further field":    strings.Replace(good, "}", `,"x":1}`, 1),
		"leading zero":     strings.Replace(good, `"fence":2`, `"fence":02`, 1),
		"plus":             strings.Replace(good, `"fence":2`, `"fence":+2`, 1),
		"minus":            strings.Replace(good, `"fence":2`, `"fence":-2`, 1),
		"exponent":         strings.Replace(good, `"fence":2`, `"fence":2e0`, 1),
		"no number":        strings.Replace(good, `"fence":2`, `"fence":`, 1),
		"huge number":      strings.Replace(good, `"fence":2`, `"fence":18446744073709551616`, 1),
		"number in quotes": strings.Replace(good, `"fence":2`, `"fence":"2"`, 1),
		"escape":           strings.Replace(good, "op-1", `op\u002d1`, 1),
		"time zero":        strings.Replace(good, "1795478400000000", "0", 1),
		"cut":              good[:len(good)-1],
		"too long":         good + strings.Repeat(" ", MaxEntry),
		"upper-case hex":   `{"v":1,"type":"phone.confirmed","at":1,"enrolment":"e","challenge":"c","phone_commitment":"` + strings.Repeat("AB", 32) + `"}`,
		"odd hex":          `{"v":1,"type":"phone.confirmed","at":1,"enrolment":"e","challenge":"c","phone_commitment":"` + strings.Repeat("a", 63) + `"}`,
		"trailing comma":   `{"v":1,"type":"signing.signed","at":1,"operation":"o","credential":"c","binding_version":1,"dtbsr":["` + strings.Repeat("ab", 32) + `",],"signatures":[]}`,
		"open list":        `{"v":1,"type":"signing.signed","at":1,"operation":"o","credential":"c","binding_version":1,"dtbsr":["` + strings.Repeat("ab", 32) + `"`,
	} {
		if _, e, err := Decode([]byte(entry)); !errors.Is(err, ErrEntry) {
			t.Errorf("%s: %v, %+v", name, err, e)
		}
	}
}

// FuzzDecode: whatever is accepted has this one spelling.
func FuzzDecode(f *testing.F) {
	for _, e := range samples() {
		entry, err := Encode(sampleTime, e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(entry)
		f.Add(bytes.ToUpper(entry))
		f.Add(entry[:len(entry)/2])
	}
	f.Fuzz(func(t *testing.T, entry []byte) {
		at, e, err := Decode(entry)
		if err != nil {
			if !errors.Is(err, ErrEntry) {
				t.Fatal(err)
			}
			return
		}
		again, err := Encode(at, e)
		if err != nil || !bytes.Equal(again, entry) {
			t.Fatalf("%s\nencodes as\n%s (%v)", entry, again, err)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	e := samples()[25]
	for b.Loop() {
		if _, err := Encode(sampleTime, e); err != nil {
			b.Fatal(err)
		}
	}
}
