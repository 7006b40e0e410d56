// Package status reads what says whether a certificate was revoked: revocation lists (RFC 5280 section 5) and OCSP answers (RFC
// 6960 section 4.2). It tells who signed them, which certificates they speak of, and what they say. It knows no clock and no
// network; whether something is recent enough is for its caller to judge.
//
// The caller limits the size of what it hands over. Readers never panic and keep references into it, so that it must not be
// changed afterwards; what else they need does not grow with the length of a list.
package status

import (
	"errors"
	"time"
)

var (
	// ErrMalformed: bytes that are not what they should be. The text names the place.
	ErrMalformed = errors.New("malformed")
	// ErrUnsupported: well-formed, but of a kind that is refused, such as an indirect list.
	ErrUnsupported = errors.New("not supported")
)

// Revocation says since when a certificate is revoked, and why.
type Revocation struct {
	Time   time.Time
	Reason int // RFC 5280 section 5.3.1; 6 is on hold
}
