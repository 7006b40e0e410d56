package longterm_test

import (
	"bytes"
	"compress/zlib"
	"crypto/sha1" //nolint:gosec // names of VRI entries
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/pades/longterm"
	"github.com/ecsigner/ecsigner/signer/pades/padestest"
	"github.com/ecsigner/ecsigner/signer/pdf"
	"github.com/ecsigner/ecsigner/signer/pdf/object"
	"github.com/ecsigner/ecsigner/signer/pdf/pdftest"
	"github.com/ecsigner/ecsigner/signer/revinfo/revtest"
)

// store reads the document security store of a file: the items of each array in hexadecimal, and the VRI dictionary.
type store struct {
	dict  object.Value
	items map[string][]string
	refs  map[string][]string
	vri   object.Value
}

func readStore(t *testing.T, data []byte) store {
	t.Helper()
	doc := padestest.Must(pdf.Open(bytes.NewReader(data), int64(len(data)), pdf.Limits{}))
	s := store{dict: padestest.Must(doc.Resolve(doc.Catalog().Value.Get("DSS"))), items: map[string][]string{}, refs: map[string][]string{}}
	for _, key := range []string{"Certs", "OCSPs", "CRLs"} {
		for _, e := range padestest.Must(doc.Resolve(s.dict.Get(key))).Elems {
			s.refs[key] = append(s.refs[key], string(e.Raw))
			if content, err := doc.Stream(e.Ref, 1<<20); err == nil {
				s.items[key] = append(s.items[key], fmt.Sprintf("%x", content))
			}
		}
	}
	s.vri = padestest.Must(doc.Resolve(s.dict.Get("VRI")))
	return s
}

// stream is a stream object, compressed if so wanted.
func stream(number int, data []byte, compressed bool) pdftest.Obj {
	filter := ""
	if compressed {
		var b bytes.Buffer
		z := zlib.NewWriter(&b)
		padestest.Must(z.Write(data))
		if err := z.Close(); err != nil {
			panic(err)
		}
		data, filter = b.Bytes(), "/Filter /FlateDecode "
	}
	return pdftest.Obj{Number: number, Body: fmt.Sprintf("<< %s/Length %d >>\nstream\n%s\nendstream", filter, len(data), data)}
}

const oldKey = "0123456789ABCDEF0123456789ABCDEF01234567"

// TestStoreIsMerged: what others put into the store stays as and where it is, what it holds already is not written again, and
// what is not understood is kept.
func TestStoreIsMerged(t *testing.T) {
	w := world()
	id := w.signatory(revtest.P256)
	root, issuing := w.pki.CA(0).Raw, w.pki.Issuing().Raw
	streams := []pdftest.Obj{stream(20, issuing, true), stream(21, root, false), stream(22, []byte("no certificate"), true)}
	entry := "/" + oldKey + " << /Cert [20 0 R] /TU (D:20200101000000Z) /Odd 1 >>"
	obj := func(n int, body string) pdftest.Obj { return pdftest.Obj{Number: n, Body: body} }
	for name, tc := range map[string]struct {
		data []byte
		refs string // of the first certificates
	}{
		"direct": {pdftest.File{Objs: pdftest.Page("/DSS << /Certs [20 0 R 21 0 R 22 0 R] /Odd (x) /VRI << "+entry+" >> >> /Lang (uk)", "", streams...)}.Classic(), "20 0 R,21 0 R,22 0 R"},
		"objects of their own": {pdftest.File{Objs: pdftest.Page("/DSS 10 0 R", "", append(
			streams, obj(10, "<< /Type /DSS /Certs 11 0 R /VRI 12 0 R /Odd (x) >>"), obj(11, "[20 0 R % remark ]\n21 0 R]"), obj(12, "<< "+entry+" >>"))...)}.Classic(), "20 0 R,21 0 R"},
		"in an object stream": {pdftest.File{Objs: pdftest.Page("/DSS 10 0 R", "", append(
			streams, obj(10, "<</Odd(x)/Certs[20 0 R 21 0 R]/VRI<<"+entry+">>>>"))...)}.Streams(1, 2, 10), "20 0 R,21 0 R"},
		"with what is no stream":     {pdftest.File{Objs: pdftest.Page("/DSS << /Certs [99 0 R 3 0 R null (x) 20 0 R 20 0 R] /CRLs [] /OCSPs 98 0 R /Odd (x) /VRI << "+entry+" >> >>", "", streams...)}.Classic(), "99 0 R,3 0 R,null,(x),20 0 R,20 0 R"},
		"older entries of this file": {pdftest.File{Objs: pdftest.Page("/DSS << /Odd (x) /VRI << "+entry+" >> /CRLs [22 0 R] >>", "", streams...)}.Streams(1), ""},
	} {
		t.Run(name, func(t *testing.T) {
			s, p := w.services()
			in := stamped(t, tc.data, id, "S", w.tsa)
			out := augment(t, in, cades.LevelBLT, s)
			if got := summary(verifyAll(t, out)); got != "S=B-LT " || len(p.asked) != 2 {
				t.Errorf("%s, asked %q", got, p.asked)
			}
			before, after := readStore(t, in), readStore(t, out)
			if string(after.dict.Get("Odd").Raw) != "(x)" || !bytes.Equal(after.vri.Get(oldKey).Raw, before.vri.Get(oldKey).Raw) || before.vri.Get(oldKey).Kind != object.Dict {
				t.Errorf("entries are lost: %s", after.dict.Raw)
			}
			if got := strings.Join(after.refs["Certs"], ","); !strings.HasPrefix(got, tc.refs) {
				t.Errorf("certificates %s, want first %s", got, tc.refs)
			}
			for key, items := range after.items {
				unique := slices.Compact(slices.Sorted(slices.Values(items)))
				if len(unique) != len(items) && name != "with what is no stream" {
					t.Errorf("/%s holds something twice", key)
				}
			}
			if n := len(after.items["Certs"]); n < 6 || n > 7 { // signatory, CA, root; unit, CA, root; and what is none
				t.Errorf("%d certificates", n)
			}
			if len(after.vri.Entries) != len(before.vri.Entries)+1 {
				t.Errorf("VRI: %s", after.vri.Raw)
			}
			again := augment(t, augment(t, out, cades.LevelBLTA, s), cades.LevelBLTA, s)
			if got := summary(verifyAll(t, again)); got != "S=B-LTA TimeStamp1=time-stamp TimeStamp2=time-stamp " {
				t.Error(got)
			}
			last := readStore(t, again)
			for key, refs := range after.refs {
				if !slices.Equal(last.refs[key][:len(refs)], refs) {
					t.Errorf("/%s: %q became %q", key, refs, last.refs[key])
				}
			}
			for _, e := range after.vri.Entries {
				if !bytes.Equal(last.vri.Get(e.Key).Raw, e.Value.Raw) {
					t.Errorf("VRI entry %s changed", e.Key)
				}
			}
		})
	}
}

