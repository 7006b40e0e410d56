package enrol

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/call"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/custody"
	"github.com/ecsigner/ecsigner/enrol/agreement"
	"github.com/ecsigner/ecsigner/enrol/voucher"
	"github.com/ecsigner/ecsigner/sam"
)

// Create redeems a voucher: of many who try the same one at the same time exactly one gets the enrolment. person is the
// portal's key of the person, for which wrong codes are counted, or empty. Errors: ErrVoucherCode (mistyped), ErrVoucher,
// ErrVoucherUsed, ErrVoucherExpired, ErrVoucherRate, ErrProduct, ErrLanguage.
func (s *Service) Create(ctx context.Context, caller, requestID, voucherCode, language, person string) (View, error) {
	if languages := agreement.Languages(); !slices.Contains(languages, language) {
		return View{}, call.Wrong("language", fmt.Errorf("%w: choose one of %s", ErrLanguage, strings.Join(languages, ", ")))
	}
	person, err := voucher.Guesser(caller, person)
	if err != nil {
		return View{}, err
	}
	code, err := voucher.Normal(voucherCode)
	if err != nil {
		return View{}, s.guarded(ctx, caller, person, func() error { return err })
	}
	hash := digest([]byte(code))
	r, err := call.NewRequest(caller, requestID, "CreateEnrolment", hex.EncodeToString(hash), language)
	if err != nil {
		return View{}, err
	}
	var earlier string
	err = s.Store.View(ctx, func(tx Tx) (err error) {
		earlier, _, err = r.Answered(tx)
		return err
	})
	if err != nil {
		return View{}, err
	}
	var v View
	if earlier == "" {
		err = s.guarded(ctx, caller, person, func() error {
			return call.Again(ctx, func() (err error) {
				v, earlier, err = s.redeemed(ctx, r, hash, language)
				return err
			})
		})
	}
	if earlier != "" && err == nil {
		return s.Get(ctx, caller, earlier)
	}
	return v, err
}

// redeemed makes the enrolment that a voucher pays for; earlier is the one of the same request, made meanwhile.
func (s *Service) redeemed(ctx context.Context, r call.Request, hash []byte, language string) (v View, earlier string, err error) {
	voucher, product, err := s.payment(ctx, hash)
	if err != nil {
		return View{}, "", err
	}
	n, err := s.created(ctx, r.Caller, hash, product.Name, language)
	if err != nil {
		return View{}, "", err
	}
	_, err = s.Store.Update(ctx, func(tx Tx) error {
		var done bool
		if earlier, done, err = r.Answered(tx); err != nil || done {
			return err
		}
		if err := redeem(tx, voucher, n.row.ID, n.sealed.At); err != nil {
			return err
		}
		if err := tx.PutEnrolment(n.row); err != nil {
			return err
		}
		tx.Append(audit.EnrolmentCreated{Enrolment: n.row.ID, Voucher: hex.EncodeToString(hash), Caller: r.Caller})
		tx.Append(audit.EnrolmentChanged{
			Enrolment: n.row.ID, Version: n.row.Version, State: n.row.State, Caller: r.Caller, Record: digest(n.row.Sealed.Record),
		})
		return r.Put(tx, n.row.ID)
	})
	return view(n), earlier, err
}

// created makes the first sealed record of an enrolment.
func (s *Service) created(ctx context.Context, caller string, voucher []byte, product, language string) (record, error) {
	id, err := s.room.NewID("enr-")
	if err != nil {
		return record{}, err
	}
	signatory, err := s.room.NewID("sig-")
	if err != nil {
		return record{}, err
	}
	now := s.now()
	first := record{
		row:    Enrolment{ID: id, Caller: caller, Language: language, Created: now, Expires: now.Add(s.Life)},
		sealed: sam.Enrolment{ID: id, Caller: caller, Voucher: voucher, Product: product, Signatory: signatory},
	}
	return s.next(ctx, first, now, StateCreated, func(*sam.Enrolment, *Enrolment) {})
}

// redeem spends a voucher, as it was read before, for an enrolment.
func redeem(tx Tx, read Voucher, enrolment string, now time.Time) error {
	v, err := tx.Voucher(read.Hash)
	switch {
	case custody.IsNotFound(err):
		return call.Wrong("voucher", ErrVoucher)
	case err != nil:
		return err
	case v.Enrolment != "":
		return call.Wrong("voucher", ErrVoucherUsed)
	case !now.Before(v.Expires):
		return call.Wrong("voucher", ErrVoucherExpired)
	case v.Product != read.Product || v.Years != read.Years:
		return ErrConflict
	}
	v.Enrolment = enrolment
	return tx.PutVoucher(v)
}

// SetParameters chooses what kind of certificate it will be. It can be called again until the agreement is accepted; what
// was done on the former parameters is then void, and the person gives their data again.
func (s *Service) SetParameters(ctx context.Context, caller, id, requestID string, p Parameters) (View, error) {
	if err := checkParameters(p); err != nil {
		return View{}, err
	}
	body := []string{id, strconv.Itoa(int(p.Years)), p.IdentifierType, string(p.Algorithm)}
	if p.ForOrganisation {
		body = append(body, "for an organisation")
	}
	r, err := call.NewRequest(caller, requestID, "SetParameters", body...)
	if err != nil {
		return View{}, err
	}
	return s.transit(ctx, r, id, func(from record, now time.Time) (change, error) {
		if err := from.first(now, append(correctable(), StateCreated)...); err != nil {
			return change{}, err
		}
		product, paid := voucher.Unnamed(), func(tx Tx) error { return paidFor(tx, from.sealed.Voucher, p.Years) }
		if from.sealed.Product != "" {
			paid = func(Tx) error { return nil }
			var err error
			if product, err = s.product(from.sealed.Product, 0); err != nil {
				return change{}, call.Wrong("enrolment_id", err)
			}
		}
		if err := product.Allows(p); err != nil {
			return change{}, err
		}
		to, err := s.next(ctx, from, now, StateParameters, func(e *sam.Enrolment, row *Enrolment) {
			unprove(from, e, row)
			e.Confirmed = ""
			e.Years, e.Type, e.Algorithm, e.ForOrg = p.Years, p.IdentifierType, p.Algorithm, p.ForOrganisation
		})
		return change{to: to, also: func(tx Tx) error {
			if err := custody.Void(tx, from.row.Challenge, now); err != nil {
				return err
			}
			return paid(tx)
		}}, err
	})
}

