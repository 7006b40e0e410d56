package hsm_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/ecsigner/ecsigner/hsm"
	"github.com/ecsigner/ecsigner/hsm/hsmtest"
)

// The ports that the trust core declares.
var _ interface {
	MAC(ctx context.Context, data []byte) ([]byte, error)
	Epoch(ctx context.Context) (uint64, error)
	GenerateKey(ctx context.Context, algorithm string) (wrapped []byte, kek string, public crypto.PublicKey, err error)
	SignWrapped(ctx context.Context, kek string, wrapped []byte, algorithm string, digests [][]byte) ([][]byte, error)
} = (*hsm.Device)(nil)

func TestMain(m *testing.M) {
	if role := os.Getenv("HSM_TEST_ROLE"); role != "" {
		os.Exit(child(role))
	}
	goleak.VerifyTestMain(m)
}

func digests(n int) [][]byte {
	out := make([][]byte, n)
	for i := range out {
		d := sha256.Sum256(fmt.Appendf(nil, "document %d", i))
		out[i] = d[:]
	}
	return out
}

func verify(public crypto.PublicKey, digests, signatures [][]byte) error {
	if len(digests) != len(signatures) {
		return fmt.Errorf("%d signatures for %d digests", len(signatures), len(digests))
	}
	for i := range digests {
		if !ecdsa.VerifyASN1(public.(*ecdsa.PublicKey), digests[i], signatures[i]) {
			return fmt.Errorf("signature %d does not verify", i)
		}
	}
	return nil
}

func TestOpenErrors(t *testing.T) {
	ctx := context.Background()
	m, good := hsmtest.Token(t)
	libc := "/lib/x86_64-linux-gnu/libc.so.6"
	if _, err := os.Stat(libc); err != nil {
		t.Fatal(err)
	}
	secret := "no-such-pin-8715"
	for _, test := range []struct {
		name string
		open func(hsm.Config) (*hsm.Device, error)
		edit func(*hsm.Config)
		want error
		says string
	}{
		{"library missing", nil, func(c *hsm.Config) { c.Module = "/nonexistent/lib.so" }, hsm.ErrModule, "/nonexistent/lib.so"},
		{"library of another kind", nil, func(c *hsm.Config) { c.Module = libc }, hsm.ErrModule, libc},
		{"library empty", nil, func(c *hsm.Config) {
			c.Module = filepath.Join(t.TempDir(), "empty.so")
			if err := os.WriteFile(c.Module, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, hsm.ErrModule, "empty.so"},
		{"library in use", nil, func(*hsm.Config) {}, hsm.ErrModule, "share"},
		{"token missing", in(ctx, m), func(c *hsm.Config) { c.TokenLabel = "other" }, hsm.ErrToken, `"other"`},
		{"PIN wrong", in(ctx, m), func(c *hsm.Config) { c.PIN = func() ([]byte, error) { return []byte(secret), nil } }, hsm.ErrPIN, "CKR_PIN_INCORRECT"},
		{"PIN empty", in(ctx, m), func(c *hsm.Config) { c.PIN = func() ([]byte, error) { return nil, nil } }, hsm.ErrPIN, "empty"},
		{"PIN unreadable", in(ctx, m), func(c *hsm.Config) { c.PIN = func() ([]byte, error) { return nil, os.ErrPermission } }, os.ErrPermission, "PIN"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := good
			test.edit(&cfg)
			open := test.open
			if open == nil {
				open = func(c hsm.Config) (*hsm.Device, error) { return hsm.Open(ctx, c) }
			}
			d, err := open(cfg)
			if d != nil || !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want %v that says %q", err, test.want, test.says)
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the PIN is in %q", err)
			}
		})
	}
}

