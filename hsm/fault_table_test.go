package hsm_test

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/miekg/pkcs11"

	"github.com/ecsigner/ecsigner/hsm"
	"github.com/ecsigner/ecsigner/hsm/hsmtest"
)

// silent is how long the tests let a device be silent.
const silent = 100 * time.Millisecond

const (
	sessionDead = pkcs11.CKR_SESSION_HANDLE_INVALID
	opActive    = pkcs11.CKR_OPERATION_ACTIVE
	keyDead     = pkcs11.CKR_KEY_HANDLE_INVALID
	general     = pkcs11.CKR_GENERAL_ERROR
	deviceError = pkcs11.CKR_DEVICE_ERROR
	loggedOut   = pkcs11.CKR_USER_NOT_LOGGED_IN
	argsBad     = pkcs11.CKR_ARGUMENTS_BAD
)

// TestFaults fails one call of one function: what is repeated, what is not, and when the device counts
// as lost.
func TestFaults(t *testing.T) {
	f, m, d := faultyDevice(t, 2)
	ctx := context.Background()
	wrapped, kek, public, err := d.GenerateKey(ctx, hsm.ECDSAP256)
	if err != nil {
		t.Fatal(err)
	}
	log, err := d.Signer(ctx, "log")
	if err != nil {
		t.Fatal(err)
	}
	ops := map[string]func() error{
		"mac": func() error { _, err := d.MAC(ctx, []byte("x")); return err },
		"signWrapped": func() error {
			sigs, err := d.SignWrapped(ctx, kek, wrapped, hsm.ECDSAP256, digests(3))
			if err == nil {
				err = verify(public, digests(3), sigs)
			} else if sigs != nil {
				err = fmt.Errorf("signatures along with %w", err)
			}
			return err
		},
		"generate": func() error { _, _, _, err := d.GenerateKey(ctx, hsm.ECDSAP256); return err },
		"service":  func() error { _, err := log.Sign(nil, digests(1)[0], crypto.SHA256); return err },
		"epoch":    func() error { _, err := d.Epoch(ctx); return err },
		"healthy":  func() error { return d.Healthy(ctx) },
	}
	for _, test := range []struct {
		op, function string
		codes        []uint // of the next calls; CKR_OK: works
		want         error  // nil: repeated, and worked
		signs        int    // calls of C_Sign
		lost         bool
	}{
		{"mac", "SignInit", []uint{sessionDead}, nil, 1, false},
		{"mac", "SignInit", []uint{opActive}, nil, 1, false},
		{"mac", "SignInit", []uint{keyDead}, nil, 1, false},
		{"mac", "SignInit", []uint{general}, nil, 1, false},
		{"mac", "Sign", []uint{general}, nil, 2, false}, // a MAC is no signature
		{"mac", "SignInit", []uint{sessionDead, sessionDead}, hsm.ErrUnavailable, 0, false},
		{"mac", "SignInit", []uint{keyDead, keyDead}, hsm.ErrUnavailable, 0, false},
		{"mac", "SignInit", []uint{general, general}, hsm.ErrUnavailable, 0, false},
		{"mac", "SignInit", []uint{deviceError}, hsm.ErrUnavailable, 0, true},
		{"mac", "SignInit", []uint{loggedOut}, hsm.ErrUnavailable, 0, true},
		{"mac", "Sign", []uint{pkcs11.CKR_TOKEN_NOT_PRESENT}, hsm.ErrUnavailable, 1, true},
		{"mac", "SignInit", []uint{argsBad}, pkcs11.Error(argsBad), 0, false},
		{"signWrapped", "UnwrapKey", []uint{sessionDead}, nil, 3, false},
		{"signWrapped", "UnwrapKey", []uint{general}, nil, 3, false},
		{"signWrapped", "UnwrapKey", []uint{general, general}, hsm.ErrWrappedKey, 0, false},
		{"signWrapped", "UnwrapKey", []uint{pkcs11.CKR_UNWRAPPING_KEY_HANDLE_INVALID}, nil, 3, false},
		{"signWrapped", "UnwrapKey", []uint{deviceError}, hsm.ErrUnavailable, 0, true},
		{"signWrapped", "GetAttributeValue", []uint{sessionDead}, nil, 3, false},
		{"signWrapped", "SignInit", []uint{sessionDead}, nil, 3, false},
		{"signWrapped", "SignInit", []uint{0, sessionDead}, hsm.ErrUnavailable, 1, false}, // not after a C_Sign
		{"signWrapped", "Sign", []uint{sessionDead}, hsm.ErrUnavailable, 1, false},
		{"signWrapped", "Sign", []uint{general}, hsm.ErrUnavailable, 1, false},
		{"signWrapped", "Sign", []uint{0, general}, hsm.ErrUnavailable, 2, false},
		{"signWrapped", "Sign", []uint{0, 0, keyDead}, hsm.ErrUnavailable, 3, false},
		{"signWrapped", "Sign", []uint{argsBad}, pkcs11.Error(argsBad), 1, false},
		{"signWrapped", "Sign", []uint{deviceError}, hsm.ErrUnavailable, 1, true},
		{"signWrapped", "DestroyObject", []uint{general}, nil, 3, false},
		{"generate", "GenerateKeyPair", []uint{sessionDead}, nil, 0, false},
		{"generate", "WrapKey", []uint{general}, nil, 0, false},
		{"generate", "UnwrapKey", []uint{general}, nil, 0, false},
		{"generate", "DestroyObject", []uint{general}, nil, 0, false},
		{"generate", "WrapKey", []uint{pkcs11.CKR_KEY_UNEXTRACTABLE}, pkcs11.Error(pkcs11.CKR_KEY_UNEXTRACTABLE), 0, false},
		{"generate", "WrapKey", []uint{deviceError}, hsm.ErrUnavailable, 0, true},
		{"service", "SignInit", []uint{sessionDead}, nil, 1, false},
		{"service", "SignInit", []uint{keyDead}, nil, 1, false},
		{"service", "Sign", []uint{sessionDead}, hsm.ErrUnavailable, 1, false},
		{"service", "Sign", []uint{pkcs11.CKR_CRYPTOKI_NOT_INITIALIZED}, hsm.ErrUnavailable, 1, true},
		{"epoch", "FindObjectsInit", []uint{general}, nil, 0, false}, // a search that met a creation
		{"epoch", "FindObjects", []uint{general}, nil, 0, false},
		{"epoch", "FindObjectsFinal", []uint{general}, nil, 0, false},
		{"epoch", "FindObjects", []uint{pkcs11.CKR_DEVICE_REMOVED}, hsm.ErrUnavailable, 0, true},
		{"healthy", "GetSessionInfo", []uint{sessionDead}, nil, 0, false},
		{"healthy", "GetSessionInfo", []uint{loggedOut}, hsm.ErrUnavailable, 0, true},
	} {
		t.Run(fmt.Sprintf("%s %s %x", test.op, test.function, test.codes), func(t *testing.T) {
			generation, signs := m.Generation(), f.count("Sign")
			f.set(func() { f.once = map[string][]uint{test.function: test.codes} })
			err := ops[test.op]()
			if test.want == nil && err != nil || test.want != nil && !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			if n := f.count("Sign") - signs; n != test.signs {
				t.Errorf("%d calls of C_Sign, want %d", n, test.signs)
			}
			f.set(func() { f.once = nil })
			wait(t, func() bool { return d.Healthy(ctx) == nil })
			if lost := m.Generation() != generation; lost != test.lost {
				t.Errorf("counted as lost: %v, want %v", lost, test.lost)
			}
			for name, op := range ops {
				if err := op(); err != nil {
					t.Errorf("%s afterwards: %v", name, err)
				}
			}
		})
	}
}

