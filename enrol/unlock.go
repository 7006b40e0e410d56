package enrol

import (
	"context"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/call"
	"github.com/ecsigner/ecsigner/custody"
	"github.com/ecsigner/ecsigner/otp"
)

// Unlock opens the codes of an enrolment again after too many wrong ones, as an operator asks: for one client, or the lock
// for all when client is empty. One whose codes are all sent can be sent codes again. ErrNotFound.
func (s *Service) Unlock(ctx context.Context, caller, requestID, id, client string) error {
	r, err := call.NewRequest(caller, requestID, "Unlock", id, client)
	if err != nil {
		return err
	}
	scope := otp.ScopeAccount
	if client != "" {
		scope = otp.ScopeCaller
	}
	now := s.now()
	var lock *otp.Change
	err = call.Again(ctx, func() error {
		_, err := s.Store.Update(ctx, func(tx Tx) error {
			_, done, err := r.Answered(tx)
			if err != nil || done {
				return err
			}
			if err := reopen(tx, id, now); err != nil {
				return err
			}
			if lock, err = s.Memory.Unlock(tx, id, client); err != nil {
				return err
			}
			tx.Append(audit.CodeUnlocked{Credential: id, Caller: client, Scope: scope})
			return r.Put(tx, id)
		})
		return err
	})
	if err == nil {
		s.Memory.NoteLocks(lock, now)
	}
	return err
}

// reopen forgets the current code of an enrolment, so that the next one counts as the first.
func reopen(tx Tx, id string, now time.Time) error {
	row, err := tx.Enrolment(id)
	if err != nil || row.Challenge == "" {
		return err
	}
	if err := custody.Void(tx, row.Challenge, now); err != nil {
		return err
	}
	row.Challenge = ""
	return tx.TouchEnrolment(row)
}
