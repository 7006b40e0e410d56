package lint_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"maps"
	"math/big"
	"net"
	"slices"
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
	root, issuing, person, seal, tls, server, client base
	authority                                        *ca.Authority
	crl                                              []byte
	wantCRL                                          lint.WantCRL
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
	return []*base{&b.root, &b.issuing, &b.person, &b.seal, &b.tls, &b.server, &b.client}
}

func rules(found []lint.Finding) []string {
	var names []string
	for _, f := range found {
		names = append(names, f.Rule)
	}
	return names
}

func TestCorrectCertificatesAreClean(t *testing.T) {
	b := newBases(t)
	for _, one := range b.all() {
		one.want.Signed = true
		if found := lint.Certificate(one.der, one.want); found != nil {
			t.Errorf("kind %d: %s", one.want.Kind, lint.Describe(found))
		}
		// The test's own encoder changes nothing by itself.
		if again := read(t, one.der).der(); string(again) != string(one.der) {
			t.Errorf("kind %d: the tree does not come back", one.want.Kind)
		}
	}
	b.wantCRL.Signed = true
	if found := lint.CRL(b.crl, b.wantCRL); found != nil {
		t.Errorf("list: %s", lint.Describe(found))
	}
}

// Profiles do not pass for each other.
func TestKindsDiffer(t *testing.T) {
	b := newBases(t)
	for _, one := range b.all() {
		for _, other := range b.all() {
			want := other.want
			want.Subject, want.PublicKey = nil, nil
			if found := lint.Certificate(one.der, want); one != other && found == nil {
				t.Errorf("a certificate of kind %d passes for kind %d", one.want.Kind, want.Kind)
			}
		}
	}
	if found := lint.Certificate(b.root.der, lint.Want{}); found == nil {
		t.Error("no kind at all passes")
	}
	if found := lint.CRL(b.crl, lint.WantCRL{}); found == nil {
		t.Error("a list without an issuer passes")
	}
}

type defect struct {
	name   string
	rule   string
	of     func(*bases) *base
	change func(doc)
	want   func(*lint.Want)
}

func person(b *bases) *base  { return &b.person }
func issuing(b *bases) *base { return &b.issuing }
func root(b *bases) *base    { return &b.root }
func seal(b *bases) *base    { return &b.seal }
func server(b *bases) *base  { return &b.server }
func client(b *bases) *base  { return &b.client }

func alg(id string, params ...*node) *node { return seq(append([]*node{oid(id)}, params...)...) }

func statementPDS(pairs ...string) *node {
	list := seq()
	for i := 0; i < len(pairs); i += 2 {
		list.add(seq(prim(0x16, pairs[i+1]), prim(0x13, pairs[i])))
	}
	return list
}

