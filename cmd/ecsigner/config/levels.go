package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"time"
)

// Timestamp says which time-stamping authorities are asked, in their order. Without any, signatures stay at B-B.
type Timestamp struct {
	Authorities []StampAuthority `yaml:"authorities"`
	Hash        string           `yaml:"hash"`
	Space       int              `yaml:"space"`
}

// StampAuthority is one of them. A password stands in a file, never here.
type StampAuthority struct {
	Name         string        `yaml:"name"`
	URL          string        `yaml:"url"`
	Policy       string        `yaml:"policy"`
	TrustFile    string        `yaml:"trust_file"`
	Timeout      time.Duration `yaml:"timeout"`
	User         string        `yaml:"user"`
	PasswordFile string        `yaml:"password_file"`
}

// Revocation says whose certificates are proven not to be revoked, and who may be asked.
type Revocation struct {
	TrustFiles     []string      `yaml:"trust_files"`
	Hosts          []string      `yaml:"hosts"`
	AnyHost        bool          `yaml:"any_host"`
	Ports          []uint16      `yaml:"ports"`
	Inside         []string      `yaml:"inside"`
	Timeout        time.Duration `yaml:"timeout"`
	MaxAge         time.Duration `yaml:"max_age"`
	AfterSignature bool          `yaml:"after_signature"`
}

// Appearance says what visible signatures may look like beyond what a caller can say.
type Appearance struct {
	Typefaces map[string]Typeface `yaml:"typefaces"`
}

// Typeface names TrueType files: for the text, and for the signatory's name.
type Typeface struct {
	File     string `yaml:"file"`
	BoldFile string `yaml:"bold_file"`
}

func defaultTimestamp() Timestamp { return Timestamp{Hash: "sha256", Space: 16 << 10} }

func defaultRevocation() Revocation {
	return Revocation{Ports: []uint16{80, 443}, Timeout: 15 * time.Second, MaxAge: 24 * time.Hour}
}

func (c Config) validateLevels() error {
	t, r := c.Timestamp, c.Revocation
	rules := []rule{
		{slices.Contains([]string{"sha256", "sha384", "sha512"}, t.Hash), "timestamp.hash", "sha256, sha384 or sha512"},
		{t.Space >= 4<<10 && t.Space <= 256<<10, "timestamp.space", "4096 to 262144"},
		{r.Timeout >= time.Second && r.Timeout <= time.Minute, "revocation.timeout", "1s to 1m"},
		{r.MaxAge >= time.Minute && r.MaxAge <= 366*24*time.Hour, "revocation.max_age", "1m to 8784h"},
		{len(r.Ports) > 0 && !slices.Contains(r.Ports, 0), "revocation.ports", "port numbers"},
	}
	name, seen := regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`), map[string]bool{}
	for i, a := range t.Authorities {
		key := fmt.Sprintf("timestamp.authorities[%d]", i)
		u, err := url.Parse(a.URL)
		rules = append(rules,
			rule{name.MatchString(a.Name) && !seen[a.Name], key + ".name", "letters, digits and hyphens, another one for each"},
			rule{err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil, key + ".url", "http://… or https://…, without a password"},
			rule{a.TrustFile != "", key + ".trust_file", "a file of certificates in PEM"},
			rule{a.Policy == "" || regexp.MustCompile(`^[0-2](\.[0-9]{1,9})+$`).MatchString(a.Policy), key + ".policy", "an object identifier, or empty"},
			rule{a.Timeout == 0 || a.Timeout >= time.Second && a.Timeout <= time.Minute, key + ".timeout", "1s to 1m"},
			rule{(a.User == "") == (a.PasswordFile == ""), key + ".user", "given with password_file, or both left out"},
		)
		seen[a.Name] = true
	}
	for face, f := range c.Appearance.Typefaces {
		rules = append(rules, rule{name.MatchString(face) && f.File != "", "appearance.typefaces." + face, "a name of letters, digits and hyphens, with the file of a font"})
	}
	for i, p := range r.Inside {
		_, err := netip.ParsePrefix(p)
		rules = append(rules, rule{err == nil, fmt.Sprintf("revocation.inside[%d]", i), "an address prefix such as 10.1.0.0/16"})
	}
	for _, rule := range rules {
		if !rule.holds {
			return fmt.Errorf("%w: %s must be %s", ErrConfig, rule.key, rule.want)
		}
	}
	return nil
}

// redacted leaves out where authorities are and how they know us.
func (t Timestamp) redacted() Timestamp {
	t.Authorities = slices.Clone(t.Authorities)
	for i := range t.Authorities {
		a := &t.Authorities[i]
		for _, value := range []*string{&a.URL, &a.TrustFile, &a.User, &a.PasswordFile} {
			if *value != "" {
				*value = redacted
			}
		}
	}
	return t
}

// redacted leaves out where the fonts are. Callers know their names.
func (a Appearance) redacted() Appearance {
	faces := map[string]Typeface{}
	for name, f := range a.Typefaces {
		f.File = redacted
		if f.BoldFile != "" {
			f.BoldFile = redacted
		}
		faces[name] = f
	}
	return Appearance{Typefaces: faces}
}

func (r Revocation) redacted() Revocation {
	r.TrustFiles = slices.Repeat([]string{redacted}, len(r.TrustFiles))
	r.Hosts = slices.Repeat([]string{redacted}, len(r.Hosts))
	r.Inside = slices.Repeat([]string{redacted}, len(r.Inside))
	return r
}
