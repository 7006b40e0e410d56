package server

import (
	"context"

	"github.com/ecsigner/ecsigner/enrol"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
)

func (s *enrolments) GetEnrolmentEvidence(ctx context.Context, r *pb.GetEnrolmentEvidenceRequest) (*pb.GetEnrolmentEvidenceResponse, error) {
	owner := client(ctx).Name
	if client(ctx).Role == pb.Role_ROLE_OFFICER {
		owner = "" // whichever portal it came through
	}
	e, err := s.Enrolments.Evidence(ctx, owner, r.GetEnrolmentId())
	return &pb.GetEnrolmentEvidenceResponse{Evidence: e.Record, Sha256: e.SHA256, Agreement: e.Agreement.PDF}, err
}

func consentsOf(all []enrol.Consent) []*pb.Consent {
	var out []*pb.Consent
	for _, c := range all {
		out = append(out, &pb.Consent{Name: c.Name, Text: c.Text, Required: c.Required})
	}
	return out
}
