package signer

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ecsigner/ecsigner/augment"
	"github.com/ecsigner/ecsigner/sam"
	"github.com/ecsigner/ecsigner/signer/appearance"
	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/pades"
	"github.com/ecsigner/ecsigner/signer/pades/sigfield"
)

// ErrSpace: the client left less space for the CMS than it may need; the SpaceError around it says how much.
var ErrSpace = errors.New("signer: too little space for the signature")

// SpaceError says how many bytes a CMS may take.
type SpaceError struct {
	Field  string
	Needed int
}

func (e *SpaceError) Error() string {
	return fmt.Sprintf("%v: %s: up to %d bytes", ErrSpace, e.Field, e.Needed)
}

// Unwrap returns ErrSpace.
func (e *SpaceError) Unwrap() error { return ErrSpace }

// FieldName returns the field's path.
func (e *SpaceError) FieldName() string { return e.Field }

// Options is what a signature says beside its content. All are optional.
type Options struct {
	Reason    string // PAdES; not beside a commitment type
	Location  string // PAdES
	Contact   string // PAdES
	FieldName string // PAdES: an empty field that there is, or a new one
	Certify   sigfield.Certification
	Visible   *appearance.Appearance // PAdES; nil: invisible
	Typeface  string                 // of Config.Typefaces, for Visible; empty: its default
	Commit    asn1.ObjectIdentifier  // commitment type, such as cades.ProofOfApproval
	Roles     []string               // that the signatory claims
	Policy    *cades.Policy
	MIMEType  string // CAdES: of the content
}

// more is what the fingerprint of a request says of an item beyond its source and format; empty: nothing.
func (r ItemRequest) more() string {
	o := r.Options
	if r.Level <= cades.LevelBB && r.Room == 0 && !o.pdf() && o.MIMEType == "" && o.Commit == nil && o.Roles == nil && o.Policy == nil {
		return ""
	}
	b, err := json.Marshal(o)
	if err != nil { // strings, numbers and bytes
		return err.Error()
	}
	return string(b)
}

// pdf tells that something is asked for that only a PDF has.
func (o Options) pdf() bool {
	return o.Reason+o.Location+o.Contact+o.FieldName != "" || o.Certify != sigfield.Approval || o.Visible != nil
}

// validate checks what needs no record and no document. path stands before the names of fields.
func (r ItemRequest) validate(path string) error {
	wrong := func(field, text string) error { return &FieldError{path + field, text, ErrInput} }
	hashed := len(r.Hash) > 0 && r.Document == "" // its length is a matter of the algorithm
	uploaded := r.Document != "" && r.Hash == nil
	switch r.Format {
	case PAdESBB, CAdESAttached:
		if !uploaded {
			return wrong("document", "this format needs an uploaded document")
		}
	case CAdESBB:
		if !uploaded && !hashed {
			return wrong("hash", "need an uploaded document or a hash of one")
		}
	case PAdESHash, Raw:
		if !hashed {
			return wrong("hash", "need the hash of a document")
		}
	default:
		return wrong("format", "use pades-b-b, pades-hash, cades-b-b, cades-attached or raw")
	}
	o := r.Options
	switch {
	case r.Level > cades.LevelBLTA || r.Format == Raw && r.Level > cades.LevelBB:
		return wrong("level", "this format has no such level")
	case r.Room < 0 || r.Room > maxRoom || r.Format != PAdESHash && r.Room != 0:
		return wrong("reserved_cms_bytes", fmt.Sprintf("at most %d, and only for a PDF that stays with you", maxRoom))
	case r.Format != PAdESBB && o.pdf():
		return wrong("options", "reason, location, contact, field, certification and appearance stand in a PDF that is uploaded")
	case r.Format != CAdESBB && r.Format != CAdESAttached && o.MIMEType != "":
		return wrong("options.mime_type", "only CAdES says it")
	case r.Format == Raw && (o.Commit != nil || o.Roles != nil || o.Policy != nil):
		return wrong("options", "a raw signature says nothing beside its hash")
	case o.Reason != "" && o.Commit != nil:
		return wrong("options.reason", "a PDF has a reason or a commitment type, not both (EN 319 142-1 clause 6.3)")
	}
	return nil
}

