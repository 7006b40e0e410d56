package enrol

import (
	"bytes"
	"context"
	"crypto/hmac"
	"fmt"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/call"
	"github.com/ecsigner/ecsigner/custody"
	"github.com/ecsigner/ecsigner/sam"
)

// record is an enrolment whose seal was checked.
type record struct {
	row    Enrolment
	sealed sam.Enrolment
	until  time.Time // the enrolment may go on
}

// begin reads the caller's enrolment and whether the request was answered before. Foreign and unknown enrolments are
// both ErrNotFound.
func (s *Service) begin(ctx context.Context, r call.Request, id string) (rec record, result string, done bool, err error) {
	var row Enrolment
	err = s.Store.View(ctx, func(tx Tx) (err error) {
		if result, done, err = r.Answered(tx); err != nil {
			return err
		}
		row, err = own(tx, r.Caller, id)
		return err
	})
	if err == nil && !done {
		_, err = s.clock()
	}
	if err != nil {
		return record{}, "", false, err
	}
	rec, err = s.open(ctx, row)
	return rec, result, done, err
}

// own returns the enrolment if it belongs to the caller.
func own(tx Tx, caller, id string) (Enrolment, error) {
	row, err := tx.Enrolment(id)
	if err != nil {
		return Enrolment{}, err
	}
	if row.Caller != caller {
		return Enrolment{}, ErrNotFound
	}
	return row, nil
}

// open checks the seal of a row and that its columns are the sealed ones. Whoever wrote to the database is refused and
// named in the operation log.
func (s *Service) open(ctx context.Context, row Enrolment) (record, error) {
	sealed, err := s.Trust.OpenEnrolment(ctx, row.Sealed)
	if err != nil {
		return record{}, s.room.Integrity(ctx, "enrolment", row.ID, err)
	}
	if fault := mismatch(row, sealed); fault != "" {
		return record{}, s.room.Integrity(ctx, "enrolment", row.ID, fmt.Errorf("%w: %s differs from the sealed record", sam.ErrSeal, fault))
	}
	r := record{row: row, sealed: sealed}
	r.until = s.deadline(r)
	return r, nil
}

// mismatch names the first column that does not agree with the sealed record, or returns "".
func mismatch(row Enrolment, e sam.Enrolment) string {
	matches := func(b, want []byte) bool { return len(b) == 0 && len(want) == 0 || hmac.Equal(digest(b), want) }
	// Wrapped key and public key stand in the row only while issuing; the credential has them afterwards.
	matchesOrGone := func(b, want []byte) bool { return e.State != StateIssuing && len(b) == 0 || matches(b, want) }
	phone := row.Phone == "" && len(e.Phone) == 0 || hmac.Equal(sam.PhoneCommitment(row.PhoneSalt, row.Phone), e.Phone)
	for _, column := range []struct {
		name string
		fits bool
	}{
		{"id", row.ID == e.ID},
		{"version", row.Version == e.Version},
		{"caller", row.Caller == e.Caller},
		{"state", row.State == string(e.State)},
		{"phone", phone},
		{"agreement", matches(row.Agreement, e.Agreement)},
		{"identity report", matches(row.Proofing.Report, e.Identity.Report)},
		{"wrapped key", matchesOrGone(row.Wrapped, e.Wrapped)},
		{"public key", matchesOrGone(row.PublicKey, e.SPKI)},
	} {
		if !column.fits {
			return column.name
		}
	}
	return ""
}

// in returns a StateError unless the enrolment is in one of the states, ErrExpired when its time is over, and ErrClock
// when the clock stands before its last change.
func (r record) in(now time.Time, states ...State) error {
	if r.sealed.State == StateExpired {
		return fmt.Errorf("%w; redeem a new voucher", ErrExpired)
	}
	for _, state := range states {
		if r.sealed.State != state {
			continue
		}
		if !now.Before(r.until) {
			return fmt.Errorf("%w; redeem a new voucher", ErrExpired)
		}
		if now.Before(r.sealed.At.Add(-custody.MaxBack)) {
			return fmt.Errorf("%w; this enrolment was changed at %s", ErrClock, r.sealed.At.Format(time.RFC3339))
		}
		return nil
	}
	return &StateError{State: r.sealed.State, Next: r.next()}
}

