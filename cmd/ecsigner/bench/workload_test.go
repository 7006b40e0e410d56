package bench

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
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
		for _, d := range digests(crypto.SHA256, title, 100) {
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
	ec := func(c elliptic.Curve) *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(c, rand.Reader)
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
	keys := map[string][2]crypto.Signer{
		ECDSAP256: {ec(elliptic.P256()), ec(elliptic.P256())}, ECDSAP384: {ec(elliptic.P384()), ec(elliptic.P384())}, RSA3072: {rs(), rs()},
	}
	made := map[string][]byte{}
	for _, s := range every() {
		var opts crypto.SignerOpts = s.hash
		if strings.Contains(s.name, "pss") {
			opts = &rsa.PSSOptions{SaltLength: s.hash.Size(), Hash: s.hash}
		}
		sig, err := keys[s.key][0].Sign(rand.Reader, digests(s.hash, "one", 1)[0], opts)
		if err != nil {
			t.Fatal(err)
		}
		made[s.name] = sig
	}
	for _, s := range every() {
		k, digest := keys[s.key], digests(s.hash, "one", 1)[0]
		for name, sig := range made {
			if got := s.valid(k[0].Public(), digest, sig); got != (name == s.name) {
				t.Errorf("%s takes a signature by %s: %v", s.name, name, got)
			}
		}
		if s.valid(k[1].Public(), digest, made[s.name]) || s.valid(k[0].Public(), digests(s.hash, "other", 1)[0], made[s.name]) {
			t.Errorf("%s takes a signature of another key or digest", s.name)
		}
	}
}

// A name is a key or a scheme; keys are enrolled once, and nothing is measured twice.
func TestNamesOfAlgorithms(t *testing.T) {
	for names, want := range map[string]string{
		"ecdsa-p384": "ecdsa-p384 of [ecdsa-p384]",
		"rsa-3072":   "rsa-3072-pss rsa-3072-pkcs1 of [rsa-3072]",
		"rsa-3072-pss-sha512,ecdsa-p384,rsa-3072-pss": "rsa-3072-pss-sha512 ecdsa-p384 rsa-3072-pss of [rsa-3072 ecdsa-p384]",
	} {
		o := Options{
			Duration: time.Second, Algorithms: strings.Split(names, ","), Batches: []int{1}, Callers: []int{1}, Persons: 1, RSAPersons: 1,
		}
		got := ""
		for _, w := range o.workloads() {
			got += w.name + " "
		}
		if got += fmt.Sprint("of ", o.keys()); got != want || o.check() != nil {
			t.Errorf("%s: %s, %v", names, got, o.check())
		}
		for _, name := range o.Algorithms {
			if !strings.Contains(Known(), name) {
				t.Errorf("%s is not listed: %s", name, Known())
			}
		}
	}
	o := Options{
		Duration: time.Second, Algorithms: []string{RSA3072, "rsa-3072-pss"}, Batches: []int{1}, Callers: []int{1}, Persons: 1, RSAPersons: 1,
	}
	if o.check() == nil {
		t.Error("PSS is measured twice")
	}
	o.Algorithms, o.Persons = []string{ECDSAP256, ECDSAP384}, 1001
	if o.check() == nil {
		t.Error("2002 persons")
	}
}
