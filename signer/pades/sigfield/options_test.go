package sigfield_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/ecsigner/ecsigner/signer/appearance"
	"github.com/ecsigner/ecsigner/signer/pades"
	"github.com/ecsigner/ecsigner/signer/pades/padestest"
	"github.com/ecsigner/ecsigner/signer/pades/sigfield"
	"github.com/ecsigner/ecsigner/signer/pdf"
	"github.com/ecsigner/ecsigner/signer/pdf/pdftest"
)

// TestCertification certifies each way and signs on top as far as the certification allows.
func TestCertification(t *testing.T) {
	id := padestest.EC()
	rights := pdftest.Obj{Number: 5, Body: "<< /UR3 6 0 R >>"}
	right := pdftest.Obj{Number: 6, Body: "<< /Type /Sig /Filter /Adobe.PPKLite >>"}
	for name, in := range map[string][]byte{
		"no form":         padestest.Shape(t, "lf"),
		"form":            padestest.Shape(t, "form-indirect"),
		"object streams":  padestest.Shape(t, "form-in-objstm"),
		"direct /Perms":   pdftest.File{Objs: pdftest.Page("/Perms << /UR3 6 0 R >>", "", right)}.Classic(),
		"indirect /Perms": pdftest.File{Objs: pdftest.Page("/Perms 5 0 R /Lang (uk)", "", rights, right)}.Streams(1, 5),
	} {
		for p := sigfield.CertifyFinal; p <= sigfield.CertifyAnnotations; p++ {
			t.Run(fmt.Sprintf("%s/%d", name, p), func(t *testing.T) {
				t.Parallel()
				o := padestest.Options(id)
				o.Certification = p
				once := padestest.SignPDF(t, in, id, o)
				padestest.Judge(t, in, once, 1)
				tail := string(once[len(in):])
				want := fmt.Sprintf("/TransformMethod /DocMDP /TransformParams << /Type /TransformParams /P %d /V /1.2 >>", p)
				if strings.Count(tail, want) != 1 || !regexp.MustCompile(`/DocMDP +\d+ 0 R`).MatchString(tail) {
					t.Errorf("no certification in %q", tail)
				}
				if bytes.Contains(in, []byte("/UR3 6 0 R")) && !strings.Contains(tail, "/UR3 6 0 R") {
					t.Error("usage rights are lost")
				}
				again := padestest.Options(id)
				again.Certification = p
				wanted := sigfield.ErrNotFirst
				if p == sigfield.CertifyFinal {
					wanted = sigfield.ErrCertified
				}
				if _, err := padestest.Prepare(once, again); !errors.Is(err, wanted) {
					t.Errorf("certified twice: %v", err)
				}
				if p == sigfield.CertifyFinal {
					if _, err := padestest.Prepare(once, padestest.Options(id)); !errors.Is(err, sigfield.ErrCertified) {
						t.Errorf("signed after P=1: %v", err)
					}
					return
				}
				padestest.Judge(t, once, padestest.SignPDF(t, once, id, padestest.Options(id)), 2)
			})
		}
	}
	o := padestest.Options(id)
	signed := padestest.SignPDF(t, padestest.Shape(t, "lf"), id, o)
	o.Certification = sigfield.CertifyForms
	if _, err := padestest.Prepare(signed, o); !errors.Is(err, sigfield.ErrNotFirst) {
		t.Errorf("certified after an approval: %v", err)
	}
}

