package config

import (
	"reflect"
	"strings"
	"testing"
)

func example(t *testing.T) Config {
	t.Helper()
	text, err := Template(Values{
		Installation: "acme", Listen: "10.1.2.3:7443", PKIListen: "10.1.2.3:7080", Module: "/opt/vendor/p11.so", Token: "vault-7",
		Digits: 6, Rate: 500,
	})
	if err != nil {
		t.Fatal(err)
	}
	c, err := Parse([]byte(strings.NewReplacer(
		`listen: ""`, "listen: 10.1.2.3:7090", `certificate_file: ""`, "certificate_file: callbacks.pem", `key_file: ""`, "key_file: callbacks.key",
		`providers: {}`, `providers: {idp: {kind: http, start_url: "https://idp.example/s", fetch_url: "https://idp.example/s/{session}", `+
			`key_file: idp.token, secret_files: [idp.old, idp.new]}}`,
	).Replace(text)))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestTextIsTheConfiguration: what is printed is read back as the same configuration, so no key is missing.
func TestTextIsTheConfiguration(t *testing.T) {
	c := example(t)
	text, err := c.Text()
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse(text)
	if err != nil || !reflect.DeepEqual(again, c) {
		t.Errorf("%v\n%s", err, text)
	}
}

func TestRedacted(t *testing.T) {
	c := example(t)
	text, err := c.Redacted().Text()
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"10.1.2.3", "localhost", "127.0.0.1", "p11.so", "vault-7", "user.pin", "softhsm2.conf", "outbox", "callbacks", "idp.example", "idp.token", "idp.old"} {
		if strings.Contains(string(text), secret) {
			t.Errorf("%s is still there", secret)
		}
	}
	if !strings.Contains(string(text), "acme") || c.Listen != "10.1.2.3:7443" || c.Hosts[0] != "localhost" {
		t.Errorf("too much was redacted, or the original changed:\n%s", text)
	}
}
