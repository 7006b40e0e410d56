package system_test

import (
	"bytes"
	"context"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/client"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"google.golang.org/grpc/codes"
)

// mistake is one wrong call about a credential or about an operation that waits for its code.
type mistake struct {
	name   string
	call   func(v victim) error
	code   codes.Code
	reason string
	field  string // empty: no field is wrong
	log    string // what the refusal leaves in the operation log
}

// create asks for a signature as a client; edit makes the request wrong.
func (s *stage) create(c *client.Conn, edit func(r *pb.CreateSigningOperationRequest)) error {
	r := hashes(s.one, "wrong", "text")
	edit(r)
	_, err := c.Signing.CreateSigningOperation(s.Context(), r)
	return err
}

// authorize sends a code as a client.
func (s *stage) authorize(c *client.Conn, id, code string) error {
	_, err := c.Signing.AuthorizeSigningOperation(s.Context(), &pb.AuthorizeSigningOperationRequest{
		RequestId: client.RequestID(), OperationId: id, Code: code,
	})
	return err
}

// download asks for the result of an operation.
func (s *stage) download(c *client.Conn, id string, item uint32) error {
	_, err := c.Download(s.Context(), id, item, pb.ArtifactContent_ARTIFACT_CONTENT_FULL, io.Discard)
	return err
}

// codeMistakes have something to do with the code. other is an operation that waits for its code, spent a signed one.
func (s *stage) codeMistakes(other, spent victim) []mistake {
	try := func(code func(v victim) string) func(v victim) error {
		return func(v victim) error { return s.authorize(s.Documents(), v.id, code(v)) }
	}
	const rejected = "CODE_REJECTED"
	return []mistake{
		{"a wrong code", try(func(v victim) string { return wrong(v.code) }), codes.PermissionDenied, rejected, "", "CodeRefused"},
		{"the code of another person's operation", try(func(victim) string { return other.code }), codes.PermissionDenied, rejected, "", "CodeRefused"},
		{"a spent code of the same person", try(func(victim) string { return spent.code }), codes.PermissionDenied, rejected, "", "CodeRefused"},
		{"no code before the right one came", try(func(victim) string { return "" }), codes.InvalidArgument, "INVALID_REQUEST", "code", ""},
		{"letters for a code", try(func(victim) string { return "12345a" }), codes.InvalidArgument, "INVALID_REQUEST", "code", ""},
		{"a code of ten digits", try(func(victim) string { return "1234567890" }), codes.InvalidArgument, "INVALID_REQUEST", "code", ""},
	}
}

