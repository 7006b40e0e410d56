package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// Anyone on the network can call nothing without a client certificate of this service's CA over TLS 1.3.
func TestTrustNetwork(t *testing.T) {
	e := serve(t)
	stranger := newCA(t)
	good := e.ca.client("dms", pb.Role_ROLE_DOCUMENTS)
	for name, edit := range map[string]func(*tls.Config){
		"no certificate": func(*tls.Config) {},
		"TLS 1.2":        func(c *tls.Config) { c.Certificates, c.MaxVersion = []tls.Certificate{good}, tls.VersionTLS12 },
		"certificate of another CA": func(c *tls.Config) {
			other := stranger.client("dms", pb.Role_ROLE_DOCUMENTS)
			c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &other, nil }
		},
		"server's certificate": func(c *tls.Config) {
			c.Certificates = []tls.Certificate{e.ca.client("dms", pb.Role_ROLE_DOCUMENTS, func(t *x509.Certificate) {
				t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
			})}
		},
		"ended certificate": func(c *tls.Config) {
			c.Certificates = []tls.Certificate{e.ca.client("dms", pb.Role_ROLE_DOCUMENTS, func(t *x509.Certificate) {
				t.NotAfter = time.Now().Add(-time.Minute)
			})}
		},
	} {
		t.Run(name, func(t *testing.T) {
			conn := e.dial(edit)
			_, err := pb.NewCaServiceClient(conn).GetChain(within(t), &pb.GetChainRequest{})
			if status.Code(err) != codes.Unavailable || reasonOf(t, err) != "" {
				t.Errorf("the handshake was not refused: %v", err)
			}
		})
	}
	if e.last() != "" {
		t.Errorf("a call came through: %s", e.last())
	}
	conn := e.dial(func(c *tls.Config) { c.Certificates = []tls.Certificate{good} })
	if _, err := pb.NewCaServiceClient(conn).GetChain(within(t), &pb.GetChainRequest{}); err != nil {
		t.Errorf("a good certificate is refused: %v", err)
	}
}

