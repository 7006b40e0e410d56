package ca

import (
	"errors"
	"fmt"
	"time"
)

// RevokeLost puts a certificate on the revocation lists of which nothing is left but what a log tells: its serial number
// and the SHA-256 of its key. It is for certificates that were issued after the backup from which a database was restored:
// their keys are gone. A certificate that is known is revoked like any other.
func (a *Authority) RevokeLost(tx Tx, serial string, spki [32]byte, reason Reason, at time.Time) error {
	if _, err := tx.Certificate(serial); !errors.Is(err, ErrNotFound) {
		if err != nil {
			return err
		}
		return a.Revoke(tx, serial, reason, at)
	}
	if _, err := parseSerial(serial); err != nil {
		return err
	}
	if !reason.offered(NaturalPerson) {
		return fmt.Errorf("%w: %d", ErrReason, reason)
	}
	// Subject and person are unknown; no certificate that is made later has these.
	unknown := "lost " + serial
	err := tx.PutCertificate(Certificate{
		Serial: serial, Issuer: a.cert.RawSubject, RequestID: unknown, Person: unknown, Profile: NaturalPerson, State: Revoked,
		Subject: []byte(unknown), SPKI: spki, NotBefore: a.cert.NotBefore, NotAfter: a.cert.NotAfter, RevokedAt: second(at), Reason: reason,
	})
	if err != nil {
		return fmt.Errorf("ca: store revocation: %w", err)
	}
	return nil
}
