package audit

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// Filter chooses entries. Every field that is set must fit; the zero Filter chooses all.
type Filter struct {
	Kinds      []string  // one of them, such as signing.signed
	Operation  string    // of an operation, and of its codes and notices
	Enrolment  string    // of an enrolment, and of its codes and notices
	Credential string    // of a credential; codes count where they name it
	Client     string    // asked by this client, or about it
	From       time.Time // then or later
	Before     time.Time // before then
}

// Match tells whether an entry fits. Entries are canonical and no identifier in them can hold a quotation mark, so the
// bytes of a field stand in an entry exactly where the field does: nothing needs to be decoded. What is no entry fits
// only the zero Filter.
func (f Filter) Match(entry []byte) bool {
	if f.empty() {
		return true
	}
	c := codec{fault: ErrEntry, reading: true, buf: entry}
	c.expect(header)
	kind := c.upToQuote()
	c.expect(`"`)
	var micros uint64
	c.number("at", &micros)
	if c.err != nil || len(f.Kinds) > 0 && !slices.Contains(f.Kinds, kind) {
		return false
	}
	at := time.UnixMicro(int64(micros)) //nolint:gosec // number reads at most 53 bits
	if !f.From.IsZero() && at.Before(f.From) || !f.Before.IsZero() && !at.Before(f.Before) {
		return false
	}
	return has(entry, f.Operation, "operation", "subject") && has(entry, f.Enrolment, "enrolment", "subject") &&
		has(entry, f.Credential, "credential", "subject", "account") && has(entry, f.Client, "caller", "client")
}

func (f Filter) empty() bool {
	return len(f.Kinds) == 0 && f.Operation == "" && f.Enrolment == "" && f.Credential == "" && f.Client == "" &&
		f.From.IsZero() && f.Before.IsZero()
}

// has tells whether one of the fields has the value; an empty one asks for nothing.
func has(entry []byte, value string, fields ...string) bool {
	return value == "" || slices.ContainsFunc(fields, func(field string) bool {
		return bytes.Contains(entry, []byte(`,"`+field+`":"`+value+`"`))
	})
}

// Selection is a part of the log that one signed head proves.
type Selection struct {
	Entries []Selected
	Next    int64  // where the next part begins
	Size    int64  // entries under Head
	Head    []byte // the newest signed head, nil before the first
}

// Selected is one entry of a Selection.
type Selected struct {
	Index int64
	Entry []byte
	Proof [][]byte // inclusion in the tree of Head (RFC 6962 section 2.1.1), when asked for
}

// VerifyInclusion verifies one entry of a [Selection] with nothing but the log's key. Errors wrap [ErrReceipt] or
// [ErrHeadKey].
func VerifyInclusion(vkey string, index int64, entry []byte, proof [][]byte, head []byte) error {
	hashes, ok := hashesOf(proof)
	if !ok {
		return fmt.Errorf("%w: a hash of the proof has not %d bytes", ErrReceipt, tlog.HashSize)
	}
	return Receipt{Index: index, Entry: entry, Proof: tlog.RecordProof(hashes), Head: head}.Verify(vkey)
}

// VerifyGrowth is [VerifyConsistency] for a proof in bytes, as AuditService gives it.
func VerifyGrowth(vkey string, oldHead, newHead []byte, proof [][]byte) error {
	hashes, ok := hashesOf(proof)
	if !ok {
		return fmt.Errorf("%w: a hash of the proof has not %d bytes", ErrForked, tlog.HashSize)
	}
	return VerifyConsistency(vkey, oldHead, newHead, tlog.TreeProof(hashes))
}

func hashesOf(proof [][]byte) ([]tlog.Hash, bool) {
	hashes := make([]tlog.Hash, len(proof))
	for i, b := range proof {
		if len(b) != tlog.HashSize {
			return nil, false
		}
		hashes[i] = tlog.Hash(b)
	}
	return hashes, true
}