// requestMistakes are requests for a signature that nobody can fulfil.
func (s *stage) requestMistakes() []mistake {
	document, err := s.Documents().Upload(s.Context(), "a.pdf", strings.NewReader("%PDF-1.7"), func(int64) {})
	if err != nil {
		s.t.Fatal(err)
	}
	type request = pb.CreateSigningOperationRequest
	wrongly := func(edit func(r *request)) func(victim) error {
		return func(victim) error { return s.create(s.Documents(), edit) }
	}
	item := func(edit func(it *pb.SigningItemRequest)) func(victim) error {
		return wrongly(func(r *request) { edit(r.GetItems()[0]) })
	}
	hash := func(n int) func(victim) error {
		return item(func(it *pb.SigningItemRequest) { it.Source = &pb.SigningItemRequest_Sha256{Sha256: make([]byte, n)} })
	}
	of := func(id string, f pb.SignatureFormat) func(victim) error {
		return item(func(it *pb.SigningItemRequest) {
			it.Source, it.Format = &pb.SigningItemRequest_DocumentId{DocumentId: id}, f
		})
	}
	format := func(f pb.SignatureFormat) func(victim) error {
		return item(func(it *pb.SigningItemRequest) { it.Format = f })
	}
	const (
		pades, cades = pb.SignatureFormat_SIGNATURE_FORMAT_PADES_B_B, pb.SignatureFormat_SIGNATURE_FORMAT_CADES_B_B
		digest       = "items[0].sha256"
	)
	invalid := func(name, field string, call func(victim) error) mistake {
		return mistake{name, call, codes.InvalidArgument, "INVALID_REQUEST", field, ""}
	}
	return []mistake{
		invalid("a hash of 31 bytes", digest, hash(31)),
		invalid("a hash of 64 bytes", digest, hash(64)),
		invalid("an empty hash", digest, hash(0)),
		invalid("nothing to sign in an item", "items[0].source", item(func(it *pb.SigningItemRequest) { it.Source = nil })),
		invalid("no items", "items", wrongly(func(r *request) { r.Items = nil })),
		invalid("101 items", "items", wrongly(func(r *request) {
			for len(r.Items) < 101 {
				r.Items = append(r.Items, r.GetItems()[0])
			}
		})),
		invalid("PAdES of a hash", "items[0].document_id", format(pades)),
		invalid("a raw signature of an uploaded document", digest, of(document.GetId(), raw)),
		invalid("no format", "items[0].format", format(0)),
		invalid("an unknown format", "items[0].format", format(99)),
		invalid("no title", "title", wrongly(func(r *request) { r.Title = "" })),
		invalid("a title of 201 characters", "title", wrongly(func(r *request) { r.Title = strings.Repeat("ї", 201) })),
		invalid("a title that turns its direction", "title", wrongly(func(r *request) { r.Title = "pay \u202e001" })),
		invalid("a language without texts", "language", wrongly(func(r *request) { r.Language = "de" })),
		invalid("no credential", "credential_id", wrongly(func(r *request) { r.CredentialId = "" })),
		invalid("a request id that is none", "request_id", wrongly(func(r *request) { r.RequestId = "1" })),
		{"no PDF", of(document.GetId(), pades), codes.InvalidArgument, "PDF_DAMAGED", "items[0].document_id", ""},
		{"an unknown document", of("doc-none", pades), codes.NotFound, "NOT_FOUND", "items[0].document_id", ""},
		{"a request id with another body", func(victim) error {
			r := hashes(s.one, "once", "text")
			if _, err := s.Documents().Signing.CreateSigningOperation(s.Context(), r); err != nil {
				return err
			}
			r.Title = "twice"
			_, err := s.Documents().Signing.CreateSigningOperation(s.Context(), r)
			return err
		}, codes.AlreadyExists, "REQUEST_ID_REUSED", "request_id", "SigningRequested CodeRequested"},
	}
}

// stateMistakes come too early. spent is a signed operation.
func (s *stage) stateMistakes(spent victim) []mistake {
	const wrongState = "WRONG_STATE"
	return []mistake{
		{"the result before the code", func(v victim) error { return s.download(s.Documents(), v.id, 0) }, codes.FailedPrecondition, wrongState, "", ""},
		{"acknowledging before the code", func(v victim) error {
			_, err := s.Documents().Signing.CompleteSigningOperation(s.Context(), &pb.CompleteSigningOperationRequest{
				RequestId: client.RequestID(), OperationId: v.id,
			})
			return err
		}, codes.FailedPrecondition, wrongState, "", ""},
		{"cancelling what is signed", func(victim) error {
			_, err := s.Documents().Signing.CancelSigningOperation(s.Context(), &pb.CancelSigningOperationRequest{
				RequestId: client.RequestID(), OperationId: spent.id,
			})
			return err
		}, codes.FailedPrecondition, wrongState, "", ""},
		{"another code for what is signed", func(victim) error {
			_, err := s.Documents().Signing.SendCode(s.Context(), &pb.SendCodeRequest{RequestId: client.RequestID(), OperationId: spent.id})
			return err
		}, codes.FailedPrecondition, wrongState, "", ""},
		{"a result that is not there", func(victim) error { return s.download(s.Documents(), spent.id, 1) }, codes.InvalidArgument, "INVALID_REQUEST", "item", ""},
		{"a result from behind its end", func(victim) error {
			ctx, cancel := context.WithTimeout(s.Context(), 20*time.Second)
			defer cancel()
			stream, err := s.Documents().Document.DownloadArtifact(ctx, &pb.DownloadArtifactRequest{
				OperationId: spent.id, Offset: 1000, Content: pb.ArtifactContent_ARTIFACT_CONTENT_TAIL,
			})
			if err == nil {
				_, err = stream.Recv()
			}
			return err
		}, codes.OutOfRange, "OFFSET_BEYOND_END", "offset", ""},
	}
}

