package enrol

import (
	"context"
	"crypto/hmac"
	"errors"
	"fmt"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/ca"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/otp"
	"github.com/ecsigner/ecsigner/otp/sms"
	"github.com/ecsigner/ecsigner/sam"
)

// enrolled is a credential as the portal that enrolled its person meets it.
type enrolled struct {
	held
	origin    record // the enrolment that led to it
	challenge otp.ID // the current one of a revocation, empty before
	result    string // of the same request before
	done      bool
}

// enrolled reads a credential for the portal that enrolled its person; to every other client it does not exist.
func (s *Service) enrolled(ctx context.Context, r request, id credential.ID) (enrolled, error) {
	var e enrolled
	var row credential.Record
	var origin Enrolment
	err := s.Store.View(ctx, func(tx Tx) (err error) {
		if e.result, e.done, err = r.answered(tx); err != nil {
			return err
		}
		if row, err = tx.Credential(id); err != nil {
			return err
		}
		if origin, err = tx.Enrolment(row.Enrolment); err != nil {
			return err
		}
		e.challenge, err = tx.RevocationCode(id)
		return err
	})
	if err != nil {
		return enrolled{}, err
	}
	if e.origin, err = s.open(ctx, origin); err != nil {
		return enrolled{}, err
	}
	if e.origin.sealed.Caller != r.caller || e.origin.sealed.Credential != id {
		return enrolled{}, ErrNotFound
	}
	e.held, err = s.openCredential(ctx, row)
	return e, err
}

// sendRevocation commits the message that will carry the code: the present one again while it can be answered, else that
// of a new challenge over the binding as it stands.
func (s *Service) sendRevocation(ctx context.Context, r request, e enrolled, fresh bool) (otp.Challenge, error) {
	if e.binding.Status == credential.Revoked {
		return otp.Challenge{}, ErrRevoked
	}
	now := s.now()
	made, err := s.revocationChallenge(ctx, e.held, r.caller, now)
	if err != nil {
		return otp.Challenge{}, err
	}
	numbers := s.Trust.Recipients(e.row.Phone, now)
	giveBack, err := s.Limits.Spend(s.Memory, numbers, r.caller, now)
	if err != nil {
		return otp.Challenge{}, err
	}
	var ch otp.Challenge
	_, err = s.Store.Update(ctx, func(tx Tx) error {
		if err := r.fresh(tx); err != nil {
			return err
		}
		if err := e.unchanged(tx); err != nil {
			return err
		}
		previous, err := s.previousRevocation(tx, e.row.ID, now)
		if err != nil {
			return err
		}
		request := otp.Request{Previous: previous, Account: made.Account, Caller: made.Caller, Fresh: fresh}
		if ch, err = s.turn(tx, request, made, numbers[0], now); err != nil {
			return err
		}
		if ch.ID != previous {
			if err := tx.PutRevocationCode(e.row.ID, ch.ID); err != nil {
				return err
			}
		}
		if err := tx.Enqueue(sms.Message{
			ID: sms.MessageID(string(ch.ID), ch.Sent), Kind: sms.KindRevoke, Subject: string(e.row.ID), Challenge: string(ch.ID),
			CreatedAt: now, NotBefore: now,
		}); err != nil {
			return err
		}
		return r.put(tx, string(ch.ID))
	})
	if err != nil && !errors.Is(err, ErrOutcomeUnknown) {
		giveBack()
	}
	return ch, s.integrity(ctx, "challenge", string(e.challenge), err)
}

// previousRevocation returns the challenge that the next code of a revocation follows. Unlike an operation a credential
// does not end with its codes, and a person must be able to revoke: a day after the last code they count anew.
func (s *Service) previousRevocation(tx Tx, id credential.ID, now time.Time) (otp.ID, error) {
	previous, err := tx.RevocationCode(id)
	if err != nil || previous == "" {
		return "", err
	}
	c, err := tx.Challenge(previous)
	if err != nil {
		return "", fmt.Errorf("reading the former code: %w", err)
	}
	if now.Sub(c.Expires) >= s.Limits.AccountWindow {
		return "", nil
	}
	return previous, nil
}

// revocationChallenge seals a challenge whose subject is the binding exactly as it stands. Failures count against the
// credential, with those of signing.
func (s *Service) revocationChallenge(ctx context.Context, h held, caller string, now time.Time) (otp.Challenge, error) {
	id, err := s.newID("chl-")
	if err != nil {
		return otp.Challenge{}, err
	}
	nonce, err := s.random(16)
	if err != nil {
		return otp.Challenge{}, err
	}
	expires := now.Add(s.Limits.Life)
	sealed, err := s.Trust.SealChallenge(ctx, sam.Challenge{
		ID: id, Purpose: sam.PurposeRevoke, Subject: h.row.Sealed.Seal, Nonce: nonce, Phone: h.binding.Phone, Expires: expires,
	})
	if err != nil {
		return otp.Challenge{}, err
	}
	return otp.Challenge{
		ID: otp.ID(id), Purpose: string(sam.PurposeRevoke), Subject: string(h.row.ID), Caller: caller, Account: string(h.row.ID),
		Record: sealed.Record, Seal: sealed.Seal, Expires: expires,
	}, nil
}

