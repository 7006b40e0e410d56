package revinfo_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/signer/revinfo"
	"github.com/ecsigner/ecsigner/signer/revinfo/revtest"
)

// notBytes are faults of the way to the bytes, which openssl cannot be asked about.
var notBytes = []string{
	"no GET", "garbage", "nothing", "huge", "huge and says so", "slow", "compressed", "not found", "server error", "no content", "of another issuer",
}

// openssl runs it in a directory and returns what it said.
func openssl(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("openssl", args...)
	cmd.Dir = dir
	out, _ := cmd.CombinedOutput() // its words are judged, not its exit code, which is 0 for a bad answer
	return string(out)
}

func put(t *testing.T, dir, name, kind string, ders ...[]byte) {
	t.Helper()
	var b bytes.Buffer
	for _, der := range ders {
		if kind == "" {
			b.Write(der)
		} else if err := pem.Encode(&b, &pem.Block{Type: kind, Bytes: der}); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, name), b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// judged sets one fault up and compares our verdict with that of openssl; differ are the cases in which they are not the
// same, with the reason.
func judged(t *testing.T, faults []fault, only func(*x509.Certificate), differ map[string]string, judge func(w *world, leaf *revtest.Certificate, dir string) (string, bool)) {
	now := time.Now().UTC().Truncate(time.Second)
	asked := 0
	for _, f := range faults {
		skip := false
		for _, n := range notBytes {
			skip = skip || n == f.name
		}
		if skip {
			continue
		}
		asked++
		w := newWorldAt(t, revtest.Options{}, now)
		leaf := issue(t, w.Issuing(), revtest.Template{Change: only})
		f.set(w, leaf)
		_, err := collector(t, w.config()).Collect(t.Context(), leaf.Raw, nil, now)
		dir := t.TempDir()
		put(t, dir, "leaf.pem", "CERTIFICATE", leaf.Raw)
		put(t, dir, "ca.pem", "CERTIFICATE", w.Issuing().Raw)
		put(t, dir, "root.pem", "CERTIFICATE", w.CA(0).Raw)
		out, accepted := judge(w, leaf, dir)
		why, mayDiffer := differ[f.name]
		switch same := accepted == (err == nil); {
		case !same && !mayDiffer:
			t.Errorf("%s: we say %v, openssl: %s", f.name, err, out)
		case same && mayDiffer:
			t.Errorf("%s: openssl agrees, although: %s", f.name, why)
		}
	}
	if asked < 15 {
		t.Errorf("openssl was asked %d times", asked)
	}
}

// TestOpenSSLJudgesAnswers has `openssl ocsp` look at every answer that we accept or refuse.
func TestOpenSSLJudgesAnswers(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Second)
	differ := map[string]string{
		"delegate with critical statements and no check": "it refuses where these are critical; there are trust services whose responders are such",
		"responder with a key for agreement only":        "it does not look at the key usage of a responder",
		"revoked responder":                              "it is given nothing about responders",
		"responder that nothing is said about":           "it asks for nothing about responders",
		"responder that only answers for itself":         "it asks for nothing about responders",
		"critical extension of the answer":               "it does not look at extensions; RFC 6960 section 4.4 demands it",
		"critical extension of the part":                 "it does not look at extensions; RFC 6960 section 4.4 demands it",
		"bytes behind":                                   "it reads as far as it needs",
		"among too many others":                          "it has no limit of its own",
	}
	judged(t, ocspFaults(t, now), onlyOCSP, differ, func(w *world, leaf *revtest.Certificate, dir string) (string, bool) {
		put(t, dir, "answer.der", "", must(t)(w.Issuing().OCSP(request(t, leaf, w.Issuing()))))
		out := openssl(t, dir, "ocsp", "-respin", "answer.der", "-issuer", "ca.pem", "-cert", "leaf.pem", "-CAfile", "root.pem", "-verify_other", "ca.pem", "-no_nonce", "-validity_period", "300", "-status_age", "86400")
		return out, strings.Contains(out, "Response verify OK") && strings.Contains(out, "leaf.pem: good") && !strings.Contains(out, "WARNING")
	})
}

// TestOpenSSLJudgesLists has `openssl verify -crl_check_all` and `openssl crl -verify` look at every list that we accept or
// refuse.
func TestOpenSSLJudgesLists(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Second)
	differ := map[string]string{
		"older than a day":          "it knows no age",
		"no nextUpdate":             "it takes it for a list without an end; RFC 5280 section 5.1.2.5 demands one",
		"delta":                     "it takes a delta list for a full one",
		"delta that hides it":       "it takes a delta list for a full one",
		"broken distribution point": "it leaves out an extension that it cannot read",
		"the same extension twice":  "it takes the first; RFC 5280 section 4.2 forbids a second",
		"bytes behind":              "there is nothing behind a list in PEM",
	}
	judged(t, crlFaults(t, now), onlyCRL, differ, func(w *world, _ *revtest.Certificate, dir string) (string, bool) {
		put(t, dir, "lists.pem", "X509 CRL", must(t)(w.Issuing().CRL()), must(t)(w.CA(0).CRL()))
		out := openssl(t, dir, "verify", "-CAfile", "root.pem", "-untrusted", "ca.pem", "-CRLfile", "lists.pem", "-crl_check_all", "leaf.pem")
		put(t, dir, "list.pem", "X509 CRL", must(t)(w.Issuing().CRL()))
		signature := openssl(t, dir, "crl", "-in", "list.pem", "-noout", "-verify", "-CAfile", "ca.pem")
		return out + signature, strings.Contains(out, "leaf.pem: OK") && strings.Contains(signature, "verify OK")
	})
}

