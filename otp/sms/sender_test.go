package sms

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// outbox is a Queue in memory.
type outbox struct {
	mu   sync.Mutex
	rows []Message
	err  error // of Due

	settled []Delivery
}

func (o *outbox) add(ids ...string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, id := range ids {
		o.rows = append(o.rows, Message{ID: id, Kind: KindSign, CreatedAt: time.Now(), NotBefore: time.Now()})
	}
}

func (o *outbox) Due(_ context.Context, now time.Time, limit int) ([]Message, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var due []Message
	for _, m := range o.rows {
		if !now.Before(m.NotBefore) && len(due) < limit {
			due = append(due, m)
		}
	}
	return due, o.err
}

func (o *outbox) Done(_ context.Context, id string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.rows = slices.DeleteFunc(o.rows, func(m Message) bool { return m.ID == id })
	return nil
}

func (o *outbox) Settle(ctx context.Context, d Delivery) error {
	o.mu.Lock()
	o.settled = append(o.settled, d)
	o.mu.Unlock()
	return o.Done(ctx, d.Message)
}

func (o *outbox) Defer(_ context.Context, changed Message) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for n, m := range o.rows {
		if m.ID == changed.ID {
			o.rows[n] = changed
		}
	}
	return nil
}

func (o *outbox) left() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.rows)
}

// network is a Provider that notes when it got what.
type network struct {
	mu   sync.Mutex
	got  map[string][]time.Duration // id: times since the start
	from time.Time
	send func(ctx context.Context, id string) error
}

func (n *network) Send(ctx context.Context, id string, _ Kind, _ Text) (Accepted, error) {
	n.mu.Lock()
	n.got[id] = append(n.got[id], time.Since(n.from))
	n.mu.Unlock()
	if n.send != nil {
		return Accepted{Provider: "network", Reference: "r-" + id}, n.send(ctx, id)
	}
	return Accepted{Provider: "network", Reference: "r-" + id}, nil
}

func (n *network) times(id string) []time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.got[id])
}

// running starts a sender inside a synctest bubble and returns what ends it.
func running(o *outbox, n *network, failed func(string, error)) (s *Sender, stop func()) {
	if failed == nil {
		failed = func(string, error) {}
	}
	n.got, n.from = map[string][]time.Duration{}, time.Now()
	s = NewSender(o, n, map[Kind]Composer{KindSign: func(_ context.Context, m Message) (Text, error) {
		if strings.HasPrefix(m.ID, "obsolete") {
			return Text{}, ErrObsolete
		}
		return Text{To: "+380501234567", Body: m.ID}, nil
	}}, time.Now, failed)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { s.Run(ctx); close(ended) }()
	return s, func() { cancel(); <-ended }
}

// One text that the provider is slow with holds up nobody; each text is sent once, however often the outbox is looked at.
func TestSlowTextHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, n := &outbox{}, &network{}
		n.send = func(ctx context.Context, id string) error {
			if id == "slow" {
				select {
				case <-time.After(10 * time.Second):
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			return nil
		}
		o.add("slow")
		s, stop := running(o, n, nil)
		defer stop()
		const others = 500
		for k := range others {
			o.add(fmt.Sprint(k))
			s.Wake()
			time.Sleep(time.Millisecond)
		}
		synctest.Wait()
		if o.left() != 1 {
			t.Errorf("%d messages are left beside the slow one", o.left()-1)
		}
		time.Sleep(11 * time.Second)
		for k := range others {
			if got := n.times(fmt.Sprint(k)); len(got) != 1 || got[0] > 600*time.Millisecond {
				t.Errorf("message %d was sent at %v", k, got)
			}
		}
		if got := n.times("slow"); len(got) != 1 || o.left() != 0 {
			t.Errorf("the slow one was sent %d times, %d are left", len(got), o.left())
		}
	})
}

// At most `parallel` texts are on their way at a time, and all get there.
func TestManyAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, n := &outbox{}, &network{}
		var mu sync.Mutex
		now, most := 0, 0
		n.send = func(context.Context, string) error {
			mu.Lock()
			now++
			most = max(most, now)
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			now--
			mu.Unlock()
			return nil
		}
		for k := range 10 * parallel {
			o.add(fmt.Sprint(k))
		}
		_, stop := running(o, n, nil)
		defer stop()
		time.Sleep(12 * time.Second)
		mu.Lock()
		defer mu.Unlock()
		if most != parallel || o.left() != 0 {
			t.Errorf("%d at most at a time, %d are left", most, o.left())
		}
		for k := range 10 * parallel {
			if got := n.times(fmt.Sprint(k)); len(got) != 1 {
				t.Errorf("message %d was sent %d times", k, len(got))
			}
		}
		for _, d := range o.settled {
			if d.Status != Taken || d.Accepted != (Accepted{Provider: "network", Reference: "r-" + d.Message}) {
				t.Errorf("settled as %+v", d)
			}
		}
	})
}

