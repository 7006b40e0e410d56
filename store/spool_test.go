package store_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/signer"
	"github.com/ecsigner/ecsigner/store"
	"pgregory.net/rapid"
)

const (
	spoolHeader = len("ecsigner spool v1\n") + 32
	sealedChunk = 64<<10 + 16
)

func spoolKey(id string) []byte {
	k := sha256.Sum256([]byte("key of " + id))
	return k[:]
}

func openSpool(t testing.TB, dir string) *store.Spool {
	t.Helper()
	s, err := store.OpenSpool(dir, spoolKey)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func document(size int) []byte {
	data := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{byte(size)}).Read(data)
	return data
}

// spool writes a document in pieces of the given size and commits it.
func spool(t testing.TB, s signer.Spool, id string, data []byte, piece int) {
	t.Helper()
	w, err := s.Create(id)
	if err != nil {
		t.Fatal(err)
	}
	for rest := data; len(rest) > 0; {
		n, err := w.Write(rest[:min(piece, len(rest))])
		if err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	if err := errors.Join(w.Commit(), w.Close()); err != nil {
		t.Fatal(err)
	}
}

func readAll(s signer.Spool, id string) (_ []byte, err error) {
	r, err := s.Open(id)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
}

// file returns the only committed file of a spool.
func file(t testing.TB, dir string) string {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 {
		t.Fatalf("found %v, %v; want one file", files, err)
	}
	return filepath.Join(dir, files[0].Name())
}

func TestSpoolReturnsWhatWasWritten(t *testing.T) {
	dir := t.TempDir()
	for _, size := range []int{0, 1, 64<<10 - 1, 64 << 10, 64<<10 + 1, 128 << 10, 300_000} {
		for _, piece := range []int{1000, 64 << 10, 1 << 20} {
			data := document(size)
			spool(t, openSpool(t, dir), "../doc", data, piece)
			got, err := readAll(openSpool(t, dir), "../doc")
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("%d bytes in pieces of %d: got %d bytes, %v", size, piece, len(got), err)
			}
		}
		stored, err := os.ReadFile(file(t, dir))
		if err != nil {
			t.Fatal(err)
		}
		if plain := document(size); size > 32 && bytes.Contains(stored, plain[:32]) {
			t.Error("the document is readable on disk")
		}
	}
	info, err := os.Stat(file(t, dir))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if info, err = os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode of the directory %v, %v", info.Mode(), err)
	}
}

func TestSpoolReadsAnywhere(t *testing.T) {
	data := document(200_000)
	s := openSpool(t, t.TempDir())
	spool(t, s, "doc", data, 1<<20)
	r, err := s.Open("doc")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	model := bytes.NewReader(data)
	rapid.Check(t, func(t *rapid.T) {
		off := rapid.Int64Range(0, 210_000).Draw(t, "off")
		got, want := make([]byte, rapid.IntRange(0, 150_000).Draw(t, "len")), make([]byte, 0)
		want = append(want, make([]byte, len(got))...)
		n, err := r.ReadAt(got, off)
		wantN, wantErr := model.ReadAt(want, off)
		if len(got) == 0 {
			return // io.ReaderAt leaves open what reading nothing says
		}
		if n != wantN || (err == nil) != (wantErr == nil) || !bytes.Equal(got[:n], want[:n]) {
			t.Fatalf("at %d: %d bytes, %v; want %d, %v", off, n, err, wantN, wantErr)
		}
	})
	if _, err := r.ReadAt(make([]byte, 1), -1); err == nil {
		t.Error("read before the start")
	}
}

