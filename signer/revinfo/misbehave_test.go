package revinfo_test

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/signer/revinfo"
	"github.com/ecsigner/ecsigner/signer/revinfo/revtest"
)

const day = 24 * time.Hour

func onlyOCSP(c *x509.Certificate) { c.CRLDistributionPoints = nil }
func onlyCRL(c *x509.Certificate)  { c.OCSPServer = nil }

func private(last int, critical bool) pkix.Extension {
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 999, last}, Critical: critical, Value: asn1.NullBytes}
}

// fault is one way to answer, and what must come of it: "" means that it is accepted.
type fault struct {
	name string
	set  func(w *world, leaf *revtest.Certificate)
	is   error
	text string
}

// one puts the leaf under a root that behaves, so that only the issuing CA misbehaves.
func (f fault) run(t *testing.T, w *world, only func(*x509.Certificate)) {
	t.Helper()
	leaf := issue(t, w.Issuing(), revtest.Template{Change: only})
	f.set(w, leaf)
	cfg := w.config()
	if f.name == "slow" {
		t.Parallel()
		cfg.Network.Timeout = 2 * time.Second // enough for everything else, on a machine that is busy
	}
	e, err := collector(t, cfg).Collect(t.Context(), leaf.Raw, nil, start)
	if f.is == nil {
		if err != nil || len(e.CRLs)+len(e.OCSPs) < 2 {
			t.Errorf("%d lists, %d answers, %v; want it accepted", len(e.CRLs), len(e.OCSPs), err)
		}
		return
	}
	if !errors.Is(err, f.is) || !strings.Contains(err.Error(), f.text) || !e.Empty() {
		t.Errorf("%v; want %v with %q", err, f.is, f.text)
	}
	if !strings.Contains(err.Error(), fmt.Sprintf("%x", leaf.SerialNumber)) || strings.Contains(err.Error(), "Leaf") || strings.Contains(err.Error(), "\n") {
		t.Errorf("%q must name the certificate by its serial number %x alone, in one line", err, leaf.SerialNumber)
	}
}