// A provider that fails is asked again with growing pauses, and not for ever; one that hangs is given up.
func TestFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, n := &outbox{}, &network{}
		n.send = func(ctx context.Context, id string) error {
			if id == "hangs" {
				<-ctx.Done()
				return ctx.Err()
			}
			if id == "rejected" {
				return fmt.Errorf("%w: no such number", ErrRejected)
			}
			return errors.New("no route")
		}
		failures := map[string]int{}
		var mu sync.Mutex
		o.add("fails", "hangs", "obsolete", "rejected")
		_, stop := running(o, n, func(id string, _ error) {
			mu.Lock()
			failures[id]++
			mu.Unlock()
		})
		defer stop()
		time.Sleep(time.Hour)
		got := n.times("fails")
		for k := 1; k < len(got); k++ {
			if pause, want := got[k]-got[k-1], min(maxPause, time.Second<<k); pause < want || pause > want+idle {
				t.Errorf("pause %d was %v, want %v", k, pause, want)
			}
		}
		if len(got) != maxTries || len(n.times("hangs")) != maxTries || len(n.times("obsolete")) != 0 || o.left() != 0 {
			t.Errorf("sent %d and %d times, %d are left", len(got), len(n.times("hangs")), o.left())
		}
		mu.Lock()
		defer mu.Unlock()
		if failures["fails"] != maxTries || failures["hangs"] != maxTries || failures["rejected"] != 1 || len(failures) != 3 {
			t.Errorf("told of %v", failures)
		}
		status := map[string]Status{}
		for _, d := range o.settled {
			status[d.Message] = d.Status
		}
		if !maps.Equal(status, map[string]Status{"fails": Failed, "hangs": Failed, "rejected": Failed}) {
			t.Errorf("settled as %v", status)
		}
	})
}

// An outbox that cannot be read is told of, and read again.
func TestOutboxUnreadable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, n := &outbox{err: errors.New("database is locked")}, &network{}
		o.add("a")
		var told atomic.Int32
		_, stop := running(o, n, func(id string, err error) {
			if id == "" && strings.Contains(err.Error(), "database is locked") {
				told.Add(1)
			}
		})
		defer stop()
		time.Sleep(3500 * time.Millisecond)
		o.mu.Lock()
		o.err = nil
		o.mu.Unlock()
		time.Sleep(2 * time.Second)
		if told.Load() != 4 || o.left() != 0 {
			t.Errorf("told %d times, %d are left", told.Load(), o.left())
		}
	})
}

func TestFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "outbox")
	f := File{Dir: dir, Now: func() time.Time { return time.Unix(0, 0) }}
	for range 2 { // sent again after a crash: one file
		if _, err := f.Send(t.Context(), "m-1", KindSign, Text{To: "+380501234567", Body: "123456 – код"}); err != nil {
			t.Fatal(err)
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	info, err := files[0].Info()
	if err != nil || info.Mode().Perm() != 0o600 || files[0].Name() != "m-1.json" {
		t.Errorf("%v, %v", info, err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "m-1.json"))
	if err != nil {
		t.Fatal(err)
	}
	var m fileMessage
	if err := json.Unmarshal(b, &m); err != nil || m.Text != "123456 – код" || m.To != "+380501234567" || m.Kind != KindSign {
		t.Errorf("%s, %v", b, err)
	}
	for _, id := range []string{"", "../m", ".hidden", `a\b`} {
		if _, err := f.Send(t.Context(), id, KindSign, Text{}); err == nil {
			t.Errorf("%q names a file", id)
		}
	}
}

func TestMask(t *testing.T) {
	for phone, want := range map[string]string{"+380501234567": "+380•••••••67", "+48123456789": "+481••••••89", "1234": "••••", "": ""} {
		if got := MaskPhone(phone); got != want {
			t.Errorf("%q is masked as %q, want %q", phone, got, want)
		}
	}
}