func frameDefects(t testing.TB) []defect {
	weak := must[*rsa.PrivateKey](t)(rsa.GenerateKey(rand.Reader, 2048))
	spki := func(pub any) *node { return read(t, must[[]byte](t)(x509.MarshalPKIXPublicKey(pub))) }
	null := prim(5, "")
	return []defect{
		{"bytes follow", "parse", person, func(d doc) { d.all.add(prim(5, "")) }, nil},
		{"field after the extensions", "parse", person, func(d doc) { d.tbs().add(prim(5, "")) }, nil},
		{"unique identifier after the extensions", "parse", person, func(d doc) { d.tbs().add(prim(0x81, "\x00\xff")) }, nil},
		{"version 2", "version-3", person, func(d doc) { d.field(fVersion).kids[0].body = []byte{1} }, nil},
		{"serial 1", "serial-form", person, func(d doc) { d.field(fSerial).body = []byte{1} }, nil},
		{"serial of 20 octets", "serial-form", person, func(d doc) { d.field(fSerial).body = append(d.field(fSerial).body, 1, 2) }, nil},
		{"ECDSA with SHA-1", "signature-algorithm", person, func(d doc) { d.setAlgorithm(fAlgorithm, alg("1.2.840.10045.4.1")) }, nil},
		{"RSA with SHA-1", "signature-algorithm", issuing, func(d doc) { d.setAlgorithm(fAlgorithm, alg("1.2.840.113549.1.1.5", null)) }, nil},
		{"PKCS#1 v1.5 past 2029", "algorithm-end", person, func(d doc) {
			d.setAlgorithm(fAlgorithm, alg("1.2.840.113549.1.1.11", null))
			d.setTime(1, 0x17, "291101075959Z")
		}, nil},
		{"RSA 2048", "public-key-allowed", person, func(d doc) { d.tbs().kids[fKey] = spki(weak.Public()) }, nil},
		{"CA on P-256", "public-key-allowed", issuing, func(d doc) { d.tbs().kids[fKey] = spki(newKey(t, elliptic.P256()).Public()) }, nil},
		{"P-521", "public-key-allowed", person, func(d doc) { d.tbs().kids[fKey] = spki(newKey(t, elliptic.P521()).Public()) }, nil},
		{"RSA for a seal", "public-key-allowed", seal, func(d doc) { d.tbs().kids[fKey] = spki(weak.Public()) }, nil},
		{"another key", "public-key-expected", person, func(d doc) { d.tbs().kids[fKey] = spki(newKey(t, elliptic.P256()).Public()) }, nil},
		{"another issuer", "issuer-name", person, func(d doc) { d.tbs().kids[fIssuer] = d.field(fSubject) }, nil},
		{"issuer name re-encoded", "issuer-name", person, func(d doc) { d.field(fIssuer).kids[0].kids[0].kids[1].tag = 0x0c }, nil},
		{"GeneralizedTime in 2026", "time-encoding", person, func(d doc) { d.setTime(0, 0x18, "20261101080000Z") }, nil},
		{"backwards", "validity-order", person, func(d doc) { d.setTime(1, 0x17, "261101075959Z") }, nil},
		{"past the CA", "validity-within-issuer", person, func(d doc) { d.setTime(1, 0x17, "371101075959Z") }, nil},
		{"before the CA", "validity-within-issuer", person, func(d doc) { d.setTime(0, 0x17, "261101075959Z") }, nil},
		{"a second too long", "validity-whole-years", person, func(d doc) { d.setTime(1, 0x17, "281101080000Z") }, nil},
		{"four years", "validity-whole-years", person, func(d doc) { d.setTime(1, 0x17, "301101075959Z") }, nil},
		{"device ends", "device-certification", person, nil, func(w *lint.Want) { w.QSCDEnds = start().AddDate(1, 0, 0) }},
		{"issuerUniqueID", "unique-identifiers", person, func(d doc) { d.tbs().insert(fKey+1, prim(0x81, "\x00\xff")) }, nil},
		{"critical FALSE", "default-encoded", person, func(d doc) { d.critical(idSKI, "\x00") }, nil},
		{"signature", "signature", person, func(d doc) { d.all.kids[2].body[9] ^= 1 }, func(w *lint.Want) { w.Signed = true }},
		{"root's signature", "signature", root, func(d doc) { d.all.kids[2].body[9] ^= 1 }, func(w *lint.Want) { w.Signed = true }},
	}
}

