package server

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

const (
	healthAge     = time.Second     // how long an answer of a part counts, so that many who ask cost no more than one
	healthTimeout = 5 * time.Second // a part that does not answer in time does not work
)

// health answers the standard health service: "" for the whole, the name of a service for what that service needs, or
// the name of one part. Questions are asked of the parts themselves.
type health struct {
	healthpb.UnimplementedHealthServer
	parts    []*part
	needs    map[string][]string // service: names of parts
	logger   *slog.Logger
	watch    time.Duration
	stopping <-chan struct{}
}

// part is one check with its newest answer.
type part struct {
	Check
	mu    sync.Mutex
	asked time.Time
	err   error
}

func newHealth(c Config, stopping <-chan struct{}) *health {
	h := &health{needs: c.Needs, logger: c.Logger, watch: c.Limits.Watch, stopping: stopping}
	for _, check := range c.Health {
		h.parts = append(h.parts, &part{Check: check})
	}
	return h
}

// ask asks the part, unless it was asked a moment ago. The answer is for everybody: one who hangs up does not spoil it.
func (p *part) ask(ctx context.Context, logger *slog.Logger) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.asked) < healthAge {
		return p.err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), healthTimeout)
	defer cancel()
	former := p.err
	p.err, p.asked = p.Test(ctx), time.Now()
	switch {
	case p.err != nil:
		logger.ErrorContext(ctx, "unhealthy", "part", p.Name, "error", p.err)
	case former != nil:
		logger.InfoContext(ctx, "healthy again", "part", p.Name)
	}
	return p.err
}

// status of a service, or SERVICE_UNKNOWN.
func (h *health) status(ctx context.Context, service string) healthpb.HealthCheckResponse_ServingStatus {
	parts := h.parts
	if service != "" {
		parts = slices.DeleteFunc(slices.Clone(h.parts), func(p *part) bool {
			return p.Name != service && !slices.Contains(h.needs[service], p.Name)
		})
		if len(parts) == 0 {
			return healthpb.HealthCheckResponse_SERVICE_UNKNOWN
		}
	}
	select {
	case <-h.stopping:
		return healthpb.HealthCheckResponse_NOT_SERVING
	default:
	}
	serving := healthpb.HealthCheckResponse_SERVING
	for _, p := range parts {
		if p.ask(ctx, h.logger) != nil {
			serving = healthpb.HealthCheckResponse_NOT_SERVING
		}
	}
	return serving
}

// Check tells whether the service, or one part of it, works now.
func (h *health) Check(ctx context.Context, r *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	s := h.status(ctx, r.GetService())
	if s == healthpb.HealthCheckResponse_SERVICE_UNKNOWN {
		return nil, &refusal{reason: ReasonNotFound, field: "service"}
	}
	return &healthpb.HealthCheckResponse{Status: s}, nil
}

// List tells how every service and part is.
func (h *health) List(ctx context.Context, _ *healthpb.HealthListRequest) (*healthpb.HealthListResponse, error) {
	out := &healthpb.HealthListResponse{Statuses: map[string]*healthpb.HealthCheckResponse{}}
	names := []string{""}
	for service := range h.needs {
		names = append(names, service)
	}
	for _, p := range h.parts {
		names = append(names, p.Name)
	}
	for _, name := range names {
		out.Statuses[name] = &healthpb.HealthCheckResponse{Status: h.status(ctx, name)}
	}
	return out, nil
}

// Watch tells how a service is, and again whenever that changes. As the standard wants, a service that is not known is
// no error.
func (h *health) Watch(r *healthpb.HealthCheckRequest, stream grpc.ServerStreamingServer[healthpb.HealthCheckResponse]) error {
	ctx := stream.Context()
	tick := time.NewTicker(h.watch)
	defer tick.Stop()
	last := healthpb.HealthCheckResponse_UNKNOWN
	for {
		if now := h.status(ctx, r.GetService()); now != last {
			last = now
			if err := stream.Send(&healthpb.HealthCheckResponse{Status: now}); err != nil {
				return err
			}
		}
		select {
		case <-tick.C:
		case <-h.stopping:
			if last != healthpb.HealthCheckResponse_NOT_SERVING {
				_ = stream.Send(&healthpb.HealthCheckResponse{Status: healthpb.HealthCheckResponse_NOT_SERVING})
			}
			return refuse(ReasonShutdown)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
