package longterm_test

import (
	"bytes"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/pades"
	"github.com/ecsigner/ecsigner/signer/pades/longterm"
	"github.com/ecsigner/ecsigner/signer/pades/padestest"
	"github.com/ecsigner/ecsigner/signer/pades/sigfield"
	"github.com/ecsigner/ecsigner/signer/pdf/pdftest"
	"github.com/ecsigner/ecsigner/signer/revinfo/revtest"
)

// foreign is a PDF whose signature is written by hand around a CMS that OpenSSL makes.
type foreign struct {
	subFilter string
	dict      string // further entries of the signature dictionary
	catalog   string // further entries of the catalog
	args      []string
	ber       bool // in indefinite lengths
	objects   []pdftest.Obj
}

func (f foreign) make(t *testing.T, id padestest.Identity) []byte {
	t.Helper()
	const room = 6000
	blank := "/ByteRange " + strings.Repeat(" ", 40)
	hole := "<" + strings.Repeat("0", 2*room) + ">"
	data := pdftest.File{Objs: pdftest.Page("/AcroForm << /Fields [5 0 R] /SigFlags 3 >> "+f.catalog, "", append([]pdftest.Obj{
		{Number: 5, Body: "<< /FT /Sig /T (Theirs) /V 6 0 R /Type /Annot /Subtype /Widget /Rect [0 0 0 0] /F 132 >>"},
		{Number: 6, Body: "<< /Type /Sig /Filter /Adobe.PPKLite /SubFilter /" + f.subFilter + " " + blank + " /Contents " + hole + " /M (D:20260102030405Z) " + f.dict + " >>"},
	}, f.objects...)...)}.Classic()
	first := bytes.Index(data, []byte(hole))
	second := first + len(hole)
	ranges := fmt.Sprintf("/ByteRange [0 %d %d %d]", first, second, len(data)-second)
	data = bytes.Replace(data, []byte(blank), []byte(ranges+strings.Repeat(" ", len(blank)-len(ranges))), 1)
	content := append(bytes.Clone(data[:first]), data[second:]...)
	cms := opensslCMS(t, id, content, f.args...)
	if f.ber {
		cms = indefinite(t, cms)
	}
	if len(cms) > room {
		t.Fatalf("CMS of %d bytes", len(cms))
	}
	copy(data[first+1:], strings.ToUpper(hex.EncodeToString(cms)))
	return data
}

// indefinite encodes the three outermost elements of a CMS with indefinite lengths (X.690 section 8.1.3.6).
func indefinite(t *testing.T, der []byte) []byte {
	t.Helper()
	in := cryptobyte.String(der)
	var info, wrapped, sd, oid cryptobyte.String
	if !in.ReadASN1(&info, cbasn1.SEQUENCE) || !info.ReadASN1Element(&oid, cbasn1.OBJECT_IDENTIFIER) ||
		!info.ReadASN1(&wrapped, cbasn1.Tag(0).ContextSpecific().Constructed()) || !wrapped.ReadASN1(&sd, cbasn1.SEQUENCE) {
		t.Fatal("no CMS")
	}
	return slices.Concat([]byte{0x30, 0x80}, oid, []byte{0xa0, 0x80, 0x30, 0x80}, sd, make([]byte, 6))
}

// opensslCMS signs as OpenSSL does.
func opensslCMS(t *testing.T, id padestest.Identity, content []byte, args ...string) []byte {
	t.Helper()
	dir := t.TempDir()
	file := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	certificate := func(der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}) }
	key := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: padestest.Must(x509.MarshalPKCS8PrivateKey(id.Key))})
	out := filepath.Join(dir, "out")
	args = append([]string{
		"cms", "-sign", "-binary", "-md", "sha256", "-in", file("content", content), "-outform", "DER", "-out", out,
		"-signer", file("cert.pem", certificate(id.Chain[0])), "-inkey", file("key.pem", key), "-certfile", file("chain.pem", append(certificate(id.Chain[1]), certificate(id.Chain[2])...)),
	}, args...)
	if said, code := padestest.Run(t, "openssl", args...); code != 0 {
		t.Fatalf("openssl: %s", said)
	}
	return padestest.Must(os.ReadFile(out))
}

