package config

import (
	_ "embed" // the template of the configuration file
	"strings"
	"text/template"
)

//go:embed template.yaml
var templateText string

// Values fill the template of a new installation.
type Values struct {
	Installation string
	Listen       string
	PKIListen    string
	Module       string
	Token        string
	Digits       int
	Rate         float64
	Budget       int // of texts to one number; 0: neither numbers nor clients are limited
}

// Template returns the text of a new configuration file.
func Template(v Values) (string, error) {
	t, err := template.New("ecsigner.yaml").Option("missingkey=error").Parse(templateText)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	err = t.Execute(&b, v)
	return b.String(), err
}
