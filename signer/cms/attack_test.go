package cms_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/ecsigner/ecsigner/signer/cms"
)

// TestTrustLongTags: a tag of many octets was cut in the middle, so that what OpenSSL takes for a part of the tag was a length
// here, and the octets behind it were other elements.
func TestTrustLongTags(t *testing.T) {
	for name, c := range map[string]struct {
		data []byte
		good bool
	}{
		"31":                 {[]byte{0x1f, 0x1f, 1, 0}, true},
		"four octets":        {[]byte{0x1f, 0x81, 0x82, 0x83, 4, 1, 0}, true},
		"leading zeros":      {[]byte{0x1f, 0x80, 0x1f, 1, 0}, false},
		"seven octets":       {[]byte{0x1f, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 1, 1, 0}, false},
		"cut after six":      {append([]byte{0x1f, 0x81, 0x82, 0x83, 0x84, 0x85, 0x84, 0, 0, 0, 4}, make([]byte, 4)...), false},
		"nothing but tag":    {bytes.Repeat([]byte{0xff}, 30), false},
		"as it was read":     {[]byte{0x1f, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 1, 0x42}, false},
		"within a structure": {[]byte{0x30, 11, 0x1f, 0x81, 0x82, 0x83, 0x84, 0x85, 2, 2, 2, 1, 1}, false},
	} {
		if _, err := cms.Definite(c.data); (err == nil) != c.good || err != nil && !errors.Is(err, cms.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
