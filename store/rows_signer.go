package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/otp"
	"github.com/ecsigner/ecsigner/otp/sms"
	"github.com/ecsigner/ecsigner/signer"
	"github.com/ecsigner/ecsigner/store/sqlc"
)

// Challenge implements otp.Tx.
func (t *tx) Challenge(id otp.ID) (otp.Challenge, error) {
	return get(t, "challenge", t.q.Challenge, string(id), challengeOf)
}

func challengeOf(r sqlc.Challenge) (otp.Challenge, error) {
	return otp.Challenge{
		ID: otp.ID(r.ID), Purpose: r.Purpose, Subject: r.Subject, Caller: r.Caller, Account: r.Account,
		Record: r.Record, Seal: r.Seal, Number: int(r.Number), Attempts: int(r.Attempts), Sent: int(r.Sent),
		Expires: instant(r.Expires), Spent: instant(r.Spent), Voided: instant(r.Voided),
	}, nil
}

// PutChallenge implements otp.Tx.
func (t *tx) PutChallenge(c otp.Challenge) error {
	return put(t, "challenge", t.q.PutChallenge, sqlc.PutChallengeParams{
		ID: string(c.ID), Purpose: c.Purpose, Subject: c.Subject, Caller: c.Caller, Account: c.Account,
		Record: c.Record, Seal: c.Seal, Number: int64(c.Number), Attempts: int64(c.Attempts), Sent: int64(c.Sent),
		Expires: micros(c.Expires), Spent: micros(c.Spent), Voided: micros(c.Voided),
	})
}

// Lock implements otp.Tx.
func (t *tx) Lock(account, caller string) (otp.Lock, error) {
	l, err := get(t, "lock", t.q.Lock, sqlc.LockParams{Account: account, Caller: caller}, lockOf)
	if errors.Is(err, ErrNotFound) {
		return otp.Lock{Account: account, Caller: caller}, nil
	}
	return l, err
}

func lockOf(r sqlc.Lock) (otp.Lock, error) {
	return otp.Lock{
		Account: r.Account, Caller: r.Caller, Failures: int(r.Failures), Since: instant(r.Since), Locked: instant(r.Locked),
	}, nil
}

// PutLock implements otp.Tx.
func (t *tx) PutLock(l otp.Lock) error {
	return put(t, "lock", t.q.PutLock, sqlc.PutLockParams{
		Account: l.Account, Caller: l.Caller, Failures: int64(l.Failures), Since: micros(l.Since), Locked: micros(l.Locked),
	})
}

// Request implements signer.Requests and call.Requests.
func (t *tx) Request(caller, id string) ([]byte, string, error) {
	r, err := get(t, "request", t.q.Request, sqlc.RequestParams{Caller: caller, ID: id}, same)
	if errors.Is(err, ErrNotFound) {
		return nil, "", nil
	}
	return r.Fingerprint, r.Result, err
}

// PutRequest implements signer.Requests and call.Requests.
func (t *tx) PutRequest(caller, id string, fingerprint []byte, result string) error {
	return change(t, "request", t.q.AddRequest, sqlc.AddRequestParams{
		Caller: caller, ID: id, Fingerprint: fingerprint, Result: result, Created: micros(t.at),
	})
}

// same passes a row whose columns are used as they are.
func same(r sqlc.Request) (sqlc.Request, error) { return r, nil }

// Enqueue implements signer.Outbox, enrol.Outbox and tenure.Outbox. ErrConflict when the id was used.
func (t *tx) Enqueue(m sms.Message) error {
	return change(t, "message", t.q.Enqueue, sqlc.EnqueueParams{
		ID: m.ID, Kind: string(m.Kind), Subject: m.Subject, Challenge: m.Challenge, CreatedAt: micros(m.CreatedAt),
		Attempts: int64(m.Attempts), NotBefore: micros(m.NotBefore),
	})
}

// outbox is the queue of messages outside any use case's unit of work. A delivery is no event of the log: the code
// that the message carries is, and so is its use.
type outbox struct{ db *DB }

func (o outbox) Due(ctx context.Context, now time.Time, limit int) ([]sms.Message, error) {
	var due []sms.Message
	err := o.db.view(ctx, func(t *tx) (err error) {
		key := sqlc.DueMessagesParams{Due: micros(now), N: int64(limit)}
		due, err = list(t, "outbox", t.q.DueMessages, key, messageOf)
		return err
	})
	return due, err
}

func (o outbox) Done(ctx context.Context, id string) error {
	_, err := o.db.update(ctx, func(t *tx) error { return put(t, "message", t.q.DeleteMessage, id) })
	return err
}

