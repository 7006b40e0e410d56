package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/augment"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"github.com/ecsigner/ecsigner/signer"
	"github.com/ecsigner/ecsigner/signer/cades"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func (f *fakes) setOperation(v signer.View) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.operation = v
}

func TestWatchSigningOperation(t *testing.T) {
	e := serve(t)
	e.setOperation(signer.View{ID: "op-1", Version: 1, State: signer.StateRequested})
	client := pb.NewSigningServiceClient(e.as("dms", pb.Role_ROLE_DOCUMENTS))
	s, err := client.WatchSigningOperation(within(t), &pb.WatchSigningOperationRequest{OperationId: "op-1"})
	if err != nil {
		t.Fatal(err)
	}
	next := func(revision uint64, state pb.SigningState) {
		t.Helper()
		m, err := s.Recv()
		if err != nil || m.GetOperation().GetRevision() != revision || m.GetOperation().GetState() != state {
			t.Fatalf("%v, %v", m, err)
		}
	}
	next(1, pb.SigningState_SIGNING_STATE_REQUESTED)
	e.setOperation(signer.View{ID: "op-1", Version: 2, State: signer.StateSigning})
	next(2, pb.SigningState_SIGNING_STATE_SIGNING)
	later, err := client.WatchSigningOperation(within(t), &pb.WatchSigningOperationRequest{OperationId: "op-1", AfterRevision: 2})
	if err != nil {
		t.Fatal(err)
	}
	e.setOperation(signer.View{ID: "op-1", Version: 3, State: signer.StateSigned})
	next(3, pb.SigningState_SIGNING_STATE_SIGNED)
	if _, err := s.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("a finished operation is still watched: %v", err)
	}
	if m, err := later.Recv(); err != nil || m.GetOperation().GetRevision() != 3 {
		t.Errorf("resumed after revision 2: %v, %v", m, err)
	}
	// Who has seen the end is told at once that there is no more.
	over, err := client.WatchSigningOperation(within(t), &pb.WatchSigningOperationRequest{OperationId: "op-1", AfterRevision: 3})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := over.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("%v", err)
	}
}