// TestRefusedSigning makes every mistake once. The refusal says what is wrong and what to do, nothing is half done, and
// the right code then signs.
func TestRefusedSigning(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	other, spent := s.victims(s.two, "of another person")[0], s.victims(s.one, "signed before")[0]
	if err := s.authorize(s.Documents(), spent.id, spent.code); err != nil {
		t.Fatal(err)
	}
	all := append(s.codeMistakes(other, spent), s.requestMistakes()...)
	all = append(all, s.stateMistakes(spent)...)
	titles := make([]string, len(all))
	for n, m := range all {
		titles[n] = m.name
	}
	for n, v := range s.victims(s.one, titles...) {
		t.Run(all[n].name, func(t *testing.T) { s.refused(t, all[n], v) })
	}
	t.Run("one kind of answer", func(t *testing.T) { s.foreignIsUnknown(t, other, spent) })
	t.Run("withdrawn", s.withdrawn)
	t.Run("revoked", s.revoked)
	endRun(t, s.Installation)
}

// refused makes one mistake about v, and then signs it.
func (s *stage) refused(t *testing.T, m mistake, v victim) {
	s.Within(t)
	mark, unwraps := logSize(t, s.Installation), s.unwraps()
	wantRefusal(t, m.call(v), m.code, m.reason, m.field)
	if told := kinds(t, s.Installation, mark); told != m.log {
		t.Errorf("the refusal left %q in the log, want %q", told, m.log)
	}
	if n := s.unwraps() - unwraps; n != 0 {
		t.Errorf("keys were used %d times", n)
	}
	if err := s.authorize(s.Documents(), v.id, v.code); err != nil {
		t.Errorf("the right code afterwards: %v", err)
	}
}

// foreignIsUnknown: what belongs to another client, and what is granted to another, answers like what does not exist.
func (s *stage) foreignIsUnknown(t *testing.T, waiting, signed victim) {
	s.Within(t)
	stranger := s.Client("stranger", pb.Role_ROLE_DOCUMENTS)
	document, err := s.Documents().Upload(t.Context(), "a.pdf", bytes.NewReader([]byte("%PDF-1.7")), func(int64) {})
	if err != nil {
		t.Fatal(err)
	}
	own := s.Credential(3)
	s.Grant(own, "stranger")
	mark, unwraps := logSize(t, s.Installation), s.unwraps()
	for _, tt := range []struct {
		name              string
		call              func(id string) error
		foreign           []string
		code              codes.Code
		reason, field, no string
	}{
		{"get", func(id string) error {
			_, err := stranger.Signing.GetSigningOperation(t.Context(), &pb.GetSigningOperationRequest{OperationId: id})
			return err
		}, []string{waiting.id, signed.id}, codes.NotFound, "NOT_FOUND", "", "op-none"},
		{"authorise", func(id string) error { return s.authorize(stranger, id, waiting.code) }, []string{waiting.id, signed.id}, codes.NotFound, "NOT_FOUND", "", "op-none"},
		{"send a code", func(id string) error {
			_, err := stranger.Signing.SendCode(t.Context(), &pb.SendCodeRequest{RequestId: client.RequestID(), OperationId: id})
			return err
		}, []string{waiting.id, signed.id}, codes.NotFound, "NOT_FOUND", "", "op-none"},
		{"cancel", func(id string) error {
			_, err := stranger.Signing.CancelSigningOperation(t.Context(), &pb.CancelSigningOperationRequest{RequestId: client.RequestID(), OperationId: id})
			return err
		}, []string{waiting.id, signed.id}, codes.NotFound, "NOT_FOUND", "", "op-none"},
		{"complete", func(id string) error {
			_, err := stranger.Signing.CompleteSigningOperation(t.Context(), &pb.CompleteSigningOperationRequest{RequestId: client.RequestID(), OperationId: id})
			return err
		}, []string{waiting.id, signed.id}, codes.NotFound, "NOT_FOUND", "", "op-none"},
		{"download", func(id string) error { return s.download(stranger, id, 0) }, []string{waiting.id, signed.id}, codes.NotFound, "NOT_FOUND", "", "op-none"},
		{"look up a credential", func(id string) error {
			_, err := stranger.Credential.GetCredential(t.Context(), &pb.GetCredentialRequest{CredentialId: id})
			return err
		}, []string{s.one, s.two}, codes.NotFound, "NOT_FOUND", "", "cred-none"},
		{"sign with a credential", func(id string) error {
			return s.create(stranger, func(r *pb.CreateSigningOperationRequest) { r.CredentialId = id })
		}, []string{s.one, s.two}, codes.FailedPrecondition, "CREDENTIAL_UNUSABLE", "credential_id", "cred-none"},
		{"sign a document", func(id string) error {
			return s.create(stranger, func(r *pb.CreateSigningOperationRequest) {
				r.CredentialId = own
				r.Items[0] = &pb.SigningItemRequest{
					Source: &pb.SigningItemRequest_DocumentId{DocumentId: id}, Format: pb.SignatureFormat_SIGNATURE_FORMAT_PADES_B_B,
				}
			})
		}, []string{document.GetId()}, codes.NotFound, "NOT_FOUND", "items[0].document_id", "doc-none"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			unknown := tt.call(tt.no)
			wantRefusal(t, unknown, tt.code, tt.reason, tt.field)
			for _, id := range tt.foreign {
				if err := tt.call(id); !reflect.DeepEqual(refusalOf(err), refusalOf(unknown)) {
					t.Errorf("what is another's answers %+v, what does not exist %+v", refusalOf(err), refusalOf(unknown))
				}
			}
		})
	}
	if told := kinds(t, s.Installation, mark); told != "" || s.unwraps() != unwraps {
		t.Errorf("the log tells %q; keys were used %d times", told, s.unwraps()-unwraps)
	}
	if err := s.authorize(s.Documents(), waiting.id, waiting.code); err != nil {
		t.Errorf("its own client is refused: %v", err)
	}
}

