package store

import (
	"errors"
	"time"

	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/enrol"
	"github.com/ecsigner/ecsigner/otp"
	"github.com/ecsigner/ecsigner/store/sqlc"
)

// Voucher implements enrol.Vouchers.
func (t *tx) Voucher(hash []byte) (enrol.Voucher, error) {
	return get(t, "voucher", t.q.Voucher, hash, func(r sqlc.Voucher) (enrol.Voucher, error) {
		return enrol.Voucher{
			Hash: r.Hash, Product: r.Product, Years: uint8(r.Years), Expires: instant(r.Expires), Enrolment: r.Enrolment,
			Created: instant(r.Created), Caller: r.Caller,
		}, nil
	})
}

// PutVoucher implements enrol.Vouchers.
func (t *tx) PutVoucher(v enrol.Voucher) error {
	return put(t, "voucher", t.q.PutVoucher, sqlc.PutVoucherParams{
		Hash: v.Hash, Product: v.Product, Years: int64(v.Years), Expires: micros(v.Expires), Enrolment: v.Enrolment,
		Created: micros(v.Created), Caller: v.Caller,
	})
}

// Enrolment implements enrol.Tx.
func (t *tx) Enrolment(id string) (enrol.Enrolment, error) {
	e, err := get(t, "enrolment", t.q.Enrolment, id, t.enrolment)
	return e, t.lost(LostEnrolment, id, err)
}

// PutEnrolment implements enrol.Tx.
func (t *tx) PutEnrolment(e enrol.Enrolment) error {
	row := sqlc.Enrolment{
		ID: e.ID, Version: int64(e.Version), Caller: e.Caller, State: e.State, Record: e.Sealed.Record, Seal: e.Sealed.Seal,
		Phone: e.Phone, PhoneSalt: e.PhoneSalt, Language: e.Language, BirthDate: e.BirthDate,
		Challenge: string(e.Challenge), Wrapped: e.Wrapped, PublicKey: e.PublicKey, Agreement: e.Agreement,
		Sealing: e.Sealing, Created: micros(e.Created), Updated: micros(e.Updated), Expires: micros(e.Expires),
	}
	var err error
	if e.Version == 1 {
		err = change(t, "enrolment", t.q.AddEnrolment, sqlc.AddEnrolmentParams(row))
	} else {
		err = change(t, "enrolment", t.q.SetEnrolment, sqlc.SetEnrolmentParams(row))
	}
	if err != nil {
		return err
	}
	p := e.Proofing
	return put(t, "identity proofing", t.q.PutProofing, sqlc.PutProofingParams{
		Enrolment: e.ID, Provider: p.Provider, Session: p.Session, Url: p.URL, Expires: micros(p.Expires),
		Reason: string(p.Reason), Fields: p.Fields, Report: p.Report,
	})
}

// TouchEnrolment implements enrol.Tx. ErrConflict when the version is not the stored one.
func (t *tx) TouchEnrolment(e enrol.Enrolment) error {
	return change(t, "enrolment", t.q.TouchEnrolment, sqlc.TouchEnrolmentParams{
		ID: e.ID, Version: int64(e.Version), Phone: e.Phone, PhoneSalt: e.PhoneSalt, Language: e.Language,
		BirthDate: e.BirthDate, Challenge: string(e.Challenge), Wrapped: e.Wrapped, PublicKey: e.PublicKey,
		Agreement: e.Agreement, Sealing: e.Sealing, Updated: micros(e.Updated), Expires: micros(e.Expires),
	})
}

// Enrolments implements enrol.Lists.
func (t *tx) Enrolments(caller, after string, limit int) ([]enrol.Enrolment, error) {
	key := sqlc.EnrolmentsOfCallerParams{Caller: caller, After: after, N: int64(limit)}
	return list(t, "enrolments", t.q.EnrolmentsOfCaller, key, t.enrolment)
}

// issuing is the state of enrolments that a crash may have left half done.
const issuing = "issuing"

// Unfinished implements enrol.Lists.
func (t *tx) Unfinished(limit int) ([]enrol.Enrolment, error) {
	key := sqlc.EnrolmentsInStateParams{State: issuing, N: int64(limit)}
	return list(t, "enrolments", t.q.EnrolmentsInState, key, t.enrolment)
}

// EnrolmentsIn implements enrol.Waiting.
func (t *tx) EnrolmentsIn(state enrol.State, after string, limit int) ([]enrol.Enrolment, error) {
	key := sqlc.EnrolmentsInStateParams{State: string(state), After: after, N: int64(limit)}
	return list(t, "enrolments", t.q.EnrolmentsInState, key, t.enrolment)
}

// Overdue implements enrol.Waiting.
func (t *tx) Overdue(now time.Time, after string, limit int) ([]enrol.Enrolment, error) {
	key := sqlc.EnrolmentsOverdueParams{Now: micros(now), After: after, N: int64(limit)}
	return list(t, "enrolments", t.q.EnrolmentsOverdue, key, t.enrolment)
}

// EnrolmentOf implements enrol.Callbacks.
func (t *tx) EnrolmentOf(provider, session string) (string, error) {
	key := sqlc.EnrolmentOfSessionParams{Provider: provider, Session: session}
	return get(t, "session of identity proofing", t.q.EnrolmentOfSession, key, func(id string) (string, error) { return id, nil })
}

