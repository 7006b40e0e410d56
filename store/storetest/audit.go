package storetest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"golang.org/x/mod/sumdb/tlog"
)

// memory is the tree as package tlog itself stores it.
type memory []tlog.Hash

func (m memory) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	found := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		if index >= int64(len(m)) {
			return nil, fmt.Errorf("hash %d of %d", index, len(m))
		}
		found[i] = m[index]
	}
	return found, nil
}

// recompute makes the tree from the entries alone, with the functions of the Go checksum database.
func recompute(t testing.TB, entries [][]byte) tlog.Hash {
	t.Helper()
	var tree memory
	for i, entry := range entries {
		hashes, err := tlog.StoredHashes(int64(i), entry, tree)
		if err != nil {
			t.Fatal(err)
		}
		tree = append(tree, hashes...)
	}
	root, err := tlog.TreeHash(int64(len(entries)), tree)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// Audit checks the whole log and returns its root: entries decode, the tree made from them is the stored one, the
// newest head signs it or an earlier size of it, and the receipt of every entry that a head covers verifies.
func Audit(t testing.TB, w *World, s Store) tlog.Hash {
	t.Helper()
	ctx := context.Background()
	size, err := s.Size(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var entries [][]byte
	for int64(len(entries)) < size {
		part, err := s.Entries(ctx, int64(len(entries)), 300)
		if err != nil || len(part) == 0 {
			t.Fatalf("entries from %d of %d: %d, %v", len(entries), size, len(part), err)
		}
		entries = append(entries, part...)
	}
	if more, err := s.Entries(ctx, size, 1); err != nil || len(more) != 0 {
		t.Errorf("entries beyond the end: %d, %v", len(more), err)
	}
	seen := int64(0)
	if err := s.Events(ctx, func(index int64, at time.Time, e audit.Event) error {
		entry, err := audit.Encode(at, e)
		if err != nil || index != seen || string(entry) != string(entries[index]) {
			t.Errorf("event %d (expected %d): %s, %v; the entry is %s", index, seen, entry, err, entries[index])
		}
		seen++
		return nil
	}); err != nil || seen != size {
		t.Errorf("%d events of %d: %v", seen, size, err)
	}
	root := recompute(t, entries)
	if stored, err := tlog.TreeHash(size, s); err != nil || stored != root {
		t.Errorf("the stored tree has root %v, %v; the entries make %v", stored, err, root)
	}
	signed, err := s.LastHead(ctx)
	if err != nil {
		t.Fatal(err)
	}
	covered := int64(0)
	if signed != nil {
		head, err := audit.OpenHead(w.VKey, signed)
		if err != nil {
			t.Fatal(err)
		}
		if covered = head.Size; covered > size || recompute(t, entries[:covered]) != head.Root {
			t.Errorf("the newest head signs another tree of %d entries", head.Size)
		}
	}
	step := max(1, size/50)
	for index := int64(0); index < covered; index += step {
		text, err := s.Receipt(ctx, index)
		if err != nil {
			t.Fatalf("receipt of entry %d: %v", index, err)
		}
		r, err := audit.ParseReceipt(text)
		if err == nil {
			err = r.Verify(w.VKey)
		}
		if err != nil || r.Index != index || string(r.Entry) != string(entries[index]) {
			t.Errorf("receipt of entry %d: %v", index, err)
		}
	}
	return root
}
