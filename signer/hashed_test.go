package signer

import (
	"crypto/sha256"
	"fmt"
	"testing"
)

func TestHashed(t *testing.T) {
	h := newHashed()
	keep := func(id string) {
		w := sha256.New()
		w.Write([]byte(id)) // a hash never returns an error
		h.keep(id, w)
	}
	keep("doc-a")
	c, err := h.of("doc-a").Clone()
	if err != nil {
		t.Fatal(err)
	}
	c.Write([]byte("more")) // of the copy
	if got, want := fmt.Sprintf("%x", c.Sum(nil)), fmt.Sprintf("%x", sha256.Sum256([]byte("doc-amore"))); got != want {
		t.Errorf("goes on to %s, want %s", got, want)
	}
	again, err := h.of("doc-a").Clone()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprintf("%x", again.Sum(nil)), fmt.Sprintf("%x", sha256.Sum256([]byte("doc-a"))); got != want {
		t.Errorf("is %s after a copy was used, want %s", got, want)
	}
	h.gone("doc-a")
	if h.of("doc-a") != nil || h.of("never") != nil {
		t.Error("what is gone is still known")
	}
	for i := range maxHashed + 10 {
		keep(fmt.Sprint(i))
	}
	if len(h.states) > maxHashed || len(h.order) > maxHashed {
		t.Errorf("%d states of %d", len(h.states), maxHashed)
	}
	if h.of("0") != nil || h.of(fmt.Sprint(maxHashed+9)) == nil {
		t.Error("not the oldest were forgotten")
	}
}
