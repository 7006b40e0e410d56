package server

import (
	"context"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"google.golang.org/grpc"
)

// Limits of a page of entries. A page ends early rather than becoming larger.
const (
	defaultEntries = 100
	maxEntriesSize = 512 << 10 // bytes; one entry is at most 64 KiB
)

// auditLog answers AuditService.
type auditLog struct {
	pb.UnsafeAuditServiceServer
	Log      Log
	watch    time.Duration
	stopping <-chan struct{}
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

func (s *auditLog) GetConsistencyProof(ctx context.Context, r *pb.GetConsistencyProofRequest) (*pb.GetConsistencyProofResponse, error) {
	checkpoint, proof, err := s.Log.Consistency(ctx, r.GetOldSize())
	return &pb.GetConsistencyProofResponse{Checkpoint: checkpoint, Hashes: proof}, err
}

func (s *auditLog) ListEntries(ctx context.Context, r *pb.ListEntriesRequest) (*pb.ListEntriesResponse, error) {
	limit := int(r.GetPageSize())
	if limit == 0 {
		limit = defaultEntries
	}
	if r.GetFilter() != nil || r.GetWithProofs() {
		found, err := s.Log.Select(ctx, r.GetStartIndex(), filterOf(r.GetFilter()), limit, r.GetWithProofs())
		return &pb.ListEntriesResponse{
			Matches: entriesOf(found), NextIndex: found.Next, Checkpoint: found.Head, CheckpointSize: found.Size,
		}, err
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

// FollowEntries looks for a newer head in intervals. It reads the next part only once the one before was taken by the
// client, so that a slow reader costs one part of memory, however much it is behind.
func (s *auditLog) FollowEntries(r *pb.FollowEntriesRequest, stream grpc.ServerStreamingServer[pb.FollowEntriesResponse]) error {
	ctx := stream.Context()
	tick := time.NewTicker(s.watch)
	defer tick.Stop()
	next, f := r.GetStartIndex(), filterOf(r.GetFilter())
	for {
		found, err := s.Log.Select(ctx, next, f, defaultEntries, r.GetWithProofs())
		if err != nil {
			return err
		}
		if found.Next > next {
			next = found.Next
			if err := stream.Send(&pb.FollowEntriesResponse{
				Entries: entriesOf(found), NextIndex: next, Checkpoint: found.Head, CheckpointSize: found.Size,
			}); err != nil {
				return err
			}
		}
		wait := tick.C
		if next < found.Size { // more is there already
			open := make(chan time.Time)
			close(open)
			wait = open
		}
		select {
		case <-s.stopping:
			return refuse(ReasonShutdown)
		case <-ctx.Done():
			return ctx.Err()
		case <-wait:
		}
	}
}

func filterOf(f *pb.EntryFilter) audit.Filter {
	out := audit.Filter{
		Kinds: f.GetKinds(), Operation: f.GetOperationId(), Enrolment: f.GetEnrolmentId(), Credential: f.GetCredentialId(),
		Client: f.GetClient(),
	}
	if t := f.GetFromTime(); t != nil {
		out.From = t.AsTime()
	}
	if t := f.GetBeforeTime(); t != nil {
		out.Before = t.AsTime()
	}
	return out
}

func entriesOf(found audit.Selection) []*pb.LogEntry {
	var out []*pb.LogEntry
	for _, e := range found.Entries {
		out = append(out, &pb.LogEntry{Index: e.Index, Entry: e.Entry, Proof: e.Proof})
	}
	return out
}
