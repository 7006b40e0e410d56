package server

import (
	"context"

	"github.com/ecsigner/ecsigner/credential"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"github.com/ecsigner/ecsigner/signer"
	"github.com/ecsigner/ecsigner/tenure"
)

// multisign is the most signatures under one code: the most items of an operation in the proto.
const multisign = 100

// credentialsService answers CredentialService.
type credentialsService struct {
	pb.UnsafeCredentialServiceServer
	Credentials Credentials
}

var _ pb.CredentialServiceServer = (*credentialsService)(nil)

// sees is the client whose grants limit what is shown; empty for staff, who see all.
func sees(ctx context.Context) string {
	switch c := client(ctx); c.Role {
	case pb.Role_ROLE_OPERATOR, pb.Role_ROLE_OFFICER:
		return ""
	default:
		return c.Name
	}
}

func (s *credentialsService) GetCredential(ctx context.Context, r *pb.GetCredentialRequest) (*pb.GetCredentialResponse, error) {
	id := credential.ID(r.GetCredentialId())
	if c := client(ctx); c.Role == pb.Role_ROLE_PORTAL {
		v, err := s.Credentials.Enrolled(ctx, c.Name, id)
		return &pb.GetCredentialResponse{Credential: credentialOf(v)}, err
	}
	v, err := s.Credentials.Credential(ctx, id, sees(ctx))
	return &pb.GetCredentialResponse{Credential: credentialOf(v)}, err
}

func (s *credentialsService) ListCredentials(ctx context.Context, r *pb.ListCredentialsRequest) (*pb.ListCredentialsResponse, error) {
	limit := pageSize(r.GetPageSize())
	views, err := s.Credentials.Credentials(ctx, sees(ctx), credential.ID(r.GetPageToken()), limit)
	if err != nil {
		return nil, err
	}
	out := &pb.ListCredentialsResponse{}
	for _, v := range views {
		out.Credentials = append(out.Credentials, credentialOf(v))
	}
	if len(views) == limit {
		out.NextPageToken = string(views[limit-1].ID)
	}
	return out, nil
}

func (s *credentialsService) GrantAccess(ctx context.Context, r *pb.GrantAccessRequest) (*pb.GrantAccessResponse, error) {
	return &pb.GrantAccessResponse{}, s.Credentials.GrantAccess(ctx, client(ctx).Name, r.GetRequestId(), credential.ID(r.GetCredentialId()), r.GetClient())
}

func (s *credentialsService) WithdrawAccess(ctx context.Context, r *pb.WithdrawAccessRequest) (*pb.WithdrawAccessResponse, error) {
	return &pb.WithdrawAccessResponse{}, s.Credentials.WithdrawAccess(ctx, client(ctx).Name, r.GetRequestId(), credential.ID(r.GetCredentialId()), r.GetClient())
}

func (s *credentialsService) RevokeCredential(ctx context.Context, r *pb.RevokeCredentialRequest) (*pb.RevokeCredentialResponse, error) {
	id, reason := credential.ID(r.GetCredentialId()), revocationReason(r.GetReason())
	return &pb.RevokeCredentialResponse{}, s.Credentials.Revoke(ctx, client(ctx).Name, r.GetRequestId(), id, reason)
}

func (s *credentialsService) SendRevocationCode(ctx context.Context, r *pb.SendRevocationCodeRequest) (*pb.SendRevocationCodeResponse, error) {
	sent, err := s.Credentials.SendRevocationCode(ctx, client(ctx).Name, r.GetRequestId(), credential.ID(r.GetCredentialId()), r.GetNewCode())
	return &pb.SendRevocationCodeResponse{SentCode: sentCode(signer.CodeSent(sent))}, err
}

func (s *credentialsService) RevokeWithCode(ctx context.Context, r *pb.RevokeWithCodeRequest) (*pb.RevokeWithCodeResponse, error) {
	id, reason := credential.ID(r.GetCredentialId()), revocationReason(r.GetReason())
	v, err := s.Credentials.RevokeWithCode(ctx, client(ctx).Name, r.GetRequestId(), id, reason, r.GetCode())
	return &pb.RevokeWithCodeResponse{Credential: credentialOf(v)}, err
}

// credentialOf turns a view into its message. Pseudonym, phone and enrolment stay inside.
func credentialOf(v tenure.CredentialView) *pb.Credential {
	return &pb.Credential{
		Id: string(v.ID), Status: statusOf(v.Status), Algorithm: algorithmOf(v.Algorithm), CertificateChain: v.Chain,
		Serial: v.Serial, Scal: uint32(v.SCAL), Multisign: multisign,
		ValidFromTime: timestamp(v.NotBefore), ValidToTime: timestamp(v.NotAfter),
		SignatureAlgorithms: schemesOf(v.Algorithm.Schemes()),
		RevokeTime:          timestamp(v.RevokedAt), RevocationReason: revocationReasonOf(v.Reason),
		RenewFromTime: timestamp(v.RenewFrom),
	}
}
