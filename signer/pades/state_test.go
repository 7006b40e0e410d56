package pades_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/ecsigner/ecsigner/signer/pades"
	"github.com/ecsigner/ecsigner/signer/pdf"
	"github.com/ecsigner/ecsigner/signer/pdf/pdftest"
)

func state(tb testing.TB, in []byte) (*pades.Prepared, []byte) {
	tb.Helper()
	p, err := prepare(in, options(ecIdentity()))
	if err != nil {
		tb.Fatal(err)
	}
	b, err := p.MarshalBinary()
	if err != nil {
		tb.Fatal(err)
	}
	return p, b
}

func TestStateRoundTrip(t *testing.T) {
	for _, s := range pdftest.Signable() {
		p, b := state(t, s.Data)
		if sum := sha256.Sum256(s.Data); !bytes.Equal(p.OriginalDigest(), sum[:]) {
			t.Errorf("%s: the original's digest is %x, not %x", s.Name, p.OriginalDigest(), sum)
		}
		var q pades.Prepared
		if err := q.UnmarshalBinary(b); err != nil {
			t.Fatalf("%s: %v", s.Name, err)
		}
		again, _ := q.MarshalBinary()
		if !bytes.Equal(again, b) || !bytes.Equal(q.DTBSR(), p.DTBSR()) || !bytes.Equal(q.DocumentDigest(), p.DocumentDigest()) ||
			q.Size() != p.Size() || q.BaseSize() != int64(len(s.Data)) {
			t.Errorf("%s: state changed on the way", s.Name)
		}
	}
}

// TestStateIsStrict cuts, extends and changes an encoded state at every byte. What is still accepted must sign
// something of the same digest and certificate, and encode to the bytes it was read from.
func TestStateIsStrict(t *testing.T) {
	p, b := state(t, shape(t, "lf"))
	strictState(t, p, b)
}

func strictState(t *testing.T, p *pades.Prepared, b []byte) {
	t.Helper()
	try := func(bad []byte) error {
		var q pades.Prepared
		err := q.UnmarshalBinary(bad)
		if err != nil {
			if !errors.Is(err, pades.ErrState) {
				t.Errorf("error %v is not ErrState", err)
			}
			return err
		}
		if again, _ := q.MarshalBinary(); !bytes.Equal(again, bad) {
			t.Error("two encodings of one state")
		}
		return nil
	}
	for n := range b {
		if try(b[:n]) == nil {
			t.Errorf("accepted when cut to %d bytes", n)
		}
	}
	if try(append(bytes.Clone(b), 0)) == nil {
		t.Error("accepted with a byte appended")
	}
	other := bytes.Clone(b)
	other[len("ecsigner-pades")] = 3
	if try(other) == nil {
		t.Error("accepted an unknown version")
	}
	for at := range b {
		bad := bytes.Clone(b)
		bad[at] ^= 0x41
		var q pades.Prepared
		if try(bad) == nil {
			if err := q.UnmarshalBinary(bad); err != nil || !bytes.Equal(q.DTBSR(), p.DTBSR()) {
				t.Errorf("byte %d changed what is to be signed", at)
			}
		}
	}
}

// TestMutationsNeverPanic feeds damaged files to both ends, thousands of times.
func TestMutationsNeverPanic(t *testing.T) {
	id := ecIdentity()
	signed := signPDF(t, shape(t, "form-indirect"), id, options(id))
	sources := [][]byte{signed, signPDF(t, signed, id, options(id)), signPDF(t, shape(t, "form-in-objstm"), id, options(id))}
	r := rand.New(rand.NewPCG(3, 4))
	for i := range 2000 {
		data := bytes.Clone(sources[i%len(sources)])
		for range 1 + r.IntN(3) {
			// In place, so that offsets still lead somewhere.
			data[r.IntN(len(data))] = "()<>[]{}/% \n\rR0123456789abcdefnx\x00\xff"[r.IntN(34)]
		}
		_, _ = prepare(data, options(id))
		_, _ = pades.Verify(context.Background(), bytes.NewReader(data), int64(len(data)), pdf.Limits{})
	}
}

func FuzzPrepare(f *testing.F) {
	for _, s := range pdftest.Signable() {
		if len(s.Data) < 10_000 {
			f.Add(s.Data)
		}
	}
	o := options(ecIdentity())
	o.Limits = pdf.Limits{StreamSize: 1 << 20, Objects: 1 << 14}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := prepare(data, o)
		if (p == nil) == (err == nil) {
			t.Fatal("neither or both of result and error")
		}
		_, _ = pades.Verify(context.Background(), bytes.NewReader(data), int64(len(data)), o.Limits)
		if err != nil {
			return
		}
		// What can be prepared can be signed, read again and is then covered as a whole.
		sig, err := ecIdentity().key.Sign(nil, p.DTBSR(), p.Algorithm().Hash())
		if err != nil {
			t.Fatal(err)
		}
		tail, err := p.Embed(sig)
		if err != nil {
			t.Fatal(err)
		}
		out := append(bytes.Clone(data), tail...)
		infos, err := pades.Verify(context.Background(), bytes.NewReader(out), int64(len(out)), o.Limits)
		if err != nil || len(infos) == 0 {
			t.Fatalf("signed file cannot be read: %v", err)
		}
		if last := infos[len(infos)-1]; last.Err != nil || !last.CoversFile {
			t.Fatalf("new signature: %+v", last)
		}
	})
}

func FuzzUnmarshalBinary(f *testing.F) {
	for _, name := range []string{"lf", "form-in-objstm"} {
		for _, s := range pdftest.Signable() {
			if s.Name == name {
				_, b := state(f, s.Data)
				f.Add(b)
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var p pades.Prepared
		if p.UnmarshalBinary(data) != nil {
			return
		}
		if again, err := p.MarshalBinary(); err != nil || !bytes.Equal(again, data) {
			t.Fatal("two encodings of one state")
		}
	})
}
