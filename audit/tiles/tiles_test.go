package tiles_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/audit/tiles"
)

// stranger reads an exported log with nothing but package tlog, as cmd/go reads the checksum database.
type stranger struct{ dir string }

func (stranger) Height() int { return 8 }

func (s stranger) ReadTiles(list []tlog.Tile) (data [][]byte, err error) {
	for _, tile := range list {
		name := strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
		b, err := os.ReadFile(filepath.Join(s.dir, name))
		if err != nil {
			return nil, err
		}
		data = append(data, b)
	}
	return data, nil
}

func (stranger) SaveTiles([]tlog.Tile, [][]byte) {}

// TestStrangerReads: any batches, exported at any time, can be read and verified by package note and package tlog.
func TestStrangerReads(t *testing.T) {
	base := t.TempDir()
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		dir := filepath.Join(base, fmt.Sprint(n))
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		m := newMemory(t)
		m.add(issuing(0)...)
		next := 0
		for range rapid.IntRange(1, 4).Draw(t, "batches") {
			var batch []audit.Event
			for range rapid.IntRange(1, 90).Draw(t, "operations") {
				batch = append(batch, signing(next, 0, 1)...)
				next++
			}
			m.add(batch...)
			if rapid.Bool().Draw(t, "export") {
				m.export(dir)
			}
			i := rapid.IntRange(0, len(m.entries)-1).Draw(t, "receipt")
			put(t, filepath.Join(dir, "receipts", fmt.Sprintf("%d-%d.tlog-proof", len(m.entries), i)), m.receipt(i))
		}
		m.export(dir)
		report := m.holds(dir)
		if report.Entries != int64(len(m.entries)) || report.Kinds["signing.signed"] != int64(next) || report.Beyond != 0 {
			t.Fatalf("%+v", report)
		}
		strangerReads(t, m, dir, rapid.IntRange(0, len(m.entries)-1).Draw(t, "entry"))
	})
}

func strangerReads(t rapid.TB, m *memory, dir string, index int) {
	t.Helper()
	signed, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(m.vkey)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := note.Open(signed, note.VerifierList(verifier))
	if err != nil {
		t.Fatal(err)
	}
	var size int64
	var root string
	if _, err := fmt.Sscanf(opened.Text, origin+"\n%d\n%s\n", &size, &root); err != nil {
		t.Fatal(err)
	}
	hash, err := tlog.ParseHash(root)
	if err != nil {
		t.Fatal(err)
	}
	reader := tlog.TileHashReader(tlog.Tree{N: size, Hash: hash}, stranger{dir})
	proof, err := tlog.ProveRecord(size, int64(index), reader)
	if err != nil {
		t.Fatal(err)
	}
	if err := tlog.CheckRecord(proof, size, hash, int64(index), tlog.RecordHash(m.entries[index])); err != nil {
		t.Fatal(err)
	}
}

func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// TestEveryFile: a byte changed, cut off or added anywhere, or a file missing, is found.
func TestEveryFile(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	tiny, tinyDir := newMemory(t), t.TempDir() // every byte of it
	tiny.add(audit.ClientAdded{Client: "portal", Role: "portal"}, audit.ServiceStopped{})
	put(t, filepath.Join(tinyDir, "receipts", "0.tlog-proof"), tiny.receipt(0))
	tiny.export(tinyDir)
	large, largeDir := dirOf(t, 120) // a few of each file
	for _, c := range []struct {
		m    *memory
		dir  string
		part int // 1/part of a file is the distance between changes
	}{{tiny, tinyDir, 1 << 20}, {large, largeDir, 2}} {
		m, dir := c.m, c.dir
		m.holds(dir)
		current := map[string]bool{} // partial tiles of older heads may go
		for _, name := range files(t, dir) {
			whole, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			found := func(what string, changed []byte) {
				t.Helper()
				put(t, name, changed)
				if _, err := m.verify(dir); !errors.Is(err, tiles.ErrFindings) {
					t.Errorf("%s: %s: %v", name, what, err)
				}
			}
			step := max(1, len(whole)/c.part)
			for i := random.IntN(step); i < len(whole); i += step {
				changed := bytes.Clone(whole)
				changed[i] ^= 1 << random.IntN(8)
				found(fmt.Sprintf("byte %d", i), changed)
			}
			found("cut", whole[:len(whole)-1])
			found("longer", append(bytes.Clone(whole), 0))
			found("empty", nil)
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
			_, err = m.verify(dir)
			current[name] = err != nil
			put(t, name, whole)
		}
		m.holds(dir)
		missed := 0
		for name, found := range current {
			if !found && !strings.Contains(name, ".p/") && !strings.Contains(name, "receipts") {
				t.Errorf("%s missing was not found", name)
			}
			if found {
				missed++
			}
		}
		if want := 3; missed < want {
			t.Errorf("only %d of the files are needed", missed)
		}
	}
}

