package server

import (
	"time"

	"google.golang.org/grpc/codes"
)

// Reason is why a call was refused: stable, in ErrorInfo of the domain "ecsigner". docs/errors.md lists all of them.
type Reason string

// Reasons of the edge itself.
const (
	ReasonNotAuthenticated Reason = "NOT_AUTHENTICATED"
	ReasonClientUnknown    Reason = "CLIENT_UNKNOWN"
	ReasonRole             Reason = "ROLE_NOT_ALLOWED"
	ReasonDeadlineRequired Reason = "DEADLINE_REQUIRED"
	ReasonDeadline         Reason = "DEADLINE_EXCEEDED"
	ReasonCancelled        Reason = "CANCELLED"
	ReasonInvalid          Reason = "INVALID_REQUEST"
	ReasonMessageSize      Reason = "MESSAGE_TOO_LARGE"
	ReasonRate             Reason = "RATE_LIMITED"
	ReasonInFlight         Reason = "TOO_MANY_CALLS"
	ReasonSlow             Reason = "TOO_SLOW"
	ReasonQuota            Reason = "TOO_MANY_BYTES_KEPT"
	ReasonShutdown         Reason = "SHUTTING_DOWN"
	ReasonOffset           Reason = "OFFSET_BEYOND_END"
	ReasonNotOffered       Reason = "NOT_OFFERED"
	ReasonInternal         Reason = "INTERNAL"
)

// Reasons of records and codes in general.
const (
	ReasonNotFound       Reason = "NOT_FOUND"
	ReasonRequestReused  Reason = "REQUEST_ID_REUSED"
	ReasonConflict       Reason = "CHANGED_MEANWHILE"
	ReasonOutcomeUnknown Reason = "OUTCOME_UNKNOWN"
	ReasonState          Reason = "WRONG_STATE"
	ReasonIntegrity      Reason = "RECORD_TAMPERED"
	ReasonCodeRejected   Reason = "CODE_REJECTED"
	ReasonCodeExhausted  Reason = "CODE_EXHAUSTED"
	ReasonCodeExpired    Reason = "CODE_EXPIRED"
	ReasonCodeSpent      Reason = "CODE_SPENT"
	ReasonCodeVoided     Reason = "CODE_VOIDED"
	ReasonCodeLocked     Reason = "CODES_LOCKED"
	ReasonTooManyCodes   Reason = "TOO_MANY_CODES"
	ReasonResent         Reason = "CODE_SENT_OFTEN"
	ReasonBudget         Reason = "TEXTS_EXHAUSTED"
)

// Reasons of enrolment.
const (
	ReasonEnrolmentExpired  Reason = "ENROLMENT_EXPIRED"
	ReasonVoucherMistyped   Reason = "VOUCHER_MISTYPED"
	ReasonVoucherUnknown    Reason = "VOUCHER_UNKNOWN"
	ReasonVoucherUsed       Reason = "VOUCHER_USED"
	ReasonVoucherExpired    Reason = "VOUCHER_EXPIRED"
	ReasonVoucherRate       Reason = "VOUCHER_RATE_LIMITED"
	ReasonVouchersShown     Reason = "VOUCHERS_SHOWN_ONCE"
	ReasonProduct           Reason = "PRODUCT_NOT_OFFERED"
	ReasonNotInProduct      Reason = "NOT_IN_PRODUCT"
	ReasonName              Reason = "NAME_INVALID"
	ReasonIdentifier        Reason = "IDENTIFIER_INVALID"
	ReasonCheckDigit        Reason = "CHECK_DIGIT_WRONG"
	ReasonBirthDate         Reason = "BIRTH_DATE_INVALID"
	ReasonAge               Reason = "PERSON_UNDER_AGE"
	ReasonPhone             Reason = "PHONE_INVALID"
	ReasonOrganisation      Reason = "ORGANISATION_INVALID"
	ReasonLanguage          Reason = "LANGUAGE_NOT_OFFERED"
	ReasonYears             Reason = "VALIDITY_NOT_OFFERED"
	ReasonAlgorithm         Reason = "ALGORITHM_NOT_OFFERED"
	ReasonIdentityDiffers   Reason = "IDENTITY_DIFFERS"
	ReasonProofingTooOld    Reason = "PROOFING_TOO_OLD"
	ReasonProvider          Reason = "PROVIDER_UNAVAILABLE"
	ReasonAgreementDiffers  Reason = "AGREEMENT_DIFFERS"
	ReasonConsent           Reason = "CONSENT_MISSING"
	ReasonCertificateRules  Reason = "CERTIFICATE_REFUSED"
	ReasonCredentialRevoked Reason = "CREDENTIAL_REVOKED"
	ReasonCSR               Reason = "CSR_INVALID"
	ReasonNotRenewable      Reason = "NOT_RENEWABLE"
)