func extensionDefects() []defect {
	url := func(s string) *node { return prim(0x86, s) }
	access := func(method, s string) *node { return seq(oid(method), url(s)) }
	const caIssuers, ocsp = "1.3.6.1.5.5.7.48.2", "1.3.6.1.5.5.7.48.1"
	point := func(s string) *node { return seq(seq(cons(0xa0, cons(0xa0, url(s))))) }
	return []defect{
		{"unknown extension", "extension-known", person, func(d doc) { d.addExtension("1.2.3.4", prim(5, "")) }, nil},
		{"AIA in a root", "extension-known", root, func(d doc) { d.addExtension(idAIA, seq(access(caIssuers, "http://a.example.com"))) }, nil},
		{"policyConstraints", "extension-forbidden", person, func(d doc) { d.addExtension("2.5.29.36", seq(prim(0x80, "\x00"))) }, nil},
		{"inhibitAnyPolicy", "extension-forbidden", issuing, func(d doc) { d.addExtension("2.5.29.54", prim(2, "\x00")) }, nil},
		{"keyUsage not critical", "extension-critical", person, func(d doc) { d.extension(idKU).drop(1) }, nil},
		{"policies critical", "extension-critical", person, func(d doc) { d.critical(idPolicies, "\xff") }, nil},
		{"qcStatements critical", "extension-critical", person, func(d doc) { d.critical(idQC, "\xff") }, nil},
		{"digitalSignature too", "key-usage", person, func(d doc) { d.setExtension(idKU, prim(3, "\x06\xc0")) }, nil},
		{"digitalSignature alone", "key-usage", person, func(d doc) { d.setExtension(idKU, prim(3, "\x07\x80")) }, nil},
		{"padding bits claimed", "key-usage", person, func(d doc) { d.setExtension(idKU, prim(3, "\x05\x40")) }, nil},
		{"no keyUsage", "key-usage", person, func(d doc) { d.dropExtension(idKU) }, nil},
		{"CA signs anything", "key-usage", issuing, func(d doc) { d.setExtension(idKU, prim(3, "\x01\x86")) }, nil},
		{"e-mail", "extended-key-usage", person, func(d doc) { d.addExtension(idEKU, seq(oid("1.3.6.1.5.5.7.3.4"))) }, nil},
		{"any usage", "extended-key-usage", server, func(d doc) { d.setExtension(idEKU, seq(oid("2.5.29.37.0"))) }, nil},
		{"client as server", "extended-key-usage", client, func(d doc) { d.setExtension(idEKU, seq(oid("1.3.6.1.5.5.7.3.1"))) }, nil},
		{"unknown usage", "extended-key-usage", client, func(d doc) { d.setExtension(idEKU, seq(oid("1.3.6.1.5.5.7.3.2"), oid("1.2.3"))) }, nil},
		{"person as a CA", "basic-constraints", person, func(d doc) { d.addExtension(idBC, seq(prim(1, "\xff"))) }, nil},
		{"CA without a path length", "basic-constraints", issuing, func(d doc) { d.setExtension(idBC, seq(prim(1, "\xff"))) }, nil},
		{"root with a path length", "basic-constraints", root, func(d doc) { d.setExtension(idBC, seq(prim(1, "\xff"), prim(2, "\x03"))) }, nil},
		{"root no CA", "basic-constraints", root, func(d doc) { d.setExtension(idBC, seq()) }, nil},
		{"foreign key identifier", "subject-key-identifier", person, func(d doc) { d.setExtension(idSKI, prim(4, "12345678901234567890")) }, nil},
		{"no key identifier", "subject-key-identifier", person, func(d doc) { d.dropExtension(idSKI) }, nil},
		{"foreign authority", "authority-key-identifier", person, func(d doc) { d.setExtension(idAKI, seq(prim(0x80, "12345678901234567890"))) }, nil},
		{"no authority", "authority-key-identifier", issuing, func(d doc) { d.dropExtension(idAKI) }, nil},
		{"foreign authority in a root", "authority-key-identifier", root, func(d doc) { d.setExtension(idAKI, seq(prim(0x80, "x"))) }, nil},
		{"own policy only", "policies", person, func(d doc) { d.setExtension(idPolicies, seq(seq(oid(ownPolicy)))) }, nil},
		{"anyPolicy", "policies", person, func(d doc) { d.setExtension(idPolicies, seq(seq(oid("2.5.29.32.0")))) }, nil},
		{"no policies", "policies", issuing, func(d doc) { d.dropExtension(idPolicies) }, nil},
		{"policy with a qualifier", "policies", person, func(d doc) {
			d.setExtension(idPolicies, seq(seq(oid("0.4.0.194112.1.2")), seq(oid(ownPolicy), seq())))
		}, nil},
		{"policies in TLS", "policies", server, func(d doc) { d.addExtension(idPolicies, seq(seq(oid(ownPolicy)))) }, nil},
		{"no AIA", "authority-information", person, func(d doc) { d.dropExtension(idAIA) }, nil},
		{"OCSP only", "authority-information", person, func(d doc) { d.setExtension(idAIA, seq(access(ocsp, "http://ocsp.example.com"))) }, nil},
		{"another address", "authority-information", person, func(d doc) { d.setExtension(idAIA, seq(access(caIssuers, "http://a.example.com"))) }, nil},
		{"AIA in TLS", "authority-information", server, func(d doc) { d.addExtension(idAIA, seq(access(caIssuers, "http://a.example.com"))) }, nil},
		{"https issuer", "authority-information", person, func(d doc) { d.setExtension(idAIA, seq(access(caIssuers, "https://a.example.com"))) }, func(w *lint.Want) { w.CAIssuers = "https://a.example.com" }},
		{"no CRLDP", "crl-distribution-point", person, func(d doc) { d.dropExtension(idCRLDP) }, nil},
		{"another list", "crl-distribution-point", person, func(d doc) { d.setExtension(idCRLDP, point("http://a.example.com/x.crl")) }, nil},
		{"https list", "crl-distribution-point", person, func(d doc) { d.setExtension(idCRLDP, point("https://a.example.com/x.crl")) }, func(w *lint.Want) { w.CRL = "https://a.example.com/x.crl" }},
		{"CRLDP in TLS", "crl-distribution-point", client, func(d doc) { d.addExtension(idCRLDP, point("http://a.example.com/x.crl")) }, nil},
		{"e-mail address", "subject-alternative-name", person, func(d doc) { d.addExtension(idSAN, seq(prim(0x81, "a@example.com"))) }, nil},
		{"more names", "subject-alternative-name", client, func(d doc) { d.setExtension(idSAN, seq(prim(0x82, "portal"), prim(0x82, "operator"))) }, nil},
		{"another role", "subject-alternative-name", client, func(d doc) {
			d.setExtension(idSAN, seq(prim(0x82, "portal"), prim(0x86, "urn:ecsigner:role:operator")))
		}, nil},
		{"two roles", "subject-alternative-name", client, func(d doc) {
			role := prim(0x86, "urn:ecsigner:role:portal")
			d.setExtension(idSAN, seq(prim(0x82, "portal"), role, role))
		}, nil},
		{"no role", "subject-alternative-name", client, func(d doc) { d.setExtension(idSAN, seq(prim(0x82, "portal"))) }, nil},
		{"no address", "subject-alternative-name", server, func(d doc) { d.setExtension(idSAN, seq(prim(0x82, "localhost"))) }, nil},
		{"issuerAltName", "subject-alternative-name", person, func(d doc) { d.addExtension("2.5.29.18", seq(prim(0x82, "a"))) }, nil},
	}
}

