package store

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/enrol"
	"github.com/ecsigner/ecsigner/otp"
	"github.com/ecsigner/ecsigner/signer"
	"github.com/mattn/go-sqlite3"
	"golang.org/x/mod/sumdb/tlog"
)

// headSigner signs with a text, or fails.
type headSigner struct {
	err   error
	heads int
}

func (s *headSigner) SignHead(_ context.Context, size int64, root tlog.Hash) ([]byte, error) {
	if s.err != nil {
		return nil, s.err
	}
	s.heads++
	return fmt.Appendf(nil, "%d %s", size, root), nil
}

// hand is a store whose writer the test drives by hand, so that it decides who shares a commit.
type hand struct {
	t    *testing.T
	db   *DB
	w    *writer
	head *headSigner
	now  time.Time
}

func newHand(t *testing.T) *hand {
	t.Helper()
	h := &hand{t: t, head: &headSigner{}, now: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	dir := filepath.Join(t.TempDir(), "db")
	h.db = &DB{stop: make(chan struct{}), done: make(chan struct{}), config: Config{
		Dir: dir, HeadFile: dir + ".heads", Head: h.head, Now: func() time.Time { return h.now },
		HeadMAC: func(line []byte) []byte {
			m := hmac.New(sha256.New, nil)
			m.Write(line)
			return m.Sum(nil)
		},
	}}
	err := h.db.claim()
	if err == nil {
		err = h.db.connect(t.Context())
	}
	if err == nil {
		h.w, err = h.db.newWriter(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		close(h.db.done)
		if err := errors.Join(h.w.close(), h.db.Close()); err != nil {
			t.Error(err)
		}
	})
	return h
}

// group runs units of work in one commit and returns their answers.
func (h *hand) group(units ...func(*tx) error) []answer {
	calls := make([]*call, len(units))
	answers := make([]answer, len(units))
	done := make(chan struct{})
	for i, f := range units {
		calls[i] = newCall(f)
		go func() {
			defer func() {
				if p := recover(); p != nil {
					answers[i].err = fmt.Errorf("panic: %v", p)
				}
				done <- struct{}{}
			}()
			answers[i].commit, answers[i].err = calls[i].wait()
		}()
	}
	h.w.serve(calls)
	for range units {
		<-done
	}
	return answers
}

// count returns a unit of work that adds to a counter and checks what earlier ones left.
func count(by, want int, events ...audit.Event) func(*tx) error {
	return func(t *tx) error {
		l, err := t.Lock("counter", "")
		if err != nil {
			return err
		}
		if l.Failures != want {
			return fmt.Errorf("found %d, want %d", l.Failures, want)
		}
		l.Failures += by
		for _, e := range events {
			t.Append(e)
		}
		return t.PutLock(l)
	}
}

func (h *hand) counter() int {
	h.t.Helper()
	var l otp.Lock
	if err := h.db.view(h.t.Context(), func(t *tx) (err error) {
		l, err = t.Lock("counter", "")
		return err
	}); err != nil {
		h.t.Fatal(err)
	}
	return l.Failures
}

var (
	errMine = errors.New("mine")
	plain   = audit.ServiceStopped{}
	issued  = audit.CertificateIssued{Enrolment: "e", Credential: "c", Serial: "01", Certificate: make([]byte, 32)}
)

func failing(f func(*tx) error) func(*tx) error {
	return func(t *tx) error { return errors.Join(f(t), errMine) }
}

func TestGroupSharesOneCommit(t *testing.T) {
	h := newHand(t)
	got := h.group(
		count(1, 0, plain),
		failing(count(100, 1, plain)),
		count(1, 1, plain, plain),
		func(t *tx) error {
			if err := count(100, 2, plain)(t); err != nil {
				return err
			}
			panic("out")
		},
		count(1, 2, issued),
		count(1, 3),
		func(t *tx) error { t.Append(nil); return count(100, 4)(t) },
	)
	for i, want := range []struct {
		err     string
		first   int64
		entries int
	}{{"", 0, 1}, {"mine", 0, 0}, {"", 1, 2}, {"panic: out", 0, 0}, {"", 3, 1}, {"", 0, 0}, {"not a valid event", 0, 0}} {
		a := got[i]
		switch {
		case want.err != "":
			if a.err == nil || !strings.Contains(a.err.Error(), want.err) {
				t.Errorf("unit %d: got %v, want %q", i, a.err, want.err)
			}
		case a.err != nil || len(a.commit.Entries) != want.entries || want.entries > 0 && a.commit.First != want.first ||
			a.commit.Size != 4 || !a.commit.At.Equal(h.now) || !strings.HasPrefix(string(a.commit.Head), "4 "):
			t.Errorf("unit %d: got %+v, %v", i, a.commit, a.err)
		}
	}
	if h.counter() != 4 || h.head.heads != 1 {
		t.Errorf("counted %d with %d heads; want 4 with 1", h.counter(), h.head.heads)
	}
}

// TestGroupWithoutHead has the log key fail: units of work that need a head fail, and the others run again as if
// those had never been, also one that had failed on what they did.
func TestGroupWithoutHead(t *testing.T) {
	h := newHand(t)
	h.head.err = errors.New("device lost")
	runs := make([]int, 6)
	counted := func(i int, f func(*tx) error) func(*tx) error {
		return func(t *tx) error { runs[i]++; return f(t) }
	}
	add := func(t *tx) error {
		l, err := t.Lock("counter", "")
		l.Failures++
		t.Append(plain)
		return errors.Join(err, t.PutLock(l))
	}
	got := h.group(
		counted(0, add),
		counted(1, func(t *tx) error { t.Append(issued); return t.PutLock(otp.Lock{Account: "needs a head"}) }),
		counted(2, func(t *tx) error {
			l, err := t.Lock("needs a head", "")
			if l.Failures == 0 && runs[2] == 1 {
				return errors.Join(err, errMine) // it saw a unit of work that is then undone
			}
			return add(t)
		}),
		counted(3, add),
		counted(4, func(*tx) error { panic("out") }),
		counted(5, func(t *tx) error { t.Append(plain); t.Append(issued); return nil }),
	)
	for i, want := range []error{nil, ErrHead, nil, nil, nil, ErrHead} {
		if i == 4 {
			continue
		}
		if !errors.Is(got[i].err, want) {
			t.Errorf("unit %d: got %v, want %v", i, got[i].err, want)
		}
		if want == nil && (got[i].commit.Size != 3 || got[i].commit.Head != nil) {
			t.Errorf("unit %d: %+v", i, got[i].commit)
		}
	}
	if runs[4] != 1 {
		t.Errorf("a unit of work that panicked ran %d times", runs[4])
	}
	if h.counter() != 3 {
		t.Errorf("counted %d, want 3", h.counter())
	}
	h.head.err = nil
	if got := h.group(count(1, 3, issued)); got[0].err != nil || got[0].commit.Size != 4 {
		t.Errorf("after the log key came back: %+v", got[0])
	}
}

// TestFull limits the database's pages: whoever asks for more undoes the whole group, and nothing else.
func TestFull(t *testing.T) {
	h := newHand(t)
	if got := h.group(count(1, 0, plain)); got[0].err != nil {
		t.Fatal(got[0].err)
	}
	limit := func(pages int) {
		if _, err := h.db.conn.ExecContext(t.Context(), fmt.Sprintf("PRAGMA max_page_count = %d", pages)); err != nil {
			t.Fatal(err)
		}
	}
	limit(1) // SQLite takes this as the present size
	big := func(t *tx) error {
		t.Append(plain)
		// Overlooking the error does not help.
		_ = t.PutOperation(signer.Operation{ID: "big", Items: make([]byte, 1<<20)})
		return nil
	}
	for i, a := range h.group(count(1, 1, plain), big, count(1, 2)) {
		if !errors.Is(a.err, ErrFull) {
			t.Errorf("unit %d: got %v, want ErrFull", i, a.err)
		}
	}
	if h.counter() != 1 {
		t.Errorf("counted %d, want 1: something was half done", h.counter())
	}
	limit(1 << 20)
	for i, a := range h.group(count(1, 1, plain), big) {
		if a.err != nil || a.commit.Size != 3 {
			t.Errorf("with room again, unit %d: %+v", i, a)
		}
	}
}

// TestHeadFileFails closes the head file under the writer: the commit happened, but who asks must read back.
func TestHeadFileFails(t *testing.T) {
	h := newHand(t)
	if err := h.w.heads.Close(); err != nil {
		t.Fatal(err)
	}
	got := h.group(count(1, 0, plain), failing(count(1, 1)))
	if err := got[0].err; !errors.Is(err, signer.ErrOutcomeUnknown) || !errors.Is(err, enrol.ErrOutcomeUnknown) {
		t.Errorf("got %v, want ErrOutcomeUnknown", err)
	}
	if err := got[1].err; !errors.Is(err, ErrStopped) || errors.Is(err, ErrOutcomeUnknown) {
		t.Errorf("a unit of work that had failed: got %v, want ErrStopped", err)
	}
	if got := h.group(count(1, 1, plain)); !errors.Is(got[0].err, ErrStopped) {
		t.Errorf("after it: got %v, want ErrStopped", got[0].err)
	}
	h.w.heads = nil
}

func TestDurableSettingsAreReadBack(t *testing.T) {
	h := newHand(t)
	// Leaving WAL needs the file for oneself.
	if err := errors.Join(h.db.read.Close(), h.db.pool.Close()); err != nil {
		t.Fatal(err)
	}
	h.db.read, h.db.pool = nil, nil
	for _, c := range []struct{ spoil, restore string }{
		{"PRAGMA synchronous = NORMAL", "PRAGMA synchronous = FULL"},
		{"PRAGMA foreign_keys = OFF", "PRAGMA foreign_keys = ON"},
		{"PRAGMA journal_mode = DELETE", "PRAGMA journal_mode = WAL"},
	} {
		if err := durable(t.Context(), h.db.conn); err != nil {
			t.Fatalf("before %s: %v", c.spoil, err)
		}
		if _, err := h.db.conn.ExecContext(t.Context(), c.spoil); err != nil {
			t.Fatal(err)
		}
		if err := durable(t.Context(), h.db.conn); !errors.Is(err, ErrDurability) {
			t.Errorf("%s: got %v, want ErrDurability", c.spoil, err)
		}
		if _, err := h.db.conn.ExecContext(t.Context(), c.restore); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTranslate(t *testing.T) {
	for _, c := range []struct {
		err   error
		want  error
		fault bool
	}{
		{sqlite3.Error{Code: sqlite3.ErrFull}, ErrFull, true},
		{sqlite3.Error{Code: sqlite3.ErrReadonly}, ErrReadOnly, true},
		{sqlite3.Error{Code: sqlite3.ErrCantOpen}, ErrReadOnly, true},
		{sqlite3.Error{Code: sqlite3.ErrIoErr}, ErrDatabase, true},
		{sqlite3.Error{Code: sqlite3.ErrBusy}, ErrDatabase, true},
		{sqlite3.Error{Code: sqlite3.ErrCorrupt}, ErrCorrupt, true},
		{sqlite3.Error{Code: sqlite3.ErrTooBig}, ErrDatabase, false},
		{sqlite3.Error{Code: sqlite3.ErrConstraint, ExtendedCode: sqlite3.ErrConstraintUnique}, ErrConflict, false},
		{sqlite3.Error{Code: sqlite3.ErrConstraint, ExtendedCode: sqlite3.ErrConstraintForeignKey}, ErrNotFound, false},
		{errors.New("driver: bad connection"), ErrDatabase, true},
	} {
		err, fault := translate(fmt.Errorf("wrapped: %w", c.err))
		if !errors.Is(err, c.want) || fault != c.fault {
			t.Errorf("%v: got %v, fault %v; want %v, %v", c.err, err, fault, c.want, c.fault)
		}
	}
}

// TestCover: entries that need no head get one when asked, once, and with what shares their commit; a head that cannot be
// signed fails that wish and nothing else.
func TestCover(t *testing.T) {
	h := newHand(t)
	cover := func(want string, units ...func(*tx) error) {
		t.Helper()
		for i, a := range h.group(append(units, (*tx).cover)...) {
			if a.err != nil || string(a.commit.Head) != want && !strings.HasPrefix(string(a.commit.Head), want+" ") {
				t.Errorf("unit %d: %q, %v; want %q", i, a.commit.Head, a.err, want)
			}
		}
	}
	cover("") // an empty log
	h.group(count(1, 0, plain, plain))
	h.head.err = errMine
	for i, a := range h.group(count(1, 1, plain), (*tx).cover) {
		if wish := i == 1; errors.Is(a.err, ErrHead) != wish || !wish && a.err != nil {
			t.Errorf("unit %d without a signer: %v", i, a.err)
		}
	}
	h.head.err = nil
	cover("4", count(1, 2, plain))
	cover("")
	h.group(count(1, 3, issued))
	cover("")
	if h.counter() != 4 || h.head.heads != 2 {
		t.Errorf("counted %d with %d heads; want 4 with 2", h.counter(), h.head.heads)
	}
}