// Reasons of signing.
const (
	ReasonCredential        Reason = "CREDENTIAL_UNUSABLE"
	ReasonInProgress        Reason = "SIGNING_IN_PROGRESS"
	ReasonActivationExpired Reason = "ACTIVATION_EXPIRED"
	ReasonWithheld          Reason = "SIGNATURE_WITHHELD"
	ReasonDocumentTooLarge  Reason = "DOCUMENT_TOO_LARGE"
	ReasonDocumentEmpty     Reason = "DOCUMENT_EMPTY"
	ReasonDocumentGone      Reason = "DOCUMENT_GONE"
	ReasonNotPDF            Reason = "NOT_A_PDF"
	ReasonPDFDamaged        Reason = "PDF_DAMAGED"
	ReasonPDFEncrypted      Reason = "PDF_ENCRYPTED"
	ReasonPDFTooComplex     Reason = "PDF_TOO_COMPLEX"
	ReasonPDFUnsupported    Reason = "PDF_UNSUPPORTED"
	ReasonPDFLocked         Reason = "PDF_LOCKED"
)

// Reasons of levels.
const (
	ReasonLevelNotOffered Reason = "LEVEL_NOT_OFFERED"
	ReasonLevelNotReady   Reason = "LEVEL_NOT_READY"
	ReasonLevelGivenUp    Reason = "LEVEL_GIVEN_UP"
	ReasonLevelNotAsked   Reason = "LEVEL_NOT_ASKED"
	ReasonCMSSpace        Reason = "CMS_SPACE_TOO_SMALL"
	ReasonNoSignature     Reason = "NOT_A_SIGNATURE"
	ReasonContent         Reason = "CONTENT_MISMATCH"
	ReasonNoService       Reason = "EVIDENCE_UNAVAILABLE"
)

// Reasons of what stands below the use cases; they reach the edge through Config.Faults.
const (
	ReasonDevice      Reason = "HSM_UNAVAILABLE"
	ReasonStore       Reason = "STORE_UNAVAILABLE"
	ReasonClock       Reason = "CLOCK_BEHIND_LOG"
	ReasonHeadPending Reason = "LOG_HEAD_PENDING"
	ReasonLost        Reason = "RECORD_LOST"
)

// Fault gives an error that the edge does not know its reason.
type Fault struct {
	Err    error
	Reason Reason
}

// answer is what a caller is told for a reason.
type answer struct {
	reason   Reason
	code     codes.Code
	sentence string        // what is wrong
	remedy   string        // what to do
	retry    time.Duration // when the same call may succeed; 0: not by itself
}

