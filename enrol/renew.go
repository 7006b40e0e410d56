package enrol

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/call"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/custody"
	"github.com/ecsigner/ecsigner/enrol/voucher"
	"github.com/ecsigner/ecsigner/sam"
)

// RenewalRequest asks for another credential for the person of one that is about to end.
type RenewalRequest struct {
	Credential credential.ID // that is renewed; it stays until it ends
	Voucher    string        // code
	Parameters Parameters    // of the new certificate; the identifier type is the former
}

// CreateRenewal redeems a voucher for an enrolment that renews a credential: same person, same phone, the identity as it
// was proven for the credential, and so at once an agreement to accept. The acceptance is also a signature of the current
// credential over that agreement (ETSI EN 319 411-1 clause 6.3.6). Only the portal that enrolled the person may ask; foreign
// and unknown credentials are both ErrNotFound. RenewalError says why a credential cannot be renewed; errors of vouchers
// and parameters are those of Create and SetParameters.
func (s *Service) CreateRenewal(ctx context.Context, caller, requestID string, q RenewalRequest) (View, error) {
	p := q.Parameters
	if err := checkParameters(p); err != nil {
		return View{}, err
	}
	code, err := voucher.Normal(q.Voucher)
	if err != nil {
		return View{}, s.guarded(ctx, caller, "", func() error { return err })
	}
	hash := digest([]byte(code))
	r, err := call.NewRequest(caller, requestID, "CreateRenewal", string(q.Credential), hex.EncodeToString(hash),
		strconv.Itoa(int(p.Years)), p.IdentifierType, string(p.Algorithm))
	if err != nil {
		return View{}, err
	}
	var v View
	err = call.Again(ctx, func() error {
		e, err := s.enrolled(ctx, r, q.Credential)
		if err != nil {
			return err
		}
		if e.done {
			v, err = s.Get(ctx, caller, e.result)
			return err
		}
		return s.guarded(ctx, caller, "", func() (err error) {
			v, err = s.createRenewal(ctx, r, e, hash, p)
			return err
		})
	})
	return v, err
}

func (s *Service) createRenewal(ctx context.Context, r call.Request, e enrolled, hash []byte, p Parameters) (View, error) {
	now := s.now()
	if err := s.renewable(e.Held, e.origin.sealed, now); err != nil {
		return View{}, err
	}
	if p.IdentifierType != e.origin.sealed.Type {
		return View{}, call.Wrong("identifier_type", fmt.Errorf("%w: the renewed certificate names %s", ErrIdentifier, e.origin.sealed.Type))
	}
	voucher, product, err := s.payment(ctx, hash)
	if err != nil {
		return View{}, err
	}
	p.ForOrganisation = e.origin.sealed.ForOrg
	if err := product.Allows(p); err != nil {
		return View{}, err
	}
	first, err := s.renewalOf(r.Caller, e, hash, product.Name, p, now)
	if err != nil {
		return View{}, err
	}
	document, language, err := s.rehearse(first.sealed, first.row, now)
	if err != nil {
		return View{}, err
	}
	n, err := s.next(ctx, first, now, StateProven, func(e *sam.Enrolment, row *Enrolment) {
		e.Agreement, row.Agreement = digest(document), document
	})
	if err != nil {
		return View{}, err
	}
	if err := n.sealed.MayRenew(e.origin.sealed, e.Binding); err != nil {
		return View{}, err
	}
	opened, err := s.opened(n.row.ID, language, document)
	if err != nil {
		return View{}, err
	}
	_, err = s.Store.Update(ctx, func(tx Tx) error {
		if err := e.Unchanged(tx); err != nil {
			return err
		}
		if err := redeem(tx, voucher, n.row.ID, now); err != nil {
			return err
		}
		if err := tx.PutEnrolment(n.row); err != nil {
			return err
		}
		if err := opened(tx); err != nil {
			return err
		}
		tx.Append(audit.EnrolmentCreated{Enrolment: n.row.ID, Voucher: hex.EncodeToString(hash), Caller: r.Caller})
		tx.Append(audit.RenewalCreated{
			Enrolment: n.row.ID, Credential: string(e.Row.ID), Original: e.origin.row.ID, Caller: r.Caller,
		})
		tx.Append(audit.AgreementPrepared{
			Enrolment: n.row.ID, Document: n.sealed.Agreement, Version: s.Terms.Version, Language: language,
		})
		tx.Append(audit.EnrolmentChanged{
			Enrolment: n.row.ID, Version: n.row.Version, State: n.row.State, Caller: r.Caller, Record: digest(n.row.Sealed.Record),
		})
		return r.Put(tx, n.row.ID)
	})
	return view(n), err
}

