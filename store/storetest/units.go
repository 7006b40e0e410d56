package storetest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/enrol"
	"github.com/ecsigner/ecsigner/signer"
	"pgregory.net/rapid"
)

// nothing checks that neither voucher 1 nor any entry beyond size is there.
func nothing(t *testing.T, s Store, size int64) {
	t.Helper()
	if err := s.Enrol().View(context.Background(), func(tx enrol.Tx) error {
		if _, err := tx.Voucher(digest(1)); !errors.Is(err, enrol.ErrNotFound) {
			t.Errorf("the voucher: got %v, want ErrNotFound", err)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Size(context.Background()); err != nil || got != size {
		t.Errorf("the log has %d entries, %v; want %d", got, err, size)
	}
}

func testError(t *testing.T, _ *World, s Store) {
	_, err := s.Enrol().Update(context.Background(), func(tx enrol.Tx) error {
		tx.Append(Created(1))
		if err := tx.PutVoucher(Voucher(1)); err != nil {
			return err
		}
		return errOwn
	})
	if !errors.Is(err, errOwn) {
		t.Errorf("got %v, want the unit's own error", err)
	}
	nothing(t, s, 0)
}

func testPanic(t *testing.T, _ *World, s Store) {
	func() {
		defer func() {
			if recover() != "own" {
				t.Error("the panic did not reach the caller")
			}
		}()
		_, _ = s.Enrol().Update(context.Background(), func(tx enrol.Tx) error {
			tx.Append(Created(1))
			if err := tx.PutVoucher(Voucher(1)); err != nil {
				return err
			}
			panic("own")
		})
	}()
	nothing(t, s, 0)
	putAll(t, s, func(tx enrol.Tx) error { return tx.PutVoucher(Voucher(2)) })
}

func testEvent(t *testing.T, _ *World, s Store) {
	for _, e := range []audit.Event{nil, audit.VoucherCreated{Voucher: "+380501234567"}} {
		_, err := s.Enrol().Update(context.Background(), func(tx enrol.Tx) error {
			tx.Append(Created(1))
			tx.Append(e)
			return tx.PutVoucher(Voucher(1))
		})
		if !errors.Is(err, audit.ErrEvent) {
			t.Errorf("event %v: got %v, want ErrEvent", e, err)
		}
		nothing(t, s, 0)
	}
}

// testParallel has 300 callers count on one row; every tenth fails after it counted.
func testParallel(t *testing.T, w *World, s Store) {
	const callers = 300
	var wg sync.WaitGroup
	indexes := make([]int64, callers)
	for i := range callers {
		wg.Go(func() {
			c, err := s.Signer().Update(context.Background(), func(tx signer.Tx) error {
				l, err := tx.Lock("a", "")
				if err != nil {
					return err
				}
				l.Failures++
				if err := tx.PutLock(l); err != nil {
					return err
				}
				tx.Append(Created(i))
				if i%10 == 9 {
					return errOwn
				}
				return nil
			})
			if want := i%10 == 9; errors.Is(err, errOwn) != want || err != nil && !want {
				t.Errorf("caller %d: %v", i, err)
			}
			indexes[i] = c.First
		})
	}
	wg.Wait()
	if err := s.Signer().View(context.Background(), func(tx signer.Tx) error {
		if l, err := tx.Lock("a", ""); err != nil || l.Failures != callers-callers/10 {
			t.Errorf("counted %d, %v; want %d", l.Failures, err, callers-callers/10)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	taken := map[int64]bool{}
	for i, index := range indexes {
		if i%10 == 9 {
			continue
		}
		if taken[index] {
			t.Errorf("two units of work were given entry %d", index)
		}
		taken[index] = true
	}
	Audit(t, w, s)
}

func testContext(t *testing.T, _ *World, s Store) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := s.Enrol().Update(ctx, func(tx enrol.Tx) error {
		t.Error("a unit of work ran for a caller who had gone")
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}

	// Whoever waits for the writer may leave; who has begun learns the outcome.
	begun, let := make(chan struct{}), make(chan struct{})
	during, leave := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		c, err := s.Enrol().Update(during, func(tx enrol.Tx) error {
			close(begun)
			<-let
			tx.Append(Created(1))
			return tx.PutVoucher(Voucher(1))
		})
		if err != nil || len(c.Entries) != 1 {
			t.Errorf("left while its unit of work ran: got %+v, %v; want the commit", c, err)
		}
	})
	<-begun
	leave()
	waiting, end := context.WithTimeout(context.Background(), time.Millisecond)
	defer end()
	if _, err := s.Enrol().Update(waiting, func(enrol.Tx) error {
		t.Error("a unit of work ran after its caller had gone")
		return nil
	}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting for the writer: got %v, want DeadlineExceeded", err)
	}
	close(let)
	wg.Wait()
}

func testView(t *testing.T, _ *World, s Store) {
	ctx := context.Background()
	for what, write := range map[string]func(tx enrol.Tx){
		"a record": func(tx enrol.Tx) { _ = tx.PutVoucher(Voucher(1)) },
		"a change": func(tx enrol.Tx) { _ = tx.PutCredential(fill[credential.Record](t, 1)) },
		"an event": func(tx enrol.Tx) { tx.Append(Created(1)) },
	} {
		err := s.Enrol().View(ctx, func(tx enrol.Tx) error {
			write(tx)
			return nil // also when the error is overlooked
		})
		if err == nil {
			t.Errorf("a view wrote %s", what)
		}
	}
	nothing(t, s, 0)
	if err := s.Enrol().View(ctx, func(enrol.Tx) error { return errOwn }); !errors.Is(err, errOwn) {
		t.Errorf("got %v, want the view's own error", err)
	}
	if err := s.Enrol().View(ctx, func(tx enrol.Tx) error {
		if _, err := tx.Voucher(digest(2)); !errors.Is(err, enrol.ErrNotFound) {
			t.Errorf("got %v", err)
		}
		putAll(t, s, func(tx enrol.Tx) error { return tx.PutVoucher(Voucher(2)) })
		if _, err := tx.Voucher(digest(2)); !errors.Is(err, enrol.ErrNotFound) {
			t.Errorf("a view saw what was committed after it began: %v", err)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for n := range 50 {
		putAll(t, s, func(tx enrol.Tx) error { return tx.PutVoucher(Voucher(100 + n)) })
		if err := s.Enrol().View(ctx, func(tx enrol.Tx) error {
			_, err := tx.Voucher(digest(100 + n))
			return err
		}); err != nil {
			t.Fatalf("a view did not see the commit before it: %v", err)
		}
	}
}

func testEnded(t *testing.T, _ *World, s Store) {
	var kept enrol.Tx
	putAll(t, s, func(tx enrol.Tx) error {
		kept = tx
		return nil
	})
	if err := kept.PutVoucher(Voucher(1)); err == nil {
		t.Error("a unit of work wrote after its end")
	}
	if _, err := kept.Voucher(digest(1)); err == nil || errors.Is(err, enrol.ErrNotFound) {
		t.Errorf("a unit of work read after its end: %v", err)
	}
	nothing(t, s, 1)
}

func testLog(t *testing.T, w *World, s Store) {
	ctx := context.Background()
	if head, err := s.LastHead(ctx); err != nil || head != nil {
		t.Errorf("new log: head %q, %v", head, err)
	}
	if at, err := s.LastEntryTime(ctx); err != nil || !at.IsZero() {
		t.Errorf("new log: last entry at %v, %v", at, err)
	}
	c, err := s.Signer().Update(ctx, func(tx signer.Tx) error {
		if got := tx.NextIndex(); got != 0 {
			t.Errorf("next index %d, want 0", got)
		}
		tx.Append(Created(1))
		tx.Append(Created(2))
		if got := tx.NextIndex(); got != 2 {
			t.Errorf("next index %d, want 2", got)
		}
		return nil
	})
	if err != nil || c.First != 0 || len(c.Entries) != 2 || c.Size != 2 || c.Head != nil || !c.At.Equal(w.Now()) {
		t.Errorf("first commit: %+v, %v", c, err)
	}
	if _, err := s.Receipt(ctx, 0); err == nil {
		t.Error("a receipt without a head")
	}
	w.Set(w.Now().Add(time.Hour + 1500*time.Nanosecond))
	c, err = s.Signer().Update(ctx, func(tx signer.Tx) error {
		tx.Append(Signed(1))
		return nil
	})
	if err != nil || c.First != 2 || c.Size != 3 || c.Head == nil || w.Signed() != 1 {
		t.Fatalf("commit with a head: %+v, %v, %d heads signed", c, err, w.Signed())
	}
	first, err := s.Receipt(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 5 {
		if _, err := s.Signer().Update(ctx, func(tx signer.Tx) error {
			tx.Append(Signed(n))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	if again, err := s.Receipt(ctx, 0); err != nil || string(again) != string(first) {
		t.Errorf("the receipt changed: %v\n%s\n%s", err, first, again)
	}
	if at, err := s.LastEntryTime(ctx); err != nil || !at.Equal(w.Now()) {
		t.Errorf("last entry at %v, %v; want %v", at, err, w.Now())
	}
	if c, err = s.Signer().Update(ctx, func(signer.Tx) error { return nil }); err != nil || len(c.Entries) != 0 || c.Size != 8 {
		t.Errorf("a unit of work without events: %+v, %v", c, err)
	}
	Audit(t, w, s)
}

func testHead(t *testing.T, w *World, s Store) {
	ctx := context.Background()
	refusal := errors.New("device lost")
	w.Refuse(refusal)
	_, err := s.Enrol().Update(ctx, func(tx enrol.Tx) error {
		tx.Append(Signed(1))
		return tx.PutVoucher(Voucher(1))
	})
	if !errors.Is(err, refusal) {
		t.Errorf("got %v, want the log key's error", err)
	}
	nothing(t, s, 0)
	putAll(t, s, func(tx enrol.Tx) error { return tx.PutVoucher(Voucher(2)) })
	w.Refuse(nil)
	c, err := s.Enrol().Update(ctx, func(tx enrol.Tx) error {
		tx.Append(Signed(1))
		return nil
	})
	if err != nil || c.Head == nil {
		t.Errorf("after the log key came back: %+v, %v", c, err)
	}
	Audit(t, w, s)
}

func testClock(t *testing.T, w *World, s Store) {
	activate := func() error {
		_, err := s.Signer().Update(context.Background(), func(tx signer.Tx) error {
			tx.Append(Activated(1))
			return nil
		})
		return err
	}
	latest := w.Now()
	if err := activate(); err != nil {
		t.Fatal(err)
	}
	w.Set(latest.Add(-5 * time.Second))
	if err := activate(); err != nil {
		t.Errorf("5 s behind: %v", err)
	}
	w.Set(latest.Add(-5*time.Second - time.Microsecond))
	if err := activate(); err == nil {
		t.Error("activated more than 5 s behind the last entry")
	}
	// What must be recorded is; it does not make the log forget how late it was.
	putAll(t, s, func(tx enrol.Tx) error { return nil })
	if err := activate(); err == nil {
		t.Error("activated behind an earlier entry after another one was written")
	}
	w.Set(latest)
	if err := activate(); err != nil {
		t.Errorf("with the clock set right: %v", err)
	}
}

// testAnySequence runs random units of work and compares with a model.
func testAnySequence(t *testing.T, w *World, s Store) {
	model := map[int]int{}
	var entries [][]byte
	rapid.Check(t, func(r *rapid.T) {
		key, events := rapid.IntRange(0, 5).Draw(r, "key"), rapid.IntRange(0, 4).Draw(r, "events")
		fail, head := rapid.Bool().Draw(r, "fail"), rapid.Bool().Draw(r, "head")
		w.Set(w.Now().Add(time.Duration(rapid.IntRange(-1000, 1000).Draw(r, "ms")) * time.Millisecond))
		c, err := s.Enrol().Update(context.Background(), func(tx enrol.Tx) error {
			v, err := tx.Voucher(digest(key))
			if err != nil && !errors.Is(err, enrol.ErrNotFound) {
				return err
			}
			if int(v.Years) != model[key] {
				r.Fatalf("key %d: got %d, want %d", key, v.Years, model[key])
			}
			v.Hash, v.Years = digest(key), uint8((model[key]+1)%256)
			if err := tx.PutVoucher(v); err != nil {
				return err
			}
			for n := range events {
				if head {
					tx.Append(Signed(n))
				} else {
					tx.Append(Created(n))
				}
			}
			if fail {
				return errOwn
			}
			return nil
		})
		if fail {
			if !errors.Is(err, errOwn) {
				r.Fatalf("got %v, want the unit's own error", err)
			}
			return
		}
		if err != nil || len(c.Entries) != events || events > 0 && c.First != int64(len(entries)) {
			r.Fatalf("got %+v, %v; want %d events from %d on", c, err, events, len(entries))
		}
		model[key] = (model[key] + 1) % 256
		entries = append(entries, c.Entries...)
	})
	if got := Audit(t, w, s); got != recompute(t, entries) {
		t.Error("the log does not hold what the commits said")
	}
}
