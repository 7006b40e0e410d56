// Package pades makes PAdES signatures of level B-B (ETSI EN 319 142-1 clause 6) as approval and certification
// signatures, invisible or with an appearance.
//
// Making one has two phases with the signature between them. Prepare fixes every byte of the finished file but the CMS
// and returns a small state and the digest to be signed; whoever holds the key signs that digest, once, perhaps minutes
// later and on another machine; Embed puts the result into its place. The finished file is the original followed by the
// bytes that Embed returns. Nothing here can sign, and nothing makes a second signature necessary: the space for the
// CMS is computed from the certificates before.
//
// Package longterm reads finished documents and raises them to the higher levels, package sigfield holds what a document
// allows and demands of a signature field.
package pades

import (
	"bytes"
	"context"
	"crypto"
	"encoding/asn1"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/ecsigner/ecsigner/signer/appearance"
	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/pades/sigfield"
	"github.com/ecsigner/ecsigner/signer/pdf"
)

// Reasons not to sign, besides those of packages pdf and sigfield. Each text says what to do.
var (
	// ErrOptions: the caller's options cannot be used.
	ErrOptions = errors.New("pades: unusable options")
	// ErrState: bytes are not a Prepared of a known version, or contradict themselves.
	ErrState = errors.New("pades: damaged prepared state")
	// ErrReserve: the CMS does not fit into the space prepared for it; nothing was written.
	ErrReserve = errors.New("pades: CMS is larger than the space reserved for it")
	// ErrChanged: the finished file is not the one that was prepared and authorised.
	ErrChanged = errors.New("pades: file differs from what was authorised")
)

// Options describe one signature.
type Options struct {
	SigningTime time.Time       // required; claimed time, written to /M in UTC with whole seconds
	Chain       [][]byte        // required; DER, the signer's certificate first; all are embedded
	Algorithm   cades.Algorithm // required; its hash is the hash over the document too
	Name        string          // optional; /Name and the next three take at most 256 characters each
	Reason      string          // excludes CommitmentType (EN 319 142-1 clause 6.3)
	Location    string
	Contact     string     // /ContactInfo: how to reach the signatory, such as a telephone number
	Reserve     int        // optional; bytes kept free for unsigned attributes, such as a later time-stamp; at most 1 MiB
	Limits      pdf.Limits // optional; zero means the defaults

	// FieldName is optional. An empty signature field of this fully qualified name is filled; if no field has it, one is
	// made, unless ExistingField is set. Default: a new field "Signature" with the first number that is free.
	FieldName     string
	ExistingField bool

	Certification sigfield.Certification // optional; default an approval signature

	CommitmentType asn1.ObjectIdentifier // optional; such as cades.ProofOfApproval
	ClaimedRoles   []string              // optional; what the signatory claims to be
	Policy         *cades.Policy         // optional; signature policy

	// Hashed is optional: the state of the algorithm's hash after exactly the bytes of the file, from whoever read them
	// before. The file is then read for its structure only. Prepared.Check, which hashes the finished file, refuses one that
	// such a state did not come from.
	Hashed hash.Cloner

	// Beside is optional: another hash that takes the bytes of the file while they are read, so that both digests are of the
	// same bytes. Not together with Hashed, with which they are not read.
	Beside hash.Hash

	Appearance *appearance.Appearance // optional; what the signature looks like and where; nil: invisible
}

const (
	maxText    = 256     // characters of one text in the signature dictionary
	maxReserve = 1 << 20 // bytes
)

func (o Options) check() error {
	if y := o.SigningTime.UTC().Year(); o.SigningTime.IsZero() || y < 1970 || y > 9999 {
		return fmt.Errorf("%w: signing time between 1970 and 9999 is needed", ErrOptions)
	}
	if !o.Algorithm.Valid() {
		return fmt.Errorf("%w: %v", ErrOptions, o.Algorithm)
	}
	if o.Reserve < 0 || o.Reserve > maxReserve {
		return fmt.Errorf("%w: reserve of %d bytes", ErrOptions, o.Reserve)
	}
	for _, s := range append([]string{o.Name, o.Reason, o.Location, o.Contact, o.FieldName}, o.ClaimedRoles...) {
		if !validText(s) {
			return fmt.Errorf("%w: texts are UTF-8 of at most %d characters without control characters", ErrOptions, maxText)
		}
	}
	switch {
	case o.Certification > sigfield.CertifyAnnotations:
		return fmt.Errorf("%w: certification %d", ErrOptions, o.Certification)
	case o.ExistingField && o.FieldName == "":
		return fmt.Errorf("%w: an existing field needs its name", ErrOptions)
	case o.Hashed != nil && o.Beside != nil:
		return fmt.Errorf("%w: a file that was hashed before is not read for another hash", ErrOptions)
	case o.Reason != "" && len(o.CommitmentType) > 0:
		return fmt.Errorf("%w: reason and commitment type exclude each other", ErrOptions)
	}
	return nil
}

// validText wants UTF-8 without control characters: a line break or a NUL in a name shows differently in every reader.
func validText(s string) bool {
	if !utf8.ValidString(s) || utf8.RuneCountInString(s) > maxText {
		return false
	}
	for _, r := range s {
		if r < 0x20 || (r >= 0x7f && r < 0xa0) {
			return false
		}
	}
	return true
}

// DTBSR returns what the key signs: the digest of the signed attributes with the algorithm's hash. It covers the
// document (by its digest) and the signer's certificate.
func (p *Prepared) DTBSR() []byte { return hashOf(p.algorithm.Hash(), p.attributes) }

