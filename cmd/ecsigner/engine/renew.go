package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/ecsigner/ecsigner/ca"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/config"
)

// Renew makes anew what ends first: the server's certificate, for the hosts that the configuration names now, that of the service
// seal, and the root's revocation list. The keys stay, so nobody who trusts them has to be told. All are made before the first is
// written; a service that runs goes on with the old ones until it is started again. It tells each step to say.
func Renew(ctx context.Context, cfg config.Config, now time.Time, say func(string)) (err error) {
	device, err := openDevice(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, device.Close()) }()
	root, err := authority(ctx, cfg, device, ca.Root, fileRoot, "", keyRoot)
	if err != nil {
		return err
	}
	issuing, err := authority(ctx, cfg, device, ca.IssuingCA, fileIssuing, fileRoot, keyIssuing)
	if err != nil {
		return err
	}
	tlsRoot, err := tlsAuthority(ctx, cfg, device)
	if err != nil {
		return err
	}
	start := now.Add(-time.Minute).Truncate(time.Second)
	files := map[string][]byte{}
	if files[fileTLS], err = makeServer(ctx, cfg, tlsRoot, device, start); err != nil {
		return err
	}
	if files[fileSeal], err = makeSeal(ctx, issuing, device, start); err != nil {
		return err
	}
	previous, err := os.ReadFile(cfg.Path(fileRootCRL))
	if err != nil {
		return err
	}
	if files[fileRootCRL], err = root.CRL(ctx, previous, nil, now); err != nil {
		return fmt.Errorf("root revocation list: %w", err)
	}
	for _, name := range []string{fileRootCRL, fileSeal, fileTLS} {
		if err := replaceFile(cfg.Path(name), files[name]); err != nil {
			return err
		}
		say(cfg.Path(name) + " is new")
	}
	return nil
}

// replaceFile puts a public file in the place of another, whole or not at all.
func replaceFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // gone already when all went well
	_, err = f.Write(data)
	if err := errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
