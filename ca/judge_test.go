package ca

import (
	"bytes"
	"crypto/elliptic"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// openssl runs a command and returns its whole output and whether it succeeded.
func openssl(t *testing.T, args ...string) (string, bool) {
	t.Helper()
	cmd := exec.Command("openssl", args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if cmd.ProcessState == nil {
		t.Fatalf("openssl does not start: %v; install the package openssl", err)
	}
	return out.String(), err == nil
}

func pemFile(t *testing.T, name, kind string, ders ...[]byte) string {
	t.Helper()
	var out bytes.Buffer
	for _, der := range ders {
		must(t, pem.Encode(&out, &pem.Block{Type: kind, Bytes: der}))
	}
	path := filepath.Join(t.TempDir(), name)
	must(t, os.WriteFile(path, out.Bytes(), 0o600))
	return path
}

// OpenSSL judges every certificate and list: chains, purposes, revocation.
func TestOpenSSLJudges(t *testing.T) {
	h, tx := build(t, testConfig()), newTx()
	person := h.issue(t, tx, h.issuing, personRequest(t, "person"))
	other := h.issue(t, tx, h.issuing, personRequest(t, "other"))
	rsaRequest := personRequest(t, "rsa")
	rsaRequest.PublicKey = rsaKey(t).Public()
	rsaPerson := h.issue(t, tx, h.issuing, rsaRequest)
	client := Request{
		ID: "cli", Person: "cli", Profile: TLSClient, DNSNames: []string{"portal"}, Role: "portal", Display: "Портал",
		PublicKey: newKey(t, elliptic.P256()).Public(), NotBefore: start(), Years: 1,
	}
	tlsClient := h.issue(t, tx, h.tls, client)

	now := start().Add(time.Hour)
	must(t, h.issuing.Revoke(tx, other.Serial, KeyCompromise, now))
	crl := h.list(t, tx, nil, now)
	carl, err := h.root.CRL(t.Context(), nil, nil, now)
	must(t, err)

	root := pemFile(t, "root.pem", "CERTIFICATE", h.root.Certificate().Raw)
	issuing := pemFile(t, "issuing.pem", "CERTIFICATE", h.issuing.Certificate().Raw)
	tlsRoot := pemFile(t, "tls.pem", "CERTIFICATE", h.tls.Certificate().Raw)
	crls := pemFile(t, "crls.pem", "X509 CRL", crl.Raw, carl)
	issuingCRL := pemFile(t, "crl.pem", "X509 CRL", crl.Raw)
	rootCRL := pemFile(t, "carl.pem", "X509 CRL", carl)
	good := pemFile(t, "good.pem", "CERTIFICATE", person.DER)
	revoked := pemFile(t, "revoked.pem", "CERTIFICATE", other.DER)
	goodRSA := pemFile(t, "rsa.pem", "CERTIFICATE", rsaPerson.DER)
	web := pemFile(t, "client.pem", "CERTIFICATE", tlsClient.DER)

	at := strconv.FormatInt(now.Add(time.Minute).Unix(), 10)
	chain := []string{"-x509_strict", "-attime", at, "-CAfile", root, "-untrusted", issuing}
	verify := func(args ...string) []string { return append([]string{"verify"}, args...) }
	cases := []struct {
		name string
		args []string
		ok   bool
		says string
	}{
		{"root", verify("-x509_strict", "-attime", at, "-CAfile", root, root), true, "root.pem: OK"},
		{"issuing CA", verify("-x509_strict", "-attime", at, "-CAfile", root, issuing), true, "issuing.pem: OK"},
		{"person", verify(append(chain, good)...), true, "good.pem: OK"},
		{"person, S/MIME purpose", verify(append(chain, "-purpose", "smimesign", good)...), true, "good.pem: OK"},
		{"person with lists", verify(append(chain, "-crl_check_all", "-CRLfile", crls, good)...), true, "good.pem: OK"},
		{"person with an RSA key", verify(append(chain, "-crl_check_all", "-CRLfile", crls, goodRSA)...), true, "rsa.pem: OK"},
		{"RSA key's length", []string{"x509", "-in", goodRSA, "-noout", "-text"}, true, "(3072 bit)"},
		{"RSA key's exponent", []string{"x509", "-in", goodRSA, "-noout", "-text"}, true, "Exponent: 65537 (0x10001)"},
		{"RSA key's usage", []string{"x509", "-in", goodRSA, "-noout", "-ext", "keyUsage"}, true, "Non Repudiation\n"},
		{"revoked person", verify(append(chain, "-crl_check_all", "-CRLfile", crls, revoked)...), false, "error 23 at 0 depth lookup: certificate revoked"},
		{"person without lists", verify(append(chain, "-crl_check_all", good)...), false, "unable to get certificate CRL"},
		{"person under the TLS CA", verify("-attime", at, "-CAfile", tlsRoot, good), false, "unable to get local issuer certificate"},
		{"TLS client", verify("-x509_strict", "-attime", at, "-CAfile", tlsRoot, "-purpose", "sslclient", web), true, "client.pem: OK"},
		{"TLS client as a server", verify("-attime", at, "-CAfile", tlsRoot, "-purpose", "sslserver", web), false, "nsuitable certificate purpose"},
		{"issuing CA's list", []string{"crl", "-in", issuingCRL, "-noout", "-verify", "-CAfile", issuing}, true, "verify OK"},
		{"root's list", []string{"crl", "-in", rootCRL, "-noout", "-verify", "-CAfile", root}, true, "verify OK"},
		{"person's fields", []string{"x509", "-in", good, "-noout", "-text", "-nameopt", "utf8,sname,sep_comma_plus_space"}, true, "CN=Олена Шевченко"},
		{"list's fields", []string{"crl", "-in", issuingCRL, "-noout", "-text"}, true, "Key Compromise"},
	}
	for _, c := range cases {
		out, ok := openssl(t, c.args...)
		if ok != c.ok || !strings.Contains(out, c.says) {
			t.Errorf("%s: success %t, want %t and %q\n%s", c.name, ok, c.ok, c.says, out)
		}
	}
	if out, _ := openssl(t, "x509", "-in", good, "-noout", "-text"); strings.Contains(out, "Digital Signature") ||
		!strings.Contains(out, "Non Repudiation") || !strings.Contains(out, "critical") {
		t.Errorf("key usage:\n%s", out)
	}
}

// The report stored with each certificate names the zlint that is built in.
func TestZlintVersion(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Version}}", "github.com/zmap/zlint/v3").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	if got := "zlint/" + strings.TrimSpace(string(out)); got != zlintVersion {
		t.Errorf("built with %s, reports say %s", got, zlintVersion)
	}
}
