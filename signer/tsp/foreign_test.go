package tsp_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/ecsigner/ecsigner/signer/tsp"
	"github.com/ecsigner/ecsigner/signer/tsp/tsptest"
)

// foreign is a time-stamping authority that OpenSSL alone makes: keys, certificates, answers.
type foreign struct {
	dir string
	url string
	mu  sync.Mutex // OpenSSL counts serial numbers in a file
}

func run(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.Command("openssl", args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("openssl %v: %v\n%s", args, err, out)
	}
}

func newForeign(t *testing.T, key, section string) *foreign {
	t.Helper()
	f := &foreign{dir: t.TempDir()}
	config := `[tsa]
default_tsa = unit
[unit]
dir = .
serial = ./serial
crypto_device = builtin
signer_cert = ./unit.pem
certs = ./ca.pem
signer_key = ./unit.key
default_policy = 1.3.6.1.4.1.99999.1
other_policies = 1.3.6.1.4.1.99999.2
digests = sha256, sha512
` + section + `
[usage]
basicConstraints = CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping
[ca]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
[req]
distinguished_name = name
[name]
`
	if err := os.WriteFile(filepath.Join(f.dir, "tsa.cnf"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	ec := []string{"-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"}
	unit := ec
	switch key {
	case "P-384":
		unit = []string{"-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"}
	case "RSA":
		unit = []string{"-newkey", "rsa:2048"}
	}
	run(t, f.dir, append([]string{"req", "-config", "tsa.cnf", "-x509", "-nodes", "-keyout", "root.key", "-out", "root.pem", "-days", "3650", "-subj", "/CN=Foreign Root", "-extensions", "ca"}, ec...)...)
	for name, kind := range map[string][]string{"ca": ec, "unit": unit} {
		run(t, f.dir, append([]string{"req", "-config", "tsa.cnf", "-new", "-nodes", "-keyout", name + ".key", "-out", name + ".csr", "-subj", "/C=UA/O=Штамп часу/CN=" + name, "-utf8"}, kind...)...)
	}
	run(t, f.dir, "x509", "-req", "-in", "ca.csr", "-CA", "root.pem", "-CAkey", "root.key", "-CAcreateserial", "-out", "ca.pem", "-days", "3650", "-extfile", "tsa.cnf", "-extensions", "ca")
	run(t, f.dir, "x509", "-req", "-in", "unit.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out", "unit.pem", "-days", "365", "-extfile", "tsa.cnf", "-extensions", "usage")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query, err := io.ReadAll(r.Body)
		if err != nil || r.Header.Get("Content-Type") != "application/timestamp-query" {
			t.Errorf("query: %v, %v", r.Header, err)
		}
		w.Header().Set("Content-Type", "application/timestamp-reply")
		_, _ = w.Write(f.reply(t, query))
	}))
	t.Cleanup(server.Close)
	f.url = server.URL
	return f
}

// reply lets OpenSSL answer. It answers what it refuses too.
func (f *foreign) reply(t *testing.T, query []byte) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := os.WriteFile(filepath.Join(f.dir, "query"), query, 0o600); err != nil {
		t.Error(err)
	}
	cmd := exec.Command("openssl", "ts", "-reply", "-config", "tsa.cnf", "-queryfile", "query", "-out", "reply")
	cmd.Dir = f.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("openssl ts -reply: %v\n%s", err, out)
	}
	reply, err := os.ReadFile(filepath.Join(f.dir, "reply"))
	if err != nil {
		t.Error(err)
	}
	return reply
}

func (f *foreign) roots(t *testing.T) *x509.CertPool {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(must(os.ReadFile(filepath.Join(f.dir, "root.pem")))) {
		t.Fatal("no root")
	}
	return pool
}

