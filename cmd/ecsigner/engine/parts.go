package engine

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/ecsigner/ecsigner/ca"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/config"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/enrol"
	"github.com/ecsigner/ecsigner/hsm"
	"github.com/ecsigner/ecsigner/otp"
	"github.com/ecsigner/ecsigner/server"
	"github.com/ecsigner/ecsigner/store"
)

// clientYears is the life of a client's certificate.
const clientYears = 1

// useSoftHSM points SoftHSM to its configuration; its library reads the environment when it is initialised.
func useSoftHSM(cfg config.Config) error {
	if cfg.HSM.SoftHSMConf == "" {
		return nil
	}
	if !cfg.Test {
		return fmt.Errorf("%w: hsm.softhsm_conf: SoftHSM is for test installations; set test: true or use an HSM", config.ErrConfig)
	}
	return os.Setenv("SOFTHSM2_CONF", cfg.Path(cfg.HSM.SoftHSMConf))
}

func openDevice(ctx context.Context, cfg config.Config) (*hsm.Device, error) {
	pin, err := cfg.PIN()
	if err != nil {
		return nil, err
	}
	if err := useSoftHSM(cfg); err != nil {
		return nil, err
	}
	return hsm.Open(ctx, hsm.Config{
		Module: cfg.HSM.Module, TokenLabel: cfg.HSM.Token, PIN: func() ([]byte, error) { return pin, nil },
		Sessions: cfg.HSM.Sessions, Timeout: cfg.HSM.Timeout,
	})
}

// CAConfig is what the installation declares about its CAs.
func CAConfig(cfg config.Config) ca.Config {
	p, c := cfg.Provider, cfg.Certificates
	return ca.Config{
		Country: p.Country, Organization: p.Organisation, OrganizationID: p.OrganisationID,
		RootName: c.RootName, IssuingName: c.IssuingName, SealName: c.SealName, TLSRootName: c.TLSName,
		TestPrefix: cfg.Test, PolicyNatural: c.PolicyNatural, PolicySeal: c.PolicySeal, PDS: c.PDS,
		AIABase: cfg.PKI.URL + "/ca", CRLBase: cfg.PKI.URL + "/crl", RetentionYears: c.RetentionYears, QSCD: c.QSCD,
		CRLLifetime: c.CRLLifetime, CARLLifetime: 365 * 24 * time.Hour, SerialPrefix: 1,
	}
}

func codeLimits(cfg config.Config) otp.Limits {
	l := otp.DefaultLimits()
	l.Life, l.Tries, l.Codes = cfg.Codes.Life, cfg.Codes.Tries, cfg.Codes.PerRequest
	l.Resends, l.Digits, l.HighDigits = cfg.Codes.Resends, cfg.Codes.Digits, cfg.Codes.HighValueDigits
	l.NumberBudget, l.CallerBudget = cfg.Codes.NumberBudget, cfg.Codes.CallerBudget
	l.CallerLock, l.AccountLock = cfg.Codes.CallerLock, cfg.Codes.AccountLock
	return l
}

// catalogue is what vouchers can be made for.
func catalogue(products []config.Product) []enrol.Product {
	all := make([]enrol.Product, len(products))
	for i, p := range products {
		all[i] = enrol.Product{
			Name: p.Name, Years: p.Years, Identifiers: p.Identifiers, Organisation: enrol.OrganisationRule(p.Organisation),
		}
		for _, a := range p.Algorithms {
			all[i].Algorithms = append(all[i].Algorithms, credential.Algorithm(a))
		}
	}
	return all
}

// pinned reads a SHA-256 that the configuration was checked to hold; nil for none.
func pinned(text string) []byte {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) == 0 {
		return nil
	}
	return b
}

func digests(texts map[string]string) map[string][]byte {
	all := map[string][]byte{}
	for language, text := range texts {
		all[language] = pinned(text)
	}
	return all
}

func guessLimits(v config.Vouchers) enrol.GuessLimits {
	return enrol.GuessLimits{Person: v.WrongPerPerson, Caller: v.WrongPerClient, Callers: v.Clients, Window: v.Window}
}

// logOrigin names the operation log, as C2SP checkpoints do.
func logOrigin(cfg config.Config) string { return "ecsigner/" + cfg.Installation }