func wait(t testing.TB, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := until(ctx, ok); err != nil {
		t.Fatal(err)
	}
}

// TestCreationNotRepeated: a permanent object whose creation failed late exists, once, and is found.
func TestCreationNotRepeated(t *testing.T) {
	f, _, d := faultyDevice(t, 2)
	ctx := context.Background()
	f.set(func() { f.after["GenerateKeyPair"] = general })
	if _, err := d.CreateServiceKey(ctx, "ca", hsm.ECDSAP256); !errors.Is(err, hsm.ErrUnavailable) {
		t.Errorf("creation: %v", err)
	}
	f.set(func() { clear(f.after) })
	if _, err := d.CreateServiceKey(ctx, "ca", hsm.ECDSAP256); !errors.Is(err, hsm.ErrExists) {
		t.Errorf("again: %v", err)
	}
	if _, err := d.Signer(ctx, "ca"); err != nil {
		t.Error(err)
	}
}

// TestEpochNeverFalls: whatever fails while it is raised, it is read as the old or the new one.
func TestEpochNeverFalls(t *testing.T) {
	f, _, d := faultyDevice(t, 2)
	ctx := context.Background()
	low := uint64(1)
	for _, function := range []string{"FindObjects", "GetAttributeValue", "CreateObject", "DestroyObject"} {
		f.set(func() { f.always[function] = argsBad })
		if _, err := d.RaiseEpoch(ctx); err == nil {
			t.Errorf("%s fails and nobody says so", function)
		}
		f.set(func() { clear(f.always) })
		now, err := d.Epoch(ctx)
		if err != nil || now < low || now > low+1 {
			t.Errorf("after %s failed: %d, %v", function, now, err)
		}
		low = now
	}
	if now, err := d.RaiseEpoch(ctx); err != nil || now != low+1 {
		t.Errorf("raised to %d, %v", now, err)
	}
	if n := len(newHolder(t, d).find(t, attr(pkcs11.CKA_LABEL, hsm.EpochLabel))); n != 1 {
		t.Errorf("%d epoch objects", n)
	}
}

