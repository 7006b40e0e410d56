package ca

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/url"
	"time"

	"github.com/ecsigner/ecsigner/ca/lint"
)

// Request asks for one certificate.
type Request struct {
	ID      string // of the issuance; one certificate per ID, for ever
	Person  string // whose the subject name and the key are, in the caller's terms; never in the certificate
	Profile Profile

	Natural  Natural  // NaturalPerson only
	DNSNames []string // TLS profiles; the first name, or else the first address, is the common name
	IPs      []net.IP // TLSServer only

	Role    string // TLSClient only: what the client may do; becomes the URI RoleURI(Role)
	Display string // TLSClient only: the name that persons are shown, as organizationName

	PublicKey crypto.PublicKey
	NotBefore time.Time // whole seconds count
	Years     int       // notAfter is this many years later, less one second, as RFC 5280 counts it inclusive
}

// Natural is what a qualified certificate says about a person, as the identity proof returned it: names in Unicode
// normal form C and in one script. One of the two names may be empty. With an organisation the certificate names it
// too, and stays the person's (EN 319 411-1 GEN-6.3.3-11).
type Natural struct {
	Country        string // ISO 3166-1 alpha-2
	GivenName      string
	Surname        string
	Identifier     Identifier
	Organisation   string // registered name; empty without one
	OrganisationID string // its identifier, EN 319 412-1 LEG-5.1.4; present exactly with Organisation
}

// CommonName is the name that the certificate shows.
func (n Natural) CommonName() string { return lint.CommonName(n.GivenName, n.Surname) }

// check names the first thing wrong with the person's data; the error wraps ErrRequest.
func (n Natural) check() error {
	if !lint.Country(n.Country) {
		return fmt.Errorf("%w: country %q must be an ISO 3166-1 code of two capital letters", ErrRequest, n.Country)
	}
	if n.GivenName == "" && n.Surname == "" {
		return fmt.Errorf("%w: a given name or a surname is needed", ErrRequest)
	}
	for field, text := range map[string]string{"given name": n.GivenName, "surname": n.Surname} {
		if fault := lint.TextFault(text); text != "" && fault != "" {
			return fmt.Errorf("%w: %s %s", ErrRequest, field, fault)
		}
	}
	if !lint.OneScript(n.GivenName, n.Surname) {
		return fmt.Errorf("%w: given name and surname must be in one script (EN 319 412-2 NAT-4.2.4-19)", ErrRequest)
	}
	if err := n.Identifier.Check(); err != nil {
		return fmt.Errorf("%w: %w", ErrRequest, err)
	}
	if n.Organisation == "" && n.OrganisationID == "" {
		return nil
	}
	if fault := lint.TextFault(n.Organisation); fault != "" {
		return fmt.Errorf("%w: the organisation's name %s", ErrRequest, fault)
	}
	if err := CheckOrganisationID(n.OrganisationID); err != nil {
		return fmt.Errorf("%w: %w", ErrRequest, err)
	}
	return nil
}

