package cades_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"math/big"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mozilla.org/pkcs7"

	"github.com/ecsigner/ecsigner/signer/cades"
)

// signingTime lies in the validity of the certificates made now, in another zone than UTC and with a fraction.
var signingTime = time.Now().In(time.FixedZone("", 2*3600))

type identity struct {
	key    crypto.Signer
	chain  [][]byte // leaf, CA, root
	caKeys []crypto.Signer
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Keys are made once, because they are slow to make, and no test changes them.
var (
	p256    = sync.OnceValue(func() identity { return newIdentity(must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))) })
	p384    = sync.OnceValue(func() identity { return newIdentity(must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))) })
	p521    = sync.OnceValue(func() identity { return newIdentity(must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader))) })
	rsa3072 = sync.OnceValue(func() identity { return newIdentity(must(rsa.GenerateKey(rand.Reader, 3072))) })
)

func newIdentity(key crypto.Signer) identity {
	rootKey := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	caKey := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	certificate := func(serial *big.Int, name string, pub any, parent *x509.Certificate, by crypto.Signer) *x509.Certificate {
		t := &x509.Certificate{
			SerialNumber: serial, Subject: pkix.Name{CommonName: name},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), BasicConstraintsValid: true,
			KeyUsage: x509.KeyUsageContentCommitment,
		}
		if name != "Signer" {
			t.IsCA, t.KeyUsage = true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
		}
		if parent == nil {
			parent = t
		}
		return must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, t, parent, pub, by))))
	}
	suffix := " " + rand.Text()[:8] // no two issuers of one name
	root := certificate(big.NewInt(1), "Root"+suffix, rootKey.Public(), nil, rootKey)
	ca := certificate(big.NewInt(2), "CA"+suffix, caKey.Public(), root, rootKey)
	// A serial number of 20 bytes with its highest bit set exercises the sign byte of the INTEGER.
	serial := new(big.Int).SetBytes(append([]byte{0xff}, make([]byte, 18)...))
	leaf := certificate(serial, "Signer", key.Public(), ca, caKey)
	return identity{key, [][]byte{leaf.Raw, ca.Raw, root.Raw}, []crypto.Signer{caKey, rootKey}}
}

func hashOf(alg cades.Algorithm, data []byte) []byte {
	h := alg.Hash().New()
	h.Write(data)
	return h.Sum(nil)
}

// prepare returns the parts of a signature over content that lack only the signature value.
func prepare(t *testing.T, p cades.Profile, id identity, alg cades.Algorithm, content []byte) cades.Parts {
	t.Helper()
	a := cades.Attributes{Certificate: id.chain[0], ContentDigest: hashOf(alg, content), Algorithm: alg}
	if p == cades.CAdES {
		a.SigningTime, a.MIMEType = signingTime, "text/plain"
	}
	der, err := cades.SignedAttributes(p, a)
	if err != nil {
		t.Fatal(err)
	}
	return cades.Parts{SignedAttributes: der, Algorithm: alg, Chain: id.chain}
}

// sign adds the signature value, as the device would.
func (id identity) sign(t *testing.T, parts cades.Parts) cades.Parts {
	t.Helper()
	var opts crypto.SignerOpts = parts.Algorithm.Hash()
	if parts.Algorithm >= cades.PSSWithSHA256 {
		opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: parts.Algorithm.Hash()}
	}
	sig, err := id.key.Sign(rand.Reader, hashOf(parts.Algorithm, parts.SignedAttributes), opts)
	if err != nil {
		t.Fatal(err)
	}
	parts.Signature = sig
	return parts
}

func assemble(t *testing.T, p cades.Profile, id identity, alg cades.Algorithm, content []byte) []byte {
	t.Helper()
	parts := prepare(t, p, id, alg, content)
	limit, err := cades.MaxSize(parts)
	if err != nil {
		t.Fatal(err)
	}
	der, err := cades.Assemble(id.sign(t, parts))
	if err != nil {
		t.Fatal(err)
	}
	// ECDSA values vary in length; each INTEGER may be a few bytes shorter than the greatest.
	if len(der) > limit || len(der) < limit-12 {
		t.Errorf("MaxSize says %d, CMS has %d bytes", limit, len(der))
	}
	return der
}

