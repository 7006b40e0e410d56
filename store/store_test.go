package store_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"os"
	"testing"

	"github.com/ecsigner/ecsigner/store"
	"github.com/ecsigner/ecsigner/store/storetest"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if run, ok := children[os.Getenv(childEnv)]; ok {
		run()
		return
	}
	goleak.VerifyTestMain(m)
}

func mac(line []byte) []byte {
	h := hmac.New(sha256.New, []byte("head file key of the tests"))
	h.Write(line)
	return h.Sum(nil)
}

func config(w *storetest.World, dir string) store.Config {
	return store.Config{Dir: dir, HeadMAC: mac, Head: w, Now: w.Now}
}

// open opens a store until the test ends.
func open(t testing.TB, c store.Config) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shut(t, db) })
	return db
}

func shut(t testing.TB, db *store.DB) {
	t.Helper()
	if err := db.Close(); err != nil {
		t.Errorf("closing: %v", err)
	}
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T, w *storetest.World) storetest.Store {
		return open(t, config(w, t.TempDir()))
	})
}
