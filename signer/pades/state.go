package pades

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/pdf"
)

// Prepared is a signature between its two phases: small, independent of the size of the document, and fixed. It is not
// secret, but whoever stores it must protect it from change, because DTBSR is computed from it.
type Prepared struct {
	baseSize   int64           // bytes of the original
	head, foot []byte          // the revision before and after the CMS with its angle brackets
	reserve    int             // bytes of CMS that fit
	algorithm  cades.Algorithm // its hash made digest
	original   []byte          // digest of the original; not encoded
	digest     []byte          // over the ByteRange
	attributes []byte          // signed attributes, DER SET OF
	chain      [][]byte        // DER, signer first
	claims     claims
}

// stateMagic begins every encoded state. The version is the byte after it: 1 without claims, as ever, or 2 with them.
const stateMagic = "ecsigner-pades"

const (
	statePlain  = 1
	stateClaims = 2
)

const maxState = 64 << 20

// MarshalBinary encodes p: the magic with a version, then baseSize (8 bytes), reserve (4), algorithm (1) and head, foot,
// digest, signed attributes and the certificates, each after its length (4), the certificates after their number (1).
// Version 2 goes on with the claims. Numbers are big-endian. Equal states have equal encodings.
func (p *Prepared) MarshalBinary() ([]byte, error) {
	b := []byte(stateMagic)
	if p.claims.none() {
		b = append(b, statePlain)
	} else {
		b = append(b, stateClaims)
	}
	b = binary.BigEndian.AppendUint64(b, uint64(p.baseSize))
	b = binary.BigEndian.AppendUint32(b, uint32(p.reserve))
	b = append(b, byte(p.algorithm))
	for _, f := range [][]byte{p.head, p.foot, p.digest, p.attributes} {
		b = appendField(b, f)
	}
	b = append(b, byte(len(p.chain)))
	for _, c := range p.chain {
		b = appendField(b, c)
	}
	if p.claims.none() {
		return b, nil
	}
	return p.claims.appendTo(b)
}

func appendField(b, field []byte) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(field))), field...)
}

// UnmarshalBinary reads what MarshalBinary wrote and nothing else: what it accepts encodes to the same bytes again, and
// the parts fit together. Errors wrap ErrState.
func (p *Prepared) UnmarshalBinary(data []byte) error {
	body, known := bytes.CutPrefix(data, []byte(stateMagic))
	if len(data) > maxState || !known || len(body) == 0 || (body[0] != statePlain && body[0] != stateClaims) {
		return fmt.Errorf("%w: unknown format or version", ErrState)
	}
	in := stateReader{rest: bytes.Clone(body[1:])}
	var q Prepared
	q.baseSize = int64(binary.BigEndian.Uint64(in.take(8)))
	q.reserve = int(binary.BigEndian.Uint32(in.take(4)))
	q.algorithm = cades.Algorithm(in.take(1)[0])
	q.head, q.foot, q.digest, q.attributes = in.field(), in.field(), in.field(), in.field()
	for range in.take(1)[0] {
		q.chain = append(q.chain, in.field())
	}
	if body[0] == stateClaims {
		var err error
		if q.claims, err = in.claims(); err != nil {
			return err
		}
		if q.claims.none() {
			return fmt.Errorf("%w: version 2 without claims", ErrState)
		}
	}
	if in.short || len(in.rest) > 0 {
		return fmt.Errorf("%w: wrong length", ErrState)
	}
	if err := q.consistent(); err != nil {
		return err
	}
	*p = q
	return nil
}

// consistent checks what later steps rely on.
func (p *Prepared) consistent() error {
	if !p.algorithm.Valid() || p.baseSize <= 0 || p.baseSize > pdf.MaxSize || len(p.chain) == 0 {
		return fmt.Errorf("%w: value out of range", ErrState)
	}
	need, err := cades.MaxSize(cades.Parts{SignedAttributes: p.attributes, Algorithm: p.algorithm, Chain: p.chain})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	if p.reserve < need || p.reserve > need+maxReserve || p.Size() > pdf.MaxSize {
		return fmt.Errorf("%w: reserve of %d bytes for a CMS of %d", ErrState, p.reserve, need)
	}
	attrs, err := cades.SignedAttributes(cades.PAdES, p.claims.attributes(p.chain[0], p.digest, p.algorithm))
	if err != nil || !bytes.Equal(attrs, p.attributes) {
		return fmt.Errorf("%w: signed attributes are not those of the digest and certificate", ErrState)
	}
	br := p.byteRange()
	if !bytes.Contains(p.head, fmt.Appendf(nil, "/ByteRange [%d %d %d %d]", br[0], br[1], br[2], br[3])) {
		return fmt.Errorf("%w: byte range", ErrState)
	}
	return nil
}

// stateReader cuts fields off; past the end it returns zeros and remembers.
type stateReader struct {
	rest  []byte
	short bool
}

func (s *stateReader) take(n int) []byte {
	if s.short || n > len(s.rest) {
		s.short = true
		return make([]byte, min(n, 8))
	}
	out := s.rest[:n:n]
	s.rest = s.rest[n:]
	return out
}

func (s *stateReader) field() []byte { return s.take(int(binary.BigEndian.Uint32(s.take(4)))) }
