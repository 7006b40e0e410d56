package status

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"

	"github.com/ecsigner/ecsigner/signer/revinfo/revtest"
)

func TestTimes(t *testing.T) {
	want := time.Date(2026, 3, 10, 12, 0, 1, 0, time.UTC)
	for _, c := range []struct {
		tag  byte
		text string
		want time.Time
	}{
		{0x17, "260310120001Z", want},
		{0x17, "490310120001Z", want.AddDate(23, 0, 0)},
		{0x17, "500310120001Z", time.Date(1950, 3, 10, 12, 0, 1, 0, time.UTC)},
		{0x18, "20260310120001Z", want},
		{0x18, "20260310120001.5Z", want},
		{0x18, "20260310120001.999999999Z", want},
		{0x18, "99991231235959Z", time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)},
		{0x18, "20260310120001", time.Time{}},
		{0x18, "20260310120001.Z", time.Time{}},
		{0x18, "20260310120001.5", time.Time{}},
		{0x18, "20260310120001.5x5Z", time.Time{}},
		{0x18, "20260310120001.12345678901Z", time.Time{}},
		{0x18, "20260310120001+0100", time.Time{}},
		{0x18, "202603101200Z", time.Time{}},
		{0x18, "20261310120001Z", time.Time{}},
		{0x18, "20260230120001Z", time.Time{}},
		{0x17, "261310120001Z", time.Time{}},
		{0x16, "260310120001Z", time.Time{}},
	} {
		s := cryptobyte.String(append([]byte{c.tag, byte(len(c.text))}, c.text...))
		got, ok := readTime(&s)
		if ok == c.want.IsZero() || ok && !got.Equal(c.want) {
			t.Errorf("%s: %s, %v", c.text, got, ok)
		}
	}
}

func TestNames(t *testing.T) {
	name := func(list ...pkix.AttributeTypeAndValue) []byte {
		var seq pkix.RDNSequence
		for _, a := range list {
			seq = append(seq, pkix.RelativeDistinguishedNameSET{a})
		}
		der, err := asn1.Marshal(seq)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	attribute := func(last, tag int, text string) pkix.AttributeTypeAndValue {
		return pkix.AttributeTypeAndValue{Type: asn1.ObjectIdentifier{2, 5, 4, last}, Value: asn1.RawValue{Tag: tag, Bytes: []byte(text)}}
	}
	base := name(attribute(6, 19, "UA"), attribute(3, 12, "Тест CA"))
	for _, c := range []struct {
		name  string
		other []byte
		same  bool
	}{
		{"itself", base, true},
		{"another encoding", name(attribute(6, 12, "UA"), attribute(3, 12, "Тест CA")), true},
		{"another case", name(attribute(6, 19, "ua"), attribute(3, 12, "ТЕСТ ca")), true},
		{"more space", name(attribute(6, 19, "UA"), attribute(3, 12, " Тест   CA ")), true},
		{"another value", name(attribute(6, 19, "UA"), attribute(3, 12, "Тест CB")), false},
		{"another type", name(attribute(6, 19, "UA"), attribute(10, 12, "Тест CA")), false},
		{"one more", name(attribute(6, 19, "UA"), attribute(3, 12, "Тест CA"), attribute(3, 12, "x")), false},
		{"one less", name(attribute(6, 19, "UA")), false},
		{"another order", name(attribute(3, 12, "Тест CA"), attribute(6, 19, "UA")), false},
		{"a kind of string that is not compared", name(attribute(6, 20, "UA"), attribute(3, 12, "Тест CA")), false},
		{"nothing", nil, false},
		{"no name", []byte{0x30, 2, 5, 0}, false},
	} {
		if SameName(base, c.other) != c.same || SameName(c.other, base) != c.same {
			t.Errorf("%s: want %v", c.name, c.same)
		}
	}
}

// TestAlgorithms: nothing weaker than SHA-256, and RSASSA-PSS with one hash throughout.
func TestAlgorithms(t *testing.T) {
	sha256 := asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	type params struct {
		Hash    pkix.AlgorithmIdentifier `asn1:"explicit,tag:0"`
		MGF     pkix.AlgorithmIdentifier `asn1:"explicit,tag:1"`
		Salt    int                      `asn1:"explicit,tag:2"`
		Trailer int                      `asn1:"optional,explicit,tag:3,default:1"`
	}
	encode := func(v any) []byte {
		der, err := asn1.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	of := func(hash, mgf, mgfHash asn1.ObjectIdentifier, salt, trailer int) []byte {
		inner := encode(pkix.AlgorithmIdentifier{Algorithm: mgfHash, Parameters: asn1.NullRawValue})
		return encode(params{pkix.AlgorithmIdentifier{Algorithm: hash, Parameters: asn1.NullRawValue}, pkix.AlgorithmIdentifier{Algorithm: mgf, Parameters: asn1.RawValue{FullBytes: inner}}, salt, trailer})
	}
	sha512 := asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}
	for _, c := range []struct {
		name   string
		id     asn1.ObjectIdentifier
		params []byte
		want   x509.SignatureAlgorithm
	}{
		{"RSA with SHA-256", asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}, asn1.NullBytes, x509.SHA256WithRSA},
		{"RSA with SHA-1", asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 5}, asn1.NullBytes, 0},
		{"RSA with MD5", asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 4}, asn1.NullBytes, 0},
		{"ECDSA with SHA-1", asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 1}, nil, 0},
		{"ECDSA with SHA-384", asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3}, nil, x509.ECDSAWithSHA384},
		{"ECDSA with parameters", asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3}, []byte{2, 1, 1}, 0},
		{"DSTU 4145", asn1.ObjectIdentifier{1, 2, 804, 2, 1, 1, 1, 1, 3, 1, 1}, nil, 0},
		{"PSS with SHA-256", oidPSS, of(sha256, oidMGF1, sha256, 32, 1), x509.SHA256WithRSAPSS},
		{"PSS with SHA-512", oidPSS, of(sha512, oidMGF1, sha512, 64, 1), x509.SHA512WithRSAPSS},
		{"PSS with a short salt", oidPSS, of(sha256, oidMGF1, sha256, 20, 1), 0},
		{"PSS with two hashes", oidPSS, of(sha256, oidMGF1, sha512, 32, 1), 0},
		{"PSS with another mask", oidPSS, of(sha256, sha256, sha256, 32, 1), 0},
		{"PSS with another trailer", oidPSS, of(sha256, oidMGF1, sha256, 32, 2), 0},
		{"PSS with SHA-1", oidPSS, of(asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}, oidMGF1, asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}, 20, 1), 0},
		{"PSS without parameters", oidPSS, nil, 0},
		{"PSS with SHA-1 as what is meant by no parameters", oidPSS, []byte{0x30, 0}, 0},
	} {
		if got := algorithm(append(encode(c.id), c.params...)); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	if algorithm([]byte{5, 0}) != 0 {
		t.Error("no identifier")
	}
}