// TestVRI: the entry of a signature is named by the value of /Contents, filling included, and lists its evidence and that of its
// time-stamp's authority.
func TestVRI(t *testing.T) {
	w := world()
	s, _ := w.services()
	out := augment(t, stamped(t, padestest.Shape(t, "lf"), w.signatory(revtest.P256), "S", w.tsa), cades.LevelBLT, s)
	info := verifyAll(t, out)[0]
	hole := string(out[info.ByteRange[1]+1 : info.ByteRange[2]-1])
	value := make([]byte, len(hole)/2)
	for i := range value {
		padestest.Must(fmt.Sscanf(hole[2*i:2*i+2], "%02X", &value[i]))
	}
	got := readStore(t, out)
	entry := got.vri.Get(fmt.Sprintf("%X", sha1.Sum(value))) //nolint:gosec // as above
	for key, list := range map[string]string{"Cert": "Certs", "OCSP": "OCSPs", "CRL": "CRLs"} {
		var refs []string
		for _, e := range entry.Get(key).Elems {
			refs = append(refs, string(e.Raw))
		}
		slices.Sort(refs)
		if want := slices.Sorted(slices.Values(got.refs[list])); !slices.Equal(refs, want) || len(refs) == 0 {
			t.Errorf("/%s: %q, want %q", key, refs, want)
		}
	}
}

// TestStoreDamaged: a store of the wrong types is not guessed at; a level that it cannot prove is not told.
func TestStoreDamaged(t *testing.T) {
	w := world()
	id := w.signatory(revtest.P256)
	s, _ := w.services()
	for _, bad := range []string{"/DSS [1]", "/DSS 4 0 R", "/DSS << /Certs << >> >>", "/DSS << /CRLs 4 0 R >>", "/DSS << /VRI [] >>", "/DSS << /OCSPs 2 0 R >>"} {
		in := stamped(t, pdftest.File{Objs: pdftest.Page(bad, "")}.Classic(), id, "S", w.tsa)
		if a, err := augmentWith(in, cades.LevelBLT, s, longterm.AugmentOptions{}); !errors.Is(err, pdf.ErrDamaged) || a.Tail != nil {
			t.Errorf("%s: %v", bad, err)
		}
		if infos := verifyAll(t, in); infos[0].Level != "B-T" || infos[0].Err != nil || !errors.Is(infos[0].Missing, pdf.ErrDamaged) {
			t.Errorf("%s: %+v", bad, infos[0])
		}
	}
	// More than the limit.
	in := stamped(t, pdftest.File{Objs: pdftest.Page("/DSS << /CRLs [20 0 R] >>", "", stream(20, make([]byte, 500_000), true))}.Classic(), id, "S", w.tsa)
	if _, err := augmentWith(in, cades.LevelBLT, s, longterm.AugmentOptions{Limits: pdf.Limits{StreamSize: 100_000}}); !errors.Is(err, pdf.ErrTooLarge) {
		t.Errorf("too much: %v", err)
	}
}

// TestDamagedEvidence: evidence of which one byte is wrong proves nothing.
func TestDamagedEvidence(t *testing.T) {
	w := world()
	s, _ := w.services()
	lt := augment(t, stamped(t, padestest.Shape(t, "lf"), w.signatory(revtest.P256), "S", w.tsa), cades.LevelBLT, s)
	whole := readStore(t, lt)
	for _, key := range []string{"OCSPs", "CRLs"} {
		for i, item := range whole.items[key] {
			var der []byte
			padestest.Must(fmt.Sscanf(item, "%x", &der))
			bad := bytes.Clone(lt)
			at := bytes.LastIndex(bad, der)
			bad[at+len(der)-20] ^= 1 // in the signature
			if got := summary(verifyAll(t, bad)); got != "S=B-T " {
				t.Errorf("/%s %d: %s", key, i, got)
			}
		}
	}
}