// subject encodes the subject name that a request's profile demands.
func (r Request) subject(cfg Config) ([]byte, error) {
	switch r.Profile {
	case Root, IssuingCA, ServiceSeal:
		names := map[Profile]string{Root: cfg.RootName, IssuingCA: cfg.IssuingName, ServiceSeal: cfg.SealName}
		return distinguishedName([]attribute{
			{oidCountry, cfg.Country},
			{oidOrganization, cfg.Organization},
			{oidOrganizationID, cfg.OrganizationID},
			{oidCommonName, names[r.Profile]},
		})
	case TLSRoot:
		return distinguishedName([]attribute{
			{oidCountry, cfg.Country},
			{oidOrganization, cfg.Organization},
			{oidCommonName, cfg.TLSRootName},
		})
	case NaturalPerson:
		if err := r.Natural.check(); err != nil {
			return nil, err
		}
		return distinguishedName([]attribute{
			{oidCountry, r.Natural.Country},
			{oidOrganization, r.Natural.Organisation},
			{oidOrganizationID, r.Natural.OrganisationID},
			{oidSurname, r.Natural.Surname},
			{oidGivenName, r.Natural.GivenName},
			{oidSerialNumber, r.Natural.Identifier.String()},
			{oidCommonName, r.Natural.CommonName()},
		})
	}
	if r.Profile == TLSClient && len(r.DNSNames) > 0 {
		if fault := lint.TextFault(r.Display); fault != "" {
			return nil, fmt.Errorf("%w: the name shown to persons %s", ErrRequest, fault)
		}
		return distinguishedName([]attribute{{oidOrganization, r.Display}, {oidCommonName, r.DNSNames[0]}})
	}
	if len(r.DNSNames) > 0 {
		return distinguishedName([]attribute{{oidCommonName, r.DNSNames[0]}})
	}
	if r.Profile == TLSServer && len(r.IPs) > 0 {
		return distinguishedName([]attribute{{oidCommonName, r.IPs[0].String()}})
	}
	return nil, fmt.Errorf("%w: a TLS certificate needs a DNS name", ErrRequest)
}

func (r Request) check(issuer Profile) error {
	switch {
	case r.ID == "" || r.Person == "":
		return fmt.Errorf("%w: it needs an id and the person it is for", ErrRequest)
	case r.Profile.rules().issuer != issuer:
		return fmt.Errorf("%w: a CA of profile %s does not issue %q", ErrRequest, issuer, r.Profile)
	case r.Years < 1 || r.Years > r.Profile.rules().maxYears:
		return fmt.Errorf("%w: %d years, profile %s allows 1 to %d", ErrValidity, r.Years, r.Profile, r.Profile.rules().maxYears)
	case r.Profile != TLSServer && len(r.IPs) > 0, r.Profile.rules().issuer != TLSRoot && len(r.DNSNames) > 0:
		return fmt.Errorf("%w: profile %s does not carry these network names", ErrRequest, r.Profile)
	}
	if (r.Profile == TLSClient) != dnsName(r.Role) {
		return fmt.Errorf("%w: a client's certificate, and no other, carries a role of lower-case letters", ErrRequest)
	}
	for _, name := range r.DNSNames {
		if !dnsName(name) {
			return fmt.Errorf("%w: %q is not a DNS name in lower case", ErrRequest, name)
		}
	}
	return checkKey(r.Profile, r.PublicKey)
}

// RoleURI is how a client's certificate states its role.
func RoleURI(role string) string { return "urn:ecsigner:role:" + role }

// uris are the URIs of the subjectAltName.
func (r Request) uris() []string {
	if r.Role == "" {
		return nil
	}
	return []string{RoleURI(r.Role)}
}

// dnsName accepts the preferred syntax of RFC 1034 3.5 in lower case; a single label is enough. The whole stays within
// the 64 characters of a common name.
func dnsName(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	label, last := 0, byte('.')
	for i := range len(s) {
		c := s[i]
		switch {
		case c == '.':
			if label == 0 || last == '-' {
				return false
			}
			label = -1
		case c == '-' && label > 0, c >= 'a' && c <= 'z', c >= '0' && c <= '9':
		default:
			return false
		}
		label++
		if label > 63 {
			return false
		}
		last = c
	}
	return label > 0 && last != '-'
}

// draft is everything that decides a to-be-signed certificate. The same draft gives the same bytes.
type draft struct {
	req      Request
	subject  []byte
	serial   []byte
	issuer   *x509.Certificate // nil: self-signed
	issuerPK crypto.PublicKey  // of the CA that will sign
}

// notAfter is inclusive, so a year ends one second before its anniversary.
func (r Request) notAfter() time.Time {
	return second(r.NotBefore).AddDate(r.Years, 0, 0).Add(-time.Second)
}