// TestForeign raises signatures that others made, of other profiles, in BER, and with another identifier of the algorithm.
func TestForeign(t *testing.T) {
	w := world()
	for name, tc := range map[string]struct {
		foreign
		kind revtest.Key
	}{
		"adbe, EC":       {foreign{subFilter: "adbe.pkcs7.detached"}, revtest.P256},
		"adbe, RSA":      {foreign{subFilter: "adbe.pkcs7.detached"}, revtest.RSA},
		"adbe, BER":      {foreign{subFilter: "adbe.pkcs7.detached", ber: true}, revtest.RSA},
		"adbe, key id":   {foreign{subFilter: "adbe.pkcs7.detached", args: []string{"-keyid"}}, revtest.P256},
		"ETSI with time": {foreign{subFilter: "ETSI.CAdES.detached", args: []string{"-cades"}}, revtest.RSA},
		"ETSI, BER":      {foreign{subFilter: "ETSI.CAdES.detached", args: []string{"-cades"}, ber: true}, revtest.P256},
	} {
		t.Run(name, func(t *testing.T) {
			id := w.signatory(tc.kind)
			data := tc.make(t, id)
			s, p := w.services()
			before := verifyAll(t, data)
			if len(before) != 1 || before[0].Err != nil || before[0].Level != "" || before[0].Missing == nil || !bytes.Equal(before[0].Certificate.Raw, id.Chain[0]) || len(before[0].Certificates) != 3 {
				t.Fatalf("%+v", before)
			}
			out := augment(t, data, cades.LevelBLTA, s)
			if got := summary(verifyAll(t, out)); got != "Theirs= TimeStamp1=time-stamp TimeStamp2=time-stamp " {
				t.Error(got)
			}
			if len(p.asked) != 2 {
				t.Errorf("asked for %q", p.asked)
			}
			said, _ := padestest.Run(t, "pdfsig", "-nocert", padestest.WriteFile(t, "out.pdf", out))
			if strings.Count(said, "Signature Validation: Signature is Valid.") != 1 && name != "adbe, key id" { // which NSS does not know
				t.Errorf("pdfsig: %s", said)
			}
			// All is proven now: only the authority of the newest time-stamp is asked about again.
			if augment(t, out, cades.LevelBLTA, s); len(p.asked) != 3 {
				t.Errorf("renewal asked for %q", p.asked)
			}
		})
	}
}

// TestUnjudged: signatures that cannot be judged are named, and left out if so wanted.
func TestUnjudged(t *testing.T) {
	id := world().signatory(revtest.P256)
	s, _ := world().services()
	for name, tc := range map[string]struct {
		foreign
		want error
	}{
		"attached content":     {foreign{subFilter: "adbe.pkcs7.detached", args: []string{"-nodetach"}}, pades.ErrSignatureDict},
		"SHA-1":                {foreign{subFilter: "adbe.pkcs7.detached", args: []string{"-md", "sha1"}}, cades.ErrUnsupported},
		"no signed attributes": {foreign{subFilter: "adbe.pkcs7.detached", args: []string{"-noattr"}}, cades.ErrProfile},
		"no certificate":       {foreign{subFilter: "adbe.pkcs7.detached", args: []string{"-nocerts"}}, nil},
		"adbe.pkcs7.sha1":      {foreign{subFilter: "adbe.pkcs7.sha1"}, pades.ErrSignatureDict},
	} {
		data := tc.make(t, id)
		infos := verifyAll(t, data)
		if tc.want == nil { // -certfile brings the chain, but not the signer's
			tc.want = cades.ErrUnsupported
		}
		if len(infos) != 1 || !errors.Is(infos[0].Err, tc.want) {
			t.Errorf("%s: %v, want %v", name, infos[0].Err, tc.want)
		}
		tail, err := augmentWith(data, cades.LevelBLTA, s, longterm.AugmentOptions{})
		if !errors.Is(err, tc.want) || !strings.Contains(err.Error(), `"Theirs"`) || len(tail.Tail) > 0 {
			t.Errorf("%s: raised: %v", name, err)
		}
	}
}

// TestCertifiedFinal: a document that is certified as final, or whose fields are all locked, allows evidence and time-stamps
// (ISO 32000-2 section 12.8.2.2.2), and no signature.
func TestCertifiedFinal(t *testing.T) {
	w := world()
	id := w.signatory(revtest.P256)
	for name, tc := range map[string]struct {
		foreign
		want error
	}{
		"P=1": {foreign{
			subFilter: "ETSI.CAdES.detached", catalog: "/Perms << /DocMDP 6 0 R >>",
			dict: "/Reference [<< /Type /SigRef /TransformMethod /DocMDP /TransformParams << /Type /TransformParams /P 1 /V /1.2 >> >>]",
		}, sigfield.ErrCertified},
		"FieldMDP All": {foreign{
			subFilter: "ETSI.CAdES.detached",
			dict:      "/Reference [<< /Type /SigRef /TransformMethod /FieldMDP /TransformParams << /Type /TransformParams /Action /All /V /1.2 >> >>]",
		}, sigfield.ErrLocked},
	} {
		data := tc.make(t, id)
		if _, err := padestest.Prepare(data, padestest.Options(id)); !errors.Is(err, tc.want) {
			t.Errorf("%s: a further signature: %v", name, err)
		}
		s, _ := w.services()
		for _, to := range []cades.Level{cades.LevelBT, cades.LevelBLT, cades.LevelBLTA, cades.LevelBLTA} {
			data = augment(t, data, to, s)
		}
		if got := summary(verifyAll(t, data)); got != "Theirs= TimeStamp1=time-stamp TimeStamp2=time-stamp TimeStamp3=time-stamp " {
			t.Errorf("%s: %s", name, got)
		}
		said, _ := padestest.Run(t, "pdfsig", "-nocert", padestest.WriteFile(t, "out.pdf", data))
		if strings.Count(said, "Signature Validation: Signature is Valid.") != 1 {
			t.Errorf("%s: pdfsig: %s", name, said)
		}
	}
}
