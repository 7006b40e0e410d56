package system_test

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/system"
)

// TestInitFromConfiguration makes an installation whose provider, names and URLs are the operator's own: they stand in the
// certificates that init makes.
func TestInitFromConfiguration(t *testing.T) {
	t.Parallel()
	i := system.New(t, build.Program(t))
	text := i.Run("init", "--show", "--name", "acme", "--listen", i.Address, "--pki-listen", i.PKI)
	for from, to := range map[string]string{
		"organisation: Example Trust Services Sp. z o.o.": "organisation: Acme Trust AG",
		"country: PL":                       "country: AT",
		"organisation_id: VATPL-5260250274": "organisation_id: VATAT-U12345675",
		"TEST Example Root CA 1":            "TEST Acme Root 1",
		"hosts: [localhost, 127.0.0.1]":     "hosts: [sign.acme.example, localhost, 127.0.0.1]",
		"http://pki.example.com":            "http://pki.acme.example.com",
	} {
		if strings.Count(text, from) != 1 {
			t.Fatalf("the example does not hold %q", from)
		}
		text = strings.Replace(text, from, to, 1)
	}
	file := filepath.Join(t.TempDir(), "acme.yaml")
	write(t, file, text, 0o600)
	if err := os.RemoveAll(i.Dir); err != nil {
		t.Fatal(err)
	}
	i.Run("init", "--dir", i.Dir, "--config", file)

	certificate := func(name string) *x509.Certificate {
		t.Helper()
		der, err := os.ReadFile(i.Path("pki", name))
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if got := certificate("root.cer").Subject.String(); !strings.Contains(got, "CN=TEST Acme Root 1") || !strings.Contains(got, "O=Acme Trust AG") {
		t.Errorf("the root is %s", got)
	}
	issuing := certificate("issuing.cer")
	if !slices.Equal(issuing.Subject.Country, []string{"AT"}) || !strings.HasPrefix(issuing.CRLDistributionPoints[0], "http://pki.acme.example.com/") {
		t.Errorf("the issuing CA is %s, its list at %v", issuing.Subject, issuing.CRLDistributionPoints)
	}
	if err := certificate("tls-server.cer").VerifyHostname("sign.acme.example"); err != nil {
		t.Error(err)
	}
	i.Start()
	o, code := i.Operation(i.Credential(1), "first", raw, "document")
	if _, err := i.Authorize(o.GetId(), code); err != nil {
		t.Error(err)
	}
	conn, err := tls.Dial("tcp", i.Address, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}) //nolint:gosec // looks at the names only
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if got := conn.ConnectionState().PeerCertificates[0]; !slices.Contains(got.DNSNames, "sign.acme.example") {
		t.Errorf("the server's certificate is for %v", got.DNSNames)
	}
}

// TestInitRefuses: what init cannot make is refused with one sentence, and nothing is left.
func TestInitRefuses(t *testing.T) {
	t.Parallel()
	i := system.New(t, build.Program(t))
	example := i.Run("init", "--show")
	dir := filepath.Join(t.TempDir(), "new")
	for name, tt := range map[string]struct{ text, says string }{
		"unknown key":                {strings.Replace(example, "hosts:", "host:", 1), "host"},
		"PIN elsewhere":              {strings.Replace(example, "secrets/user.pin", "/etc/user.pin", 1), "hsm.pin_file"},
		"data elsewhere":             {strings.Replace(example, "data: data", "data: ../data", 1), "data"},
		"name of a CA without TEST":  {strings.Replace(example, "TEST Example Root CA 1", "Example Root CA 1", 1), "TEST"},
		"organisation id of nothing": {strings.Replace(example, "VATPL-5260250274", "5260250274", 1), "must look like VATPL"},
		"SoftHSM outside a test":     {strings.Replace(example, "\ntest: true\n", "\ntest: false\n", 1), "SoftHSM is for test"},
		"no file":                    {"", "acme.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "acme.yaml")
			if tt.text != "" {
				write(t, file, tt.text, 0o600)
			}
			out, err := i.Try("init", "--dir", dir, "--config", file)
			_, said, _ := strings.Cut(out, "ecsigner: ")
			if err == nil || !strings.Contains(said, tt.says) {
				t.Errorf("error %v, says:\n%s", err, out)
			}
			if entries, _ := os.ReadDir(dir); len(entries) != 0 {
				t.Errorf("%v are left", entries)
			}
		})
	}
	if out, err := i.Try("init", "--dir", dir, "--config", "x.yaml", "--name", "acme"); err == nil || !strings.Contains(out, "config") {
		t.Errorf("two sources of a value: %v\n%s", err, out)
	}
	if out, err := i.Try("init"); err == nil || !strings.Contains(out, "dir") {
		t.Errorf("no directory: %v\n%s", err, out)
	}
}
