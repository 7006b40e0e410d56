package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/augment"
	"github.com/ecsigner/ecsigner/call"
	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/google/go-cmp/cmp"
)

// testAugment: jobs have versions and come when they are due; artefacts never change.
func testAugment(t *testing.T, w *World, s Store) {
	now := w.Now()
	job := func(subject string, item int, due time.Duration) augment.Job {
		return augment.Job{
			Subject: subject, Item: item, Kind: augment.KindPAdES, Document: "doc-" + subject, Target: cades.LevelBLTA, Reached: cades.LevelBB,
			State: augment.Pending, Attempts: item + 5, Reason: augment.ReasonNoPath, NotBefore: now.Add(due), Created: now.Add(time.Second),
			Ends: now.Add(time.Hour),
		}
	}
	update := func(f func(tx augment.Tx) error) error {
		t.Helper()
		_, err := s.Augment().Update(context.Background(), f)
		return err
	}
	if err := update(func(tx augment.Tx) error {
		return errors.Join(tx.PutJob(job("op-1", 1, -time.Second)), tx.PutJob(job("op-1", 0, 0)), tx.PutJob(job("op-2", 0, time.Microsecond)))
	}); err != nil {
		t.Fatal(err)
	}
	want := job("op-1", 1, -time.Second)
	want.Version = 1
	view := func(f func(tx augment.Tx)) {
		t.Helper()
		if err := s.Augment().View(context.Background(), func(tx augment.Tx) error { f(tx); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	name := func(j augment.Job) string { return j.Subject + "/" + string(rune('0'+j.Item)) }
	view(func(tx augment.Tx) {
		got, err := tx.Job("op-1", 1)
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("%v, %s", err, d)
		}
		if _, err := tx.Job("op-1", 2); !errors.Is(err, call.ErrNotFound) {
			t.Errorf("an absent job: %v", err)
		}
		due, err := tx.DueJobs(now, 10)
		expect(t, "due, the longest first", ids(due, name), err, "op-1/1", "op-1/0")
		due, err = tx.DueJobs(now.Add(time.Second), 2)
		expect(t, "no more than asked for", ids(due, name), err, "op-1/1", "op-1/0")
		all, err := tx.Jobs("op-1")
		expect(t, "of an operation", ids(all, name), err, "op-1/0", "op-1/1")
		if n, err := tx.Needing("doc-op-1"); n != 2 || err != nil {
			t.Errorf("%d jobs need the document, %v", n, err)
		}
	})
	if err := update(func(tx augment.Tx) error { return tx.PutJob(job("op-1", 1, 0)) }); !errors.Is(err, call.ErrConflict) {
		t.Errorf("a second new one: %v", err)
	}
	if err := update(func(tx augment.Tx) error { return tx.ReleaseDocument("doc-op-1") }); err != nil {
		t.Fatal(err)
	}
	want.State, want.Reached, want.Kind = augment.Done, cades.LevelBLTA, augment.KindCAdES
	if err := update(func(tx augment.Tx) error { return tx.PutJob(want) }); err != nil {
		t.Fatal(err)
	}
	if err := update(func(tx augment.Tx) error { return tx.PutJob(want) }); !errors.Is(err, call.ErrConflict) {
		t.Errorf("an old version: %v", err)
	}
	want.Version, want.Release = 2, true // which nobody takes back
	view(func(tx augment.Tx) {
		got, err := tx.Job("op-1", 1)
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("%v, %s", err, d)
		}
		if n, err := tx.Needing("doc-op-1"); n != 1 || err != nil {
			t.Errorf("%d jobs need the document, %v", n, err)
		}
	})
	testArtefacts(t, s)
}

func testArtefacts(t *testing.T, s Store) {
	a, b := fill[augment.Artefact](t, 20), fill[augment.Artefact](t, 21)
	a.Level, b.Level = cades.LevelBT, cades.LevelBLT
	b.Subject, b.Item, b.Data = a.Subject, a.Item, nil
	aug := fill[augment.Augmentation](t, 22)
	put := func(tx augment.Tx) error {
		return errors.Join(tx.PutArtefact(b), tx.PutArtefact(a), tx.PutAugmentation(aug))
	}
	if _, err := s.Augment().Update(context.Background(), put); err != nil {
		t.Fatal(err)
	}
	if err := s.Augment().View(context.Background(), func(tx augment.Tx) error {
		for _, want := range []augment.Artefact{a, b} {
			got, err := tx.Artefact(want.Subject, want.Item, want.Level)
			if d := cmp.Diff(want, got); d != "" || err != nil {
				t.Errorf("%v, %s", err, d)
			}
		}
		list, err := tx.ArtefactsOf(a.Subject)
		bare := a
		bare.Data = nil
		if d := cmp.Diff([]augment.Artefact{bare, b}, list); d != "" || err != nil {
			t.Errorf("%v, %s", err, d)
		}
		if _, err := tx.Artefact(a.Subject, a.Item, cades.LevelBLTA); !errors.Is(err, call.ErrNotFound) {
			t.Errorf("an absent artefact: %v", err)
		}
		got, err := tx.Augmentation(aug.ID)
		if d := cmp.Diff(aug, got); d != "" || err != nil {
			t.Errorf("%v, %s", err, d)
		}
		if _, err := tx.Augmentation("none"); !errors.Is(err, call.ErrNotFound) {
			t.Errorf("an absent augmentation: %v", err)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Augment().Update(context.Background(), func(tx augment.Tx) error { return tx.PutArtefact(a) }); !errors.Is(err, call.ErrConflict) {
		t.Errorf("the same level again: %v", err)
	}
}