func TestInitToken(t *testing.T) {
	m, cfg := hsmtest.Token(t)
	for _, test := range []struct {
		name, label, pin string
		want             error
	}{
		{"label taken", cfg.TokenLabel, hsmtest.PIN, hsm.ErrToken},
		{"label empty", "", hsmtest.PIN, hsm.ErrToken},
		{"label too long", strings.Repeat("x", 33), hsmtest.PIN, hsm.ErrToken},
		{"PIN too short", "short", "1", hsm.ErrPIN},
	} {
		if err := m.InitToken(test.label, []byte(hsmtest.SOPIN), []byte(test.pin)); !errors.Is(err, test.want) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	d, err := m.Open(context.Background(), cfg) // unharmed
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

// TestClose: closing twice is harmless, a closed device says so, and a source that returns the same PIN
// each time is not spoilt for the next login.
func TestClose(t *testing.T) {
	m, cfg := hsmtest.Token(t)
	pin := []byte(hsmtest.PIN)
	cfg.PIN = func() ([]byte, error) { return pin, nil }
	d, err := m.Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if string(pin) != hsmtest.PIN {
		t.Error("the PIN's slice was changed")
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if err := d.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
	if err := d.Healthy(context.Background()); !errors.Is(err, hsm.ErrUnavailable) {
		t.Errorf("closed device: %v", err)
	}
}

func TestMAC(t *testing.T) {
	d := hsmtest.New(t)
	ctx := context.Background()
	seen := map[string]int{}
	for i, data := range [][]byte{nil, {0}, []byte("a"), bytes.Repeat([]byte("x"), 100_000)} {
		one, err := d.MAC(ctx, data)
		if err != nil {
			t.Fatal(err)
		}
		two, err := d.MAC(ctx, data)
		if err != nil {
			t.Fatal(err)
		}
		if len(one) != 32 || !bytes.Equal(one, two) {
			t.Errorf("data %d: %x, then %x", i, one, two)
		}
		seen[string(one)] = i
	}
	if len(seen) != 4 {
		t.Error("different data, same MAC")
	}
	if err := d.CreateSealKey(ctx); !errors.Is(err, hsm.ErrExists) {
		t.Errorf("second seal key: %v", err)
	}
}

func TestEpoch(t *testing.T) {
	d := hsmtest.New(t)
	ctx := context.Background()
	for want := uint64(1); want < 5; want++ {
		got, err := d.Epoch(ctx)
		if err != nil || got != want {
			t.Fatalf("epoch %d, %v; want %d", got, err, want)
		}
		if got, err = d.RaiseEpoch(ctx); err != nil || got != want+1 {
			t.Fatalf("raised to %d, %v; want %d", got, err, want+1)
		}
	}
	if err := d.CreateEpoch(ctx); !errors.Is(err, hsm.ErrExists) {
		t.Errorf("second epoch: %v", err)
	}
}

func TestEmptyToken(t *testing.T) {
	m, cfg := hsmtest.Token(t)
	ctx := context.Background()
	d, err := m.Open(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := d.Healthy(ctx); err != nil {
		t.Error(err)
	}
	_, macErr := d.MAC(ctx, nil)
	_, epochErr := d.Epoch(ctx)
	_, raiseErr := d.RaiseEpoch(ctx)
	_, _, _, genErr := d.GenerateKey(ctx, hsm.ECDSAP256)
	_, signErr := d.SignWrapped(ctx, hsmtest.KEK, make([]byte, 80), hsm.ECDSAP256, digests(1))
	_, signerErr := d.Signer(ctx, "log")
	for i, err := range []error{macErr, epochErr, raiseErr, genErr, signErr, signerErr} {
		if !errors.Is(err, hsm.ErrAbsent) {
			t.Errorf("call %d: %v", i, err)
		}
	}
}

func TestServiceKeys(t *testing.T) {
	d := hsmtest.New(t)
	ctx := context.Background()
	sum256, sum384 := sha256.Sum256([]byte("x")), sha512.Sum384([]byte("x"))
	for _, test := range []struct {
		algorithm string
		hash      crypto.Hash
		data      []byte
		verify    func(public crypto.PublicKey, data, sig []byte) bool
	}{
		{hsm.ECDSAP256, crypto.SHA256, sum256[:], verifyECDSA(elliptic.P256())},
		{hsm.ECDSAP384, crypto.SHA384, sum384[:], verifyECDSA(elliptic.P384())},
		{hsm.Ed25519, 0, []byte("a note of any length"), func(p crypto.PublicKey, data, sig []byte) bool {
			return ed25519.Verify(p.(ed25519.PublicKey), data, sig)
		}},
	} {
		t.Run(test.algorithm, func(t *testing.T) {
			label := "service " + test.algorithm
			public, err := d.CreateServiceKey(ctx, label, test.algorithm)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := d.CreateServiceKey(ctx, label, hsm.ECDSAP384); !errors.Is(err, hsm.ErrExists) {
				t.Errorf("second key with the label: %v", err)
			}
			s, err := d.Signer(ctx, label)
			if err != nil {
				t.Fatal(err)
			}
			if !s.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(public) {
				t.Error("another public key than at creation")
			}
			sig, err := s.Sign(nil, test.data, test.hash)
			if err != nil {
				t.Fatal(err)
			}
			if !test.verify(public, test.data, sig) {
				t.Error("signature does not verify")
			}
			for _, wrong := range []crypto.Hash{0, crypto.SHA1, crypto.SHA256, crypto.SHA384, crypto.SHA512} {
				if wrong == test.hash {
					continue
				}
				if _, err := s.Sign(nil, make([]byte, 32), wrong); !errors.Is(err, hsm.ErrAlgorithm) {
					t.Errorf("hash %d: %v", wrong, err)
				}
			}
			if test.hash != 0 {
				for _, n := range []int{0, test.hash.Size() - 1, test.hash.Size() + 1} {
					if _, err := s.Sign(nil, make([]byte, n), test.hash); !errors.Is(err, hsm.ErrDigest) {
						t.Errorf("digest of %d bytes: %v", n, err)
					}
				}
			} else if _, err := s.Sign(nil, test.data, &ed25519.Options{Context: "c"}); !errors.Is(err, hsm.ErrAlgorithm) {
				t.Errorf("context: %v", err)
			}
		})
	}
	if _, err := d.CreateServiceKey(ctx, "x", "rsa-1024"); !errors.Is(err, hsm.ErrAlgorithm) {
		t.Errorf("unknown algorithm: %v", err)
	}
	if _, err := d.CreateServiceKey(ctx, "", hsm.ECDSAP256); err == nil {
		t.Error("key without a label")
	}
}

func verifyECDSA(curve elliptic.Curve) func(crypto.PublicKey, []byte, []byte) bool {
	return func(p crypto.PublicKey, digest, sig []byte) bool {
		k := p.(*ecdsa.PublicKey)
		return k.Curve == curve && ecdsa.VerifyASN1(k, digest, sig)
	}
}

// TestConcurrent runs everything at once, permanent objects being made among it: searches that meet
// their creation fail on SoftHSM 2.6.
func TestConcurrent(t *testing.T) {
	d := hsmtest.New(t)
	ctx := context.Background()
	if _, err := d.CreateServiceKey(ctx, "ca", hsm.ECDSAP256); err != nil {
		t.Fatal(err)
	}
	ca, err := d.Signer(ctx, "ca")
	if err != nil {
		t.Fatal(err)
	}
	want, err := d.MAC(ctx, []byte("data"))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			wrapped, kek, public, err := d.GenerateKey(ctx, hsm.ECDSAP256)
			if err != nil {
				t.Error(err)
				return
			}
			ds := digests(1 + i%4)
			sigs, err := d.SignWrapped(ctx, kek, wrapped, hsm.ECDSAP256, ds)
			if err == nil {
				err = verify(public, ds, sigs)
			}
			if err != nil {
				t.Error(err)
			}
			if got, err := d.MAC(ctx, []byte("data")); err != nil || !bytes.Equal(got, want) {
				t.Errorf("MAC %x, %v", got, err)
			}
			sig, err := ca.Sign(nil, ds[0], crypto.SHA256)
			if err != nil || !ecdsa.VerifyASN1(ca.Public().(*ecdsa.PublicKey), ds[0], sig) {
				t.Errorf("service signature: %v", err)
			}
			if i%10 == 0 {
				if _, err := d.CreateServiceKey(ctx, fmt.Sprintf("key %d", i), hsm.ECDSAP256); err != nil {
					t.Error(err)
				}
			}
			if e, err := d.Epoch(ctx); err != nil || e != 1 {
				t.Errorf("epoch %d, %v", e, err)
			}
		})
	}
	wg.Wait()
}

// TestOneLabelOneKey: of many that create the same label at once, one succeeds.
func TestOneLabelOneKey(t *testing.T) {
	d := hsmtest.New(t)
	var wg sync.WaitGroup
	results := make(chan error, 20)
	for range cap(results) {
		wg.Go(func() {
			_, err := d.CreateServiceKey(context.Background(), "one", hsm.ECDSAP256)
			results <- err
		})
	}
	wg.Wait()
	close(results)
	made := 0
	for err := range results {
		switch {
		case err == nil:
			made++
		case !errors.Is(err, hsm.ErrExists):
			t.Error(err)
		}
	}
	if made != 1 {
		t.Errorf("%d keys made", made)
	}
}

func in(ctx context.Context, m *hsm.Module) func(hsm.Config) (*hsm.Device, error) {
	return func(c hsm.Config) (*hsm.Device, error) { return m.Open(ctx, c) }
}
