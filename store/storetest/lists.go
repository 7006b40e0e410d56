package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/ca"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/enrol"
	"github.com/ecsigner/ecsigner/otp/sms"
	"github.com/ecsigner/ecsigner/signer"
)

func ids[T any](list []T, id func(T) string) []string {
	var found []string
	for _, v := range list {
		found = append(found, id(v))
	}
	return found
}

func expect(t *testing.T, what string, got []string, err error, want ...string) {
	t.Helper()
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%s: got %q, %v; want %q", what, got, err, want)
	}
}

// testWaiting: what is open and overdue is found, page by page, and a callback is noted once.
func testWaiting(t *testing.T, _ *World, s Store) {
	over := time.Unix(1_800_000_000, 0).UTC()
	states := []enrol.State{
		enrol.StateCreated, enrol.StateParameters, enrol.StateData, enrol.StatePhone, enrol.StateProofing, enrol.StateDeferred,
		enrol.StateReview, enrol.StateProven, enrol.StateIssuing, enrol.StateIssued, enrol.StateRejected, enrol.StateCancelled,
		enrol.StateExpired,
	}
	putAll(t, s, func(tx enrol.Tx) error {
		for n, state := range states {
			for k, expires := range []time.Time{over, over.Add(time.Microsecond)} {
				e := enrol.Enrolment{ID: fmt.Sprintf("e%02d-%d", n, k), Version: 1, State: string(state), Expires: expires}
				e.Proofing = enrol.Proofing{Provider: "idp", Session: e.ID}
				if err := tx.PutEnrolment(e); err != nil {
					return err
				}
			}
		}
		return tx.PutCallback("idp", enrol.Callback{Session: "s", Event: "1"}, over)
	})
	read := func(what string, f func(tx enrol.Tx) ([]enrol.Enrolment, error), want ...string) {
		t.Helper()
		var got []enrol.Enrolment
		err := s.Enrol().View(context.Background(), func(tx enrol.Tx) (err error) {
			got, err = f(tx)
			return err
		})
		expect(t, what, ids(got, func(e enrol.Enrolment) string { return e.ID }), err, want...)
	}
	read("overdue", func(tx enrol.Tx) ([]enrol.Enrolment, error) { return tx.Overdue(over, "", 99) },
		"e00-0", "e01-0", "e02-0", "e03-0", "e04-0", "e05-0", "e06-0", "e07-0")
	read("overdue, a page", func(tx enrol.Tx) ([]enrol.Enrolment, error) { return tx.Overdue(over, "e02-0", 2) }, "e03-0", "e04-0")
	read("none is overdue", func(tx enrol.Tx) ([]enrol.Enrolment, error) { return tx.Overdue(over.Add(-time.Second), "", 99) })
	read("deferred", func(tx enrol.Tx) ([]enrol.Enrolment, error) { return tx.EnrolmentsIn(enrol.StateDeferred, "", 9) }, "e05-0", "e05-1")
	read("deferred, a page", func(tx enrol.Tx) ([]enrol.Enrolment, error) {
		return tx.EnrolmentsIn(enrol.StateDeferred, "e05-0", 9)
	}, "e05-1")
	putAll(t, s, func(tx enrol.Tx) error {
		id, err := tx.EnrolmentOf("idp", "e04-1")
		if err != nil || id != "e04-1" {
			t.Errorf("session: %q, %v", id, err)
		}
		for _, key := range [][2]string{{"idp", "other"}, {"idp-2", "e04-1"}, {"idp", ""}} {
			if _, err := tx.EnrolmentOf(key[0], key[1]); !errors.Is(err, enrol.ErrNotFound) {
				t.Errorf("session %q: %v", key, err)
			}
		}
		for _, c := range []struct {
			provider, event string
			want            bool
		}{{"idp", "1", true}, {"idp", "2", false}, {"idp-2", "1", false}} {
			if got, err := tx.Called(c.provider, c.event); err != nil || got != c.want {
				t.Errorf("called %v: %v, %v", c, got, err)
			}
		}
		if err := tx.PutCallback("idp", enrol.Callback{Session: "s", Event: "1"}, over); !errors.Is(err, enrol.ErrConflict) {
			t.Errorf("the same event again: %v", err)
		}
		// A session that was given up is found no more.
		e, err := tx.Enrolment("e04-1")
		if err != nil {
			return err
		}
		e.Version, e.Proofing = 2, enrol.Proofing{Reason: "session_ended"}
		if err := tx.PutEnrolment(e); err != nil {
			return err
		}
		if _, err := tx.EnrolmentOf("idp", "e04-1"); !errors.Is(err, enrol.ErrNotFound) {
			t.Errorf("a session that was given up: %v", err)
		}
		return nil
	})
}

