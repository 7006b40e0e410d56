package hsm_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ecsigner/ecsigner/hsm"
	"github.com/ecsigner/ecsigner/hsm/hsmtest"
)

// TestRSA: one key makes signatures of every scheme, which Go's own verification knows apart, and openssl agrees with it.
func TestRSA(t *testing.T) {
	d := hsmtest.New(t)
	ctx := context.Background()
	wrapped, kek, public, err := d.GenerateKey(ctx, hsm.RSA3072)
	if err != nil {
		t.Fatal(err)
	}
	key := public.(*rsa.PublicKey)
	if key.N.BitLen() != 3072 || key.E != 65537 {
		t.Fatalf("%d bits, exponent %d", key.N.BitLen(), key.E)
	}
	for _, tt := range []struct {
		name string
		hash crypto.Hash
		pss  bool
	}{
		{hsm.PKCS1SHA256, crypto.SHA256, false},
		{hsm.PKCS1SHA384, crypto.SHA384, false},
		{hsm.PKCS1SHA512, crypto.SHA512, false},
		{hsm.PSSSHA256, crypto.SHA256, true},
		{hsm.PSSSHA384, crypto.SHA384, true},
		{hsm.PSSSHA512, crypto.SHA512, true},
	} {
		ds := digestsBy(tt.hash, 3)
		sigs, err := d.SignWrapped(ctx, kek, wrapped, tt.name, ds)
		if err != nil || len(sigs) != len(ds) {
			t.Fatalf("%s: %d signatures, %v", tt.name, len(sigs), err)
		}
		for i, sig := range sigs {
			pkcs1 := rsa.VerifyPKCS1v15(key, tt.hash, ds[i], sig) == nil
			pss := rsa.VerifyPSS(key, tt.hash, ds[i], sig, &rsa.PSSOptions{SaltLength: tt.hash.Size()}) == nil
			if pkcs1 == tt.pss || pss != tt.pss {
				t.Errorf("%s, signature %d: valid as PKCS#1 %v, as PSS %v", tt.name, i, pkcs1, pss)
			}
		}
		var options []string
		if tt.pss {
			options = []string{"rsa_padding_mode:pss", "rsa_pss_saltlen:digest"}
		}
		opensslVerifies(t, public, tt.hash, ds[0], sigs[0], options...)
		for _, n := range []int{0, 32, 48, 64, tt.hash.Size() - 1, tt.hash.Size() + 1} {
			if n == tt.hash.Size() {
				continue
			}
			if _, err := d.SignWrapped(ctx, kek, wrapped, tt.name, [][]byte{ds[0], make([]byte, n)}); !errors.Is(err, hsm.ErrDigest) {
				t.Errorf("%s of a digest of %d bytes: %v", tt.name, n, err)
			}
		}
	}
	for _, name := range []string{hsm.ECDSAP256, hsm.ECDSAP384} {
		ds := digestsBy(map[string]crypto.Hash{hsm.ECDSAP256: crypto.SHA256, hsm.ECDSAP384: crypto.SHA384}[name], 1)
		if _, err := d.SignWrapped(ctx, kek, wrapped, name, ds); !errors.Is(err, hsm.ErrWrappedKey) {
			t.Errorf("%s with an RSA key: %v", name, err)
		}
	}
}

// TestP384: such a key signs digests of SHA-384 alone, and passes for no key of another type.
func TestP384(t *testing.T) {
	d := hsmtest.New(t)
	ctx := context.Background()
	wrapped, kek, public, err := d.GenerateKey(ctx, hsm.ECDSAP384)
	if err != nil {
		t.Fatal(err)
	}
	key := public.(*ecdsa.PublicKey)
	if key.Curve != elliptic.P384() {
		t.Fatalf("the key is on %s", key.Curve.Params().Name)
	}
	ds := digestsBy(crypto.SHA384, 3)
	sigs, err := d.SignWrapped(ctx, kek, wrapped, hsm.ECDSAP384, ds)
	if err != nil || len(sigs) != len(ds) {
		t.Fatalf("%d signatures, %v", len(sigs), err)
	}
	for i, sig := range sigs {
		if !ecdsa.VerifyASN1(key, ds[i], sig) {
			t.Errorf("signature %d does not verify", i)
		}
	}
	opensslVerifies(t, public, crypto.SHA384, ds[0], sigs[0])
	for _, n := range []int{0, 32, 47, 49, 64} {
		if _, err := d.SignWrapped(ctx, kek, wrapped, hsm.ECDSAP384, [][]byte{make([]byte, n)}); !errors.Is(err, hsm.ErrDigest) {
			t.Errorf("a digest of %d bytes: %v", n, err)
		}
	}
	for _, name := range []string{hsm.ECDSAP256, hsm.PSSSHA256, hsm.PKCS1SHA256} {
		if _, err := d.SignWrapped(ctx, kek, wrapped, name, digests(1)); !errors.Is(err, hsm.ErrWrappedKey) {
			t.Errorf("%s with a P-384 key: %v", name, err)
		}
	}
	if _, err := d.SignWrapped(ctx, kek, wrapped, hsm.PSSSHA384, ds); !errors.Is(err, hsm.ErrWrappedKey) {
		t.Errorf("PSS with a P-384 key: %v", err)
	}
}

// digestsBy returns n digests by a hash.
func digestsBy(h crypto.Hash, n int) [][]byte {
	out := make([][]byte, n)
	for i := range out {
		w := h.New()
		w.Write([]byte{byte(i)})
		out[i] = w.Sum(nil)
	}
	return out
}

// opensslVerifies has openssl judge a signature over a digest.
func opensslVerifies(t *testing.T, public crypto.PublicKey, h crypto.Hash, digest, signature []byte, options ...string) {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	args := []string{
		"pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", file("key", der), "-in", file("digest", digest),
		"-sigfile", file("signature", signature), "-pkeyopt", "digest:" + strings.ReplaceAll(strings.ToLower(h.String()), "-", ""),
	}
	for _, o := range options {
		args = append(args, "-pkeyopt", o)
	}
	if out, err := exec.CommandContext(t.Context(), "openssl", args...).CombinedOutput(); err != nil || !strings.Contains(string(out), "Verified Successfully") {
		t.Errorf("openssl %v: %v\n%s", options, err, out)
	}
}
