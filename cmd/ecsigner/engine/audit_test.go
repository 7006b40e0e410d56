package engine

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func (w *world) vkey() string {
	w.t.Helper()
	b, err := os.ReadFile(w.Path(FileLogKey))
	if err != nil {
		w.t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// proven verifies an entry under a checkpoint as an auditor does, with the log's key alone, and returns its event.
func (w *world) proven(e *pb.LogEntry, checkpoint []byte) audit.Event {
	w.t.Helper()
	if err := audit.VerifyInclusion(w.vkey(), e.GetIndex(), e.GetEntry(), e.GetProof(), checkpoint); err != nil {
		w.t.Fatalf("entry %d: %v", e.GetIndex(), err)
	}
	_, event, err := audit.Decode(e.GetEntry())
	if err != nil {
		w.t.Fatal(err)
	}
	return event
}

// select pages through everything that a filter chooses.
func (w *world) selected(f *pb.EntryFilter, page uint32) []*pb.LogEntry {
	w.t.Helper()
	auditor := w.role("auditor", pb.Role_ROLE_AUDITOR)
	var all []*pb.LogEntry
	for next := int64(0); ; {
		r, err := auditor.Audit.ListEntries(w.t.Context(), &pb.ListEntriesRequest{StartIndex: next, PageSize: page, Filter: f, WithProofs: true})
		if err != nil {
			w.t.Fatal(err)
		}
		for _, e := range r.GetMatches() {
			w.proven(e, r.GetCheckpoint())
			all = append(all, e)
		}
		if len(r.GetMatches()) > int(page) || r.GetNextIndex() < next {
			w.t.Fatalf("%d entries on a page of %d, next %d after %d", len(r.GetMatches()), page, r.GetNextIndex(), next)
		}
		if next = r.GetNextIndex(); next == r.GetCheckpointSize() {
			return all
		}
	}
}

// TestAuditFilters lists with every filter what a look at all entries finds too, each entry proven under a signed head.
func TestAuditFilters(t *testing.T) {
	w := newWorld(t)
	credential := w.Credential(1)
	operation, code := w.Operation(credential, "audited", pb.SignatureFormat_SIGNATURE_FORMAT_RAW, "x")
	if _, err := w.Authorize(operation.GetId(), code); err != nil {
		t.Fatal(err)
	}
	w.Operation(credential, "another", pb.SignatureFormat_SIGNATURE_FORMAT_RAW, "y")
	w.covered()
	everything := w.selected(nil, 7)
	middle := everything[len(everything)/2]
	at, _, err := audit.Decode(middle.GetEntry())
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		filter *pb.EntryFilter
		fits   func(entry string, at time.Time) bool
		least  int
	}{
		"kinds": {&pb.EntryFilter{Kinds: []string{"signing.signed", "code.accepted"}}, func(e string, _ time.Time) bool {
			return strings.Contains(e, `"type":"signing.signed"`) || strings.Contains(e, `"type":"code.accepted"`)
		}, 4},
		"operation":  {&pb.EntryFilter{OperationId: operation.GetId()}, func(e string, _ time.Time) bool { return strings.Contains(e, operation.GetId()) }, 5},
		"credential": {&pb.EntryFilter{CredentialId: credential}, func(e string, _ time.Time) bool { return strings.Contains(e, credential) }, 8},
		"client":     {&pb.EntryFilter{Client: "documents"}, func(e string, _ time.Time) bool { return strings.Contains(e, `"documents"`) }, 5},
		"from":       {&pb.EntryFilter{FromTime: timestamppb.New(at)}, func(_ string, t time.Time) bool { return !t.Before(at) }, 1},
		"before":     {&pb.EntryFilter{BeforeTime: timestamppb.New(at)}, func(_ string, t time.Time) bool { return t.Before(at) }, 1},
		"both": {&pb.EntryFilter{OperationId: operation.GetId(), Kinds: []string{"signing.signed"}}, func(e string, _ time.Time) bool {
			return strings.Contains(e, operation.GetId()) && strings.Contains(e, `"type":"signing.signed"`)
		}, 1},
		"nothing": {&pb.EntryFilter{OperationId: "op-nobody"}, func(string, time.Time) bool { return false }, 0},
	} {
		var want []int64
		for _, e := range everything {
			at, _, err := audit.Decode(e.GetEntry())
			if err != nil {
				t.Fatal(err)
			}
			if c.fits(string(e.GetEntry()), at) {
				want = append(want, e.GetIndex())
			}
		}
		if len(want) < c.least {
			t.Errorf("%s: only %d entries fit", name, len(want))
		}
		got := w.selected(c.filter, 3)
		if len(got) != len(want) {
			t.Errorf("%s: %d entries, want %d", name, len(got), len(want))
			continue
		}
		for i := range got {
			if got[i].GetIndex() != want[i] {
				t.Errorf("%s: entry %d, want %d", name, got[i].GetIndex(), want[i])
			}
		}
	}
}

// covered waits until a signed head covers all that was committed.
func (w *world) covered() {
	w.t.Helper()
	size, err := w.engine.db.Size(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	auditor := w.role("auditor", pb.Role_ROLE_AUDITOR)
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		r, err := auditor.Audit.GetCheckpoint(w.t.Context(), &pb.GetCheckpointRequest{})
		if err != nil {
			w.t.Fatal(err)
		}
		if h, err := audit.OpenHead(w.vkey(), r.GetCheckpoint()); err == nil && h.Size >= size {
			return
		}
		select {
		case <-w.t.Context().Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
	w.t.Fatal("no head covers the log")
}

// TestAuditFollow follows the log while things happen: every entry comes once, in order and proven; a stream that broke
// off is resumed without a gap.
func TestAuditFollow(t *testing.T) {
	w := newWorld(t)
	auditor := w.role("auditor", pb.Role_ROLE_AUDITOR)
	credential := w.Credential(1)
	next, signed := int64(0), 0
	for round := range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		s, err := auditor.Audit.FollowEntries(ctx, &pb.FollowEntriesRequest{StartIndex: next, WithProofs: true})
		if err != nil {
			t.Fatal(err)
		}
		o, code := w.Operation(credential, "followed "+string(rune('a'+round)), pb.SignatureFormat_SIGNATURE_FORMAT_RAW, "x")
		if _, err := w.Authorize(o.GetId(), code); err != nil {
			t.Fatal(err)
		}
		for done := false; !done; {
			m, err := s.Recv()
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range m.GetEntries() {
				if e.GetIndex() != next {
					t.Fatalf("entry %d after %d", e.GetIndex(), next-1)
				}
				next++
				if event, ok := w.proven(e, m.GetCheckpoint()).(audit.SigningSigned); ok {
					signed++
					done = event.Operation == o.GetId()
				}
			}
			if m.GetNextIndex() != next {
				t.Fatalf("next_index %d after entry %d", m.GetNextIndex(), next-1)
			}
		}
		cancel() // the client loses its stream
		if _, err := s.Recv(); err == nil || errors.Is(err, io.EOF) {
			t.Error("a stream that was given up goes on")
		}
	}
	if signed != 3 {
		t.Errorf("%d signatures were followed, want 3", signed)
	}
}

// TestAuditConsistency proves that the log only grew between two heads that an auditor kept.
func TestAuditConsistency(t *testing.T) {
	w := newWorld(t)
	auditor := w.role("auditor", pb.Role_ROLE_AUDITOR)
	w.covered()
	before, err := auditor.Audit.GetCheckpoint(t.Context(), &pb.GetCheckpointRequest{})
	if err != nil {
		t.Fatal(err)
	}
	old, err := audit.OpenHead(w.vkey(), before.GetCheckpoint())
	if err != nil {
		t.Fatal(err)
	}
	w.Credential(1)
	w.covered()
	r, err := auditor.Audit.GetConsistencyProof(t.Context(), &pb.GetConsistencyProofRequest{OldSize: old.Size})
	if err != nil {
		t.Fatal(err)
	}
	if err := audit.VerifyGrowth(w.vkey(), before.GetCheckpoint(), r.GetCheckpoint(), r.GetHashes()); err != nil {
		t.Error(err)
	}
	if len(r.GetHashes()) > 0 {
		r.Hashes[0] = bytes.Repeat([]byte{1}, 32)
		if err := audit.VerifyGrowth(w.vkey(), before.GetCheckpoint(), r.GetCheckpoint(), r.GetHashes()); err == nil {
			t.Error("a wrong proof is accepted")
		}
	}
	if _, err = auditor.Audit.GetConsistencyProof(t.Context(), &pb.GetConsistencyProofRequest{OldSize: 1 << 40}); reasonOf(err) != "NOT_FOUND" {
		t.Errorf("a head that never was: %v", err)
	}
}
