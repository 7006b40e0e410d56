package engine

import (
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
)

// Rebuild brings back from the log what only lives in memory, so that rows put back while the engine stood still revive
// nothing: the lowest valid version of every binding, every revocation, every destroyed key, what was signed under an
// activation that may still last, and the tries of every challenge that may still live. It runs before anything is served.
func Rebuild(ctx context.Context, log *store.DB, now time.Time, trust *sam.Module, issuing *enrol.Service, codes *otp.Memory) error {
	// No challenge outlives the longest life that the configuration allows.
	remember := func(challenge string, o otp.Outcome, at time.Time) {
		if ends := at.Add(config.MaxCodeLife); now.Before(ends) {
			codes.Note(otp.ID(challenge), o, ends, at)
		}
	}
	return log.Events(ctx, func(_ int64, at time.Time, event audit.Event) error {
		switch v := event.(type) {
		case audit.BindingChanged:
			trust.Raise(credential.ID(v.Credential), v.Version)
		case audit.CertificateRevoked:
			issuing.Revoked(v.Serial)
		case audit.KeyDestroyed:
			trust.Bury(v.Wrapped)
		case audit.SigningSigned:
			if until := at.Add(signer.ActivationLife); now.Before(until) {
				trust.Finish(v.Operation, until)
			}
		case audit.CodeRefused:
			remember(v.Challenge, otp.Outcome{Result: otp.Rejected, Attempt: int(v.Attempt)}, at) //nolint:gosec // a small count
		case audit.CodeAccepted:
			remember(v.Challenge, otp.Outcome{Result: otp.Accepted, Attempt: int(v.Attempt)}, at) //nolint:gosec // a small count
		}
		return nil
	})
}
