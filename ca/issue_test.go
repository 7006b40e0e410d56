package ca

import (
	"bytes"
	"context"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/ca/lint"
)

func TestNaturalPersonCertificate(t *testing.T) {
	h := build(t, testConfig())
	c := h.issue(t, newTx(), h.issuing, personRequest(t, "r1"))
	cert := parse(t, c.DER)

	if c.State != Issued || len(c.Serial) != 36 || !strings.HasPrefix(c.Serial, "01") {
		t.Errorf("record: state %s, serial %s", c.State, c.Serial)
	}
	if want := start().Truncate(time.Second); !cert.NotBefore.Equal(want) || !cert.NotAfter.Equal(want.AddDate(2, 0, 0).Add(-time.Second)) {
		t.Errorf("validity %s to %s", cert.NotBefore, cert.NotAfter)
	}
	// C and serialNumber PrintableString (13), the rest UTF8String (0c), in this order.
	wantSubject := "307e" +
		"310b3009" + "0603550406" + "1302" + hex.EncodeToString([]byte("UA")) +
		"31193017" + "0603550404" + "0c10" + hex.EncodeToString([]byte("Шевченко")) +
		"31133011" + "060355042a" + "0c0a" + hex.EncodeToString([]byte("Олена")) +
		"31193017" + "0603550405" + "1310" + hex.EncodeToString([]byte("TINUA-3184710691")) +
		"31243022" + "0603550403" + "0c1b" + hex.EncodeToString([]byte("Олена Шевченко"))
	if got := hex.EncodeToString(cert.RawSubject); got != wantSubject {
		t.Errorf("subject\n got %s\nwant %s", got, wantSubject)
	}
	for _, e := range cert.Extensions {
		id := e.Id.String()
		if e.Critical != (id == "2.5.29.15") {
			t.Errorf("extension %s critical %t", id, e.Critical)
		}
		if id == "2.5.29.15" && hex.EncodeToString(e.Value) != "03020640" {
			t.Errorf("keyUsage %x", e.Value)
		}
	}
	if got := cert.Policies; len(got) != 2 || got[0].String() != policyQCPNQSCD || got[1].String() != h.cfg.PolicyNatural {
		t.Errorf("policies %v", got)
	}
	if got := cert.CRLDistributionPoints; len(got) != 1 || got[0] != h.issuing.CRLURL() {
		t.Errorf("CRLDP %v", got)
	}
	if got := cert.IssuingCertificateURL; len(got) != 1 || got[0] != h.issuing.CertificateURL() {
		t.Errorf("caIssuers %v", got)
	}
	if len(cert.OCSPServer) > 0 {
		t.Errorf("OCSP is not offered, but named: %v", cert.OCSPServer)
	}
	if cert.SignatureAlgorithm != x509.ECDSAWithSHA384 {
		t.Errorf("signed with %s", cert.SignatureAlgorithm)
	}
}

// The bytes of a statement set that zlint and pkilint both accept.
func TestQCStatementBytes(t *testing.T) {
	cfg := testConfig()
	delete(cfg.PDS, "uk")
	en, pl := hex.EncodeToString([]byte(cfg.PDS["en"])), hex.EncodeToString([]byte(cfg.PDS["pl"]))
	want := "3081ad" +
		"3008" + "060604008e460101" +
		"3008" + "060604008e460104" +
		"3013" + "060604008e460106" + "3009" + "060704008e46010601" +
		"305e" + "060604008e460105" + "3054" + "3028" + "1622" + en + "1302656e" + "3028" + "1622" + pl + "1302706c" +
		"300b" + "060604008e460103" + "020114" +
		"3015" + "06082b06010505070b02" + "3009" + "060704008bec490101"
	got, err := qcStatements(cfg, false)
	must(t, err)
	if hex.EncodeToString(got.Value) != want || got.Critical || got.Id.String() != "1.3.6.1.5.5.7.1.3" {
		t.Errorf("\n got %x\nwant %s", got.Value, want)
	}
	cfg.QSCD = false
	got, err = qcStatements(cfg, false)
	must(t, err)
	if bytes.Contains(got.Value, []byte{0x04, 0x00, 0x8e, 0x46, 0x01, 0x04}) {
		t.Error("QcSSCD stands in a certificate whose key is not declared to be in a qualified device")
	}
}

