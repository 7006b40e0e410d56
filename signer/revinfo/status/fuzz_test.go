package status

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"math/rand/v2"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/ecsigner/ecsigner/signer/mutations"
	"github.com/ecsigner/ecsigner/signer/revinfo/revtest"
)

// seeds are lists, answers and files of certificates of a small infrastructure.
type seeds struct {
	ca, leaf              *x509.Certificate
	lists, answers, files [][]byte
}

func newSeeds(tb testing.TB) seeds {
	tb.Helper()
	pki, err := revtest.New(revtest.Options{URL: "http://pki.test", Depth: 1})
	if err != nil {
		tb.Fatal(err)
	}
	ca := pki.CA(0)
	leaf, err := ca.Issue(revtest.Template{})
	if err != nil {
		tb.Fatal(err)
	}
	delegate, err := ca.Issue(revtest.Template{Delegate: true})
	if err != nil {
		tb.Fatal(err)
	}
	s := seeds{ca: ca.Certificate.Certificate, leaf: leaf.Certificate, files: [][]byte{ca.Raw, leaf.Raw, delegate.Raw}}
	keep := func(list *[][]byte, der []byte, err error) {
		if err != nil {
			tb.Fatal(err)
		}
		*list = append(*list, der)
	}
	point := pkix.Extension{Id: oidIDP, Critical: true, Value: []byte("\x30\x12\xA0\x10\xA0\x0E\x86\x0Chttp://a/b.c")}
	since, err := asn1.MarshalWithParams(time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), "generalized")
	if err != nil {
		tb.Fatal(err)
	}
	ca.Revoke(big.NewInt(0x1234567890), time.Now(), 1)
	for _, l := range []revtest.CRL{
		{},
		{Fill: 3},
		{Version1: true, Fill: 1},
		{NoNextUpdate: true},
		{NextUpdate: 100 * 365 * 24 * time.Hour},
		{Extensions: []pkix.Extension{point, {Id: oidExpiredCerts, Value: since}, {Id: oidDelta, Critical: true, Value: []byte{2, 1, 1}}}},
	} {
		ca.SetCRL(l)
		der, err := ca.CRL()
		keep(&s.lists, der, err)
	}
	request, err := ocsp.CreateRequest(s.leaf, s.ca, nil)
	if err != nil {
		tb.Fatal(err)
	}
	for _, o := range []revtest.OCSP{
		{},
		{ByKey: true},
		{Delegate: delegate},
		{More: 3},
		{Unknown: true},
		{Status: 3},
		{Serial: big.NewInt(0x1234567890)},
		{Single: []pkix.Extension{{Id: oidArchiveCutoff, Value: since}}, Extensions: []pkix.Extension{{Id: oidNonce, Value: []byte{4, 1, 1}}}},
	} {
		ca.SetOCSP(o)
		der, err := ca.OCSP(request)
		keep(&s.answers, der, err)
	}
	return s
}

// readCRL does with a list whatever is done with one, and holds it against crypto/x509.
func readCRL(t testing.TB, data []byte, s seeds) (accepted bool) {
	l, err := ParseList(data)
	if err != nil {
		if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrUnsupported) {
			t.Errorf("%v is of no kind", err)
		}
		return false
	}
	if !bytes.Equal(l.Raw, data) {
		t.Error("the list is not what was read")
	}
	_ = l.Covers(s.leaf)
	if _, err := l.Lookup(big.NewInt(0x1234567890)); err != nil && !errors.Is(err, ErrMalformed) {
		t.Error(err)
	}
	if l.Authentic(s.ca) != nil {
		return false
	}
	// What our own CA signed, crypto/x509 must read alike.
	other, err := x509.ParseRevocationList(data)
	if err == nil && !other.ThisUpdate.Equal(l.ThisUpdate) {
		t.Errorf("thisUpdate %s, crypto/x509 has %s", l.ThisUpdate, other.ThisUpdate)
	}
	return true
}

