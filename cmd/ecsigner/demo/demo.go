// Package demo shows the whole way once: it sets an installation up, serves it, and then is the portal, the identity
// provider, the document system and the person with the phone, each over the real interface. At the end programs that
// nobody here wrote say what they think of the results.
package demo

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/client"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Options of one run.
type Options struct {
	Program string // path of the ecsigner binary
	Out     string // where the results stay; empty: nowhere
	File    string // the PDF to sign
	Writer  io.Writer
}

// Run shows everything and returns an error if any step fails or any judge objects.
func Run(ctx context.Context, o Options) (err error) {
	start := time.Now()
	work, err := os.MkdirTemp("", "ecsigner-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	if o.Out == "" {
		o.Out = filepath.Join(work, "out")
	}
	if err := emptyDir(o.Out); err != nil {
		return err
	}
	d := &demo{Options: o, ctx: ctx, work: work, print: printer{w: o.Writer}}
	defer func() { err = errors.Join(err, d.close()) }()
	for _, step := range []func() error{
		d.setUp, d.addClients, d.redeemVoucher, d.giveData, d.proveIdentity, d.acceptAgreement, d.grantAccess,
		d.signContract, d.signHash, d.wrongCode, d.collect,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	err = d.judge()
	d.print.line("\nThe demo took %.1f s.", time.Since(start).Seconds())
	return err
}

// emptyDir makes a directory for the results; it never writes between somebody's files.
func emptyDir(dir string) error {
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return fmt.Errorf("%s is not empty; choose a new directory for the results", dir)
	}
	return os.MkdirAll(dir, 0o755)
}

// demo is the state of one run.
type demo struct {
	Options
	ctx    context.Context
	work   string
	print  printer
	server *server

	operator, portal, identity, documents, auditor *client.Conn

	enrolment  *pb.Enrolment
	voucher    string
	credential string
	contract   *pb.SigningOperation
	order      *pb.SigningOperation
}

// The person of the demo. The identifier is a made-up number with a right check digit.
const (
	givenName = "Olena"
	surname   = "Kovalchuk"
	localName = "Олена Ковальчук"
	rnokpp    = "2935412324"
	birthDate = "1980-05-14"
	phone     = "+380501234567"
)

func (d *demo) setUp() error {
	d.print.title("ECSigner: from a voucher to a signed PDF")
	d.print.step("The operator sets up an installation")
	d.print.line("   A test: the HSM is SoftHSM, the CA's names start with TEST, and the declaration \"keys are in a")
	d.print.line("   qualified device\" in the certificate profile is the operator's, made here for a test only.")
	var err error
	d.server, err = start(d.ctx, d.Program, d.work, d.print)
	if err != nil {
		return err
	}
	d.operator, err = client.Dial(d.server.path("clients/operator"))
	return err
}

func (d *demo) addClients() error {
	d.print.step("The operator adds four clients, each with a certificate for one role")
	for _, c := range []struct {
		name, display string
		role          pb.Role
		conn          **client.Conn
	}{
		{"portal", "Portal of Example Trust Services", pb.Role_ROLE_PORTAL, &d.portal},
		{"identity", "Identity proofing by mobile app", pb.Role_ROLE_IDENTITY, &d.identity},
		{"contracts", "Договори Онлайн", pb.Role_ROLE_DOCUMENTS, &d.documents},
		{"auditor", "Auditor", pb.Role_ROLE_AUDITOR, &d.auditor},
	} {
		key, csr, err := client.NewKey(c.name)
		if err != nil {
			return err
		}
		a, err := d.operator.Admin.CreateClient(d.ctx, &pb.CreateClientRequest{
			RequestId: client.RequestID(), Name: c.name, DisplayName: c.display, Role: c.role, Csr: csr,
		})
		if err != nil {
			return err
		}
		chain, dir := a.GetCertificateChain(), d.server.path("clients", c.name)
		if err := client.WriteProfile(dir, d.server.address, key, chain, chain[len(chain)-1]); err != nil {
			return err
		}
		if *c.conn, err = client.Dial(dir); err != nil {
			return err
		}
		d.print.item(c.name, c.display)
	}
	return nil
}

