package enrol

import (
	"bytes"
	"context"
	"crypto/hmac"
	"errors"
	"fmt"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/call"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/otp"
	"github.com/ecsigner/ecsigner/otp/sms"
	"github.com/ecsigner/ecsigner/sam"
)

// CodeSent says that a code is on its way.
type CodeSent struct {
	Expires     time.Time // of the code, however often it is sent
	Number      int       // of the code: 1 for the first of this step
	MaskedPhone string
	Sent        int // texts with this code so far: 1 for the first
	Digits      int // of the code
	Delivery    sms.Status
	DeliveryAt  time.Time // of that status; zero while the text waits
}

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
	r, err := newRequest(caller, requestID, method, body...)
	if err != nil {
		return View{}, CodeSent{}, err
	}
	return s.send(ctx, r, id, st, fresh)
}

// send commits the message that will carry the code, with a new challenge where one is due. Only the sender ever derives
// the code.
func (s *Service) send(ctx context.Context, r request, id string, st step, fresh bool) (View, CodeSent, error) {
	var v View
	var ch otp.Challenge
	err := again(ctx, func() error {
		from, result, done, err := s.begin(ctx, r, id)
		if err != nil {
			return err
		}
		v = view(from)
		if done {
			ch, err = s.challenge(ctx, otp.ID(result))
			return err
		}
		now := s.now()
		if err := from.in(now, st.state); err != nil {
			return err
		}
		if st.state == StateProven && s.tooOld(from, now) {
			return s.outdate(ctx, from, r.caller, now)
		}
		st, signing, err := s.toSign(ctx, from, st, now)
		if err != nil {
			return err
		}
		made, err := s.newChallenge(ctx, from, r.caller, st, now)
		if err != nil {
			return err
		}
		numbers := s.Trust.Recipients(from.row.Phone, now)
		giveBack, err := s.Limits.Spend(s.Memory, numbers, r.caller, now)
		if err != nil {
			return err
		}
		request := otp.Request{Previous: from.row.Challenge, Account: made.Account, Caller: made.Caller, Fresh: fresh}
		_, err = s.Store.Update(ctx, func(tx Tx) error {
			if err := r.fresh(tx); err != nil {
				return err
			}
			stored, err := from.unchanged(tx)
			if err != nil {
				return err
			}
			if ch, err = s.turn(tx, request, made, numbers[0], now); err != nil {
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
			return r.put(tx, string(ch.ID))
		})
		if err != nil && !errors.Is(err, ErrOutcomeUnknown) {
			giveBack()
		}
		return s.integrity(ctx, "challenge", string(from.row.Challenge), err)
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

// turn records that a code goes out: the present one again, or that of the challenge made. It returns its challenge.
func (s *Service) turn(tx Tx, r otp.Request, made otp.Challenge, recipient string, now time.Time) (otp.Challenge, error) {
	turn, err := s.Limits.Send(tx, s.Memory, r, now)
	if err != nil {
		return otp.Challenge{}, err
	}
	if ch := turn.Again; ch.ID != "" {
		tx.Append(audit.CodeResent{
			Challenge: string(ch.ID), Purpose: ch.Purpose, Subject: ch.Subject, Caller: ch.Caller, Credential: keyOf(ch),
			Sent: uint64(ch.Sent), Recipient: recipient, //nolint:gosec // a small count
		})
		return ch, nil
	}
	made.Number, made.Sent = turn.Number, turn.Sent
	tx.Append(audit.CodeRequested{
		Challenge: string(made.ID), Purpose: made.Purpose, Subject: made.Subject, Caller: made.Caller, Credential: keyOf(made),
		Recipient: recipient,
	})
	return made, tx.PutChallenge(made)
}

// keyOf is the credential that a code concerns; empty while there is none yet.
func keyOf(ch otp.Challenge) string {
	switch sam.Purpose(ch.Purpose) {
	case sam.PurposeSign, sam.PurposeRevoke:
		return ch.Account
	}
	return ""
}

// message is a notice; the texts with codes are named by their challenges.
func (s *Service) message(kind sms.Kind, subject string, now time.Time) (sms.Message, error) {
	id, err := s.newID("msg-")
	return sms.Message{ID: id, Kind: kind, Subject: subject, CreatedAt: now, NotBefore: now}, err
}

// newChallenge seals a challenge whose subject is that of the step: the enrolment exactly as it stands.
func (s *Service) newChallenge(ctx context.Context, r record, caller string, st step, now time.Time) (otp.Challenge, error) {
	st = st.of(r)
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
		ID: id, Purpose: st.purpose, Subject: st.subject, Nonce: nonce, Phone: r.sealed.Phone, Expires: expires,
	})
	if err != nil {
		return otp.Challenge{}, err
	}
	return otp.Challenge{
		ID: otp.ID(id), Purpose: string(st.purpose), Subject: r.row.ID, Caller: caller, Account: st.account,
		Record: sealed.Record, Seal: sealed.Seal, Expires: expires,
	}, nil
}

func (s *Service) challenge(ctx context.Context, id otp.ID) (otp.Challenge, error) {
	var ch otp.Challenge
	err := s.Store.View(ctx, func(tx Tx) (err error) {
		ch, err = tx.Challenge(id)
		return err
	})
	return ch, err
}

// checked reads the challenge of a step and holds it against the enrolment: same subject, same phone, same end. What a
// database writer swapped or changed is refused before a code is derived.
func (s *Service) checked(ctx context.Context, r record, id otp.ID, st step) (otp.Challenge, error) {
	st, err := s.asked(ctx, r, st)
	if err != nil {
		return otp.Challenge{}, err
	}
	ch, err := s.challenge(ctx, id)
	if err != nil {
		return otp.Challenge{}, fmt.Errorf("reading the challenge: %w", err)
	}
	c, err := s.Trust.OpenChallenge(ctx, credential.Sealed{Record: ch.Record, Seal: ch.Seal})
	if err == nil {
		fits := c.ID == string(id) && ch.ID == id && c.Purpose == st.purpose && ch.Purpose == string(st.purpose) &&
			ch.Subject == r.row.ID && ch.Account == st.account && ch.Caller == r.row.Caller && c.Expires.Equal(ch.Expires)
		bound := hmac.Equal(c.Phone, r.sealed.Phone) && hmac.Equal(c.Subject, st.subject)
		// A voided challenge belongs to the enrolment as it stood before data were corrected; no code answers it.
		if !fits || ch.Voided.IsZero() && !bound {
			err = fmt.Errorf("%w: challenge does not belong to this enrolment and phone", sam.ErrSeal)
		}
	}
	if err != nil {
		return otp.Challenge{}, s.integrity(ctx, "challenge", string(id), err)
	}
	return ch, nil
}

// ConfirmPhone completes the proof of the phone with the code that was sent to it. A refusal is a CodeError: it is
// recorded and counts, whatever its request id.
func (s *Service) ConfirmPhone(ctx context.Context, caller, id, requestID, code string) (View, error) {
	r, err := newRequest(caller, requestID, "ConfirmPhone", id)
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
	ctx context.Context, r request, id string, st step, code string,
	decide func(from record, ch otp.Challenge, now time.Time) (change, error),
) (record, error) {
	if err := checkCode(code); err != nil {
		return record{}, err
	}
	var to record
	err := again(ctx, func() error {
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
			return s.outdate(ctx, from, r.caller, now)
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
			return s.integrity(ctx, "challenge", string(ch.ID), err)
		}
		c, err := decide(from, ch, now)
		if err != nil {
			return err
		}
		out, err := s.try(ctx, r, from, ch, match, c, now)
		if err != nil {
			return s.integrity(ctx, "challenge", string(ch.ID), err)
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
func (s *Service) try(ctx context.Context, r request, from record, ch otp.Challenge, match bool, c change, now time.Time) (otp.Outcome, error) {
	var out otp.Outcome
	_, err := s.Store.Update(ctx, func(tx Tx) error {
		out = otp.Outcome{}
		if _, err := from.unchanged(tx); err != nil {
			return err
		}
		var err error
		if out, err = s.count(tx, ch, match, now); err != nil || out.Result != otp.Accepted {
			return err
		}
		return c.record(tx, from, r)
	})
	return out, err
}

// count counts one try of a code within a transaction, and says in the log what came of it. ErrConflict when the
// challenge was exchanged.
func (s *Service) count(tx Tx, ch otp.Challenge, match bool, now time.Time) (otp.Outcome, error) {
	stored, err := tx.Challenge(ch.ID)
	if err != nil {
		return otp.Outcome{}, err
	}
	if !bytes.Equal(stored.Seal, ch.Seal) {
		return otp.Outcome{}, ErrConflict
	}
	out, err := s.Limits.Try(tx, s.Memory, ch.ID, match, now)
	if err != nil {
		return otp.Outcome{}, err
	}
	attempt := uint64(max(0, out.Attempt)) //nolint:gosec // not negative
	if out.Result == otp.Accepted {
		tx.Append(audit.CodeAccepted{
			Challenge: string(ch.ID), Purpose: ch.Purpose, Subject: ch.Subject, Caller: ch.Caller, Attempt: attempt, Account: ch.Account,
		})
		return out, nil
	}
	tx.Append(audit.CodeRefused{
		Challenge: string(ch.ID), Purpose: ch.Purpose, Subject: ch.Subject, Caller: ch.Caller,
		Result: string(out.Result), Attempt: attempt, Account: ch.Account, Failures: uint64(max(0, out.Failures)), //nolint:gosec // not negative
	})
	if out.NowLocked {
		tx.Append(audit.CodeLocked{Credential: ch.Account, Caller: ch.Caller, Scope: out.Scope})
	}
	return out, nil
}

// checkCode refuses what cannot be a code at all; it counts as no try because it can never be right.
func checkCode(code string) error {
	digits := len(code) >= 6 && len(code) <= 9
	for i := 0; digits && i < len(code); i++ {
		digits = code[i] >= '0' && code[i] <= '9'
	}
	if !digits {
		return call.Wrong("code", fmt.Errorf("%w: give the digits of the code, nothing else", ErrField))
	}
	return nil
}
