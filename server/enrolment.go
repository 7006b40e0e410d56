package server

import (
	"context"
	"time"

	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/enrol"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"github.com/ecsigner/ecsigner/signer"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// enrolments answers EnrolmentService. A response beside an error, here as in the other services, is never sent.
type enrolments struct {
	pb.UnsafeEnrolmentServiceServer
	Enrolments Enrolments
	watch      time.Duration
	stopping   <-chan struct{}
}

var _ pb.EnrolmentServiceServer = (*enrolments)(nil)

func (s *enrolments) CreateEnrolment(ctx context.Context, r *pb.CreateEnrolmentRequest) (*pb.CreateEnrolmentResponse, error) {
	v, err := s.Enrolments.Create(ctx, client(ctx).Name, r.GetRequestId(), r.GetVoucherCode(), r.GetLanguage(), r.GetPersonKey())
	return &pb.CreateEnrolmentResponse{Enrolment: enrolmentOf(v)}, err
}

func (s *enrolments) GetEnrolment(ctx context.Context, r *pb.GetEnrolmentRequest) (*pb.GetEnrolmentResponse, error) {
	v, err := s.Enrolments.Get(ctx, client(ctx).Name, r.GetEnrolmentId())
	return &pb.GetEnrolmentResponse{Enrolment: enrolmentOf(v)}, err
}

func (s *enrolments) ListEnrolments(ctx context.Context, r *pb.ListEnrolmentsRequest) (*pb.ListEnrolmentsResponse, error) {
	limit := pageSize(r.GetPageSize())
	views, err := s.Enrolments.List(ctx, client(ctx).Name, r.GetPageToken(), limit)
	if err != nil {
		return nil, err
	}
	out := &pb.ListEnrolmentsResponse{}
	for _, v := range views {
		out.Enrolments = append(out.Enrolments, enrolmentOf(v))
	}
	if len(views) == limit {
		out.NextPageToken = views[limit-1].ID
	}
	return out, nil
}

// WatchEnrolment looks at the enrolment in intervals, so that it also sees what another process changed.
func (s *enrolments) WatchEnrolment(r *pb.WatchEnrolmentRequest, stream grpc.ServerStreamingServer[pb.WatchEnrolmentResponse]) error {
	ctx := stream.Context()
	tick := time.NewTicker(s.watch)
	defer tick.Stop()
	for seen := r.GetAfterRevision(); ; {
		v, err := s.Enrolments.Get(ctx, client(ctx).Name, r.GetEnrolmentId())
		if err != nil {
			return err
		}
		if v.Version > seen {
			seen = v.Version
			if err := stream.Send(&pb.WatchEnrolmentResponse{Enrolment: enrolmentOf(v)}); err != nil {
				return err
			}
		}
		if v.NextAction == enrol.ActionNone {
			return nil
		}
		select {
		case <-tick.C:
		case <-s.stopping:
			return refuse(ReasonShutdown)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *enrolments) SetParameters(ctx context.Context, r *pb.SetParametersRequest) (*pb.SetParametersResponse, error) {
	p := r.GetParameters()
	v, err := s.Enrolments.SetParameters(ctx, client(ctx).Name, r.GetEnrolmentId(), r.GetRequestId(), enrol.Parameters{
		Years: uint8(p.GetYears()), IdentifierType: identifierType(p.GetIdentifierType()), Algorithm: algorithm(p.GetAlgorithm()), //nolint:gosec // at most 5 by the proto
		ForOrganisation: p.GetForOrganisation(),
	})
	return &pb.SetParametersResponse{Enrolment: enrolmentOf(v)}, err
}

func (s *enrolments) SetPersonalData(ctx context.Context, r *pb.SetPersonalDataRequest) (*pb.SetPersonalDataResponse, error) {
	d := r.GetPersonalData()
	v, err := s.Enrolments.SetPersonalData(ctx, client(ctx).Name, r.GetEnrolmentId(), r.GetRequestId(), enrol.PersonalData{
		GivenName: d.GetGivenName(), Surname: d.GetSurname(), LocalName: d.GetLocalName(), Country: d.GetCountry(),
		Identifier: d.GetIdentifier(), BirthDate: d.GetBirthDate(), Phone: d.GetPhone(),
		Organisation: d.GetOrganisation(), OrganisationID: d.GetOrganisationId(),
	})
	return &pb.SetPersonalDataResponse{Enrolment: enrolmentOf(v)}, err
}

func (s *enrolments) SendPhoneCode(ctx context.Context, r *pb.SendPhoneCodeRequest) (*pb.SendPhoneCodeResponse, error) {
	send := s.Enrolments.SendPhoneCode
	if r.GetNewCode() {
		send = s.Enrolments.NewPhoneCode
	}
	v, sent, err := send(ctx, client(ctx).Name, r.GetEnrolmentId(), r.GetRequestId())
	return &pb.SendPhoneCodeResponse{Enrolment: enrolmentOf(v), SentCode: sentCode(signer.CodeSent(sent))}, err
}

func (s *enrolments) ConfirmPhone(ctx context.Context, r *pb.ConfirmPhoneRequest) (*pb.ConfirmPhoneResponse, error) {
	v, err := s.Enrolments.ConfirmPhone(ctx, client(ctx).Name, r.GetEnrolmentId(), r.GetRequestId(), r.GetCode())
	return &pb.ConfirmPhoneResponse{Enrolment: enrolmentOf(v)}, err
}

func (s *enrolments) StartIdentityProofing(ctx context.Context, r *pb.StartIdentityProofingRequest) (*pb.StartIdentityProofingResponse, error) {
	v, err := s.Enrolments.StartIdentityProofing(ctx, client(ctx).Name, r.GetEnrolmentId(), r.GetRequestId(), r.GetProvider())
	return &pb.StartIdentityProofingResponse{Enrolment: enrolmentOf(v)}, err
}

func (s *enrolments) ReportIdentityResult(ctx context.Context, r *pb.ReportIdentityResultRequest) (*pb.ReportIdentityResultResponse, error) {
	d := r.GetProvenData()
	v, err := s.Enrolments.ReportIdentityResult(ctx, client(ctx).Name, r.GetRequestId(), enrol.IdentityResult{
		Enrolment: r.GetEnrolmentId(), Reference: r.GetReference(), Outcome: outcome(r.GetOutcome()),
		Person: enrol.Person{
			GivenName: d.GetGivenName(), Surname: d.GetSurname(), LocalName: d.GetLocalName(), Country: d.GetCountry(),
			IdentifierType: identifierType(r.GetIdentifierType()), Identifier: d.GetIdentifier(),
			Organisation: d.GetOrganisation(), OrganisationID: d.GetOrganisationId(),
		},
		BirthDate: d.GetBirthDate(), Phone: d.GetPhone(), Evidence: r.GetEvidence(), CompletedAt: r.GetCompleteTime().AsTime(),
	})
	return &pb.ReportIdentityResultResponse{State: stateOf(v.State)}, err
}

func (s *enrolments) AcceptProvenData(ctx context.Context, r *pb.AcceptProvenDataRequest) (*pb.AcceptProvenDataResponse, error) {
	v, err := s.Enrolments.AcceptProvenData(ctx, client(ctx).Name, r.GetEnrolmentId(), r.GetRequestId(), r.GetReportSha256())
	return &pb.AcceptProvenDataResponse{Enrolment: enrolmentOf(v)}, err
}

func (s *enrolments) DownloadAgreement(r *pb.DownloadAgreementRequest, stream grpc.ServerStreamingServer[pb.DownloadAgreementResponse]) error {
	a, err := s.Enrolments.Agreement(stream.Context(), client(stream.Context()).Name, r.GetEnrolmentId())
	if err != nil {
		return err
	}
	header := &pb.AgreementHeader{Sha256: a.SHA256, Sealed: a.Sealed, SizeBytes: int64(len(a.PDF))}
	if err := stream.Send(&pb.DownloadAgreementResponse{Part: &pb.DownloadAgreementResponse_Header{Header: header}}); err != nil {
		return err
	}
	for rest := a.PDF; len(rest) > 0; {
		n := min(len(rest), chunkSize)
		if err := stream.Send(&pb.DownloadAgreementResponse{Part: &pb.DownloadAgreementResponse_Chunk{Chunk: rest[:n]}}); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}

func (s *enrolments) SendAgreementCode(ctx context.Context, r *pb.SendAgreementCodeRequest) (*pb.SendAgreementCodeResponse, error) {
	send := s.Enrolments.SendAgreementCode
	if r.GetNewCode() {
		send = s.Enrolments.NewAgreementCode
	}
	v, sent, err := send(ctx, client(ctx).Name, r.GetEnrolmentId(), r.GetRequestId())
	return &pb.SendAgreementCodeResponse{Enrolment: enrolmentOf(v), SentCode: sentCode(signer.CodeSent(sent))}, err
}

func (s *enrolments) AcceptAgreement(ctx context.Context, r *pb.AcceptAgreementRequest) (*pb.AcceptAgreementResponse, error) {
	v, err := s.Enrolments.AcceptAgreement(ctx, client(ctx).Name, r.GetEnrolmentId(), r.GetRequestId(), enrol.Acceptance{
		SHA256: r.GetAgreementSha256(), Consents: r.GetConsents(), Code: r.GetCode(),
		Context: enrol.AcceptanceContext{
			Address: r.GetContext().GetAddress(), UserAgent: r.GetContext().GetUserAgent(), Session: r.GetContext().GetSession(),
		},
	})
	return &pb.AcceptAgreementResponse{Enrolment: enrolmentOf(v)}, err
}

func (s *enrolments) CreateRenewal(ctx context.Context, r *pb.CreateRenewalRequest) (*pb.CreateRenewalResponse, error) {
	p := r.GetParameters()
	v, err := s.Enrolments.CreateRenewal(ctx, client(ctx).Name, r.GetRequestId(), enrol.RenewalRequest{
		Credential: credential.ID(r.GetCredentialId()), Voucher: r.GetVoucherCode(), Parameters: enrol.Parameters{
			Years: uint8(p.GetYears()), IdentifierType: identifierType(p.GetIdentifierType()), Algorithm: algorithm(p.GetAlgorithm()), //nolint:gosec // at most 5 by the proto
		},
	})
	return &pb.CreateRenewalResponse{Enrolment: enrolmentOf(v)}, err
}

func (s *enrolments) CancelEnrolment(ctx context.Context, r *pb.CancelEnrolmentRequest) (*pb.CancelEnrolmentResponse, error) {
	v, err := s.Enrolments.Cancel(ctx, client(ctx).Name, r.GetEnrolmentId(), r.GetRequestId())
	return &pb.CancelEnrolmentResponse{Enrolment: enrolmentOf(v)}, err
}

// enrolmentOf turns a view into its message.
func enrolmentOf(v enrol.View) *pb.Enrolment {
	out := &pb.Enrolment{
		Id: v.ID, Revision: v.Version, State: stateOf(v.State), NextAction: actionOf(v.NextAction), Language: v.Language,
		MaskedPhone: v.MaskedPhone, ProofingReference: v.ProofingReference, IdentityOutcome: outcomeOf(v.Outcome),
		AgreementSha256: v.AgreementSHA256, CredentialId: string(v.Credential), Serial: v.Serial,
		RenewsCredentialId: string(v.Renews), NextText: v.NextText, Product: v.Product, Consents: consentsOf(v.Consents), GivenConsents: v.Given, CreateTime: timestamp(v.Created), UpdateTime: timestamp(v.Updated), ExpireTime: timestamp(v.Expires),
	}
	if v.Years != 0 {
		out.Parameters = &pb.CertificateParameters{
			Years: uint32(v.Years), IdentifierType: identifierTypeOf(v.IdentifierType), Algorithm: algorithmOf(v.Algorithm),
			ForOrganisation: v.ForOrganisation,
		}
	}
	out.Person, out.Proofing = personOf(v.Person), proofingOf(v.Proofing)
	return out
}

// personOf leaves out a person of whom nothing is known.
func personOf(p enrol.Person) *pb.Person {
	if p == (enrol.Person{}) {
		return nil
	}
	return &pb.Person{
		GivenName: p.GivenName, Surname: p.Surname, LocalName: p.LocalName, Country: p.Country, Identifier: p.Identifier,
		Organisation: p.Organisation, OrganisationId: p.OrganisationID,
	}
}

// proofingOf leaves out a proofing that was not started and says nothing.
func proofingOf(p enrol.ProofingView) *pb.IdentityProofing {
	if p.Provider == "" && p.Reason == "" {
		return nil
	}
	return &pb.IdentityProofing{
		Provider: p.Provider, Url: p.URL, ExpireTime: timestamp(p.Expires), Reason: proofingReasonOf(p.Reason), Fields: p.Fields,
		Proven: personOf(p.Proven), IdentifierType: identifierTypeOf(p.Proven.IdentifierType), BirthDate: p.BirthDate,
		ReportSha256: p.ReportSHA256,
	}
}

// sentCode turns what is known of a code on its way into its message; both use cases say the same of it.
func sentCode(c signer.CodeSent) *pb.SentCode {
	return &pb.SentCode{
		ExpireTime: timestamp(c.Expires), MaskedPhone: c.MaskedPhone, Delivery: deliveryOf(string(c.Delivery)), DeliveryTime: timestamp(c.DeliveryAt),
		Number: uint32(max(c.Number, 0)), SentCount: uint32(max(c.Sent, 0)), Digits: uint32(max(c.Digits, 0)), //nolint:gosec // a few codes, a few texts
	}
}

// timestamp leaves out a time that is not set.
func timestamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// pageSize is how many records a page holds: what was asked for, 50 by default.
func pageSize(asked uint32) int {
	if asked == 0 {
		return 50
	}
	return int(asked)
}