func nameDefects() []defect {
	return []defect{
		{"another name", "subject-expected", person, func(d doc) { d.setText(idGN, "Ольга") }, nil},
		{"two in one set", "subject-single-valued", person, func(d doc) {
			set, at := d.attribute(idGN)
			d.field(fSubject).kids[at-1].add(set.kids[0])
			d.field(fSubject).drop(at)
		}, nil},
		{"country in UTF-8", "subject-string-type", person, func(d doc) { set, _ := d.attribute(idC); set.kids[0].kids[1].tag = 0x0c }, nil},
		{"name printable", "subject-string-type", seal, func(d doc) { set, _ := d.attribute(idCN); set.kids[0].kids[1].tag = 0x13 }, nil},
		{"decomposed", "subject-text", person, func(d doc) { d.setText(idGN, "Андрии\u0306") }, nil},
		{"double space", "subject-text", person, func(d doc) { d.setText(idGN, "А  Б") }, nil},
		{"trailing space", "subject-text", person, func(d doc) { d.setText(idGN, "А ") }, nil},
		{"invisible character", "subject-text", person, func(d doc) { d.setText(idGN, "А\u200bБ") }, nil},
		{"wide space", "subject-text", person, func(d doc) { d.setText(idGN, "А\u00a0Б") }, nil},
		{"empty", "subject-text", person, func(d doc) { d.setText(idGN, "") }, nil},
		{"201 characters", "subject-text", person, func(d doc) { d.setText(idGN, strings.Repeat("а", 201)) }, nil},
		{"two common names", "subject-attributes", person, func(d doc) { d.addAttribute(idCN, 0x0c, "А") }, nil},
		{"no common name", "subject-attributes", person, func(d doc) { d.dropAttribute(idCN) }, nil},
		{"no country", "subject-attributes", person, func(d doc) { d.dropAttribute(idC) }, nil},
		{"no serialNumber", "subject-attributes", person, func(d doc) { d.dropAttribute(idSerial) }, nil},
		{"organisation of a person", "subject-attributes", person, func(d doc) { d.addAttribute(idO, 0x0c, "А") }, nil},
		{"two surnames", "subject-attributes", person, func(d doc) { d.addAttribute(idSN, 0x0c, "А") }, nil},
		{"no organizationIdentifier", "subject-attributes", issuing, func(d doc) { d.dropAttribute(idOI) }, nil},
		{"client without an organisation", "subject-attributes", client, func(d doc) { d.dropAttribute(idO) }, nil},
		{"country in TLS", "subject-attributes", client, func(d doc) { d.addAttribute(idC, 0x13, "PL") }, nil},
		{"no such country", "subject-country", person, func(d doc) { d.setText(idC, "UK") }, nil},
		{"country in lower case", "subject-country", issuing, func(d doc) { d.setText(idC, "pl") }, nil},
		{"bare number", "organisation-identifier", seal, func(d doc) { d.setText(idOI, "5260250274") }, nil},
		{"unknown register", "organisation-identifier", issuing, func(d doc) { d.setText(idOI, "TINPL-5260250274") }, nil},
		{"the same as the name", "organisation-identifier", seal, func(d doc) { d.setText(idO, "VATPL-5260250274") }, nil},
		{"no TEST", "test-name", issuing, func(d doc) { d.setText(idCN, "CA 1") }, nil},
		{"no TEST in the root", "test-name", root, func(d doc) { d.setText(idCN, "Root 1") }, nil},

		{"nameless", "person-named", person, func(d doc) { d.dropAttribute(idGN); d.dropAttribute(idSN) }, nil},
		{"pseudonym and name", "person-pseudonym", person, func(d doc) { d.addAttribute(idPseudonym, 0x0c, "А") }, nil},
		{"pseudonym and surname", "person-pseudonym", person, func(d doc) { d.dropAttribute(idGN); d.addAttribute(idPseudonym, 0x0c, "А") }, nil},
		{"two scripts", "person-script", person, func(d doc) { d.setText(idSN, "Shevchenko") }, nil},
		{"homoglyph", "person-script", person, func(d doc) { d.setText(idSN, "Шевчeнко") }, nil},
		{"common name of another", "person-common-name", person, func(d doc) { d.setText(idCN, "Олена Коваленко") }, nil},
		{"number without type", "person-identifier", person, func(d doc) { d.setText(idSerial, "3184710691") }, nil},
		{"lower-case country", "person-identifier", person, func(d doc) { d.setText(idSerial, "TINua-3184710691") }, nil},
		{"deprecated type", "person-identifier", person, func(d doc) { d.setText(idSerial, "TAXUA-3184710691") }, nil},
		{"wrong check digit", "person-identifier-digits", person, func(d doc) { d.setText(idSerial, "TINUA-3184710692") }, nil},
		{"wrong PESEL", "person-identifier-digits", person, func(d doc) { d.setText(idSerial, "PNOPL-44051401358") }, nil},
	}
}

