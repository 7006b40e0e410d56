// Package tsptest is a time-stamping authority (RFC 3161) for tests and for trying the product without one: an HTTP handler
// and an in-process stamper, with certificates, revocation lists and keys of its own in memory. Told so, it misbehaves in
// every way that a client must survive. Nobody should trust it for anything else.
//
//	listener, err := net.Listen("tcp", "127.0.0.1:0")
//	…
//	tsa, err := tsptest.New(tsptest.Options{URL: "http://" + listener.Addr().String()})
//	…
//	go http.Serve(listener, tsa.Handler())
//	client, err := tsp.New(tsp.Config{
//		Authorities: []tsp.Authority{{Name: "test", URL: tsa.URL(), Roots: tsa.Roots()}}, …
//	})
package tsptest

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"io"
	"math/big"
	"sync"
	"sync/atomic"
	"time"
)

// Key is the kind of the time-stamp unit's key and signature.
type Key uint8

// The kinds of key. All sign with SHA-256.
const (
	P256       Key = iota // ECDSA
	RSA3072               // PKCS#1 v1.5; the key takes a second or more to make
	RSA3072PSS            // RSASSA-PSS
)

// Options says what kind of authority to make. The zero value is one.
type Options struct {
	// URL is where Handler will be reached, without a slash at the end. When it is set and the four below are not, the
	// certificates say that the revocation lists are at URL/ca.crl and URL/root.crl, and their issuers at URL/ca.cer and
	// URL/root.cer: Handler serves them there.
	URL string

	CRL, OCSP         string // addresses in the certificate of the time-stamp unit; the CA is the issuer
	RootCRL, RootOCSP string // addresses in the certificate of the CA; the root is the issuer

	Key      Key
	Name     string                // organisation in all certificates; empty: "Test TSA"
	Policy   asn1.ObjectIdentifier // of tokens when the request names none; a request for another is rejected. nil: 2.999.3161.1
	Accuracy time.Duration         // in tokens; 0: one second
	Lifetime time.Duration         // of the time-stamp unit's certificate; 0: five years
	Now      func() time.Time      // nil: time.Now
	Random   io.Reader             // nil: crypto/rand; safe for concurrent use
}

// Issuer is a certificate authority with its key, for who wants to answer for it otherwise, such as an OCSP responder.
type Issuer struct {
	Certificate *x509.Certificate
	Key         crypto.Signer
}

// TSA is a time-stamping authority. It is safe for concurrent use.
type TSA struct {
	options  Options
	root, ca Issuer
	key      crypto.Signer
	unit     *x509.Certificate

	faults   atomic.Pointer[Faults]
	requests atomic.Int64

	mu      sync.Mutex
	variant map[Certificate]*x509.Certificate
	revoked []x509.RevocationListEntry
}

// New makes an authority with new keys and certificates.
func New(o Options) (*TSA, error) {
	o.Name = cmp.Or(o.Name, "Test TSA")
	o.Accuracy = cmp.Or(o.Accuracy, time.Second)
	o.Lifetime = cmp.Or(o.Lifetime, 5*365*24*time.Hour)
	if o.Policy == nil {
		o.Policy = asn1.ObjectIdentifier{2, 999, 3161, 1}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	if o.URL != "" && o.CRL == "" && o.OCSP == "" && o.RootCRL == "" && o.RootOCSP == "" {
		o.CRL, o.RootCRL = o.URL+"/ca.crl", o.URL+"/root.crl"
	}
	t := &TSA{options: o, variant: map[Certificate]*x509.Certificate{}}
	t.faults.Store(&Faults{})
	if err := t.makeIssuers(); err != nil {
		return nil, fmt.Errorf("tsptest: %w", err)
	}
	var err error
	if o.Key == P256 {
		t.key, err = ecdsa.GenerateKey(elliptic.P256(), o.Random)
	} else {
		t.key, err = rsa.GenerateKey(o.Random, 3072)
	}
	if err != nil {
		return nil, fmt.Errorf("tsptest: %w", err)
	}
	if t.unit, err = t.certificate(Good); err != nil {
		return nil, fmt.Errorf("tsptest: %w", err)
	}
	return t, nil
}

// URL returns the address at which the handler answers requests for time-stamps, which is that of the options.
func (t *TSA) URL() string { return t.options.URL }

// Policy returns the policy of the tokens.
func (t *TSA) Policy() asn1.ObjectIdentifier { return t.options.Policy }

// Roots returns a new pool with the root.
func (t *TSA) Roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(t.root.Certificate)
	return pool
}

// Certificate returns that of the time-stamp unit.
func (t *TSA) Certificate() *x509.Certificate { return t.unit }

// CACertificates returns those of the CA, which issued the time-stamp unit's, and of the root.
func (t *TSA) CACertificates() []*x509.Certificate {
	return []*x509.Certificate{t.ca.Certificate, t.root.Certificate}
}

// CA returns the issuer of the time-stamp unit's certificate.
func (t *TSA) CA() Issuer { return t.ca }

// Root returns the issuer of the CA's certificate.
func (t *TSA) Root() Issuer { return t.root }

// Requests returns how many requests for time-stamps have come, over HTTP or in the process.
func (t *TSA) Requests() int { return int(t.requests.Load()) }

