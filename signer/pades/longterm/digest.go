package longterm

import (
	"cmp"
	"context"
	"crypto"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"

	"github.com/ecsigner/ecsigner/signer/pades"
)

// wanted is a digest to be made: over two ranges as in /ByteRange, of which the first begins at byte 0.
type wanted struct {
	hash   crypto.Hash
	ranges [4]int64
}

// digests are those of one file, made in one pass over it: the first ranges of all signatures begin together, so one running
// hash is copied wherever one of them ends.
type digests struct {
	sums  map[wanted][]byte
	whole map[crypto.Hash]hash.Cloner // state after the last byte
}

// openTail is the state of one wanted digest within its second range.
type openTail struct {
	wanted
	state hash.Cloner
}

// readDigests makes the wanted digests and goes on to the end of the file with the hashes of whole.
func readDigests(ctx context.Context, r io.ReaderAt, size int64, wants []wanted, whole ...crypto.Hash) (*digests, error) {
	d := &digests{map[wanted][]byte{}, map[crypto.Hash]hash.Cloner{}}
	var cuts []int64
	last := map[crypto.Hash]int64{} // how far the running hash is needed
	for _, w := range wants {
		cuts = append(cuts, w.ranges[1], w.ranges[2], w.ranges[2]+w.ranges[3])
		last[w.hash] = max(last[w.hash], w.ranges[1])
	}
	for _, h := range whole {
		cuts = append(cuts, size)
		last[h] = size
	}
	for h := range last {
		state, ok := h.New().(hash.Cloner)
		if !ok {
			return nil, fmt.Errorf("%w: the state of %v cannot be copied", pades.ErrOptions, h)
		}
		d.whole[h] = state
	}
	slices.Sort(cuts)
	var tails []openTail
	for at, i := int64(0), 0; ; i++ {
		var err error
		if tails, err = d.cut(at, wants, tails); err != nil {
			return nil, err
		}
		if i == len(cuts) {
			return d, nil
		}
		if cuts[i] == at {
			continue
		}
		var states []hash.Hash
		for h, end := range last {
			if at < end {
				states = append(states, d.whole[h])
			}
		}
		for _, t := range tails {
			if at >= t.ranges[2] {
				states = append(states, t.state)
			}
		}
		if err := feed(ctx, r, at, cuts[i], states); err != nil {
			return nil, err
		}
		at = cuts[i]
	}
}

// cut begins and ends what begins and ends at a place in the file.
func (d *digests) cut(at int64, wants []wanted, tails []openTail) ([]openTail, error) {
	for _, w := range wants {
		if w.ranges[1] == at && d.sums[w] == nil && !slices.ContainsFunc(tails, func(t openTail) bool { return t.wanted == w }) {
			state, err := d.whole[w.hash].Clone()
			if err != nil {
				return nil, fmt.Errorf("pades: copying the state of %v: %w", w.hash, err)
			}
			tails = append(tails, openTail{w, state})
		}
	}
	return slices.DeleteFunc(tails, func(t openTail) bool {
		if t.ranges[2]+t.ranges[3] != at {
			return false
		}
		d.sums[t.wanted] = t.state.Sum(nil)
		return true
	}), nil
}

// feed gives the bytes from one place to another to all states.
func feed(ctx context.Context, r io.ReaderAt, from, to int64, states []hash.Hash) error {
	if len(states) == 0 {
		return nil
	}
	buf := make([]byte, min(to-from, 256<<10))
	for at := from; at < to; {
		if err := ctx.Err(); err != nil {
			return err
		}
		piece := buf[:min(int64(len(buf)), to-at)]
		if got, err := r.ReadAt(piece, at); got < len(piece) {
			return fmt.Errorf("reading the document at byte %d: %w", at, unexpected(err))
		}
		for _, s := range states {
			s.Write(piece) // a hash never returns an error
		}
		at += int64(len(piece))
	}
	return nil
}

// unexpected names the end of a file that is shorter than it was said to be.
func unexpected(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// appended is a file with bytes that follow it.
type appended struct {
	io.ReaderAt
	size int64
	tail []byte
}

func (a *appended) ReadAt(p []byte, off int64) (n int, err error) {
	if off < a.size {
		n = int(min(int64(len(p)), a.size-off))
		if got, err := a.ReaderAt.ReadAt(p[:n], off); got < n {
			return got, cmp.Or(err, io.ErrUnexpectedEOF)
		}
	}
	if skip := off + int64(n) - a.size; n < len(p) && skip < int64(len(a.tail)) {
		n += copy(p[n:], a.tail[skip:])
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (a *appended) end() int64 { return a.size + int64(len(a.tail)) }
