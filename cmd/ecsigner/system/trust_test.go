package system_test

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/client"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/system"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
)

// victim is a signing operation that waits for its code, and what belongs to it.
type victim struct {
	id, code, credential, challenge string
	digest                          [sha256.Size]byte
}

// stage is an installation under attack: two persons, and an operation that waits for its code for each attack.
type stage struct {
	*system.Installation
	t        *testing.T
	db       writer
	spy      string
	one, two string // credentials
}

func newStage(t *testing.T) *stage {
	s := &stage{Installation: system.New(t, build.Program(t)), t: t}
	s.spy = startSpied(t, s.Installation)
	s.one, s.two = s.Credential(1), s.Credential(2)
	s.db = newWriter(t, s.Installation)
	return s
}

// victims makes operations; their codes are on the way at the same time.
func (s *stage) victims(credential string, titles ...string) []victim {
	s.t.Helper()
	all := make([]victim, len(titles))
	for n, title := range titles {
		sum := sha256.Sum256([]byte(title))
		r, err := s.Documents().Signing.CreateSigningOperation(s.Context(), &pb.CreateSigningOperationRequest{
			RequestId: client.RequestID(), CredentialId: credential, Title: title, Language: "en",
			Items: []*pb.SigningItemRequest{{Source: &pb.SigningItemRequest_Sha256{Sha256: sum[:]}, Format: raw}},
		})
		if err != nil {
			s.t.Fatal(err)
		}
		all[n] = victim{id: r.GetOperation().GetId(), credential: credential, digest: sum}
	}
	for n, title := range titles {
		all[n].code = s.Code("sign", "“"+title+"”")
		all[n].challenge = s.db.get("operations", all[n].id)["challenge"].(string)
	}
	return all
}

// restart has the spy go on with its file.
func (s *stage) restart() {
	s.t.Helper()
	s.Stop()
	s.Start(spied(s.spy)...)
}

// unwraps counts how often a person's key was used.
func (s *stage) unwraps() int { return len(usedKeys(s.t, s.spy)) }

// attack is one thing that a database writer does, and how it is found.
type attack struct {
	name   string
	change func(w writer, v, other victim)
	code   bool   // the right code comes; else the call asks for what was authorised
	alarm  string // kind of the record that the log names
}

