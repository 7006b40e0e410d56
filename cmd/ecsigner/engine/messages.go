package engine

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"time"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/config"
	"github.com/ecsigner/ecsigner/otp/sms"
	"github.com/ecsigner/ecsigner/otp/sms/gateway"
)

// gatewayPause is how long a provider is left alone before it is asked a second time.
const gatewayPause = 500 * time.Millisecond

// openMessages makes the sender and whom it hands texts to.
func (e *Engine) openMessages(context.Context) error {
	provider, err := messageProvider(e.config)
	if err != nil {
		return err
	}
	e.sender = sms.NewSender(e.db.Outbox(), provider, map[sms.Kind]sms.Composer{
		sms.KindPhone: e.enrol.Compose, sms.KindAgreement: e.enrol.Compose, sms.KindIssued: e.enrol.Compose,
		sms.KindDeferred: e.enrol.Compose, sms.KindExpired: e.enrol.Compose,
		sms.KindRevoke: e.tenure.Compose, sms.KindRevoked: e.tenure.Compose, sms.KindEnding: e.tenure.Compose,
		sms.KindSign: e.signer.Compose, sms.KindSigned: e.signer.Compose,
	}, time.Now, func(id string, err error) { e.logger.Warn("message not sent", "message", id, "error", err) })
	e.sender.Settled = e.settled
	return nil
}

// settled counts what became of a text.
func (e *Engine) settled(kind sms.Kind, status sms.Status) {
	if e.metrics != nil {
		e.metrics.messages.WithLabelValues(string(kind), string(status)).Inc()
	}
}

func messageProvider(cfg config.Config) (sms.Provider, error) {
	if cfg.Messages.Provider == "file" {
		return sms.File{Dir: cfg.Path(cfg.Messages.Dir), Now: time.Now}, nil
	}
	var all []sms.Provider
	for _, g := range cfg.Messages.Gateways {
		p, err := messageGateway(cfg, g.Effective())
		if err != nil {
			return nil, fmt.Errorf("%w: messages.gateways: %s: %w", config.ErrConfig, g.Name, err)
		}
		all = append(all, p)
	}
	return gateway.NewList(time.Now, all...), nil
}

func messageGateway(cfg config.Config, g config.Gateway) (*gateway.Provider, error) {
	c := gateway.Config{
		Name: g.Name, URL: g.URL, Method: g.Method, Headers: g.Headers, Secrets: map[string]string{}, Format: g.Format, Body: g.Body,
		Timeout: g.Timeout, Tries: g.Tries, Pause: gatewayPause, Status: g.SuccessStatus, Field: g.SuccessField,
		Values: g.SuccessValues, Reference: g.ReferenceField, Rand: rand.Float64,
	}
	for header, file := range g.SecretHeaders {
		value, err := secretOf(cfg, file)
		if err != nil {
			return nil, err
		}
		c.Secrets[header] = string(value)
	}
	if g.CAFile != "" {
		pem, err := os.ReadFile(cfg.Path(g.CAFile))
		if err != nil {
			return nil, err
		}
		c.CA = x509.NewCertPool()
		if !c.CA.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s has no certificate in PEM", g.CAFile)
		}
	}
	if g.CertificateFile != "" {
		pair, err := tls.LoadX509KeyPair(cfg.Path(g.CertificateFile), cfg.Path(g.KeyFile))
		if err != nil {
			return nil, err
		}
		c.Client = []tls.Certificate{pair}
	}
	return gateway.New(c)
}

// secretOf reads a secret from a file that nobody else may read.
func secretOf(cfg config.Config, file string) ([]byte, error) {
	path := cfg.Path(file)
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s can be read by others; run chmod 600 on it", path)
	}
	b, err := os.ReadFile(path)
	return bytes.TrimSpace(b), err
}

// messageReports answers what providers report of texts.
func (e *Engine) messageReports() (http.Handler, error) {
	var all []gateway.Reports
	for _, g := range e.config.Messages.Gateways {
		r := g.Reports
		if r.SecretFile == "" {
			continue
		}
		secret, err := secretOf(e.config, r.SecretFile)
		if err != nil {
			return nil, fmt.Errorf("%w: messages.gateways: %s: %w", config.ErrConfig, g.Name, err)
		}
		all = append(all, gateway.Reports{
			Name: g.Name, Secret: secret, Header: r.Header, HMAC: r.HMAC, Message: r.MessageField, Reference: r.ReferenceField,
			Status: r.StatusField, Delivered: r.Delivered, Failed: r.Failed,
		})
	}
	h, err := gateway.Handler(e.db.Reports(), func() time.Time { return time.Now().Truncate(time.Microsecond) }, e.settled, e.logger, all...)
	if err != nil {
		return nil, fmt.Errorf("%w: messages.gateways: %w", config.ErrConfig, err)
	}
	return h, nil
}
