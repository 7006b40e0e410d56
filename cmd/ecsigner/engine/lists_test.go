package engine

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
)

// TestListAndWatchSigning lists and watches operations of the running service: the watch tells each revision once, ends
// when the operation is signed, and its last message holds the signature; a stranger's list stays empty.
func TestListAndWatchSigning(t *testing.T) {
	w := newWorld(t)
	credential := w.Credential(1)
	var ids []string
	var code string
	for _, title := range []string{"first", "second", "third"} {
		o, c := w.Operation(credential, title, pb.SignatureFormat_SIGNATURE_FORMAT_CADES_B_B, title)
		ids, code = append(ids, o.GetId()), c
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	last := ids[2]
	s, err := w.Documents().Signing.WatchSigningOperation(ctx, &pb.WatchSigningOperationRequest{OperationId: last})
	if err != nil {
		t.Fatal(err)
	}
	first, err := s.Recv()
	if err != nil || first.GetOperation().GetState() != pb.SigningState_SIGNING_STATE_REQUESTED || first.GetOperation().GetRevision() == 0 {
		t.Fatalf("%v, %v", first, err)
	}
	if _, err := w.Authorize(last, code); err != nil {
		t.Fatal(err)
	}
	seen := first.GetOperation()
	for {
		m, err := s.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if m.GetOperation().GetRevision() <= seen.GetRevision() {
			t.Errorf("revision %d after %d", m.GetOperation().GetRevision(), seen.GetRevision())
		}
		seen = m.GetOperation()
	}
	if seen.GetState() != pb.SigningState_SIGNING_STATE_SIGNED || len(seen.GetItems()[0].GetCms()) == 0 || len(seen.GetReceipt()) == 0 {
		t.Errorf("the watch ended with %v", seen.GetState())
	}

	var listed []string
	for token, pages := "", 0; ; pages++ {
		page, err := w.Documents().Signing.ListSigningOperations(ctx, &pb.ListSigningOperationsRequest{PageSize: 1, PageToken: token, CredentialId: credential})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range page.GetOperations() {
			listed = append(listed, o.GetId())
			if len(o.GetReceipt()) != 0 || len(o.GetItems()[0].GetCms()) != 0 {
				t.Error("a list carries signatures")
			}
		}
		if token = page.GetNextPageToken(); token == "" || pages > 5 {
			break
		}
	}
	if len(listed) != 3 || listed[0] != ids[2] || listed[1] != ids[1] || listed[2] != ids[0] {
		t.Errorf("listed %v, made %v", listed, ids)
	}
	page, err := w.role("stranger", pb.Role_ROLE_DOCUMENTS).Signing.ListSigningOperations(ctx, &pb.ListSigningOperationsRequest{CredentialId: credential})
	if err != nil || len(page.GetOperations()) != 0 {
		t.Errorf("a stranger lists %v, %v", page, err)
	}
}