// TestFillField signs in fields that the document's author placed, without touching a page.
func TestFillField(t *testing.T) {
	id := padestest.EC()
	for name, in := range map[string][]byte{
		"classic": padestest.EmptyFields("/TU (here)").Classic(), "streams": padestest.EmptyFields("/TU (here)").Streams(1, 5, 6, 7, 8, 9, 10, 12),
	} {
		for _, visible := range []bool{false, true} {
			o := padestest.Options(id)
			if visible {
				o.Appearance = &appearance.Appearance{}
			}
			o.FieldName, o.ExistingField = "one", true
			once := padestest.SignPDF(t, in, id, o)
			padestest.JudgeFields(t, in, once, 1, 2)
			o.FieldName = "group.two"
			twice := padestest.SignPDF(t, once, id, o)
			padestest.JudgeFields(t, once, twice, 2, 1)
			infos := padestest.JudgeOurs(t, twice, 2)
			if infos[0].Field != "one" || infos[1].Field != "group.two" {
				t.Errorf("%s: fields %q and %q", name, infos[0].Field, infos[1].Field)
			}
			tail := string(twice[len(in):])
			for _, want := range []string{"/TU (here)", "/MK << /R 0 >>", "/Rect [10 10 90 50]", "/SigFlags 3"} {
				if !strings.Contains(padestest.Squeeze(tail), want) {
					t.Errorf("%s: %q is lost", name, want)
				}
			}
			if strings.Contains(tail, "\n3 0 obj") || strings.Contains(tail, "/Fields [6 0 R 7 0 R 12 0 R 10 0 R 1") || strings.Count(tail, "/AP ") != map[bool]int{false: 0, true: 2}[visible] {
				t.Errorf("%s, visible %v: more or less than the fields was changed: %q", name, visible, tail)
			}
			if _, err := padestest.Prepare(twice, o); !errors.Is(err, sigfield.ErrFieldExists) {
				t.Errorf("%s: filled twice: %v", name, err)
			}
			o.FieldName = "apart"
			padestest.JudgeFields(t, in, padestest.SignPDF(t, in, id, o), 1, 2)
			if _, err := padestest.Prepare(once, o); !errors.Is(err, sigfield.ErrField) {
				t.Errorf("%s: a widget apart after a signature: %v", name, err)
			}
		}
	}
}

