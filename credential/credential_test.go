package credential

import (
	"crypto"
	"slices"
	"testing"
)

// TestSchemeNames: the names stand under seals and in the log, so none may ever change; nor may the default of a key.
func TestSchemeNames(t *testing.T) {
	for _, tt := range []struct {
		key     Algorithm
		schemes []string
	}{
		{"ecdsa-p256", []string{"ecdsa-p256"}},
		{"ecdsa-p384", []string{"ecdsa-p384"}},
		{"rsa-3072", []string{
			"rsa-pss-sha256", "rsa-pkcs1-sha256", "rsa-pss-sha384", "rsa-pss-sha512", "rsa-pkcs1-sha384", "rsa-pkcs1-sha512",
		}},
		{"rsa-2048", nil},
		{"", nil},
	} {
		var got []string
		for _, s := range tt.key.Schemes() {
			got = append(got, string(s))
			for _, other := range Algorithms() {
				if other.Allows(s) != (other == tt.key) {
					t.Errorf("%s by a key %s", s, other)
				}
			}
		}
		if !slices.Equal(got, tt.schemes) || slices.Contains(Algorithms(), tt.key) != (tt.schemes != nil) {
			t.Errorf("%q signs by %q", tt.key, got)
		}
	}
}

func TestSchemeHash(t *testing.T) {
	for s, want := range map[Scheme]crypto.Hash{
		"ecdsa-p256": crypto.SHA256, "rsa-pss-sha256": crypto.SHA256, "rsa-pkcs1-sha256": crypto.SHA256,
		"ecdsa-p384": crypto.SHA384, "rsa-pss-sha384": crypto.SHA384, "rsa-pkcs1-sha384": crypto.SHA384,
		"rsa-pss-sha512": crypto.SHA512, "rsa-pkcs1-sha512": crypto.SHA512,
		"rsa-3072": 0, "rsa-pss-sha224": 0, "": 0,
	} {
		size := 0
		if want != 0 {
			size = want.Size()
		}
		if s.Hash() != want || s.DigestSize() != size {
			t.Errorf("%q: %v of %d bytes", s, s.Hash(), s.DigestSize())
		}
	}
}
