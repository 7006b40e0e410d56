package bench

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/config"
	"github.com/ecsigner/ecsigner/hsm"
	"golang.org/x/sync/errgroup"
)

// raw is a token of this process, of the same make as the server's.
type raw struct {
	module  *hsm.Module
	device  *hsm.Device
	threads int

	held    crypto.Signer // on the token
	kek     string
	wrapped []byte
}

// openRaw makes a token in dir with one key of each placement, and as many sessions as the server has.
func openRaw(ctx context.Context, cfg config.HSM, dir string) (_ *raw, err error) {
	if err := os.MkdirAll(filepath.Join(dir, "tokens"), 0o700); err != nil {
		return nil, err
	}
	conf := filepath.Join(dir, "softhsm2.conf")
	text := "directories.tokendir = " + filepath.Join(dir, "tokens") + "\nobjectstore.backend = file\nlog.level = ERROR\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return nil, err
	}
	// SoftHSM reads the variable when it is initialised; the server's process sets its own.
	if err := os.Setenv("SOFTHSM2_CONF", conf); err != nil {
		return nil, err
	}
	r := &raw{threads: cfg.Sessions}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
		}
	}()
	if r.module, err = hsm.Load(cfg.Module); err != nil {
		return nil, err
	}
	const label = "bench"
	pin := make([]byte, 12)
	if _, err := rand.Read(pin); err != nil {
		return nil, err
	}
	pin = []byte(hex.EncodeToString(pin))
	if err := r.module.InitToken(label, pin, pin); err != nil {
		return nil, err
	}
	r.device, err = r.module.Open(ctx, hsm.Config{
		TokenLabel: label, PIN: func() ([]byte, error) { return pin, nil }, Sessions: cfg.Sessions, Timeout: cfg.Timeout,
	})
	if err != nil {
		return nil, err
	}
	return r, r.makeKeys(ctx)
}

func (r *raw) makeKeys(ctx context.Context) (err error) {
	const label = "held"
	if _, err := r.device.CreateServiceKey(ctx, label, hsm.ECDSAP256); err != nil {
		return err
	}
	if r.held, err = r.device.Signer(ctx, label); err != nil {
		return err
	}
	if err := r.device.CreateKEK(ctx, "kek-2026-1"); err != nil {
		return err
	}
	r.wrapped, r.kek, _, err = r.device.GenerateKey(ctx, hsm.ECDSAP256)
	return err
}

func (r *raw) close() error {
	var err error
	if r.device != nil {
		err = r.device.Close()
	}
	if r.module != nil {
		err = errors.Join(err, r.module.Close())
	}
	return err
}

// measure signs for d with each placement.
func (r *raw) measure(ctx context.Context, d time.Duration, token, unwrap *RawRun) (err error) {
	digest := sha256.Sum256([]byte("bench"))
	*token, err = r.loop(ctx, d, func() error {
		_, err := r.held.Sign(nil, digest[:], crypto.SHA256)
		return err
	})
	if err != nil {
		return fmt.Errorf("signing with a key on the token: %w", err)
	}
	*unwrap, err = r.loop(ctx, d, func() error {
		_, err := r.device.SignWrapped(ctx, r.kek, r.wrapped, hsm.ECDSAP256, [][]byte{digest[:]})
		return err
	})
	if err != nil {
		return fmt.Errorf("signing with a wrapped key: %w", err)
	}
	return nil
}

// loop calls sign from every thread for d.
func (r *raw) loop(ctx context.Context, d time.Duration, sign func() error) (RawRun, error) {
	if err := sign(); err != nil { // the first call may fill caches
		return RawRun{}, err
	}
	cpu, err := ownCPU()
	if err != nil {
		return RawRun{}, err
	}
	start := time.Now()
	end := start.Add(d)
	took := make([][]time.Duration, r.threads)
	var g errgroup.Group
	for i := range r.threads {
		g.Go(func() error {
			for now := time.Now(); now.Before(end); {
				if err := ctx.Err(); err != nil {
					return err
				}
				if err := sign(); err != nil {
					return err
				}
				then := now
				now = time.Now()
				took[i] = append(took[i], now.Sub(then))
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return RawRun{}, err
	}
	elapsed := time.Since(start)
	used, err := ownCPU()
	if err != nil {
		return RawRun{}, err
	}
	var all []time.Duration
	for _, t := range took {
		all = append(all, t...)
	}
	return RawRun{
		Signatures: len(all), PerSecond: rate(len(all), elapsed), CPUMicros: per(used-cpu, len(all)), LatencyMS: quantiles(all),
	}, nil
}
