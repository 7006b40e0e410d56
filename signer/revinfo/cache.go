package revinfo

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/ecsigner/ecsigner/signer/revinfo/web"
)

// item is what was fetched: its bytes, what was read in them, and when.
type item struct {
	key     string
	size    int64
	fetched time.Time
	until   time.Time // not used after
	read    any       // *status.List, *response, []*x509.Certificate, or the error of an address; not changed after
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
		if i := c.lookup(key, now); i != nil && enough(i) {
			return i, nil // a fetch ended between the look and this one
		}
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

// pause is how long an address is left alone that could not be reached, so that a server which is down does not hold up
// every caller for the length of a time-out.
const pause = 30 * time.Second

// reach fetches from an address, unless that was in vain a moment ago.
func (c *Collector) reach(address string, now time.Time, fetch func() ([]byte, error)) ([]byte, error) {
	key := "unreachable " + address
	if i := c.cache.lookup(key, now); i != nil {
		return nil, fmt.Errorf("a moment ago: %w", i.read.(error))
	}
	b, err := fetch()
	if errors.Is(err, web.ErrUnreachable) {
		c.cache.store(&item{key: key, size: int64(len(key)), until: now.Add(pause), read: err}, now)
	}
	return b, err
}
