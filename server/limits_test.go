package server

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"buf.build/go/protovalidate"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// exchange sends one request and reads all answers.
func exchange(ctx context.Context, conn *grpc.ClientConn, m method, request proto.Message) error {
	if m.descriptor.IsStreamingServer() { // what is followed does not end by itself
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, 100*time.Millisecond)
		defer cancel()
	}
	s, err := conn.NewStream(ctx, &grpc.StreamDesc{
		ClientStreams: m.descriptor.IsStreamingClient(), ServerStreams: true,
	}, m.full, grpc.MaxCallRecvMsgSize(maxMessage))
	if err != nil {
		return err
	}
	_ = s.SendMsg(request)
	_ = s.CloseSend()
	for {
		switch err := s.RecvMsg(m.response()); {
		case errors.Is(err, io.EOF), m.descriptor.IsStreamingServer() && status.Code(err) == codes.DeadlineExceeded:
			return nil
		case err != nil:
			return err
		}
	}
}

// The largest request that the proto allows comes through every method, and its answer fits a message.
func TestLargestRequests(t *testing.T) {
	e := serve(t)
	v, err := newValidator()
	if err != nil {
		t.Fatal(err)
	}
	conns := map[pb.Role]*grpc.ClientConn{}
	for _, r := range roles() {
		conns[r] = e.as("c", r)
	}
	for _, m := range methods() {
		request := largestOf(m.descriptor.Input())
		if request == nil {
			t.Errorf("no largest request for %s", m.full)
			continue
		}
		if err := v.Validate(request); err != nil {
			t.Errorf("%s: not valid: %v", m.full, err)
		}
		if n := proto.Size(request); n > maxMessage {
			t.Errorf("%s: the largest request has %d bytes and never arrives", m.full, n)
		}
		err := exchange(within(t), conns[m.roles[0]], m, request)
		switch code := status.Code(err); {
		case err == nil:
		case code == codes.OutOfRange, code == codes.NotFound: // the offset or index is
		case m.descriptor.Name() == "UploadDocument" && reasonOf(t, err) == ReasonDocumentEmpty:
		default:
			t.Errorf("%s: %v", m.full, err)
		}
	}
}

// Whatever one field is changed to, a request is answered or refused with the field named; never Internal, never a
// panic.
func TestFieldsOverTheirLimits(t *testing.T) {
	e := serve(t)
	conns := map[pb.Role]*grpc.ClientConn{}
	for _, r := range roles() {
		conns[r] = e.as("c", r)
	}
	cases := 0
	for _, m := range methods() {
		request := largestOf(m.descriptor.Input())
		for _, c := range mutations(request) {
			cases++
			err := exchange(within(t), conns[m.roles[0]], m, c.request)
			switch {
			case status.Code(err) == codes.Internal || status.Code(err) == codes.Unknown:
				t.Errorf("%s with %s: %v", m.full, c.name, err)
			case c.refused && (reasonOf(t, err) != ReasonInvalid || len(fieldsOf(err)) == 0):
				t.Errorf("%s with %s was not refused by its field: %v %v", m.full, c.name, err, fieldsOf(err))
			case c.refused && !strings.Contains(strings.Join(fieldsOf(err), " "), c.field):
				t.Errorf("%s with %s: fields %v", m.full, c.name, fieldsOf(err))
			}
		}
	}
	if cases < 250 {
		t.Errorf("only %d cases", cases)
	}
	if strings.Contains(e.log.String(), "reason=INTERNAL") {
		t.Error("the log holds an internal error")
	}
}

type mutation struct {
	name    string
	field   string // last part of its path
	request proto.Message
	refused bool
}

