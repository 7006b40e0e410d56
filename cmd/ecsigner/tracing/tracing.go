// Package tracing exports spans of calls and of the steps in them over OTLP. It is the only package that knows
// OpenTelemetry: the use cases are traced from outside, at the ports that they declare.
//
// A span tells a method or a step, how long it took, and whether it failed, by a status code. It never tells a client, a
// record, a text or an error's words, and nothing that a client sent but the numbers of its own trace.
package tracing

import (
	"context"
	"fmt"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/stats"
)

// Config says where spans go.
type Config struct {
	Endpoint string      // host:port of an OTLP collector over gRPC
	Insecure bool        // without TLS, as to a collector on the same machine
	Ratio    float64     // part of the calls that is traced, 0 to 1; a client that traces its own call decides for it
	Version  string      // of the program
	Failed   func(error) // is told when spans could not be sent
}

// Tracing is a running export. A nil one traces nothing and changes nothing.
type Tracing struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
}

// Start connects in the background: a collector that is away costs nothing but its spans.
func Start(ctx context.Context, c Config) (*Tracing, error) {
	otel.SetErrorHandler(otel.ErrorHandlerFunc(c.Failed)) // the library has one for the process
	options := []otlptracegrpc.Option{otlptracegrpc.WithEndpoint(c.Endpoint)}
	if c.Insecure {
		options = append(options, otlptracegrpc.WithInsecure())
	}
	exporter, err := otlptracegrpc.New(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("tracing.endpoint: %w", err)
	}
	provider := sdk.NewTracerProvider(
		sdk.WithBatcher(exporter),
		sdk.WithSampler(sdk.ParentBased(sdk.TraceIDRatioBased(c.Ratio))),
		sdk.WithResource(resource.NewSchemaless( // nothing of the machine or its environment
			attribute.String("service.name", "ecsigner"), attribute.String("service.version", c.Version),
		)),
		sdk.WithRawSpanLimits(sdk.SpanLimits{
			AttributeValueLengthLimit: 128, AttributeCountLimit: 16, EventCountLimit: 0, LinkCountLimit: 0,
			AttributePerEventCountLimit: 0, AttributePerLinkCountLimit: 0,
		}),
	)
	return &Tracing{provider: provider, tracer: provider.Tracer("github.com/ecsigner/ecsigner")}, nil
}

// Flush sends what has ended.
func (t *Tracing) Flush(ctx context.Context) error { return t.provider.ForceFlush(ctx) }

// Close sends what is left, as long as ctx lasts.
func (t *Tracing) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	return t.provider.Shutdown(ctx)
}

// Handler traces every call but those about health; nil when nothing is traced.
func (t *Tracing) Handler() stats.Handler {
	if t == nil {
		return nil
	}
	return otelgrpc.NewServerHandler(
		otelgrpc.WithTracerProvider(t.provider), otelgrpc.WithMeterProvider(noop.NewMeterProvider()), otelgrpc.WithPropagators(numbers{}),
		otelgrpc.WithFilter(func(i *stats.RPCTagInfo) bool {
			return i.FullMethodName != healthpb.Health_Check_FullMethodName && i.FullMethodName != healthpb.Health_Watch_FullMethodName &&
				i.FullMethodName != healthpb.Health_List_FullMethodName
		}),
	)
}

// step runs f in a span. Its error is told by the status alone.
func step[T any](ctx context.Context, t *Tracing, name string, f func(context.Context) (T, error)) (T, error) {
	ctx, span := t.tracer.Start(ctx, name)
	defer span.End()
	v, err := f(ctx)
	if err != nil {
		span.SetStatus(codes.Error, "")
	}
	return v, err
}

// numbers takes from a client the numbers of its trace and nothing else: tracestate and baggage are its own words.
type numbers struct{}

var _ propagation.TextMapPropagator = numbers{}

// Extract implements propagation.TextMapPropagator.
func (numbers) Extract(ctx context.Context, carrier propagation.TextMapCarrier) context.Context {
	c := trace.SpanContextFromContext(propagation.TraceContext{}.Extract(ctx, carrier))
	if !c.IsValid() {
		return ctx
	}
	return trace.ContextWithRemoteSpanContext(ctx, c.WithTraceState(trace.TraceState{}))
}

// Inject implements propagation.TextMapPropagator. Nothing is passed on.
func (numbers) Inject(context.Context, propagation.TextMapCarrier) {}

// Fields implements propagation.TextMapPropagator.
func (numbers) Fields() []string { return []string{"traceparent"} }
