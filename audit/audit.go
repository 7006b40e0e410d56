// Package audit is the tamper-evident operation log: what an entry says, how entries form an RFC 6962 tree, how the
// tree's head is signed, how one entry is proven to a stranger, and how anybody checks the whole log offline.
//
// The formats are the field's own, so that tools which exist already can read them: tree and proofs of RFC 6962,
// signed notes and checkpoints (c2sp.org/signed-note, c2sp.org/tlog-checkpoint), the tile layout
// (c2sp.org/tlog-tiles) and offline proofs (c2sp.org/tlog-proof@v1). Ours is only what stands in an entry.
//
// # Entries
//
// An entry is one line of JSON without white space, of fixed field order, so that an event at a time has exactly one
// encoding:
//
//	{"v":1,"type":"signing.signed","at":1795478400000000,"operation":"op-1",…}
//
// v is the version of this encoding, type names the event, at is its time in microseconds since 1970-01-01 UTC; the
// event's own fields follow in the order of its struct, always all of them. Identifiers are strings of the letters,
// digits and marks that [ValidID] allows, short texts are printable ASCII without quote and backslash (nothing is
// ever escaped), digests are lower-case hex, numbers are decimal and below 2^53 (RFC 7493, section 2.2), lists are
// arrays. An entry is at most [MaxEntry] bytes.
//
// # Personal data
//
// An entry holds identifiers, digests and commitments, never a name, a phone number, an address or a document: the
// log cannot forget. A digest of something guessable, such as a phone number, enters only as a commitment with a
// random salt that is kept, and erased, outside. The alphabet of identifiers has no blank, no "@" and no "+", so that
// a name, an e-mail address or a phone number put there by mistake fails the commit instead of staying for ever. Only what an alarm or a withheld signature tells must never fail:
// there, what does not fit is replaced. Such texts come from our own errors, which name no person.
package audit

import "time"

// Event is something that happened. The set is closed: the structs of this package, and no others.
type Event interface {
	kind() string
	event(c *codec) Event // writes the fields to c or reads them from it; returns the event with what was read
}

// Appender takes events that become entries in the same transaction as the state change they describe. Append cannot
// be ignored: an event that cannot be written fails the commit.
type Appender interface {
	Append(Event)
}

// Commit says where the events of a unit of work stand in the log, once they are durable.
type Commit struct {
	First   int64     // index of the first entry of this unit of work; meaningless when Entries is empty
	Entries [][]byte  // its encoded entries, at First, First+1, …
	Size    int64     // of the log after the group commit that held this unit of work
	Head    []byte    // signed note over Size, or nil: the next signed head covers these entries
	At      time.Time // written into the entries
}

// Kind names an event as its entry does, such as "signing.signed".
func Kind(e Event) string { return e.kind() }

// Erases reports whether e says that bytes are gone for good: the store clears its journal of them before it answers.
func Erases(e Event) bool { return e.kind() == KeyDestroyed{}.kind() }

// NeedsHead reports whether e may only be committed together with a signed head that covers it: a signature, at whatever
// level, or a certificate leaves us only with proof of its entry.
func NeedsHead(e Event) bool {
	switch e.kind() { // by kind: a pointer to an event is an event too
	case SigningSigned{}.kind(), CertificateIssued{}.kind(), ArtefactRecorded{}.kind(), AugmentationRecorded{}.kind():
		return true
	}
	return false
}
