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
