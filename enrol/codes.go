package enrol

import (
	"context"
	"errors"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/call"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/custody"
	"github.com/ecsigner/ecsigner/otp"
	"github.com/ecsigner/ecsigner/otp/sms"
	"github.com/ecsigner/ecsigner/sam"
)

// step is a step that a code completes.
type step struct {
	purpose sam.Purpose
	kind    sms.Kind
	state   State  // in which it is done
	subject []byte // seal of what the code answers; nil: the enrolment as it stands
	account string // whom failures lock; empty: the enrolment
}

func phoneStep() step { return step{purpose: sam.PurposePhone, kind: sms.KindPhone, state: StateData} }

func agreementStep() step {
	return step{purpose: sam.PurposeAgreement, kind: sms.KindAgreement, state: StateProven}
}

// about is what the code of a step answers.
func (st step) about(r record) custody.Subject {
	st = st.of(r)
	return custody.Subject{
		Purpose: st.purpose, Kind: "enrolment", ID: r.row.ID, Seal: st.subject, Account: st.account, Phone: r.sealed.Phone, Caller: r.row.Caller,
	}
}

// of fills in what the step is about, where nothing else is: the enrolment.
func (st step) of(r record) step {
	if st.subject == nil {
		st.subject, st.account = r.row.Sealed.Seal, r.row.ID
	}
	return st
}

// stepOf returns the step that is open in a state.
func stepOf(state State) (step, bool) {
	for _, st := range []step{phoneStep(), agreementStep()} {
		if st.state == state {
			return st, true
		}
	}
	return step{}, false
}

// SendPhoneCode sends a code to the given phone: the same code again while it can be answered, else a new one.
// ErrTooManyCodes, ErrResent, ErrLocked.
func (s *Service) SendPhoneCode(ctx context.Context, caller, id, requestID string) (View, CodeSent, error) {
	return s.sendCode(ctx, caller, id, requestID, "SendPhoneCode", phoneStep(), false)
}

// NewPhoneCode sends a new code even if the present one can still be answered; that one is void.
func (s *Service) NewPhoneCode(ctx context.Context, caller, id, requestID string) (View, CodeSent, error) {
	return s.sendCode(ctx, caller, id, requestID, "SendPhoneCode", phoneStep(), true)
}

// SendAgreementCode sends the code that accepts the agreement: the same code again while it can be answered, else a new
// one. ErrTooManyCodes, ErrResent, ErrLocked.
func (s *Service) SendAgreementCode(ctx context.Context, caller, id, requestID string) (View, CodeSent, error) {
	return s.sendCode(ctx, caller, id, requestID, "SendAgreementCode", agreementStep(), false)
}

// NewAgreementCode sends a new code even if the present one can still be answered; that one is void.
func (s *Service) NewAgreementCode(ctx context.Context, caller, id, requestID string) (View, CodeSent, error) {
	return s.sendCode(ctx, caller, id, requestID, "SendAgreementCode", agreementStep(), true)
}

func (s *Service) sendCode(ctx context.Context, caller, id, requestID, method string, st step, fresh bool) (View, CodeSent, error) {
	body := []string{id}
	if fresh {
		body = append(body, "new")
	}
	r, err := call.NewRequest(caller, requestID, method, body...)
	if err != nil {
		return View{}, CodeSent{}, err
	}
	return s.send(ctx, r, id, st, fresh)
}

// send commits the message that will carry the code, with a new challenge where one is due. Only the sender ever derives
// the code.
func (s *Service) send(ctx context.Context, r call.Request, id string, st step, fresh bool) (View, CodeSent, error) {
	var v View
	var ch otp.Challenge
	err := call.Again(ctx, func() error {
		from, result, done, err := s.begin(ctx, r, id)
		if err != nil {
			return err
		}
		v = view(from)
		if done {
			ch, err = s.room.Challenge(ctx, otp.ID(result))
			return err
		}
		now := s.now()
		if err := from.in(now, st.state); err != nil {
			return err
		}
		if st.state == StateProven && s.tooOld(from, now) {
			return s.outdate(ctx, from, r.Caller, now)
		}
		st, signing, err := s.toSign(ctx, from, st, now)
		if err != nil {
			return err
		}
		made, err := s.room.NewChallenge(ctx, st.about(from), r.Caller, now)
		if err != nil {
			return err
		}
		numbers := s.Trust.Recipients(from.row.Phone, now)
		giveBack, err := s.Limits.Spend(s.Memory, numbers, r.Caller, now)
		if err != nil {
			return err
		}
		request := otp.Request{Previous: from.row.Challenge, Account: made.Account, Caller: made.Caller, Fresh: fresh}
		_, err = s.Store.Update(ctx, func(tx Tx) error {
			if err := r.Fresh(tx); err != nil {
				return err
			}
			stored, err := from.unchanged(tx)
			if err != nil {
				return err
			}
			if ch, err = s.room.Turn(tx, request, made, numbers[0], now); err != nil {
				return err
			}
			if stored.Challenge != ch.ID {
				stored.Challenge = ch.ID
				if err := tx.TouchEnrolment(stored); err != nil {
					return err
				}
				if err := signing.request(tx); err != nil {
					return err
				}
			}
			if err := noteSent(tx, from, st, now); err != nil {
				return err
			}
			if err := tx.Enqueue(sms.Message{
				ID: sms.MessageID(string(ch.ID), ch.Sent), Kind: st.kind, Subject: id, Challenge: string(ch.ID), CreatedAt: now, NotBefore: now,
			}); err != nil {
				return err
			}
			return r.Put(tx, string(ch.ID))
		})
		if err != nil && !errors.Is(err, ErrOutcomeUnknown) {
			giveBack()
		}
		return s.room.Integrity(ctx, "challenge", string(from.row.Challenge), err)
	})
	if err != nil {
		return View{}, CodeSent{}, err
	}
	var d sms.Delivery
	err = s.Store.View(ctx, func(tx Tx) (err error) {
		d, err = tx.Delivery(sms.MessageID(string(ch.ID), ch.Sent))
		return err
	})
	return v, CodeSent{
		Expires: ch.Expires, Number: ch.Number, MaskedPhone: v.MaskedPhone, Sent: ch.Sent, Digits: s.Limits.Digits,
		Delivery: d.Status, DeliveryAt: d.At,
	}, err
}

