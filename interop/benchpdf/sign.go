package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	_ "embed"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/digitorus/pdfsign/sign"
	"github.com/ecsigner/ecsigner/hsm"
	"github.com/ecsigner/ecsigner/hsm/hsmtest"
	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/pades"
)

const (
	label   = "bench"
	testPIN = "123456" // of a token that lives for one run
)

func chainFile(dir string) string { return filepath.Join(dir, "chain.pem") }

//go:embed SignLarge.java
var signLarge []byte

// compileDSS compiles the program that signs with EU DSS.
func compileDSS(ctx context.Context, dir, jars string) error {
	source := filepath.Join(dir, "SignLarge.java")
	if err := os.WriteFile(source, signLarge, 0o600); err != nil {
		return err
	}
	if out, err := exec.CommandContext(ctx, "javac", "-cp", filepath.Join(jars, "*"), "-d", dir, source).CombinedOutput(); err != nil {
		return fmt.Errorf("javac: %w\n%s", err, out)
	}
	return nil
}

// makeSignatory makes a token with an ECDSA P-256 key, a certificate for it in the token and in a file, and pyHanko's
// configuration.
func makeSignatory(ctx context.Context, dir string) error {
	conf := filepath.Join(dir, "softhsm2.conf")
	text := "directories.tokendir = " + dir + "\nobjectstore.backend = file\nlog.level = ERROR\n"
	if err := errors.Join(os.WriteFile(conf, []byte(text), 0o600), os.Setenv("SOFTHSM2_CONF", conf)); err != nil {
		return err
	}
	if err := hsm.InitToken(hsmtest.Module, label, []byte(testPIN), []byte(testPIN)); err != nil {
		return err
	}
	d, err := openDevice(ctx)
	if err != nil {
		return err
	}
	public, err := d.CreateServiceKey(ctx, label, hsm.ECDSAP256)
	if err != nil {
		return errors.Join(err, d.Close())
	}
	if err := d.Close(); err != nil {
		return err
	}
	chain, err := certify(public)
	if err != nil {
		return err
	}
	var b []byte
	for _, c := range chain {
		b = append(b, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c})...)
	}
	der := filepath.Join(dir, "certificate.der")
	pyhanko := fmt.Sprintf("pkcs11-setups:\n  hsm:\n    module-path: %s\n    token-criteria: {label: %s}\n    user-pin: %q\n    cert-label: %s\n    raw-mechanism: true\n", hsmtest.Module, label, testPIN, label)
	if err := errors.Join(os.WriteFile(chainFile(dir), b, 0o600), os.WriteFile(der, chain[0], 0o600), os.WriteFile(filepath.Join(dir, "pyhanko.yml"), []byte(pyhanko), 0o600)); err != nil {
		return err
	}
	c := exec.CommandContext(ctx, "pkcs11-tool", "--module", hsmtest.Module, "--token-label", label, "--login", "--pin", testPIN,
		"--write-object", der, "--type", "cert", "--label", label, "--id", hex.EncodeToString([]byte(label)))
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("pkcs11-tool: %w\n%s", err, out)
	}
	return nil
}

// certify makes a root and a certificate for the key.
func certify(public crypto.PublicKey) ([][]byte, error) {
	rootKey, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		return nil, err
	}
	from, to := time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Bench root"}, NotBefore: from, NotAfter: to,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "Bench"}, NotBefore: from, NotAfter: to,
		KeyUsage: x509.KeyUsageContentCommitment | x509.KeyUsageDigitalSignature,
	}
	rootDER, err := x509.CreateCertificate(rand.Reader, root, root, rootKey.Public(), rootKey)
	if err != nil {
		return nil, err
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, root, public, rootKey)
	return [][]byte{leafDER, rootDER}, err
}

func openDevice(ctx context.Context) (*hsm.Device, error) {
	return hsm.Open(ctx, hsm.Config{
		Module: hsmtest.Module, TokenLabel: label, PIN: func() ([]byte, error) { return []byte(testPIN), nil }, Sessions: 1, Timeout: 10 * time.Second,
	})
}

// signatory is the key with its chain.
type signatory struct {
	device *hsm.Device
	key    crypto.Signer
	chain  []*x509.Certificate
}

func openSignatory(ctx context.Context, dir string) (*signatory, error) {
	b, err := os.ReadFile(chainFile(dir))
	if err != nil {
		return nil, err
	}
	s := &signatory{}
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		s.chain = append(s.chain, c)
	}
	if s.device, err = openDevice(ctx); err != nil {
		return nil, err
	}
	s.key, err = s.device.Signer(ctx, label)
	return s, err
}

func (s *signatory) close() error { return s.device.Close() }

// signWithOurs writes the signed file: the original, then what was added.
func signWithOurs(ctx context.Context, s *signatory, in, out string) (err error) {
	f, err := os.Open(in)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	var chain [][]byte
	for _, c := range s.chain {
		chain = append(chain, c.Raw)
	}
	p, err := pades.Prepare(ctx, f, info.Size(), pades.Options{SigningTime: time.Now(), Chain: chain, Algorithm: cades.ECDSAWithSHA256})
	if err != nil {
		return err
	}
	signature, err := s.key.Sign(rand.Reader, p.DTBSR(), crypto.SHA256)
	if err != nil {
		return err
	}
	tail, err := p.Embed(signature)
	if err != nil {
		return err
	}
	w, err := os.Create(out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	if _, err := io.Copy(w, f); err != nil {
		return err
	}
	_, err = w.Write(tail)
	return err
}

// signWithPDFSign signs as its documentation shows.
func signWithPDFSign(s *signatory, in, out string) error {
	return sign.SignFile(in, out, sign.SignData{
		Signature: sign.SignDataSignature{
			Info: sign.SignDataSignatureInfo{Name: "Bench", Date: time.Now()}, CertType: sign.ApprovalSignature, DocMDPPerm: sign.AllowFillingExistingFormFieldsAndSignaturesPerms,
		},
		Signer: s.key, DigestAlgorithm: crypto.SHA256, Certificate: s.chain[0], CertificateChains: [][]*x509.Certificate{s.chain},
	})
}
