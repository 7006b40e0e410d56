package cms_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/signer/cms"
	"github.com/ecsigner/ecsigner/signer/mutations"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// made is a directory with signatures by OpenSSL, which writes BER when it streams.
type made struct {
	dir     string
	content []byte
	files   map[string][]byte
	crl     []byte
	cert    []byte
	ca      []byte // PEM of all certificates
	key     *ecdsa.PrivateKey
}

var byOpenSSL = sync.OnceValue(func() *made {
	m := &made{dir: must(os.MkdirTemp("", "cms")), files: map[string][]byte{}}
	defer func() { _ = os.RemoveAll(m.dir) }()
	m.key = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "Signer"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, SubjectKeyId: []byte{1, 2, 3},
		KeyUsage: x509.KeyUsageContentCommitment | x509.KeyUsageDigitalSignature | x509.KeyUsageCRLSign | x509.KeyUsageCertSign,
	}
	m.cert = must(x509.CreateCertificate(rand.Reader, template, template, m.key.Public(), m.key))
	issuer := must(x509.ParseCertificate(m.cert))
	template.SerialNumber, template.Subject, template.SubjectKeyId = big.NewInt(8), pkix.Name{CommonName: "Second"}, []byte{4, 5, 6}
	second := must(x509.CreateCertificate(rand.Reader, template, template, m.key.Public(), m.key))
	m.crl = must(x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: time.Now(), NextUpdate: time.Now().Add(time.Hour),
	}, issuer, m.key))
	m.content = bytes.Repeat([]byte("Договір\n"), 2000)
	m.ca = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: m.cert})
	m.write("cert.pem", m.ca)
	m.write("second.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: second}))
	m.ca = append(m.ca, must(os.ReadFile(filepath.Join(m.dir, "second.pem")))...)
	m.write("key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(m.key))}))
	m.write("content", m.content)
	m.sign("detached", "-cades")
	m.sign("attached", "-cades", "-nodetach")
	m.sign("streamed", "-cades", "-nodetach", "-stream", "-indef")
	m.sign("keyid", "-keyid", "-nodetach", "-stream", "-indef")
	m.sign("no attributes", "-noattr", "-nocerts")
	m.sign("two signers", "-cades", "-nodetach", "-stream", "-indef", "-signer", "second.pem", "-inkey", "key.pem")
	return m
})

func (m *made) write(name string, data []byte) {
	if err := os.WriteFile(filepath.Join(m.dir, name), data, 0o600); err != nil {
		panic(err)
	}
}

func (m *made) sign(name string, args ...string) {
	cmd := exec.Command("openssl", append([]string{"cms", "-sign", "-binary", "-md", "sha256", "-signer", "cert.pem", "-inkey", "key.pem", "-in", "content", "-outform", "DER"}, args...)...)
	cmd.Dir = m.dir
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		panic(said.String())
	}
	m.files[name] = out
}

// verify asks OpenSSL about a signature, and gives it the content where it is detached.
func (m *made) verify(t *testing.T, der []byte, detached bool) {
	t.Helper()
	dir := t.TempDir()
	args := []string{"cms", "-verify", "-binary", "-inform", "DER", "-in", "s", "-CAfile", "ca", "-certfile", "ca", "-purpose", "any", "-out", "out"}
	if detached {
		args = append(args, "-content", "content")
	}
	for name, data := range map[string][]byte{"s": der, "content": m.content, "ca": m.ca} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("openssl", args...)
	cmd.Dir = dir
	if said, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(said, []byte("successful")) {
		t.Errorf("openssl: %s", said)
	}
	if out := must(os.ReadFile(filepath.Join(dir, "out"))); !bytes.Equal(out, m.content) {
		t.Error("openssl found other content")
	}
}

