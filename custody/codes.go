package custody

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

// ErrCode: the code was not accepted; the CodeError around it says why and how many tries are left.
var ErrCode = errors.New("enrol: code not accepted")

// CodeError says why a code was not accepted. The refusal is recorded.
type CodeError struct {
	Result    otp.Result
	TriesLeft int // for this code
}

func (e *CodeError) Error() string {
	return fmt.Sprintf("%v: %s, tries left: %d", ErrCode, e.Result, e.TriesLeft)
}

// Unwrap returns ErrCode.
func (e *CodeError) Unwrap() error { return ErrCode }

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

// Subject is what a code answers.
type Subject struct {
	Purpose sam.Purpose
	Kind    string // of record, in words
	ID      string // of the record
	Seal    []byte // of what the code answers: the record exactly as it stands, or what belongs to it
	Account string // whom failures lock
	Phone   []byte // commitment
	Caller  string // who alone may have asked; empty: the subject does not say
}

// NewChallenge seals a challenge for a subject.
func (c *Custody) NewChallenge(ctx context.Context, about Subject, caller string, now time.Time) (otp.Challenge, error) {
	id, err := c.NewID("chl-")
	if err != nil {
		return otp.Challenge{}, err
	}
	nonce, err := c.Random(16)
	if err != nil {
		return otp.Challenge{}, err
	}
	expires := now.Add(c.Limits.Life)
	sealed, err := c.Trust.SealChallenge(ctx, sam.Challenge{
		ID: id, Purpose: about.Purpose, Subject: about.Seal, Nonce: nonce, Phone: about.Phone, Expires: expires,
	})
	if err != nil {
		return otp.Challenge{}, err
	}
	return otp.Challenge{
		ID: otp.ID(id), Purpose: string(about.Purpose), Subject: about.ID, Caller: caller, Account: about.Account,
		Record: sealed.Record, Seal: sealed.Seal, Expires: expires,
	}, nil
}

// Challenge reads a challenge; nothing about it is checked.
func (c *Custody) Challenge(ctx context.Context, id otp.ID) (otp.Challenge, error) {
	var ch otp.Challenge
	err := c.View(ctx, func(tx Tx) (err error) {
		ch, err = tx.Challenge(id)
		return err
	})
	return ch, err
}

// Checked reads a challenge and holds it against its subject: same record, same phone, same end. What a database writer
// swapped or changed is refused before a code is derived. ErrIntegrity.
func (c *Custody) Checked(ctx context.Context, id otp.ID, about Subject) (otp.Challenge, error) {
	ch, err := c.Challenge(ctx, id)
	if err != nil {
		return otp.Challenge{}, fmt.Errorf("reading the challenge: %w", err)
	}
	sealed, err := c.Trust.OpenChallenge(ctx, credential.Sealed{Record: ch.Record, Seal: ch.Seal})
	if err == nil {
		fits := sealed.ID == string(id) && ch.ID == id && sealed.Purpose == about.Purpose && ch.Purpose == string(about.Purpose) &&
			ch.Subject == about.ID && ch.Account == about.Account && (about.Caller == "" || ch.Caller == about.Caller) &&
			sealed.Expires.Equal(ch.Expires)
		bound := hmac.Equal(sealed.Phone, about.Phone) && hmac.Equal(sealed.Subject, about.Seal)
		// A voided challenge belongs to the record as it stood before it was changed; no code answers it.
		if !fits || ch.Voided.IsZero() && !bound {
			err = fmt.Errorf("%w: challenge does not belong to this %s and phone", sam.ErrSeal, about.Kind)
		}
	}
	if err != nil {
		return otp.Challenge{}, c.Integrity(ctx, "challenge", string(id), err)
	}
	return ch, nil
}

// Code derives the code of a challenge that was checked, while it can be answered; sms.ErrObsolete otherwise.
func (c *Custody) Code(ctx context.Context, ch otp.Challenge, now time.Time) (string, error) {
	if !ch.Spent.IsZero() || !ch.Voided.IsZero() || !now.Before(ch.Expires) {
		return "", sms.ErrObsolete
	}
	return c.Trust.Code(ctx, credential.Sealed{Record: ch.Record, Seal: ch.Seal})
}

// Turn records that a code goes out: the present one again, or that of the challenge made. It returns its challenge.
func (c *Custody) Turn(tx Tx, r otp.Request, made otp.Challenge, recipient string, now time.Time) (otp.Challenge, error) {
	turn, err := c.Limits.Send(tx, c.Memory, r, now)
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

// Count counts one try of a code within a transaction, and says in the log what came of it. call.ErrConflict when the
// challenge was exchanged.
func (c *Custody) Count(tx Tx, ch otp.Challenge, match bool, now time.Time) (otp.Outcome, error) {
	stored, err := tx.Challenge(ch.ID)
	if err != nil {
		return otp.Outcome{}, err
	}
	if !bytes.Equal(stored.Seal, ch.Seal) {
		return otp.Outcome{}, call.ErrConflict
	}
	out, err := c.Limits.Try(tx, c.Memory, ch.ID, match, now)
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

// Void ends a challenge whose subject is gone. It stays the subject's current one, so that the next code counts as
// the one after it and corrections do not buy more codes.
func Void(tx otp.Tx, id otp.ID, now time.Time) error {
	if id == "" {
		return nil
	}
	c, err := tx.Challenge(id)
	if err != nil {
		return fmt.Errorf("voiding the code: %w", err)
	}
	if !c.Voided.IsZero() || !c.Spent.IsZero() {
		return nil
	}
	c.Voided = now
	return tx.PutChallenge(c)
}

// CheckCode refuses what cannot be a code at all; it counts as no try because it can never be right.
func CheckCode(code string) error {
	digits := len(code) >= 6 && len(code) <= 9
	for i := 0; digits && i < len(code); i++ {
		digits = code[i] >= '0' && code[i] <= '9'
	}
	if !digits {
		return call.Wrong("code", fmt.Errorf("%w: give the digits of the code, nothing else", call.ErrField))
	}
	return nil
}