// attacks on an operation whose code is on the way. other is an operation of the other person, already signed.
func attacks(one, two string) []attack {
	copyOf := func(w writer, table, from, to string, columns ...string) {
		w.put(table, to, w.get(table, from).pick(columns...))
	}
	swap := func(w writer, columns ...string) {
		a, b := w.get("credentials", one).pick(columns...), w.get("credentials", two).pick(columns...)
		w.put("credentials", one, b)
		w.put("credentials", two, a)
	}
	activated := row{"state": "signing", "fence": int64(1), "lease": int64(0)}
	return []attack{
		{"sets activated", func(w writer, v, _ victim) { w.put("operations", v.id, activated) }, false, "activation"},
		{"sets activated with the activation of another operation", func(w writer, v, other victim) {
			copyOf(w, "operations", other.id, v.id, "activation_record", "activation_seal")
			w.put("operations", v.id, activated)
		}, false, "activation"},
		{"sets activated with activation and challenge of another operation", func(w writer, v, other victim) {
			copyOf(w, "operations", other.id, v.id, "activation_record", "activation_seal", "challenge")
			w.put("operations", v.id, activated)
		}, false, "activation"},
		{"sets signed with the signature of another operation", func(w writer, v, other victim) {
			copyOf(w, "operations", other.id, v.id, "signatures", "results", "log_index", "state")
		}, false, "operation"},
		{"sets signed without a signature", func(w writer, v, _ victim) {
			w.put("operations", v.id, row{"state": "signed"})
		}, false, "operation"},
		{"changes the digests", func(w writer, v, other victim) { copyOf(w, "operations", other.id, v.id, "items") }, true, "operation"},
		{"changes a digest in the sealed record", func(w writer, v, _ victim) {
			w.replace("operations", v.id, "record", string(v.digest[:]), strings.Repeat("x", len(v.digest)))
			w.replace("operations", v.id, "items", string(v.digest[:]), strings.Repeat("x", len(v.digest)))
		}, true, "operation"},
		{"changes the title", func(w writer, v, _ victim) {
			w.replace("operations", v.id, "record", "attack", "tattoo")
		}, true, "operation"},
		{"puts another sealed operation in its place", func(w writer, v, other victim) {
			copyOf(w, "operations", other.id, v.id, "record", "seal", "items")
		}, true, "operation"},
		{"lets the operation live longer", func(w writer, v, _ victim) {
			w.put("operations", v.id, row{"expires": time.Now().Add(time.Hour).UnixMicro()})
		}, true, "operation"},
		{"moves the operation to another person", func(w writer, v, _ victim) {
			w.put("operations", v.id, row{"credential": two})
		}, true, "operation"},
		{"lets the code live longer", func(w writer, v, _ victim) {
			w.put("challenges", v.challenge, row{"expires": time.Now().Add(time.Hour).UnixMicro()})
		}, true, "challenge"},
		{"points to another operation's challenge", func(w writer, v, other victim) {
			w.put("operations", v.id, row{"challenge": other.challenge})
		}, true, "challenge"},
		{"puts another operation's sealed challenge in its place", func(w writer, v, other victim) {
			copyOf(w, "challenges", other.challenge, v.challenge, "record", "seal", "expires")
		}, true, "challenge"},
		{"swaps two persons", func(w writer, _, _ victim) {
			swap(w, "record", "seal", "version", "wrapped_key", "chain", "phone", "phone_salt", "serial", "enrolment", "not_before", "not_after")
		}, true, "binding"},
		{"swaps two persons' bindings", func(w writer, _, _ victim) { swap(w, "record", "seal", "version") }, true, "binding"},
		{"swaps two persons' keys", func(w writer, _, _ victim) { swap(w, "wrapped_key") }, true, "binding"},
		{"swaps two persons' certificates", func(w writer, _, _ victim) { swap(w, "chain") }, true, "binding"},
		{"swaps two persons' phones", func(w writer, _, _ victim) { swap(w, "phone", "phone_salt") }, true, "binding"},
		{"changes the phone", func(w writer, _, _ victim) { w.put("credentials", one, row{"phone": "+380671234567"}) }, true, "binding"},
		{"raises the version", func(w writer, _, _ victim) { w.put("credentials", one, row{"version": int64(9)}) }, true, "binding"},
		{"removes the seal", func(w writer, _, _ victim) { w.put("credentials", one, row{"seal": nil}) }, true, "binding"},
	}
}

// TestTrustDatabaseWriter changes records behind the running engine's back. Every change is refused and named, and no
// key is touched; with the record as it was, the same code signs: it was the change that was refused.
func TestTrustDatabaseWriter(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	all := attacks(s.one, s.two)
	titles := make([]string, len(all))
	for n := range all {
		titles[n] = fmt.Sprintf("attack %02d", n)
	}
	other := s.victims(s.two, "of the other person")[0]
	if _, err := s.Authorize(other.id, other.code); err != nil {
		t.Fatal(err)
	}
	for n, v := range s.victims(s.one, titles...) {
		s.attacked(all[n], v, other)
	}
}

// attacked tries one attack and undoes it.
func (s *stage) attacked(a attack, v, other victim) {
	s.t.Run(a.name, func(t *testing.T) {
		from, unwraps := logLength(s.Installation), s.unwraps()
		places := [][2]string{{"operations", v.id}, {"challenges", v.challenge}, {"credentials", s.one}, {"credentials", s.two}}
		before := make([]row, len(places))
		for n, p := range places {
			before[n] = s.db.get(p[0], p[1])
		}
		a.change(s.db, v, other)
		code := ""
		if a.code {
			code = v.code
		}
		o, err := s.Authorize(v.id, code)
		wantTampered(t, err)
		if len(o.GetItems()) != 0 {
			t.Errorf("the answer is %v", o)
		}
		entries := logFrom(s.Installation, from)
		if count(entries, "integrity.alarm", "record", a.alarm) == 0 {
			t.Errorf("no alarm about %s stands in the log: %v", a.alarm, entries)
		}
		for _, kind := range []string{"signing.activated", "signing.signed", "signing.resumed", "code.accepted"} {
			if count(entries, kind) != 0 {
				t.Errorf("the log says %s: %v", kind, entries)
			}
		}
		if n := s.unwraps() - unwraps; n != 0 {
			t.Errorf("keys were used %d times", n)
		}
		for n, p := range places {
			s.db.put(p[0], p[1], before[n])
		}
		if o, err := s.Authorize(v.id, v.code); err != nil || len(o.GetItems()[0].GetSignature()) == 0 {
			t.Errorf("with the record put back: %v, %v", o, err)
		}
	})
}
