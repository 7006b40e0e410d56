package longterm_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/cades/levels"
	"github.com/ecsigner/ecsigner/signer/pades"
	"github.com/ecsigner/ecsigner/signer/pades/longterm"
	"github.com/ecsigner/ecsigner/signer/pades/padestest"
	"github.com/ecsigner/ecsigner/signer/pdf"
	"github.com/ecsigner/ecsigner/signer/pdf/object"
	"github.com/ecsigner/ecsigner/signer/pdf/pdftest"
	"github.com/ecsigner/ecsigner/signer/revinfo"
	"github.com/ecsigner/ecsigner/signer/revinfo/revtest"
	"github.com/ecsigner/ecsigner/signer/tsp/tsptest"
)

func augmentWith(in []byte, to cades.Level, s cades.Services, o longterm.AugmentOptions) (longterm.Augmented, error) {
	return longterm.AugmentWith(context.Background(), bytes.NewReader(in), int64(len(in)), to, s, o)
}

// augment raises a document and holds the result to its input and to qpdf.
func augment(t *testing.T, in []byte, to cades.Level, s cades.Services) []byte {
	t.Helper()
	tail, err := longterm.Augment(t.Context(), bytes.NewReader(in), int64(len(in)), to, s, pdf.Limits{})
	if err != nil {
		t.Fatalf("Augment to %v: %v", to, err)
	}
	out := append(bytes.Clone(in), tail...)
	padestest.JudgeStructure(t, in, out)
	return out
}

// named signs with a field of a name.
func named(t *testing.T, in []byte, id padestest.Identity, field string) []byte {
	t.Helper()
	o := padestest.Options(id)
	o.FieldName = field
	return padestest.SignPDF(t, in, id, o)
}

// stamped signs as our own B-T: with a time-stamp in the CMS.
func stamped(t *testing.T, in []byte, id padestest.Identity, field string, tsa cades.Stamper) []byte {
	t.Helper()
	o := padestest.Options(id)
	o.FieldName, o.Reserve = field, 8000
	p, err := padestest.Prepare(in, o)
	if err != nil {
		t.Fatal(err)
	}
	value := id.Sign(t, o.Algorithm, p.DTBSR())
	cms := padestest.Must(cades.Assemble(cades.Parts{SignedAttributes: p.SignedAttributes(), Signature: value, Algorithm: o.Algorithm, Chain: id.Chain}))
	h := crypto.SHA256.New()
	h.Write(value)
	tail, err := p.EmbedCMS(padestest.Must(levels.AddTimeStamp(cms, padestest.Must(tsa.Stamp(t.Context(), crypto.SHA256, h.Sum(nil))))))
	if err != nil {
		t.Fatal(err)
	}
	return append(bytes.Clone(in), tail...)
}

// TestAugmentEveryShape takes each shape over all levels and two renewals, signs it again and raises that.
func TestAugmentEveryShape(t *testing.T) {
	w := world()
	id := w.signatory(revtest.P256)
	for _, shape := range pdftest.Signable() {
		t.Run(shape.Name, func(t *testing.T) {
			t.Parallel()
			s, _ := w.services()
			out := named(t, shape.Data, id, "S")
			ts := ""
			for i, step := range []struct {
				to   cades.Level
				adds int // time-stamps
			}{{cades.LevelBB, 0}, {cades.LevelBT, 1}, {cades.LevelBLT, 0}, {cades.LevelBLTA, 1}, {cades.LevelBLTA, 1}, {cades.LevelBLTA, 1}} {
				out = augment(t, out, step.to, s)
				for range step.adds {
					ts += fmt.Sprintf("TimeStamp%d=time-stamp ", strings.Count(ts, " ")+1)
				}
				if got, want := summary(verifyAll(t, out)), "S="+step.to.String()+" "+ts; got != want {
					t.Errorf("step %d: %s, want %s", i, got, want)
				}
				if step.to < cades.LevelBLTA && !bytes.Equal(augment(t, out, step.to, s), out) {
					t.Errorf("step %d: raised again it is another file", i)
				}
			}
			out = named(t, out, id, "Second")
			if got := summary(verifyAll(t, out)); got != "S=B-LTA "+ts+"Second=B-B " {
				t.Error(got)
			}
			out = augment(t, out, cades.LevelBLTA, s)
			if got := summary(verifyAll(t, out)); got != "S=B-LTA "+ts+"Second=B-LTA TimeStamp5=time-stamp TimeStamp6=time-stamp " {
				t.Error(got)
			}
			said, _ := padestest.Run(t, "pdfsig", "-nocert", padestest.WriteFile(t, "out.pdf", out))
			if strings.Count(said, "Signature Validation: Signature is Valid.") != 2 {
				t.Errorf("pdfsig: %s", said)
			}
			said, _ = padestest.Run(t, "mutool", "sign", "-v", padestest.WriteFile(t, "out.pdf", out))
			if strings.Count(said, "The signature is valid but there have been edits since signing.") != 2 {
				t.Errorf("mutool: %s", said)
			}
		})
	}
}

