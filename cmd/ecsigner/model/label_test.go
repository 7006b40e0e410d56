package model_test

import (
	"errors"

	"github.com/ecsigner/ecsigner/ca"
	"github.com/ecsigner/ecsigner/enrol"
	"github.com/ecsigner/ecsigner/otp"
	"github.com/ecsigner/ecsigner/otp/sms"
	"github.com/ecsigner/ecsigner/sam"
	"github.com/ecsigner/ecsigner/signer"
	"github.com/ecsigner/ecsigner/store"
	"github.com/ecsigner/ecsigner/tenure"
)

// What a call can come to; a code that is not accepted is "code " and the result.
const (
	ok             = "ok"
	notFound       = "not found"
	reused         = "request id reused"
	noCredential   = "credential cannot be used"
	outOfOrder     = "not in this state"
	tooMany        = "too many codes"
	locked         = "locked"
	input          = "wrong input"
	inProgress     = "in progress"
	activationOver = "activation expired"
	withheld       = "withheld"
	notYet         = "before the certificate begins"
	clockBehind    = "clock is behind"
	revoked        = "revoked"
	expired        = "enrolment expired"
	voucherUsed    = "voucher is used"
	voucherExpired = "voucher has expired"
	tooOld         = "proof is too old"
	resent         = "sent again too often"
	noConsent      = "a consent is missing"
	different      = "identity differs"
	otherAgreement = "another agreement"
	deviceAway     = "device"
	storeDown      = "store"
	unknown        = "unknown"
)

// labelOf says what an error tells its caller.
func labelOf(err error) string {
	if err == nil {
		return ok
	}
	var signing *signer.CodeError
	var issuing *enrol.CodeError
	switch {
	case errors.As(err, &signing):
		return "code " + string(signing.Result)
	case errors.As(err, &issuing):
		return "code " + string(issuing.Result)
	}
	for _, known := range []struct {
		err   error
		label string
	}{
		{signer.ErrIntegrity, "integrity"},
		{enrol.ErrIntegrity, "integrity"},
		{signer.ErrOutcomeUnknown, unknown},
		{signer.ErrRequestReused, reused},
		{enrol.ErrRequestReused, reused},
		{otp.ErrTooMany, tooMany},
		{otp.ErrLocked, locked},
		{signer.ErrWithheld, withheld},
		{sam.ErrExpired, activationOver},
		{signer.ErrInProgress, inProgress},
		{signer.ErrCredential, noCredential},
		{signer.ErrInput, input},
		{signer.ErrState, outOfOrder},
		{enrol.ErrState, outOfOrder},
		{enrol.ErrExpired, expired},
		{tenure.ErrRevoked, revoked},
		{ca.ErrValidity, notYet},
		{enrol.ErrVoucherUsed, voucherUsed},
		{enrol.ErrVoucherExpired, voucherExpired},
		{enrol.ErrIdentityDiffers, different},
		{enrol.ErrProofingTooOld, tooOld},
		{otp.ErrResent, resent},
		{enrol.ErrConsent, noConsent},
		{enrol.ErrClock, clockBehind},
		{enrol.ErrAgreementDiffers, otherAgreement},
		{enrol.ErrField, input},
		{store.ErrClock, clockBehind},
		{errDevice, deviceAway},
		{store.ErrHead, deviceAway},
		{store.ErrStopped, storeDown},
		{errDisk, storeDown},
		{sms.ErrObsolete, "obsolete"},
		{signer.ErrNotFound, notFound},
		{enrol.ErrNotFound, notFound},
	} {
		if errors.Is(err, known.err) {
			return known.label
		}
	}
	return err.Error()
}
