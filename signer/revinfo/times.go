package revinfo

import (
	"cmp"
	"crypto/x509"
	"fmt"
	"math/big"
	"time"
)

// refetch is how long what is kept is not fetched again although newer data are wanted.
const refetch = 5 * time.Second

// tooOld reports whether data were issued too long before the time in question.
func (c *Collector) tooOld(thisUpdate, nextUpdate time.Time, q question) bool {
	if !thisUpdate.Before(q.at) {
		return false
	}
	age := c.cfg.MaxAge
	if !q.endEntity {
		if age = c.cfg.MaxAgeCA; age == 0 && !nextUpdate.IsZero() {
			return false
		}
		age = cmp.Or(age, c.cfg.MaxAge)
	}
	return q.endEntity && c.cfg.AfterSignature || thisUpdate.Before(q.at.Add(-age))
}

// current judges the times of data, by the clock and by the time in question. retry is when newer data are due.
func (c *Collector) current(thisUpdate, nextUpdate time.Time, q question, retry time.Time) error {
	now := c.cfg.Now()
	switch {
	case thisUpdate.After(now.Add(c.cfg.Skew)):
		return fmt.Errorf("%w: they begin at %s", ErrStale, thisUpdate.UTC().Format(time.RFC3339))
	case !nextUpdate.IsZero() && nextUpdate.Before(thisUpdate):
		return fmt.Errorf("%w: they end before they begin", ErrStale)
	case !nextUpdate.IsZero() && now.After(nextUpdate.Add(c.cfg.Skew)):
		return fmt.Errorf("%w: they ended at %s", ErrStale, nextUpdate.UTC().Format(time.RFC3339))
	case !q.issuerEnd.IsZero() && !thisUpdate.Before(q.issuerEnd):
		return fmt.Errorf("revocation data on certificate %x: their issuer was revoked before", q.cert.SerialNumber)
	case c.tooOld(thisUpdate, nextUpdate, q):
		if first := now.Add(time.Minute); retry.Before(first) {
			retry = first
		}
		return &NotYetError{Serial: new(big.Int).Set(q.cert.SerialNumber), Retry: retry}
	}
	return nil
}

// ended refuses the silence of data that no longer speak of certificates which have ended (EN 319 102-1 clause 5.2.5).
func ended(thisUpdate, kept time.Time, cert *x509.Certificate) error {
	if thisUpdate.After(cert.NotAfter) && (kept.IsZero() || kept.After(cert.NotAfter)) {
		return fmt.Errorf("revocation data on certificate %x: issued after it ended, and they do not say that they still speak of it", cert.SerialNumber)
	}
	return nil
}
