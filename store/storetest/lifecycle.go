package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/ca"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/enrol"
	"github.com/ecsigner/ecsigner/tenure"
)

// testLifecycle has four credentials that end one after the other; the second has lost its key, the third is revoked.
func testLifecycle(t *testing.T, w *World, s Store) {
	day := func(n int) time.Time {
		return w.Now().Add(time.Duration(n) * 24 * time.Hour).Truncate(time.Microsecond)
	}
	putAll(t, s, func(tx enrol.Tx) error {
		for n, id := range []credential.ID{"c4", "c3", "c2", "c1"} {
			r := credential.Record{ID: id, Version: 1, Serial: name("s", n), NotAfter: day(n + 1), WrappedKey: []byte{1}}
			state := ca.Issued
			switch n {
			case 1:
				r.WrappedKey = nil
			case 2:
				state = ca.Revoked
			}
			if err := tx.PutCredential(r); err != nil {
				return err
			}
			if err := tx.PutCertificate(ca.Certificate{
				Serial: r.Serial, State: state, RequestID: name("r", n), Issuer: []byte("i"), Subject: digest(n), SPKI: [32]byte{byte(n)},
			}); err != nil {
				return err
			}
		}
		return nil
	})
	record := func(r credential.Record) string { return string(r.ID) }
	look := func(f func(tx tenure.Tx)) {
		t.Helper()
		if err := s.Tenure().View(context.Background(), func(tx tenure.Tx) error { f(tx); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	look(func(tx tenure.Tx) {
		list, err := tx.Ending(day(0), day(4), 10)
		expect(t, "ending, with a key", ids(list, record), err, "c4", "c2", "c1")
		list, err = tx.Ending(day(0), day(3), 1)
		expect(t, "the first that ends", ids(list, record), err, "c4")
		list, err = tx.Ending(day(1), day(3), 10)
		expect(t, "ending after and until", ids(list, record), err, "c2")
		list, err = tx.RevokedWithKey("", 10)
		expect(t, "revoked, with a key", ids(list, record), err, "c2")
		list, err = tx.RevokedWithKey("c2", 10)
		expect(t, "the next page of them", ids(list, record), err)
	})
	putAll(t, s, func(tx enrol.Tx) error { return living(t, tx).PutReminder("c4", day(0)) })
	look(func(tx tenure.Tx) {
		list, err := tx.Ending(day(0), day(4), 10)
		expect(t, "ending, not reminded", ids(list, record), err, "c2", "c1")
	})
}
