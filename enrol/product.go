package enrol

import (
	"slices"

	"github.com/ecsigner/ecsigner/enrol/voucher"
)

// Catalogue returns the products in their order.
func (s *Service) Catalogue() []Product { return slices.Clone(s.Products) }

// product finds a product of the catalogue. ErrProduct.
func (s *Service) product(name string, years uint8) (Product, error) {
	return voucher.Catalogue(s.Products).Find(name, years)
}
