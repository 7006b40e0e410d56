package engine

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/client"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"github.com/ecsigner/ecsigner/server"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// call sends one request of any method and reads all answers; what still streams after a moment is left.
func call(t *testing.T, conn *client.Conn, m method, request any, options ...grpc.CallOption) error {
	t.Helper()
	_, err := answer(t, conn, m, request, options...)
	return err
}

// answer is call that also returns the bytes of what came.
func answer(t *testing.T, conn *client.Conn, m method, request any, options ...grpc.CallOption) (got string, err error) {
	t.Helper()
	limit := 20 * time.Second
	if m.descriptor.IsStreamingServer() && !m.patient {
		limit = 150 * time.Millisecond // a watch of a living record does not end by itself
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	s, err := conn.NewStream(ctx, &grpc.StreamDesc{
		ClientStreams: m.descriptor.IsStreamingClient(), ServerStreams: true,
	}, m.full, options...)
	if err != nil {
		return "", err
	}
	_ = s.SendMsg(request) // its failure is told by RecvMsg
	_ = s.CloseSend()
	for {
		response := newMessage(m.descriptor.Output())
		switch err := s.RecvMsg(response); {
		case errors.Is(err, io.EOF):
			return got, nil
		case m.descriptor.IsStreamingServer() && status.Code(err) == codes.DeadlineExceeded:
			return got, nil
		case err != nil:
			return got, err
		}
		b, err := proto.MarshalOptions{Deterministic: true}.Marshal(response)
		if err != nil {
			t.Fatal(err)
		}
		got += string(b)
	}
}

// inside tells whether a status says that the service failed rather than the request.
func inside(err error) bool {
	switch status.Code(err) {
	case codes.Internal, codes.Unknown, codes.DataLoss, codes.Unimplemented:
		return true
	}
	return false
}

// TestTrustRolesOfRunningServer calls every method that is served in every role with a request that the rules of the
// interface allow: the declared roles come through to the use case, all others are refused for their role alone.
func TestTrustRolesOfRunningServer(t *testing.T) {
	w := newWorld(t)
	conns := map[pb.Role]*client.Conn{}
	for _, r := range allRoles() {
		conns[r] = w.role("as-"+server.RoleName(r), r)
	}
	calls := 0
	for _, m := range methods(t) {
		if len(m.roles) == 0 {
			t.Errorf("%s declares no role", m.full)
		}
		for n, r := range allRoles() {
			calls++
			err := call(t, conns[r], m, example(m, recordFields, n))
			switch reason := reasonOf(err); {
			case slices.Contains(m.roles, r):
				if reason == "ROLE_NOT_ALLOWED" || reason == "CLIENT_UNKNOWN" || reason == "?" || inside(err) {
					t.Errorf("%s refuses %s, which it declares: %v", m.full, r, err)
				}
			case reason != "ROLE_NOT_ALLOWED" || status.Code(err) != codes.PermissionDenied:
				t.Errorf("%s lets %s in: %v", m.full, r, err)
			}
		}
	}
	if want := len(methods(t)) * 6; calls != want {
		t.Errorf("%d calls, want %d: every method in every role", calls, want)
	}
}

// scoped are the roles to which only their own records exist.
var scoped = []pb.Role{pb.Role_ROLE_PORTAL, pb.Role_ROLE_DOCUMENTS, pb.Role_ROLE_IDENTITY}

// owned is a world in which one client of each role owns a record of each kind and another client owns none.
func owned(t *testing.T) (*world, ids, map[pb.Role]*client.Conn) {
	t.Helper()
	w := newWorld(t)
	credential := w.Credential(1)
	document, err := w.Documents().Upload(t.Context(), "contract.txt", strings.NewReader("text"), func(int64) {})
	if err != nil {
		t.Fatal(err)
	}
	operation, _ := w.Operation(credential, "the owner's", pb.SignatureFormat_SIGNATURE_FORMAT_RAW, "text")
	enrolment, _ := w.Proofing(2)
	strangers := map[pb.Role]*client.Conn{}
	for _, r := range scoped {
		strangers[r] = w.role("stranger-"+server.RoleName(r), r)
	}
	return w, ids{
		"enrolment_id": enrolment, "credential_id": credential, "operation_id": operation.GetId(), "document_id": document.GetId(),
	}, strangers
}

// filters tells whether ids only choose among one's own records, so that one that fits nothing gets an empty answer.
func filters(m method) bool { return strings.HasPrefix(string(m.descriptor.Name()), "List") }

// recordNames returns the fields of a message, also inside it, that name a record.
func recordNames(d protoreflect.MessageDescriptor) []string {
	var all []string
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		switch {
		case f.Message() != nil:
			all = append(all, recordNames(f.Message())...)
		case f.Name() == "request_id", f.Name() == "organisation_id": // the call's own, and an organisation's in its register
		case f.Kind() == protoreflect.StringKind && strings.HasSuffix(string(f.Name()), "_id"):
			all = append(all, string(f.Name()))
		}
	}
	return all
}

