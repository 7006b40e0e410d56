package server

import (
	"context"
	"errors"
	"time"

	"github.com/ecsigner/ecsigner/augment"
	"github.com/ecsigner/ecsigner/credential"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"google.golang.org/grpc"
)

// augmentation answers AugmentationService.
type augmentation struct {
	pb.UnsafeAugmentationServiceServer
	Augmenting Augmenting
	watch      time.Duration
	stopping   <-chan struct{}
}

var _ pb.AugmentationServiceServer = (*augmentation)(nil)

func (s *augmentation) AugmentDocument(ctx context.Context, r *pb.AugmentDocumentRequest) (*pb.AugmentDocumentResponse, error) {
	q := augment.Request{Document: r.GetDocumentId(), ContentDocument: r.GetContentDocumentId(), Level: level(r.GetLevel())}
	if d := r.GetContentSha256(); len(d) > 0 {
		q.ContentDigest = d
	}
	v, err := s.Augmenting.Augment(ctx, client(ctx).Name, r.GetRequestId(), q)
	return &pb.AugmentDocumentResponse{Augmentation: augmentationOf(v)}, err
}

func (s *augmentation) TimeStampDocument(ctx context.Context, r *pb.TimeStampDocumentRequest) (*pb.TimeStampDocumentResponse, error) {
	v, err := s.Augmenting.Augment(ctx, client(ctx).Name, r.GetRequestId(), augment.Request{Document: r.GetDocumentId(), StampOnly: true})
	return &pb.TimeStampDocumentResponse{Augmentation: augmentationOf(v)}, err
}

func (s *augmentation) GetAugmentation(ctx context.Context, r *pb.GetAugmentationRequest) (*pb.GetAugmentationResponse, error) {
	v, err := s.Augmenting.Get(ctx, client(ctx).Name, r.GetAugmentationId())
	return &pb.GetAugmentationResponse{Augmentation: augmentationOf(v)}, err
}

// WatchAugmentation looks in intervals, as WatchSigningOperation does.
func (s *augmentation) WatchAugmentation(r *pb.WatchAugmentationRequest, stream grpc.ServerStreamingServer[pb.WatchAugmentationResponse]) error {
	ctx := stream.Context()
	tick := time.NewTicker(s.watch)
	defer tick.Stop()
	for seen := r.GetAfterRevision(); ; {
		v, err := s.Augmenting.Get(ctx, client(ctx).Name, r.GetAugmentationId())
		if err != nil {
			return err
		}
		if v.Revision > seen {
			seen = v.Revision
			if err := stream.Send(&pb.WatchAugmentationResponse{Augmentation: augmentationOf(v)}); err != nil {
				return err
			}
		}
		if v.Ready || v.Ended {
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

func (s *augmentation) DownloadAugmentation(r *pb.DownloadAugmentationRequest, stream grpc.ServerStreamingServer[pb.DownloadAugmentationResponse]) error {
	ctx := stream.Context()
	full := r.GetContent() == pb.ArtifactContent_ARTIFACT_CONTENT_FULL
	f, err := s.Augmenting.Open(ctx, client(ctx).Name, r.GetAugmentationId(), full)
	if err != nil {
		return err
	}
	sent := send(f, r.GetOffset(), func(h *pb.ArtifactHeader, chunk []byte) error {
		if h != nil {
			return stream.Send(&pb.DownloadAugmentationResponse{Part: &pb.DownloadAugmentationResponse_Header{Header: h}})
		}
		return stream.Send(&pb.DownloadAugmentationResponse{Part: &pb.DownloadAugmentationResponse_Chunk{Chunk: chunk}})
	})
	return errors.Join(sent, f.Close())
}

// CompleteAugmentation does not hand its request id on: acknowledging twice has no second effect.
func (s *augmentation) CompleteAugmentation(ctx context.Context, r *pb.CompleteAugmentationRequest) (*pb.CompleteAugmentationResponse, error) {
	v, err := s.Augmenting.Complete(ctx, client(ctx).Name, r.GetAugmentationId())
	return &pb.CompleteAugmentationResponse{Augmentation: augmentationOf(v)}, err
}

func (s *augmentation) StampDigest(ctx context.Context, r *pb.StampDigestRequest) (*pb.StampDigestResponse, error) {
	token, err := s.Augmenting.StampDigest(ctx, client(ctx).Name, credential.ID(r.GetCredentialId()), digestAlgorithm(r.GetAlgorithm()), r.GetDigest())
	return &pb.StampDigestResponse{Token: token}, err
}

func (s *augmentation) CollectEvidence(ctx context.Context, r *pb.CollectEvidenceRequest) (*pb.CollectEvidenceResponse, error) {
	e, err := s.Augmenting.CollectEvidence(ctx, client(ctx).Name, credential.ID(r.GetCredentialId()), r.GetCertificate(), r.GetKnown(), r.GetAtTime().AsTime())
	return &pb.CollectEvidenceResponse{Certificates: e.Certificates, Crls: e.CRLs, Ocsps: e.OCSPs}, err
}

func augmentationOf(v augment.View) *pb.Augmentation {
	return &pb.Augmentation{
		Id: v.ID, DocumentId: v.Document, Sha256: v.Augmentation.SHA256, Progress: progressOf(v.Progress), CreateTime: timestamp(v.Created),
		Revision: v.Revision,
	}
}
