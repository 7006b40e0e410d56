package demo

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/client"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
)

func (d *demo) signContract() error {
	d.print.step("The document system has the contract signed as PDF (PAdES B-B)")
	f, err := os.Open(d.File)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	doc, err := d.documents.Upload(d.ctx, filepath.Base(d.File), f, func(int64) {})
	if err != nil {
		return err
	}
	d.print.item("uploaded", fmt.Sprintf("%s, %d kB, SHA-256 %x…", doc.GetName(), doc.GetSizeBytes()/1024, doc.GetSha256()[:8]))
	d.contract, err = d.sign("Договір про надання послуг", &pb.SigningItemRequest{
		Source: &pb.SigningItemRequest_DocumentId{DocumentId: doc.GetId()}, Format: pb.SignatureFormat_SIGNATURE_FORMAT_PADES_B_B,
	})
	if err != nil {
		return err
	}
	var signed bytes.Buffer
	if _, err := d.documents.Download(d.ctx, d.contract.GetId(), 0, pb.ArtifactContent_ARTIFACT_CONTENT_FULL, &signed); err != nil {
		return err
	}
	if err := d.keep("contract.signed.pdf", signed.Bytes()); err != nil {
		return err
	}
	return d.keep("log/receipts/contract.tlog-proof", d.contract.GetReceipt())
}

// sign runs one signing operation with the code from the phone, and asks for the result a second time.
func (d *demo) sign(title string, item *pb.SigningItemRequest) (*pb.SigningOperation, error) {
	request := &pb.CreateSigningOperationRequest{
		RequestId: client.RequestID(), CredentialId: d.credential, Title: title, Language: "uk", Items: []*pb.SigningItemRequest{item},
	}
	c, err := d.documents.Signing.CreateSigningOperation(d.ctx, request)
	if err != nil {
		return nil, err
	}
	again, err := d.documents.Signing.CreateSigningOperation(d.ctx, request)
	if err != nil {
		return nil, err
	}
	if again.GetOperation().GetId() != c.GetOperation().GetId() {
		return nil, errors.New("the same request id made two operations")
	}
	code, err := d.server.code(d.ctx, "sign", d.print)
	if err != nil {
		return nil, err
	}
	authorize := &pb.AuthorizeSigningOperationRequest{RequestId: client.RequestID(), OperationId: c.GetOperation().GetId(), Code: code}
	start := time.Now()
	a, err := d.documents.Signing.AuthorizeSigningOperation(d.ctx, authorize)
	if err != nil {
		return nil, err
	}
	d.print.item("signed", fmt.Sprintf("%s in %.0f ms", a.GetOperation().GetId(), float64(time.Since(start).Microseconds())/1000))
	g, err := d.documents.Signing.GetSigningOperation(d.ctx, &pb.GetSigningOperationRequest{OperationId: a.GetOperation().GetId()})
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(g.GetOperation().GetItems()[0].GetSignature(), a.GetOperation().GetItems()[0].GetSignature()) {
		return nil, errors.New("asked again, another signature came")
	}
	d.print.item("asked again", "the same bytes, no second signature")
	return a.GetOperation(), nil
}

// order is the file whose hash is signed. It never leaves the document system.
const order = "Замовлення;Кількість;Ціна\nПапір A4, пачка;12;189,00\nКартридж;2;1450,00\n"

func (d *demo) signHash() error {
	d.print.step("The document system has a hash signed (detached CAdES B-B); the file stays with it")
	if err := d.keep("order.csv", []byte(order)); err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(order))
	var err error
	d.order, err = d.sign("Замовлення № 17", &pb.SigningItemRequest{
		Source: &pb.SigningItemRequest_Sha256{Sha256: sum[:]}, Format: pb.SignatureFormat_SIGNATURE_FORMAT_CADES_B_B,
	})
	if err != nil {
		return err
	}
	if err := d.keep("order.csv.p7s", d.order.GetItems()[0].GetCms()); err != nil {
		return err
	}
	return d.keep("log/receipts/order.tlog-proof", d.order.GetReceipt())
}

func (d *demo) wrongCode() error {
	d.print.step("A wrong code releases nothing and is counted")
	sum := sha256.Sum256([]byte("another file"))
	c, err := d.documents.Signing.CreateSigningOperation(d.ctx, &pb.CreateSigningOperationRequest{
		RequestId: client.RequestID(), CredentialId: d.credential, Title: "Рахунок", Language: "uk",
		Items: []*pb.SigningItemRequest{{Source: &pb.SigningItemRequest_Sha256{Sha256: sum[:]}, Format: pb.SignatureFormat_SIGNATURE_FORMAT_RAW}},
	})
	if err != nil {
		return err
	}
	code, err := d.server.code(d.ctx, "sign", d.print)
	if err != nil {
		return err
	}
	wrong := []byte(code)
	wrong[0] = '0' + (wrong[0]-'0'+1)%10
	_, err = d.documents.Signing.AuthorizeSigningOperation(d.ctx, &pb.AuthorizeSigningOperationRequest{
		RequestId: client.RequestID(), OperationId: c.GetOperation().GetId(), Code: string(wrong),
	})
	if err == nil {
		return errors.New("a wrong code released a signature")
	}
	d.print.item("wrong code", "refused: "+reason(err))
	_, err = d.documents.Signing.CancelSigningOperation(d.ctx, &pb.CancelSigningOperationRequest{
		RequestId: client.RequestID(), OperationId: c.GetOperation().GetId(),
	})
	return err
}

// keep writes one result.
func (d *demo) keep(name string, content []byte) error {
	path := filepath.Join(d.Out, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o644)
}

// collect fetches chain and revocation list over HTTP as a relying party would, stops the service, and takes the log.
func (d *demo) collect() error {
	d.print.step("A relying party fetches certificates and revocation list; the service stops; the log is taken along")
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

func (d *demo) close() error {
	var err error
	for _, c := range []*client.Conn{d.operator, d.portal, d.identity, d.documents, d.auditor} {
		if c != nil {
			err = errors.Join(err, c.Close())
		}
	}
	if d.server != nil {
		err = errors.Join(err, d.server.stop())
	}
	return err
}
