package object

import "errors"

// Reasons to refuse what is read. Each is wrapped with the particulars; the text says what the owner of the file can do.
var (
	// ErrDamaged: the structure contradicts the specification or itself; the wrapping text names the place.
	ErrDamaged = errors.New("damaged PDF: open it in a PDF editor, check its content and save it anew")
	// ErrTooLarge: more than the limits allow.
	ErrTooLarge = errors.New("PDF exceeds a limit of this service: split it or make it simpler")
	// ErrUnsupported: correct, but encoded in a way that is not read here.
	ErrUnsupported = errors.New("PDF uses a feature that is not supported: save it anew with a common PDF program")
)

// MaxNumber is the greatest object number that is read (ISO 32000-1 annex C).
const MaxNumber = 8_388_607
