package store_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/enrol"
	"github.com/ecsigner/ecsigner/signer"
	"github.com/ecsigner/ecsigner/store"
	"github.com/ecsigner/ecsigner/store/storetest"
	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sys/unix"
)

// Tests that kill, starve or cripple a process run this test program again, with the name of what it shall do in
// childEnv and the directory in dirEnv.
const (
	childEnv = "STORE_TEST_CHILD"
	dirEnv   = "STORE_TEST_DIR"
)

var children = map[string]func(){"load": load, "open": openAndReport, "commit": failCommits}

func child(t *testing.T, name, dir string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), self)
	c.Env = append(os.Environ(), childEnv+"="+name, dirEnv+"="+dir)
	c.Stderr = os.Stderr
	return c
}

// fakeHead signs nothing: a child needs no key.
type fakeHead struct{}

func (fakeHead) SignHead(_ context.Context, size int64, _ tlog.Hash) ([]byte, error) {
	return fmt.Appendf(nil, "head of %d", size), nil
}

func childConfig() store.Config {
	return store.Config{Dir: os.Getenv(dirEnv), HeadMAC: mac, Head: fakeHead{}, Now: time.Now}
}

func die(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "child:", err)
		os.Exit(3)
	}
}

// load commits from 8 goroutines for ever and prints the number of each voucher once it is answered.
func load() {
	db, err := store.Open(context.Background(), childConfig())
	die(err)
	var out sync.Mutex
	for worker := range 8 {
		go func() {
			for i := worker; ; i += 8 {
				c, err := db.Enrol().Update(context.Background(), func(tx enrol.Tx) error {
					tx.Append(storetest.Created(i))
					if i%3 == 0 {
						tx.Append(storetest.Signed(i))
					}
					return tx.PutVoucher(storetest.Voucher(i))
				})
				die(err)
				out.Lock()
				fmt.Println(i, c.First, c.Size)
				out.Unlock()
			}
		}()
	}
	select {}
}