// TestAsked: the signer is proven at the time of the first time-stamp, the authorities now or when the next time-stamp was made;
// and nobody is asked for more time-stamps than are needed.
func TestAsked(t *testing.T) {
	w := world()
	first, second := padestest.Must(tsptest.New(tsptest.Options{Name: "One"})), padestest.Must(tsptest.New(tsptest.Options{Name: "Two"}))
	id := w.signatory(revtest.P256)
	now := time.Now().Add(48 * time.Hour)
	p := &prover{authorities: w, tsas: []*tsptest.TSA{first, second}}
	s := cades.Services{Stamper: first, Prover: p, Now: func() time.Time { return now }}
	expect := func(what string, one, two int, asked ...string) {
		t.Helper()
		if !slices.Equal(p.asked, asked) {
			t.Errorf("%s: asked %q, want %q", what, p.asked, asked)
		}
		if first.Requests() != one || second.Requests() != two {
			t.Errorf("%s: %d and %d time-stamps, want %d and %d", what, first.Requests(), second.Requests(), one, two)
		}
		p.asked = nil
	}
	at := func(name string, at time.Time) string { return name + " at " + at.UTC().Format(time.RFC3339) }

	out := stamped(t, padestest.Shape(t, "lf"), id, "S", first)
	proven := verifyAll(t, out)[0].Proven
	out = augment(t, out, cades.LevelBT, s)
	expect("B-T that is there already", 1, 0)
	out = augment(t, out, cades.LevelBLT, s)
	expect("B-LT", 1, 0, at("One TSU", now), at("Шевченко Тарас", proven))
	out = augment(t, out, cades.LevelBLT, s)
	expect("B-LT again", 1, 0)
	s.Stamper = second
	lta := augment(t, out, cades.LevelBLTA, s)
	// Evidence for the new time-stamp's authority is not needed yet, but with it the file needs no network.
	expect("B-LTA", 1, 1, at("Two TSU", now))
	p.fail = func(c *x509.Certificate) error { return errors.New("nobody answers") }
	without := augment(t, out, cades.LevelBLTA, s)
	expect("B-LTA without that", 1, 2, at("Two TSU", now))
	if out, err := augmentWith(without, cades.LevelBLTA, s, longterm.AugmentOptions{}); !errors.Is(err, cades.ErrEvidence) || len(out.Tail) > 0 || !strings.Contains(err.Error(), "TimeStamp1") {
		t.Errorf("renewal without evidence for the earlier time-stamp: %v", err)
	}
	expect("renewal without evidence", 1, 2, at("Two TSU", now))
	p.fail = nil
	s.Stamper = first
	renewed := augment(t, lta, cades.LevelBLTA, s)
	expect("renewal", 2, 2, at("Two TSU", now))
	augment(t, renewed, cades.LevelBLTA, s)
	expect("second renewal", 3, 2, at("One TSU", now))

	// From nothing: a time-stamp to prove the time, and one over the evidence.
	out = augment(t, named(t, padestest.Shape(t, "lf"), id, "S"), cades.LevelBLTA, s)
	proven = verifyAll(t, out)[0].Proven
	expect("at once", 5, 2, at("Шевченко Тарас", proven), at("One TSU", now))
	// Several signatures share them.
	out = named(t, named(t, padestest.Shape(t, "lf"), id, "S"), w.signatory(revtest.P256), "T")
	augment(t, out, cades.LevelBLTA, s)
	if len(p.asked) != 3 || first.Requests() != 7 {
		t.Errorf("two signatures: asked %q, %d time-stamps", p.asked, first.Requests())
	}
}

