// Package tsp obtains and reads time-stamps (RFC 3161, updated by RFC 5816; EN 319 422 is their profile for qualified
// services). [Parse] reads a token and checks everything that needs nothing but the token. [Client] asks authorities over
// HTTP, checks what they answer against what was asked, and falls back to the next one.
//
// A token says that a digest existed at a time. It knows nothing of what was digested, so the package needs no document,
// no signature and no key.
package tsp

import (
	"errors"
	"fmt"
)

// What went wrong at one authority. A failed call wraps those of all authorities that were asked; another attempt later may
// succeed.
var (
	ErrUnavailable = errors.New("authority not available")                        // not reached, no answer in time, or an HTTP status that is not 200
	ErrAnswer      = errors.New("authority answered with no time-stamp response") // content type, size, encoding, redirection
	ErrRejected    = errors.New("authority rejected the request")                 // the text names status and failure (RFC 3161 section 2.4.2)
)

// What will go wrong again.
var (
	ErrConfig = errors.New("tsp: configuration is wrong")
	ErrInput  = errors.New("tsp: no digest that can be stamped") // its length, or a hash other than SHA-2 or SHA-3 from 256 bits
	ErrRandom = errors.New("tsp: randomness failed")
)

// What is wrong with a token; each wraps ErrToken.
var (
	ErrToken       = errors.New("time-stamp token refused")
	ErrMalformed   = fmt.Errorf("%w: malformed", ErrToken)                        // structure; the text names the place
	ErrUnsupported = fmt.Errorf("%w: not supported", ErrToken)                    // an algorithm, key or critical extension, SHA-1 signatures among them
	ErrSignature   = fmt.Errorf("%w: its signature is not valid", ErrToken)       // value or message digest
	ErrSigner      = fmt.Errorf("%w: its signer is no time-stamp unit", ErrToken) // certificate missing, not named by signing-certificate, or not for time-stamps alone
	ErrChain       = fmt.Errorf("%w: its signer is not trusted", ErrToken)        // no path to the authority's roots at the token's time
	ErrTime        = fmt.Errorf("%w: its time is not now", ErrToken)              // further from the clock than tolerated
	ErrImprint     = fmt.Errorf("%w: it covers another digest", ErrToken)
	ErrNonce       = fmt.Errorf("%w: it answers another request", ErrToken)
	ErrPolicy      = fmt.Errorf("%w: it was issued under another policy", ErrToken)
	ErrSize        = fmt.Errorf("%w: it is larger than the space for it", ErrToken) // and than MaxSize said
)