func TestKilledUnderLoadLosesNothingAnswered(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "db")
	for round := range 3 {
		c := child(t, "load", dir)
		pipe, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if round > 0 { // vouchers of this round replace those of the last; its entries add to the log
			t.Logf("round %d", round)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		var vouchers []int
		var end int64
		lines := bufio.NewScanner(pipe)
		for lines.Scan() {
			var i int
			var first, size int64
			if _, err := fmt.Sscan(lines.Text(), &i, &first, &size); err != nil {
				break // the line that was being written
			}
			vouchers = append(vouchers, i)
			end = max(end, size)
			if len(vouchers) == 300+100*round {
				if err := c.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = c.Wait()
		if len(vouchers) < 300 {
			t.Fatalf("the child ended by itself after %d commits", len(vouchers))
		}
		w := storetest.NewWorld(t)
		db, err := store.Open(t.Context(), config(w, dir))
		if err != nil {
			t.Fatalf("opening after the kill: %v", err)
		}
		if size, err := db.Size(t.Context()); err != nil || size < end {
			t.Errorf("the log has %d entries, %v; %d were answered", size, err, end)
		}
		if err := db.Enrol().View(t.Context(), func(tx enrol.Tx) error {
			for _, i := range vouchers {
				if _, err := tx.Voucher(storetest.Voucher(i).Hash); err != nil {
					t.Errorf("voucher %d was answered and is lost: %v", i, err)
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		verify(t, db)
		shut(t, db)
	}
}

// verify makes the tree again from the entries and compares it with the stored one and the stored root of every head.
func verify(t *testing.T, db *store.DB) {
	t.Helper()
	var tree hashes
	size := int64(0)
	if err := db.Events(t.Context(), func(index int64, at time.Time, e audit.Event) error {
		entry, err := audit.Encode(at, e)
		if err != nil {
			return err
		}
		made, err := tlog.StoredHashes(index, entry, tree)
		tree = append(tree, made...)
		size = index + 1
		return err
	}); err != nil {
		t.Fatal(err)
	}
	want, err := tlog.TreeHash(size, tree)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := tlog.TreeHash(size, db); err != nil || got != want {
		t.Errorf("the stored tree of %d entries: %v, %v; the entries make %v", size, got, err, want)
	}
}

type hashes []tlog.Hash

func (h hashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	found := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		found[i] = h[index]
	}
	return found, nil
}

// openAndReport prints the sentinel that opening and one commit end with.
func openAndReport() {
	db, err := store.Open(context.Background(), childConfig())
	if err == nil {
		_, err = db.Enrol().Update(context.Background(), func(tx enrol.Tx) error {
			tx.Append(storetest.Created(1))
			return tx.PutVoucher(storetest.Voucher(1))
		})
		err = errors.Join(err, db.Close())
	}
	for name, sentinel := range map[string]error{
		"ErrInUse": store.ErrInUse, "ErrReadOnly": store.ErrReadOnly, "ErrFull": store.ErrFull, "ErrRolledBack": store.ErrRolledBack,
	} {
		if errors.Is(err, sentinel) {
			fmt.Print(name)
			return
		}
	}
	fmt.Print(err)
}

func TestSecondProcess(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "db")
	db := open(t, config(storetest.NewWorld(t), dir))
	if out, err := child(t, "open", dir).Output(); err != nil || string(out) != "ErrInUse" {
		t.Errorf("a second process: %q, %v; want ErrInUse", out, err)
	}
	if _, err := store.Open(t.Context(), config(storetest.NewWorld(t), dir)); !errors.Is(err, store.ErrInUse) {
		t.Errorf("opening twice in one process: %v; want ErrInUse", err)
	}
	shut(t, db)
	if out, err := child(t, "open", dir).Output(); err != nil || string(out) != "<nil>" {
		t.Errorf("after the first has ended: %q, %v; want no error", out, err)
	}
}

func TestReadOnly(t *testing.T) {
	for _, c := range []struct {
		what string
		path func(dir string) string
		mode os.FileMode
	}{
		{"database", func(dir string) string { return filepath.Join(dir, "ecsigner.db") }, 0o400},
		{"directory", func(dir string) string { return dir }, 0o500},
		{"head file", func(dir string) string { return dir + ".heads" }, 0o400},
	} {
		t.Run(c.what, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "db")
			db := open(t, config(storetest.NewWorld(t), dir))
			shut(t, db)
			if err := os.Chmod(c.path(dir), c.mode); err != nil {
				t.Fatal(err)
			}
			if c.mode&0o100 != 0 { // the lock exists already, new files are refused
				if err := os.Remove(filepath.Join(dir, "lock")); err != nil {
					t.Fatal(err)
				}
			}
			out, err := withoutOverride(child(t, "open", dir))
			if err != nil || string(out) != "ErrReadOnly" {
				t.Errorf("got %q, %v; want ErrReadOnly", out, err)
			}
		})
	}
}

// withoutOverride runs a command for which file modes count, also when we are root. The thread on which the
// capability was dropped ends with its goroutine.
func withoutOverride(c *exec.Cmd) (out []byte, err error) {
	if os.Geteuid() != 0 {
		return c.Output()
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if err = unix.Prctl(unix.PR_CAPBSET_DROP, unix.CAP_DAC_OVERRIDE, 0, 0, 0); err != nil {
			return
		}
		out, err = c.Output()
	}()
	<-done
	return out, err
}

// failCommits limits the size of files, so that the journal cannot grow, and prints what its commits come to.
func failCommits() {
	signal.Ignore(syscall.SIGXFSZ)
	db, err := store.Open(context.Background(), childConfig())
	die(err)
	put := func(n, size int) error {
		_, err := db.Signer().Update(context.Background(), func(tx signer.Tx) error {
			tx.Append(storetest.Created(n))
			return tx.PutOperation(signer.Operation{ID: signer.OperationID(strconv.Itoa(n)), Items: make([]byte, size)})
		})
		return err
	}
	die(put(1, 10))
	die(db.Healthy(context.Background()))
	journal, err := os.Stat(filepath.Join(os.Getenv(dirEnv), "ecsigner.db-wal"))
	die(err)
	var limit syscall.Rlimit
	die(syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit))
	lower := limit
	lower.Cur = uint64(journal.Size()) + 50_000
	die(syscall.Setrlimit(syscall.RLIMIT_FSIZE, &lower))
	// Larger than SQLite's cache: a statement fails. Smaller: COMMIT does.
	first, second := put(2, 8<<20), put(3, 200_000)
	die(syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit))
	third := put(4, 10)
	for _, err := range []error{first, second, third, db.Healthy(context.Background())} {
		fmt.Println(
			errors.Is(err, store.ErrDatabase), errors.Is(err, signer.ErrOutcomeUnknown) && errors.Is(err, enrol.ErrOutcomeUnknown),
			errors.Is(err, store.ErrStopped))
	}
	die(db.Close())
	db, err = store.Open(context.Background(), childConfig())
	die(err)
	die(db.Signer().View(context.Background(), func(tx signer.Tx) error {
		for n := 1; n <= 4; n++ {
			_, err := tx.Operation(signer.OperationID(strconv.Itoa(n)))
			fmt.Println(n, errors.Is(err, signer.ErrNotFound))
		}
		return nil
	}))
	die(put(5, 10))
	die(db.Close())
}

func TestFailedCommitStopsTheWriter(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "db")
	out, err := child(t, "commit", dir).Output()
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Split(strings.TrimSpace(string(out)), "\n")
	want := []string{
		"true false false", // a failed statement: nothing happened, and the writer goes on
		"true true false",  // a failed COMMIT
		"true false true",  // whatever comes after it
		"true false true",  // and that is how it says it is
		"1 false", "2 true", "", "4 true",
	}
	for i := range want {
		if i >= len(got) || want[i] != "" && got[i] != want[i] { // whether 3 happened is what nobody knows
			t.Fatalf("line %d: got %q, want %q", i, got, want)
		}
	}
	db := open(t, config(storetest.NewWorld(t), dir))
	verify(t, db)
}
