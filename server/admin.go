package server

import (
	"context"

	"github.com/ecsigner/ecsigner/enrol"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
)

// admin answers AdminService.
type admin struct {
	pb.UnsafeAdminServiceServer
	Vouchers     Vouchers
	Credentials  Credentials
	ClientIssuer ClientIssuer
}

var _ pb.AdminServiceServer = (*admin)(nil)

func (s *admin) CreateVouchers(ctx context.Context, r *pb.CreateVouchersRequest) (*pb.CreateVouchersResponse, error) {
	codes, err := s.Vouchers.CreateVouchers(ctx, client(ctx).Name, r.GetRequestId(), enrol.VoucherRequest{
		Product: r.GetProduct(), Years: uint8(r.GetYears()), Count: int(r.GetCount()), Expires: r.GetExpireTime().AsTime(), //nolint:gosec // at most 5 by the proto
	})
	return &pb.CreateVouchersResponse{Codes: codes}, err
}

// CreateClient lets an operator make any client but an officer: officers decide what operators may not decide alone.
func (s *admin) CreateClient(ctx context.Context, r *pb.CreateClientRequest) (*pb.CreateClientResponse, error) {
	caller := client(ctx)
	if r.GetRole() == pb.Role_ROLE_OFFICER && caller.Role != pb.Role_ROLE_OFFICER {
		return nil, &refusal{reason: ReasonRole, field: "role"}
	}
	if !validDisplay(r.GetDisplayName()) {
		return nil, &refusal{reason: ReasonInvalid, field: "display_name"}
	}
	chain, err := s.ClientIssuer.Issue(ctx, caller.Name, r.GetRequestId(), ClientRequest{
		Name: r.GetName(), Display: r.GetDisplayName(), Role: RoleName(r.GetRole()), CSR: r.GetCsr(),
	})
	return &pb.CreateClientResponse{CertificateChain: chain}, err
}

func (s *admin) Unlock(ctx context.Context, r *pb.UnlockRequest) (*pb.UnlockResponse, error) {
	return &pb.UnlockResponse{}, s.Credentials.Unlock(ctx, client(ctx).Name, r.GetRequestId(), r.GetAccount(), r.GetClient())
}