// TestUnguardedDevice: a device that ignores, or does not know, the unwrap template gets no KEK.
func TestUnguardedDevice(t *testing.T) {
	without := func(a []*pkcs11.Attribute) []*pkcs11.Attribute {
		var out []*pkcs11.Attribute
		for _, x := range a {
			if x.Type != pkcs11.CKA_UNWRAP_TEMPLATE {
				out = append(out, x)
			}
		}
		return out
	}
	f, _, d := faultyDevice(t, 2)
	h := newHolder(t, d)
	before := len(h.find(t))
	f.edit = without
	if err := d.CreateKEK(context.Background(), "kek-2026-2"); !errors.Is(err, hsm.ErrUnsupported) {
		t.Errorf("template ignored: %v", err)
	}
	f.edit = nil
	f.set(func() { f.always["GenerateKey"] = pkcs11.CKR_ATTRIBUTE_TYPE_INVALID })
	if err := d.CreateKEK(context.Background(), "kek-2026-2"); !errors.Is(err, hsm.ErrUnsupported) {
		t.Errorf("template refused: %v", err)
	}
	f.set(func() { clear(f.always) })
	if after := len(h.find(t)); after != before {
		t.Errorf("%d objects before, %d after", before, after)
	}
}

// TestLost: a lost device fails fast, comes back by itself, and nothing from before is used again.
func TestLost(t *testing.T) {
	f, m, d := faultyDevice(t, 3)
	ctx := context.Background()
	log, err := d.Signer(ctx, "log")
	if err != nil {
		t.Fatal(err)
	}
	sign := func() error { _, err := log.Sign(nil, digests(1)[0], crypto.SHA256); return err }
	f.set(func() {
		f.always["SignInit"], f.always["Initialize"] = deviceError, deviceError
	})
	if err := sign(); !errors.Is(err, hsm.ErrUnavailable) || !errors.Is(err, pkcs11.Error(deviceError)) {
		t.Fatalf("at the loss: %v", err)
	}
	wait(t, func() bool { return f.count("Initialize") >= 3 }) // at the start, and two vain attempts
	n := f.count("SignInit")
	for range 50 {
		if err := sign(); !errors.Is(err, hsm.ErrUnavailable) {
			t.Fatalf("while lost: %v", err)
		}
	}
	if f.count("SignInit") != n {
		t.Error("a lost device was still called")
	}
	f.set(func() { clear(f.always); f.calls["FindObjectsInit"] = 0 })
	wait(t, func() bool { return d.Healthy(ctx) == nil })
	if m.Generation() != 2 {
		t.Errorf("generation %d", m.Generation())
	}
	for range 5 {
		if err := sign(); err != nil {
			t.Errorf("restored: %v", err)
		}
	}
	if n := f.count("FindObjectsInit"); n != 1 {
		t.Errorf("%d searches for the key, want 1 in the new generation and none per signature", n)
	}
}

