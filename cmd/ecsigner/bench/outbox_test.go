package bench

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// put writes a message as the service does: complete when it gets its name.
func put(t *testing.T, dir, name string, m message) {
	t.Helper()
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	part := filepath.Join(dir, ".part-"+name)
	if err := os.WriteFile(part, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(part, filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

func TestPhoneHandsCodesToWhoeverWaits(t *testing.T) {
	dir := t.TempDir()
	p, err := openPhone(dir)
	if err != nil {
		t.Fatal(err)
	}
	first, second, person := p.expect(signKey("bench-0-1")), p.expect(signKey("bench-0-123456")), p.expect(textKey("phone", "+380500000001"))
	put(t, dir, "msg-a.json", message{"issued", "+380500000001", "The certificate 12345678 can be used."})
	put(t, dir, "msg-b.json", message{"sign", "+380500000001", "Code 222222. Signature for “Benchmark”: “bench-0-123456”, documents: 1, SHA-256 3f786850…"})
	put(t, dir, "msg-c.json", message{"phone", "+380500000001", "Код 333333. Нікому не кажіть код."})
	put(t, dir, "msg-d.json", message{"sign", "+380500000002", "Code 111111. Signature for “Benchmark”: “bench-0-1”, documents: 1, SHA-256 12345678…"})
	put(t, dir, "msg-e.json", message{"sign", "+380500000002", "Code 444444. Signature for “Benchmark”: “bench-9-9”, documents: 1, SHA-256 12345678…"})
	for _, c := range []struct {
		key  string
		text <-chan string
		want string
	}{
		{signKey("bench-0-1"), first, "111111"},
		{signKey("bench-0-123456"), second, "222222"},
		{textKey("phone", "+380500000001"), person, "333333"},
	} {
		got, err := p.wait(context.Background(), c.key, c.text)
		if err != nil || got != c.want {
			t.Errorf("%s: %q, %v", c.key, got, err)
		}
	}
	last := p.expect(signKey("bench-0-2")) // when this one is read, so are all before it
	put(t, dir, "msg-f.json", message{"sign", "", "Code 555555: “bench-0-2”"})
	if _, err := p.wait(context.Background(), signKey("bench-0-2"), last); err != nil {
		t.Fatal(err)
	}
	if err := p.close(); err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*.json")); err != nil || len(left) > 0 {
		t.Errorf("read files stay: %v, %v", left, err)
	}
	if len(p.waiting) > 0 {
		t.Errorf("nobody waits any more, but %v", p.waiting)
	}
}

func TestPhoneEnds(t *testing.T) {
	dir := t.TempDir()
	p, err := openPhone(dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := p.wait(ctx, "x", p.expect("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	text := p.expect("y")
	if err := os.WriteFile(filepath.Join(dir, "part"), []byte("not JSON"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "part"), filepath.Join(dir, "msg-y.json")); err != nil {
		t.Fatal(err)
	}
	if _, err := p.wait(context.Background(), "y", text); err == nil {
		t.Error("waiting for a phone that has failed did not end")
	}
	if err := p.close(); err == nil {
		t.Error("a damaged message was overlooked")
	}
	if _, err := openPhone(filepath.Join(dir, "absent")); err == nil {
		t.Error("an absent outbox is watched")
	}
}

func TestEventNames(t *testing.T) {
	event := func(mask uint32, name string) []byte {
		b := make([]byte, unix.SizeofInotifyEvent+(len(name)+16)/16*16)
		binary.NativeEndian.PutUint32(b[4:], mask)
		binary.NativeEndian.PutUint32(b[12:], uint32(len(b)-unix.SizeofInotifyEvent))
		copy(b[unix.SizeofInotifyEvent:], name)
		return b
	}
	buf := append(event(unix.IN_MOVED_TO, "msg-1.json"), event(unix.IN_MOVED_TO, "other")...)
	buf = append(buf, event(unix.IN_MOVED_TO, "msg-2.json")...)
	if names, complete := eventNames(buf); !complete || len(names) != 2 || names[0] != "msg-1.json" || names[1] != "msg-2.json" {
		t.Errorf("%v, %v", names, complete)
	}
	overflow := event(unix.IN_Q_OVERFLOW, "")
	if _, complete := eventNames(append(overflow, event(unix.IN_MOVED_TO, "msg-3.json")...)); complete {
		t.Error("an overflow was overlooked")
	}
}
