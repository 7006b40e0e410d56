package config

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Product is what vouchers are sold for.
type Product struct {
	Name         string   `yaml:"name"`
	Years        uint8    `yaml:"years"`
	Algorithms   []string `yaml:"algorithms"`
	Identifiers  []string `yaml:"identifiers"`
	Organisation string   `yaml:"organisation"`
}

// Vouchers bounds wrong voucher codes.
type Vouchers struct {
	WrongPerPerson int            `yaml:"wrong_per_person"`
	WrongPerClient int            `yaml:"wrong_per_client"`
	Window         time.Duration  `yaml:"window"`
	Clients        map[string]int `yaml:"clients"`
}

// keys are the types of keys that persons may have.
func keys() []string { return []string{"ecdsa-p256", "ecdsa-p384", "rsa-3072"} }

// defaultProducts is the catalogue of a file that has none, as files of earlier versions have not.
func defaultProducts() []Product {
	var all []Product
	for _, kind := range []struct{ prefix, organisation string }{{"qes", "none"}, {"qes-org", "required"}} {
		for years := uint8(1); years <= 3; years++ {
			all = append(all, Product{
				Name: fmt.Sprintf("%s-%dy", kind.prefix, years), Years: years, Algorithms: keys(),
				Identifiers: []string{"PNO", "TIN", "PAS", "IDC"}, Organisation: kind.organisation,
			})
		}
	}
	return all
}

// checkProducts names the first product that is wrong.
func checkProducts(all []Product) error {
	within := func(list, of []string) bool {
		return len(list) > 0 && !slices.ContainsFunc(list, func(s string) bool { return !slices.Contains(of, s) })
	}
	for i, p := range all {
		for _, rule := range []struct {
			holds     bool
			key, want string
		}{
			{p.Name != "" && !slices.ContainsFunc(all[:i], func(q Product) bool { return q.Name == p.Name }), "name", "a name of its own"},
			{p.Years >= 1 && p.Years <= 3, "years", "1 to 3"},
			{within(p.Algorithms, keys()), "algorithms", "of " + strings.Join(keys(), ", ")},
			{within(p.Identifiers, []string{"PNO", "TIN", "PAS", "IDC"}), "identifiers", "of PNO, TIN, PAS, IDC"},
			{within([]string{p.Organisation}, []string{"none", "optional", "required"}), "organisation", "none, optional or required"},
		} {
			if !rule.holds {
				return fmt.Errorf("%w: products[%d] (%q): %s must be %s", ErrConfig, i, p.Name, rule.key, rule.want)
			}
		}
	}
	return nil
}