// answers is the table behind docs/errors.md.
var answers = [...]answer{
	{ReasonNotAuthenticated, codes.Unauthenticated, "The client certificate is missing or has ended.", "Connect with a valid client certificate; an operator issues one.", 0},
	{ReasonClientUnknown, codes.PermissionDenied, "The client certificate does not name one client, one organisation and one role.", "Ask an operator for a client certificate made by this service.", 0},
	{ReasonRole, codes.PermissionDenied, "The client's role does not allow this call.", "Use a client certificate of a role that the method's description names.", 0},
	{ReasonDeadlineRequired, codes.InvalidArgument, "The call has no deadline.", "Set a deadline for every call.", 0},
	{ReasonDeadline, codes.DeadlineExceeded, "The deadline came before the answer.", "Repeat the call with the same request id: what was done is not done twice.", 0},
	{ReasonCancelled, codes.Canceled, "The caller left.", "Repeat the call with the same request id if its result is still wanted.", 0},
	{ReasonInvalid, codes.InvalidArgument, "The request breaks the rules of the interface.", "Correct the named fields.", 0},
	{ReasonMessageSize, codes.ResourceExhausted, "The message is larger than this service takes.", "Send documents in chunks of 64 KiB, or hashes instead.", 0},
	{ReasonRate, codes.ResourceExhausted, "The client calls too often.", "Wait before the next call, and longer each time.", time.Second},
	{ReasonInFlight, codes.ResourceExhausted, "The client has too many calls in progress.", "Wait for an answer before the next call.", time.Second},
	{ReasonSlow, codes.DeadlineExceeded, "The client sent or took data too slowly.", "Send and read without pauses, over a better connection if need be; then repeat the call.", time.Second},
	{ReasonQuota, codes.ResourceExhausted, "The documents kept for this client take up all the space that it may use.", "Complete signed operations, which deletes their documents; others are deleted after their time.", time.Minute},
	{ReasonShutdown, codes.Unavailable, "The service is stopping.", "Connect again; a watch resumes with the last revision seen.", time.Second},
	{ReasonOffset, codes.OutOfRange, "The offset lies behind the end.", "Begin at 0, or at the number of bytes received so far.", 0},
	{ReasonNotOffered, codes.Unimplemented, "The service does not offer this call.", "Use another call, or a newer service.", 0},
	{ReasonInternal, codes.Internal, "The service failed; nothing of this call can be relied on.", "Repeat the call with the same request id; if it fails again, tell the operator the time.", 0},

	{ReasonNotFound, codes.NotFound, "There is no such record for this client.", "Check the id; a record belongs to the client that made it.", 0},
	{ReasonRequestReused, codes.AlreadyExists, "The request id was used with other contents.", "Make a new request id for a new request.", 0},
	{ReasonConflict, codes.Aborted, "The record was changed at the same moment.", "Read it and decide again.", 100 * time.Millisecond},
	{ReasonOutcomeUnknown, codes.Unavailable, "It is not known whether the change was stored.", "Repeat the call with the same request id: it tells, and nothing happens twice.", time.Second},
	{ReasonState, codes.FailedPrecondition, "The call does not fit the present state.", "Read the record and follow its state or next action.", 0},
	{ReasonIntegrity, codes.DataLoss, "A stored record was changed outside the service; it is refused and an alarm was raised.", "Tell the operator; the operation log names the record.", 0},
	{ReasonCodeRejected, codes.PermissionDenied, "The code is wrong.", "Ask the person to type it again; metadata tries_left says how often.", 0},
	{ReasonCodeExhausted, codes.FailedPrecondition, "The code was tried too often.", "Send a new code.", 0},
	{ReasonCodeExpired, codes.FailedPrecondition, "The code has expired.", "Send a new code.", 0},
	{ReasonCodeSpent, codes.FailedPrecondition, "The code was used before.", "Read the record: what it authorised is done or under way.", 0},
	{ReasonCodeVoided, codes.FailedPrecondition, "A newer code replaced this one.", "Ask the person for the newest code.", 0},
	{ReasonCodeLocked, codes.FailedPrecondition, "Codes are locked after too many wrong ones.", "An operator can unlock them after speaking with the person.", 0},
	{ReasonTooManyCodes, codes.FailedPrecondition, "All codes for this request were sent.", "Begin a new operation; an enrolment can be unlocked by an operator.", 0},
	{ReasonResent, codes.FailedPrecondition, "This code was sent as often as is allowed; it is still good.", "Use the code of an earlier text, or ask for a new one.", 0},
	{ReasonBudget, codes.ResourceExhausted, "As many texts as are allowed in a day went to this number, or for this client.", "Try again after the time given; an operator can look into it.", 0},

	{ReasonEnrolmentExpired, codes.FailedPrecondition, "The enrolment was not finished in time.", "Begin again with a new voucher.", 0},
	{ReasonVoucherMistyped, codes.InvalidArgument, "The voucher code is mistyped.", "Compare it with the voucher.", 0},
	{ReasonVoucherUnknown, codes.NotFound, "There is no such voucher.", "Check where the voucher was bought.", 0},
	{ReasonVoucherUsed, codes.FailedPrecondition, "The voucher was redeemed before.", "Continue the enrolment that it began, or use another voucher.", 0},
	{ReasonVoucherExpired, codes.FailedPrecondition, "The voucher was not redeemed in time.", "Use another voucher.", 0},
	{ReasonVoucherRate, codes.ResourceExhausted, "Too many wrong voucher codes; none is looked at for a while, right ones neither.", "Wait as long as RetryInfo says, then compare the code with the voucher.", 10 * time.Minute},
	{ReasonVouchersShown, codes.AlreadyExists, "The vouchers of this request were made and shown.", "Make new ones under a new request id; only hashes are kept.", 0},
	{ReasonProduct, codes.FailedPrecondition, "The product is not in the catalogue, or no longer.", "Take one that ListProducts names; of a voucher ask whoever sold it.", 0},
	{ReasonNotInProduct, codes.InvalidArgument, "The product that the voucher pays for does not include this choice.", "Choose from what ListProducts says of the product.", 0},
	{ReasonName, codes.InvalidArgument, "The name is not one as in a travel document.", "Type it as it stands there, in letters of one script, with single blanks, hyphens and apostrophes; no digits, pictures, invisible signs or loose accents.", 0},
	{ReasonIdentifier, codes.InvalidArgument, "The identifier is not one of this type and country.", "Compare it with the document.", 0},
	{ReasonCheckDigit, codes.InvalidArgument, "The identifier's check digit is wrong.", "It is mistyped: compare it with the document.", 0},
	{ReasonBirthDate, codes.InvalidArgument, "The date of birth is not a date, or not the one in the identifier.", "Give it as YYYY-MM-DD and compare it with the document.", 0},
	{ReasonAge, codes.FailedPrecondition, "The person is not of age.", "Only persons of 18 years and more get a certificate.", 0},
	{ReasonPhone, codes.InvalidArgument, "The phone number is not one.", "Give it with + and the country's code, such as +380501234567.", 0},
	{ReasonOrganisation, codes.InvalidArgument, "The organisation is not one, or is given or missing against the parameters.", "Give registered name and identifier, such as VATPL-5260250274, exactly when the certificate is for an organisation.", 0},
	{ReasonLanguage, codes.InvalidArgument, "There are no texts in this language.", "Use uk, pl or en.", 0},
	{ReasonYears, codes.InvalidArgument, "The voucher does not pay for this validity.", "Choose fewer years.", 0},
	{ReasonAlgorithm, codes.InvalidArgument, "There are no keys of this algorithm.", "Choose one that the interface offers.", 0},
	{ReasonIdentityDiffers, codes.InvalidArgument, "This is not the digest of the proven data.", "Read the enrolment again, show the proven data, and send their report's digest.", 0},
	{ReasonProofingTooOld, codes.FailedPrecondition, "The identity was proven too long ago to issue a certificate on it.", "Have the person prove the identity again.", 0},
	{ReasonProvider, codes.Unavailable, "The identity provider does not answer.", "Try again, or choose another provider; the operator sees the cause.", 5 * time.Second},
	{ReasonAgreementDiffers, codes.InvalidArgument, "This is not the digest of the agreement.", "Download the agreement again, show it, and send its digest.", 0},
	{ReasonConsent, codes.FailedPrecondition, "The person did not give a consent without which the agreement cannot be accepted.", "Ask for each consent on its own; metadata missing names those that are left. No try was counted.", 0},
	{ReasonCertificateRules, codes.FailedPrecondition, "No certificate of these data would follow the rules.", "Correct the data; the operation's log says which rule.", 0},
	{ReasonCredentialRevoked, codes.FailedPrecondition, "The credential is revoked, which is final.", "Enrol the person anew.", 0},
	{ReasonNotRenewable, codes.FailedPrecondition, "The credential cannot be renewed with its own signature now.", "Metadata because says why: too_early, ended, not_active, renewed_before, proof_too_old or not_offered; enrol the person anew where waiting does not help.", 0},
	{ReasonCSR, codes.InvalidArgument, "The certification request cannot be used.", "Send a PKCS #10 request in DER, signed with its own P-256 key.", 0},

	{ReasonCredential, codes.FailedPrecondition, "The credential cannot be used by this client now.", "Check its id, status and validity; an operator grants access.", 0},
	{ReasonInProgress, codes.Unavailable, "The signatures are being made.", "Repeat the call without a code, or read the operation.", time.Second},
	{ReasonActivationExpired, codes.FailedPrecondition, "The authorisation has ended before the signatures were made.", "Begin a new operation.", 0},
	{ReasonWithheld, codes.FailedPrecondition, "A signature was withheld because the credential or the operation changed meanwhile.", "Read operation and credential; begin a new operation if it is still wanted.", 0},
	{ReasonDocumentTooLarge, codes.InvalidArgument, "The document is too large.", "Split it, or send its hash instead.", 0},
	{ReasonDocumentEmpty, codes.InvalidArgument, "The document has no bytes.", "Check the file.", 0},
	{ReasonDocumentGone, codes.FailedPrecondition, "The document is no longer kept.", "Upload it again; of a signed one download the tail.", 0},
	{ReasonNotPDF, codes.InvalidArgument, "The document is not a PDF.", "Send a PDF, or sign its hash as CAdES.", 0},
	{ReasonPDFDamaged, codes.InvalidArgument, "The PDF is damaged.", "Open it in a PDF program, check its content and save it anew.", 0},
	{ReasonPDFEncrypted, codes.InvalidArgument, "The PDF is encrypted.", "Remove the password protection.", 0},
	{ReasonPDFTooComplex, codes.InvalidArgument, "The PDF exceeds a limit of this service.", "Split it or make it simpler.", 0},
	{ReasonPDFUnsupported, codes.InvalidArgument, "The PDF uses a feature that is not supported.", "Save it anew with a common PDF program, without XFA forms.", 0},
	{ReasonPDFLocked, codes.FailedPrecondition, "The PDF allows no further signature.", "Sign the version before it was certified or locked.", 0},

	{ReasonLevelNotOffered, codes.FailedPrecondition, "This service does not offer that level for that format.", "Ask for a lower level; the operator configures time-stamping authorities and sources of revocation data.", 0},
	{ReasonLevelNotReady, codes.FailedPrecondition, "The level is being worked on.", "Wait with WatchSigningOperation, or take a lower level; metadata because says why the last attempt failed, if one did.", 0},
	{ReasonLevelGivenUp, codes.FailedPrecondition, "The level will not be made.", "Take a lower level, and have it augmented later; metadata because says why.", 0},
	{ReasonLevelNotAsked, codes.InvalidArgument, "The item was not to come to this level.", "Ask for a level that the operation names, or have the result augmented.", 0},
	{ReasonCMSSpace, codes.InvalidArgument, "The prepared PDF has too little space for the signature.", "Prepare it with at least as many bytes as metadata needed_bytes says.", 0},
	{ReasonNoSignature, codes.InvalidArgument, "The document is neither a PDF nor a CMS signature.", "Send a PDF, or a CMS in DER or BER.", 0},
	{ReasonContent, codes.InvalidArgument, "The content is given for a signature that holds it, or missing for one that does not.", "Give the content of a detached CMS, and of nothing else.", 0},
	{ReasonNoService, codes.FailedPrecondition, "No usable time-stamp or evidence was obtained.", "Metadata because says why; try again where a time to wait is given.", 0},

	{ReasonDevice, codes.Unavailable, "The HSM does not answer.", "Try again; the operator sees the cause.", 5 * time.Second},
	{ReasonStore, codes.Unavailable, "The service cannot write to its database or disk.", "Try again; the operator sees the cause.", 5 * time.Second},
	{ReasonClock, codes.Unavailable, "The service's clock stands before its last log entry.", "Try again; the operator has to set the clock right.", 5 * time.Second},
	{ReasonHeadPending, codes.Unavailable, "No signed head covers this entry yet.", "Try again shortly.", time.Second},
	{ReasonLost, codes.NotFound, "The record was made after the backup from which the service was restored, and is gone.", "Begin anew with new request ids; what was signed is proven by its receipt.", 0},
}

// answer returns what a caller is told.
func (r Reason) answer() (answer, bool) {
	for _, a := range answers {
		if a.reason == r {
			return a, true
		}
	}
	return answer{}, false
}