func TestFieldRefusals(t *testing.T) {
	id := padestest.EC()
	twoWidgets := pdftest.File{Objs: pdftest.Page("/AcroForm << /Fields [5 0 R] >>", "/Annots [6 0 R 7 0 R]",
		pdftest.Obj{Number: 5, Body: "<< /FT /Sig /T (s) /Kids [6 0 R 7 0 R] >>"},
		pdftest.Obj{Number: 6, Body: "<< /Parent 5 0 R /Type /Annot /Subtype /Widget /Rect [0 0 9 9] >>"},
		pdftest.Obj{Number: 7, Body: "<< /Parent 5 0 R /Type /Annot /Subtype /Widget /Rect [9 9 19 19] >>"})}.Classic()
	fields := func(list string, more ...pdftest.Obj) []byte {
		return pdftest.File{Objs: pdftest.Page("/AcroForm << /Fields ["+list+"] >>", "", more...)}.Classic()
	}
	for name, tc := range map[string]struct {
		data  []byte
		field string
		old   bool
		want  error
	}{
		"not there":       {padestest.EmptyFields("").Classic(), "three", true, sigfield.ErrField},
		"new instead":     {padestest.EmptyFields("").Classic(), "three", false, nil},
		"part of a name":  {padestest.EmptyFields("").Classic(), "two", false, sigfield.ErrFieldExists},
		"a group":         {padestest.EmptyFields("").Classic(), "group", true, sigfield.ErrField}, // holds a field, not a widget
		"text field":      {padestest.EmptyFields("").Classic(), "text", true, sigfield.ErrFieldExists},
		"read-only":       {padestest.EmptyFields("/Ff 1").Classic(), "one", true, sigfield.ErrField},
		"direct":          {fields("<< /FT /Sig /T (s) >>"), "s", true, sigfield.ErrField},
		"two of one name": {fields("5 0 R 6 0 R", pdftest.Obj{Number: 5, Body: "<< /FT /Sig /T (s) >>"}, pdftest.Obj{Number: 6, Body: "<< /FT /Sig /T (s) >>"}), "s", true, sigfield.ErrField},
		"two widgets":     {twoWidgets, "s", true, sigfield.ErrField},
		"/Lock is broken": {padestest.EmptyFields("/Lock << /Action /Whatever >>").Classic(), "one", true, pdf.ErrDamaged},
		"/SV is broken":   {padestest.EmptyFields("/SV (x)").Classic(), "one", true, pdf.ErrDamaged},
	} {
		o := padestest.Options(id)
		o.FieldName, o.ExistingField = tc.field, tc.old
		if _, err := padestest.Prepare(tc.data, o); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
}

// TestLocks: what the locks of earlier signatures and certifications mean for one field (ISO 32000-2 table 259).
func TestLocks(t *testing.T) {
	id := padestest.EC()
	document := func(params string) []byte {
		f := padestest.EmptyFields("", pdftest.Obj{Number: 15, Body: "<< /Type /Sig /Filter /Adobe.PPKLite /Reference [<< /TransformMethod /FieldMDP /TransformParams << " + params + " /V /1.2 >> >>] >>"},
			pdftest.Obj{Number: 13, Body: "<< /FT /Sig /T (first) /V 15 0 R >>"}, pdftest.Obj{Number: 14, Body: "(group)"})
		for i := range f.Objs {
			f.Objs[i].Body = strings.Replace(f.Objs[i].Body, "/Fields [6 0 R", "/Fields [13 0 R 6 0 R", 1)
		}
		return f.Classic()
	}
	for params, want := range map[string]map[string]error{
		"/Action /All":                                  {"one": sigfield.ErrLocked, "group.two": sigfield.ErrLocked, "": sigfield.ErrLocked},
		"/Action /All /P 2":                             {"one": sigfield.ErrLocked},
		"/Action /Include /Fields [(one)]":              {"one": sigfield.ErrLocked, "group.two": nil, "": nil},
		"/Action /Include /Fields [(group)]":            {"one": nil, "group.two": sigfield.ErrLocked},
		"/Action /Include /Fields [14 0 R]":             {"one": nil, "group.two": sigfield.ErrLocked},
		"/Action /Include /Fields [(grou) (group.tw)]":  {"one": nil, "group.two": nil},
		"/Action /Include /Fields [<FEFF006F006E0065>]": {"one": sigfield.ErrLocked},
		"/Action /Include /Fields [5]":                  {"one": pdf.ErrDamaged},
		"/Action /Exclude /Fields [(one)]":              {"one": nil, "group.two": sigfield.ErrLocked, "": sigfield.ErrLocked},
		"/Action /Exclude /Fields [(group)]":            {"one": sigfield.ErrLocked, "group.two": nil},
		"/Action /Exclude":                              {"one": sigfield.ErrLocked},
		"/Action /Unheard":                              {"one": sigfield.ErrLocked},
		"/P 3":                                          {"one": nil, "": nil},
		"/Action /Include /Fields [(one)] /P 1":         {"group.two": sigfield.ErrCertified},
	} {
		for field, err := range want {
			o := padestest.Options(id)
			o.FieldName = field
			if _, got := padestest.Prepare(document(params), o); !errors.Is(got, err) {
				t.Errorf("%s, field %q: %v, want %v", params, field, got, err)
			}
		}
	}
}

// TestOwnLock signs in fields that lock others, and finds the lock obeyed by the next signature.
func TestOwnLock(t *testing.T) {
	id := padestest.EC()
	for lock, tc := range map[string]struct {
		params string
		then   map[string]error
	}{
		"/Action /All":                                     {"/Action /All >>", map[string]error{"group.two": sigfield.ErrLocked}},
		"/Action /Include /Fields [(text)]":                {"/Action /Include /Fields [ <FEFF0074006500780074> ] >>", map[string]error{"group.two": nil, "": nil}},
		"/Action /Exclude /Fields [(group)]":               {"/Action /Exclude /Fields [ <FEFF00670072006F00750070> ] >>", map[string]error{"group.two": nil, "": sigfield.ErrLocked}},
		"/Action /Include /Fields [(text)] /P 1":           {"/Action /Include /Fields [ <FEFF0074006500780074> ] /P 1 >>", map[string]error{"": sigfield.ErrCertified}},
		"/Action /Include /Fields [<FEFF0449>] /P 3 /X[()": {"", nil}, // not a PDF object
	} {
		if tc.params == "" {
			if _, err := padestest.Prepare(padestest.EmptyFields("/Lock << /Type /SigFieldLock "+lock+" >>").Classic(), padestest.Options(id)); !errors.Is(err, pdf.ErrDamaged) {
				t.Errorf("%s: %v", lock, err)
			}
			continue
		}
		f := padestest.EmptyFields("/Lock << /Type /SigFieldLock " + lock + " >>")
		f.Objs[7].Body = strings.Replace(f.Objs[7].Body, "/Lock", "/NoLock", 1) // of "two"
		in := f.Classic()
		o := padestest.Options(id)
		o.FieldName, o.ExistingField = "one", true
		once := padestest.SignPDF(t, in, id, o)
		padestest.JudgeFields(t, in, once, 1, 2)
		want := "<< /Type /SigRef /TransformMethod /FieldMDP /Data 1 0 R /TransformParams << /Type /TransformParams /V /1.2 " + tc.params + " >>"
		if !strings.Contains(string(once[len(in):]), want) {
			t.Errorf("%s: no %q in %q", lock, want, once[len(in):])
		}
		for field, err := range tc.then {
			o := padestest.Options(id)
			o.FieldName = field
			if _, got := padestest.Prepare(once, o); !errors.Is(got, err) {
				t.Errorf("%s, then field %q: %v, want %v", lock, field, got, err)
			}
		}
	}
}

// TestSeedValues: demands are met or refused, proposals are not looked at (ISO 32000-2 table 237).
func TestSeedValues(t *testing.T) {
	id := padestest.EC()
	der := func(n int) string { return hex.EncodeToString(id.Chain[n]) }
	with := func(f func(*pades.Options)) func(*pades.Options) { return f }
	reason := with(func(o *pades.Options) { o.Reason = "Схвалено" })
	for _, tc := range []struct {
		seed   string
		change func(*pades.Options)
		want   string // of the refusal
	}{
		{"/Ff 0", nil, ""},
		{"/Ff 1 /Filter /Adobe.PPKLite", nil, ""},
		{"/Ff 1 /Filter /Entrust.PPKEF", nil, "signature handler \"Entrust.PPKEF\""},
		{"/Filter /Entrust.PPKEF", nil, ""},
		{"/Ff 2 /SubFilter [/adbe.pkcs7.detached /ETSI.CAdES.detached]", nil, ""},
		{"/Ff 2 /SubFilter [/adbe.pkcs7.detached]", nil, "not ETSI.CAdES.detached"},
		{"/SubFilter [/adbe.pkcs7.detached]", nil, ""},
		{"/Ff 4 /V 3", nil, ""},
		{"/Ff 4 /V 3.5", nil, "version 3.5"},
		{"/Ff 8 /Reasons [(I agree)]", nil, "one of the reasons [\"I agree\"]"},
		{"/Ff 8 /Reasons [(I agree) <FEFF0421044504320430043B0435043D043E>]", reason, ""},
		{"/Ff 8 /Reasons [(.)]", reason, "without a reason"},
		{"/Ff 8", reason, "without a reason"},
		{"/Ff 8 /Reasons [(.)]", nil, ""},
		{"/Reasons [(I agree)]", nil, ""},
		{"/Ff 16 /LegalAttestation [(none)]", nil, "legal attestation"},
		{"/Ff 16 /LegalAttestation []", nil, ""},
		{"/Ff 32 /AddRevInfo true", nil, "revocation information"},
		{"/Ff 32 /AddRevInfo false", nil, ""},
		{"/Ff 64 /DigestMethod [(SHA1) (SHA256)]", nil, ""},
		{"/Ff 64 /DigestMethod [(SHA512)]", nil, "and not SHA256"},
		{"/Ff 128 /LockDocument /true", nil, "locked"},
		{"/Ff 128 /LockDocument /auto", nil, ""},
		{"/Ff 256 /AppearanceFilter (mine)", nil, "appearance \"mine\""},
		{"/MDP << /P 0 >>", nil, ""},
		{"/MDP << /P 0 >>", with(func(o *pades.Options) { o.Certification = sigfield.CertifyForms }), "P = 0"},
		{"/MDP << /P 2 >>", with(func(o *pades.Options) { o.Certification = sigfield.CertifyForms }), ""},
		{"/MDP << /P 2 >>", nil, "P = 2"},
		{"/TimeStamp << /URL (http://tsa.example) /Ff 1 >>", nil, "time-stamp"},
		{"/TimeStamp << /URL (http://tsa.example) >>", nil, ""},
		{"/Cert << /Ff 1 /Subject [<" + der(1) + "> <" + der(0) + ">] >>", nil, ""},
		{"/Cert << /Ff 1 /Subject [<" + der(1) + ">] >>", nil, "another certificate (Subject)"},
		{"/Cert << /Ff 2 /Issuer [<" + der(1) + ">] >>", nil, ""},
		{"/Cert << /Ff 2 /Issuer [<" + der(0) + ">] >>", nil, "another certificate (Issuer)"},
		{"/Cert << /Ff 4 /OID [(1.2.3)] >>", nil, "not judged"},
		{"/Cert << /Ff 64 /URL (http://ca.example) >>", nil, ""},
	} {
		in := padestest.EmptyFields("/SV << /Type /SV " + tc.seed + " >>").Classic()
		o := padestest.Options(id)
		o.FieldName, o.ExistingField = "group.two", true
		if tc.change != nil {
			tc.change(&o)
		}
		_, err := padestest.Prepare(in, o)
		if (tc.want == "") != (err == nil) || (err != nil && (!errors.Is(err, sigfield.ErrSeedValue) || !strings.Contains(err.Error(), tc.want))) {
			t.Errorf("%s: %v, want %q", tc.seed, err, tc.want)
		}
	}
}
