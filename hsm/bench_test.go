package hsm_test

import (
	"context"
	"crypto"
	"crypto/sha256"
	"fmt"
	"testing"

	"github.com/miekg/pkcs11"

	"github.com/ecsigner/ecsigner/hsm"
	"github.com/ecsigner/ecsigner/hsm/hsmtest"
)

// BenchmarkRaw is what SoftHSM does without this package, in one session: the floor to compare with.
func BenchmarkRaw(b *testing.B) {
	d := hsmtest.New(b)
	ctx := context.Background()
	wrapped, _, _, err := d.GenerateKey(ctx, hsm.ECDSAP256)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := d.CreateServiceKey(ctx, "log", hsm.ECDSAP256); err != nil {
		b.Fatal(err)
	}
	h := newHolder(b, d)
	k := hsmtest.SharedModule(b).Below()
	digest := sha256.Sum256([]byte("x"))
	kek := h.find(b, attr(pkcs11.CKA_LABEL, hsmtest.KEK))[0]
	held, err := h.UnwrapKey(h.s, wrapPad(), kek, wrapped, unwrapTemplate())
	if err != nil {
		b.Fatal(err)
	}
	ecdsa := mechanism(pkcs11.CKM_ECDSA, nil)
	sign := func(b *testing.B, key pkcs11.ObjectHandle) {
		if err := k.SignInit(h.s, ecdsa, key); err != nil {
			b.Fatal(err)
		}
		if _, err := k.Sign(h.s, digest[:]); err != nil {
			b.Fatal(err)
		}
	}
	token := h.find(b, attr(pkcs11.CKA_LABEL, "log"), attr(pkcs11.CKA_CLASS, pkcs11.CKO_PRIVATE_KEY))[0]
	for name, key := range map[string]pkcs11.ObjectHandle{"token": token, "held": held} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				sign(b, key)
			}
		})
	}
	b.Run("unwrap+sign", func(b *testing.B) {
		for b.Loop() {
			key, err := h.UnwrapKey(h.s, wrapPad(), kek, wrapped, unwrapTemplate())
			if err != nil {
				b.Fatal(err)
			}
			sign(b, key)
			if err := h.DestroyObject(h.s, key); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkMAC(b *testing.B) {
	d := hsmtest.New(b)
	data := make([]byte, 200)
	for b.Loop() {
		if _, err := d.MAC(context.Background(), data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkServiceSign(b *testing.B) {
	d := hsmtest.New(b)
	for _, name := range []string{hsm.ECDSAP256, hsm.Ed25519} {
		b.Run(name, func(b *testing.B) {
			hash, label := crypto.SHA256, fmt.Sprint(name, b.N)
			if name == hsm.Ed25519 {
				hash = 0
			}
			if _, err := d.CreateServiceKey(context.Background(), label, name); err != nil {
				b.Fatal(err)
			}
			s, err := d.Signer(context.Background(), label)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, err := s.Sign(nil, make([]byte, 32), hash); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkGenerateKey(b *testing.B) {
	d := hsmtest.New(b)
	for b.Loop() {
		if _, _, _, err := d.GenerateKey(context.Background(), hsm.ECDSAP256); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSignWrapped(b *testing.B) {
	d := hsmtest.New(b)
	wrapped, kek, _, err := d.GenerateKey(context.Background(), hsm.ECDSAP256)
	if err != nil {
		b.Fatal(err)
	}
	for _, n := range []int{1, 16, 64} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			ds := digests(n)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := d.SignWrapped(context.Background(), kek, wrapped, hsm.ECDSAP256, ds); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "signatures/s")
		})
	}
}
