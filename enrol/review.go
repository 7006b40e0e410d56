package enrol

import (
	"context"
	"crypto/hmac"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/call"
	"github.com/ecsigner/ecsigner/custody"
	"github.com/ecsigner/ecsigner/enrol/person"
	"github.com/ecsigner/ecsigner/otp/sms"
	"github.com/ecsigner/ecsigner/sam"
)

// AcceptProvenData takes the person's word that the proven data are theirs and the form was wrong: the certificate will
// say what was proven, and the agreement is made of it. sha256 is the report's that was shown. ErrIdentityDiffers for
// another one.
func (s *Service) AcceptProvenData(ctx context.Context, caller, id, requestID string, sha256 []byte) (View, error) {
	r, err := call.NewRequest(caller, requestID, "AcceptProvenData", id, hex.EncodeToString(sha256))
	if err != nil {
		return View{}, err
	}
	return s.transit(ctx, r, id, func(from record, now time.Time) (change, error) {
		if err := from.in(now, StateReview); err != nil {
			return change{}, err
		}
		if !hmac.Equal(sha256, from.sealed.Identity.Report) {
			return change{}, call.Wrong("report_sha256", fmt.Errorf("%w: show the person the present ones", ErrIdentityDiffers))
		}
		if s.tooOld(from, now) {
			return change{}, s.outdate(ctx, from, caller, now)
		}
		c, err := s.agreed(ctx, from, from.sealed.Identity, now, func(row *Enrolment) {
			row.BirthDate = person.ProvenBirthDate(row.Proofing.Report)
			row.Proofing.Reason, row.Proofing.Fields = "", ""
		})
		accepted := audit.IdentityReported{
			Enrolment: id, Outcome: outcomeAccepted, Evidence: from.sealed.Identity.Evidence, Caller: caller,
		}
		c.events = append([]audit.Event{accepted}, c.events...)
		return c, err
	})
}

// outdate sends an enrolment whose proof is too old back to the proofing. It returns ErrProofingTooOld, or why that could
// not be recorded.
func (s *Service) outdate(ctx context.Context, from record, by string, now time.Time) error {
	event := audit.IdentityReported{
		Enrolment: from.row.ID, Outcome: outcomeTooOld, Evidence: from.sealed.Identity.Evidence, Caller: from.sealed.Identity.Provider,
	}
	c, err := s.sentBack(ctx, from, StatePhone, person.Findings{Reason: ReasonTooOld}, event, now)
	if err != nil {
		return err
	}
	if _, err := s.Store.Update(ctx, func(tx Tx) error { return c.apply(tx, from, by) }); err != nil {
		return err
	}
	return fmt.Errorf("%w: it was proven at %s", ErrProofingTooOld, from.sealed.Identity.At.Format(time.RFC3339))
}

// Sweep ends what was not finished in time, whatever its state before the acceptance, and returns how many it ended. An
// accepted agreement is never ended here. Errors of single enrolments do not keep it from the others.
func (s *Service) Sweep(ctx context.Context) (int, error) {
	now, err := s.clock()
	if err != nil {
		return 0, err
	}
	overdue := func(tx Tx, after string) ([]Enrolment, error) { return tx.Overdue(now, after, maxPage) }
	waiting := func(tx Tx, after string) ([]Enrolment, error) { return tx.EnrolmentsIn(StateDeferred, after, maxPage) }
	ended := 0
	err = s.each(ctx, []finder{overdue, waiting}, func(row Enrolment) error {
		done, err := s.expire(ctx, row.ID)
		if done {
			ended++
		}
		return err
	})
	return ended, err
}

// expire ends an enrolment whose time is over.
func (s *Service) expire(ctx context.Context, id string) (done bool, err error) {
	err = call.Again(ctx, func() error {
		from, err := s.any(ctx, id)
		if err != nil {
			return err
		}
		now, err := s.clock()
		if err != nil {
			return err
		}
		if !slices.Contains(append(correctable(), StateCreated), from.sealed.State) || now.Before(from.until) {
			return nil
		}
		to, err := s.next(ctx, from, now, StateExpired, func(_ *sam.Enrolment, row *Enrolment) {
			row.Proofing.Provider, row.Proofing.Session = "", "" // no callback finds it any more
		})
		if err != nil {
			return err
		}
		c, err := s.withNotice(change{
			to: to, after: []audit.Event{audit.EnrolmentClosed{Enrolment: id, Outcome: string(StateExpired)}},
			also: func(tx Tx) error { return custody.Void(tx, from.row.Challenge, now) },
		}, sms.KindExpired, now)
		if err != nil {
			return err
		}
		_, err = s.Store.Update(ctx, func(tx Tx) error { return c.apply(tx, from, "") })
		done = err == nil
		return err
	})
	return done, err
}
