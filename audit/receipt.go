package audit

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

const (
	receiptFormat = "c2sp.org/tlog-proof@v1"
	maxReceipt    = 2*MaxEntry + 64*64 + maxHead
)

// ErrReceipt means that bytes are not a receipt, or that it does not prove its entry.
var ErrReceipt = errors.New("audit: not a valid receipt")

// Receipt proves offline, with nothing but the log's key, that an entry is in the log.
type Receipt struct {
	Index int64            // of the entry, from 0
	Entry []byte           // as [Encode] wrote it
	Proof tlog.RecordProof // from the leaf's sibling up (RFC 6962, section 2.1.1)
	Head  []byte           // signed note over a tree that holds the entry
}

// NewReceipt proves the entry at index in the tree that head signs, which has size entries. It does not verify the
// signature; whoever holds the receipt does.
func NewReceipt(read tlog.HashReader, size, index int64, entry, head []byte) (Receipt, error) {
	proof, err := tlog.ProveRecord(size, index, read)
	if err != nil {
		return Receipt{}, fmt.Errorf("audit: proving entry %d of %d: %w", index, size, err)
	}
	return Receipt{Index: index, Entry: entry, Proof: proof, Head: head}, nil
}

// Marshal returns the receipt as text (c2sp.org/tlog-proof@v1). The line "extra", which that format leaves to the
// application, holds the entry: its hash is the leaf, so that changing it breaks the proof.
//
//	c2sp.org/tlog-proof@v1
//	extra <entry in base64>
//	index <decimal>
//	<hash in base64>          one line a hash, none in a log of one entry
//
//	<signed head>
func (r Receipt) Marshal() []byte {
	var b bytes.Buffer
	b.WriteString(receiptFormat + "\nextra " + base64.StdEncoding.EncodeToString(r.Entry))
	b.WriteString("\nindex " + strconv.FormatInt(r.Index, 10) + "\n")
	for _, h := range r.Proof {
		b.WriteString(h.String() + "\n")
	}
	b.WriteByte('\n')
	b.Write(r.Head)
	return b.Bytes()
}

// ParseReceipt reads what [Receipt.Marshal] writes, and only that. It proves nothing yet: see [Receipt.Verify]. Errors
// wrap [ErrReceipt].
func ParseReceipt(text []byte) (Receipt, error) {
	if len(text) > maxReceipt {
		return Receipt{}, fmt.Errorf("%w: %d bytes", ErrReceipt, len(text))
	}
	upper, head, ok := bytes.Cut(text, []byte("\n\n"))
	lines := strings.Split(string(upper), "\n")
	if !ok || len(lines) < 3 || len(lines) > 3+63 || lines[0] != receiptFormat {
		return Receipt{}, fmt.Errorf("%w: not in the format %s", ErrReceipt, receiptFormat)
	}
	extra, isExtra := strings.CutPrefix(lines[1], "extra ")
	index, isIndex := strings.CutPrefix(lines[2], "index ")
	if !isExtra || !isIndex {
		return Receipt{}, fmt.Errorf("%w: lacks the entry or its index", ErrReceipt)
	}
	r := Receipt{Head: head, Proof: tlog.RecordProof{}}
	var err error
	if r.Entry, err = base64.StdEncoding.DecodeString(extra); err != nil {
		return Receipt{}, fmt.Errorf("%w: entry is not base64", ErrReceipt)
	}
	if r.Index, err = strconv.ParseInt(index, 10, 64); err != nil || r.Index < 0 {
		return Receipt{}, fmt.Errorf("%w: index %q", ErrReceipt, index)
	}
	for _, line := range lines[3:] {
		h, err := tlog.ParseHash(line)
		if err != nil {
			return Receipt{}, fmt.Errorf("%w: hash %q", ErrReceipt, line)
		}
		r.Proof = append(r.Proof, h)
	}
	if !bytes.Equal(r.Marshal(), text) {
		return Receipt{}, fmt.Errorf("%w: not canonical", ErrReceipt)
	}
	return r, nil
}

// Verify proves that the log with this vkey holds the entry at the index, and that it is an entry of ours. Errors wrap
// [ErrReceipt] or [ErrHeadKey].
func (r Receipt) Verify(vkey string) error {
	h, err := OpenHead(vkey, r.Head)
	if errors.Is(err, ErrHeadKey) {
		return err
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrReceipt, err)
	}
	if err := tlog.CheckRecord(r.Proof, h.Size, h.Root, r.Index, tlog.RecordHash(r.Entry)); err != nil {
		return fmt.Errorf("%w: the proof does not lead from entry %d to the head", ErrReceipt, r.Index)
	}
	if _, _, err := Decode(r.Entry); err != nil {
		return fmt.Errorf("%w: %w", ErrReceipt, err)
	}
	return nil
}
