package ca

import (
	"crypto"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestNewRefuses(t *testing.T) {
	h := build(t, testConfig())
	root := h.root.Certificate()
	cases := map[string]struct {
		want    error
		profile Profile
		der     []byte
		issuer  *x509.Certificate
		key     crypto.Signer
		change  func(*Config)
	}{
		"another key":      {want: ErrKey, profile: IssuingCA, der: h.issuing.cert.Raw, issuer: root, key: h.rootKey},
		"another profile":  {want: ErrLint, profile: Root, der: h.issuing.cert.Raw, key: h.issuingKey},
		"no CA profile":    {want: ErrConfig, profile: NaturalPerson, der: h.issuing.cert.Raw, issuer: root, key: h.issuingKey},
		"another issuer":   {want: ErrLint, profile: IssuingCA, der: h.issuing.cert.Raw, issuer: h.tls.Certificate(), key: h.issuingKey},
		"not a cert":       {want: ErrLint, profile: IssuingCA, der: []byte("x"), issuer: root, key: h.issuingKey},
		"moved repository": {want: ErrLint, profile: IssuingCA, der: h.issuing.cert.Raw, issuer: root, key: h.issuingKey, change: func(c *Config) { c.CRLBase = "http://other.example.com" }},
		"bad config":       {want: ErrConfig, profile: Root, der: root.Raw, key: h.rootKey, change: func(c *Config) { c.Country = "pl" }},
	}
	for name, c := range cases {
		cfg := testConfig()
		if c.change != nil {
			c.change(&cfg)
		}
		if _, err := New(cfg, c.profile, c.der, c.issuer, c.key, rand.Reader); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
}

func TestBuildRefuses(t *testing.T) {
	cfg := testConfig()
	if _, err := BuildRoot(t.Context(), cfg, IssuingCA, newKey(t, elliptic.P384()), start(), 5, rand.Reader); !errors.Is(err, ErrRequest) {
		t.Errorf("issuing CA as a root: %v", err)
	}
	if _, err := BuildRoot(t.Context(), cfg, Root, newKey(t, elliptic.P256()), start(), 5, rand.Reader); !errors.Is(err, ErrKey) {
		t.Errorf("root on P-256: %v", err)
	}
	if _, err := BuildRoot(t.Context(), cfg, Root, newKey(t, elliptic.P384()), start(), 26, rand.Reader); !errors.Is(err, ErrValidity) {
		t.Errorf("root for 26 years: %v", err)
	}
	h := build(t, cfg)
	if _, err := BuildIssuing(t.Context(), h.root, newKey(t, elliptic.P384()).Public(), start().AddDate(15, 0, 0), 10); !errors.Is(err, ErrValidity) {
		t.Errorf("issuing CA past its root: %v", err)
	}
}

func TestConfigRefuses(t *testing.T) {
	cases := map[string]func(*Config){
		"Country":        func(c *Config) { c.Country = "XX" },
		"OrganizationID": func(c *Config) { c.OrganizationID = "5260250274" },
		"Organization":   func(c *Config) { c.Organization = " x" },
		"RootName":       func(c *Config) { c.RootName = "ECSigner Root" },
		"IssuingName":    func(c *Config) { c.IssuingName = c.RootName },
		"SealName":       func(c *Config) { c.SealName = "TEST " + strings.Repeat("x", 60) },
		"TLSRootName":    func(c *Config) { c.TLSRootName = "" },
		"PolicyNatural":  func(c *Config) { c.PolicyNatural = "1.2.x" },
		"PolicySeal":     func(c *Config) { c.PolicySeal = policyQCPNQSCD },
		"PDS":            func(c *Config) { c.PDS = map[string]string{"pl": "https://a.example.com/x"} },
		"AIABase":        func(c *Config) { c.AIABase = "https://pki.example.com" },
		"CRLBase":        func(c *Config) { c.CRLBase = "http://pki.example.com/" },
		"RetentionYears": func(c *Config) { c.RetentionYears = 6 },
		"CRLLifetime":    func(c *Config) { c.CRLLifetime = 25 * time.Hour },
		"CARLLifetime":   func(c *Config) { c.CARLLifetime = 366 * 24 * time.Hour },
		"SerialPrefix":   func(c *Config) { c.SerialPrefix = 0x80 },
	}
	for field, change := range cases {
		cfg := testConfig()
		change(&cfg)
		if err := cfg.Validate(); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: got %v", field, err)
		}
	}
	cfg := testConfig()
	cfg.PDS["UK"] = "https://pki.example.com/x"
	if err := cfg.Validate(); !errors.Is(err, ErrConfig) {
		t.Errorf("upper-case language: %v", err)
	}
}
