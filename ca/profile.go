package ca

import (
	"crypto/elliptic"
	"crypto/x509"
	"fmt"
	"slices"

	"github.com/ecsigner/ecsigner/ca/lint"
)

// Profile names what a certificate is for. Its text is stable: it is stored and shown.
type Profile string

// The profiles.
const (
	Root          Profile = "root"
	IssuingCA     Profile = "issuing-ca"
	NaturalPerson Profile = "natural-person" // qualified, for electronic signatures: QCP-n or QCP-n-qscd
	ServiceSeal   Profile = "service-seal"   // the service's own, for what it seals itself
	TLSRoot       Profile = "tls-root"
	TLSServer     Profile = "tls-server"
	TLSClient     Profile = "tls-client"
)

// Policies of EN 319 411-1 and -2.
const (
	policyNCP      = "0.4.0.2042.1.1"
	policyQCPN     = "0.4.0.194112.1.0"
	policyQCPNQSCD = "0.4.0.194112.1.2"
	policyAny      = "2.5.29.32.0"
)

// profileRules is one row of the profile table.
type profileRules struct {
	kind     lint.Kind
	issuer   Profile // the only CA profile that issues it
	curves   []elliptic.Curve
	rsa      bool // takes RSA too
	maxYears int
	usage    x509.KeyUsage
	extended []x509.ExtKeyUsage
	ca       bool
	pathLen  int  // CAs: -1 is no limit
	public   bool // carries the addresses of the issuer's certificate and revocation list
}

// rules is the profile table. The zero row belongs to no profile.
func (p Profile) rules() profileRules {
	p256 := []elliptic.Curve{elliptic.P256()}
	p384 := []elliptic.Curve{elliptic.P384()}
	both := []elliptic.Curve{elliptic.P256(), elliptic.P384()}
	const caUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	switch p {
	case Root:
		return profileRules{kind: lint.Root, issuer: Root, curves: p384, maxYears: 25, usage: caUsage, ca: true, pathLen: -1}
	case IssuingCA:
		return profileRules{
			kind: lint.IssuingCA, issuer: Root, curves: p384, maxYears: 15,
			usage: caUsage, ca: true, public: true,
		}
	case NaturalPerson:
		// Content commitment alone, type A of EN 319 412-2 NAT-4.3.2: the key authenticates nothing else.
		return profileRules{
			kind: lint.NaturalPerson, issuer: IssuingCA, curves: both, rsa: true, maxYears: 3,
			usage: x509.KeyUsageContentCommitment, public: true,
		}
	case ServiceSeal:
		return profileRules{
			kind: lint.ServiceSeal, issuer: IssuingCA, curves: both, maxYears: 5,
			usage: x509.KeyUsageContentCommitment, public: true,
		}
	case TLSRoot:
		return profileRules{kind: lint.TLSRoot, issuer: TLSRoot, curves: both, maxYears: 20, usage: caUsage, ca: true}
	case TLSServer:
		return profileRules{
			kind: lint.TLSServer, issuer: TLSRoot, curves: p256, maxYears: 2,
			usage: x509.KeyUsageDigitalSignature, extended: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		}
	case TLSClient:
		return profileRules{
			kind: lint.TLSClient, issuer: TLSRoot, curves: p256, maxYears: 2,
			usage: x509.KeyUsageDigitalSignature, extended: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		}
	}
	return profileRules{}
}

func (p Profile) authority() bool { return p.rules().ca }

// policies returns the certificate policies of a profile, in order.
func (p Profile) policies(cfg Config) []string {
	switch p {
	case IssuingCA:
		return []string{policyAny}
	case NaturalPerson:
		if cfg.QSCD {
			return []string{policyQCPNQSCD, cfg.PolicyNatural}
		}
		return []string{policyQCPN, cfg.PolicyNatural}
	case ServiceSeal:
		return []string{policyNCP, cfg.PolicySeal}
	}
	return nil
}

// wanted is what the rules must find in a certificate of this profile, whoever its subject is.
func wanted(cfg Config, profile Profile, issuer *x509.Certificate) lint.Want {
	r := profile.rules()
	w := lint.Want{Kind: r.kind, Issuer: issuer, MaxYears: r.maxYears, Policies: profile.policies(cfg)}
	if cfg.TestPrefix {
		w.TestPrefix = testPrefix
	}
	if r.public && issuer != nil {
		w.CAIssuers = certificateURL(cfg, issuer)
		w.CRL = crlURL(cfg, issuer)
	}
	if profile == NaturalPerson {
		w.QSCD, w.QSCDEnds = cfg.QSCD, cfg.QSCDEnds
		w.PDS, w.RetentionYears = cfg.PDS, cfg.RetentionYears
		w.CheckIdentifier, w.CheckOrganisation = CheckIdentifier, CheckOrganisationID
	}
	return w
}

// template fills a certificate of this profile; subject and subjectAltName are the request's. organisation tells whether
// the subject names one beside the person.
func template(cfg Config, profile Profile, issuer *x509.Certificate, organisation bool) (*x509.Certificate, error) {
	r := profile.rules()
	t := &x509.Certificate{
		KeyUsage:    r.usage,
		ExtKeyUsage: slices.Clone(r.extended),
	}
	if r.ca {
		t.BasicConstraintsValid, t.IsCA = true, true
		t.MaxPathLen, t.MaxPathLenZero = r.pathLen, r.pathLen == 0
	}
	for _, text := range profile.policies(cfg) {
		oid, err := x509.ParseOID(text)
		if err != nil {
			return nil, fmt.Errorf("%w: policy %q: %w", ErrConfig, text, err)
		}
		t.Policies = append(t.Policies, oid)
	}
	if r.public {
		t.IssuingCertificateURL = []string{certificateURL(cfg, issuer)}
		t.CRLDistributionPoints = []string{crlURL(cfg, issuer)}
	}
	if profile == NaturalPerson {
		statements, err := qcStatements(cfg, organisation)
		if err != nil {
			return nil, err
		}
		t.ExtraExtensions = append(t.ExtraExtensions, statements)
	}
	return t, nil
}
