package gateway

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/ecsigner/ecsigner/otp/sms"
)

// List is several providers in the order in which they are asked: the next one when the one before does not take a text.
// A text whose answer was lost may so go out twice, under the same id. It is safe for concurrent use.
type List struct {
	providers []sms.Provider
	now       func() time.Time

	mu   sync.Mutex
	down []outage // by provider
}

// outage counts the failures of a provider in a row.
type outage struct {
	failures int
	until    time.Time // not asked before, while another one may be
}

const (
	outageAfter = 3
	outagePause = 30 * time.Second
)

// NewList returns providers as one.
func NewList(now func() time.Time, providers ...sms.Provider) *List {
	return &List{providers: providers, now: now, down: make([]outage, len(providers))}
}

// Send implements sms.Provider. Each provider that is asked has its share of the time that is left. A text that the last
// one rejects is rejected.
func (l *List) Send(ctx context.Context, id string, kind sms.Kind, text sms.Text) (sms.Accepted, error) {
	var by sms.Accepted
	var errs []error
	asked := l.up()
	for n, i := range asked {
		inner, cancel := context.WithCancel(ctx)
		if end, ok := ctx.Deadline(); ok {
			cancel()
			inner, cancel = context.WithDeadline(ctx, l.now().Add(end.Sub(l.now())/time.Duration(len(asked)-n)))
		}
		var err error
		by, err = l.providers[i].Send(inner, id, kind, text)
		cancel()
		l.note(i, err)
		if err == nil {
			return by, nil
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	err := errors.Join(errs...)
	if errors.Is(err, sms.ErrRejected) && !errors.Is(errs[len(errs)-1], sms.ErrRejected) {
		err = errors.New(err.Error()) // one that could take it is only away
	}
	return by, err
}

// up returns who is to be asked, in order: all that are not down; all if all are.
func (l *List) up() (asked []int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	for i, o := range l.down {
		if !now.Before(o.until) {
			asked = append(asked, i)
		}
	}
	if len(asked) == 0 {
		for i := range l.down {
			asked = append(asked, i)
		}
	}
	return asked
}

func (l *List) note(i int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := &l.down[i]
	if err == nil || errors.Is(err, sms.ErrRejected) {
		*o = outage{}
		return
	}
	if o.failures++; o.failures >= outageAfter {
		o.until = l.now().Add(outagePause)
	}
}
