package hsm_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/asn1"
	"errors"
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"github.com/ecsigner/ecsigner/hsm"
)

// TestEncode: every r and s in range comes out as the strict DER that says the same.
func TestEncode(t *testing.T) {
	for name, curve := range map[string]elliptic.Curve{hsm.ECDSAP256: elliptic.P256(), hsm.ECDSAP384: elliptic.P384()} {
		n := curve.Params().N
		size := (n.BitLen() + 7) / 8
		rapid.Check(t, func(t *rapid.T) {
			draw := func(label string) *big.Int { // short numbers included: leading zeros must go
				b := rapid.SliceOfN(rapid.Byte(), 1, size).Draw(t, label)
				x := new(big.Int).SetBytes(b)
				return x.Mod(x, new(big.Int).Sub(n, big.NewInt(1))).Add(x, big.NewInt(1))
			}
			r, s := draw("r"), draw("s")
			raw := append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
			der, err := hsm.Encode(name, raw)
			if err != nil {
				t.Fatal(err)
			}
			var sig struct{ R, S *big.Int }
			rest, err := asn1.Unmarshal(der, &sig)
			if err != nil || len(rest) > 0 || sig.R.Cmp(r) != 0 || sig.S.Cmp(s) != 0 {
				t.Fatalf("%x became %x: %v", raw, der, err)
			}
		})
		one := big.NewInt(1).FillBytes(make([]byte, size))
		for _, bad := range [][]byte{
			nil, make([]byte, 2*size), one, append(bytes.Clone(one), make([]byte, size)...),
			append(make([]byte, size), one...), append(n.FillBytes(make([]byte, size)), one...),
			append(bytes.Clone(one), n.FillBytes(make([]byte, size))...), bytes.Repeat([]byte{1}, 2*size+1),
		} {
			if der, err := hsm.Encode(name, bad); !errors.Is(err, hsm.ErrUnsupported) {
				t.Errorf("%s: %x became %x, %v", name, bad, der, err)
			}
		}
	}
	for name, size := range map[string]int{hsm.Ed25519: 64, hsm.PKCS1SHA256: 384, hsm.PSSSHA256: 384, hsm.PSSSHA512: 384} {
		for _, n := range []int{0, size - 1, size + 1} {
			if _, err := hsm.Encode(name, make([]byte, n)); !errors.Is(err, hsm.ErrUnsupported) {
				t.Errorf("%s of %d bytes: %v", name, n, err)
			}
		}
	}
}

func TestPoint(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	bare, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	der, err := asn1.Marshal(bare)
	if err != nil {
		t.Fatal(err)
	}
	for _, point := range [][]byte{bare, der} {
		got, err := hsm.Point(hsm.ECDSAP256, point)
		if err != nil || !key.PublicKey.Equal(got) {
			t.Errorf("%x: %v, %v", point, got, err)
		}
	}
	off := bytes.Clone(bare)
	off[64] ^= 1
	for _, point := range [][]byte{nil, {0}, bare[:64], off, append(bytes.Clone(der), 0), der[:66]} {
		if got, err := hsm.Point(hsm.ECDSAP256, point); !errors.Is(err, hsm.ErrUnsupported) {
			t.Errorf("%x: %v, %v", point, got, err)
		}
	}
}

// FuzzPoint: whatever a device returns as a public key, it is refused or a key of the right kind.
func FuzzPoint(f *testing.F) {
	f.Add([]byte{})
	f.Add(append([]byte{4, 32}, make([]byte, 32)...))
	f.Add(append([]byte{4, 65, 4}, make([]byte, 64)...))
	f.Fuzz(func(t *testing.T, point []byte) {
		for _, name := range []string{hsm.ECDSAP256, hsm.ECDSAP384, hsm.Ed25519} {
			got, err := hsm.Point(name, point)
			if err != nil {
				continue
			}
			switch k := got.(type) {
			case *ecdsa.PublicKey:
				if _, err := k.Bytes(); err != nil || name == hsm.Ed25519 {
					t.Errorf("%s: %x became %v, %v", name, point, k, err)
				}
			case ed25519.PublicKey:
				if len(k) != ed25519.PublicKeySize || name != hsm.Ed25519 {
					t.Errorf("%s: %x became %x", name, point, k)
				}
			default:
				t.Errorf("%s: %x became %T", name, point, got)
			}
		}
	})
}
