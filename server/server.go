// Package server is the edge: gRPC over mutual TLS 1.3 in, calls of the use cases inside, their errors to status codes.
//
// A client is who its certificate says: the common name is the name, the one subject alternative name
// urn:ecsigner:role:NAME is the role, the organisation is what signatories are shown. Every call passes the same gates in
// the same order: recovery, deadline, role, limits of the message, rate, errors. What may call what stands in the proto.
package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"buf.build/go/protovalidate"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"golang.org/x/time/rate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/stats"
)

// Limits of every connection and message.
const (
	maxMessage = 1 << 20  // from a client, at the least
	chunkSize  = 64 << 10 // of what is streamed to a client
)

// Config wires a Server. All fields but Faults and Called are required.
type Config struct {
	Certificate tls.Certificate // of the server, with its chain
	Clients     *x509.CertPool  // the CAs that issue client certificates; no others count
	Limits      Limits

	Enrolments  Enrolments
	Credentials Credentials
	Signing     Signing
	Augmenting  Augmenting
	Log         Log
	Issuer      ClientIssuer
	Chain       [][]byte                                  // DER certificates of the CA: issuing first, root last
	CRL         func(ctx context.Context) ([]byte, error) // newest revocation list of the issuing CA

	Health []Check
	// Needs says which checks the health of a service, by its full name, depends on.
	Needs map[string][]string
	// Reflection lets every client with a certificate ask what services there are, with their messages.
	Reflection bool
	// Faults names errors of packages that the edge does not know, such as a lost device.
	Faults []Fault
	Logger *slog.Logger
	Now    func() time.Time
	// Stats sees every call as gRPC does; nil: nobody does.
	Stats stats.Handler
	// Called is told of every call that ended. It must not block; nil: nobody is.
	Called func(Call)
}

// Call is what may be counted of a call: nothing of a person, and as few values as there are methods and reasons.
type Call struct {
	Method string // full name, as gRPC writes it
	Reason Reason // "" when it was answered
	Took   time.Duration
}

// Limits of clients. All but Connections are for one client name, whatever the number of its connections.
type Limits struct {
	Rate    rate.Limit    // calls a second
	Burst   int           // calls at once above the rate
	Calls   int           // unary calls in progress
	Streams int           // streaming calls in progress
	Uploads int           // of these, documents that are being uploaded
	Unary   time.Duration // longest a unary call may take; longer deadlines are cut
	Stream  time.Duration // longest a streaming call may take
	Watch   time.Duration // how often a watched record is looked at

	Message    int           // bytes of one message from a client
	UploadRate int           // bytes a second that a client sending a stream must keep, on average
	Idle       time.Duration // longest wait for its first bytes, and for it to take a message
	KeepAlive  time.Duration // shortest time between its keep-alive pings

	Connections        int // in all
	ConnectionsPerHost int // from one address
}

// DefaultLimits let one client make 500 calls a second, 256 at a time.
func DefaultLimits() Limits {
	return Limits{
		Rate: 500, Burst: 500, Calls: 256, Streams: 64, Uploads: 16,
		Unary: 2 * time.Minute, Stream: 15 * time.Minute, Watch: 500 * time.Millisecond,
		Message: maxMessage, UploadRate: 4 << 10, Idle: 30 * time.Second, KeepAlive: 10 * time.Second,
		Connections: 2048, ConnectionsPerHost: 512,
	}
}

// Check is one part of the health of the service.
type Check struct {
	Name string // asked for as the service's name, such as "hsm"
	Test func(ctx context.Context) error
}

// Server is the gRPC edge.
type Server struct {
	config   Config
	grpc     *grpc.Server
	gates    *gates
	stopping chan struct{} // closed when Shutdown begins: watchers leave
	stop     sync.Once
}