// mutations changes every field of a message, also inside messages, one at a time.
func mutations(m proto.Message) []mutation {
	var all []mutation
	change := func(name, field string, refused bool, f func(protoreflect.Message, protoreflect.FieldDescriptor), path []protoreflect.FieldDescriptor) {
		c := proto.Clone(m)
		target := c.ProtoReflect()
		for _, p := range path[:len(path)-1] {
			if p.IsList() {
				target = target.Mutable(p).List().Get(0).Message()
			} else {
				target = target.Mutable(p).Message()
			}
		}
		f(target, path[len(path)-1])
		all = append(all, mutation{name, field, c, refused})
	}
	var walk func(d protoreflect.MessageDescriptor, path []protoreflect.FieldDescriptor)
	walk = func(d protoreflect.MessageDescriptor, path []protoreflect.FieldDescriptor) {
		if d.FullName() == "google.protobuf.Timestamp" {
			return
		}
		for i := range d.Fields().Len() {
			f := d.Fields().Get(i)
			here := append(append([]protoreflect.FieldDescriptor{}, path...), f)
			name := string(f.FullName())
			field := string(f.Name())
			if f.IsList() && f.Message() == nil {
				continue // cmd/ecsigner/engine tries these
			}
			switch f.Kind() {
			case protoreflect.StringKind:
				set := func(text string) func(protoreflect.Message, protoreflect.FieldDescriptor) {
					return func(m protoreflect.Message, f protoreflect.FieldDescriptor) {
						if f.IsList() {
							m.Mutable(f).List().Set(0, protoreflect.ValueOfString(text))
							return
						}
						m.Set(f, protoreflect.ValueOfString(text))
					}
				}
				if f.IsList() {
					change(name+" too many", field, true, func(m protoreflect.Message, f protoreflect.FieldDescriptor) {
						m.Mutable(f).List().Append(protoreflect.ValueOfString("onemore"))
					}, here)
					change(name+" twice", field, true, func(m protoreflect.Message, f protoreflect.FieldDescriptor) {
						l := m.Mutable(f).List()
						l.Set(0, l.Get(1))
					}, here)
				}
				for what, text := range map[string]string{
					"too long": strings.Repeat("9", 300), "control": "a\x00b", "line": "a\nb", "huge": strings.Repeat("x", 400<<10),
				} {
					change(name+" "+what, field, true, set(text), here)
				}
				change(name+" empty", field, false, set(""), here)
			case protoreflect.BytesKind:
				change(name+" too long", field, true, func(m protoreflect.Message, f protoreflect.FieldDescriptor) {
					m.Set(f, protoreflect.ValueOfBytes(make([]byte, 600<<10)))
				}, here)
			case protoreflect.EnumKind:
				change(name+" unknown", field, true, func(m protoreflect.Message, f protoreflect.FieldDescriptor) {
					m.Set(f, protoreflect.ValueOfEnum(99))
				}, here)
				change(name+" negative", field, true, func(m protoreflect.Message, f protoreflect.FieldDescriptor) {
					m.Set(f, protoreflect.ValueOfEnum(-1))
				}, here)
			case protoreflect.Uint32Kind:
				change(name+" max", field, true, func(m protoreflect.Message, f protoreflect.FieldDescriptor) {
					m.Set(f, protoreflect.ValueOfUint32(1<<32-1))
				}, here)
			case protoreflect.Int64Kind:
				change(name+" negative", field, true, func(m protoreflect.Message, f protoreflect.FieldDescriptor) {
					m.Set(f, protoreflect.ValueOfInt64(-1))
				}, here)
			case protoreflect.MessageKind:
				change(name+" absent", field, false, func(m protoreflect.Message, f protoreflect.FieldDescriptor) {
					m.Clear(f)
				}, here)
				if f.IsList() {
					change(name+" too many", field, true, func(m protoreflect.Message, f protoreflect.FieldDescriptor) {
						l := m.Mutable(f).List()
						l.Append(l.Get(0))
					}, here)
				}
				walk(f.Message(), here)
			}
		}
	}
	walk(m.ProtoReflect().Descriptor(), nil)
	return all
}

// Required things are required: an empty request of a method with fields is refused, in all its fields.
func TestEmptyRequests(t *testing.T) {
	v, err := newValidator()
	if err != nil {
		t.Fatal(err)
	}
	allowed := map[string]bool{
		"ListEnrolmentsRequest": true, "ListCredentialsRequest": true, "GetChainRequest": true, "GetCrlRequest": true,
		"GetCheckpointRequest":         true,
		"ListSigningOperationsRequest": true,
		"FollowEntriesRequest":         true,
		"GetConsistencyProofRequest":   true,
		"GetReceiptRequest":            true,
		"ListEntriesRequest":           true,
		"ListProductsRequest":          true,
	}
	for _, m := range methods() {
		err := v.Validate(m.request())
		var rules *protovalidate.ValidationError
		if allowed[string(m.descriptor.Input().Name())] != (err == nil) {
			t.Errorf("%s: %v", m.full, err)
		}
		if err != nil && !errors.As(err, &rules) {
			t.Errorf("%s: %v", m.full, err)
		}
	}
}

