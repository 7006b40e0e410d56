package audit_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/ecsigner/ecsigner/audit"
)

func mac(b []byte) []byte {
	h := hmac.New(sha256.New, []byte("key of the head file"))
	h.Write(b)
	return h.Sum(nil)
}

// fileOf writes a head file that remembers each of the sizes and returns its path; tree holds the log.
func fileOf(t *testing.T, tree *hashes, sizes ...int64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "heads")
	f, err := audit.CreateHeadFile(path, mac)
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range sizes {
		root, err := tlog.TreeHash(size, tree)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Append(size, root); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func reopen(t *testing.T, path string) *audit.HeadFile {
	t.Helper()
	f, err := audit.OpenHeadFile(path, mac)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func testTree(t *testing.T, n int) *hashes {
	t.Helper()
	s, _ := signerFor(t, testKey())
	tree, _, _ := build(t, s, n)
	return tree
}

func TestHeadFile(t *testing.T) {
	tree := testTree(t, 20)
	f := reopen(t, fileOf(t, tree, 3, 7, 12))
	size, root := f.Last()
	if want, _ := tlog.TreeHash(12, tree); size != 12 || root != want {
		t.Fatalf("%d %v", size, root)
	}
	for _, n := range []int64{12, 15, 20} {
		if err := f.CheckBehind(n, tree); err != nil {
			t.Errorf("database of %d: %v", n, err)
		}
	}
	if err := f.CheckBehind(11, tree); !errors.Is(err, audit.ErrBehind) {
		t.Errorf("old database: %v", err)
	}
	forked := &hashes{list: append([]tlog.Hash{{1}}, tree.list[1:]...)}
	forked.list[tlog.StoredHashIndex(3, 0)] = tlog.Hash{1}
	if err := f.CheckBehind(20, forked); !errors.Is(err, audit.ErrForked) {
		t.Errorf("forked database: %v", err)
	}
	if err := f.CheckBehind(20, &hashes{}); err == nil {
		t.Error("a tree without hashes")
	}
	if err := f.Append(12, root); err != nil {
		t.Errorf("same head again: %v", err)
	}
	if err := f.Append(12, tlog.Hash{}); !errors.Is(err, audit.ErrForked) {
		t.Errorf("other root: %v", err)
	}
	if err := f.Append(11, root); !errors.Is(err, audit.ErrBehind) {
		t.Errorf("smaller: %v", err)
	}
}

func TestHeadFileMustBeThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "heads")
	if _, err := audit.OpenHeadFile(path, mac); !errors.Is(err, audit.ErrHeadFile) {
		t.Errorf("missing: %v", err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := audit.OpenHeadFile(path, mac); !errors.Is(err, audit.ErrHeadFile) {
		t.Errorf("empty: %v", err)
	}
	if _, err := audit.CreateHeadFile(path, mac); !errors.Is(err, fs.ErrExist) {
		t.Errorf("created over another: %v", err)
	}
	if _, err := audit.CreateHeadFile(filepath.Join(path, "x"), mac); err == nil {
		t.Error("created below a file")
	}
}

// TestHeadFileTorn cuts the file at every byte: it opens with the last whole line, as long as one is left.
func TestHeadFileTorn(t *testing.T) {
	tree := testTree(t, 9)
	path := fileOf(t, tree, 3, 7, 9)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range whole {
		for _, tail := range [][]byte{nil, make([]byte, 300)} { // a file system may leave zeros
			if err := os.WriteFile(path, append(bytes.Clone(whole[:cut]), tail...), 0o600); err != nil {
				t.Fatal(err)
			}
			lines := bytes.Count(whole[:cut], []byte("\n"))
			f, err := audit.OpenHeadFile(path, mac)
			if lines == 0 {
				if !errors.Is(err, audit.ErrHeadFile) {
					t.Fatalf("cut at %d: %v", cut, err)
				}
				continue
			}
			if err != nil {
				t.Fatalf("cut at %d: %v", cut, err)
			}
			if size, _ := f.Last(); size != []int64{0, 3, 7, 9}[lines-1] {
				t.Fatalf("cut at %d: size %d", cut, size)
			}
			root, _ := tlog.TreeHash(9, tree)
			if err := errors.Join(f.Append(9, root), f.Close()); err != nil {
				t.Fatal(err)
			}
			if size, _ := reopen(t, path).Last(); size != 9 {
				t.Fatalf("cut at %d: the next line was lost", cut)
			}
		}
	}
}

// TestHeadFileTampered changes each bit, drops, swaps and repeats lines.
func TestHeadFileTampered(t *testing.T) {
	path := fileOf(t, testTree(t, 9), 3, 7, 9)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(whole, []byte("\n"))[:4]
	join := func(order ...int) (b []byte) {
		for _, i := range order {
			b = append(b, lines[i]...)
		}
		return b
	}
	bad := map[string][]byte{
		"first missing":  join(1, 2, 3),
		"second missing": join(0, 2, 3),
		"swapped":        join(0, 2, 1, 3),
		"repeated":       join(0, 1, 1, 2, 3),
		"only the last":  join(3),
		"further field":  append(bytes.TrimSpace(join(0)), " x\n"...),
		"CRLF":           bytes.ReplaceAll(whole, []byte("\n"), []byte("\r\n")),
		"not a size":     []byte("x " + string(lines[0][2:])),
		"not a root":     []byte("0 x x\n"),
	}
	for i := range whole {
		if whole[i] == '\n' && i == len(whole)-1 {
			continue // a torn line
		}
		b := bytes.Clone(whole)
		b[i] ^= 1 << (i % 8)
		bad[fmt.Sprintf("byte %d", i)] = b
	}
	for name, b := range bad {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := audit.OpenHeadFile(path, mac); !errors.Is(err, audit.ErrHeadFile) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	other := func(b []byte) []byte { return mac(append([]byte("x"), b...)) }
	if _, err := audit.OpenHeadFile(path, other); !errors.Is(err, audit.ErrHeadFile) {
		t.Errorf("other key: %v", err)
	}
}

func TestHeadFileStaysSmall(t *testing.T) {
	path := fileOf(t, &hashes{})
	f := reopen(t, path)
	largest := int64(0)
	const n = 20000
	for i := range int64(n) {
		if err := f.Append(i+1, tlog.RecordHash(fmt.Append(nil, i))); err != nil {
			t.Fatal(err)
		}
		if i%1000 == 0 || i == n-1 {
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			largest = max(largest, info.Size())
		}
	}
	if largest > 1<<20+200 || largest < 1<<19 {
		t.Errorf("grew to %d bytes", largest)
	}
	if size, _ := reopen(t, path).Last(); size != n {
		t.Errorf("remembers %d", size)
	}
}

// TestHeadFileModel opens, appends and tears in any order; what was remembered whole is never lost.
func TestHeadFileModel(t *testing.T) {
	dir := t.TempDir()
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		path := filepath.Join(dir, fmt.Sprint(n))
		f, err := audit.CreateHeadFile(path, mac)
		if err != nil {
			t.Fatal(err)
		}
		size, root := f.Last()
		t.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) {
				size += rapid.Int64Range(1, 1<<30).Draw(t, "by")
				root = tlog.RecordHash(fmt.Append(nil, size))
				if err := f.Append(size, root); err != nil {
					t.Fatal(err)
				}
			},
			"crash": func(t *rapid.T) {
				if err := f.Close(); err != nil {
					t.Fatal(err)
				}
				torn := rapid.SliceOf(rapid.ByteRange('0', '9')).Draw(t, "torn")
				b, err := os.ReadFile(path)
				if err == nil {
					err = os.WriteFile(path, append(b, torn...), 0o600)
				}
				if err == nil {
					f, err = audit.OpenHeadFile(path, mac)
				}
				if err != nil {
					t.Fatal(err)
				}
			},
			"": func(t *rapid.T) {
				if s, r := f.Last(); s != size || r != root {
					t.Fatalf("remembers %d, not %d", s, size)
				}
			},
		})
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	})
}
