package engine

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/ca"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/client"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/config"
	"github.com/ecsigner/ecsigner/hsm"
	"github.com/ecsigner/ecsigner/server"
)

// ErrExists: the directory holds something already; an installation is never overwritten.
var ErrExists = errors.New("directory is not empty")

// Labels of the service keys on the token.
const (
	keyRoot      = "ca-root"
	keyIssuing   = "ca-issuing"
	keySeal      = "service-seal"
	keyTLSRoot   = "tls-root"
	keyTLSServer = "tls-server"
	keyLog       = "log"
	firstKEK     = "kek-2026-1"
)

// Files below the installation's directory.
const (
	FileConfig  = "ecsigner.yaml"
	FileLogKey  = "pki/log.vkey"
	fileRoot    = "pki/root.cer"
	fileIssuing = "pki/issuing.cer"
	fileSeal    = "pki/seal.cer"
	fileTLSRoot = "pki/tls-root.cer"
	fileTLS     = "pki/tls-server.cer"
	fileRootCRL = "pki/root.crl"
)

// yearsOf are the lives of the certificates that init makes.
const (
	yearsRoot    = 20
	yearsIssuing = 10
	yearsSeal    = 3
	yearsTLSRoot = 10
	yearsTLS     = 1
)

// Init makes a new installation in dir from the text of its configuration: PINs, token, keys, certification authorities,
// the server's and the first operator's certificate. It tells each step to say. On failure nothing is left in dir.
func Init(ctx context.Context, dir, text string, now time.Time, say func(string)) (err error) {
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return fmt.Errorf("%s: %w; choose a new one", dir, ErrExists)
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, clear(dir))
		}
	}()
	cfg, err := writeFiles(dir, text)
	if err != nil {
		return err
	}
	say("configuration in " + filepath.Join(dir, FileConfig))
	if err := makeToken(cfg); err != nil {
		return err
	}
	device, err := openDevice(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, device.Close()) }()
	if err := makeKeys(ctx, device); err != nil {
		return err
	}
	say("token " + cfg.HSM.Token + ": key-encryption, seal, CA, TLS and log keys made in the HSM, not extractable")
	if err := makeAuthorities(ctx, cfg, device, now); err != nil {
		return err
	}
	say("certification authorities and the server's certificate in " + filepath.Join(dir, "pki"))
	if err := makeOperator(ctx, cfg, device, now); err != nil {
		return err
	}
	say("first operator in " + filepath.Join(dir, "clients", "operator"))
	return makeLogKey(ctx, cfg, device)
}

// clear removes what a failed Init made; dir was empty before.
func clear(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return err
}

// writeFiles makes the configuration, the PINs and SoftHSM's own configuration.
func writeFiles(dir, text string) (config.Config, error) {
	cfg, err := config.Parse([]byte(text))
	if err != nil {
		return config.Config{}, err
	}
	for _, f := range []struct{ key, path string }{
		{"hsm.pin_file", cfg.HSM.PINFile}, {"hsm.softhsm_conf", cfg.HSM.SoftHSMConf}, {"data", cfg.Data},
	} {
		if !filepath.IsLocal(f.path) {
			return config.Config{}, fmt.Errorf("%w: %s must be a path below the new directory, for init makes it", config.ErrConfig, f.key)
		}
	}
	files := map[string]string{
		FileConfig:               text,
		cfg.HSM.SoftHSMConf:      "directories.tokendir = " + filepath.Join(dir, "softhsm", "tokens") + "\nobjectstore.backend = file\nlog.level = ERROR\n",
		cfg.HSM.PINFile:          newPIN(),
		"secrets/so.pin":         newPIN(),
		"softhsm/tokens/.ignore": "",
	}
	if pin := os.Getenv("ECSIGNER_PIN"); pin != "" {
		delete(files, cfg.HSM.PINFile) // given from outside, kept outside
	}
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return config.Config{}, err
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			return config.Config{}, err
		}
	}
	if err := os.Remove(filepath.Join(dir, "softhsm/tokens/.ignore")); err != nil {
		return config.Config{}, err
	}
	if err := os.MkdirAll(filepath.Join(dir, "pki"), 0o755); err != nil { // certificates are public
		return config.Config{}, err
	}
	return config.Load(filepath.Join(dir, FileConfig))
}

// newPIN returns 24 random characters.
func newPIN() string {
	b := make([]byte, 15)
	_, _ = rand.Read(b) // never fails
	return strings.ToLower(base32.StdEncoding.EncodeToString(b))
}

func makeToken(cfg config.Config) error {
	pin, err := cfg.PIN()
	if err != nil {
		return err
	}
	so, err := os.ReadFile(cfg.Path("secrets/so.pin"))
	if err != nil {
		return err
	}
	if err := useSoftHSM(cfg); err != nil {
		return err
	}
	return hsm.InitToken(cfg.HSM.Module, cfg.HSM.Token, so, pin)
}

func makeKeys(ctx context.Context, d *hsm.Device) error {
	err := errors.Join(d.CreateKEK(ctx, firstKEK), d.CreateSealKey(ctx), d.CreateEpoch(ctx))
	for label, algorithm := range map[string]string{
		keyRoot: hsm.ECDSAP384, keyIssuing: hsm.ECDSAP384, keySeal: hsm.ECDSAP256,
		keyTLSRoot: hsm.ECDSAP256, keyTLSServer: hsm.ECDSAP256, keyLog: hsm.Ed25519,
	} {
		if err != nil {
			return err
		}
		_, err = d.CreateServiceKey(ctx, label, algorithm)
	}
	return err
}

