package ca

import (
	"crypto/x509"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/ecsigner/ecsigner/ca/lint"
)

// Config is what the operator declares about the provider and its CAs. One Config serves all CAs of an installation.
type Config struct {
	Country        string // ISO 3166-1 alpha-2 code of the provider
	Organization   string // its registered name
	OrganizationID string // EN 319 412-1 LEG-5.1.4, such as VATPL-5260250274

	RootName    string // common name of the root; a new key generation needs a new name
	IssuingName string // common name of the CA that issues to persons
	SealName    string // common name of the service's own seal
	TLSRootName string // common name of the separate CA for TLS

	// TestPrefix demands that all CA and seal names start with "TEST ", as they must when keys lie in a software token.
	TestPrefix bool

	PolicyNatural string // own policy for natural persons, dotted OID
	PolicySeal    string // own policy for the service seal, dotted OID

	PDS            map[string]string // ISO 639-1 language to https:// URL of the PKI disclosure statement; "en" is required
	AIABase        string            // http:// URL under which CA certificates are published, without a closing slash
	CRLBase        string            // http:// URL under which revocation lists are published, without a closing slash
	RetentionYears int               // years that records are kept after a certificate ends, 7 to 99 (EN 319 411-1 OVR-6.4.6)

	// QSCD is the operator's declaration that signatories' keys are held in a certified qualified device. It puts QcSSCD
	// and the policy QCP-n-qscd into certificates; nothing in this program can check whether it is true.
	QSCD     bool
	QSCDEnds time.Time // end of the device's certification; no certificate outlives it; zero: none known

	CRLLifetime  time.Duration // nextUpdate - thisUpdate of an issuing CA's list, 1 hour to 24 hours
	CARLLifetime time.Duration // the same of the root's list, 1 hour to 365 days

	// SerialPrefix is the first octet of every serial number, 0x01 to 0x7f, different on each node that issues under
	// the same CA, so that two nodes never draw the same number.
	SerialPrefix byte
}

// Validate names the first setting that is wrong, with a remedy; the error wraps ErrConfig.
func (c Config) Validate() error {
	for _, check := range []func() error{c.validateNames, c.validatePolicies, c.validateURLs, c.validatePeriods} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func badConfig(field, format string, args ...any) error {
	return fmt.Errorf("%w: %s %s", ErrConfig, field, fmt.Sprintf(format, args...))
}

func (c Config) validateNames() error {
	if !lint.Country(c.Country) {
		return badConfig("Country", "%q must be an ISO 3166-1 code of two capital letters", c.Country)
	}
	if !lint.OrganisationID(c.OrganizationID) || c.OrganizationID == c.Organization {
		return badConfig("OrganizationID", "%q must look like VATPL-5260250274 and differ from Organization", c.OrganizationID)
	}
	names := []struct{ field, text string }{
		{"Organization", c.Organization},
		{"RootName", c.RootName},
		{"IssuingName", c.IssuingName},
		{"SealName", c.SealName},
		{"TLSRootName", c.TLSRootName},
	}
	seen := map[string]string{}
	for _, n := range names {
		if fault := lint.TextFault(n.text); fault != "" {
			return badConfig(n.field, "%s", fault)
		}
		if len([]rune(n.text)) > 64 {
			return badConfig(n.field, "has more than 64 characters")
		}
		if n.field == "Organization" {
			continue
		}
		if c.TestPrefix && !strings.HasPrefix(n.text, testPrefix) {
			return badConfig(n.field, "%q must start with %q in a test installation", n.text, testPrefix)
		}
		if other, ok := seen[n.text]; ok {
			return badConfig(n.field, "must differ from %s", other)
		}
		seen[n.text] = n.field
	}
	return nil
}

func (c Config) validatePolicies() error {
	for field, oid := range map[string]string{"PolicyNatural": c.PolicyNatural, "PolicySeal": c.PolicySeal} {
		if _, err := x509.ParseOID(oid); err != nil {
			return badConfig(field, "%q must be a dotted object identifier", oid)
		}
		if strings.HasPrefix(oid, "0.4.0.") || strings.HasPrefix(oid, "2.5.29.") {
			return badConfig(field, "%q must lie in the provider's own arc", oid)
		}
	}
	return nil
}

func (c Config) validateURLs() error {
	for language, address := range c.PDS {
		if fault := lint.DisclosureFault(language, address); fault != "" {
			return badConfig("PDS", "%s", fault)
		}
	}
	if c.PDS["en"] == "" {
		return badConfig("PDS", "must have an English statement, en (EN 319 412-5 4.3.4)")
	}
	for field, base := range map[string]string{"AIABase": c.AIABase, "CRLBase": c.CRLBase} {
		u, err := url.Parse(base)
		if err != nil || u.Scheme != "http" || u.Host == "" || strings.HasSuffix(base, "/") || u.RawQuery != "" || u.Fragment != "" {
			return badConfig(field, "%q must be an http:// URL without a closing slash", base)
		}
	}
	return nil
}

func (c Config) validatePeriods() error {
	switch {
	case c.RetentionYears < 7 || c.RetentionYears > 99:
		return badConfig("RetentionYears", "is %d, must be 7 to 99", c.RetentionYears)
	case c.CRLLifetime < time.Hour || c.CRLLifetime > 24*time.Hour:
		return badConfig("CRLLifetime", "is %s, must be 1h to 24h", c.CRLLifetime)
	case c.CARLLifetime < time.Hour || c.CARLLifetime > 365*24*time.Hour:
		return badConfig("CARLLifetime", "is %s, must be 1h to 8760h", c.CARLLifetime)
	case c.SerialPrefix < 0x01 || c.SerialPrefix > 0x7f:
		return badConfig("SerialPrefix", "is %d, must be 1 to 127", c.SerialPrefix)
	}
	return nil
}