// Every call that changes something carries a request id that must be a UUID.
func TestMutatingCallsCarryRequestIDs(t *testing.T) {
	for _, m := range methods() {
		options, ok := m.descriptor.Options().(*descriptorpb.MethodOptions)
		if !ok {
			t.Fatalf("%s: no method options", m.full)
		}
		d := m.descriptor.Input()
		if d.Name() == "UploadDocumentRequest" {
			d = d.Fields().ByName("metadata").Message()
		}
		has := d.Fields().ByName("request_id") != nil
		// IDEMPOTENT is what only ever does the same: that it is read is noted once.
		reads := options.GetIdempotencyLevel() != descriptorpb.MethodOptions_IDEMPOTENCY_UNKNOWN
		if reads == has {
			t.Errorf("%s: reads only %v, has a request id %v", m.full, reads, has)
		}
	}
}

func TestRateAndCallsInProgress(t *testing.T) {
	t.Run("rate", func(t *testing.T) {
		e := serve(t, func(c *Config) { c.Limits.Rate, c.Limits.Burst = 1e-6, 2 })
		busy := pb.NewCaServiceClient(e.as("busy", pb.Role_ROLE_DOCUMENTS))
		for range 2 {
			if _, err := busy.GetChain(within(t), &pb.GetChainRequest{}); err != nil {
				t.Fatal(err)
			}
		}
		again := pb.NewCaServiceClient(e.as("busy", pb.Role_ROLE_DOCUMENTS)) // a new connection buys nothing
		_, err := again.GetChain(within(t), &pb.GetChainRequest{})
		wantReason(t, err, codes.ResourceExhausted, ReasonRate)
		if r, ok := detail[*errdetails.RetryInfo](err); !ok || r.GetRetryDelay().AsDuration() <= 0 {
			t.Error("no delay is named")
		}
		other := pb.NewCaServiceClient(e.as("other", pb.Role_ROLE_DOCUMENTS))
		if _, err := other.GetChain(within(t), &pb.GetChainRequest{}); err != nil {
			t.Errorf("another client suffers: %v", err)
		}
	})
	t.Run("calls in progress", func(t *testing.T) {
		e := serve(t, func(c *Config) { c.Limits.Calls = 1 })
		entered, leave := make(chan struct{}), make(chan struct{})
		e.on(func(_ context.Context, method string) error {
			if method == "SendCode" {
				close(entered)
				<-leave
			}
			return nil
		})
		client := pb.NewSigningServiceClient(e.as("busy", pb.Role_ROLE_DOCUMENTS))
		first := make(chan error, 1)
		go func() {
			_, err := client.SendCode(within(t), &pb.SendCodeRequest{RequestId: requestID, OperationId: "op-1"})
			first <- err
		}()
		await(t, entered)
		_, err := client.GetSigningOperation(within(t), &pb.GetSigningOperationRequest{OperationId: "op-1"})
		wantReason(t, err, codes.ResourceExhausted, ReasonInFlight)
		close(leave)
		if err := <-first; err != nil {
			t.Fatal(err)
		}
		if _, err := client.GetSigningOperation(within(t), &pb.GetSigningOperationRequest{OperationId: "op-1"}); err != nil {
			t.Errorf("the place was not given back: %v", err)
		}
	})
}

// A message above 1 MiB does not get in.
func TestMessageTooLarge(t *testing.T) {
	e := serve(t)
	_, err := pb.NewEnrolmentServiceClient(e.as("idp", pb.Role_ROLE_IDENTITY)).ReportIdentityResult(within(t), &pb.ReportIdentityResultRequest{
		Evidence: make([]byte, maxMessage+1),
	})
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("%v", err)
	}
}
