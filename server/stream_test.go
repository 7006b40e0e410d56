package server

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/enrol"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"github.com/ecsigner/ecsigner/signer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func metadataMessage() *pb.UploadDocumentRequest {
	return &pb.UploadDocumentRequest{Part: &pb.UploadDocumentRequest_Metadata{
		Metadata: &pb.DocumentMetadata{RequestId: requestID, Name: "contract.pdf"},
	}}
}

func chunkMessage(n int) *pb.UploadDocumentRequest {
	return &pb.UploadDocumentRequest{Part: &pb.UploadDocumentRequest_Chunk{Chunk: make([]byte, n)}}
}

func TestUpload(t *testing.T) {
	for name, c := range map[string]struct {
		limit    int64
		messages []*pb.UploadDocumentRequest
		code     codes.Code
		reason   Reason
		field    string
		size     int64
	}{
		"three chunks":           {limit: 1 << 20, messages: []*pb.UploadDocumentRequest{metadataMessage(), chunkMessage(65536), chunkMessage(65536), chunkMessage(1)}, size: 2*65536 + 1},
		"exactly the cap":        {limit: 65536, messages: []*pb.UploadDocumentRequest{metadataMessage(), chunkMessage(65536)}, size: 65536},
		"above the cap":          {limit: 65536, messages: []*pb.UploadDocumentRequest{metadataMessage(), chunkMessage(65536), chunkMessage(1)}, code: codes.InvalidArgument, reason: ReasonDocumentTooLarge, field: "document"},
		"no bytes":               {limit: 10, messages: []*pb.UploadDocumentRequest{metadataMessage()}, code: codes.InvalidArgument, reason: ReasonDocumentEmpty, field: "document"},
		"nothing":                {limit: 10, code: codes.InvalidArgument, reason: ReasonInvalid, field: "metadata"},
		"chunk first":            {limit: 10, messages: []*pb.UploadDocumentRequest{chunkMessage(1)}, code: codes.InvalidArgument, reason: ReasonInvalid, field: "metadata"},
		"metadata twice":         {limit: 10, messages: []*pb.UploadDocumentRequest{metadataMessage(), chunkMessage(1), metadataMessage()}, code: codes.InvalidArgument, reason: ReasonInvalid, field: "metadata"},
		"empty chunk":            {limit: 10, messages: []*pb.UploadDocumentRequest{metadataMessage(), chunkMessage(0)}, code: codes.InvalidArgument, reason: ReasonInvalid, field: "chunk"},
		"chunk above 64 KiB":     {limit: 1 << 20, messages: []*pb.UploadDocumentRequest{metadataMessage(), chunkMessage(65537)}, code: codes.InvalidArgument, reason: ReasonInvalid, field: "chunk"},
		"message of no part":     {limit: 10, messages: []*pb.UploadDocumentRequest{metadataMessage(), {}}, code: codes.InvalidArgument, reason: ReasonInvalid, field: "part"},
		"first message no part":  {limit: 10, messages: []*pb.UploadDocumentRequest{{}}, code: codes.InvalidArgument, reason: ReasonInvalid, field: "part"},
		"request id not a UUID":  {limit: 10, messages: []*pb.UploadDocumentRequest{{Part: &pb.UploadDocumentRequest_Metadata{Metadata: &pb.DocumentMetadata{RequestId: "1", Name: "n"}}}}, code: codes.InvalidArgument, reason: ReasonInvalid, field: "metadata.request_id"},
		"name with a path in it": {limit: 10, messages: []*pb.UploadDocumentRequest{{Part: &pb.UploadDocumentRequest_Metadata{Metadata: &pb.DocumentMetadata{RequestId: requestID, Name: "../n"}}}}, code: codes.InvalidArgument, reason: ReasonInvalid, field: "metadata.name"},
	} {
		t.Run(name, func(t *testing.T) {
			e := serve(t)
			e.limit = c.limit
			s, err := pb.NewDocumentServiceClient(e.as("dms", pb.Role_ROLE_DOCUMENTS)).UploadDocument(within(t))
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range c.messages {
				_ = s.Send(m) // a refusal is told by CloseAndRecv
			}
			resp, err := s.CloseAndRecv()
			if c.reason == "" {
				if err != nil || resp.GetDocument().GetSizeBytes() != c.size || e.kept != 1 {
					t.Fatalf("%v, %v, kept %d", resp, err, e.kept)
				}
				return
			}
			wantReason(t, err, c.code, c.reason)
			if !slices.Contains(fieldsOf(err), c.field) {
				t.Errorf("fields %v, want %s", fieldsOf(err), c.field)
			}
			if e.kept != 0 {
				t.Error("something was kept")
			}
		})
	}
}

