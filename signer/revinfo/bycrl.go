package revinfo

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ecsigner/ecsigner/signer/revinfo/status"
)

// byLocal uses the caller's own list.
func (c *Collector) byLocal(_ context.Context, q question) (proof, []error) {
	if c.cfg.Local == nil {
		return proof{}, []error{fmt.Errorf("local list: %w", errAbsent)}
	}
	der, ok := c.cfg.Local(q.issuer)
	if !ok {
		return proof{}, []error{fmt.Errorf("local list: %w", errAbsent)}
	}
	l, err := status.ParseList(der)
	if err == nil {
		err = l.Authentic(q.issuer)
	}
	if err != nil {
		return proof{}, []error{fmt.Errorf("local list: %w", err)}
	}
	found, err := c.judgeCRL(l, q)
	var late *NotYetError
	if errors.As(err, &late) {
		late.Retry = earlier(c.soon(q.at.Sub(l.ThisUpdate)), late.Retry) // asking the caller again costs little
	}
	return one(found, err)
}

// soon is when to ask again a source that may make new data at any time. Where only a little is missing, so that clocks or
// whole seconds may be the reason, that is in a moment.
func (c *Collector) soon(missing time.Duration) time.Time {
	if missing <= c.cfg.Skew {
		return c.cfg.Now().Add(missing + refetch)
	}
	return c.cfg.Now().Add(again)
}

func one(p proof, err error) (proof, []error) {
	if err != nil {
		return proof{}, []error{err}
	}
	return p, nil
}

// byCRL tries the distribution points of the certificate.
func (c *Collector) byCRL(ctx context.Context, q question) (proof, []error) {
	addresses, failed := status.URLs(q.cert)
	for _, u := range pages(addresses) {
		l, err := c.list(ctx, u, q)
		if err == nil {
			var found proof
			if found, err = c.judgeCRL(l, q); err == nil {
				return found, nil
			}
		}
		failed = append(failed, err)
		if errors.Is(err, ErrRevoked) {
			break // whatever others say
		}
	}
	if len(failed) == 0 {
		failed = []error{fmt.Errorf("revocation list over http: %w", errAbsent)}
	}
	return proof{}, failed
}

// pages leaves the addresses that can be fetched, as many as are tried.
func pages(addresses []string) (list []string) {
	for _, u := range addresses {
		low := strings.ToLower(u)
		if (strings.HasPrefix(low, "http://") || strings.HasPrefix(low, "https://")) && !slices.Contains(list, u) && len(list) < maxURLs {
			list = append(list, u)
		}
	}
	return list
}

// identity names a key and a name in keys of the cache.
func identity(c *x509.Certificate) string {
	h := sha256.New()
	h.Write(c.RawSubject)
	h.Write(c.RawSubjectPublicKeyInfo)
	return string(h.Sum(nil))
}

// list returns what is kept or fetches it. Nothing is kept that the issuer did not sign.
func (c *Collector) list(ctx context.Context, address string, q question) (*status.List, error) {
	now := c.cfg.Now()
	enough := func(i *item) bool {
		l := i.read.(*status.List)
		return now.Sub(i.fetched) < refetch || !c.tooOld(l.ThisUpdate, l.NextUpdate, q)
	}
	i, err := c.cache.get(ctx, "list "+identity(q.issuer)+address, now, enough, func(ctx context.Context) (*item, error) {
		der, err := c.reach(address, now, func() ([]byte, error) { return c.fetch.Get(ctx, address, "application/pkix-crl", c.cfg.MaxCRL) })
		if err != nil {
			return nil, err
		}
		l, err := status.ParseList(der)
		if err == nil {
			err = l.Authentic(q.issuer)
		}
		if err != nil {
			return nil, err
		}
		return &item{size: int64(len(der)), fetched: now, until: earlier(now.Add(c.cfg.Keep), l.NextUpdate), read: l}, nil
	})
	if err != nil {
		return nil, fmt.Errorf("revocation list: %w", err)
	}
	return i.read.(*status.List), nil
}

func earlier(t, end time.Time) time.Time {
	if !end.IsZero() && end.Before(t) {
		return end
	}
	return t
}

// judgeCRL decides by a list that is authentic.
func (c *Collector) judgeCRL(l *status.List, q question) (proof, error) {
	if err := l.Covers(q.cert); err != nil {
		return proof{}, err
	}
	found, err := l.Lookup(q.cert.SerialNumber)
	if err != nil {
		return proof{}, err
	}
	p := proof{evidence: Evidence{CRLs: [][]byte{l.Raw}}}
	if found != nil {
		if !found.Time.After(q.at) {
			return proof{}, &RevokedError{Serial: q.cert.SerialNumber, Time: found.Time, Reason: found.Reason}
		}
		p.revoked = found.Time
	}
	if l.NextUpdate.IsZero() {
		return proof{}, fmt.Errorf("%w: a revocation list without nextUpdate", ErrUnsupported) // RFC 5280 section 5.1.2.5
	}
	if err := c.current(l.ThisUpdate, l.NextUpdate, q, l.NextUpdate); err != nil {
		return proof{}, err
	}
	if found == nil {
		err = ended(l.ThisUpdate, l.Expired, q.cert)
	}
	return p, err
}
