//go:build interop

package interop

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/revinfo"
	"github.com/ecsigner/ecsigner/signer/revinfo/revtest"
	"github.com/ecsigner/ecsigner/signer/tsp"
	"github.com/ecsigner/ecsigner/signer/tsp/tsptest"
)

// signatory is a person's key with its chain, the root last.
type signatory struct {
	key   crypto.Signer
	chain [][]byte
	store string // PKCS#12, for signers that are not ours; the password is "store"
}

func (s signatory) sign(alg cades.Algorithm, digest []byte) ([]byte, error) {
	var opts crypto.SignerOpts = alg.Hash()
	if alg >= cades.PSSWithSHA256 {
		opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: alg.Hash()}
	}
	return s.key.Sign(rand.Reader, digest, opts)
}

// world is a public-key infrastructure on loopback, with lists and OCSP, and authorities of time-stamps with lists. The
// certificates of signatories end soon, so that the time after them can be asked about.
type world struct {
	dir       string
	signatory map[string]signatory // by the kind of key: P-256, P-384, RSA-3072
	tsa       map[string]*tsptest.TSA
	services  map[string]cades.Services // by the kind of key of the time-stamp unit: P-256, RSA-3072
	roots     string                    // files in DER, separated by commas
	rootsPEM  string                    // one file
	issuers   string                    // those below the roots, in DER, separated by commas
	expiry    time.Time                 // of all signatories' certificates
	signedAt  time.Time
	ports     []uint16 // of all servers
}

// theWorld is made once: keys are slow to make, and no test changes it.
var theWorld = sync.OnceValues(newWorld)

func shared(t *testing.T) *world {
	t.Helper()
	judges(t) // makes the folder
	w, err := theWorld()
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func newWorld() (*world, error) {
	now := time.Now().Truncate(time.Second)
	w := &world{
		dir: filepath.Join(dir, "world"), signatory: map[string]signatory{}, tsa: map[string]*tsptest.TSA{},
		services: map[string]cades.Services{}, expiry: now.Add(30 * 24 * time.Hour), signedAt: now,
	}
	if err := os.Mkdir(w.dir, 0o700); err != nil {
		return nil, err
	}
	pki, port, err := authorities()
	if err != nil {
		return nil, err
	}
	ports := []uint16{port}
	anchors := []*x509.Certificate{pki.CA(0).Certificate.Certificate}
	issuers := []*x509.Certificate{pki.Issuing().Certificate.Certificate}
	for name, kind := range map[string]tsptest.Key{"P-256": tsptest.P256, "RSA-3072": tsptest.RSA3072} {
		address, err := serve(func(url string) (http.Handler, error) {
			tsa, err := tsptest.New(tsptest.Options{URL: url, Key: kind, Name: "Test TSA " + name})
			if err != nil {
				return nil, err
			}
			w.tsa[name] = tsa
			return tsa.Handler(), nil
		})
		if err != nil {
			return nil, err
		}
		ports = append(ports, address.Port())
		anchors = append(anchors, w.tsa[name].Root().Certificate)
		issuers = append(issuers, w.tsa[name].CA().Certificate)
	}
	if err := w.writeRoots(anchors, issuers); err != nil {
		return nil, err
	}
	w.ports = ports
	for name := range w.tsa {
		if w.services[name], _, err = servicesOf(name, w.tsa[name].URL(), w.tsa[name].Roots(), anchors, ports); err != nil {
			return nil, err
		}
	}
	if err := w.enrol(pki); err != nil {
		return nil, err
	}
	r, err := bench()
	if err != nil {
		return nil, err
	}
	return w, w.publishList(r, issuers[0])
}

// authorities makes the CAs of the signatories, and tells at which port they answer.
func authorities() (pki *revtest.PKI, port uint16, err error) {
	address, err := serve(func(url string) (h http.Handler, err error) {
		pki, err = revtest.New(revtest.Options{URL: url, Key: revtest.P384})
		return pki, err
	})
	if err != nil {
		return nil, 0, err
	}
	// pyHanko looks for revocation data on a root that signs OCSP answers itself, and there never are any: responders sign.
	for _, ca := range []*revtest.CA{pki.CA(0), pki.Issuing()} {
		responder, err := ca.Issue(revtest.Template{Name: "Responder", Delegate: true})
		if err != nil {
			return nil, 0, err
		}
		ca.SetOCSP(revtest.OCSP{Delegate: responder})
	}
	return pki, address.Port(), nil
}

// serve listens on a port of its own and has the handler that make makes for its address answer.
func serve(make func(url string) (http.Handler, error)) (netip.AddrPort, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return netip.AddrPort{}, err
	}
	h, err := make("http://" + l.Addr().String())
	if err != nil {
		return netip.AddrPort{}, err
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(l) }()
	return netip.ParseAddrPort(l.Addr().String())
}

