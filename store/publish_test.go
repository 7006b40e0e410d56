package store_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/signer"
	"github.com/ecsigner/ecsigner/store"
	"github.com/ecsigner/ecsigner/store/storetest"
	"golang.org/x/mod/sumdb/tlog"
)

func appending(t *testing.T, db *store.DB, events ...audit.Event) (audit.Commit, error) {
	t.Helper()
	return db.Signer().Update(t.Context(), func(tx signer.Tx) error {
		for _, e := range events {
			tx.Append(e)
		}
		return nil
	})
}

// TestCommittedBeforeTheAnswer: whoever is answered can rely on the entries having been handed out, with the root that the
// log has then. What was undone never is.
func TestCommittedBeforeTheAnswer(t *testing.T) {
	w := storetest.NewWorld(t)
	c := config(w, t.TempDir())
	var handed [][]byte
	var tree audit.CompactRange
	c.Committed = func(size int64, root tlog.Hash, entries [][]byte) {
		for _, e := range entries {
			tree.Add(tlog.RecordHash(e))
		}
		handed = append(handed, entries...)
		if int64(len(handed)) != size || tree.Root() != root {
			t.Errorf("%d entries were handed out, the log has %d with another root", len(handed), size)
		}
	}
	db := open(t, c)
	for range 3 {
		commit, err := appending(t, db, audit.ServiceStopped{}, audit.ServiceStopped{})
		if err != nil {
			t.Fatal(err)
		}
		if int64(len(handed)) != commit.Size || !slices.EqualFunc(handed[commit.First:], commit.Entries, bytes.Equal) {
			t.Fatalf("%d of %d entries were handed out before the answer", len(handed), commit.Size)
		}
	}
	broken := errors.New("refused by the use case")
	if _, err := db.Signer().Update(t.Context(), func(tx signer.Tx) error {
		tx.Append(audit.ServiceStopped{})
		return broken
	}); !errors.Is(err, broken) || len(handed) != 6 {
		t.Errorf("%v, %d entries handed out", err, len(handed))
	}
}

// TestNothingIsActivatedUnpublished: what a person authorises is refused, everything else is recorded.
func TestNothingIsActivatedUnpublished(t *testing.T) {
	w := storetest.NewWorld(t)
	c := config(w, t.TempDir())
	var unpublished error
	c.Activating = func() error { return unpublished }
	db := open(t, c)
	digest := sha256.Sum256(nil)
	activated := audit.SigningActivated{
		Operation: "op-1", Credential: "cred-1", Caller: "documents", BindingVersion: 1, DTBSR: [][]byte{digest[:]},
		Means: "sms-code", Challenge: "ch-1", Activation: digest[:],
	}
	accepted := audit.AgreementAccepted{Enrolment: "enr-1", Challenge: "ch-2", Document: digest[:], Means: "sms-code"}
	for _, e := range []audit.Event{activated, accepted} {
		unpublished = store.ErrUnpublished
		if _, err := appending(t, db, e); !errors.Is(err, store.ErrUnpublished) {
			t.Errorf("%s: %v", audit.Kind(e), err)
		}
		if _, err := appending(t, db, audit.ServiceStopped{}); err != nil {
			t.Errorf("beside it: %v", err)
		}
		unpublished = nil
		if _, err := appending(t, db, e); err != nil {
			t.Errorf("%s, once it is published: %v", audit.Kind(e), err)
		}
	}
}

// TestSnapshotOfAnOpenDatabase copies a database that is written to; the copy is whole and holds what was committed before.
func TestSnapshotOfAnOpenDatabase(t *testing.T) {
	w := storetest.NewWorld(t)
	dir := t.TempDir()
	db := open(t, config(w, filepath.Join(dir, "db")))
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			if _, err := appending(t, db, audit.ServiceStopped{}); err != nil {
				done <- err
				return
			}
		}
	}()
	for k := range 5 {
		before, err := db.Size(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, string(rune('a'+k)))
		if err := store.Snapshot(t.Context(), filepath.Join(dir, "db"), file); err != nil {
			t.Fatal(err)
		}
		facts, err := store.Inspect(t.Context(), file, before)
		if err != nil || facts.Size < before {
			t.Fatalf("%+v, %v; %d entries were committed before", facts, err, before)
		}
		if root, err := tlog.TreeHash(before, db); err != nil || facts.Roots[before] != root {
			t.Errorf("the copy has another root of %d entries (%v)", before, err)
		}
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
		if err := store.Snapshot(t.Context(), filepath.Join(dir, "db"), file); !errors.Is(err, os.ErrExist) {
			t.Errorf("over a file: %v", err)
		}
	}
	close(stop)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "e")
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.LastIndex(good, []byte(`"type":"service.stopped"`))
	if at < 0 {
		t.Fatal("the copy holds no entry")
	}
	bad := bytes.Clone(good)
	bad[at+9] ^= 1
	if err := os.WriteFile(file, bad, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Inspect(t.Context(), file); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("a changed bit in an entry: %v", err)
	}
}