// checkParameters judges parameters by themselves.
func checkParameters(p Parameters) error {
	switch {
	case p.Years < 1 || p.Years > voucher.MaxYears:
		return call.Wrong("years", fmt.Errorf("%w: 1 to %d years", ErrYears, voucher.MaxYears))
	case !slices.Contains(voucher.IdentifierTypes(), p.IdentifierType):
		return call.Wrong("identifier_type", fmt.Errorf("%w: choose one of %v", ErrIdentifier, voucher.IdentifierTypes()))
	case len(p.Algorithm.Schemes()) == 0:
		return call.Wrong("algorithm", fmt.Errorf("%w: choose one of %v", ErrAlgorithm, credential.Algorithms()))
	}
	return nil
}

// paidFor holds the years against the voucher of an enrolment that began before there was a catalogue.
func paidFor(tx Tx, voucher []byte, years uint8) error {
	v, err := tx.Voucher(voucher)
	if err != nil {
		return fmt.Errorf("reading the redeemed voucher: %w", err)
	}
	if years > v.Years {
		return call.Wrong("years", fmt.Errorf("%w: the voucher pays for %d", ErrYears, v.Years))
	}
	return nil
}

// SetPersonalData takes the data that identity proofing will have to prove. Until the agreement is accepted the person can
// correct them: a phone confirmed before is then to be confirmed again; proofing, agreement and its code are void.
func (s *Service) SetPersonalData(ctx context.Context, caller, id, requestID string, d PersonalData) (View, error) {
	d = d.Normal()
	body := []string{id, d.GivenName, d.Surname, d.LocalName, d.Country, d.Identifier, d.BirthDate, d.Phone}
	if d.Organisation != "" || d.OrganisationID != "" {
		body = append(body, d.Organisation, d.OrganisationID)
	}
	r, err := call.NewRequest(caller, requestID, "SetPersonalData", body...)
	if err != nil {
		return View{}, err
	}
	return s.transit(ctx, r, id, func(from record, now time.Time) (change, error) {
		err := from.first(now, correctable()...)
		if err != nil {
			return change{}, err
		}
		if err := d.CheckOrganisation(from.sealed.ForOrg); err != nil {
			return change{}, err
		}
		person, err := d.Check(from.sealed.Type, now)
		if err != nil {
			return change{}, err
		}
		trial, row := from.sealed, from.row
		trial.Person, row.Phone = person, d.Phone
		if _, _, err := s.rehearse(trial, row, now); err != nil {
			return change{}, err
		}
		salt, err := s.room.Random(16)
		if err != nil {
			return change{}, err
		}
		to, err := s.next(ctx, from, now, StateData, func(e *sam.Enrolment, row *Enrolment) {
			unprove(from, e, row)
			e.Person, e.Phone, e.Confirmed = person, sam.PhoneCommitment(salt, d.Phone), ""
			row.Phone, row.PhoneSalt, row.BirthDate = d.Phone, salt, d.BirthDate
		})
		return change{to: to, also: func(tx Tx) error { return custody.Void(tx, from.row.Challenge, now) }}, err
	})
}

// correctable are the states in which the person may still change what they said: all from the parameters to the
// acceptance of the agreement.
func correctable() []State {
	return []State{StateParameters, StateData, StatePhone, StateProofing, StateDeferred, StateReview, StateProven}
}

// unprove takes back what identity proofing proved and everything that rests on it. A code of the agreement is no longer
// the current one; a phone's stays, so that corrections do not buy more codes.
func unprove(from record, e *sam.Enrolment, row *Enrolment) {
	e.Identity, e.Agreement = sam.Identity{}, nil
	e.AcceptedBy, e.AcceptedAt, e.Consents, e.Credential = "", time.Time{}, nil, ""
	row.Agreement, row.Proofing = nil, Proofing{}
	if from.sealed.State == StateProven {
		row.Challenge = ""
	}
}

// Cancel gives an enrolment up. The voucher stays spent. An accepted agreement can no longer be cancelled, only the
// certificate revoked.
func (s *Service) Cancel(ctx context.Context, caller, id, requestID string) (View, error) {
	r, err := call.NewRequest(caller, requestID, "CancelEnrolment", id)
	if err != nil {
		return View{}, err
	}
	return s.transit(ctx, r, id, func(from record, now time.Time) (change, error) {
		if !slices.Contains(append(correctable(), StateCreated), from.sealed.State) {
			return change{}, from.in(now)
		}
		to, err := s.next(ctx, from, now, StateCancelled, func(*sam.Enrolment, *Enrolment) {})
		return change{
			to:    to,
			after: []audit.Event{audit.EnrolmentClosed{Enrolment: id, Outcome: audit.OutcomeCancelled}},
			also:  func(tx Tx) error { return custody.Void(tx, from.row.Challenge, now) },
		}, err
	})
}
