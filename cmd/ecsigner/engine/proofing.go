package engine

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/config"
	"github.com/ecsigner/ecsigner/enrol"
	"github.com/ecsigner/ecsigner/enrol/proofing"
	"github.com/ecsigner/ecsigner/server/webhook"
)

// identityProviders makes the adapters that the configuration names.
func identityProviders(cfg config.Config) (map[string]enrol.Provider, error) {
	all := map[string]enrol.Provider{}
	for name, p := range cfg.Proofing.Providers {
		v, err := identityProvider(cfg, "proofing.providers."+name, p.Effective())
		if err != nil {
			return nil, err
		}
		all[name] = v
	}
	return all, nil
}

func identityProvider(cfg config.Config, key string, p config.IdentityProvider) (enrol.Provider, error) {
	link := proofing.Link{ReturnURL: p.ReturnURL, Timeout: p.Timeout, MaxBytes: p.MaxBytes}
	var err error
	if link.Key, err = cfg.Secret(key+".key_file", p.KeyFile); err != nil {
		return nil, err
	}
	for _, file := range p.SecretFiles {
		secret, err := cfg.Secret(key+".secret_files", file)
		if err != nil {
			return nil, err
		}
		link.Secrets = append(link.Secrets, secret)
	}
	if p.CAFile != "" {
		text, err := os.ReadFile(cfg.Path(p.CAFile))
		if err != nil {
			return nil, fmt.Errorf("%w: %s.ca_file: %w", config.ErrConfig, key, err)
		}
		link.Roots = x509.NewCertPool()
		if !link.Roots.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%w: %s.ca_file has no certificate in PEM", config.ErrConfig, key)
		}
	}
	var v enrol.Provider
	switch p.Kind {
	case config.KindVeriff:
		v, err = proofing.NewVeriff(proofing.Veriff{Link: link, URL: p.URL, IdentifierType: p.IdentifierType, PhoneField: p.PhoneField})
	default:
		v, err = proofing.NewGeneric(proofing.Generic{
			Link: link, StartURL: p.StartURL, FetchURL: p.FetchURL, EvidenceURL: p.EvidenceURL, Tolerance: p.Tolerance,
		})
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return v, nil
}

// listenCallbacks opens the listener for callbacks; nothing where none is configured.
func (e *Engine) listenCallbacks(ctx context.Context) (*webhook.Server, net.Listener, error) {
	c := e.config.Proofing
	if c.Listen == "" {
		return nil, nil, nil
	}
	var certificate *tls.Certificate
	if c.CertificateFile != "" {
		pair, err := tls.LoadX509KeyPair(e.config.Path(c.CertificateFile), e.config.Path(c.KeyFile))
		if err != nil {
			return nil, nil, fmt.Errorf("%w: proofing.certificate_file: %w", config.ErrConfig, err)
		}
		certificate = &pair
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return nil, nil, fmt.Errorf("proofing.listen: %w; is another process using it?", err)
	}
	limits := webhook.DefaultLimits()
	reports, err := e.messageReports()
	if err != nil {
		return nil, nil, errors.Join(err, l.Close())
	}
	mux := http.NewServeMux()
	mux.Handle("/sms/", reports)
	mux.Handle("/", webhook.Handler(e.takeCallback, limits, e.logger))
	return webhook.NewServer(mux, limits, certificate, e.logger), l, nil
}

// takeCallback hands a callback on and says what its sender may know.
func (e *Engine) takeCallback(ctx context.Context, provider string, header http.Header, body []byte) error {
	err := e.enrol.TakeCallback(ctx, provider, header, body)
	switch {
	case errors.Is(err, enrol.ErrCallback):
		return fmt.Errorf("%w: %w", webhook.ErrRefused, err)
	case errors.Is(err, enrol.ErrCallbackBody):
		return fmt.Errorf("%w: %w", webhook.ErrUnreadable, err)
	}
	return err
}

// notAsked says that a provider could not be asked; it is tried again.
func (e *Engine) notAsked(enrolment string, err error) {
	e.logger.Warn("identity provider not asked", "enrolment", enrolment, "error", err)
}
