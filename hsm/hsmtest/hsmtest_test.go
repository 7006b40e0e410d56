package hsmtest_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"testing"

	"github.com/ecsigner/ecsigner/hsm"
	"github.com/ecsigner/ecsigner/hsm/hsmtest"
)

func TestNew(t *testing.T) {
	for range 3 { // each round initialises the library anew
		t.Run("round", func(t *testing.T) {
			a, b := hsmtest.New(t), hsmtest.New(t)
			ctx := context.Background()
			ma, err := a.MAC(ctx, []byte("data"))
			if err != nil {
				t.Fatal(err)
			}
			mb, err := b.MAC(ctx, []byte("data"))
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Equal(ma, mb) {
				t.Error("two tokens share a seal key")
			}
			digest := sha256.Sum256([]byte("text"))
			wrapped, kek, public, err := a.GenerateKey(ctx, hsm.ECDSAP256)
			if err != nil {
				t.Fatal(err)
			}
			sigs, err := a.SignWrapped(ctx, kek, wrapped, hsm.ECDSAP256, [][]byte{digest[:]})
			if err != nil {
				t.Fatal(err)
			}
			if !ecdsa.VerifyASN1(public.(*ecdsa.PublicKey), digest[:], sigs[0]) {
				t.Error("signature does not verify")
			}
			if _, err := b.CreateServiceKey(ctx, "log", hsm.Ed25519); err != nil {
				t.Fatal(err)
			}
			s, err := b.Signer(ctx, "log")
			if err != nil {
				t.Fatal(err)
			}
			sig, err := s.Sign(rand.Reader, []byte("note"), crypto.Hash(0))
			if err != nil {
				t.Fatal(err)
			}
			if !ed25519.Verify(s.Public().(ed25519.PublicKey), []byte("note"), sig) {
				t.Error("Ed25519 signature does not verify")
			}
		})
	}
}
