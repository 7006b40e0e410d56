package ca

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"io"
	"sync"
	"testing"
	"time"
)

// start is a fixed moment, so that nothing depends on the day the tests run.
func start() time.Time { return time.Date(2026, 11, 1, 8, 30, 15, 123456789, time.UTC) }

func testConfig() Config {
	return Config{
		Country: "PL", Organization: "ECSigner Sp. z o.o.", OrganizationID: "VATPL-5260250274",
		RootName: "TEST ECSigner Root CA 1", IssuingName: "TEST ECSigner Issuing CA 1",
		SealName: "TEST ECSigner Service Seal 1", TLSRootName: "TEST ECSigner TLS CA 1",
		TestPrefix:    true,
		PolicyNatural: "1.2.616.1.999999.1.1", PolicySeal: "1.2.616.1.999999.1.2",
		PDS: map[string]string{
			"en": "https://pki.example.com/pds_en.pdf",
			"pl": "https://pki.example.com/pds_pl.pdf",
			"uk": "https://pki.example.com/pds_uk.pdf",
		},
		AIABase: "http://pki.example.com", CRLBase: "http://pki.example.com",
		RetentionYears: 20, QSCD: true,
		CRLLifetime: 12 * time.Hour, CARLLifetime: 90 * 24 * time.Hour, SerialPrefix: 0x01,
	}
}

func newKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// rsaKey is an RSA key of 3072 bits, made once: it takes long.
func rsaKey(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	key, err := sharedRSAKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

var sharedRSAKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 3072) })

// spyKey counts what the CA key signs.
type spyKey struct {
	crypto.Signer
	calls int
	fail  error
	spoil bool
}

func (k *spyKey) Sign(r io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	k.calls++
	if k.fail != nil {
		return nil, k.fail
	}
	if k.spoil {
		digest = bytes.Repeat([]byte{1}, len(digest))
	}
	return k.Signer.Sign(r, digest, opts)
}

// house is a complete set of CAs.
type house struct {
	cfg                 Config
	root, issuing, tls  *Authority
	rootKey, issuingKey *spyKey
	issuingRecord       Certificate
}

func build(t testing.TB, cfg Config) *house {
	t.Helper()
	h := &house{cfg: cfg}
	h.rootKey = &spyKey{Signer: newKey(t, elliptic.P384())}
	h.issuingKey = &spyKey{Signer: newKey(t, elliptic.P384())}
	tlsKey := newKey(t, elliptic.P256())

	der, err := BuildRoot(t.Context(), cfg, Root, h.rootKey, start(), 20, rand.Reader)
	must(t, err)
	h.root, err = New(cfg, Root, der, nil, h.rootKey, rand.Reader)
	must(t, err)
	h.issuingRecord, err = BuildIssuing(t.Context(), h.root, h.issuingKey.Public(), start(), 10)
	must(t, err)
	h.issuing, err = New(cfg, IssuingCA, h.issuingRecord.DER, h.root.Certificate(), h.issuingKey, rand.Reader)
	must(t, err)
	der, err = BuildRoot(t.Context(), cfg, TLSRoot, tlsKey, start(), 10, rand.Reader)
	must(t, err)
	h.tls, err = New(cfg, TLSRoot, der, nil, tlsKey, rand.Reader)
	must(t, err)
	h.rootKey.calls, h.issuingKey.calls = 0, 0
	return h
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func personRequest(t testing.TB, id string) Request {
	t.Helper()
	return Request{
		ID: id, Person: "person-1", Profile: NaturalPerson,
		Natural: Natural{
			Country: "UA", GivenName: "Олена", Surname: "Шевченко",
			Identifier: Identifier{"TIN", "UA", "3184710691"},
		},
		PublicKey: newKey(t, elliptic.P256()).Public(), NotBefore: start(), Years: 2,
	}
}

// issue takes a request through all steps.
func (h *house) issue(t testing.TB, tx Tx, a *Authority, req Request) Certificate {
	t.Helper()
	intent, err := a.Prepare(req)
	must(t, err)
	must(t, a.Intend(tx, intent))
	c, err := tx.CertificateByRequest(req.ID)
	must(t, err)
	der, err := a.Sign(t.Context(), c)
	must(t, err)
	must(t, a.Record(tx, c.Serial, der))
	c, err = tx.Certificate(c.Serial)
	must(t, err)
	return c
}

// fakeTx keeps the contract of Tx in memory.
type fakeTx struct {
	rows   map[string]Certificate
	writes int
}

func newTx() *fakeTx { return &fakeTx{rows: map[string]Certificate{}} }

func (f *fakeTx) Certificate(serial string) (Certificate, error) {
	c, ok := f.rows[serial]
	if !ok {
		return c, ErrNotFound
	}
	return c, nil
}

func (f *fakeTx) CertificateByRequest(id string) (Certificate, error) {
	for _, c := range f.rows {
		if c.RequestID == id {
			return c, nil
		}
	}
	return Certificate{}, ErrNotFound
}

func (f *fakeTx) PutCertificate(c Certificate) error {
	for _, other := range f.rows {
		switch {
		case other.RequestID == c.RequestID && other.Serial != c.Serial:
			return ErrRequestTaken
		case other.Person == c.Person:
		case bytes.Equal(other.Issuer, c.Issuer) && bytes.Equal(other.Subject, c.Subject):
			return ErrSubjectTaken
		case other.SPKI == c.SPKI:
			return ErrKeyTaken
		}
	}
	f.writes++
	f.rows[c.Serial] = c
	return nil
}

func (f *fakeTx) RevokedCertificates() ([]Certificate, error) {
	var out []Certificate
	for _, c := range f.rows {
		if c.State == Revoked {
			out = append(out, c)
		}
	}
	return out, nil
}

func parse(t testing.TB, der []byte) *x509.Certificate {
	t.Helper()
	cert, err := x509.ParseCertificate(der)
	must(t, err)
	return cert
}
