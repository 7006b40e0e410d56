package revinfo_test

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/signer/revinfo"
	"github.com/ecsigner/ecsigner/signer/revinfo/revtest"
)

// TestIssuersAreFetched in each form in which they are published.
func TestIssuersAreFetched(t *testing.T) {
	w := newWorld(t, revtest.Options{Depth: 3})
	leaf := issue(t, w.Issuing(), revtest.Template{})
	inPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.Issuing().Raw})
	dir := t.TempDir()
	file := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(file, inPEM, 0o600); err != nil {
		t.Fatal(err)
	}
	p7c, err := exec.Command("openssl", "crl2pkcs7", "-nocrl", "-certfile", file, "-outform", "DER").Output()
	if err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string][]byte{"DER": w.Issuing().Raw, "PEM": inPEM, "certs-only by openssl": p7c} {
		w.Handle(w.Issuing().CertificateURL(), revtest.Bytes(body))
		if e, err := collector(t, w.config()).Collect(t.Context(), leaf.Raw, nil, start); err != nil || len(e.Certificates) != 4 {
			t.Errorf("%s: %d certificates, %v", name, len(e.Certificates), err)
		}
	}
	for name, c := range map[string]struct {
		body []byte
		text string
	}{
		"garbage":         {[]byte("<html>"), "file of certificates"},
		"cut off":         {w.Issuing().Raw[:100], "file of certificates"},
		"another":         {w.CA(1).Raw, "no path"},
		"a list":          {must(t)(w.CA(0).CRL()), "as crypto/x509 reads it"},
		"large":           {make([]byte, 300<<10), "at most 262144"},
		"p7 without ones": {bytes.ReplaceAll(p7c, w.Issuing().Raw, nil), "file of certificates"},
	} {
		w.Handle(w.Issuing().CertificateURL(), revtest.Bytes(c.body))
		if _, err := collector(t, w.config()).Collect(t.Context(), leaf.Raw, nil, start); !errors.Is(err, revinfo.ErrNoPath) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v; want %q", name, err, c.text)
		}
	}
	w.Requests()
	known := [][]byte{w.CA(1).Raw, []byte("no certificate"), w.Issuing().Raw}
	if _, err := collector(t, w.config()).Collect(t.Context(), leaf.Raw, known, start); err != nil {
		t.Error(err)
	}
	if asked := strings.Join(w.Requests(), " "); strings.Contains(asked, ".cer") {
		t.Errorf("what is known is fetched: %s", asked)
	}
}

