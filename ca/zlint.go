package ca

import (
	"fmt"
	"slices"
	"strings"

	zx509 "github.com/zmap/zcrypto/x509"
	"github.com/zmap/zlint/v3"
	zl "github.com/zmap/zlint/v3/lint"

	"github.com/ecsigner/ecsigner/ca/lint"
)

// zlintVersion stands in the stored reports; a test holds it to the module that is built in.
const zlintVersion = "zlint/v3.7.1"

// zlintRules is zlint without the rules of the CA/Browser Forum and of browsers, which judge web certificates.
type zlintRules struct {
	registry zl.Registry
	person   zl.Registry
	network  zl.Registry
}

func newZlintRules() (*zlintRules, error) {
	filter := func(exclude ...string) (zl.Registry, error) {
		registry, err := zl.GlobalRegistry().Filter(zl.FilterOptions{
			IncludeSources: zl.SourceList{zl.EtsiEsi, zl.RFC5280, zl.RFC3279, zl.RFC5480, zl.RFC8813, zl.Community},
			ExcludeNames:   exclude,
		})
		if err != nil {
			return nil, fmt.Errorf("%w: zlint: %w", ErrConfig, err)
		}
		return registry, nil
	}
	all, err := filter()
	if err != nil {
		return nil, err
	}
	// EN 319 412-2 NAT-4.2.4-18: a natural person's name, and the organisation's beside it, may be longer than RFC 5280
	// allows.
	person, err := filter("e_subject_common_name_max_length", "e_subject_organization_name_max_length")
	if err != nil {
		return nil, err
	}
	// Names such as "localhost" or "documents-1" are meant: the TLS CA serves a closed network.
	network, err := filter("n_san_iana_pub_suffix_empty")
	if err != nil {
		return nil, err
	}
	return &zlintRules{all, person, network}, nil
}

// certificate returns every rule that does not pass, notices and warnings included.
func (z *zlintRules) certificate(der []byte, profile Profile) []lint.Finding {
	cert, err := zx509.ParseCertificate(der)
	if err != nil {
		return []lint.Finding{{Rule: "zlint", Detail: "cannot read the certificate: " + err.Error()}}
	}
	registry := z.registry
	switch profile {
	case NaturalPerson:
		registry = z.person
	case TLSServer, TLSClient:
		registry = z.network
	}
	return findings(zlint.LintCertificateEx(cert, registry))
}

func (z *zlintRules) list(der []byte) []lint.Finding {
	crl, err := zx509.ParseRevocationList(der)
	if err != nil {
		return []lint.Finding{{Rule: "zlint", Detail: "cannot read the list: " + err.Error()}}
	}
	return findings(zlint.LintRevocationListEx(crl, z.registry))
}

func findings(set *zlint.ResultSet) []lint.Finding {
	var found []lint.Finding
	for name, result := range set.Results {
		if result.Status > zl.Pass {
			found = append(found, lint.Finding{Rule: "zlint " + name, Detail: result.Status.String() + " " + result.Details})
		}
	}
	slices.SortFunc(found, func(a, b lint.Finding) int { return strings.Compare(a.Rule, b.Rule) })
	return found
}

// report is what is stored with a certificate that was found clean: which rules judged it.
func report() string { return lint.Version + " " + zlintVersion + " no findings" }