func TestAllProfilesAreClean(t *testing.T) {
	for _, qscd := range []bool{true, false} {
		cfg := testConfig()
		cfg.QSCD = qscd
		h := build(t, cfg)
		for _, c := range everyProfile(t, h) {
			// Prepare and New would have refused; here the judges run again on what came out.
			issuer := h.issuing
			switch c.Profile.rules().issuer {
			case TLSRoot:
				issuer = h.tls
			case Root:
				issuer = h.root
			}
			if found := issuer.zlint.certificate(c.DER, c.Profile); found != nil {
				t.Errorf("%s: %s", c.Profile, lint.Describe(found))
			}
			if err := issuer.examine(c, c.DER, true); err != nil {
				t.Errorf("%s: %v", c.Profile, err)
			}
			if !strings.Contains(c.LintReport, lint.Version) || !strings.Contains(c.LintReport, zlintVersion) {
				t.Errorf("%s: report %q names no rule sets", c.Profile, c.LintReport)
			}
		}
		for _, a := range []*Authority{h.root, h.issuing, h.tls} {
			if found := a.zlint.certificate(a.Certificate().Raw, a.profile); found != nil {
				t.Errorf("%s: %s", a.profile, lint.Describe(found))
			}
		}
	}
}

// everyProfile issues one certificate of each profile that a CA issues.
func everyProfile(t testing.TB, h *house) []Certificate {
	t.Helper()
	tx := newTx()
	request := func(id string, p Profile, years int) Request {
		return Request{
			ID: id, Person: id, Profile: p, PublicKey: newKey(t, elliptic.P256()).Public(),
			NotBefore: start(), Years: years,
		}
	}
	polish := personRequest(t, "pl")
	polish.Person = "person-2"
	polish.Natural = Natural{Country: "PL", GivenName: "Łukasz Józef", Surname: "Brzęczyszczykiewicz-Żółć", Identifier: Identifier{"PNO", "PL", "44051401359"}}
	long := personRequest(t, "long")
	long.Person = "person-3"
	long.Natural = Natural{Country: "UA", GivenName: strings.Repeat("Анна ", 9) + "Анна", Surname: strings.Repeat("Дуже", 15), Identifier: Identifier{"PAS", "UA", "FA123456"}}
	curve := personRequest(t, "p384")
	curve.Person, curve.PublicKey = "person-5", newKey(t, elliptic.P384()).Public()
	curve.Natural = Natural{Country: "UA", GivenName: "Ада", Surname: "Крива", Identifier: Identifier{"IDC", "UA", "000123457"}}
	single := personRequest(t, "single")
	single.Person = "person-4"
	single.Natural = Natural{Country: "UA", Surname: "Мононім", Identifier: Identifier{"IDC", "UA", "000123456"}}
	server := request("srv", TLSServer, 1)
	server.DNSNames, server.IPs = []string{"localhost"}, []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	byAddress := request("srv-ip", TLSServer, 2)
	byAddress.IPs = []net.IP{net.IPv4(127, 0, 0, 1)}
	client := request("cli", TLSClient, 1)
	client.Role, client.Display = "documents", "Документи"
	client.DNSNames = []string{"documents-1"}
	return []Certificate{
		h.issuingRecord,
		h.issue(t, tx, h.issuing, personRequest(t, "ua")),
		h.issue(t, tx, h.issuing, polish),
		h.issue(t, tx, h.issuing, long),
		h.issue(t, tx, h.issuing, single),
		h.issue(t, tx, h.issuing, curve),
		h.issue(t, tx, h.issuing, request("seal", ServiceSeal, 3)),
		h.issue(t, tx, h.tls, server),
		h.issue(t, tx, h.tls, byAddress),
		h.issue(t, tx, h.tls, client),
	}
}

