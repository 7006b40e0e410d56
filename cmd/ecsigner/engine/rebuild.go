package engine

import (
	"cmp"
	"context"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/config"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/enrol"
	"github.com/ecsigner/ecsigner/otp"
	"github.com/ecsigner/ecsigner/sam"
	"github.com/ecsigner/ecsigner/signer"
	"github.com/ecsigner/ecsigner/store"
	"github.com/ecsigner/ecsigner/tenure"
)

// Rebuild brings back from the log what only lives in memory, so that rows put back while the engine stood still revive
// nothing: the lowest valid version of every binding, every revocation, every destroyed key, what was signed under an
// activation that may still last, the tries of every challenge that may still live, failures and locks, the budgets of
// texts, wrong voucher codes that still count. It runs before anything is served.
func Rebuild(ctx context.Context, log *store.DB, now time.Time, trust *sam.Module, issuing *enrol.Service, living *tenure.Service, codes *otp.Memory) error {
	// No challenge outlives the longest life that the configuration allows.
	remember := func(challenge string, o otp.Outcome, at time.Time) {
		if ends := at.Add(config.MaxCodeLife); now.Before(ends) {
			codes.Note(otp.ID(challenge), o, ends, at)
		}
	}
	accounts := newAccounts()
	return log.Events(ctx, func(_ int64, at time.Time, event audit.Event) error {
		issuing.Seen(at)
		switch v := event.(type) {
		case audit.BindingChanged:
			trust.Raise(credential.ID(v.Credential), v.Version)
		case audit.CertificateRevoked:
			living.Revoked(v.Serial)
		case audit.KeyDestroyed:
			trust.Bury(v.Wrapped)
		case audit.SigningSigned:
			if until := at.Add(signer.ActivationLife); now.Before(until) {
				trust.Finish(v.Operation, until)
			}
		case audit.CodeRequested:
			accounts.requested(v, at)
			codes.Spent(v.Recipient, v.Caller, at, now)
		case audit.CodeResent:
			codes.Spent(v.Recipient, v.Caller, at, now)
		case audit.CodeLocked:
			codes.Locked(v.Credential, v.Caller, v.Scope, at)
		case audit.CodeUnlocked:
			codes.Unlocked(v.Credential, v.Caller)
		case audit.VoucherRefused:
			issuing.VoucherRefused(v.Caller, v.Person, at)
		case audit.CodeRefused:
			if v.Attempt > 0 {
				codes.Failed(accounts.of(v.Challenge, v.Account), v.Caller, int(v.Failures), at) //nolint:gosec // a small count
			}
			remember(v.Challenge, otp.Outcome{Result: otp.Rejected, Attempt: int(v.Attempt)}, at) //nolint:gosec // a small count
		case audit.CodeAccepted:
			codes.Forgiven(accounts.of(v.Challenge, v.Account), v.Caller)
			remember(v.Challenge, otp.Outcome{Result: otp.Accepted, Attempt: int(v.Attempt)}, at) //nolint:gosec // a small count
		}
		return nil
	})
}

// accounts knows whose failures a challenge counts for, where an older entry about it does not say: that of the entry by
// which its code was requested, which is never much older.
type accounts struct {
	account map[string]string
	begun   []requestedCode // in the order of the log
}

type requestedCode struct {
	challenge string
	at        time.Time
}

func newAccounts() *accounts { return &accounts{account: map[string]string{}} }

func (a *accounts) requested(e audit.CodeRequested, at time.Time) {
	for len(a.begun) > 0 && at.Sub(a.begun[0].at) > 2*config.MaxCodeLife {
		delete(a.account, a.begun[0].challenge)
		a.begun = a.begun[1:]
	}
	a.account[e.Challenge] = cmp.Or(e.Credential, e.Subject)
	a.begun = append(a.begun, requestedCode{e.Challenge, at})
}

func (a *accounts) of(challenge, account string) string { return cmp.Or(account, a.account[challenge]) }
