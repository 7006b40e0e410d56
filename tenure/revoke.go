package tenure

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/ca"
	"github.com/ecsigner/ecsigner/call"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/custody"
	"github.com/ecsigner/ecsigner/otp"
	"github.com/ecsigner/ecsigner/otp/sms"
)

// Reasons to revoke, by their names in RFC 5280 section 5.3.1.
const (
	ReasonUnspecified          = "unspecified"
	ReasonKeyCompromise        = "keyCompromise"
	ReasonAffiliationChanged   = "affiliationChanged"
	ReasonSuperseded           = "superseded"
	ReasonCessationOfOperation = "cessationOfOperation" // also the demand to destroy the key
	ReasonPrivilegeWithdrawn   = "privilegeWithdrawn"   // the provider's alone
)

func reasons() map[string]ca.Reason {
	return map[string]ca.Reason{
		ReasonUnspecified: ca.Unspecified, ReasonKeyCompromise: ca.KeyCompromise,
		ReasonAffiliationChanged: ca.AffiliationChanged, ReasonSuperseded: ca.Superseded,
		ReasonCessationOfOperation: ca.CessationOfOperation, ReasonPrivilegeWithdrawn: ca.PrivilegeWithdrawn,
	}
}

func parseReason(text string) (ca.Reason, error) {
	reason, ok := reasons()[text]
	if !ok {
		return 0, call.Wrong("reason", fmt.Errorf("%w: give a reason of RFC 5280 by its name, such as %s", ErrField, ReasonKeyCompromise))
	}
	return reason, nil
}

func reasonName(reason ca.Reason) string {
	for name, r := range reasons() {
		if r == reason {
			return name
		}
	}
	return ReasonUnspecified
}

// Who asks for a revocation, and by what they are known to be who they are (EN 319 411-1 REV-6.2.4-09).
const (
	requesterSignatory = "signatory"
	requesterProvider  = "provider"
	meansCertificate   = "client-certificate"
)

// revocation is one that was decided on, complete before its transaction runs.
type revocation struct {
	from    custody.Held
	row     credential.Record // as it will be
	binding credential.Binding
	because ca.Reason
	event   audit.CertificateRevoked
	notice  sms.Message
	at      time.Time
}

// Revoke ends a certificate and the use of its key, in one transaction and for good (EN 319 411-1 REV-6.3.9-04), as staff
// of the provider asks. The key is destroyed, the person is told, and the next revocation list has the certificate.
// ErrNotFound, ErrRevoked.
func (s *Service) Revoke(ctx context.Context, caller, requestID string, id credential.ID, reason string) error {
	because, err := parseReason(reason)
	if err != nil {
		return err
	}
	r, err := call.NewRequest(caller, requestID, "RevokeCredential", string(id), reason)
	if err != nil {
		return err
	}
	return call.Again(ctx, func() error { return s.revoke(ctx, r, id, because, reason) })
}

func (s *Service) revoke(ctx context.Context, r call.Request, id credential.ID, because ca.Reason, reason string) error {
	h, err := s.room.Credential(ctx, id)
	if err != nil {
		return err
	}
	// The credential is read first: where it is revoked by this very request, that stands beside it.
	done := false
	err = s.Store.View(ctx, func(tx Tx) (err error) {
		_, done, err = r.Answered(tx)
		return err
	})
	if err != nil || done {
		return err
	}
	v, err := s.revoking(ctx, h, because, audit.CertificateRevoked{
		Credential: string(id), Serial: h.Row.Serial, Reason: reason, Caller: r.Caller,
		Requester: requesterProvider, Means: meansCertificate,
	})
	if err != nil {
		return err
	}
	_, err = s.Store.Update(ctx, func(tx Tx) error {
		if err := s.record(tx, v); err != nil {
			return err
		}
		return r.Put(tx, string(id))
	})
	if err != nil {
		return err
	}
	s.revokedNow(ctx, v)
	return nil
}

// revoking decides on a revocation. Whatever the status, but revoked, is no obstacle.
func (s *Service) revoking(ctx context.Context, h custody.Held, because ca.Reason, event audit.CertificateRevoked) (revocation, error) {
	if h.Binding.Status == credential.Revoked {
		return revocation{}, ErrRevoked
	}
	v := revocation{from: h, row: h.Row, binding: h.Binding, because: because, event: event, at: s.now()}
	v.binding.Version, v.binding.Status = v.binding.Version+1, credential.Revoked
	v.row.Version, v.row.WrappedKey = v.binding.Version, nil
	var err error
	if v.row.Sealed, err = s.Trust.SealBinding(ctx, v.binding); err != nil {
		return revocation{}, err
	}
	v.notice, err = s.room.Notice(sms.KindRevoked, string(h.Row.ID), v.at)
	return v, err
}