func TestPrepareRefuses(t *testing.T) {
	cfg := testConfig()
	cfg.QSCDEnds = start().AddDate(2, 6, 0)
	h := build(t, cfg)
	weak, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	cases := []struct {
		name   string
		ca     *Authority
		change func(*Request)
		want   error
	}{
		{"no id", h.issuing, func(r *Request) { r.ID = "" }, ErrRequest},
		{"no person", h.issuing, func(r *Request) { r.Person = "" }, ErrRequest},
		{"profile of another CA", h.root, func(*Request) {}, ErrRequest},
		{"unknown profile", h.issuing, func(r *Request) { r.Profile = "web" }, ErrRequest},
		{"root by root", h.root, func(r *Request) { r.Profile, r.PublicKey = Root, newKey(t, elliptic.P384()).Public() }, ErrRequest},
		{"RSA 2048", h.issuing, func(r *Request) { r.PublicKey = weak.Public() }, ErrKey},
		{"RSA with exponent 3", h.issuing, func(r *Request) { r.PublicKey = &rsa.PublicKey{N: rsaKey(t).N, E: 3} }, ErrKey},
		{"RSA 8192", h.issuing, func(r *Request) { r.PublicKey = &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 8191), E: 65537} }, ErrKey},
		{"RSA for a seal", h.issuing, func(r *Request) { r.Profile, r.PublicKey = ServiceSeal, rsaKey(t).Public() }, ErrKey},
		{"P-521", h.issuing, func(r *Request) { r.PublicKey = newKey(t, elliptic.P521()).Public() }, ErrKey},
		{"no key", h.issuing, func(r *Request) { r.PublicKey = nil }, ErrKey},
		{"0 years", h.issuing, func(r *Request) { r.Years = 0 }, ErrValidity},
		{"4 years", h.issuing, func(r *Request) { r.Years = 4 }, ErrValidity},
		{"past the device's certification", h.issuing, func(r *Request) { r.Years = 3 }, ErrValidity},
		{"past the CA", h.issuing, func(r *Request) { r.NotBefore = start().AddDate(8, 1, 0) }, ErrValidity},
		{"before the CA", h.issuing, func(r *Request) { r.NotBefore = start().Add(-time.Hour) }, ErrValidity},
		{"country", h.issuing, func(r *Request) { r.Natural.Country = "UK" }, ErrRequest},
		{"no names", h.issuing, func(r *Request) { r.Natural.GivenName, r.Natural.Surname = "", "" }, ErrRequest},
		{"not NFC", h.issuing, func(r *Request) { r.Natural.Surname = "И\u0306одко" }, ErrRequest},
		{"double space", h.issuing, func(r *Request) { r.Natural.Surname = "А  Б" }, ErrRequest},
		{"line feed", h.issuing, func(r *Request) { r.Natural.Surname = "А\nБ" }, ErrRequest},
		{"direction override", h.issuing, func(r *Request) { r.Natural.Surname = "А\u202eБ" }, ErrRequest},
		{"invalid UTF-8", h.issuing, func(r *Request) { r.Natural.Surname = "А\xff" }, ErrRequest},
		{"two scripts", h.issuing, func(r *Request) { r.Natural.Surname = "Shevchenko" }, ErrRequest},
		{"homoglyph", h.issuing, func(r *Request) { r.Natural.Surname = "Шевчeнко" }, ErrRequest},
		{"too long", h.issuing, func(r *Request) { r.Natural.Surname = strings.Repeat("Ш", 201) }, ErrRequest},
		{"check digit", h.issuing, func(r *Request) { r.Natural.Identifier.Value = "3184710692" }, ErrCheckDigit},
		{"identifier kind", h.issuing, func(r *Request) { r.Natural.Identifier.Kind = "TAX" }, ErrIdentifier},
		{"network name", h.issuing, func(r *Request) { r.DNSNames = []string{"a"} }, ErrRequest},
		{"TLS without a name", h.tls, func(r *Request) { r.Profile, r.Role, r.Display = TLSClient, "portal", "P" }, ErrRequest},
		{"client without a role", h.tls, func(r *Request) { r.Profile, r.DNSNames, r.Display = TLSClient, []string{"a"}, "P" }, ErrRequest},
		{"client without a name to show", h.tls, func(r *Request) { r.Profile, r.DNSNames, r.Role = TLSClient, []string{"a"}, "portal" }, ErrRequest},
		{"client with an address", h.tls, func(r *Request) {
			r.Profile, r.DNSNames, r.IPs, r.Role, r.Display = TLSClient, []string{"a"}, []net.IP{net.IPv6loopback}, "portal", "P"
		}, ErrRequest},
		{"name that is none", h.tls, func(r *Request) {
			r.Profile, r.DNSNames, r.Role, r.Display = TLSClient, []string{"Ä b"}, "portal", "P"
		}, ErrRequest},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			req := personRequest(t, "r1")
			c.change(&req)
			if _, err := c.ca.Prepare(req); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
	if h.issuingKey.calls != 0 || h.rootKey.calls != 0 {
		t.Error("a refused request reached the CA key")
	}
	// A CN one character too long for both parts together is refused by the rules alone.
	req := personRequest(t, "r1")
	req.Natural.GivenName, req.Natural.Surname = strings.Repeat("Ш", 120), strings.Repeat("Ш", 120)
	if _, err := h.issuing.Prepare(req); !errors.Is(err, ErrLint) || !strings.Contains(err.Error(), "subject-text") {
		t.Errorf("got %v, want ErrLint naming the rule", err)
	}
}