// build makes the certificate under a fake issuer, identical to the real one but for a throwaway key. What it signs
// can be judged by any linter and is worth nothing.
func (d draft) build(cfg Config, rand io.Reader) ([]byte, error) {
	t, err := template(cfg, d.req.Profile, d.issuer, d.req.Natural.OrganisationID != "")
	if err != nil {
		return nil, err
	}
	spki, err := x509.MarshalPKIXPublicKey(d.req.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	if t.SubjectKeyId, err = subjectKeyID(spki); err != nil {
		return nil, err
	}
	if t.SignatureAlgorithm, _, err = signatureAlgorithm(d.issuerPK); err != nil {
		return nil, err
	}
	t.SerialNumber = new(big.Int).SetBytes(d.serial)
	t.RawSubject = d.subject
	t.NotBefore, t.NotAfter = second(d.req.NotBefore), d.req.notAfter()
	t.DNSNames, t.IPAddresses = d.req.DNSNames, d.req.IPs
	for _, text := range d.req.uris() {
		u, err := url.Parse(text)
		if err != nil {
			return nil, fmt.Errorf("%w: role: %w", ErrRequest, err)
		}
		t.URIs = append(t.URIs, u)
	}

	throwaway, err := ecdsa.GenerateKey(d.issuerPK.(*ecdsa.PublicKey).Curve, rand)
	if err != nil {
		return nil, fmt.Errorf("ca: throwaway key: %w", err)
	}
	fake := &x509.Certificate{RawSubject: d.subject}
	t.AuthorityKeyId = t.SubjectKeyId // stays only where the certificate is self-signed
	if d.issuer != nil {
		fake.RawSubject, fake.SubjectKeyId = d.issuer.RawSubject, d.issuer.SubjectKeyId
	}
	der, err := x509.CreateCertificate(rand, t, fake, d.req.PublicKey, throwaway)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	return der, nil
}

// judge applies both rule sets to a built certificate and returns its to-be-signed bytes.
func (d draft) judge(cfg Config, der []byte, z *zlintRules) ([]byte, error) {
	want := wanted(cfg, d.req.Profile, d.issuer)
	want.Subject, want.DNSNames, want.IPs, want.URIs = d.subject, d.req.DNSNames, d.req.IPs, d.req.uris()
	var err error
	if want.PublicKey, err = x509.MarshalPKIXPublicKey(d.req.PublicKey); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	found := append(lint.Certificate(der, want), z.certificate(der, d.req.Profile)...)
	if len(found) > 0 {
		return nil, fmt.Errorf("%w: %s", ErrLint, lint.Describe(found))
	}
	return tbsOf(der)
}

// tbsOf cuts the to-be-signed element out of a certificate or revocation list.
func tbsOf(der []byte) ([]byte, error) {
	var outer struct {
		TBS       asn1.RawValue
		Algorithm asn1.RawValue
		Signature asn1.BitString
	}
	rest, err := asn1.Unmarshal(der, &outer)
	if err != nil || len(rest) > 0 {
		return nil, fmt.Errorf("%w: not a single signed structure", ErrSignature)
	}
	return bytes.Clone(outer.TBS.FullBytes), nil
}

// newSerial draws a serial number: the instance's octet and 17 random ones, 18 in all (RFC 5280 4.1.2.2 allows 20).
func newSerial(prefix byte, rand io.Reader) ([]byte, error) {
	serial := make([]byte, 18)
	if _, err := io.ReadFull(rand, serial[1:]); err != nil {
		return nil, fmt.Errorf("ca: random serial number: %w", err)
	}
	serial[0] = prefix
	return serial, nil
}

// parseSerial reads the hex text that newSerial's octets are stored as.
func parseSerial(text string) ([]byte, error) {
	serial, err := hex.DecodeString(text)
	if err != nil || len(serial) != 18 {
		return nil, fmt.Errorf("%w: serial number %q", ErrNotFound, text)
	}
	return serial, nil
}
