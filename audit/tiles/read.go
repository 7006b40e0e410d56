package tiles

import (
	"context"
	"fmt"
	"os"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/ecsigner/ecsigner/audit"
)

// ReadDir calls f for every entry of an exported log, the oldest first, and returns the head that its checkpoint signs, as
// bytes too. It reads bundles alone, and checks them against the head at the end: f must not make its effects final before
// ReadDir has returned nil. What else can be wrong with a log, [VerifyDir] finds.
//
// Errors wrap [audit.ErrHead], [audit.ErrHeadKey], [audit.ErrForked] or are of the file system.
func ReadDir(ctx context.Context, dir, vkey string, f func(index int64, entry []byte) error) (head audit.Head, signed []byte, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return audit.Head{}, nil, fmt.Errorf("tiles: %w", err)
	}
	defer func() { _ = root.Close() }() // only read from
	v := &verifier{root: root, vkey: vkey}
	if signed, err = v.read(checkpointFile, maxText); err != nil {
		return audit.Head{}, nil, fmt.Errorf("tiles: %s: %w", checkpointFile, err)
	}
	if head, err = audit.OpenHead(vkey, signed); err != nil {
		return audit.Head{}, nil, err
	}
	var tree audit.CompactRange
	for first := int64(0); first < head.Size; first += tileWidth {
		if err := ctx.Err(); err != nil {
			return audit.Head{}, nil, err
		}
		width := int(min(tileWidth, head.Size-first))
		tile := tlog.Tile{H: tileHeight, N: first / tileWidth, W: width}
		bundle, ok := v.readFile(bundlePath, tile, maxBundle)
		entries := prefix(bundle, width)
		if !ok || entries == nil {
			return audit.Head{}, nil, fmt.Errorf("%w: %s is missing or does not hold %d entries", audit.ErrForked, bundlePath(tile), width)
		}
		for i, entry := range entries {
			tree.Add(tlog.RecordHash(entry))
			if err := f(first+int64(i), entry); err != nil {
				return audit.Head{}, nil, err
			}
		}
	}
	if tree.Root() != head.Root {
		return audit.Head{}, nil, fmt.Errorf("%w: the entries do not add up to the signed root", audit.ErrForked)
	}
	return head, signed, nil
}
