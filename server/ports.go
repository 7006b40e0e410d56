package server

import (
	"context"
	"crypto"
	"io"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/augment"
	"github.com/ecsigner/ecsigner/credential"
	"github.com/ecsigner/ecsigner/enrol"
	"github.com/ecsigner/ecsigner/signer"
	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/revinfo"
	"github.com/ecsigner/ecsigner/tenure"
)

// Enrolments is the use case of enrolment; *enrol.Service is one. All methods are safe for concurrent use, may be
// repeated with the same request id, and treat the records of another caller as absent.
type Enrolments interface {
	EnrolmentForm
	PhoneProof
	IdentityProofing
	Agreements
	Vouchers
	Renewals
	Get(ctx context.Context, caller, id string) (enrol.View, error)
	List(ctx context.Context, caller, after string, limit int) ([]enrol.View, error)
}

// EnrolmentForm takes what the person says.
type EnrolmentForm interface {
	Create(ctx context.Context, caller, requestID, voucherCode, language, person string) (enrol.View, error)
	SetParameters(ctx context.Context, caller, id, requestID string, p enrol.Parameters) (enrol.View, error)
	SetPersonalData(ctx context.Context, caller, id, requestID string, d enrol.PersonalData) (enrol.View, error)
	Cancel(ctx context.Context, caller, id, requestID string) (enrol.View, error)
}

// PhoneProof proves the phone by a code.
type PhoneProof interface {
	SendPhoneCode(ctx context.Context, caller, id, requestID string) (enrol.View, enrol.CodeSent, error)
	NewPhoneCode(ctx context.Context, caller, id, requestID string) (enrol.View, enrol.CodeSent, error)
	ConfirmPhone(ctx context.Context, caller, id, requestID, code string) (enrol.View, error)
}

// IdentityProofing asks a provider for proof of the identity and takes its result.
type IdentityProofing interface {
	StartIdentityProofing(ctx context.Context, caller, id, requestID, provider string) (enrol.View, error)
	ReportIdentityResult(ctx context.Context, caller, requestID string, r enrol.IdentityResult) (enrol.View, error)
	AcceptProvenData(ctx context.Context, caller, id, requestID string, sha256 []byte) (enrol.View, error)
}

// Agreements shows the agreement and takes its acceptance.
type Agreements interface {
	Agreement(ctx context.Context, caller, id string) (enrol.AgreementDocument, error)
	SendAgreementCode(ctx context.Context, caller, id, requestID string) (enrol.View, enrol.CodeSent, error)
	NewAgreementCode(ctx context.Context, caller, id, requestID string) (enrol.View, enrol.CodeSent, error)
	AcceptAgreement(ctx context.Context, caller, id, requestID string, a enrol.Acceptance) (enrol.View, error)
	// Evidence proves the acceptance; caller "" gets that of any client's enrolment.
	Evidence(ctx context.Context, caller, id string) (enrol.Evidence, error)
}

// Renewals begins enrolments that renew a credential.
type Renewals interface {
	CreateRenewal(ctx context.Context, caller, requestID string, q enrol.RenewalRequest) (enrol.View, error)
}

// Vouchers makes vouchers, and says for what.
type Vouchers interface {
	CreateVouchers(ctx context.Context, caller, requestID string, v enrol.VoucherRequest) ([]string, error)
	Catalogue() []enrol.Product
}

// Credentials shows credentials and governs their use; *tenure.Service is one. A client sees those it was granted, the
// empty client all.
type Credentials interface {
	Access
	Credential(ctx context.Context, id credential.ID, client string) (tenure.CredentialView, error)
	// Enrolled returns a credential to the portal that enrolled its person.
	Enrolled(ctx context.Context, portal string, id credential.ID) (tenure.CredentialView, error)
	Credentials(ctx context.Context, client string, after credential.ID, limit int) ([]tenure.CredentialView, error)
	Revocation
	Unlock(ctx context.Context, caller, requestID, account, client string) error
}

// Revocation ends credentials for good: as staff asks, or the person with a code through the portal that enrolled them.
type Revocation interface {
	Revoke(ctx context.Context, caller, requestID string, id credential.ID, reason string) error
	SendRevocationCode(ctx context.Context, caller, requestID string, id credential.ID, fresh bool) (tenure.CodeSent, error)
	RevokeWithCode(ctx context.Context, caller, requestID string, id credential.ID, reason, code string) (tenure.CredentialView, error)
}

