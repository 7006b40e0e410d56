package tiles

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// read returns a regular file of at most limit bytes. Links, devices and pipes are refused.
func (v *verifier) read(name string, limit int64) ([]byte, error) {
	info, err := v.root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > limit {
		return nil, fmt.Errorf("is not a file of at most %d bytes", limit)
	}
	f, err := v.root.Open(name)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("is longer than %d bytes", limit)
	}
	return data, nil
}

// readFile reads a tile or bundle; where a partial one is missing, the full one that replaced it.
func (v *verifier) readFile(name func(tlog.Tile) string, tile tlog.Tile, limit int64) ([]byte, bool) {
	data, err := v.read(name(tile), limit)
	if errors.Is(err, fs.ErrNotExist) && tile.W < tileWidth {
		tile.W = tileWidth
		data, err = v.read(name(tile), limit)
	}
	return data, err == nil
}

// compare holds a tile or bundle, and every narrower one that is still there, to what the entries make of it. The
// function end says where the first w items end in want.
func (v *verifier) compare(name func(tlog.Tile) string, tile tlog.Tile, want []byte, end func(w int) int) {
	data, ok := v.readFile(name, tile, maxBundle)
	switch {
	case !ok:
		v.fail(name(tile), -1, "is missing or unreadable")
	case !bytes.HasPrefix(data, want), len(data) != len(want) && tile.W == tileWidth:
		v.fail(name(tile), -1, "does not hold what the log's entries make of it")
	}
	if tile.W == tileWidth {
		v.report.Files++
	}
	width := tile.W
	full := tile
	full.W = tileWidth
	partials, err := fs.ReadDir(v.root.FS(), name(full)+".p")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		v.fail(name(full)+".p", -1, "%v", err)
	}
	for _, p := range partials {
		w, err := strconv.Atoi(p.Name())
		if err != nil || w < 1 || w > width || w == tileWidth {
			continue // walk judges the names
		}
		tile.W = w
		data, err := v.read(name(full)+".p/"+p.Name(), maxBundle)
		if err != nil || !bytes.Equal(data, want[:end(w)]) {
			v.fail(name(tile), -1, "does not hold what the log's entries make of it")
		}
		v.report.Files++
	}
}

// walk looks for files that have no place in a log of this size.
func (v *verifier) walk(ctx context.Context) error {
	err := fs.WalkDir(v.root.FS(), "tile", func(name string, d fs.DirEntry, err error) error {
		if err != nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		if d.IsDir() {
			return nil
		}
		tile, ok := parseTilePath(name)
		switch {
		case !ok || !d.Type().IsRegular():
			v.fail(name, -1, "has no place in a log")
		case tile.N*tileWidth+int64(tile.W) > v.report.Head.Size>>(tileHeight*max(tile.L, 0)):
			v.report.Beyond++
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) && v.report.Head.Size == 0 {
		return nil
	}
	if err != nil && ctx.Err() == nil {
		v.fail("tile", -1, "%v", err)
		return nil
	}
	return err
}

// parseTilePath is the inverse of tilePath and bundlePath; a bundle has level -1.
func parseTilePath(name string) (tlog.Tile, bool) {
	rest, ok := strings.CutPrefix(name, "tile/")
	if !ok {
		return tlog.Tile{}, false
	}
	if bundle, ok := strings.CutPrefix(rest, "entries/"); ok {
		rest = "data/" + bundle
	}
	tile, err := tlog.ParseTilePath(fmt.Sprintf("tile/%d/%s", tileHeight, rest))
	if err != nil || tile.L > 6 || tile.N > 1<<50 {
		return tlog.Tile{}, false
	}
	if tile.L == -1 {
		return tile, bundlePath(tile) == name
	}
	return tile, tilePath(tile) == name
}
