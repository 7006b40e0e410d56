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
)

// byOCSP asks the responders of the certificate.
func (c *Collector) byOCSP(ctx context.Context, q question) (proof, []error) {
	var failed []error
	for _, u := range web(q.cert.OCSPServer) {
		r, err := c.ask(ctx, u, q)
		if err == nil {
			var found proof
			if found, err = c.judgeOCSP(ctx, r, q); err == nil {
				return found, nil
			}
		}
		failed = append(failed, err)
	}
	if len(failed) == 0 {
		failed = []error{fmt.Errorf("OCSP over http: %w", errAbsent)}
	}
	return proof{}, failed
}

// response is an answer that is authentic, with the part in question.
type response struct {
	*answer
	*single
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
		return now.Sub(i.fetched) < refetch || !c.tooOld(r.thisUpdate, r.nextUpdate, q)
	}
	i, err := c.cache.get(ctx, "answer "+string(sum256(request))+address, now, enough, func(ctx context.Context) (*item, error) {
		a, err := c.exchange(ctx, address, request)
		if err != nil {
			return nil, err
		}
		r := &response{answer: a}
		if r.responder, err = a.authentic(q.issuer); err != nil {
			return nil, err
		}
		if r.single, err = a.about(q.cert, q.issuer); err != nil {
			return nil, err
		}
		return &item{size: int64(len(a.raw)), fetched: now, until: earlier(now.Add(c.cfg.Keep), r.nextUpdate), read: r}, nil
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
func (c *Collector) exchange(ctx context.Context, address string, request []byte) (*answer, error) {
	const kind, accept = "application/ocsp-request", "application/ocsp-response"
	get := strings.TrimSuffix(address, "/") + "/" + url.QueryEscape(base64.StdEncoding.EncodeToString(request))
	if len(get) < 255 && !strings.Contains(address, "?") {
		der, err := c.fetch.do(ctx, get, nil, "", accept, c.cfg.MaxOCSP)
		var a *answer
		if err == nil {
			if a, err = parseAnswer(der); err == nil {
				return a, nil
			}
		}
		if errors.Is(err, ErrForbidden) || errors.Is(err, ErrTooLarge) || ctx.Err() != nil {
			return nil, err
		}
	}
	der, err := c.fetch.do(ctx, address, request, kind, accept, c.cfg.MaxOCSP)
	if err != nil {
		return nil, err
	}
	return parseAnswer(der)
}

// judgeOCSP decides by an answer that is authentic.
func (c *Collector) judgeOCSP(ctx context.Context, r *response, q question) (proof, error) {
	p := proof{evidence: Evidence{OCSPs: [][]byte{r.raw}}}
	if r.responder != nil {
		if err := c.responder(ctx, r, q, &p); err != nil {
			return proof{}, err
		}
	}
	switch r.status {
	case statusUnknown:
		return proof{}, fmt.Errorf("the OCSP responder does not know certificate %x", q.cert.SerialNumber)
	case statusRevoked:
		if !r.revoked.time.After(q.at) {
			return proof{}, &RevokedError{Serial: q.cert.SerialNumber, Time: r.revoked.time, Reason: r.revoked.reason}
		}
		p.revoked = r.revoked.time
	}
	if err := c.current(r.thisUpdate, r.nextUpdate, q, c.due(r, q)); err != nil {
		return proof{}, err
	}
	if r.status == statusGood {
		if err := ended(r.thisUpdate, r.cutoff(), q.cert); err != nil {
			return proof{}, err
		}
	}
	return p, nil
}

// due is when a newer answer may be had: at once where the responder makes a new one for everybody who asks, otherwise when
// the present one ends.
func (c *Collector) due(r *response, q question) time.Time {
	now := c.cfg.Now()
	if r.nextUpdate.IsZero() || now.Sub(r.producedAt).Abs() < time.Minute {
		return now.Add(q.at.Sub(r.thisUpdate) + refetch)
	}
	return r.nextUpdate
}

// responder adds what judging the responder's own certificate takes: itself, and evidence on it unless its issuer says that
// none is needed (RFC 6960 section 4.2.2.2.1).
func (c *Collector) responder(ctx context.Context, r *response, q question, p *proof) error {
	p.evidence.Certificates = append(p.evidence.Certificates, r.responder.Raw)
	if find(r.responder.Extensions, oidNoCheck) != nil {
		return nil
	}
	if q.responders >= maxResponders {
		return fmt.Errorf("OCSP responder %x: responders that have answers on responders", r.responder.SerialNumber)
	}
	own, err := c.prove(ctx, question{cert: r.responder, issuer: q.issuer, at: r.producedAt, issuerEnd: q.issuerEnd, responders: q.responders + 1})
	if err != nil {
		// What is revoked or late is the responder: the error must not say so of the certificate.
		return fmt.Errorf("OCSP responder %x has no proof of its own: %s", r.responder.SerialNumber, err.Error())
	}
	p.evidence.Add(own.evidence)
	return nil
}