// DocumentDigest returns the digest over the ByteRange: the whole finished file but the CMS.
func (p *Prepared) DocumentDigest() []byte { return bytes.Clone(p.digest) }

// OriginalDigest returns the digest of the file that Prepare read, with the algorithm's hash; see Options.Beside for another.
// It is no part of the encoded state.
func (p *Prepared) OriginalDigest() []byte { return bytes.Clone(p.original) }

// Algorithm returns the algorithm of the signature.
func (p *Prepared) Algorithm() cades.Algorithm { return p.algorithm }

// SignedAttributes returns the DER encoding whose digest is DTBSR.
func (p *Prepared) SignedAttributes() []byte { return bytes.Clone(p.attributes) }

// BaseSize returns the size of the original file in bytes.
func (p *Prepared) BaseSize() int64 { return p.baseSize }

// Size returns the size of the finished file in bytes.
func (p *Prepared) Size() int64 { return p.baseSize + int64(len(p.head)+2+2*p.reserve+len(p.foot)) }

// byteRange returns the four numbers of /ByteRange: two ranges as offset and length.
func (p *Prepared) byteRange() [4]int64 {
	first := p.baseSize + int64(len(p.head))
	return [4]int64{0, first, first + 2 + 2*int64(p.reserve), int64(len(p.foot))}
}

// Embed assembles the CMS around the signature value and returns the bytes that follow the original in the finished
// file. The value is verified first. Errors: cades.ErrSignature, cades.ErrInput, ErrReserve.
func (p *Prepared) Embed(signature []byte) ([]byte, error) {
	cms, err := cades.Assemble(cades.Parts{
		SignedAttributes: p.attributes, Signature: signature, Algorithm: p.algorithm, Chain: p.chain,
	})
	if err != nil {
		return nil, err
	}
	return p.EmbedCMS(cms)
}

// EmbedCMS returns the bytes that follow the original, with a CMS that was assembled elsewhere over the same signed
// attributes, such as one with a signature time-stamp added. Errors: ErrReserve, ErrChanged, those of cades.Parse and
// cades.Signature.Verify.
func (p *Prepared) EmbedCMS(cms []byte) ([]byte, error) {
	if len(cms) > p.reserve {
		return nil, fmt.Errorf("%w: %d bytes into %d", ErrReserve, len(cms), p.reserve)
	}
	if err := p.checkCMS(cms); err != nil {
		return nil, err
	}
	tail := make([]byte, 0, p.Size()-p.baseSize)
	tail = append(tail, p.head...)
	tail = fmt.Appendf(tail, "<%X", cms)
	for range 2 * (p.reserve - len(cms)) {
		tail = append(tail, '0')
	}
	tail = append(tail, '>')
	return append(tail, p.foot...), nil
}

func (p *Prepared) checkCMS(cms []byte) error {
	s, err := cades.Parse(cms)
	if err != nil {
		return err
	}
	if !bytes.Equal(s.SignedAttributes, p.attributes) || s.Algorithm != p.algorithm {
		return fmt.Errorf("%w: CMS has other signed attributes", ErrChanged)
	}
	// The signature does not cover the certificates, so they are compared.
	for _, c := range p.chain {
		if !slices.ContainsFunc(s.Certificates, func(got []byte) bool { return bytes.Equal(got, c) }) {
			return fmt.Errorf("%w: CMS lacks a certificate", ErrChanged)
		}
	}
	if err := s.Conforms(cades.PAdES); err != nil {
		return err
	}
	return s.Verify(p.digest)
}

// Check reads the finished file once more, r with all its bytes, and makes sure that it is what was authorised: the
// digest over the byte range, the CMS in its place with the signed attributes of p, and the signature value.
// Errors: ErrChanged, those of cades, and errors of r.
func (p *Prepared) Check(ctx context.Context, r io.ReaderAt, size int64) error {
	if size != p.Size() {
		return fmt.Errorf("%w: %d bytes instead of %d", ErrChanged, size, p.Size())
	}
	br := p.byteRange()
	sum, err := digestRanges(ctx, r, p.algorithm.Hash(), br)
	if err != nil {
		return err
	}
	if !bytes.Equal(sum, p.digest) {
		return fmt.Errorf("%w: document digest", ErrChanged)
	}
	hole := make([]byte, 2+2*p.reserve)
	if _, err := r.ReadAt(hole, br[1]); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("reading the signature: %w", err)
	}
	cms, err := decodeContents(hole)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrChanged, err)
	}
	return p.checkCMS(cms)
}

// digestRanges hashes two ranges given as in /ByteRange.
func digestRanges(ctx context.Context, r io.ReaderAt, h crypto.Hash, br [4]int64) ([]byte, error) {
	w := h.New()
	for i := 0; i < len(br); i += 2 {
		if err := hashRange(ctx, w, r, br[i], br[i+1]); err != nil {
			return nil, err
		}
	}
	return w.Sum(nil), nil
}

// hashRange feeds n bytes from offset at on to w, in pieces, and stops when ctx ends.
func hashRange(ctx context.Context, w io.Writer, r io.ReaderAt, at, n int64) error {
	buf := make([]byte, min(n, 256<<10))
	for end := at + n; at < end; {
		if err := ctx.Err(); err != nil {
			return err
		}
		piece := buf[:min(int64(len(buf)), end-at)]
		got, err := r.ReadAt(piece, at)
		if got < len(piece) {
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("reading the document at byte %d: %w", at, err)
		}
		_, _ = w.Write(piece) // a hash never returns an error
		at += int64(got)
	}
	return nil
}

func hashOf(h crypto.Hash, data []byte) []byte {
	w := h.New()
	w.Write(data) // a hash never returns an error
	return w.Sum(nil)
}
