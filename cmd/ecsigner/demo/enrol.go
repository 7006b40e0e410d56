package demo

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/client"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// olena and andrii are the persons of the demo. Their identifiers are made-up numbers with right check digits.
func olena() *pb.PersonalData {
	return &pb.PersonalData{
		GivenName: "Olena", Surname: "Kovalchuk", LocalName: "Олена Ковальчук", Country: "UA",
		Identifier: "2935412324", BirthDate: "1980-05-14", Phone: "+380501234567",
	}
}

func andrii() *pb.PersonalData {
	return &pb.PersonalData{
		GivenName: "Andrii", Surname: "Melnyk", LocalName: "Андрій Мельник", Country: "UA",
		Identifier: "3184710691", BirthDate: "1987-03-12", Phone: "+380671234567",
	}
}

func name(p *pb.PersonalData) string {
	return fmt.Sprintf("%s %s (%s), RNOKPP %s", p.GetGivenName(), p.GetSurname(), p.GetLocalName(), p.GetIdentifier())
}

// enrolment is a person's way to a certificate, as a portal leads it.
type enrolment struct {
	*demo
	person *pb.PersonalData
	show   printer // where its messages are shown

	voucher   string
	id        string
	reference string // of the identity proofing
}

// redeem redeems a new voucher and chooses the certificate.
func (e *enrolment) redeem(key pb.KeyAlgorithm) error {
	v, err := e.operator.Admin.CreateVouchers(e.ctx, &pb.CreateVouchersRequest{
		RequestId: client.RequestID(), Product: "qes", Years: 2, Count: 1, ExpireTime: timestamppb.New(time.Now().AddDate(1, 0, 0)),
	})
	if err != nil {
		return err
	}
	e.voucher = v.GetCodes()[0]
	c, err := e.create()
	if err != nil {
		return err
	}
	e.id = c.GetEnrolment().GetId()
	_, err = e.portal.Enrolment.SetParameters(e.ctx, &pb.SetParametersRequest{
		RequestId: client.RequestID(), EnrolmentId: e.id,
		Parameters: &pb.CertificateParameters{Years: 1, IdentifierType: pb.IdentifierType_IDENTIFIER_TYPE_TIN, Algorithm: key},
	})
	return err
}

func (e *enrolment) create() (*pb.CreateEnrolmentResponse, error) {
	return e.portal.Enrolment.CreateEnrolment(e.ctx, &pb.CreateEnrolmentRequest{
		RequestId: client.RequestID(), VoucherCode: e.voucher, Language: "uk",
	})
}

func (e *enrolment) give(data *pb.PersonalData) error {
	_, err := e.portal.Enrolment.SetPersonalData(e.ctx, &pb.SetPersonalDataRequest{
		RequestId: client.RequestID(), EnrolmentId: e.id, PersonalData: data,
	})
	return err
}

// confirm proves the phone with a code.
func (e *enrolment) confirm() error {
	if _, err := e.portal.Enrolment.SendPhoneCode(e.ctx, &pb.SendPhoneCodeRequest{RequestId: client.RequestID(), EnrolmentId: e.id}); err != nil {
		return err
	}
	code, err := e.server.code(e.ctx, "phone", e.show)
	if err != nil {
		return err
	}
	_, err = e.portal.Enrolment.ConfirmPhone(e.ctx, &pb.ConfirmPhoneRequest{RequestId: client.RequestID(), EnrolmentId: e.id, Code: code})
	return err
}

// prove starts identity proofing.
func (e *enrolment) prove() error {
	p, err := e.portal.Enrolment.StartIdentityProofing(e.ctx, &pb.StartIdentityProofingRequest{
		RequestId: client.RequestID(), EnrolmentId: e.id, Provider: "identity",
	})
	e.reference = p.GetEnrolment().GetProofingReference()
	return err
}

// report is what the identity provider says; proven is nil where nothing was. It returns the enrolment as the portal then
// finds it.
func (e *enrolment) report(outcome pb.IdentityOutcome, proven *pb.PersonalData) (*pb.Enrolment, error) {
	r := &pb.ReportIdentityResultRequest{
		RequestId: client.RequestID(), EnrolmentId: e.id, Reference: e.reference, Outcome: outcome, ProvenData: proven,
		Evidence: []byte("the provider's signed evidence package"), CompleteTime: timestamppb.Now(),
	}
	if proven != nil {
		r.IdentifierType = pb.IdentifierType_IDENTIFIER_TYPE_TIN
	}
	if _, err := e.identity.Enrolment.ReportIdentityResult(e.ctx, r); err != nil {
		return nil, err
	}
	g, err := e.portal.Enrolment.GetEnrolment(e.ctx, &pb.GetEnrolmentRequest{EnrolmentId: e.id})
	return g.GetEnrolment(), err
}

