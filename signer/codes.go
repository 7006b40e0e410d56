package signer

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/otp"
	"github.com/ecsigner/ecsigner/otp/sms"
	"github.com/ecsigner/ecsigner/sam"
)

// CodeSent says that a code is on its way.
type CodeSent struct {
	Expires     time.Time // of the code, however often it is sent
	Number      int       // of the code: 1 for the first of the operation
	MaskedPhone string
	Sent        int // texts with this code so far: 1 for the first
	Digits      int // of the code
	Delivery    sms.Status
	DeliveryAt  time.Time // of that status; zero while the text waits
}

// spend takes the text that is about to be sent from the budgets of its number and of the caller. It returns the number's
// pseudonym, and what gives the text back.
func (s *Service) spend(caller Caller, u usable, now time.Time) (recipient string, giveBack func(), err error) {
	numbers := s.Trust.Recipients(u.record.Phone, now)
	giveBack, err = s.Codes.Spend(s.Memory, numbers, caller.Name, now)
	return numbers[0], giveBack, err
}

// notSent tells whether a unit of work that puts a text on its way certainly did not.
func notSent(err error) bool { return err != nil && !errors.Is(err, ErrOutcomeUnknown) }

// challenge makes the record that the next code of an operation answers.
func (s *Service) challenge(ctx context.Context, o Operation, u usable) (otp.Challenge, error) {
	operation, err := s.Trust.OpenOperation(ctx, o.Sealed)
	if err != nil {
		return otp.Challenge{}, s.integrity(ctx, "operation", string(o.ID), err)
	}
	id, err := s.newID("ch-")
	if err != nil {
		return otp.Challenge{}, err
	}
	nonce, err := s.random(16)
	if err != nil {
		return otp.Challenge{}, err
	}
	expires := s.Now().Add(s.Codes.Life).Truncate(time.Microsecond)
	sealed, err := s.Trust.SealChallenge(ctx, sam.Challenge{
		ID: id, Purpose: sam.PurposeSign, Subject: o.Sealed.Seal, Nonce: nonce, Phone: u.binding.Phone, Expires: expires,
		Digits: operation.Digits,
	})
	if err != nil {
		return otp.Challenge{}, err
	}
	return otp.Challenge{
		ID: otp.ID(id), Purpose: string(sam.PurposeSign), Subject: string(o.ID), Caller: o.Caller, Account: string(o.Credential),
		Record: sealed.Record, Seal: sealed.Seal, Expires: expires,
	}, nil
}

// send puts a text with the operation's code into the outbox: the present code once more while it can be answered, else
// that of the new challenge made, which voids the one before. It returns the challenge whose code goes out.
func (s *Service) send(tx Tx, made otp.Challenge, o Operation, recipient string, fresh bool, now time.Time) (otp.Challenge, error) {
	turn, err := s.Codes.Send(tx, s.Memory, otp.Request{
		Previous: o.Challenge, Account: made.Account, Caller: made.Caller, Fresh: fresh,
	}, now)
	if err != nil {
		return otp.Challenge{}, err
	}
	ch := turn.Again
	if ch.ID == "" {
		ch = made
		ch.Number, ch.Sent = turn.Number, turn.Sent
		tx.Append(audit.CodeRequested{
			Challenge: string(ch.ID), Purpose: ch.Purpose, Subject: ch.Subject, Caller: ch.Caller, Credential: string(o.Credential),
			Recipient: recipient,
		})
		if err := tx.PutChallenge(ch); err != nil {
			return otp.Challenge{}, err
		}
	} else {
		tx.Append(audit.CodeResent{
			Challenge: string(ch.ID), Purpose: ch.Purpose, Subject: ch.Subject, Caller: ch.Caller, Credential: string(o.Credential),
			Sent: uint64(ch.Sent), Recipient: recipient, //nolint:gosec // a small count
		})
	}
	return ch, tx.Enqueue(sms.Message{
		ID: sms.MessageID(string(ch.ID), ch.Sent), Kind: sms.KindSign, Subject: string(o.ID), Challenge: string(ch.ID),
		CreatedAt: now, NotBefore: now,
	})
}

// SendCode sends the code of an operation that still waits for one: the same code again while it can be answered, else a
// new one. ErrState, otp.ErrResent, otp.ErrTooMany, otp.ErrLocked.
func (s *Service) SendCode(ctx context.Context, caller Caller, requestID string, id OperationID) (CodeSent, error) {
	return s.sendCode(ctx, caller, requestID, id, false)
}

// NewCode sends a new code even if the present one can still be answered; that one is void.
func (s *Service) NewCode(ctx context.Context, caller Caller, requestID string, id OperationID) (CodeSent, error) {
	return s.sendCode(ctx, caller, requestID, id, true)
}