// Called implements enrol.Callbacks.
func (t *tx) Called(provider, event string) (bool, error) {
	key := sqlc.CallbackParams{Provider: provider, Event: event}
	called, err := get(t, "callback", t.q.Callback, key, func(sqlc.Callback) (bool, error) { return true, nil })
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return called, err
}

// PutCallback implements enrol.Callbacks.
func (t *tx) PutCallback(provider string, c enrol.Callback, received time.Time) error {
	return change(t, "callback", t.q.AddCallback, sqlc.AddCallbackParams{
		Provider: provider, Event: c.Event, Session: c.Session, Received: micros(received),
	})
}

// proofing reads what stands beside an enrolment about its identity proofing; nothing for one from before there was any.
func (t *tx) proofing(enrolment string) (enrol.Proofing, error) {
	p, err := get(t, "identity proofing", t.q.Proofing, enrolment, func(r sqlc.Proofing) (enrol.Proofing, error) {
		return enrol.Proofing{
			Provider: r.Provider, Session: r.Session, URL: r.Url, Expires: instant(r.Expires), Reason: enrol.Reason(r.Reason),
			Fields: r.Fields, Report: r.Report,
		}, nil
	})
	if errors.Is(err, ErrNotFound) {
		return enrol.Proofing{}, nil
	}
	return p, err
}

func (t *tx) enrolment(r sqlc.Enrolment) (enrol.Enrolment, error) {
	proofing, err := t.proofing(r.ID)
	return enrol.Enrolment{
		Proofing: proofing,
		ID:       r.ID, Version: uint64(r.Version), Caller: r.Caller, State: r.State, Sealed: sealedOf(r.Record, r.Seal),
		Phone: r.Phone, PhoneSalt: r.PhoneSalt, Language: r.Language, BirthDate: r.BirthDate,
		Challenge: otp.ID(r.Challenge), Wrapped: r.Wrapped, PublicKey: r.PublicKey, Agreement: r.Agreement,
		Sealing: r.Sealing, Created: instant(r.Created), Updated: instant(r.Updated), Expires: instant(r.Expires),
	}, err
}

// Credential implements signer.Tx, enrol.Credentials and tenure.Credentials.
func (t *tx) Credential(id credential.ID) (credential.Record, error) {
	c, err := get(t, "credential", t.q.Credential, string(id), credentialOf)
	return c, t.lost(LostCredential, string(id), err)
}

// PutCredential implements enrol.Credentials and tenure.Credentials.
func (t *tx) PutCredential(r credential.Record) error {
	row := sqlc.Credential{
		ID: string(r.ID), Record: r.Sealed.Record, Seal: r.Sealed.Seal, Version: int64(r.Version), WrappedKey: r.WrappedKey,
		Chain: items(r.Chain), Phone: r.Phone, PhoneSalt: r.PhoneSalt, Language: r.Language, Serial: r.Serial,
		Enrolment: r.Enrolment, NotBefore: micros(r.NotBefore), NotAfter: micros(r.NotAfter), CreatedAt: micros(r.CreatedAt),
	}
	if r.Version == 1 {
		return change(t, "credential", t.q.AddCredential, sqlc.AddCredentialParams(row))
	}
	return change(t, "credential", t.q.SetCredential, sqlc.SetCredentialParams(row))
}

// CredentialsOf implements tenure.Credentials.
func (t *tx) CredentialsOf(client string, after credential.ID, limit int) ([]credential.Record, error) {
	if client == "" {
		key := sqlc.CredentialsParams{After: string(after), N: int64(limit)}
		return list(t, "credentials", t.q.Credentials, key, credentialOf)
	}
	key := sqlc.CredentialsOfClientParams{Client: client, After: string(after), N: int64(limit)}
	return list(t, "credentials", t.q.CredentialsOfClient, key, credentialOf)
}

func credentialOf(r sqlc.Credential) (credential.Record, error) {
	chain, err := itemsOf(r.Chain)
	return credential.Record{
		ID: credential.ID(r.ID), Sealed: sealedOf(r.Record, r.Seal), Version: uint64(r.Version), WrappedKey: r.WrappedKey,
		Chain: chain, Phone: r.Phone, PhoneSalt: r.PhoneSalt, Language: r.Language, Serial: r.Serial,
		Enrolment: r.Enrolment, NotBefore: instant(r.NotBefore), NotAfter: instant(r.NotAfter),
		CreatedAt: instant(r.CreatedAt),
	}, err
}

// Grant implements signer.Grants and tenure.Grants.
func (t *tx) Grant(id credential.ID, client string) (credential.Grant, error) {
	key := sqlc.GrantParams{Credential: string(id), Client: client}
	return get(t, "grant", t.q.Grant, key, func(r sqlc.Grant) (credential.Grant, error) {
		return credential.Grant{Credential: credential.ID(r.Credential), Client: r.Client, CreatedAt: instant(r.CreatedAt)}, nil
	})
}

// PutGrant implements tenure.Grants. ErrNotFound when there is no such credential.
func (t *tx) PutGrant(g credential.Grant) error {
	return put(t, "credential of the grant", t.q.PutGrant, sqlc.PutGrantParams{
		Credential: string(g.Credential), Client: g.Client, CreatedAt: micros(g.CreatedAt),
	})
}

// DeleteGrant implements tenure.Grants.
func (t *tx) DeleteGrant(id credential.ID, client string) error {
	return put(t, "grant", t.q.DeleteGrant, sqlc.DeleteGrantParams{Credential: string(id), Client: client})
}
