package cades_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/cades/cadestest"
	"github.com/ecsigner/ecsigner/signer/cades/levels"
)

// What Attach frames is the same signature with its content in it, whatever lengths the content makes; the bytes given stay.
func TestAttach(t *testing.T) {
	for _, size := range []int{0, 1, 100, 127, 128, 255, 256, 65_535, 65_536, 1 << 20} {
		content := bytes.Repeat([]byte{'x'}, size)
		id := cadestest.P256()
		parts := id.Sign(t, cadestest.Prepare(t, cades.CAdES, id, cades.ECDSAWithSHA256, content))
		detached := cadestest.Must(cades.Assemble(parts))
		before := bytes.Clone(detached)
		head, tail, err := cades.Attach(detached, int64(size))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(before, detached) {
			t.Fatal("what was given changed")
		}
		wantHead, wantTail, err := cades.Frame(parts, int64(size))
		if err != nil || !bytes.Equal(head, wantHead) || !bytes.Equal(tail, wantTail) {
			t.Errorf("%d octets: not what it would be had it been made so, %v", size, err)
		}
		whole := bytes.Join([][]byte{head, content, tail}, nil)
		reports, err := levels.Inspect(whole, nil)
		if err != nil || len(reports) != 1 || reports[0].Invalid != nil || reports[0].Level != cades.LevelBB {
			t.Errorf("%d octets: %+v, %v", size, reports, err)
		}
		if _, _, err := cades.Attach(whole, 1); !errors.Is(err, cades.ErrInput) {
			t.Errorf("attached again: %v", err)
		}
		if _, _, err := cades.Attach(detached[:len(detached)-1], 1); !errors.Is(err, cades.ErrMalformed) {
			t.Errorf("cut off: %v", err)
		}
	}
}