func testLists(t *testing.T, _ *World, s Store) {
	putAll(t, s, func(tx enrol.Tx) error {
		for _, id := range []string{"e3", "e1", "e4", "e2"} {
			e := enrol.Enrolment{ID: id, Version: 1, Caller: "portal-1", State: "issued"}
			switch id {
			case "e4":
				e.Caller = "portal-2"
			case "e3", "e1":
				e.State = "issuing"
			}
			if err := tx.PutEnrolment(e); err != nil {
				return err
			}
		}
		for _, id := range []credential.ID{"c2", "c1", "c3"} {
			if err := tx.PutCredential(credential.Record{ID: id, Version: 1}); err != nil {
				return err
			}
			if id != "c1" {
				if err := living(t, tx).PutGrant(credential.Grant{Credential: id, Client: "documents-1"}); err != nil {
					return err
				}
			}
		}
		for n, state := range []ca.State{ca.Revoked, ca.Issued, ca.Revoked, ca.Intended} {
			if err := tx.PutCertificate(ca.Certificate{
				Serial: name("0", n), State: state, RequestID: name("r", n), Issuer: []byte("i"), Subject: digest(n), SPKI: [32]byte{byte(n)},
			}); err != nil {
				return err
			}
		}
		return nil
	})
	if err := s.Enrol().View(context.Background(), func(tx enrol.Tx) error {
		enrolment := func(e enrol.Enrolment) string { return e.ID }
		record := func(r credential.Record) string { return string(r.ID) }
		list, err := tx.Enrolments("portal-1", "", 10)
		expect(t, "a caller's enrolments", ids(list, enrolment), err, "e1", "e2", "e3")
		list, err = tx.Enrolments("portal-1", "e1", 1)
		expect(t, "a page of enrolments", ids(list, enrolment), err, "e2")
		list, err = tx.Enrolments("portal-3", "", 10)
		expect(t, "a stranger's enrolments", ids(list, enrolment), err)
		list, err = tx.Unfinished(10)
		expect(t, "unfinished", ids(list, enrolment), err, "e1", "e3")
		list, err = tx.Unfinished(1)
		expect(t, "the first unfinished", ids(list, enrolment), err, "e1")
		records, err := living(t, tx).CredentialsOf("documents-1", "", 10)
		expect(t, "a client's credentials", ids(records, record), err, "c2", "c3")
		records, err = living(t, tx).CredentialsOf("documents-1", "c2", 10)
		expect(t, "a page of credentials", ids(records, record), err, "c3")
		records, err = living(t, tx).CredentialsOf("", "", 2)
		expect(t, "all credentials", ids(records, record), err, "c1", "c2")
		revoked, err := tx.RevokedCertificates()
		expect(t, "revoked", ids(revoked, func(c ca.Certificate) string { return c.Serial }), err, "0-0", "0-2")
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	putAll(t, s, func(tx enrol.Tx) error { return living(t, tx).DeleteGrant("c2", "documents-1") })
	if err := s.Enrol().View(context.Background(), func(tx enrol.Tx) error {
		records, err := living(t, tx).CredentialsOf("documents-1", "", 10)
		expect(t, "after withdrawal", ids(records, func(r credential.Record) string { return string(r.ID) }), err, "c3")
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func testOpenOperations(t *testing.T, w *World, s Store) {
	if _, err := s.Signer().Update(context.Background(), func(tx signer.Tx) error {
		tx.Append(Created(0))
		for n, state := range []signer.State{
			signer.StateRequested, signer.StateSigning, signer.StateSigned, signer.StateClosed, signer.StateRequested,
		} {
			err := tx.PutOperation(signer.Operation{
				ID: signer.OperationID(name("op", n)), State: state, Expires: w.Now().Add(-time.Duration(n) * time.Second),
			})
			if err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.Signer().View(context.Background(), func(tx signer.Tx) error {
		id := func(o signer.Operation) string { return string(o.ID) }
		list, err := tx.OpenOperations(w.Now(), 10)
		expect(t, "ended", ids(list, id), err, "op-4", "op-1")
		list, err = tx.OpenOperations(w.Now().Add(time.Microsecond), 10)
		expect(t, "ended a moment later", ids(list, id), err, "op-4", "op-1", "op-0")
		list, err = tx.OpenOperations(w.Now(), 1)
		expect(t, "the first that ended", ids(list, id), err, "op-4")
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func testOperationsOf(t *testing.T, w *World, s Store) {
	at := func(n int) time.Time { return w.Now().Add(time.Duration(n) * time.Second) }
	if _, err := s.Signer().Update(context.Background(), func(tx signer.Tx) error {
		tx.Append(Created(0))
		for n, o := range []signer.Operation{
			{Caller: "documents-1", State: signer.StateRequested, Credential: "c1", Created: at(1)},
			{Caller: "documents-1", State: signer.StateSigned, Credential: "c1", Created: at(2), Signatures: [][]byte{{1}}, Results: [][]byte{{2}}},
			{Caller: "documents-2", State: signer.StateSigned, Credential: "c1", Created: at(3)},
			{Caller: "documents-1", State: signer.StateSigned, Credential: "c2", Created: at(2)}, // at the same moment
			{Caller: "documents-1", State: signer.StateClosed, Credential: "c2", Created: at(0)},
		} {
			o.ID = signer.OperationID(name("op", n))
			if err := tx.PutOperation(o); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.Signer().View(context.Background(), func(tx signer.Tx) error {
		for _, c := range []struct {
			what   string
			caller string
			query  signer.Query
			want   []string
		}{
			{"all of a caller", "documents-1", signer.Query{}, []string{"op-3", "op-1", "op-0", "op-4"}},
			{"of another", "documents-2", signer.Query{}, []string{"op-2"}},
			{"of a stranger", "documents-3", signer.Query{}, nil},
			{"a page", "documents-1", signer.Query{Limit: 2}, []string{"op-3", "op-1"}},
			{"behind one of the same moment", "documents-1", signer.Query{After: signer.Cursor{Created: at(2), ID: "op-3"}}, []string{"op-1", "op-0", "op-4"}},
			{"the next page", "documents-1", signer.Query{After: signer.Cursor{Created: at(2), ID: "op-1"}}, []string{"op-0", "op-4"}},
			{"by state", "documents-1", signer.Query{State: signer.StateSigned}, []string{"op-3", "op-1"}},
			{"by credential", "documents-1", signer.Query{Credential: "c1"}, []string{"op-1", "op-0"}},
			{"by both", "documents-1", signer.Query{Credential: "c1", State: signer.StateClosed}, nil},
			{"from", "documents-1", signer.Query{From: at(1)}, []string{"op-3", "op-1", "op-0"}},
			{"before", "documents-1", signer.Query{Before: at(1)}, []string{"op-4"}},
			{"from and before", "documents-1", signer.Query{From: at(1), Before: at(2)}, []string{"op-0"}},
		} {
			if c.query.Before.IsZero() {
				c.query.Before = at(100)
			}
			if c.query.Limit == 0 {
				c.query.Limit = 10
			}
			list, err := tx.OperationsOf(c.caller, c.query)
			expect(t, c.what, ids(list, func(o signer.Operation) string { return string(o.ID) }), err, c.want...)
			for _, o := range list {
				if o.Signatures != nil || o.Results != nil {
					t.Errorf("%s: %s comes with its signatures", c.what, o.ID)
				}
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func testOutbox(t *testing.T, w *World, s Store) {
	ctx := context.Background()
	putAll(t, s, func(tx enrol.Tx) error {
		for n := range 3 {
			m := fill[sms.Message](t, n+1)
			m.ID, m.CreatedAt, m.NotBefore = name("m", n), w.Now().Add(-time.Duration(n)*time.Second), w.Now()
			if err := tx.Enqueue(m); err != nil {
				return err
			}
		}
		return nil
	})
	id := func(m sms.Message) string { return m.ID }
	q := s.Outbox()
	due, err := q.Due(ctx, w.Now().Add(-time.Microsecond), 10)
	expect(t, "before their time", ids(due, id), err)
	due, err = q.Due(ctx, w.Now(), 2)
	expect(t, "due, the oldest first", ids(due, id), err, "m-2", "m-1")
	if err := q.Done(ctx, "m-2"); err != nil {
		t.Fatal(err)
	}
	later := due[1]
	later.Attempts, later.NotBefore = 7, w.Now().Add(time.Minute)
	if err := q.Defer(ctx, later); err != nil {
		t.Fatal(err)
	}
	due, err = q.Due(ctx, w.Now(), 10)
	expect(t, "after one was sent and one deferred", ids(due, id), err, "m-0")
	due, err = q.Due(ctx, w.Now().Add(time.Minute), 10)
	expect(t, "a minute later", ids(due, id), err, "m-1", "m-0")
	if due[0] != later {
		t.Errorf("deferred message: got %+v, want %+v", due[0], later)
	}
}
