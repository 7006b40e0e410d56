package tenure

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/ecsigner/ecsigner/ca"
	"github.com/ecsigner/ecsigner/custody"
	"github.com/ecsigner/ecsigner/sam"
)

// crlRecheck is how long a list is served before the store is asked again whether another process revoked something:
// with the sixty minutes promised for publication there is ample room.
const crlRecheck = time.Minute

// revocationList is the newest list that this process made.
type revocationList struct {
	der     []byte
	list    *x509.RevocationList
	checked time.Time // when the store was last asked; zero: ask now
	stale   bool      // another one is wanted, however young it is
}

// Revoked says that the certificate with this serial number was revoked: no list without it is made from now on. It is
// called after each revocation, and at start for those in the operation log, so that a database put back cannot make a
// revoked certificate look good.
func (s *Service) Revoked(serial string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revoked[serial] = true
	s.crl.checked = time.Time{} // the next call looks at the store
}

// CRL returns the current revocation list in DER. It is made again once half its life is over and after a revocation.
// When that fails, the former list is served until its nextUpdate, and Alarm is told.
func (s *Service) CRL(ctx context.Context) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if s.crl.list != nil && now.Sub(s.crl.checked) < crlRecheck && !s.crl.ageing(now) {
		return s.crl.der, nil
	}
	made, err := s.newCRL(ctx, now)
	switch {
	case err == nil:
		s.crl = made
		return made.der, nil
	case s.crl.list != nil && now.Before(s.crl.list.NextUpdate):
		s.Alarm(ctx, "crl", s.Authority.Certificate().Subject.CommonName, err)
		return s.crl.der, nil
	}
	return nil, err
}

// FreshCRL returns a list that was made in the present second, or now: what proves of a signature a moment ago that its
// certificate was not revoked then. Errors are those of making a list; there is no former one to fall back on.
func (s *Service) FreshCRL(ctx context.Context) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if l := s.crl.list; l != nil && l.ThisUpdate.Before(now.Truncate(time.Second)) {
		s.crl.stale = true
		defer func() { s.crl.stale = false }()
	}
	made, err := s.newCRL(ctx, now)
	if err != nil {
		return nil, err
	}
	s.crl = made
	return made.der, nil
}

// ageing reports whether half the life of the list is over.
func (l revocationList) ageing(now time.Time) bool {
	return now.Sub(l.list.ThisUpdate) >= l.list.NextUpdate.Sub(l.list.ThisUpdate)/2
}

// newCRL returns the list to serve from now on: the present one if it is young and holds every revocation.
func (s *Service) newCRL(ctx context.Context, now time.Time) (revocationList, error) {
	var revoked []ca.Certificate
	err := s.Store.View(ctx, func(tx Tx) (err error) {
		revoked, err = tx.RevokedCertificates()
		return err
	})
	if err != nil {
		return revocationList{}, err
	}
	issuer := string(s.Authority.Certificate().RawSubject)
	missing := maps.Clone(s.revoked)
	entries := 0
	for _, c := range revoked {
		delete(missing, c.Serial)
		if string(c.Issuer) == issuer {
			entries++
		}
	}
	for serial := range missing {
		return revocationList{}, s.room.Integrity(ctx, "certificate", serial, fmt.Errorf("%w: the certificate is revoked no more", sam.ErrSeal))
	}
	l := s.crl
	if l.list != nil && !l.stale && !l.ageing(now) && len(l.list.RevokedCertificateEntries) == entries {
		l.checked = now
		return l, nil
	}
	at, err := l.follows(revoked, now)
	if err != nil {
		return revocationList{}, err
	}
	if l.der, err = s.Authority.CRL(ctx, s.crl.der, revoked, at); err != nil {
		return revocationList{}, err
	}
	if l.list, err = x509.ParseRevocationList(l.der); err != nil {
		return revocationList{}, errors.Join(ca.ErrSignature, err)
	}
	l.checked, l.stale = now, false
	return l, nil
}

// follows is the time of the list that comes after l and holds these revocations: now, or a little later where the clock
// stepped back since the latest of them. ErrClock where the step was larger than that: such a list would be from the future.
func (l revocationList) follows(revoked []ca.Certificate, now time.Time) (time.Time, error) {
	at := now
	if l.list != nil && l.list.ThisUpdate.After(at) {
		at = l.list.ThisUpdate
	}
	for _, c := range revoked {
		if c.RevokedAt.After(at) {
			at = c.RevokedAt
		}
	}
	if at.Sub(now) > custody.MaxBack {
		return time.Time{}, fmt.Errorf("%w; set it right, something was revoked at %s already", ErrClock, at.UTC().Format(time.RFC3339))
	}
	return at, nil
}