// enrolled is a credential as the portal that enrolled its person meets it.
type enrolled struct {
	custody.Held
	origin record // the enrolment that led to it
	result string // of the same request before
	done   bool
}

// enrolled reads a credential for the portal that enrolled its person; to every other client it does not exist.
func (s *Service) enrolled(ctx context.Context, r call.Request, id credential.ID) (enrolled, error) {
	var e enrolled
	var row credential.Record
	var origin Enrolment
	err := s.Store.View(ctx, func(tx Tx) (err error) {
		if e.result, e.done, err = r.Answered(tx); err != nil {
			return err
		}
		if row, err = tx.Credential(id); err != nil {
			return err
		}
		origin, err = tx.Enrolment(row.Enrolment)
		return err
	})
	if err != nil {
		return enrolled{}, err
	}
	if e.origin, err = s.open(ctx, origin); err != nil {
		return enrolled{}, err
	}
	if e.origin.sealed.Caller != r.Caller || e.origin.sealed.Credential != id {
		return enrolled{}, ErrNotFound
	}
	e.Held, err = s.room.Open(ctx, row)
	return e, err
}

// payment reads a voucher and the product that it pays for.
func (s *Service) payment(ctx context.Context, hash []byte) (Voucher, Product, error) {
	var v Voucher
	err := s.Store.View(ctx, func(tx Tx) (err error) {
		v, err = tx.Voucher(hash)
		return err
	})
	if custody.IsNotFound(err) {
		return Voucher{}, Product{}, call.Wrong("voucher", ErrVoucher)
	}
	if err != nil {
		return Voucher{}, Product{}, err
	}
	p, err := s.product(v.Product, v.Years)
	if err != nil {
		return Voucher{}, Product{}, call.Wrong("voucher", err)
	}
	return v, p, nil
}

// renewalOf makes the record of a renewal before its agreement: everything about the person is the original's.
func (s *Service) renewalOf(caller string, e enrolled, voucher []byte, product string, p Parameters, now time.Time) (record, error) {
	id, err := s.room.NewID("enr-")
	if err != nil {
		return record{}, err
	}
	expires := now.Add(s.Life)
	if e.Row.NotAfter.Before(expires) {
		expires = e.Row.NotAfter // nothing is signed with an ended certificate
	}
	origin := e.origin.sealed
	return record{
		row: Enrolment{
			ID: id, Caller: caller, Language: e.Row.Language, Phone: e.Row.Phone, PhoneSalt: e.Row.PhoneSalt,
			BirthDate: e.origin.row.BirthDate, Proofing: Proofing{Report: e.origin.row.Proofing.Report}, Created: now, Expires: expires,
		},
		sealed: sam.Enrolment{
			ID: id, Caller: caller, Voucher: voucher, Product: product, Signatory: origin.Signatory,
			Years: p.Years, Algorithm: p.Algorithm, Type: p.IdentifierType, ForOrg: origin.ForOrg,
			Person: origin.Identity.Person, Phone: origin.Phone, Confirmed: origin.Confirmed, Identity: origin.Identity,
			Renews: e.Row.ID, ProofEnds: origin.Identity.At.Add(s.Renewal.ProofAge),
		},
	}, nil
}

