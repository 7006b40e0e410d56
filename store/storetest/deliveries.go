package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/enrol"
	"github.com/ecsigner/ecsigner/otp/sms"
)

// testDeliveries: a text is settled once, its report may come before that or twice, and what the phone has stays delivered.
func testDeliveries(t *testing.T, w *World, s Store) {
	ctx := context.Background()
	q, ledger := s.Outbox(), s.Reports()
	putAll(t, s, func(tx enrol.Tx) error {
		for n := range 3 {
			m := fill[sms.Message](t, n+1)
			m.ID = name("m", n)
			if err := tx.Enqueue(m); err != nil {
				return err
			}
		}
		return nil
	})
	delivery := func(message string) (d sms.Delivery) {
		t.Helper()
		if err := s.Enrol().View(ctx, func(tx enrol.Tx) (err error) {
			d, err = tx.Delivery(message)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return d
	}
	report := func(r sms.Report, want sms.Status) {
		t.Helper()
		if d, err := ledger.Report(ctx, r); err != nil || d.Status != want {
			t.Errorf("report %+v: %+v, %v; want %s", r, d, err, want)
		}
	}
	settle := func(message string, status sms.Status) sms.Delivery {
		t.Helper()
		d := sms.Delivery{
			Message: message, Kind: "sign", Challenge: "ch", Status: status, At: w.Now(),
			Accepted: sms.Accepted{Provider: "one", Reference: "r-" + message},
		}
		if err := q.Settle(ctx, d); err != nil {
			t.Fatal(err)
		}
		return d
	}
	if d := delivery("m-0"); d != (sms.Delivery{Message: "m-0", Status: sms.Waiting}) {
		t.Errorf("in the outbox: %+v", d)
	}
	if want := settle("m-0", sms.Taken); delivery("m-0") != want {
		t.Errorf("got %+v, want %+v", delivery("m-0"), want)
	}
	if due, err := q.Due(ctx, time.Unix(2_000_000_000, 0), 10); err != nil || len(due) != 2 {
		t.Errorf("still in the outbox: %+v, %v", due, err)
	}
	later := w.Now().Add(time.Second)
	report(sms.Report{Provider: "one", Reference: "r-m-0", Status: sms.Failed, At: later}, sms.Failed)
	report(sms.Report{Provider: "one", Message: "m-0", Status: sms.Delivered, At: later}, sms.Delivered)
	report(sms.Report{Provider: "one", Message: "m-0", Status: sms.Failed, At: later.Add(time.Hour)}, sms.Delivered)
	if d := delivery("m-0"); d.Status != sms.Delivered || !d.At.Equal(later) || d.Reference != "r-m-0" {
		t.Errorf("reported: %+v", d)
	}
	report(sms.Report{Provider: "one", Message: "m-1", Status: sms.Delivered, At: later}, sms.Delivered)
	settle("m-1", sms.Taken)
	if d := delivery("m-1"); d.Status != sms.Delivered || d.Reference != "r-m-1" || d.Kind == "" {
		t.Errorf("settled after its report: %+v", d)
	}
	for _, r := range []sms.Report{
		{Provider: "two", Message: "m-0"},
		{Provider: "two", Reference: "r-m-0"},
		{Provider: "one", Message: "m-9"},
		{Provider: "one", Reference: "r"},
	} {
		r.Status = sms.Failed
		if _, err := ledger.Report(ctx, r); !errors.Is(err, sms.ErrUnknownMessage) {
			t.Errorf("report %+v: %v", r, err)
		}
	}
}
