package store

import (
	"context"
	"fmt"

	"github.com/ecsigner/ecsigner/ca"
	"github.com/ecsigner/ecsigner/store/sqlc"
)

// Certificate implements ca.Tx.
func (t *tx) Certificate(serial string) (ca.Certificate, error) {
	return get(t, "certificate", t.q.Certificate, serial, certificateOf)
}

// CertificateByRequest implements ca.Tx.
func (t *tx) CertificateByRequest(requestID string) (ca.Certificate, error) {
	return get(t, "certificate of the request", t.q.CertificateByRequest, requestID, certificateOf)
}

// RevokedCertificates implements ca.Tx.
func (t *tx) RevokedCertificates() ([]ca.Certificate, error) {
	all := func(ctx context.Context, _ struct{}) ([]sqlc.Certificate, error) { return t.q.RevokedCertificates(ctx) }
	return list(t, "revoked certificates", all, struct{}{}, certificateOf)
}

// PutCertificate implements ca.Tx.
func (t *tx) PutCertificate(c ca.Certificate) error {
	subject := sqlc.SubjectHoldersParams{Issuer: c.Issuer, Subject: c.Subject, Person: c.Person}
	if err := none(t, t.q.SubjectHolders, subject, ca.ErrSubjectTaken); err != nil {
		return err
	}
	key := sqlc.KeyHoldersParams{Spki: c.SPKI[:], Person: c.Person}
	if err := none(t, t.q.KeyHolders, key, ca.ErrKeyTaken); err != nil {
		return err
	}
	request := sqlc.RequestHoldersParams{RequestID: c.RequestID, Serial: c.Serial}
	if err := none(t, t.q.RequestHolders, request, ca.ErrRequestTaken); err != nil {
		return err
	}
	return put(t, "certificate", t.q.PutCertificate, sqlc.PutCertificateParams{
		Serial: c.Serial, Issuer: c.Issuer, RequestID: c.RequestID, Person: c.Person, Profile: string(c.Profile),
		State: string(c.State), Subject: c.Subject, Spki: c.SPKI[:], NotBefore: micros(c.NotBefore),
		NotAfter: micros(c.NotAfter), Tbs: c.TBS, LintReport: c.LintReport, Der: c.DER, RevokedAt: micros(c.RevokedAt),
		Reason: int64(c.Reason),
	})
}

// none returns taken when the query counts anything.
func none[P any](t *tx, query func(context.Context, P) (int64, error), key P, taken error) error {
	n, err := get(t, "certificates", query, key, func(n int64) (int64, error) { return n, nil })
	if err == nil && n > 0 {
		return taken
	}
	return err
}

func certificateOf(r sqlc.Certificate) (ca.Certificate, error) {
	c := ca.Certificate{
		Serial: r.Serial, Issuer: r.Issuer, RequestID: r.RequestID, Person: r.Person, Profile: ca.Profile(r.Profile),
		State: ca.State(r.State), Subject: r.Subject, NotBefore: instant(r.NotBefore), NotAfter: instant(r.NotAfter),
		TBS: r.Tbs, LintReport: r.LintReport, DER: r.Der, RevokedAt: instant(r.RevokedAt), Reason: ca.Reason(r.Reason),
	}
	if copy(c.SPKI[:], r.Spki) != len(c.SPKI) || len(r.Spki) != len(c.SPKI) {
		return ca.Certificate{}, fmt.Errorf("key digest of %d bytes", len(r.Spki))
	}
	return c, nil
}
