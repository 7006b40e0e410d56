package lint_test

import (
	"crypto/x509"
	"errors"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/ca/lint"
)

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
			if found := lint.Certificate(one.der, want); one.want.Kind != want.Kind && found == nil {
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
		"VATPL+X-1": false, "NTRDE+-1": false, "ABCPL-1": false, "vatpl-1": false, "": false, "VATPL-1\t": false,
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
			// Nobody but the issuer makes other bytes that pass: ECDSA leaves only the signature itself free.
			if passes(der, one.want) && !sameContent(der, one.der) {
				t.Errorf("kind %d: changed certificate passes: %x", one.want.Kind, der)
			}
		}
	})
}

// passes tells whether a certificate is clean. The signature, which is slow to verify, is left for last.
func passes(der []byte, want lint.Want) bool {
	want.Signed = false
	if lint.Certificate(der, want) != nil {
		return false
	}
	want.Signed = true
	return lint.Certificate(der, want) == nil
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
	for i := range b.person.der {
		for _, bit := range []byte{0x01, 0x80} {
			der := slices.Clone(b.person.der)
			der[i] ^= bit
			if passes(der, b.person.want) {
				t.Errorf("octet %d changed by %02x: passes", i, bit)
			}
		}
	}
	for i := range b.crl {
		der := slices.Clone(b.crl)
		der[i] ^= 0x20
		want := b.wantCRL
		found := lint.CRL(der, want)
		want.Signed = true
		if found == nil && lint.CRL(der, want) == nil {
			t.Errorf("list, octet %d changed: passes", i)
		}
	}
}
