package tenure

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

// ErrStaleCRL: the revocation list that is served is older than promised, or lacks a revocation.
var ErrStaleCRL = errors.New("enrol: revocation list is stale")

// CRLFresh tells whether the list that CRL serves is what is promised: it holds every revocation, and it was made anew
// when half its life was over, or at the latest after three quarters, so that a failing device is noticed long before
// verifiers refuse the list. It has the list made where that is due.
func (s *Service) CRLFresh(ctx context.Context) error {
	if _, err := s.CRL(ctx); err != nil {
		return fmt.Errorf("%w: %w", ErrStaleCRL, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.crl.list
	if late := list.NextUpdate.Add(-list.NextUpdate.Sub(list.ThisUpdate) / 4); s.now().After(late) {
		return fmt.Errorf("%w: it should have been made anew before %s", ErrStaleCRL, late.UTC().Format("2006-01-02 15:04"))
	}
	held := make(map[string]bool, len(list.RevokedCertificateEntries))
	for _, e := range list.RevokedCertificateEntries {
		held[hex.EncodeToString(e.SerialNumber.Bytes())] = true
	}
	for serial := range s.revoked {
		if !held[serial] {
			return fmt.Errorf("%w: it lacks certificate %s", ErrStaleCRL, serial)
		}
	}
	return nil
}

// CRLTimes returns the times of the list that is served now, zero before the first. It makes none.
func (s *Service) CRLTimes() (thisUpdate, nextUpdate time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.crl.list == nil {
		return time.Time{}, time.Time{}
	}
	return s.crl.list.ThisUpdate, s.crl.list.NextUpdate
}
