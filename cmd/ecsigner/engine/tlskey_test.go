package engine

import (
	"bytes"
	"crypto"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"
)

type brokenKey struct{ crypto.Signer }

func (brokenKey) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("the device is away")
}

// Handshakes that fail are told of, and many at once with one line.
func TestTLSKeyTells(t *testing.T) {
	var said bytes.Buffer
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	k := &tlsKey{Signer: brokenKey{}, logger: slog.New(slog.NewTextHandler(&said, nil)), now: func() time.Time { return now }}
	try := func(lines int, more string) {
		t.Helper()
		if _, err := k.Sign(nil, nil, nil); err == nil {
			t.Error("signed")
		}
		if n := strings.Count(said.String(), "cannot be used"); n != lines || !strings.Contains(said.String(), more) {
			t.Errorf("said %d times, want %d with %q:\n%s", n, lines, more, said.String())
		}
	}
	try(1, "more=0")
	for range 5 {
		try(1, "")
	}
	now = now.Add(tlsKeyPause)
	try(2, "more=5")
	now = now.Add(-time.Hour) // a clock that went back silences nobody
	try(3, "")
}