// Tokens of an authority that is not ours, in the variety that OpenSSL has.
func TestForeignAuthority(t *testing.T) {
	for name, c := range map[string]struct {
		key, section string
		hash         crypto.Hash
		policy       asn1.ObjectIdentifier
	}{
		"P-256":                  {"P-256", "signer_digest = sha256\ness_cert_id_alg = sha256\naccuracy = secs:1, millisecs:500, microsecs:100\nclock_precision_digits = 3", crypto.SHA256, nil},
		"P-384, names, ordering": {"P-384", "signer_digest = sha384\ness_cert_id_alg = sha384\nordering = yes\ntsa_name = yes\ness_cert_id_chain = yes\nclock_precision_digits = 6", crypto.SHA512, asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 2}},
		"RSA, v1":                {"RSA", "signer_digest = sha512\ness_cert_id_alg = sha1", crypto.SHA256, nil},
		"RSA, v1, chain":         {"RSA", "signer_digest = sha256\ness_cert_id_alg = sha1\ness_cert_id_chain = yes\ntsa_name = yes", crypto.SHA512, nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := newForeign(t, c.key, c.section)
			client := newClient(t, tsp.Config{Authorities: []tsp.Authority{{Name: "foreign", URL: f.url, Roots: f.roots(t), Policy: c.policy}}})
			imprint := digest[:]
			if c.hash == crypto.SHA512 {
				sum := sha512.Sum512([]byte("content"))
				imprint = sum[:]
			}
			limit, err := client.MaxSize(context.Background(), c.hash)
			if err != nil {
				t.Fatal(err)
			}
			raw, err := client.StampWithin(context.Background(), c.hash, imprint, limit)
			if err != nil {
				t.Fatal(err)
			}
			token := must(tsp.Parse(raw))
			sameByOpenSSL(t, name, token)
			sameByDigitorus(t, name, token)
			if said := openssl(t, nil, raw, []byte("content"), "ts", "-verify", "-token_in", "-in", "token", "-data", "data", "-CAfile", filepath.Join(f.dir, "root.pem")); !strings.Contains(said, "Verification: OK") {
				t.Error(said)
			}
			// What it refuses is understood.
			if _, err := client.Stamp(context.Background(), crypto.SHA384, make([]byte, 48)); !errors.Is(err, tsp.ErrRejected) || !strings.Contains(err.Error(), "badAlg: Message digest algorithm is not supported.") {
				t.Error(err)
			}
		})
	}
}

func TestForeignAuthorityRefusesPolicy(t *testing.T) {
	f := newForeign(t, "P-256", "signer_digest = sha256")
	client := newClient(t, tsp.Config{Authorities: []tsp.Authority{{Name: "foreign", URL: f.url, Roots: f.roots(t), Policy: asn1.ObjectIdentifier{1, 2, 3}}}})
	if _, err := stampOnce(client); !errors.Is(err, tsp.ErrRejected) || !strings.Contains(err.Error(), "status 2 (rejection), unacceptedPolicy: Requested policy is not supported.") {
		t.Error(err)
	}
}

// OpenSSL as the client of the authority of the tests.
func TestForeignClient(t *testing.T) {
	s := serve(t, tsptest.Options{})
	dir := t.TempDir()
	for i, c := range s.CACertificates() {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint("ca", i, ".pem")), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, args := range map[string][]string{
		"plain":        {"-sha256", "-cert"},
		"SHA-512":      {"-sha512", "-cert"},
		"policy":       {"-sha384", "-cert", "-tspolicy", s.Policy().String()},
		"no nonce":     {"-sha256", "-cert", "-no_nonce"},
		"other policy": {"-sha256", "-cert", "-tspolicy", "1.2.3"},
		"SHA-1":        {"-sha1", "-cert"},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, dir, append([]string{"ts", "-query", "-digest", fmt.Sprintf("%x", make([]byte, map[string]int{"-sha256": 32, "-sha512": 64, "-sha384": 48, "-sha1": 20}[args[0]])), "-out", "query"}, args...)...)
			answer, err := http.Post(s.url, "application/timestamp-query", bytes.NewReader(must(os.ReadFile(filepath.Join(dir, "query"))))) //nolint:noctx // a test's own server
			if err != nil {
				t.Fatal(err)
			}
			reply := must(io.ReadAll(answer.Body))
			_ = answer.Body.Close()
			http.DefaultClient.CloseIdleConnections()
			if err := os.WriteFile(filepath.Join(dir, "reply"), reply, 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("openssl", "ts", "-verify", "-queryfile", "query", "-in", "reply", "-CAfile", "ca1.pem", "-untrusted", "ca0.pem")
			cmd.Dir = dir
			out, _ := cmd.CombinedOutput()
			want := map[string]string{"other policy": "failure codes: unacceptedPolicy", "SHA-1": "failure codes: badAlg"}[name]
			if want == "" {
				want = "Verification: OK"
			}
			if !strings.Contains(string(out), want) {
				t.Errorf("%s", out)
			}
		})
	}
}