var algorithms = []struct {
	alg cades.Algorithm
	id  func() identity
}{
	{cades.ECDSAWithSHA256, p256},
	{cades.ECDSAWithSHA384, p384},
	{cades.ECDSAWithSHA512, p521},
	{cades.ECDSAWithSHA512, p256},
	{cades.RSAWithSHA256, rsa3072},
	{cades.RSAWithSHA384, rsa3072},
	{cades.RSAWithSHA512, rsa3072},
	{cades.PSSWithSHA256, rsa3072},
	{cades.PSSWithSHA384, rsa3072},
	{cades.PSSWithSHA512, rsa3072},
}

// TestJudges holds every algorithm and profile against our reader, OpenSSL and Mozilla's pkcs7.
func TestJudges(t *testing.T) {
	content := []byte("Договір № 5\r\n")
	for _, a := range algorithms {
		for _, profile := range []cades.Profile{cades.PAdES, cades.CAdES} {
			id := a.id()
			der := assemble(t, profile, id, a.alg, content)

			s, err := cades.Parse(der)
			if err != nil {
				t.Fatalf("%v: %v", a.alg, err)
			}
			if err := s.Verify(hashOf(a.alg, content)); err != nil {
				t.Errorf("%v: %v", a.alg, err)
			}
			if got := s.Level(profile); got != "B-B" {
				t.Errorf("%v: level %q", a.alg, got)
			}
			if got := s.Level(cades.PAdES + cades.CAdES - profile); got != "" {
				t.Errorf("%v: level %q of the other profile", a.alg, got)
			}
			if s.Algorithm != a.alg || !bytes.Equal(s.Certificate.Raw, id.chain[0]) || len(s.Certificates) != 3 {
				t.Errorf("%v: read back as %v with %d certificates", a.alg, s.Algorithm, len(s.Certificates))
			}
			if want := signingTime.Truncate(time.Second); profile == cades.CAdES && (!s.SigningTime.Equal(want) || s.MIMEType != "text/plain") {
				t.Errorf("%v: signing time %v, MIME type %q", a.alg, s.SigningTime, s.MIMEType)
			}

			said := openssl(t, id, der, content)
			if !strings.Contains(said, "CAdES Verification successful") {
				t.Errorf("%v: openssl: %s", a.alg, said)
			}
			if said := openssl(t, id, der, []byte("other")); strings.Contains(said, "successful") {
				t.Errorf("%v: openssl accepts other content", a.alg)
			}
			// Mozilla's pkcs7 knows no PSS.
			if a.alg < cades.PSSWithSHA256 {
				p7, err := pkcs7.Parse(der)
				if err != nil {
					t.Fatal(err)
				}
				p7.Content = content
				roots := x509.NewCertPool()
				roots.AddCert(must(x509.ParseCertificate(id.chain[2])))
				if err := p7.VerifyWithChain(roots); err != nil {
					t.Errorf("%v: pkcs7: %v", a.alg, err)
				}
			}
		}
	}
}

func openssl(t *testing.T, id identity, cms, content []byte) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	root := write("root.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: id.chain[2]}))
	out, err := exec.Command("openssl", "cms", "-verify", "-cades", "-inform", "DER", "-in", write("s.p7s", cms), "-content",
		write("content", content), "-binary", "-CAfile", root, "-purpose", "any", "-out", os.DevNull).CombinedOutput()
	if exit := (&exec.ExitError{}); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out)
}