func readAnswer(t testing.TB, data []byte, s seeds) (accepted bool) {
	a, err := ParseAnswer(data)
	if err != nil {
		return false
	}
	if !bytes.Equal(a.Raw, data) {
		t.Error("the answer is not what was read")
	}
	r, errAbout := a.About(s.leaf, s.ca)
	if _, err := a.Authentic(s.ca); err != nil || errAbout != nil {
		return false
	}
	r.Cutoff()
	other, err := ocsp.ParseResponseForCert(data, s.leaf, s.ca)
	if err == nil && (int(r.Status) != other.Status || !r.ThisUpdate.Equal(other.ThisUpdate)) {
		t.Errorf("status %d of %s, x/crypto/ocsp has %d of %s", r.Status, r.ThisUpdate, other.Status, other.ThisUpdate)
	}
	return true
}

func readFile(t testing.TB, data []byte, _ seeds) bool {
	certs, err := ParseCertificates(data)
	if (err == nil) != (len(certs) > 0) || len(certs) > maxFile {
		t.Errorf("%d certificates, %v", len(certs), err)
	}
	for _, c := range certs {
		URLs(c)
		if !SameName(c.RawSubject, c.RawSubject) {
			t.Error("a name differs from itself")
		}
	}
	return err == nil
}

func FuzzRevocationList(f *testing.F) {
	s := newSeeds(f)
	for _, d := range s.lists {
		f.Add(d)
	}
	f.Fuzz(func(t *testing.T, data []byte) { readCRL(t, data, s) })
}

func FuzzOCSPAnswer(f *testing.F) {
	s := newSeeds(f)
	for _, d := range s.answers {
		f.Add(d)
	}
	f.Fuzz(func(t *testing.T, data []byte) { readAnswer(t, data, s) })
}

func FuzzCertificateFile(f *testing.F) {
	s := newSeeds(f)
	for _, d := range s.files {
		f.Add(d)
	}
	f.Fuzz(func(t *testing.T, data []byte) { readFile(t, data, s) })
}

// TestMutations changes lists and answers at random places, by a fixed seed: nothing that the signature covers may change
// without being seen, and nothing may take long.
func TestMutations(t *testing.T) {
	s := newSeeds(t)
	random := rand.New(rand.NewPCG(1, 2))
	if !readCRL(t, s.lists[0], s) || !readAnswer(t, s.answers[0], s) || !readFile(t, s.files[0], s) {
		t.Fatal("what was not changed is refused")
	}
	kinds := []struct {
		name string
		data [][]byte
		read func(testing.TB, []byte, seeds) bool
	}{{"list", s.lists, readCRL}, {"answer", s.answers, readAnswer}, {"file of certificates", s.files, readFile}}
	for i := range mutations.Count(t, 9000) {
		kind := kinds[i%len(kinds)]
		data := bytes.Clone(kind.data[random.IntN(len(kind.data))])
		changed := mutate(random, data)
		begun := time.Now()
		// A signature in ECDSA may stay valid where its own bytes change: r, s and n-s are the same signature.
		if kind.read(t, changed, s) && kind.name != "file of certificates" && !bytes.Equal(changed, data) && !signedAlike(changed, data) {
			t.Errorf("a changed %s is accepted: %x", kind.name, changed)
		}
		if took := time.Since(begun); took > 30*time.Second {
			t.Errorf("mutation %d, a %s, took %s", i, kind.name, took)
		}
	}
}

// signedAlike reports whether two lists or answers have the same bytes under the signature.
func signedAlike(a, b []byte) bool {
	if x, err := ParseList(a); err == nil {
		y, err := ParseList(b)
		return err == nil && bytes.Equal(x.tbs, y.tbs)
	}
	x, err := ParseAnswer(a)
	if err != nil {
		return false
	}
	y, err := ParseAnswer(b)
	return err == nil && bytes.Equal(x.tbs, y.tbs)
}

func mutate(random *rand.Rand, data []byte) []byte {
	data = bytes.Clone(data)
	for range 1 + random.IntN(3) {
		if len(data) == 0 {
			return data
		}
		i := random.IntN(len(data))
		switch random.IntN(5) {
		case 0:
			data[i] ^= 1 << random.IntN(8)
		case 1:
			data[i] = byte(random.Uint32())
		case 2:
			data = append(data[:i], data[i+1:]...)
		case 3:
			data = append(data[:i], append([]byte{byte(random.Uint32())}, data[i:]...)...)
		case 4:
			j := i + random.IntN(len(data)-i)
			data = append(data, data[i:j]...)
		}
	}
	return data
}
