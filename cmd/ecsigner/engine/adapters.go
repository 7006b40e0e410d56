package engine

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"strings"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/ca"
	"github.com/ecsigner/ecsigner/server"
	"github.com/ecsigner/ecsigner/server/pki"
	"github.com/ecsigner/ecsigner/signer"
	"github.com/ecsigner/ecsigner/store"
)

// clientIssuer certifies new clients and records them.
type clientIssuer struct{ *Engine }

// Issue certifies a client's key. The event is durable before the certificate leaves; the same request id gets the same
// certificate.
func (c clientIssuer) Issue(ctx context.Context, caller, requestID string, r server.ClientRequest) ([][]byte, error) {
	chain, err := issueClient(ctx, c.tlsRoot, r, time.Now())
	if err != nil {
		return nil, err
	}
	body := sha256.Sum256([]byte(strings.Join([]string{"create-client", r.Name, r.Display, r.Role, string(r.CSR)}, "\x00")))
	_, err = c.db.Signer().Update(ctx, func(tx signer.Tx) error {
		earlier, result, err := tx.Request(caller, requestID)
		if err != nil {
			return err
		}
		if earlier != nil {
			if !bytes.Equal(earlier, body[:]) {
				return signer.ErrRequestReused
			}
			chain[0], err = base64.StdEncoding.DecodeString(result)
			return err
		}
		tx.Append(audit.ClientAdded{Client: r.Name, Role: r.Role, Caller: caller})
		return tx.PutRequest(caller, requestID, body[:], base64.StdEncoding.EncodeToString(chain[0]))
	})
	if err != nil {
		return nil, err
	}
	return chain, nil
}

// operationLog is the log as auditors see it.
type operationLog struct{ *store.DB }

func (l operationLog) Checkpoint(ctx context.Context) ([]byte, error) { return l.LastHead(ctx) }

// publication is the public HTTP server of CA certificates and revocation lists.
func (e *Engine) publication() (*pki.Server, error) {
	root, err := x509.ParseCertificate(e.chain[1])
	if err != nil {
		return nil, err
	}
	h, err := pki.Handler(pki.Config{
		Authorities: []pki.Authority{
			{Name: ca.FileName(root), Certificate: e.chain[1], CRL: func(context.Context) ([]byte, error) { return e.rootCRL, nil }},
			{Name: e.issuing.FileName(), Certificate: e.chain[0], CRL: e.tenure.CRL},
		},
		CRLAge: time.Minute, Logger: e.logger,
	})
	if err != nil {
		return nil, err
	}
	return pki.NewServer(h, e.logger), nil
}