// withdrawn takes the grant away while a code is on its way, and gives it back.
func (s *stage) withdrawn(t *testing.T) {
	s.Within(t)
	v := s.victims(s.two, "withdrawn")[0]
	if _, err := s.Operator().Credential.WithdrawAccess(t.Context(), &pb.WithdrawAccessRequest{
		RequestId: client.RequestID(), CredentialId: s.two, Client: "documents",
	}); err != nil {
		t.Fatal(err)
	}
	s.unusable(t, v)
	s.Grant(s.two, "documents")
	if err := s.authorize(s.Documents(), v.id, v.code); err != nil {
		t.Errorf("granted again: %v", err)
	}
}

// revoked revokes a credential while a code is on its way. That is final; another person is not concerned.
func (s *stage) revoked(t *testing.T) {
	s.Within(t)
	v, bystander := s.victims(s.two, "revoked")[0], s.victims(s.one, "bystander")[0]
	if _, err := s.Operator().Credential.RevokeCredential(t.Context(), &pb.RevokeCredentialRequest{
		RequestId: client.RequestID(), CredentialId: s.two, Reason: pb.RevocationReason_REVOCATION_REASON_SUPERSEDED,
	}); err != nil {
		t.Fatal(err)
	}
	s.unusable(t, v)
	if err := s.authorize(s.Documents(), bystander.id, bystander.code); err != nil {
		t.Errorf("another person's credential: %v", err)
	}
}

// unusable: with v's credential nothing can be asked for, and v cannot be signed with the right code.
func (s *stage) unusable(t *testing.T, v victim) {
	t.Helper()
	mark, unwraps := logSize(t, s.Installation), s.unwraps()
	err := s.create(s.Documents(), func(r *pb.CreateSigningOperationRequest) { r.CredentialId = v.credential })
	wantRefusal(t, err, codes.FailedPrecondition, "CREDENTIAL_UNUSABLE", "credential_id")
	wantRefusal(t, s.authorize(s.Documents(), v.id, v.code), codes.FailedPrecondition, "CREDENTIAL_UNUSABLE", "")
	_, err = s.Documents().Signing.SendCode(t.Context(), &pb.SendCodeRequest{RequestId: client.RequestID(), OperationId: v.id})
	wantRefusal(t, err, codes.FailedPrecondition, "CREDENTIAL_UNUSABLE", "")
	if told := kinds(t, s.Installation, mark); told != "" || s.unwraps() != unwraps {
		t.Errorf("the log tells %q; keys were used %d times", told, s.unwraps()-unwraps)
	}
}
