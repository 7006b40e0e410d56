package longterm_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/pades"
	"github.com/ecsigner/ecsigner/signer/pades/longterm"
	"github.com/ecsigner/ecsigner/signer/pades/padestest"
	"github.com/ecsigner/ecsigner/signer/pdf"
	"github.com/ecsigner/ecsigner/signer/pdf/pdftest"
	"github.com/ecsigner/ecsigner/signer/tsp"
)

func verify1(t *testing.T, data []byte) longterm.SignatureInfo {
	t.Helper()
	infos, err := longterm.Verify(context.Background(), bytes.NewReader(data), int64(len(data)), pdf.Limits{})
	if err != nil || len(infos) != 1 {
		t.Fatalf("%d signatures, %v", len(infos), err)
	}
	return infos[0]
}

func TestVerifyReports(t *testing.T) {
	id := padestest.EC()
	in := padestest.Shape(t, "lf")
	o := padestest.Options(id)
	o.Name, o.Reason, o.Location = "Тарас", "погоджено", "Київ"
	out := padestest.SignPDF(t, in, id, o)
	s := verify1(t, out)
	if s.Field != "Signature1" || s.SubFilter != "ETSI.CAdES.detached" || s.Name != o.Name || s.Reason != o.Reason || s.Location != o.Location ||
		s.Modified != "D:"+padestest.SigningTime.UTC().Format("20060102150405")+"Z" || s.Level != "B-B" || !s.CoversFile || s.LaterBytes != 0 ||
		!bytes.Equal(s.Certificate.Raw, id.Chain[0]) || s.Err != nil {
		t.Errorf("%+v", s)
	}
	// What is appended later is reported, whether it is a revision or a remark.
	later := append(bytes.Clone(out), "% remark\n"...)
	if s := verify1(t, later); s.Err != nil || s.CoversFile || s.LaterBytes != 9 {
		t.Errorf("remark appended: %+v", s)
	}
}

// TestVerifyRefuses holds forged signature dictionaries: whatever lies outside the byte range must be the CMS and
// nothing else.
func TestVerifyRefuses(t *testing.T) {
	id := padestest.EC()
	o := padestest.Options(id)
	o.Reserve = 64
	out := padestest.SignPDF(t, padestest.Shape(t, "lf"), id, o)
	br := regexp.MustCompile(`/ByteRange \[0 (\d+) (\d+) (\d+)\]`).FindSubmatch(out)
	field := func(a, b, c string) []byte {
		want := fmt.Sprintf("/ByteRange [0 %s %s %s]", a, b, c)
		if len(want) != len(br[0]) {
			t.Fatalf("%q is not as long as %q", want, br[0])
		}
		return bytes.Replace(bytes.Clone(out), br[0], []byte(want), 1)
	}
	number := func(b []byte, by int) string {
		var n int
		if _, err := fmt.Sscan(string(b), &n); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%0*d", len(b), n+by)
	}
	a, b, c := string(br[1]), string(br[2]), string(br[3])
	edit := func(old, new string) []byte {
		if len(old) != len(new) || bytes.Count(out, []byte(old)) != 1 {
			t.Fatalf("%q", old)
		}
		return bytes.Replace(bytes.Clone(out), []byte(old), []byte(new), 1)
	}
	padded := bytes.Clone(out)
	padded[bytes.LastIndex(padded, []byte("00>\n/M"))] = '1'
	for name, tc := range map[string]struct {
		data []byte
		want error
	}{
		"gap begins early":       {field(number(br[1], -1), b, c), pades.ErrSignatureDict},
		"gap ends late":          {field(a, number(br[2], 1), c), pades.ErrSignatureDict},
		"second range too long":  {field(a, b, number(br[3], 1)), pades.ErrSignatureDict},
		"second range too short": {field(a, b, number(br[3], -1)), cades.ErrDigest},
		"not from the start":     {edit(string(br[0]), strings.Replace(string(br[0]), "[0", "[1", 1)), pades.ErrSignatureDict},
		"three numbers":          {edit(string(br[0]), strings.Replace(string(br[0]), "[0 ", "[  ", 1)), pades.ErrSignatureDict},
		"no byte range":          {edit("/ByteRange", "/ByteRangf"), pades.ErrSignatureDict},
		"no contents":            {edit("/Contents <", "/Contentz <"), pades.ErrSignatureDict},
		"data after the CMS":     {padded, pades.ErrSignatureDict},
		"other subfilter":        {edit("/ETSI.CAdES.detached", "/adbe.pkcs7.sha1    "), pades.ErrSignatureDict},
		"called a time-stamp":    {edit("/ETSI.CAdES.detached", "/ETSI.RFC3161       "), tsp.ErrToken},
		"document changed":       {edit("0 0 m 99 99 l S", "0 0 m 99 98 l S"), cades.ErrDigest},
	} {
		if s := verify1(t, tc.data); !errors.Is(s.Err, tc.want) {
			t.Errorf("%s: %v, want %v", name, s.Err, tc.want)
		}
	}
	// A /Cert entry, or no /M, is not PAdES.
	if s := verify1(t, edit("/M (D:", "/N (D:")); s.Level != "" {
		t.Errorf("without /M: level %q", s.Level)
	}
	// A signature dictionary inside an object stream cannot leave its own bytes out.
	packed := pdftest.File{Objs: pdftest.Page("/AcroForm << /Fields [5 0 R] >>", "", pdftest.Obj{Number: 5, Body: "<< /FT /Sig /T (a) /V 6 0 R >>"},
		pdftest.Obj{Number: 6, Body: "<< /SubFilter /ETSI.CAdES.detached /ByteRange [0 1 3 4] /Contents <00> >>"})}.Streams(5, 6)
	if s := verify1(t, packed); !errors.Is(s.Err, pades.ErrSignatureDict) {
		t.Errorf("in an object stream: %v", s.Err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := longterm.Verify(ctx, bytes.NewReader(out), int64(len(out)), pdf.Limits{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
