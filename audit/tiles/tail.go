package tiles

import (
	"bytes"
	"crypto/hmac"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/ecsigner/ecsigner/audit"
)

const (
	tailDir     = "tail"
	tailFormat  = "ecsigner log tail v1"
	tailSegment = 1 << 20 // bytes, after which another file is begun
)

// ErrTail means that a tail was changed, or that a piece of it is missing.
var ErrTail = errors.New("tiles: the tail of the log does not hold")

// Tail keeps beside a published log what no checkpoint covers yet, so that an entry is outside the database as soon as it
// is committed. It is ours, not a part of c2sp.org/tlog-tiles; readers of that format ignore it.
//
//	tail/<first index in 20 digits>    lines, one a commit:
//	<first> <size> <root in base64> <bundle in base64> <mac in hex>
//
// A bundle holds the entries from first up to size, each behind its length in two bytes; root is that of the first size
// entries. The MAC covers the rest of the line, so that nobody but the installation can write one. Files are only appended
// to; a line that a crash tore is followed by a new file. Files that a checkpoint covers as a whole are removed.
//
// Lines are written without fsync: what was written survives the end of the process, not that of the machine. Sync makes
// them durable. A Tail is safe for concurrent use.
type Tail struct {
	mac func([]byte) []byte

	mu   sync.Mutex
	root *os.Root
	file *os.File // nil: another one is begun with the next line
	end  int64    // of the file
	size int64    // entries that are in the tail or were in the log when it was opened
	torn bool     // the file may end with a piece of a line
}

// Line is one line of a tail: what one commit added.
type Line struct {
	First, Size int64
	Root        tlog.Hash
	Entries     [][]byte
}

// Extend calls f for the entries of a tail's lines that lie behind the first size ones of the tree, adds them to it, and
// returns its new size. Errors wrap [ErrTail] when an entry is missing, [audit.ErrForked] when a line is of another history.
func Extend(tree *audit.CompactRange, size int64, lines []Line, f func(entry []byte)) (int64, error) {
	for _, l := range lines {
		if l.Size <= size {
			continue
		}
		if l.First > size {
			return size, fmt.Errorf("%w: entry %d is missing", ErrTail, size)
		}
		for _, entry := range l.Entries[size-l.First:] {
			tree.Add(tlog.RecordHash(entry))
			f(entry)
		}
		size = l.Size
		if tree.Root() != l.Root {
			return size, fmt.Errorf("%w: the tail does not go on where the published log ends", audit.ErrForked)
		}
	}
	return size, nil
}

// ReadTail reads the lines of the tail in a directory, in their order, after their MACs were checked. An absent tail has
// none. Errors wrap [ErrTail] or are of the file system.
func ReadTail(dir string, mac func([]byte) []byte) ([]Line, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("tiles: %w", err)
	}
	lines, err := readTail(root, mac)
	return lines, errors.Join(err, root.Close())
}

func readTail(root *os.Root, mac func([]byte) []byte) ([]Line, error) {
	names, err := segments(root)
	if err != nil {
		return nil, err
	}
	var lines []Line
	for _, name := range names {
		data, err := root.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("tiles: %w", err)
		}
		whole := data[:bytes.LastIndexByte(data, '\n')+1] // a crash may have torn the last line
		number := 0
		for text := range bytes.Lines(whole) {
			number++
			l, err := parseLine(strings.TrimSuffix(string(text), "\n"), mac)
			if err != nil {
				return nil, fmt.Errorf("%s, line %d: %w", name, number, err)
			}
			lines = append(lines, l)
		}
	}
	return lines, nil
}

// segments lists the files of a tail in their order.
func segments(root *os.Root) ([]string, error) {
	files, err := fs.ReadDir(root.FS(), tailDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("tiles: %w", err)
	}
	var names []string
	for _, f := range files {
		if _, err := strconv.ParseInt(f.Name(), 10, 64); err != nil || len(f.Name()) != 20 || !f.Type().IsRegular() {
			return nil, fmt.Errorf("%w: %s/%s is no part of it", ErrTail, tailDir, f.Name())
		}
		names = append(names, tailDir+"/"+f.Name())
	}
	slices.Sort(names)
	return names, nil
}

func parseLine(text string, mac func([]byte) []byte) (Line, error) {
	f := strings.Split(text, " ")
	if len(f) != 5 {
		return Line{}, fmt.Errorf("%w: not a line", ErrTail)
	}
	sum, err := hex.DecodeString(f[4])
	if err != nil || !hmac.Equal(sum, mac(lineMessage(strings.Join(f[:4], " ")))) {
		return Line{}, fmt.Errorf("%w: the MAC is wrong", ErrTail)
	}
	first, errFirst := strconv.ParseInt(f[0], 10, 64)
	size, errSize := strconv.ParseInt(f[1], 10, 64)
	root, errRoot := tlog.ParseHash(f[2])
	bundle, errBundle := base64.StdEncoding.DecodeString(f[3])
	if err := errors.Join(errFirst, errSize, errRoot, errBundle); err != nil || first < 0 || size <= first {
		return Line{}, fmt.Errorf("%w: not a line", ErrTail)
	}
	entries, ok := unpackBundle(bundle, int(size-first))
	if !ok {
		return Line{}, fmt.Errorf("%w: it does not hold %d entries", ErrTail, size-first)
	}
	return Line{first, size, root, entries}, nil
}

