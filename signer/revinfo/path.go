package revinfo

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"github.com/ecsigner/ecsigner/signer/revinfo/status"
)

// builder looks for paths (RFC 5280 section 6.1) from one certificate. Its limits hold for all of them together.
type builder struct {
	c       *Collector
	at      time.Time
	known   []*x509.Certificate // anchors first
	checks  int                 // signatures
	fetches int
	asked   map[string]bool // addresses
	found   bool            // a path: nothing more is fetched
	reasons []error         // why what was tried led nowhere
}

func (c *Collector) newBuilder(known [][]byte, at time.Time) *builder {
	b := &builder{c: c, at: at, asked: map[string]bool{}}
	b.known = slices.Concat(c.cfg.Anchors, c.cfg.Intermediates)
	for _, der := range known[:min(len(known), maxKnown)] {
		if cert, err := status.ParseCertificate(der); err == nil {
			b.add(cert)
		} else {
			b.reason(err)
		}
	}
	return b
}

func (b *builder) add(cert *x509.Certificate) {
	if len(b.known) < len(b.c.cfg.Anchors)+len(b.c.cfg.Intermediates)+maxKnown && !slices.ContainsFunc(b.known, cert.Equal) {
		b.known = append(b.known, cert)
	}
}

// reason keeps the first seven and the last.
func (b *builder) reason(err error) {
	if len(b.reasons) < 8 {
		b.reasons = append(b.reasons, err)
		return
	}
	b.reasons[7] = err
}

// paths calls yield with one path after another, from leaf to anchor, until that returns false. What is at hand is tried
// before certificates are fetched.
func (b *builder) paths(ctx context.Context, leaf *x509.Certificate, yield func([]*x509.Certificate) bool) {
	b.extend(ctx, []*x509.Certificate{leaf}, yield)
}

// extend returns false when there is to be no further path.
func (b *builder) extend(ctx context.Context, path []*x509.Certificate, yield func([]*x509.Certificate) bool) bool {
	last := path[len(path)-1]
	if slices.ContainsFunc(b.c.cfg.Anchors, last.Equal) {
		if err := b.judge(path); err != nil {
			b.reason(err)
			return true
		}
		b.found = true
		return yield(slices.Clone(path))
	}
	if len(path) >= maxDepth {
		b.reason(fmt.Errorf("a path of more than %d certificates", maxDepth))
		return true
	}
	tried := 0
	for {
		for ; tried < len(b.known); tried++ {
			if b.issues(b.known[tried], path) && !b.extend(ctx, append(path, b.known[tried]), yield) {
				return false
			}
			if b.checks >= maxChecks {
				return false
			}
		}
		if !b.fetch(ctx, last) {
			return ctx.Err() == nil
		}
	}
}

// issues reports whether a candidate issued the last certificate of a path. One that has the name and the key of another
// in the path would make a loop.
func (b *builder) issues(candidate *x509.Certificate, path []*x509.Certificate) bool {
	last := path[len(path)-1]
	if !bytes.Equal(candidate.RawSubject, last.RawIssuer) {
		return false
	}
	for _, p := range path {
		if bytes.Equal(p.RawSubject, candidate.RawSubject) && bytes.Equal(p.RawSubjectPublicKeyInfo, candidate.RawSubjectPublicKeyInfo) {
			return false
		}
	}
	if b.checks++; b.checks >= maxChecks {
		b.reason(fmt.Errorf("more than %d signatures of certificates", maxChecks))
		return false
	}
	if err := last.CheckSignatureFrom(candidate); err != nil {
		b.reason(fmt.Errorf("certificate %x is not issued by %x: %w", last.SerialNumber, candidate.SerialNumber, err))
		return false
	}
	return true
}

// judge applies the rest of RFC 5280 section 6.1 to a path: validity at the time in question, lengths, constraints,
// critical extensions.
func (b *builder) judge(path []*x509.Certificate) error {
	leaf, anchor := path[0], path[len(path)-1]
	if b.at.Before(leaf.NotBefore) || b.at.After(leaf.NotAfter) {
		return fmt.Errorf("certificate %x was not valid at %s", leaf.SerialNumber, b.at.UTC().Format(time.RFC3339))
	}
	if len(path) == 1 {
		return nil
	}
	opts := x509.VerifyOptions{
		Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: b.at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	}
	opts.Roots.AddCert(anchor)
	for _, p := range path[1 : len(path)-1] {
		opts.Intermediates.AddCert(p)
	}
	if _, err := leaf.Verify(opts); err != nil {
		return fmt.Errorf("path of certificate %x, as crypto/x509 judges it: %w", leaf.SerialNumber, err)
	}
	return nil
}

// fetch gets issuers from where the certificate says (RFC 5280 section 4.2.2.1), one address at a time. It returns false when
// there is nothing more to get.
func (b *builder) fetch(ctx context.Context, cert *x509.Certificate) bool {
	for _, u := range pages(cert.IssuingCertificateURL) {
		if b.found || b.asked[u] || b.fetches >= maxAIA || ctx.Err() != nil {
			continue
		}
		b.asked[u] = true
		b.fetches++
		certs, err := b.c.certificates(ctx, u)
		if err != nil {
			b.reason(fmt.Errorf("issuer of certificate %x: %w", cert.SerialNumber, err))
			continue
		}
		for _, found := range certs {
			b.add(found)
		}
		return true
	}
	return false
}

// certificates fetches a file of certificates.
func (c *Collector) certificates(ctx context.Context, address string) ([]*x509.Certificate, error) {
	now := c.cfg.Now()
	i, err := c.cache.get(ctx, "certificates "+address, now, func(*item) bool { return true }, func(ctx context.Context) (*item, error) {
		der, err := c.reach(address, now, func() ([]byte, error) {
			return c.fetch.Get(ctx, address, "application/pkix-cert, application/pkcs7-mime", c.cfg.MaxCerts)
		})
		if err != nil {
			return nil, err
		}
		certs, err := status.ParseCertificates(der)
		if err != nil {
			return nil, err
		}
		return &item{size: int64(len(der)), fetched: now, until: now.Add(c.cfg.Keep), read: certs}, nil
	})
	if err != nil {
		return nil, err
	}
	return i.read.([]*x509.Certificate), nil
}
