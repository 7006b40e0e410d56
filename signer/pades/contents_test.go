package pades

import (
	"bytes"
	"encoding/asn1"
	"testing"
)

// FuzzContents finds the end of the CMS in a value of /Contents; encoding/asn1 agrees where lengths are definite.
func FuzzContents(f *testing.F) {
	for _, seed := range [][]byte{
		{},
		{0x30, 0},
		{0x30, 0, 0, 0},
		{0x30, 0, 1},
		{0x30, 3, 2, 1, 5, 0},
		{0x30, 0x81, 1, 0, 0},
		{0x30, 0x80, 0, 0, 0},
		{0x30, 0x80, 0x30, 0x80, 2, 1, 7, 0, 0, 0, 0, 0},
		{0x3f, 0x81, 0x01, 2, 5, 0},
		{0x30, 0x84, 0xff, 0xff, 0xff, 0xff},
		{0x30, 0x85, 0, 0, 0, 0, 0},
		bytes.Repeat([]byte{0x30, 0x80}, 100),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		cms, err := CutContents(value)
		if err == nil && (len(cms) < 2 || !bytes.HasPrefix(value, cms) || len(bytes.Trim(value[len(cms):], "\x00")) > 0) {
			t.Fatalf("%x of %x", cms, value)
		}
		var element asn1.RawValue
		rest, errASN1 := asn1.Unmarshal(value, &element)
		if n, ok := elementLength(value, 64); errASN1 == nil && len(value) < 1<<20 && (!ok || n != len(value)-len(rest)) {
			t.Fatalf("%d, %v; encoding/asn1 %d", n, ok, len(value)-len(rest))
		}
	})
}
