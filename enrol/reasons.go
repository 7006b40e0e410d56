package enrol

import "github.com/ecsigner/ecsigner/ca"

// ReasonOf returns the number of a reason that the operation log names. A FieldError for any other text.
func ReasonOf(text string) (ca.Reason, error) { return parseReason(text) }
