package store

import (
	"errors"

	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/otp"
	"github.com/ecsigner/ecsigner/store/sqlc"
)

// RevocationCode implements enrol.Lifecycle.
func (t *tx) RevocationCode(id credential.ID) (otp.ID, error) {
	challenge, err := get(t, "revocation", t.q.RevocationCode, string(id), func(challenge string) (otp.ID, error) {
		return otp.ID(challenge), nil
	})
	if errors.Is(err, ErrNotFound) {
		return "", nil
	}
	return challenge, err
}

// PutRevocationCode implements enrol.Lifecycle. ErrNotFound when there is no such credential.
func (t *tx) PutRevocationCode(id credential.ID, challenge otp.ID) error {
	return put(t, "credential of the revocation", t.q.PutRevocationCode, sqlc.PutRevocationCodeParams{
		Credential: string(id), Challenge: string(challenge),
	})
}

// RevokedWithKey implements enrol.Lifecycle.
func (t *tx) RevokedWithKey(after credential.ID, limit int) ([]credential.Record, error) {
	key := sqlc.RevokedWithKeyParams{After: string(after), N: int64(limit)}
	return list(t, "revoked credentials", t.q.RevokedWithKey, key, credentialOf)
}
