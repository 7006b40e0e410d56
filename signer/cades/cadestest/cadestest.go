// Package cadestest signs with software keys, for the tests of packages below signer/cades and of cades itself.
package cadestest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/signer/cades"
)

// SigningTime lies in the validity of the certificates made now, in another zone than UTC and with a fraction.
var SigningTime = time.Now().In(time.FixedZone("", 2*3600))

// Identity is a signatory with the authorities above.
type Identity struct {
	Key    crypto.Signer
	Chain  [][]byte        // leaf, CA, root
	CAKeys []crypto.Signer // of CA and root
}

// Must returns v, or panics.
func Must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Keys are made once, because they are slow to make, and no test changes them.
var (
	P256    = sync.OnceValue(func() Identity { return NewIdentity(Must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))) })
	P384    = sync.OnceValue(func() Identity { return NewIdentity(Must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))) })
	P521    = sync.OnceValue(func() Identity { return NewIdentity(Must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader))) })
	RSA3072 = sync.OnceValue(func() Identity { return NewIdentity(Must(rsa.GenerateKey(rand.Reader, 3072))) })
)

// NewIdentity makes a chain for a key.
func NewIdentity(key crypto.Signer) Identity {
	rootKey := Must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	caKey := Must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	certificate := func(serial *big.Int, name string, pub any, parent *x509.Certificate, by crypto.Signer) *x509.Certificate {
		t := &x509.Certificate{
			SerialNumber: serial, Subject: pkix.Name{CommonName: name},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), BasicConstraintsValid: true,
			KeyUsage: x509.KeyUsageContentCommitment,
		}
		if name != "Signer" {
			t.IsCA, t.KeyUsage = true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
		}
		if parent == nil {
			parent = t
		}
		return Must(x509.ParseCertificate(Must(x509.CreateCertificate(rand.Reader, t, parent, pub, by))))
	}
	suffix := " " + rand.Text()[:8] // no two issuers of one name
	root := certificate(big.NewInt(1), "Root"+suffix, rootKey.Public(), nil, rootKey)
	ca := certificate(big.NewInt(2), "CA"+suffix, caKey.Public(), root, rootKey)
	// A serial number of 20 bytes with its highest bit set exercises the sign byte of the INTEGER.
	serial := new(big.Int).SetBytes(append([]byte{0xff}, make([]byte, 18)...))
	leaf := certificate(serial, "Signer", key.Public(), ca, caKey)
	return Identity{Key: key, Chain: [][]byte{leaf.Raw, ca.Raw, root.Raw}, CAKeys: []crypto.Signer{caKey, rootKey}}
}

// HashOf is the digest with the hash of an algorithm.
func HashOf(alg cades.Algorithm, data []byte) []byte {
	h := alg.Hash().New()
	h.Write(data)
	return h.Sum(nil)
}

// Prepare returns the parts of a signature over content that lack only the signature value.
func Prepare(t *testing.T, p cades.Profile, id Identity, alg cades.Algorithm, content []byte) cades.Parts {
	t.Helper()
	a := cades.Attributes{Certificate: id.Chain[0], ContentDigest: HashOf(alg, content), Algorithm: alg}
	if p == cades.CAdES {
		a.SigningTime, a.MIMEType = SigningTime, "text/plain"
	}
	der, err := cades.SignedAttributes(p, a)
	if err != nil {
		t.Fatal(err)
	}
	return cades.Parts{SignedAttributes: der, Algorithm: alg, Chain: id.Chain}
}

// Sign adds the signature value, as the device would.
func (id Identity) Sign(t *testing.T, parts cades.Parts) cades.Parts {
	t.Helper()
	var opts crypto.SignerOpts = parts.Algorithm.Hash()
	if parts.Algorithm >= cades.PSSWithSHA256 {
		opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: parts.Algorithm.Hash()}
	}
	sig, err := id.Key.Sign(rand.Reader, HashOf(parts.Algorithm, parts.SignedAttributes), opts)
	if err != nil {
		t.Fatal(err)
	}
	parts.Signature = sig
	return parts
}

// Assemble returns a detached signature.
func Assemble(t *testing.T, p cades.Profile, id Identity, alg cades.Algorithm, content []byte) []byte {
	t.Helper()
	parts := Prepare(t, p, id, alg, content)
	limit, err := cades.MaxSize(parts)
	if err != nil {
		t.Fatal(err)
	}
	der, err := cades.Assemble(id.Sign(t, parts))
	if err != nil {
		t.Fatal(err)
	}
	// ECDSA values vary in length; each INTEGER may be a few bytes shorter than the greatest.
	if len(der) > limit || len(der) < limit-12 {
		t.Errorf("MaxSize says %d, CMS has %d bytes", limit, len(der))
	}
	return der
}

// Algorithms are all algorithms, with whom they are tested.
var Algorithms = []struct {
	Alg cades.Algorithm
	ID  func() Identity
}{
	{cades.ECDSAWithSHA256, P256},
	{cades.ECDSAWithSHA384, P384},
	{cades.ECDSAWithSHA512, P521},
	{cades.ECDSAWithSHA512, P256},
	{cades.RSAWithSHA256, RSA3072},
	{cades.RSAWithSHA384, RSA3072},
	{cades.RSAWithSHA512, RSA3072},
	{cades.PSSWithSHA256, RSA3072},
	{cades.PSSWithSHA384, RSA3072},
	{cades.PSSWithSHA512, RSA3072},
}

// OpenSSL returns what OpenSSL says of a detached signature.
func OpenSSL(t *testing.T, id Identity, cms, content []byte) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	root := write("root.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: id.Chain[2]}))
	out, err := exec.Command("openssl", "cms", "-verify", "-cades", "-inform", "DER", "-in", write("s.p7s", cms), "-content",
		write("content", content), "-binary", "-CAfile", root, "-purpose", "any", "-out", os.DevNull).CombinedOutput()
	if exit := (&exec.ExitError{}); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out)
}

// Detached is the content of a detached signature.
func Detached(content []byte) func(crypto.Hash) ([]byte, error) {
	return func(h crypto.Hash) ([]byte, error) {
		w := h.New()
		w.Write(content)
		return w.Sum(nil), nil
	}
}

// OID encodes an object identifier.
func OID(oid ...int) []byte { return Must(asn1.Marshal(asn1.ObjectIdentifier(oid))) }
