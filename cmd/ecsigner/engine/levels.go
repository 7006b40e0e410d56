package engine

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/ecsigner/ecsigner/augment"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/config"
	"github.com/ecsigner/ecsigner/signer"
	"github.com/ecsigner/ecsigner/signer/appearance"
	"github.com/ecsigner/ecsigner/signer/revinfo"
	"github.com/ecsigner/ecsigner/signer/tsp"
)

// lateSource is the use case of signing as that of raising sees it. It comes later, because it needs the other one.
type lateSource struct{ e *Engine }

func (l lateSource) Signature(ctx context.Context, operation string, item int) (augment.Signature, error) {
	return l.e.signer.Signature(ctx, operation, item)
}

func (l lateSource) Document(ctx context.Context, caller, id string) (augment.SpoolReader, []byte, error) {
	return l.e.signer.Document(ctx, caller, id)
}

var _ augment.Source = (*signer.Service)(nil)

// openLevels wires the use case of raising signatures.
func (e *Engine) openLevels() error {
	c := augment.Config{
		Store: e.tracing.AugmentStore(e.db.Augment()), Source: lateSource{e}, Spool: e.spool, Hash: stampHash(e.config), Now: time.Now, Rand: rand.Reader,
		Life: e.config.Limits.DocumentLife, Space: e.config.Timestamp.Space,
		Failed: e.notRaised,
	}
	if len(e.config.Timestamp.Authorities) > 0 {
		stamper, anchors, err := stamper(e.config)
		if err != nil {
			return err
		}
		c.Stamper = stamper
		if e.prover, err = e.newProver(anchors); err != nil {
			return err
		}
		c.Prover = e.prover
	}
	var err error
	e.augment, err = augment.New(c)
	return err
}

func stampHash(c config.Config) crypto.Hash {
	return map[string]crypto.Hash{"sha256": crypto.SHA256, "sha384": crypto.SHA384, "sha512": crypto.SHA512}[c.Timestamp.Hash]
}

// notRaised tells the operator of an attempt that failed; the client sees the reason too.
func (e *Engine) notRaised(subject string, item int, reason augment.Reason, err error) {
	if e.metrics != nil {
		e.metrics.notRaised(string(reason))
	}
	e.logger.Warn("signature not raised", "subject", subject, "item", item, "reason", string(reason), "error", err)
}

// stamper makes the client of the authorities, and returns what they are trusted by.
func stamper(cfg config.Config) (*tsp.Client, []*x509.Certificate, error) {
	var anchors []*x509.Certificate
	c := tsp.Config{
		HTTP: &http.Client{Transport: &http.Transport{
			MaxIdleConnsPerHost: 16, IdleConnTimeout: time.Minute, TLSHandshakeTimeout: 10 * time.Second, Proxy: http.ProxyFromEnvironment,
		}},
		Now: time.Now, Random: rand.Reader,
	}
	for i, a := range cfg.Timestamp.Authorities {
		key := fmt.Sprintf("timestamp.authorities[%d]", i)
		trusted, err := certificates(cfg, key+".trust_file", a.TrustFile)
		if err != nil {
			return nil, nil, err
		}
		anchors = append(anchors, trusted...)
		authority := tsp.Authority{Name: a.Name, URL: a.URL, Policy: objectID(a.Policy), Roots: x509.NewCertPool(), Timeout: a.Timeout}
		for _, t := range trusted {
			authority.Roots.AddCert(t)
		}
		if a.User != "" {
			password, err := cfg.Secret(key+".password_file", a.PasswordFile)
			if err != nil {
				return nil, nil, err
			}
			authority.Authorize = tsp.BasicAuth(a.User, string(password))
		}
		c.Authorities = append(c.Authorities, authority)
	}
	client, err := tsp.New(c)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: timestamp: %w", config.ErrConfig, err)
	}
	return client, anchors, nil
}

// newProver makes the collector of revocation data. This installation's own lists come from itself.
func (e *Engine) newProver(anchors []*x509.Certificate) (*revinfo.Collector, error) {
	r := e.config.Revocation
	root, err := x509.ParseCertificate(e.chain[1])
	if err != nil {
		return nil, err
	}
	anchors = append(anchors, root)
	for i, file := range r.TrustFiles {
		more, err := certificates(e.config, fmt.Sprintf("revocation.trust_files[%d]", i), file)
		if err != nil {
			return nil, err
		}
		anchors = append(anchors, more...)
	}
	network := revinfo.Network{Hosts: r.Hosts, AnyHost: r.AnyHost, Ports: r.Ports, Timeout: r.Timeout}
	for _, p := range r.Inside {
		prefix, err := netip.ParsePrefix(p)
		if err != nil {
			return nil, fmt.Errorf("%w: revocation.inside: %w", config.ErrConfig, err)
		}
		network.Inside = append(network.Inside, prefix)
	}
	return revinfo.New(revinfo.Config{
		Anchors: anchors, Intermediates: []*x509.Certificate{e.issuing.Certificate()}, Network: network, Now: time.Now,
		Local: e.ownList, MaxAge: r.MaxAge, AfterSignature: r.AfterSignature,
	})
}

// ownList gives the newest list of one of this installation's CAs.
func (e *Engine) ownList(issuer *x509.Certificate) ([]byte, bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	switch {
	case bytes.Equal(issuer.Raw, e.chain[1]):
		return e.rootCRL, true
	case !bytes.Equal(issuer.Raw, e.chain[0]):
		return nil, false
	}
	list := e.tenure.CRL
	if e.config.Revocation.AfterSignature {
		list = e.tenure.FreshCRL
	}
	crl, err := list(ctx)
	if err != nil {
		e.logger.Error("the revocation list could not be made", "error", err)
	}
	return crl, err == nil
}

// typefaces reads the fonts for visible signatures, and refuses one that cannot be used.
func typefaces(cfg config.Config) (map[string]signer.Typeface, error) {
	faces := map[string]signer.Typeface{}
	for name, f := range cfg.Appearance.Typefaces {
		key := "appearance.typefaces." + name
		regular, err := os.ReadFile(cfg.Path(f.File))
		if err != nil {
			return nil, fmt.Errorf("%w: %s.file: %w", config.ErrConfig, key, err)
		}
		face := signer.Typeface{Regular: regular}
		if f.BoldFile != "" {
			if face.Bold, err = os.ReadFile(cfg.Path(f.BoldFile)); err != nil {
				return nil, fmt.Errorf("%w: %s.bold_file: %w", config.ErrConfig, key, err)
			}
		}
		if err := (&appearance.Appearance{Font: face.Regular, BoldFont: face.Bold}).Check(); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", config.ErrConfig, key, err)
		}
		faces[name] = face
	}
	return faces, nil
}

// certificates reads a file of certificates in PEM.
func certificates(cfg config.Config, key, file string) ([]*x509.Certificate, error) {
	text, err := os.ReadFile(cfg.Path(file))
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", config.ErrConfig, key, err)
	}
	var all []*x509.Certificate
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", config.ErrConfig, key, err)
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%w: %s: no certificate in PEM in %s", config.ErrConfig, key, file)
	}
	return all, nil
}

// objectID reads what the configuration was checked to hold; nil for nothing.
func objectID(text string) asn1.ObjectIdentifier {
	if text == "" {
		return nil
	}
	var oid asn1.ObjectIdentifier
	for _, arc := range strings.Split(text, ".") {
		n, err := strconv.ParseInt(arc, 10, 32)
		if err != nil {
			return nil
		}
		oid = append(oid, int(n))
	}
	return oid
}
