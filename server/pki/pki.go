// Package pki serves what verifiers fetch over plain HTTP: the certificates of the CAs (RFC 5280 section 4.2.2.1) and
// their revocation lists (RFC 5280 section 4.2.1.13). Both are signed, so they need no TLS.
package pki

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"time"
)

// Media types (RFC 2585 section 4).
const (
	mediaCertificate = "application/pkix-cert"
	mediaCRL         = "application/pkix-crl"
)

// Authority is one CA: its certificate at /ca/NAME.cer and its revocation list at /crl/NAME.crl, both DER.
type Authority struct {
	Name        string // letters, digits and hyphens, such as "issuing"
	Certificate []byte
	CRL         func(ctx context.Context) ([]byte, error) // newest list; nil: the CA has none
}

// Config wires a Handler. All fields are required.
type Config struct {
	Authorities []Authority
	CRLAge      time.Duration // how long a cache may keep a list; far below its life
	Logger      *slog.Logger
}

const (
	certificateAge = 24 * time.Hour // how long a cache may keep a certificate
	crlTimeout     = 10 * time.Second
)

// Handler answers GET and HEAD for the files of the authorities, and 404 or 405 for everything else.
func Handler(c Config) (http.Handler, error) {
	if len(c.Authorities) == 0 || c.CRLAge <= 0 || c.Logger == nil {
		return nil, errors.New("pki: authorities, age of lists and logger are required")
	}
	mux := http.NewServeMux()
	seen := map[string]bool{}
	valid := regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`)
	for _, a := range c.Authorities {
		if !valid.MatchString(a.Name) || seen[a.Name] || len(a.Certificate) == 0 {
			return nil, fmt.Errorf("pki: authority %q: the name must be new, of letters, digits and hyphens, and have a certificate", a.Name)
		}
		seen[a.Name] = true
		certificate := a.Certificate
		mux.Handle("GET /ca/"+a.Name+".cer", file{mediaCertificate, certificateAge, c.Logger, func(context.Context) ([]byte, error) {
			return certificate, nil
		}})
		if a.CRL != nil {
			mux.Handle("GET /crl/"+a.Name+".crl", file{mediaCRL, c.CRLAge, c.Logger, a.CRL})
		}
	}
	return mux, nil
}

// file serves bytes that exist only as a whole. Ranges are not offered: the files are small.
type file struct {
	media  string
	age    time.Duration
	logger *slog.Logger
	bytes  func(ctx context.Context) ([]byte, error)
}

func (f file) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), crlTimeout)
	defer cancel()
	data, err := f.bytes(ctx)
	if err != nil {
		f.logger.ErrorContext(ctx, "public file not served", "path", r.URL.Path, "error", err)
		w.Header().Set("Retry-After", "5")
		http.Error(w, "temporarily not available", http.StatusServiceUnavailable)
		return
	}
	h := w.Header()
	h.Set("Content-Type", f.media)
	h.Set("Content-Length", strconv.Itoa(len(data)))
	h.Set("Cache-Control", "public, max-age="+strconv.Itoa(int(f.age.Seconds())))
	h.Set("X-Content-Type-Options", "nosniff")
	if r.Method == http.MethodHead {
		return
	}
	_, _ = w.Write(data) // a reader that left is no fault of ours
}

// Server is an http.Server with limits that fit small files and strangers.
type Server struct {
	http *http.Server
}

// NewServer serves h.
func NewServer(h http.Handler, logger *slog.Logger) *Server {
	return &Server{http: &http.Server{
		Handler:           http.MaxBytesHandler(h, 1<<10),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       30 * time.Second,
		MaxHeaderBytes:    8 << 10,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}}
}

// Serve answers on l, which it closes, until Shutdown. It returns nil after a Shutdown.
func (s *Server) Serve(l net.Listener) error {
	if err := s.http.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving public files on %s: %w", l.Addr(), err)
	}
	return nil
}

// Shutdown lets answers finish until ctx ends, then cuts them off.
func (s *Server) Shutdown(ctx context.Context) error {
	if err := s.http.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("public files were still being sent: %w", err), s.http.Close())
	}
	return nil
}
