package server

import (
	"context"

	"github.com/ecsigner/ecsigner/enrol"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
)

func (s *enrolments) ListProducts(context.Context, *pb.ListProductsRequest) (*pb.ListProductsResponse, error) {
	out := &pb.ListProductsResponse{}
	for _, p := range s.Enrolments.Catalogue() {
		out.Products = append(out.Products, productOf(p))
	}
	return out, nil
}

func productOf(p enrol.Product) *pb.Product {
	out := &pb.Product{
		Name: p.Name, LongestYears: uint32(p.Years),
		Organisation: word[pb.OrganisationRule](pb.OrganisationRule_value, "ORGANISATION_RULE_", string(p.Organisation)),
	}
	for _, a := range p.Algorithms {
		out.Algorithms = append(out.Algorithms, algorithmOf(a))
	}
	for _, t := range p.Identifiers {
		out.IdentifierTypes = append(out.IdentifierTypes, identifierTypeOf(t))
	}
	return out
}
