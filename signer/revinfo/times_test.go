package revinfo_test

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/signer/revinfo"
	"github.com/ecsigner/ecsigner/signer/revinfo/revtest"
)

// TestRevoked has leaf and CA revoked before, at and after the time in question, as lists and as answers say it.
func TestRevoked(t *testing.T) {
	for _, c := range []struct {
		name    string
		ca      bool
		when    time.Duration // from the time in question
		reason  int
		revoked bool
	}{
		{"before", false, -time.Hour, 1, true},
		{"at that time", false, 0, 0, true},
		{"after", false, time.Second, 4, false},
		{"on hold", false, -time.Hour, 6, true},
		{"CA before", true, -time.Hour, 2, true},
	} {
		for _, crlFirst := range []bool{false, true} {
			w := newWorld(t, revtest.Options{})
			leaf := issue(t, w.Issuing(), revtest.Template{})
			asked := start.Add(-10 * time.Minute)
			serial, ca := leaf.SerialNumber, w.Issuing()
			if c.ca {
				serial, ca = w.Issuing().SerialNumber, w.CA(0)
			}
			ca.Revoke(serial, asked.Add(c.when), c.reason)
			cfg := w.config()
			cfg.CRLFirst = crlFirst
			e, err := collector(t, cfg).Collect(t.Context(), leaf.Raw, nil, asked)
			var revoked *revinfo.RevokedError
			switch {
			case !c.revoked:
				if err != nil || e.Empty() {
					t.Errorf("%s, lists first %v: %v", c.name, crlFirst, err)
				}
			case !errors.As(err, &revoked) || !errors.Is(err, revinfo.ErrRevoked):
				t.Errorf("%s, lists first %v: %v", c.name, crlFirst, err)
			case revoked.Serial.Cmp(serial) != 0 || !revoked.Time.Equal(asked.Add(c.when)) || revoked.Reason != c.reason || !e.Empty():
				t.Errorf("%s, lists first %v: %v", c.name, crlFirst, err)
			}
		}
	}
}

// TestRevokedIssuer: what a CA says after it was revoked does not count, what it said before does.
func TestRevokedIssuer(t *testing.T) {
	for _, c := range []struct {
		issued time.Duration // thisUpdate of the CA's list
		good   bool
	}{{-90 * time.Minute, true}, {-time.Minute, false}} {
		w := newWorld(t, revtest.Options{})
		leaf := issue(t, w.Issuing(), revtest.Template{Change: onlyCRL})
		w.CA(0).Revoke(w.Issuing().SerialNumber, start.Add(-time.Hour), 2)
		w.Issuing().SetCRL(revtest.CRL{ThisUpdate: c.issued})
		_, err := collector(t, w.config()).Collect(t.Context(), leaf.Raw, nil, start.Add(-100*time.Minute))
		if c.good != (err == nil) || err != nil && !strings.Contains(err.Error(), "their issuer was revoked before") {
			t.Errorf("list of %s: %v", c.issued, err)
		}
	}
}

// TestRevocationOutweighsAge: data that are too old to prove that nothing was revoked do prove that something was.
func TestRevocationOutweighsAge(t *testing.T) {
	w := newWorld(t, revtest.Options{})
	leaf := issue(t, w.Issuing(), revtest.Template{})
	w.Issuing().SetOCSP(revtest.OCSP{ThisUpdate: -3 * day, NextUpdate: day})
	w.Issuing().Revoke(leaf.SerialNumber, start.Add(-4*day), 1)
	if _, err := collector(t, w.config()).Collect(t.Context(), leaf.Raw, nil, start); !errors.Is(err, revinfo.ErrRevoked) {
		t.Error(err)
	}
}

// TestAfterSignature waits for data that were issued after the signature.
func TestAfterSignature(t *testing.T) {
	w := newWorld(t, revtest.Options{})
	leaf := issue(t, w.Issuing(), revtest.Template{Change: onlyCRL})
	issued := start.Add(-2 * time.Hour)
	w.Issuing().SetCRL(revtest.CRL{ThisUpdate: -2 * time.Hour, NextUpdate: 4 * time.Hour})
	cfg := w.config()
	cfg.AfterSignature = true
	c := collector(t, cfg)
	_, err := c.Collect(t.Context(), leaf.Raw, nil, start)
	var late *revinfo.NotYetError
	if !errors.Is(err, revinfo.ErrNotYet) || !errors.As(err, &late) || !late.Retry.Equal(start.Add(4*time.Hour)) || late.Serial.Cmp(leaf.SerialNumber) != 0 {
		t.Fatalf("%v; want to come back at the end of the list", err)
	}
	if _, err := c.Collect(t.Context(), leaf.Raw, nil, issued); err != nil {
		t.Errorf("a signature of the second in which the list was issued: %v", err)
	}
	w.clock.step(4*time.Hour + time.Minute)
	w.Issuing().SetCRL(revtest.CRL{}) // the next list: what is kept must not be used instead
	e, err := c.Collect(t.Context(), leaf.Raw, nil, start)
	if err != nil || len(e.CRLs) == 0 {
		t.Fatal(err)
	}
	l, err := x509.ParseRevocationList(e.CRLs[0])
	if err != nil || l.ThisUpdate.Before(start) {
		t.Errorf("list of %s, %v", l.ThisUpdate, err)
	}
}