// next makes and seals the record that follows r. edit must only set fields.
func (s *Service) next(ctx context.Context, r record, now time.Time, to State, edit func(e *sam.Enrolment, row *Enrolment)) (record, error) {
	n := r
	n.sealed.Version++
	n.sealed.State = to
	n.sealed.At = now
	edit(&n.sealed, &n.row)
	sealed, err := s.Trust.SealEnrolment(ctx, n.sealed)
	if err != nil {
		return record{}, err
	}
	n.until = s.deadline(n)
	n.row.Version, n.row.State, n.row.Sealed, n.row.Updated = n.sealed.Version, string(to), sealed, now
	return n, nil
}

// unchanged locks the stored enrolment and returns it; ErrConflict when it is no longer the one that r was read from.
func (r record) unchanged(tx Tx) (Enrolment, error) {
	now, err := tx.Enrolment(r.row.ID)
	if err != nil {
		return Enrolment{}, err
	}
	if now.Version != r.row.Version || now.Challenge != r.row.Challenge || !bytes.Equal(now.Sealed.Seal, r.row.Sealed.Seal) {
		return Enrolment{}, ErrConflict
	}
	return now, nil
}

// put stores n in place of r and says so in the log. by is the client that asked, empty for the engine itself.
func (n record) put(tx Tx, r record, by string) error {
	stored, err := r.unchanged(tx)
	if err != nil {
		return err
	}
	row := n.row
	row.Sealing = nil
	if n.sealed.AcceptedBy != "" {
		row.Sealing = stored.Sealing // stored on its own, so possibly after r was read
	}
	if err := tx.PutEnrolment(row); err != nil {
		return err
	}
	tx.Append(audit.EnrolmentChanged{
		Enrolment: row.ID, Version: row.Version, State: row.State, Caller: by, Record: digest(row.Sealed.Record),
	})
	return nil
}

// change is one decided transition, complete before its transaction runs.
type change struct {
	to     record
	events []audit.Event     // that tell why, before EnrolmentChanged
	also   func(tx Tx) error // further rows and conditions: pure, may be nil
	after  []audit.Event
}

// record writes the change within a transaction, and that it answers the request.
func (c change) record(tx Tx, from record, r call.Request) error {
	if err := c.apply(tx, from, r.Caller); err != nil {
		return err
	}
	return r.Put(tx, c.to.row.ID)
}

// apply writes the change within a transaction. by is the client that asked, empty for the engine itself.
func (c change) apply(tx Tx, from record, by string) error {
	for _, e := range c.events {
		tx.Append(e)
	}
	if err := c.to.put(tx, from, by); err != nil {
		return err
	}
	for _, e := range c.after {
		tx.Append(e)
	}
	if c.also != nil {
		return c.also(tx)
	}
	return nil
}

// transit brings an enrolment of the caller one step further: decide, then record what was decided in one transaction.
// A request that was answered before gets the enrolment as it stands.
func (s *Service) transit(ctx context.Context, r call.Request, id string, decide func(from record, now time.Time) (change, error)) (View, error) {
	var v View
	err := call.Again(ctx, func() error {
		from, _, done, err := s.begin(ctx, r, id)
		if err != nil {
			return err
		}
		if done {
			v = view(from)
			return nil
		}
		c, err := decide(from, s.now())
		if err != nil {
			return err
		}
		if _, err := s.Store.Update(ctx, func(tx Tx) error { return c.record(tx, from, r) }); err != nil {
			return err
		}
		v = view(c.to)
		return nil
	})
	return v, err
}
