package sam

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"

	"github.com/ecsigner/ecsigner/credential"
)

// A renewal makes a new key for a person whose identity was proven for an earlier credential, because the earlier key
// signed the new agreement (ETSI EN 319 411-1 clause 6.3.6; EN 319 412-5 clause 4.2.8, identification by a certificate of
// a qualified signature). Its enrolment names the credential that it renews and carries what was proven then.

// MayRenew reports as ErrNotAuthorised why this enrolment does not renew the credential of a binding, which original led
// to. It does not look at whether the agreement was accepted; MayIssue does.
func (e Enrolment) MayRenew(original Enrolment, b credential.Binding) error {
	for _, rule := range []struct {
		holds bool
		text  string
	}{
		{e.Renews != "" && e.Renews == b.ID, "enrolment renews another credential"},
		{b.Status == credential.Active, "the renewed credential is not active"},
		{original.State == StateIssued && original.Credential == b.ID, "the original enrolment led to another credential"},
		{original.Renews == "", "the renewed credential is itself a renewal"},
		{original.Identity.Outcome == Positive && e.Identity.same(original.Identity), "the identity is not the one that was proven"},
		{e.Person == original.Identity.Person && e.ForOrg == original.ForOrg, "the person is not the one that was proven"},
		{e.Signatory == original.Signatory, "the signatory is another one"},
		{e.Signatory == b.Signatory, "the credential is another signatory's"},
		{len(e.Phone) > 0 && hmac.Equal(e.Phone, b.Phone) && hmac.Equal(e.Phone, original.Phone), "the phone is another one"},
		{e.Confirmed == original.Confirmed, "the phone was confirmed otherwise"},
		{e.Caller == original.Caller, "the person was enrolled by another client"},
	} {
		if !rule.holds {
			return fmt.Errorf("%w: %s", ErrNotAuthorised, rule.text)
		}
	}
	return nil
}

// renewed holds what MayIssue asks of a renewal beside what it asks of every enrolment.
func (e Enrolment) renewed() error {
	switch {
	case e.Renews == "":
		return nil
	case len(e.Signed) != sha256.Size || e.SignedAs == "":
		return fmt.Errorf("%w: the agreement is not signed with the renewed credential", ErrNotAuthorised)
	case e.AcceptedAt.After(e.ProofEnds):
		return fmt.Errorf("%w: the identity was proven too long ago", ErrNotAuthorised)
	}
	return nil
}

// same reports whether two results of identity proofing are one.
func (i Identity) same(other Identity) bool {
	return i.Outcome == other.Outcome && i.Provider == other.Provider && i.Reference == other.Reference &&
		i.Session == other.Session && i.Method == other.Method && hmac.Equal(i.Report, other.Report) &&
		hmac.Equal(i.Evidence, other.Evidence) && i.Person == other.Person && hmac.Equal(i.Phone, other.Phone) &&
		i.At.Equal(other.At)
}

// Renewing is everything that must agree before a key is made for a renewal.
type Renewing struct {
	Enrolment credential.Sealed
	Original  credential.Sealed // the enrolment that led to the renewed credential
	Binding   credential.Sealed // of the renewed credential
}

// GenerateRenewal makes the signatory's key for a renewal: what Generate asks for, and that original enrolment and binding
// are those of the renewed credential, which is still active. ErrNotAuthorised, ErrSeal, ErrStale.
func (m *Module) GenerateRenewal(ctx context.Context, r Renewing) (GeneratedKey, error) {
	e, err := m.OpenEnrolment(ctx, r.Enrolment)
	if err != nil {
		return GeneratedKey{}, err
	}
	original, err := m.OpenEnrolment(ctx, r.Original)
	if err != nil {
		return GeneratedKey{}, err
	}
	b, err := m.OpenBinding(ctx, r.Binding)
	if err != nil {
		return GeneratedKey{}, err
	}
	if err := e.MayIssue(); err != nil {
		return GeneratedKey{}, err
	}
	if err := e.MayRenew(original, b); err != nil {
		return GeneratedKey{}, err
	}
	return m.generate(ctx, e)
}
