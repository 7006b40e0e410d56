package demo

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/client"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
)

func (d *demo) revoke() error {
	d.print.step("She revokes it herself in the portal, with a code; its key is destroyed")
	_, err := d.portal.Credential.SendRevocationCode(d.ctx, &pb.SendRevocationCodeRequest{RequestId: client.RequestID(), CredentialId: d.rsa})
	if err != nil {
		return err
	}
	code, err := d.server.code(d.ctx, "revoke", d.print)
	if err != nil {
		return err
	}
	a, err := d.portal.Credential.RevokeWithCode(d.ctx, &pb.RevokeWithCodeRequest{
		RequestId: client.RequestID(), CredentialId: d.rsa, Reason: pb.RevocationReason_REVOCATION_REASON_CESSATION_OF_OPERATION, Code: code,
	})
	if err != nil {
		return err
	}
	if got := a.GetCredential().GetStatus(); got != pb.CredentialStatus_CREDENTIAL_STATUS_REVOKED {
		return fmt.Errorf("the credential is %v, not revoked", got)
	}
	d.print.item("revoked", "serial …"+d.serial[len(d.serial)-8:]+" for good")
	_, err = d.server.message(d.ctx, "revoked", d.print)
	return err
}

func (d *demo) refused() error {
	d.print.step("From now on nothing is signed with it; the other one is not touched")
	if _, err := d.create(d.rsa, "en", "Annex 3", hashed("annex 3", pb.SignatureFormat_SIGNATURE_FORMAT_RAW)); err == nil {
		return errors.New("a revoked credential was asked for a signature")
	} else {
		d.print.item("second", "refused: "+reason(err))
	}
	k, err := d.documents.Credential.GetCredential(d.ctx, &pb.GetCredentialRequest{CredentialId: d.credential})
	if err != nil {
		return err
	}
	if k.GetCredential().GetStatus() != pb.CredentialStatus_CREDENTIAL_STATUS_ACTIVE {
		return fmt.Errorf("the first credential is %v", k.GetCredential().GetStatus())
	}
	d.print.item("first", "active")
	return nil
}

// collect fetches chain and revocation lists over HTTP as a relying party would, stops the service, and takes the log.
func (d *demo) collect() error {
	d.print.step("A relying party fetches CA certificates and revocation lists; the service stops; the log is taken along")
	if err := d.fetch("certificate.cer", "issuing"); err != nil {
		return err
	}
	if err := d.fetch("issuing.cer", "root"); err != nil {
		return err
	}
	if err := d.server.stop(); err != nil {
		return err
	}
	return d.server.takeLog(d.Out)
}

// fetch follows the addresses in a certificate to its issuer's certificate and revocation list. The public name in them
// is that of the demo's server on loopback.
func (d *demo) fetch(certificate, issuer string) error {
	der, err := os.ReadFile(filepath.Join(d.Out, certificate))
	if err != nil {
		return err
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return err
	}
	for name, addresses := range map[string][]string{issuer + ".cer": c.IssuingCertificateURL, issuer + ".crl": c.CRLDistributionPoints} {
		if len(addresses) != 1 {
			return fmt.Errorf("%s names %d addresses for %s", certificate, len(addresses), name)
		}
		u, err := url.Parse(addresses[0])
		if err != nil {
			return err
		}
		b, err := d.server.get(d.ctx, u.Path)
		if err != nil {
			return err
		}
		if err := d.keep(name, b); err != nil {
			return err
		}
	}
	return nil
}
