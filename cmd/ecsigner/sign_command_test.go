package main

import (
	"strings"
	"testing"

	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
)

// TestWordsOfAlgorithms: every algorithm of the proto has a word, and the words without a hash mean what they always did.
func TestWordsOfAlgorithms(t *testing.T) {
	for n, name := range pb.SignatureAlgorithm_name {
		a := pb.SignatureAlgorithm(n)
		word := strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(name, "SIGNATURE_ALGORITHM_")), "_", "-")
		if n == 0 {
			word = ""
		}
		if got, err := signatureAlgorithm(word); err != nil || got != a {
			t.Errorf("%q is %v, %v", word, got, err)
		}
		if short := strings.TrimSuffix(word, "-sha256"); !strings.Contains(algorithmWords(), short) {
			t.Errorf("%q is not listed: %s", short, algorithmWords())
		}
	}
	for word, want := range map[string]pb.SignatureAlgorithm{
		"ecdsa":     pb.SignatureAlgorithm_SIGNATURE_ALGORITHM_ECDSA_SHA256,
		"rsa-pss":   pb.SignatureAlgorithm_SIGNATURE_ALGORITHM_RSA_PSS_SHA256,
		"rsa-pkcs1": pb.SignatureAlgorithm_SIGNATURE_ALGORITHM_RSA_PKCS1_SHA256,
	} {
		if got, err := signatureAlgorithm(word); err != nil || got != want {
			t.Errorf("%q is %v, %v", word, got, err)
		}
	}
	for _, word := range []string{"unspecified", "ECDSA", "rsa_pss", "rsa-pss-sha1", "ecdsa-sha512", "rsa", "-sha256", "sha256"} {
		if got, err := signatureAlgorithm(word); err == nil || !strings.Contains(err.Error(), algorithmWords()) {
			t.Errorf("%q is %v, %v", word, got, err)
		}
	}
}
