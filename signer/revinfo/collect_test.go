package revinfo_test

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/crypto/ocsp"

	"github.com/ecsigner/ecsigner/signer/revinfo"
	"github.com/ecsigner/ecsigner/signer/revinfo/revtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start is when every test begins.
var start = time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)

// clock stands until it is moved.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) step(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// world is an infrastructure that is reached over TCP on the loopback interface, under names that a fake resolver knows.
type world struct {
	*revtest.PKI
	clock *clock
	port  uint16
}

func newServer(h http.Handler) *http.Server {
	return &http.Server{Handler: h, ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)} // clients that go away are what is tested
}

// serve starts a server, and stops it when the test has ended.
func serve(t testing.TB, h http.Handler) uint16 {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := newServer(h)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("server: %v", err)
		}
	}()
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Errorf("server: %v", err)
		}
		<-done
	})
	return uint16(listener.Addr().(*net.TCPAddr).Port)
}

func newWorld(t testing.TB, o revtest.Options) *world {
	t.Helper()
	return newWorldAt(t, o, start)
}

func newWorldAt(t testing.TB, o revtest.Options, now time.Time) *world {
	t.Helper()
	w := &world{clock: &clock{now: now}}
	o.URL, o.Now = "http://pki.test", w.clock.Now
	var err error
	if w.PKI, err = revtest.New(o); err != nil {
		t.Fatal(err)
	}
	w.port = serve(t, w.PKI)
	return w
}

// config trusts the root. The name pki.test has a public address, and whoever dials that gets the test's server.
func (w *world) config() revinfo.Config {
	cfg := w.networkConfig()
	cfg.Anchors = []*x509.Certificate{w.CA(0).Certificate.Certificate}
	return cfg
}

func (w *world) networkConfig() revinfo.Config {
	return revinfo.Config{
		Now: w.clock.Now,
		Network: revinfo.Network{
			Hosts: []string{"pki.test"}, Timeout: 30 * time.Second,
			Resolve: func(_ context.Context, host string) ([]netip.Addr, error) {
				if host != "pki.test" {
					return nil, errors.New("no such name")
				}
				return []netip.Addr{netip.MustParseAddr("93.184.216.34")}, nil
			},
			Dial: func(ctx context.Context, _ netip.AddrPort) (net.Conn, error) {
				var d net.Dialer
				return d.DialContext(ctx, "tcp", netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), w.port).String())
			},
		},
	}
}

func collector(t testing.TB, c revinfo.Config) *revinfo.Collector {
	t.Helper()
	col, err := revinfo.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(col.Close)
	return col
}

func issue(t testing.TB, ca *revtest.CA, template revtest.Template) *revtest.Certificate {
	t.Helper()
	c, err := ca.Issue(template)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestGood collects for each kind of key and each order of sources, and looks at what came.
func TestGood(t *testing.T) {
	for name, key := range map[string]revtest.Key{"P-256": revtest.P256, "P-384": revtest.P384, "RSA": revtest.RSA, "RSA-PSS": revtest.RSAPSS} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, revtest.Options{Key: key, Depth: 3})
			leaf := issue(t, w.Issuing(), revtest.Template{})
			for _, crlFirst := range []bool{false, true} {
				cfg := w.config()
				cfg.CRLFirst = crlFirst
				e, err := collector(t, cfg).Collect(t.Context(), leaf.Raw, nil, start)
				if err != nil {
					t.Fatal(err)
				}
				want := [][]byte{leaf.Raw, w.CA(2).Raw, w.CA(1).Raw, w.CA(0).Raw}
				if !slices.EqualFunc(e.Certificates, want, slices.Equal[[]byte]) {
					t.Errorf("%d certificates; want leaf, two CAs and root, in order", len(e.Certificates))
				}
				if crlFirst && (len(e.CRLs) != 3 || len(e.OCSPs) != 0) || !crlFirst && (len(e.CRLs) != 0 || len(e.OCSPs) != 3) {
					t.Errorf("lists first %v: %d lists, %d answers", crlFirst, len(e.CRLs), len(e.OCSPs))
				}
				for i, der := range e.CRLs { // that on the leaf first
					l, err := x509.ParseRevocationList(der)
					if err == nil {
						err = l.CheckSignatureFrom(w.CA(2 - i).Certificate.Certificate)
					}
					if err != nil {
						t.Errorf("list %d: %v", i, err)
					}
				}
			}
		})
	}
}

// TestEvidenceIsReadByOthers has golang.org/x/crypto/ocsp judge the answers.
func TestEvidenceIsReadByOthers(t *testing.T) {
	w := newWorld(t, revtest.Options{})
	leaf := issue(t, w.Issuing(), revtest.Template{})
	w.Issuing().SetOCSP(revtest.OCSP{Delegate: issue(t, w.Issuing(), revtest.Template{Name: "Responder", Delegate: true})})
	e, err := collector(t, w.config()).Collect(t.Context(), leaf.Raw, nil, start)
	if err != nil {
		t.Fatal(err)
	}
	if len(e.Certificates) != 4 {
		t.Errorf("%d certificates; want leaf, CA, root and responder", len(e.Certificates))
	}
	r, err := ocsp.ParseResponseForCert(e.OCSPs[0], leaf.Certificate, w.Issuing().Certificate.Certificate)
	if err != nil || r.Status != ocsp.Good {
		t.Errorf("x/crypto/ocsp: %v, %v", r, err)
	}
	if asked := strings.Join(w.Requests(), "\n"); strings.Contains(asked, ".crl") || strings.Count(asked, "GET /1/ca.cer") != 1 {
		t.Errorf("requests: %v", asked)
	}
}
