package tiles_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/audit/tiles"
)

func mac(line []byte) []byte {
	h := hmac.New(sha256.New, []byte("key of the tail"))
	h.Write(line)
	return h.Sum(nil)
}

// stream appends what a log gained since from, as the store does after a commit.
func stream(t *testing.T, tail *tiles.Tail, m *memory, from int) {
	t.Helper()
	root, err := tlog.TreeHash(int64(len(m.entries)), m)
	if err != nil {
		t.Fatal(err)
	}
	if err := tail.Append(int64(len(m.entries)), root, m.entries[from:]); err != nil {
		t.Fatal(err)
	}
}

func openTail(t *testing.T, dir string, m *memory) *tiles.Tail {
	t.Helper()
	tail, err := tiles.OpenTail(dir, mac, int64(len(m.entries)), m)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tail.Close() })
	return tail
}

// recovered is the log that a directory tells of: what its checkpoint covers, and its tail.
func recovered(t *testing.T, m *memory, dir string) ([][]byte, error) {
	t.Helper()
	var tree audit.CompactRange
	var all [][]byte
	if _, err := os.Stat(filepath.Join(dir, "checkpoint")); err == nil {
		if _, _, err := tiles.ReadDir(t.Context(), dir, m.vkey, func(_ int64, e []byte) error {
			tree.Add(tlog.RecordHash(e))
			all = append(all, bytes.Clone(e))
			return nil
		}); err != nil {
			return nil, err
		}
	}
	lines, err := tiles.ReadTail(dir, mac)
	if err != nil {
		return nil, err
	}
	_, err = tiles.Extend(&tree, int64(len(all)), lines, func(e []byte) { all = append(all, e) })
	return all, err
}

// TestTailHoldsEveryEntry streams commits, exports now and then, tears lines as a crash does, and opens the tail anew: after
// each commit the directory holds every entry, and stays a log that holds for others.
func TestTailHoldsEveryEntry(t *testing.T) {
	m, dir := newMemory(t), t.TempDir()
	m.add(issuing(0)...)
	m.export(dir)
	tail := openTail(t, dir, m)
	tail.Begin(int64(len(m.entries)))
	for k := range 120 {
		from := len(m.entries)
		m.add(signing(k, 0, 1)...)
		stream(t, tail, m, from)
		all, err := recovered(t, m, dir)
		if err != nil || !slices.EqualFunc(all, m.entries, bytes.Equal) {
			t.Fatalf("after commit %d: %d of %d entries, %v", k, len(all), len(m.entries), err)
		}
		switch k % 10 {
		case 3:
			m.export(dir)
			if err := tail.Drop(int64(len(m.entries))); err != nil {
				t.Fatal(err)
			}
		case 6: // a crash in the middle of a line
			if err := tail.Close(); err != nil {
				t.Fatal(err)
			}
			files, err := filepath.Glob(filepath.Join(dir, "tail", "*"))
			if err != nil || len(files) == 0 {
				t.Fatalf("no tail: %v", err)
			}
			f, err := os.OpenFile(files[len(files)-1], os.O_APPEND|os.O_WRONLY, 0)
			if err == nil {
				_, err = f.WriteString("17 18 torn")
			}
			if err = errors.Join(err, f.Close()); err != nil {
				t.Fatal(err)
			}
			tail = openTail(t, dir, m)
			if tail.Size() != int64(len(m.entries)) {
				t.Fatalf("the tail ends at %d of %d", tail.Size(), len(m.entries))
			}
		}
	}
	m.export(dir)
	m.holds(dir)
	if err := errors.Join(tail.Drop(int64(len(m.entries))), tail.Close()); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "tail", "*")); len(left) > 1 {
		t.Errorf("%d files of the tail stay", len(left))
	}
}

func TestTailRefusesWhatContradictsIt(t *testing.T) {
	m, dir := newMemory(t), t.TempDir()
	m.add(issuing(0)...)
	tail := openTail(t, dir, m)
	stream(t, tail, m, 0)
	if err := tail.Close(); err != nil {
		t.Fatal(err)
	}
	shorter := newMemory(t)
	shorter.add(issuing(0)[:3]...)
	if _, err := tiles.OpenTail(dir, mac, 3, shorter); !errors.Is(err, audit.ErrBehind) {
		t.Errorf("a shorter log: %v", err)
	}
	other := newMemory(t)
	other.add(append(issuing(1), signing(0, 1, 1)...)...)
	if _, err := tiles.OpenTail(dir, mac, int64(len(other.entries)), other); !errors.Is(err, audit.ErrForked) {
		t.Errorf("another log: %v", err)
	}
	if err := openTail(t, t.TempDir(), m).Append(100, tlog.Hash{}, m.entries); !errors.Is(err, tiles.ErrTail) {
		t.Errorf("entries left out: %v", err)
	}
}

// TestTailIsAuthenticated changes the tail of a log in every way that a writer of its directory could.
func TestTailIsAuthenticated(t *testing.T) {
	m, dir := newMemory(t), t.TempDir()
	tail := openTail(t, dir, m)
	for k := range 3 {
		from := len(m.entries)
		m.add(issuing(k)...)
		stream(t, tail, m, from)
	}
	if err := tail.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "tail", fmt.Sprintf("%020d", 0))
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(good), "\n")
	for name, bad := range map[string]string{
		"line left out":     lines[0] + lines[2],
		"first left out":    lines[1] + lines[2],
		"bit changed":       strings.Replace(string(good), "A", "B", 1),
		"MAC of another":    lines[0][:len(lines[0])-66] + lines[1][len(lines[1])-66:] + lines[1] + lines[2],
		"number changed":    "1" + string(good),
		"something before":  "\n" + string(good),
		"another file name": string(good),
	} {
		put(t, file, []byte(bad))
		if name == "another file name" {
			put(t, filepath.Join(dir, "tail", "notes"), nil)
		}
		if all, err := recovered(t, m, dir); !errors.Is(err, tiles.ErrTail) && !errors.Is(err, audit.ErrForked) {
			t.Errorf("%s: %d entries, %v", name, len(all), err)
		}
	}
}
