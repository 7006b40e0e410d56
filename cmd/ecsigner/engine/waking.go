package engine

import (
	"context"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/enrol"
	"github.com/ecsigner/ecsigner/otp/sms"
	"github.com/ecsigner/ecsigner/signer"
	"github.com/ecsigner/ecsigner/tenure"
)

// The stores below wake the sender after a unit of work that put a message into the outbox: a person waits for it.

type wakingSigner struct {
	signer.Store
	wake func()
}

func (w wakingSigner) Update(ctx context.Context, f func(signer.Tx) error) (audit.Commit, error) {
	sent := false
	c, err := w.Store.Update(ctx, func(tx signer.Tx) error { return f(signerTx{tx, &sent}) })
	if sent {
		w.wake()
	}
	return c, err
}

type signerTx struct {
	signer.Tx
	sent *bool
}

func (tx signerTx) Enqueue(m sms.Message) error {
	*tx.sent = true
	return tx.Tx.Enqueue(m)
}

type wakingEnrol struct {
	enrol.Store
	wake func()
}

func (w wakingEnrol) Update(ctx context.Context, f func(enrol.Tx) error) (audit.Commit, error) {
	sent := false
	c, err := w.Store.Update(ctx, func(tx enrol.Tx) error { return f(enrolTx{tx, &sent}) })
	if sent {
		w.wake()
	}
	return c, err
}

type enrolTx struct {
	enrol.Tx
	sent *bool
}

func (tx enrolTx) Enqueue(m sms.Message) error {
	*tx.sent = true
	return tx.Tx.Enqueue(m)
}

type wakingTenure struct {
	tenure.Store
	wake func()
}

func (w wakingTenure) Update(ctx context.Context, f func(tenure.Tx) error) (audit.Commit, error) {
	sent := false
	c, err := w.Store.Update(ctx, func(tx tenure.Tx) error { return f(tenureTx{tx, &sent}) })
	if sent {
		w.wake()
	}
	return c, err
}

type tenureTx struct {
	tenure.Tx
	sent *bool
}

func (tx tenureTx) Enqueue(m sms.Message) error {
	*tx.sent = true
	return tx.Tx.Enqueue(m)
}