// A client that goes away in mid-stream is an error to the use case, never an end of the document.
func TestUploadClientGone(t *testing.T) {
	for name, leave := range map[string]func(cancel func(), conn *grpc.ClientConn){
		"cancelled":            func(cancel func(), _ *grpc.ClientConn) { cancel() },
		"connection is broken": func(_ func(), conn *grpc.ClientConn) { _ = conn.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			e := serve(t)
			e.begun, e.done = make(chan struct{}), make(chan struct{})
			conn := e.as("dms", pb.Role_ROLE_DOCUMENTS)
			ctx, cancel := context.WithCancel(within(t))
			defer cancel()
			s, err := pb.NewDocumentServiceClient(conn).UploadDocument(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range []*pb.UploadDocumentRequest{metadataMessage(), chunkMessage(65536), chunkMessage(65536)} {
				if err := s.Send(m); err != nil {
					t.Fatal(err)
				}
			}
			await(t, e.begun) // a call that is cancelled before it arrives never reaches the use case
			leave(cancel, conn)
			await(t, e.done)
			e.mu.Lock()
			defer e.mu.Unlock()
			if e.upload == nil || errors.Is(e.upload, io.EOF) || e.kept != 0 {
				t.Errorf("the upload ended with %v, kept %d", e.upload, e.kept)
			}
		})
	}
}

// download reads a whole artefact.
func download(t *testing.T, e *edge, offset int64) (*pb.ArtifactHeader, []byte, error) {
	t.Helper()
	s, err := pb.NewDocumentServiceClient(e.as("dms", pb.Role_ROLE_DOCUMENTS)).DownloadArtifact(within(t), &pb.DownloadArtifactRequest{
		OperationId: "op-1", Offset: offset, Content: pb.ArtifactContent_ARTIFACT_CONTENT_FULL,
	})
	if err != nil {
		t.Fatal(err)
	}
	var header *pb.ArtifactHeader
	var data []byte
	for {
		m, err := s.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return header, data, nil
		case err != nil:
			return header, data, err
		}
		if h := m.GetHeader(); h != nil {
			if header != nil {
				t.Error("two headers")
			}
			header = h
		}
		if n := len(m.GetChunk()); n > chunkSize {
			t.Errorf("a chunk of %d bytes", n)
		}
		data = append(data, m.GetChunk()...)
	}
}

func TestDownload(t *testing.T) {
	content := make([]byte, 3*chunkSize+17)
	for i := range content {
		content[i] = byte(i * 7)
	}
	var closed atomic.Int32
	e := serve(t)
	e.result = signer.Artifact{
		ReaderAt: bytes.NewReader(content), Size: int64(len(content)), Name: "contract.pdf", MediaType: "application/pdf",
		Close: func() error { closed.Add(1); return nil },
	}
	offsets := []int64{0, 1, chunkSize, int64(len(content)) - 1, int64(len(content))}
	for _, offset := range offsets {
		header, data, err := download(t, e, offset)
		if err != nil || header.GetSizeBytes() != int64(len(content)) || header.GetMediaType() != "application/pdf" {
			t.Fatalf("offset %d: %v, %v", offset, header, err)
		}
		if !bytes.Equal(data, content[offset:]) {
			t.Errorf("offset %d: other bytes", offset)
		}
	}
	_, _, err := download(t, e, int64(len(content))+1)
	wantReason(t, err, codes.OutOfRange, ReasonOffset)
	if got := fieldsOf(err); !slices.Equal(got, []string{"offset"}) {
		t.Errorf("fields %v", got)
	}

	e.result.ReaderAt = bytes.NewReader(content[:chunkSize+1]) // shorter than it says
	_, data, err := download(t, e, 0)
	wantReason(t, err, codes.Internal, ReasonInternal)
	if len(data) != chunkSize {
		t.Errorf("%d bytes before the fault", len(data))
	}
	if n := closed.Load(); int(n) != len(offsets)+2 {
		t.Errorf("closed %d times", n)
	}
}

func TestDownloadAgreement(t *testing.T) {
	e := serve(t)
	s, err := pb.NewEnrolmentServiceClient(e.as("portal", pb.Role_ROLE_PORTAL)).DownloadAgreement(within(t), &pb.DownloadAgreementRequest{EnrolmentId: "enr-1"})
	if err != nil {
		t.Fatal(err)
	}
	first, err := s.Recv()
	if err != nil || first.GetHeader().GetSizeBytes() != 3*chunkSize+1 {
		t.Fatalf("%v, %v", first, err)
	}
	n := 0
	for {
		m, err := s.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		n += len(m.GetChunk())
	}
	if n != 3*chunkSize+1 {
		t.Errorf("%d bytes", n)
	}
}

