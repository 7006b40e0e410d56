package ca

import (
	"crypto/x509"
	"fmt"

	"github.com/ecsigner/ecsigner/ca/lint"
)

// Findings has our own rules and zlint judge a finished certificate of a profile, as an auditor would: the expected
// values come from the configuration and the issuer's certificate (nil for a root), not from whoever issued it.
func Findings(cfg Config, profile Profile, der []byte, issuer *x509.Certificate) ([]lint.Finding, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	z, err := newZlintRules()
	if err != nil {
		return nil, err
	}
	want := wanted(cfg, profile, issuer)
	want.Signed = true
	want.DNSNames, want.IPs = cert.DNSNames, cert.IPAddresses
	for _, u := range cert.URIs {
		want.URIs = append(want.URIs, u.String())
	}
	return append(lint.Certificate(der, want), z.certificate(der, profile)...), nil
}
