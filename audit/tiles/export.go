// Package tiles carries the operation log out of the house: it writes it as a directory of static files
// (c2sp.org/tlog-tiles) that any web server can serve, and verifies such a directory offline, with nothing but the log's
// key.
//
//	checkpoint                  newest signed head
//	tile/<L>/<N>[.p/<W>]        256 (or W) hashes of level L·8 of the tree
//	tile/entries/<N>[.p/<W>]    256 (or W) entries, each behind its length in two bytes
//	tail/<N>                    what no checkpoint covers yet; ours, see [Tail]
//	receipts/*.tlog-proof       receipts kept with the log; ours, not part of that format
package tiles

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/ecsigner/ecsigner/audit"
)

const (
	tileHeight = 8 // fixed by c2sp.org/tlog-tiles
	tileWidth  = 1 << tileHeight

	checkpointFile = "checkpoint"
	receiptsDir    = "receipts"
	receiptSuffix  = ".tlog-proof"
	draftFile      = ".draft" // what a crash leaves of a file that was being written
)

// Source is a log that can be exported. Its methods may be called while the log grows; hashes and entries that were
// there once never change.
type Source interface {
	tlog.HashReader
	// LastHead returns the newest signed head, or nil when there is none yet.
	LastHead(ctx context.Context) ([]byte, error)
	// ReadEntries returns the n entries from index from on, all of them below the newest signed head.
	ReadEntries(ctx context.Context, from int64, n int) ([][]byte, error)
}

// Exporter writes a log to a directory. The directory only grows, except that partial tiles go once the checkpoint
// covers the full one. One Exporter writes to a directory at a time.
type Exporter struct {
	dir, vkey string
}

// NewExporter returns an exporter into dir, which must exist, of the log with this vkey.
func NewExporter(dir, vkey string) *Exporter { return &Exporter{dir, vkey} }

// Export adds what the source's newest signed head covers beyond the directory's checkpoint, and then that head. Files
// appear whole or not at all, the checkpoint last, all of them synced; after an error or a crash Export is called
// again. It refuses to publish entries that do not fit the head. Without any head it does nothing.
//
// Errors wrap audit.ErrBehind, audit.ErrForked, audit.ErrHead or are of the source or the file system.
func (x *Exporter) Export(ctx context.Context, src Source) (audit.Head, error) {
	root, err := os.OpenRoot(x.dir)
	if err != nil {
		return audit.Head{}, fmt.Errorf("tiles: %w", err)
	}
	head, err := x.export(ctx, src, root)
	if err = errors.Join(err, root.Close()); err != nil {
		return audit.Head{}, fmt.Errorf("tiles: exporting to %s: %w", x.dir, err)
	}
	return head, nil
}

// Check compares the directory's checkpoint with a log of the given size, whose stored hashes read returns, and returns the
// size of the checkpoint; 0 when there is none. Errors are those of [Exporter.Export].
func (x *Exporter) Check(read tlog.HashReader, size int64) (int64, error) {
	root, err := os.OpenRoot(x.dir)
	if err != nil {
		return 0, fmt.Errorf("tiles: %w", err)
	}
	head, _, err := x.published(root)
	if err = errors.Join(err, root.Close()); err == nil && head.Size > size {
		err = fmt.Errorf("%w: it has %d entries, %d are published", audit.ErrBehind, size, head.Size)
	}
	if err == nil {
		err = fits(read, head)
	}
	if err != nil {
		return 0, fmt.Errorf("tiles: %s: %w", x.dir, err)
	}
	return head.Size, nil
}

func (x *Exporter) export(ctx context.Context, src Source, root *os.Root) (audit.Head, error) {
	old, published, err := x.published(root)
	if err != nil {
		return audit.Head{}, err
	}
	signed, err := src.LastHead(ctx)
	if err != nil || signed == nil {
		return audit.Head{}, err
	}
	head, err := audit.OpenHead(x.vkey, signed)
	if err != nil {
		return audit.Head{}, err
	}
	if err := compatible(src, old, head); err != nil {
		return audit.Head{}, err
	}
	if bytes.Equal(signed, published) {
		return head, nil
	}
	for _, tile := range tlog.NewTiles(tileHeight, old.Size, head.Size) {
		if err := ctx.Err(); err != nil {
			return audit.Head{}, err
		}
		if err := exportTile(ctx, src, root, tile); err != nil {
			return audit.Head{}, fmt.Errorf("%s: %w", tilePath(tile), err)
		}
	}
	if err := replaceFile(root, checkpointFile, signed); err != nil {
		return audit.Head{}, err
	}
	return head, dropPartials(root, old.Size, head.Size)
}

// published returns the head in the directory; that of the empty log when there is none.
func (x *Exporter) published(root *os.Root) (audit.Head, []byte, error) {
	signed, err := root.ReadFile(checkpointFile)
	if errors.Is(err, os.ErrNotExist) {
		return audit.Head{Root: new(audit.CompactRange).Root()}, nil, nil
	}
	if err != nil {
		return audit.Head{}, nil, err
	}
	h, err := audit.OpenHead(x.vkey, signed)
	if err != nil {
		return audit.Head{}, nil, fmt.Errorf("checkpoint that is there: %w", err)
	}
	return h, signed, nil
}

