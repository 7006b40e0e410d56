package cades_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.mozilla.org/pkcs7"

	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/cades/cadestest"
)

// TestJudges holds every algorithm and profile against our reader, OpenSSL and Mozilla's pkcs7.
func TestJudges(t *testing.T) {
	content := []byte("Договір № 5\r\n")
	for _, a := range cadestest.Algorithms {
		for _, profile := range []cades.Profile{cades.PAdES, cades.CAdES} {
			id := a.ID()
			der := cadestest.Assemble(t, profile, id, a.Alg, content)

			s, err := cades.Parse(der)
			if err != nil {
				t.Fatalf("%v: %v", a.Alg, err)
			}
			if err := s.Verify(cadestest.HashOf(a.Alg, content)); err != nil {
				t.Errorf("%v: %v", a.Alg, err)
			}
			if err := s.Conforms(profile); err != nil || s.SignatureTimeStamp != nil {
				t.Errorf("%v: %v, time-stamp %x", a.Alg, err, s.SignatureTimeStamp)
			}
			if err := s.Conforms(cades.PAdES + cades.CAdES - profile); !errors.Is(err, cades.ErrProfile) {
				t.Errorf("%v: of the other profile: %v", a.Alg, err)
			}
			if s.Algorithm != a.Alg || !bytes.Equal(s.Certificate.Raw, id.Chain[0]) || len(s.Certificates) != 3 {
				t.Errorf("%v: read back as %v with %d certificates", a.Alg, s.Algorithm, len(s.Certificates))
			}
			if want := cadestest.SigningTime.Truncate(time.Second); profile == cades.CAdES && (!s.SigningTime.Equal(want) || s.MIMEType != "text/plain") {
				t.Errorf("%v: signing time %v, MIME type %q", a.Alg, s.SigningTime, s.MIMEType)
			}

			said := cadestest.OpenSSL(t, id, der, content)
			if !strings.Contains(said, "CAdES Verification successful") {
				t.Errorf("%v: openssl: %s", a.Alg, said)
			}
			if said := cadestest.OpenSSL(t, id, der, []byte("other")); strings.Contains(said, "successful") {
				t.Errorf("%v: openssl accepts other content", a.Alg)
			}
			// Mozilla's pkcs7 knows no PSS.
			if a.Alg < cades.PSSWithSHA256 {
				p7, err := pkcs7.Parse(der)
				if err != nil {
					t.Fatal(err)
				}
				p7.Content = content
				roots := x509.NewCertPool()
				roots.AddCert(cadestest.Must(x509.ParseCertificate(id.Chain[2])))
				if err := p7.VerifyWithChain(roots); err != nil {
					t.Errorf("%v: pkcs7: %v", a.Alg, err)
				}
			}
		}
	}
}

// TestEncoding checks what no verifier insists on: the exact form of the identifiers and the order of the sets.
func TestEncoding(t *testing.T) {
	hexOf := func(s string) []byte { return cadestest.Must(hex.DecodeString(s)) }
	for _, tc := range []struct {
		alg    cades.Algorithm
		id     func() cadestest.Identity
		want   string // signature AlgorithmIdentifier
		digest string // digest AlgorithmIdentifier
	}{
		{cades.ECDSAWithSHA256, cadestest.P256, "300a06082a8648ce3d040302", "300b0609608648016503040201"},
		{cades.ECDSAWithSHA384, cadestest.P384, "300a06082a8648ce3d040303", "300b0609608648016503040202"},
		{cades.RSAWithSHA256, cadestest.RSA3072, "300d06092a864886f70d01010b0500", "300b0609608648016503040201"},
		{cades.RSAWithSHA512, cadestest.RSA3072, "300d06092a864886f70d01010d0500", "300b0609608648016503040203"},
		{
			cades.PSSWithSHA256, cadestest.RSA3072,
			"304106092a864886f70d01010a3034a00f300d06096086480165030402010500a11c301a06092a864886f70d010108" +
				"300d06096086480165030402010500a203020120", "300b0609608648016503040201",
		},
	} {
		der := cadestest.Assemble(t, cades.CAdES, tc.id(), tc.alg, []byte("x"))
		if bytes.Count(der, hexOf(tc.want)) < 1 || bytes.Count(der, hexOf(tc.digest)) < 2 {
			t.Errorf("%v: identifiers are not as the standards want them", tc.alg)
		}
	}
}

