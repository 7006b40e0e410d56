// Package otp holds the rules of one-time codes: how long a code lives, how often it may be tried, when failures lock,
// and that it is spent exactly once. It never sees a code: whoever derives codes tells it only whether one matched.
package otp

import (
	"errors"
	"fmt"
	"time"
)

// ID names a challenge.
type ID string

// ErrNotFound: there is no such challenge.
var ErrNotFound = errors.New("otp: no such challenge")

// ErrBehind: the database holds fewer attempts of a challenge than this process has committed, or no longer that it is
// spent. Somebody else wrote to it. Whether the code was right plays no part.
var ErrBehind = errors.New("otp: attempts of the challenge were set back")

// Challenge is the state of one challenge beside its sealed record.
type Challenge struct {
	ID       ID
	Purpose  string
	Subject  string // id of the operation or enrolment
	Caller   string // client that asked for the code
	Account  string // whom failures lock: the credential, or the enrolment before there is one
	Record   []byte // canonical sealed record; opaque here
	Seal     []byte
	Number   int // 1 for the first code of a subject
	Attempts int // counted tries
	Sent     int // texts that carried this code; 1 for the first
	Expires  time.Time
	Spent    time.Time // zero while the code can be used
	Voided   time.Time // zero while no newer code replaced it
}

// Lock counts the failures of one account with one caller (Caller set), or with all callers (Caller empty).
type Lock struct {
	Account  string
	Caller   string
	Failures int       // since Since
	Since    time.Time // start of the counting window
	Locked   time.Time // zero while open
}

// Tx is the part of a unit of work that these rules need. Rows read are locked until commit.
type Tx interface {
	// Challenge returns ErrNotFound for an unknown id.
	Challenge(id ID) (Challenge, error)
	// PutChallenge inserts or replaces by id.
	PutChallenge(c Challenge) error
	// Lock returns an open lock without failures when none is stored.
	Lock(account, caller string) (Lock, error)
	// PutLock inserts or replaces by account and caller.
	PutLock(l Lock) error
}

// Limits of codes. All numbers count failures or codes, not time, unless they say so.
type Limits struct {
	Life          time.Duration // of one code
	Tries         int           // for one code
	Codes         int           // for one subject
	Resends       int           // of one code, after its first text
	CallerLock    int           // failures that lock (account, caller)
	AccountLock   int           // failures over all callers within AccountWindow that lock the account
	AccountWindow time.Duration
	NumberBudget  int // texts with codes to one number within BudgetWindow; 0: not limited
	CallerBudget  int // the same for one caller
	Digits        int // of a code
	HighDigits    int // of a code for something of high value
}

// DefaultLimits are 5 minutes, 3 tries a code, 3 codes a subject, each sent again twice at most; 5 failures lock the account for one caller, 10 within
// 24 hours over all callers lock it until an operator unlocks it; 100 texts a day to one number, 20,000 of one caller; 6
// digits, 8 for what is of high value.
func DefaultLimits() Limits {
	return Limits{
		Life: 5 * time.Minute, Tries: 3, Codes: 3, Resends: 2, CallerLock: 5, AccountLock: 10, AccountWindow: 24 * time.Hour,
		NumberBudget: 100, CallerBudget: 20_000, Digits: 6, HighDigits: 8,
	}
}

// Result is what one try came to.
type Result string

// Results of a try. Once a code is expired, spent, voided or exhausted the result never depends on whether it was right.
const (
	Accepted  Result = "accepted"
	Rejected  Result = "rejected"  // wrong; TriesLeft says how many remain
	Exhausted Result = "exhausted" // no tries left for this code
	Expired   Result = "expired"
	Spent     Result = "spent"
	Voided    Result = "voided" // a newer code replaced it
	Locked    Result = "locked" // too many failures for this account
)

// Outcome of one try.
type Outcome struct {
	Result    Result
	TriesLeft int  // for this code
	Attempt   int  // number of this try, 0 when it was not counted
	NowLocked bool // this try locked the account
	Scope     string
	Failures  int     // of the account, in its window and over all callers, after a wrong code
	locks     *Change // what Note notes
}

// Scopes of a lock.
const (
	ScopeCaller  = "caller"  // this caller and this account
	ScopeAccount = "account" // the account for everybody
)