// Settle implements sms.Queue.
func (o outbox) Settle(ctx context.Context, d sms.Delivery) error {
	_, err := o.db.update(ctx, func(t *tx) error {
		known, err := t.Delivery(d.Message)
		if err != nil {
			return err
		}
		if known.Status == sms.Delivered || known.Status == sms.Failed { // its report was faster
			d.Status, d.At = known.Status, known.At
		}
		if err := t.putDelivery(d); err != nil {
			return err
		}
		return put(t, "message", t.q.DeleteMessage, d.Message)
	})
	return err
}

// Delivery implements sms.Deliveries.
func (t *tx) Delivery(message string) (sms.Delivery, error) {
	d, err := get(t, "delivery", t.q.Delivery, message, deliveryOf)
	if errors.Is(err, ErrNotFound) {
		return sms.Delivery{Message: message, Status: sms.Waiting}, nil
	}
	return d, err
}

func deliveryOf(r sqlc.Delivery) (sms.Delivery, error) {
	return sms.Delivery{
		Message: r.Message, Kind: sms.Kind(r.Kind), Challenge: r.Challenge, Status: sms.Status(r.Status),
		Accepted: sms.Accepted{Provider: r.Provider, Reference: r.Reference}, At: instant(r.At),
	}, nil
}

func (t *tx) putDelivery(d sms.Delivery) error {
	return put(t, "delivery", t.q.PutDelivery, sqlc.PutDeliveryParams{
		Message: d.Message, Kind: string(d.Kind), Challenge: d.Challenge, Status: string(d.Status), Provider: d.Provider,
		Reference: d.Reference, At: micros(d.At),
	})
}

// Report implements sms.Ledger. A report may come before the text is settled; then the outbox knows it.
func (o outbox) Report(ctx context.Context, r sms.Report) (sms.Delivery, error) {
	var d sms.Delivery
	_, err := o.db.update(ctx, func(t *tx) (err error) {
		if d, err = t.reported(r); err != nil || d.Status == sms.Delivered || d.Status == r.Status {
			return err
		}
		d.Status, d.At = r.Status, r.At
		return t.putDelivery(d)
	})
	return d, err
}

func (t *tx) reported(r sms.Report) (sms.Delivery, error) {
	var d sms.Delivery
	var err error
	if r.Message != "" {
		d, err = get(t, "delivery", t.q.Delivery, r.Message, deliveryOf)
	} else {
		key := sqlc.DeliveryByReferenceParams{Provider: r.Provider, Reference: r.Reference}
		d, err = get(t, "delivery", t.q.DeliveryByReference, key, deliveryOf)
	}
	switch {
	case errors.Is(err, ErrNotFound) && r.Message != "":
		m, err := get(t, "message", t.q.Message, r.Message, messageOf)
		if errors.Is(err, ErrNotFound) {
			return d, sms.ErrUnknownMessage
		}
		return sms.Delivery{
			Message: m.ID, Kind: m.Kind, Challenge: m.Challenge, Status: sms.Waiting, Accepted: sms.Accepted{Provider: r.Provider},
		}, err
	case errors.Is(err, ErrNotFound), err == nil && d.Provider != r.Provider:
		return d, sms.ErrUnknownMessage
	}
	return d, err
}

func messageOf(r sqlc.Outbox) (sms.Message, error) {
	return sms.Message{
		ID: r.ID, Kind: sms.Kind(r.Kind), Subject: r.Subject, Challenge: r.Challenge,
		CreatedAt: instant(r.CreatedAt), Attempts: int(r.Attempts), NotBefore: instant(r.NotBefore),
	}, nil
}

func (o outbox) Defer(ctx context.Context, m sms.Message) error {
	_, err := o.db.update(ctx, func(t *tx) error {
		err := change(t, "message", t.q.DeferMessage, sqlc.DeferMessageParams{
			Attempts: int64(m.Attempts), NotBefore: micros(m.NotBefore), ID: m.ID,
		})
		if errors.Is(err, ErrConflict) {
			return fmt.Errorf("%w: message", ErrNotFound)
		}
		return err
	})
	return err
}

// Backlog tells how many messages wait to be sent, and since when the oldest of them; zero without one.
func (db *DB) Backlog(ctx context.Context) (messages int, oldest time.Time, err error) {
	err = db.view(ctx, func(t *tx) error {
		row, err := t.q.OutboxBacklog(context.Background())
		messages, oldest = int(row.Messages), instant(row.Oldest)
		return logError(err)
	})
	return messages, oldest, err
}

