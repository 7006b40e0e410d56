package enrol

import (
	"context"
	"crypto/hmac"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/ca"
	"github.com/ecsigner/ecsigner/call"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/otp"
	"github.com/ecsigner/ecsigner/sam"
)

// CredentialView is a credential as staff and the document systems that were granted it see it.
type CredentialView struct {
	ID          credential.ID
	Version     uint64
	Status      credential.Status
	Algorithm   credential.Algorithm
	SCAL        uint8
	Chain       [][]byte // DER, the signatory's certificate first, the root last
	Serial      string   // lower-case hex
	NotBefore   time.Time
	NotAfter    time.Time
	MaskedPhone string
	Signatory   string // pseudonym
	Enrolment   string
	RevokedAt   time.Time // zero unless it is revoked
	Reason      string    // of the revocation, by its name in RFC 5280
	RenewFrom   time.Time // from when it can be renewed, zero where it cannot; only Enrolled tells
}

// held is a credential whose binding was opened.
type held struct {
	row         credential.Record
	binding     credential.Binding
	certificate ca.Certificate // as the authority knows it: shown, never decided by
}

// openCredential checks the seal of a credential and that its columns are the bound ones.
func (s *Service) openCredential(ctx context.Context, row credential.Record) (held, error) {
	b, err := s.Trust.OpenBinding(ctx, row.Sealed)
	if errors.Is(err, sam.ErrStale) {
		newer, failed := s.newest(ctx, row.ID)
		switch {
		case failed != nil:
			return held{}, failed // it will be judged when it can be read
		case newer.Version > row.Version:
			return s.openCredential(ctx, newer)
		}
	}
	if err != nil {
		return held{}, s.integrity(ctx, "binding", string(row.ID), err)
	}
	fits := b.ID == row.ID && b.Version == row.Version && len(row.Chain) > 0 &&
		hmac.Equal(digest(row.Chain[0]), b.Certificate) && s.keyFits(row, b) &&
		hmac.Equal(sam.PhoneCommitment(row.PhoneSalt, row.Phone), b.Phone)
	if fits {
		leaf, err := x509.ParseCertificate(row.Chain[0])
		fits = err == nil && hex.EncodeToString(leaf.SerialNumber.Bytes()) == row.Serial &&
			leaf.NotBefore.Equal(row.NotBefore) && leaf.NotAfter.Equal(row.NotAfter)
	}
	if !fits {
		err := fmt.Errorf("%w: credential differs from its binding", sam.ErrSeal)
		return held{}, s.integrity(ctx, "binding", string(row.ID), err)
	}
	return held{row: row, binding: b}, nil
}

// newest reads a credential once more: a binding that is older than what is known was not put back, but read just before
// it was replaced, when a newer one is stored.
func (s *Service) newest(ctx context.Context, id credential.ID) (stored credential.Record, err error) {
	err = s.Store.View(ctx, func(tx Tx) (err error) {
		stored, err = tx.Credential(id)
		return err
	})
	return stored, err
}

func (h held) view() CredentialView {
	v := CredentialView{
		ID: h.row.ID, Version: h.row.Version, Status: h.binding.Status, Algorithm: h.binding.Algorithm, SCAL: h.binding.SCAL,
		Chain: h.row.Chain, Serial: h.row.Serial, NotBefore: h.row.NotBefore, NotAfter: h.row.NotAfter,
		MaskedPhone: mask(h.row.Phone), Signatory: h.binding.Signatory, Enrolment: h.row.Enrolment,
	}
	if h.binding.Status == credential.Revoked {
		v.RevokedAt, v.Reason = h.certificate.RevokedAt, reasonName(h.certificate.Reason)
	}
	return v
}

// held reads a credential; to a client without a grant it does not exist. An empty client is not limited.
func (s *Service) held(ctx context.Context, id credential.ID, client string) (held, error) {
	var row credential.Record
	var certificate ca.Certificate
	err := s.Store.View(ctx, func(tx Tx) (err error) {
		if client != "" {
			if _, err = tx.Grant(id, client); err != nil {
				return err
			}
		}
		if row, err = tx.Credential(id); err != nil {
			return err
		}
		certificate, err = shown(tx, row)
		return err
	})
	if err != nil {
		return held{}, err
	}
	h, err := s.openCredential(ctx, row)
	h.certificate = certificate
	return h, err
}

// shown reads the certificate of a row that is not checked yet: an absent one is found when it is.
func shown(tx Tx, row credential.Record) (ca.Certificate, error) {
	c, err := tx.Certificate(row.Serial)
	if isNotFound(err) {
		return ca.Certificate{}, nil
	}
	return c, err
}

// Credential returns a credential, for a client only one that it was granted, for an empty client any. ErrNotFound.
func (s *Service) Credential(ctx context.Context, id credential.ID, client string) (CredentialView, error) {
	h, err := s.held(ctx, id, client)
	if err != nil {
		return CredentialView{}, err
	}
	return h.view(), nil
}

