package enrol_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/enrol"
)

const voucherSymbols = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// guess returns a code with a right check symbol that nobody was given.
func guess(r *rand.Rand) string {
	code := make([]byte, 19)
	sum, factor := 0, 2
	for i := range code {
		code[i] = voucherSymbols[r.IntN(32)]
	}
	for i := len(code) - 1; i >= 0; i-- {
		v := factor * strings.IndexByte(voucherSymbols, code[i])
		sum += v/32 + v%32
		factor = 3 - factor
	}
	return string(code) + string(voucherSymbols[(32-sum%32)%32])
}

func (w *world) redeem(caller, person, code string) error {
	_, err := w.Create(context.Background(), caller, w.request(), code, "uk", person)
	return err
}

// 10,000 guesses through one portal, from many at the same time and under ever new keys: none succeeds, the log and the
// memory stay within the limits, and other portals are not touched.
func TestTenThousandGuesses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	right := w.voucher()
	var looked, limited, hits atomic.Int64
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(worker))) //nolint:gosec // guesses of a test
			for i := range 1250 {
				switch err := w.redeem(portal, fmt.Sprintf("visitor-%d-%d", worker, i), guess(r)); {
				case errors.Is(err, enrol.ErrVoucher):
					looked.Add(1)
				case errors.Is(err, enrol.ErrVoucherRate):
					limited.Add(1)
				default:
					hits.Add(1)
				}
			}
		})
	}
	wg.Wait()
	limit := int64(w.config.Guesses.Caller)
	if looked.Load() != limit || limited.Load() != 10000-limit || hits.Load() != 0 {
		t.Errorf("%d looked at, %d refused, %d neither; want %d, %d, 0", looked.Load(), limited.Load(), hits.Load(), limit, 10000-limit)
	}
	if n := w.store.count("voucher.refused"); int64(n) != limit {
		t.Errorf("%d entries of the log, want %d", n, limit)
	}
	// As the rule says, this portal's codes rest, the right one too; another portal's do not.
	if err := w.redeem(portal, "visitor", right); !errors.Is(err, enrol.ErrVoucherRate) {
		t.Errorf("the same portal: %v", err)
	}
	if err := w.redeem("portal-2", "visitor", right); err != nil {
		t.Errorf("another portal: %v", err)
	}
}

// Who types wrong codes is told to wait; nobody else is.
func TestWrongCodesOfOnePerson(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := rand.New(rand.NewPCG(2, 2)) //nolint:gosec // guesses of a test
	mine, another := w.voucher(), w.voucher()
	for i := range 10 {
		code, want := guess(r), enrol.ErrVoucher
		if i%2 == 1 { // a mistyped code costs nothing, but counts
			code, want = code[:19]+"*", enrol.ErrVoucherCode
		}
		if err := w.redeem(portal, "visitor-1", code); !errors.Is(err, want) {
			t.Fatalf("guess %d: %v", i, err)
		}
		w.wait(time.Second)
	}
	err := w.redeem(portal, "visitor-1", mine)
	var limited *enrol.GuessError
	if !errors.As(err, &limited) || limited.Wait != 10*time.Minute-10*time.Second {
		t.Fatalf("the right code after ten wrong ones: %v", err)
	}
	if err := w.redeem(portal, "visitor-2", another); err != nil {
		t.Errorf("another person of the same portal: %v", err)
	}
	if err := w.redeem(portal, "", w.voucher()); err != nil {
		t.Errorf("a portal that does not tell persons apart: %v", err)
	}
	// The limit stands in the log: a new process knows of it.
	at := w.now().Add(-time.Second)
	w.start()
	for _, e := range w.store.events {
		if e, ok := e.(audit.VoucherRefused); ok {
			if strings.Contains(e.Person, "visitor") {
				t.Errorf("the log holds the portal's own key: %+v", e)
			}
			w.VoucherRefused(e.Caller, e.Person, at)
		}
	}
	if err := w.redeem(portal, "visitor-1", mine); !errors.Is(err, enrol.ErrVoucherRate) {
		t.Errorf("after a new start: %v", err)
	}
	w.wait(10 * time.Minute)
	if err := w.redeem(portal, "visitor-1", mine); err != nil {
		t.Errorf("after the wait: %v", err)
	}
}

// A right code leaves no count, and the answer of an earlier request is given whatever was counted since.
func TestRightCodesAreNotCounted(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	w.config.Guesses = enrol.GuessLimits{Person: 1, Caller: 2, Callers: map[string]int{"portal-2": 1}, Window: time.Minute}
	w.start()
	for range 5 {
		w.must(w.redeem(portal, "visitor", w.voucher()))
	}
	code := w.voucher()
	first, err := w.Create(ctx, portal, "mine", code, "uk", "visitor")
	w.must(err)
	if err := w.redeem(portal, "visitor", code); !errors.Is(err, enrol.ErrVoucherUsed) {
		t.Error(err)
	}
	if err := w.redeem(portal, "visitor", w.voucher()); !errors.Is(err, enrol.ErrVoucherRate) {
		t.Errorf("after one wrong code of one: %v", err)
	}
	again, err := w.Create(ctx, portal, "mine", code, "uk", "visitor")
	if err != nil || again.ID != first.ID {
		t.Errorf("the earlier request: %v, %v", again.ID, err)
	}
	// The limit of one client by its name.
	if err := w.redeem("portal-2", "", code); !errors.Is(err, enrol.ErrVoucherUsed) {
		t.Error(err)
	}
	if err := w.redeem("portal-2", "", w.voucher()); !errors.Is(err, enrol.ErrVoucherRate) {
		t.Errorf("portal-2: %v", err)
	}
	if _, err := w.Create(ctx, portal, w.request(), code, "uk", strings.Repeat("x", 129)); !errors.Is(err, enrol.ErrField) {
		t.Errorf("a key of 129 bytes: %v", err)
	}
}