// Try counts one attempt and spends the challenge on a match. It must run in one transaction with what the code
// authorises. A refusal is an outcome, not an error: the count has to be committed. Errors: ErrNotFound, ErrBehind, and
// BehindError of a lock.
func (l Limits) Try(tx Tx, memory *Memory, id ID, match bool, now time.Time) (Outcome, error) {
	c, err := tx.Challenge(id)
	if err != nil {
		return Outcome{}, err
	}
	if memory.ahead(c) {
		return Outcome{}, ErrBehind
	}
	lock, err := l.lock(tx, memory, c.Account, c.Caller, now)
	if err != nil {
		return Outcome{}, err
	}
	left := max(0, l.Tries-c.Attempts)
	switch {
	case !c.Spent.IsZero():
		return Outcome{Result: Spent}, nil
	case !c.Voided.IsZero():
		return Outcome{Result: Voided}, nil
	case !now.Before(c.Expires):
		return Outcome{Result: Expired}, nil
	case lock != "":
		return Outcome{Result: Locked, Scope: lock}, nil
	case left == 0:
		return Outcome{Result: Exhausted}, nil
	}
	c.Attempts++
	if match {
		c.Spent = now
		if err := tx.PutChallenge(c); err != nil {
			return Outcome{}, fmt.Errorf("spending the challenge: %w", err)
		}
		changes, err := l.forgive(tx, memory, c, now)
		return Outcome{Result: Accepted, TriesLeft: left - 1, Attempt: c.Attempts, locks: changes}, err
	}
	if err := tx.PutChallenge(c); err != nil {
		return Outcome{}, fmt.Errorf("counting the attempt: %w", err)
	}
	o := Outcome{Result: Rejected, TriesLeft: left - 1, Attempt: c.Attempts}
	o.Scope, o.Failures, o.locks, err = l.fail(tx, memory, c, now)
	o.NowLocked = o.Scope != ""
	return o, err
}

// ErrTooMany: no further code may be sent for this subject.
var ErrTooMany = errors.New("otp: all codes for this request were sent")

// ErrLocked: codes are locked for this account after too many failures.
var ErrLocked = errors.New("otp: locked after too many wrong codes")

// ErrResent: the code was sent again as often as allowed; it still lives.
var ErrResent = errors.New("otp: the code was sent again as often as allowed")

// Request asks that the person gets a code for a subject.
type Request struct {
	Previous ID // the current challenge of the subject, empty before the first
	Account  string
	Caller   string
	Fresh    bool // not the previous code again, even if it lives
}

// Turn is what a Request comes to.
type Turn struct {
	Again  Challenge // the previous challenge, whose code goes out once more; without an id: a new one is due
	Number int       // of the challenge: 1 for the first of the subject
	Sent   int       // of the text with this code: 1 for the first
}

// Send decides whether a subject's code is sent again, which it is while it can still be answered, or a new one is due,
// which voids the one before. It must run in one transaction with the message. Errors: ErrLocked, ErrTooMany,
// ErrResent, ErrNotFound, ErrBehind.
func (l Limits) Send(tx Tx, memory *Memory, r Request, now time.Time) (Turn, error) {
	scope, err := l.lock(tx, memory, r.Account, r.Caller, now)
	if err != nil {
		return Turn{}, err
	}
	if scope != "" {
		return Turn{}, ErrLocked
	}
	if r.Previous == "" {
		return Turn{Number: 1, Sent: 1}, nil
	}
	c, err := tx.Challenge(r.Previous)
	if err != nil {
		return Turn{}, err
	}
	if memory.ahead(c) {
		return Turn{}, ErrBehind
	}
	if !r.Fresh && c.Spent.IsZero() && c.Voided.IsZero() && now.Before(c.Expires) && c.Attempts < l.Tries {
		if c.Sent > l.Resends {
			return Turn{}, ErrResent
		}
		c.Sent++
		if err := tx.PutChallenge(c); err != nil {
			return Turn{}, fmt.Errorf("counting the text: %w", err)
		}
		return Turn{Again: c, Number: c.Number, Sent: c.Sent}, nil
	}
	if c.Number >= l.Codes {
		return Turn{}, ErrTooMany
	}
	if c.Voided.IsZero() {
		c.Voided = now
		if err := tx.PutChallenge(c); err != nil {
			return Turn{}, fmt.Errorf("voiding the previous challenge: %w", err)
		}
	}
	return Turn{Number: c.Number + 1, Sent: 1}, nil
}

// Unlock opens the account for every caller, as an operator asks.
func Unlock(tx Tx, account, caller string) error {
	return tx.PutLock(Lock{Account: account, Caller: caller})
}
