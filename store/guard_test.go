package store_test

import (
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/audit/tiles"
	"github.com/ecsigner/ecsigner/enrol"
	"github.com/ecsigner/ecsigner/store"
	"github.com/ecsigner/ecsigner/store/storetest"
)

// write commits vouchers from..to-1, each with its event.
func write(t testing.TB, db *store.DB, from, to int) {
	t.Helper()
	for n := from; n < to; n++ {
		if _, err := db.Enrol().Update(t.Context(), func(tx enrol.Tx) error {
			tx.Append(storetest.Created(n))
			return tx.PutVoucher(storetest.Voucher(n))
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// copyDir copies the files of a closed database.
func copyDir(t *testing.T, from, to string) {
	t.Helper()
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

func TestRollbackIsRefused(t *testing.T) {
	w := storetest.NewWorld(t)
	dir, older := filepath.Join(t.TempDir(), "db"), filepath.Join(t.TempDir(), "older")
	db := open(t, config(w, dir))
	write(t, db, 0, 5)
	shut(t, db)
	copyDir(t, dir, older)
	oldHeads, err := os.ReadFile(dir + ".heads")
	if err != nil {
		t.Fatal(err)
	}
	db = open(t, config(w, dir))
	write(t, db, 5, 6)
	shut(t, db)
	newest := filepath.Join(t.TempDir(), "newest")
	copyDir(t, dir, newest)

	refused := func(what string) {
		t.Helper()
		if _, err := store.Open(t.Context(), config(w, dir)); !errors.Is(err, store.ErrRolledBack) {
			t.Errorf("%s: got %v, want ErrRolledBack", what, err)
		}
	}
	copyDir(t, older, dir)
	refused("an older database")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	refused("no database")
	copyDir(t, newest, dir)
	heads, err := os.ReadFile(dir + ".heads")
	if err != nil {
		t.Fatal(err)
	}
	for what, data := range map[string][]byte{
		"a head file of another installation": []byte(strings.Replace(string(heads), "6 ", "7 ", 1)),
		"an empty head file":                  {},
	} {
		if err := os.WriteFile(dir+".heads", data, 0o600); err != nil {
			t.Fatal(err)
		}
		refused(what)
	}
	if err := os.Remove(dir + ".heads"); err != nil {
		t.Fatal(err)
	}
	refused("no head file")

	// The power failed before the last line of the head file was on disk: the database is ahead, and opens.
	if err := os.WriteFile(dir+".heads", oldHeads, 0o600); err != nil {
		t.Fatal(err)
	}
	db = open(t, config(w, dir))
	storetest.Audit(t, w, db)
	shut(t, db)

	// Another log of the same length.
	other := filepath.Join(t.TempDir(), "other")
	db = open(t, config(w, other))
	write(t, db, 100, 106)
	shut(t, db)
	copyDir(t, other, dir)
	refused("another database")
}

// TestTamperedLogIsRefused plays somebody who can write the database file.
func TestTamperedLogIsRefused(t *testing.T) {
	w := storetest.NewWorld(t)
	pristine := filepath.Join(t.TempDir(), "db")
	db := open(t, config(w, pristine))
	write(t, db, 0, 5)
	shut(t, db)
	for _, c := range []struct {
		what, sql string
		opens     bool // Open does not read every entry; Events does
	}{
		{"an entry changed", `UPDATE entries SET data = replace(data, 'v-3', 'v-9') WHERE id = 3`, true},
		{"an entry is no entry", `UPDATE entries SET data = 'x' WHERE id = 3`, true},
		{"entries swapped", `UPDATE entries SET data = (SELECT data FROM entries e WHERE e.id = 1 - entries.id) WHERE id < 2`, true},
		{"an entry dropped from the middle", `DELETE FROM entries WHERE id = 2`, true},
		{"the last entry dropped", `DELETE FROM entries WHERE id = 4`, false},
		{"an entry added", `INSERT INTO entries SELECT 5, data FROM entries WHERE id = 0`, false},
		{"a hash dropped", `DELETE FROM hashes WHERE id = (SELECT MAX(id) FROM hashes)`, false},
		{"a hash of the edge changed", `UPDATE hashes SET hash = (SELECT hash FROM hashes WHERE id = 0) WHERE id = (SELECT MAX(id) FROM hashes)`, false},
		{"a hash too short", `UPDATE hashes SET hash = x'00' WHERE id = (SELECT MAX(id) FROM hashes)`, false},
		{"the size changed", `UPDATE log SET size = 4`, false},
		{"the size negative", `UPDATE log SET size = -1`, false},
		{"the position dropped", `DELETE FROM log`, false},
		{"the size is text", `UPDATE log SET size = 'many'`, false},
		{"cut back consistently", `DELETE FROM entries WHERE id = 4; DELETE FROM hashes WHERE id > 6; UPDATE log SET size = 4`, false},
	} {
		t.Run(c.what, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "db")
			copyDir(t, pristine, dir)
			heads, err := os.ReadFile(pristine + ".heads")
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(dir+".heads", heads, 0o600); err != nil {
				t.Fatal(err)
			}
			tamper(t, dir, c.sql)
			db, err := store.Open(t.Context(), config(w, dir))
			if !c.opens {
				if !errors.Is(err, store.ErrCorrupt) && !errors.Is(err, store.ErrRolledBack) {
					t.Errorf("got %v, want ErrCorrupt or ErrRolledBack", err)
				}
				if err == nil {
					shut(t, db)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer shut(t, db)
			if err := db.Events(t.Context(), func(int64, time.Time, audit.Event) error { return nil }); !errors.Is(err, store.ErrCorrupt) {
				t.Errorf("reading the events: got %v, want ErrCorrupt", err)
			}
		})
	}
}

func tamper(t *testing.T, dir, statement string) {
	t.Helper()
	raw, err := sql.Open("sqlite3", filepath.Join(dir, "ecsigner.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = raw.Close() }()
	if _, err := raw.Exec(statement); err != nil {
		t.Fatal(err)
	}
}

// TestTamperedWhileOpen changes the tree under a running store: what it signs comes from its memory.
func TestTamperedWhileOpen(t *testing.T) {
	w := storetest.NewWorld(t)
	dir := filepath.Join(t.TempDir(), "db")
	db := open(t, config(w, dir))
	write(t, db, 0, 7)
	tamper(t, dir, `UPDATE hashes SET hash = zeroblob(32)`)
	c, err := db.Enrol().Update(t.Context(), func(tx enrol.Tx) error {
		tx.Append(storetest.Signed(1))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	head, err := audit.OpenHead(w.VKey, c.Head)
	if err != nil {
		t.Fatal(err)
	}
	if stored, err := db.ReadHashes([]int64{0}); err != nil || stored[0] == head.Root {
		t.Fatal(err)
	}
	tamper(t, dir, `INSERT INTO entries (id, data) VALUES (8, 'x')`)
	if _, err := db.Enrol().Update(t.Context(), func(tx enrol.Tx) error {
		tx.Append(storetest.Created(1))
		return nil
	}); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("an entry put under the next index: got %v, want ErrCorrupt", err)
	}
}

func TestForeignDatabase(t *testing.T) {
	w := storetest.NewWorld(t)
	for _, c := range []struct {
		what  string
		spoil func(t *testing.T, dir string)
		want  error
	}{
		{"not a database", func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, "ecsigner.db"), []byte(strings.Repeat("not a database ", 1000)), 0o600); err != nil {
				t.Fatal(err)
			}
		}, store.ErrCorrupt},
		{"a newer schema", func(t *testing.T, dir string) {
			tamper(t, dir, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, 1)`)
		}, store.ErrSchema},
		{"a database without tables", func(t *testing.T, dir string) { tamper(t, dir, `DROP TABLE hashes`) }, store.ErrDatabase},
	} {
		t.Run(c.what, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "db")
			db := open(t, config(w, dir))
			shut(t, db)
			c.spoil(t, dir)
			if _, err := store.Open(t.Context(), config(w, dir)); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestHostileColumns(t *testing.T) {
	w := storetest.NewWorld(t)
	dir := filepath.Join(t.TempDir(), "db")
	db := open(t, config(w, dir))
	write(t, db, 0, 1)
	tamper(t, dir, `UPDATE vouchers SET expires = 'never'`)
	err := db.Enrol().View(t.Context(), func(tx enrol.Tx) error {
		_, err := tx.Voucher(storetest.Voucher(0).Hash)
		return err
	})
	if !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("text where a time belongs: got %v, want ErrCorrupt", err)
	}
}

func TestPrivateFiles(t *testing.T) {
	base := t.TempDir()
	for _, name := range []string{"db", "каталог ? # % 100"} {
		dir := filepath.Join(base, name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		db := open(t, config(storetest.NewWorld(t), dir))
		write(t, db, 0, 1)
		var names []string
		if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			if info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s has mode %v", path, info.Mode())
			}
			names = append(names, d.Name())
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if len(names) != 5 { // directory, lock, database and its two journal files
			t.Errorf("found %q", names)
		}
		if info, err := os.Stat(dir + ".heads"); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("head file: %v, %v", info, err)
		}
	}
}

func TestDiskAlmostFull(t *testing.T) {
	c := config(storetest.NewWorld(t), filepath.Join(t.TempDir(), "db"))
	c.MinFree = 1 << 62
	db := open(t, c)
	_, err := db.Enrol().Update(t.Context(), func(tx enrol.Tx) error {
		t.Error("a unit of work began on a full disk")
		return nil
	})
	if !errors.Is(err, store.ErrFull) {
		t.Errorf("got %v, want ErrFull", err)
	}
}

func TestClose(t *testing.T) {
	db := open(t, config(storetest.NewWorld(t), filepath.Join(t.TempDir(), "db")))
	begun, let := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := db.Enrol().Update(t.Context(), func(tx enrol.Tx) error {
			close(begun)
			<-let
			tx.Append(storetest.Created(1))
			return tx.PutVoucher(storetest.Voucher(1))
		}); err != nil {
			t.Errorf("a unit of work that had begun: %v", err)
		}
	})
	<-begun
	closed := make(chan struct{})
	wg.Go(func() {
		shut(t, db)
		close(closed)
	})
	// From here on new ones are refused, whether they come before or after the writer's end.
	for {
		err := db.Enrol().View(t.Context(), func(enrol.Tx) error { return nil })
		if errors.Is(err, store.ErrClosed) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-closed:
		t.Error("closed while a unit of work ran")
	default:
	}
	if _, err := db.Enrol().Update(t.Context(), func(enrol.Tx) error { return nil }); !errors.Is(err, store.ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
	close(let)
	wg.Wait()
	shut(t, db)
}

func TestExport(t *testing.T) {
	w := storetest.NewWorld(t)
	db := open(t, config(w, filepath.Join(t.TempDir(), "db")))
	dir := t.TempDir()
	exporter := tiles.NewExporter(dir, w.VKey)
	for _, size := range []int{3, 300, 301} {
		have, err := db.Size(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		write(t, db, int(have), size-1)
		if _, err := db.Enrol().Update(t.Context(), func(tx enrol.Tx) error {
			tx.Append(audit.CertificateIssued{Enrolment: "e", Credential: "c", Serial: "01", Certificate: storetest.Voucher(size).Hash})
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if head, err := exporter.Export(t.Context(), db); err != nil || head.Size != int64(size) || head.Root != storetest.Audit(t, w, db) {
			t.Errorf("exported %+v, %v; want %d entries", head, err, size)
		}
	}
}

func TestConfig(t *testing.T) {
	w := storetest.NewWorld(t)
	for what, spoil := range map[string]func(*store.Config){
		"no directory": func(c *store.Config) { c.Dir = "" },
		"no clock":     func(c *store.Config) { c.Now = nil },
		"no MAC":       func(c *store.Config) { c.HeadMAC = nil },
	} {
		c := config(w, filepath.Join(t.TempDir(), "db"))
		spoil(&c)
		if db, err := store.Open(t.Context(), c); err == nil {
			t.Errorf("%s: opened", what)
			shut(t, db)
		}
	}
}
