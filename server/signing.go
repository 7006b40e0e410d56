package server

import (
	"context"
	"crypto/sha256"
	"slices"
	"time"

	"github.com/ecsigner/ecsigner/credential"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"github.com/ecsigner/ecsigner/signer"
)

// signing answers SigningService.
type signing struct {
	pb.UnsafeSigningServiceServer
	Signing  Signing
	watch    time.Duration
	stopping <-chan struct{}
}

var _ pb.SigningServiceServer = (*signing)(nil)

// documentSystem is the client as the use case of signing knows it.
func documentSystem(ctx context.Context) signer.Caller {
	c := client(ctx)
	return signer.Caller{Name: c.Name, Registered: c.Display}
}

func (s *signing) CreateSigningOperation(ctx context.Context, r *pb.CreateSigningOperationRequest) (*pb.CreateSigningOperationResponse, error) {
	c := signer.CreateRequest{Credential: credential.ID(r.GetCredentialId()), Title: r.GetTitle(), Language: r.GetLanguage(), Algorithm: scheme(r.GetAlgorithm()), HighValue: r.GetHighValue()}
	for _, it := range r.GetItems() {
		item := signer.ItemRequest{
			Document: it.GetDocumentId(), Format: format(it.GetFormat()), Level: level(it.GetLevel()), Room: int(it.GetReservedCmsBytes()),
			Options: options(it.GetOptions()),
		}
		if h := slices.Concat(it.GetSha256(), it.GetDigest()); len(h) > 0 { // one of them
			item.Hash = h
		}
		c.Items = append(c.Items, item)
	}
	v, err := s.Signing.Create(ctx, documentSystem(ctx), r.GetRequestId(), c)
	return &pb.CreateSigningOperationResponse{Operation: operationOf(v)}, err
}

func (s *signing) SendCode(ctx context.Context, r *pb.SendCodeRequest) (*pb.SendCodeResponse, error) {
	send := s.Signing.SendCode
	if r.GetNewCode() {
		send = s.Signing.NewCode
	}
	sent, err := send(ctx, documentSystem(ctx), r.GetRequestId(), signer.OperationID(r.GetOperationId()))
	return &pb.SendCodeResponse{SentCode: sentCode(sent)}, err
}

// AuthorizeSigningOperation does not hand its request id on: the operation itself is authorised once, and the id of a
// refused try must not stand in the way of the next.
func (s *signing) AuthorizeSigningOperation(ctx context.Context, r *pb.AuthorizeSigningOperationRequest) (*pb.AuthorizeSigningOperationResponse, error) {
	v, err := s.Signing.Authorize(ctx, documentSystem(ctx), signer.OperationID(r.GetOperationId()), r.GetCode())
	return &pb.AuthorizeSigningOperationResponse{Operation: operationOf(v)}, err
}

func (s *signing) GetSigningOperation(ctx context.Context, r *pb.GetSigningOperationRequest) (*pb.GetSigningOperationResponse, error) {
	v, err := s.Signing.Get(ctx, documentSystem(ctx), signer.OperationID(r.GetOperationId()))
	return &pb.GetSigningOperationResponse{Operation: operationOf(v)}, err
}

func (s *signing) CancelSigningOperation(ctx context.Context, r *pb.CancelSigningOperationRequest) (*pb.CancelSigningOperationResponse, error) {
	v, err := s.Signing.Cancel(ctx, documentSystem(ctx), r.GetRequestId(), signer.OperationID(r.GetOperationId()))
	return &pb.CancelSigningOperationResponse{Operation: operationOf(v)}, err
}

func (s *signing) CompleteSigningOperation(ctx context.Context, r *pb.CompleteSigningOperationRequest) (*pb.CompleteSigningOperationResponse, error) {
	v, err := s.Signing.Complete(ctx, documentSystem(ctx), r.GetRequestId(), signer.OperationID(r.GetOperationId()))
	return &pb.CompleteSigningOperationResponse{Operation: operationOf(v)}, err
}

// sha256Alone is a digest if it has the length of a SHA-256, as fields promise that are older than other hashes.
func sha256Alone(digest []byte) []byte {
	if len(digest) != sha256.Size {
		return nil
	}
	return digest
}

// operationOf turns a view into its message. The tail of a PDF is downloaded, not answered.
func operationOf(v signer.View) *pb.SigningOperation {
	out := &pb.SigningOperation{
		Id: string(v.ID), State: signingStateOf(v.State), Outcome: signingOutcomeOf(v.Outcome), CredentialId: string(v.Credential),
		Title: v.Title, Language: v.Language, Receipt: v.Receipt, CreateTime: timestamp(v.Created), ExpireTime: timestamp(v.Expires),
		Algorithm: schemeOf(v.Algorithm), Revision: v.Version, DocumentsSha256: sha256Alone(v.Documents), DocumentsDigest: v.Documents,
		HighValue: v.HighValue,
	}
	if v.Code.Number > 0 {
		out.SentCode = sentCode(v.Code)
	}
	for _, it := range v.Items {
		item := &pb.SigningItem{
			Format: formatOf(it.Format), DocumentId: it.Document, Sha256: sha256Alone(it.Digest), Digest: it.Digest, Dtbsr: it.DTBSR,
			Signature:         it.Signature,
			ArtifactSizeBytes: int64(len(it.Result)), Level: levelOf(it.Level),
			MaxCmsBytes: uint32(it.Room), //nolint:gosec // at most 4 MiB
		}
		if it.Format != signer.PAdESBB && it.Format != signer.Raw {
			item.Cms = it.Result
		}
		for _, p := range it.Levels {
			item.Levels = append(item.Levels, progressOf(p))
		}
		out.Items = append(out.Items, item)
	}
	return out
}