func (d *demo) redeemVoucher() error {
	d.print.step("A person redeems a voucher in the portal and chooses the certificate")
	v, err := d.operator.Admin.CreateVouchers(d.ctx, &pb.CreateVouchersRequest{
		RequestId: client.RequestID(), Product: "qes", Years: 2, Count: 1, ExpireTime: timestamppb.New(time.Now().AddDate(1, 0, 0)),
	})
	if err != nil {
		return err
	}
	d.voucher = v.GetCodes()[0]
	e, err := d.portal.Enrolment.CreateEnrolment(d.ctx, &pb.CreateEnrolmentRequest{
		RequestId: client.RequestID(), VoucherCode: d.voucher, Language: "uk",
	})
	if err != nil {
		return err
	}
	d.print.item("voucher", d.voucher+" redeemed")
	_, err = d.portal.Enrolment.CreateEnrolment(d.ctx, &pb.CreateEnrolmentRequest{
		RequestId: client.RequestID(), VoucherCode: d.voucher, Language: "uk",
	})
	if err == nil {
		return errors.New("the voucher was redeemed twice")
	}
	d.print.item("once more", "refused: "+reason(err))
	p, err := d.portal.Enrolment.SetParameters(d.ctx, &pb.SetParametersRequest{
		RequestId: client.RequestID(), EnrolmentId: e.GetEnrolment().GetId(),
		Parameters: &pb.CertificateParameters{
			Years: 1, IdentifierType: pb.IdentifierType_IDENTIFIER_TYPE_TIN, Algorithm: pb.KeyAlgorithm_KEY_ALGORITHM_ECDSA_P256_SHA256,
		},
	})
	if err != nil {
		return err
	}
	d.enrolment = p.GetEnrolment()
	d.print.item("certificate", "1 year, identifier TIN, key ECDSA P-256")
	return nil
}

func person() *pb.PersonalData {
	return &pb.PersonalData{
		GivenName: givenName, Surname: surname, LocalName: localName, Country: "UA",
		Identifier: rnokpp, BirthDate: birthDate, Phone: phone,
	}
}

func (d *demo) giveData() error {
	d.print.step("The person gives the data and confirms the phone with a code")
	wrong := person()
	wrong.Identifier = "2935412325"
	_, err := d.portal.Enrolment.SetPersonalData(d.ctx, &pb.SetPersonalDataRequest{
		RequestId: client.RequestID(), EnrolmentId: d.enrolment.GetId(), PersonalData: wrong,
	})
	if err == nil {
		return errors.New("a wrong check digit was accepted")
	}
	d.print.item("typing error", "RNOKPP "+wrong.GetIdentifier()+" refused: "+reason(err))
	if _, err = d.portal.Enrolment.SetPersonalData(d.ctx, &pb.SetPersonalDataRequest{
		RequestId: client.RequestID(), EnrolmentId: d.enrolment.GetId(), PersonalData: person(),
	}); err != nil {
		return err
	}
	d.print.item("data", fmt.Sprintf("%s %s (%s), RNOKPP %s", givenName, surname, localName, rnokpp))
	if _, err = d.portal.Enrolment.SendPhoneCode(d.ctx, &pb.SendPhoneCodeRequest{
		RequestId: client.RequestID(), EnrolmentId: d.enrolment.GetId(),
	}); err != nil {
		return err
	}
	code, err := d.server.code(d.ctx, "phone", d.print)
	if err != nil {
		return err
	}
	_, err = d.portal.Enrolment.ConfirmPhone(d.ctx, &pb.ConfirmPhoneRequest{
		RequestId: client.RequestID(), EnrolmentId: d.enrolment.GetId(), Code: code,
	})
	return err
}