func TestWatch(t *testing.T) {
	e := serve(t)
	e.setView(enrol.View{ID: "enr-1", Version: 3, State: enrol.StateData, NextAction: enrol.ActionConfirmPhone})
	client := pb.NewEnrolmentServiceClient(e.as("portal", pb.Role_ROLE_PORTAL))
	s, err := client.WatchEnrolment(within(t), &pb.WatchEnrolmentRequest{EnrolmentId: "enr-1"})
	if err != nil {
		t.Fatal(err)
	}
	next := func(revision uint64, state pb.EnrolmentState) {
		t.Helper()
		m, err := s.Recv()
		if err != nil || m.GetEnrolment().GetRevision() != revision || m.GetEnrolment().GetState() != state {
			t.Fatalf("%v, %v", m, err)
		}
	}
	next(3, pb.EnrolmentState_ENROLMENT_STATE_DATA)
	e.setView(enrol.View{ID: "enr-1", Version: 4, State: enrol.StateProofing, NextAction: enrol.ActionAwaitProofing})
	next(4, pb.EnrolmentState_ENROLMENT_STATE_PROOFING)
	for n, c := range []struct {
		state  enrol.State
		action enrol.Action
		want   pb.EnrolmentState
	}{
		{enrol.StateDeferred, enrol.ActionAwaitDeferred, pb.EnrolmentState_ENROLMENT_STATE_DEFERRED},
		{enrol.StateReview, enrol.ActionReviewProven, pb.EnrolmentState_ENROLMENT_STATE_REVIEW},
	} {
		e.setView(enrol.View{ID: "enr-1", Version: uint64(5 + n), State: c.state, NextAction: c.action})
		next(uint64(5+n), c.want)
	}
	e.setView(enrol.View{ID: "enr-1", Version: 7, State: enrol.StateProofing, NextAction: enrol.ActionAwaitProofing})
	next(7, pb.EnrolmentState_ENROLMENT_STATE_PROOFING)

	// A second watcher that has seen revision 7 gets nothing until there is more.
	later, err := client.WatchEnrolment(within(t), &pb.WatchEnrolmentRequest{EnrolmentId: "enr-1", AfterRevision: 7})
	if err != nil {
		t.Fatal(err)
	}
	e.setView(enrol.View{ID: "enr-1", Version: 9, State: enrol.StateExpired, NextAction: enrol.ActionNone})
	next(9, pb.EnrolmentState_ENROLMENT_STATE_EXPIRED)
	if _, err := s.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("a finished enrolment is still watched: %v", err)
	}
	if m, err := later.Recv(); err != nil || m.GetEnrolment().GetRevision() != 9 {
		t.Errorf("%v, %v", m, err)
	}
	if _, err := later.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("%v", err)
	}
}

func TestWatchEndsWithItsDeadline(t *testing.T) {
	e := serve(t)
	e.setView(enrol.View{Version: 1, NextAction: enrol.ActionAwaitProofing})
	ctx, cancel := context.WithTimeout(within(t), 200*time.Millisecond)
	defer cancel()
	s, err := pb.NewEnrolmentServiceClient(e.as("portal", pb.Role_ROLE_PORTAL)).WatchEnrolment(ctx, &pb.WatchEnrolmentRequest{EnrolmentId: "enr-1", AfterRevision: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Recv(); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("%v", err)
	}
}

// Shutdown ends watchers at once, lets a call finish, and takes no new ones.
func TestShutdown(t *testing.T) {
	e := serve(t)
	e.setView(enrol.View{Version: 1, NextAction: enrol.ActionAwaitProofing})
	entered, leave := make(chan struct{}), make(chan struct{})
	e.on(func(_ context.Context, method string) error {
		if method == "SendPhoneCode" {
			close(entered)
			<-leave
		}
		return nil
	})
	client := pb.NewEnrolmentServiceClient(e.as("portal", pb.Role_ROLE_PORTAL))
	watch, err := client.WatchEnrolment(within(t), &pb.WatchEnrolmentRequest{EnrolmentId: "enr-1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := watch.Recv(); err != nil {
		t.Fatal(err)
	}
	call, down := make(chan error, 1), make(chan error, 1)
	ctx := within(t)
	go func() {
		_, err := client.SendPhoneCode(ctx, &pb.SendPhoneCodeRequest{RequestId: requestID, EnrolmentId: "enr-1"})
		call <- err
	}()
	await(t, entered)
	go func() { down <- e.server.Shutdown(ctx) }()
	_, err = watch.Recv()
	wantReason(t, err, codes.Unavailable, ReasonShutdown)
	close(leave)
	if err := <-call; err != nil {
		t.Errorf("the call in progress was cut off: %v", err)
	}
	if err := <-down; err != nil {
		t.Error(err)
	}
}

// A call that does not end in time is cut off; its context ends.
func TestShutdownIsBounded(t *testing.T) {
	e := serve(t)
	entered, cut := make(chan struct{}), make(chan struct{})
	e.on(func(ctx context.Context, _ string) error {
		close(entered)
		<-ctx.Done()
		close(cut)
		return ctx.Err()
	})
	client := pb.NewSigningServiceClient(e.as("dms", pb.Role_ROLE_DOCUMENTS))
	call := make(chan error, 1)
	callCtx := within(t)
	go func() {
		_, err := client.SendCode(callCtx, &pb.SendCodeRequest{RequestId: requestID, OperationId: "op-1"})
		call <- err
	}()
	await(t, entered)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := e.server.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	await(t, cut)
	if err := <-call; err == nil {
		t.Error("the call succeeded")
	}
}
