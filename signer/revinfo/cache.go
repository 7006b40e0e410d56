package revinfo

import (
	"container/list"
	"context"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// item is what was fetched: its bytes, what was read in them, and when.
type item struct {
	key     string
	size    int64
	fetched time.Time
	until   time.Time // not used after
	read    any       // *crl, *ocspAnswer or []*x509.Certificate; not changed after
}

// cache keeps items, the least recently used of which go first, and lets only one caller fetch the same thing at a time.
type cache struct {
	maxBytes   int64
	maxEntries int
	flight     singleflight.Group

	mu    sync.Mutex
	bytes int64
	order *list.List // of *item, the newest in front
	items map[string]*list.Element
}

func newCache(maxBytes int64, maxEntries int) *cache {
	return &cache{maxBytes: maxBytes, maxEntries: maxEntries, order: list.New(), items: map[string]*list.Element{}}
}

// get returns what is kept under key and is good enough, or fetches it. Callers share a fetch, and none of them ends it for
// the others: it has time-outs of its own.
func (c *cache) get(ctx context.Context, key string, now time.Time, enough func(*item) bool, fetch func(context.Context) (*item, error)) (*item, error) {
	if i := c.lookup(key, now); i != nil && enough(i) {
		return i, nil
	}
	ch := c.flight.DoChan(key, func() (any, error) {
		i, err := fetch(context.WithoutCancel(ctx))
		if err != nil {
			return nil, err
		}
		i.key = key
		c.store(i, now)
		return i, nil
	})
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case r := <-ch:
		if r.Err != nil {
			return nil, r.Err
		}
		return r.Val.(*item), nil
	}
}

func (c *cache) lookup(key string, now time.Time) *item {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.items[key]
	if !ok {
		return nil
	}
	i := e.Value.(*item)
	if !now.Before(i.until) {
		c.drop(e)
		return nil
	}
	c.order.MoveToFront(e)
	return i
}

func (c *cache) store(i *item, now time.Time) {
	if i.size > c.maxBytes || c.maxEntries == 0 || !now.Before(i.until) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.items[i.key]; ok {
		c.drop(e)
	}
	c.items[i.key] = c.order.PushFront(i)
	c.bytes += i.size
	for c.bytes > c.maxBytes || c.order.Len() > c.maxEntries {
		c.drop(c.order.Back())
	}
}

func (c *cache) drop(e *list.Element) {
	i := c.order.Remove(e).(*item)
	delete(c.items, i.key)
	c.bytes -= i.size
}