// authority is a CA that consists of openssl alone.
type authority struct {
	t   *testing.T
	dir string
}

func (a authority) run(args ...string) {
	a.t.Helper()
	cmd := exec.Command("openssl", args...)
	cmd.Dir = a.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		a.t.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func (a authority) der(name string) []byte {
	a.t.Helper()
	b, err := os.ReadFile(filepath.Join(a.dir, name))
	if err != nil {
		a.t.Fatal(err)
	}
	if block, _ := pem.Decode(b); block != nil {
		return block.Bytes
	}
	return b
}

const opensslConfig = `
[ca]
default_ca = own
[own]
dir = .
database = index.txt
serial = serial
new_certs_dir = .
default_md = sha256
default_days = 30
default_crl_days = 7
policy = any
certificate = ca.pem
private_key = ca.key
crl_extensions = list
unique_subject = no
[any]
commonName = supplied
[list]
authorityKeyIdentifier = keyid
[leaf]
basicConstraints = CA:FALSE
keyUsage = critical, nonRepudiation
authorityKeyIdentifier = keyid
crlDistributionPoints = URI:http://pki.test/ca.crl
authorityInfoAccess = OCSP;URI:http://pki.test/ocsp
[delegate]
basicConstraints = CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = OCSPSigning
noCheck = ignored
[req]
distinguished_name = dn
[dn]
`

// newAuthority makes a CA, a responder and two certificates, of which the second is revoked.
func newAuthority(t *testing.T, key ...string) authority {
	t.Helper()
	a := authority{t, t.TempDir()}
	put(t, a.dir, "openssl.cnf", "", []byte(opensslConfig))
	put(t, a.dir, "index.txt", "")
	put(t, a.dir, "serial", "", []byte("1000\n"))
	for _, name := range []string{"ca", "responder", "good", "bad"} {
		a.run(append(append([]string{"genpkey", "-out", name + ".key"}, "-algorithm"), key...)...)
	}
	a.run("req", "-x509", "-new", "-key", "ca.key", "-out", "ca.pem", "-days", "60", "-subj", "/CN=OpenSSL CA", "-config", "openssl.cnf",
		"-addext", "keyUsage=critical,keyCertSign,cRLSign", "-addext", "basicConstraints=critical,CA:TRUE")
	for name, extensions := range map[string]string{"responder": "delegate", "good": "leaf", "bad": "leaf"} {
		a.run("req", "-new", "-key", name+".key", "-out", name+".csr", "-subj", "/CN="+name, "-config", "openssl.cnf")
		a.run("ca", "-batch", "-config", "openssl.cnf", "-extensions", extensions, "-in", name+".csr", "-out", name+".pem", "-notext")
	}
	a.run("ca", "-config", "openssl.cnf", "-revoke", "bad.pem", "-crl_reason", "keyCompromise")
	a.run("ca", "-config", "openssl.cnf", "-gencrl", "-out", "ca.crl")
	return a
}

// ServeHTTP serves the list, and answers of openssl's responder.
func (a authority) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/ca.crl" {
		revtest.Bytes(a.der("ca.crl")).ServeHTTP(w, r)
		return
	}
	request, err := io.ReadAll(r.Body)
	if err != nil || r.Method != http.MethodPost {
		http.Error(w, "only POST", http.StatusMethodNotAllowed)
		return
	}
	put(a.t, a.dir, "request.der", "", request)
	args := []string{"ocsp", "-index", "index.txt", "-CA", "ca.pem", "-rsigner", "responder.pem", "-rkey", "responder.key", "-reqin", "request.der", "-respout", "answer.der", "-ndays", "1", "-resp_key_id"}
	if out, err := func() ([]byte, error) {
		cmd := exec.Command("openssl", args...)
		cmd.Dir = a.dir
		return cmd.CombinedOutput()
	}(); err != nil {
		a.t.Errorf("openssl ocsp: %v\n%s", err, out)
	}
	revtest.Bytes(a.der("answer.der")).ServeHTTP(w, r)
}

// TestOpenSSLVectors reads lists and answers that openssl made.
func TestOpenSSLVectors(t *testing.T) {
	for name, key := range map[string][]string{
		"P-256": {"EC", "-pkeyopt", "ec_paramgen_curve:P-256"}, "P-384": {"EC", "-pkeyopt", "ec_paramgen_curve:P-384"},
		"RSA": {"RSA", "-pkeyopt", "rsa_keygen_bits:2048"}, "P-521": {"EC", "-pkeyopt", "ec_paramgen_curve:P-521"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAuthority(t, key...)
			w := &world{clock: &clock{now: time.Now()}, port: serve(t, a)}
			root, err := x509.ParseCertificate(a.der("ca.pem"))
			if err != nil {
				t.Fatal(err)
			}
			for _, crlFirst := range []bool{false, true} {
				cfg := w.networkConfig()
				cfg.Anchors, cfg.CRLFirst = []*x509.Certificate{root}, crlFirst
				c := collector(t, cfg)
				e, err := c.Collect(t.Context(), a.der("good.pem"), nil, w.clock.Now())
				if err != nil || crlFirst != (len(e.CRLs) == 1) || crlFirst != (len(e.OCSPs) == 0) {
					t.Errorf("lists first %v: %d lists, %d answers, %v", crlFirst, len(e.CRLs), len(e.OCSPs), err)
				}
				var revoked *revinfo.RevokedError
				if _, err := c.Collect(t.Context(), a.der("bad.pem"), nil, w.clock.Now()); !errors.As(err, &revoked) || revoked.Reason != 1 {
					t.Errorf("lists first %v, the revoked one: %v", crlFirst, err)
				}
			}
		})
	}
}
