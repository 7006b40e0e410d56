package hsm_test

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/miekg/pkcs11"

	"github.com/ecsigner/ecsigner/hsm"
	"github.com/ecsigner/ecsigner/hsm/hsmtest"
)

// spy logs every PKCS #11 call (Debian: opensc-pkcs11).
const spy = "/usr/lib/x86_64-linux-gnu/pkcs11-spy.so"

// run starts the test binary again for what needs the library of a process to itself.
func run(t *testing.T, role string, env ...string) []byte {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), "HSM_TEST_ROLE="+role), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", role, err, out)
	}
	return out
}

func child(role string) int {
	roles := map[string]func(context.Context) error{"spied": spied, "lost": libraryLost, "emptied": tokenGone, "own": ownLibrary}
	dir, err := hsmtest.Directory()
	if err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		err = errors.Join(roles[role](ctx), os.RemoveAll(dir))
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

const spiedDigests = 7

// TestEachDigestOneCSign counts C_Sign outside our own code.
func TestEachDigestOneCSign(t *testing.T) {
	if _, err := os.Stat(spy); err != nil {
		t.Fatalf("%v (Debian: apt-get install opensc-pkcs11)", err)
	}
	log := filepath.Join(t.TempDir(), "spy.log")
	run(t, "spied", "PKCS11SPY="+hsmtest.Module, "PKCS11SPY_OUTPUT="+log)
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	// Generating signs nothing; then spiedDigests with the signatory's key, one service signature.
	for call, want := range map[string]int{": C_Sign\n": spiedDigests + 1, ": C_SignInit\n": spiedDigests + 1, ": C_SignUpdate\n": 0} {
		if got := bytes.Count(text, []byte(call)); got != want {
			t.Errorf("%d calls of %q, want %d", got, call, want)
		}
	}
}

func spied(ctx context.Context) error {
	d, err := newDevice(ctx, spy)
	if err != nil {
		return err
	}
	wrapped, kek, public, err := d.GenerateKey(ctx, hsm.ECDSAP256)
	if err != nil {
		return err
	}
	ds := digests(spiedDigests)
	sigs, err := d.SignWrapped(ctx, kek, wrapped, hsm.ECDSAP256, ds)
	if err != nil {
		return err
	}
	if err := verify(public, ds, sigs); err != nil {
		return err
	}
	s, err := d.Signer(ctx, "log")
	if err != nil {
		return err
	}
	if _, err := s.Sign(nil, ds[0], crypto.SHA256); err != nil {
		return err
	}
	return d.Close()
}

// newDevice initialises and fills a token of a library that nobody else in the process uses.
func newDevice(ctx context.Context, module string) (*hsm.Device, error) {
	if err := hsm.InitToken(module, "own", []byte(hsmtest.SOPIN), []byte(hsmtest.PIN)); err != nil {
		return nil, err
	}
	d, err := hsm.Open(ctx, hsm.Config{
		Module: module, TokenLabel: "own", PIN: func() ([]byte, error) { return []byte(hsmtest.PIN), nil }, Timeout: 5 * time.Second,
	})
	if err != nil {
		return nil, err
	}
	if err := hsmtest.Fill(ctx, d); err != nil {
		return nil, err
	}
	_, err = d.CreateServiceKey(ctx, "log", hsm.ECDSAP256)
	return d, err
}

// TestLibraryLost finalises the real library under an open device.
func TestLibraryLost(t *testing.T) { run(t, "lost") }

func libraryLost(ctx context.Context) error {
	if err := hsm.InitToken(hsmtest.Module, "own", []byte(hsmtest.SOPIN), []byte(hsmtest.PIN)); err != nil {
		return err
	}
	m, err := hsm.Load(hsmtest.Module)
	if err != nil {
		return err
	}
	d, err := m.Open(ctx, hsm.Config{TokenLabel: "own", PIN: func() ([]byte, error) { return []byte(hsmtest.PIN), nil }})
	if err != nil {
		return err
	}
	if err := hsmtest.Fill(ctx, d); err != nil {
		return err
	}
	before, err := d.MAC(ctx, []byte("x"))
	if err != nil {
		return err
	}
	for want := uint64(2); want < 5; want++ {
		if err := m.Below().Finalize(); err != nil {
			return err
		}
		if _, err := d.MAC(ctx, []byte("x")); !errors.Is(err, hsm.ErrUnavailable) || !errors.Is(err, pkcs11.Error(pkcs11.CKR_CRYPTOKI_NOT_INITIALIZED)) {
			return fmt.Errorf("device lost: %w", errors.Join(err, errors.New("is not the error expected")))
		}
		if err := until(ctx, func() bool { return d.Healthy(ctx) == nil }); err != nil {
			return err
		}
		after, err := d.MAC(ctx, []byte("x"))
		if err != nil {
			return err
		}
		if !bytes.Equal(before, after) || m.Generation() != want {
			return fmt.Errorf("after the loss: %x, generation %d; want %x and %d", after, m.Generation(), before, want)
		}
	}
	return errors.Join(d.Close(), m.Close())
}

// TestTokenGone takes the directory of the token away under an open device, and puts it back.
func TestTokenGone(t *testing.T) { run(t, "emptied") }

func tokenGone(ctx context.Context) error {
	d, err := newDevice(ctx, hsmtest.Module)
	if err != nil {
		return err
	}
	before, err := d.MAC(ctx, []byte("x"))
	if err != nil {
		return err
	}
	// A single object that is not there is no loss of the device.
	if _, err := d.Signer(ctx, "none"); !errors.Is(err, hsm.ErrAbsent) || errors.Is(err, hsm.ErrUnavailable) {
		return fmt.Errorf("no such key: %w", errors.Join(err, errors.New("is not the error expected")))
	}
	dir := filepath.Dir(os.Getenv("SOFTHSM2_CONF"))
	for name, call := range map[string]func() error{
		"MAC":    func() error { _, err := d.MAC(ctx, []byte("x")); return err },
		"epoch":  func() error { _, err := d.Epoch(ctx); return err },
		"key":    func() error { _, _, _, err := d.GenerateKey(ctx, hsm.ECDSAP256); return err },
		"signer": func() error { _, err := d.Signer(ctx, "log"); return err },
	} {
		if err := os.Rename(dir, dir+".away"); err != nil {
			return err
		}
		for range 3 {
			if err := call(); !errors.Is(err, hsm.ErrUnavailable) || errors.Is(err, hsm.ErrAbsent) {
				return fmt.Errorf("%s without a token: %w", name, errors.Join(err, errors.New("is not the error expected")))
			}
		}
		if err := os.Rename(dir+".away", dir); err != nil {
			return err
		}
		if err := until(ctx, func() bool { return call() == nil }); err != nil {
			return fmt.Errorf("%s with the token again: %w", name, err)
		}
	}
	after, err := d.MAC(ctx, []byte("x"))
	if err != nil || !bytes.Equal(before, after) {
		return fmt.Errorf("another MAC than before: %w", err)
	}
	return d.Close()
}

// TestOwnLibrary opens and closes the library as the program does: initialise, close, open again.
func TestOwnLibrary(t *testing.T) { run(t, "own") }

func ownLibrary(ctx context.Context) error {
	d, err := newDevice(ctx, hsmtest.Module)
	if err != nil {
		return err
	}
	wrapped, kek, public, err := d.GenerateKey(ctx, hsm.ECDSAP256)
	if err != nil {
		return err
	}
	if err := d.Close(); err != nil {
		return err
	}
	if err := hsm.InitToken(hsmtest.Module, "own", []byte(hsmtest.SOPIN), []byte(hsmtest.PIN)); !errors.Is(err, hsm.ErrToken) {
		return fmt.Errorf("label taken: %w", errors.Join(err, errors.New("is not the error expected")))
	}
	d, err = hsm.Open(ctx, hsm.Config{Module: hsmtest.Module, TokenLabel: "own", PIN: func() ([]byte, error) { return []byte(hsmtest.PIN), nil }})
	if err != nil {
		return err
	}
	sigs, err := d.SignWrapped(ctx, kek, wrapped, hsm.ECDSAP256, digests(2))
	if err != nil {
		return err
	}
	return errors.Join(verify(public, digests(2), sigs), d.Close())
}

// until waits for a condition.
func until(ctx context.Context, ok func() bool) error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			return errors.New("waited in vain")
		case <-tick.C:
		}
	}
	return nil
}