func must(t *testing.T) func([]byte, error) []byte {
	return func(b []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
}

// TestAnchors: a CA, or the certificate itself, may be what is trusted, as a trusted list has it.
func TestAnchors(t *testing.T) {
	w := newWorld(t, revtest.Options{Depth: 3})
	leaf := issue(t, w.Issuing(), revtest.Template{})
	for n, anchor := range []*x509.Certificate{leaf.Certificate, w.CA(2).Certificate.Certificate, w.CA(1).Certificate.Certificate, w.CA(0).Certificate.Certificate} {
		cfg := w.config()
		cfg.Anchors = []*x509.Certificate{anchor}
		e, err := collector(t, cfg).Collect(t.Context(), leaf.Raw, nil, start)
		if err != nil || len(e.OCSPs) != n || len(e.Certificates) != n+1 || !bytes.Equal(e.Certificates[n], anchor.Raw) {
			t.Errorf("anchor %d: %d answers, %d certificates, %v", n, len(e.OCSPs), len(e.Certificates), err)
		}
	}
	other := newWorld(t, revtest.Options{})
	cfg := w.config()
	cfg.Anchors = []*x509.Certificate{other.CA(0).Certificate.Certificate} // the same name, another key
	if _, err := collector(t, cfg).Collect(t.Context(), leaf.Raw, nil, start); !errors.Is(err, revinfo.ErrNoPath) || !strings.Contains(err.Error(), "verification failure") {
		t.Error(err)
	}
}

// TestCrossCertificates has two roots vouch for each other and for the issuing CA: no loop, and the way that has evidence is
// taken.
func TestCrossCertificates(t *testing.T) {
	w := newWorld(t, revtest.Options{})
	second, err := w.Root("Second Root", revtest.P256)
	if err != nil {
		t.Fatal(err)
	}
	leaf := issue(t, w.Issuing(), revtest.Template{})
	var known [][]byte
	cross := func(by, of *revtest.CA) *x509.Certificate {
		c, err := by.Cross(of)
		if err != nil {
			t.Fatal(err)
		}
		known = append(known, c.Raw)
		return c
	}
	cross(w.CA(0), second)
	cross(second, w.CA(0))
	cross(w.Issuing(), w.CA(0))
	bridge := cross(second, w.Issuing())
	known = append(known, w.Issuing().Raw, w.CA(0).Raw)

	cfg := w.config()
	cfg.Anchors = []*x509.Certificate{second.Certificate.Certificate}
	if e, err := collector(t, cfg).Collect(t.Context(), leaf.Raw, known, start); err != nil || !contains(e.Certificates, bridge.Raw) || len(e.Certificates) != 3 {
		t.Errorf("the short way: %d certificates, %v", len(e.Certificates), err)
	}
	second.Revoke(bridge.SerialNumber, start.Add(-time.Hour), 4)
	if e, err := collector(t, cfg).Collect(t.Context(), leaf.Raw, known, start); err != nil || contains(e.Certificates, bridge.Raw) || len(e.Certificates) != 4 {
		t.Errorf("the long way, the bridge being revoked: %d certificates, %v", len(e.Certificates), err)
	}
	w.Issuing().Revoke(leaf.SerialNumber, start.Add(-time.Hour), 1)
	if _, err := collector(t, cfg).Collect(t.Context(), leaf.Raw, known, start); !errors.Is(err, revinfo.ErrRevoked) {
		t.Errorf("a revoked leaf: %v", err)
	}
	cfg.Anchors = []*x509.Certificate{newWorld(t, revtest.Options{}).CA(0).Certificate.Certificate}
	if _, err := collector(t, cfg).Collect(t.Context(), leaf.Raw, known, start); !errors.Is(err, revinfo.ErrNoPath) {
		t.Errorf("no anchor: %v", err)
	}
}

func contains(list [][]byte, one []byte) bool {
	for _, b := range list {
		if bytes.Equal(b, one) {
			return true
		}
	}
	return false
}

// TestQualified: statements of a qualified certificate may be critical.
func TestQualified(t *testing.T) {
	w := newWorld(t, revtest.Options{})
	leaf := issue(t, w.Issuing(), revtest.Template{Change: func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 3}, Critical: true, Value: []byte{0x30, 0}}}
	}})
	if _, err := collector(t, w.config()).Collect(t.Context(), leaf.Raw, nil, start); err != nil {
		t.Error(err)
	}
}

// TestConstraints: crypto/x509 has the last word on a path.
func TestConstraints(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*x509.Certificate)
		text   string
	}{
		{"no CA", func(c *x509.Certificate) { c.IsCA = false }, "invalid signature: parent certificate cannot sign this kind of certificate"},
		{"no certSign", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign }, "parent certificate cannot sign"},
		{"ended", func(c *x509.Certificate) { c.NotAfter = start.Add(-time.Minute) }, "expired"},
		{"path length", func(c *x509.Certificate) { c.MaxPathLenZero = true }, "too many intermediates"},
		{"names", func(c *x509.Certificate) {
			c.PermittedDNSDomains, c.PermittedDNSDomainsCritical = []string{"example.org"}, true
		}, "is not permitted"},
		{"critical extension", func(c *x509.Certificate) { c.ExtraExtensions = append(c.ExtraExtensions, private(1, true)) }, "unhandled critical extension"},
	} {
		w := newWorld(t, revtest.Options{})
		ca, err := w.Issuing().Sub("Upper", revtest.P256, c.change)
		if err != nil {
			t.Fatal(err)
		}
		lower, err := ca.Sub("Lower", revtest.P256)
		if err != nil {
			t.Fatal(err)
		}
		leaf := issue(t, lower, revtest.Template{Change: func(c *x509.Certificate) { c.DNSNames = []string{"example.com"} }})
		if _, err := collector(t, w.config()).Collect(t.Context(), leaf.Raw, nil, start); !errors.Is(err, revinfo.ErrNoPath) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v; want %q", c.name, err, c.text)
		}
	}
}

