// Package webhook takes the callbacks of identity providers over HTTP. What it answers with success is durable; the work
// is done afterwards, by somebody else. It tells nobody whether there is such a session.
package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/time/rate"
)

// Errors of a Taker that have an answer of their own. All others mean "not now": the provider tries again.
var (
	// ErrRefused: the callback is not authentic.
	ErrRefused = errors.New("webhook: callback refused")
	// ErrUnreadable: the callback is authentic but makes no sense; it makes none the next time either.
	ErrUnreadable = errors.New("webhook: callback cannot be read")
)

// Taker takes what a provider sent. When it returns nil the callback is durable; one that was taken before is nil too.
type Taker func(ctx context.Context, provider string, header http.Header, body []byte) error

// Limits bound what a stranger can cost.
type Limits struct {
	Body        int64         // bytes
	Time        time.Duration // of one request, from its first byte to the answer
	Connections int           // at the same time
}

// DefaultLimits fit all providers we know: they send a few kilobytes and wait for ten seconds.
func DefaultLimits() Limits {
	return Limits{Body: 256 << 10, Time: 8 * time.Second, Connections: 128}
}

// Handler answers POST /identity/PROVIDER.
func Handler(take Taker, limits Limits, logger *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	refusals := rate.NewLimiter(1, 10) // lines that strangers can cause
	mux.HandleFunc("POST /identity/{provider}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limits.Body))
		if err != nil {
			status := http.StatusBadRequest
			if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
				status = http.StatusRequestEntityTooLarge
			}
			w.WriteHeader(status)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), limits.Time)
		defer cancel()
		err = take(ctx, r.PathValue("provider"), r.Header, body)
		w.WriteHeader(status(w, err))
		if err != nil && refusals.Allow() {
			logger.WarnContext(ctx, "callback refused", "error", err)
		}
	})
	return mux
}

func status(w http.ResponseWriter, err error) int {
	switch {
	case err == nil:
		return http.StatusOK
	case errors.Is(err, ErrRefused):
		return http.StatusUnauthorized
	case errors.Is(err, ErrUnreadable):
		return http.StatusBadRequest
	}
	w.Header().Set("Retry-After", "5")
	return http.StatusServiceUnavailable
}

// Server is an http.Server for strangers who send little.
type Server struct {
	http   *http.Server
	limits Limits
}

// NewServer serves h, over TLS when a certificate is given.
func NewServer(h http.Handler, limits Limits, certificate *tls.Certificate, logger *slog.Logger) *Server {
	s := &Server{limits: limits, http: &http.Server{
		Handler:           h,
		ReadHeaderTimeout: limits.Time / 2,
		ReadTimeout:       limits.Time,
		WriteTimeout:      2 * limits.Time,
		IdleTimeout:       limits.Time,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}}
	if certificate != nil {
		s.http.TLSConfig = &tls.Config{Certificates: []tls.Certificate{*certificate}, MinVersion: tls.VersionTLS12}
	}
	return s
}

// Serve answers on l, which it closes, until Shutdown. It returns nil after a Shutdown.
func (s *Server) Serve(l net.Listener) error {
	address := l.Addr()
	l = &bounded{Listener: l, slots: make(chan struct{}, s.limits.Connections), closed: make(chan struct{})}
	var err error
	if s.http.TLSConfig != nil {
		err = s.http.ServeTLS(l, "", "")
	} else {
		err = s.http.Serve(l)
	}
	if err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving callbacks on %s: %w", address, err)
	}
	return nil
}

// Shutdown lets answers finish until ctx ends, then cuts them off.
func (s *Server) Shutdown(ctx context.Context) error {
	if err := s.http.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("callbacks were still being answered: %w", err), s.http.Close())
	}
	return nil
}
