package voucher

import (
	"errors"
	"fmt"
	"slices"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/call"
	"github.com/ecsigner/ecsigner/credential"
)

// MaxYears is the longest validity that anything is sold for.
const MaxYears = 3

// OrganisationRule says whether certificates of a product name an organisation.
type OrganisationRule string

// Rules of organisations.
const (
	OrganisationNone     OrganisationRule = "none"     // the certificate is for a private person
	OrganisationOptional OrganisationRule = "optional" // as the person chooses
	OrganisationRequired OrganisationRule = "required" // it always names one
)

// Product is what vouchers are sold for: the limits within which a person chooses the parameters of the certificate.
type Product struct {
	Name         string // of the catalogue, e.g. "qes-2y"; it stands in vouchers, in the sealed enrolment and in the log
	Years        uint8  // longest validity, 1 to 3
	Algorithms   []credential.Algorithm
	Identifiers  []string // kinds of the person's identifier: PNO, TIN, PAS, IDC (EN 319 412-1 clause 5.1.3)
	Organisation OrganisationRule
}

// IdentifierTypes are the kinds that a person's certificate may carry.
func IdentifierTypes() []string { return []string{"PNO", "TIN", "PAS", "IDC"} }

func (p Product) check() error {
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("enrol: product %q: %s", p.Name, fmt.Sprintf(format, args...))
	}
	switch {
	case !audit.ValidID(p.Name):
		return wrong("a name is letters, digits and '-'")
	case p.Years < 1 || p.Years > MaxYears:
		return wrong("validity must be 1 to %d years", MaxYears)
	case len(p.Algorithms) == 0 || len(p.Identifiers) == 0:
		return wrong("at least one algorithm and one kind of identifier")
	case p.Organisation != OrganisationNone && p.Organisation != OrganisationOptional && p.Organisation != OrganisationRequired:
		return wrong("organisation must be %s, %s or %s", OrganisationNone, OrganisationOptional, OrganisationRequired)
	}
	for _, a := range p.Algorithms {
		if len(a.Schemes()) == 0 {
			return wrong("there are no keys of algorithm %q", a)
		}
	}
	for _, kind := range p.Identifiers {
		if !slices.Contains(IdentifierTypes(), kind) {
			return wrong("identifiers are of kinds %v, not %q", IdentifierTypes(), kind)
		}
	}
	return nil
}

// Catalogue is what is sold, in the order in which it is shown.
type Catalogue []Product

// Check judges a catalogue as it was configured.
func (c Catalogue) Check() error {
	if len(c) == 0 {
		return errors.New("enrol: the catalogue needs at least one product")
	}
	for i, p := range c {
		if err := p.check(); err != nil {
			return err
		}
		if slices.ContainsFunc(c[:i], func(q Product) bool { return q.Name == p.Name }) {
			return fmt.Errorf("enrol: product %q stands twice in the catalogue", p.Name)
		}
	}
	return nil
}

// Find finds a product by its name, or, when years are given, by its name without the ending "-<years>y": so were
// vouchers named before there was a catalogue. ErrProduct.
func (c Catalogue) Find(name string, years uint8) (Product, error) {
	for _, want := range []string{name, fmt.Sprintf("%s-%dy", name, years)} {
		for _, p := range c {
			if p.Name == want {
				return p, nil
			}
		}
	}
	return Product{}, fmt.Errorf("%w: %q", ErrProduct, call.Plain(name))
}

// Parameters of the certificate.
type Parameters struct {
	Years           uint8  // validity, at most what the voucher pays for
	IdentifierType  string // PNO (personal number), TIN (tax number), PAS (passport), IDC (identity card), EN 319 412-1 clause 5.1.3
	Algorithm       credential.Algorithm
	ForOrganisation bool // the certificate names the organisation that the person acts for
}

// Allows judges parameters by the product. Each error is a call.FieldError.
func (p Product) Allows(q Parameters) error {
	organisation := p.Organisation == OrganisationOptional || (p.Organisation == OrganisationRequired) == q.ForOrganisation
	switch {
	case q.Years < 1 || q.Years > p.Years:
		return call.Wrong("years", fmt.Errorf("%w: 1 to %d with product %s", ErrYears, p.Years, p.Name))
	case !slices.Contains(p.Identifiers, q.IdentifierType):
		return call.Wrong("identifier_type", fmt.Errorf("%w: %s takes %v", ErrNotInProduct, p.Name, p.Identifiers))
	case !slices.Contains(p.Algorithms, q.Algorithm):
		return call.Wrong("algorithm", fmt.Errorf("%w: %s takes %v", ErrNotInProduct, p.Name, p.Algorithms))
	case !organisation:
		return call.Wrong("for_organisation", fmt.Errorf("%w: organisation is %s with %s", ErrNotInProduct, p.Organisation, p.Name))
	}
	return nil
}

// Unnamed is what a voucher paid for before there was a catalogue; its years stand in the voucher.
func Unnamed() Product {
	return Product{
		Name: "of an earlier version", Years: MaxYears, Algorithms: []credential.Algorithm{credential.ECDSAP256, credential.RSA3072},
		Identifiers: []string{"PNO", "TIN"}, Organisation: OrganisationNone,
	}
}
