package longterm_test

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/pades"
	"github.com/ecsigner/ecsigner/signer/pades/longterm"
	"github.com/ecsigner/ecsigner/signer/pades/padestest"
	"github.com/ecsigner/ecsigner/signer/pdf"
	"github.com/ecsigner/ecsigner/signer/pdf/object"
	"github.com/ecsigner/ecsigner/signer/pdf/pdftest"
	"github.com/ecsigner/ecsigner/signer/revinfo/revtest"
	"github.com/ecsigner/ecsigner/signer/tsp"
	"github.com/ecsigner/ecsigner/signer/tsp/tsptest"
)

// TestTrustTimeByNobody: somebody signs with a key that was revoked, and adds a document time-stamp of an authority of his own
// with a time before that. Evidence for that time must not be taken on his word, and a good time-stamp over it changes nothing.
func TestTrustTimeByNobody(t *testing.T) {
	w := world()
	own := padestest.Must(tsptest.New(tsptest.Options{Name: "Nobody", Now: func() time.Time { return time.Now().Add(-time.Hour) }}))
	own.Misbehave(tsptest.Faults{OnlySigner: true}) // a time-stamp unit may be an anchor of its own, so no issuer is missed
	s, p := w.services()
	signed := named(t, padestest.Shape(t, "lf"), w.signatory(revtest.P256), "S")
	backdated := timeStamp(t, signed, cades.Services{Stamper: own, Now: time.Now})
	covered := timeStamp(t, backdated, s)
	for name, in := range map[string][]byte{"alone": backdated, "below a good one": covered} {
		for _, to := range []cades.Level{cades.LevelBLT, cades.LevelBLTA} {
			for _, partial := range []bool{false, true} {
				p.asked = nil
				a, err := augmentWith(in, to, s, longterm.AugmentOptions{Partial: partial})
				if !errors.Is(err, cades.ErrEvidence) || len(a.Tail) > 0 {
					t.Errorf("%s, %v, partial %v: %v with %d bytes", name, to, partial, err, len(a.Tail))
				}
				for _, who := range p.asked {
					if strings.HasPrefix(who, "Шевченко") && !strings.Contains(strings.Join(p.asked, " "), "Nobody") {
						t.Errorf("%s, %v: only the signer was asked about: %q", name, to, p.asked)
					}
				}
			}
		}
	}
}

// TestTrustOneField: a signature that two fields share is shown in two places, of which one was signed.
func TestTrustOneField(t *testing.T) {
	signed := named(t, padestest.Shape(t, "lf"), padestest.EC(), "S")
	doc := padestest.Must(pdf.Open(bytes.NewReader(signed), int64(len(signed)), pdf.Limits{}))
	form := padestest.Must(doc.Form())
	u := padestest.Must(doc.NewUpdate())
	field := u.New()
	u.Put(field, fmt.Appendf(nil, "<< /FT /Sig /T (Boss) /V %s >>", form.Fields[0].Object.Value.Get("V").Raw))
	u.Put(form.Dict.Ref, form.Dict.Value.With("Fields", form.List.Value.Append([]byte(field.String()))).Raw)
	infos := verifyAll(t, append(signed, padestest.Must(u.Finish())...))
	if len(infos) != 2 {
		t.Fatalf("%d signatures", len(infos))
	}
	for _, s := range infos {
		if !errors.Is(s.Err, pades.ErrSignatureDict) || s.Level != "" {
			t.Errorf("%s: %v, level %q", s.Field, s.Err, s.Level)
		}
	}
}

// reads counts how often a byte of a file is read.
type reads struct {
	io.ReaderAt
	at    int64
	count int
}

func (r *reads) ReadAt(p []byte, off int64) (int, error) {
	if off <= r.at && r.at < off+int64(len(p)) {
		r.count++
	}
	return r.ReaderAt.ReadAt(p, off)
}

// TestTrustStoreOnce: the store, which may be tens of megabytes behind a few kilobytes, is not read anew for each of hundreds
// of time-stamps that lack their signer's certificate.
func TestTrustStoreOnce(t *testing.T) {
	tsa := padestest.Must(tsptest.New(tsptest.Options{}))
	tsa.Misbehave(tsptest.Faults{NoCertificates: true})
	sum := sha256.Sum256(nil)
	token := padestest.Must(tsa.Stamp(t.Context(), crypto.SHA256, sum[:]))
	in := pdftest.File{Objs: pdftest.Page("/DSS 9 0 R", "", pdftest.Obj{Number: 8, Body: string(object.FlateObject("", make([]byte, 4<<20)))},
		pdftest.Obj{Number: 9, Body: "<< /Certs [8 0 R] >>"})}.Classic()
	doc := padestest.Must(pdf.Open(bytes.NewReader(in), int64(len(in)), pdf.Limits{}))
	u := padestest.Must(doc.NewUpdate())
	const stamps = 40
	var at []int64
	var list []byte
	const blank = "[0          0          0 1]"
	head := "<< /Type /DocTimeStamp /SubFilter /ETSI.RFC3161 /ByteRange " + blank + " /Contents "
	for i := range stamps {
		value, field := u.New(), u.New()
		at = append(at, u.Put(value, fmt.Appendf(nil, "%s<%X> >>", head, token)))
		u.Put(field, fmt.Appendf(nil, "<< /FT /Sig /T (%d) /V %v >>", i, value))
		list = fmt.Appendf(list, " %v", field)
	}
	u.Put(doc.Catalog().Ref, doc.Catalog().Value.With("AcroForm", fmt.Appendf(nil, "<< /Fields [%s] >>", list)).Raw)
	out := append(bytes.Clone(in), padestest.Must(u.Finish())...)
	for _, a := range at {
		first := a + int64(len(head))
		copy(out[a+int64(len(head)-len(blank)-len(" /Contents ")):], fmt.Sprintf("[0 %10d %10d 1]", first, first+2+2*int64(len(token))))
	}
	r := &reads{ReaderAt: bytes.NewReader(out), at: int64(bytes.Index(out, []byte("stream\n"))) + 100}
	infos, err := longterm.Verify(t.Context(), r, int64(len(out)), pdf.Limits{})
	if err != nil || len(infos) != stamps {
		t.Fatalf("%d, %v", len(infos), err)
	}
	for _, s := range infos {
		if !errors.Is(s.Err, tsp.ErrSigner) {
			t.Errorf("%s: %v", s.Field, s.Err)
		}
	}
	if r.count > 10 {
		t.Errorf("the store was read %d times", r.count)
	}
}
