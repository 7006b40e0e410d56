package levels_test

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"strings"
	"testing"

	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/cades/cadestest"
	"github.com/ecsigner/ecsigner/signer/cades/levels"
)

func TestDecode(t *testing.T) {
	der := cadestest.Assemble(t, cades.CAdES, cadestest.P256(), cades.ECDSAWithSHA256, []byte("x"))
	lines := base64.StdEncoding.EncodeToString(der)
	for name, file := range map[string][]byte{
		"DER":              der,
		"BER":              {0x30, 0x80, 0, 0},
		"PEM":              pem.EncodeToMemory(&pem.Block{Type: "PKCS7", Bytes: der}),
		"base64":           []byte(lines),
		"base64 in lines":  []byte(lines[:64] + "\r\n" + lines[64:] + "\r\n"),
		"PEM behind blank": append([]byte("\r\n"), pem.EncodeToMemory(&pem.Block{Type: "CMS", Bytes: der})...),
	} {
		want := der
		if name == "BER" {
			want = file
		}
		if got, err := levels.Decode(file); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for file, says := range map[string]string{
		"":                       "neither",
		"0":                      "neither",
		"PK\x03\x04...":          "ASiC",
		"%PDF-1.7":               "a PDF",
		"MIME-Version: 1.0":      "S/MIME",
		"-----BEGIN CMS-----\nx": "PEM that cannot be read",
		"hello world":            "neither",
		"aGVsbG8=":               "neither",
	} {
		if got, err := levels.Decode([]byte(file)); !errors.Is(err, cades.ErrMalformed) || !strings.Contains(err.Error(), says) || got != nil {
			t.Errorf("%q: %v", file, err)
		}
	}
}