// TestEncoding checks what no verifier insists on: the exact form of the identifiers and the order of the sets.
func TestEncoding(t *testing.T) {
	hexOf := func(s string) []byte { return must(hex.DecodeString(s)) }
	for _, tc := range []struct {
		alg    cades.Algorithm
		id     func() identity
		want   string // signature AlgorithmIdentifier
		digest string // digest AlgorithmIdentifier
	}{
		{cades.ECDSAWithSHA256, p256, "300a06082a8648ce3d040302", "300b0609608648016503040201"},
		{cades.ECDSAWithSHA384, p384, "300a06082a8648ce3d040303", "300b0609608648016503040202"},
		{cades.RSAWithSHA256, rsa3072, "300d06092a864886f70d01010b0500", "300b0609608648016503040201"},
		{cades.RSAWithSHA512, rsa3072, "300d06092a864886f70d01010d0500", "300b0609608648016503040203"},
		{
			cades.PSSWithSHA256, rsa3072,
			"304106092a864886f70d01010a3034a00f300d06096086480165030402010500a11c301a06092a864886f70d010108" +
				"300d06096086480165030402010500a203020120", "300b0609608648016503040201",
		},
	} {
		der := assemble(t, cades.CAdES, tc.id(), tc.alg, []byte("x"))
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
	id := p256()
	pades := prepare(t, cades.PAdES, id, cades.ECDSAWithSHA256, []byte("x")).SignedAttributes
	oids, signingCertificate := decode(pades)
	if want := "1.2.840.113549.1.9.3 1.2.840.113549.1.9.4 1.2.840.113549.1.9.16.2.47"; strings.Join(oids, " ") != want {
		t.Errorf("PAdES attributes %v, want %v", oids, want)
	}
	// SHA-256 is the default hash of ESSCertIDv2 and must be left out; no issuerSerial.
	want := append([]byte{0x30, 0x26, 0x30, 0x24, 0x30, 0x22, 0x04, 0x20}, hashOf(cades.ECDSAWithSHA256, id.chain[0])...)
	if !bytes.Equal(signingCertificate, want) {
		t.Errorf("signing-certificate-v2 %x, want %x", signingCertificate, want)
	}
	oids, _ = decode(prepare(t, cades.CAdES, id, cades.ECDSAWithSHA256, []byte("x")).SignedAttributes)
	if want := "0.4.0.1733.2.1 1.2.840.113549.1.9.3 1.2.840.113549.1.9.5 1.2.840.113549.1.9.4 1.2.840.113549.1.9.16.2.47"; strings.Join(oids, " ") != want {
		t.Errorf("CAdES attributes %v, want %v", oids, want)
	}
}

func TestSigningTimeForms(t *testing.T) {
	id := p256()
	for year, tag := range map[int]byte{2026: asn1.TagUTCTime, 2049: asn1.TagUTCTime, 2050: asn1.TagGeneralizedTime} {
		at := time.Date(year, 12, 31, 23, 59, 59, 0, time.UTC)
		a := cades.Attributes{Certificate: id.chain[0], ContentDigest: make([]byte, 32), Algorithm: cades.ECDSAWithSHA256, SigningTime: at}
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
	id, other := p256(), p384()
	good := cades.Attributes{Certificate: id.chain[0], ContentDigest: make([]byte, 32), Algorithm: cades.ECDSAWithSHA256}
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
		"parsed of another":       {cades.PAdES, func(a *cades.Attributes) { a.Parsed = must(cades.ParseChain(other.chain)) }},
		"no certificate":          {cades.PAdES, func(a *cades.Attributes) { a.Certificate = nil }},
		"time in PAdES":           {cades.PAdES, func(a *cades.Attributes) { a.SigningTime = signingTime }},
		"MIME type in PAdES":      {cades.PAdES, func(a *cades.Attributes) { a.MIMEType = "text/plain" }},
		"no time in CAdES":        {cades.CAdES, func(*cades.Attributes) {}},
		"time before UTCTime":     {cades.CAdES, func(a *cades.Attributes) { a.SigningTime = time.Date(1949, 1, 1, 0, 0, 0, 0, time.UTC) }},
		"MIME type not UTF-8":     {cades.CAdES, func(a *cades.Attributes) { a.SigningTime, a.MIMEType = signingTime, "\xff" }},
	} {
		a := good
		tc.change(&a)
		if der, err := cades.SignedAttributes(tc.profile, a); !errors.Is(err, cades.ErrInput) || der != nil {
			t.Errorf("%s: %v", name, err)
		}
	}

	parts := id.sign(t, prepare(t, cades.PAdES, id, cades.ECDSAWithSHA256, []byte("x")))
	for name, tc := range map[string]struct {
		change func(*cades.Parts)
		want   error
	}{
		"no chain":              {func(p *cades.Parts) { p.Chain = nil }, cades.ErrInput},
		"chain too long":        {func(p *cades.Parts) { p.Chain = make([][]byte, 17) }, cades.ErrInput},
		"chain in wrong order":  {func(p *cades.Parts) { p.Chain = [][]byte{id.chain[1], id.chain[0]} }, cades.ErrInput},
		"certificate broken":    {func(p *cades.Parts) { p.Chain = [][]byte{id.chain[0], {0x30}} }, cades.ErrInput},
		"other certificate":     {func(p *cades.Parts) { p.Chain = other.chain }, cades.ErrInput},
		"parsed of another":     {func(p *cades.Parts) { p.Parsed = must(cades.ParseChain(other.chain)) }, cades.ErrInput},
		"parsed of a part":      {func(p *cades.Parts) { p.Parsed = must(cades.ParseChain(id.chain[:2])) }, cades.ErrInput},
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
	id := p256()
	given := [][]byte{bytes.Clone(id.chain[0]), bytes.Clone(id.chain[1]), bytes.Clone(id.chain[2])}
	chain, err := cades.ParseChain(given)
	if err != nil || !bytes.Equal(chain.Leaf().Raw, id.chain[0]) {
		t.Fatal(err)
	}
	clear(given[0])
	a := cades.Attributes{Certificate: id.chain[0], ContentDigest: hashOf(cades.ECDSAWithSHA256, []byte("x")), Algorithm: cades.ECDSAWithSHA256}
	attributes := must(cades.SignedAttributes(cades.PAdES, a))
	a.Parsed = chain
	if !bytes.Equal(must(cades.SignedAttributes(cades.PAdES, a)), attributes) {
		t.Error("other signed attributes came")
	}
	parts := id.sign(t, cades.Parts{SignedAttributes: attributes, Algorithm: a.Algorithm, Chain: id.chain})
	cms := must(cades.Assemble(parts))
	parts.Parsed = chain
	if !bytes.Equal(must(cades.Assemble(parts)), cms) {
		t.Error("another CMS came")
	}
	for _, bad := range [][][]byte{nil, make([][]byte, 17), {id.chain[0], {0x30}}} {
		if _, err := cades.ParseChain(bad); !errors.Is(err, cades.ErrInput) {
			t.Errorf("%d certificates: %v", len(bad), err)
		}
	}
}

// TestEveryByteCounts flips each byte of a CMS. Embedded CA certificates are not signed; apart from them no changed
// byte may pass.
func TestEveryByteCounts(t *testing.T) {
	id := p256()
	id.chain = id.chain[:1]
	content := []byte("content")
	der := assemble(t, cades.CAdES, id, cades.ECDSAWithSHA256, content)
	for i := range der {
		for _, mask := range []byte{1, 2, 4, 0x80} {
			bad := bytes.Clone(der)
			bad[i] ^= mask
			s, err := cades.Parse(bad)
			if err != nil {
				continue
			}
			if s.Verify(hashOf(s.Algorithm, content)) == nil && s.Conforms(cades.CAdES) == nil {
				t.Errorf("byte %d of %d changed by %#x and still valid", i, len(der), mask)
			}
		}
	}
}

func TestParseRefuses(t *testing.T) {
	der := assemble(t, cades.CAdES, p256(), cades.ECDSAWithSHA256, []byte("x"))
	for name, tc := range map[string]struct {
		der  []byte
		want error
	}{
		"nothing":       {nil, cades.ErrMalformed},
		"trailing zero": {append(bytes.Clone(der), 0), cades.ErrMalformed},
		"cut":           {der[:len(der)-1], cades.ErrMalformed},
		"BER":           {append([]byte{0x30, 0x80}, der[4:]...), cades.ErrMalformed},
		"plain data":    {must(asn1.Marshal(struct{ A asn1.ObjectIdentifier }{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}})), cades.ErrUnsupported},
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
	id := p256()
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cert := write("cert.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: id.chain[0]}))
	key := write("key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(id.key))}))
	content := []byte("made elsewhere")
	in := write("content", content)
	for _, tc := range []struct {
		name  string
		args  []string
		err   error
		level string
	}{
		{"cades", []string{"-cades"}, nil, "B-B"},
		{"by key identifier", []string{"-cades", "-keyid"}, cades.ErrUnsupported, ""}, // the leaf has no SubjectKeyIdentifier
		{"plain CMS", nil, nil, ""},
		{"attached", []string{"-cades", "-nodetach"}, cades.ErrUnsupported, ""},
		{"no certificate", []string{"-cades", "-nocerts"}, cades.ErrUnsupported, ""},
		{"no signed attributes", []string{"-noattr"}, cades.ErrMalformed, ""},
	} {
		out := filepath.Join(dir, "out.p7s")
		args := append([]string{"cms", "-sign", "-binary", "-md", "sha256", "-signer", cert, "-inkey", key, "-in", in, "-outform", "DER", "-out", out}, tc.args...)
		if said, err := exec.Command("openssl", args...).CombinedOutput(); err != nil {
			if tc.name == "by key identifier" {
				continue // OpenSSL refuses it too
			}
			t.Fatalf("%s: %v %s", tc.name, err, said)
		}
		s, err := cades.Parse(must(os.ReadFile(out)))
		if !errors.Is(err, tc.err) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.err)
		}
		if err != nil {
			continue
		}
		if err := s.Verify(hashOf(s.Algorithm, content)); err != nil || s.Level(cades.CAdES) != tc.level {
			t.Errorf("%s: %v, level %q", tc.name, err, s.Level(cades.CAdES))
		}
	}
}

func TestMutationsNeverPanic(t *testing.T) {
	der := assemble(t, cades.CAdES, rsa3072(), cades.PSSWithSHA256, []byte("x"))
	r := mathrand.New(mathrand.NewPCG(1, 2))
	for range 5000 {
		bad := bytes.Clone(der)
		for range 1 + r.IntN(4) {
			bad[r.IntN(len(bad))] = byte(r.Uint32())
		}
		bad = bad[:r.IntN(len(bad)+1)]
		if s, err := cades.Parse(bad); err == nil {
			_ = s.Verify(make([]byte, 32))
			_ = s.Level(cades.CAdES)
		}
	}
}

func FuzzParse(f *testing.F) {
	id := p256()
	attrs := must(cades.SignedAttributes(cades.PAdES, cades.Attributes{Certificate: id.chain[0], ContentDigest: make([]byte, 32), Algorithm: cades.ECDSAWithSHA256}))
	sig := must(id.key.Sign(rand.Reader, hashOf(cades.ECDSAWithSHA256, attrs), crypto.SHA256))
	f.Add(must(cades.Assemble(cades.Parts{SignedAttributes: attrs, Signature: sig, Algorithm: cades.ECDSAWithSHA256, Chain: id.chain})))
	f.Add([]byte{0x30, 0x80, 0, 0})
	f.Fuzz(func(t *testing.T, der []byte) {
		s, err := cades.Parse(der)
		if (s == nil) == (err == nil) {
			t.Fatal("neither or both of result and error")
		}
		if err == nil {
			_ = s.Verify(make([]byte, 32))
			_ = s.Level(cades.PAdES)
		}
	})
}