// TestNotYet: where revocation data of now are not there yet, those since the time-stamp was made are enough for its
// authority, and never for what is revoked.
func TestNotYet(t *testing.T) {
	w := world()
	id := w.signatory(revtest.P256)
	s, p := w.services()
	now := time.Now().Add(30 * time.Hour)
	s.Now = func() time.Time { return now }
	out := stamped(t, padestest.Shape(t, "lf"), id, "S", w.tsa)
	p.refuse = func(c *x509.Certificate, at time.Time) error {
		if at.Equal(now) {
			return &revinfo.NotYetError{Serial: c.SerialNumber, Retry: now}
		}
		return nil
	}
	if got := summary(verifyAll(t, augment(t, out, cades.LevelBLT, s))); got != "S=B-LT " {
		t.Error(got)
	}
	p.refuse = func(c *x509.Certificate, _ time.Time) error {
		return &revinfo.RevokedError{Serial: c.SerialNumber, Time: now}
	}
	if a, err := augmentWith(out, cades.LevelBLT, s, longterm.AugmentOptions{}); !errors.Is(err, revinfo.ErrRevoked) || !errors.Is(err, cades.ErrEvidence) || a.Tail != nil {
		t.Errorf("revoked: %v", err)
	}
}

// TestBroken: a broken signature is never raised silently.
func TestBroken(t *testing.T) {
	w := world()
	id := w.signatory(revtest.P256)
	s, p := w.services()
	out := named(t, named(t, padestest.Shape(t, "lf"), id, "Good"), id, "Bad")
	value := bytes.LastIndex(out, []byte("/Contents <"))
	// The last octets of the CMS are those of the signature value.
	at := value + bytes.IndexByte(out[value:], '>') - 20
	out[at] = map[bool]byte{true: '1', false: '0'}[out[at] == '0']
	requests := w.tsa.Requests()
	for _, to := range []cades.Level{cades.LevelBB, cades.LevelBT, cades.LevelBLT, cades.LevelBLTA} {
		a, err := augmentWith(out, to, s, longterm.AugmentOptions{})
		if !errors.Is(err, cades.ErrSignature) && !errors.Is(err, cades.ErrMalformed) || !strings.Contains(err.Error(), `"Bad"`) || a.Tail != nil {
			t.Errorf("%v: %v", to, err)
		}
	}
	if len(p.asked) > 0 || w.tsa.Requests() != requests {
		t.Errorf("services were asked: %q", p.asked)
	}
	a, err := augmentWith(out, cades.LevelBLTA, s, longterm.AugmentOptions{Partial: true})
	if err != nil || len(a.Left) != 1 || a.Left[0].Field != "Bad" || a.Left[0].Err == nil {
		t.Fatalf("the rest: %+v, %v", a.Left, err)
	}
	if got := summary(verifyAll(t, append(bytes.Clone(out), a.Tail...))); got != "Good=B-LTA Bad=B-B! TimeStamp1=time-stamp TimeStamp2=time-stamp " {
		t.Error(got)
	}

	// Evidence that cannot be had for one of two signers.
	other := w.signatory(revtest.P256)
	out = named(t, named(t, padestest.Shape(t, "lf"), id, "Good"), other, "Unproven")
	p.fail = func(c *x509.Certificate) error {
		if bytes.Equal(c.Raw, other.Chain[0]) {
			return revinfo.ErrNoEvidence
		}
		return nil
	}
	if _, err := augmentWith(out, cades.LevelBLT, s, longterm.AugmentOptions{}); !errors.Is(err, revinfo.ErrNoEvidence) || !strings.Contains(err.Error(), `"Unproven"`) {
		t.Errorf("no evidence: %v", err)
	}
	a, err = augmentWith(out, cades.LevelBLT, s, longterm.AugmentOptions{Partial: true})
	if err != nil || len(a.Left) != 1 || a.Left[0].Field != "Unproven" || !errors.Is(a.Left[0].Err, cades.ErrEvidence) {
		t.Fatalf("the rest: %+v, %v", a.Left, err)
	}
	if got := summary(verifyAll(t, append(bytes.Clone(out), a.Tail...))); got != "Good=B-LT Unproven=B-T TimeStamp1=time-stamp " {
		t.Error(got)
	}
	// Nothing that can be raised is no success.
	p.fail = func(*x509.Certificate) error { return revinfo.ErrNoEvidence }
	if a, err := augmentWith(out, cades.LevelBLT, s, longterm.AugmentOptions{Partial: true}); !errors.Is(err, revinfo.ErrNoEvidence) || a.Tail != nil {
		t.Errorf("nothing to raise: %v", err)
	}
}

