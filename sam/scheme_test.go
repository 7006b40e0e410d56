package sam

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/credential"
)

// chooseRSA makes the credential's key RSA and the operation one of this scheme.
func (w *world) chooseRSA(s credential.Scheme) {
	w.binding.Algorithm, w.op.Algorithm = credential.RSA3072, s
	w.seal(w.binding, w.op, Challenge{}, w.now.Add(time.Minute))
}

// chooseDigests makes key and scheme these, and both digests of so many bytes; all seals are genuine.
func (w *world) chooseDigests(key credential.Algorithm, s credential.Scheme, size int) {
	w.binding.Algorithm, w.op.Algorithm, w.op.Digests = key, s, digestsOf(size)
	w.release.Digests = w.op.Digests
	w.seal(w.binding, w.op, Challenge{}, w.now.Add(time.Minute))
}

// digestsOf are two digests of so many bytes.
func digestsOf(size int) [][]byte {
	return [][]byte{bytes.Repeat([]byte{1}, size), bytes.Repeat([]byte{2}, size)}
}

// TestSignUsesTheAuthorisedScheme: the device is asked for what the operation says, for every scheme there is, and for
// digests of its length alone.
func TestSignUsesTheAuthorisedScheme(t *testing.T) {
	asked := 0
	for _, key := range credential.Algorithms() {
		for _, scheme := range key.Schemes() {
			for _, size := range []int{0, 20, 28, 31, 32, 33, 47, 48, 49, 63, 64, 65} {
				w := newWorld(t)
				w.chooseDigests(key, scheme, size)
				_, err := w.module.Sign(context.Background(), w.release)
				if size != scheme.DigestSize() {
					if !errors.Is(err, ErrNotAuthorised) || w.device.signed != 0 {
						t.Errorf("%s, digests of %d bytes: %v, %d signed", scheme, size, err, w.device.signed)
					}
					continue
				}
				if asked++; err != nil || w.device.asked != string(scheme) || size != scheme.Hash().Size() {
					t.Errorf("%s: the device was asked for %q, %v", scheme, w.device.asked, err)
				}
			}
		}
	}
	if asked != 8 {
		t.Errorf("%d schemes", asked)
	}
}
