// Package padestest signs PDF files with software keys and has readers that are not ours judge them, for the tests of packages
// below signer/pades and of pades itself.
package padestest

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/pades"
)

// Identity is a signatory's software key with a chain of three certificates.
type Identity struct {
	Key   crypto.Signer
	Chain [][]byte // DER, the signer's first
}

// SigningTime lies in the validity of the certificates made now.
var SigningTime = time.Now().Truncate(time.Second)

// ecIdentity and rsaIdentity are made once: keys are slow to generate, and no test changes them.
var (
	ecIdentity  = sync.OnceValue(func() Identity { return NewIdentity(Must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))) })
	rsaIdentity = sync.OnceValue(func() Identity { return NewIdentity(Must(rsa.GenerateKey(rand.Reader, 3072))) })
)

// EC returns a signatory with a P-256 key, always the same.
func EC() Identity { return ecIdentity() }

// RSA returns a signatory with an RSA key of 3072 bits, always the same.
func RSA() Identity { return rsaIdentity() }

// Must returns v, or panics.
func Must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// NewIdentity makes a chain for a key.
func NewIdentity(key crypto.Signer) Identity {
	rootKey := Must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	caKey := Must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	certificate := func(serial int64, name string, pub any, parent *x509.Certificate, by crypto.Signer) *x509.Certificate {
		t := &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name, Country: []string{"UA"}},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), BasicConstraintsValid: true,
			IsCA: parent == nil || serial == 2, KeyUsage: x509.KeyUsageContentCommitment,
		}
		if t.IsCA {
			t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
		}
		if parent == nil {
			parent = t
		}
		return Must(x509.ParseCertificate(Must(x509.CreateCertificate(rand.Reader, t, parent, pub, by))))
	}
	root := certificate(1, "Test root", rootKey.Public(), nil, rootKey)
	ca := certificate(2, "Test CA", caKey.Public(), root, rootKey)
	leaf := certificate(0x7fffffffffff, "Шевченко Тарас", key.Public(), ca, caKey)
	return Identity{Key: key, Chain: [][]byte{leaf.Raw, ca.Raw, root.Raw}}
}

// Sign makes one signature value, as the device would.
func (id Identity) Sign(t *testing.T, alg cades.Algorithm, digest []byte) []byte {
	t.Helper()
	var opts crypto.SignerOpts = alg.Hash()
	if alg >= cades.PSSWithSHA256 {
		opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: alg.Hash()}
	}
	sig, err := id.Key.Sign(rand.Reader, digest, opts)
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

// RootFile writes the chain's root as PEM.
func (id Identity) RootFile(t *testing.T) string {
	t.Helper()
	return WriteFile(t, "root.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: id.Chain[2]}))
}

// WriteFile writes a file into a directory of the test and returns its path.
func WriteFile(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Options are the fewest that a signature needs.
func Options(id Identity) pades.Options {
	return pades.Options{SigningTime: SigningTime, Chain: id.Chain, Algorithm: cades.ECDSAWithSHA256}
}

// SignPDF runs both phases, through the stored form of the state, with one signature.
func SignPDF(t *testing.T, in []byte, id Identity, o pades.Options) []byte {
	t.Helper()
	p, err := pades.Prepare(context.Background(), bytes.NewReader(in), int64(len(in)), o)
	if err != nil {
		t.Fatalf("Prepare: %v", err)
	}
	state, err := p.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	var later pades.Prepared
	if err := later.UnmarshalBinary(state); err != nil {
		t.Fatalf("UnmarshalBinary: %v", err)
	}
	tail, err := later.Embed(id.Sign(t, o.Algorithm, later.DTBSR()))
	if err != nil {
		t.Fatalf("Embed: %v", err)
	}
	out := append(bytes.Clone(in), tail...)
	if err := later.Check(context.Background(), bytes.NewReader(out), int64(len(out))); err != nil {
		t.Fatalf("Check: %v", err)
	}
	return out
}
