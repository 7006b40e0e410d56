package tsp_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/ecsigner/ecsigner/signer/tsp"
	"github.com/ecsigner/ecsigner/signer/tsp/tsptest"
)

// TestTrustAsOpenSSL: tokens that OpenSSL refuses are refused, though their signature is right.
func TestTrustAsOpenSSL(t *testing.T) {
	tsa := must(tsptest.New(tsptest.Options{}))
	for name, c := range map[string]struct {
		faults tsptest.Faults
		want   error
		said   string
	}{
		"issuerSerial":       {tsptest.Faults{IssuerSerial: true}, nil, "Verification: OK"},
		"issuerSerial in v1": {tsptest.Faults{IssuerSerial: true, SigningCertificateV1: true}, nil, "Verification: OK"},
		"other issuer":       {tsptest.Faults{OtherIssuer: true}, tsp.ErrSigner, "ess cert id not found"},
		"other issuer in v1": {tsptest.Faults{OtherIssuer: true, SigningCertificateV1: true}, tsp.ErrSigner, "ess cert id not found"},
		"other key usage":    {tsptest.Faults{Certificate: tsptest.OtherKeyUsage}, tsp.ErrSigner, "unsuitable certificate purpose"},
		"digest not listed":  {tsptest.Faults{OtherDigestAlgorithm: true}, tsp.ErrMalformed, "unable to find message digest"},
	} {
		t.Run(name, func(t *testing.T) {
			token := stamp(t, tsa, c.faults)
			if _, err := tsp.Parse(token); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
			said := openssl(t, tsa, token, []byte("content"), "ts", "-verify", "-token_in", "-in", "token", "-data", "data", "-untrusted", "ca.pem")
			if !strings.Contains(said, c.said) {
				t.Errorf("openssl: %s", said)
			}
		})
	}
}
