package revinfo_test

import (
	"encoding/binary"
	"errors"
	"math/big"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/signer/revinfo"
	"github.com/ecsigner/ecsigner/signer/revinfo/revtest"
)

// million is a list with a million entries of 49 bytes each, with serial numbers 70…00 and up.
func million(tb testing.TB, ca *revtest.CA) []byte {
	tb.Helper()
	const entries = 1_000_000
	one := []byte("\x30\x2f\x02\x10\x70" + strings.Repeat("\x00", 15) + "\x17\x0d250901120000Z" + "\x30\x0c\x30\x0a\x06\x03\x55\x1d\x15\x04\x03\x0a\x01\x01")
	list := make([]byte, 0, entries*len(one))
	for i := range uint32(entries) {
		binary.BigEndian.PutUint32(one[16:], i)
		list = append(list, one...)
	}
	ca.SetCRL(revtest.CRL{Raw: list})
	der, err := ca.CRL()
	if err != nil {
		tb.Fatal(err)
	}
	return der
}

// TestLargeCRL: a list of a million entries costs its own size, once, and little time.
func TestLargeCRL(t *testing.T) {
	w := newWorld(t, revtest.Options{Depth: 1})
	der := million(t, w.CA(0))
	w.Handle(w.CA(0).CRLURL(), revtest.Bytes(der))
	leaf := issue(t, w.CA(0), revtest.Template{Change: onlyCRL})
	cfg := w.config()
	if _, err := collector(t, cfg).Collect(t.Context(), leaf.Raw, nil, start); !errors.Is(err, revinfo.ErrTooLarge) {
		t.Errorf("with the limit that is set without another: %v", err)
	}
	cfg.MaxCRL = 64 << 20
	c := collector(t, cfg)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	begun := time.Now()
	e, err := c.Collect(t.Context(), leaf.Raw, nil, start)
	first := time.Since(begun)
	runtime.ReadMemStats(&after)
	if err != nil || len(e.CRLs) != 1 {
		t.Fatal(err)
	}
	allocated := int64(after.TotalAlloc - before.TotalAlloc)
	begun = time.Now()
	if _, err := c.Collect(t.Context(), leaf.Raw, nil, start); err != nil {
		t.Fatal(err)
	}
	t.Logf("list of %d bytes: %d bytes allocated, %s the first time, %s when kept", len(der), allocated, first, time.Since(begun))
	if limit := int64(len(der)) + 4<<20; allocated > limit {
		t.Errorf("%d bytes allocated for a list of %d", allocated, len(der))
	}
	for _, serial := range []int64{0, 999_999} {
		number := new(big.Int).Lsh(big.NewInt(0x70), 120)
		number.Add(number, big.NewInt(serial))
		revoked := issue(t, w.CA(0), revtest.Template{Serial: number, Change: onlyCRL})
		var e *revinfo.RevokedError
		if _, err := c.Collect(t.Context(), revoked.Raw, nil, start); !errors.As(err, &e) || e.Reason != 1 || e.Time.Format(time.DateOnly) != "2025-09-01" {
			t.Errorf("entry %d: %v", serial, err)
		}
	}
}
