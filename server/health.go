package server

import (
	"context"
	"log/slog"

	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// health answers the standard health service: "" for the whole, or the name of one check. Each question is asked of the
// parts themselves. Watching is not offered; clients then ask.
type health struct {
	healthpb.UnimplementedHealthServer
	checks   []Check
	logger   *slog.Logger
	stopping <-chan struct{}
}

// Check tells whether the service, or one part of it, works now.
func (h *health) Check(ctx context.Context, r *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	known := r.GetService() == ""
	serving := healthpb.HealthCheckResponse_SERVING
	for _, c := range h.checks {
		if r.GetService() != "" && r.GetService() != c.Name {
			continue
		}
		known = true
		if err := c.Test(ctx); err != nil {
			h.logger.ErrorContext(ctx, "unhealthy", "part", c.Name, "error", err)
			serving = healthpb.HealthCheckResponse_NOT_SERVING
		}
	}
	if !known {
		return nil, &refusal{reason: ReasonNotFound, field: "service"}
	}
	select {
	case <-h.stopping:
		serving = healthpb.HealthCheckResponse_NOT_SERVING
	default:
	}
	return &healthpb.HealthCheckResponse{Status: serving}, nil
}
