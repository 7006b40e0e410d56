package server

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"github.com/ecsigner/ecsigner/signer"
	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const requestID = "0b0f7b52-4c3c-4f0a-9d6f-3f3f5f1f2a10"

// testCA issues certificates for one test.
type testCA struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newCA(t *testing.T) *testCA {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "TEST TLS CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &testCA{t: t, key: key, cert: cert}
}

// issue makes a certificate from a template.
func (c *testCA) issue(edit func(*x509.Certificate)) tls.Certificate {
	c.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		c.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature,
	}
	edit(template)
	der, err := x509.CreateCertificate(rand.Reader, template, c.cert, key.Public(), c.key)
	if err != nil {
		c.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der, c.cert.Raw}, PrivateKey: key}
}

func (c *testCA) client(name string, role pb.Role, edit ...func(*x509.Certificate)) tls.Certificate {
	c.t.Helper()
	u, err := url.Parse(RoleURI(role))
	if err != nil {
		c.t.Fatal(err)
	}
	return c.issue(func(t *x509.Certificate) {
		t.Subject = pkix.Name{CommonName: name, Organization: []string{"Acme Ltd"}}
		t.URIs = []*url.URL{u}
		t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		for _, e := range edit {
			e(t)
		}
	})
}

func (c *testCA) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(c.cert)
	return p
}

// lockedBuffer is a log that a test reads while the server writes.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// edge is a running server with fakes behind it.
type edge struct {
	*fakes
	t      *testing.T
	ca     *testCA
	server *Server
	addr   string
	log    *lockedBuffer
	ended  chan error // what Serve returned
}

// config is one that New accepts.
func (e *edge) config() Config {
	log := slog.New(slog.NewTextHandler(e.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	limits := DefaultLimits()
	limits.Rate, limits.Burst, limits.Watch = 1e6, 1e6, time.Millisecond
	return Config{
		Certificate: e.ca.issue(func(t *x509.Certificate) {
			t.DNSNames, t.ExtKeyUsage = []string{"localhost"}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		}),
		Clients: e.ca.pool(), Limits: limits, Enrolments: fakeEnrol{e.fakes}, Credentials: fakeEnrol{e.fakes},
		Signing: fakeSigner{e.fakes}, Augmenting: fakeAugmenting{e.fakes}, Log: fakeLog{e.fakes}, Issuer: fakeIssuer{e.fakes}, Chain: [][]byte{{1}, {2}},
		CRL:    func(ctx context.Context) ([]byte, error) { return []byte{3}, e.enter(ctx, "CRL", "") },
		Logger: log, Now: time.Now,
	}
}

func newEdge(t *testing.T) *edge {
	t.Helper()
	empty := signer.Artifact{ReaderAt: bytes.NewReader(nil), Close: func() error { return nil }}
	return &edge{t: t, ca: newCA(t), log: &lockedBuffer{}, fakes: &fakes{selection: audit.Selection{Next: 1, Size: 1}, operation: signer.View{State: signer.StateSigned}, limit: 1 << 20, result: empty}, ended: make(chan error, 1)}
}

// serve starts on loopback; the server ends with the test.
func serve(t *testing.T, edit ...func(*Config)) *edge {
	t.Helper()
	e := newEdge(t)
	c := e.config()
	for _, f := range edit {
		f(&c)
	}
	var err error
	if e.server, err = New(c); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e.addr = l.Addr().String()
	go func() { e.ended <- e.server.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := e.server.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-e.ended; err != nil {
			t.Error(err)
		}
	})
	return e
}

func (e *edge) dial(edit func(*tls.Config)) *grpc.ClientConn {
	e.t.Helper()
	c := &tls.Config{RootCAs: e.ca.pool(), ServerName: "localhost", MinVersion: tls.VersionTLS12}
	edit(c)
	conn, err := grpc.NewClient(e.addr, grpc.WithTransportCredentials(credentials.NewTLS(c)))
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func (e *edge) as(name string, role pb.Role) *grpc.ClientConn {
	e.t.Helper()
	cert := e.ca.client(name, role)
	return e.dial(func(c *tls.Config) { c.Certificates = []tls.Certificate{cert} })
}

// within gives a call time.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// await waits for c to be closed, and fails the test rather than the whole run when it never is.
func await(t *testing.T, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-within(t).Done():
		t.Fatal("what is waited for did not happen")
	}
}

// reasonOf returns the reason in the ErrorInfo of a status, or "".
func reasonOf(t *testing.T, err error) Reason {
	t.Helper()
	for _, d := range status.Convert(err).Details() {
		if i, ok := d.(*errdetails.ErrorInfo); ok {
			if i.GetDomain() != "ecsigner" {
				t.Errorf("domain %q", i.GetDomain())
			}
			return Reason(i.GetReason())
		}
	}
	return ""
}

// detail returns the detail of the given type.
func detail[D any](err error) (D, bool) {
	for _, d := range status.Convert(err).Details() {
		if x, ok := d.(D); ok {
			return x, true
		}
	}
	var none D
	return none, false
}

// fieldsOf returns the paths of a BadRequest.
func fieldsOf(err error) []string {
	var out []string
	if b, ok := detail[*errdetails.BadRequest](err); ok {
		for _, v := range b.GetFieldViolations() {
			out = append(out, v.GetField())
		}
	}
	return out
}

func wantReason(t *testing.T, err error, code codes.Code, reason Reason) {
	t.Helper()
	if status.Code(err) != code || reasonOf(t, err) != reason {
		t.Fatalf("got %v with reason %q, want %s with %s", err, reasonOf(t, err), code, reason)
	}
	if m, ok := detail[*errdetails.LocalizedMessage](err); !ok || m.GetMessage() == "" {
		t.Errorf("%s carries no remedy", reason)
	}
}
