package server

import (
	"errors"
	"io"

	"github.com/ecsigner/ecsigner/augment"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"github.com/ecsigner/ecsigner/signer"
	"google.golang.org/grpc"
)

// documents answers DocumentService.
type documents struct {
	pb.UnsafeDocumentServiceServer
	Signing Signing
}

var _ pb.DocumentServiceServer = (*documents)(nil)

// errOrder: the messages of an upload come in the wrong order.
var errOrder = errors.New("server: an upload is one metadata message, then chunks")

func (s *documents) UploadDocument(stream grpc.ClientStreamingServer[pb.UploadDocumentRequest, pb.UploadDocumentResponse]) error {
	first, err := stream.Recv()
	if errors.Is(err, io.EOF) {
		return &refusal{reason: ReasonInvalid, field: "metadata", cause: errOrder}
	}
	if err != nil {
		return err
	}
	m := first.GetMetadata()
	if m == nil {
		return &refusal{reason: ReasonInvalid, field: "metadata", cause: errOrder}
	}
	ctx := stream.Context()
	d, err := s.Signing.Upload(ctx, documentSystem(ctx), m.GetRequestId(), m.GetName(), &chunks{stream: stream})
	if err != nil {
		return err
	}
	return stream.SendAndClose(&pb.UploadDocumentResponse{Document: &pb.Document{
		Id: d.ID, Name: d.Name, SizeBytes: d.Size, Sha256: d.SHA256, CreateTime: timestamp(d.Created),
	}})
}

// chunks reads an upload as one stream of bytes. It ends with io.EOF only when the client said that it is done; a
// client that goes away is an error.
type chunks struct {
	stream grpc.ClientStreamingServer[pb.UploadDocumentRequest, pb.UploadDocumentResponse]
	rest   []byte
}

// Read reads from the present chunk and receives the next one when it is used up.
func (c *chunks) Read(p []byte) (int, error) {
	for len(c.rest) == 0 {
		m, err := c.stream.Recv()
		if err != nil {
			return 0, err
		}
		if m.GetMetadata() != nil {
			return 0, &refusal{reason: ReasonInvalid, field: "metadata", cause: errOrder}
		}
		c.rest = m.GetChunk()
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

func (s *documents) DownloadArtifact(r *pb.DownloadArtifactRequest, stream grpc.ServerStreamingServer[pb.DownloadArtifactResponse]) error {
	ctx := stream.Context()
	full := r.GetContent() == pb.ArtifactContent_ARTIFACT_CONTENT_FULL
	a, err := s.Signing.Artifact(ctx, documentSystem(ctx), signer.OperationID(r.GetOperationId()), int(r.GetItem()), full, level(r.GetLevel()))
	if err != nil {
		return err
	}
	sent := send(a, r.GetOffset(), func(h *pb.ArtifactHeader, chunk []byte) error {
		if h != nil {
			return stream.Send(&pb.DownloadArtifactResponse{Part: &pb.DownloadArtifactResponse_Header{Header: h}})
		}
		return stream.Send(&pb.DownloadArtifactResponse{Part: &pb.DownloadArtifactResponse_Chunk{Chunk: chunk}})
	})
	return errors.Join(sent, a.Close())
}

// send streams an artefact from offset on: a header, then chunks.
func send(a augment.File, offset int64, to func(header *pb.ArtifactHeader, chunk []byte) error) error {
	if offset > a.Size {
		return &refusal{reason: ReasonOffset, field: "offset"}
	}
	header := &pb.ArtifactHeader{Name: a.Name, MediaType: a.MediaType, SizeBytes: a.Size, Level: levelOf(a.Level)}
	if err := to(header, nil); err != nil {
		return err
	}
	for offset < a.Size {
		// A fresh buffer each time: gRPC may still hold the one before.
		chunk := make([]byte, min(chunkSize, a.Size-offset))
		n, err := a.ReadAt(chunk, offset)
		if n < len(chunk) {
			return errors.Join(io.ErrUnexpectedEOF, err)
		}
		if err := to(nil, chunk); err != nil {
			return err
		}
		offset += int64(n)
	}
	return nil
}
