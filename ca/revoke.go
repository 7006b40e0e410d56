package ca

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/ecsigner/ecsigner/ca/lint"
)

// Reason is why a certificate was revoked, by its number in RFC 5280 5.3.1.
type Reason int

// The reasons that are offered. Suspension (6) and its end (8) are not.
const (
	Unspecified          Reason = 0
	KeyCompromise        Reason = 1
	CACompromise         Reason = 2 // only of a CA certificate
	AffiliationChanged   Reason = 3
	Superseded           Reason = 4
	CessationOfOperation Reason = 5
	PrivilegeWithdrawn   Reason = 9
)

func (r Reason) offered(profile Profile) bool {
	switch r {
	case Unspecified, KeyCompromise, AffiliationChanged, Superseded, CessationOfOperation, PrivilegeWithdrawn:
		return true
	case CACompromise:
		return profile.authority()
	}
	return false
}

// Revoke revokes a certificate at a moment, for good (EN 319 411-1 REV-6.3.9-04). An intended certificate is revoked
// like an issued one, since it may have been signed. Repeating it with the same reason keeps the first time and
// succeeds. ErrNotFound, ErrAlreadyRevoked for another reason, ErrReason, ErrValidity for a time before notBefore.
func (a *Authority) Revoke(tx Tx, serial string, reason Reason, at time.Time) error {
	c, err := a.own(tx, serial)
	if err != nil {
		return err
	}
	if !reason.offered(c.Profile) {
		return fmt.Errorf("%w: %d for profile %s", ErrReason, reason, c.Profile)
	}
	if c.State == Revoked {
		if c.Reason == reason {
			return nil
		}
		return fmt.Errorf("%w: %s, with reason %d", ErrAlreadyRevoked, serial, c.Reason)
	}
	at = second(at)
	if at.Before(c.NotBefore) {
		return fmt.Errorf("%w: revocation at %s, before the certificate starts; check the clock", ErrValidity, at)
	}
	c.State, c.Reason, c.RevokedAt = Revoked, reason, at
	if err := tx.PutCertificate(c); err != nil {
		return fmt.Errorf("ca: store revocation: %w", err)
	}
	return nil
}

// CRL makes the CA's full revocation list, version 2, of those in revoked that this CA issued, expired ones included.
// previous is the DER of the list published last, nil for the first: the new list must follow it, with a higher number
// (now in nanoseconds, or one more than before), no earlier thisUpdate, and every former entry unchanged; ErrListOrder, and nothing is signed,
// if not. The list is judged before it is signed and compared and verified after. ErrLint, ErrSigning, ErrSignature.
func (a *Authority) CRL(ctx context.Context, previous []byte, revoked []Certificate, now time.Time) ([]byte, error) {
	if now.Before(a.cert.NotBefore) || now.After(a.cert.NotAfter) {
		return nil, fmt.Errorf("%w: the CA is not valid at %s", ErrValidity, now)
	}
	want := lint.WantCRL{Issuer: a.cert, Now: now, Lifetime: a.listLifetime(), Revoked: map[string]time.Time{}}
	var err error
	if want.Previous, err = a.parsePrevious(previous); err != nil {
		return nil, err
	}
	entries, err := a.entries(revoked)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		want.Revoked[fmt.Sprintf("%x", e.SerialNumber.Bytes())] = e.RevocationTime
	}
	judged, err := a.buildList(entries, listNumber(want.Previous, now), now)
	if err != nil {
		return nil, err
	}
	if err := judgeList(judged, want, a.zlint); err != nil {
		return nil, err
	}
	tbs, err := tbsOf(judged)
	if err != nil {
		return nil, err
	}
	der, err := signTBS(ctx, a.key, a.rand, tbs)
	if err != nil {
		return nil, err
	}
	want.Signed = true
	if err := judgeList(der, want, a.zlint); err != nil {
		return nil, err
	}
	if final, err := tbsOf(der); err != nil || !bytes.Equal(final, tbs) {
		return nil, fmt.Errorf("%w: the list changed while it was signed", ErrSignature)
	}
	return der, nil
}

func (a *Authority) listLifetime() time.Duration {
	if a.profile == Root {
		return a.cfg.CARLLifetime
	}
	return a.cfg.CRLLifetime
}