// TestTrustForeignAndUnknownAreAlike asks every method that takes the id of a record, in every role that sees only its
// own, about a record of another client and about one that nobody has: the two answers have the same bytes.
func TestTrustForeignAndUnknownAreAlike(t *testing.T) {
	w, foreign, strangers := owned(t)
	size, err := w.engine.db.Size(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	for _, m := range methods(t) {
		names := recordNames(m.descriptor.Input())
		for _, name := range names {
			if recordFields[name] == "" {
				t.Errorf("%s has the field %s: say in recordFields what it names", m.full, name)
			}
		}
		for _, r := range m.roles {
			if len(names) == 0 || !slices.Contains(scoped, r) {
				continue
			}
			asked++
			reached := false
			for n := range 12 {
				about := example(m, recordFields, n)
				theirs := proto.Clone(about)
				replace(theirs.ProtoReflect(), foreign)
				a, unknown := answer(t, strangers[r], m, about)
				b, known := answer(t, strangers[r], m, theirs)
				if a != b || wire(t, unknown) != wire(t, known) {
					t.Errorf("%s tells %s a foreign record from an unknown one:\n%q, %v\n%q, %v", m.full, r, b, known, a, unknown)
				}
				if unknown == nil && !filters(m) {
					t.Errorf("%s answers %s about a record that nobody has: %q", m.full, r, a)
				}
				reached = reached || reasonOf(unknown) != "INVALID_REQUEST" && status.Code(unknown) != codes.InvalidArgument
			}
			if !reached {
				t.Errorf("%s for %s: no request came as far as the record; give sensible a value that does", m.full, r)
			}
		}
	}
	if asked < 20 {
		t.Errorf("only %d methods were asked", asked)
	}
	after, err := w.engine.db.Size(t.Context())
	if err != nil || after != size {
		t.Errorf("strangers left %d entries in the operation log, %v", after-size, err)
	}
}

// replace puts ids into a message, also inside it.
func replace(m protoreflect.Message, about ids) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch id := about[string(f.Name())]; {
		case f.IsList() && f.Message() != nil:
			for i := range v.List().Len() {
				replace(v.List().Get(i).Message(), about)
			}
		case f.Message() != nil && !f.IsMap():
			replace(v.Message(), about)
		case id != "" && f.Kind() == protoreflect.StringKind && !f.IsList():
			m.Set(f, protoreflect.ValueOfString(id))
		}
		return true
	})
}

// wire returns the bytes of a status as they are sent.
func wire(t *testing.T, err error) string {
	t.Helper()
	b, failed := proto.MarshalOptions{Deterministic: true}.Marshal(status.Convert(err).Proto())
	if failed != nil {
		t.Fatal(failed)
	}
	return string(b)
}

// TestTrustOwnersAreKnown asks the owners the same: were everybody told NOT_FOUND, the test above would hold, too.
func TestTrustOwnersAreKnown(t *testing.T) {
	w, mine, _ := owned(t)
	owners := map[pb.Role]*client.Conn{
		pb.Role_ROLE_PORTAL: w.Portal(), pb.Role_ROLE_DOCUMENTS: w.Documents(), pb.Role_ROLE_IDENTITY: w.Identity(),
	}
	for _, want := range []string{"GetEnrolment", "GetCredential", "GetSigningOperation"} {
		for _, m := range methods(t) {
			if string(m.descriptor.Name()) != want {
				continue
			}
			if err := call(t, owners[m.roles[0]], m, example(m, mine, 1)); err != nil {
				t.Errorf("%s of its owner: %v", m.full, err)
			}
		}
	}
}