// Access says which client may use a credential.
type Access interface {
	GrantAccess(ctx context.Context, caller, requestID string, id credential.ID, client string) error
	WithdrawAccess(ctx context.Context, caller, requestID string, id credential.ID, client string) error
}

// Signing is the use case of signing; *signer.Service is one. All methods are safe for concurrent use and treat the
// records of another caller as absent.
type Signing interface {
	Documents
	Get(ctx context.Context, caller signer.Caller, id signer.OperationID) (signer.View, error)
	List(ctx context.Context, caller signer.Caller, q signer.Query) ([]signer.View, signer.Cursor, error)
	Create(ctx context.Context, caller signer.Caller, requestID string, c signer.CreateRequest) (signer.View, error)
	Authorize(ctx context.Context, caller signer.Caller, id signer.OperationID, code string) (signer.View, error)
	SigningCodes
	Ends
}

// SigningCodes sends the code of an operation: the present one again, or a new one.
type SigningCodes interface {
	SendCode(ctx context.Context, caller signer.Caller, requestID string, id signer.OperationID) (signer.CodeSent, error)
	NewCode(ctx context.Context, caller signer.Caller, requestID string, id signer.OperationID) (signer.CodeSent, error)
}

// Ends closes operations.
type Ends interface {
	Cancel(ctx context.Context, caller signer.Caller, requestID string, id signer.OperationID) (signer.View, error)
	Complete(ctx context.Context, caller signer.Caller, requestID string, id signer.OperationID) (signer.View, error)
}

// Documents takes documents and gives results.
type Documents interface {
	// Upload keeps the document only when r ends with io.EOF.
	Upload(ctx context.Context, caller signer.Caller, requestID, name string, r io.Reader) (signer.Document, error)
	// Artifact opens a result; level 0 is the highest that is ready.
	Artifact(ctx context.Context, caller signer.Caller, id signer.OperationID, item int, full bool, level cades.Level) (signer.Artifact, error)
}

// Augmenting is the use case of raising signatures; *augment.Service is one. All methods are safe for concurrent use and
// treat the records of another caller as absent.
type Augmenting interface {
	Augment(ctx context.Context, caller, requestID string, r augment.Request) (augment.View, error)
	Get(ctx context.Context, caller, id string) (augment.View, error)
	Open(ctx context.Context, caller, id string, full bool) (augment.File, error)
	Complete(ctx context.Context, caller, id string) (augment.View, error)
	RemoteServices
}

// RemoteServices are for clients that keep their documents.
type RemoteServices interface {
	StampDigest(ctx context.Context, caller string, id credential.ID, h crypto.Hash, digest []byte) ([]byte, error)
	CollectEvidence(ctx context.Context, caller string, id credential.ID, leaf []byte, known [][]byte, at time.Time) (revinfo.Evidence, error)
}

// Log is the operation log as an auditor reads it. What it returns is durable.
type Log interface {
	// Checkpoint returns the newest signed head.
	Checkpoint(ctx context.Context) ([]byte, error)
	// Receipt proves the entry at index under the newest signed head. enrol.ErrNotFound or signer.ErrNotFound when there
	// is no such entry.
	Receipt(ctx context.Context, index int64) ([]byte, error)
	// Entries returns the entries from start on, at most limit; none behind the end.
	Entries(ctx context.Context, start int64, limit int) ([][]byte, error)
	// Select returns what f chooses from start on, under the newest signed head, at most limit.
	Select(ctx context.Context, start int64, f audit.Filter, limit int, proofs bool) (audit.Selection, error)
	// Consistency proves that the newest signed head only added to the first oldSize entries. signer.ErrNotFound when it
	// has fewer.
	Consistency(ctx context.Context, oldSize int64) (head []byte, proof [][]byte, err error)
}

// ClientIssuer makes client certificates. It appends the event of the operation log, and answers the same request id
// of the same caller without making a second certificate.
type ClientIssuer interface {
	// Issue returns the chain in DER, the client's certificate first. ca.ErrRequest or ca.ErrKey: the CSR cannot be used.
	Issue(ctx context.Context, caller, requestID string, r ClientRequest) ([][]byte, error)
}

// ClientRequest asks for a client certificate.
type ClientRequest struct {
	Name    string // common name
	Display string // organisation
	Role    string // such as portal; RoleURI says how the certificate carries it
	CSR     []byte // DER (RFC 2986)
}

var (
	_ Enrolments  = (*enrol.Service)(nil)
	_ Credentials = (*tenure.Service)(nil)
	_ Signing     = (*signer.Service)(nil)
	_ Augmenting  = (*augment.Service)(nil)
)
