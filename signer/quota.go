package signer

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// ErrQuota: the documents that are kept for the caller take up all the space that it may use.
var ErrQuota = errors.New("signer: too many bytes are kept for this client")

// quota counts what is kept for each caller: what was uploaded since this process started and is neither acknowledged
// nor past its time. An upload is counted when it is complete, so that a caller can exceed the limit once by what it
// uploads at the same time.
type quota struct {
	limit int64 // bytes; 0: none
	life  time.Duration

	mu   sync.Mutex
	kept map[string]keptDocument
	sums map[string]int64 // by caller
	due  []string         // ids in the order in which they came, and so end
}

type keptDocument struct {
	caller string
	size   int64
	ends   time.Time
}

func newQuota(limit int64, life time.Duration) *quota {
	return &quota{limit: limit, life: life, kept: map[string]keptDocument{}, sums: map[string]int64{}}
}

// room refuses an upload of a caller whose space is used up.
func (q *quota) room(caller string, now time.Time) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.due) > 0 {
		d, ok := q.kept[q.due[0]]
		if ok && now.Before(d.ends) {
			break
		}
		q.drop(q.due[0])
		q.due = q.due[1:]
	}
	if q.limit > 0 && q.sums[caller] >= q.limit {
		return fmt.Errorf("%w: %d bytes of %d", ErrQuota, q.sums[caller], q.limit)
	}
	return nil
}

func (q *quota) keep(caller, id string, size int64, now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.limit == 0 {
		return
	}
	q.kept[id] = keptDocument{caller, size, now.Add(q.life)}
	q.sums[caller] += size
	q.due = append(q.due, id)
}

func (q *quota) gone(id string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.drop(id)
}

func (q *quota) drop(id string) {
	d, ok := q.kept[id]
	if !ok {
		return
	}
	delete(q.kept, id)
	if q.sums[d.caller] -= d.size; q.sums[d.caller] <= 0 {
		delete(q.sums, d.caller)
	}
}
