package store_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/enrol"
	"github.com/ecsigner/ecsigner/store/storetest"
)

// blobOf is a wrapped key that nothing else in a database looks like: n of some length.
func blobOf(n, length int) []byte {
	var b []byte
	for i := 0; len(b) < length; i++ {
		h := sha256.Sum256(fmt.Appendf(nil, "wrapped key %d.%d", n, i))
		b = append(b, h[:]...)
	}
	return b[:length]
}

// pieces counts in how many places the files of a directory hold a piece of one of the blobs.
func pieces(t *testing.T, dir string, blobs [][]byte) int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, blob := range blobs {
			for at := 0; at+16 <= len(blob); at += max(16, len(blob)/5) {
				if bytes.Contains(text, blob[at:at+16]) {
					found++
				}
			}
		}
	}
	return found
}

// keep stores a credential with a wrapped key; destroy takes the key out of it.
func keep(tx enrol.Tx, id credential.ID, version uint64, key []byte) error {
	tx.Append(audit.BindingChanged{Credential: string(id), Version: version, Status: "active", Binding: make([]byte, 32)})
	if key == nil {
		tx.Append(audit.KeyDestroyed{Credential: string(id), SPKI: make([]byte, 32), Wrapped: make([]byte, 32)})
	}
	return tx.PutCredential(credential.Record{
		ID: id, Version: version, WrappedKey: key, Sealed: credential.Sealed{Record: make([]byte, 400), Seal: make([]byte, 32)},
		Chain: [][]byte{make([]byte, 900)}, Serial: string(id),
	})
}

// TestDestroyedKeysAreNotInTheFiles destroys keys among many, of the sizes of both types of keys, written in an order in
// which SQLite moves rows between pages. Once each call is answered, no file holds a piece of a destroyed key.
func TestDestroyedKeysAreNotInTheFiles(t *testing.T) {
	t.Parallel()
	w := storetest.NewWorld(t)
	dir := filepath.Join(t.TempDir(), "db")
	db := open(t, config(w, dir))
	update := func(f func(tx enrol.Tx) error) {
		t.Helper()
		if _, err := db.Enrol().Update(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	const count = 200
	ids, blobs := make([]credential.ID, count), make([][]byte, count)
	for n := range count {
		ids[n] = credential.ID(fmt.Sprintf("cred-%x", sha256.Sum256(fmt.Append(nil, n))))
		blobs[n] = blobOf(n, []int{152, 1800, 5000}[n%3])
		update(func(tx enrol.Tx) error { return keep(tx, ids[n], 1, blobs[n]) })
	}
	if n := pieces(t, dir, blobs); n == 0 {
		t.Fatal("the search finds nothing even while the keys are there")
	}
	for n := 0; n < count; n += 2 {
		update(func(tx enrol.Tx) error { return keep(tx, ids[n], 2, nil) })
		if n%50 == 0 {
			if found := pieces(t, dir, blobs[n:n+1]); found != 0 {
				t.Errorf("%d pieces of key %d right after its destruction", found, n)
			}
		}
	}
	var gone, kept [][]byte
	for n := range count {
		if n%2 == 0 {
			gone = append(gone, blobs[n])
		} else {
			kept = append(kept, blobs[n])
		}
	}
	if n := pieces(t, dir, gone); n != 0 {
		t.Errorf("%d pieces of destroyed keys are in the files", n)
	}
	if n := pieces(t, dir, kept); n == 0 {
		t.Error("the keys that were kept are gone too")
	}
	shut(t, db)
	if n := pieces(t, dir, gone); n != 0 {
		t.Errorf("%d pieces of destroyed keys are in the closed files", n)
	}
}

// TestReaderDelaysErasure: a reader that still sees the key keeps the journal. The call is answered all the same, and the
// journal is cleared once the reader is gone.
func TestReaderDelaysErasure(t *testing.T) {
	t.Parallel()
	w := storetest.NewWorld(t)
	dir := filepath.Join(t.TempDir(), "db")
	db := open(t, config(w, dir))
	defer shut(t, db)
	key := blobOf(1, 152)
	put := func(version uint64, key []byte) {
		t.Helper()
		if _, err := db.Enrol().Update(t.Context(), func(tx enrol.Tx) error { return keep(tx, "cred-1", version, key) }); err != nil {
			t.Fatal(err)
		}
	}
	put(1, key)
	reading, leave, left := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		left <- db.Enrol().View(t.Context(), func(tx enrol.Tx) error {
			_, err := tx.Credential("cred-1")
			close(reading)
			<-leave
			return err
		})
	}()
	<-reading
	put(2, nil)
	if pieces(t, dir, [][]byte{key}) == 0 {
		t.Fatal("the reader held nothing back, so this test shows nothing")
	}
	close(leave)
	if err := <-left; err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); pieces(t, dir, [][]byte{key}) != 0; {
		if time.Now().After(deadline) {
			t.Fatal("the key is still in the files")
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// TestCrashBeforeErasure: the process died after the commit and before the journal was cleared, which the next start does.
func TestCrashBeforeErasure(t *testing.T) {
	t.Parallel()
	w := storetest.NewWorld(t)
	dir, copied := filepath.Join(t.TempDir(), "db"), filepath.Join(t.TempDir(), "copy")
	db := open(t, config(w, dir))
	key := blobOf(1, 152)
	for version, k := range [][]byte{key, nil} {
		hold := make(chan struct{})
		held, left := make(chan struct{}), make(chan error, 1)
		go func() {
			left <- db.Enrol().View(t.Context(), func(tx enrol.Tx) error {
				_, _, err := tx.Request("x", "y")
				close(held)
				<-hold
				return err
			})
		}()
		<-held
		if _, err := db.Enrol().Update(t.Context(), func(tx enrol.Tx) error { return keep(tx, "cred-1", uint64(version)+1, k) }); err != nil {
			t.Fatal(err)
		}
		copyDir(t, dir, copied) // what a killed process leaves
		close(hold)
		if err := <-left; err != nil {
			t.Fatal(err)
		}
	}
	heads, err := os.ReadFile(dir + ".heads")
	if err != nil {
		t.Fatal(err)
	}
	shut(t, db)
	if err := os.WriteFile(copied+".heads", heads, 0o600); err != nil {
		t.Fatal(err)
	}
	if pieces(t, copied, [][]byte{key}) == 0 {
		t.Fatal("the copy does not hold the key, so this test shows nothing")
	}
	again := open(t, config(w, copied))
	defer shut(t, again)
	if err := again.Healthy(t.Context()); err != nil { // after the writer has begun
		t.Fatal(err)
	}
	if n := pieces(t, copied, [][]byte{key}); n != 0 {
		t.Errorf("%d pieces of the key after the start", n)
	}
}
