package engine

import (
	"context"
	"encoding/hex"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/config"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/system"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

// spans is an OTLP collector that keeps what it gets.
type spans struct {
	collector.UnimplementedTraceServiceServer
	mu    sync.Mutex
	all   []*tracepb.Span
	bytes strings.Builder // of every message
}

func (s *spans) Export(_ context.Context, r *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	b, err := proto.Marshal(r)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes.Write(b)
	for _, resource := range r.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			s.all = append(s.all, scope.GetSpans()...)
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

func collect(t *testing.T) (*spans, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, server := &spans{}, grpc.NewServer()
	collector.RegisterTraceServiceServer(server, s)
	go func() { _ = server.Serve(l) }()
	t.Cleanup(server.Stop)
	return s, l.Addr().String()
}

// TestTraces exports the spans of an issuing, of a signature and of refusals, and holds them to what they may tell: the
// steps, in the client's own trace, and nothing of persons, clients, records, texts or codes.
func TestTraces(t *testing.T) {
	got, endpoint := collect(t)
	w := newWorld(t, func(c *config.Config) { c.Tracing = config.Tracing{Endpoint: endpoint, Insecure: true, Ratio: 1} })
	credential := w.Credential(1)
	const trace, title = "0af7651916cd43dd8448eb211c80319c", "Canary title Їжак"
	ctx := metadata.AppendToOutgoingContext(t.Context(),
		"traceparent", "00-"+trace+"-b7ad6b7169203331-01", "tracestate", "canary=statetext", "baggage", "canary=baggagetext", "x-canary", "headertext",
	)
	o, code := w.Operation(credential, title, pb.SignatureFormat_SIGNATURE_FORMAT_RAW, "text")
	wrong := "000000"
	if code == wrong {
		wrong = "111111"
	}
	if _, err := w.Authorize(o.GetId(), wrong); reasonOf(err) != "CODE_REJECTED" {
		t.Fatal(err)
	}
	if _, err := w.Documents().Signing.AuthorizeSigningOperation(ctx, &pb.AuthorizeSigningOperationRequest{
		RequestId: "0b0f7b52-4c3c-4f0a-9d6f-3f3f5f1f2a10", OperationId: o.GetId(), Code: code,
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Documents().Signing.GetSigningOperation(ctx, &pb.GetSigningOperationRequest{OperationId: "op-canary-unknown"}); reasonOf(err) != "NOT_FOUND" {
		t.Fatal(err)
	}
	if _, err := w.Documents().Signing.GetSigningOperation(ctx, &pb.GetSigningOperationRequest{OperationId: "canary not valid"}); reasonOf(err) != "INVALID_REQUEST" {
		t.Fatal(err)
	}
	flush, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := w.engine.tracing.Flush(flush); err != nil {
		t.Fatal(err)
	}
	got.mu.Lock()
	defer got.mu.Unlock()
	names := map[string]int{}
	own := map[string]int{}
	for _, s := range got.all {
		names[s.GetName()]++
		if hex.EncodeToString(s.GetTraceId()) == trace {
			own[s.GetName()]++
		}
		for _, a := range s.GetAttributes() {
			if !slices.Contains(attributes(), a.GetKey()) {
				t.Errorf("%s tells %s = %v", s.GetName(), a.GetKey(), a.GetValue())
			}
		}
		if len(s.GetEvents())+len(s.GetLinks()) != 0 || s.GetTraceState() != "" {
			t.Errorf("%s has %d events, %d links, state %q", s.GetName(), len(s.GetEvents()), len(s.GetLinks()), s.GetTraceState())
		}
	}
	for _, name := range []string{"sam.generate", "ca.sign", "sam.seal_enrolment", "sam.seal_binding", "sam.seal_operation", "sam.match", "store.commit", "store.view"} {
		if names[name] == 0 {
			t.Errorf("no span %s among %v", name, names)
		}
	}
	for _, name := range []string{"ecsigner.v1.SigningService/AuthorizeSigningOperation", "sam.match", "sam.activate", "sam.sign", "store.commit", "log.receipt"} {
		if own[name] == 0 {
			t.Errorf("the client's trace lacks %s: %v", name, own)
		}
	}
	if n := names["sam.sign"]; n != 1 {
		t.Errorf("one signature was made, %d spans say so", n)
	}
	person := system.Person(1)
	for _, secret := range []string{
		code, wrong, title, "Canary", credential, o.GetId(), "documents", "portal", "Client ", person.GetSurname(), person.GetGivenName(),
		person.GetIdentifier(), strings.TrimPrefix(person.GetPhone(), "+"), "canary", "statetext", "baggagetext", "headertext",
		"0b0f7b52-4c3c-4f0a-9d6f-3f3f5f1f2a10", "The code is wrong",
	} {
		if strings.Contains(got.bytes.String(), secret) {
			t.Errorf("the spans hold %q", secret)
		}
	}
}

// attributes are all keys that a span may have; none takes a value from a request.
func attributes() []string {
	return []string{
		"rpc.system", "rpc.system.name", "rpc.service", "rpc.method", "rpc.grpc.status_code", "rpc.response.status_code", "error.type",
		"network.peer.address", "network.peer.port", "server.address", "server.port", "client.address", "client.port",
	}
}

// TestTracesWithoutCollector: a collector that is away costs the service nothing.
func TestTracesWithoutCollector(t *testing.T) {
	w := newWorld(t, func(c *config.Config) { c.Tracing = config.Tracing{Endpoint: "127.0.0.1:1", Insecure: true, Ratio: 1} })
	w.Credential(1)
}
