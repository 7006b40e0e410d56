package model_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
)

// errDevice is what the device answers while it is away, and where the history wants it to fail.
var errDevice = errors.New("model: the device is away")

// device is an HSM in memory. It counts every use of every key, and accuses who uses one without being allowed to.
type device struct {
	house *house
	world *world

	mu        sync.Mutex
	generated int
	absent    bool
	keys      map[string]*ecdsa.PrivateKey // by wrapped key
	signed    map[[2]string]int            // by wrapped key and digest
	services  map[[2]string]int            // by name of the service's key and digest
}

func newDevice(w *world, keys map[string]*ecdsa.PrivateKey) *device {
	return &device{
		house: w.house, world: w, keys: keys, signed: map[[2]string]int{}, services: map[[2]string]int{},
	}
}

func (d *device) away() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.absent
}

// MAC implements sam.Device.
func (d *device) MAC(_ context.Context, data []byte) ([]byte, error) {
	if d.away() {
		return nil, errDevice
	}
	h := hmac.New(sha256.New, []byte("the seal key of the model"))
	h.Write(data)
	return h.Sum(nil), nil
}

// inside lets f happen inside the device as the history wants it.
func inside[T any](ctx context.Context, d *device, may func(t *task), f func() (T, error)) (T, error) {
	var none T
	t := taskOf(ctx)
	var p *process
	if t != nil {
		may(t)
		p = t.process
		if p.at(ctx, atDevice) == refuse {
			d.world.faulty(ctx, "device")
			return none, errDevice
		}
	}
	if d.away() {
		return none, errDevice
	}
	result, err := f()
	if err == nil && p != nil && p.at(ctx, atDeviced) == lose {
		d.world.faulty(ctx, "device")
		return none, errDevice
	}
	return result, err
}

type generated struct {
	wrapped []byte
	public  crypto.PublicKey
}

// GenerateKey implements sam.Device.
func (d *device) GenerateKey(ctx context.Context, algorithm string) ([]byte, string, crypto.PublicKey, error) {
	g, err := inside(ctx, d, d.world.mayGenerate, func() (generated, error) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil || algorithm != "ecdsa-p256" {
			return generated{}, fmt.Errorf("model: %s: %w", algorithm, err)
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		d.generated++
		wrapped := fmt.Sprintf("wrapped key %d", len(d.keys))
		d.keys[wrapped] = key
		return generated{[]byte(wrapped), key.Public()}, nil
	})
	return g.wrapped, "kek-1", g.public, err
}

// SignWrapped implements sam.Device.
func (d *device) SignWrapped(ctx context.Context, _ string, wrapped []byte, algorithm string, digests [][]byte) ([][]byte, error) {
	if taskOf(ctx) == nil {
		d.world.fail("a signature that no call asked for")
	}
	return inside(ctx, d, func(t *task) { d.world.maySign(t, wrapped, digests) }, func() ([][]byte, error) {
		d.mu.Lock()
		key := d.keys[string(wrapped)]
		d.mu.Unlock()
		if key == nil || algorithm != "ecdsa-p256" {
			d.world.fail("the device was asked to sign %s with an unknown key", algorithm)
			return nil, errDevice
		}
		d.world.signed(taskOf(ctx))
		var signatures [][]byte
		for _, digest := range digests {
			signature, err := key.Sign(rand.Reader, digest, crypto.SHA256)
			if err != nil {
				return nil, err
			}
			d.mu.Lock()
			d.signed[[2]string{string(wrapped), string(digest)}]++
			d.mu.Unlock()
			signatures = append(signatures, signature)
		}
		return signatures, nil
	})
}

// service is a use of a key of the service's own.
func (d *device) service(name string, digest []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.absent {
		return errDevice
	}
	d.services[[2]string{name, string(digest)}]++
	return nil
}

func (d *device) leave() { d.set(true) }

func (d *device) back() { d.set(false) }

func (d *device) set(absent bool) {
	d.mu.Lock()
	d.absent = absent
	d.mu.Unlock()
	d.world.mu.Lock()
	defer d.world.mu.Unlock()
	d.world.disturbed = d.world.disturbed || absent
	d.world.lookAll()
}