func lineMessage(text string) []byte { return []byte(tailFormat + "\n" + text + "\n") }

func (l Line) text(mac func([]byte) []byte) []byte {
	var bundle []byte
	for _, e := range l.Entries {
		bundle = append(append(bundle, byte(len(e)>>8), byte(len(e))), e...) // an entry has at most 65,535 bytes
	}
	text := fmt.Sprintf("%d %d %s %s", l.First, l.Size, l.Root, base64.StdEncoding.EncodeToString(bundle))
	return fmt.Appendf(nil, "%s %x\n", text, mac(lineMessage(text)))
}

// OpenTail opens the tail in dir, which must exist, of a log of the given size, whose stored hashes read returns. A tail
// that knows more entries than the log, or other ones, is refused. What it lacks, Append is to be given next.
//
// Errors wrap [audit.ErrBehind], [audit.ErrForked], [ErrTail] or are of the file system.
func OpenTail(dir string, mac func([]byte) []byte, size int64, read tlog.HashReader) (_ *Tail, err error) {
	t := &Tail{mac: mac}
	if t.root, err = os.OpenRoot(dir); err != nil {
		return nil, fmt.Errorf("tiles: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.root.Close())
		}
	}()
	lines, err := readTail(t.root, mac)
	if err != nil {
		return nil, err
	}
	if len(lines) > 0 {
		last := lines[len(lines)-1]
		if last.Size > size {
			return nil, fmt.Errorf("%w: the log has %d entries, the tail in %s knows %d", audit.ErrBehind, size, dir, last.Size)
		}
		root, err := tlog.TreeHash(last.Size, read)
		if err != nil {
			return nil, err
		}
		if root != last.Root {
			return nil, fmt.Errorf("%w: the tail in %s holds another entry below %d", audit.ErrForked, dir, last.Size)
		}
		t.size = last.Size
	}
	return t, nil
}

// Size is the number of entries of the log that are in the tail or before it.
func (t *Tail) Size() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.size
}

// Begin says that the entries below size are in the published log already, so that the tail goes on behind them.
func (t *Tail) Begin(size int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.size = max(t.size, size)
}

// Append adds the entries that end at size, where the log has this root. Those that the tail has are left out. ErrTail when
// some before them are missing. After any other error nothing was added, and Append may be called again.
func (t *Tail) Append(size int64, root tlog.Hash, entries [][]byte) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if size <= t.size {
		return nil
	}
	first := size - int64(len(entries))
	if first > t.size {
		return fmt.Errorf("%w: the entries from %d on are missing", ErrTail, t.size)
	}
	l := Line{t.size, size, root, entries[t.size-first:]}
	text := l.text(t.mac)
	if t.file != nil && (t.torn || t.end+int64(len(text)) > tailSegment) {
		if err := t.file.Sync(); err != nil {
			return fmt.Errorf("tiles: tail: %w", err)
		}
		_ = t.file.Close() // it is durable
		t.file = nil
	}
	if t.file == nil {
		if err := t.begin(l.First); err != nil {
			return fmt.Errorf("tiles: tail: %w", err)
		}
	}
	if _, err := t.file.WriteAt(text, t.end); err != nil {
		t.torn = t.file.Truncate(t.end) != nil
		return fmt.Errorf("tiles: tail: %w", err)
	}
	t.end += int64(len(text))
	t.size = size
	return nil
}

// begin begins a new file. One of the same name holds no whole line, for then the tail would go further.
func (t *Tail) begin(first int64) error {
	if err := makeDir(t.root, tailDir); err != nil {
		return err
	}
	name := fmt.Sprintf("%s/%020d", tailDir, first)
	if err := t.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := t.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	t.file, t.end, t.torn = f, 0, false
	return nil
}

// Sync makes durable what was appended so far.
func (t *Tail) Sync() error {
	t.mu.Lock()
	f := t.file
	t.mu.Unlock()
	if f == nil {
		return nil
	}
	if err := f.Sync(); err != nil && !errors.Is(err, os.ErrClosed) { // closed: a later file goes on
		return fmt.Errorf("tiles: tail: %w", err)
	}
	return syncDir(t.root, tailDir)
}

// Drop removes the files whose entries a checkpoint of the given size covers.
func (t *Tail) Drop(covered int64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	names, err := segments(t.root)
	if err != nil {
		return err
	}
	for i, name := range names {
		end := t.size
		if i+1 < len(names) {
			end, _ = strconv.ParseInt(strings.TrimPrefix(names[i+1], tailDir+"/"), 10, 64) // digits, by segments
		}
		if end > covered {
			break
		}
		if i+1 == len(names) {
			if t.file != nil && t.end < tailSegment/2 {
				break // small, and still written to
			}
			if t.file != nil {
				_ = t.file.Close()
				t.file = nil
			}
		}
		if err := t.root.Remove(name); err != nil {
			return fmt.Errorf("tiles: tail: %w", err)
		}
	}
	return nil
}

// Close makes everything durable and closes the tail.
func (t *Tail) Close() error {
	err := t.Sync()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.file != nil {
		err = errors.Join(err, t.file.Close())
		t.file = nil
	}
	return errors.Join(err, t.root.Close())
}
