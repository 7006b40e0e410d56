package bench

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// phone reads the texts that the service writes into its outbox directory, as they come, and hands the code in each to
// whoever waits for it. Files that were read are removed, so that the directory stays as small as a real phone's queue.
type phone struct {
	dir    string
	watch  *os.File // inotify
	title  *regexp.Regexp
	code   *regexp.Regexp
	done   chan struct{} // closed when read has ended
	failed error         // why it ended, to be read after done

	mu      sync.Mutex
	waiting map[string]chan string // by key
}

// message is the content of one file of the outbox.
type message struct {
	Kind string `json:"kind"`
	To   string `json:"to"`
	Text string `json:"text"`
}

// openPhone watches dir, which must exist, until close.
func openPhone(dir string) (*phone, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("watching the outbox: %w", err)
	}
	p := &phone{
		dir: dir, watch: os.NewFile(uintptr(fd), "inotify"), waiting: map[string]chan string{}, done: make(chan struct{}),
		title: regexp.MustCompile(`bench-\d+-\d+`), code: regexp.MustCompile(`\b\d{6,9}\b`),
	}
	// A message is complete when it gets its name.
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_MOVED_TO|unix.IN_ONLYDIR); err != nil {
		return nil, errors.Join(fmt.Errorf("watching the outbox: %w", err), p.watch.Close())
	}
	go func() {
		defer close(p.done)
		p.failed = p.read()
	}()
	return p, nil
}

func (p *phone) close() error {
	err := p.watch.Close()
	<-p.done
	return errors.Join(err, p.failed)
}

// signKey is the key of the text of a signing operation, textKey that of any other.
func signKey(title string) string { return "sign " + title }

func textKey(kind, phone string) string { return kind + " " + phone }

// expect announces that somebody will wait for a text; to be called before the call that makes the service send it.
func (p *phone) expect(key string) <-chan string {
	c := make(chan string, 1)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting[key] = c
	return c
}

// forget ends an expectation that was not met.
func (p *phone) forget(key string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.waiting, key)
}

// wait returns the code of an expected text.
func (p *phone) wait(ctx context.Context, key string, c <-chan string) (string, error) {
	defer p.forget(key)
	t := time.NewTimer(30 * time.Second)
	defer t.Stop()
	select {
	case code := <-c:
		return code, nil
	case <-ctx.Done():
		return "", ctx.Err()
	case <-p.done:
		return "", fmt.Errorf("the outbox is watched no longer: %w", p.failed)
	case <-t.C:
		return "", fmt.Errorf("no text %q came to the phone within 30 s", key)
	}
}

// read handles file names until the watch is closed.
func (p *phone) read() error {
	buf := make([]byte, 64<<10)
	for {
		n, err := p.watch.Read(buf)
		if errors.Is(err, os.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("watching the outbox: %w", err)
		}
		names, complete := eventNames(buf[:n])
		if !complete { // the kernel dropped events: look for ourselves
			if names, err = filepath.Glob(filepath.Join(p.dir, "*.json")); err != nil {
				return err
			}
		}
		for _, name := range names {
			if err := p.take(filepath.Join(p.dir, filepath.Base(name))); err != nil {
				return err
			}
		}
	}
}

// eventNames reads the names in a buffer of inotify events (inotify(7)); complete is false after an overflow.
func eventNames(buf []byte) (names []string, complete bool) {
	complete = true
	for len(buf) >= unix.SizeofInotifyEvent {
		mask := binary.NativeEndian.Uint32(buf[4:])
		end := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(buf[12:]))
		if mask&unix.IN_Q_OVERFLOW != 0 {
			complete = false
		} else if name := string(bytes.TrimRight(buf[unix.SizeofInotifyEvent:end], "\x00")); strings.HasSuffix(name, ".json") {
			names = append(names, name)
		}
		buf = buf[end:]
	}
	return names, complete
}

// take reads one message, hands its code on and removes the file.
func (p *phone) take(path string) error {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) { // taken before, by the look after an overflow
		return nil
	}
	if err != nil {
		return err
	}
	var m message
	if err := json.Unmarshal(b, &m); err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	key := textKey(m.Kind, m.To)
	if m.Kind == "sign" {
		key = signKey(p.title.FindString(m.Text))
	}
	p.mu.Lock()
	c := p.waiting[key]
	p.mu.Unlock()
	if c != nil {
		select {
		case c <- p.code.FindString(p.title.ReplaceAllString(m.Text, "")):
		default: // the same text once more: the sender had not recorded that it was sent
		}
	}
	return os.Remove(path)
}

// outboxCost measures what one message costs the service beyond its text: a file written and renamed, not synced.
func outboxCost(work string) (Outbox, error) {
	const files = 500
	dir := filepath.Join(work, "cost")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return Outbox{}, err
	}
	before, err := ownCPU()
	if err != nil {
		return Outbox{}, err
	}
	for i := range files {
		f, err := os.CreateTemp(dir, ".part-*")
		if err != nil {
			return Outbox{}, err
		}
		_, err = f.Write(bytes.Repeat([]byte("text"), 100))
		if err = errors.Join(err, f.Close()); err != nil {
			return Outbox{}, err
		}
		if err := os.Rename(f.Name(), filepath.Join(dir, fmt.Sprintf("msg-%d.json", i))); err != nil {
			return Outbox{}, err
		}
	}
	after, err := ownCPU()
	return Outbox{WriteCPUMicros: per(after-before, files)}, errors.Join(err, os.RemoveAll(dir))
}
