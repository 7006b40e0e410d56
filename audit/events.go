package audit

// Events of issuing: from the voucher to the credential, and what becomes of it.

// VoucherCreated says that an operator made a voucher.
type VoucherCreated struct {
	Voucher string // hex digest of its code
	Product string
	Caller  string
}

// VoucherRefused says that somebody gave a voucher code that was not one, or no longer.
type VoucherRefused struct {
	Caller string
	Person string // pseudonym of who typed it, as the caller told them apart; empty: it did not
	Reason string // mistyped, unknown, used, expired
}

// EnrolmentCreated says that a voucher was redeemed.
type EnrolmentCreated struct {
	Enrolment string
	Voucher   string // hex digest of its code
	Caller    string
}

// RenewalCreated says that an enrolment renews a credential, with the identity that was proven for it.
type RenewalCreated struct {
	Enrolment  string
	Credential string // that is renewed
	Original   string // enrolment that led to it
	Caller     string
}

// EnrolmentChanged says that an enrolment went to another state.
type EnrolmentChanged struct {
	Enrolment string
	Version   uint64 // of the sealed record
	State     string
	Caller    string // empty: the engine itself
	Record    []byte // SHA-256 of the sealed record
}

// EnrolmentClosed says that an enrolment ended.
type EnrolmentClosed struct {
	Enrolment string
	Outcome   string
}

// PhoneConfirmed says that a code sent to the phone came back.
type PhoneConfirmed struct {
	Enrolment       string
	Challenge       string
	PhoneCommitment []byte // salted
}

// IdentityStarted says that remote identity proofing began.
type IdentityStarted struct {
	Enrolment string
	Provider  string
}

// IdentityNotified says that a provider called: there may be something new about a session.
type IdentityNotified struct {
	Provider  string
	Session   string // the provider's name of it
	Event     string // hex SHA-256 of the provider's name of the event
	Enrolment string // that waits for this session, empty: none
}

// IdentityReported says that the identity provider gave its result. Beside the outcomes of a provider there are differs
// (positive, but not on what the person gave), accepted (the person took what was proven instead, as the portal says),
// too-old and ended (the session ended without a result).
type IdentityReported struct {
	Enrolment string
	Outcome   string
	Evidence  []byte // SHA-256, or empty: none was given
	Caller    string
}

// AgreementPrepared says that the agreement was made from the data that will stand in the certificate.
type AgreementPrepared struct {
	Enrolment string
	Document  []byte // SHA-256
	Version   string // of the agreement's text
	Language  string // ISO 639-1
}

// AgreementAccepted says that the person accepted exactly this agreement.
type AgreementAccepted struct {
	Enrolment string
	Challenge string
	Document  []byte // SHA-256
	Means     string
}

// AgreementShown says that the portal fetched the agreement for the person, the first time.
type AgreementShown struct {
	Enrolment string
	Document  []byte // SHA-256
	Caller    string
}

// ConsentsGiven says what the person consented to with the acceptance, and which record proves it.
type ConsentsGiven struct {
	Enrolment string
	Consents  string // names, with a space between
	Evidence  []byte // SHA-256 of the evidence record
}

// AgreementSealed says that the service sealed the accepted agreement.
type AgreementSealed struct {
	Enrolment string
	Document  []byte // SHA-256 of what was accepted
	Sealed    []byte // SHA-256 of the sealed file
}

// KeyGenerated says that a signatory's key was made and wrapped.
type KeyGenerated struct {
	Enrolment  string
	Credential string
	KEK        string // it is wrapped under
	SPKI       []byte // SHA-256 of the DER SubjectPublicKeyInfo
	Wrapped    []byte // SHA-256 of the wrapped key
}

// CertificateIntended says that the CA is about to sign this certificate and no other.
type CertificateIntended struct {
	Enrolment string
	Serial    string // lower-case hex
	TBS       []byte // SHA-256 of the DER TBSCertificate
}

// CertificateIssued says that a certificate was made. Needs a head.
type CertificateIssued struct {
	Enrolment   string
	Credential  string
	Serial      string // lower-case hex
	Certificate []byte // SHA-256 of the DER certificate
}

// CertificateRevoked says that a certificate was revoked.
type CertificateRevoked struct {
	Credential string
	Serial     string // lower-case hex
	Reason     string
	Caller     string
	Requester  string // signatory or provider; empty in older entries
	Means      string // by which the requester was authenticated; empty in older entries
	Challenge  string // that the signatory answered; empty when the provider revoked
}

// KeyDestroyed says that the wrapped key of a credential was erased. Nothing is signed with that key any more, whatever
// is put back into the database.
type KeyDestroyed struct {
	Credential string
	SPKI       []byte // SHA-256 of the DER SubjectPublicKeyInfo
	Wrapped    []byte // SHA-256 of the wrapped key
	Caller     string // empty: the engine itself
}

// BindingChanged says that a credential's sealed binding was replaced. The lowest valid
// version of each credential is rebuilt from these.
type BindingChanged struct {
	Credential string
	Version    uint64 // strictly increasing
	Status     string
	Binding    []byte // SHA-256 of the sealed record
}

// AccessGranted says that a document system may ask for signatures with a credential.
type AccessGranted struct {
	Credential string
	Client     string
	Caller     string
}

// AccessWithdrawn says that a document system no longer may.
type AccessWithdrawn struct {
	Credential string
	Client     string
	Caller     string
}