func ocspFaults(t *testing.T, now time.Time) []fault {
	stamp := func(d time.Duration) string { return now.Add(d).UTC().Format(time.RFC3339) }
	none, stale, notYet := revinfo.ErrNoEvidence, revinfo.ErrStale, revinfo.ErrNotYet
	set := func(o revtest.OCSP) func(*world, *revtest.Certificate) {
		return func(w *world, _ *revtest.Certificate) { w.Issuing().SetOCSP(o) }
	}
	delegate := func(template revtest.Template, o revtest.OCSP) func(*world, *revtest.Certificate) {
		template.Name = "Responder"
		return func(w *world, _ *revtest.Certificate) {
			o.Delegate = issue(t, w.Issuing(), template)
			w.Issuing().SetOCSP(o)
		}
	}
	handle := func(h http.Handler) func(*world, *revtest.Certificate) {
		return func(w *world, _ *revtest.Certificate) { w.Handle(w.Issuing().OCSPURL(), h) }
	}
	return []fault{
		{"good", set(revtest.OCSP{}), nil, ""},
		{"by key", set(revtest.OCSP{ByKey: true}), nil, ""},
		{"delegate", delegate(revtest.Template{Delegate: true}, revtest.OCSP{}), nil, ""},
		{"delegate by key", delegate(revtest.Template{Delegate: true}, revtest.OCSP{ByKey: true}), nil, ""},
		{"delegate with RSA-PSS", delegate(revtest.Template{Delegate: true, Kind: revtest.RSAPSS}, revtest.OCSP{}), nil, ""},
		{"delegate with a list of its own", delegate(revtest.Template{Delegate: true, Check: true}, revtest.OCSP{}), nil, ""},
		{"delegate with critical statements and no check", delegate(revtest.Template{Delegate: true, Change: func(c *x509.Certificate) {
			c.ExtraExtensions[0].Critical = true // id-pkix-ocsp-nocheck
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 3}, Critical: true, Value: []byte{0x30, 0}})
		}}, revtest.OCSP{}), nil, ""},
		{"among others", set(revtest.OCSP{More: 20}), nil, ""},
		{"among too many others", set(revtest.OCSP{More: 64}), revinfo.ErrUnsupported, "more than 64 certificates"},
		{"no nextUpdate", set(revtest.OCSP{NoNextUpdate: true}), nil, ""},
		{"further extensions", set(revtest.OCSP{Single: []pkix.Extension{private(1, false)}, Extensions: []pkix.Extension{private(1, false)}}), nil, ""},
		{"clock of the responder 3 minutes ahead", set(revtest.OCSP{ThisUpdate: 3 * time.Minute}), nil, ""},
		{"no GET", func(w *world, _ *revtest.Certificate) {
			ca := w.Issuing()
			w.Handle(ca.OCSPURL(), http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet {
					http.Error(rw, "no", http.StatusMethodNotAllowed)
					return
				}
				ca.ServeOCSP(rw, r)
			}))
		}, nil, ""},

		{"unknown", set(revtest.OCSP{Unknown: true}), none, "does not know"},
		{"try later", set(revtest.OCSP{Status: 3}), none, `"try later", status 3`},
		{"unauthorized", set(revtest.OCSP{Status: 6}), none, `"unauthorized", status 6`},
		{"expired", set(revtest.OCSP{ThisUpdate: -2 * time.Hour, NextUpdate: -time.Hour}), stale, "they ended at " + stamp(-time.Hour)},
		{"not yet valid", set(revtest.OCSP{ThisUpdate: 20 * time.Minute}), stale, "they begin at " + stamp(20*time.Minute)},
		{"ends before it begins", set(revtest.OCSP{ThisUpdate: -time.Minute, NextUpdate: -2 * time.Minute}), stale, "end before they begin"},
		{"older than a day", set(revtest.OCSP{ThisUpdate: -25 * time.Hour, ProducedAt: -25 * time.Hour, NextUpdate: 6 * time.Hour}), notYet, "newer ones are due at " + stamp(6*time.Hour)},
		{"without nextUpdate older than a day", set(revtest.OCSP{ThisUpdate: -25 * time.Hour, NoNextUpdate: true}), notYet, ""},
		{"other serial number", set(revtest.OCSP{Serial: big.NewInt(7)}), none, "speaks of other certificates"},
		{"other issuer", func(w *world, _ *revtest.Certificate) {
			w.Issuing().SetOCSP(revtest.OCSP{NameOf: w.CA(0), KeyOf: w.CA(0)})
		}, none, "speaks of other certificates"},
		{"issuer of another name", func(w *world, _ *revtest.Certificate) { w.Issuing().SetOCSP(revtest.OCSP{NameOf: w.CA(0)}) }, none, "speaks of other certificates"},
		{"issuer with another key", func(w *world, _ *revtest.Certificate) { w.Issuing().SetOCSP(revtest.OCSP{KeyOf: w.CA(0)}) }, none, "speaks of other certificates"},
		{"other key", func(w *world, leaf *revtest.Certificate) { w.Issuing().SetOCSP(revtest.OCSP{Signer: leaf.Key}) }, none, "signature of the OCSP answer"},
		{"other key of a delegate", func(w *world, leaf *revtest.Certificate) {
			w.Issuing().SetOCSP(revtest.OCSP{Signer: leaf.Key, Delegate: issue(t, w.Issuing(), revtest.Template{Delegate: true})})
		}, none, "signature of the OCSP answer"},
		{"unauthorised responder", delegate(revtest.Template{}, revtest.OCSP{}), none, "is not for OCSP"},
		{"responder of the root", func(w *world, _ *revtest.Certificate) {
			w.Issuing().SetOCSP(revtest.OCSP{Delegate: issue(t, w.CA(0), revtest.Template{Delegate: true})})
		}, none, "is not issued by the issuer"},
		{"responder of a CA with the same name", func(w *world, _ *revtest.Certificate) {
			false1, err := w.Root("CA 1", revtest.P256)
			if err != nil {
				t.Fatal(err)
			}
			w.Issuing().SetOCSP(revtest.OCSP{Delegate: issue(t, false1, revtest.Template{Delegate: true})})
		}, none, "certificate: x509: ECDSA verification failure"},
		{"responder missing in the answer", delegate(revtest.Template{Delegate: true}, revtest.OCSP{Certificates: [][]byte{}}), none, "neither the issuer nor a certificate"},
		{"responder that ended", delegate(revtest.Template{Delegate: true, Change: func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Hour) }}, revtest.OCSP{}), none, "was not valid when it answered"},
		{"responder with a key for agreement only", delegate(revtest.Template{Delegate: true, Change: func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyAgreement }}, revtest.OCSP{}), none, "is not for signatures"},
		{"responder with a critical extension", delegate(revtest.Template{Delegate: true, Change: func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, private(1, true))
		}}, revtest.OCSP{}), revinfo.ErrUnsupported, "critical extension 2.999.1"},
		{"revoked responder", func(w *world, _ *revtest.Certificate) {
			d := issue(t, w.Issuing(), revtest.Template{Delegate: true, Check: true})
			w.Issuing().Revoke(d.SerialNumber, now.Add(-time.Hour), 1)
			w.Issuing().SetOCSP(revtest.OCSP{Delegate: d})
		}, none, "has no proof of its own"},
		{"responder that nothing is said about", delegate(revtest.Template{Delegate: true, Check: true, Change: func(c *x509.Certificate) { c.OCSPServer, c.CRLDistributionPoints = nil, nil }}, revtest.OCSP{}), none, "has no proof of its own"},
		{"responder that only answers for itself", delegate(revtest.Template{Delegate: true, Check: true, Change: onlyOCSP}, revtest.OCSP{}), none, "responders that have answers on responders"},
		{"critical extension of the answer", set(revtest.OCSP{Extensions: []pkix.Extension{private(1, true)}}), none, "critical extension 2.999.1"},
		{"critical extension of the part", set(revtest.OCSP{Single: []pkix.Extension{private(1, true)}}), none, "critical extension 2.999.1"},
		{"garbage", handle(revtest.Bytes([]byte("<html>"))), revinfo.ErrMalformed, "responseStatus"},
		{"nothing", handle(revtest.Bytes(nil)), revinfo.ErrMalformed, "responseStatus"},
		{"bytes behind", set(revtest.OCSP{Change: func(b []byte) []byte { return append(b, 0) }}), revinfo.ErrMalformed, "responseStatus"},
		{"cut off", set(revtest.OCSP{Change: func(b []byte) []byte { return b[:len(b)-1] }}), revinfo.ErrMalformed, "responseStatus"},
		{"changed", set(revtest.OCSP{Change: func(b []byte) []byte { b[len(b)-1] ^= 1; return b }}), none, "signature of the OCSP answer"},
		{"huge and says so", handle(revtest.Huge(1<<20, true)), revinfo.ErrTooLarge, "1048576 bytes, at most 65536 are read"},
		{"huge", handle(revtest.Huge(1<<20, false)), revinfo.ErrTooLarge, "at most 65536"},
		{"slow", handle(revtest.Slow()), none, "deadline exceeded"},
		{"compressed", handle(revtest.Zipped(1 << 20)), none, "the body is encoded"},
		{"not found", handle(revtest.Fail(http.StatusNotFound)), none, "HTTP status 404"},
		{"server error", handle(revtest.Fail(http.StatusBadGateway)), none, "HTTP status 502"},
		{"no content", handle(revtest.Fail(http.StatusNoContent)), none, "HTTP status 204"},
	}
}

