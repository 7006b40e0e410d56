package signer

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/ecsigner/ecsigner/credential"
)

// Format says what an item becomes.
type Format string

// Formats of results.
const (
	PAdESBB Format = "pades-b-b" // PDF signature, ETSI EN 319 142-1 B-B
	CAdESBB Format = "cades-b-b" // detached CMS, ETSI EN 319 122-1 B-B
	Raw     Format = "raw"       // the bare signature over the given hash
)

// ErrItems means that stored items are not what MarshalItems made.
var ErrItems = errors.New("signer: not canonical items")

// Item is one thing to sign in an operation, prepared.
type Item struct {
	Format   Format
	Document string // id, for PAdES
	Digest   []byte // SHA-256 of the document, or the given hash
	Prepared []byte // PAdES: prepared state; CAdES: DER signed attributes; raw: empty
	DTBSR    []byte // what the HSM signs
}

const itemsFormat = "ecsigner items v1"

// MarshalItems returns the canonical encoding of items.
func MarshalItems(items []Item) []byte {
	var e credential.Encoder
	e.String(itemsFormat)
	e.Uint64(uint64(len(items)))
	for _, it := range items {
		e.String(string(it.Format))
		e.String(it.Document)
		e.Bytes(it.Digest)
		e.Bytes(it.Prepared)
		e.Bytes(it.DTBSR)
	}
	return e.Data()
}

// UnmarshalItems accepts exactly what MarshalItems makes, else ErrItems.
func UnmarshalItems(data []byte) ([]Item, error) {
	d := credential.NewDecoder(data)
	format, n := d.String(), d.Uint64()
	if format != itemsFormat || n > maxItems {
		return nil, fmt.Errorf("%w: header", ErrItems)
	}
	items := make([]Item, 0, n)
	for range n {
		items = append(items, Item{
			Format: Format(d.String()), Document: d.String(), Digest: d.Bytes(), Prepared: d.Bytes(), DTBSR: d.Bytes(),
		})
	}
	if err := d.Finish(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrItems, err)
	}
	if !bytes.Equal(MarshalItems(items), data) {
		return nil, fmt.Errorf("%w: encoding", ErrItems)
	}
	return items, nil
}

// digests returns the DTBS/R of items in order.
func digests(items []Item) [][]byte {
	out := make([][]byte, len(items))
	for i, it := range items {
		out[i] = it.DTBSR
	}
	return out
}

// documents returns the shown document hashes in order.
func documents(items []Item) [][]byte {
	out := make([][]byte, len(items))
	for i, it := range items {
		out[i] = it.Digest
	}
	return out
}