func (s *Service) sendCode(ctx context.Context, caller Caller, requestID string, id OperationID, fresh bool) (CodeSent, error) {
	parts := []string{"send-code", string(id)}
	if fresh {
		parts = append(parts, "new")
	}
	print := fingerprint(parts...)
	var o Operation
	var done string
	err := s.Store.View(ctx, func(tx Tx) (err error) {
		if o, err = own(tx, caller, id); err != nil {
			return err
		}
		done, err = repeated(tx, caller, requestID, print)
		return err
	})
	if err != nil {
		return CodeSent{}, err
	}
	u, err := s.usable(ctx, caller, o.Credential)
	if errors.Is(err, errMoved) {
		return s.sendCode(ctx, caller, requestID, id, fresh)
	}
	if err != nil {
		return CodeSent{}, err
	}
	if done != "" {
		return s.sent(ctx, otp.ID(done), u)
	}
	made, err := s.challenge(ctx, o, u)
	if err != nil {
		return CodeSent{}, err
	}
	now := s.Now().Truncate(time.Microsecond)
	recipient, giveBack, err := s.spend(caller, u, now)
	if err != nil {
		return CodeSent{}, err
	}
	var ch otp.Challenge
	_, err = s.Store.Update(ctx, func(tx Tx) error {
		if done, err = repeated(tx, caller, requestID, print); err != nil || done != "" {
			return err
		}
		o, err := own(tx, caller, id)
		if err != nil {
			return err
		}
		if o.State != StateRequested || !now.Before(o.Expires) {
			return ErrState
		}
		if err := stillGranted(tx, caller, u); err != nil {
			return err
		}
		if ch, err = s.send(tx, made, o, recipient, fresh, now); err != nil {
			return err
		}
		if o.Challenge != ch.ID {
			o.Challenge = ch.ID
			if err := tx.PutOperation(o); err != nil {
				return err
			}
		}
		return tx.PutRequest(caller.Name, requestID, print, string(ch.ID))
	})
	if notSent(err) || done != "" {
		giveBack()
	}
	if errors.Is(err, errMoved) {
		return s.sendCode(ctx, caller, requestID, id, fresh)
	}
	if err != nil {
		return CodeSent{}, s.integrity(ctx, "challenge", string(o.Challenge), err)
	}
	if done != "" {
		return s.sent(ctx, otp.ID(done), u)
	}
	return s.sent(ctx, ch.ID, u)
}

func (s *Service) sent(ctx context.Context, id otp.ID, u usable) (CodeSent, error) {
	return s.codeOf(ctx, id, u.record.Phone)
}

// codeOf tells what is known of a code that was sent to a number.
func (s *Service) codeOf(ctx context.Context, id otp.ID, phone string) (CodeSent, error) {
	var ch otp.Challenge
	var d sms.Delivery
	err := s.Store.View(ctx, func(tx Tx) (err error) {
		if ch, err = tx.Challenge(id); err != nil {
			return err
		}
		d, err = tx.Delivery(sms.MessageID(string(id), ch.Sent))
		return err
	})
	if err != nil {
		return CodeSent{}, err
	}
	sealed, err := s.Trust.OpenChallenge(ctx, credential.Sealed{Record: ch.Record, Seal: ch.Seal})
	if err != nil {
		return CodeSent{}, s.integrity(ctx, "challenge", string(id), err)
	}
	return s.codeSent(ch, sealed.Digits, d, phone), nil
}

func (s *Service) codeSent(ch otp.Challenge, digits uint8, d sms.Delivery, phone string) CodeSent {
	return CodeSent{
		Expires: ch.Expires, Number: ch.Number, MaskedPhone: sms.MaskPhone(phone), Sent: ch.Sent,
		Digits: cmp.Or(int(digits), s.Codes.Digits), Delivery: d.Status, DeliveryAt: d.At,
	}
}

// digits of the codes of an operation; 0 are those of the installation.
func (s *Service) digits(highValue bool) uint8 {
	if !highValue {
		return 0
	}
	return uint8(max(s.Codes.HighDigits, s.Codes.Digits)) //nolint:gosec // at most 9
}

// present tells what is known of the code that an operation waits for.
func (s *Service) present(ctx context.Context, o Operation) (CodeSent, error) {
	var phone string
	err := s.Store.View(ctx, func(tx Tx) error {
		r, err := tx.Credential(o.Credential)
		phone = r.Phone
		return err
	})
	if err != nil {
		return CodeSent{}, err
	}
	return s.codeOf(ctx, o.Challenge, phone)
}
