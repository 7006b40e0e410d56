package signer

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"

	"github.com/ecsigner/ecsigner/augment"
	"github.com/ecsigner/ecsigner/call"
	"github.com/ecsigner/ecsigner/sam"
	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/pades"
)

// Artifact is a finished result to read from any offset.
type Artifact = augment.File

// Artifact opens one result of a signed operation: the whole signed document (full), or only what the signature added: the
// bytes to append to the PDF, the CMS without its content, or the raw signature. Level 0 is the highest that is ready. One
// that is not is an augment.PendingError; one that nobody asked for, augment.ErrNotAsked.
func (s *Service) Artifact(ctx context.Context, caller Caller, id OperationID, item int, full bool, level cades.Level) (Artifact, error) {
	v, err := s.Get(ctx, caller, id)
	if err != nil {
		return Artifact{}, err
	}
	if v.State != StateSigned {
		return Artifact{}, fmt.Errorf("%w: it is %s, not signed", ErrState, v.State)
	}
	if item < 0 || item >= len(v.Items) {
		return Artifact{}, &FieldError{"item", fmt.Sprintf("the operation has items 0 to %d", len(v.Items)-1), ErrInput}
	}
	it := v.Items[item]
	if level, err = s.choose(it, level); err != nil {
		return Artifact{}, err
	}
	data := it.Result
	if level > cades.LevelBB {
		stored, err := s.Levels.Stored(ctx, string(id), item, level)
		if errors.Is(err, augment.ErrIntegrity) {
			err = s.integrity(ctx, "artefact", string(id), fmt.Errorf("%w: %w", sam.ErrSeal, err))
		}
		if err != nil {
			return Artifact{}, err
		}
		data = stored.Data
	}
	tail := Artifact{
		ReaderAt: bytes.NewReader(data), Size: int64(len(data)), Close: func() error { return nil }, Level: level,
		Name: fmt.Sprintf("signature-%d", item), MediaType: "application/octet-stream",
	}
	if it.Format.cms() {
		tail.Name, tail.MediaType = tail.Name+".p7s", cades.DetachedType
	}
	if !full || it.Format != PAdESBB && it.Format != CAdESAttached {
		return tail, nil
	}
	return s.whole(ctx, caller, it, tail, data)
}

// choose returns the level that is meant, if it is ready.
func (s *Service) choose(it ItemView, level cades.Level) (cades.Level, error) {
	if level == cades.LevelBB {
		return level, nil
	}
	highest := cades.LevelBB
	for _, p := range it.Levels {
		if p.Ready {
			highest = p.Level
		}
		if p.Level == level && !p.Ready {
			return 0, augment.Unready(p, s.Now())
		}
	}
	switch {
	case level == 0:
		return highest, nil
	case level > it.Level:
		return 0, &FieldError{"level", fmt.Sprintf("the item was to come to %v", it.Level), augment.ErrNotAsked}
	}
	return level, nil
}

// whole joins a result and the document that it belongs to.
func (s *Service) whole(ctx context.Context, caller Caller, it ItemView, tail Artifact, data []byte) (Artifact, error) {
	d, f, err := s.document(ctx, caller, it.Document)
	if err != nil {
		return Artifact{}, err
	}
	out := Artifact{Level: tail.Level, Close: f.Close, Name: d.Name, MediaType: "application/pdf"}
	if it.Format == PAdESBB {
		out.ReaderAt, out.Size = augment.Joined(f, f.Size(), tail.ReaderAt), f.Size()+tail.Size
		return out, nil
	}
	head, behind, err := cades.Attach(data, f.Size())
	if err != nil {
		return Artifact{}, errors.Join(err, f.Close())
	}
	front := int64(len(head)) + f.Size()
	out.ReaderAt = augment.Joined(augment.Joined(bytes.NewReader(head), int64(len(head)), f), front, bytes.NewReader(behind))
	out.Size, out.Name, out.MediaType = front+int64(len(behind)), cades.FileName(d.Name, true), cades.AttachedType
	return out, nil
}

// Signature returns what raising an item of a signed operation begins with; it implements augment.Source.
func (s *Service) Signature(ctx context.Context, operation string, item int) (augment.Signature, error) {
	var o Operation
	err := s.Store.View(ctx, func(tx Tx) (err error) {
		o, err = tx.Operation(OperationID(operation))
		return err
	})
	if err != nil {
		return augment.Signature{}, err
	}
	v, err := s.view(ctx, o)
	if err != nil {
		return augment.Signature{}, err
	}
	items, err := UnmarshalItems(o.Items)
	if err != nil || v.State != StateSigned || item >= len(items) {
		return augment.Signature{}, fmt.Errorf("%w: no signed item %d of %s", ErrState, item, operation)
	}
	it := items[item]
	sig := augment.Signature{Result: v.Items[item].Result, Room: it.Room}
	switch it.Format {
	case CAdESBB, CAdESAttached:
		signed, err := cades.Parse(sig.Result)
		if err != nil {
			return augment.Signature{}, err
		}
		sum, err := contentDigest(it, signed.Algorithm.Hash())
		if err != nil {
			return augment.Signature{}, err
		}
		sig.Hash, sig.Content = signed.Algorithm.Hash(), augment.Digest(signed.Algorithm.Hash(), sum)
	case PAdESBB:
		sig.Prepared = new(pades.Prepared)
		if err := sig.Prepared.UnmarshalBinary(it.Prepared); err != nil {
			return augment.Signature{}, err
		}
		f, _, err := s.Document(ctx, o.Caller, it.Document)
		if err != nil {
			return augment.Signature{}, err
		}
		sig.Base, sig.Size, sig.Close = f, f.Size(), f.Close
	}
	return sig, nil
}

// contentDigest is the digest of what an item of CAdES signs, by the hash of its algorithm. Of an uploaded document the item
// holds the SHA-256; any other digest stands in the signed attributes, where it was put when both were made of the same bytes.
func contentDigest(it Item, h crypto.Hash) ([]byte, error) {
	if it.Document == "" || h == crypto.SHA256 {
		return it.Digest, nil
	}
	signed, err := cades.ParseSigned(it.Prepared)
	if err != nil {
		return nil, fmt.Errorf("%w: signed attributes: %w", ErrItems, err)
	}
	return signed.MessageDigest, nil
}

// Document opens an uploaded document of a caller; it implements augment.Source.
func (s *Service) Document(ctx context.Context, caller, id string) (SpoolReader, []byte, error) {
	d, f, err := s.document(ctx, Caller{Name: caller}, id)
	switch {
	case errors.Is(err, ErrGone):
		err = fmt.Errorf("%w: %w", augment.ErrGone, err)
	case errors.Is(err, ErrNotFound):
		err = fmt.Errorf("%w: %w", call.ErrNotFound, err)
	}
	return f, d.SHA256, err
}
