package enrol

import (
	"errors"
	"fmt"

	"github.com/ecsigner/ecsigner/call"
	"github.com/ecsigner/ecsigner/custody"
	"github.com/ecsigner/ecsigner/enrol/person"
	"github.com/ecsigner/ecsigner/enrol/voucher"
	"github.com/ecsigner/ecsigner/otp"
)

// Errors that a caller of the service meets, beside ErrNotFound, ErrConflict and ErrOutcomeUnknown.
var (
	// ErrRequestReused: the request id was used before with another body.
	ErrRequestReused = call.ErrReused
	// ErrState: the call comes out of order; the StateError around it names what comes next.
	ErrState = call.ErrState
	// ErrExpired: the enrolment was not finished in time; a new voucher is needed.
	ErrExpired = errors.New("enrol: enrolment has expired")
	// ErrCode: the code was not accepted; the CodeError around it says why and how many tries are left.
	ErrCode = custody.ErrCode
	// ErrTooManyCodes: all codes of this step were sent; an operator can unlock the enrolment.
	ErrTooManyCodes = otp.ErrTooMany
	// ErrResent: the code was sent again as often as allowed; it still lives.
	ErrResent = otp.ErrResent
	// ErrLocked: too many wrong codes; an operator can unlock the enrolment.
	ErrLocked = otp.ErrLocked
	// ErrIntegrity: a stored record was changed outside this program. An alarm is in the operation log.
	ErrIntegrity = custody.ErrIntegrity
	// ErrIdentityDiffers: other data are to be accepted than identity proofing proved.
	ErrIdentityDiffers = errors.New("enrol: these are not the proven data")
	// ErrProofingTooOld: the identity was proven too long ago. The enrolment went back to the proofing.
	ErrProofingTooOld = errors.New("enrol: proof of the identity is too old")
	// ErrVoucher: no such voucher; check the code.
	ErrVoucher = voucher.ErrUnknown
	// ErrVoucherUsed: the voucher was redeemed before.
	ErrVoucherUsed = voucher.ErrUsed
	// ErrVoucherExpired: the voucher was not redeemed in time.
	ErrVoucherExpired = voucher.ErrExpired
	// ErrProduct: no such product in the catalogue, or no longer.
	ErrProduct = voucher.ErrProduct
	// ErrVoucherRate: too many wrong voucher codes; the GuessError around it says how long to wait.
	ErrVoucherRate = voucher.ErrRate
	// ErrShownOnce: the vouchers of this request were made and shown; only their hashes are kept.
	ErrShownOnce = errors.New("enrol: voucher codes are shown only once; make new ones under a new request id")
	// ErrNotRenewable: the credential cannot be renewed now; the RenewalError around it says why.
	ErrNotRenewable = errors.New("enrol: credential cannot be renewed")
)

// Errors inside a FieldError.
var (
	// ErrField: the field is empty, too long or has the wrong form.
	ErrField = call.ErrField
	// ErrName: not a name as it stands in a travel document.
	ErrName = person.ErrName
	// ErrIdentifier: not an identifier of this type and country.
	ErrIdentifier = person.ErrIdentifier
	// ErrCheckDigit: the identifier's check digit is wrong, so it is mistyped.
	ErrCheckDigit = person.ErrCheckDigit
	// ErrBirthDate: not a date, or not the one in the identifier.
	ErrBirthDate = person.ErrBirthDate
	// ErrAge: the person is not of age.
	ErrAge = person.ErrAge
	// ErrPhone: not a phone number in E.164 form.
	ErrPhone = person.ErrPhone
	// ErrLanguage: no texts in this language.
	ErrLanguage = errors.New("enrol: language is not offered")
	// ErrYears: the voucher does not pay for this validity.
	ErrYears = voucher.ErrYears
	// ErrAlgorithm: no keys of this algorithm.
	ErrAlgorithm = errors.New("enrol: algorithm is not offered")
	// ErrNotInProduct: the voucher's product does not include this choice.
	ErrNotInProduct = voucher.ErrNotInProduct
	// ErrOrganisation: not the name or the identifier of an organisation, or given without need.
	ErrOrganisation = person.ErrOrganisation
	// ErrConsent: a required consent is missing; the ConsentError around it names it.
	ErrConsent = errors.New("enrol: a required consent is missing")
	// ErrAgreementDiffers: another document is to be accepted than the one that was made.
	ErrAgreementDiffers = errors.New("enrol: this is not the agreement")
	// ErrVoucherCode: mistyped voucher code.
	ErrVoucherCode = voucher.ErrCode
)

// BudgetError: the budget of texts of the number, or of the client, is used up for a time that it names.
type BudgetError = otp.BudgetError

// FieldError says which field of a request is wrong; Err wraps one of the sentinels above and says what to do.
type FieldError = call.FieldError

// StateError says that a call is out of order and which one is next.
type StateError struct {
	State State
	Next  Action // empty: nothing, the enrolment is finished
	Hint  string // what is missing, where that is not clear from Next
}

func (e *StateError) Error() string {
	text := fmt.Sprintf("%v: enrolment is %s", ErrState, e.State)
	if e.Next != ActionNone {
		text += ", next: " + string(e.Next)
	}
	if e.Hint != "" {
		text += " (" + e.Hint + ")"
	}
	return text
}

// Unwrap returns ErrState.
func (e *StateError) Unwrap() error { return ErrState }

// Why a credential cannot be renewed.
const (
	RenewalNotOffered  = "not_offered"
	RenewalTooEarly    = "too_early"      // the window before the certificate's end has not begun
	RenewalEnded       = "ended"          // the certificate has ended
	RenewalStatus      = "not_active"     // it is suspended or revoked
	RenewalOfRenewal   = "renewed_before" // EN 319 412-5 clause 4.2.8: identification by certificate cannot be chained
	RenewalProofTooOld = "proof_too_old"  // the identity has to be proven anew
)

// RenewalError says why a credential cannot be renewed.
type RenewalError struct{ Because string }

func (e *RenewalError) Error() string { return fmt.Sprintf("%v: %s", ErrNotRenewable, e.Because) }

// Unwrap returns ErrNotRenewable.
func (e *RenewalError) Unwrap() error { return ErrNotRenewable }
