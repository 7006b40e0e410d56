package revinfo_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/signer/revinfo"
	"github.com/ecsigner/ecsigner/signer/revinfo/revtest"
)

// TestLoopback goes to a server on this machine without any fake: by its address, by its name, and over TLS.
func TestLoopback(t *testing.T) {
	inside := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	for _, host := range []string{"127.0.0.1", "localhost"} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := listener.Addr().(*net.TCPAddr).Port
		pki, err := revtest.New(revtest.Options{URL: fmt.Sprintf("http://%s:%d", host, port)})
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.Server{Listener: listener, Config: newServer(pki)}
		server.Start()
		t.Cleanup(server.Close)
		leaf := issue(t, pki.Issuing(), revtest.Template{})
		cfg := revinfo.Config{
			Anchors: []*x509.Certificate{pki.CA(0).Certificate.Certificate}, Now: time.Now,
			Network: revinfo.Network{Hosts: []string{host}, Ports: []uint16{uint16(port)}, Inside: inside},
		}
		if e, err := collector(t, cfg).Collect(t.Context(), leaf.Raw, nil, time.Now()); err != nil || len(e.OCSPs) != 2 {
			t.Errorf("%s: %d answers, %v", host, len(e.OCSPs), err)
		}
		cfg.Network.Inside = nil
		if _, err := collector(t, cfg).Collect(t.Context(), leaf.Raw, nil, time.Now()); err == nil || !strings.Contains(err.Error(), "it is not public") {
			t.Errorf("%s, nothing inside being allowed: %v", host, err)
		}
	}

	w := newWorld(t, revtest.Options{Depth: 1})
	server := httptest.NewUnstartedServer(w.PKI)
	server.Config = newServer(w.PKI)
	server.StartTLS()
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	leaf := issue(t, w.CA(0), revtest.Template{Change: at(strings.Replace(w.CA(0).CRLURL(), "http://pki.test", server.URL, 1))})
	cfg := w.config()
	cfg.Network = revinfo.Network{AnyHost: true, Ports: []uint16{uint16(port)}, Inside: inside}
	if _, err := collector(t, cfg).Collect(t.Context(), leaf.Raw, nil, start); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a server that the system does not trust: %v", err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	cfg.Network.TLS = &tls.Config{RootCAs: roots}
	if _, err := collector(t, cfg).Collect(t.Context(), leaf.Raw, nil, start); err != nil {
		t.Error(err)
	}
}
