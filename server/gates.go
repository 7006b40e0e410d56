package server

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"buf.build/go/protovalidate"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"golang.org/x/time/rate"
	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/tap"
	"google.golang.org/protobuf/proto"
)

// gates are what every call passes before the use cases see it.
type gates struct {
	translator
	validator protovalidate.Validator
	limits    Limits
	roles     map[string][]pb.Role // who may call, by full method name
	unaries   map[string]bool      // methods without streams

	mu      sync.Mutex
	clients map[string]*quota // by name; as many as client certificates were issued
}

// quota is what one client has used.
type quota struct {
	bucket  *rate.Limiter
	calls   int
	streams int
	uploads int // of the streams
}

// errPanic: a handler panicked. What it said is in the log only.
var errPanic = errors.New("server: a handler panicked")

func (g *gates) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (resp any, err error) {
	call := g.begin(ctx, info.FullMethod)
	defer func() {
		if p := recover(); p != nil {
			resp, err = nil, panicked(p)
		}
		err = g.end(call, req, err)
	}()
	ctx, cancel, err := g.enter(ctx, call, g.limits.Unary)
	if err != nil {
		return nil, err
	}
	defer cancel()
	if err := g.valid(req); err != nil {
		return nil, err
	}
	leave, err := g.admit(call.client.Name, unaryCall)
	if err != nil {
		return nil, err
	}
	defer leave()
	return next(ctx, req)
}

func (g *gates) stream(srv any, s grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
	call := g.begin(s.Context(), info.FullMethod)
	gated := &gatedStream{ServerStream: s, gates: g}
	defer func() {
		if p := recover(); p != nil {
			err = panicked(p)
		}
		err = g.end(call, gated.first, err)
	}()
	ctx, cancel, err := g.enter(s.Context(), call, g.limits.Stream)
	if err != nil {
		return err
	}
	defer cancel()
	kind := streamCall
	if info.IsClientStream {
		kind = uploadCall
	}
	leave, err := g.admit(call.client.Name, kind)
	if err != nil {
		return err
	}
	defer leave()
	gated.ctx, gated.pace = ctx, newPace(g.limits)
	return next(srv, gated)
}

// tap ends a call at the limit of its method even while gRPC waits for its first message, which the gates below never see:
// a client without a deadline of its own could otherwise wait there for ever.
func (g *gates) tap(ctx context.Context, info *tap.Info) (context.Context, error) {
	limit := g.limits.Stream
	if g.unaries[info.FullMethodName] {
		limit = g.limits.Unary
	}
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, deadlineKey{}, hasDeadline(ctx)), limit)
	context.AfterFunc(ctx, cancel) // the call's own end ends ctx
	return ctx, nil
}

// deadlineKey finds whether the client set a deadline.
type deadlineKey struct{}

func hasDeadline(ctx context.Context) bool {
	_, ok := ctx.Deadline()
	return ok
}

// enter checks deadline and role, and puts the client into the context. No call may take longer than limit.
func (g *gates) enter(ctx context.Context, call *call, limit time.Duration) (context.Context, context.CancelFunc, error) {
	// Libraries that watch the health of a server by themselves set no deadline; the limit below ends them.
	if own, _ := ctx.Value(deadlineKey{}).(bool); !own && call.method != healthpb.Health_Watch_FullMethodName {
		return nil, nil, refuse(ReasonDeadlineRequired)
	}
	c, err := identify(ctx, g.now())
	if err != nil {
		return nil, nil, err
	}
	call.client = c
	if !slices.Contains(g.roles[call.method], c.Role) {
		return nil, nil, refuse(ReasonRole)
	}
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, clientKey{}, c), limit)
	return ctx, cancel, nil
}

// valid holds a message against the rules of the proto.
func (g *gates) valid(req any) error {
	m, ok := req.(proto.Message)
	if !ok {
		return fmt.Errorf("%T is not a proto message", req)
	}
	if malformed(m) {
		return &refusal{reason: ReasonInvalid, cause: errMalformed}
	}
	return g.validator.Validate(m)
}

// kindOf call that is counted.
type kindOf int

const (
	unaryCall kindOf = iota
	streamCall
	uploadCall // a stream from the client: also counted as a stream
)

// admit counts a call against its client's quota until leave is called.
func (g *gates) admit(name string, kind kindOf) (leave func(), err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	q := g.clients[name]
	if q == nil {
		q = &quota{bucket: rate.NewLimiter(g.limits.Rate, g.limits.Burst)}
		g.clients[name] = q
	}
	if !q.bucket.AllowN(g.now(), 1) {
		return nil, refuse(ReasonRate)
	}
	running, limit := &q.calls, g.limits.Calls
	if kind != unaryCall {
		running, limit = &q.streams, g.limits.Streams
	}
	uploads := 0
	if kind == uploadCall {
		uploads = 1
	}
	if *running >= limit || q.uploads+uploads > g.limits.Uploads {
		return nil, refuse(ReasonInFlight)
	}
	*running++
	q.uploads += uploads
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		*running--
		q.uploads -= uploads
	}, nil
}

func panicked(p any) error {
	return fmt.Errorf("%w: %v\n%s", errPanic, p, debug.Stack())
}
