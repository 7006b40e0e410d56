package engine

import (
	"crypto"
	"io"
	"log/slog"
	"sync"
	"time"
)

// tlsKey is the key of the server's own certificate. It is in the HSM, so while that is away every new connection fails
// in its handshake, of which nobody else would tell: gRPC keeps it to itself.
type tlsKey struct {
	crypto.Signer
	logger *slog.Logger
	now    func() time.Time

	mu     sync.Mutex
	told   time.Time
	silent int // failures since that were not told
}

// tlsKeyPause is how long further failures are counted only: anybody can try to connect.
const tlsKeyPause = 10 * time.Second

// Sign implements crypto.Signer.
func (k *tlsKey) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	signature, err := k.Signer.Sign(rand, digest, opts)
	if err != nil {
		k.tell(err)
	}
	return signature, err
}

func (k *tlsKey) tell(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	if since := now.Sub(k.told); !k.told.IsZero() && since >= 0 && since < tlsKeyPause {
		k.silent++
		return
	}
	k.logger.Error("connection refused: the key of the server's certificate cannot be used", "error", err, "more", k.silent)
	k.told, k.silent = now, 0
}
