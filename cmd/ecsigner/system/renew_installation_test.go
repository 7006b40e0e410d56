package system_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
)

// TestRenewInstallation makes certificates and the root's list anew beside a running service, which goes on; started again it has
// the new ones, with the old keys: clients connect, a person enrols under the new seal and signs, and doctor finds nothing wrong.
func TestRenewInstallation(t *testing.T) {
	s := newSignings(t)
	der := func(name string) []byte {
		data, err := os.ReadFile(s.i.Path("pki", name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	names := []string{"tls-server.cer", "seal.cer"}
	before := map[string][]byte{}
	for _, name := range append(names, "root.crl", "root.cer", "issuing.cer", "tls-root.cer") {
		before[name] = der(name)
	}
	configure(t, s.i, "\nhosts:", "\nhosts: [renewed.example.com, localhost, 127.0.0.1] #")
	if said := s.i.Run("renew", "--config", s.i.Path("ecsigner.yaml")); strings.Count(said, "is new") != 3 || !strings.Contains(said, "start the service again") {
		t.Errorf("renew said: %s", said)
	}
	s.i.Operation(s.credential, "With the old ones", pb.SignatureFormat_SIGNATURE_FORMAT_RAW, "text")
	for _, name := range names {
		was, is := parsed(t, before[name]), parsed(t, der(name))
		if was.SerialNumber.Cmp(is.SerialNumber) == 0 || is.NotAfter.Before(was.NotAfter) || !bytes.Equal(was.RawSubjectPublicKeyInfo, is.RawSubjectPublicKeyInfo) ||
			name == "seal.cer" && !bytes.Equal(was.RawSubject, is.RawSubject) {
			t.Errorf("%s: %v until %v became %v until %v", name, was.SerialNumber, was.NotAfter, is.SerialNumber, is.NotAfter)
		}
	}
	if is := parsed(t, der("tls-server.cer")); is.VerifyHostname("renewed.example.com") != nil {
		t.Errorf("the server's certificate is for %v", is.DNSNames)
	}
	for _, name := range []string{"root.cer", "issuing.cer", "tls-root.cer"} {
		if !bytes.Equal(der(name), before[name]) {
			t.Errorf("%s changed", name)
		}
	}
	was, err1 := x509.ParseRevocationList(before["root.crl"])
	is, err2 := x509.ParseRevocationList(der("root.crl"))
	if err1 != nil || err2 != nil || is.Number.Cmp(was.Number) <= 0 || is.NextUpdate.Before(was.NextUpdate) || len(is.RevokedCertificateEntries) != 0 {
		t.Errorf("root's list: %v %v", err1, err2)
	}
	root := filepath.Join(t.TempDir(), "root.pem")
	write(t, root, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: before["root.cer"]})), 0o600)
	if said := tool(t, "openssl", "crl", "-inform", "DER", "-in", s.i.Path("pki", "root.crl"), "-noout", "-CAfile", root); !strings.Contains(said, "verify OK") {
		t.Errorf("openssl of the root's list: %s", said)
	}
	if left, _ := filepath.Glob(s.i.Path("pki", ".new-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}

	if code := s.i.Stop(); code != 0 {
		t.Fatalf("it ended with %d", code)
	}
	s.i.Start()
	o, code := s.i.Operation(s.i.Credential(2), "With the new ones", pb.SignatureFormat_SIGNATURE_FORMAT_RAW, "text")
	if o, err := s.i.Authorize(o.GetId(), code); err != nil || o.GetState() != pb.SigningState_SIGNING_STATE_SIGNED {
		t.Errorf("%v %v", o, err)
	}
	if said := s.i.Run("doctor", "--config", s.i.Path("ecsigner.yaml")); strings.Contains(said, "FAIL") {
		t.Errorf("doctor: %s", said)
	}
	endRun(t, s.i)
}

func parsed(t *testing.T, der []byte) *x509.Certificate {
	t.Helper()
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
