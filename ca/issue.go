package ca

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/ecsigner/ecsigner/ca/lint"
)

// State is where a certificate stands. Its text is stable: it is stored.
type State string

// The states. An intended certificate may have been signed just before a crash, so it counts as issued when it comes
// to revocation.
const (
	Intended State = "intended"
	Issued   State = "issued"
	Revoked  State = "revoked"
)

// Certificate is the record of one certificate, from the intent to sign it on. Times are UTC, whole seconds.
type Certificate struct {
	Serial     string // 36 lower-case hex digits
	Issuer     []byte // DER of the issuer name; tells the CAs of an installation apart
	RequestID  string
	Person     string
	Profile    Profile
	State      State
	Subject    []byte   // DER of the subject name
	SPKI       [32]byte // SHA-256 of the SubjectPublicKeyInfo
	NotBefore  time.Time
	NotAfter   time.Time
	TBS        []byte    // DER of the TBSCertificate
	LintReport string    // which rules judged the TBS
	DER        []byte    // the certificate; empty while intended, and for ever if revoked before it was recorded
	RevokedAt  time.Time // zero unless revoked
	Reason     Reason    // meaningful only if revoked
}

// Tx is what one transaction offers to this package. Reads see the transaction's own writes. A certificate is never
// deleted.
type Tx interface {
	// Certificate returns the certificate of a serial number, locked until commit; ErrNotFound.
	Certificate(serial string) (Certificate, error)
	// CertificateByRequest returns the one made or intended for an issuance request; ErrNotFound.
	CertificateByRequest(requestID string) (Certificate, error)
	// PutCertificate inserts the certificate or replaces the one of the same serial number. ErrRequestTaken if another
	// serial number holds the request id, ErrSubjectTaken if the pair of issuer and subject bytes was ever put for
	// another Person, ErrKeyTaken if the SPKI was.
	PutCertificate(Certificate) error
	// RevokedCertificates returns all certificates in state Revoked, of all CAs, expired ones included, in any order.
	RevokedCertificates() ([]Certificate, error)
}

// Intent is a judged certificate that waits to be written down. Only Prepare makes one.
type Intent struct{ cert Certificate }

// Certificate returns the record that Intend stores.
func (i *Intent) Certificate() Certificate { return i.cert }

// Prepare checks a request, builds its certificate, signs it with a throwaway key and has it judged by this package's
// rules and by zlint; a single finding, even a notice, refuses it. ErrRequest, ErrKey, ErrValidity, ErrConfig and
// ErrLint say what to change; the serial number of a refused request is burnt.
func (a *Authority) Prepare(req Request) (*Intent, error) {
	if err := req.check(a.profile); err != nil {
		return nil, err
	}
	if req.Profile == a.profile {
		return nil, fmt.Errorf("%w: a root is not issued by a root", ErrRequest)
	}
	if err := a.checkValidity(req); err != nil {
		return nil, err
	}
	serial, err := newSerial(a.cfg.SerialPrefix, a.rand)
	if err != nil {
		return nil, err
	}
	tbs, subject, err := a.draw(req, serial)
	if err != nil {
		return nil, err
	}
	spki, err := x509.MarshalPKIXPublicKey(req.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return &Intent{Certificate{
		Serial: hex.EncodeToString(serial), Issuer: bytes.Clone(a.cert.RawSubject),
		RequestID: req.ID, Person: req.Person, Profile: req.Profile, State: Intended,
		Subject: subject, SPKI: sha256.Sum256(spki),
		NotBefore: second(req.NotBefore), NotAfter: req.notAfter(),
		TBS: tbs, LintReport: report(),
	}}, nil
}

// draw builds and judges; it returns the to-be-signed bytes and the subject.
func (a *Authority) draw(req Request, serial []byte) (tbs, subject []byte, err error) {
	if subject, err = req.subject(a.cfg); err != nil {
		return nil, nil, err
	}
	d := draft{req: req, subject: subject, serial: serial, issuer: a.cert, issuerPK: a.cert.PublicKey}
	der, err := d.build(a.cfg, a.rand)
	if err != nil {
		return nil, nil, err
	}
	if tbs, err = d.judge(a.cfg, der, a.zlint); err != nil {
		return nil, nil, err
	}
	return tbs, subject, nil
}

// checkValidity refuses rather than shortens: the period is what the person was promised.
func (a *Authority) checkValidity(req Request) error {
	from, to := second(req.NotBefore), req.notAfter()
	switch {
	case from.Before(a.cert.NotBefore):
		return fmt.Errorf("%w: it would start before the CA, %s; check the clock", ErrValidity, a.cert.NotBefore)
	case to.After(a.cert.NotAfter):
		return fmt.Errorf("%w: it would end after the CA, %s; take fewer years or a new CA", ErrValidity, a.cert.NotAfter)
	case req.Profile == NaturalPerson && !a.cfg.QSCDEnds.IsZero() && to.After(a.cfg.QSCDEnds):
		return fmt.Errorf("%w: it would end after the device's certification, %s; take fewer years", ErrValidity, a.cfg.QSCDEnds)
	}
	return nil
}

// Intend stores the intent. ErrRequestTaken: read it with CertificateByRequest and resume instead; ErrSubjectTaken and
// ErrKeyTaken refuse for good.
func (a *Authority) Intend(tx Tx, i *Intent) error {
	_, err := tx.CertificateByRequest(i.cert.RequestID)
	switch {
	case err == nil:
		return fmt.Errorf("%w: %s", ErrRequestTaken, i.cert.RequestID)
	case !errors.Is(err, ErrNotFound):
		return fmt.Errorf("ca: look up request: %w", err)
	}
	if _, err = tx.Certificate(i.cert.Serial); err == nil {
		return fmt.Errorf("%w: serial number %s was drawn twice; check the random source", ErrRequest, i.cert.Serial)
	} else if !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("ca: look up serial number: %w", err)
	}
	if err := tx.PutCertificate(i.cert); err != nil {
		return fmt.Errorf("ca: store intent: %w", err)
	}
	return nil
}