// TestDoubts: unspecific errors count as a loss when they repeat without a success between.
func TestDoubts(t *testing.T) {
	f, m, d := faultyDevice(t, 2)
	ctx := context.Background()
	mac := func() error { _, err := d.MAC(ctx, nil); return err }
	for range 3 {
		for range 2 {
			f.set(func() { f.once = map[string][]uint{"SignInit": {general, general}} })
			if err := mac(); !errors.Is(err, hsm.ErrUnavailable) {
				t.Error(err)
			}
		}
		if err := mac(); err != nil {
			t.Error(err)
		}
	}
	if m.Generation() != 1 {
		t.Error("lost in spite of successes between")
	}
	f.set(func() { f.always["SignInit"] = general })
	for range 3 {
		if err := mac(); !errors.Is(err, hsm.ErrUnavailable) {
			t.Error(err)
		}
	}
	f.set(func() { clear(f.always) })
	wait(t, func() bool { return d.Healthy(ctx) == nil })
	if m.Generation() != 2 {
		t.Error("three failures in a row did not count as a loss")
	}
}

// TestPINRefusedAfterLoss: a PIN is not tried again and again, which would lock the token.
func TestPINRefusedAfterLoss(t *testing.T) {
	f, m, d := faultyDevice(t, 2)
	ctx := context.Background()
	logins := f.count("Login")
	f.set(func() {
		f.once = map[string][]uint{"SignInit": {deviceError}}
		f.always["Login"] = pkcs11.CKR_PIN_INCORRECT
	})
	if _, err := d.MAC(ctx, nil); !errors.Is(err, hsm.ErrUnavailable) {
		t.Error(err)
	}
	wait(t, func() bool { given, _ := m.State(); return given })
	if n := f.count("Login") - logins; n != 1 {
		t.Errorf("%d attempts", n)
	}
	err := d.Healthy(ctx)
	if !errors.Is(err, hsm.ErrUnavailable) || !errors.Is(err, hsm.ErrPIN) || strings.Contains(err.Error(), hsmtest.PIN) {
		t.Errorf("afterwards: %v", err)
	}
}

// TestSilentDevice: calls that do not come back are abandoned in time, keep their place in the pool, and
// their sessions are not used again.
func TestSilentDevice(t *testing.T) {
	f, m, d := faultyDevice(t, 2)
	d.SetTimeout(silent)
	m.SetPatience(100 * time.Millisecond)
	ctx := context.Background()
	silence := make(chan struct{})
	f.set(func() { f.hang = silence })
	for i := range 2 {
		if _, err := d.MAC(ctx, nil); !errors.Is(err, hsm.ErrUnavailable) || !strings.Contains(err.Error(), silent.String()) {
			t.Errorf("call %d: %v", i, err)
		}
	}
	if err := d.Healthy(ctx); !errors.Is(err, hsm.ErrUnavailable) || !strings.Contains(err.Error(), "busy") {
		t.Errorf("pool exhausted: %v", err)
	}
	short, cancel := context.WithTimeout(ctx, 5*time.Millisecond)
	defer cancel()
	if err := d.Healthy(short); !errors.Is(err, hsm.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("caller's deadline: %v", err)
	}
	if err := d.Close(); !errors.Is(err, hsm.ErrUnavailable) {
		t.Errorf("closing while calls hang: %v", err)
	}
	closes := f.count("CloseSession")
	f.set(func() { f.hang = nil })
	close(silence)
	wait(t, func() bool { return f.count("CloseSession") == closes+2 })
}

// TestSilenceEnds: after the device has answered again, everything works, in new sessions.
func TestSilenceEnds(t *testing.T) {
	f, m, d := faultyDevice(t, 2)
	d.SetTimeout(silent)
	ctx := context.Background()
	silence := make(chan struct{})
	f.set(func() { f.hang = silence })
	for range 2 {
		if _, err := d.MAC(ctx, nil); !errors.Is(err, hsm.ErrUnavailable) {
			t.Error(err)
		}
	}
	opened := f.count("OpenSession")
	f.set(func() { f.hang = nil })
	close(silence)
	wait(t, func() bool { return d.Healthy(ctx) == nil })
	d.SetTimeout(hsm.DefaultTimeout)
	if _, err := d.MAC(ctx, nil); err != nil {
		t.Error(err)
	}
	if f.count("OpenSession") == opened {
		t.Error("a session whose call timed out was used again")
	}
	if m.Generation() != 1 {
		t.Error("silence alone counted as a loss")
	}
}

