package system_test

import (
	"maps"
	"os"
	"strings"
	"testing"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/client"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/system"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
)

// refusedAsTampered has the right code refused because of a changed record of this kind, and no key touched.
func (s *stage) refusedAsTampered(t *testing.T, v victim, alarm string) {
	t.Helper()
	s.Within(t)
	from, unwraps := logLength(s.Installation), s.unwraps()
	_, err := s.Authorize(v.id, v.code)
	wantTampered(t, err)
	if entries := logFrom(s.Installation, from); count(entries, "integrity.alarm", "record", alarm) != 1 {
		t.Errorf("no alarm about %s stands in the log: %v", alarm, entries)
	}
	if n := s.unwraps() - unwraps; n != 0 {
		t.Errorf("keys were used %d times", n)
	}
}

// past are the rows of an operation as they once were.
type past struct{ operation, challenge row }

func (s *stage) past(v victim) past {
	return past{s.db.get("operations", v.id), s.db.get("challenges", v.challenge)}
}

func (s *stage) putBack(v victim, p past) {
	s.db.put("operations", v.id, p.operation)
	s.db.put("challenges", v.challenge, p.challenge)
}

// TestTrustPastPutBack puts back what was true once, each record with its own good seal: counted tries, a spent code, an
// operation before it was signed, a credential before its revocation, a key that was destroyed. The engine remembers, and after a restart its log does.
func TestTrustPastPutBack(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	all := s.victims(s.one, "tried", "spent")
	tried, spent := all[0], all[1]
	revoked := s.victims(s.two, "revoked")[0]

	beforeTry := s.past(tried)
	if _, err := s.Authorize(tried.id, wrong(tried.code)); refusalOf(err).reason != "CODE_REJECTED" {
		t.Fatal(err)
	}
	afterTry := s.past(tried)
	beforeSpent := s.past(spent)
	if _, err := s.Authorize(spent.id, spent.code); err != nil {
		t.Fatal(err)
	}
	afterSpent := s.past(spent)
	active := s.db.get("credentials", s.two)
	_, err := s.Operator().Credential.RevokeCredential(s.Context(), &pb.RevokeCredentialRequest{
		RequestId: client.RequestID(), CredentialId: s.two, Reason: pb.RevocationReason_REVOCATION_REASON_KEY_COMPROMISE,
	})
	if err != nil {
		t.Fatal(err)
	}
	afterRevocation := s.db.get("credentials", s.two)

	attacks := func(t *testing.T) {
		s.putBack(tried, beforeTry)
		s.refusedAsTampered(t, tried, "challenge")
		s.putBack(tried, afterTry)

		s.putBack(spent, beforeSpent)
		s.refusedAsTampered(t, spent, "challenge")
		unsigned := past{maps.Clone(afterSpent.operation), afterSpent.challenge}
		maps.Copy(unsigned.operation, row{"state": "signing", "lease": int64(0), "signatures": nil, "results": nil, "log_index": int64(0)})
		s.putBack(spent, unsigned)
		s.refusedAsTampered(t, spent, "activation")
		s.putBack(spent, afterSpent)

		s.db.put("credentials", s.two, active)
		s.refusedAsTampered(t, revoked, "binding")
		s.db.put("credentials", s.two, active.pick("wrapped_key"))
		from := logLength(s.Installation)
		_, err := s.Operator().Credential.GetCredential(s.Context(), &pb.GetCredentialRequest{CredentialId: s.two})
		wantTampered(t, err)
		if entries := logFrom(s.Installation, from); count(entries, "integrity.alarm", "record", "binding") != 1 {
			t.Errorf("a destroyed key that was put back is not named in the log: %v", entries)
		}
		s.db.put("credentials", s.two, afterRevocation)
	}
	t.Run("while the engine runs", attacks)
	s.restart()
	t.Run("while it stood still", attacks)

	if o, err := s.Authorize(tried.id, tried.code); err != nil || len(o.GetItems()[0].GetSignature()) == 0 {
		t.Errorf("with everything as it was, the right code is refused: %v", err)
	}
	_, err = s.Authorize(revoked.id, revoked.code)
	if r := refusalOf(err); r.reason != "CREDENTIAL_UNUSABLE" {
		t.Errorf("with everything as it was, the revoked credential answers %+v", r)
	}
}

// TestTrustOldDatabase puts a whole database of yesterday in the place of today's. The engine does not start with it, and
// says why; with today's it goes on.
func TestTrustOldDatabase(t *testing.T) {
	t.Parallel()
	i := system.New(t, build.Program(t))
	i.Start()
	o, code := i.Operation(i.Credential(1), "signed today", raw, "document")
	database, yesterday, today := i.Path("data", "db"), t.TempDir(), t.TempDir()
	replace := func(to, from string) {
		t.Helper()
		i.Stop()
		if err := os.RemoveAll(to); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(to, os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	}
	replace(yesterday, database)
	i.Start()
	if _, err := i.Authorize(o.GetId(), code); err != nil {
		t.Fatal(err)
	}
	replace(today, database)
	replace(database, yesterday)
	out, err := i.Try("serve", "--config", i.Path("ecsigner.yaml"))
	if err == nil || !strings.HasPrefix(out, "ecsigner: ") || !strings.Contains(out, "older than its head file") || strings.Count(out, "\n") != 1 {
		t.Errorf("with a database of yesterday: %v\n%s", err, out)
	}
	replace(database, today)
	i.Start()
	answer, err := i.Documents().Signing.GetSigningOperation(i.Context(), &pb.GetSigningOperationRequest{OperationId: o.GetId()})
	if err != nil || answer.GetOperation().GetState() != pb.SigningState_SIGNING_STATE_SIGNED {
		t.Errorf("with the newest database: %v, %v", answer, err)
	}
}