func TestPrepareUsesNoCAKey(t *testing.T) {
	h := build(t, testConfig())
	intent, err := h.issuing.Prepare(personRequest(t, "r1"))
	must(t, err)
	if h.issuingKey.calls != 0 {
		t.Error("the CA key signed before the intent was stored")
	}
	c := intent.Certificate()
	if c.State != Intended || c.DER != nil || len(c.TBS) == 0 {
		t.Errorf("intent is %+v", c)
	}
}

func TestIntendOncePerRequest(t *testing.T) {
	h, tx := build(t, testConfig()), newTx()
	first, err := h.issuing.Prepare(personRequest(t, "r1"))
	must(t, err)
	must(t, h.issuing.Intend(tx, first))
	second, err := h.issuing.Prepare(personRequest(t, "r1"))
	must(t, err)
	if err := h.issuing.Intend(tx, second); !errors.Is(err, ErrRequestTaken) {
		t.Errorf("second intent of one request: %v", err)
	}
	// The same person gets another certificate under the same name; another person does not.
	again, err := h.issuing.Prepare(personRequest(t, "r2"))
	must(t, err)
	must(t, h.issuing.Intend(tx, again))
	req := personRequest(t, "r3")
	req.Person = "impostor"
	other, err := h.issuing.Prepare(req)
	must(t, err)
	if err := h.issuing.Intend(tx, other); !errors.Is(err, ErrSubjectTaken) {
		t.Errorf("the name of another person: %v", err)
	}
	if first.cert.Serial == second.cert.Serial {
		t.Error("two requests drew one serial number")
	}
}

// constReader gives the same octets for ever, as a broken random source would.
type constReader struct{}

func (constReader) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 7
	}
	return len(p), nil
}

func TestSerialDrawnTwiceIsRefused(t *testing.T) {
	h, tx := build(t, testConfig()), newTx()
	h.issuing.rand = constReader{}
	for i, id := range []string{"r1", "r2"} {
		intent, err := h.issuing.Prepare(personRequest(t, id))
		must(t, err)
		err = h.issuing.Intend(tx, intent)
		if i == 0 {
			must(t, err)
		} else if !errors.Is(err, ErrRequest) {
			t.Errorf("got %v", err)
		}
	}
}

