package enrol

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"errors"
	"fmt"
	"time"

	"github.com/ecsigner/ecsigner/ca"
	"github.com/ecsigner/ecsigner/call"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/enrol/agreement"
	"github.com/ecsigner/ecsigner/sam"
)

// AgreementDocument is the issuance agreement of an enrolment.
type AgreementDocument struct {
	PDF    []byte // with the service's seal once it was accepted and sealed
	SHA256 []byte // of the PDF before it is sealed: what the person accepts
	Sealed bool
}

// Agreement returns the agreement, from the proof of the identity on. The first time is recorded: so it was shown.
func (s *Service) Agreement(ctx context.Context, caller, id string) (AgreementDocument, error) {
	var d AgreementDocument
	err := call.Again(ctx, func() error {
		r, err := s.read(ctx, caller, id)
		if err != nil {
			return err
		}
		if len(r.row.Agreement) == 0 {
			return &StateError{State: r.sealed.State, Next: r.next(), Hint: "the agreement is made once the identity is proven"}
		}
		d = documentOf(r)
		return s.shown(ctx, caller, r)
	})
	if err != nil {
		return AgreementDocument{}, err
	}
	return d, nil
}

func documentOf(r record) AgreementDocument {
	d := AgreementDocument{PDF: r.row.Agreement, SHA256: r.sealed.Agreement, Sealed: len(r.row.Sealing) > 0}
	if d.Sealed {
		d.PDF = append(append(make([]byte, 0, len(r.row.Agreement)+len(r.row.Sealing)), r.row.Agreement...), r.row.Sealing...)
	}
	return d
}

// qcSSCD is the DER of id-etsi-qcs-QcSSCD (EN 319 412-5 clause 4.2.2), with which a certificate says that its key is in
// a qualified signature creation device.
func qcSSCD() []byte { return []byte{0x06, 0x06, 0x04, 0x00, 0x8e, 0x46, 0x01, 0x04} }

// rehearse makes what these data lead to, certificate and agreement, and keeps only the agreement: the CA judges the
// certificate with an EC key that is thrown away, whatever the type of the key will be, so that nothing a person has accepted is refused afterwards, and the
// agreement is made from the data that were judged.
func (s *Service) rehearse(e sam.Enrolment, row Enrolment, now time.Time) (document []byte, language string, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), s.Rand)
	if err != nil {
		return nil, "", fmt.Errorf("making a throwaway key: %w", err)
	}
	request := certificateOf(e, now)
	request.PublicKey = key.Public()
	intent, err := s.Authority.Prepare(request)
	if errors.Is(err, ca.ErrLint) || errors.Is(err, ca.ErrRequest) {
		return nil, "", call.Wrong("personal_data", fmt.Errorf("%w: %w", ErrField, err))
	}
	if err != nil {
		return nil, "", err
	}
	n := request.Natural
	d := agreement.Data{
		Number: e.ID, Language: row.Language, At: now, Provider: s.providerIn(row.Language), Terms: s.Terms,
		Subject: agreement.Subject{
			GivenName: n.GivenName, Surname: n.Surname, CommonName: n.CommonName(), LocalName: e.Person.LocalName,
			Country: n.Country, SerialNumber: n.Identifier.String(),
			Organisation: n.Organisation, OrganisationID: n.OrganisationID,
		},
		Phone: row.Phone, ValidityYears: request.Years, KeyAlgorithm: keyName(e.Algorithm),
		QSCD: bytes.Contains(intent.Certificate().TBS, qcSSCD()), Test: s.TestMode,
	}
	document, err = agreement.Render(d)
	if errors.Is(err, agreement.ErrField) {
		return nil, "", call.Wrong("personal_data", fmt.Errorf("%w: %w", ErrField, err))
	}
	if err != nil {
		return nil, "", fmt.Errorf("making the agreement: %w", err)
	}
	return document, d.Language, nil
}

// keyName is how people write the type of a key.
func keyName(a credential.Algorithm) string {
	switch a {
	case credential.ECDSAP256:
		return "EC P-256"
	case credential.ECDSAP384:
		return "EC P-384"
	case credential.RSA3072:
		return "RSA 3072"
	}
	return string(a)
}
