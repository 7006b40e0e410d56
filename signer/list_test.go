package signer_test

import (
	"errors"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/signer"
)

func TestList(t *testing.T) {
	w := newWorld(t)
	var made []signer.OperationID
	for range 5 {
		v := w.create(2)
		if got, err := w.s.Get(ctx, docs, v.ID); err != nil || got.Version != v.Version || v.Version == 0 {
			t.Fatalf("created as version %d, read as %d, %v", v.Version, got.Version, err)
		}
		made = append(made, v.ID)
		w.pass(time.Second)
	}
	signed, err := w.s.Authorize(ctx, docs, made[2], w.code(made[2]))
	w.must(err)

	// Pages of two, the newest first, without a gap and without a page too many.
	var got []signer.OperationID
	var after signer.Cursor
	for pages := 1; ; pages++ {
		views, next, err := w.s.List(ctx, docs, signer.Query{Limit: 2, After: after})
		w.must(err)
		for _, v := range views {
			got = append(got, v.ID)
			if v.Title == "" || len(v.Items) != 2 || v.Receipt != nil || v.Items[0].Signature != nil || v.Items[0].Result != nil {
				t.Errorf("listed: %+v", v)
			}
		}
		if after = next; after.ID == "" {
			if pages != 3 {
				t.Errorf("%d pages of two for five", pages)
			}
			break
		}
	}
	for i := range made {
		if len(got) != len(made) || got[i] != made[len(made)-1-i] {
			t.Fatalf("listed %v, made %v", got, made)
		}
	}
	views, next, err := w.s.List(ctx, docs, signer.Query{State: signer.StateSigned})
	if err != nil || len(views) != 1 || views[0].ID != signed.ID || views[0].Version != signed.Version || next.ID != "" {
		t.Errorf("signed ones: %+v, %v, %v", views, next, err)
	}
	if views, _, err := w.s.List(ctx, signer.Caller{Name: "another"}, signer.Query{}); err != nil || len(views) != 0 {
		t.Errorf("another client sees %d operations, %v", len(views), err)
	}
	// What a database writer changed is not listed as genuine.
	o := w.store.state.operations[made[0]]
	o.Credential = "cred-9"
	w.store.state.operations[made[0]] = o
	if _, _, err := w.s.List(ctx, docs, signer.Query{}); !errors.Is(err, signer.ErrIntegrity) {
		t.Errorf("a changed record is listed: %v", err)
	}
}
