package config_test

import (
	"strings"
	"testing"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/config"
)

func template(t *testing.T) string {
	t.Helper()
	text, err := config.Template(config.Values{
		Installation: "test", Listen: "127.0.0.1:1", PKIListen: "127.0.0.1:2", Module: "/module.so", Token: "token", Digits: 6, Rate: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// A person is told of each signature unless the operator says otherwise.
func TestNoticesAreOn(t *testing.T) {
	text := template(t)
	if strings.Count(text, "\n  signed: true\n") != 1 {
		t.Fatal("the template does not say signed: true")
	}
	for line, want := range map[string]bool{"\n  signed: true\n": true, "\n": true, "\n  signed: false\n": false} {
		c, err := config.Parse([]byte(strings.Replace(text, "\n  signed: true\n", line, 1)))
		if err != nil || c.Messages.Signed != want {
			t.Errorf("with %q: %v, %v", line, c.Messages.Signed, err)
		}
	}
}

const gateways = `
  gateways:
    - name: one
      url: https://sms.example.com/account-7/send
      headers: {X-Sender: Example}
      secret_headers: {Authorization: secrets/token}
      format: json
      body: '{"to":"{to}"}'
      reports: {secret_file: secrets/reports, header: X-Signature, message_field: id, status_field: status, delivered: [done]}
`

// What a provider is asked and where it is does not leave in a printed configuration; what is wrong is named by its key.
func TestGateways(t *testing.T) {
	text := strings.Replace(template(t), "\n  gateways: []\n", gateways, 1)
	text = strings.Replace(text, "  listen: \"\"\n  certificate_file", "  listen: 127.0.0.1:3\n  certificate_file", 1)
	text = strings.Replace(text, "  provider: file", "  provider: http", 1)
	c, err := config.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	printed, err := c.Redacted().Text()
	if err != nil {
		t.Fatal(err)
	}
	for _, hidden := range []string{"sms.example.com", "account-7", "secrets/token", "secrets/reports", `{"to"`} {
		if strings.Contains(string(printed), hidden) {
			t.Errorf("the printed configuration shows %q", hidden)
		}
	}
	if g := c.Messages.Gateways[0]; g.URL == "redacted" || g.Headers["X-Sender"] != "Example" {
		t.Error("printing changed the configuration")
	}
	for key, change := range map[string][2]string{
		"messages.gateways[0].name":   {"name: one", "name: 'o/e'"},
		"messages.gateways[0].url":    {"url: https://sms.example.com/account-7/send", "url: ''"},
		"messages.gateways[0].format": {"format: json", "format: xml"},
		"messages.gateways[0].tries":  {"format: json", "format: json\n      tries: 9"},
		"messages.provider":           {gateways, "\n  gateways: []\n"},
		"proofing.listen":             {"listen: 127.0.0.1:3", `listen: ""`},
	} {
		if !strings.Contains(text, change[0]) {
			t.Fatalf("there is no %q", change[0])
		}
		if _, err := config.Parse([]byte(strings.Replace(text, change[0], change[1], 1))); err == nil || !strings.Contains(err.Error(), key+" must be") {
			t.Errorf("%s: %v", key, err)
		}
	}
}