// prepare builds the DTBS/R of every item.
func (s *Service) prepare(ctx context.Context, caller Caller, u usable, algorithm cades.Algorithm, requests []ItemRequest) ([]Item, error) {
	reserve, err := s.reserve(ctx, requests)
	if err != nil {
		return nil, err
	}
	items := make([]Item, len(requests))
	for i, r := range requests {
		it := Item{Format: r.Format, Document: r.Document, Digest: r.Hash, Level: r.Level}
		space := reserve
		if r.Level < cades.LevelBT {
			space = 0
		}
		switch r.Format {
		case PAdESBB:
			err = s.preparePDF(ctx, caller, u, algorithm, space, r.Options, &it)
		case PAdESHash, CAdESBB, CAdESAttached:
			err = s.prepareCMS(ctx, caller, u, algorithm, space, r, &it)
		case Raw:
			it.DTBSR = r.Hash
		}
		if err != nil {
			return nil, inItem(i, err)
		}
		items[i] = it
	}
	return items, nil
}

// inItem says in which item of a request an error lies, and in which part of it.
func inItem(i int, err error) error {
	path := fmt.Sprintf("items[%d].", i)
	var space *SpaceError
	if errors.As(err, &space) {
		space.Field = path + space.Field
		return space
	}
	for _, target := range []error{
		pades.ErrOptions, sigfield.ErrField, sigfield.ErrFieldExists, sigfield.ErrSeedValue, sigfield.ErrNotFirst, cades.ErrInput, appearance.ErrOptions,
		appearance.ErrPlace, appearance.ErrTooSmall, appearance.ErrText, appearance.ErrFont, appearance.ErrPicture, appearance.ErrAnnotations,
	} {
		if errors.Is(err, target) { // their texts are written for callers
			return &FieldError{path + "options", err.Error(), ErrInput}
		}
	}
	return &FieldError{path + "document", err.Error(), err}
}

// reserve returns how many bytes are kept for a time-stamp, and refuses levels that are not offered. It may wait a moment for
// an authority of which nothing is known; one that does not answer holds up nobody.
func (s *Service) reserve(ctx context.Context, requests []ItemRequest) (int, error) {
	needed := false
	for i, r := range requests {
		if r.Level <= cades.LevelBB {
			continue
		}
		err := augment.ErrNotOffered
		if s.Levels != nil {
			err = s.Levels.Offers(r.Format.kind(), r.Level)
		}
		if err != nil {
			return 0, &FieldError{fmt.Sprintf("items[%d].level", i), err.Error(), err}
		}
		needed = needed || r.Format == PAdESBB || r.Format == PAdESHash
	}
	if !needed {
		return 0, nil
	}
	return s.Levels.Reserve(ctx), nil
}

func (s *Service) preparePDF(ctx context.Context, caller Caller, u usable, algorithm cades.Algorithm, space int, o Options, it *Item) error {
	d, f, err := s.document(ctx, caller, it.Document)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	visible, err := s.visible(o)
	if err != nil {
		return err
	}
	wanted := pades.Options{
		SigningTime: s.Now(), Name: u.leaf.Subject.CommonName, Chain: u.record.Chain, Algorithm: algorithm, Reserve: space,
		Reason: o.Reason, Location: o.Location, Contact: o.Contact, FieldName: o.FieldName, Certification: o.Certify,
		CommitmentType: o.Commit, ClaimedRoles: o.Roles, Policy: o.Policy, Appearance: visible,
	}
	if algorithm.Hash() == crypto.SHA256 {
		wanted.Hashed = s.hashed.of(d.ID)
	} else {
		wanted.Beside = sha256.New()
	}
	p, err := pades.Prepare(ctx, f, f.Size(), wanted)
	if err != nil {
		return err
	}
	// What the phone shows is the SHA-256 of the very bytes that are signed; the row beside them is under no seal.
	it.Digest, it.DTBSR = p.OriginalDigest(), p.DTBSR()
	if wanted.Beside != nil {
		it.Digest = wanted.Beside.Sum(nil)
	}
	if err := s.genuine(ctx, d, it.Digest); err != nil {
		return err
	}
	it.Prepared, err = p.MarshalBinary()
	return err
}