func statementDefects() []defect {
	return []defect{
		{"no statements", "qc-readable", person, func(d doc) { d.dropExtension(idQC) }, nil},
		{"garbage", "qc-readable", person, func(d doc) { d.setExtension(idQC, seq(prim(5, ""))) }, nil},
		{"twice", "qc-once", person, func(d doc) { d.statements(func(l *node) { l.add(l.kids[0]) }) }, nil},
		{"QcLimitValue", "qc-known", person, func(d doc) {
			d.statements(func(l *node) {
				l.add(seq(oid("0.4.0.1862.1.2"), seq(prim(0x13, "EUR"), prim(2, "\x01"), prim(2, "\x01"))))
			})
		}, nil},
		{"no QcCompliance", "qc-compliance", person, func(d doc) { d.dropStatement(qcCompliance) }, nil},
		{"QcCompliance with a value", "qc-compliance", person, func(d doc) { d.setStatement(qcCompliance, prim(5, "")) }, nil},
		{"no QcSSCD", "qc-device", person, func(d doc) { d.dropStatement(qcSSC) }, nil},
		{"QcSSCD with a value", "qc-device", person, func(d doc) { d.setStatement(qcSSC, prim(5, "")) }, nil},
		{"QcSSCD undeclared", "qc-device", person, nil, func(w *lint.Want) { w.QSCD = false }},
		{"policy without a device", "qc-device-policy", person, func(d doc) { d.setExtension(idPolicies, seq(seq(oid("0.4.0.194112.1.0")))) }, nil},
		{"both policies", "qc-device-policy", person, func(d doc) {
			d.setExtension(idPolicies, seq(seq(oid("0.4.0.194112.1.0")), seq(oid("0.4.0.194112.1.2"))))
		}, nil},
		{"no QcType", "qc-type", person, func(d doc) { d.dropStatement(qcType) }, nil},
		{"eseal", "qc-type", person, func(d doc) { d.setStatement(qcType, seq(oid("0.4.0.1862.1.6.2"))) }, nil},
		{"two types", "qc-type", person, func(d doc) { d.setStatement(qcType, seq(oid("0.4.0.1862.1.6.1"), oid("0.4.0.1862.1.6.2"))) }, nil},
		{"type unreadable", "qc-type", person, func(d doc) { d.setStatement(qcType, prim(5, "")) }, nil},
		{"legislation", "qc-legislation", person, func(d doc) {
			d.statements(func(l *node) { l.add(seq(oid("0.4.0.1862.1.7"), seq(prim(0x13, "PL")))) })
		}, nil},
		{"no QcPDS", "qc-disclosure", person, func(d doc) { d.dropStatement(qcPDS) }, nil},
		{"PDS http", "qc-disclosure", person, func(d doc) { d.setStatement(qcPDS, statementPDS("en", "http://pki.example.com/en.pdf")) }, nil},
		{"PDS without English", "qc-disclosure", person, func(d doc) { d.setStatement(qcPDS, statementPDS("uk", "https://pki.example.com/uk.pdf")) }, nil},
		{"PDS upper case", "qc-disclosure", person, func(d doc) { d.setStatement(qcPDS, statementPDS("EN", "https://pki.example.com/en.pdf")) }, nil},
		{"PDS twice", "qc-disclosure", person, func(d doc) {
			d.setStatement(qcPDS, statementPDS("en", "https://pki.example.com/en.pdf", "en", "https://pki.example.com/en.pdf"))
		}, nil},
		{"PDS elsewhere", "qc-disclosure", person, func(d doc) {
			d.setStatement(qcPDS, statementPDS("en", "https://pki.example.com/en.pdf", "uk", "https://example.com/uk.pdf"))
		}, nil},
		{"PDS with more", "qc-disclosure", person, func(d doc) {
			list := statementPDS("en", "https://pki.example.com/en.pdf", "uk", "https://pki.example.com/uk.pdf")
			list.kids[0].add(prim(5, ""))
			d.setStatement(qcPDS, list)
		}, nil},
		{"PDS unreadable", "qc-disclosure", person, func(d doc) { d.setStatement(qcPDS, prim(5, "")) }, nil},
		{"no retention", "qc-retention", person, func(d doc) { d.dropStatement(qcRetention) }, nil},
		{"retention 0", "qc-retention", person, func(d doc) { d.setStatement(qcRetention, prim(2, "\x00")) }, func(w *lint.Want) { w.RetentionYears = 0 }},
		{"retention 7", "qc-retention", person, func(d doc) { d.setStatement(qcRetention, prim(2, "\x07")) }, nil},
		{"no semantics", "qc-semantics", person, func(d doc) { d.dropStatement(qcSemantics) }, nil},
		{"legal person's semantics", "qc-semantics", person, func(d doc) { d.setStatement(qcSemantics, seq(oid("0.4.0.194121.1.2"))) }, nil},
		{"semantics empty", "qc-semantics", person, func(d doc) { d.setStatement(qcSemantics, seq()) }, nil},
	}
}