// checked reads the challenge of a step and holds it against the enrolment.
func (s *Service) checked(ctx context.Context, r record, id otp.ID, st step) (otp.Challenge, error) {
	st, err := s.asked(ctx, r, st)
	if err != nil {
		return otp.Challenge{}, err
	}
	return s.room.Checked(ctx, id, st.about(r))
}

// ConfirmPhone completes the proof of the phone with the code that was sent to it. A refusal is a CodeError: it is
// recorded and counts, whatever its request id.
func (s *Service) ConfirmPhone(ctx context.Context, caller, id, requestID, code string) (View, error) {
	r, err := call.NewRequest(caller, requestID, "ConfirmPhone", id)
	if err != nil {
		return View{}, err
	}
	to, err := s.answer(ctx, r, id, phoneStep(), code, func(from record, ch otp.Challenge, now time.Time) (change, error) {
		to, err := s.next(ctx, from, now, StatePhone, func(e *sam.Enrolment, row *Enrolment) {
			e.Confirmed, row.Challenge = string(ch.ID), ""
		})
		event := audit.PhoneConfirmed{Enrolment: id, Challenge: string(ch.ID), PhoneCommitment: from.sealed.Phone}
		return change{to: to, events: []audit.Event{event}}, err
	})
	return view(to), err
}

// answer takes a code: compares, decides what a right one leads to, and then, in ONE transaction, counts the try and
// either refuses or spends the code and makes the transition. It decides whether or not the code is right, so that the
// time it takes does not tell.
func (s *Service) answer(
	ctx context.Context, r call.Request, id string, st step, code string,
	decide func(from record, ch otp.Challenge, now time.Time) (change, error),
) (record, error) {
	if err := custody.CheckCode(code); err != nil {
		return record{}, err
	}
	var to record
	err := call.Again(ctx, func() error {
		from, _, done, err := s.begin(ctx, r, id)
		if err != nil {
			return err
		}
		if done {
			to = from
			return nil
		}
		now := s.now()
		if err := from.in(now, st.state); err != nil {
			return err
		}
		if st.state == StateProven && s.tooOld(from, now) {
			return s.outdate(ctx, from, r.Caller, now)
		}
		if from.row.Challenge == "" {
			return &StateError{State: from.sealed.State, Next: from.next(), Hint: "no code was sent yet"}
		}
		ch, err := s.checked(ctx, from, from.row.Challenge, st)
		if err != nil {
			return err
		}
		match, err := s.Trust.Match(ctx, credential.Sealed{Record: ch.Record, Seal: ch.Seal}, code)
		if err != nil {
			return s.room.Integrity(ctx, "challenge", string(ch.ID), err)
		}
		c, err := decide(from, ch, now)
		if err != nil {
			return err
		}
		out, err := s.try(ctx, r, from, ch, match, c, now)
		if err != nil {
			return s.room.Integrity(ctx, "challenge", string(ch.ID), err)
		}
		s.Memory.Note(ch.ID, out, ch.Expires, now)
		if out.Result != otp.Accepted {
			return &CodeError{Result: out.Result, TriesLeft: out.TriesLeft}
		}
		to = c.to
		return nil
	})
	return to, err
}

// try is the one transaction of a code. A refusal commits too: an error would take the count back.
func (s *Service) try(ctx context.Context, r call.Request, from record, ch otp.Challenge, match bool, c change, now time.Time) (otp.Outcome, error) {
	var out otp.Outcome
	_, err := s.Store.Update(ctx, func(tx Tx) error {
		out = otp.Outcome{}
		if _, err := from.unchanged(tx); err != nil {
			return err
		}
		var err error
		if out, err = s.room.Count(tx, ch, match, now); err != nil || out.Result != otp.Accepted {
			return err
		}
		return c.record(tx, from, r)
	})
	return out, err
}
