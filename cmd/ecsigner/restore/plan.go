package restore

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/ca"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/engine"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/enrol"
	"github.com/ecsigner/ecsigner/sam"
	"github.com/ecsigner/ecsigner/signer"
	"github.com/ecsigner/ecsigner/store"
	"github.com/ecsigner/ecsigner/tenure"
)

// caller stands in events for the restore.
const caller = "restore"

// plan is everything that one transaction will record. It is made before, from the rows of the backup and the story of the
// log, with every seal that it needs.
type plan struct {
	off    *engine.Offline
	story  *story
	now    time.Time
	report Report
	text   []byte // of the report, once it is recorded

	credentials []credential.Record // every version on the way to the newest, in order
	enrolments  []enrol.Enrolment   // the same
	codes       []enrol.Enrolment   // whose code is forgotten
	revoke      []revocation
	lost        []lost
	events      []audit.Event
	operations  []signer.Operation // to be closed
}

type revocation struct {
	serial string
	spki   [sha256.Size]byte
	reason ca.Reason
	at     time.Time
}

type lost struct{ kind, id string }

const page = 200

// credentialsOf verifies the seal of every binding, holds the row to what the log says of it, and brings it up to the log.
func (p *plan) credentialsOf(ctx context.Context, db *store.DB) error {
	known := map[string]bool{}
	for after := credential.ID(""); ; {
		var rows []credential.Record
		err := db.ViewRestore(ctx, func(tx store.RestoreTx) (err error) {
			rows, err = tx.CredentialsOf("", after, page)
			return err
		})
		if err != nil {
			return err
		}
		for _, row := range rows {
			known[string(row.ID)] = true
			if err := p.credential(ctx, row); err != nil {
				return err
			}
		}
		if len(rows) < page {
			break
		}
		after = rows[len(rows)-1].ID
	}
	return p.certificates(known)
}

func (p *plan) credential(ctx context.Context, row credential.Record) error {
	b, err := p.off.Trust.OpenBinding(ctx, row.Sealed)
	if err != nil {
		return fmt.Errorf("credential %s of the backup: %w", row.ID, err)
	}
	p.report.Bindings++
	gone := b.Status == credential.Revoked && len(row.WrappedKey) == 0
	if b.ID != row.ID || b.Version != row.Version || len(row.Chain) == 0 || !same(row.Chain[0], b.Certificate) || !gone && !same(row.WrappedKey, b.WrappedKey) {
		return fmt.Errorf("%w: credential %s of the backup differs from its binding", sam.ErrSeal, row.ID)
	}
	told := p.story.bindings[string(row.ID)]
	at := slices.IndexFunc(told, func(e binding) bool { return e.Version == b.Version })
	if at < 0 || told[at].gap || !same(row.Sealed.Record, told[at].Binding) || at+1 < len(told) && !told[at+1].gap {
		return fmt.Errorf("%w: credential %s of the backup is not as the log says", ErrMismatch, row.ID)
	}
	return p.catchUp(ctx, row, b, told[at+1:])
}

// catchUp makes the bindings that the log tells of anew: it names their digests, so that each is known to be the very one.
// One that cannot be made so is revoked, for what changed in it is unknown.
func (p *plan) catchUp(ctx context.Context, row credential.Record, b credential.Binding, told []binding) error {
	destroyed := p.story.destroyed[string(row.ID)] && len(row.WrappedKey) > 0
	exact := !destroyed || len(told) > 0
	if destroyed {
		row.WrappedKey = nil
		p.report.Replayed.Destroyed = append(p.report.Replayed.Destroyed, string(row.ID))
	}
	for _, e := range told {
		b.Version, b.Status = e.Version, credential.Status(e.Status)
		if !b.Status.Valid() {
			b.Status = credential.Revoked // of a later version; the digest will differ
		}
		made, err := p.sealed(ctx, row, b)
		if err != nil {
			return err
		}
		exact = same(made.Sealed.Record, e.Binding)
		row = made
		p.credentials = append(p.credentials, row)
	}
	if len(told) > 0 {
		p.report.Replayed.Bindings = append(p.report.Replayed.Bindings, string(row.ID))
	}
	if exact {
		return nil
	}
	b.Version, b.Status = b.Version+1, credential.Revoked
	row, err := p.sealed(ctx, row, b)
	if err != nil {
		return err
	}
	p.credentials = append(p.credentials, row)
	p.report.lose("binding", string(row.ID), "changed after the backup in a way that the log does not tell; the credential is revoked: enrol the person anew")
	if c := p.story.certificates[row.Serial]; c != nil && c.reason == "" {
		p.end(c)
	}
	p.events = append(p.events, audit.BindingChanged{
		Credential: string(row.ID), Version: b.Version, Status: string(b.Status), Binding: digest(row.Sealed.Record),
	})
	return nil
}

