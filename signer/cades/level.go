package cades

import (
	"context"
	"crypto"
	"time"

	"github.com/ecsigner/ecsigner/signer/revinfo"
)

// Level is a baseline level of EN 319 122-1 and EN 319 142-1 (both clause 6.1). Each contains the ones below it.
type Level uint8

// The levels.
const (
	LevelBB   Level = iota + 1 // the signature with its attributes
	LevelBT                    // and a time-stamp that proves when it existed
	LevelBLT                   // and the certificates and revocation data to judge it later
	LevelBLTA                  // and a time-stamp over all that, to be renewed before it loses its strength
)

// String returns the level's name as the standards write it, such as "B-LT".
func (l Level) String() string {
	if l < LevelBB || l > LevelBLTA {
		return "no level"
	}
	return [...]string{"B-B", "B-T", "B-LT", "B-LTA"}[l-1]
}

// Stamper obtains time-stamps (RFC 3161).
type Stamper interface {
	// Stamp returns a time-stamp token, a DER ContentInfo, over a digest made with h. The token is checked: it covers the
	// digest, and its chain and its own signature are right. Safe for concurrent use.
	Stamp(ctx context.Context, h crypto.Hash, imprint []byte) (token []byte, err error)
}

// Prover obtains revocation data.
type Prover interface {
	// Collect returns the path of leaf, a DER certificate, to a trust anchor, and what proves that nothing of it was revoked
	// at the time at. known are further certificates that may belong to the path. Safe for concurrent use.
	Collect(ctx context.Context, leaf []byte, known [][]byte, at time.Time) (revinfo.Evidence, error)
}

// Services is what raising a signature to a higher level needs from outside.
type Services struct {
	Stamper Stamper
	Prover  Prover
	Hash    crypto.Hash      // of the time-stamps' imprints; 0 means SHA-256
	Now     func() time.Time // required
}