// agreement tells how the portal fares that asks for the agreement too early: it must be refused.
func (e *enrolment) agreement() (string, error) {
	_, err := e.portal.Enrolment.SendAgreementCode(e.ctx, &pb.SendAgreementCodeRequest{RequestId: client.RequestID(), EnrolmentId: e.id})
	if err == nil {
		return "", errors.New("an agreement was offered without a proven identity")
	}
	return "refused: " + reason(err), nil
}

// accept accepts the agreement with a code and returns the finished enrolment.
func (e *enrolment) accept() (*pb.Enrolment, error) {
	h, pdf, err := e.portal.Agreement(e.ctx, e.id)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(pdf)
	e.show.item("agreement", fmt.Sprintf("PDF of %d kB in Ukrainian, SHA-256 %x…", (len(pdf)+1023)/1024, h.GetSha256()[:8]))
	if _, err = e.portal.Enrolment.SendAgreementCode(e.ctx, &pb.SendAgreementCodeRequest{RequestId: client.RequestID(), EnrolmentId: e.id}); err != nil {
		return nil, err
	}
	code, err := e.server.code(e.ctx, "agreement", e.show)
	if err != nil {
		return nil, err
	}
	consents, err := e.consents(sum[:], code)
	if err != nil {
		return nil, err
	}
	a, err := e.portal.Enrolment.AcceptAgreement(e.ctx, &pb.AcceptAgreementRequest{
		RequestId: client.RequestID(), EnrolmentId: e.id, AgreementSha256: sum[:], Code: code, Consents: consents,
	})
	if err != nil {
		return nil, err
	}
	issued, err := e.portal.Issued(e.ctx, a.GetEnrolment())
	if err != nil {
		return nil, err
	}
	e.show.item("issued", issued.GetCredentialId())
	_, err = e.server.message(e.ctx, "issued", e.show)
	return issued, err
}

func (d *demo) redeemVoucher() error {
	d.print.step("She redeems a voucher in the portal and chooses the certificate")
	d.olena = enrolment{demo: d, person: olena(), show: d.print}
	if err := d.olena.redeem(pb.KeyAlgorithm_KEY_ALGORITHM_ECDSA_P256_SHA256); err != nil {
		return err
	}
	d.print.item("voucher", d.olena.voucher+" redeemed")
	if _, err := d.olena.create(); err == nil {
		return errors.New("the voucher was redeemed twice")
	} else {
		d.print.item("once more", "refused: "+reason(err))
	}
	d.print.item("certificate", "1 year, identifier TIN, key ECDSA P-256")
	return nil
}

func (d *demo) giveData() error {
	d.print.step("She gives her data, with a slip in the surname, and confirms her phone with a code")
	data := olena()
	data.Identifier = "2935412325"
	err := d.olena.give(data)
	if err == nil {
		return errors.New("a wrong check digit was accepted")
	}
	d.print.item("typing error", "RNOKPP "+data.GetIdentifier()+" refused: "+reason(err))
	data = olena()
	data.Surname = slip
	if err := d.olena.give(data); err != nil {
		return err
	}
	d.print.item("data", name(data))
	return d.olena.confirm()
}

// slip is what Olena types for Kovalchuk.
const slip = "Kovalchyk"

func (d *demo) proveIdentity() error {
	d.print.step("Her identity is proven remotely; the provider first needs time, then says yes")
	if err := d.olena.prove(); err != nil {
		return err
	}
	e, err := d.olena.report(pb.IdentityOutcome_IDENTITY_OUTCOME_DEFERRED, nil)
	if err != nil {
		return err
	}
	if e.GetState() != pb.EnrolmentState_ENROLMENT_STATE_DEFERRED {
		return fmt.Errorf("after a deferred result the enrolment is %v", e.GetState())
	}
	d.print.item("first result", "deferred; "+next(e))
	if _, err := d.server.message(d.ctx, "deferred", d.print); err != nil {
		return err
	}
	early, err := d.olena.agreement()
	if err != nil {
		return err
	}
	d.print.item("meanwhile", "agreement "+early)
	return d.review()
}

// review lets the person decide about proven data that are not those of the form.
func (d *demo) review() error {
	e, err := d.olena.report(pb.IdentityOutcome_IDENTITY_OUTCOME_POSITIVE, olena())
	if err != nil {
		return err
	}
	p := e.GetProofing()
	if e.GetState() != pb.EnrolmentState_ENROLMENT_STATE_REVIEW || p.GetReason() != pb.ProofingReason_PROOFING_REASON_DATA_DIFFER {
		return fmt.Errorf("after a result with another surname the enrolment is %v (%v)", e.GetState(), p.GetReason())
	}
	d.print.item("last result", fmt.Sprintf("positive, but the %s differs; %s", strings.Join(p.GetFields(), ", "), next(e)))
	a, err := d.portal.Enrolment.AcceptProvenData(d.ctx, &pb.AcceptProvenDataRequest{
		RequestId: client.RequestID(), EnrolmentId: d.olena.id, ReportSha256: p.GetReportSha256(),
	})
	if err != nil {
		return err
	}
	d.print.item("her choice", fmt.Sprintf("%s, as proven, not %s; %s", p.GetProven().GetSurname(), slip, next(a.GetEnrolment())))
	return nil
}