// renewable says why a credential that original led to cannot be renewed now, as a RenewalError.
func (s *Service) renewable(h custody.Held, original sam.Enrolment, now time.Time) error {
	for _, rule := range []struct {
		holds   bool
		because string
	}{
		{s.Renewal.Window > 0, RenewalNotOffered},
		{h.Binding.Status == credential.Active, RenewalStatus},
		{now.Before(h.Row.NotAfter), RenewalEnded},
		{h.Row.NotAfter.Sub(now) <= s.Renewal.Window, RenewalTooEarly},
		{original.Renews == "", RenewalOfRenewal},
		{original.Identity.Outcome == Positive && !now.After(original.Identity.At.Add(s.Renewal.ProofAge)), RenewalProofTooOld},
	} {
		if !rule.holds {
			return &RenewalError{rule.because}
		}
	}
	return nil
}

// Origin returns the sealed record of an enrolment, for who looks after the credential that it led to. ErrNotFound.
func (s *Service) Origin(ctx context.Context, enrolment string) (sam.Enrolment, error) {
	r, err := s.any(ctx, enrolment)
	return r.sealed, err
}

// RenewFrom says from when a credential that an enrolment led to can be renewed; zero where it cannot.
func (s *Service) RenewFrom(h custody.Held, original sam.Enrolment, now time.Time) time.Time {
	from := h.Row.NotAfter.Add(-s.Renewal.Window)
	if s.renewable(h, original, later(from, now)) != nil {
		return time.Time{}
	}
	return from
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// first is in for what a renewal takes from its original and cannot change.
func (r record) first(now time.Time, states ...State) error {
	if err := r.in(now, states...); err != nil {
		return err
	}
	if r.sealed.Renews != "" {
		return &StateError{State: r.sealed.State, Next: r.next(), Hint: "a renewal has the data of the credential that it renews"}
	}
	return nil
}

// renewed reads the credential that an enrolment renews, and the enrolment that led to it, both checked.
func (s *Service) renewed(ctx context.Context, r record) (h custody.Held, original record, err error) {
	if h, err = s.room.Credential(ctx, r.sealed.Renews); err != nil {
		return custody.Held{}, record{}, err
	}
	original, err = s.any(ctx, h.Row.Enrolment)
	return h, original, err
}

// generate has the key of an enrolment made.
func (s *Service) generate(ctx context.Context, r record) (sam.GeneratedKey, error) {
	if r.sealed.Renews == "" {
		return s.Trust.Generate(ctx, r.row.Sealed)
	}
	h, original, err := s.renewed(ctx, r)
	if err != nil {
		return sam.GeneratedKey{}, err
	}
	return s.Trust.GenerateRenewal(ctx, sam.Renewing{
		Enrolment: r.row.Sealed, Original: original.row.Sealed, Binding: h.Row.Sealed,
	})
}

// issueable leads an accepted renewal to where its key may be made: the agreement is signed with the current credential.
// Where that can no longer be, the record it returns is not in state issuing.
func (s *Service) issueable(ctx context.Context, r record) (record, error) {
	if r.sealed.Renews == "" || len(r.sealed.TBS) > 0 {
		return r, nil
	}
	h, original, err := s.renewed(ctx, r)
	if err != nil {
		return record{}, err
	}
	now := s.now()
	if err := r.sealed.MayRenew(original.sealed, h.Binding); errors.Is(err, sam.ErrNotAuthorised) {
		return s.giveUp(ctx, r, now) // it was revoked after the acceptance
	}
	if len(r.sealed.Signed) > 0 {
		return r, nil
	}
	if !now.Before(h.Row.NotAfter) {
		return s.giveUp(ctx, r, now)
	}
	return s.signAgreement(ctx, r, h)
}

// giveUp ends a renewal whose credential cannot sign, or vouch for a new key, any more. The voucher stays spent.
func (s *Service) giveUp(ctx context.Context, r record, now time.Time) (record, error) {
	n, err := s.next(ctx, r, now, StateCancelled, func(*sam.Enrolment, *Enrolment) {})
	if err != nil {
		return record{}, err
	}
	_, err = s.Store.Update(ctx, func(tx Tx) error {
		if err := n.put(tx, r, ""); err != nil {
			return err
		}
		tx.Append(audit.EnrolmentClosed{Enrolment: r.row.ID, Outcome: audit.OutcomeCancelled})
		return nil
	})
	return n, err
}
