package audit

import (
	"bytes"
	"crypto/hmac"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

const headFileLimit = 1 << 20 // bytes, after which it is rewritten with its last line alone

// ErrHeadFile means that the head file is missing, empty or tampered with.
var ErrHeadFile = errors.New("audit: the head file is damaged")

// HeadFile remembers, outside the database, the roots that were committed: a database put back from an old copy is
// behind it, one that was rewritten contradicts it.
//
// Each line is "<size> <root in base64> <mac in hex>\n". The MAC covers the MAC of the line before, so that a line
// changed, inserted or missing breaks the chain; the first line follows on nothing. Lines are written without fsync:
// after a power failure the last ones may be missing or torn, and what follows the last newline is cut off at the next
// start. Whoever can put back the file together with the database is beyond it; signed heads held by others are not.
//
// A HeadFile is used by one goroutine at a time.
type HeadFile struct {
	path string
	mac  func([]byte) []byte
	file *os.File
	end  int64 // where the next line begins
	last headLine
}

type headLine struct {
	size int64
	root tlog.Hash
	mac  []byte
}

// CreateHeadFile makes the head file of a new, empty log. It fails when there is one already. The function mac must
// give the same result for the same bytes over the life of the installation.
func CreateHeadFile(path string, mac func([]byte) []byte) (*HeadFile, error) {
	f := &HeadFile{path: path, mac: mac}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("audit: %s: %w", path, os.ErrExist)
	}
	if err := f.rewrite(0, emptyRoot()); err != nil {
		return nil, err
	}
	return f, nil
}

// OpenHeadFile opens the head file and verifies every line. Errors wrap [ErrHeadFile] or are of the file system.
func OpenHeadFile(path string, mac func([]byte) []byte) (*HeadFile, error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s is missing; without it an old database cannot be told from the current one", ErrHeadFile, path)
	}
	if err != nil {
		return nil, fmt.Errorf("audit: head file: %w", err)
	}
	f := &HeadFile{path: path, mac: mac, file: file}
	if err := f.load(); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return f, nil
}

func (f *HeadFile) load() error {
	data, err := io.ReadAll(io.LimitReader(f.file, 2*headFileLimit))
	if err != nil {
		return fmt.Errorf("audit: reading the head file: %w", err)
	}
	whole := data[:bytes.LastIndexByte(data, '\n')+1]
	number := 0
	for line := range bytes.Lines(whole) {
		number++
		l, err := f.parse(string(line))
		if err == nil && number > 1 && l.size <= f.last.size {
			err = errors.New("the size does not grow")
		}
		if err != nil {
			return fmt.Errorf("%w: %s, line %d: %w", ErrHeadFile, f.path, number, err)
		}
		f.last = l
	}
	if number == 0 {
		return fmt.Errorf("%w: %s is empty", ErrHeadFile, f.path)
	}
	f.end = int64(len(whole))
	if err := f.file.Truncate(f.end); err != nil {
		return fmt.Errorf("audit: cutting off the head file's torn line: %w", err)
	}
	return nil
}

func (f *HeadFile) parse(line string) (headLine, error) {
	fields := strings.Split(strings.TrimSuffix(line, "\n"), " ")
	if len(fields) != 3 {
		return headLine{}, errors.New("not a line of a head file")
	}
	size, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil {
		return headLine{}, errors.New("not a size")
	}
	root, err := tlog.ParseHash(fields[1])
	if err != nil {
		return headLine{}, errors.New("not a root")
	}
	want := f.line(f.last.mac, size, root)
	if !hmac.Equal([]byte(want.String()), []byte(line)) {
		return headLine{}, errors.New("the MAC is wrong or a line before it is missing")
	}
	return want, nil
}

func (f *HeadFile) line(previous []byte, size int64, root tlog.Hash) headLine {
	text := fmt.Sprintf("ecsigner head file v1\n%x\n%d %s\n", previous, size, root)
	return headLine{size, root, f.mac([]byte(text))}
}

func (l headLine) String() string {
	return fmt.Sprintf("%d %s %s\n", l.size, l.root, hex.EncodeToString(l.mac))
}

// Last returns the newest head remembered.
func (f *HeadFile) Last() (size int64, root tlog.Hash) { return f.last.size, f.last.root }

// Append remembers a head that is durable in the database. The same head again changes nothing; a smaller one is
// [ErrBehind], another root of the same size [ErrForked]. After any other error the line is not in the file and Append
// may be called again.
func (f *HeadFile) Append(size int64, root tlog.Hash) error {
	switch {
	case size < f.last.size:
		return fmt.Errorf("%w: %d entries, %d were committed", ErrBehind, size, f.last.size)
	case size == f.last.size && root != f.last.root:
		return fmt.Errorf("%w: two roots for %d entries", ErrForked, size)
	case size == f.last.size:
		return nil
	}
	if f.end > headFileLimit {
		return f.rewrite(size, root)
	}
	l := f.line(f.last.mac, size, root)
	text := l.String()
	if _, err := f.file.WriteAt([]byte(text), f.end); err != nil {
		return errors.Join(fmt.Errorf("audit: writing the head file: %w", err), f.file.Truncate(f.end))
	}
	f.end += int64(len(text))
	f.last = l
	return nil
}

// rewrite replaces the file by one that holds only this head.
func (f *HeadFile) rewrite(size int64, root tlog.Hash) error {
	l := f.line(nil, size, root)
	text := []byte(l.String())
	if err := replaceFile(f.path, text); err != nil {
		return fmt.Errorf("audit: writing the head file: %w", err)
	}
	file, err := os.OpenFile(f.path, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("audit: head file: %w", err)
	}
	if f.file != nil {
		_ = f.file.Close() // its name is gone, nothing in it is needed
	}
	f.file, f.end, f.last = file, int64(len(text)), l
	return nil
}

// CheckBehind compares the database's log, of the given size and stored hashes, with the newest head remembered.
// Errors wrap [ErrBehind] when the log is shorter, [ErrForked] when it has another root at that size.
func (f *HeadFile) CheckBehind(size int64, read tlog.HashReader) error {
	if size < f.last.size {
		return fmt.Errorf("%w: the database has %d entries, the head file remembers %d: restore the newest database",
			ErrBehind, size, f.last.size)
	}
	root, err := tlog.TreeHash(f.last.size, read)
	if err != nil {
		return fmt.Errorf("audit: reading the tree: %w", err)
	}
	if root != f.last.root {
		return fmt.Errorf("%w: the database's first %d entries are not those that were committed", ErrForked, f.last.size)
	}
	return nil
}

// Close makes the file durable and closes it.
func (f *HeadFile) Close() error {
	return errors.Join(f.file.Sync(), f.file.Close())
}

// replaceFile puts data under path at once: after a crash the file is the old one or the new one, never a mixture.
func replaceFile(path string, data []byte) error {
	draft := path + ".new"
	f, err := os.OpenFile(draft, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
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
	if err := os.Rename(draft, path); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
