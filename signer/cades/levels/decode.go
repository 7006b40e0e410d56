package levels

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"fmt"

	"github.com/ecsigner/ecsigner/signer/cades"
)

// Decode returns the BER or DER in a file with a signature: as it is, in PEM, or in bare base64, as some write .p7m. Errors
// wrap cades.ErrMalformed and say what the file seems to be.
func Decode(file []byte) ([]byte, error) {
	text := bytes.TrimSpace(file)
	switch {
	case bytes.HasPrefix(file, []byte{0x30}) && len(file) > 1 && file[1] >= 0x80: // base64 never has such octets
		return file, nil
	case bytes.HasPrefix(text, []byte("-----BEGIN ")):
		if block, _ := pem.Decode(text); block != nil {
			return block.Bytes, nil
		}
		return nil, fmt.Errorf("%w: PEM that cannot be read", cades.ErrMalformed)
	}
	for prefix, kind := range map[string]string{
		"PK\x03\x04": "a ZIP archive, perhaps ASiC; the signatures are files in it", "%PDF": "a PDF", "MIME-Version": "an S/MIME message", "<?xml": "XML",
	} {
		if bytes.HasPrefix(text, []byte(prefix)) {
			return nil, fmt.Errorf("%w: it is %s", cades.ErrMalformed, kind)
		}
	}
	plain := bytes.Join(bytes.Fields(text), nil)
	der := make([]byte, base64.StdEncoding.DecodedLen(len(plain)))
	if n, err := base64.StdEncoding.Decode(der, plain); err == nil && n > 0 && der[0] == 0x30 {
		return der[:n], nil
	}
	return nil, fmt.Errorf("%w: neither BER, PEM nor base64 of a CMS", cades.ErrMalformed)
}