func TestSameInputSameContent(t *testing.T) {
	h := build(t, testConfig())
	h.issuing.rand = constReader{}
	req := personRequest(t, "r1")
	a, err := h.issuing.Prepare(req)
	must(t, err)
	b, err := h.issuing.Prepare(req)
	must(t, err)
	if !bytes.Equal(a.cert.TBS, b.cert.TBS) {
		t.Error("equal requests, time and random octets gave different certificates")
	}
	key := newKey(t, elliptic.P384())
	one, err := BuildRoot(t.Context(), h.cfg, Root, key, start(), 20, constReader{})
	must(t, err)
	two, err := BuildRoot(t.Context(), h.cfg, Root, key, start(), 20, constReader{})
	must(t, err)
	if !bytes.Equal(parse(t, one).RawTBSCertificate, parse(t, two).RawTBSCertificate) {
		t.Error("equal roots have different content")
	}
}

func TestResumeAfterCrash(t *testing.T) {
	h, tx := build(t, testConfig()), newTx()
	req := personRequest(t, "r1")
	intent, err := h.issuing.Prepare(req)
	must(t, err)
	must(t, h.issuing.Intend(tx, intent))

	// Signed, then the process died before Record. The next life signs the stored content again.
	lost, err := h.issuing.Sign(t.Context(), intent.Certificate())
	must(t, err)
	c, err := tx.CertificateByRequest("r1")
	must(t, err)
	der, err := h.issuing.Sign(t.Context(), c)
	must(t, err)
	if !bytes.Equal(parse(t, lost).RawTBSCertificate, parse(t, der).RawTBSCertificate) {
		t.Fatal("resuming made a second certificate")
	}
	must(t, h.issuing.Record(tx, c.Serial, der))
	must(t, h.issuing.Record(tx, c.Serial, der)) // repeating is harmless
	if err := h.issuing.Record(tx, c.Serial, lost); !errors.Is(err, ErrAlreadyIssued) {
		t.Errorf("a second signature was recorded: %v", err)
	}
	c, err = tx.Certificate(c.Serial)
	must(t, err)
	if _, err := h.issuing.Sign(t.Context(), c); !errors.Is(err, ErrNotIntended) {
		t.Errorf("an issued certificate was signed again: %v", err)
	}
	if len(tx.rows) != 1 {
		t.Errorf("%d certificates for one request", len(tx.rows))
	}
}

func TestSignRefusesBadRecords(t *testing.T) {
	h := build(t, testConfig())
	intent, err := h.issuing.Prepare(personRequest(t, "r1"))
	must(t, err)
	other, err := h.issuing.Prepare(personRequest(t, "r2"))
	must(t, err)
	seal, err := h.issuing.Prepare(Request{
		ID: "s", Person: "service", Profile: ServiceSeal,
		PublicKey: newKey(t, elliptic.P256()).Public(), NotBefore: start(), Years: 1,
	})
	must(t, err)
	cases := map[string]struct {
		change func(*Certificate)
		want   error
	}{
		"state":          {func(c *Certificate) { c.State = Revoked }, ErrNotIntended},
		"other CA":       {func(c *Certificate) { c.Issuer = h.root.cert.RawSubject }, ErrNotIntended},
		"other TBS":      {func(c *Certificate) { c.TBS = other.cert.TBS }, ErrIntentChanged},
		"other profile":  {func(c *Certificate) { c.Profile = ServiceSeal }, ErrLint},
		"other subject":  {func(c *Certificate) { c.Subject = seal.cert.Subject }, ErrLint},
		"other key":      {func(c *Certificate) { c.SPKI[0]++ }, ErrIntentChanged},
		"other validity": {func(c *Certificate) { c.NotAfter = c.NotAfter.Add(time.Hour) }, ErrIntentChanged},
		"garbage":        {func(c *Certificate) { c.TBS = []byte{0x30, 0x03, 1, 2} }, ErrSignature},
		"empty":          {func(c *Certificate) { c.TBS = nil }, ErrSignature},
		"CA in disguise": {func(c *Certificate) { *c = disguise(t, h, *c) }, ErrLint},
	}
	for name, one := range cases {
		c := intent.Certificate()
		one.change(&c)
		if _, err := h.issuing.Sign(t.Context(), c); !errors.Is(err, one.want) {
			t.Errorf("%s: got %v, want %v", name, err, one.want)
		}
	}
	if h.issuingKey.calls != 0 {
		t.Errorf("the CA key signed %d bad records", h.issuingKey.calls)
	}
}