// TestRetry: a responder that makes answers on demand is asked again soon, and so are sources that failed.
func TestRetry(t *testing.T) {
	retry := func(w *world, leaf *revtest.Certificate) time.Duration {
		cfg := w.config()
		cfg.AfterSignature = true
		_, err := collector(t, cfg).Collect(t.Context(), leaf.Raw, nil, start)
		var late *revinfo.NotYetError
		if !errors.As(err, &late) {
			t.Fatal(err)
		}
		return late.Retry.Sub(start)
	}
	w := newWorld(t, revtest.Options{})
	if d := retry(w, issue(t, w.Issuing(), revtest.Template{Change: onlyOCSP})); d != 65*time.Second {
		t.Errorf("made on demand, a minute behind: %s", d)
	}
	w.Issuing().SetOCSP(revtest.OCSP{ProducedAt: -30 * time.Minute, ThisUpdate: -30 * time.Minute, NextUpdate: 30 * time.Minute})
	if d := retry(w, issue(t, w.Issuing(), revtest.Template{})); d != 30*time.Minute {
		t.Errorf("made before, and a list that ends later: %s", d)
	}
	w.Handle(w.Issuing().OCSPURL(), revtest.Fail(500))
	if d := retry(w, issue(t, w.Issuing(), revtest.Template{})); d != 15*time.Minute {
		t.Errorf("no responder, and a list that ends later: %s", d)
	}
}

// TestAge is about how old data may be: a day for an end entity, as long as it is valid for a CA, or as configured.
func TestAge(t *testing.T) {
	for _, c := range []struct {
		name     string
		leaf, ca time.Duration // since the lists were issued
		set      func(*revinfo.Config)
		good     bool
	}{
		{"both new", time.Hour, time.Hour, nil, true},
		{"leaf's 23 hours", 23 * time.Hour, time.Hour, nil, true},
		{"leaf's 25 hours", 25 * time.Hour, time.Hour, nil, false},
		{"leaf's 25 hours of 48", 25 * time.Hour, time.Hour, func(c *revinfo.Config) { c.MaxAge = 48 * time.Hour }, true},
		{"CA's 5 months", time.Hour, 150 * day, nil, true},
		{"CA's 5 months of 30 days", time.Hour, 150 * day, func(c *revinfo.Config) { c.MaxAgeCA = 30 * day }, false},
		{"CA's 5 months with data after the signature", -time.Minute, 150 * day, func(c *revinfo.Config) { c.AfterSignature = true }, true},
	} {
		w := newWorld(t, revtest.Options{})
		leaf := issue(t, w.Issuing(), revtest.Template{})
		w.Issuing().SetCRL(revtest.CRL{ThisUpdate: -c.leaf, NextUpdate: 7 * day})
		w.CA(0).SetCRL(revtest.CRL{ThisUpdate: -c.ca, NextUpdate: 30 * day})
		w.Handle(w.Issuing().OCSPURL(), revtest.Fail(404))
		w.Handle(w.CA(0).OCSPURL(), revtest.Fail(404))
		cfg := w.config()
		if c.set != nil {
			c.set(&cfg)
		}
		_, err := collector(t, cfg).Collect(t.Context(), leaf.Raw, nil, start)
		if c.good != (err == nil) || err != nil && !errors.Is(err, revinfo.ErrNotYet) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestEnded collects after the certificate has ended, for a signature of before: only data that say that they still speak of
// such certificates will do.
func TestEnded(t *testing.T) {
	since := func(at time.Time) []byte {
		der, err := asn1.MarshalWithParams(at.UTC(), "generalized")
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	expired := pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 60}, Value: since(start.AddDate(-5, 0, 0))}
	cutoff := pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 6}, Value: since(start.AddDate(-5, 0, 0))}
	late := pkix.Extension{Id: cutoff.Id, Value: since(start.Add(-time.Minute))}
	for _, c := range []struct {
		name string
		crl  revtest.CRL
		ocsp revtest.OCSP
		only func(*x509.Certificate)
		good bool
	}{
		{"list that forgets", revtest.CRL{}, revtest.OCSP{}, onlyCRL, false},
		{"list that does not", revtest.CRL{Extensions: []pkix.Extension{expired}}, revtest.OCSP{}, onlyCRL, true},
		{"list of before the end", revtest.CRL{ThisUpdate: -90 * time.Minute}, revtest.OCSP{}, onlyCRL, true},
		{"answer that forgets", revtest.CRL{}, revtest.OCSP{}, onlyOCSP, false},
		{"answer that does not", revtest.CRL{}, revtest.OCSP{Single: []pkix.Extension{cutoff}}, onlyOCSP, true},
		{"answer that begins later", revtest.CRL{}, revtest.OCSP{Single: []pkix.Extension{late}}, onlyOCSP, false},
	} {
		w := newWorld(t, revtest.Options{})
		leaf := issue(t, w.Issuing(), revtest.Template{Change: func(t *x509.Certificate) { c.only(t); t.NotAfter = start.Add(-time.Hour) }})
		w.Issuing().SetCRL(c.crl)
		w.Issuing().SetOCSP(c.ocsp)
		_, err := collector(t, w.config()).Collect(t.Context(), leaf.Raw, nil, start.Add(-2*time.Hour))
		if c.good != (err == nil) || err != nil && !strings.Contains(err.Error(), "issued after it ended") {
			t.Errorf("%s: %v", c.name, err)
		}
		if _, err := collector(t, w.config()).Collect(t.Context(), leaf.Raw, nil, start); !errors.Is(err, revinfo.ErrNoPath) || !strings.Contains(err.Error(), "was not valid at") {
			t.Errorf("%s, a signature after the end: %v", c.name, err)
		}
	}
}

