package tenure

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/otp/sms"
)

// Remind tells persons once that their certificate is about to end, and returns how many were told. It is called from time
// to time. Errors of single credentials are joined, and do not keep it from the others.
func (s *Service) Remind(ctx context.Context) (int, error) {
	if s.Notice <= 0 {
		return 0, nil
	}
	now := s.now()
	var rows []credential.Record
	err := s.Store.View(ctx, func(tx Tx) (err error) {
		rows, err = tx.Ending(now, now.Add(s.Notice), maxPage)
		return err
	})
	if err != nil {
		return 0, err
	}
	told := 0
	var failed error
	for _, row := range rows {
		if err := s.remind(ctx, row, now); err != nil {
			failed = errors.Join(failed, fmt.Errorf("reminder of %s: %w", row.ID, err))
			continue
		}
		told++
	}
	return told, failed
}

func (s *Service) remind(ctx context.Context, row credential.Record, now time.Time) error {
	h, err := s.room.Open(ctx, row)
	if err != nil {
		return err
	}
	notice, err := s.room.Notice(sms.KindEnding, string(row.ID), now)
	if err != nil {
		return err
	}
	_, err = s.Store.Update(ctx, func(tx Tx) error {
		if err := h.Unchanged(tx); err != nil {
			return err
		}
		if err := tx.PutReminder(row.ID, now); err != nil {
			return err
		}
		tx.Append(audit.NoticeSent{Subject: string(row.ID), Kind: string(notice.Kind)})
		return tx.Enqueue(notice)
	})
	return err
}