func TestOpenSSLMade(t *testing.T) {
	m := byOpenSSL()
	for name, want := range map[string]struct {
		version, signers, certificates, signed int
		attached                               bool
	}{
		"detached":      {1, 1, 1, 5, false},
		"attached":      {1, 1, 1, 5, true},
		"streamed":      {1, 1, 1, 5, true},
		"keyid":         {3, 1, 1, 4, true},
		"no attributes": {1, 1, 0, 0, false},
		"two signers":   {1, 2, 2, 5, true},
	} {
		data := m.files[name]
		s, err := cms.Parse(data)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		si := s.Signers[0]
		if s.Version != want.version || len(s.Signers) != want.signers || len(s.Certificates) != want.certificates || s.Attached() != want.attached || len(si.Signed) != want.signed {
			t.Errorf("%s: version %d, %d signers, %d certificates, %d signed attributes, attached %v", name, s.Version, len(s.Signers), len(s.Certificates), len(si.Signed), s.Attached())
		}
		content := must(io.ReadAll(s.Content()))
		if want.attached && !bytes.Equal(content, m.content) || s.ContentSize() != int64(len(content)) || !want.attached && len(content) > 0 {
			t.Errorf("%s: content of %d bytes, size %d", name, len(content), s.ContentSize())
		}
		if off, ok := s.ContentAt(); ok != (name == "attached") || ok && !bytes.Equal(data[off:][:len(content)], content) {
			t.Errorf("%s: content at %d, %v", name, off, ok)
		}
		if want.certificates > 0 && !slices.ContainsFunc(s.Certificates, func(c []byte) bool { return bytes.Equal(c, m.cert) }) {
			t.Errorf("%s: without its certificate", name)
		}
		// What was read is what was signed.
		hashed := m.content
		if want.signed > 0 {
			hashed = must(si.SignedAttrsDER())
		}
		if digest := sha256.Sum256(hashed); !ecdsa.VerifyASN1(&m.key.PublicKey, digest[:], si.Value) {
			t.Errorf("%s: the signature is not over what was read", name)
		}
		if !bytes.Equal(must(s.Add(cms.Additions{})), data) {
			t.Errorf("%s: is not written as it was read", name)
		}
	}
}

