package bench

import (
	"context"
	"crypto"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
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
	wrapped map[string]wrappedKey
}

// wrappedKey is a signatory's key as the database would hold it.
type wrappedKey struct {
	kek  string
	blob []byte
}

// Placements of a raw key.
const (
	onToken = "token"   // held on the token
	wrapped = "wrapped" // unwrapped for each operation and destroyed after it: the placement of the service's keys
)

// kind is one way to sign.
type kind struct {
	placement string
	sign      func() error
}

// openRaw makes a token in dir with a wrapped key of each kind and an ECDSA key of its own, and as many sessions as the
// server has.
func openRaw(ctx context.Context, cfg config.HSM, dir string, keys []string) (_ *raw, err error) {
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
	r := &raw{threads: cfg.Sessions, wrapped: map[string]wrappedKey{}}
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
	return r, r.makeKeys(ctx, keys)
}

func (r *raw) makeKeys(ctx context.Context, keys []string) (err error) {
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
	for _, key := range keys { // options and device name keys alike
		var k wrappedKey
		if k.blob, k.kek, _, err = r.device.GenerateKey(ctx, key); err != nil {
			return err
		}
		r.wrapped[key] = k
	}
	return nil
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

// kinds returns the ways in which a workload is signed without the service. A key on the token is measured with single
// ECDSA signatures alone: it shows what the unwrapping costs.
func (r *raw) kinds(ctx context.Context, w workload) ([]kind, error) {
	k, ok := r.wrapped[w.key]
	if !ok {
		return nil, fmt.Errorf("the raw token has no %s key", w.key)
	}
	all := digests(w.hash, "raw", w.batch)
	unwrap := kind{wrapped, func() error {
		signatures, err := r.device.SignWrapped(ctx, k.kek, k.blob, w.device, all)
		if err == nil && len(signatures) != len(all) {
			err = fmt.Errorf("%d signatures came of %d digests", len(signatures), len(all))
		}
		return err
	}}
	if w.key != ECDSAP256 || w.batch != 1 {
		return []kind{unwrap}, nil
	}
	return []kind{{onToken, func() error {
		_, err := r.held.Sign(nil, all[0], crypto.SHA256)
		return err
	}}, unwrap}, nil
}

// loop calls sign, which makes batch signatures, from every thread for d.
func (r *raw) loop(ctx context.Context, d time.Duration, batch int, sign func() error) (RawRun, error) {
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
	return rawRun(slices.Concat(took...), batch, elapsed, used-cpu), nil
}

// rawRun counts what was measured: one duration for each operation of batch signatures.
func rawRun(took []time.Duration, batch int, elapsed, cpu time.Duration) RawRun {
	n := len(took) * batch
	return RawRun{
		Operations: len(took), Signatures: n, OperationsPerSecond: rate(len(took), elapsed), PerSecond: rate(n, elapsed),
		CPUMicros: per(cpu, n), LatencyMS: quantiles(took),
	}
}
