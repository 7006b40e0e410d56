package model_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing/synctest"
	"time"
)

// verdict is what the history lets happen at a place where a call waits.
type verdict int

const (
	proceed   verdict = iota
	die               // the process ends here
	refuse            // it does not happen, and the call is told
	lose              // it happens, but the call gets an error
	vanish            // of a commit: it does not happen, and the call cannot know
	rehearsed         // of a unit of work: its closure runs once in vain before
)

// place is where a call can wait.
type place string

const (
	atView     place = "view"
	atViewed   place = "viewed"   // after it was read, before anything is made of it
	atUpdate   place = "update"   // before a unit of work
	atUpdated  place = "updated"  // after its commit
	atDevice   place = "device"   // before a signatory's key is made or used
	atDeviced  place = "deviced"  // after that, before the result is known
	atDelivery place = "delivery" // before a text is handed over
	atSent     place = "sent"     // after that, before the sender knows
)

// can says which verdicts make a difference at a place.
func (p place) can(v verdict) bool {
	switch v {
	case proceed, die:
		return true
	case refuse:
		return p == atView || p == atUpdate || p == atDevice || p == atDelivery
	case lose:
		return p == atUpdated || p == atDeviced || p == atSent
	case vanish, rehearsed:
		return p == atUpdate
	}
	return false
}

// task is one call on its way, or of the past.
type task struct {
	call
	number  int
	process *process
	resume  chan verdict
	places  *sync.Mutex // guards where
	where   place       // empty while it runs, is blocked by another call, or has ended
	free    bool        // stops nowhere any more

	ended  bool // with an answer or without
	lost   bool // the process died under it
	result any
	err    error

	began    time.Time
	alone    bool            // nobody else was on the way, and the clock stood
	times    []time.Time     // what the clock showed meanwhile
	expected map[string]bool // what the model foresaw at some time meanwhile
	faults   map[string]bool // what the history did to it
	commits  []string        // events of each of its commits
	states   map[string]bool // of its target meanwhile
	phase    string
	fence    uint64
}

type taskKey struct{}

func taskOf(ctx context.Context) *task {
	t, _ := ctx.Value(taskKey{}).(*task)
	return t
}

// at stops the task of ctx until the history lets it go on. Whoever is no task, such as start-up, goes on.
func (p *process) at(ctx context.Context, where place) verdict {
	t := taskOf(ctx)
	if p.dead {
		runtime.Goexit()
	}
	if t == nil || t.free {
		return proceed
	}
	t.parks(where)
	v := <-t.resume
	t.parks("")
	if p.dead {
		runtime.Goexit()
	}
	return v
}

// parks says where the task stands; empty: nowhere.
func (t *task) parks(where place) {
	t.places.Lock()
	defer t.places.Unlock()
	t.where = where
}

// still waits until every task stands or has ended. The locks tell the race detector what it does not know of those who wait
// for another's flight: that all they did came before.
func (w *world) still() {
	synctest.Wait()
	for _, l := range []*sync.Mutex{&w.places, &w.mu} {
		l.Lock()
		l.Unlock() //nolint:staticcheck // nothing is guarded: it orders
	}
}

// begin starts a call in the running process and lets it run to the first place.
func (w *world) begin(c call) *task {
	t := &task{
		call: c, number: len(w.tasks), process: w.process, resume: make(chan verdict), began: w.now(),
		expected: map[string]bool{}, faults: map[string]bool{}, states: map[string]bool{}, places: &w.places,
	}
	t.alone = w.firstParked() == nil
	for _, other := range w.tasks {
		other.alone = other.alone && other.ended
	}
	w.tasks = append(w.tasks, t)
	w.note("#%d %s", t.number, c)
	w.mu.Lock()
	w.look(t)
	w.mu.Unlock()
	ctx := context.WithValue(w.process.ctx, taskKey{}, t)
	go func() {
		returned := false
		defer func() {
			if r := recover(); r != nil {
				w.fail("#%d %s panicked: %v", t.number, t.call, r)
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			t.lost = !returned || w.process != t.process || t.process.dead
			t.ended = true
			if !t.lost {
				w.answered(t)
			}
		}()
		t.result, t.err = c.run(ctx, t.process)
		returned = true
	}()
	w.still()
	w.check()
	return t
}

// step lets a task go on to its next place.
func (w *world) step(t *task, v verdict) {
	if t.where == "" || !t.where.can(v) {
		return
	}
	if v != proceed {
		w.note("  #%d: %s at %s", t.number, [...]string{"", "the process dies", "refused", "answer lost", "commit vanished", "run twice"}[v], t.where)
	}
	if v == die {
		w.crash()
		return
	}
	t.resume <- v
	w.still()
	w.check()
}

// finish lets a task run to its end. It may have to wait for others: then they go on too.
func (w *world) finish(t *task) {
	for !t.ended {
		if t.where != "" {
			w.step(t, proceed)
			continue
		}
		other := w.firstParked()
		if other == nil {
			w.fail("#%d %s hangs", t.number, t.call)
			w.check()
		}
		w.step(other, proceed)
	}
}

func (w *world) firstParked() *task {
	for _, t := range w.tasks {
		if t.where != "" {
			return t
		}
	}
	return nil
}

// crash ends the process as SIGKILL does: nobody runs on, nothing in memory survives. To open the database takes longer
// than all the rest, so three times in four the next process finds it open; what a process leaves on the disk is for the
// tests of package store.
func (w *world) crash() {
	w.note("crash")
	w.disturbed = w.disturbed || w.firstParked() != nil
	p := w.process
	p.dead = true
	p.cancel()
	for _, t := range w.tasks {
		if t.where != "" {
			t.resume <- die
		}
	}
	w.still()
	for _, t := range w.tasks {
		if !t.ended {
			w.fail("#%d %s outlives its process", t.number, t.call)
		}
	}
	w.process, w.open = nil, p.db
	if w.crashes++; w.crashes%4 == 0 {
		w.close()
	}
	w.check()
}

// close closes the database.
func (w *world) close() {
	if w.open == nil {
		return
	}
	if err := w.open.Close(); err != nil {
		w.fail("closing the store: %v", err)
	}
	w.open = nil
}

// note adds a line to the story that is told when the history fails.
func (w *world) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.story = append(w.story, fmt.Sprintf(format, args...))
}

// stopped is what check panics with.
type stopped struct{}

// fail records what is wrong; the first fault counts.
func (w *world) fail(format string, args ...any) {
	w.failing.Lock()
	defer w.failing.Unlock()
	if w.failure == "" {
		w.failure = fmt.Sprintf(format, args...)
	}
}

// check ends the history when something is wrong.
func (w *world) check() {
	w.failing.Lock()
	defer w.failing.Unlock()
	if w.failure != "" {
		panic(stopped{})
	}
}