// TestDistributionPoints reads what crypto/x509 does not tell: reasons, and issuers of lists.
func TestDistributionPoints(t *testing.T) {
	pki, err := revtest.New(revtest.Options{URL: "http://pki.test", Depth: 1})
	if err != nil {
		t.Fatal(err)
	}
	url := "\x86\x08http://a"
	named := "\xA0\x0C\xA0\x0A" + url
	issuer := func(name []byte) string {
		inner := append([]byte{0xA4, byte(len(name))}, name...)
		return string(append([]byte{0xA2, byte(len(inner))}, inner...))
	}
	point := func(s string) string { return string([]byte{0x30, byte(len(s))}) + s }
	for _, c := range []struct {
		name, points, refused string
		urls                  []string
	}{
		{"plain", point(named), "", []string{"http://a"}},
		{"two names", point("\xA0\x16\xA0\x14" + url + url), "", []string{"http://a", "http://a"}},
		{"two points", point(named) + point(named), "", []string{"http://a", "http://a"}},
		{"relative to the issuer", point("\xA0\x02\xA1\x00"), "", nil},
		{"for some reasons", point(named + "\x81\x02\x06\x40"), "some reasons only", nil},
		{"of another issuer", point(named + issuer([]byte("\x30\x0C\x31\x0A\x30\x08\x06\x03\x55\x04\x03\x0C\x01X"))), "indirect", nil},
		{"of its own issuer", point(named + issuer(pki.CA(0).RawSubject)), "", []string{"http://a"}},
		{"broken", "\x30\x02\x05\x00", "DistributionPoint", nil},
		{"broken name", point("\xA0\x02\x05\x00"), "DistributionPointName", nil},
	} {
		cert, err := pki.CA(0).Issue(revtest.Template{Change: func(x *x509.Certificate) { x.CRLDistributionPoints = nil }})
		if err != nil {
			t.Fatal(err)
		}
		der := append([]byte{0x30, byte(len(c.points))}, c.points...)
		if len(c.points) > 127 {
			t.Fatalf("%s: %d bytes", c.name, len(c.points))
		}
		cert.Extensions = append(cert.Extensions, pkix.Extension{Id: oidPoints, Value: der})
		urls, refused := URLs(cert.Certificate)
		if !slices.Equal(urls, c.urls) || (c.refused == "") != (len(refused) == 0) || len(refused) > 0 && !strings.Contains(refused[0].Error(), c.refused) {
			t.Errorf("%s: %q, %v; want %q, %q", c.name, urls, refused, c.urls, c.refused)
		}
	}
}

// TestWhoMaySign: a CA without the right to sign lists, and a list for end entities about a CA.
func TestWhoMaySign(t *testing.T) {
	pki, err := revtest.New(revtest.Options{URL: "http://pki.test", Depth: 1})
	if err != nil {
		t.Fatal(err)
	}
	ca, err := pki.CA(0).Sub("No lists", revtest.P256, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCertSign })
	if err != nil {
		t.Fatal(err)
	}
	der, err := ca.CRL()
	if err != nil {
		t.Fatal(err)
	}
	l, err := ParseList(der)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Authentic(ca.Certificate.Certificate); !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), "is not for revocation lists") {
		t.Error(err)
	}
	if err := (&issuingPoint{onlyUsers: true}).covers(ca.Certificate.Certificate); err == nil || !strings.Contains(err.Error(), "end entities only") {
		t.Error(err)
	}
}