// checkedRevocation reads the challenge of a revocation and holds it against the credential, as checked does for an
// enrolment.
func (s *Service) checkedRevocation(ctx context.Context, h held, id otp.ID) (otp.Challenge, error) {
	ch, err := s.challenge(ctx, id)
	if err != nil {
		return otp.Challenge{}, fmt.Errorf("reading the challenge: %w", err)
	}
	c, err := s.Trust.OpenChallenge(ctx, credential.Sealed{Record: ch.Record, Seal: ch.Seal})
	if err == nil {
		fits := c.ID == string(id) && ch.ID == id && c.Purpose == sam.PurposeRevoke && ch.Purpose == string(sam.PurposeRevoke) &&
			ch.Subject == string(h.row.ID) && ch.Account == string(h.row.ID) && c.Expires.Equal(ch.Expires)
		bound := hmac.Equal(c.Phone, h.binding.Phone) && hmac.Equal(c.Subject, h.row.Sealed.Seal)
		// A voided challenge may be for the binding before its status changed; no code answers it.
		if !fits || ch.Voided.IsZero() && !bound {
			err = fmt.Errorf("%w: challenge does not belong to this credential and phone", sam.ErrSeal)
		}
	}
	if err != nil {
		return otp.Challenge{}, s.integrity(ctx, "challenge", string(id), err)
	}
	return ch, nil
}

// revokeByCode compares the code, decides on the revocation whether or not it is right, and then, in ONE transaction,
// counts the try and either refuses or spends the code and revokes.
func (s *Service) revokeByCode(ctx context.Context, r request, e enrolled, because ca.Reason, reason, code string) error {
	if e.binding.Status == credential.Revoked {
		return ErrRevoked
	}
	if e.challenge == "" {
		return fmt.Errorf("%w: no code to revoke %s was sent yet", ErrState, e.row.ID)
	}
	ch, err := s.checkedRevocation(ctx, e.held, e.challenge)
	if err != nil {
		return err
	}
	match, err := s.Trust.Match(ctx, credential.Sealed{Record: ch.Record, Seal: ch.Seal}, code)
	if err != nil {
		return s.integrity(ctx, "challenge", string(ch.ID), err)
	}
	v, err := s.revoking(ctx, e.held, because, audit.CertificateRevoked{
		Credential: string(e.row.ID), Serial: e.row.Serial, Reason: reason, Caller: r.caller,
		Requester: requesterSignatory, Means: credential.FactorSMSCode, Challenge: string(ch.ID),
	})
	if err != nil {
		return err
	}
	var out otp.Outcome
	_, err = s.Store.Update(ctx, func(tx Tx) error {
		out = otp.Outcome{}
		if err := e.unchanged(tx); err != nil {
			return err
		}
		current, err := tx.RevocationCode(e.row.ID)
		if err != nil {
			return err
		}
		if current != ch.ID {
			return ErrConflict
		}
		if out, err = s.count(tx, ch, match, v.at); err != nil || out.Result != otp.Accepted {
			return err
		}
		if err := s.record(tx, v); err != nil {
			return err
		}
		return r.put(tx, string(e.row.ID))
	})
	if err != nil {
		return s.integrity(ctx, "challenge", string(ch.ID), err)
	}
	s.Memory.Note(ch.ID, out, ch.Expires, v.at)
	if out.Result != otp.Accepted {
		return &CodeError{Result: out.Result, TriesLeft: out.TriesLeft}
	}
	s.revokedNow(ctx, v)
	return nil
}

// reopenRevocation forgets the current code of a revocation, so that the next one counts as the first.
func reopenRevocation(tx Tx, id credential.ID, now time.Time) error {
	current, err := tx.RevocationCode(id)
	if err != nil || current == "" {
		return err
	}
	if err := void(tx, current, now); err != nil {
		return err
	}
	return tx.PutRevocationCode(id, "")
}

// composeRevocation makes the text of a code that revokes, or of the notice that a credential is revoked.
func (s *Service) composeRevocation(ctx context.Context, m sms.Message) (sms.Text, error) {
	id := credential.ID(m.Subject)
	var row credential.Record
	var current otp.ID
	err := s.Store.View(ctx, func(tx Tx) (err error) {
		if row, err = tx.Credential(id); err != nil {
			return err
		}
		current, err = tx.RevocationCode(id)
		return err
	})
	if err != nil {
		return sms.Text{}, err
	}
	h, err := s.openCredential(ctx, row)
	if err != nil {
		return sms.Text{}, err
	}
	if m.Kind == sms.KindRevoked {
		if h.binding.Status != credential.Revoked {
			return sms.Text{}, sms.ErrObsolete
		}
		return s.revocationText(m.Kind, row, ""), nil
	}
	if h.binding.Status == credential.Revoked || current != otp.ID(m.Challenge) {
		return sms.Text{}, sms.ErrObsolete
	}
	ch, err := s.checkedRevocation(ctx, h, current)
	if err != nil {
		return sms.Text{}, err
	}
	if !ch.Spent.IsZero() || !ch.Voided.IsZero() || !s.now().Before(ch.Expires) {
		return sms.Text{}, sms.ErrObsolete
	}
	code, err := s.Trust.Code(ctx, credential.Sealed{Record: ch.Record, Seal: ch.Seal})
	if err != nil {
		return sms.Text{}, err
	}
	return s.revocationText(m.Kind, row, code), nil
}

// revocationText names the certificate by the end of its serial number.
func (s *Service) revocationText(kind sms.Kind, row credential.Record, code string) sms.Text {
	return sms.Text{To: row.Phone, Body: s.textOf(kind, row.Language, map[string]string{
		"code": code, "serial": row.Serial[max(0, len(row.Serial)-8):],
	})}
}
