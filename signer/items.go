package signer

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/ecsigner/ecsigner/augment"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/signer/cades"
)

// Format says what an item becomes.
type Format string

// Formats of results.
const (
	PAdESBB       Format = "pades-b-b"      // PDF signature, ETSI EN 319 142-1, from B-B on
	PAdESHash     Format = "pades-hash"     // the CMS of one, for a PDF that was prepared elsewhere and stays there
	CAdESBB       Format = "cades-b-b"      // detached CMS, ETSI EN 319 122-1, from B-B on
	CAdESAttached Format = "cades-attached" // CMS that holds the uploaded document
	Raw           Format = "raw"            // the bare signature over the given hash
)

// cms tells that the result is a CMS.
func (f Format) cms() bool { return f == PAdESHash || f == CAdESBB || f == CAdESAttached }

// kind says how signatures of this format are raised; empty: not at all.
func (f Format) kind() augment.Kind {
	switch f {
	case PAdESBB:
		return augment.KindPAdES
	case PAdESHash:
		return augment.KindPAdESHash
	case CAdESBB, CAdESAttached:
		return augment.KindCAdES
	}
	return ""
}

// ErrItems means that stored items are not what MarshalItems made.
var ErrItems = errors.New("signer: not canonical items")

// Item is one thing to sign in an operation, prepared.
type Item struct {
	Format   Format
	Document string // id, for PAdES
	Digest   []byte // SHA-256 of the document, or the given hash
	Prepared []byte // PAdES: prepared state; CAdES: DER signed attributes; raw: empty
	DTBSR    []byte // what the HSM signs

	Level cades.Level // asked for; 0 is B-B too
	Room  int         // PAdESHash: bytes that the CMS may take
}

// Version 2 has level and room in each item. Where no item needs them, items are encoded as before there were any.
const (
	itemsFormat  = "ecsigner items v1"
	itemsFormat2 = "ecsigner items v2"
)

// MarshalItems returns the canonical encoding of items.
func MarshalItems(items []Item) []byte {
	var e credential.Encoder
	second := raised(items)
	if second {
		e.String(itemsFormat2)
	} else {
		e.String(itemsFormat)
	}
	e.Uint64(uint64(len(items)))
	for _, it := range items {
		e.String(string(it.Format))
		e.String(it.Document)
		e.Bytes(it.Digest)
		e.Bytes(it.Prepared)
		e.Bytes(it.DTBSR)
		if second {
			e.Uint64(uint64(it.Level))
			e.Uint64(uint64(it.Room)) //nolint:gosec // never negative
		}
	}
	return e.Data()
}

// raised tells whether an item says more than version 1 can.
func raised(items []Item) bool {
	return slices.ContainsFunc(items, func(it Item) bool { return it.Level > cades.LevelBB || it.Room > 0 })
}

// UnmarshalItems accepts exactly what MarshalItems makes, else ErrItems.
func UnmarshalItems(data []byte) ([]Item, error) {
	d := credential.NewDecoder(data)
	format, n := d.String(), d.Uint64()
	if format != itemsFormat && format != itemsFormat2 || n > maxItems {
		return nil, fmt.Errorf("%w: header", ErrItems)
	}
	items := make([]Item, 0, n)
	for range n {
		it := Item{Format: Format(d.String()), Document: d.String(), Digest: d.Bytes(), Prepared: d.Bytes(), DTBSR: d.Bytes()}
		if format == itemsFormat2 {
			level, room := d.Uint64(), d.Uint64()
			if level > uint64(cades.LevelBLTA) || room > maxRoom {
				return nil, fmt.Errorf("%w: level", ErrItems)
			}
			it.Level, it.Room = cades.Level(level), int(room)
		}
		items = append(items, it)
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
