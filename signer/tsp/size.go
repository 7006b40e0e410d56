package tsp

import (
	"context"
	"crypto"
	"fmt"
	"io"
	"sync"
)

// Margin is what MaxSize adds to the greatest token seen, in bytes: for serial numbers, fractions of seconds and ECDSA values
// of other lengths, and for a new certificate of the time-stamp unit with longer names and addresses than the one before.
const Margin = 1024

// MaxSize returns the size in bytes that a token over a digest of h will not exceed, as far as is known: the greatest that
// any of the authorities ever gave, plus Margin. An authority of which no token was seen yet is asked for one over a random
// digest, once; one that failed a short while ago only when nothing else is known. What is learned lasts as long as the Client,
// and every Stamp adds to it. So the space for a token is known before anything is signed; use StampWithin to hold a token to it.
// Where ctx has a deadline, learning takes at most half of what is left. Errors as those of Stamp, when no authority gave a token.
func (c *Client) MaxSize(ctx context.Context, h crypto.Hash) (int, error) {
	if !stampable(h) {
		return 0, fmt.Errorf("%w: %v", ErrInput, h)
	}
	greatest, unknown := c.known(h)
	if len(unknown) > 0 {
		probe, cancel := context.WithTimeout(ctx, share(ctx, 2)) // leaves time for what the size is needed for
		defer cancel()
		failed := make(failures, len(unknown))
		var wg sync.WaitGroup
		for i, a := range unknown {
			wg.Go(func() { failed[i] = c.learn(probe, a, h) })
		}
		wg.Wait()
		if greatest, _ = c.known(h); greatest == 0 {
			return 0, failed.because(ctx, "no size of time-stamps")
		}
	}
	return greatest + Margin, nil
}

// known returns the size of the greatest token seen, 0 for none, and the authorities that are worth asking.
func (c *Client) known(h crypto.Hash) (greatest int, unknown []*authority) {
	now := c.config.Now()
	var resting []*authority
	for _, a := range c.authorities {
		a.mu.Lock()
		size, rests := a.sizes[h], a.rests.After(now)
		a.mu.Unlock()
		switch {
		case size > 0:
			greatest = max(greatest, size)
		case rests:
			resting = append(resting, a)
		default:
			unknown = append(unknown, a)
		}
	}
	if greatest == 0 {
		unknown = append(unknown, resting...)
	}
	return greatest, unknown
}

// learn asks an authority for a token over a random digest. Of several at once one asks, and the others take its result.
func (c *Client) learn(ctx context.Context, a *authority, h crypto.Hash) error {
	waited := false
	select {
	case a.probing <- struct{}{}:
	default:
		waited = true
		select {
		case a.probing <- struct{}{}:
		case <-ctx.Done():
			return fmt.Errorf("%s: %w: somebody else still waits for it", a.Name, ErrUnavailable)
		}
	}
	defer func() { <-a.probing }()
	a.mu.Lock()
	size, rests, failed := a.sizes[h], a.rests.After(c.config.Now()), a.failed
	a.mu.Unlock()
	if size > 0 {
		return nil
	}
	if waited && rests {
		return fmt.Errorf("%s: %w", a.Name, failed)
	}
	imprint := make([]byte, h.Size())
	if _, err := io.ReadFull(c.config.Random, imprint); err != nil {
		return fmt.Errorf("%w: %w", ErrRandom, err)
	}
	if _, err := c.ask(ctx, a, h, imprint, maxToken, share(ctx, 1)); err != nil {
		return fmt.Errorf("%s: %w", a.Name, err)
	}
	return nil
}
