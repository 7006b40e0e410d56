package custody

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/call"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/sam"
)

// Held is a credential whose binding was opened.
type Held struct {
	Row     credential.Record
	Binding credential.Binding
}

// Credential reads a credential and opens it. call.ErrNotFound, ErrIntegrity.
func (c *Custody) Credential(ctx context.Context, id credential.ID) (Held, error) {
	var row credential.Record
	err := c.View(ctx, func(tx Tx) (err error) {
		row, err = tx.Credential(id)
		return err
	})
	if err != nil {
		return Held{}, err
	}
	return c.Open(ctx, row)
}

// Open checks the seal of a credential and that its columns are the bound ones. ErrIntegrity.
func (c *Custody) Open(ctx context.Context, row credential.Record) (Held, error) {
	b, err := c.Trust.OpenBinding(ctx, row.Sealed)
	if errors.Is(err, sam.ErrStale) {
		newer, failed := c.newest(ctx, row.ID)
		switch {
		case failed != nil:
			return Held{}, failed // it will be judged when it can be read
		case newer.Version > row.Version:
			return c.Open(ctx, newer)
		}
	}
	if err != nil {
		return Held{}, c.Integrity(ctx, "binding", string(row.ID), err)
	}
	fits := b.ID == row.ID && b.Version == row.Version && len(row.Chain) > 0 &&
		hmac.Equal(digest(row.Chain[0]), b.Certificate) && c.keyFits(row, b) &&
		hmac.Equal(sam.PhoneCommitment(row.PhoneSalt, row.Phone), b.Phone)
	if fits {
		leaf, err := x509.ParseCertificate(row.Chain[0])
		fits = err == nil && hex.EncodeToString(leaf.SerialNumber.Bytes()) == row.Serial &&
			leaf.NotBefore.Equal(row.NotBefore) && leaf.NotAfter.Equal(row.NotAfter)
	}
	if !fits {
		err := fmt.Errorf("%w: credential differs from its binding", sam.ErrSeal)
		return Held{}, c.Integrity(ctx, "binding", string(row.ID), err)
	}
	return Held{Row: row, Binding: b}, nil
}

// newest reads a credential once more: a binding that is older than what is known was not put back, but read just before
// it was replaced, when a newer one is stored.
func (c *Custody) newest(ctx context.Context, id credential.ID) (stored credential.Record, err error) {
	err = c.View(ctx, func(tx Tx) (err error) {
		stored, err = tx.Credential(id)
		return err
	})
	return stored, err
}

// keyFits holds the wrapped key in a row against the binding. A revoked credential has none, but for one that was revoked
// by a version that did not destroy keys; a key that was destroyed does not come back.
func (c *Custody) keyFits(row credential.Record, b credential.Binding) bool {
	if b.Status == credential.Revoked && len(row.WrappedKey) == 0 {
		return true
	}
	return hmac.Equal(digest(row.WrappedKey), b.WrappedKey) && !c.Trust.Buried(b.WrappedKey)
}

// Unchanged fails with call.ErrConflict when the stored credential is no longer the one that was opened.
func (h Held) Unchanged(tx Tx) error {
	stored, err := tx.Credential(h.Row.ID)
	if err != nil {
		return err
	}
	if stored.Version != h.Row.Version || !bytes.Equal(stored.Sealed.Seal, h.Row.Sealed.Seal) {
		return call.ErrConflict
	}
	return nil
}

// BindingChanged tells in the log that a credential is bound as r says.
func BindingChanged(r credential.Record, status credential.Status) audit.Event {
	return audit.BindingChanged{
		Credential: string(r.ID), Version: r.Version, Status: string(status), Binding: digest(r.Sealed.Record),
	}
}

func digest(b []byte) []byte {
	h := sha256.Sum256(b)
	return h[:]
}
