package lint_test

import (
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"strings"
	"testing"

	"github.com/ecsigner/ecsigner/ca/lint"
)

type defect struct {
	name   string
	rule   string
	of     func(*bases) *base
	change func(doc)
	want   func(*lint.Want)
}

func person(b *bases) *base  { return &b.person }
func worker(b *bases) *base  { return &b.employee }
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
		{"organisational unit", "subject-attributes", person, func(d doc) { d.addAttribute("2.5.4.11", 0x0c, "А") }, nil},
		{"two organisations", "subject-attributes", worker, func(d doc) { d.addAttribute(idO, 0x0c, "А"); d.addAttribute(idOI, 0x0c, "VATPL-5260250274") }, nil},
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
		{"wrong NIP", "person-identifier-digits", person, func(d doc) { d.setText(idSerial, "TINPL-9512352378") }, nil},
		{"wrong identity card", "person-identifier-digits", worker, func(d doc) { d.setText(idSerial, "IDCPL-ABA300001") }, nil},
		{"wrong passport", "person-identifier-digits", worker, func(d doc) { d.setText(idSerial, "PASPL-ZS0000178") }, nil},
		{"no such birth date", "person-identifier-digits", worker, func(d doc) { d.setText(idSerial, "PNOUA-19900230-00000") }, nil},
		{"passport of no form", "person-identifier-digits", worker, func(d doc) { d.setText(idSerial, "PASUA-123456FA") }, nil},
		{"small letters", "person-identifier-case", worker, func(d doc) { d.setText(idSerial, "PASDE-c01x0006h") }, nil},
		{"name without identifier", "person-organisation", worker, func(d doc) { d.dropAttribute(idOI) }, nil},
		{"identifier without name", "person-organisation", worker, func(d doc) { d.dropAttribute(idO) }, nil},
		{"organisation of a private person", "person-organisation", person, func(d doc) { d.addAttribute(idO, 0x0c, "А") }, nil},
		{"organisation's check digit", "person-organisation", worker, func(d doc) { d.setText(idOI, "VATPL-9512352378") }, nil},
		{"person's number as the organisation's", "person-organisation", worker, func(d doc) { d.setText(idOI, "PNOPL-44051401359") }, nil},
		{"name repeats the identifier", "person-organisation", worker, func(d doc) { d.setText(idO, "VATPL-9512352379") }, nil},
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
		{"legal semantics without an organisation", "qc-semantics", person, func(d doc) {
			d.statements(func(l *node) { l.add(seq(oid(qcSemantics), seq(oid("0.4.0.194121.1.2")))) })
		}, nil},
		{"natural semantics twice", "qc-once", worker, func(d doc) {
			d.statements(func(l *node) { l.add(seq(oid(qcSemantics), seq(oid("0.4.0.194121.1.1")))) })
		}, nil},
		{"organisation without its semantics", "qc-semantics", worker, func(d doc) {
			d.statements(func(l *node) { l.drop(len(l.kids) - 1) })
		}, nil},
		{"semantics empty", "qc-semantics", person, func(d doc) { d.setStatement(qcSemantics, seq()) }, nil},
	}
}