// next is what the portal is told to do.
func next(e *pb.Enrolment) string {
	return "next: " + strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(e.GetNextAction().String(), "ENROLMENT_ACTION_"), "_", " "))
}

func (d *demo) acceptAgreement() error {
	d.print.step("She reads the agreement and accepts it with a code; key and certificate are made at once")
	e, err := d.olena.accept()
	if err != nil {
		return err
	}
	d.credential = e.GetCredentialId()
	_, sealed, err := d.portal.Agreement(d.ctx, e.GetId())
	if err != nil {
		return err
	}
	return d.keep("agreement.pdf", sealed)
}

func (d *demo) rejectIdentity() error {
	d.print.step("He comes as far as identity proofing, where the provider does not recognise him")
	e := enrolment{demo: d, person: andrii(), show: d.print}
	for _, step := range []func() error{
		func() error { return e.redeem(pb.KeyAlgorithm_KEY_ALGORITHM_ECDSA_P256_SHA256) },
		func() error { return e.give(e.person) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	d.print.item("data", name(e.person))
	if err := errors.Join(e.confirm(), e.prove()); err != nil {
		return err
	}
	got, err := e.report(pb.IdentityOutcome_IDENTITY_OUTCOME_NEGATIVE, nil)
	if err != nil {
		return err
	}
	if got.GetState() != pb.EnrolmentState_ENROLMENT_STATE_REJECTED || got.GetCredentialId() != "" {
		return fmt.Errorf("after a negative result the enrolment is %v", got.GetState())
	}
	d.print.item("result", "negative; the enrolment is closed, no key was made")
	after, err := e.agreement()
	if err != nil {
		return err
	}
	d.print.item("afterwards", "agreement "+after)
	if _, err := e.report(pb.IdentityOutcome_IDENTITY_OUTCOME_POSITIVE, e.person); err == nil {
		return errors.New("a negative result was replaced")
	} else {
		d.print.item("other result", "refused: "+reason(err))
	}
	return nil
}

// enrolRSA is the same way again, told in two lines.
func (d *demo) enrolRSA() error {
	d.print.step("She gets a second certificate in the same way, with a key RSA-3072")
	start := time.Now()
	e := enrolment{demo: d, person: olena(), show: silent()}
	for _, step := range []func() error{
		func() error { return e.redeem(pb.KeyAlgorithm_KEY_ALGORITHM_RSA_3072_SHA256) },
		func() error { return e.give(e.person) },
		e.confirm, e.prove,
		func() error {
			_, err := e.report(pb.IdentityOutcome_IDENTITY_OUTCOME_POSITIVE, e.person)
			return err
		},
	} {
		if err := step(); err != nil {
			return err
		}
	}
	got, err := e.accept()
	if err != nil {
		return err
	}
	d.rsa, d.serial = got.GetCredentialId(), got.GetSerial()
	d.print.item("issued", fmt.Sprintf("%s in %.1f s, most of it for the key", d.rsa, time.Since(start).Seconds()))
	chain, err := d.grant(d.rsa)
	if err != nil {
		return err
	}
	d.print.item("granted", "to contracts, too")
	return d.keep("certificate-rsa.cer", chain[0])
}

// consents returns the names of those without which the agreement cannot be accepted, after it was tried with one less.
func (e *enrolment) consents(agreement []byte, code string) ([]string, error) {
	g, err := e.portal.Enrolment.GetEnrolment(e.ctx, &pb.GetEnrolmentRequest{EnrolmentId: e.id})
	if err != nil {
		return nil, err
	}
	var names []string
	for _, c := range g.GetEnrolment().GetConsents() {
		if c.GetRequired() {
			names = append(names, c.GetName())
		}
	}
	_, err = e.portal.Enrolment.AcceptAgreement(e.ctx, &pb.AcceptAgreementRequest{
		RequestId: client.RequestID(), EnrolmentId: e.id, AgreementSha256: agreement, Code: code, Consents: names[1:],
	})
	if err == nil {
		return nil, errors.New("the agreement was accepted without a required consent")
	}
	e.show.item("one missing", "refused: "+reason(err))
	e.show.item("consents", strings.Join(names, ", "))
	return names, nil
}