func (d *demo) proveIdentity() error {
	d.print.step("The identity is proven remotely; the identity provider reports the result")
	p, err := d.portal.Enrolment.StartIdentityProofing(d.ctx, &pb.StartIdentityProofingRequest{
		RequestId: client.RequestID(), EnrolmentId: d.enrolment.GetId(), Provider: "identity",
	})
	if err != nil {
		return err
	}
	report := &pb.ReportIdentityResultRequest{
		RequestId: client.RequestID(), EnrolmentId: d.enrolment.GetId(), Reference: p.GetEnrolment().GetProofingReference(),
		Outcome: pb.IdentityOutcome_IDENTITY_OUTCOME_POSITIVE, ProvenData: person(),
		IdentifierType: pb.IdentifierType_IDENTIFIER_TYPE_TIN, Evidence: []byte("the provider's signed evidence package"),
		CompleteTime: timestamppb.Now(),
	}
	other := person()
	other.Surname = "Kovalenko"
	differs := &pb.ReportIdentityResultRequest{
		RequestId: client.RequestID(), EnrolmentId: report.EnrolmentId, Reference: report.Reference, Outcome: report.Outcome,
		ProvenData: other, IdentifierType: report.IdentifierType, Evidence: report.Evidence, CompleteTime: report.CompleteTime,
	}
	if _, err = d.identity.Enrolment.ReportIdentityResult(d.ctx, differs); err == nil {
		return errors.New("a result with another surname was accepted")
	}
	d.print.item("other surname", "refused: "+reason(err))
	if _, err = d.identity.Enrolment.ReportIdentityResult(d.ctx, report); err != nil {
		return err
	}
	d.print.item("result", "positive: name, identifier, birth date and phone are those of the form")
	return nil
}

func (d *demo) acceptAgreement() error {
	d.print.step("The person reads the agreement and accepts it with a code; key and certificate are made at once")
	h, pdf, err := d.portal.Agreement(d.ctx, d.enrolment.GetId())
	if err != nil {
		return err
	}
	sum := sha256.Sum256(pdf)
	d.print.item("agreement", fmt.Sprintf("PDF of %d kB in Ukrainian, SHA-256 %x…", (len(pdf)+1023)/1024, h.GetSha256()[:8]))
	if _, err = d.portal.Enrolment.SendAgreementCode(d.ctx, &pb.SendAgreementCodeRequest{
		RequestId: client.RequestID(), EnrolmentId: d.enrolment.GetId(),
	}); err != nil {
		return err
	}
	code, err := d.server.code(d.ctx, "agreement", d.print)
	if err != nil {
		return err
	}
	a, err := d.portal.Enrolment.AcceptAgreement(d.ctx, &pb.AcceptAgreementRequest{
		RequestId: client.RequestID(), EnrolmentId: d.enrolment.GetId(), AgreementSha256: sum[:], Code: code,
	})
	if err != nil {
		return err
	}
	d.enrolment = a.GetEnrolment()
	if d.enrolment.GetState() != pb.EnrolmentState_ENROLMENT_STATE_ISSUED {
		return fmt.Errorf("the enrolment is %v, not issued", d.enrolment.GetState())
	}
	d.credential = d.enrolment.GetCredentialId()
	d.print.item("issued", d.credential)
	_, err = d.server.message(d.ctx, "issued", d.print)
	if err != nil {
		return err
	}
	_, sealed, err := d.portal.Agreement(d.ctx, d.enrolment.GetId())
	if err != nil {
		return err
	}
	return d.keep("agreement.pdf", sealed)
}

func (d *demo) grantAccess() error {
	d.print.step("The operator lets the document system \"contracts\" ask for signatures")
	_, err := d.documents.Credential.GetCredential(d.ctx, &pb.GetCredentialRequest{CredentialId: d.credential})
	if err == nil {
		return errors.New("the document system sees a credential without a grant")
	}
	d.print.item("before", "refused: "+reason(err))
	_, err = d.operator.Credential.GrantAccess(d.ctx, &pb.GrantAccessRequest{
		RequestId: client.RequestID(), CredentialId: d.credential, Client: "contracts",
	})
	if err != nil {
		return err
	}
	k, err := d.documents.Credential.GetCredential(d.ctx, &pb.GetCredentialRequest{CredentialId: d.credential})
	if err != nil {
		return err
	}
	chain := k.GetCredential().GetCertificateChain()
	d.print.item("now", fmt.Sprintf("granted; chain of %d certificates, SCAL%d", len(chain), k.GetCredential().GetScal()))
	return d.keep("certificate.cer", chain[0])
}
