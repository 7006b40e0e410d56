package server

import (
	"context"

	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
)

// authority answers CaService.
type authority struct {
	pb.UnsafeCaServiceServer
	chain [][]byte
	crl   func(ctx context.Context) ([]byte, error)
}

var _ pb.CaServiceServer = (*authority)(nil)

func (s *authority) GetChain(context.Context, *pb.GetChainRequest) (*pb.GetChainResponse, error) {
	return &pb.GetChainResponse{Certificates: s.chain}, nil
}

func (s *authority) GetCrl(ctx context.Context, _ *pb.GetCrlRequest) (*pb.GetCrlResponse, error) {
	crl, err := s.crl(ctx)
	return &pb.GetCrlResponse{Crl: crl}, err
}
