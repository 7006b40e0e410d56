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

// Limits of a page of entries. A page ends early rather than becoming larger.
const (
	defaultEntries = 100
	maxEntriesSize = 512 << 10 // bytes; one entry is at most 64 KiB
)

// auditLog answers AuditService.
type auditLog struct {
	pb.UnsafeAuditServiceServer
	Log Log
}

var _ pb.AuditServiceServer = (*auditLog)(nil)

func (s *auditLog) GetCheckpoint(ctx context.Context, _ *pb.GetCheckpointRequest) (*pb.GetCheckpointResponse, error) {
	checkpoint, err := s.Log.Checkpoint(ctx)
	return &pb.GetCheckpointResponse{Checkpoint: checkpoint}, err
}

func (s *auditLog) GetReceipt(ctx context.Context, r *pb.GetReceiptRequest) (*pb.GetReceiptResponse, error) {
	receipt, err := s.Log.Receipt(ctx, r.GetIndex())
	return &pb.GetReceiptResponse{Receipt: receipt}, err
}

func (s *auditLog) ListEntries(ctx context.Context, r *pb.ListEntriesRequest) (*pb.ListEntriesResponse, error) {
	limit := int(r.GetPageSize())
	if limit == 0 {
		limit = defaultEntries
	}
	entries, err := s.Log.Entries(ctx, r.GetStartIndex(), limit)
	if err != nil {
		return nil, err
	}
	size := 0
	for i, e := range entries {
		if size += len(e); size > maxEntriesSize && i > 0 {
			entries = entries[:i]
			break
		}
	}
	return &pb.ListEntriesResponse{Entries: entries, NextIndex: r.GetStartIndex() + int64(len(entries))}, nil
}
