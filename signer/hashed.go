package signer

import (
	"hash"
	"sync"
)

// maxHashed bounds the documents whose hash is remembered; each takes some 200 bytes.
const maxHashed = 16384

// hashed remembers how far SHA-256 had come when a document had been received, so that preparing a signature need not
// read all of it again: a signature's digest is over the document and what is appended to it. It is memory of this
// process alone; what is not remembered is read.
type hashed struct {
	mu     sync.Mutex
	states map[string]hash.Cloner // by document
	order  []string               // ids as they came; some are gone already
}

func newHashed() *hashed { return &hashed{states: map[string]hash.Cloner{}} }

// keep takes over a hash, which nobody may write to any more.
func (h *hashed) keep(id string, state hash.Hash) {
	c, ok := state.(hash.Cloner)
	if !ok {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(h.order) >= maxHashed {
		delete(h.states, h.order[0])
		h.order = h.order[1:]
	}
	h.states[id], h.order = c, append(h.order, id)
}

// of returns the state after the document, or nil.
func (h *hashed) of(id string) hash.Cloner {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.states[id]
}

func (h *hashed) gone(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.states, id)
}