// record stores everything that a revocation changes: certificate, binding, key, and the notice to the person.
func (s *Service) record(tx Tx, v revocation) error {
	if err := v.from.Unchanged(tx); err != nil {
		return err
	}
	if err := s.Authority.Revoke(tx, v.row.Serial, v.because, v.at); err != nil {
		return err
	}
	if err := tx.PutCredential(v.row); err != nil {
		return err
	}
	tx.Append(v.event)
	tx.Append(custody.BindingChanged(v.row, v.binding.Status))
	tx.Append(destroyed(v.from, v.event.Caller))
	tx.Append(audit.NoticeSent{Subject: string(v.row.ID), Kind: string(v.notice.Kind)})
	return tx.Enqueue(v.notice)
}

// revokedNow brings the memory of this process up to date after the commit and makes the revocation list at once, so
// that a list that cannot be made is noticed now and not when somebody asks for it.
func (s *Service) revokedNow(ctx context.Context, v revocation) {
	// step 1: the commit is done. After a crash the list is made from the store before the first one is served.
	failpoint("revoke", 1)
	s.Trust.Raise(v.row.ID, v.binding.Version)
	s.Trust.Bury(v.binding.WrappedKey)
	s.Revoked(v.row.Serial)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), listTimeout)
	defer cancel()
	if _, err := s.CRL(ctx); err != nil {
		s.Alarm(ctx, "crl", v.row.Serial, err)
	}
	// step 2: the list is made. After a crash another one is, which says the same.
	failpoint("revoke", 2)
}

// listTimeout bounds the making of a list after a revocation, which is done whatever becomes of it.
const listTimeout = 10 * time.Second

// SendRevocationCode sends the code that revokes a credential to the phone in its binding, as the portal asks that
// enrolled the person: the same code again while it can be answered, else a new one, and always a new one when fresh. A
// suspended credential is no obstacle. Foreign and unknown credentials are both ErrNotFound; ErrRevoked, ErrTooManyCodes,
// ErrResent, ErrLocked.
func (s *Service) SendRevocationCode(ctx context.Context, caller, requestID string, id credential.ID, fresh bool) (CodeSent, error) {
	body := []string{string(id)}
	if fresh {
		body = append(body, "new")
	}
	r, err := call.NewRequest(caller, requestID, "SendRevocationCode", body...)
	if err != nil {
		return CodeSent{}, err
	}
	var ch otp.Challenge
	var phone string
	err = call.Again(ctx, func() error {
		e, err := s.enrolled(ctx, r, id)
		if err != nil {
			return err
		}
		phone = custody.Mask(e.Row.Phone)
		if e.done {
			ch, err = s.room.Challenge(ctx, otp.ID(e.result))
			return err
		}
		ch, err = s.sendRevocation(ctx, r, e, fresh)
		return err
	})
	if err != nil {
		return CodeSent{}, err
	}
	return CodeSent{Expires: ch.Expires, Number: ch.Number, MaskedPhone: phone, Sent: ch.Sent, Digits: s.Limits.Digits}, nil
}

// RevokeWithCode revokes a credential with the code that the person got, for good. The reason is one of the person's;
// ReasonCessationOfOperation says that the key is simply to be destroyed. Foreign and unknown credentials are both
// ErrNotFound; ErrRevoked, ErrState (no code was sent), CodeError.
func (s *Service) RevokeWithCode(ctx context.Context, caller, requestID string, id credential.ID, reason, code string) (CredentialView, error) {
	because, err := parseReason(reason)
	if err != nil {
		return CredentialView{}, err
	}
	if !slices.Contains([]string{ReasonKeyCompromise, ReasonAffiliationChanged, ReasonSuperseded, ReasonCessationOfOperation}, reason) {
		return CredentialView{}, call.Wrong("reason", fmt.Errorf("%w: this reason is the provider's", ErrField))
	}
	if err := custody.CheckCode(code); err != nil {
		return CredentialView{}, err
	}
	r, err := call.NewRequest(caller, requestID, "RevokeWithCode", string(id), reason)
	if err != nil {
		return CredentialView{}, err
	}
	err = call.Again(ctx, func() error {
		e, err := s.enrolled(ctx, r, id)
		if err != nil || e.done {
			return err
		}
		return s.revokeByCode(ctx, r, e, because, reason, code)
	})
	if err != nil {
		return CredentialView{}, err
	}
	return s.Credential(ctx, id, "")
}

// ReasonOf returns the number of a reason that the operation log names. A FieldError for any other text.
func ReasonOf(text string) (ca.Reason, error) { return parseReason(text) }