// servicesOf returns clients of an authority and of the servers on loopback.
func servicesOf(name, url string, roots *x509.CertPool, anchors []*x509.Certificate, ports []uint16) (cades.Services, *revinfo.Collector, error) {
	client, err := tsp.New(tsp.Config{
		Authorities: []tsp.Authority{{Name: name, URL: url, Roots: roots}},
		HTTP:        &http.Client{Transport: &http.Transport{}}, Now: time.Now, Random: rand.Reader,
	})
	if err != nil {
		return cades.Services{}, nil, err
	}
	collector, err := revinfo.New(revinfo.Config{
		Anchors: anchors, Now: time.Now,
		Network: revinfo.Network{Hosts: []string{"127.0.0.1"}, Ports: ports, Inside: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}},
	})
	return cades.Services{Stamper: client, Prover: collector, Now: time.Now}, collector, err
}

func (w *world) writeRoots(anchors, issuers []*x509.Certificate) error {
	var all []byte
	write := func(kind string, certs []*x509.Certificate) (string, error) {
		var names []string
		for i, c := range certs {
			name := filepath.Join(w.dir, kind+strconv.Itoa(i)+".der")
			names = append(names, name)
			if err := os.WriteFile(name, c.Raw, 0o600); err != nil {
				return "", err
			}
		}
		return strings.Join(names, ","), nil
	}
	for _, c := range anchors {
		all = append(all, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	w.rootsPEM = filepath.Join(w.dir, "roots.pem")
	var err error
	if w.roots, err = write("root", anchors); err != nil {
		return err
	}
	if w.issuers, err = write("issuer", issuers); err != nil {
		return err
	}
	return os.WriteFile(w.rootsPEM, all, 0o600)
}

// enrol makes a signatory for every kind of key.
func (w *world) enrol(pki *revtest.PKI) error {
	ca, root := pki.Issuing(), pki.CA(0)
	statements, err := qcStatements()
	if err != nil {
		return err
	}
	for name, make := range map[string]func() (crypto.Signer, error){
		"P-256":    func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) },
		"P-384":    func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P384(), rand.Reader) },
		"RSA-3072": func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 3072) },
	} {
		key, err := make()
		if err != nil {
			return err
		}
		c, err := ca.Issue(revtest.Template{Name: "Шевченко Тарас", Key: key, Change: func(c *x509.Certificate) {
			c.NotAfter = w.expiry
			c.KeyUsage = x509.KeyUsageContentCommitment
			c.ExtraExtensions = append(c.ExtraExtensions, statements)
		}})
		if err != nil {
			return err
		}
		s := signatory{key: key, chain: [][]byte{c.Raw, ca.Raw, root.Raw}}
		if s.store, err = w.pkcs12(name, s); err != nil {
			return err
		}
		w.signatory[name] = s
	}
	return nil
}

func (w *world) pkcs12(name string, s signatory) (string, error) {
	der, err := x509.MarshalPKCS8PrivateKey(s.key)
	if err != nil {
		return "", err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	var above []byte
	for i, c := range s.chain {
		block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c})
		text = append(text, block...)
		if i > 0 {
			above = append(above, block...)
		}
	}
	if err := os.WriteFile(filepath.Join(w.dir, name+".above.pem"), above, 0o600); err != nil {
		return "", err
	}
	in, out := filepath.Join(w.dir, name+".pem"), filepath.Join(w.dir, name+".p12")
	if err := os.WriteFile(in, text, 0o600); err != nil {
		return "", err
	}
	if said, err := exec.CommandContext(context.Background(), "openssl", "pkcs12", "-export", "-in", in, "-out", out, "-passout", "pass:store").CombinedOutput(); err != nil {
		return "", fmt.Errorf("openssl pkcs12: %w\n%s", err, said)
	}
	return out, nil
}
