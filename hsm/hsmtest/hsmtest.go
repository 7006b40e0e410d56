// Package hsmtest gives tests a real token: SoftHSM, in a directory of its own.
package hsmtest

import (
	"context"
	"crypto/rand"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/ecsigner/ecsigner/hsm"
)

const (
	// Module is where Debian installs SoftHSM.
	Module = "/usr/lib/softhsm/libsofthsm2.so"
	// KEK is the id of the KEK that New creates.
	KEK = "kek-2026-1"
	// PIN is the user PIN of every token, SOPIN the security officer's.
	PIN   = "4711-test-user-pin"
	SOPIN = "0815-test-so-pin"
)

// shared is the library, initialised once for all tests of the process that need it at the same time: a
// PKCS #11 library is itself global to the process.
var shared struct {
	sync.Mutex
	users  int
	module *hsm.Module
	dir    string
}

// SharedModule returns the process-wide module over an own, empty token directory. The last user's
// clean-up finalises it and removes the directory.
func SharedModule(t testing.TB) *hsm.Module {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.users == 0 {
		dir, err := Directory()
		if err != nil {
			t.Fatal(err)
		}
		m, err := hsm.Load(Module)
		if err != nil {
			t.Fatalf("%v (Debian: apt-get install softhsm2)", err)
		}
		shared.dir, shared.module = dir, m
	}
	shared.users++
	t.Cleanup(func() {
		shared.Lock()
		defer shared.Unlock()
		if shared.users--; shared.users > 0 {
			return
		}
		if err := shared.module.Close(); err != nil {
			t.Error(err)
		}
		if err := os.RemoveAll(shared.dir); err != nil {
			t.Error(err)
		}
	})
	return shared.module
}

// Directory makes a new token directory with its configuration and points SOFTHSM2_CONF at it. The
// caller removes it.
func Directory() (string, error) {
	dir, err := os.MkdirTemp("", "ecsigner-hsm-")
	if err != nil {
		return "", err
	}
	conf := filepath.Join(dir, "softhsm2.conf")
	text := "directories.tokendir = " + dir + "\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return "", err
	}
	return dir, os.Setenv("SOFTHSM2_CONF", conf)
}

// Token initialises a new token and returns the configuration that opens it.
func Token(t testing.TB) (*hsm.Module, hsm.Config) {
	t.Helper()
	m := SharedModule(t)
	label := "test-" + rand.Text()
	if err := m.InitToken(label, []byte(SOPIN), []byte(PIN)); err != nil {
		t.Fatal(err)
	}
	return m, hsm.Config{Module: Module, TokenLabel: label, PIN: func() ([]byte, error) { return []byte(PIN), nil }}
}

// New returns a new token with KEK, seal key and epoch, closed at the end of the test.
func New(t testing.TB) *hsm.Device {
	t.Helper()
	m, cfg := Token(t)
	ctx := context.Background()
	d, err := m.Open(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := Fill(ctx, d); err != nil {
		t.Fatal(err)
	}
	return d
}

// Fill creates KEK, seal key and epoch on a new token.
func Fill(ctx context.Context, d *hsm.Device) error {
	if err := d.CreateKEK(ctx, KEK); err != nil {
		return err
	}
	if err := d.CreateSealKey(ctx); err != nil {
		return err
	}
	return d.CreateEpoch(ctx)
}