// disguise returns a record, consistent in itself, whose TBS is that of a CA certificate.
func disguise(t *testing.T, h *house, c Certificate) Certificate {
	t.Helper()
	key := newKey(t, elliptic.P256())
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: mustSerial(t, c.Serial), RawSubject: c.Subject, NotBefore: c.NotBefore, NotAfter: c.NotAfter,
		KeyUsage: x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
		SignatureAlgorithm: x509.ECDSAWithSHA384,
	}, &x509.Certificate{RawSubject: h.issuing.cert.RawSubject, SubjectKeyId: h.issuing.cert.SubjectKeyId}, key.Public(), newKey(t, elliptic.P384()))
	must(t, err)
	forged := parse(t, der)
	c.TBS, c.SPKI = forged.RawTBSCertificate, sha256.Sum256(forged.RawSubjectPublicKeyInfo)
	return c
}

func TestSignatureFaults(t *testing.T) {
	h, tx := build(t, testConfig()), newTx()
	intent, err := h.issuing.Prepare(personRequest(t, "r1"))
	must(t, err)
	must(t, h.issuing.Intend(tx, intent))
	c := intent.Certificate()

	h.issuingKey.fail = errors.New("device lost")
	if _, err := h.issuing.Sign(t.Context(), c); !errors.Is(err, ErrSigning) {
		t.Errorf("failing device: %v", err)
	}
	h.issuingKey.fail, h.issuingKey.spoil = nil, true
	if _, err := h.issuing.Sign(t.Context(), c); !errors.Is(err, ErrLint) || !strings.Contains(err.Error(), "signature") {
		t.Errorf("wrong signature: %v", err)
	}
	h.issuingKey.spoil = false
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.issuing.Sign(gone, c); !errors.Is(err, context.Canceled) || !errors.Is(err, ErrSigning) {
		t.Errorf("caller gone: %v", err)
	}
	// Record takes nothing that does not belong to the intent.
	foreign := h.issue(t, newTx(), h.issuing, personRequest(t, "r2"))
	for name, der := range map[string][]byte{
		"foreign": foreign.DER, "empty": nil, "truncated": foreign.DER[:40],
		"unsigned": mustSigned(t, c.TBS),
	} {
		if err := h.issuing.Record(tx, c.Serial, der); !errors.Is(err, ErrSignature) && !errors.Is(err, ErrLint) {
			t.Errorf("%s was recorded: %v", name, err)
		}
	}
	if err := h.issuing.Record(tx, "00", nil); !errors.Is(err, ErrNotFound) {
		t.Errorf("unknown serial: %v", err)
	}
	if err := h.root.Record(tx, c.Serial, foreign.DER); !errors.Is(err, ErrNotFound) {
		t.Errorf("another CA's certificate: %v", err)
	}
}

func TestIssueWithoutStore(t *testing.T) {
	h := build(t, testConfig())
	c, err := h.tls.Issue(t.Context(), Request{
		ID: "c", Person: "c", Profile: TLSClient, DNSNames: []string{"portal"}, Role: "portal", Display: "Портал",
		PublicKey: newKey(t, elliptic.P256()).Public(), NotBefore: start(), Years: 1,
	})
	must(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(h.tls.Certificate())
	_, err = parse(t, c.DER).Verify(x509.VerifyOptions{
		Roots: pool, CurrentTime: start().Add(time.Hour), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, DNSName: "portal",
	})
	must(t, err)
	if _, err := h.issuing.Issue(t.Context(), personRequest(t, "r")); !errors.Is(err, ErrRequest) {
		t.Errorf("a person's certificate was issued without an intent: %v", err)
	}
}

func mustSerial(t *testing.T, text string) *big.Int {
	t.Helper()
	serial, err := parseSerial(text)
	must(t, err)
	return new(big.Int).SetBytes(serial)
}

func mustSigned(t *testing.T, tbs []byte) []byte {
	t.Helper()
	der, err := signed(tbs, x509.ECDSAWithSHA384, []byte{0})
	must(t, err)
	return der
}