// hosts splits names from addresses.
func hosts(list []string) (names []string, ips []net.IP) {
	for _, h := range list {
		if ip := net.ParseIP(h); ip != nil {
			ips = append(ips, ip)
		} else {
			names = append(names, h)
		}
	}
	return names, ips
}

// authority opens a CA whose certificate init wrote, and checks that the key on the token belongs to it.
func authority(ctx context.Context, cfg config.Config, d *hsm.Device, profile ca.Profile, file, issuerFile, label string) (*ca.Authority, error) {
	der, err := os.ReadFile(cfg.Path(file))
	if err != nil {
		return nil, err
	}
	var issuer *x509.Certificate
	if issuerFile != "" {
		issuerDER, err := os.ReadFile(cfg.Path(issuerFile))
		if err != nil {
			return nil, err
		}
		if issuer, err = x509.ParseCertificate(issuerDER); err != nil {
			return nil, fmt.Errorf("%s: %w", issuerFile, err)
		}
	}
	key, err := d.Signer(ctx, label)
	if err != nil {
		return nil, err
	}
	return ca.New(CAConfig(cfg), profile, der, issuer, key, rand.Reader)
}

func tlsAuthority(ctx context.Context, cfg config.Config, d *hsm.Device) (*ca.Authority, error) {
	return authority(ctx, cfg, d, ca.TLSRoot, fileTLSRoot, "", keyTLSRoot)
}

// issueClient certifies a client's key for a name, a role and the name that persons are shown.
func issueClient(ctx context.Context, a *ca.Authority, r server.ClientRequest, now time.Time) ([][]byte, error) {
	req, err := x509.ParseCertificateRequest(r.CSR)
	if err != nil {
		return nil, fmt.Errorf("%w: reading the certificate request: %w", ca.ErrRequest, err)
	}
	if err := req.CheckSignature(); err != nil {
		return nil, fmt.Errorf("%w: it is not signed with its key", ca.ErrRequest)
	}
	c, err := a.Issue(ctx, ca.Request{
		ID: "tls-client", Person: "client " + r.Name, Profile: ca.TLSClient, DNSNames: []string{r.Name},
		Role: r.Role, Display: r.Display, PublicKey: req.PublicKey, NotBefore: now.Add(-time.Minute).Truncate(time.Second), Years: clientYears,
	})
	if err != nil {
		return nil, err
	}
	return [][]byte{c.DER, a.Certificate().Raw}, nil
}

// faults names what the edge does not know: errors of device and store.
func faults() []server.Fault {
	return []server.Fault{
		{Err: hsm.ErrUnavailable, Reason: server.ReasonDevice},
		{Err: store.ErrFull, Reason: server.ReasonStore},
		{Err: store.ErrReadOnly, Reason: server.ReasonStore},
		{Err: store.ErrDatabase, Reason: server.ReasonStore},
		{Err: store.ErrStopped, Reason: server.ReasonStore},
		{Err: store.ErrUnpublished, Reason: server.ReasonStore},
		{Err: store.ErrClosed, Reason: server.ReasonShutdown},
		{Err: store.ErrHead, Reason: server.ReasonDevice},
		{Err: store.ErrNoHead, Reason: server.ReasonHeadPending},
		{Err: store.ErrLost, Reason: server.ReasonLost},
		{Err: store.ErrClock, Reason: server.ReasonClock},
	}
}

// ProfileOf tells by its subject which profile a certificate of the installation has.
func ProfileOf(cfg config.Config, c *x509.Certificate) ca.Profile {
	switch c.Subject.CommonName {
	case cfg.Certificates.RootName:
		return ca.Root
	case cfg.Certificates.IssuingName:
		return ca.IssuingCA
	case cfg.Certificates.SealName:
		return ca.ServiceSeal
	case cfg.Certificates.TLSName:
		return ca.TLSRoot
	}
	switch {
	case len(c.ExtKeyUsage) == 1 && c.ExtKeyUsage[0] == x509.ExtKeyUsageClientAuth:
		return ca.TLSClient
	case len(c.ExtKeyUsage) == 1 && c.ExtKeyUsage[0] == x509.ExtKeyUsageServerAuth:
		return ca.TLSServer
	}
	return ca.NaturalPerson
}