// makeAuthorities makes root, issuing CA, service seal, and the separate CA for TLS with the server's certificate.
func makeAuthorities(ctx context.Context, cfg config.Config, d *hsm.Device, now time.Time) error {
	c := CAConfig(cfg)
	start := now.Add(-time.Minute).Truncate(time.Second)
	root, err := makeRoot(ctx, c, ca.Root, d, keyRoot, start, yearsRoot)
	if err != nil {
		return err
	}
	issuingKey, err := d.Signer(ctx, keyIssuing)
	if err != nil {
		return err
	}
	issuing, err := ca.BuildIssuing(ctx, root, issuingKey.Public(), start, yearsIssuing)
	if err != nil {
		return fmt.Errorf("issuing CA: %w", err)
	}
	authority, err := ca.New(c, ca.IssuingCA, issuing.DER, root.Certificate(), issuingKey, rand.Reader)
	if err != nil {
		return err
	}
	seal, err := makeSeal(ctx, authority, d, start)
	if err != nil {
		return err
	}
	rootCRL, err := root.CRL(ctx, nil, nil, now)
	if err != nil {
		return fmt.Errorf("root revocation list: %w", err)
	}
	tlsRoot, err := makeRoot(ctx, c, ca.TLSRoot, d, keyTLSRoot, start, yearsTLSRoot)
	if err != nil {
		return err
	}
	server, err := makeServer(ctx, cfg, tlsRoot, d, start)
	if err != nil {
		return err
	}
	for name, der := range map[string][]byte{
		fileRoot: root.Certificate().Raw, fileIssuing: issuing.DER, fileSeal: seal, fileRootCRL: rootCRL,
		fileTLSRoot: tlsRoot.Certificate().Raw, fileTLS: server,
	} {
		if err := os.WriteFile(cfg.Path(name), der, 0o644); err != nil { // public by nature
			return err
		}
	}
	return nil
}

func makeRoot(ctx context.Context, c ca.Config, profile ca.Profile, d *hsm.Device, label string, start time.Time, years int) (*ca.Authority, error) {
	key, err := d.Signer(ctx, label)
	if err != nil {
		return nil, err
	}
	der, err := ca.BuildRoot(ctx, c, profile, key, start, years, rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", profile, err)
	}
	return ca.New(c, profile, der, nil, key, rand.Reader)
}

// makeSeal certifies the key by which the service seals agreements.
func makeSeal(ctx context.Context, issuing *ca.Authority, d *hsm.Device, start time.Time) ([]byte, error) {
	key, err := d.Signer(ctx, keySeal)
	if err != nil {
		return nil, err
	}
	c, err := issuing.Issue(ctx, ca.Request{
		ID: "service-seal", Person: "provider", Profile: ca.ServiceSeal, PublicKey: key.Public(), NotBefore: start, Years: yearsSeal,
	})
	if err != nil {
		return nil, fmt.Errorf("service seal: %w", err)
	}
	return c.DER, nil
}

// makeServer certifies the server's key for the hosts in the configuration.
func makeServer(ctx context.Context, cfg config.Config, tlsRoot *ca.Authority, d *hsm.Device, start time.Time) ([]byte, error) {
	key, err := d.Signer(ctx, keyTLSServer)
	if err != nil {
		return nil, err
	}
	names, ips := hosts(cfg.Hosts)
	c, err := tlsRoot.Issue(ctx, ca.Request{
		ID: "tls-server", Person: "provider", Profile: ca.TLSServer, DNSNames: names, IPs: ips,
		PublicKey: key.Public(), NotBefore: start, Years: yearsTLS,
	})
	if err != nil {
		return nil, fmt.Errorf("server certificate: %w", err)
	}
	return c.DER, nil
}

// makeOperator makes the first client: an operator, who adds all others.
func makeOperator(ctx context.Context, cfg config.Config, d *hsm.Device, now time.Time) error {
	key, csr, err := client.NewKey("operator")
	if err != nil {
		return err
	}
	authority, err := tlsAuthority(ctx, cfg, d)
	if err != nil {
		return err
	}
	chain, err := issueClient(ctx, authority, server.ClientRequest{
		Name: "operator", Display: cfg.Provider.Organisation, Role: "operator", CSR: csr,
	}, now)
	if err != nil {
		return err
	}
	return client.WriteProfile(cfg.Path("clients/operator"), cfg.Listen, key, chain, authority.Certificate().Raw)
}

func makeLogKey(ctx context.Context, cfg config.Config, d *hsm.Device) error {
	key, err := d.Signer(ctx, keyLog)
	if err != nil {
		return err
	}
	v, err := verifierKey(cfg, key.Public())
	if err != nil {
		return err
	}
	return os.WriteFile(cfg.Path(FileLogKey), []byte(v+"\n"), 0o644) // public by nature
}

// verifierKey is the log's public key as auditors pin it.
func verifierKey(cfg config.Config, key crypto.PublicKey) (string, error) {
	public, ok := key.(ed25519.PublicKey)
	if !ok {
		return "", errors.New("the log key is not Ed25519")
	}
	return audit.VerifierKey(logOrigin(cfg), public)
}