func (a *Authority) parsePrevious(der []byte) (*x509.RevocationList, error) {
	if der == nil {
		return nil, nil
	}
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		return nil, fmt.Errorf("%w: the former list cannot be read: %w", ErrListOrder, err)
	}
	if err := list.CheckSignatureFrom(a.cert); err != nil {
		return nil, fmt.Errorf("%w: the former list is not this CA's: %w", ErrListOrder, err)
	}
	return list, nil
}

// entries picks this CA's certificates, in the order of their revocation, so equal input gives equal lists.
func (a *Authority) entries(revoked []Certificate) ([]x509.RevocationListEntry, error) {
	revoked = slices.Clone(revoked)
	slices.SortFunc(revoked, func(x, y Certificate) int {
		if c := x.RevokedAt.Compare(y.RevokedAt); c != 0 {
			return c
		}
		return strings.Compare(x.Serial, y.Serial)
	})
	var out []x509.RevocationListEntry
	for _, c := range revoked {
		if c.State != Revoked || !bytes.Equal(c.Issuer, a.cert.RawSubject) {
			continue
		}
		serial, err := parseSerial(c.Serial)
		if err != nil {
			return nil, err
		}
		out = append(out, x509.RevocationListEntry{
			SerialNumber:   new(big.Int).SetBytes(serial),
			RevocationTime: second(c.RevokedAt),
			ReasonCode:     int(c.Reason),
		})
	}
	return out, nil
}

// listNumber rises with time, so that no list has to be remembered for it; two lists of one moment are numbered on.
func listNumber(previous *x509.RevocationList, now time.Time) *big.Int {
	number := big.NewInt(now.UnixNano())
	if previous != nil && previous.Number != nil && number.Cmp(previous.Number) <= 0 {
		number.Add(previous.Number, big.NewInt(1))
	}
	return number
}

// buildList makes the list under a fake issuer with a throwaway key, like draft.build.
func (a *Authority) buildList(entries []x509.RevocationListEntry, number *big.Int, now time.Time) ([]byte, error) {
	// EN 319 411-2 CSS-6.3.10-05: the list keeps expired certificates, from the CA's first day on.
	kept, err := asn1.MarshalWithParams(a.cert.NotBefore.UTC(), "generalized")
	if err != nil {
		return nil, fmt.Errorf("ca: expiredCertsOnCRL: %w", err)
	}
	algorithm, _, err := signatureAlgorithm(a.cert.PublicKey)
	if err != nil {
		return nil, err
	}
	throwaway, err := ecdsa.GenerateKey(a.cert.PublicKey.(*ecdsa.PublicKey).Curve, a.rand)
	if err != nil {
		return nil, fmt.Errorf("ca: throwaway key: %w", err)
	}
	fake := &x509.Certificate{RawSubject: a.cert.RawSubject, SubjectKeyId: a.cert.SubjectKeyId, KeyUsage: x509.KeyUsageCRLSign}
	der, err := x509.CreateRevocationList(a.rand, &x509.RevocationList{
		SignatureAlgorithm:        algorithm,
		RevokedCertificateEntries: entries,
		Number:                    number,
		ThisUpdate:                second(now),
		NextUpdate:                second(now).Add(a.listLifetime()),
		ExtraExtensions:           []pkix.Extension{{Id: oidExpiredCertsOnCRL, Value: kept}},
	}, fake, throwaway)
	if err != nil {
		return nil, fmt.Errorf("ca: build the list: %w", err)
	}
	return der, nil
}

// judgeList names a list that does not follow its predecessor apart from one that is wrong in itself.
func judgeList(der []byte, want lint.WantCRL, z *zlintRules) error {
	own := lint.CRL(der, want)
	if found := append(slices.Clone(own), z.list(der)...); len(found) > 0 {
		kind := ErrLint
		if alone := want; want.Previous != nil {
			alone.Previous = nil
			if len(lint.CRL(der, alone)) < len(own) {
				kind = errors.Join(ErrListOrder, ErrLint)
			}
		}
		return fmt.Errorf("%w: %s", kind, lint.Describe(found))
	}
	return nil
}
