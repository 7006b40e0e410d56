package pades_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"testing"

	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/pades"
	"github.com/ecsigner/ecsigner/signer/pades/longterm"
	"github.com/ecsigner/ecsigner/signer/pades/padestest"
	"github.com/ecsigner/ecsigner/signer/pades/sigfield"
	"github.com/ecsigner/ecsigner/signer/pdf"
	"github.com/ecsigner/ecsigner/signer/pdf/pdftest"
)

func state(tb testing.TB, in []byte) (*pades.Prepared, []byte) {
	tb.Helper()
	p, err := padestest.Prepare(in, padestest.Options(padestest.EC()))
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
	p, b := state(t, padestest.Shape(t, "lf"))
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

func FuzzPrepare(f *testing.F) {
	for _, s := range pdftest.Signable() {
		if len(s.Data) < 10_000 {
			f.Add(s.Data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) { fuzzPrepare(t, data, padestest.Options(padestest.EC())) })
}

// FuzzFillField fills the field "one", certifying if it may, with whatever the field and earlier signatures demand.
func FuzzFillField(f *testing.F) {
	for _, entries := range []string{
		"", "/Lock << /Type /SigFieldLock /Action /Include /Fields [(text)] >>", "/Lock << /Action /All /P 2 >>",
		"/SV << /Ff 75 /Filter /Adobe.PPKLite /SubFilter [/ETSI.CAdES.detached] /DigestMethod [(SHA256)] /Reasons [(.)] >>",
		"/SV << /MDP << /P 2 >> /Cert << /Ff 3 /Subject [<30>] /Issuer [<30>] >> /TimeStamp << /Ff 0 >> >>",
	} {
		f.Add(padestest.EmptyFields(entries).Classic())
		f.Add(padestest.EmptyFields(entries).Streams(1, 5, 6, 7, 8))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		o := padestest.Options(padestest.EC())
		o.FieldName, o.ExistingField = "one", true
		fuzzPrepare(t, data, o)
		o.Certification = sigfield.CertifyForms
		fuzzPrepare(t, data, o)
	})
}

// fuzzPrepare: what can be prepared can be signed, read again and is then covered as a whole.
func fuzzPrepare(t *testing.T, data []byte, o pades.Options) {
	o.Limits = pdf.Limits{StreamSize: 1 << 20, Objects: 1 << 14}
	p, err := padestest.Prepare(data, o)
	if (p == nil) == (err == nil) {
		t.Fatal("neither or both of result and error")
	}
	_, _ = longterm.Verify(context.Background(), bytes.NewReader(data), int64(len(data)), o.Limits)
	if err != nil {
		return
	}
	sig, err := padestest.EC().Key.Sign(nil, p.DTBSR(), p.Algorithm().Hash())
	if err != nil {
		t.Fatal(err)
	}
	tail, err := p.Embed(sig)
	if err != nil {
		t.Fatal(err)
	}
	out := append(bytes.Clone(data), tail...)
	infos, err := longterm.Verify(context.Background(), bytes.NewReader(out), int64(len(out)), o.Limits)
	if err != nil {
		t.Fatalf("signed file cannot be read: %v", err)
	}
	if !slices.ContainsFunc(infos, func(s longterm.SignatureInfo) bool {
		return s.Err == nil && s.CoversFile && (o.FieldName == "" || s.Field == o.FieldName)
	}) {
		t.Fatalf("no new signature among %+v", infos)
	}
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
	o := padestest.Options(padestest.EC())
	o.CommitmentType, o.ClaimedRoles, o.Policy = cades.ProofOfApproval, []string{"a", "б"}, policy()
	p, err := padestest.Prepare(padestest.EmptyFields("").Classic(), o)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(padestest.Must(p.MarshalBinary()))
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