func TestSeededDefects(t *testing.T) {
	b := newBases(t)
	hit := map[string]bool{}
	for _, group := range [][]defect{frameDefects(t), extensionDefects(), nameDefects(), statementDefects()} {
		for _, one := range group {
			t.Run(one.rule+"/"+one.name, func(t *testing.T) {
				from := one.of(b)
				d, want := doc{t, read(t, from.der)}, from.want
				if one.change != nil {
					one.change(d)
				}
				if one.want != nil {
					one.want(&want)
				}
				if found := lint.Certificate(d.all.der(), want); !slices.Contains(rules(found), one.rule) {
					t.Errorf("rule %s is silent; found: %s", one.rule, lint.Describe(found))
				}
				hit[one.rule] = true
			})
		}
	}
	for name := range crlDefects(t, b) {
		hit[name] = true
	}
	for _, rule := range lint.Rules() {
		if name, _, _ := strings.Cut(rule, " ("); !hit[name] {
			t.Errorf("no defect is seeded for rule %s", rule)
		}
	}
	t.Logf("%d rules", len(lint.Rules()))
}

// crlDefects runs the seeded defects of lists and returns the rules they are for.
func crlDefects(t *testing.T, b *bases) map[string]bool {
	previous := must[*x509.RevocationList](t)(x509.ParseRevocationList(b.crl))
	entries := func(d doc) *node { return d.tbs().kids[5] }
	follow := func(w *lint.WantCRL) { w.Previous, w.Revoked = previous, nil }
	anyEntry := func(w *lint.WantCRL) { w.Revoked = nil }
	reason := func(n string) *node { return seq(seq(oid(idReason), prim(4, "\x0a\x01"+n))) }
	cases := []struct {
		name, rule string
		change     func(doc)
		want       func(*lint.WantCRL)
	}{
		{"bytes follow", "parse", func(d doc) { d.all.add(prim(5, "")) }, nil},
		{"version 1", "parse", func(d doc) { d.tbs().drop(0) }, nil},
		{"SHA-1", "crl-signature-algorithm", func(d doc) { d.setAlgorithm(1, alg("1.2.840.10045.4.1")) }, nil},
		{"issuer", "crl-issuer", func(d doc) { d.tbs().kids[2].kids[0].kids[0].kids[1].body = []byte("DE") }, nil},
		{"no AKI", "crl-authority-key-identifier", func(d doc) { d.dropExtension(idAKI) }, nil},
		{"AKI", "crl-authority-key-identifier", func(d doc) { d.setExtension(idAKI, seq(prim(0x80, "x"))) }, nil},
		{"no number", "crl-number", func(d doc) { d.dropExtension(idCRLNumber) }, nil},
		{"negative number", "crl-number", func(d doc) { d.setExtension(idCRLNumber, prim(2, "\x80")) }, nil},
		{"huge number", "crl-number", func(d doc) { d.setExtension(idCRLNumber, prim(2, strings.Repeat("\x11", 21))) }, nil},
		{"same number", "crl-number", func(doc) {}, follow},
		{"future", "crl-this-update", func(doc) {}, func(w *lint.WantCRL) { w.Now = w.Now.Add(-time.Second) }},
		{"older than the last", "crl-this-update", func(d doc) { d.tbs().kids[3] = prim(0x17, "261101085959Z") }, follow},
		{"no nextUpdate", "crl-next-update", func(d doc) { d.tbs().drop(4) }, anyEntry},
		{"25 hours", "crl-next-update", func(d doc) { d.tbs().kids[4] = prim(0x17, "261102100000Z") }, nil},
		{"ends before it begins", "crl-next-update", func(d doc) { d.tbs().kids[4] = prim(0x17, "261101080000Z") }, nil},
		{"partial list", "crl-extension-known", func(d doc) { d.addExtension("2.5.29.28", seq(prim(0x81, "\xff"))) }, nil},
		{"critical", "crl-extension-known", func(d doc) { d.critical(idExpired, "\xff") }, nil},
		{"expired dropped", "crl-expired-kept", func(d doc) { d.dropExtension(idExpired) }, nil},
		{"kept since later", "crl-expired-kept", func(d doc) { d.setExtension(idExpired, prim(0x18, "20270101000000Z")) }, nil},
		{"kept since, UTCTime", "crl-expired-kept", func(d doc) { d.setExtension(idExpired, prim(0x17, "261101080000Z")) }, nil},
		{"twice", "crl-entry-unique", func(d doc) { entries(d).add(entries(d).kids[0]) }, nil},
		{"revoked in the future", "crl-entry-date", func(d doc) { entries(d).kids[0].kids[1] = prim(0x17, "261101090001Z") }, nil},
		{"revoked before the CA", "crl-entry-date", func(d doc) { entries(d).kids[0].kids[1] = prim(0x17, "261101075959Z") }, nil},
		{"hold", "crl-entry-reason", func(d doc) { entries(d).kids[0].kids[2] = reason("\x06") }, nil},
		{"unspecified written", "crl-entry-reason", func(d doc) { entries(d).kids[0].kids[2] = reason("\x00") }, nil},
		{"invalidityDate", "crl-entry-reason", func(d doc) {
			entries(d).kids[0].kids[2].add(seq(oid("2.5.29.24"), prim(4, "\x18\x0f20261101080000Z")))
		}, nil},
		{"entry missing", "crl-entry-expected", func(d doc) { entries(d).drop(1) }, nil},
		{"entry exchanged", "crl-entry-expected", func(d doc) { entries(d).kids[0].kids[0].body[3] ^= 1 }, nil},
		{"entry vanished", "crl-entry-final", func(d doc) { entries(d).drop(1) }, follow},
		{"reason changed", "crl-entry-final", func(d doc) { entries(d).kids[0].kids[2] = reason("\x04") }, follow},
		{"time changed", "crl-entry-final", func(d doc) { entries(d).kids[0].kids[1] = prim(0x17, "261101083000Z") }, follow},
		{"signature", "crl-signature", func(d doc) { d.all.kids[2].body[9] ^= 1 }, func(w *lint.WantCRL) { w.Signed = true }},
	}
	hit := map[string]bool{}
	for _, one := range cases {
		t.Run(one.rule+"/"+one.name, func(t *testing.T) {
			d, want := doc{t, read(t, b.crl)}, b.wantCRL
			want.Revoked = maps.Clone(want.Revoked)
			if one.want != nil {
				one.want(&want)
			}
			one.change(d)
			if found := lint.CRL(d.all.der(), want); !slices.Contains(rules(found), one.rule) {
				t.Errorf("rule %s is silent; found: %s", one.rule, lint.Describe(found))
			}
		})
		hit[one.rule] = true
	}
	return hit
}