// Operation implements signer.Tx.
func (t *tx) Operation(id signer.OperationID) (signer.Operation, error) {
	o, err := get(t, "operation", t.q.Operation, string(id), operationOf)
	if err == nil && o.State == signer.StateClosed {
		// Its row is older than its end: what the log tells of it is gone.
		if gone := t.lost(LostOperation, string(id), ErrNotFound); errors.Is(gone, ErrLost) {
			return signer.Operation{}, gone
		}
	}
	return o, t.lost(LostOperation, string(id), err)
}

// OpenOperations implements signer.Tx.
func (t *tx) OpenOperations(before time.Time, limit int) ([]signer.Operation, error) {
	key := sqlc.OpenOperationsParams{Before: micros(before), N: int64(limit)}
	return list(t, "operations", t.q.OpenOperations, key, operationOf)
}

// OperationsOf implements signer.Lists.
func (t *tx) OperationsOf(caller string, q signer.Query) ([]signer.Operation, error) {
	key := sqlc.OperationsOfCallerParams{
		Caller: caller, Since: micros(q.From), Before: micros(q.Before), State: string(q.State), Credential: string(q.Credential),
		LastCreated: micros(q.Before), N: int64(q.Limit),
	}
	if q.After.ID != "" {
		key.LastCreated, key.LastID = micros(q.After.Created), string(q.After.ID)
		key.Before = min(key.Before, key.LastCreated+1) // the index is read from the cursor on
	}
	return list(t, "operations", t.q.OperationsOfCaller, key, func(r sqlc.OperationsOfCallerRow) (signer.Operation, error) {
		return signer.Operation{
			ID: signer.OperationID(r.ID), Version: uint64(r.Version), Caller: r.Caller, Credential: credential.ID(r.Credential),
			State: signer.State(r.State), Outcome: r.Outcome, Sealed: sealedOf(r.Record, r.Seal), Items: r.Items,
			LogIndex: r.LogIndex, Created: instant(r.Created), Expires: instant(r.Expires),
		}, nil
	})
}

// PutOperation implements signer.Tx.
func (t *tx) PutOperation(o signer.Operation) error {
	row := sqlc.Operation{
		ID: string(o.ID), Version: int64(o.Version) + 1, Caller: o.Caller, Credential: string(o.Credential), State: string(o.State),
		Outcome: o.Outcome, Record: o.Sealed.Record, Seal: o.Sealed.Seal, Items: o.Items, Challenge: string(o.Challenge),
		ActivationRecord: o.Activation.Record, ActivationSeal: o.Activation.Seal, Fence: int64(o.Fence), Lease: micros(o.Lease),
		Signatures: items(o.Signatures), Results: items(o.Results), LogIndex: o.LogIndex, Created: micros(o.Created),
		Expires: micros(o.Expires),
	}
	if o.Version == 0 {
		return change(t, "operation", t.q.AddOperation, sqlc.AddOperationParams(row))
	}
	return change(t, "operation", t.q.SetOperation, sqlc.SetOperationParams(row))
}

func operationOf(r sqlc.Operation) (signer.Operation, error) {
	signatures, err := itemsOf(r.Signatures)
	if err != nil {
		return signer.Operation{}, err
	}
	results, err := itemsOf(r.Results)
	if err != nil {
		return signer.Operation{}, err
	}
	return signer.Operation{
		ID: signer.OperationID(r.ID), Version: uint64(r.Version), Caller: r.Caller, Credential: credential.ID(r.Credential),
		State: signer.State(r.State), Outcome: r.Outcome, Sealed: sealedOf(r.Record, r.Seal), Items: r.Items,
		Challenge: otp.ID(r.Challenge), Activation: sealedOf(r.ActivationRecord, r.ActivationSeal),
		Fence: uint64(r.Fence), Lease: instant(r.Lease), Signatures: signatures, Results: results, LogIndex: r.LogIndex,
		Created: instant(r.Created), Expires: instant(r.Expires),
	}, nil
}

// Document implements signer.Documents.
func (t *tx) Document(id string) (signer.Document, error) {
	return get(t, "document", t.q.Document, id, func(r sqlc.Document) (signer.Document, error) {
		return signer.Document{
			ID: r.ID, Caller: r.Caller, Name: r.Name, Size: r.Size, SHA256: r.Sha256, Created: instant(r.Created),
		}, nil
	})
}

// PutDocument implements signer.Documents.
func (t *tx) PutDocument(d signer.Document) error {
	return put(t, "document", t.q.PutDocument, sqlc.PutDocumentParams{
		ID: d.ID, Caller: d.Caller, Name: d.Name, Size: d.Size, Sha256: d.SHA256, Created: micros(d.Created),
	})
}
