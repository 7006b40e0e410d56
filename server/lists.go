package server

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/ecsigner/ecsigner/credential"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"github.com/ecsigner/ecsigner/signer"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// maxPageBytes ends a page of operations early, rather than that a client's library refuses the message.
const maxPageBytes = 512 << 10

func (s *signing) ListSigningOperations(ctx context.Context, r *pb.ListSigningOperationsRequest) (*pb.ListSigningOperationsResponse, error) {
	q := signer.Query{State: signingState(r.GetState()), Credential: credential.ID(r.GetCredentialId()), Limit: pageSize(r.GetPageSize())}
	if t := r.GetCreatedFromTime(); t != nil {
		q.From = t.AsTime()
	}
	if t := r.GetCreatedBeforeTime(); t != nil {
		q.Before = t.AsTime()
	}
	if token := r.GetPageToken(); token != "" {
		micros, id, _ := strings.Cut(token, ".")
		at, err := strconv.ParseInt(micros, 10, 64)
		if err != nil {
			return nil, &refusal{reason: ReasonInvalid, field: "page_token", cause: err}
		}
		q.After = signer.Cursor{Created: time.UnixMicro(at), ID: signer.OperationID(id)}
	}
	views, next, err := s.Signing.List(ctx, documentSystem(ctx), q)
	if err != nil {
		return nil, err
	}
	out := &pb.ListSigningOperationsResponse{}
	size := 0
	for i, v := range views {
		o := operationOf(v)
		if size += proto.Size(o); size > maxPageBytes && i > 0 {
			next = signer.Cursor{Created: views[i-1].Created, ID: views[i-1].ID}
			break
		}
		out.Operations = append(out.Operations, o)
	}
	if next.ID != "" {
		out.NextPageToken = strconv.FormatInt(next.Created.UnixMicro(), 10) + "." + string(next.ID)
	}
	return out, nil
}

// WatchSigningOperation looks at the operation in intervals, so that it also sees what the sweeper or another call changed.
func (s *signing) WatchSigningOperation(r *pb.WatchSigningOperationRequest, stream grpc.ServerStreamingServer[pb.WatchSigningOperationResponse]) error {
	ctx := stream.Context()
	tick := time.NewTicker(s.watch)
	defer tick.Stop()
	for seen := r.GetAfterRevision(); ; {
		v, err := s.Signing.Get(ctx, documentSystem(ctx), signer.OperationID(r.GetOperationId()))
		if err != nil {
			return err
		}
		if v.Version > seen {
			seen = v.Version
			if err := stream.Send(&pb.WatchSigningOperationResponse{Operation: operationOf(v)}); err != nil {
				return err
			}
		}
		if v.Settled() {
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

// signingState of an unspecified state is the empty one, which is any.
func signingState(s pb.SigningState) signer.State {
	switch s {
	case pb.SigningState_SIGNING_STATE_REQUESTED:
		return signer.StateRequested
	case pb.SigningState_SIGNING_STATE_SIGNING:
		return signer.StateSigning
	case pb.SigningState_SIGNING_STATE_SIGNED:
		return signer.StateSigned
	case pb.SigningState_SIGNING_STATE_CLOSED:
		return signer.StateClosed
	}
	return ""
}
