package revinfo

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/ecsigner/ecsigner/signer/revinfo/status"
	"github.com/ecsigner/ecsigner/signer/revinfo/web"
)

// Network says what may be fetched.
type Network = web.Policy

// The kinds of failure. Errors name certificates by serial number and servers by host, and nothing else of either.
var (
	// ErrRevoked: a certificate was revoked at the time in question, or before; see RevokedError. It stays so.
	ErrRevoked = errors.New("certificate is revoked")
	// ErrNotYet: what there is was issued before the time in question; see NotYetError, which says when to come back.
	ErrNotYet = errors.New("revocation data are older than the signature")
	// ErrNoPath: no path leads from the certificate to a trust anchor. Where it is ErrUnreachable as well, an issuer could not be
	// fetched, and trying later may help.
	ErrNoPath = errors.New("no path to a trust anchor")
	// ErrNoEvidence: no source gave anything acceptable on a certificate. Trying later may help.
	ErrNoEvidence = errors.New("no acceptable revocation data")
	// ErrStale: revocation data that have ended, or not begun.
	ErrStale = errors.New("revocation data are not current")

	// ErrMalformed: bytes that are not what they should be. The text names the place.
	ErrMalformed = status.ErrMalformed
	// ErrUnsupported: well-formed, but of a kind that is refused, such as an indirect list.
	ErrUnsupported = status.ErrUnsupported
	// ErrForbidden: the policy does not allow to connect there.
	ErrForbidden = web.ErrForbidden
	// ErrUnreachable: a server did not answer, or broke off, or took too long.
	ErrUnreachable = web.ErrUnreachable
	// ErrTooLarge: more bytes than the limit.
	ErrTooLarge = web.ErrTooLarge
)

// RevokedError says what was revoked when. It is ErrRevoked.
type RevokedError struct {
	Serial *big.Int
	Time   time.Time
	Reason int // RFC 5280 section 5.3.1; 6 is on hold
}

// Error names the serial number in hexadecimal.
func (e *RevokedError) Error() string {
	return fmt.Sprintf("certificate %x is revoked since %s, reason %d", e.Serial, e.Time.UTC().Format(time.RFC3339), e.Reason)
}

// Is makes the error ErrRevoked.
func (e *RevokedError) Is(target error) bool { return target == ErrRevoked }

// NotYetError says when newer data are due. It is ErrNotYet.
type NotYetError struct {
	Serial *big.Int
	Retry  time.Time // when to ask again: the end of what there is, or earlier
}

// Error names the serial number in hexadecimal.
func (e *NotYetError) Error() string {
	return fmt.Sprintf("certificate %x: revocation data are older than the signature; newer ones are due at %s", e.Serial, e.Retry.UTC().Format(time.RFC3339))
}

// Is makes the error ErrNotYet.
func (e *NotYetError) Is(target error) bool { return target == ErrNotYet }

// Config says whom to trust, whom to ask and what is enough.
type Config struct {
	Anchors       []*x509.Certificate // trusted: roots, or CAs and units as a trusted list names them (RFC 5280 section 6.1.1 d)
	Intermediates []*x509.Certificate // may be part of paths; not trusted
	Network       Network             // what may be fetched; the zero value fetches nothing
	Now           func() time.Time    // required

	// Local gives lists that need no network, such as those of one's own CA: the newest list of an issuer, in DER. It is asked
	// before any server. nil: none. Safe for concurrent use.
	Local func(issuer *x509.Certificate) (crl []byte, ok bool)

	// CRLFirst prefers lists over OCSP answers. What is preferred is tried first, the other one if that fails.
	CRLFirst bool
	// MaxAge is how long before the time in question data on an end entity may have been issued. 0: 24 hours.
	MaxAge time.Duration
	// MaxAgeCA is the same for data on certificates of CAs, which are issued seldom. 0: as long as their issuer says.
	MaxAgeCA time.Duration
	// AfterSignature demands that data on an end entity were issued at the time in question or later (EN 319 102-1 clause
	// 5.2.5 with a freshness of zero); otherwise ErrNotYet. It is not asked of data on CAs, whose lists may be issued once
	// in half a year.
	AfterSignature bool
	// Skew is by how much clocks may differ. 0: 5 minutes.
	Skew time.Duration

	MaxCRL   int64         // bytes of a list; 0: 32 MiB
	MaxOCSP  int64         // bytes of an OCSP answer; 0: 64 KiB
	MaxCerts int64         // bytes of a file of certificates; 0: 256 KiB
	Keep     time.Duration // what was fetched is used again for so long, and never beyond its end; 0: one hour
	// CacheBytes and CacheEntries bound what is kept. 0: 64 MiB, 1,000.
	CacheBytes   int64
	CacheEntries int
}

// Limits that protect from hostile certificates.
const (
	maxDepth      = 10  // certificates in a path, with leaf and anchor
	maxPaths      = 4   // paths that are tried
	maxChecks     = 100 // signatures of certificates that are checked for one Collect
	maxKnown      = 500 // certificates that are looked at
	maxAIA        = 8   // fetches of certificates for one Collect
	maxURLs       = 4   // addresses of one kind tried for one certificate
	maxResponders = 2   // OCSP answers on responders on the way to one answer
)

// Collector obtains evidence. It is safe for concurrent use.
type Collector struct {
	cfg   Config
	fetch *web.Client
	cache *cache
}

// New checks a configuration.
func New(cfg Config) (*Collector, error) {
	if cfg.Now == nil {
		return nil, errors.New("revinfo: no clock")
	}
	if len(cfg.Anchors) == 0 {
		return nil, errors.New("revinfo: no trust anchors")
	}
	cfg.MaxAge = cmp.Or(cfg.MaxAge, 24*time.Hour)
	cfg.Skew = cmp.Or(cfg.Skew, 5*time.Minute)
	cfg.MaxCRL = cmp.Or(cfg.MaxCRL, 32<<20)
	cfg.MaxOCSP = cmp.Or(cfg.MaxOCSP, 64<<10)
	cfg.MaxCerts = cmp.Or(cfg.MaxCerts, 256<<10)
	cfg.Keep = cmp.Or(cfg.Keep, time.Hour)
	cfg.CacheBytes = cmp.Or(cfg.CacheBytes, 64<<20)
	cfg.CacheEntries = cmp.Or(cfg.CacheEntries, 1000)
	if min(cfg.MaxAge, cfg.MaxAgeCA, cfg.Skew, cfg.Keep) < 0 || min(cfg.MaxCRL, cfg.MaxOCSP, cfg.MaxCerts, cfg.CacheBytes, int64(cfg.CacheEntries)) < 0 {
		return nil, errors.New("revinfo: negative limit")
	}
	f, err := web.New(cfg.Network)
	if err != nil {
		return nil, err
	}
	return &Collector{cfg: cfg, fetch: f, cache: newCache(cfg.CacheBytes, cfg.CacheEntries)}, nil
}

// Close closes idle connections.
func (c *Collector) Close() { c.fetch.Close() }
