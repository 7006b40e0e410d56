package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/ecsigner/ecsigner/audit"
	"github.com/ecsigner/ecsigner/ca"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/config"
	"github.com/ecsigner/ecsigner/hsm"
	"github.com/ecsigner/ecsigner/otp"
	"github.com/ecsigner/ecsigner/sam"
)

// RestoringDir stands below the data directory while a restore is not finished. Nothing is served then.
const RestoringDir = "restoring"

// ErrRestoring: a restore was interrupted.
var ErrRestoring = errors.New("a restore of this installation is not finished; run `ecsigner restore` again with the same backup and log")

// Offline is what can be done with an installation beside or without its service: the device, what is sealed by it, and the
// CA. It opens no database.
type Offline struct {
	Device  *hsm.Device
	Trust   *sam.Module
	Issuing *ca.Authority
	Epoch   uint64
	Head    *audit.NoteSigner
	VKey    string // of the operation log; that of the key in the device
}

// OpenOffline opens device and CA of an installation. The log's public key in pki must be that of the key in the device.
func OpenOffline(ctx context.Context, cfg config.Config) (_ *Offline, err error) {
	o := &Offline{}
	defer func() {
		if err != nil {
			err = errors.Join(err, o.Close())
		}
	}()
	if o.Device, err = openDevice(ctx, cfg); err != nil {
		return nil, err
	}
	if o.Epoch, err = o.Device.Epoch(ctx); err != nil {
		return nil, err
	}
	o.Trust, err = sam.Open(ctx, o.Device, sam.Config{
		Installation: cfg.Installation, Epoch: o.Epoch, Digits: cfg.Codes.Digits, Now: time.Now,
	})
	if err != nil {
		return nil, err
	}
	if o.Issuing, err = authority(ctx, cfg, o.Device, ca.IssuingCA, fileIssuing, fileRoot, keyIssuing); err != nil {
		return nil, err
	}
	if o.Head, o.VKey, err = logKey(ctx, cfg, o.Device); err != nil {
		return nil, err
	}
	pinned, err := os.ReadFile(cfg.Path(FileLogKey))
	if err != nil {
		return nil, err
	}
	if strings.TrimSpace(string(pinned)) != o.VKey {
		return nil, fmt.Errorf("%s is not the public key of the log key in the HSM: token and installation do not belong together", cfg.Path(FileLogKey))
	}
	return o, nil
}

// logKey returns the signer of the log's heads and the public key of it.
func logKey(ctx context.Context, cfg config.Config, d *hsm.Device) (*audit.NoteSigner, string, error) {
	key, err := d.Signer(ctx, keyLog)
	if err != nil {
		return nil, "", err
	}
	head, err := audit.NewNoteSigner(logOrigin(cfg), key)
	if err != nil {
		return nil, "", err
	}
	vkey, err := verifierKey(cfg, key.Public())
	return head, vkey, err
}

// Close closes the device.
func (o *Offline) Close() error {
	if o.Device == nil {
		return nil
	}
	return o.Device.Close()
}

// CodeLimits are the limits of codes that the configuration sets.
func CodeLimits(cfg config.Config) otp.Limits { return codeLimits(cfg) }
