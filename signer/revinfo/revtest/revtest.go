// Package revtest is a public-key infrastructure for tests: certification authorities of any depth with a server of
// revocation lists (RFC 5280) and an OCSP responder (RFC 6960) each. Told so, they misbehave in every way that a client
// must survive. Keys are in memory. Nobody should trust it for anything else.
//
//	listener, err := net.Listen("tcp", "127.0.0.1:0")
//	…
//	pki, err := revtest.New(revtest.Options{URL: "http://" + listener.Addr().String()})
//	…
//	go http.Serve(listener, pki)
//	leaf, err := pki.Issuing().Issue(revtest.Template{Name: "Leaf"})
//	…
//	pki.Issuing().SetOCSP(revtest.OCSP{ByKey: true})
package revtest

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"sync"
	"time"
)

// Key is the kind of a key and of the signatures made with it.
type Key uint8

// The kinds of key. P384 signs with SHA-384, the others with SHA-256.
const (
	P256 Key = iota
	P384
	RSA    // 2048 bits, PKCS#1 v1.5
	RSAPSS // 2048 bits, RSASSA-PSS with a salt of 32 bytes
)

// Options says what to make. The zero value is a root and one issuing CA with P-256 keys.
type Options struct {
	URL    string           // where the PKI is reached as an HTTP handler, without a slash at the end
	Depth  int              // CAs from the root down to the issuing one; 0: two
	Key    Key              // of all CAs
	Now    func() time.Time // nil: time.Now
	Random io.Reader        // nil: crypto/rand; safe for concurrent use
}

// PKI is a tree of authorities and the HTTP handler that answers for all of them. It is safe for concurrent use.
type PKI struct {
	options Options

	mu       sync.Mutex
	cas      []*CA
	handlers map[string]http.Handler
	requests []string
}

// Certificate is a certificate with its key.
type Certificate struct {
	*x509.Certificate
	Key  crypto.Signer
	kind Key
}

// CA is an authority: its certificate, what it revoked, and how it answers. Its paths are /<number>/ca.cer, /<number>/ca.crl
// and /<number>/ocsp.
type CA struct {
	Certificate
	pki  *PKI
	path string

	mu      sync.Mutex
	revoked []Entry
	ocsp    OCSP
	crl     CRL
}

// Entry is one revoked certificate.
type Entry struct {
	Serial *big.Int
	Time   time.Time
	Reason int // RFC 5280 section 5.3.1

	Extensions []pkix.Extension // more, in a list
}

