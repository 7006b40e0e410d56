package tracing

import (
	"context"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/augment"
	"github.com/ecsigner/ecsigner/ca"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/enrol"
	"github.com/ecsigner/ecsigner/sam"
	"github.com/ecsigner/ecsigner/signer"
	"github.com/ecsigner/ecsigner/tenure"
)

// SignerStore traces the units of work of signing: how long a commit and a view take.
func (t *Tracing) SignerStore(s signer.Store) signer.Store {
	if t == nil {
		return s
	}
	return signerStore{s, t}
}

type signerStore struct {
	signer.Store
	t *Tracing
}

func (s signerStore) Update(ctx context.Context, f func(signer.Tx) error) (audit.Commit, error) {
	return step(ctx, s.t, "store.commit", func(ctx context.Context) (audit.Commit, error) { return s.Store.Update(ctx, f) })
}

func (s signerStore) View(ctx context.Context, f func(signer.Tx) error) error {
	_, err := step(ctx, s.t, "store.view", func(ctx context.Context) (struct{}, error) { return struct{}{}, s.Store.View(ctx, f) })
	return err
}

func (s signerStore) Receipt(ctx context.Context, index int64) ([]byte, error) {
	return step(ctx, s.t, "log.receipt", func(ctx context.Context) ([]byte, error) { return s.Store.Receipt(ctx, index) })
}

// AugmentStore traces the units of work of raising signatures.
func (t *Tracing) AugmentStore(s augment.Store) augment.Store {
	if t == nil {
		return s
	}
	return augmentStore{s, t}
}

type augmentStore struct {
	augment.Store
	t *Tracing
}

func (s augmentStore) Update(ctx context.Context, f func(augment.Tx) error) (audit.Commit, error) {
	return step(ctx, s.t, "store.commit", func(ctx context.Context) (audit.Commit, error) { return s.Store.Update(ctx, f) })
}

// EnrolStore traces the units of work of enrolment.
func (t *Tracing) EnrolStore(s enrol.Store) enrol.Store {
	if t == nil {
		return s
	}
	return enrolStore{s, t}
}

type enrolStore struct {
	enrol.Store
	t *Tracing
}

func (s enrolStore) Update(ctx context.Context, f func(enrol.Tx) error) (audit.Commit, error) {
	return step(ctx, s.t, "store.commit", func(ctx context.Context) (audit.Commit, error) { return s.Store.Update(ctx, f) })
}

func (s enrolStore) View(ctx context.Context, f func(enrol.Tx) error) error {
	_, err := step(ctx, s.t, "store.view", func(ctx context.Context) (struct{}, error) { return struct{}{}, s.Store.View(ctx, f) })
	return err
}

// TenureStore traces the units of work of a credential's life.
func (t *Tracing) TenureStore(s tenure.Store) tenure.Store {
	if t == nil {
		return s
	}
	return tenureStore{s, t}
}

type tenureStore struct {
	tenure.Store
	t *Tracing
}

func (s tenureStore) Update(ctx context.Context, f func(tenure.Tx) error) (audit.Commit, error) {
	return step(ctx, s.t, "store.commit", func(ctx context.Context) (audit.Commit, error) { return s.Store.Update(ctx, f) })
}

func (s tenureStore) View(ctx context.Context, f func(tenure.Tx) error) error {
	_, err := step(ctx, s.t, "store.view", func(ctx context.Context) (struct{}, error) { return struct{}{}, s.Store.View(ctx, f) })
	return err
}

// Activator traces the steps of a signature that the trust core does: 2 (seal), 3 (match, activate) and 4 (sign).
func (t *Tracing) Activator(a signer.Activator) signer.Activator {
	if t == nil {
		return a
	}
	return activator{a, t}
}

type activator struct {
	signer.Activator
	t *Tracing
}

func (a activator) SealOperation(ctx context.Context, o sam.Operation) (credential.Sealed, error) {
	return step(ctx, a.t, "sam.seal_operation", func(ctx context.Context) (credential.Sealed, error) { return a.Activator.SealOperation(ctx, o) })
}