// TestNoRevocation: some certificates live so shortly that nothing is ever said about them.
func TestNoRevocation(t *testing.T) {
	for _, id := range []asn1.ObjectIdentifier{{2, 5, 29, 56}, {0, 4, 0, 194121, 2, 1}} {
		w := newWorld(t, revtest.Options{})
		leaf := issue(t, w.Issuing(), revtest.Template{Change: func(c *x509.Certificate) {
			c.OCSPServer, c.CRLDistributionPoints = nil, nil
			c.ExtraExtensions = []pkix.Extension{{Id: id, Value: asn1.NullBytes}}
		}})
		e, err := collector(t, w.config()).Collect(t.Context(), leaf.Raw, nil, start)
		if err != nil || len(e.OCSPs) != 1 || len(e.Certificates) != 3 {
			t.Errorf("%s: %d answers, %d certificates, %v", id, len(e.OCSPs), len(e.Certificates), err)
		}
	}
}

// TestFuture: nothing can be proven of a time that has not come.
func TestFuture(t *testing.T) {
	w := newWorld(t, revtest.Options{})
	leaf := issue(t, w.Issuing(), revtest.Template{})
	c := collector(t, w.config())
	if _, err := c.Collect(t.Context(), leaf.Raw, nil, start.Add(time.Hour)); err == nil || !strings.Contains(err.Error(), "lies in the future") {
		t.Error(err)
	}
	if _, err := c.Collect(t.Context(), leaf.Raw, nil, start.Add(time.Minute)); err != nil {
		t.Errorf("a clock that is a minute behind: %v", err)
	}
}