// A revocation list of the authority's CA, and the files that its handler serves, by OpenSSL's word.
func TestRevocationLists(t *testing.T) {
	s := serve(t, tsptest.Options{URL: "http://127.0.0.1:1"})
	get := func(name string) []byte {
		answer, err := http.Get(s.url + "/" + name) //nolint:noctx // a test's own server
		if err != nil {
			t.Fatal(err)
		}
		defer http.DefaultClient.CloseIdleConnections()
		defer func() { _ = answer.Body.Close() }()
		return must(io.ReadAll(answer.Body))
	}
	for _, c := range []struct {
		cert        *x509.Certificate
		list, cer   string
		issuer      *x509.Certificate
		revokedNext bool
	}{
		{s.Certificate(), "ca.crl", "ca.cer", s.CACertificates()[0], true},
		{s.CACertificates()[0], "root.crl", "root.cer", s.CACertificates()[1], false},
	} {
		if c.cert.CRLDistributionPoints[0] != "http://127.0.0.1:1/"+c.list || c.cert.IssuingCertificateURL[0] != "http://127.0.0.1:1/"+c.cer {
			t.Errorf("%v, %v", c.cert.CRLDistributionPoints, c.cert.IssuingCertificateURL)
		}
		if !bytes.Equal(get(c.cer), c.issuer.Raw) {
			t.Errorf("%s is not the issuer", c.cer)
		}
		list, err := x509.ParseRevocationList(get(c.list))
		if err != nil || list.CheckSignatureFrom(c.issuer) != nil || len(list.RevokedCertificateEntries) != 0 {
			t.Errorf("%s: %v, %v", c.list, list, err)
		}
	}
	s.Revoke(must(tsp.Parse(stamp(t, s.TSA, tsptest.Faults{}))).Time, 1)
	list := must(x509.ParseRevocationList(must(s.CRL())))
	if len(list.RevokedCertificateEntries) != 1 || list.RevokedCertificateEntries[0].SerialNumber.Cmp(s.Certificate().SerialNumber) != 0 || list.RevokedCertificateEntries[0].ReasonCode != 1 {
		t.Errorf("%v", list.RevokedCertificateEntries)
	}
	own := must(tsptest.New(tsptest.Options{CRL: "http://crl.example/1", OCSP: "http://ocsp.example/1", RootCRL: "http://crl.example/2", RootOCSP: "http://ocsp.example/2"}))
	unit, ca := own.Certificate(), own.CACertificates()[0]
	if unit.CRLDistributionPoints[0] != "http://crl.example/1" || unit.OCSPServer[0] != "http://ocsp.example/1" || ca.CRLDistributionPoints[0] != "http://crl.example/2" || ca.OCSPServer[0] != "http://ocsp.example/2" {
		t.Error("the given addresses are not in the certificates")
	}
}

// In the process the authority stamps as over HTTP.
func TestInProcess(t *testing.T) {
	s := serve(t, tsptest.Options{})
	other := sha256.Sum256([]byte("other content"))
	token := must(tsp.Parse(must(s.Stamp(context.Background(), crypto.SHA256, other[:]))))
	if err := token.Covers(crypto.SHA256, other[:]); err != nil {
		t.Error(err)
	}
	s.Misbehave(tsptest.Faults{Reject: &tsptest.Rejection{Status: 2}})
	if _, err := s.Stamp(context.Background(), crypto.SHA256, other[:]); err == nil {
		t.Error("rejected, and stamped")
	}
	s.Misbehave(tsptest.Faults{Stall: true})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Stamp(ctx, crypto.SHA256, other[:]); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := s.Stamp(context.Background(), crypto.SHA1, other[:20]); err == nil || s.Requests() != 4 {
		t.Errorf("%v; %d requests", err, s.Requests())
	}
}
