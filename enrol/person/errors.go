package person

import "errors"

// Errors inside a call.FieldError, as the use case that takes the data says them.
var (
	// ErrName: not a name as it stands in a travel document.
	ErrName = errors.New("enrol: name is not as in a travel document")
	// ErrIdentifier: not an identifier of this type and country.
	ErrIdentifier = errors.New("enrol: identifier is wrong")
	// ErrCheckDigit: the identifier's check digit is wrong, so it is mistyped.
	ErrCheckDigit = errors.New("enrol: check digit is wrong")
	// ErrBirthDate: not a date, or not the one in the identifier.
	ErrBirthDate = errors.New("enrol: birth date is wrong")
	// ErrAge: the person is not of age.
	ErrAge = errors.New("enrol: person is under 18")
	// ErrPhone: not a phone number in E.164 form.
	ErrPhone = errors.New("enrol: phone number is wrong")
	// ErrOrganisation: not the name or the identifier of an organisation, or given without need.
	ErrOrganisation = errors.New("enrol: organisation is wrong")
)