func (p *plan) sealed(ctx context.Context, row credential.Record, b credential.Binding) (credential.Record, error) {
	s, err := p.off.Trust.SealBinding(ctx, b)
	row.Version, row.Sealed = b.Version, s
	return row, err
}

// end revokes a certificate whose key is gone.
func (p *plan) end(c *certificate) {
	c.revokedAt, c.reason = p.now, tenure.ReasonCessationOfOperation
	p.events = append(p.events, audit.CertificateRevoked{Credential: c.credential, Serial: c.serial, Reason: c.reason, Caller: caller})
}

// bury tells in the log that a credential of which nothing is left is over: should the lost database be found and a row of
// it be put back, its binding is stale and its key destroyed. The digest is that of no record but of its absence.
func (p *plan) bury(c *certificate) {
	told := p.story.bindings[c.credential]
	key, ok := p.story.keys[c.enrolment]
	if len(told) == 0 || !ok {
		return // no row of it can be used
	}
	p.events = append(p.events, audit.BindingChanged{
		Credential: c.credential, Version: told[len(told)-1].Version + 1, Status: string(credential.Revoked),
		Binding: digest([]byte("ecsigner lost v1\n" + c.credential)),
	}, audit.KeyDestroyed{Credential: c.credential, SPKI: key.SPKI, Wrapped: key.Wrapped, Caller: caller})
}

// certificates revokes what the log revoked, and every certificate whose credential is gone: the only copy of its key was in
// the database that was lost.
func (p *plan) certificates(known map[string]bool) error {
	for _, serial := range sorted(p.story.certificates) {
		c := p.story.certificates[serial]
		if !known[c.credential] {
			p.lost = append(p.lost, lost{store.LostCredential, c.credential})
			p.report.lose("credential", c.credential, "issued after the backup; its key is gone and its certificate "+serial+" revoked: enrol the person anew")
			if c.reason == "" {
				p.end(c)
				p.bury(c)
			}
		}
		if c.reason == "" {
			continue
		}
		reason, err := tenure.ReasonOf(c.reason)
		if err != nil {
			reason = ca.Unspecified // a text of a later version; that it is revoked is what counts
		}
		r := revocation{serial: serial, reason: reason, at: c.revokedAt}
		if key := p.story.keys[c.enrolment].SPKI; len(key) == len(r.spki) {
			r.spki = [sha256.Size]byte(key)
		} else {
			r.spki = sha256.Sum256([]byte("lost " + serial)) // no key has it
		}
		p.revoke = append(p.revoke, r)
	}
	return nil
}

// enrolmentsOf verifies the seal of every enrolment. One that went on after the backup cannot be continued from where the
// backup left it, for the person did so already: it is cancelled. The codes of all others are forgotten.
func (p *plan) enrolmentsOf(ctx context.Context, db *store.DB) error {
	for after := ""; ; {
		var rows []enrol.Enrolment
		err := db.ViewRestore(ctx, func(tx store.RestoreTx) (err error) {
			rows, err = tx.AllEnrolments(after, page)
			return err
		})
		if err != nil {
			return err
		}
		for _, row := range rows {
			if err := p.enrolment(ctx, row); err != nil {
				return err
			}
		}
		if len(rows) < page {
			break
		}
		after = rows[len(rows)-1].ID
	}
	for _, id := range p.story.gap.enrolments {
		p.lost = append(p.lost, lost{store.LostEnrolment, id})
		p.report.lose("enrolment", id, "begun after the backup; its voucher counts as redeemed: give the person another one")
	}
	for _, v := range p.story.gap.vouchers {
		p.report.lose("voucher", v, "made after the backup and cannot be redeemed: make another one")
	}
	return nil
}