// TestSignedAttributes compares the attributes with their description, decoded by another reader.
func TestSignedAttributes(t *testing.T) {
	type attr struct {
		Type   asn1.ObjectIdentifier
		Values []asn1.RawValue `asn1:"set"`
	}
	decode := func(der []byte) (oids []string, last []byte) {
		var attrs []attr
		if rest, err := asn1.UnmarshalWithParams(der, &attrs, "set"); err != nil || len(rest) > 0 {
			t.Fatal(err)
		}
		for _, a := range attrs {
			oids = append(oids, a.Type.String())
			last = a.Values[0].FullBytes
		}
		return oids, last
	}
	id := cadestest.P256()
	pades := cadestest.Prepare(t, cades.PAdES, id, cades.ECDSAWithSHA256, []byte("x")).SignedAttributes
	oids, signingCertificate := decode(pades)
	if want := "1.2.840.113549.1.9.3 1.2.840.113549.1.9.4 1.2.840.113549.1.9.16.2.47"; strings.Join(oids, " ") != want {
		t.Errorf("PAdES attributes %v, want %v", oids, want)
	}
	// SHA-256 is the default hash of ESSCertIDv2 and must be left out; no issuerSerial.
	want := append([]byte{0x30, 0x26, 0x30, 0x24, 0x30, 0x22, 0x04, 0x20}, cadestest.HashOf(cades.ECDSAWithSHA256, id.Chain[0])...)
	if !bytes.Equal(signingCertificate, want) {
		t.Errorf("signing-certificate-v2 %x, want %x", signingCertificate, want)
	}
	oids, _ = decode(cadestest.Prepare(t, cades.CAdES, id, cades.ECDSAWithSHA256, []byte("x")).SignedAttributes)
	if want := "0.4.0.1733.2.1 1.2.840.113549.1.9.3 1.2.840.113549.1.9.5 1.2.840.113549.1.9.4 1.2.840.113549.1.9.16.2.47"; strings.Join(oids, " ") != want {
		t.Errorf("CAdES attributes %v, want %v", oids, want)
	}
}

func TestSigningTimeForms(t *testing.T) {
	id := cadestest.P256()
	for year, tag := range map[int]byte{2026: asn1.TagUTCTime, 2049: asn1.TagUTCTime, 2050: asn1.TagGeneralizedTime} {
		at := time.Date(year, 12, 31, 23, 59, 59, 0, time.UTC)
		a := cades.Attributes{Certificate: id.Chain[0], ContentDigest: make([]byte, 32), Algorithm: cades.ECDSAWithSHA256, SigningTime: at}
		der, err := cades.SignedAttributes(cades.CAdES, a)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(der, []byte{0x31, map[byte]byte{asn1.TagUTCTime: 15, asn1.TagGeneralizedTime: 17}[tag], tag}) {
			t.Errorf("%d: not written with tag %d", year, tag)
		}
	}
}

