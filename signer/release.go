package signer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/augment"
	"github.com/ecsigner/ecsigner/sam"
	"github.com/ecsigner/ecsigner/signer/pades"
)

// recheck hashes the finished byte range of every signed PDF again and compares it with what was authorised.
func (s *Service) recheck(ctx context.Context, caller Caller, items []Item, results [][]byte) error {
	for i, it := range items {
		if it.Format != PAdESBB {
			continue
		}
		_, f, err := s.document(ctx, caller, it.Document)
		if err != nil {
			return fmt.Errorf("reading document %d again: %w", i, err)
		}
		var p pades.Prepared
		if err = p.UnmarshalBinary(it.Prepared); err == nil {
			whole := augment.Joined(f, f.Size(), bytes.NewReader(results[i]))
			err = p.Check(ctx, whole, f.Size()+int64(len(results[i])))
		}
		_ = f.Close()
		if err != nil {
			return fmt.Errorf("%w: document %d is not the authorised one: %w", ErrIntegrity, i, err)
		}
	}
	return nil
}

// receipt returns the receipt of the entry that recorded the signatures of an operation, and checks that it is about
// these signatures: the columns that hold them are under no seal.
func (s *Service) receipt(ctx context.Context, o Operation, items []Item) ([]byte, error) {
	text, err := s.Store.Receipt(ctx, o.LogIndex)
	if err != nil {
		return nil, fmt.Errorf("making the receipt: %w", err)
	}
	var e audit.Event
	r, err := audit.ParseReceipt(text)
	if err == nil {
		_, e, err = audit.Decode(r.Entry)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the receipt: %w", err)
	}
	signed, ok := e.(audit.SigningSigned)
	if !ok || signed.Operation != string(o.ID) || !slices.EqualFunc(signed.DTBSR, digests(items), bytes.Equal) ||
		!slices.EqualFunc(signed.Signatures, hashesOf(o.Signatures), bytes.Equal) || len(o.Results) != len(items) {
		return nil, s.integrity(ctx, "operation", string(o.ID), fmt.Errorf("%w: signatures differ from their entry in the operation log", sam.ErrSeal))
	}
	return text, nil
}

// hashesOf returns the SHA-256 of each signature, as the operation log holds it.
func hashesOf(signatures [][]byte) [][]byte {
	hashes := make([][]byte, len(signatures))
	for i, sig := range signatures {
		h := sha256.Sum256(sig)
		hashes[i] = h[:]
	}
	return hashes
}

// Complete acknowledges that the results were fetched: the documents are deleted, as soon as no level needs them that is
// still being worked on; signatures and tails stay.
func (s *Service) Complete(ctx context.Context, caller Caller, requestID string, id OperationID) (View, error) {
	v, err := s.Get(ctx, caller, id)
	if err != nil {
		return View{}, err
	}
	if v.State != StateSigned {
		return View{}, fmt.Errorf("%w: it is %s, not signed", ErrState, v.State)
	}
	for _, it := range v.Items {
		if it.Document == "" {
			continue
		}
		gone, err := s.dispose(ctx, it.Document)
		if err != nil {
			return View{}, fmt.Errorf("deleting the document: %w", err)
		}
		if gone {
			s.quota.gone(it.Document)
		}
		s.hashed.gone(it.Document)
	}
	_ = requestID // acknowledging twice has no second effect
	return v, nil
}

// dispose deletes a document, or leaves that to the work on a higher level which still needs it.
func (s *Service) dispose(ctx context.Context, document string) (gone bool, err error) {
	if s.Levels != nil {
		return s.Levels.Dispose(ctx, document)
	}
	return true, s.Spool.Remove(document)
}

// Cancel closes an operation that still waits for its code.
func (s *Service) Cancel(ctx context.Context, caller Caller, requestID string, id OperationID) (View, error) {
	print := fingerprint("cancel", string(id))
	_, err := s.Store.Update(ctx, func(tx Tx) error {
		o, err := own(tx, caller, id)
		if err != nil {
			return err
		}
		done, err := repeated(tx, caller, requestID, print)
		if err != nil || done != "" {
			return err
		}
		if o.State != StateRequested {
			return fmt.Errorf("%w: it is %s", ErrState, o.State)
		}
		if err := closeOperation(tx, o, audit.OutcomeCancelled); err != nil {
			return err
		}
		return tx.PutRequest(caller.Name, requestID, print, string(id))
	})
	if err != nil {
		return View{}, err
	}
	return s.Get(ctx, caller, id)
}

func closeOperation(tx Tx, o Operation, outcome string) error {
	o.State, o.Outcome = StateClosed, outcome
	tx.Append(audit.SigningClosed{Operation: string(o.ID), Outcome: outcome})
	return tx.PutOperation(o)
}

// Sweep closes what can no longer be signed: operations whose time is over, and activated ones whose activation ended
// without a signature. It never resumes. It returns how many it closed.
func (s *Service) Sweep(ctx context.Context) (int, error) {
	closed := 0
	now := s.Now()
	_, err := s.Store.Update(ctx, func(tx Tx) error {
		closed = 0
		open, err := tx.OpenOperations(now, 100)
		if err != nil {
			return err
		}
		for _, o := range open {
			outcome := audit.OutcomeExpired
			if o.State == StateSigning {
				if now.Before(o.Lease.Add(ActivationLife)) {
					continue
				}
				outcome = audit.OutcomeAbandoned
			}
			if err := closeOperation(tx, o, outcome); err != nil {
				return err
			}
			closed++
		}
		return nil
	})
	return closed, err
}

// Forget deletes documents that were spooled longer ago than the given age and returns how many.
func (s *Service) Forget(ctx context.Context, ids []string, age time.Duration) (int, error) {
	gone := 0
	for _, id := range ids {
		var d Document
		err := s.Store.View(ctx, func(tx Tx) (err error) {
			d, err = tx.Document(id)
			return err
		})
		if err != nil && !errors.Is(err, ErrNotFound) {
			return gone, err
		}
		if err == nil && s.Now().Sub(d.Created) < age {
			continue
		}
		if err := s.Spool.Remove(id); err != nil {
			return gone, err
		}
		gone++
	}
	return gone, nil
}
