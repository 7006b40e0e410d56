package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A file from before there was the section proofing has its defaults.
func TestOldFileHasDefaults(t *testing.T) {
	c := example(t)
	text, err := c.Text()
	if err != nil {
		t.Fatal(err)
	}
	before, rest, _ := strings.Cut(string(text), "proofing:\n")
	_, after, _ := strings.Cut(rest, "limits:\n")
	old, err := Parse([]byte(before + "limits:\n" + after))
	if err != nil || old.Proofing.MaxAge != 7*24*time.Hour || old.Proofing.Poll != 10*time.Minute || old.Proofing.Listen != "" {
		t.Errorf("%+v, %v", old.Proofing, err)
	}
}

func TestWrongProofing(t *testing.T) {
	good := IdentityProvider{Kind: KindHTTP, StartURL: "https://a", FetchURL: "https://a/{session}", KeyFile: "k", SecretFiles: []string{"s"}}
	for name, change := range map[string]func(p *Proofing, v *IdentityProvider){
		"proofing.poll":                    func(p *Proofing, _ *IdentityProvider) { p.Poll = 0 },
		"proofing.max_age":                 func(p *Proofing, _ *IdentityProvider) { p.MaxAge = time.Second },
		"proofing.deferred_life":           func(p *Proofing, _ *IdentityProvider) { p.DeferredLife = -time.Hour },
		"proofing.certificate_file":        func(p *Proofing, _ *IdentityProvider) { p.KeyFile = "k" },
		"proofing.listen":                  func(p *Proofing, _ *IdentityProvider) { p.Listen = "0.0.0.0:80" },
		"proofing.providers.idp.kind":      func(_ *Proofing, v *IdentityProvider) { v.Kind = "fax" },
		"proofing.providers.idp.key_file":  func(_ *Proofing, v *IdentityProvider) { v.KeyFile = "" },
		"proofing.providers.idp.secret":    func(_ *Proofing, v *IdentityProvider) { v.SecretFiles = []string{"a", "b", "c"} },
		"proofing.providers.idp.timeout":   func(_ *Proofing, v *IdentityProvider) { v.Timeout = time.Hour },
		"proofing.providers.idp.max_bytes": func(_ *Proofing, v *IdentityProvider) { v.MaxBytes = 1 << 30 },
		"proofing.providers.idp.tolerance": func(_ *Proofing, v *IdentityProvider) { v.Tolerance = 48 * time.Hour },
		"proofing.providers.idp.start_url": func(_ *Proofing, v *IdentityProvider) { v.FetchURL = "" },
		"proofing.providers.idp.url":       func(_ *Proofing, v *IdentityProvider) { v.Kind, v.IdentifierType = KindVeriff, "PNO" },
		"proofing.providers.idp.identifier": func(_ *Proofing, v *IdentityProvider) {
			v.Kind, v.URL, v.PhoneField = KindVeriff, "https://a", "verification.phone"
		},
	} {
		p, v := defaultProofing(), good
		change(&p, &v)
		p.Providers = map[string]IdentityProvider{"idp": v}
		if err := p.validate(); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	p := defaultProofing()
	p.Listen, p.Providers = "127.0.0.1:0", map[string]IdentityProvider{"idp": good}
	if err := p.validate(); err != nil {
		t.Error(err)
	}
	p.Providers = map[string]IdentityProvider{"a/b": good}
	if err := p.validate(); !errors.Is(err, ErrConfig) {
		t.Errorf("a name that is no part of an address: %v", err)
	}
}

func TestSecretsOfOthersAreRefused(t *testing.T) {
	c := Config{dir: t.TempDir()}
	path := filepath.Join(c.dir, "secret")
	if err := os.WriteFile(path, []byte("0123456789abcdef\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err := c.Secret("x.secret_files", "secret"); err != nil || string(b) != "0123456789abcdef" {
		t.Errorf("%q, %v", b, err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Secret("x.secret_files", "secret"); !errors.Is(err, ErrConfig) {
		t.Errorf("a secret that others can read: %v", err)
	}
}
