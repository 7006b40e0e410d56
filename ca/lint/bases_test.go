package lint_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/ca"
	"github.com/ecsigner/ecsigner/ca/lint"
)

const (
	idCN, idSN, idSerial, idC, idGN  = "2.5.4.3", "2.5.4.4", "2.5.4.5", "2.5.4.6", "2.5.4.42"
	idO, idOI, idPseudonym           = "2.5.4.10", "2.5.4.97", "2.5.4.65"
	idSKI, idKU, idSAN, idBC         = "2.5.29.14", "2.5.29.15", "2.5.29.17", "2.5.29.19"
	idCRLDP, idPolicies, idAKI       = "2.5.29.31", "2.5.29.32", "2.5.29.35"
	idEKU, idAIA, idQC, idExpired    = "2.5.29.37", "1.3.6.1.5.5.7.1.1", "1.3.6.1.5.5.7.1.3", "2.5.29.60"
	idCRLNumber, idReason            = "2.5.29.20", "2.5.29.21"
	qcCompliance, qcRetention, qcSSC = "0.4.0.1862.1.1", "0.4.0.1862.1.3", "0.4.0.1862.1.4"
	qcPDS, qcType, qcSemantics       = "0.4.0.1862.1.5", "0.4.0.1862.1.6", "1.3.6.1.5.5.7.11.2"
	ownPolicy                        = "1.2.616.1.999999.1.1"
)

func start() time.Time { return time.Date(2026, 11, 1, 8, 0, 0, 0, time.UTC) }

// base is a correct certificate and what it must agree with, written out here and not taken from the CA's code.
type base struct {
	der  []byte
	want lint.Want
}

type bases struct {
	root, issuing, person, employee, seal, tls, server, client base
	authority                                                  *ca.Authority
	crl                                                        []byte
	wantCRL                                                    lint.WantCRL
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func newKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	return must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(curve, rand.Reader))
}

