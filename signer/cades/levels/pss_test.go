package levels_test

import (
	"bytes"
	"encoding/asn1"
	"errors"
	"testing"

	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/cades/cadestest"
	"github.com/ecsigner/ecsigner/signer/cades/levels"
)

// TestSaltOfOthers reads PSS with the salt that the file names, and with no other.
func TestSaltOfOthers(t *testing.T) {
	vectors, _ := foreignVectors(t, []byte("content"))
	data := vectors["PSS, longest salt"]
	if r := cadestest.Must(levels.Inspect(data, nil))[0]; r.Invalid != nil || r.Level != cades.LevelBB {
		t.Fatalf("%v, level %v", r.Invalid, r.Level)
	}
	named := func(salt int) []byte { // [2] EXPLICIT INTEGER
		return cadestest.Must(asn1.Marshal(asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 2, IsCompound: true, Bytes: cadestest.Must(asn1.Marshal(salt))}))
	}
	longest := 3072/8 - 32 - 2 // RFC 8017 section 9.1.1
	if bytes.Count(data, named(longest)) != 1 {
		t.Fatal("OpenSSL wrote another salt")
	}
	for salt, want := range map[int]error{longest - 1: cades.ErrSignature, 3000: cades.ErrUnsupported} {
		other := bytes.Replace(data, named(longest), named(salt), 1)
		reports, err := levels.Inspect(other, nil)
		if err == nil {
			err = reports[0].Invalid
		}
		if !errors.Is(err, want) {
			t.Errorf("salt of %d: %v, want %v", salt, err, want)
		}
	}
}