// compatible checks that the source has both heads in one history.
func compatible(src Source, old, head audit.Head) error {
	if head.Size < old.Size {
		return fmt.Errorf("%w: it has %d entries, %d are exported", audit.ErrBehind, head.Size, old.Size)
	}
	for _, h := range []audit.Head{old, head} {
		if err := fits(src, h); err != nil {
			return err
		}
	}
	return nil
}

// fits checks that the stored tree has the head's root at the head's size.
func fits(read tlog.HashReader, h audit.Head) error {
	root, err := tlog.TreeHash(h.Size, read)
	if err != nil {
		return fmt.Errorf("reading the tree: %w", err)
	}
	if root != h.Root {
		return fmt.Errorf("%w: the stored tree does not fit the head of %d entries", audit.ErrForked, h.Size)
	}
	return nil
}

func exportTile(ctx context.Context, src Source, root *os.Root, tile tlog.Tile) error {
	hashes, err := tlog.ReadTileData(tile, src)
	if err != nil {
		return err
	}
	if tile.L == 0 {
		entries, err := src.ReadEntries(ctx, tile.N*tileWidth, tile.W)
		if err != nil {
			return err
		}
		bundle, err := packBundle(entries, hashes)
		if err != nil {
			return err
		}
		if err := exportFile(root, bundlePath(tile), bundle); err != nil {
			return err
		}
	}
	return exportFile(root, tilePath(tile), hashes)
}

// exportFile writes a file that never changes again. Bytes that are there already must be the same.
func exportFile(root *os.Root, name string, data []byte) error {
	there, err := root.ReadFile(name)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return replaceFile(root, name, data)
	case err == nil && !bytes.Equal(there, data):
		return fmt.Errorf("%w: %s holds something else already", audit.ErrForked, name)
	}
	return err
}

// replaceFile puts data under name at once: after a crash the file is the old one or the new one, never a mixture.
func replaceFile(root *os.Root, name string, data []byte) error {
	if err := makeDir(root, path.Dir(name)); err != nil {
		return err
	}
	f, err := root.OpenFile(draftFile, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := root.Rename(draftFile, name); err != nil {
		return err
	}
	return syncDir(root, path.Dir(name))
}

// makeDir creates a directory with those above it, and makes their names durable.
func makeDir(root *os.Root, name string) error {
	if _, err := root.Stat(name); err == nil {
		return nil
	}
	if err := makeDir(root, path.Dir(name)); err != nil {
		return err
	}
	if err := root.Mkdir(name, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return syncDir(root, path.Dir(name))
}

func syncDir(root *os.Root, name string) error {
	d, err := root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// dropPartials removes the partial tiles whose full tile the new checkpoint covers. Those that an interrupted export
// leaves are harmless and stay.
func dropPartials(root *os.Root, oldSize, newSize int64) error {
	for _, tile := range tlog.NewTiles(tileHeight, oldSize, newSize) {
		if tile.W < tileWidth {
			continue
		}
		err := root.RemoveAll(tilePath(tile) + ".p")
		if tile.L == 0 {
			err = errors.Join(err, root.RemoveAll(bundlePath(tile)+".p"))
		}
		if err != nil {
			return fmt.Errorf("removing partial tiles: %w", err)
		}
	}
	return nil
}

// packBundle joins entries, each behind its length in two bytes, and checks them against the hashes of their leaves.
func packBundle(entries [][]byte, hashes []byte) ([]byte, error) {
	if len(entries)*tlog.HashSize != len(hashes) {
		return nil, fmt.Errorf("%w: %d entries for %d leaves", audit.ErrForked, len(entries), len(hashes)/tlog.HashSize)
	}
	var bundle []byte
	for i, entry := range entries {
		leaf := tlog.RecordHash(entry)
		if len(entry) > audit.MaxEntry || !bytes.Equal(leaf[:], hashes[i*tlog.HashSize:(i+1)*tlog.HashSize]) {
			return nil, fmt.Errorf("%w: stored entry %d of the tile does not fit its leaf", audit.ErrForked, i)
		}
		bundle = binary.BigEndian.AppendUint16(bundle, uint16(len(entry)))
		bundle = append(bundle, entry...)
	}
	return bundle, nil
}

// unpackBundle splits a bundle of exactly n entries; false if it is anything else.
func unpackBundle(bundle []byte, n int) ([][]byte, bool) {
	entries := make([][]byte, 0, n)
	for len(bundle) >= 2 && len(entries) < n {
		length := int(binary.BigEndian.Uint16(bundle))
		bundle = bundle[2:]
		if length > len(bundle) {
			return nil, false
		}
		entries = append(entries, bundle[:length:length])
		bundle = bundle[length:]
	}
	return entries, len(entries) == n && len(bundle) == 0
}

// tilePath is where a tile stands: package tlog's path without the height.
func tilePath(t tlog.Tile) string {
	return "tile/" + strings.TrimPrefix(t.Path(), "tile/"+strconv.Itoa(t.H)+"/")
}

func bundlePath(t tlog.Tile) string {
	t.L = -1
	return "tile/entries/" + strings.TrimPrefix(t.Path(), "tile/"+strconv.Itoa(t.H)+"/data/")
}