func newBases(t testing.TB) *bases {
	t.Helper()
	b, ctx := &bases{}, t.Context()
	auth, bytesOf, record := must[*ca.Authority](t), must[[]byte](t), must[ca.Certificate](t)
	pds := map[string]string{"en": "https://pki.example.com/en.pdf", "uk": "https://pki.example.com/uk.pdf"}
	cfg := ca.Config{
		Country: "PL", Organization: "Example", OrganizationID: "VATPL-5260250274",
		RootName: "TEST Root 1", IssuingName: "TEST CA 1", SealName: "TEST Seal", TLSRootName: "TEST TLS", TestPrefix: true,
		PolicyNatural: ownPolicy, PolicySeal: "1.2.616.1.999999.1.2", PDS: pds, RetentionYears: 20, QSCD: true,
		AIABase: "http://pki.example.com", CRLBase: "http://pki.example.com",
		CRLLifetime: 24 * time.Hour, CARLLifetime: 24 * time.Hour, SerialPrefix: 0x7f,
	}
	rootKey, key := newKey(t, elliptic.P384()), newKey(t, elliptic.P384())
	root := auth(ca.New(cfg, ca.Root, bytesOf(ca.BuildRoot(ctx, cfg, ca.Root, rootKey, start(), 20, rand.Reader)), nil, rootKey, rand.Reader))
	issuing := record(ca.BuildIssuing(ctx, root, key.Public(), start(), 10))
	b.authority = auth(ca.New(cfg, ca.IssuingCA, issuing.DER, root.Certificate(), key, rand.Reader))
	tls := auth(ca.New(cfg, ca.TLSRoot, bytesOf(ca.BuildRoot(ctx, cfg, ca.TLSRoot, rootKey, start(), 10, rand.Reader)), nil, rootKey, rand.Reader))

	leaf := func(a *ca.Authority, req ca.Request) []byte {
		req.ID, req.Person, req.NotBefore = "r", "p", start()
		req.PublicKey = newKey(t, elliptic.P256()).Public()
		c := must[*ca.Intent](t)(a.Prepare(req)).Certificate()
		return bytesOf(a.Sign(ctx, c))
	}
	urls := func(a *ca.Authority, w lint.Want) lint.Want {
		w.Issuer, w.CAIssuers, w.CRL = a.Certificate(), a.CertificateURL(), a.CRLURL()
		return w
	}
	b.root = base{root.Certificate().Raw, lint.Want{Kind: lint.Root, MaxYears: 25}}
	b.tls = base{tls.Certificate().Raw, lint.Want{Kind: lint.TLSRoot, MaxYears: 20}}
	b.issuing = base{issuing.DER, urls(root, lint.Want{Kind: lint.IssuingCA, MaxYears: 15, Policies: []string{"2.5.29.32.0"}})}
	b.person = base{
		leaf(b.authority, ca.Request{Profile: ca.NaturalPerson, Years: 2, Natural: ca.Natural{
			Country: "UA", GivenName: "Олена", Surname: "Шевченко",
			Identifier: ca.Identifier{Kind: "TIN", Country: "UA", Value: "3184710691"},
		}}),
		urls(b.authority, lint.Want{
			Kind: lint.NaturalPerson, MaxYears: 3, Policies: []string{"0.4.0.194112.1.2", ownPolicy},
			QSCD: true, PDS: pds, RetentionYears: 20, CheckIdentifier: ca.CheckIdentifier,
		}),
	}
	employee := b.person.want
	employee.CheckOrganisation = ca.CheckOrganisationID
	b.employee = base{
		leaf(b.authority, ca.Request{Profile: ca.NaturalPerson, Years: 2, Natural: ca.Natural{
			Country: "PL", GivenName: "Zażółć", Surname: "Jaźń-Łęcka", Organisation: "Przykład sp. z o.o.", OrganisationID: "VATPL-9512352379",
			Identifier: ca.Identifier{Kind: "IDC", Country: "PL", Value: "ABA300000"},
		}}),
		employee,
	}
	b.seal = base{
		leaf(b.authority, ca.Request{Profile: ca.ServiceSeal, Years: 3}),
		urls(b.authority, lint.Want{Kind: lint.ServiceSeal, MaxYears: 5, Policies: []string{"0.4.0.2042.1.1", cfg.PolicySeal}}),
	}
	b.server = base{
		leaf(tls, ca.Request{Profile: ca.TLSServer, Years: 1, DNSNames: []string{"localhost"}, IPs: []net.IP{net.IPv6loopback}}),
		lint.Want{Kind: lint.TLSServer, Issuer: tls.Certificate(), MaxYears: 2, DNSNames: []string{"localhost"}, IPs: []net.IP{net.IPv6loopback}},
	}
	b.client = base{
		leaf(tls, ca.Request{Profile: ca.TLSClient, Years: 1, DNSNames: []string{"portal"}, Role: "portal", Display: "Портал"}),
		lint.Want{
			Kind: lint.TLSClient, Issuer: tls.Certificate(), MaxYears: 2, DNSNames: []string{"portal"},
			URIs: []string{ca.RoleURI("portal")},
		},
	}
	for _, one := range b.all() {
		cert := must[*x509.Certificate](t)(x509.ParseCertificate(one.der))
		one.want.Subject, one.want.PublicKey = cert.RawSubject, cert.RawSubjectPublicKeyInfo
		if one.want.Kind == lint.Root || one.want.Kind == lint.IssuingCA || one.want.Kind == lint.TLSRoot {
			one.want.TestPrefix = "TEST "
		}
	}
	revoked := []ca.Certificate{
		{State: ca.Revoked, Issuer: b.authority.Certificate().RawSubject, Serial: "01" + strings.Repeat("a1", 17), RevokedAt: start(), Reason: ca.KeyCompromise},
		{State: ca.Revoked, Issuer: b.authority.Certificate().RawSubject, Serial: "01" + strings.Repeat("b2", 17), RevokedAt: start().Add(time.Second)},
	}
	now := start().Add(time.Hour)
	b.crl = bytesOf(b.authority.CRL(ctx, nil, revoked, now))
	b.wantCRL = lint.WantCRL{
		Issuer: b.authority.Certificate(), Now: now, Lifetime: 24 * time.Hour,
		Revoked: map[string]time.Time{revoked[0].Serial: revoked[0].RevokedAt, revoked[1].Serial: revoked[1].RevokedAt},
	}
	return b
}

func (b *bases) all() []*base {
	return []*base{&b.root, &b.issuing, &b.person, &b.employee, &b.seal, &b.tls, &b.server, &b.client}
}
