package enrol

import (
	"context"
	"fmt"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/enrol/voucher"
)

// VoucherRefused counts a wrong code that the log tells of, for the time in which it still counts.
func (s *Service) VoucherRefused(caller, person string, at time.Time) {
	s.guesses.Refused(caller, person, at, s.now())
}

// guarded looks at one voucher code under the limits: a wrong one is counted and written into the log, anything else
// leaves no count.
func (s *Service) guarded(ctx context.Context, caller, person string, redeem func() error) error {
	undo, err := s.guesses.Take(caller, person, s.now())
	if err != nil {
		return err
	}
	err = redeem()
	reason := voucher.RefusalOf(err)
	if reason == "" {
		undo()
		return err
	}
	event := audit.VoucherRefused{Caller: caller, Person: person, Reason: reason}
	if _, failed := s.Store.Update(ctx, func(tx Tx) error { tx.Append(event); return nil }); failed != nil {
		return fmt.Errorf("recording a wrong voucher code: %w", failed)
	}
	return err
}
