package pades

import (
	"crypto"
	"errors"
	"fmt"

	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/pdf"
)

// ErrToken: a time-stamp could not be had, does not verify or covers something else; nothing was written.
var ErrToken = errors.New("pades: time-stamp")

// AugmentOptions are those of AugmentWith and TimeStampWith. The zero value is good.
type AugmentOptions struct {
	Limits pdf.Limits // zero means the defaults
	Room   int        // at least so many bytes for a time-stamp, such as after ErrReserve; at most 1 MiB
	// Partial goes on with the rest where a signature is broken, cannot be judged, or no evidence for it can be had.
	Partial bool
}

func (o *AugmentOptions) check(s *cades.Services, to cades.Level) error {
	if to < cades.LevelBB || to > cades.LevelBLTA {
		return fmt.Errorf("%w: %v", ErrOptions, to)
	}
	if s.Hash == 0 {
		s.Hash = crypto.SHA256
	}
	if s.Hash != crypto.SHA256 && s.Hash != crypto.SHA384 && s.Hash != crypto.SHA512 {
		return fmt.Errorf("%w: time-stamps with %v", ErrOptions, s.Hash)
	}
	if to >= cades.LevelBT && s.Stamper == nil || to >= cades.LevelBLT && (s.Prover == nil || s.Now == nil) {
		return fmt.Errorf("%w: %v needs a service that is not given", ErrOptions, to)
	}
	if o.Room < 0 || o.Room > maxRoom {
		return fmt.Errorf("%w: room of %d bytes for a token", ErrOptions, o.Room)
	}
	return nil
}