// TestPathLimits: a long chain ends, and so does a crowd of certificates that could all be the issuer.
func TestPathLimits(t *testing.T) {
	w := newWorld(t, revtest.Options{Depth: 12})
	leaf := issue(t, w.Issuing(), revtest.Template{})
	var known [][]byte
	for i := range 12 {
		known = append(known, w.CA(i).Raw)
	}
	if _, err := collector(t, w.config()).Collect(t.Context(), leaf.Raw, known, start); !errors.Is(err, revinfo.ErrNoPath) || !strings.Contains(err.Error(), "more than 10 certificates") {
		t.Error(err)
	}

	w = newWorld(t, revtest.Options{})
	leaf = issue(t, w.Issuing(), revtest.Template{})
	known = nil
	for range 600 {
		crowd, err := w.CA(0).Sub("CA 1", revtest.P256)
		if err != nil {
			t.Fatal(err)
		}
		known = append(known, crowd.Raw)
	}
	begun := time.Now()
	if _, err := collector(t, w.config()).Collect(t.Context(), leaf.Raw, known, start); !errors.Is(err, revinfo.ErrNoPath) || !strings.Contains(err.Error(), "more than 100 signatures") {
		t.Error(err)
	}
	if d := time.Since(begun); d > 5*time.Second {
		t.Errorf("a crowd of issuers took %s", d)
	}
}

// TestBadLeaf names what is wrong with it.
func TestBadLeaf(t *testing.T) {
	w := newWorld(t, revtest.Options{})
	c := collector(t, w.config())
	if _, err := c.Collect(t.Context(), []byte{0x30, 0}, nil, start); !errors.Is(err, revinfo.ErrMalformed) || !strings.Contains(err.Error(), "as crypto/x509 reads it") {
		t.Error(err)
	}
	if _, err := c.Collect(t.Context(), make([]byte, 1<<20), nil, start); !errors.Is(err, revinfo.ErrMalformed) || !strings.Contains(err.Error(), "a certificate of 1048576 bytes") {
		t.Error(err)
	}
}

// TestConfig refuses what makes no sense.
func TestConfig(t *testing.T) {
	w := newWorld(t, revtest.Options{Depth: 1})
	for name, change := range map[string]func(*revinfo.Config){
		"no clock":           func(c *revinfo.Config) { c.Now = nil },
		"no anchor":          func(c *revinfo.Config) { c.Anchors = nil },
		"negative age":       func(c *revinfo.Config) { c.MaxAge = -1 },
		"negative size":      func(c *revinfo.Config) { c.MaxCRL = -1 },
		"negative time-out":  func(c *revinfo.Config) { c.Network.Timeout = -1 },
		"negative cache":     func(c *revinfo.Config) { c.CacheEntries = -1 },
		"negative skew":      func(c *revinfo.Config) { c.Skew = -1 },
		"negative CA age":    func(c *revinfo.Config) { c.MaxAgeCA = -1 },
		"negative life":      func(c *revinfo.Config) { c.Keep = -1 },
		"negative OCSP size": func(c *revinfo.Config) { c.MaxOCSP = -1 },
	} {
		cfg := w.config()
		change(&cfg)
		if _, err := revinfo.New(cfg); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}
