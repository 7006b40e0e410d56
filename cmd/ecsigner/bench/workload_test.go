package bench

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"slices"
	"testing"
)

func TestWorkloads(t *testing.T) {
	o := Options{Algorithms: []string{RSA3072, ECDSAP256}, Batches: []int{1, 100}, Callers: []int{64, 16}, Persons: 5, RSAPersons: 2}
	var got []string
	for _, w := range o.workloads() {
		got = append(got, fmt.Sprint(w, " ", w.file(), " ", w.callers, " ", o.persons(w.key)))
	}
	if want := []string{
		"rsa-3072-pss rsa-3072-pss-1 [64 16] 2", "rsa-3072-pss × 100 rsa-3072-pss-100 [8] 2",
		"rsa-3072-pkcs1 rsa-3072-pkcs1-1 [64 16] 2", "rsa-3072-pkcs1 × 100 rsa-3072-pkcs1-100 [8] 2",
		"ecdsa-p256 ecdsa-p256-1 [64 16] 5", "ecdsa-p256 × 100 ecdsa-p256-100 [8] 5",
	}; !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	o.Callers = []int{3, 64}
	if w := o.workloads()[1]; !slices.Equal(w.callers, []int{3}) {
		t.Errorf("a batch has %v callers", w.callers)
	}
}

func TestDigestsAreDistinct(t *testing.T) {
	seen := map[string]bool{}
	for _, title := range []string{"bench-0-1", "bench-0-11", "bench-0-2"} {
		for _, d := range digests(title, 100) {
			if len(d) != 32 || seen[string(d)] {
				t.Fatalf("%s: %x", title, d)
			}
			seen[string(d)] = true
		}
	}
}

// Each scheme accepts its own signature alone: of the same key by another scheme, and of the same scheme by another key,
// none is valid.
func TestSchemesTellSignaturesApart(t *testing.T) {
	ec := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	rs := func() *rsa.PrivateKey {
		k, err := rsa.GenerateKey(rand.Reader, 2048) // the check does not depend on the length
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	keys := map[string][2]crypto.Signer{ECDSAP256: {ec(), ec()}, RSA3072: {rs(), rs()}}
	digest := digests("one", 1)[0]
	made := map[string][]byte{}
	for key, k := range keys {
		for _, s := range schemes(key) {
			var opts crypto.SignerOpts = crypto.SHA256
			if s.name == "rsa-3072-pss" {
				opts = &rsa.PSSOptions{SaltLength: 32, Hash: crypto.SHA256}
			}
			sig, err := k[0].Sign(rand.Reader, digest, opts)
			if err != nil {
				t.Fatal(err)
			}
			made[s.name] = sig
		}
	}
	for key, k := range keys {
		for _, s := range schemes(key) {
			for name, sig := range made {
				if got := s.valid(k[0].Public(), digest, sig); got != (name == s.name) {
					t.Errorf("%s takes a signature by %s: %v", s.name, name, got)
				}
			}
			if s.valid(k[1].Public(), digest, made[s.name]) || s.valid(k[0].Public(), digests("other", 1)[0], made[s.name]) {
				t.Errorf("%s takes a signature of another key or digest", s.name)
			}
		}
	}
}
