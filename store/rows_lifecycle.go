package store

import (
	"errors"
	"time"

	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/enrol"
	"github.com/ecsigner/ecsigner/otp"
	"github.com/ecsigner/ecsigner/store/sqlc"
)

// RevocationCode implements tenure.Lifecycle.
func (t *tx) RevocationCode(id credential.ID) (otp.ID, error) {
	challenge, err := get(t, "revocation", t.q.RevocationCode, string(id), func(challenge string) (otp.ID, error) {
		return otp.ID(challenge), nil
	})
	if errors.Is(err, ErrNotFound) {
		return "", nil
	}
	return challenge, err
}

// PutRevocationCode implements tenure.Lifecycle. ErrNotFound when there is no such credential.
func (t *tx) PutRevocationCode(id credential.ID, challenge otp.ID) error {
	return put(t, "credential of the revocation", t.q.PutRevocationCode, sqlc.PutRevocationCodeParams{
		Credential: string(id), Challenge: string(challenge),
	})
}

// RevokedWithKey implements tenure.Lifecycle.
func (t *tx) RevokedWithKey(after credential.ID, limit int) ([]credential.Record, error) {
	key := sqlc.RevokedWithKeyParams{After: string(after), N: int64(limit)}
	return list(t, "revoked credentials", t.q.RevokedWithKey, key, credentialOf)
}

// Ending implements tenure.Reminders.
func (t *tx) Ending(from, until time.Time, limit int) ([]credential.Record, error) {
	key := sqlc.EndingCredentialsParams{FromTime: micros(from), UntilTime: micros(until), N: int64(limit)}
	return list(t, "ending credentials", t.q.EndingCredentials, key, credentialOf)
}

// PutReminder implements tenure.Reminders. ErrNotFound when there is no such credential.
func (t *tx) PutReminder(id credential.ID, at time.Time) error {
	return put(t, "credential of the reminder", t.q.PutReminder, sqlc.PutReminderParams{Credential: string(id), Sent: micros(at)})
}

// Renewal implements enrol.Renewals.
func (t *tx) Renewal(enrolment string) (enrol.Renewal, error) {
	return get(t, "renewal", t.q.Renewal, enrolment, func(r sqlc.Renewal) (enrol.Renewal, error) {
		return enrol.Renewal{
			Enrolment: r.Enrolment, Operation: sealedOf(r.Record, r.Seal), Prepared: r.Prepared,
			Activation: sealedOf(r.ActivationRecord, r.ActivationSeal), Fence: uint64(r.Fence), Tail: r.Tail,
		}, nil
	})
}

// PutRenewal implements enrol.Renewals. ErrNotFound when there is no such enrolment.
func (t *tx) PutRenewal(r enrol.Renewal) error {
	return put(t, "enrolment of the renewal", t.q.PutRenewal, sqlc.PutRenewalParams{
		Enrolment: r.Enrolment, Record: r.Operation.Record, Seal: r.Operation.Seal, Prepared: r.Prepared,
		ActivationRecord: r.Activation.Record, ActivationSeal: r.Activation.Seal, Fence: int64(r.Fence), Tail: r.Tail,
	})
}
