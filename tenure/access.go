package tenure

import (
	"context"
	"fmt"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/ca"
	"github.com/ecsigner/ecsigner/call"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/custody"
	"github.com/ecsigner/ecsigner/otp"
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
	custody.Held
	certificate ca.Certificate // as the authority knows it: shown, never decided by
}

func (h held) view() CredentialView {
	v := CredentialView{
		ID: h.Row.ID, Version: h.Row.Version, Status: h.Binding.Status, Algorithm: h.Binding.Algorithm, SCAL: h.Binding.SCAL,
		Chain: h.Row.Chain, Serial: h.Row.Serial, NotBefore: h.Row.NotBefore, NotAfter: h.Row.NotAfter,
		MaskedPhone: custody.Mask(h.Row.Phone), Signatory: h.Binding.Signatory, Enrolment: h.Row.Enrolment,
	}
	if h.Binding.Status == credential.Revoked {
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
	h, err := s.room.Open(ctx, row)
	return held{h, certificate}, err
}

// shown reads the certificate of a row that is not checked yet: an absent one is found when it is.
func shown(tx Tx, row credential.Record) (ca.Certificate, error) {
	c, err := tx.Certificate(row.Serial)
	if custody.IsNotFound(err) {
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
		h, err := s.room.Open(ctx, row)
		if err != nil {
			return nil, err
		}
		views = append(views, held{h, certificates[i]}.view())
	}
	return views, nil
}

// Enrolled returns a credential to the portal that enrolled its person, with when it can be renewed. Foreign and unknown
// credentials are both ErrNotFound.
func (s *Service) Enrolled(ctx context.Context, portal string, id credential.ID) (CredentialView, error) {
	e, err := s.enrolled(ctx, call.Request{Caller: portal}, id)
	if err != nil {
		return CredentialView{}, err
	}
	v, err := s.Credential(ctx, id, "")
	if err != nil {
		return CredentialView{}, err
	}
	v.RenewFrom = s.Origins.RenewFrom(e.Held, e.origin, s.now())
	return v, nil
}

// GrantAccess lets a document system ask for signatures with a credential; each still needs the signatory's code.
// Granting twice changes nothing. ErrNotFound, ErrRevoked.
func (s *Service) GrantAccess(ctx context.Context, caller, requestID string, id credential.ID, client string) error {
	if !audit.ValidID(client) {
		return call.Wrong("client", fmt.Errorf("%w: give the name of the client's certificate", ErrField))
	}
	r, err := call.NewRequest(caller, requestID, "GrantAccess", string(id), client)
	if err != nil {
		return err
	}
	return call.Again(ctx, func() error {
		h, err := s.room.Credential(ctx, id)
		if err != nil {
			return err
		}
		now := s.now()
		return s.recorded(ctx, r, string(id), func(tx Tx) error {
			stored, err := tx.Credential(id)
			switch {
			case err != nil:
				return err
			case stored.Version != h.Row.Version:
				return ErrConflict
			case h.Binding.Status == credential.Revoked:
				return ErrRevoked
			}
			if _, err := tx.Grant(id, client); !custody.IsNotFound(err) {
				return err
			}
			tx.Append(audit.AccessGranted{Credential: string(id), Client: client, Caller: caller})
			return tx.PutGrant(credential.Grant{Credential: id, Client: client, CreatedAt: now})
		})
	})
}

// WithdrawAccess takes a grant back. An absent one is no error. ErrNotFound for the credential.
func (s *Service) WithdrawAccess(ctx context.Context, caller, requestID string, id credential.ID, client string) error {
	r, err := call.NewRequest(caller, requestID, "WithdrawAccess", string(id), client)
	if err != nil {
		return err
	}
	return s.once(ctx, r, string(id), func(tx Tx) error {
		if _, err := tx.Credential(id); err != nil {
			return err
		}
		if _, err := tx.Grant(id, client); custody.IsNotFound(err) {
			return nil
		} else if err != nil {
			return err
		}
		tx.Append(audit.AccessWithdrawn{Credential: string(id), Client: client, Caller: caller})
		return tx.DeleteGrant(id, client)
	})
}

// once runs f in one transaction with the request, unless the request was answered before.
func (s *Service) once(ctx context.Context, r call.Request, result string, f func(tx Tx) error) error {
	return call.Again(ctx, func() error { return s.recorded(ctx, r, result, f) })
}

// recorded is once for f that was decided on before: ErrConflict is for the caller to decide again.
func (s *Service) recorded(ctx context.Context, r call.Request, result string, f func(tx Tx) error) error {
	_, err := s.Store.Update(ctx, func(tx Tx) error {
		_, done, err := r.Answered(tx)
		if err != nil || done {
			return err
		}
		if err := f(tx); err != nil {
			return err
		}
		return r.Put(tx, result)
	})
	return err
}

// Unlock opens codes again after too many wrong ones, as an operator asks: of a credential or an enrolment, for one
// client, or the lock for all when client is empty. An enrolment whose codes are all sent can be sent codes again.
// ErrNotFound.
func (s *Service) Unlock(ctx context.Context, caller, requestID, account, client string) error {
	known, err := s.unlock(ctx, caller, requestID, credential.ID(account), client)
	if !known {
		return s.Origins.Unlock(ctx, caller, requestID, account, client)
	}
	return err
}

// unlock is Unlock for a credential; known is false where there is none, and then nothing happened.
func (s *Service) unlock(ctx context.Context, caller, requestID string, id credential.ID, client string) (known bool, err error) {
	r, err := call.NewRequest(caller, requestID, "Unlock", string(id), client)
	if err != nil {
		return true, err
	}
	scope := otp.ScopeAccount
	if client != "" {
		scope = otp.ScopeCaller
	}
	now := s.now()
	known = true
	var lock *otp.Change
	err = s.once(ctx, r, string(id), func(tx Tx) error {
		known = true
		if _, err := tx.Credential(id); err != nil {
			known = !custody.IsNotFound(err)
			return err
		}
		if err := reopenRevocation(tx, id, now); err != nil {
			return err
		}
		if lock, err = s.Memory.Unlock(tx, string(id), client); err != nil {
			return err
		}
		tx.Append(audit.CodeUnlocked{Credential: string(id), Caller: client, Scope: scope})
		return nil
	})
	if err == nil {
		s.Memory.NoteLocks(lock, now)
	}
	return known, err
}
