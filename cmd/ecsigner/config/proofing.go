package config

import (
	"fmt"
	"maps"
	"net"
	"regexp"
	"slices"
	"time"
)

// Proofing says how identities are proven by providers that are asked over the network.
type Proofing struct {
	Listen          string                      `yaml:"listen"`
	CertificateFile string                      `yaml:"certificate_file"`
	KeyFile         string                      `yaml:"key_file"`
	Poll            time.Duration               `yaml:"poll"`
	MaxAge          time.Duration               `yaml:"max_age"`
	DeferredLife    time.Duration               `yaml:"deferred_life"`
	Providers       map[string]IdentityProvider `yaml:"providers"`
}

// IdentityProvider is one of them. Secrets stand in files, never here.
type IdentityProvider struct {
	Kind           string        `yaml:"kind"`
	URL            string        `yaml:"url"`
	StartURL       string        `yaml:"start_url"`
	FetchURL       string        `yaml:"fetch_url"`
	EvidenceURL    string        `yaml:"evidence_url"`
	ReturnURL      string        `yaml:"return_url"`
	KeyFile        string        `yaml:"key_file"`
	SecretFiles    []string      `yaml:"secret_files"`
	CAFile         string        `yaml:"ca_file"`
	Timeout        time.Duration `yaml:"timeout"`
	MaxBytes       int64         `yaml:"max_bytes"`
	Tolerance      time.Duration `yaml:"tolerance"`
	IdentifierType string        `yaml:"identifier_type"`
	PhoneField     string        `yaml:"phone_field"`
}

// Kinds of identity providers.
const (
	KindHTTP   = "http"
	KindVeriff = "veriff"
)

func defaultProofing() Proofing {
	return Proofing{Poll: 10 * time.Minute, MaxAge: 7 * 24 * time.Hour, DeferredLife: 7 * 24 * time.Hour}
}

// Limits of one provider where the file has none.
const (
	defaultTimeout   = 10 * time.Second
	defaultMaxBytes  = 1 << 20
	defaultTolerance = 10 * time.Minute
)

// Effective returns p with the defaults of what the file leaves out.
func (p IdentityProvider) Effective() IdentityProvider {
	if p.Timeout == 0 {
		p.Timeout = defaultTimeout
	}
	if p.MaxBytes == 0 {
		p.MaxBytes = defaultMaxBytes
	}
	if p.Tolerance == 0 {
		p.Tolerance = defaultTolerance
	}
	return p
}

func (p Proofing) validate() error {
	rules := []rule{
		{p.Poll >= time.Second, "proofing.poll", "1s or more"},
		{p.MaxAge >= time.Minute, "proofing.max_age", "1m or more"},
		{p.DeferredLife >= time.Second, "proofing.deferred_life", "1s or more"},
		{(p.CertificateFile == "") == (p.KeyFile == ""), "proofing.certificate_file", "given with proofing.key_file, or both left out"},
		{p.Listen == "" || p.CertificateFile != "" || loopback(p.Listen), "proofing.listen", "a loopback address, or proofing.certificate_file is needed: callbacks hold personal data"},
	}
	name := regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`)
	for _, n := range slices.Sorted(maps.Keys(p.Providers)) {
		v, key := p.Providers[n], "proofing.providers."+n
		e := v.Effective()
		rules = append(rules,
			rule{name.MatchString(n), "proofing.providers", "named by letters, digits and hyphens"},
			rule{v.Kind == KindHTTP || v.Kind == KindVeriff, key + ".kind", "http or veriff"},
			rule{v.KeyFile != "", key + ".key_file", "a file"},
			rule{len(v.SecretFiles) == 1 || len(v.SecretFiles) == 2, key + ".secret_files", "one file, or two while secrets change"},
			rule{e.Timeout > 0 && e.Timeout <= time.Minute, key + ".timeout", "at most 1m"},
			rule{e.MaxBytes > 0 && e.MaxBytes <= 16<<20, key + ".max_bytes", "at most 16777216"},
			rule{e.Tolerance > 0 && e.Tolerance <= 24*time.Hour, key + ".tolerance", "at most 24h"},
			rule{v.Kind != KindHTTP || v.StartURL != "" && v.FetchURL != "", key + ".start_url", "given, with fetch_url"},
			rule{v.Kind != KindVeriff || v.URL != "" && v.PhoneField != "", key + ".url", "given, with phone_field"},
			rule{v.Kind != KindVeriff || v.IdentifierType == "PNO" || v.IdentifierType == "TIN", key + ".identifier_type", "PNO or TIN"},
		)
	}
	for _, r := range rules {
		if !r.holds {
			return fmt.Errorf("%w: %s must be %s", ErrConfig, r.key, r.want)
		}
	}
	return nil
}

// rule is one demand on the file.
type rule struct {
	holds     bool
	key, want string
}

// loopback tells whether only this machine can connect to an address.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// redacted returns p without addresses and paths.
func (p Proofing) redacted() Proofing {
	providers := map[string]IdentityProvider{}
	for name, v := range p.Providers {
		for _, value := range []*string{&v.URL, &v.StartURL, &v.FetchURL, &v.EvidenceURL, &v.ReturnURL, &v.KeyFile, &v.CAFile} {
			if *value != "" {
				*value = redacted
			}
		}
		v.SecretFiles = slices.Repeat([]string{redacted}, len(v.SecretFiles))
		providers[name] = v
	}
	for _, value := range []*string{&p.Listen, &p.CertificateFile, &p.KeyFile} {
		if *value != "" {
			*value = redacted
		}
	}
	if p.Providers != nil {
		p.Providers = providers
	}
	return p
}
