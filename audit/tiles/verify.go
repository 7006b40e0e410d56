package tiles

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/ecsigner/ecsigner/audit"
)

const (
	maxFindings = 1000
	maxText     = 1 << 18 // bytes of a checkpoint or a receipt: more than either can have
	maxBundle   = tileWidth * (2 + audit.MaxEntry)
)

// ErrFindings means that a log is not what it should be; the report says where.
var ErrFindings = errors.New("tiles: the log does not hold")

// Finding is one thing that is wrong with a log.
type Finding struct {
	File  string // below the directory, or empty
	Index int64  // of the entry, or -1
	Text  string
}

func (f Finding) String() string {
	switch {
	case f.Index >= 0:
		return fmt.Sprintf("entry %d: %s", f.Index, f.Text)
	case f.File != "":
		return f.File + ": " + f.Text
	}
	return f.Text
}

// Report says what [VerifyDir] read and what is wrong with it.
type Report struct {
	Head     audit.Head
	HeadTime time.Time        // of the last entry under the head, by our own clock
	Entries  int64            // read and hashed
	Kinds    map[string]int64 // number of entries of each kind
	Files    int64            // tiles and bundles compared
	Beyond   int64            // files of a newer head than the checkpoint: not judged
	Receipts int64            // verified, and found in this very log
	Findings []Finding        // the first 1000
	More     int64            // findings beyond these
}

func (r *Report) add(f Finding) {
	if len(r.Findings) < maxFindings {
		r.Findings = append(r.Findings, f)
		return
	}
	r.More++
}

// VerifyDir checks an exported log (c2sp.org/tlog-tiles) against the log's pinned key, trusting nothing else: the
// checkpoint's signature; that the entries hash to the signed root; every hash of every tile; that every entry is
// canonical and that the story the entries tell holds; and each "receipts/*.tlog-proof". Other files in the directory
// itself are ignored. It reads the entries once, in order; its memory does not grow with their bytes.
//
// The error wraps [ErrFindings] when there are findings, [audit.ErrHeadKey] when the key is none; otherwise the directory
// could not be read.
func VerifyDir(ctx context.Context, dir, vkey string) (Report, error) {
	return Verify(ctx, dir, vkey, Options{})
}

// Options say what the rules between entries cannot know.
type Options struct {
	Tries int // that a code had, at most, as long as this log was written; 0: 5, the most that a configuration allows
}

// Verify is [VerifyDir] with options.
func Verify(ctx context.Context, dir, vkey string, o Options) (Report, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Report{}, fmt.Errorf("tiles: %w", err)
	}
	defer func() { _ = root.Close() }() // only read from
	v := &verifier{root: root, vkey: vkey, rules: newRules(o.Tries), report: Report{Kinds: map[string]int64{}}}
	if err := v.run(ctx); err != nil {
		return v.report, err
	}
	if n := int64(len(v.report.Findings)) + v.report.More; n > 0 {
		return v.report, fmt.Errorf("%w: %d findings", ErrFindings, n)
	}
	return v.report, nil
}

type verifier struct {
	root   *os.Root
	vkey   string
	rules  *rules
	report Report

	tree     audit.CompactRange // of the entries read so far
	tiles    [][]byte           // hashes of the rightmost, unfinished tile of each level
	numbers  []int64            // of those tiles
	receipts map[int64][]held   // by index of the entry
	roots    map[int64][]held   // by size of the tree
}

// held is what a receipt claims: a leaf, or a root.
type held struct {
	file string
	hash tlog.Hash
}

func (v *verifier) fail(file string, index int64, format string, args ...any) {
	v.report.add(Finding{File: file, Index: index, Text: fmt.Sprintf(format, args...)})
}

func (v *verifier) run(ctx context.Context) error {
	signed, err := v.read(checkpointFile, maxText)
	if err == nil {
		v.report.Head, err = audit.OpenHead(v.vkey, signed)
	}
	if errors.Is(err, audit.ErrHeadKey) {
		return err
	}
	if err != nil {
		v.fail(checkpointFile, -1, "%v", err)
		return nil // nothing else is signed
	}
	if err := v.readReceipts(ctx); err != nil {
		return err
	}
	if err := v.readEntries(ctx); err != nil {
		return err
	}
	for size, list := range v.roots {
		for _, h := range list {
			v.fail(h.file, -1, "its head has %d entries, this log ends at %d", size, v.report.Entries)
		}
	}
	return v.walk(ctx)
}

