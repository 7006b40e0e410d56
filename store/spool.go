package store

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/ecsigner/ecsigner/signer"
)

// A spooled file is its header and chunks:
//
//	header  "ecsigner spool v1\n" and 32 random bytes
//	chunk   up to 64 KiB under AES-256-GCM, and its tag of 16 bytes; all but the last are full
//
// The key of a file is HKDF-SHA-256 of the document's key, with the random bytes as salt and the name of the format as
// info, so that no two files share one. The nonce is the chunk's index (11 bytes, big-endian) and a byte that is 1 for
// the last chunk (the STREAM construction): a chunk that is changed, moved, missing or of another file does not open.
const (
	spoolFormat = "ecsigner spool v1\n"
	spoolSalt   = 32
	spoolHeader = len(spoolFormat) + spoolSalt
	spoolChunk  = 64 << 10
	spoolTag    = 16
	partSuffix  = ".part"
)

var (
	// ErrSpool: a spooled document is not what was written, or of another document or installation. Upload it again.
	ErrSpool = errors.New("store: the spooled document is damaged; upload it again")

	errCommitted = errors.New("store: the spooled document is committed or closed")
)

// Spool holds documents, encrypted, in files outside the database. It is safe for concurrent use; one process has it
// open at a time, which the lock of the database ensures.
type Spool struct {
	dir string
	key func(id string) []byte
}

var _ signer.Spool = (*Spool)(nil)

// OpenSpool opens the spool in dir, which is made when absent, and removes what an earlier process did not finish. The
// function key returns the 32-byte key of a document, the same after a restart. Errors: ErrReadOnly, ErrFull,
// ErrDatabase.
func OpenSpool(dir string, key func(id string) []byte) (*Spool, error) {
	if err := private(dir); err != nil {
		return nil, err
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, fileError(err)
	}
	for _, f := range files {
		if strings.HasSuffix(f.Name(), partSuffix) {
			if err := os.Remove(filepath.Join(dir, f.Name())); err != nil {
				return nil, fileError(err)
			}
		}
	}
	return &Spool{dir: dir, key: key}, nil
}

// path does not depend on what an id may hold.
func (s *Spool) path(id string) string {
	name := sha256.Sum256([]byte(id))
	return filepath.Join(s.dir, hex.EncodeToString(name[:]))
}

// Create implements signer.Spool. A document that was committed under the id stays until the new one is.
func (s *Spool) Create(id string) (signer.SpoolWriter, error) {
	header := append([]byte(spoolFormat), make([]byte, spoolSalt)...)
	if _, err := rand.Read(header[len(spoolFormat):]); err != nil {
		return nil, err
	}
	aead, err := s.cipher(id, header)
	if err != nil {
		return nil, err
	}
	file, err := os.CreateTemp(s.dir, "*"+partSuffix) // mode 0600
	if err != nil {
		return nil, fileError(err)
	}
	w := &spoolWriter{file: file, path: s.path(id), aead: aead, buf: make([]byte, 0, spoolChunk+spoolTag)}
	if _, err := file.Write(header); err != nil {
		return nil, errors.Join(fileError(err), w.Close())
	}
	return w, nil
}