// TestLocal takes the caller's list instead of asking anybody, as long as it is good.
func TestLocal(t *testing.T) {
	w := newWorld(t, revtest.Options{})
	leaf := issue(t, w.Issuing(), revtest.Template{})
	var list []byte
	cfg := w.config()
	cfg.Local = func(issuer *x509.Certificate) ([]byte, bool) {
		return list, bytes.Equal(issuer.Raw, w.Issuing().Raw)
	}
	cfg.Intermediates = []*x509.Certificate{w.Issuing().Certificate.Certificate}
	c := collector(t, cfg)
	make := func(l revtest.CRL) {
		t.Helper()
		var err error
		w.Issuing().SetCRL(l)
		if list, err = w.Issuing().CRL(); err != nil {
			t.Fatal(err)
		}
	}
	make(revtest.CRL{})
	for range 2 {
		e, err := c.Collect(t.Context(), leaf.Raw, nil, start)
		if err != nil || len(e.CRLs) != 1 || !bytes.Equal(e.CRLs[0], list) {
			t.Errorf("%d lists, %v", len(e.CRLs), err)
		}
	}
	if asked := strings.Join(w.Requests(), ""); strings.Contains(asked, "/1/") {
		t.Errorf("requests: %s", asked)
	}
	cfg.AfterSignature, cfg.Network = true, revinfo.Network{}
	for age, wait := range map[time.Duration]time.Duration{30 * time.Second: 35 * time.Second, time.Hour: 15 * time.Minute} {
		make(revtest.CRL{ThisUpdate: -age})
		root := must(t)(w.CA(0).CRL())
		own := cfg
		own.Local = func(issuer *x509.Certificate) ([]byte, bool) {
			if bytes.Equal(issuer.Raw, w.CA(0).Raw) {
				return root, true
			}
			return list, true
		}
		var late *revinfo.NotYetError
		if _, err := collector(t, own).Collect(t.Context(), leaf.Raw, nil, start); !errors.As(err, &late) || late.Retry.Sub(start) != wait {
			t.Errorf("a list of %s before: %v", age, err)
		}
	}
	make(revtest.CRL{ThisUpdate: -3 * day, NextUpdate: -2 * day})
	if e, err := c.Collect(t.Context(), leaf.Raw, nil, start); err != nil || len(e.OCSPs) != 2 {
		t.Errorf("instead of an old local list: %d answers, %v", len(e.OCSPs), err)
	}
	w.Issuing().Revoke(leaf.SerialNumber, start.Add(-time.Hour), 1)
	make(revtest.CRL{})
	if _, err := c.Collect(t.Context(), leaf.Raw, nil, start); !errors.Is(err, revinfo.ErrRevoked) {
		t.Error(err)
	}
}

// TestNewerThanKept: what is kept does not stand in the way of newer data that were published before its end; but nobody
// is asked again within five seconds.
func TestNewerThanKept(t *testing.T) {
	for name, only := range map[string]func(*x509.Certificate){"lists": onlyCRL, "answers": onlyOCSP} {
		w := newWorld(t, revtest.Options{Depth: 1})
		leaf := issue(t, w.CA(0), revtest.Template{Change: only})
		cfg := w.config()
		cfg.AfterSignature = true
		c := collector(t, cfg)
		w.CA(0).SetCRL(revtest.CRL{ThisUpdate: -time.Nanosecond})
		w.CA(0).SetOCSP(revtest.OCSP{ThisUpdate: -time.Nanosecond})
		for i, step := range []struct {
			wait time.Duration
			at   time.Duration // the signature, from the start
			asks int
			good bool
		}{
			{0, -time.Second, 1, true},           // kept from here on
			{time.Second, time.Second, 0, false}, // newer is wanted, but one has just been asked
			{5 * time.Second, time.Second, 1, true},
			{time.Minute, 2 * time.Second, 0, true}, // what is kept is new enough
		} {
			w.clock.step(step.wait)
			w.Requests()
			_, err := c.Collect(t.Context(), leaf.Raw, nil, start.Add(step.at))
			if n := len(w.Requests()); n != step.asks || step.good != (err == nil) || err != nil && !errors.Is(err, revinfo.ErrNotYet) {
				t.Errorf("%s, step %d: %d requests, %v", name, i, n, err)
			}
		}
	}
}

// TestTwice: where a list names a certificate more than once, the earliest time counts.
func TestTwice(t *testing.T) {
	for _, order := range [][]time.Duration{{-time.Hour, time.Hour}, {time.Hour, -time.Hour}} {
		w := newWorld(t, revtest.Options{Depth: 1})
		leaf := issue(t, w.CA(0), revtest.Template{Change: onlyCRL})
		for _, d := range order {
			w.CA(0).Revoke(leaf.SerialNumber, start.Add(-10*time.Minute).Add(d), 1)
		}
		if _, err := collector(t, w.config()).Collect(t.Context(), leaf.Raw, nil, start.Add(-10*time.Minute)); !errors.Is(err, revinfo.ErrRevoked) {
			t.Error(err)
		}
	}
}

// TestEndlessAnswer: an answer on a CA that names no end is not good for ever.
func TestEndlessAnswer(t *testing.T) {
	for age, good := range map[time.Duration]bool{23 * time.Hour: true, 25 * time.Hour: false} {
		w := newWorld(t, revtest.Options{})
		leaf := issue(t, w.Issuing(), revtest.Template{})
		w.CA(0).SetOCSP(revtest.OCSP{ThisUpdate: -age, NoNextUpdate: true})
		w.CA(0).SetCRL(revtest.CRL{ThisUpdate: -2 * day, NextUpdate: -day})
		if _, err := collector(t, w.config()).Collect(t.Context(), leaf.Raw, nil, start); good != (err == nil) {
			t.Errorf("%s: %v", age, err)
		}
	}
}
