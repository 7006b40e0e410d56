package config

import (
	"fmt"
	"maps"
	"regexp"
	"time"
)

// Messages says how codes and notices reach the phone.
type Messages struct {
	Provider string    `yaml:"provider"`
	Dir      string    `yaml:"dir"`
	Parts    int       `yaml:"parts"`
	Signed   bool      `yaml:"signed"`
	Gateways []Gateway `yaml:"gateways"`
}

// Gateway is a provider of text messages that is asked over HTTP. Secrets stand in files, never here.
type Gateway struct {
	Name            string            `yaml:"name"`
	URL             string            `yaml:"url"`
	Method          string            `yaml:"method"`
	Headers         map[string]string `yaml:"headers"`
	SecretHeaders   map[string]string `yaml:"secret_headers"` // header: file
	Format          string            `yaml:"format"`
	Body            string            `yaml:"body"`
	CAFile          string            `yaml:"ca_file"`
	CertificateFile string            `yaml:"certificate_file"`
	KeyFile         string            `yaml:"key_file"`
	Timeout         time.Duration     `yaml:"timeout"`
	Tries           int               `yaml:"tries"`
	SuccessStatus   []int             `yaml:"success_status"`
	SuccessField    string            `yaml:"success_field"`
	SuccessValues   []string          `yaml:"success_values"`
	ReferenceField  string            `yaml:"reference_field"`
	Reports         GatewayReports    `yaml:"reports"`
}

// GatewayReports says how a provider reports what became of a text; without a secret file it does not.
type GatewayReports struct {
	SecretFile     string   `yaml:"secret_file"`
	Header         string   `yaml:"header"`
	HMAC           bool     `yaml:"hmac"`
	MessageField   string   `yaml:"message_field"`
	ReferenceField string   `yaml:"reference_field"`
	StatusField    string   `yaml:"status_field"`
	Delivered      []string `yaml:"delivered"`
	Failed         []string `yaml:"failed"`
}

// Effective returns g with the defaults of what the file leaves out.
func (g Gateway) Effective() Gateway {
	if g.Timeout == 0 {
		g.Timeout = 10 * time.Second
	}
	if g.Tries == 0 {
		g.Tries = 2
	}
	return g
}

// Report tells whether a provider reports what became of texts.
func (m Messages) Report() bool {
	for _, g := range m.Gateways {
		if g.Reports.SecretFile != "" {
			return true
		}
	}
	return false
}

func (c Config) validateMessages() error {
	m := c.Messages
	rules := []rule{
		{m.Provider == "file" && m.Dir != "" || m.Provider == "http" && len(m.Gateways) > 0, "messages.provider", "file, with messages.dir, or http, with messages.gateways"},
		{m.Parts >= 2 && m.Parts <= 6, "messages.parts", "2 to 6"},
		{!m.Report() || c.Proofing.Listen != "", "proofing.listen", "an address: reports of text messages come there"},
	}
	name, seen := regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`), map[string]bool{}
	for i, g := range m.Gateways {
		key, e := fmt.Sprintf("messages.gateways[%d]", i), g.Effective()
		rules = append(rules,
			rule{name.MatchString(g.Name) && !seen[g.Name], key + ".name", "letters, digits and hyphens, another one for each"},
			rule{g.URL != "", key + ".url", "given"},
			rule{g.Format == "json" || g.Format == "form" || g.Format == "" && g.Body == "", key + ".format", "json or form, or no body"},
			rule{(g.CertificateFile == "") == (g.KeyFile == ""), key + ".certificate_file", "given with key_file, or both left out"},
			rule{e.Timeout >= time.Second && e.Timeout <= 20*time.Second, key + ".timeout", "1s to 20s"},
			rule{e.Tries >= 1 && e.Tries <= 5, key + ".tries", "1 to 5"},
		)
		seen[g.Name] = true
	}
	for _, r := range rules {
		if !r.holds {
			return fmt.Errorf("%w: %s must be %s", ErrConfig, r.key, r.want)
		}
	}
	return nil
}

// redacted leaves out where providers are and what they are told.
func (m Messages) redacted() Messages {
	hide := func(all map[string]string) map[string]string {
		all = maps.Clone(all)
		for k := range all {
			all[k] = redacted
		}
		return all
	}
	gateways := make([]Gateway, len(m.Gateways))
	for i, g := range m.Gateways {
		g.Headers, g.SecretHeaders = hide(g.Headers), hide(g.SecretHeaders)
		for _, value := range []*string{&g.URL, &g.Body, &g.CAFile, &g.CertificateFile, &g.KeyFile, &g.Reports.SecretFile} {
			if *value != "" {
				*value = redacted
			}
		}
		gateways[i] = g
	}
	m.Gateways = gateways
	return m
}