// TestCallersDeadline: the caller's own deadline is kept, before, during and after the wait.
func TestCallersDeadline(t *testing.T) {
	f, _, d := faultyDevice(t, 1)
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	before := f.count("SignInit")
	if _, err := d.MAC(gone, nil); !errors.Is(err, hsm.ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled before: %v", err)
	}
	if f.count("SignInit") != before {
		t.Error("the device was called for a caller who had gone")
	}
	silence := make(chan struct{})
	f.set(func() { f.hang = silence })
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error, 1)
	go func() {
		wrapped, kek, _, err := d.GenerateKey(ctx, hsm.ECDSAP256)
		if err == nil {
			_, err = d.SignWrapped(ctx, kek, wrapped, hsm.ECDSAP256, digests(5))
		}
		result <- err
	}()
	wait(t, func() bool { f.mu.Lock(); defer f.mu.Unlock(); return f.hanging == 1 })
	cancel()
	if err := <-result; !errors.Is(err, hsm.ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled during: %v", err)
	}
	f.set(func() { f.hang = nil })
	close(silence)
	wait(t, func() bool { return d.Healthy(context.Background()) == nil })
	if n := f.count("Sign"); n != 1 {
		t.Errorf("%d calls of C_Sign for a caller who had gone after the first", n)
	}
}

// TestLossWhileCallsHang: the library is not finalised under a running call, and restored after it.
func TestLossWhileCallsHang(t *testing.T) {
	f, m, d := faultyDevice(t, 3)
	d.SetTimeout(silent)
	m.SetPatience(20 * time.Millisecond)
	ctx := context.Background()
	silence := make(chan struct{})
	f.set(func() { f.hang = silence })
	if _, err := d.MAC(ctx, nil); !errors.Is(err, hsm.ErrUnavailable) {
		t.Error(err)
	}
	f.set(func() { f.once = map[string][]uint{"GetSessionInfo": {deviceError}} })
	if err := d.Healthy(ctx); !errors.Is(err, hsm.ErrUnavailable) {
		t.Error(err)
	}
	wait(t, func() bool {
		_, cause := m.State()
		return cause != nil && strings.Contains(cause.Error(), "hang inside")
	})
	if f.count("Finalize") != 0 {
		t.Error("finalised under a running call")
	}
	f.set(func() { f.hang = nil })
	close(silence)
	wait(t, func() bool { return d.Healthy(ctx) == nil })
	if m.Generation() != 2 {
		t.Errorf("generation %d", m.Generation())
	}
}

// TestTwoTokensOneLoss: the loss of the library takes every token with it, and all come back.
func TestTwoTokensOneLoss(t *testing.T) {
	f, m, cfg := newFaulty(t)
	ctx := context.Background()
	var devices []*hsm.Device
	for i := range 2 {
		if i > 0 {
			cfg.TokenLabel += "b"
			if err := m.InitToken(cfg.TokenLabel, []byte(hsmtest.SOPIN), []byte(hsmtest.PIN)); err != nil {
				t.Fatal(err)
			}
		}
		d, err := m.Open(ctx, cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		}()
		if err := hsmtest.Fill(ctx, d); err != nil {
			t.Fatal(err)
		}
		devices = append(devices, d)
	}
	f.set(func() { f.once = map[string][]uint{"SignInit": {deviceError}} })
	if _, err := devices[0].MAC(ctx, nil); !errors.Is(err, hsm.ErrUnavailable) {
		t.Error(err)
	}
	for _, d := range devices {
		wait(t, func() bool { _, err := d.MAC(ctx, nil); return err == nil })
	}
}

// TestSessionLimit names the remedy when the token allows no more sessions.
func TestSessionLimit(t *testing.T) {
	f, m, d := faultyDevice(t, 4)
	f.set(func() {
		f.always["OpenSession"] = pkcs11.CKR_SESSION_COUNT
		f.once = map[string][]uint{"GetSessionInfo": {argsBad}} // costs the session in use
	})
	ctx := context.Background()
	if err := d.Healthy(ctx); !errors.Is(err, pkcs11.Error(argsBad)) {
		t.Error(err)
	}
	var err error
	for range 4 {
		if err = d.Healthy(ctx); err != nil {
			break
		}
	}
	if !errors.Is(err, hsm.ErrUnavailable) || !strings.Contains(err.Error(), "fewer") {
		t.Errorf("no session left: %v", err)
	}
	if m.Generation() != 1 {
		t.Error("counted as a loss")
	}
}