func (p *plan) enrolment(ctx context.Context, row enrol.Enrolment) error {
	e, err := p.off.Trust.OpenEnrolment(ctx, row.Sealed)
	if err == nil && (e.ID != row.ID || e.Version != row.Version || string(e.State) != row.State) {
		err = fmt.Errorf("%w: it differs from its sealed record", sam.ErrSeal)
	}
	if err != nil {
		return fmt.Errorf("enrolment %s of the backup: %w", row.ID, err)
	}
	p.report.Enrolments++
	last, moved := p.story.gap.changed[row.ID]
	lost := "went on after the backup (to " + last.State + "); it is cancelled: begin it anew"
	if !moved || last.Version <= row.Version {
		if e.State != sam.StateIssuing || e.Renews == "" || len(e.Signed) > 0 {
			if row.Challenge != "" {
				row.Challenge = ""
				p.codes = append(p.codes, row)
			}
			return nil
		}
		// The activation with which the current key was to sign the renewal ends with the epoch.
		last.Version = row.Version
		p.closed(p.story.renewing[row.ID])
		lost = "waited for the signature of the credential that it renews, which nothing authorises any more; it is cancelled: begin it anew"
	}
	// One that ended gets no event more: that it can be continued no longer, the log says already.
	ended := p.story.gap.closed[row.ID] || sam.State(last.State) == sam.StateIssued
	newest := last.Version + 1
	if ended {
		newest = last.Version
	}
	// The versions in between are passed through; only the last one is sealed.
	for v := row.Version + 1; v < newest; v++ {
		row.Version = v
		p.enrolments = append(p.enrolments, row)
	}
	e.Version, e.State, e.At = newest, sam.StateCancelled, p.now
	row.Version, row.State, row.Challenge, row.Updated = e.Version, string(e.State), "", p.now
	if row.Sealed, err = p.off.Trust.SealEnrolment(ctx, e); err != nil {
		return err
	}
	p.enrolments = append(p.enrolments, row)
	if !ended {
		p.events = append(p.events, audit.EnrolmentChanged{
			Enrolment: row.ID, Version: row.Version, State: row.State, Caller: caller, Record: digest(row.Sealed.Record),
		}, audit.EnrolmentClosed{Enrolment: row.ID, Outcome: audit.OutcomeCancelled})
	}
	p.report.lose("enrolment", row.ID, lost)
	return nil
}

// operationsOf closes every operation that was open. What was signed after the backup keeps its entry in the log, and
// receipts prove it; the results are gone.
func (p *plan) operationsOf(ctx context.Context, db *store.DB) error {
	open := map[string]bool{}
	err := db.ViewRestore(ctx, func(tx store.RestoreTx) (err error) {
		p.operations, err = tx.OpenOperations(time.UnixMicro(math.MaxInt64), math.MaxInt32)
		return err
	})
	if err != nil {
		return err
	}
	for i := range p.operations {
		o := &p.operations[i]
		open[string(o.ID)] = true
		o.State, o.Outcome = signer.StateClosed, audit.OutcomeAbandoned
		told := p.story.gap.operations[string(o.ID)]
		if told == nil || told.ended == "" {
			p.closed(string(o.ID))
			continue
		}
		p.gone(told)
	}
	for _, id := range p.story.gap.order {
		o := p.story.gap.operations[id]
		if open[id] {
			continue
		}
		if o.ended == "" {
			p.closed(id)
		}
		p.gone(o)
	}
	return nil
}

// closed says in the log that an operation ended with the restore.
func (p *plan) closed(id string) {
	p.report.Replayed.Operations = append(p.report.Replayed.Operations, id)
	p.events = append(p.events, audit.SigningClosed{Operation: id, Outcome: audit.OutcomeAbandoned})
}

// gone notes an operation of which more happened than the rows say.
func (p *plan) gone(o *operation) {
	p.lost = append(p.lost, lost{store.LostOperation, o.id})
	switch {
	case o.ended == signed:
		p.report.lose("operation", o.id, "signed after the backup; whoever fetched the result has it with its receipt, else sign anew")
	case o.requested:
		p.report.lose("operation", o.id, "begun after the backup: begin it anew")
	}
}

func (p *plan) others() {
	for _, name := range p.story.gap.clients {
		p.report.lose("client request", name, "the client's certificate stays valid; only the answer to a repeated request is gone")
	}
	p.report.Replayed.Vouchers = sorted(p.story.gap.redeemed)
	p.report.Replayed.Tries = len(p.story.gap.tries)
	p.report.Replayed.Grants = len(p.story.grants)
	for _, r := range p.revoke {
		p.report.Replayed.Revoked = append(p.report.Replayed.Revoked, r.serial)
	}
}

func digest(b []byte) []byte {
	d := sha256.Sum256(b)
	return d[:]
}

func same(b, sum []byte) bool { return hmac.Equal(digest(b), sum) }

func sorted[T any](m map[string]T) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// notFound tells whether a row is not there.
func notFound(err error) bool { return errors.Is(err, store.ErrNotFound) }

// hash is the voucher's digest as the log writes it.
func hash(voucher string) []byte {
	b, err := hex.DecodeString(voucher)
	if err != nil {
		return bytes.Clone([]byte(voucher))
	}
	return b
}
