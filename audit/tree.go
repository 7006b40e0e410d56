package audit

import (
	"fmt"
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"
)

// Grow appends entries to a tree of the given size and returns the hashes to store, in order, from index
// tlog.StoredHashCount(size) on, and the root of the grown tree. It reads only the right edge of the old tree, at most
// one hash for each bit of size, in one call. Growing by no entries returns the root of the tree as it is.
func Grow(size int64, read tlog.HashReader, entries [][]byte) (stored []tlog.Hash, root tlog.Hash, err error) {
	if size < 0 || size > maxSize-int64(len(entries)) {
		return nil, tlog.Hash{}, fmt.Errorf("audit: growing a tree of %d entries by %d", size, len(entries))
	}
	edge, err := rightEdge(size, read)
	if err != nil {
		return nil, tlog.Hash{}, err
	}
	r := CompactRange{size, edge}
	stored = make([]tlog.Hash, 0, 2*len(entries)+bits.Len64(uint64(size)))
	for _, entry := range entries {
		stored = r.add(stored, tlog.RecordHash(entry))
	}
	return stored, r.Root(), nil
}

// CompactRange is the right edge of a tree: all that is needed to let it grow and to know its root. Its zero value is
// the empty tree.
type CompactRange struct {
	size int64
	edge []tlog.Hash // roots of the complete subtrees, the largest first
}

// Add appends the hash of an entry (tlog.RecordHash).
func (r *CompactRange) Add(leaf tlog.Hash) { r.add(nil, leaf) }

// add also appends to stored the nodes that come to be: the leaf and the root of each subtree that it completes.
func (r *CompactRange) add(stored []tlog.Hash, leaf tlog.Hash) []tlog.Hash {
	h := leaf
	stored = append(stored, h)
	for n := r.size; n&1 == 1; n >>= 1 {
		last := len(r.edge) - 1
		h = tlog.NodeHash(r.edge[last], h)
		r.edge = r.edge[:last]
		stored = append(stored, h)
	}
	r.edge = append(r.edge, h)
	r.size++
	return stored
}

// Root returns the root of the tree so far.
func (r *CompactRange) Root() tlog.Hash {
	if len(r.edge) == 0 {
		root, _ := tlog.TreeHash(0, nil) // the hash of nothing; reads nothing
		return root
	}
	root := r.edge[len(r.edge)-1]
	for i := len(r.edge) - 2; i >= 0; i-- {
		root = tlog.NodeHash(r.edge[i], root)
	}
	return root
}

// rightEdge returns the roots of the complete subtrees that make up a tree, the largest first: one for each set bit of
// size (RFC 6962, section 2.1).
func rightEdge(size int64, read tlog.HashReader) ([]tlog.Hash, error) {
	var indexes []int64
	for level := bits.Len64(uint64(size)) - 1; level >= 0; level-- {
		if n := size >> level; n&1 == 1 {
			indexes = append(indexes, tlog.StoredHashIndex(level, n-1))
		}
	}
	if len(indexes) == 0 {
		return nil, nil
	}
	edge, err := read.ReadHashes(indexes)
	if err != nil {
		return nil, fmt.Errorf("audit: reading the right edge of the tree: %w", err)
	}
	if len(edge) != len(indexes) {
		return nil, fmt.Errorf("audit: reading the right edge of the tree: %d hashes instead of %d", len(edge), len(indexes))
	}
	return edge, nil
}

// emptyRoot is the root of a tree without entries.
func emptyRoot() tlog.Hash { return new(CompactRange).Root() }

// ProveConsistency returns the proof that the tree of size newSize holds the tree of size oldSize as its beginning
// (RFC 6962, section 2.1.2). It is empty where nothing needs proof: from an empty tree, and between equal sizes.
func ProveConsistency(read tlog.HashReader, oldSize, newSize int64) (tlog.TreeProof, error) {
	if oldSize == 0 && newSize >= 0 {
		return tlog.TreeProof{}, nil
	}
	return tlog.ProveTree(newSize, oldSize, read)
}

// VerifyConsistency verifies two signed heads and that the newer log only added to the older. Errors wrap [ErrHead],
// [ErrBehind] when the newer is smaller, or [ErrForked].
func VerifyConsistency(vkey string, oldHead, newHead []byte, proof tlog.TreeProof) error {
	older, err := OpenHead(vkey, oldHead)
	if err != nil {
		return fmt.Errorf("older head: %w", err)
	}
	newer, err := OpenHead(vkey, newHead)
	if err != nil {
		return fmt.Errorf("newer head: %w", err)
	}
	if newer.Size < older.Size {
		return fmt.Errorf("%w: %d entries, there were %d", ErrBehind, newer.Size, older.Size)
	}
	if older.Size == 0 {
		if older.Root != emptyRoot() || newer.Size == 0 && newer.Root != older.Root || len(proof) != 0 {
			return fmt.Errorf("%w: head of an empty log", ErrForked)
		}
		return nil
	}
	if err := tlog.CheckTree(proof, newer.Size, newer.Root, older.Size, older.Root); err != nil {
		return fmt.Errorf("%w: between %d and %d entries", ErrForked, older.Size, newer.Size)
	}
	return nil
}
