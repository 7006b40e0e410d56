// Package lint holds the rules that every certificate and revocation list of this product must pass before and after
// it is signed. They read the bytes with their own small parser, apart from the code that builds them, and know what
// general linters do not: this issuer, this profile, this request. Clauses are named beside each rule.
package lint

import (
	"crypto/x509"
	"fmt"
	"net"
	"strings"
	"time"
)

// Version names this rule set. It is stored with every certificate that passed it, and rises when a rule changes.
const Version = "ecsigner-rules/2"

// Kind is the profile that a certificate claims to follow.
type Kind int

// The profiles. The zero Kind is invalid, so a forgotten field finds no rules and is refused.
const (
	Root Kind = iota + 1
	IssuingCA
	NaturalPerson
	ServiceSeal
	TLSRoot
	TLSServer
	TLSClient
)

// Want is what a certificate must agree with. Fields left empty demand that the certificate holds nothing there,
// except Subject, PublicKey, MaxYears, QSCDEnds, CheckIdentifier and CheckOrganisation, which are then not compared.
type Want struct {
	Kind       Kind
	Issuer     *x509.Certificate // the issuing certificate; nil for a self-signed root
	Subject    []byte            // DER of the subject name
	PublicKey  []byte            // DER of the SubjectPublicKeyInfo
	MaxYears   int               // longest permitted validity period
	Policies   []string          // dotted policy identifiers, all and in order
	CAIssuers  string            // URL of the issuer's certificate
	CRL        string            // URL of the issuer's revocation list
	DNSNames   []string          // subjectAltName, in order
	IPs        []net.IP          // subjectAltName, in order
	URIs       []string          // subjectAltName, in order
	TestPrefix string            // what the common name of a test CA starts with

	QSCD           bool              // the key is in a qualified device: QcSSCD must be stated, otherwise must not
	QSCDEnds       time.Time         // end of the device's certification
	PDS            map[string]string // language to URL of the PKI disclosure statement
	RetentionYears int

	// CheckIdentifier judges the number in the subject's serialNumber (check digits, dates).
	CheckIdentifier func(kind, country, value string) error
	// CheckOrganisation judges the organizationIdentifier beside a person (check digits).
	CheckOrganisation func(id string) error

	// Signed demands that the outer signature verifies under the issuer's key.
	Signed bool
}

// Finding is one rule that a certificate or list breaks.
type Finding struct {
	Rule   string // stable name
	Detail string // what was found
}

// String is "rule: detail".
func (f Finding) String() string { return f.Rule + ": " + f.Detail }

// rule is one check; an empty answer means that the certificate passes.
type rule struct {
	name   string
	clause string
	kinds  kinds // empty: every kind
	check  func(c *certificate, w *Want) string
}

type kinds []Kind

func (ks kinds) has(k Kind) bool {
	if len(ks) == 0 {
		return true
	}
	for _, one := range ks {
		if one == k {
			return true
		}
	}
	return false
}

func authorities() kinds   { return kinds{Root, IssuingCA, TLSRoot} }
func persons() kinds       { return kinds{NaturalPerson} }
func organisations() kinds { return kinds{Root, IssuingCA, ServiceSeal} }

// ruleParse is the name of the finding for bytes that are no certificate or no list at all.
const ruleParse = "parse"

// Certificate applies every rule of want's kind to a DER certificate and returns what it breaks; nil means clean.
// It never panics, whatever the bytes are.
func Certificate(der []byte, want Want) []Finding {
	if want.Kind < Root || want.Kind > TLSClient {
		return []Finding{{ruleParse, fmt.Sprintf("no such certificate kind: %d", want.Kind)}}
	}
	c, err := parseCertificate(der)
	if err != nil {
		return []Finding{{ruleParse, err.Error()}}
	}
	var found []Finding
	for _, r := range certificateRules() {
		if !r.kinds.has(want.Kind) {
			continue
		}
		if detail := r.check(c, &want); detail != "" {
			found = append(found, Finding{r.name, detail})
		}
	}
	return found
}

func certificateRules() []rule {
	var all []rule
	for _, group := range [][]rule{frameRules(), extensionRules(), nameRules(), personRules(), statementRules()} {
		all = append(all, group...)
	}
	return all
}

// Rules lists the names of all rules with the clauses they hold, "name (clause)", in the order they run.
func Rules() []string {
	var names []string
	for _, r := range certificateRules() {
		names = append(names, r.name+" ("+r.clause+")")
	}
	for _, r := range crlRules() {
		names = append(names, r.name+" ("+r.clause+")")
	}
	return names
}

// Describe joins findings into one line for an error text or a stored report.
func Describe(found []Finding) string {
	parts := make([]string, len(found))
	for i, f := range found {
		parts[i] = f.String()
	}
	return strings.Join(parts, "; ")
}
