package demo

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/client"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
)

// grant lets the document system ask for signatures with a credential and returns its chain.
func (d *demo) grant(credential string) ([][]byte, error) {
	_, err := d.operator.Credential.GrantAccess(d.ctx, &pb.GrantAccessRequest{
		RequestId: client.RequestID(), CredentialId: credential, Client: "contracts",
	})
	if err != nil {
		return nil, err
	}
	k, err := d.documents.Credential.GetCredential(d.ctx, &pb.GetCredentialRequest{CredentialId: credential})
	return k.GetCredential().GetCertificateChain(), err
}

func (d *demo) grantAccess() error {
	d.print.step("The operator lets the document system \"contracts\" ask her for signatures")
	_, err := d.documents.Credential.GetCredential(d.ctx, &pb.GetCredentialRequest{CredentialId: d.credential})
	if err == nil {
		return errors.New("the document system sees a credential without a grant")
	}
	d.print.item("before", "refused: "+reason(err))
	chain, err := d.grant(d.credential)
	if err != nil {
		return err
	}
	d.print.item("now", fmt.Sprintf("granted; it sees the chain of %d certificates", len(chain)))
	return d.keep("certificate.cer", chain[0])
}

// upload sends a PDF that is to be signed and returns the item for it.
func (d *demo) upload(name string, content []byte) (*pb.SigningItemRequest, error) {
	doc, err := d.documents.Upload(d.ctx, name, bytes.NewReader(content), func(int64) {})
	if err != nil {
		return nil, err
	}
	d.print.item("uploaded", fmt.Sprintf("%s, %d bytes, SHA-256 %x…", doc.GetName(), doc.GetSizeBytes(), doc.GetSha256()[:8]))
	return &pb.SigningItemRequest{
		Source: &pb.SigningItemRequest_DocumentId{DocumentId: doc.GetId()}, Format: pb.SignatureFormat_SIGNATURE_FORMAT_PADES_B_B,
	}, nil
}

// download keeps one signed document whole.
func (d *demo) download(o *pb.SigningOperation, item uint32, as string) error {
	var signed bytes.Buffer
	if _, err := d.documents.Download(d.ctx, o.GetId(), item, pb.ArtifactContent_ARTIFACT_CONTENT_FULL, &signed); err != nil {
		return err
	}
	return d.keep(as, signed.Bytes())
}

