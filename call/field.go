package call

import (
	"errors"
	"strings"

	"github.com/ecsigner/ecsigner/audit"
)

// ErrField: the field is empty, too long or has the wrong form.
var ErrField = errors.New("enrol: field is wrong")

// FieldError says which field of a request is wrong; Err wraps a sentinel and says what to do.
type FieldError struct {
	Field string // as in the request, e.g. "given_name"
	Err   error
}

// Wrong returns the FieldError of a field.
func Wrong(field string, err error) error { return &FieldError{Field: field, Err: err} }

func (e *FieldError) Error() string { return e.Field + ": " + e.Err.Error() }

// Unwrap returns what is wrong.
func (e *FieldError) Unwrap() error { return e.Err }

// FieldName returns the field's name.
func (e *FieldError) FieldName() string { return e.Field }

// Plain makes a text fit for a log entry: ASCII without quotes and backslashes, at most 200 characters.
func Plain(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '"' || r == '\\' {
			return -1
		}
		return r
	}, text)
	return text[:min(len(text), audit.MaxID)]
}