func TestRefusedInput(t *testing.T) {
	id, other := cadestest.P256(), cadestest.P384()
	good := cades.Attributes{Certificate: id.Chain[0], ContentDigest: make([]byte, 32), Algorithm: cades.ECDSAWithSHA256}
	for name, tc := range map[string]struct {
		profile cades.Profile
		change  func(*cades.Attributes)
	}{
		"no profile":              {0, func(*cades.Attributes) {}},
		"no algorithm":            {cades.PAdES, func(a *cades.Attributes) { a.Algorithm = 0 }},
		"unknown algorithm":       {cades.PAdES, func(a *cades.Attributes) { a.Algorithm = 99 }},
		"short digest":            {cades.PAdES, func(a *cades.Attributes) { a.ContentDigest = make([]byte, 20) }},
		"algorithm of other hash": {cades.PAdES, func(a *cades.Attributes) { a.Algorithm = cades.ECDSAWithSHA384 }},
		"RSA with an EC key":      {cades.PAdES, func(a *cades.Attributes) { a.Algorithm = cades.RSAWithSHA256 }},
		"parsed of another":       {cades.PAdES, func(a *cades.Attributes) { a.Parsed = cadestest.Must(cades.ParseChain(other.Chain)) }},
		"no certificate":          {cades.PAdES, func(a *cades.Attributes) { a.Certificate = nil }},
		"time in PAdES":           {cades.PAdES, func(a *cades.Attributes) { a.SigningTime = cadestest.SigningTime }},
		"MIME type in PAdES":      {cades.PAdES, func(a *cades.Attributes) { a.MIMEType = "text/plain" }},
		"no time in CAdES":        {cades.CAdES, func(*cades.Attributes) {}},
		"time before UTCTime":     {cades.CAdES, func(a *cades.Attributes) { a.SigningTime = time.Date(1949, 1, 1, 0, 0, 0, 0, time.UTC) }},
		"MIME type not UTF-8":     {cades.CAdES, func(a *cades.Attributes) { a.SigningTime, a.MIMEType = cadestest.SigningTime, "\xff" }},
	} {
		a := good
		tc.change(&a)
		if der, err := cades.SignedAttributes(tc.profile, a); !errors.Is(err, cades.ErrInput) || der != nil {
			t.Errorf("%s: %v", name, err)
		}
	}

	parts := id.Sign(t, cadestest.Prepare(t, cades.PAdES, id, cades.ECDSAWithSHA256, []byte("x")))
	for name, tc := range map[string]struct {
		change func(*cades.Parts)
		want   error
	}{
		"no chain":              {func(p *cades.Parts) { p.Chain = nil }, cades.ErrInput},
		"chain too long":        {func(p *cades.Parts) { p.Chain = make([][]byte, 17) }, cades.ErrInput},
		"chain in wrong order":  {func(p *cades.Parts) { p.Chain = [][]byte{id.Chain[1], id.Chain[0]} }, cades.ErrInput},
		"certificate broken":    {func(p *cades.Parts) { p.Chain = [][]byte{id.Chain[0], {0x30}} }, cades.ErrInput},
		"other certificate":     {func(p *cades.Parts) { p.Chain = other.Chain }, cades.ErrInput},
		"parsed of another":     {func(p *cades.Parts) { p.Parsed = cadestest.Must(cades.ParseChain(other.Chain)) }, cades.ErrInput},
		"parsed of a part":      {func(p *cades.Parts) { p.Parsed = cadestest.Must(cades.ParseChain(id.Chain[:2])) }, cades.ErrInput},
		"other algorithm":       {func(p *cades.Parts) { p.Algorithm = cades.ECDSAWithSHA384 }, cades.ErrInput},
		"no signed attributes":  {func(p *cades.Parts) { p.SignedAttributes = nil }, cades.ErrInput},
		"no signature":          {func(p *cades.Parts) { p.Signature = nil }, cades.ErrSignature},
		"signature of another":  {func(p *cades.Parts) { p.Signature = bytes.Repeat([]byte{1}, 64) }, cades.ErrSignature},
		"bytes after signature": {func(p *cades.Parts) { p.Signature = append(bytes.Clone(p.Signature), 0) }, cades.ErrSignature},
	} {
		p := parts
		tc.change(&p)
		if der, err := cades.Assemble(p); !errors.Is(err, tc.want) || der != nil {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
}

// TestParsedChain: who parses the chain once for many signatures gets the same bytes, and keeps what was parsed apart from
// the bytes that were given.
func TestParsedChain(t *testing.T) {
	id := cadestest.P256()
	given := [][]byte{bytes.Clone(id.Chain[0]), bytes.Clone(id.Chain[1]), bytes.Clone(id.Chain[2])}
	chain, err := cades.ParseChain(given)
	if err != nil || !bytes.Equal(chain.Leaf().Raw, id.Chain[0]) {
		t.Fatal(err)
	}
	clear(given[0])
	a := cades.Attributes{Certificate: id.Chain[0], ContentDigest: cadestest.HashOf(cades.ECDSAWithSHA256, []byte("x")), Algorithm: cades.ECDSAWithSHA256}
	attributes := cadestest.Must(cades.SignedAttributes(cades.PAdES, a))
	a.Parsed = chain
	if !bytes.Equal(cadestest.Must(cades.SignedAttributes(cades.PAdES, a)), attributes) {
		t.Error("other signed attributes came")
	}
	parts := id.Sign(t, cades.Parts{SignedAttributes: attributes, Algorithm: a.Algorithm, Chain: id.Chain})
	cms := cadestest.Must(cades.Assemble(parts))
	parts.Parsed = chain
	if !bytes.Equal(cadestest.Must(cades.Assemble(parts)), cms) {
		t.Error("another CMS came")
	}
	for _, bad := range [][][]byte{nil, make([][]byte, 17), {id.Chain[0], {0x30}}} {
		if _, err := cades.ParseChain(bad); !errors.Is(err, cades.ErrInput) {
			t.Errorf("%d certificates: %v", len(bad), err)
		}
	}
}

// TestEveryByteCounts flips each byte of a CMS. Embedded CA certificates are not signed; apart from them no changed
// byte may pass.
func TestEveryByteCounts(t *testing.T) {
	id := cadestest.P256()
	id.Chain = id.Chain[:1]
	content := []byte("content")
	der := cadestest.Assemble(t, cades.CAdES, id, cades.ECDSAWithSHA256, content)
	for i := range der {
		for _, mask := range []byte{1, 2, 4, 0x80} {
			bad := bytes.Clone(der)
			bad[i] ^= mask
			s, err := cades.Parse(bad)
			if err != nil {
				continue
			}
			if s.Verify(cadestest.HashOf(s.Algorithm, content)) == nil && s.Conforms(cades.CAdES) == nil {
				t.Errorf("byte %d of %d changed by %#x and still valid", i, len(der), mask)
			}
		}
	}
}

func TestParseRefuses(t *testing.T) {
	der := cadestest.Assemble(t, cades.CAdES, cadestest.P256(), cades.ECDSAWithSHA256, []byte("x"))
	for name, tc := range map[string]struct {
		der  []byte
		want error
	}{
		"nothing":       {nil, cades.ErrMalformed},
		"trailing zero": {append(bytes.Clone(der), 0), cades.ErrMalformed},
		"cut":           {der[:len(der)-1], cades.ErrMalformed},
		"BER":           {append([]byte{0x30, 0x80}, der[4:]...), cades.ErrMalformed},
		"plain data":    {cadestest.Must(asn1.Marshal(struct{ A asn1.ObjectIdentifier }{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}})), cades.ErrUnsupported},
		"too long":      {make([]byte, 17<<20), cades.ErrUnsupported},
	} {
		if s, err := cades.Parse(tc.der); !errors.Is(err, tc.want) || s != nil {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
	s, err := cades.Parse(der)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(make([]byte, 32)); !errors.Is(err, cades.ErrDigest) {
		t.Errorf("wrong content: %v", err)
	}
}

// TestOpenSSLMade reads signatures made by OpenSSL, with and without what a baseline needs.
func TestOpenSSLMade(t *testing.T) {
	id := cadestest.P256()
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cert := write("cert.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: id.Chain[0]}))
	key := write("key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: cadestest.Must(x509.MarshalPKCS8PrivateKey(id.Key))}))
	content := []byte("made elsewhere")
	in := write("content", content)
	for _, tc := range []struct {
		name string
		args []string
		err  error
		want error // of Conforms
	}{
		{"cades", []string{"-cades"}, nil, nil},
		{"by key identifier", []string{"-cades", "-keyid"}, cades.ErrUnsupported, nil}, // the leaf has no SubjectKeyIdentifier
		{"plain CMS", nil, nil, cades.ErrProfile},
		{"attached", []string{"-cades", "-nodetach"}, cades.ErrUnsupported, nil},
		{"no certificate", []string{"-cades", "-nocerts"}, cades.ErrUnsupported, nil},
		{"no signed attributes", []string{"-noattr"}, cades.ErrMalformed, nil},
	} {
		out := filepath.Join(dir, "out.p7s")
		args := append([]string{"cms", "-sign", "-binary", "-md", "sha256", "-signer", cert, "-inkey", key, "-in", in, "-outform", "DER", "-out", out}, tc.args...)
		if said, err := exec.Command("openssl", args...).CombinedOutput(); err != nil {
			if tc.name == "by key identifier" {
				continue // OpenSSL refuses it too
			}
			t.Fatalf("%s: %v %s", tc.name, err, said)
		}
		s, err := cades.Parse(cadestest.Must(os.ReadFile(out)))
		if !errors.Is(err, tc.err) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.err)
		}
		if err != nil {
			continue
		}
		if err := s.Verify(cadestest.HashOf(s.Algorithm, content)); err != nil || !errors.Is(s.Conforms(cades.CAdES), tc.want) {
			t.Errorf("%s: %v, conforms %v", tc.name, err, s.Conforms(cades.CAdES))
		}
	}
}

func TestMutationsNeverPanic(t *testing.T) {
	der := cadestest.Assemble(t, cades.CAdES, cadestest.RSA3072(), cades.PSSWithSHA256, []byte("x"))
	r := mathrand.New(mathrand.NewPCG(1, 2))
	for range 5000 {
		bad := bytes.Clone(der)
		for range 1 + r.IntN(4) {
			bad[r.IntN(len(bad))] = byte(r.Uint32())
		}
		bad = bad[:r.IntN(len(bad)+1)]
		if s, err := cades.Parse(bad); err == nil {
			_ = s.Verify(make([]byte, 32))
			_ = s.Conforms(cades.CAdES)
		}
	}
}

func FuzzParse(f *testing.F) {
	id := cadestest.P256()
	attrs := cadestest.Must(cades.SignedAttributes(cades.PAdES, cades.Attributes{Certificate: id.Chain[0], ContentDigest: make([]byte, 32), Algorithm: cades.ECDSAWithSHA256}))
	sig := cadestest.Must(id.Key.Sign(rand.Reader, cadestest.HashOf(cades.ECDSAWithSHA256, attrs), crypto.SHA256))
	f.Add(cadestest.Must(cades.Assemble(cades.Parts{SignedAttributes: attrs, Signature: sig, Algorithm: cades.ECDSAWithSHA256, Chain: id.Chain})))
	f.Add([]byte{0x30, 0x80, 0, 0})
	f.Fuzz(func(t *testing.T, der []byte) {
		s, err := cades.Parse(der)
		if (s == nil) == (err == nil) {
			t.Fatal("neither or both of result and error")
		}
		if err == nil {
			_ = s.Verify(make([]byte, 32))
			_ = s.Conforms(cades.PAdES)
		}
	})
}