// TestStreamed reads files that are not in memory and writes them with additions.
func TestStreamed(t *testing.T) {
	m := byOpenSSL()
	for name, data := range m.files {
		whole := must(cms.Parse(data))
		s, err := cms.Read(bytes.NewReader(data), int64(len(data)), cms.Limits{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		a := m.additions(whole)
		var out bytes.Buffer
		n, err := s.WriteAdded(&out, a)
		if err != nil || n != int64(out.Len()) || !bytes.Equal(out.Bytes(), must(whole.Add(a))) {
			t.Errorf("%s: %d bytes, %v", name, n, err)
		}
		if got := must(io.ReadAll(s.Content())); !bytes.Equal(got, must(io.ReadAll(whole.Content()))) {
			t.Errorf("%s: other content", name)
		}
		if s.Attached() {
			if _, err := cms.Read(bytes.NewReader(data), int64(len(data)), cms.Limits{Structure: 200}); !errors.Is(err, cms.ErrLimit) {
				t.Errorf("%s: beyond its limit: %v", name, err)
			}
		}
	}
}

var (
	ocsp     = []byte{0x30, 0x03, 0x0a, 0x01, 0x06}
	sha384ID = must(hex.DecodeString("300b0609608648016503040202"))
)

func attribute(last byte, size int) []byte {
	oid := must(asn1.Marshal(asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, int(last)}))
	return cms.NewAttribute(oid, must(asn1.Marshal(make([]byte, size))))
}

func (m *made) additions(s *cms.SignedData) cms.Additions {
	a := cms.Additions{
		DigestAlgorithms: [][]byte{sha384ID},
		Certificates:     [][]byte{m.cert, attribute(1, 10)}, // a SEQUENCE is enough for a certificate
		RevocationInfos:  [][]byte{m.crl, cms.NewOCSP(ocsp)},
		Unsigned:         map[int][][]byte{},
	}
	for i := range s.Signers {
		a.Unsigned[i] = [][]byte{attribute(9, 3), attribute(2, 70000), attribute(3, 200)}
	}
	return a
}

// TestAdd adds everything, several times, and finds every old octet.
func TestAdd(t *testing.T) {
	m := byOpenSSL()
	for name, data := range m.files {
		s := must(cms.Parse(data))
		out := must(s.Add(m.additions(s)))
		if name != "keyid" && name != "no attributes" { // the added certificate is none, which only matters to those who look for one
			t.Run(name, func(t *testing.T) {
				a := m.additions(s)
				a.Certificates = a.Certificates[:1]
				m.verify(t, must(s.Add(a)), !s.Attached())
			})
		}
		r := must(cms.Parse(out))
		if r.Version != 5 || len(r.DigestAlgorithms) != 2 || len(r.Certificates) != max(2, len(s.Certificates)+1) || len(r.RevocationInfos) != 2 {
			t.Errorf("%s: version %d, %d digests, %d certificates, %d revocation infos", name, r.Version, len(r.DigestAlgorithms), len(r.Certificates), len(r.RevocationInfos))
		}
		answers := 0
		for _, info := range r.RevocationInfos {
			if answer, ok := cms.OCSP(info); ok && bytes.Equal(answer, ocsp) {
				answers++
			} else if !bytes.Equal(info, m.crl) {
				t.Errorf("%s: neither CRL nor OCSP answer", name)
			}
		}
		if answers != 1 {
			t.Errorf("%s: %d OCSP answers", name, answers)
		}
		for i, si := range r.Signers {
			old := s.Signers[i]
			if len(si.Unsigned) != 3 || !bytes.Equal(si.SID, old.SID) || !bytes.Equal(si.SignedAttrs, old.SignedAttrs) || !bytes.Equal(si.Signature, old.Signature) {
				t.Errorf("%s: signer %d is not as before", name, i)
			}
		}
		if !bytes.Equal(must(r.Add(m.additions(r))), out) {
			t.Errorf("%s: adding the same again changes the file", name)
		}
		unchanged(t, name, data, out)
	}
}

// unchanged finds the old octets in the new ones in their order, but for lengths of containers, which shows that nothing
// was dropped: the new file, with additions and headers taken away, is no shorter.
func unchanged(t *testing.T, name string, old, out []byte) {
	t.Helper()
	o, n := must(cms.Parse(old)), must(cms.Parse(out))
	for _, c := range o.Certificates {
		if !slices.ContainsFunc(n.Certificates, func(x []byte) bool { return bytes.Equal(x, c) }) {
			t.Errorf("%s: a certificate is gone", name)
		}
	}
	if !bytes.Equal(o.RawContentType, n.RawContentType) || !bytes.Equal(must(io.ReadAll(o.Content())), must(io.ReadAll(n.Content()))) {
		t.Errorf("%s: the content changed", name)
	}
	for i, si := range o.Signers {
		for _, part := range [][]byte{si.RawVersion, si.SID, si.DigestAlgorithm, si.SignedAttrs, si.SignatureAlgorithm, si.Signature} {
			if !bytes.Contains(n.Signers[i].Raw, part) {
				t.Errorf("%s: signer %d lost %x", name, i, part[:min(len(part), 20)])
			}
		}
	}
}

// smallBER has every container of indefinite length.
const smallBER = "3080 06092a864886f70d010702 a080 3080 020101 3180 0000 3080 06092a864886f70d010701 a080 2480 0401aa 2480 0402bbcc 0000 0400 0000 0000 0000" +
	" a080 0000 a180 0000 3180 3080 020101 3000 3000 3000 2480 040101 0000 a180 0000 0000 0000 0000 0000 0000"

// TestIndefinite: containers of indefinite length stay so, and the smallest file grows in every field.
func TestIndefinite(t *testing.T) {
	// Every container of definite length, and none of the optional fields: 16-bit lengths come where 7 bits were enough.
	definite := func(version byte, digests, fields []byte, unsigned []byte) []byte {
		signer := tlv(0x30, []byte{2, 1, 1, 0x30, 0, 0x30, 0, 0x30, 0, 4, 1, 1}, unsigned)
		data := tlv(0x30, must(asn1.Marshal(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1})))
		sd := tlv(0x30, []byte{2, 1, version}, tlv(0x31, digests), data, fields, tlv(0x31, signer))
		return tlv(0x30, must(asn1.Marshal(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2})), tlv(0xa0, sd))
	}
	certificate, attr := attribute(1, 300), attribute(2, 70000)
	info := cms.NewOCSP(ocsp)
	got := must(must(cms.Parse(definite(1, nil, nil, nil))).Add(cms.Additions{
		DigestAlgorithms: [][]byte{sha384ID}, Certificates: [][]byte{certificate}, RevocationInfos: [][]byte{info}, Unsigned: map[int][][]byte{0: {attr}},
	}))
	if !bytes.Equal(got, definite(5, sha384ID, append(tlv(0xa0, certificate), tlv(0xa1, info)...), tlv(0xa1, attr))) {
		t.Errorf("definite lengths: %x", got[:100])
	}
	// The same with every container of indefinite length.
	in := must(hex.DecodeString(strings.ReplaceAll(smallBER, " ", "")))
	s := must(cms.Parse(in))
	if got := must(io.ReadAll(s.Content())); !bytes.Equal(got, []byte{0xaa, 0xbb, 0xcc}) || !bytes.Equal(s.Signers[0].Value, []byte{1}) {
		t.Errorf("content %x, signature %x", got, s.Signers[0].Value)
	}
	out := must(s.Add(cms.Additions{
		DigestAlgorithms: [][]byte{{0x30, 0}}, Certificates: [][]byte{{0x30, 0}}, RevocationInfos: [][]byte{cms.NewOCSP([]byte{0x30, 0})},
		Unsigned: map[int][][]byte{0: {cms.NewAttribute([]byte{6, 1, 42}, []byte{5, 0})}},
	}))
	want := "3080 06092a864886f70d010702 a080 3080 020105 3180 3000 0000 3080 06092a864886f70d010701 a080 2480 0401aa 2480 0402bbcc 0000 0400 0000 0000 0000" +
		" a080 3000 0000 a180 a10c 06082b06010505071002 3000 0000 3180 3080 020101 3000 3000 3000 2480 040101 0000 a180 3007 06012a 3102 0500 0000 0000 0000 0000 0000 0000"
	if got := hex.EncodeToString(out); got != strings.ReplaceAll(want, " ", "") {
		t.Errorf("got  %s\nwant %s", got, strings.ReplaceAll(want, " ", ""))
	}
}