func TestSpoolWithoutCommit(t *testing.T) {
	dir := t.TempDir()
	s := openSpool(t, dir)
	w, err := s.Create("doc")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(document(100_000)); err != nil {
		t.Fatal(err)
	}
	absent := func(s signer.Spool) {
		t.Helper()
		if _, err := s.Open("doc"); !errors.Is(err, signer.ErrNotFound) {
			t.Errorf("got %v, want ErrNotFound", err)
		}
	}
	absent(s)
	// A process that was killed leaves its file; the next one removes it.
	absent(openSpool(t, dir))
	if files, err := os.ReadDir(dir); err != nil || len(files) != 0 {
		t.Errorf("left: %v, %v", files, err)
	}
	if w, err = s.Create("doc"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Close(), w.Close()); err != nil {
		t.Fatal(err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 0 {
		t.Errorf("left: %v, %v", files, err)
	}
	if _, err := w.Write([]byte{1}); err == nil {
		t.Error("wrote after Close")
	}
	if err := w.Commit(); err == nil {
		t.Error("committed after Close")
	}
	absent(s)
}

func TestSpoolRemoves(t *testing.T) {
	dir := t.TempDir()
	s := openSpool(t, dir)
	spool(t, s, "doc", document(10), 10)
	info, err := os.Stat(file(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := s.Expire(info.ModTime()); n != 0 || err != nil {
		t.Errorf("expired %d, %v; want none yet", n, err)
	}
	open, err := s.Create("unfinished")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := s.Expire(info.ModTime().Add(time.Hour)); n != 1 || err != nil {
		t.Errorf("expired %d, %v; want one", n, err)
	}
	if err := errors.Join(open.Commit(), s.Remove("doc"), s.Remove("unfinished"), s.Remove("unfinished")); err != nil {
		t.Error(err)
	}
	for _, id := range []string{"doc", "unfinished"} {
		if _, err := s.Open(id); !errors.Is(err, signer.ErrNotFound) {
			t.Errorf("%s: got %v, want ErrNotFound", id, err)
		}
	}
}

// TestSpoolTampering changes what is on disk in every way that keeps the chunks' own bytes, and in some that do not.
func TestSpoolTampering(t *testing.T) {
	chunk := func(f []byte, n int) []byte {
		start := spoolHeader + n*sealedChunk
		return f[start:min(start+sealedChunk, len(f))]
	}
	data := document(3 * 64 << 10)
	for _, c := range []struct {
		what string
		with func(f, other []byte) []byte
	}{
		{"the format changed", func(f, _ []byte) []byte { f[0] ^= 1; return f }},
		{"the salt changed", func(f, _ []byte) []byte { f[spoolHeader-1] ^= 1; return f }},
		{"a bit of the first chunk changed", func(f, _ []byte) []byte { chunk(f, 0)[5] ^= 1; return f }},
		{"a bit of the last tag changed", func(f, _ []byte) []byte { f[len(f)-1] ^= 1; return f }},
		{"chunks swapped", func(f, _ []byte) []byte {
			first := bytes.Clone(chunk(f, 0))
			copy(chunk(f, 0), chunk(f, 1))
			copy(chunk(f, 1), first)
			return f
		}},
		{"a chunk repeated", func(f, _ []byte) []byte { copy(chunk(f, 1), chunk(f, 0)); return f }},
		{"the last chunk cut off", func(f, _ []byte) []byte { return f[:len(f)-sealedChunk] }},
		{"all but the first chunk cut off", func(f, _ []byte) []byte { return f[:spoolHeader+sealedChunk] }},
		{"cut within a chunk", func(f, _ []byte) []byte { return f[:len(f)-100] }},
		{"cut within a tag", func(f, _ []byte) []byte { return f[:len(f)-sealedChunk+10] }},
		{"only the header", func(f, _ []byte) []byte { return f[:spoolHeader] }},
		{"cut within the header", func(f, _ []byte) []byte { return f[:spoolHeader-1] }},
		{"empty", func([]byte, []byte) []byte { return nil }},
		{"an empty chunk appended", func(f, _ []byte) []byte { return append(f, make([]byte, 16)...) }},
		{"a chunk appended", func(f, _ []byte) []byte { return append(f, bytes.Clone(chunk(f, 2))...) }},
		{"a chunk of another file with the same text", func(f, other []byte) []byte { copy(chunk(f, 1), chunk(other, 1)); return f }},
		{"another file's header", func(f, other []byte) []byte { copy(f, other[:spoolHeader]); return f }},
	} {
		dir, second := t.TempDir(), t.TempDir()
		s := openSpool(t, dir)
		spool(t, s, "doc", data, 1<<20)
		spool(t, openSpool(t, second), "doc", data, 1<<20)
		stored, err := os.ReadFile(file(t, dir))
		if err != nil {
			t.Fatal(err)
		}
		other, err := os.ReadFile(file(t, second))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file(t, dir), c.with(stored, other), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := readAll(s, "doc"); !errors.Is(err, store.ErrSpool) {
			t.Errorf("%s: got %d bytes, %v; want ErrSpool", c.what, len(got), err)
		}
	}
	// The file of one document under the name of another.
	dir := t.TempDir()
	s := openSpool(t, dir)
	spool(t, s, "a", data, 1<<20)
	a := file(t, dir)
	spool(t, s, "b", data, 1<<20)
	if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path == a {
			return err
		}
		return os.Rename(a, path)
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open("b"); !errors.Is(err, store.ErrSpool) {
		t.Errorf("another document's file: got %v, want ErrSpool", err)
	}
}

// FuzzSpool opens whatever lies in the spool.
func FuzzSpool(f *testing.F) {
	dir := f.TempDir()
	s := openSpool(f, dir)
	for _, size := range []int{0, 1, 64 << 10, 64<<10 + 1} {
		spool(f, s, "doc", document(size), 1<<20)
		stored, err := os.ReadFile(file(f, dir))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(stored)
	}
	path := file(f, dir)
	f.Add([]byte("ecsigner spool v1\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := readAll(s, "doc"); err != nil && !errors.Is(err, store.ErrSpool) {
			t.Errorf("got %d bytes and %v, want ErrSpool", len(got), err)
		}
	})
}
