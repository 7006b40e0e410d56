package levels_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/cades/cadestest"
	"github.com/ecsigner/ecsigner/signer/cades/levels"
	"github.com/ecsigner/ecsigner/signer/cms"
	"github.com/ecsigner/ecsigner/signer/revinfo"
	"github.com/ecsigner/ecsigner/signer/revinfo/revtest"
	"github.com/ecsigner/ecsigner/signer/tsp"
	"github.com/ecsigner/ecsigner/signer/tsp/tsptest"
)

// TestRealServices raises with the clients of the product, over HTTP: the signer's authority answers by OCSP, its root and the
// time-stamping authority have revocation lists.
func TestRealServices(t *testing.T) {
	const pkiURL, tsaURL = "http://pki.test", "http://tsa.test"
	pki := cadestest.Must(revtest.New(revtest.Options{URL: pkiURL}))
	tsa := cadestest.Must(tsptest.New(tsptest.Options{URL: tsaURL}))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host == "tsa.test" {
			tsa.Handler().ServeHTTP(w, r)
			return
		}
		pki.ServeHTTP(w, r)
	}))
	defer server.Close()
	dial := func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", server.Listener.Addr().String())
	}
	collector := cadestest.Must(revinfo.New(revinfo.Config{
		Anchors: []*x509.Certificate{pki.CA(0).Certificate.Certificate, tsa.Root().Certificate}, Now: time.Now,
		Network: revinfo.Network{
			Hosts: []string{"pki.test", "tsa.test"}, Timeout: 5 * time.Second,
			Resolve: func(context.Context, string) ([]netip.Addr, error) {
				return []netip.Addr{netip.MustParseAddr("93.184.216.34")}, nil
			},
			Dial: func(ctx context.Context, _ netip.AddrPort) (net.Conn, error) { return dial(ctx) },
		},
	}))
	client := cadestest.Must(tsp.New(tsp.Config{
		Authorities: []tsp.Authority{{Name: "test", URL: tsaURL, Roots: tsa.Roots()}}, Now: time.Now, Random: rand.Reader,
		HTTP: &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }}},
	}))
	s := cades.Services{Stamper: client, Prover: collector, Now: time.Now}

	leaf := cadestest.Must(pki.Issuing().Issue(revtest.Template{Name: "Signer"}))
	id := cadestest.Identity{Key: leaf.Key, Chain: [][]byte{leaf.Raw, pki.Issuing().Raw, pki.CA(0).Raw}}
	content := []byte("content")
	data := cadestest.Assemble(t, cades.CAdES, id, cades.ECDSAWithSHA256, content)
	for _, to := range []cades.Level{cades.LevelBT, cades.LevelBLT, cades.LevelBLTA, cades.LevelBLTA} {
		data = raise(t, data, cadestest.Detached(content), to, s)
	}
	answers := 0
	sd := cadestest.Must(cms.Parse(data))
	for _, info := range sd.RevocationInfos {
		if _, ok := cms.OCSP(info); ok {
			answers++
		}
	}
	if answers == 0 || answers == len(sd.RevocationInfos) {
		t.Errorf("%d OCSP answers of %d revocation infos", answers, len(sd.RevocationInfos))
	}
	if said := cadestest.OpenSSL(t, id, data, content); !strings.Contains(said, "CAdES Verification successful") {
		t.Errorf("openssl: %s", said)
	}

	// Revoked before: B-T can still be had, B-LT cannot.
	revoked := cadestest.Must(pki.Issuing().Issue(revtest.Template{Name: "Signer"}))
	pki.Issuing().Revoke(revoked.SerialNumber, time.Now().Add(-time.Minute), 1)
	id = cadestest.Identity{Key: revoked.Key, Chain: [][]byte{revoked.Raw, pki.Issuing().Raw, pki.CA(0).Raw}}
	data = raise(t, cadestest.Assemble(t, cades.CAdES, id, cades.ECDSAWithSHA256, content), cadestest.Detached(content), cades.LevelBT, s)
	var out bytes.Buffer
	if err := levels.AugmentTo(t.Context(), &out, cadestest.Must(cms.Parse(data)), cadestest.Detached(content), cades.LevelBLT, s); !errors.Is(err, revinfo.ErrRevoked) || out.Len() > 0 {
		t.Errorf("revoked: %v", err)
	}
}