// A list that honestly follows its predecessor is clean.
func TestListFollows(t *testing.T) {
	b := newBases(t)
	want := b.wantCRL
	want.Previous = must[*x509.RevocationList](t)(x509.ParseRevocationList(b.crl))
	want.Previous.Number = new(big.Int).Sub(want.Previous.Number, big.NewInt(1))
	if found := lint.CRL(b.crl, want); found != nil {
		t.Error(lint.Describe(found))
	}
}

func TestForms(t *testing.T) {
	for text, want := range map[string]bool{
		"VATPL-5260250274": true, "NTRPL-0000123456": true, "NTRDE+HE-HRB123": true, "LEIXG-529900T8BM49AURSDO55": true,
		"VATEL-123456789": true, "PSDPL-KNF-1": true, "NTREL-1": false, "LEIPL-1": false, "VATPL-": false, "VATPL5260250274": false,
		"VATPL+X-1": false, "NTRDE+-1": false, "ABCPL-1": false, "vatpl-1": false, "": false, "VATPL-1 ": false,
	} {
		if lint.OrganisationID(text) != want {
			t.Errorf("%q: want %t", text, want)
		}
	}
	for _, one := range []struct {
		texts []string
		want  bool
	}{
		{[]string{"Олена-Марія", "О’Коннор"}, true},
		{[]string{"Łukasz", "Żółć-Ünal", ""}, true},
		{[]string{"Łukasz", "Жовч"}, false},
		{[]string{"Αλέξης", "Papas"}, false},
		{nil, true},
	} {
		if lint.OneScript(one.texts...) != one.want {
			t.Errorf("%v: want %t", one.texts, one.want)
		}
	}
	if lint.DisclosureFault("en", "https://a.example.com/x") != "" || lint.DisclosureFault("eng", "https://a.example.com") == "" ||
		lint.DisclosureFault("en", "https://") == "" || lint.DisclosureFault("en", "ftp://a") == "" {
		t.Error("disclosure addresses are misjudged")
	}
}

