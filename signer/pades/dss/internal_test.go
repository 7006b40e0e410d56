package dss

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/ecsigner/ecsigner/signer/pdf"
	"github.com/ecsigner/ecsigner/signer/pdf/object"
	"github.com/ecsigner/ecsigner/signer/pdf/pdftest"
	"github.com/ecsigner/ecsigner/signer/revinfo"
)

// FuzzStore reads and extends a store that is described by the entries of a catalog, and holds the result to what must be true of
// every one: the file can be read, all that was asked for is there once, and every old entry in its old place.
func FuzzStore(f *testing.F) {
	for _, seed := range []string{
		"", "/DSS 5 0 R", "/DSS << >>", "/DSS << /Certs [6 0 R 7 0 R] /OCSPs 8 0 R /CRLs [null 99 0 R (x) 4 0 R] >>", "/DSS 9 0 R", "/DSS << /VRI << /AB << /Cert [6 0 R] >> >> >>",
		"/DSS << /VRI 9 0 R /Certs 9 0 R >>", "/DSS << /VRI << /0011 null >> /CRLs[6 0 R]/Odd#20/x>>", "/DSS << /Certs [6 0 R % ]\n] /VRI 5 0 R >>",
	} {
		f.Add(seed)
	}
	proofs := []Proof{
		{"0011", revinfo.Evidence{Certificates: [][]byte{[]byte("one"), []byte("two")}, CRLs: [][]byte{[]byte("list")}}},
		{"2233", revinfo.Evidence{Certificates: [][]byte{[]byte("two"), []byte("three")}, OCSPs: [][]byte{[]byte("answer")}}},
	}
	f.Fuzz(func(t *testing.T, catalog string) {
		data := pdftest.File{Objs: pdftest.Page(catalog, "", pdftest.Obj{Number: 5, Body: "<< /Type /DSS /Certs [6 0 R] >>"},
			pdftest.Obj{Number: 6, Body: "<< /Length 3 >>\nstream\none\nendstream"}, pdftest.Obj{Number: 7, Body: "<< /Length 5 >>\nstream\nother\nendstream"},
			pdftest.Obj{Number: 8, Body: "[ 7 0 R ]"}, pdftest.Obj{Number: 9, Body: "<< >>"})}.Classic()
		doc, err := pdf.Open(bytes.NewReader(data), int64(len(data)), pdf.Limits{})
		if err != nil {
			return
		}
		before, err := Read(doc, 1<<16)
		if err != nil {
			return
		}
		u, err := doc.NewUpdate()
		if err != nil {
			t.Fatal(err)
		}
		store, err := Read(doc, 1<<16)
		if err != nil || !store.Update(doc, u, proofs) {
			t.Fatalf("nothing to add: %v", err)
		}
		tail, err := u.Finish()
		if err != nil {
			t.Fatal(err)
		}
		out := append(bytes.Clone(data), tail...)
		again, err := pdf.Open(bytes.NewReader(out), int64(len(out)), pdf.Limits{})
		if err != nil {
			t.Fatalf("%q: %v", catalog, err)
		}
		after, err := Read(again, 1<<16)
		if err != nil {
			t.Fatalf("%q: %v", catalog, err)
		}
		checkMerged(t, before, after, proofs)
		if u, err = again.NewUpdate(); err != nil || after.Update(again, u, proofs) {
			t.Fatalf("%q: something was missing, %v", catalog, err)
		}
	})
}

func checkMerged(t *testing.T, before, after *Store, proofs []Proof) {
	t.Helper()
	for kind, key := range storeKeys {
		old, now := before.arrays[kind].Value.Elems, after.arrays[kind].Value.Elems
		if len(now) < len(old) || !slices.EqualFunc(old, now[:len(old)], func(a, b object.Value) bool { return bytes.Equal(a.Raw, b.Raw) }) {
			t.Fatalf("/%s: %s became %s", key, before.arrays[kind].Value.Raw, after.arrays[kind].Value.Raw)
		}
		held := *items(&after.held, kind)
		for _, p := range proofs {
			for _, want := range *items(&p.Evidence, kind) {
				if !slices.ContainsFunc(held, func(h []byte) bool { return bytes.Equal(h, want) }) {
					t.Fatalf("/%s lacks %q", key, want)
				}
			}
		}
	}
	for _, e := range before.vri.Value.Entries {
		if e.Value.Kind != object.Null && !bytes.Equal(after.vri.Value.Get(e.Key).Raw, e.Value.Raw) {
			t.Fatalf("VRI entry %q changed", e.Key)
		}
	}
	for _, p := range proofs {
		if after.vri.Value.Get(p.Key).Kind == object.Null {
			t.Fatalf("VRI entry %q is missing", p.Key)
		}
	}
}

// TestPartsApart: a store of which one object is two parts cannot be added to.
func TestPartsApart(t *testing.T) {
	for catalog, good := range map[string]bool{
		"/DSS 5 0 R":                              true,
		"/DSS << /Certs 8 0 R /VRI 9 0 R >>":      true,
		"/DSS << /VRI 1 0 R >>":                   false, // the catalog
		"/DSS << /Certs 8 0 R /CRLs 8 0 R >>":     false,
		"/DSS << /Certs [] /CRLs [] /OCSPs [] >>": true,
	} {
		data := pdftest.File{Objs: pdftest.Page(catalog, "", pdftest.Obj{Number: 5, Body: "<< /Type /DSS >>"},
			pdftest.Obj{Number: 8, Body: "[ ]"}, pdftest.Obj{Number: 9, Body: "<< >>"})}.Classic()
		doc, err := pdf.Open(bytes.NewReader(data), int64(len(data)), pdf.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Read(doc, 1<<16); (err == nil) != good || err != nil && !errors.Is(err, pdf.ErrDamaged) {
			t.Errorf("%s: %v", catalog, err)
		}
	}
}