// readReceipts verifies each receipt for itself and notes what it claims about this log.
func (v *verifier) readReceipts(ctx context.Context) error {
	v.receipts, v.roots = map[int64][]held{}, map[int64][]held{}
	files, err := fs.ReadDir(v.root.FS(), receiptsDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("tiles: %w", err)
	}
	for _, file := range files {
		if err := ctx.Err(); err != nil {
			return err
		}
		name := path.Join(receiptsDir, file.Name())
		if !strings.HasSuffix(name, receiptSuffix) {
			v.fail(name, -1, "is not a receipt: its name does not end in %s", receiptSuffix)
			continue
		}
		var r audit.Receipt
		var h audit.Head
		text, err := v.read(name, maxText)
		if err == nil {
			r, err = audit.ParseReceipt(text)
		}
		if err == nil {
			err = r.Verify(v.vkey)
		}
		if err == nil {
			h, err = audit.OpenHead(v.vkey, r.Head)
		}
		if err != nil {
			v.fail(name, -1, "%v", err)
			continue
		}
		v.receipts[r.Index] = append(v.receipts[r.Index], held{name, tlog.RecordHash(r.Entry)})
		v.roots[h.Size] = append(v.roots[h.Size], held{name, h.Root})
	}
	return nil
}

// readEntries goes through the bundles, rebuilding the tree and its tiles.
func (v *verifier) readEntries(ctx context.Context) error {
	size := v.report.Head.Size
	for first := int64(0); first < size; first += tileWidth {
		if err := ctx.Err(); err != nil {
			return err
		}
		width := int(min(tileWidth, size-first))
		tile := tlog.Tile{H: tileHeight, N: first / tileWidth, W: width}
		bundle, ok := v.readFile(bundlePath, tile, maxBundle)
		entries := prefix(bundle, width)
		if !ok || entries == nil {
			v.fail(bundlePath(tile), -1, "is missing or does not hold %d entries; nothing after it could be read", width)
			return nil
		}
		ends := make([]int, 0, width+1) // where in the bundle its first n entries end
		ends = append(ends, 0)
		for i, entry := range entries {
			v.entry(first+int64(i), entry)
			ends = append(ends, ends[i]+2+len(entry))
		}
		v.compare(bundlePath, tile, bundle[:ends[width]], func(w int) int { return ends[w] })
	}
	for level, hashes := range v.tiles {
		if len(hashes) > 0 {
			v.compareTile(level, hashes)
		}
	}
	if v.tree.Root() != v.report.Head.Root {
		v.fail(checkpointFile, -1, "the entries do not add up to the signed root: at least one was changed")
	}
	return nil
}

// prefix returns the first n entries of a bundle, nil if it is damaged. A wider bundle serves where the partial one was
// already removed.
func prefix(bundle []byte, n int) [][]byte {
	for width := n; width <= tileWidth; width++ {
		if entries, ok := unpackBundle(bundle, width); ok {
			return entries[:n]
		}
	}
	return nil
}

func (v *verifier) entry(index int64, entry []byte) {
	leaf := tlog.RecordHash(entry)
	v.tree.Add(leaf)
	v.report.Entries = index + 1
	v.pushTile(0, leaf)
	for _, h := range v.receipts[index] {
		if h.hash == leaf {
			v.report.Receipts++
		} else {
			v.fail(h.file, -1, "the log holds another entry at %d", index)
		}
	}
	if list := v.roots[index+1]; list != nil {
		for _, h := range list {
			if h.hash != v.tree.Root() {
				v.fail(h.file, -1, "its head of %d entries is of another history: the log was rewritten", index+1)
			}
		}
		delete(v.roots, index+1)
	}
	at, e, err := audit.Decode(entry)
	if err != nil {
		v.fail("", index, "%v", err)
		return
	}
	v.report.HeadTime = at
	v.report.Kinds[audit.Kind(e)]++
	for _, problem := range v.rules.check(index, at, e) {
		v.fail("", index, "%s", problem)
	}
}

// pushTile adds a hash to the rightmost tile of a level. A full tile is compared with the directory and passes its own
// hash up.
func (v *verifier) pushTile(level int, h tlog.Hash) {
	if level == len(v.tiles) {
		v.tiles = append(v.tiles, nil)
		v.numbers = append(v.numbers, 0)
	}
	v.tiles[level] = append(v.tiles[level], h[:]...)
	if len(v.tiles[level]) < tileWidth*tlog.HashSize {
		return
	}
	hashes := v.tiles[level]
	v.compareTile(level, hashes)
	v.tiles[level] = nil
	v.numbers[level]++
	v.pushTile(level+1, tileRoot(hashes))
}

// tileRoot hashes a full tile up to the one hash that stands in the level above.
func tileRoot(hashes []byte) tlog.Hash {
	if len(hashes) == tlog.HashSize {
		return tlog.Hash(hashes)
	}
	half := len(hashes) / 2
	return tlog.NodeHash(tileRoot(hashes[:half]), tileRoot(hashes[half:]))
}

func (v *verifier) compareTile(level int, hashes []byte) {
	tile := tlog.Tile{H: tileHeight, L: level, N: v.numbers[level], W: len(hashes) / tlog.HashSize}
	v.compare(tilePath, tile, hashes, func(w int) int { return w * tlog.HashSize })
}