// tlv encodes by another encoder than that of the package.
func tlv(tag byte, parts ...[]byte) []byte {
	return must(asn1.Marshal(asn1.RawValue{Class: int(tag >> 6), Tag: int(tag & 0x1f), IsCompound: tag&0x20 != 0, Bytes: bytes.Join(parts, nil)}))
}

func TestRefused(t *testing.T) {
	m := byOpenSSL()
	attached := m.files["attached"]
	digested := "305e06092a864886f70d010705a0"
	for name, tc := range map[string]struct {
		data []byte
		want error
		says string
	}{
		"nothing":        {nil, cms.ErrMalformed, "byte 0: ContentInfo: is missing"},
		"text":           {[]byte("MIME-Version: 1.0"), cms.ErrMalformed, "byte 0: ContentInfo: has tag 0x4d, not 0x30"},
		"zip":            {[]byte("PK\x03\x04"), cms.ErrMalformed, "ContentInfo"},
		"digested":       {append(must(hex.DecodeString(digested)), make([]byte, 82)...), cms.ErrUnsupported, "1.2.840.113549.1.7.5, not SignedData"},
		"cut":            {attached[:len(attached)-1], cms.ErrMalformed, "is longer than what it is in"},
		"behind":         {append(bytes.Clone(attached), 0), cms.ErrMalformed, "byte " + strconv.Itoa(len(attached)) + ": file: goes on behind its end"},
		"unclosed":       {m.files["streamed"][:len(m.files["streamed"])-2], cms.ErrMalformed, "ContentInfo: does not end here"},
		"length octets":  {append([]byte{0x30, 0xfe}, make([]byte, 126)...), cms.ErrMalformed, "too many octets"},
		"deep":           {append([]byte{0x30, 0x80}, bytes.Repeat([]byte{0x30, 0x80}, 1000)...), cms.ErrLimit, "nested too deeply"},
		"deep in string": {deepString(), cms.ErrLimit, "too many pieces"},
	} {
		s, err := cms.Parse(tc.data)
		if s != nil || !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v, want %v with %q", name, err, tc.want, tc.says)
		}
	}
	s := must(cms.Parse(attached))
	for name, a := range map[string]cms.Additions{
		"no signer":       {Unsigned: map[int][][]byte{1: {attribute(1, 1)}}},
		"no attribute":    {Unsigned: map[int][][]byte{0: {{0x30, 0}}}},
		"empty":           {Certificates: [][]byte{nil}},
		"two":             {RevocationInfos: [][]byte{{0x30, 0, 0x30, 0}}},
		"no certificate":  {Certificates: [][]byte{{0x04, 0}}},
		"no revocation":   {RevocationInfos: [][]byte{{0xa2, 0}}},
		"no digest":       {DigestAlgorithms: [][]byte{{0x06, 1, 42}}},
		"cut certificate": {Certificates: [][]byte{m.cert[:len(m.cert)-1]}},
	} {
		if out, err := s.Add(a); !errors.Is(err, cms.ErrInput) || out != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func deepString() []byte {
	head := must(hex.DecodeString("308006092a864886f70d010702a0803080020101310030800609" + "2a864886f70d010701a080"))
	return append(head, bytes.Repeat([]byte{0x24, 0x80}, 1000)...)
}

func TestDER(t *testing.T) {
	for in, want := range map[string]string{
		"3080 0000":                             "3000",
		"308100":                                "3000",
		"3180 020102 020101 0000":               "3106020101020102",
		"2480 0401aa 2403 0401bb 0000":          "0402aabb",
		"2380 0302 00aa 0302 04b0 0000":         "03030 4aab0",
		"010101":                                "0101ff",
		"a080 a003 020101 0000":                 "a005a003020101",
		"3f8101 02 0500":                        "3f8101020500",
		"0282000101":                            "020101",
		"2c80 0c01 41 0c01 42 0000":             "0c024142",
		"30 84 00000003 020101":                 "3003020101",
		"3180 3003020102 3080 020101 0000 0000": "310a30030201013003020102",
	} {
		got, err := cms.DER(must(hex.DecodeString(strings.ReplaceAll(in, " ", ""))))
		if hex.EncodeToString(got) != strings.ReplaceAll(want, " ", "") {
			t.Errorf("%s: %x, %v", in, got, err)
		}
	}
	for in, want := range map[string]string{
		"3080 3082000102 0000":                     "",
		"3080 0101 01 308103 020101 0000":          "3009 010101 308103020101",
		"3180 020102 020101 2480 0401aa 0000 0000": "3109 020102 020101 0401aa",
		"30 81 03 020101":                          "308103020101",
		"30 81 05 2403 0401bb":                     "3003 0401bb",
	} {
		got, err := cms.Definite(must(hex.DecodeString(strings.ReplaceAll(in, " ", ""))))
		if hex.EncodeToString(got) != strings.ReplaceAll(want, " ", "") || (err == nil) != (want != "") {
			t.Errorf("%s: %x, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "30", "3080", "300", "2480 020101 0000", "3080 00 01 0000", "0000", "3000 00", strings.Repeat("3080", 100) + strings.Repeat("0000", 100)} {
		raw, _ := hex.DecodeString(strings.ReplaceAll(in, " ", ""))
		if got, err := cms.DER(raw); err == nil {
			t.Errorf("%s became %x", in, got)
		}
	}
}

// exercise does with data all that can be done with it.
func exercise(t *testing.T, data []byte) bool {
	s, err := cms.Parse(data)
	if (s == nil) == (err == nil) {
		t.Fatal("neither or both of result and error")
	}
	read, errRead := cms.Read(bytes.NewReader(data), int64(len(data)), cms.Limits{})
	if (err == nil) != (errRead == nil) {
		t.Fatalf("in memory %v, read %v", err, errRead)
	}
	_, _ = cms.DER(data)
	// Without an octet that could begin an indefinite length or a string in pieces, nothing is changed.
	if same, err := cms.Definite(data); err == nil && !bytes.Contains(data, []byte{0x80}) && !slices.ContainsFunc(data, func(b byte) bool {
		return b == 0x23 || b == 0x24 || b == 0x2c || b >= 0x32 && b <= 0x3e
	}) && !bytes.Equal(same, data) {
		t.Fatal("definite already, and changed")
	}
	if err != nil {
		return false
	}
	if !bytes.Equal(must(s.Add(cms.Additions{})), data) {
		t.Fatal("not written as it was read")
	}
	content := must(io.ReadAll(s.Content()))
	if int64(len(content)) != s.ContentSize() || !bytes.Equal(must(io.ReadAll(read.Content())), content) {
		t.Fatal("content of another length than told, or not the same by both ways")
	}
	a := cms.Additions{Certificates: [][]byte{attribute(1, 300)}, RevocationInfos: [][]byte{cms.NewOCSP(ocsp)}, DigestAlgorithms: [][]byte{sha384ID}, Unsigned: map[int][][]byte{}}
	for i, si := range s.Signers {
		a.Unsigned[i] = [][]byte{attribute(4, 100)}
		_, _ = si.SignedAttrsDER()
		for _, u := range slices.Concat(si.Signed, si.Unsigned) {
			for _, v := range u.Values {
				_, _ = cms.ParseSignerInfo(v)
			}
		}
	}
	out := must(s.Add(a))
	again, err := cms.Parse(out)
	if err != nil || len(again.Signers) != len(s.Signers) || !bytes.Equal(must(again.Add(a)), out) {
		t.Fatalf("with additions: %v", err)
	}
	for i, si := range s.Signers {
		if !bytes.Equal(si.SignedAttrs, again.Signers[i].SignedAttrs) || !bytes.Equal(si.Value, again.Signers[i].Value) {
			t.Fatal("a signed octet changed")
		}
	}
	return true
}

// TestMutations: 10,000 damaged files, or as many as MUTATIONS says.
func TestMutations(t *testing.T) {
	m := byOpenSSL()
	n := mutations.Count(t, 10_000)
	names := slices.Sorted(func(yield func(string) bool) {
		for name := range m.files {
			if !yield(name) {
				return
			}
		}
	})
	r := mathrand.New(mathrand.NewPCG(1, 2))
	good := 0
	for i := range n {
		data := bytes.Clone(m.files[names[i%len(names)]])
		for range 1 + r.IntN(3) {
			// The structure is at both ends; the content would swallow most changes.
			at := r.IntN(min(len(data), 1200))
			if r.IntN(2) == 0 {
				at = len(data) - 1 - at
			}
			switch r.IntN(4) {
			case 0:
				data[at] = byte(r.Uint32())
			case 1:
				data[at] ^= 1 << r.IntN(8)
			case 2:
				data = slices.Insert(data, at, 0x30, 0x80)
			default:
				data = slices.Delete(data, at, min(len(data), at+1+r.IntN(3)))
			}
		}
		begun := cpu(t)
		if exercise(t, data) {
			good++
		}
		if took := cpu(t) - begun; took > time.Second {
			t.Errorf("mutation %d took %v", i, took)
		}
	}
	if good == 0 || good == n {
		t.Errorf("%d of %d still readable", good, n)
	}
}

// corpus is a collection of other people's files.
const corpus = "../../../shared/corpus"

// TestCorpus reads other people's CMS, and hostile files within two seconds each.
func TestCorpus(t *testing.T) {
	for _, dir := range []string{"cms", "hostile"} {
		entries, err := os.ReadDir(filepath.Join(corpus, dir))
		if err != nil {
			t.Skipf("NO CORPUS at %s: files made by others are not tested: %v", corpus, err)
		}
		for _, e := range entries {
			data := must(os.ReadFile(filepath.Join(corpus, dir, e.Name())))
			begun := cpu(t)
			read := exercise(t, data)
			if took := cpu(t) - begun; took > 2*time.Second {
				t.Errorf("%s took %v", e.Name(), took)
			}
			signed := slices.Contains([]string{".p7m", ".p7s", ".p7", ".pkcs7", ".tsr", ".tst"}, filepath.Ext(e.Name())) || e.Name() == "bc-test-data-4.4.bin"
			if read != signed {
				_, err := cms.Parse(data)
				t.Errorf("%s: %v", e.Name(), err)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	// Short ones, because long ones are made shorter for a minute each time that they are of interest.
	m := byOpenSSL()
	for name, data := range m.files {
		if s := must(cms.Parse(data)); !s.Attached() && name != "no attributes" {
			f.Add(data)
			f.Add(must(s.Add(cms.Additions{RevocationInfos: [][]byte{cms.NewOCSP(ocsp)}, Unsigned: map[int][][]byte{0: {attribute(1, 9)}}})))
		}
	}
	f.Add(must(hex.DecodeString(strings.ReplaceAll(smallBER, " ", ""))))
	f.Add([]byte{0x30, 0x80, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) { exercise(t, data) })
}

// cpu is the processor time that the tests have used: the machine has other work too.
func cpu(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
