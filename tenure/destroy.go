package tenure

import (
	"context"
	"errors"
	"fmt"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/custody"
)

// A signatory's key exists as one blob in one row, wrapped, and for the time of a signature in the device. Revocation
// takes the blob out of the row (ETSI TS 119 431-1 DEL-6.3.2-01), the store clears its journal of it, and the trust core
// remembers the blob's digest, so that one put back from an old backup signs nothing (DEL-6.3.2-04).

// destroyed tells in the log that the key of a credential is gone.
func destroyed(h custody.Held, by string) audit.Event {
	return audit.KeyDestroyed{Credential: string(h.Row.ID), SPKI: h.Binding.SPKI, Wrapped: h.Binding.WrappedKey, Caller: by}
}

// DestroyRevoked destroys the keys of credentials that are revoked and still have one, as earlier versions left them. It
// is called at start and returns how many it destroyed. Errors of single credentials are joined.
func (s *Service) DestroyRevoked(ctx context.Context) (int, error) {
	count := 0
	var failed error
	for after := credential.ID(""); ; {
		var rows []credential.Record
		err := s.Store.View(ctx, func(tx Tx) (err error) {
			rows, err = tx.RevokedWithKey(after, maxPage)
			return err
		})
		if err != nil || len(rows) == 0 {
			return count, errors.Join(failed, err)
		}
		for _, row := range rows {
			after = row.ID
			if err := s.destroyRevoked(ctx, row); err != nil {
				failed = errors.Join(failed, fmt.Errorf("key of %s: %w", row.ID, err))
				continue
			}
			count++
		}
	}
}

// destroyRevoked takes the key out of a revoked credential. The binding keeps status and digest and gets a new version,
// so that the row with the key is stale from now on.
func (s *Service) destroyRevoked(ctx context.Context, row credential.Record) error {
	h, err := s.room.Open(ctx, row)
	if err != nil {
		return err
	}
	if h.Binding.Status != credential.Revoked {
		return fmt.Errorf("%w: the certificate is revoked, the credential is %s", ErrConflict, h.Binding.Status)
	}
	b := h.Binding
	b.Version++
	row.Version, row.WrappedKey = b.Version, nil
	if row.Sealed, err = s.Trust.SealBinding(ctx, b); err != nil {
		return err
	}
	_, err = s.Store.Update(ctx, func(tx Tx) error {
		if err := h.Unchanged(tx); err != nil {
			return err
		}
		tx.Append(custody.BindingChanged(row, b.Status))
		tx.Append(destroyed(h, ""))
		return tx.PutCredential(row)
	})
	if err != nil {
		return err
	}
	s.Trust.Raise(row.ID, b.Version)
	s.Trust.Bury(b.WrappedKey)
	return nil
}