func TestWatchSigningOperationEndsAtShutdown(t *testing.T) {
	e := serve(t)
	e.setOperation(signer.View{ID: "op-1", Version: 1, State: signer.StateRequested})
	s, err := pb.NewSigningServiceClient(e.as("dms", pb.Role_ROLE_DOCUMENTS)).WatchSigningOperation(within(t), &pb.WatchSigningOperationRequest{OperationId: "op-1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Recv(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = e.server.Shutdown(within(t)) }()
	_, err = s.Recv()
	wantReason(t, err, codes.Unavailable, ReasonShutdown)
}

// A page ends before it becomes too large for a client's library, and the next one begins behind it.
func TestListSigningOperations(t *testing.T) {
	e := serve(t)
	at := time.Date(2026, 11, 25, 12, 0, 0, 7000, time.UTC)
	for i := range 100 {
		v := signer.View{ID: signer.OperationID(fmt.Sprintf("op-%02d", i)), Version: 1, State: signer.StateSigned, Created: at, Title: strings.Repeat("x", 200)}
		for range 100 {
			v.Items = append(v.Items, signer.ItemView{Format: signer.Raw, Digest: make([]byte, 32), DTBSR: make([]byte, 32)})
		}
		e.operations = append(e.operations, v)
	}
	client := pb.NewSigningServiceClient(e.as("dms", pb.Role_ROLE_DOCUMENTS))
	page, err := client.ListSigningOperations(within(t), &pb.ListSigningOperationsRequest{
		PageSize: 100, State: pb.SigningState_SIGNING_STATE_SIGNED, CredentialId: "cred-1",
		CreatedFromTime: timestamppb.New(at), CreatedBeforeTime: timestamppb.New(at.Add(time.Hour)),
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(page.GetOperations()); n == 100 || n < 10 || page.GetNextPageToken() != fmt.Sprintf("%d.op-%02d", at.UnixMicro(), n-1) {
		t.Errorf("%d operations, then %q", n, page.GetNextPageToken())
	}
	q := e.query
	if q.State != signer.StateSigned || q.Credential != "cred-1" || !q.From.Equal(at) || !q.Before.Equal(at.Add(time.Hour)) || q.Limit != 100 {
		t.Errorf("asked for %+v", q)
	}
	if _, err = client.ListSigningOperations(within(t), &pb.ListSigningOperationsRequest{PageToken: page.GetNextPageToken()}); err != nil {
		t.Fatal(err)
	}
	last := page.GetOperations()[len(page.GetOperations())-1].GetId()
	if !e.query.After.Created.Equal(at) || string(e.query.After.ID) != last {
		t.Errorf("asked for what comes after %+v", e.query.After)
	}
	for _, bad := range []string{"op-1", ".op-1", "9.", "9999999999999999999.op-1", "-1.op-1", "1.op 1"} {
		_, err := client.ListSigningOperations(within(t), &pb.ListSigningOperationsRequest{PageToken: bad})
		wantReason(t, err, codes.InvalidArgument, ReasonInvalid)
		if f := fieldsOf(err); len(f) != 1 || f[0] != "page_token" {
			t.Errorf("%q: fields %v", bad, f)
		}
	}
}

// A signed operation is watched until each level is ready or given up, and every step of that is sent.
func TestWatchLevels(t *testing.T) {
	e := serve(t)
	at := func(version uint64, levels ...augment.Progress) {
		e.setOperation(signer.View{ID: "op-1", Version: version, State: signer.StateSigned, Items: []signer.ItemView{{Level: cades.LevelBLT, Levels: levels}}})
	}
	stamp, proof := augment.Progress{Level: cades.LevelBT}, augment.Progress{Level: cades.LevelBLT}
	at(3, stamp, proof)
	s, err := pb.NewSigningServiceClient(e.as("dms", pb.Role_ROLE_DOCUMENTS)).WatchSigningOperation(within(t), &pb.WatchSigningOperationRequest{OperationId: "op-1"})
	if err != nil {
		t.Fatal(err)
	}
	next := func(first, second pb.LevelState, reason string) {
		t.Helper()
		m, err := s.Recv()
		if err != nil {
			t.Fatal(err)
		}
		l := m.GetOperation().GetItems()[0].GetLevels()
		if l[0].GetState() != first || l[1].GetState() != second || l[1].GetReason() != reason {
			t.Errorf("%v", l)
		}
	}
	const ready, pending, ended = pb.LevelState_LEVEL_STATE_READY, pb.LevelState_LEVEL_STATE_PENDING, pb.LevelState_LEVEL_STATE_GIVEN_UP
	next(pending, pending, "")
	stamp = augment.Progress{Level: cades.LevelBT, Ready: true, Size: 7, SHA256: []byte{1}, Index: 9}
	at(4, stamp, proof)
	next(ready, pending, "")
	proof.Reason = augment.ReasonNoRevocation
	at(5, stamp, proof)
	next(ready, pending, "revocation-unavailable")
	proof.Ended, proof.Reason = true, augment.ReasonRevoked
	at(6, stamp, proof)
	next(ready, ended, "certificate-revoked")
	if _, err := s.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("nothing will change any more, and it is still watched: %v", err)
	}
}

// What a client decides by comes with the refusal: why, and when to ask again.
func TestLevelRefusals(t *testing.T) {
	e := serve(t)
	client := pb.NewDocumentServiceClient(e.as("dms", pb.Role_ROLE_DOCUMENTS))
	for _, c := range []struct {
		err    error
		reason Reason
		retry  bool
		meta   string
	}{
		{&augment.PendingError{Level: cades.LevelBT, Reason: augment.ReasonStampUnavailable, After: time.Minute, Err: augment.ErrNotReady}, ReasonLevelNotReady, true, "time-stamp-unavailable"},
		{&augment.PendingError{Level: cades.LevelBT, Reason: augment.ReasonGone, Err: augment.ErrGivenUp}, ReasonLevelGivenUp, false, "document-gone"},
		{&augment.ServiceError{Reason: augment.ReasonNoRevocation, After: time.Second, Cause: errors.New("http://inside.example.com failed")}, ReasonNoService, true, "revocation-unavailable"},
		{&signer.SpaceError{Field: "items[0].reserved_cms_bytes", Needed: 12345}, ReasonCMSSpace, false, "12345"},
		{&signer.FieldError{Field: "level", Text: "B-T", Err: augment.ErrNotAsked}, ReasonLevelNotAsked, false, ""},
		{augment.ErrNotOffered, ReasonLevelNotOffered, false, ""},
	} {
		e.on(func(context.Context, string) error { return c.err })
		s, err := client.DownloadArtifact(within(t), &pb.DownloadArtifactRequest{OperationId: "op-1", Content: pb.ArtifactContent_ARTIFACT_CONTENT_FULL})
		if err == nil {
			_, err = s.Recv()
		}
		if reasonOf(t, err) != c.reason || strings.Contains(fmt.Sprint(status.Convert(err).Proto()), "inside.example.com") {
			t.Errorf("%v: %v", c.err, err)
		}
		retry, meta := false, ""
		for _, d := range status.Convert(err).Details() {
			switch d := d.(type) {
			case *errdetails.RetryInfo:
				retry = d.GetRetryDelay().AsDuration() > 0
			case *errdetails.ErrorInfo:
				for _, v := range d.GetMetadata() {
					meta = v
				}
			}
		}
		if retry != c.retry || meta != c.meta {
			t.Errorf("%v: retry %v, metadata %q", c.err, retry, meta)
		}
	}
}
