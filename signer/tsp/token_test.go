package tsp_test

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/tsp"
	"github.com/ecsigner/ecsigner/signer/tsp/tsptest"
)

var _ cades.Stamper = (*tsptest.TSA)(nil)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// digest is what most tests have stamped.
var digest = sha256.Sum256([]byte("content"))

// rsaTSA is made once, because its key is slow to make; the tests that share it leave it as it is.
var rsaTSA = sync.OnceValue(func() *tsptest.TSA { return must(tsptest.New(tsptest.Options{Key: tsptest.RSA3072})) })

func stamp(t *testing.T, tsa *tsptest.TSA, f tsptest.Faults) []byte {
	t.Helper()
	tsa.Misbehave(f)
	token, err := tsa.Stamp(context.Background(), crypto.SHA256, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestParse(t *testing.T) {
	at := time.Date(2026, 11, 25, 18, 0, 0, 120e6, time.FixedZone("", 3600))
	for name, key := range map[string]tsptest.Key{"P-256": tsptest.P256, "RSA": tsptest.RSA3072, "PSS": tsptest.RSA3072PSS} {
		t.Run(name, func(t *testing.T) {
			tsa := must(tsptest.New(tsptest.Options{Key: key, Accuracy: 1500*time.Millisecond + 7*time.Microsecond, Now: func() time.Time { return at }}))
			sum := sha512.Sum512([]byte("content"))
			raw := must(tsa.Stamp(context.Background(), crypto.SHA512, sum[:]))
			token, err := tsp.Parse(raw)
			if err != nil {
				t.Fatal(err)
			}
			if !token.Time.Equal(at) || token.Time.Location() != time.UTC || token.Accuracy != 1500007*time.Microsecond {
				t.Errorf("time %v ± %v", token.Time, token.Accuracy)
			}
			if !token.Policy.Equal(tsa.Policy()) || token.Nonce != nil || token.Serial.Sign() != 1 || token.Serial.BitLen() < 60 {
				t.Errorf("policy %v, nonce %v, serial %v", token.Policy, token.Nonce, token.Serial)
			}
			if string(token.Raw) != string(raw) || len(token.Certificates) != 3 || !token.Signer.Equal(tsa.Certificate()) {
				t.Errorf("%d certificates, signer %v", len(token.Certificates), token.Signer.Subject)
			}
			if err := token.Covers(crypto.SHA512, sum[:]); err != nil {
				t.Error(err)
			}
			sum[5] ^= 1
			for _, err := range []error{token.Covers(crypto.SHA512, sum[:]), token.Covers(crypto.SHA256, digest[:]), token.Covers(crypto.SHA512, nil)} {
				if !errors.Is(err, tsp.ErrImprint) || !errors.Is(err, tsp.ErrToken) {
					t.Error(err)
				}
			}
		})
	}
}

// What Parse alone must see.
func TestParseRefuses(t *testing.T) {
	tsa := must(tsptest.New(tsptest.Options{}))
	for name, c := range map[string]struct {
		faults tsptest.Faults
		want   error
	}{
		"good":                      {tsptest.Faults{}, nil},
		"signing-certificate v1":    {tsptest.Faults{SigningCertificateV1: true}, nil},
		"BER":                       {tsptest.Faults{BER: true}, nil},
		"padded":                    {tsptest.Faults{Size: 1 << 20}, nil},
		"padded BER":                {tsptest.Faults{Size: 1 << 20, BER: true}, nil},
		"too large":                 {tsptest.Faults{Size: 17 << 20}, tsp.ErrMalformed},
		"key identifier":            {tsptest.Faults{KeyIdentifier: true}, nil},
		"critical extension":        {tsptest.Faults{Critical: true}, tsp.ErrUnsupported},
		"bad signature":             {tsptest.Faults{BadSignature: true}, tsp.ErrSignature},
		"bad digest":                {tsptest.Faults{BadDigest: true}, tsp.ErrSignature},
		"other usage":               {tsptest.Faults{Certificate: tsptest.OtherUsage}, tsp.ErrSigner},
		"more usages":               {tsptest.Faults{Certificate: tsptest.MoreUsages}, tsp.ErrSigner},
		"usage not critical":        {tsptest.Faults{Certificate: tsptest.UncriticalUsage}, tsp.ErrSigner},
		"no usage":                  {tsptest.Faults{Certificate: tsptest.NoUsage}, tsp.ErrSigner},
		"no certificates":           {tsptest.Faults{NoCertificates: true}, tsp.ErrSigner},
		"no signing-certificate":    {tsptest.Faults{NoSigningCertificate: true}, tsp.ErrSigner},
		"other signing-certificate": {tsptest.Faults{OtherSigningCertificate: true}, tsp.ErrSigner},
		"other in v1":               {tsptest.Faults{OtherSigningCertificate: true, SigningCertificateV1: true}, tsp.ErrSigner},
		"two signers":               {tsptest.Faults{TwoSigners: true}, tsp.ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := tsp.Parse(stamp(t, tsa, c.faults))
			if !errors.Is(err, c.want) || c.want != nil && !errors.Is(err, tsp.ErrToken) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

// A token without certificates needs that of the signer from elsewhere.
func TestParseWith(t *testing.T) {
	tsa := must(tsptest.New(tsptest.Options{}))
	raw := stamp(t, tsa, tsptest.Faults{NoCertificates: true})
	token, err := tsp.ParseWith(raw, [][]byte{tsa.CACertificates()[0].Raw, {0x30}, tsa.Certificate().Raw})
	if err != nil || !token.Signer.Equal(tsa.Certificate()) || len(token.Certificates) != 0 {
		t.Errorf("%v", err)
	}
}

// OpenSSL judges what the authority of the tests makes. `openssl ts` cannot read RSASSA-PSS; `openssl cms` judges that, and
// signing-certificate with it.
func TestOpenSSLAcceptsTokens(t *testing.T) {
	for name, tsa := range map[string]*tsptest.TSA{"P-256": must(tsptest.New(tsptest.Options{})), "RSA": rsaTSA(), "PSS": must(tsptest.New(tsptest.Options{Key: tsptest.RSA3072PSS}))} {
		t.Run(name, func(t *testing.T) {
			token := stamp(t, tsa, tsptest.Faults{})
			said := openssl(t, tsa, token, []byte("content"), "cms", "-verify", "-cades", "-inform", "DER", "-in", "token", "-purpose", "timestampsign", "-certfile", "ca.pem", "-out", "info")
			if said != "CAdES Verification successful\n" {
				t.Error(said)
			}
			for content, want := range map[string]string{"content": "Verification: OK", "other content": "message imprint mismatch"} {
				if name == "PSS" {
					want = "RSA_padding_check_PKCS1_type_1:invalid padding"
				}
				said := openssl(t, tsa, token, []byte(content), "ts", "-verify", "-token_in", "-in", "token", "-data", "data", "-untrusted", "ca.pem")
				if !strings.Contains(said, want) {
					t.Error(said)
				}
			}
		})
	}
}

// openssl returns what the program says about the files token and data. With an authority, its certificates are there too:
// root.pem, which is trusted, and ca.pem.
func openssl(t *testing.T, tsa *tsptest.TSA, token, data []byte, args ...string) string {
	t.Helper()
	files := map[string][]byte{"token": token, "data": data}
	if tsa != nil {
		block := func(c *x509.Certificate) []byte {
			return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
		}
		files["ca.pem"], files["root.pem"] = block(tsa.CACertificates()[0]), block(tsa.CACertificates()[1])
		args = append(args, "-CAfile", "root.pem")
	}
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("openssl", args...)
	cmd.Dir = dir
	out, _ := cmd.CombinedOutput() // its exit code says less than its words
	return string(out)
}
