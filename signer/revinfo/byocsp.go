package revinfo

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/ecsigner/ecsigner/signer/revinfo/status"
	"github.com/ecsigner/ecsigner/signer/revinfo/web"
)

// byOCSP asks the responders of the certificate.
func (c *Collector) byOCSP(ctx context.Context, q question) (proof, []error) {
	var failed []error
	for _, u := range pages(q.cert.OCSPServer) {
		r, err := c.ask(ctx, u, q)
		if err == nil {
			var found proof
			if found, err = c.judgeOCSP(ctx, r, q); err == nil {
				return found, nil
			}
		}
		failed = append(failed, err)
		if errors.Is(err, ErrRevoked) {
			break // whatever others say
		}
	}
	if len(failed) == 0 {
		failed = []error{fmt.Errorf("OCSP over http: %w", errAbsent)}
	}
	return proof{}, failed
}

// response is an answer that is authentic, with the part in question.
type response struct {
	*status.Answer
	*status.Single
	responder *x509.Certificate // nil: the issuer itself
}

// ask returns what is kept or asks a responder. Nothing is kept that is not authentic.
func (c *Collector) ask(ctx context.Context, address string, q question) (*response, error) {
	now := c.cfg.Now()
	request, err := ocsp.CreateRequest(q.cert, q.issuer, nil)
	if err != nil {
		return nil, fmt.Errorf("OCSP request: %w", err)
	}
	enough := func(i *item) bool {
		r := i.read.(*response)
		return now.Sub(i.fetched) < refetch || !c.tooOld(r.ThisUpdate, r.NextUpdate, q)
	}
	i, err := c.cache.get(ctx, "answer "+string(sum256(request))+address, now, enough, func(ctx context.Context) (*item, error) {
		der, err := c.reach(address, now, func() ([]byte, error) { return c.exchange(ctx, address, request) })
		if err != nil {
			return nil, err
		}
		a, err := status.ParseAnswer(der)
		if err != nil {
			return nil, err
		}
		r := &response{Answer: a}
		if r.responder, err = a.Authentic(q.issuer); err != nil {
			return nil, err
		}
		if r.Single, err = a.About(q.cert, q.issuer); err != nil {
			return nil, err
		}
		return &item{size: int64(len(a.Raw)), fetched: now, until: earlier(now.Add(c.cfg.Keep), r.NextUpdate), read: r}, nil
	})
	if err != nil {
		return nil, fmt.Errorf("OCSP: %w", err)
	}
	return i.read.(*response), nil
}

func sum256(b []byte) []byte {
	h := sha256.Sum256(b)
	return h[:]
}

// exchange sends a request, a small one by GET, which caches on the way understand (RFC 6960 appendix A.1, RFC 5019 section
// 5); where that gives nothing readable, by POST.
func (c *Collector) exchange(ctx context.Context, address string, request []byte) ([]byte, error) {
	const kind, accept = "application/ocsp-request", "application/ocsp-response"
	get := strings.TrimSuffix(address, "/") + "/" + url.QueryEscape(base64.StdEncoding.EncodeToString(request))
	if len(get) < 255 && !strings.Contains(address, "?") {
		der, err := c.fetch.Get(ctx, get, accept, c.cfg.MaxOCSP)
		if err == nil || errors.Is(err, ErrForbidden) || errors.Is(err, ErrTooLarge) || errors.Is(err, web.ErrUnreachable) {
			if _, unread := status.ParseAnswer(der); err != nil || unread == nil {
				return der, err
			}
		}
	}
	return c.fetch.Post(ctx, address, kind, request, accept, c.cfg.MaxOCSP)
}

// judgeOCSP decides by an answer that is authentic.
func (c *Collector) judgeOCSP(ctx context.Context, r *response, q question) (proof, error) {
	p := proof{evidence: Evidence{OCSPs: [][]byte{r.Raw}}}
	if r.responder != nil {
		if err := c.responder(ctx, r, q, &p); err != nil {
			return proof{}, err
		}
	}
	switch r.Status {
	case status.Unknown:
		return proof{}, fmt.Errorf("the OCSP responder does not know certificate %x", q.cert.SerialNumber)
	case status.Revoked:
		if !r.Revocation.Time.After(q.at) {
			return proof{}, &RevokedError{Serial: q.cert.SerialNumber, Time: r.Revocation.Time, Reason: r.Revocation.Reason}
		}
		p.revoked = r.Revocation.Time
	}
	if err := c.current(r.ThisUpdate, r.NextUpdate, q, c.due(r, q)); err != nil {
		return proof{}, err
	}
	// Who can date an answer back, because a responder's key is out of its hands, must not make it speak of today.
	switch now := c.cfg.Now(); {
	case r.ThisUpdate.After(r.ProducedAt.Add(c.cfg.Skew)): // RFC 6960 section 2.4
		return proof{}, fmt.Errorf("%w: the OCSP answer was made at %s, before what it says begins", ErrStale, r.ProducedAt.UTC().Format(time.RFC3339))
	case r.ProducedAt.After(now.Add(c.cfg.Skew)):
		return proof{}, fmt.Errorf("%w: the OCSP answer was made at %s", ErrStale, r.ProducedAt.UTC().Format(time.RFC3339))
	}
	if r.Status == status.Good {
		if err := ended(r.ThisUpdate, r.Cutoff(), q.cert); err != nil {
			return proof{}, err
		}
	}
	return p, nil
}

// due is when a newer answer may be had: at once where the responder makes a new one for everybody who asks, otherwise when
// the present one ends.
func (c *Collector) due(r *response, q question) time.Time {
	now := c.cfg.Now()
	if r.NextUpdate.IsZero() || now.Sub(r.ProducedAt).Abs() < time.Minute {
		return now.Add(q.at.Sub(r.ThisUpdate) + refetch)
	}
	return r.NextUpdate
}

// responder adds what judging the responder's own certificate takes: itself, and evidence on it unless its issuer says that
// none is needed (RFC 6960 section 4.2.2.2.1). The answer was fetched now, so the responder must be good now: the time in the
// answer is its own word.
func (c *Collector) responder(ctx context.Context, r *response, q question, p *proof) error {
	p.evidence.Certificates = append(p.evidence.Certificates, r.responder.Raw)
	now := c.cfg.Now()
	if now.After(r.responder.NotAfter.Add(c.cfg.Skew)) {
		return fmt.Errorf("OCSP responder %x: its certificate has ended", r.responder.SerialNumber)
	}
	if status.NoCheck(r.responder) {
		return nil
	}
	if q.responders >= maxResponders {
		return fmt.Errorf("OCSP responder %x: responders that have answers on responders", r.responder.SerialNumber)
	}
	own, err := c.prove(ctx, question{cert: r.responder, issuer: q.issuer, at: now, issuerEnd: q.issuerEnd, responders: q.responders + 1})
	if err != nil {
		// What is revoked or late is the responder: the error must not say so of the certificate.
		return fmt.Errorf("OCSP responder %x has no proof of its own: %s", r.responder.SerialNumber, err.Error())
	}
	p.evidence.Add(own.evidence)
	return nil
}
