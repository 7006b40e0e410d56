package voucher

import "errors"

// Errors of vouchers, as the use case that redeems them says them.
var (
	// ErrUnknown: no such voucher; check the code.
	ErrUnknown = errors.New("enrol: voucher is unknown")
	// ErrUsed: the voucher was redeemed before.
	ErrUsed = errors.New("enrol: voucher is used")
	// ErrExpired: the voucher was not redeemed in time.
	ErrExpired = errors.New("enrol: voucher has expired")
	// ErrProduct: no such product in the catalogue, or no longer.
	ErrProduct = errors.New("enrol: product is not in the catalogue")
	// ErrRate: too many wrong voucher codes; the RateError around it says how long to wait.
	ErrRate = errors.New("enrol: too many wrong voucher codes")
	// ErrCode: mistyped voucher code. Inside a call.FieldError, as are those that follow.
	ErrCode = errors.New("enrol: voucher code is mistyped")
	// ErrYears: the voucher does not pay for this validity.
	ErrYears = errors.New("enrol: validity is not offered")
	// ErrNotInProduct: the voucher's product does not include this choice.
	ErrNotInProduct = errors.New("enrol: not included in the product")
)