// New makes an infrastructure with new keys.
func New(o Options) (*PKI, error) {
	o.Depth = cmp.Or(o.Depth, 2)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	p := &PKI{options: o, handlers: map[string]http.Handler{}}
	root, err := p.Root("Root", o.Key)
	if err != nil {
		return nil, err
	}
	for i, ca := 1, root; i < o.Depth; i++ {
		if ca, err = ca.Sub(fmt.Sprint("CA ", i), o.Key); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// CA returns the authority with a number, 0 being the root.
func (p *PKI) CA(number int) *CA {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cas[number]
}

// Issuing returns the lowest authority that New made.
func (p *PKI) Issuing() *CA { return p.CA(p.options.Depth - 1) }

// Root makes one more root.
func (p *PKI) Root(name string, kind Key) (*CA, error) {
	return p.add(name, kind, nil, nil)
}

// Sub makes an authority below ca. change may alter its certificate before it is signed.
func (ca *CA) Sub(name string, kind Key, change ...func(*x509.Certificate)) (*CA, error) {
	return ca.pki.add(name, kind, ca, change)
}

func (p *PKI) add(name string, kind Key, issuer *CA, change []func(*x509.Certificate)) (*CA, error) {
	key, err := newKey(kind, p.options.Random)
	if err != nil {
		return nil, err
	}
	ca := &CA{pki: p, Certificate: Certificate{Key: key, kind: kind}}
	now := p.options.Now()
	template := &x509.Certificate{
		Subject: pkix.Name{Organization: []string{"Revocation Test"}, CommonName: name}, NotBefore: now.AddDate(-2, 0, 0), NotAfter: now.AddDate(20, 0, 0),
		BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	for _, c := range change {
		c(template)
	}
	if issuer == nil {
		ca.Certificate.Certificate, err = p.sign(template, nil, ca, key)
	} else {
		ca.Certificate.Certificate, err = p.sign(template, issuer, issuer, key)
	}
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	ca.path = fmt.Sprint("/", len(p.cas))
	p.cas = append(p.cas, ca)
	return ca, nil
}

// Cross makes a certificate for the name and the key of another authority, issued by ca.
func (ca *CA) Cross(other *CA) (*x509.Certificate, error) {
	return ca.pki.sign(&x509.Certificate{
		Subject: other.Subject, RawSubject: other.RawSubject, NotBefore: other.NotBefore, NotAfter: other.NotAfter,
		BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, SubjectKeyId: other.SubjectKeyId,
	}, ca, ca, other.Key)
}

// Template says what certificate to issue. The zero value is a signatory's.
type Template struct {
	Name     string
	Kind     Key
	Key      crypto.Signer // nil: a new one
	Serial   *big.Int      // nil: a random one
	Delegate bool          // of an OCSP responder: id-kp-OCSPSigning and, unless Check is set, id-pkix-ocsp-nocheck
	Check    bool
	Change   func(*x509.Certificate) // alters the certificate before it is signed
}

// Issue makes a certificate below ca, valid from a year ago for three years.
func (ca *CA) Issue(t Template) (*Certificate, error) {
	key := t.Key
	if key == nil {
		var err error
		if key, err = newKey(t.Kind, ca.pki.options.Random); err != nil {
			return nil, err
		}
	}
	now := ca.pki.options.Now()
	template := &x509.Certificate{
		Subject: pkix.Name{Organization: []string{"Revocation Test"}, CommonName: cmp.Or(t.Name, "Leaf")}, NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(2, 0, 0),
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageContentCommitment,
	}
	template.SerialNumber = t.Serial
	if t.Delegate {
		template.KeyUsage, template.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}
		if !t.Check {
			template.ExtraExtensions = append(template.ExtraExtensions, pkix.Extension{Id: oidNoCheck, Value: asn1.NullBytes})
		}
	}
	cert, err := ca.pki.sign(template, ca, ca, key, t.Change)
	if err != nil {
		return nil, err
	}
	return &Certificate{Certificate: cert, Key: key, kind: t.Kind}, nil
}

// sign issues a certificate; from is nil for a self-signed one. Addresses are those of the issuer, unless change alters them.
func (p *PKI) sign(t *x509.Certificate, from, by *CA, key crypto.Signer, change ...func(*x509.Certificate)) (*x509.Certificate, error) {
	if t.SerialNumber == nil {
		var serial [12]byte
		if _, err := io.ReadFull(p.options.Random, serial[:]); err != nil {
			return nil, fmt.Errorf("revtest: %w", err)
		}
		serial[0] = serial[0]&0x3F | 0x40
		t.SerialNumber = new(big.Int).SetBytes(serial[:])
	}
	t.SignatureAlgorithm = by.kind.algorithm()
	parent := t
	if from != nil {
		parent = from.Certificate.Certificate
		t.CRLDistributionPoints = []string{from.CRLURL()}
		t.OCSPServer = []string{from.OCSPURL()}
		t.IssuingCertificateURL = []string{from.CertificateURL()}
	}
	for _, c := range change {
		if c != nil {
			c(t)
		}
	}
	der, err := x509.CreateCertificate(p.options.Random, t, parent, key.Public(), by.Key)
	if err != nil {
		return nil, fmt.Errorf("revtest: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("revtest: %w", err)
	}
	return cert, nil
}

// CertificateURL is where the certificate of ca is fetched.
func (ca *CA) CertificateURL() string { return ca.pki.options.URL + ca.path + "/ca.cer" }

// CRLURL is where the revocation list of ca is fetched.
func (ca *CA) CRLURL() string { return ca.pki.options.URL + ca.path + "/ca.crl" }

// OCSPURL is where the responder of ca is asked.
func (ca *CA) OCSPURL() string { return ca.pki.options.URL + ca.path + "/ocsp" }

// Revoke puts a certificate onto the list, and makes the responder say so.
func (ca *CA) Revoke(serial *big.Int, at time.Time, reason int) {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	ca.revoked = append(ca.revoked, Entry{Serial: serial, Time: at, Reason: reason})
}

// SetOCSP says how the responder answers from now on.
func (ca *CA) SetOCSP(o OCSP) {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	ca.ocsp = o
}

// SetCRL says what list is made from now on.
func (ca *CA) SetCRL(c CRL) {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	ca.crl = c
}

func newKey(kind Key, random io.Reader) (key crypto.Signer, err error) {
	switch kind {
	case P256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), random)
	case P384:
		key, err = ecdsa.GenerateKey(elliptic.P384(), random)
	default:
		key, err = rsa.GenerateKey(random, 2048)
	}
	if err != nil {
		return nil, fmt.Errorf("revtest: %w", err)
	}
	return key, nil
}