// TestEnded: a time-stamp proves nothing any more when the signer's certificate has ended.
func TestEnded(t *testing.T) {
	id := world().signatory(revtest.P256)
	s, _ := world().services()
	s.Now = func() time.Time { return time.Now().AddDate(10, 0, 0) }
	requests := world().tsa.Requests()
	out := named(t, padestest.Shape(t, "lf"), id, "S")
	for _, to := range []cades.Level{cades.LevelBT, cades.LevelBLTA} {
		if a, err := augmentWith(out, to, s, longterm.AugmentOptions{}); !errors.Is(err, cades.ErrTimeStamp) || a.Tail != nil {
			t.Errorf("%v: %v", to, err)
		}
	}
	if world().tsa.Requests() != requests {
		t.Error("a time-stamp was asked for")
	}
	// One that was made in time is still raised.
	if got := summary(verifyAll(t, augment(t, stamped(t, padestest.Shape(t, "lf"), id, "S", world().tsa), cades.LevelBLT, s))); got != "S=B-LT " {
		t.Error(got)
	}
}

func TestAugmentOptions(t *testing.T) {
	s, _ := world().services()
	id := world().signatory(revtest.P256)
	out := named(t, padestest.Shape(t, "lf"), id, "S")
	without := func(change func(*cades.Services)) cades.Services {
		c := s
		change(&c)
		return c
	}
	for name, tc := range map[string]struct {
		to   cades.Level
		s    cades.Services
		o    longterm.AugmentOptions
		want error
	}{
		"no level":      {0, s, longterm.AugmentOptions{}, pades.ErrOptions},
		"too high":      {5, s, longterm.AugmentOptions{}, pades.ErrOptions},
		"no stamper":    {cades.LevelBT, without(func(s *cades.Services) { s.Stamper = nil }), longterm.AugmentOptions{}, pades.ErrOptions},
		"no prover":     {cades.LevelBLT, without(func(s *cades.Services) { s.Prover = nil }), longterm.AugmentOptions{}, pades.ErrOptions},
		"no clock":      {cades.LevelBT, without(func(s *cades.Services) { s.Now = nil }), longterm.AugmentOptions{}, pades.ErrOptions},
		"SHA-1":         {cades.LevelBT, without(func(s *cades.Services) { s.Hash = crypto.SHA1 }), longterm.AugmentOptions{}, pades.ErrOptions},
		"negative room": {cades.LevelBT, s, longterm.AugmentOptions{Room: -1}, pades.ErrOptions},
		"too much room": {cades.LevelBT, s, longterm.AugmentOptions{Room: 2 << 20}, pades.ErrOptions},
		"limits":        {cades.LevelBT, s, longterm.AugmentOptions{Limits: pdf.Limits{Sections: 1}}, pdf.ErrTooLarge},
		"nothing to do": {cades.LevelBB, cades.Services{}, longterm.AugmentOptions{}, nil},
	} {
		if a, err := augmentWith(out, tc.to, tc.s, tc.o); !errors.Is(err, tc.want) || a.Tail != nil {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
	if _, err := augmentWith(padestest.Shape(t, "lf"), cades.LevelBLTA, s, longterm.AugmentOptions{}); !errors.Is(err, longterm.ErrNoSignature) {
		t.Errorf("no signature: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := longterm.Augment(ctx, bytes.NewReader(out), int64(len(out)), cades.LevelBLTA, s, pdf.Limits{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	// A document with time-stamps alone is renewed too.
	alone := augment(t, timeStamp(t, padestest.Shape(t, "lf"), s), cades.LevelBLTA, s)
	if got := summary(verifyAll(t, alone)); got != "TimeStamp1=time-stamp TimeStamp2=time-stamp " {
		t.Error(got)
	}
	for _, h := range []crypto.Hash{crypto.SHA384, crypto.SHA512} {
		s.Hash = h
		if got := summary(verifyAll(t, augment(t, out, cades.LevelBLTA, s))); got != "S=B-LTA TimeStamp1=time-stamp TimeStamp2=time-stamp " {
			t.Errorf("%v: %s", h, got)
		}
	}
}

// TestEvidenceOfAnother: what was put into the store for one signature is not enough for a later one by the same person; what
// was archived stays good when nobody can be asked any more.
func TestEvidenceOfAnother(t *testing.T) {
	w := world()
	id := w.signatory(revtest.P256)
	s, p := w.services()
	first := augment(t, stamped(t, padestest.Shape(t, "lf"), id, "First", w.tsa), cades.LevelBLT, s)
	both := stamped(t, first, id, "Second", w.tsa)
	p.fail = func(c *x509.Certificate) error {
		if bytes.Equal(c.Raw, id.Chain[0]) {
			return &revinfo.RevokedError{Serial: c.SerialNumber, Time: time.Now()}
		}
		return nil
	}
	for _, to := range []cades.Level{cades.LevelBLT, cades.LevelBLTA} {
		if a, err := augmentWith(both, to, s, longterm.AugmentOptions{}); !errors.Is(err, revinfo.ErrRevoked) || !strings.Contains(err.Error(), `"Second"`) || a.Tail != nil {
			t.Errorf("%v of what was revoked: %v", to, err)
		}
		a, err := augmentWith(both, to, s, longterm.AugmentOptions{Partial: true})
		if err != nil || len(a.Left) != 1 || a.Left[0].Field != "Second" {
			t.Errorf("%v of the rest: %+v, %v", to, a.Left, err)
		}
	}
	// The same when the Prover is silent for another reason, unless it is one that will not change.
	for err, good := range map[error]bool{revinfo.ErrNoEvidence: false, revinfo.ErrStale: false, revinfo.ErrNoPath: true} {
		p.fail = func(*x509.Certificate) error { return err }
		if _, got := augmentWith(both, cades.LevelBLT, s, longterm.AugmentOptions{}); (got == nil) != good {
			t.Errorf("%v: %v", err, got)
		}
	}
	// Without VRI entries, as some write the store: good while the authorities answer, and after that when it was archived.
	p.fail = nil
	plain := bytes.Replace(first, []byte("/VRI <<"), []byte("/Old <<"), 1) // which no signature covers
	if got := readStore(t, plain); got.vri.Kind != object.Null || len(got.items["CRLs"]) == 0 {
		t.Fatal("VRI entries are there")
	}
	archived := timeStamp(t, plain, s)
	if got := summary(verifyAll(t, archived)); got != "First=B-LTA TimeStamp1=time-stamp " {
		t.Fatal(got)
	}
	augment(t, plain, cades.LevelBLTA, s)
	p.fail = func(*x509.Certificate) error { return revinfo.ErrNoEvidence }
	if _, err := augmentWith(plain, cades.LevelBLTA, s, longterm.AugmentOptions{}); !errors.Is(err, revinfo.ErrNoEvidence) {
		t.Errorf("not archived: %v", err)
	}
	p.fail = func(c *x509.Certificate) error {
		if bytes.Equal(c.Raw, id.Chain[0]) {
			return revinfo.ErrNoEvidence
		}
		return nil
	}
	if got := summary(verifyAll(t, augment(t, archived, cades.LevelBLTA, s))); got != "First=B-LTA TimeStamp1=time-stamp TimeStamp2=time-stamp " {
		t.Error(got)
	}
}