func FuzzCertificate(f *testing.F) {
	b := newBases(f)
	for _, one := range b.all() {
		f.Add(one.der)
		f.Add(one.der[:len(one.der)/2])
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		for _, one := range b.all() {
			want := one.want
			want.Signed = true
			found := lint.Certificate(der, want)
			// Nobody but the issuer makes other bytes that pass: ECDSA leaves only the signature itself free.
			if found == nil && !sameContent(der, one.der) {
				t.Errorf("kind %d: changed certificate passes: %x", want.Kind, der)
			}
		}
	})
}

func sameContent(a, b []byte) bool {
	x, errX := x509.ParseCertificate(a)
	y, errY := x509.ParseCertificate(b)
	return errors.Join(errX, errY) == nil && string(x.RawTBSCertificate) == string(y.RawTBSCertificate)
}

func FuzzCRL(f *testing.F) {
	b := newBases(f)
	f.Add(b.crl)
	f.Add(b.crl[:len(b.crl)-40])
	f.Fuzz(func(t *testing.T, der []byte) {
		want := b.wantCRL
		lint.CRL(der, want)
		want.Previous, _ = x509.ParseRevocationList(b.crl)
		lint.CRL(der, want)
	})
}

// Single-octet changes everywhere, in normal test runs: no panic, and no change to a person's certificate passes.
func TestEveryOctetCounts(t *testing.T) {
	b := newBases(t)
	want := b.person.want
	want.Signed = true
	for i := range b.person.der {
		for _, bit := range []byte{0x01, 0x20, 0x80} {
			der := slices.Clone(b.person.der)
			der[i] ^= bit
			if found := lint.Certificate(der, want); found == nil {
				t.Errorf("octet %d changed by %02x: passes", i, bit)
			}
		}
	}
	for i := range b.crl {
		der := slices.Clone(b.crl)
		der[i] ^= 0x20
		wantCRL := b.wantCRL
		wantCRL.Signed = true
		if found := lint.CRL(der, wantCRL); found == nil {
			t.Errorf("list, octet %d changed: passes", i)
		}
	}
}