// New checks the wiring and that every method of every service declares who may call it.
func New(c Config) (*Server, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if c.Called == nil {
		c.Called = func(Call) {}
	}
	s := &Server{config: c, stopping: make(chan struct{})}
	validator, err := newValidator()
	if err != nil {
		return nil, err
	}
	s.gates = &gates{
		translator: translator{faults: c.Faults, logger: c.Logger, now: c.Now, called: c.Called},
		validator:  validator, limits: c.Limits, clients: map[string]*quota{}, unaries: map[string]bool{},
	}
	options := []grpc.ServerOption{
		grpc.Creds(credentials.NewTLS(tlsConfig(c))),
		grpc.ChainUnaryInterceptor(s.gates.unary),
		grpc.ChainStreamInterceptor(s.gates.stream),
		grpc.ForceServerCodecV2(newCodec()),
		grpc.MaxRecvMsgSize(c.Limits.Message),
		grpc.InTapHandle(s.gates.tap),
		grpc.MaxConcurrentStreams(uint32(min(c.Limits.Calls+c.Limits.Streams, 1<<16))), //nolint:gosec // positive, bounded here
		grpc.MaxHeaderListSize(16 << 10),
		grpc.ConnectionTimeout(10 * time.Second),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: c.Limits.KeepAlive, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionIdle: 10 * time.Minute, MaxConnectionAge: 30 * time.Minute, MaxConnectionAgeGrace: c.Limits.Stream,
			Time: time.Minute, Timeout: 20 * time.Second,
		}),
	}
	if c.Stats != nil {
		options = append(options, grpc.StatsHandler(c.Stats))
	}
	s.grpc = grpc.NewServer(options...)
	pb.RegisterEnrolmentServiceServer(s.grpc, &enrolments{Enrolments: c.Enrolments, watch: c.Limits.Watch, stopping: s.stopping})
	pb.RegisterCredentialServiceServer(s.grpc, &credentialsService{Credentials: c.Credentials})
	pb.RegisterDocumentServiceServer(s.grpc, &documents{Signing: c.Signing})
	pb.RegisterAugmentationServiceServer(s.grpc, &augmentation{Augmenting: c.Augmenting, watch: c.Limits.Watch, stopping: s.stopping})
	pb.RegisterSigningServiceServer(s.grpc, &signing{Signing: c.Signing, watch: c.Limits.Watch, stopping: s.stopping})
	pb.RegisterCaServiceServer(s.grpc, &authority{chain: c.Chain, crl: c.CRL})
	pb.RegisterAuditServiceServer(s.grpc, &auditLog{Log: c.Log, watch: c.Limits.Watch, stopping: s.stopping})
	pb.RegisterAdminServiceServer(s.grpc, &admin{Vouchers: c.Enrolments, Credentials: c.Credentials, ClientIssuer: c.Issuer})
	healthpb.RegisterHealthServer(s.grpc, newHealth(c, s.stopping))
	if c.Reflection {
		reflection.Register(s.grpc)
	}
	for name, info := range s.grpc.GetServiceInfo() {
		for _, m := range info.Methods {
			s.gates.unaries["/"+name+"/"+m.Name] = !m.IsClientStream && !m.IsServerStream
		}
	}
	if s.gates.roles, err = declaredRoles(s.grpc.GetServiceInfo()); err != nil {
		return nil, err
	}
	return s, nil
}

// Serve answers on l, which it closes, until Shutdown. It returns nil after a Shutdown.
func (s *Server) Serve(l net.Listener) error {
	l = limitConnections(l, s.config.Limits.Connections, s.config.Limits.ConnectionsPerHost)
	if err := s.grpc.Serve(l); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serving gRPC on %s: %w", l.Addr(), err)
	}
	return nil
}

// Shutdown takes no new calls, ends watchers and lets other calls finish. When ctx ends before they have, they are cut
// off and its error is returned: what they were doing can be taken up again, as after a crash.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stop.Do(func() { close(s.stopping) })
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.grpc.GracefulStop()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		s.grpc.Stop()
		<-done
		return fmt.Errorf("calls were still in progress: %w", ctx.Err())
	}
}

// InFlight tells how many calls and streams of all clients are in progress now.
func (s *Server) InFlight() (calls, streams int) {
	s.gates.mu.Lock()
	defer s.gates.mu.Unlock()
	for _, q := range s.gates.clients {
		calls, streams = calls+q.calls, streams+q.streams
	}
	return calls, streams
}

func (c Config) check() error {
	switch {
	case len(c.Certificate.Certificate) == 0 || c.Clients == nil:
		return errors.New("server: its certificate and the CAs of its clients are required")
	case c.Enrolments == nil || c.Credentials == nil || c.Signing == nil || c.Augmenting == nil || c.Log == nil || c.Issuer == nil:
		return errors.New("server: enrolments, credentials, signing, log and issuer of client certificates are required")
	case len(c.Chain) == 0 || c.CRL == nil:
		return errors.New("server: chain and revocation list of the CA are required")
	case c.Logger == nil || c.Now == nil:
		return errors.New("server: logger and clock are required")
	case c.Limits.Rate <= 0 || c.Limits.Burst < 1 || c.Limits.Calls < 1 || c.Limits.Streams < 1:
		return errors.New("server: rate, burst, calls and streams of a client must be above zero")
	case c.Limits.Uploads < 1 || c.Limits.Message < maxMessage || c.Limits.UploadRate < 1:
		return fmt.Errorf("server: uploads and upload rate must be above zero, a message %d bytes or more", maxMessage)
	case c.Limits.Idle <= 0 || c.Limits.KeepAlive <= 0 || c.Limits.Connections < 1 || c.Limits.ConnectionsPerHost < 1:
		return errors.New("server: idle and keep-alive times and numbers of connections must be above zero")
	case c.Limits.Unary <= 0 || c.Limits.Stream <= 0 || c.Limits.Watch <= 0:
		return errors.New("server: durations of calls must be above zero")
	}
	for _, f := range c.Faults {
		if _, ok := f.Reason.answer(); !ok || f.Err == nil {
			return fmt.Errorf("server: fault %w has the unknown reason %q", f.Err, f.Reason)
		}
	}
	return nil
}

// tlsConfig demands TLS 1.3 and a client certificate. Without session tickets every connection shows its certificate
// anew.
func tlsConfig(c Config) *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Certificates:           []tls.Certificate{c.Certificate},
		ClientAuth:             tls.RequireAndVerifyClientCert,
		ClientCAs:              c.Clients,
		SessionTicketsDisabled: true,
		Time:                   c.Now,
	}
}

// newValidator compiles the rules of all requests now rather than at the first call.
func newValidator() (protovalidate.Validator, error) {
	v, err := protovalidate.New(protovalidate.WithMessageDescriptors(requests()...))
	if err != nil {
		return nil, fmt.Errorf("compiling the rules of the proto: %w", err)
	}
	return v, nil
}