// visible is the appearance with its fonts, which the caller only names.
func (s *Service) visible(o Options) (*appearance.Appearance, error) {
	if o.Visible == nil || o.Typeface == "" {
		return o.Visible, nil
	}
	face, ok := s.Typefaces[o.Typeface]
	if !ok {
		return nil, fmt.Errorf("%w: typeface %q is unknown; there are %q", appearance.ErrOptions, o.Typeface, slices.Sorted(maps.Keys(s.Typefaces)))
	}
	a := *o.Visible
	a.Font, a.BoldFont = face.Regular, face.Bold
	return &a, nil
}

// prepareCMS makes the signed attributes over the digest of an uploaded document, over a given one, or over that of the byte
// range of a PDF which the engine never sees.
func (s *Service) prepareCMS(ctx context.Context, caller Caller, u usable, algorithm cades.Algorithm, space int, r ItemRequest, it *Item) error {
	content := it.Digest
	var err error
	if r.Document != "" {
		if content, err = s.digest(ctx, caller, algorithm.Hash(), it); err != nil {
			return err
		}
	}
	profile, a := cades.CAdES, cades.Attributes{
		Algorithm: algorithm, Certificate: u.record.Chain[0], Parsed: u.chain, ContentDigest: content, SigningTime: s.Now(),
		MIMEType: r.Options.MIMEType, CommitmentType: r.Options.Commit, ClaimedRoles: r.Options.Roles, Policy: r.Options.Policy,
	}
	if r.Format == PAdESHash {
		profile, a.SigningTime = cades.PAdES, time.Time{}
	}
	if it.Prepared, err = cades.SignedAttributes(profile, a); err != nil {
		return err
	}
	h := algorithm.Hash().New()
	h.Write(it.Prepared) // a hash never returns an error
	it.DTBSR = h.Sum(nil)
	if r.Format != PAdESHash {
		return nil
	}
	n, err := cades.MaxSize(cades.Parts{SignedAttributes: it.Prepared, Algorithm: algorithm, Chain: u.record.Chain, Parsed: u.chain})
	if err != nil {
		return err
	}
	it.Room = n + space
	if r.Room > 0 && r.Room < it.Room {
		return &SpaceError{Field: "reserved_cms_bytes", Needed: it.Room}
	}
	it.Room = max(it.Room, r.Room)
	return nil
}

// digest hashes an uploaded document, holds the SHA-256 against its record, and returns the digest by another hash of the
// same bytes. They are read once: nobody can exchange them in between.
func (s *Service) digest(ctx context.Context, caller Caller, by crypto.Hash, it *Item) ([]byte, error) {
	d, f, err := s.document(ctx, caller, it.Document)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	hashes := []crypto.Hash{crypto.SHA256}
	if by != crypto.SHA256 {
		hashes = append(hashes, by)
	}
	sums, err := augment.Digests(ctx, f, f.Size(), hashes...)
	if err != nil {
		return nil, err
	}
	it.Digest = sums[0]
	return sums[len(sums)-1], s.genuine(ctx, d, it.Digest)
}

// genuine holds the SHA-256 of the bytes that are signed against that of the bytes that arrived.
func (s *Service) genuine(ctx context.Context, d Document, sum []byte) error {
	if bytes.Equal(sum, d.SHA256) {
		return nil
	}
	return s.integrity(ctx, "document", d.ID, fmt.Errorf("%w: the document is not the one whose digest is stored", sam.ErrSeal))
}