// Sign signs the stored bytes of an intended certificate and returns the DER certificate. The bytes are judged again
// before the key is used; afterwards the result is parsed, its to-be-signed part compared byte for byte, its signature
// verified and the rules applied once more. It may be repeated after a crash: another signature under the same serial
// number over the same bytes is the same certificate. The record is trusted to be the one that Prepare made: a caller
// whose database others may write keeps the digest of TBS under seal and compares it first. ctx is looked at before the
// key is used; the deadline of the signature itself is the device's. ErrNotIntended, ErrLint, ErrSigning, ErrSignature.
func (a *Authority) Sign(ctx context.Context, c Certificate) ([]byte, error) {
	if c.State != Intended || !bytes.Equal(c.Issuer, a.cert.RawSubject) {
		return nil, fmt.Errorf("%w: serial number %s is %s", ErrNotIntended, c.Serial, c.State)
	}
	algorithm, _, err := signatureAlgorithm(a.cert.PublicKey)
	if err != nil {
		return nil, err
	}
	unsigned, err := signed(c.TBS, algorithm, []byte{0})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSigning, err)
	}
	if err := a.examine(c, unsigned, false); err != nil {
		return nil, err
	}
	der, err := signTBS(ctx, a.key, a.rand, c.TBS)
	if err != nil {
		return nil, err
	}
	if err := a.examine(c, der, true); err != nil {
		return nil, err
	}
	return der, nil
}

// examine holds a certificate against its record.
func (a *Authority) examine(c Certificate, der []byte, isSigned bool) error {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSignature, err)
	}
	spki := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	switch {
	case !bytes.Equal(cert.RawTBSCertificate, c.TBS):
		return fmt.Errorf("%w: its content is not the stored intent", ErrSignature)
	case hex.EncodeToString(cert.SerialNumber.Bytes()) != c.Serial, spki != c.SPKI,
		!cert.NotBefore.Equal(c.NotBefore), !cert.NotAfter.Equal(c.NotAfter):
		return fmt.Errorf("%w: serial number, key or validity differ from the record", ErrIntentChanged)
	}
	want := wanted(a.cfg, c.Profile, a.cert)
	want.Subject, want.Signed = c.Subject, isSigned
	if c.Profile.rules().issuer == TLSRoot {
		// The record holds no network names; VerifyIntent compares them.
		want.DNSNames, want.IPs = cert.DNSNames, cert.IPAddresses
		for _, u := range cert.URIs {
			want.URIs = append(want.URIs, u.String())
		}
	}
	if found := lint.Certificate(der, want); found != nil {
		return fmt.Errorf("%w: %s", ErrLint, lint.Describe(found))
	}
	return nil
}

// Record stores a signed certificate. Repeating it with the same bytes changes nothing. ErrAlreadyIssued: another
// signature over the same content was recorded first, use that one; ErrAlreadyRevoked: do not hand it out;
// ErrNotFound, ErrSignature, ErrLint.
func (a *Authority) Record(tx Tx, serial string, der []byte) error {
	c, err := a.own(tx, serial)
	if err != nil {
		return err
	}
	switch {
	case c.State == Revoked:
		return fmt.Errorf("%w: %s", ErrAlreadyRevoked, serial)
	case c.State == Issued && bytes.Equal(c.DER, der):
		return nil
	case c.State == Issued:
		return fmt.Errorf("%w: %s", ErrAlreadyIssued, serial)
	}
	if err := a.examine(c, der, true); err != nil {
		return err
	}
	c.State, c.DER = Issued, bytes.Clone(der)
	if err := tx.PutCertificate(c); err != nil {
		return fmt.Errorf("ca: store certificate: %w", err)
	}
	return nil
}

// own reads a certificate of this CA; another CA's is not found.
func (a *Authority) own(tx Tx, serial string) (Certificate, error) {
	c, err := tx.Certificate(serial)
	if err != nil {
		return Certificate{}, fmt.Errorf("ca: serial number %s: %w", serial, err)
	}
	if !bytes.Equal(c.Issuer, a.cert.RawSubject) {
		return Certificate{}, fmt.Errorf("%w: %s was issued by another CA", ErrNotFound, serial)
	}
	return c, nil
}

// signTBS signs to-be-signed bytes and wraps them. The signature is verified by the caller's examination.
func signTBS(ctx context.Context, key crypto.Signer, rand io.Reader, tbs []byte) ([]byte, error) {
	algorithm, hash, err := signatureAlgorithm(key.Public())
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSigning, err)
	}
	h := hash.New()
	h.Write(tbs)
	signature, err := key.Sign(rand, h.Sum(nil), hash)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSigning, err)
	}
	der, err := signed(tbs, algorithm, signature)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSigning, err)
	}
	return der, nil
}