// Open implements signer.Spool. Errors: ErrNotFound, ErrSpool, or of the file system.
func (s *Spool) Open(id string) (signer.SpoolReader, error) {
	file, err := os.Open(s.path(id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: spooled document", ErrNotFound)
	}
	if err != nil {
		return nil, fileError(err)
	}
	r := &spoolReader{file: file, held: -1}
	if err := r.open(s, id); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return r, nil
}

// Remove implements signer.Spool.
func (s *Spool) Remove(id string) error {
	if err := os.Remove(s.path(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fileError(err)
	}
	return nil
}

// Expire removes the documents that were committed before t, and says how many.
func (s *Spool) Expire(t time.Time) (int, error) {
	files, err := os.ReadDir(s.dir)
	if err != nil {
		return 0, fileError(err)
	}
	removed := 0
	for _, f := range files {
		info, err := f.Info()
		if errors.Is(err, fs.ErrNotExist) || err == nil && (strings.HasSuffix(f.Name(), partSuffix) || !info.ModTime().Before(t)) {
			continue
		}
		if err == nil {
			err = os.Remove(filepath.Join(s.dir, f.Name()))
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return removed, fileError(err)
		}
		removed++
	}
	return removed, nil
}

func (s *Spool) cipher(id string, header []byte) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, s.key(id), header[len(spoolFormat):], spoolFormat, 32)
	if err != nil {
		return nil, fmt.Errorf("store: key of the spooled document: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("store: key of the spooled document: %w", err)
	}
	return cipher.NewGCM(block)
}

func spoolNonce(chunk int64, last bool) []byte {
	nonce := make([]byte, 12)
	binary.BigEndian.PutUint64(nonce[3:], uint64(chunk))
	if last {
		nonce[11] = 1
	}
	return nonce
}

type spoolWriter struct {
	file  *os.File // nil once committed or closed
	path  string
	aead  cipher.AEAD
	buf   []byte // the chunk being filled
	chunk int64
	err   error // of an earlier Write
}

func (w *spoolWriter) Write(p []byte) (int, error) {
	if w.file == nil {
		return 0, errCommitted
	}
	written := 0
	for len(p) > 0 && w.err == nil {
		if len(w.buf) == spoolChunk {
			w.flush(false)
			continue
		}
		n := min(len(p), spoolChunk-len(w.buf))
		w.buf = append(w.buf, p[:n]...)
		p = p[n:]
		written += n
	}
	return written, w.err
}

// flush writes the chunk; the last one only when it is known to be the last.
func (w *spoolWriter) flush(last bool) {
	if w.err != nil {
		return
	}
	sealed := w.aead.Seal(w.buf[:0], spoolNonce(w.chunk, last), w.buf, nil)
	if _, err := w.file.Write(sealed); err != nil {
		w.err = fileError(err)
	}
	w.chunk++
	w.buf = w.buf[:0]
}

// Commit makes the document durable under its id.
func (w *spoolWriter) Commit() error {
	if w.file == nil {
		return errCommitted
	}
	w.flush(true)
	err := w.err
	if err == nil {
		if err = w.file.Sync(); err == nil {
			err = os.Rename(w.file.Name(), w.path)
		}
		if err != nil {
			err = fileError(err)
		}
	}
	if err != nil {
		return errors.Join(err, w.Close())
	}
	err = w.file.Close()
	w.file = nil
	if err == nil {
		err = syncDir(filepath.Dir(w.path))
	}
	if err != nil {
		return fileError(err)
	}
	return nil
}

// Close leaves nothing unless Commit was called; after Commit it does nothing.
func (w *spoolWriter) Close() error {
	if w.file == nil {
		return nil
	}
	err := errors.Join(w.file.Close(), os.Remove(w.file.Name()))
	w.file = nil
	if err != nil {
		return fileError(err)
	}
	return nil
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

type spoolReader struct {
	file *os.File
	aead cipher.AEAD
	size int64 // of the document
	last int64 // index of the last chunk

	mu   sync.Mutex
	held int64  // index of the chunk in buf, or -1
	buf  []byte // its plain text
	room []byte // where chunks are read and opened, one after the other
}

// open checks the shape of the file and its last chunk, so that a shortened one is noticed at once.
func (r *spoolReader) open(s *Spool, id string) error {
	info, err := r.file.Stat()
	if err != nil {
		return fileError(err)
	}
	header := make([]byte, spoolHeader)
	if _, err := r.file.ReadAt(header, 0); err != nil || !bytes.HasPrefix(header, []byte(spoolFormat)) {
		return fmt.Errorf("%w: header", ErrSpool)
	}
	body := info.Size() - int64(spoolHeader)
	chunks := (body + spoolChunk + spoolTag - 1) / (spoolChunk + spoolTag)
	r.last = chunks - 1
	r.size = body - chunks*spoolTag
	// Only an empty document has an empty chunk.
	if tail := body - r.last*(spoolChunk+spoolTag); chunks == 0 || tail < spoolTag || tail == spoolTag && chunks > 1 {
		return fmt.Errorf("%w: length", ErrSpool)
	}
	if r.aead, err = s.cipher(id, header); err != nil {
		return err
	}
	_, err = r.load(r.last)
	return err
}

func (r *spoolReader) Size() int64 { return r.size }

func (r *spoolReader) Close() error { return r.file.Close() }

// ReadAt implements io.ReaderAt. Nothing is returned of a chunk that does not open; the error is then ErrSpool.
func (r *spoolReader) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("store: reading a spooled document before its start")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	read := 0
	for read < len(p) {
		if off >= r.size {
			return read, io.EOF
		}
		data, err := r.load(off / spoolChunk)
		if err != nil {
			return read, err
		}
		n := copy(p[read:], data[off%spoolChunk:])
		read += n
		off += int64(n)
	}
	return read, nil
}

// load returns the plain text of a chunk, valid until the next call.
func (r *spoolReader) load(chunk int64) ([]byte, error) {
	if r.held == chunk {
		return r.buf, nil
	}
	length := int64(spoolChunk)
	if chunk == r.last {
		length = r.size - chunk*spoolChunk
	}
	r.held = -1 // what was in the room is no longer
	if r.room == nil {
		r.room = make([]byte, spoolChunk+spoolTag)
	}
	sealed := r.room[:length+spoolTag]
	if _, err := r.file.ReadAt(sealed, int64(spoolHeader)+chunk*(spoolChunk+spoolTag)); err != nil {
		return nil, fmt.Errorf("%w: chunk %d: %w", ErrSpool, chunk, err)
	}
	data, err := r.aead.Open(sealed[:0], spoolNonce(chunk, chunk == r.last), sealed, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: chunk %d", ErrSpool, chunk)
	}
	r.held, r.buf = chunk, data
	return data, nil
}
