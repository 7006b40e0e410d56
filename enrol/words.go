package enrol

import (
	"github.com/ecsigner/ecsigner/call"
	"github.com/ecsigner/ecsigner/custody"
	"github.com/ecsigner/ecsigner/enrol/person"
	"github.com/ecsigner/ecsigner/enrol/voucher"
)

// Words of the packages below that callers of this use case need.
type (
	// PersonalData as the person types them.
	PersonalData = person.Data
	// IdentityResult is what an identity provider found.
	IdentityResult = person.Result
	// Document is the identity document that was presented.
	Document = person.Document
	// Reason says why a proofing did not end in an agreement.
	Reason = person.Reason

	// Requests remembers answered request ids.
	Requests = call.Requests

	// Product is what vouchers are sold for.
	Product = voucher.Product
	// OrganisationRule says whether certificates of a product name an organisation.
	OrganisationRule = voucher.OrganisationRule
	// Parameters of the certificate.
	Parameters = voucher.Parameters
	// VoucherRequest says what vouchers are to be made.
	VoucherRequest = voucher.Request
	// GuessLimits bounds wrong voucher codes.
	GuessLimits = voucher.Limits
	// CodeSent says that a code is on its way.
	CodeSent = custody.CodeSent
	// CodeError says why a code was not accepted. The refusal is recorded.
	CodeError = custody.CodeError
	// GuessError refuses every voucher code for a while.
	GuessError = voucher.RateError
)

// Rules of organisations.
const (
	OrganisationNone     = voucher.OrganisationNone
	OrganisationOptional = voucher.OrganisationOptional
	OrganisationRequired = voucher.OrganisationRequired
)

// Reasons, as the view shows them beside the names of the fields that they are about.
const (
	ReasonDiffers           = person.ReasonDiffers
	ReasonPhoneDiffers      = person.ReasonPhoneDiffers
	ReasonAttributeMissing  = person.ReasonAttributeMissing
	ReasonAttributeRefused  = person.ReasonAttributeRefused
	ReasonBirthDateConflict = person.ReasonBirthDateConflict
	ReasonTooOld            = person.ReasonTooOld
	ReasonSessionEnded      = person.ReasonSessionEnded
)

// DefaultGuessLimits are 10 wrong codes of a person and 600 of a client within 10 minutes.
func DefaultGuessLimits() GuessLimits { return voucher.DefaultLimits() }