// CRL returns a new revocation list of the CA in DER, valid for a day.
func (t *TSA) CRL() ([]byte, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.list(t.ca, t.revoked)
}

// RootCRL returns a new revocation list of the root in DER, valid for a day. It is always empty.
func (t *TSA) RootCRL() ([]byte, error) { return t.list(t.root, nil) }

// Revoke puts the time-stamp unit's certificate onto the CA's revocation list, with the time and a reason code of RFC 5280
// section 5.3.1.
func (t *TSA) Revoke(at time.Time, reason int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.revoked = append(t.revoked, x509.RevocationListEntry{SerialNumber: t.unit.SerialNumber, RevocationTime: at, ReasonCode: reason})
}

func (t *TSA) list(by Issuer, revoked []x509.RevocationListEntry) ([]byte, error) {
	now := t.options.Now()
	der, err := x509.CreateRevocationList(t.options.Random, &x509.RevocationList{
		Number: big.NewInt(now.UnixNano()), ThisUpdate: now.Add(-time.Minute), NextUpdate: now.Add(24 * time.Hour), RevokedCertificateEntries: revoked,
	}, by.Certificate, by.Key)
	if err != nil {
		return nil, fmt.Errorf("tsptest: %w", err)
	}
	return der, nil
}

func (t *TSA) makeIssuers() (err error) {
	if t.root.Key, err = ecdsa.GenerateKey(elliptic.P256(), t.options.Random); err != nil {
		return err
	}
	if t.ca.Key, err = ecdsa.GenerateKey(elliptic.P256(), t.options.Random); err != nil {
		return err
	}
	now := t.options.Now()
	issuer := func(name string) *x509.Certificate {
		return &x509.Certificate{
			Subject: t.subject(name), NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(20, 0, 0),
			BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		}
	}
	root := issuer("Root")
	if t.root.Certificate, err = t.issue(root, root, t.root.Key.Public(), t.root.Key); err != nil {
		return err
	}
	ca := issuer("CA")
	ca.CRLDistributionPoints, ca.OCSPServer = optional(t.options.RootCRL), optional(t.options.RootOCSP)
	if t.options.RootCRL == t.options.URL+"/root.crl" {
		ca.IssuingCertificateURL = []string{t.options.URL + "/root.cer"}
	}
	t.ca.Certificate, err = t.issue(ca, t.root.Certificate, t.ca.Key.Public(), t.root.Key)
	return err
}

// certificate returns the time-stamp unit's certificate, a good one or one with a fault, which is made when first needed.
func (t *TSA) certificate(kind Certificate) (*x509.Certificate, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c, ok := t.variant[kind]; ok {
		return c, nil
	}
	now, issuer := t.options.Now(), t.ca
	template := &x509.Certificate{
		Subject: t.subject("TSU"), NotBefore: now.Add(-24 * time.Hour), NotAfter: now.Add(t.options.Lifetime), BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, CRLDistributionPoints: optional(t.options.CRL), OCSPServer: optional(t.options.OCSP),
	}
	if t.options.CRL == t.options.URL+"/ca.crl" {
		template.IssuingCertificateURL = []string{t.options.URL + "/ca.cer"}
	}
	if usage, ok := kind.usage(); ok {
		template.ExtraExtensions = []pkix.Extension{usage}
	}
	switch kind {
	case Expired:
		template.NotBefore, template.NotAfter = now.AddDate(0, -2, 0), now.AddDate(0, -1, 0)
	case OtherKeyUsage:
		template.KeyUsage |= x509.KeyUsageKeyEncipherment
	case NotYetValid:
		template.NotBefore = now.AddDate(0, 1, 0)
	case Untrusted:
		key, err := ecdsa.GenerateKey(elliptic.P256(), t.options.Random)
		if err != nil {
			return nil, err
		}
		issuer.Key = key // the names are right, the signature is not the CA's
		impostor := *t.ca.Certificate
		impostor.PublicKey = key.Public()
		issuer.Certificate = &impostor
	}
	c, err := t.issue(template, issuer.Certificate, t.key.Public(), issuer.Key)
	if err != nil {
		return nil, err
	}
	t.variant[kind] = c
	return c, nil
}

func (t *TSA) issue(template, parent *x509.Certificate, pub crypto.PublicKey, by crypto.Signer) (*x509.Certificate, error) {
	var err error
	if template.SerialNumber, err = t.serial(); err != nil {
		return nil, err
	}
	spki, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, err
	}
	id := sha256.Sum256(spki)
	template.SubjectKeyId = id[:20]
	der, err := x509.CreateCertificate(t.options.Random, template, parent, pub, by)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// serial returns a random positive number of eight octets.
func (t *TSA) serial() (*big.Int, error) {
	var b [8]byte
	if _, err := io.ReadFull(t.options.Random, b[:]); err != nil {
		return nil, err
	}
	b[0] = b[0]&0x3f | 0x40
	return new(big.Int).SetBytes(b[:]), nil
}

func (t *TSA) subject(unit string) pkix.Name {
	return pkix.Name{Country: []string{"PL"}, Organization: []string{t.options.Name}, CommonName: t.options.Name + " " + unit}
}

func optional(url string) []string {
	if url == "" {
		return nil
	}
	return []string{url}
}