// Credentials returns those with id > after that client was granted, all for an empty client, in order of their ids,
// at most limit (200 when limit is 0 or larger).
func (s *Service) Credentials(ctx context.Context, client string, after credential.ID, limit int) ([]CredentialView, error) {
	var rows []credential.Record
	var certificates []ca.Certificate
	err := s.Store.View(ctx, func(tx Tx) (err error) {
		if rows, err = tx.CredentialsOf(client, after, page(limit)); err != nil {
			return err
		}
		certificates = make([]ca.Certificate, len(rows))
		for i, row := range rows {
			if certificates[i], err = shown(tx, row); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	views := make([]CredentialView, 0, len(rows))
	for i, row := range rows {
		h, err := s.openCredential(ctx, row)
		if err != nil {
			return nil, err
		}
		h.certificate = certificates[i]
		views = append(views, h.view())
	}
	return views, nil
}

// GrantAccess lets a document system ask for signatures with a credential; each still needs the signatory's code.
// Granting twice changes nothing. ErrNotFound, ErrRevoked.
func (s *Service) GrantAccess(ctx context.Context, caller, requestID string, id credential.ID, client string) error {
	if !audit.ValidID(client) {
		return call.Wrong("client", fmt.Errorf("%w: give the name of the client's certificate", ErrField))
	}
	r, err := newRequest(caller, requestID, "GrantAccess", string(id), client)
	if err != nil {
		return err
	}
	return again(ctx, func() error {
		h, err := s.held(ctx, id, "")
		if err != nil {
			return err
		}
		now := s.now()
		return s.recorded(ctx, r, string(id), func(tx Tx) error {
			stored, err := tx.Credential(id)
			switch {
			case err != nil:
				return err
			case stored.Version != h.row.Version:
				return ErrConflict
			case h.binding.Status == credential.Revoked:
				return ErrRevoked
			}
			if _, err := tx.Grant(id, client); !isNotFound(err) {
				return err
			}
			tx.Append(audit.AccessGranted{Credential: string(id), Client: client, Caller: caller})
			return tx.PutGrant(credential.Grant{Credential: id, Client: client, CreatedAt: now})
		})
	})
}

// WithdrawAccess takes a grant back. An absent one is no error. ErrNotFound for the credential.
func (s *Service) WithdrawAccess(ctx context.Context, caller, requestID string, id credential.ID, client string) error {
	r, err := newRequest(caller, requestID, "WithdrawAccess", string(id), client)
	if err != nil {
		return err
	}
	return s.once(ctx, r, string(id), func(tx Tx) error {
		if _, err := tx.Credential(id); err != nil {
			return err
		}
		if _, err := tx.Grant(id, client); isNotFound(err) {
			return nil
		} else if err != nil {
			return err
		}
		tx.Append(audit.AccessWithdrawn{Credential: string(id), Client: client, Caller: caller})
		return tx.DeleteGrant(id, client)
	})
}

// once runs f in one transaction with the request, unless the request was answered before.
func (s *Service) once(ctx context.Context, r request, result string, f func(tx Tx) error) error {
	return again(ctx, func() error { return s.recorded(ctx, r, result, f) })
}

// recorded is once for f that was decided on before: ErrConflict is for the caller to decide again.
func (s *Service) recorded(ctx context.Context, r request, result string, f func(tx Tx) error) error {
	_, err := s.Store.Update(ctx, func(tx Tx) error {
		_, done, err := r.answered(tx)
		if err != nil || done {
			return err
		}
		if err := f(tx); err != nil {
			return err
		}
		return r.put(tx, result)
	})
	return err
}

// Unlock opens codes again after too many wrong ones, as an operator asks: of a credential or an enrolment, for one
// client, or the lock for all when client is empty. An enrolment whose codes are all sent can be sent codes again.
// ErrNotFound.
func (s *Service) Unlock(ctx context.Context, caller, requestID, account, client string) error {
	r, err := newRequest(caller, requestID, "Unlock", account, client)
	if err != nil {
		return err
	}
	scope := otp.ScopeAccount
	if client != "" {
		scope = otp.ScopeCaller
	}
	now := s.now()
	var lock *otp.Change
	err = s.once(ctx, r, account, func(tx Tx) error {
		if _, err := tx.Credential(credential.ID(account)); isNotFound(err) {
			if err := reopen(tx, account, now); err != nil {
				return err
			}
		} else if err != nil {
			return err
		} else if err := reopenRevocation(tx, credential.ID(account), now); err != nil {
			return err
		}
		if lock, err = s.Memory.Unlock(tx, account, client); err != nil {
			return err
		}
		tx.Append(audit.CodeUnlocked{Credential: account, Caller: client, Scope: scope})
		return nil
	})
	if err == nil {
		s.Memory.NoteLocks(lock, now)
	}
	return err
}

// reopen forgets the current code of an enrolment, so that the next one counts as the first.
func reopen(tx Tx, id string, now time.Time) error {
	row, err := tx.Enrolment(id)
	if err != nil || row.Challenge == "" {
		return err
	}
	if err := void(tx, row.Challenge, now); err != nil {
		return err
	}
	row.Challenge = ""
	return tx.TouchEnrolment(row)
}

// isNotFound knows the sentinels of all packages whose records a Tx holds.
func isNotFound(err error) bool {
	return errors.Is(err, ErrNotFound) || errors.Is(err, otp.ErrNotFound) || errors.Is(err, ca.ErrNotFound)
}