func (a activator) Match(ctx context.Context, challenge credential.Sealed, code string) (bool, error) {
	return step(ctx, a.t, "sam.match", func(ctx context.Context) (bool, error) { return a.Activator.Match(ctx, challenge, code) })
}

func (a activator) Activate(ctx context.Context, operation, challenge credential.Sealed, means []string, notAfter time.Time) (credential.Sealed, error) {
	return step(ctx, a.t, "sam.activate", func(ctx context.Context) (credential.Sealed, error) {
		return a.Activator.Activate(ctx, operation, challenge, means, notAfter)
	})
}

func (a activator) Sign(ctx context.Context, r sam.Release) ([][]byte, error) {
	return step(ctx, a.t, "sam.sign", func(ctx context.Context) ([][]byte, error) { return a.Activator.Sign(ctx, r) })
}

// Trust traces the steps of issuing that the trust core does.
func (t *Tracing) Trust(x enrol.Trust) enrol.Trust {
	if t == nil {
		return x
	}
	return trust{x, t}
}

type trust struct {
	enrol.Trust
	t *Tracing
}

func (x trust) Match(ctx context.Context, challenge credential.Sealed, code string) (bool, error) {
	return step(ctx, x.t, "sam.match", func(ctx context.Context) (bool, error) { return x.Trust.Match(ctx, challenge, code) })
}

func (x trust) Generate(ctx context.Context, enrolment credential.Sealed) (sam.GeneratedKey, error) {
	return step(ctx, x.t, "sam.generate", func(ctx context.Context) (sam.GeneratedKey, error) { return x.Trust.Generate(ctx, enrolment) })
}

func (x trust) SealEnrolment(ctx context.Context, e sam.Enrolment) (credential.Sealed, error) {
	return step(ctx, x.t, "sam.seal_enrolment", func(ctx context.Context) (credential.Sealed, error) { return x.Trust.SealEnrolment(ctx, e) })
}

func (x trust) SealBinding(ctx context.Context, b credential.Binding) (credential.Sealed, error) {
	return step(ctx, x.t, "sam.seal_binding", func(ctx context.Context) (credential.Sealed, error) { return x.Trust.SealBinding(ctx, b) })
}

// TenureTrust traces the steps of a credential's life that the trust core does.
func (t *Tracing) TenureTrust(x tenure.Trust) tenure.Trust {
	if t == nil {
		return x
	}
	return tenureTrust{x, t}
}

type tenureTrust struct {
	tenure.Trust
	t *Tracing
}

func (x tenureTrust) Match(ctx context.Context, challenge credential.Sealed, code string) (bool, error) {
	return step(ctx, x.t, "sam.match", func(ctx context.Context) (bool, error) { return x.Trust.Match(ctx, challenge, code) })
}

func (x tenureTrust) SealBinding(ctx context.Context, b credential.Binding) (credential.Sealed, error) {
	return step(ctx, x.t, "sam.seal_binding", func(ctx context.Context) (credential.Sealed, error) { return x.Trust.SealBinding(ctx, b) })
}

// Authority traces the certificates that the CA signs.
func (t *Tracing) Authority(a enrol.Authority) enrol.Authority {
	if t == nil {
		return a
	}
	return authority{a, t}
}

type authority struct {
	enrol.Authority
	t *Tracing
}

func (a authority) Sign(ctx context.Context, c ca.Certificate) ([]byte, error) {
	return step(ctx, a.t, "ca.sign", func(ctx context.Context) ([]byte, error) { return a.Authority.Sign(ctx, c) })
}

// Revoker traces the revocation lists that the CA signs.
func (t *Tracing) Revoker(a tenure.Authority) tenure.Authority {
	if t == nil {
		return a
	}
	return revoker{a, t}
}

type revoker struct {
	tenure.Authority
	t *Tracing
}

func (a revoker) CRL(ctx context.Context, previous []byte, revoked []ca.Certificate, now time.Time) ([]byte, error) {
	return step(ctx, a.t, "ca.crl", func(ctx context.Context) ([]byte, error) { return a.Authority.CRL(ctx, previous, revoked, now) })
}
