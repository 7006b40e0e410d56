package pades_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"hash"
	"slices"
	"testing"

	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/pades"
	"github.com/ecsigner/ecsigner/signer/pades/padestest"
	"github.com/ecsigner/ecsigner/signer/pdf/pdftest"
)

// TestHashedBefore prepares with the state of a hash that somebody else brought over the file.
func TestHashedBefore(t *testing.T) {
	id, body := padestest.EC(), bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	big := pdftest.Obj{Number: 9, Body: "<< /Length 1048576 >>\nstream\n" + string(body) + "\nendstream"}
	file := pdftest.File{Objs: pdftest.Page("", "", big)}.Classic()
	options := pades.Options{SigningTime: padestest.SigningTime, Chain: id.Chain, Algorithm: cades.ECDSAWithSHA256}
	prepare := func(state hash.Hash) (*pades.Prepared, int64, error) {
		o := options
		if state != nil {
			o.Hashed = state.(hash.Cloner)
		}
		r := &padestest.Counting{ReaderAt: bytes.NewReader(file)}
		p, err := pades.Prepare(t.Context(), r, int64(len(file)), o)
		return p, r.N, err
	}
	plain, all, err := prepare(nil)
	if err != nil {
		t.Fatal(err)
	}
	state := sha256.New()
	state.Write(file)
	hashed, some, err := prepare(state)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(plain.DTBSR(), hashed.DTBSR()) || !slices.Equal(plain.OriginalDigest(), hashed.OriginalDigest()) {
		t.Error("the state leads to another digest than the file")
	}
	if all < int64(len(file)) || some > int64(len(file))/4 {
		t.Errorf("of %d bytes %d were read without the state and %d with it", len(file), all, some)
	}
	// Another hash takes the very bytes that are read; without reading there is none.
	beside := sha256.New()
	by512 := options
	by512.Algorithm, by512.Beside = cades.ECDSAWithSHA512, beside
	r := &padestest.Counting{ReaderAt: bytes.NewReader(file)}
	p, err := pades.Prepare(t.Context(), r, int64(len(file)), by512)
	if err != nil {
		t.Fatal(err)
	}
	want256, want512 := sha256.Sum256(file), sha512.Sum512(file)
	if !slices.Equal(beside.Sum(nil), want256[:]) || !slices.Equal(p.OriginalDigest(), want512[:]) || r.N > all+all/4 {
		t.Errorf("beside %x, original %x, %d bytes read where %d are", beside.Sum(nil), p.OriginalDigest(), r.N, all)
	}
	both := options
	both.Hashed, both.Beside = state.(hash.Cloner), sha512.New()
	if _, err := pades.Prepare(t.Context(), bytes.NewReader(file), int64(len(file)), both); !errors.Is(err, pades.ErrOptions) {
		t.Errorf("a state and another hash: %v", err)
	}
	if _, _, err := prepare(sha512.New()); !errors.Is(err, pades.ErrOptions) {
		t.Errorf("state of another hash: %v", err)
	}
	// A state of other bytes is found out when the finished file is hashed.
	other := sha256.New()
	other.Write(file[1:])
	wrong, _, err := prepare(other)
	if err != nil {
		t.Fatal(err)
	}
	tail, err := wrong.Embed(id.Sign(t, cades.ECDSAWithSHA256, wrong.DTBSR()))
	if err != nil {
		t.Fatal(err)
	}
	whole := slices.Concat(file, tail)
	if err := wrong.Check(t.Context(), bytes.NewReader(whole), int64(len(whole))); !errors.Is(err, pades.ErrChanged) {
		t.Errorf("a file that the state did not come from: %v", err)
	}
}