// create begins a signing operation, twice with the same request id: it is one operation and one text.
func (d *demo) create(credential, language, title string, items ...*pb.SigningItemRequest) (*pb.SigningOperation, error) {
	request := &pb.CreateSigningOperationRequest{
		RequestId: client.RequestID(), CredentialId: credential, Title: title, Language: language, Items: items,
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
	return c.GetOperation(), nil
}

func (d *demo) authorize(o *pb.SigningOperation, code string) (*pb.SigningOperation, error) {
	a, err := d.documents.Signing.AuthorizeSigningOperation(d.ctx, &pb.AuthorizeSigningOperationRequest{
		RequestId: client.RequestID(), OperationId: o.GetId(), Code: code,
	})
	return a.GetOperation(), err
}

// sign runs one signing operation with the code from the phone, keeps its receipt, and asks for the result a second time.
func (d *demo) sign(receipt, credential, language, title string, items ...*pb.SigningItemRequest) (*pb.SigningOperation, error) {
	o, err := d.create(credential, language, title, items...)
	if err != nil {
		return nil, err
	}
	code, err := d.server.code(d.ctx, "sign", d.print)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	signed, err := d.authorize(o, code)
	if err != nil {
		return nil, err
	}
	d.print.item("signed", fmt.Sprintf("%s in %.0f ms", signed.GetId(), float64(time.Since(start).Microseconds())/1000))
	if _, err := d.server.message(d.ctx, "signed", d.print); err != nil {
		return nil, err
	}
	g, err := d.documents.Signing.GetSigningOperation(d.ctx, &pb.GetSigningOperationRequest{OperationId: signed.GetId()})
	if err != nil {
		return nil, err
	}
	for i, item := range g.GetOperation().GetItems() {
		if !bytes.Equal(item.GetSignature(), signed.GetItems()[i].GetSignature()) {
			return nil, errors.New("asked again, another signature came")
		}
	}
	d.print.item("asked again", "the same bytes, no second signature")
	return signed, d.keep("log/receipts/"+receipt+".tlog-proof", signed.GetReceipt())
}

func (d *demo) signContract() error {
	d.print.step("A contract is signed as PDF (PAdES B-B)")
	content, err := os.ReadFile(d.File)
	if err != nil {
		return err
	}
	item, err := d.upload(filepath.Base(d.File), content)
	if err != nil {
		return err
	}
	o, err := d.sign("contract", d.credential, "uk", "Договір про надання послуг", item)
	if err != nil {
		return err
	}
	return d.download(o, 0, "contract.signed.pdf")
}

// order is the file whose hash is signed. It never leaves the document system.
const order = "Замовлення;Кількість;Ціна\nПапір A4, пачка;12;189,00\nКартридж;2;1450,00\n"

func hashed(content string, f pb.SignatureFormat) *pb.SigningItemRequest {
	sum := sha256.Sum256([]byte(content))
	return &pb.SigningItemRequest{Source: &pb.SigningItemRequest_Sha256{Sha256: sum[:]}, Format: f}
}

func (d *demo) signHash() error {
	d.print.step("An order stays where it is; only its hash is signed (detached CAdES B-B)")
	o, err := d.sign("order", d.credential, "uk", "Замовлення № 17", hashed(order, pb.SignatureFormat_SIGNATURE_FORMAT_CADES_B_B))
	if err != nil {
		return err
	}
	return errors.Join(d.keep("order.csv", []byte(order)), d.keep("order.csv.p7s", o.GetItems()[0].GetCms()))
}

// invoice gets a bare signature.
const invoice = "Faktura nr 5 do zamówienia nr 17: 5168,00\n"

func (d *demo) wrongCode() error {
	d.print.step("A wrong code releases nothing and is counted; the right one still signs an invoice's hash (raw)")
	o, err := d.create(d.credential, "pl", "Faktura nr 5", hashed(invoice, pb.SignatureFormat_SIGNATURE_FORMAT_RAW))
	if err != nil {
		return err
	}
	code, err := d.server.code(d.ctx, "sign", d.print)
	if err != nil {
		return err
	}
	wrong := []byte(code)
	wrong[0] = '0' + (wrong[0]-'0'+1)%10
	if _, err := d.authorize(o, string(wrong)); err == nil {
		return errors.New("a wrong code released a signature")
	} else {
		d.print.item("wrong code", "refused: "+reason(err))
	}
	signed, err := d.authorize(o, code)
	if err != nil {
		return err
	}
	d.print.item("right code", signed.GetId()+" signed")
	if _, err := d.server.message(d.ctx, "signed", d.print); err != nil {
		return err
	}
	return errors.Join(
		d.keep("invoice.txt", []byte(invoice)), d.keep("invoice.txt.sig", signed.GetItems()[0].GetSignature()),
		d.keep("log/receipts/invoice.tlog-proof", signed.GetReceipt()),
	)
}

func (d *demo) signBoth() error {
	d.print.step("Two annexes are signed with it: one text, one code, two signatures (RSA-PSS)")
	var items []*pb.SigningItemRequest
	for i, text := range []string{"Annex 1: prices", "Annex 2: dates"} {
		item, err := d.upload(fmt.Sprintf("annex-%d.pdf", i+1), annex(text))
		if err != nil {
			return err
		}
		items = append(items, item)
	}
	o, err := d.sign("annexes", d.rsa, "en", "Annexes 1 and 2", items...)
	if err != nil {
		return err
	}
	if o.GetAlgorithm() != pb.SignatureAlgorithm_SIGNATURE_ALGORITHM_RSA_PSS_SHA256 || len(o.GetItems()) != 2 {
		return fmt.Errorf("%d signatures by %v came", len(o.GetItems()), o.GetAlgorithm())
	}
	return errors.Join(d.download(o, 0, "annex-1.signed.pdf"), d.download(o, 1, "annex-2.signed.pdf"))
}