// TestOCSPFaults has a responder misbehave in every way, for a certificate that names nothing else.
func TestOCSPFaults(t *testing.T) {
	for _, f := range ocspFaults(t, start) {
		t.Run(f.name, func(t *testing.T) { f.run(t, newWorld(t, revtest.Options{}), onlyOCSP) })
	}
}

// TestOCSPFallsBack gets a list wherever the responder is of no use.
func TestOCSPFallsBack(t *testing.T) {
	for _, f := range ocspFaults(t, start) {
		f.is, f.text = nil, ""
		t.Run(f.name, func(t *testing.T) { f.run(t, newWorld(t, revtest.Options{}), nil) })
	}
}

func idp(parts ...byte) pkix.Extension {
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 28}, Critical: true, Value: append([]byte{0x30, byte(len(parts))}, parts...)}
}

// named is the content of an issuingDistributionPoint with a URL.
func named(u string) []byte {
	n := len(u)
	return append([]byte{0xA0, byte(n + 4), 0xA0, byte(n + 2), 0x86, byte(n)}, u...)
}

func crlFaults(t *testing.T, now time.Time) []fault {
	stamp := func(d time.Duration) string { return now.Add(d).UTC().Format(time.RFC3339) }
	none, stale, notYet, unsupported, broken := revinfo.ErrNoEvidence, revinfo.ErrStale, revinfo.ErrNotYet, revinfo.ErrUnsupported, revinfo.ErrMalformed
	set := func(c revtest.CRL) func(*world, *revtest.Certificate) {
		return func(w *world, _ *revtest.Certificate) { w.Issuing().SetCRL(c) }
	}
	with := func(e ...pkix.Extension) func(*world, *revtest.Certificate) { return set(revtest.CRL{Extensions: e}) }
	handle := func(h http.Handler) func(*world, *revtest.Certificate) {
		return func(w *world, _ *revtest.Certificate) { w.Handle(w.Issuing().CRLURL(), h) }
	}
	reason := func(critical bool) revtest.CRL {
		return revtest.CRL{Entries: []revtest.Entry{{Serial: big.NewInt(5), Time: now, Extensions: []pkix.Extension{private(1, critical)}}}}
	}
	return []fault{
		{"good", set(revtest.CRL{}), nil, ""},
		{"with others", set(revtest.CRL{Fill: 1000}), nil, ""},
		{"version 1", set(revtest.CRL{Version1: true, Fill: 3}), nil, ""},
		{"for its distribution point", func(w *world, _ *revtest.Certificate) {
			w.Issuing().SetCRL(revtest.CRL{Extensions: []pkix.Extension{idp(named(w.Issuing().CRLURL())...)}})
		}, nil, ""},
		{"for end entities", with(idp(0x81, 1, 0xFF)), nil, ""},
		{"further extensions", with(private(1, false)), nil, ""},
		{"extension of an entry", set(reason(false)), nil, ""},
		{"name in another encoding", func(w *world, _ *revtest.Certificate) {
			w.Issuing().SetCRL(revtest.CRL{Issuer: reencode(t, w.Issuing().RawSubject)})
		}, nil, ""},

		{"expired", set(revtest.CRL{ThisUpdate: -2 * day, NextUpdate: -day}), stale, "they ended at " + stamp(-day)},
		{"not yet valid", set(revtest.CRL{ThisUpdate: time.Hour}), stale, "they begin at " + stamp(time.Hour)},
		{"older than a day", set(revtest.CRL{ThisUpdate: -25 * time.Hour, NextUpdate: 6 * day}), notYet, "newer ones are due at " + stamp(6*day)},
		{"no nextUpdate", set(revtest.CRL{NoNextUpdate: true}), unsupported, "without nextUpdate"},
		{"other key", func(w *world, leaf *revtest.Certificate) { w.Issuing().SetCRL(revtest.CRL{Signer: leaf.Key}) }, none, "signature of the revocation list"},
		{"of another issuer", func(w *world, _ *revtest.Certificate) {
			der, err := w.CA(0).CRL()
			if err != nil {
				t.Fatal(err)
			}
			w.Handle(w.Issuing().CRLURL(), revtest.Bytes(der))
		}, unsupported, "issued by another"},
		{"in the name of another", func(w *world, _ *revtest.Certificate) { w.Issuing().SetCRL(revtest.CRL{Issuer: w.CA(0).RawSubject}) }, unsupported, "issued by another"},
		{"with the key identifier of another", func(w *world, _ *revtest.Certificate) {
			w.Issuing().SetCRL(revtest.CRL{KeyID: []byte{1, 2, 3}})
		}, unsupported, "another key of the issuer"},
		{"delta", with(pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 27}, Critical: true, Value: []byte{2, 1, 1}}), unsupported, "a delta list"},
		{"delta that hides it", with(pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 27}, Value: []byte{2, 1, 1}}), unsupported, "a delta list"},
		{"critical extension", with(private(1, true)), unsupported, "critical extension 2.999.1"},
		{"critical extension of an entry", set(reason(true)), unsupported, "critical extension in entry 0"},
		{"for CAs", with(idp(0x82, 1, 0xFF)), unsupported, "for CAs only"},
		{"for attribute certificates", with(idp(0x85, 1, 0xFF)), unsupported, "attribute certificates"},
		{"for some reasons", with(idp(0x83, 2, 6, 0x40)), unsupported, "some reasons"},
		{"indirect", with(idp(0x84, 1, 0xFF)), unsupported, "indirect"},
		{"for another distribution point", with(idp(named("http://pki.test/other.crl")...)), unsupported, "another distribution point"},
		{"for a point relative to the issuer", with(idp(0xA0, 2, 0xA1, 0)), unsupported, "another distribution point"},
		{"broken distribution point", with(idp(0xA0, 2, 0x04, 0)), broken, "DistributionPointName"},
		{"the same extension twice", with(private(1, false), private(1, false)), broken, "extensions"},
		{"garbage", handle(revtest.Bytes([]byte("<html>"))), broken, "no SEQUENCE"},
		{"nothing", handle(revtest.Bytes(nil)), broken, "no SEQUENCE"},
		{"bytes behind", set(revtest.CRL{Change: func(b []byte) []byte { return append(b, 0) }}), broken, "bytes follow it"},
		{"cut off", set(revtest.CRL{Change: func(b []byte) []byte { return b[:len(b)-1] }}), broken, "no SEQUENCE"},
		{"changed", set(revtest.CRL{Change: func(b []byte) []byte { b[len(b)-1] ^= 1; return b }}), none, "signature of the revocation list"},
		{"another algorithm outside", set(revtest.CRL{Change: func(b []byte) []byte {
			sha256 := []byte("\x06\x08\x2A\x86\x48\xCE\x3D\x04\x03\x02")
			b[bytes.LastIndex(b, sha256)+len(sha256)-1] = 3 // SHA-384
			return b
		}}), broken, "differs inside and outside"},
		{"huge and says so", handle(revtest.Huge(40<<20, true)), revinfo.ErrTooLarge, "41943040 bytes, at most 33554432 are read"},
		{"huge", handle(revtest.Huge(40<<20, false)), revinfo.ErrTooLarge, "at most 33554432"},
		{"slow", handle(revtest.Slow()), none, "deadline exceeded"},
		{"compressed", handle(revtest.Zipped(1 << 20)), none, "the body is encoded"},
		{"not found", handle(revtest.Fail(http.StatusNotFound)), none, "HTTP status 404"},
		{"server error", handle(revtest.Fail(http.StatusServiceUnavailable)), none, "HTTP status 503"},
	}
}

// TestCRLFaults has a server of lists misbehave in every way, for a certificate that names nothing else.
func TestCRLFaults(t *testing.T) {
	for _, f := range crlFaults(t, start) {
		t.Run(f.name, func(t *testing.T) { f.run(t, newWorld(t, revtest.Options{}), onlyCRL) })
	}
}

// reencode makes UTF8Strings of PrintableStrings, in capitals and with more space.
func reencode(t *testing.T, name []byte) []byte {
	t.Helper()
	var seq pkix.RDNSequence
	if _, err := asn1.Unmarshal(name, &seq); err != nil {
		t.Fatal(err)
	}
	for _, set := range seq {
		for i, a := range set {
			set[i].Value = asn1.RawValue{Tag: asn1.TagUTF8String, Bytes: []byte(strings.ToUpper(strings.ReplaceAll(a.Value.(string), " ", "  ")))}
		}
	}
	der, err := asn1.Marshal(seq)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// at has the list of a certificate fetched from one place, and no responder.
func at(u string) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.OCSPServer, c.CRLDistributionPoints = nil, []string{u} }
}
