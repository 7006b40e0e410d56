package config_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/config"
)

// What would make an authority or a source unusable, or send a password in the clear to a log, is refused with its key.
func TestLevels(t *testing.T) {
	text, err := config.Template(config.Values{
		Installation: "test", Listen: "127.0.0.1:1", PKIListen: "127.0.0.1:2", Module: "m", Token: "t", Digits: 6, Rate: 1, Budget: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	good := `authorities: [{name: a, url: "https://tsa.example.com/", policy: 1.2.3, trust_file: a.pem, timeout: 5s, user: u, password_file: p}]`
	faces := "typefaces: {house: {file: secret.ttf, bold_file: secret-bold.ttf}}"
	c, err := config.Parse([]byte(strings.NewReplacer("authorities: []", good, "typefaces: {}", faces).Replace(text)))
	if err != nil {
		t.Fatal(err)
	}
	redacted, err := c.Redacted().Text()
	if err != nil || strings.Contains(string(redacted), "tsa.example.com") || strings.Contains(string(redacted), "secret") || strings.Contains(string(redacted), "password_file: p\n") {
		t.Errorf("%v\n%s", err, redacted)
	}
	for _, r := range []struct{ from, to, key string }{
		{"authorities: []", `authorities: [{name: a, url: "ftp://x", trust_file: a}]`, "timestamp.authorities[0].url"},
		{"authorities: []", `authorities: [{name: a, url: "https://u:p@x", trust_file: a}]`, "timestamp.authorities[0].url"},
		{"authorities: []", `authorities: [{name: a, url: "https://x"}]`, "timestamp.authorities[0].trust_file"},
		{"authorities: []", `authorities: [{name: a b, url: "https://x", trust_file: a}]`, "timestamp.authorities[0].name"},
		{"authorities: []", `authorities: [{name: a, url: "https://x", trust_file: a}, {name: a, url: "https://y", trust_file: a}]`, "timestamp.authorities[1].name"},
		{"authorities: []", `authorities: [{name: a, url: "https://x", trust_file: a, policy: one}]`, "timestamp.authorities[0].policy"},
		{"authorities: []", `authorities: [{name: a, url: "https://x", trust_file: a, user: u}]`, "timestamp.authorities[0].user"},
		{"authorities: []", `authorities: [{name: a, url: "https://x", trust_file: a, timeout: 1h}]`, "timestamp.authorities[0].timeout"},
		{"hash: sha256", "hash: sha1", "timestamp.hash"},
		{"space: 16384", "space: 1", "timestamp.space"},
		{"ports: [80, 443]", "ports: []", "revocation.ports"},
		{"inside: []", "inside: [10.0.0.1]", "revocation.inside[0]"},
		{"max_age: 24h", "max_age: 0s", "revocation.max_age"},
		{"  timeout: 15s", "  timeout: 1h", "revocation.timeout"},
		{"typefaces: {}", `typefaces: {corporate: {bold_file: b}}`, "appearance.typefaces.corporate"},
		{"typefaces: {}", `typefaces: {"a b": {file: b}}`, "appearance.typefaces.a b"},
	} {
		if strings.Count(text, r.from) != 1 {
			t.Fatalf("the template holds %q %d times", r.from, strings.Count(text, r.from))
		}
		_, err := config.Parse([]byte(strings.Replace(text, r.from, r.to, 1)))
		if !errors.Is(err, config.ErrConfig) || !strings.Contains(err.Error(), r.key+" must be") {
			t.Errorf("%s: %v", r.to, err)
		}
	}
}
