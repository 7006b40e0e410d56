package tenure

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/ca"
	"github.com/ecsigner/ecsigner/call"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/custody"
	"github.com/ecsigner/ecsigner/otp"
	"github.com/ecsigner/ecsigner/otp/sms"
	"github.com/ecsigner/ecsigner/sam"
)

// enrolled is a credential as the portal that enrolled its person meets it.
type enrolled struct {
	custody.Held
	origin    sam.Enrolment // that led to it
	challenge otp.ID        // the current one of a revocation, empty before
	result    string        // of the same request before
	done      bool
}

// enrolled reads a credential for the portal that enrolled its person; to every other client it does not exist.
func (s *Service) enrolled(ctx context.Context, r call.Request, id credential.ID) (enrolled, error) {
	var e enrolled
	var row credential.Record
	err := s.Store.View(ctx, func(tx Tx) (err error) {
		if e.result, e.done, err = r.Answered(tx); err != nil {
			return err
		}
		if row, err = tx.Credential(id); err != nil {
			return err
		}
		e.challenge, err = tx.RevocationCode(id)
		return err
	})
	if err != nil {
		return enrolled{}, err
	}
	if e.origin, err = s.Origins.Origin(ctx, row.Enrolment); err != nil {
		return enrolled{}, err
	}
	if e.origin.Caller != r.Caller || e.origin.Credential != id {
		return enrolled{}, ErrNotFound
	}
	if e.Held, err = s.room.Open(ctx, row); err == nil && e.Row.Version != row.Version {
		err = ErrConflict // what was read beside the credential is older than it
	}
	return e, err
}

// sendRevocation commits the message that will carry the code: the present one again while it can be answered, else that
// of a new challenge over the binding as it stands.
func (s *Service) sendRevocation(ctx context.Context, r call.Request, e enrolled, fresh bool) (otp.Challenge, error) {
	if e.Binding.Status == credential.Revoked {
		return otp.Challenge{}, ErrRevoked
	}
	now := s.now()
	made, err := s.room.NewChallenge(ctx, aboutRevocation(e.Held), r.Caller, now)
	if err != nil {
		return otp.Challenge{}, err
	}
	numbers := s.Trust.Recipients(e.Row.Phone, now)
	giveBack, err := s.Limits.Spend(s.Memory, numbers, r.Caller, now)
	if err != nil {
		return otp.Challenge{}, err
	}
	var ch otp.Challenge
	_, err = s.Store.Update(ctx, func(tx Tx) error {
		if err := r.Fresh(tx); err != nil {
			return err
		}
		if err := e.Unchanged(tx); err != nil {
			return err
		}
		previous, err := s.previousRevocation(tx, e.Row.ID, now)
		if err != nil {
			return err
		}
		request := otp.Request{Previous: previous, Account: made.Account, Caller: made.Caller, Fresh: fresh}
		if ch, err = s.room.Turn(tx, request, made, numbers[0], now); err != nil {
			return err
		}
		if ch.ID != previous {
			if err := tx.PutRevocationCode(e.Row.ID, ch.ID); err != nil {
				return err
			}
		}
		if err := tx.Enqueue(sms.Message{
			ID: sms.MessageID(string(ch.ID), ch.Sent), Kind: sms.KindRevoke, Subject: string(e.Row.ID), Challenge: string(ch.ID),
			CreatedAt: now, NotBefore: now,
		}); err != nil {
			return err
		}
		return r.Put(tx, string(ch.ID))
	})
	if err != nil && !errors.Is(err, ErrOutcomeUnknown) {
		giveBack()
	}
	return ch, s.room.Integrity(ctx, "challenge", string(e.challenge), err)
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

// aboutRevocation is what the code of a revocation answers: the binding exactly as it stands. Failures count against the
// credential, with those of signing.
func aboutRevocation(h custody.Held) custody.Subject {
	return custody.Subject{
		Purpose: sam.PurposeRevoke, Kind: "credential", ID: string(h.Row.ID), Seal: h.Row.Sealed.Seal, Account: string(h.Row.ID), Phone: h.Binding.Phone,
	}
}

// revokeByCode compares the code, decides on the revocation whether or not it is right, and then, in ONE transaction,
// counts the try and either refuses or spends the code and revokes.
func (s *Service) revokeByCode(ctx context.Context, r call.Request, e enrolled, because ca.Reason, reason, code string) error {
	if e.Binding.Status == credential.Revoked {
		return ErrRevoked
	}
	if e.challenge == "" {
		return fmt.Errorf("%w: no code to revoke %s was sent yet", ErrState, e.Row.ID)
	}
	ch, err := s.room.Checked(ctx, e.challenge, aboutRevocation(e.Held))
	if err != nil {
		return err
	}
	match, err := s.Trust.Match(ctx, credential.Sealed{Record: ch.Record, Seal: ch.Seal}, code)
	if err != nil {
		return s.room.Integrity(ctx, "challenge", string(ch.ID), err)
	}
	v, err := s.revoking(ctx, e.Held, because, audit.CertificateRevoked{
		Credential: string(e.Row.ID), Serial: e.Row.Serial, Reason: reason, Caller: r.Caller,
		Requester: requesterSignatory, Means: credential.FactorSMSCode, Challenge: string(ch.ID),
	})
	if err != nil {
		return err
	}
	var out otp.Outcome
	_, err = s.Store.Update(ctx, func(tx Tx) error {
		out = otp.Outcome{}
		if err := e.Unchanged(tx); err != nil {
			return err
		}
		current, err := tx.RevocationCode(e.Row.ID)
		if err != nil {
			return err
		}
		if current != ch.ID {
			return ErrConflict
		}
		if out, err = s.room.Count(tx, ch, match, v.at); err != nil || out.Result != otp.Accepted {
			return err
		}
		if err := s.record(tx, v); err != nil {
			return err
		}
		return r.Put(tx, string(e.Row.ID))
	})
	if err != nil {
		return s.room.Integrity(ctx, "challenge", string(ch.ID), err)
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
	if err := custody.Void(tx, current, now); err != nil {
		return err
	}
	return tx.PutRevocationCode(id, "")
}