func TestForeignFiles(t *testing.T) {
	m, dir := dirOf(t, 60)
	for _, name := range []string{
		"tile/0/000.p/0", "tile/0/000.p/256", "tile/0/000.p/01", "tile/0/x000/000", "tile/0/0", "tile/7/000", "tile/00/000",
		"tile/0/000.txt", "tile/entries/000.p/x", "tile/data/000", "tile/8/0/000", "tile/x", "receipts/readme.txt",
	} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if _, err := os.Stat(path); err == nil {
			t.Fatalf("%s is there", name)
		}
		put(t, path, []byte("x"))
		if _, err := m.verify(dir); !errors.Is(err, tiles.ErrFindings) {
			t.Errorf("%s: %v", name, err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	put(t, filepath.Join(dir, "log.vkey"), []byte(m.vkey))
	m.holds(dir)
}

// TestHostileDirectory: what is read must be a plain file of reasonable size.
func TestHostileDirectory(t *testing.T) {
	replace := map[string]func(name string) error{
		"link out":   func(name string) error { return os.Symlink("/etc/passwd", name) },
		"link":       func(name string) error { return os.Symlink("000", name) },
		"pipe":       func(name string) error { return syscall.Mkfifo(name, 0o644) },
		"directory":  func(name string) error { return os.Mkdir(name, 0o755) },
		"huge":       func(name string) error { return errors.Join(os.WriteFile(name, nil, 0o644), os.Truncate(name, 1<<40)) },
		"unreadable": func(name string) error { return os.Symlink(name, name) },
	}
	m, dir := dirOf(t, 60)
	for what, plant := range replace {
		for _, name := range []string{"checkpoint", "tile/0/000", "tile/entries/000", "receipts/0.tlog-proof"} {
			path := filepath.Join(dir, filepath.FromSlash(name))
			whole, err := os.ReadFile(path)
			if err == nil {
				err = errors.Join(os.Remove(path), plant(path))
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := m.verify(dir); !errors.Is(err, tiles.ErrFindings) {
				t.Errorf("%s for %s: %v", what, name, err)
			}
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			put(t, path, whole)
		}
	}
}

func TestVerifyDirErrors(t *testing.T) {
	m, dir := dirOf(t, 1)
	if _, err := tiles.VerifyDir(t.Context(), filepath.Join(dir, "none"), m.vkey); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
	if _, err := tiles.VerifyDir(t.Context(), dir, "key"); !errors.Is(err, audit.ErrHeadKey) {
		t.Errorf("no key: %v", err)
	}
	other, err := audit.VerifierKey(origin, ed25519.NewKeyFromSeed(make([]byte, 32)).Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tiles.VerifyDir(t.Context(), dir, other); !errors.Is(err, tiles.ErrFindings) {
		t.Errorf("other key: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := tiles.VerifyDir(ctx, dir, m.vkey); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	empty := newMemory(t)
	empty.addRaw()
	dir = t.TempDir()
	empty.export(dir)
	if r := empty.holds(dir); r.Entries != 0 || !r.HeadTime.IsZero() {
		t.Errorf("%+v", r)
	}
}

// TestCutAndForkedLog: a receipt given out earlier convicts a log that was shortened or rewritten, although the log's
// own key signed it.
func TestCutAndForkedLog(t *testing.T) {
	m, dir := dirOf(t, 5)
	for name, change := range map[string]func(*memory){
		"cut":   func(old *memory) { old.add(signing(0, 0, 1)...) },
		"other": func(old *memory) { old.add(signing(9, 0, 1)...); old.add(signing(0, 0, 1)...) },
		"longer": func(old *memory) {
			for i := range 20 {
				old.add(signing(19-i, 0, 1)...)
			}
		},
	} {
		forged, other := newMemory(t), t.TempDir()
		forged.add(issuing(0)...)
		change(forged)
		forged.export(other)
		forged.holds(other)
		for _, receipt := range []string{"1", "4"} {
			text, err := os.ReadFile(filepath.Join(dir, "receipts", receipt+".tlog-proof"))
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(other, "receipts", "held.tlog-proof")
			put(t, path, text)
			r, err := forged.verify(other)
			if !errors.Is(err, tiles.ErrFindings) || r.Findings[0].File != "receipts/held.tlog-proof" {
				t.Errorf("%s, receipt %s: %v", name, receipt, r.Findings)
			}
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
	}
	m.holds(dir)
}

// TestExportResumes: an export that fails at any read is taken up again, and the directory verifies in between.
func TestExportResumes(t *testing.T) {
	for at := 1; ; at++ {
		m, dir := newMemory(t), t.TempDir()
		m.add(issuing(0)...)
		m.export(dir)
		for i := range 160 {
			m.add(signing(i, 0, 1)...)
		}
		m.failAt = at
		_, err := tiles.NewExporter(dir, m.vkey).Export(t.Context(), m)
		if err != nil && !errors.Is(err, errSource) {
			t.Fatal(err)
		}
		put(t, filepath.Join(dir, ".draft"), []byte("torn"))
		r := m.holds(dir)
		if err != nil && (r.Entries != issuingLength || r.Beyond == 0 && at > 1) {
			t.Fatalf("read %d: %+v", at, r)
		}
		m.failAt = 0
		m.export(dir)
		if r := m.holds(dir); r.Entries != issuingLength+800 || r.Beyond != 0 {
			t.Fatalf("read %d: %+v", at, r)
		}
		if err == nil {
			if at < 4 {
				t.Fatal("nothing failed")
			}
			return
		}
	}
}

// TestExportIncrement: an export touches only what changed; partial tiles go when the full one is covered.
func TestExportIncrement(t *testing.T) {
	m, dir := newMemory(t), t.TempDir()
	if h, err := tiles.NewExporter(dir, m.vkey).Export(t.Context(), m); err != nil || h.Size != 0 || len(files(t, dir)) != 0 {
		t.Fatalf("no head yet: %v", err)
	}
	m.add(issuing(0)...)
	for i := range 200 {
		m.add(signing(i, 0, 1)...)
		if i%9 == 0 {
			m.export(dir)
		}
	}
	m.export(dir)
	before := files(t, dir)
	if i := slices.IndexFunc(before, func(n string) bool { return strings.Contains(n, "000.p") && !strings.Contains(n, "tile/1") }); i >= 0 {
		t.Errorf("%s should be gone", before[i])
	}
	m.export(dir)
	if after := files(t, dir); !slices.Equal(before, after) {
		t.Errorf("an export of nothing changed files: %v", after)
	}
	m.failAt = 2 // the one bundle that changes may be read, no other
	m.add(signing(200, 0, 1)...)
	m.export(dir)
	m.holds(dir)
}

func TestExportRefuses(t *testing.T) {
	m, dir := dirOf(t, 60)
	export := func(src *memory) error {
		_, err := tiles.NewExporter(dir, m.vkey).Export(t.Context(), src)
		return err
	}
	old := newMemory(t)
	old.add(issuing(0)...)
	if err := export(old); !errors.Is(err, audit.ErrBehind) {
		t.Errorf("old source: %v", err)
	}
	for i := range 100 {
		old.add(signing(i, 0, 3)...)
	}
	if err := export(old); !errors.Is(err, audit.ErrForked) {
		t.Errorf("forked source: %v", err)
	}
	m.add(signing(60, 0, 1)...)
	good := m.entries[len(m.entries)-1]
	m.entries[len(m.entries)-1] = m.entries[0]
	if err := export(m); !errors.Is(err, audit.ErrForked) {
		t.Errorf("entry that is not under the head: %v", err)
	}
	m.entries[len(m.entries)-1] = good
	put(t, filepath.Join(dir, fmt.Sprintf("tile/0/001.p/%d", len(m.entries)-256)), []byte("x"))
	if err := export(m); !errors.Is(err, audit.ErrForked) {
		t.Errorf("other tile there: %v", err)
	}
	m.head = []byte("no head")
	if err := export(m); !errors.Is(err, audit.ErrHead) {
		t.Errorf("no head: %v", err)
	}
	put(t, filepath.Join(dir, "checkpoint"), []byte("no head"))
	if err := export(m); !errors.Is(err, audit.ErrHead) {
		t.Errorf("damaged checkpoint: %v", err)
	}
	if _, err := tiles.NewExporter(filepath.Join(dir, "none"), m.vkey).Export(t.Context(), m); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
}