// A certificate that ends while its connection is open no longer counts.
func TestTrustEndedDuringConnection(t *testing.T) {
	var ahead atomic.Int64
	e := serve(t, func(c *Config) {
		c.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
	ca := pb.NewCaServiceClient(e.as("dms", pb.Role_ROLE_DOCUMENTS))
	if _, err := ca.GetChain(within(t), &pb.GetChainRequest{}); err != nil {
		t.Fatal(err)
	}
	ahead.Store(int64(2 * time.Hour))
	_, err := ca.GetChain(within(t), &pb.GetChainRequest{})
	wantReason(t, err, codes.Unauthenticated, ReasonNotAuthenticated)
}

// open calls any method with an empty request and returns its status.
func open(ctx context.Context, conn *grpc.ClientConn, m method) error {
	if !m.descriptor.IsStreamingClient() && !m.descriptor.IsStreamingServer() {
		return conn.Invoke(ctx, m.full, m.request(), m.response())
	}
	s, err := conn.NewStream(ctx, &grpc.StreamDesc{
		ClientStreams: m.descriptor.IsStreamingClient(), ServerStreams: m.descriptor.IsStreamingServer(),
	}, m.full)
	if err != nil {
		return err
	}
	_ = s.SendMsg(m.request()) // its failure is told by RecvMsg
	_ = s.CloseSend()
	return s.RecvMsg(m.response())
}

// Every method declares roles; every role that it does not declare is refused before the message is looked at.
func TestTrustRoles(t *testing.T) {
	e := serve(t)
	conns := map[pb.Role]*grpc.ClientConn{}
	for _, r := range roles() {
		conns[r] = e.as("client-"+RoleName(r), r)
	}
	for _, m := range methods() {
		if len(m.roles) == 0 {
			t.Errorf("%s declares no role", m.full)
		}
		for r, conn := range conns {
			err := open(within(t), conn, m)
			if slices.Contains(m.roles, r) {
				if reason := reasonOf(t, err); reason == ReasonRole {
					t.Errorf("%s refuses %s, which it declares", m.full, r)
				}
				continue
			}
			if status.Code(err) != codes.PermissionDenied || reasonOf(t, err) != ReasonRole {
				t.Errorf("%s for %s: %v", m.full, r, err)
			}
		}
	}
	if len(roles()) != 6 {
		t.Errorf("%d roles, want 6", len(roles()))
	}
}

func TestDeadlineRequired(t *testing.T) {
	e := serve(t)
	for _, m := range methods() {
		conn := e.as("c", m.roles[0])
		err := open(context.Background(), conn, m)
		if status.Code(err) != codes.InvalidArgument || reasonOf(t, err) != ReasonDeadlineRequired {
			t.Errorf("%s: %v", m.full, err)
		}
		_ = conn.Close()
	}
	_, err := healthpb.NewHealthClient(e.as("c", pb.Role_ROLE_OPERATOR)).Check(context.Background(), &healthpb.HealthCheckRequest{})
	wantReason(t, err, codes.InvalidArgument, ReasonDeadlineRequired)
}

// A longer deadline than the limit is cut: no handler runs for ever.
func TestDeadlineIsCut(t *testing.T) {
	e := serve(t)
	var left time.Duration
	e.on(func(ctx context.Context, _ string) error {
		d, _ := ctx.Deadline()
		left = time.Until(d)
		return nil
	})
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Hour)
	defer cancel()
	_, err := pb.NewSigningServiceClient(e.as("dms", pb.Role_ROLE_DOCUMENTS)).GetSigningOperation(ctx, &pb.GetSigningOperationRequest{OperationId: "op-1"})
	if err != nil {
		t.Fatal(err)
	}
	if left > DefaultLimits().Unary {
		t.Errorf("%v are left, at most %v", left, DefaultLimits().Unary)
	}
}

// A certificate that can be read in two ways names nobody.
func TestParseClient(t *testing.T) {
	uris := func(texts ...string) []*url.URL {
		var out []*url.URL
		for _, text := range texts {
			u, err := url.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, u)
		}
		return out
	}
	ca := newCA(t)
	parse := func(edit func(*x509.Certificate)) (Client, error) {
		c := ca.client("dms.example", pb.Role_ROLE_DOCUMENTS, edit)
		leaf, err := x509.ParseCertificate(c.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		return ParseClient(leaf)
	}
	for _, r := range roles() {
		got, err := parse(func(c *x509.Certificate) { c.URIs = uris(RoleURI(r)) })
		if err != nil || got != (Client{Name: "dms.example", Display: "Acme Ltd", Role: r}) {
			t.Errorf("%s: %+v, %v", r, got, err)
		}
	}
	for name, edit := range map[string]func(*x509.Certificate){
		"no role": func(c *x509.Certificate) { c.URIs = nil },
		"two roles": func(c *x509.Certificate) {
			c.URIs = uris(RoleURI(pb.Role_ROLE_PORTAL), RoleURI(pb.Role_ROLE_DOCUMENTS))
		},
		"role and another": func(c *x509.Certificate) { c.URIs = uris(RoleURI(pb.Role_ROLE_PORTAL), "spiffe://x/y") },
		"unknown role":     func(c *x509.Certificate) { c.URIs = uris(rolePrefix + "root") },
		"no role name":     func(c *x509.Certificate) { c.URIs = uris(rolePrefix) },
		"unspecified":      func(c *x509.Certificate) { c.URIs = uris(rolePrefix + "unspecified") },
		"upper case":       func(c *x509.Certificate) { c.URIs = uris(rolePrefix + "PORTAL") },
		"role with more":   func(c *x509.Certificate) { c.URIs = uris(rolePrefix + "portal?x=1") },
		"no name":          func(c *x509.Certificate) { c.Subject.CommonName = "" },
		"name with blank":  func(c *x509.Certificate) { c.Subject.CommonName = "a b" },
		"long name":        func(c *x509.Certificate) { c.Subject.CommonName = strings.Repeat("a", 65) },
		"two names": func(c *x509.Certificate) {
			c.Subject = pkix.Name{Organization: []string{"Acme Ltd"}, ExtraNames: []pkix.AttributeTypeAndValue{
				{Type: []int{2, 5, 4, 3}, Value: "a"}, {Type: []int{2, 5, 4, 3}, Value: "dms.example"},
			}}
		},
		"no display":             func(c *x509.Certificate) { c.Subject.Organization = nil },
		"two displays":           func(c *x509.Certificate) { c.Subject.Organization = []string{"A", "B"} },
		"display with line":      func(c *x509.Certificate) { c.Subject.Organization = []string{"A\nB"} },
		"display with direction": func(c *x509.Certificate) { c.Subject.Organization = []string{"A\u202eB"} },
		"display too long":       func(c *x509.Certificate) { c.Subject.Organization = []string{strings.Repeat("ж", 65)} },
	} {
		if got, err := parse(edit); err == nil {
			t.Errorf("%s: accepted as %+v", name, got)
		}
	}
}

// A client whose certificate names no role is refused with a reason of its own, and nothing of its certificate.
func TestUnknownRoleIsRefused(t *testing.T) {
	e := serve(t)
	u, err := url.Parse(rolePrefix + "root")
	if err != nil {
		t.Fatal(err)
	}
	cert := e.ca.client("dms", pb.Role_ROLE_DOCUMENTS, func(c *x509.Certificate) { c.URIs = []*url.URL{u} })
	conn := e.dial(func(c *tls.Config) { c.Certificates = []tls.Certificate{cert} })
	_, err = pb.NewCaServiceClient(conn).GetChain(within(t), &pb.GetChainRequest{})
	wantReason(t, err, codes.PermissionDenied, ReasonClientUnknown)
	if strings.Contains(err.Error(), "root") {
		t.Errorf("the answer quotes the certificate: %v", err)
	}
}

// An operator cannot make an officer; every other role it can, and an officer can make all.
func TestTrustOperatorMakesNoOfficer(t *testing.T) {
	e := serve(t)
	operator := pb.NewAdminServiceClient(e.as("op", pb.Role_ROLE_OPERATOR))
	officer := pb.NewAdminServiceClient(e.as("off", pb.Role_ROLE_OFFICER))
	for _, r := range roles() {
		request := &pb.CreateClientRequest{RequestId: requestID, Name: "new", DisplayName: "New Ltd", Role: r, Csr: []byte{1}}
		_, err := operator.CreateClient(within(t), request)
		if r == pb.Role_ROLE_OFFICER {
			wantReason(t, err, codes.PermissionDenied, ReasonRole)
		} else if err != nil || e.issued.Role != RoleName(r) || e.last() != "Issue op" {
			t.Errorf("%s: %v, issued %+v", r, err, e.issued)
		}
		if _, err := officer.CreateClient(within(t), request); err != nil {
			t.Errorf("officer, %s: %v", r, err)
		}
	}
}

// A document system is asked about under its own name; staff see all.
func TestTrustCallersSeeTheirOwn(t *testing.T) {
	e := serve(t)
	for _, c := range []struct {
		role pb.Role
		want string
	}{{pb.Role_ROLE_DOCUMENTS, "Credential me"}, {pb.Role_ROLE_OPERATOR, "Credential "}, {pb.Role_ROLE_OFFICER, "Credential "}} {
		_, err := pb.NewCredentialServiceClient(e.as("me", c.role)).GetCredential(within(t), &pb.GetCredentialRequest{CredentialId: "cred-1"})
		if err != nil || e.last() != c.want {
			t.Errorf("%s: %v, asked %q", c.role, err, e.last())
		}
	}
	_, err := pb.NewSigningServiceClient(e.as("me", pb.Role_ROLE_DOCUMENTS)).GetSigningOperation(within(t), &pb.GetSigningOperationRequest{OperationId: "op-1"})
	if err != nil || e.last() != "Get me/Acme Ltd" {
		t.Errorf("%v, asked %q", err, e.last())
	}
}
