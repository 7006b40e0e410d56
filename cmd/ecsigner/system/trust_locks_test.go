package system_test

import (
	"testing"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/client"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
)

// TestTrustLocksRemembered has a writer of the database take locks and failures away, behind the running engine and while
// it stands still. The engine refuses and says so; what was counted locks as it would have; an operator can unlock.
func TestTrustLocksRemembered(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	v := s.victims(s.one, "first", "second", "third")
	for n, wrongs := range []int{3, 1} {
		for range wrongs {
			if _, err := s.Authorize(v[n].id, wrong(v[n].code)); refusalOf(err).reason != "CODE_REJECTED" {
				t.Fatal(err)
			}
		}
	}
	const less, none = "UPDATE locks SET failures = failures - 1 WHERE account = ?", "DELETE FROM locks WHERE account = ?"
	exec := func(t *testing.T, query string, args ...any) {
		t.Helper()
		if _, err := s.db.Exec(query, args...); err != nil {
			t.Fatal(err)
		}
	}
	taken := func(t *testing.T, query string) {
		exec(t, "CREATE TABLE kept AS SELECT * FROM locks WHERE account = ?", s.one)
		exec(t, query, s.one)
		s.refusedAsTampered(t, v[2], "lock")
		exec(t, "INSERT OR REPLACE INTO locks SELECT * FROM kept")
		exec(t, "DROP TABLE kept")
	}
	t.Run("a failure", func(t *testing.T) { taken(t, less) })
	t.Run("all failures", func(t *testing.T) { taken(t, none) })
	s.restart()
	t.Run("a failure, while it stood still", func(t *testing.T) { taken(t, less) })

	if _, err := s.Authorize(v[1].id, wrong(v[1].code)); refusalOf(err).reason != "CODE_REJECTED" {
		t.Fatalf("the fifth wrong code: %v", err)
	}
	locked := func() {
		t.Helper()
		if _, err := s.Authorize(v[2].id, v[2].code); refusalOf(err).reason != "CODES_LOCKED" {
			t.Errorf("the right code after five wrong ones: %v", err)
		}
	}
	locked()
	s.db.run("UPDATE locks SET locked = 0 WHERE account = ?", s.one)
	s.refusedAsTampered(t, v[2], "lock")
	s.restart()
	s.refusedAsTampered(t, v[2], "lock")
	s.db.run("UPDATE locks SET locked = since WHERE account = ? AND caller <> ''", s.one)
	locked()

	s.db.run(none, s.one)
	for _, who := range []string{"documents", ""} {
		if _, err := s.Operator().Admin.Unlock(s.Context(), &pb.UnlockRequest{RequestId: client.RequestID(), Account: s.one, Client: who}); err != nil {
			t.Fatal(err)
		}
	}
	s.restart()
	if o, err := s.Authorize(v[2].id, v[2].code); err != nil || len(o.GetItems()[0].GetSignature()) == 0 {
		t.Errorf("the right code after an operator unlocked: %v", err)
	}
}
