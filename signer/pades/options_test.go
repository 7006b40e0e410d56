package pades_test

import (
	"bytes"
	"crypto"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/ecsigner/ecsigner/signer/appearance"
	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/pades"
	"github.com/ecsigner/ecsigner/signer/pdf"
	"github.com/ecsigner/ecsigner/signer/pdf/pdftest"
)

// TestCertification certifies each way and signs on top as far as the certification allows.
func TestCertification(t *testing.T) {
	id := ecIdentity()
	rights := pdftest.Obj{Number: 5, Body: "<< /UR3 6 0 R >>"}
	right := pdftest.Obj{Number: 6, Body: "<< /Type /Sig /Filter /Adobe.PPKLite >>"}
	for name, in := range map[string][]byte{
		"no form":         shape(t, "lf"),
		"form":            shape(t, "form-indirect"),
		"object streams":  shape(t, "form-in-objstm"),
		"direct /Perms":   pdftest.File{Objs: pdftest.Page("/Perms << /UR3 6 0 R >>", "", right)}.Classic(),
		"indirect /Perms": pdftest.File{Objs: pdftest.Page("/Perms 5 0 R /Lang (uk)", "", rights, right)}.Streams(1, 5),
	} {
		for p := pades.CertifyFinal; p <= pades.CertifyAnnotations; p++ {
			t.Run(fmt.Sprintf("%s/%d", name, p), func(t *testing.T) {
				t.Parallel()
				o := options(id)
				o.Certification = p
				once := signPDF(t, in, id, o)
				judge(t, in, once, 1)
				tail := string(once[len(in):])
				want := fmt.Sprintf("/TransformMethod /DocMDP /TransformParams << /Type /TransformParams /P %d /V /1.2 >>", p)
				if strings.Count(tail, want) != 1 || !regexp.MustCompile(`/DocMDP +\d+ 0 R`).MatchString(tail) {
					t.Errorf("no certification in %q", tail)
				}
				if bytes.Contains(in, []byte("/UR3 6 0 R")) && !strings.Contains(tail, "/UR3 6 0 R") {
					t.Error("usage rights are lost")
				}
				again := options(id)
				again.Certification = p
				wanted := pades.ErrNotFirst
				if p == pades.CertifyFinal {
					wanted = pades.ErrCertified
				}
				if _, err := prepare(once, again); !errors.Is(err, wanted) {
					t.Errorf("certified twice: %v", err)
				}
				if p == pades.CertifyFinal {
					if _, err := prepare(once, options(id)); !errors.Is(err, pades.ErrCertified) {
						t.Errorf("signed after P=1: %v", err)
					}
					return
				}
				judge(t, once, signPDF(t, once, id, options(id)), 2)
			})
		}
	}
	o := options(id)
	signed := signPDF(t, shape(t, "lf"), id, o)
	o.Certification = pades.CertifyForms
	if _, err := prepare(signed, o); !errors.Is(err, pades.ErrNotFirst) {
		t.Errorf("certified after an approval: %v", err)
	}
}

// emptyFields returns a document with three empty signature fields: "one", "two" inside a group, and "apart", whose
// widget is an object of its own. entries go into all.
func emptyFields(entries string, more ...pdftest.Obj) pdftest.File {
	widget := "/Type /Annot /Subtype /Widget /Rect [10 10 90 50] /P 3 0 R /F 4"
	return pdftest.File{Objs: pdftest.Page("/AcroForm 5 0 R /Lang (uk)", "/Annots [6 0 R 8 0 R 9 0 R 10 0 R]", append([]pdftest.Obj{
		{Number: 5, Body: "<< /Fields [6 0 R 7 0 R 12 0 R 10 0 R] /DA (/Helv 0 Tf) /DR << /Font << /Helv 11 0 R >> >> /SigFlags 1 >>"},
		{Number: 6, Body: "<< /FT /Sig /T (one) " + widget + " /MK << /R 0 >> " + entries + " >>"},
		{Number: 7, Body: "<< /T (group) /FT /Sig /Kids [8 0 R] >>"},
		{Number: 8, Body: "<< /T (two) /Parent 7 0 R " + strings.Replace(widget, "10 10 90 50", "10 60 90 99", 1) + " " + entries + " >>"},
		{Number: 9, Body: "<< /Parent 12 0 R " + strings.Replace(widget, "10 10 90 50", "100 60 190 99", 1) + " >>"},
		{Number: 12, Body: "<< /T (apart) /FT /Sig /Kids [9 0 R] " + entries + " >>"},
		pdftest.TextField(10, "text"),
		{Number: 11, Body: "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"},
	}, more...)...)}
}

// TestFillField signs in fields that the document's author placed, without touching a page.
func TestFillField(t *testing.T) {
	id := ecIdentity()
	for name, in := range map[string][]byte{
		"classic": emptyFields("/TU (here)").Classic(), "streams": emptyFields("/TU (here)").Streams(1, 5, 6, 7, 8, 9, 10, 12),
	} {
		for _, visible := range []bool{false, true} {
			o := options(id)
			if visible {
				o.Appearance = &appearance.Appearance{}
			}
			o.FieldName, o.ExistingField = "one", true
			once := signPDF(t, in, id, o)
			judgeFields(t, in, once, 1, 2)
			o.FieldName = "group.two"
			twice := signPDF(t, once, id, o)
			judgeFields(t, once, twice, 2, 1)
			infos := judgeOurs(t, twice, 2)
			if infos[0].Field != "one" || infos[1].Field != "group.two" {
				t.Errorf("%s: fields %q and %q", name, infos[0].Field, infos[1].Field)
			}
			tail := string(twice[len(in):])
			for _, want := range []string{"/TU (here)", "/MK << /R 0 >>", "/Rect [10 10 90 50]", "/SigFlags 3"} {
				if !strings.Contains(squeeze(tail), want) {
					t.Errorf("%s: %q is lost", name, want)
				}
			}
			if strings.Contains(tail, "\n3 0 obj") || strings.Contains(tail, "/Fields [6 0 R 7 0 R 12 0 R 10 0 R 1") || strings.Count(tail, "/AP ") != map[bool]int{false: 0, true: 2}[visible] {
				t.Errorf("%s, visible %v: more or less than the fields was changed: %q", name, visible, tail)
			}
			if _, err := prepare(twice, o); !errors.Is(err, pades.ErrFieldExists) {
				t.Errorf("%s: filled twice: %v", name, err)
			}
			o.FieldName = "apart"
			judgeFields(t, in, signPDF(t, in, id, o), 1, 2)
			if _, err := prepare(once, o); !errors.Is(err, pades.ErrField) {
				t.Errorf("%s: a widget apart after a signature: %v", name, err)
			}
		}
	}
}

func TestFieldRefusals(t *testing.T) {
	id := ecIdentity()
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
		"not there":       {emptyFields("").Classic(), "three", true, pades.ErrField},
		"new instead":     {emptyFields("").Classic(), "three", false, nil},
		"part of a name":  {emptyFields("").Classic(), "two", false, pades.ErrFieldExists},
		"a group":         {emptyFields("").Classic(), "group", true, pades.ErrField}, // holds a field, not a widget
		"text field":      {emptyFields("").Classic(), "text", true, pades.ErrFieldExists},
		"read-only":       {emptyFields("/Ff 1").Classic(), "one", true, pades.ErrField},
		"direct":          {fields("<< /FT /Sig /T (s) >>"), "s", true, pades.ErrField},
		"two of one name": {fields("5 0 R 6 0 R", pdftest.Obj{Number: 5, Body: "<< /FT /Sig /T (s) >>"}, pdftest.Obj{Number: 6, Body: "<< /FT /Sig /T (s) >>"}), "s", true, pades.ErrField},
		"two widgets":     {twoWidgets, "s", true, pades.ErrField},
		"/Lock is broken": {emptyFields("/Lock << /Action /Whatever >>").Classic(), "one", true, pdf.ErrDamaged},
		"/SV is broken":   {emptyFields("/SV (x)").Classic(), "one", true, pdf.ErrDamaged},
	} {
		o := options(id)
		o.FieldName, o.ExistingField = tc.field, tc.old
		if _, err := prepare(tc.data, o); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
}

// TestLocks: what the locks of earlier signatures and certifications mean for one field (ISO 32000-2 table 259).
func TestLocks(t *testing.T) {
	id := ecIdentity()
	document := func(params string) []byte {
		f := emptyFields("", pdftest.Obj{Number: 15, Body: "<< /Type /Sig /Filter /Adobe.PPKLite /Reference [<< /TransformMethod /FieldMDP /TransformParams << " + params + " /V /1.2 >> >>] >>"},
			pdftest.Obj{Number: 13, Body: "<< /FT /Sig /T (first) /V 15 0 R >>"}, pdftest.Obj{Number: 14, Body: "(group)"})
		for i := range f.Objs {
			f.Objs[i].Body = strings.Replace(f.Objs[i].Body, "/Fields [6 0 R", "/Fields [13 0 R 6 0 R", 1)
		}
		return f.Classic()
	}
	for params, want := range map[string]map[string]error{
		"/Action /All":                                  {"one": pades.ErrLocked, "group.two": pades.ErrLocked, "": pades.ErrLocked},
		"/Action /All /P 2":                             {"one": pades.ErrLocked},
		"/Action /Include /Fields [(one)]":              {"one": pades.ErrLocked, "group.two": nil, "": nil},
		"/Action /Include /Fields [(group)]":            {"one": nil, "group.two": pades.ErrLocked},
		"/Action /Include /Fields [14 0 R]":             {"one": nil, "group.two": pades.ErrLocked},
		"/Action /Include /Fields [(grou) (group.tw)]":  {"one": nil, "group.two": nil},
		"/Action /Include /Fields [<FEFF006F006E0065>]": {"one": pades.ErrLocked},
		"/Action /Include /Fields [5]":                  {"one": pdf.ErrDamaged},
		"/Action /Exclude /Fields [(one)]":              {"one": nil, "group.two": pades.ErrLocked, "": pades.ErrLocked},
		"/Action /Exclude /Fields [(group)]":            {"one": pades.ErrLocked, "group.two": nil},
		"/Action /Exclude":                              {"one": pades.ErrLocked},
		"/Action /Unheard":                              {"one": pades.ErrLocked},
		"/P 3":                                          {"one": nil, "": nil},
		"/Action /Include /Fields [(one)] /P 1":         {"group.two": pades.ErrCertified},
	} {
		for field, err := range want {
			o := options(id)
			o.FieldName = field
			if _, got := prepare(document(params), o); !errors.Is(got, err) {
				t.Errorf("%s, field %q: %v, want %v", params, field, got, err)
			}
		}
	}
}

// TestOwnLock signs in fields that lock others, and finds the lock obeyed by the next signature.
func TestOwnLock(t *testing.T) {
	id := ecIdentity()
	for lock, tc := range map[string]struct {
		params string
		then   map[string]error
	}{
		"/Action /All":                                     {"/Action /All >>", map[string]error{"group.two": pades.ErrLocked}},
		"/Action /Include /Fields [(text)]":                {"/Action /Include /Fields [ <FEFF0074006500780074> ] >>", map[string]error{"group.two": nil, "": nil}},
		"/Action /Exclude /Fields [(group)]":               {"/Action /Exclude /Fields [ <FEFF00670072006F00750070> ] >>", map[string]error{"group.two": nil, "": pades.ErrLocked}},
		"/Action /Include /Fields [(text)] /P 1":           {"/Action /Include /Fields [ <FEFF0074006500780074> ] /P 1 >>", map[string]error{"": pades.ErrCertified}},
		"/Action /Include /Fields [<FEFF0449>] /P 3 /X[()": {"", nil}, // not a PDF object
	} {
		if tc.params == "" {
			if _, err := prepare(emptyFields("/Lock << /Type /SigFieldLock "+lock+" >>").Classic(), options(id)); !errors.Is(err, pdf.ErrDamaged) {
				t.Errorf("%s: %v", lock, err)
			}
			continue
		}
		f := emptyFields("/Lock << /Type /SigFieldLock " + lock + " >>")
		f.Objs[7].Body = strings.Replace(f.Objs[7].Body, "/Lock", "/NoLock", 1) // of "two"
		in := f.Classic()
		o := options(id)
		o.FieldName, o.ExistingField = "one", true
		once := signPDF(t, in, id, o)
		judgeFields(t, in, once, 1, 2)
		want := "<< /Type /SigRef /TransformMethod /FieldMDP /Data 1 0 R /TransformParams << /Type /TransformParams /V /1.2 " + tc.params + " >>"
		if !strings.Contains(string(once[len(in):]), want) {
			t.Errorf("%s: no %q in %q", lock, want, once[len(in):])
		}
		for field, err := range tc.then {
			o := options(id)
			o.FieldName = field
			if _, got := prepare(once, o); !errors.Is(got, err) {
				t.Errorf("%s, then field %q: %v, want %v", lock, field, got, err)
			}
		}
	}
}

// TestSeedValues: demands are met or refused, proposals are not looked at (ISO 32000-2 table 237).
func TestSeedValues(t *testing.T) {
	id := ecIdentity()
	der := func(n int) string { return hex.EncodeToString(id.chain[n]) }
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
		{"/MDP << /P 0 >>", with(func(o *pades.Options) { o.Certification = pades.CertifyForms }), "P = 0"},
		{"/MDP << /P 2 >>", with(func(o *pades.Options) { o.Certification = pades.CertifyForms }), ""},
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
		in := emptyFields("/SV << /Type /SV " + tc.seed + " >>").Classic()
		o := options(id)
		o.FieldName, o.ExistingField = "group.two", true
		if tc.change != nil {
			tc.change(&o)
		}
		_, err := prepare(in, o)
		if (tc.want == "") != (err == nil) || (err != nil && (!errors.Is(err, pades.ErrSeedValue) || !strings.Contains(err.Error(), tc.want))) {
			t.Errorf("%s: %v, want %q", tc.seed, err, tc.want)
		}
	}
}

// policy is that of a test: nobody has published it.
func policy() *cades.Policy {
	return &cades.Policy{ID: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 7}, Hash: crypto.SHA256, Digest: bytes.Repeat([]byte{7}, 32), URI: "https://policy.example/p.pdf"}
}

// TestClaims signs with every optional attribute, through the second version of the state, which is as strict as the
// first.
func TestClaims(t *testing.T) {
	id := ecIdentity()
	in := shape(t, "lf")
	for name, change := range map[string]func(*pades.Options){
		"commitment type": func(o *pades.Options) { o.CommitmentType = cades.ProofOfApproval },
		"roles":           func(o *pades.Options) { o.ClaimedRoles = []string{"Директор", "Prezes Zarządu"} },
		"policy":          func(o *pades.Options) { o.Policy = policy() },
		"all": func(o *pades.Options) {
			o.CommitmentType, o.ClaimedRoles, o.Policy = cades.ProofOfOrigin, []string{"notary"}, policy()
			o.Location, o.Contact, o.Name = "Kyiv", "+380 44 000 00 00", "Тарас"
		},
	} {
		o := options(id)
		change(&o)
		out := signPDF(t, in, id, o)
		judge(t, in, out, 1)
		judgeOpenSSL(t, out, id)
		p, err := prepare(in, o)
		if err != nil {
			t.Fatal(err)
		}
		b, err := p.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		if b[len("ecsigner-pades")] != 2 || len(b) > 64<<10 {
			t.Errorf("%s: state of version %d and %d bytes", name, b[len("ecsigner-pades")], len(b))
		}
		strictState(t, p, b)
	}
	plain, err := prepare(in, options(id))
	if err != nil {
		t.Fatal(err)
	}
	_, b := state(t, in)
	b[len("ecsigner-pades")] = 2
	if plain.UnmarshalBinary(append(b, make([]byte, 9)...)) == nil {
		t.Error("version 2 without claims: two encodings of one state")
	}
	tail := string(signPDF(t, in, id, func() pades.Options { o := options(id); o.Contact = "+48 22"; return o }())[len(in):])
	if !strings.Contains(tail, "/ContactInfo <FEFF002B00340038002000320032>") {
		t.Error("no contact")
	}
}

// TestOldState reads a state that was written before claims existed, and embeds a signature into it.
func TestOldState(t *testing.T) {
	b, err := os.ReadFile("testdata/state-1.bin")
	if err != nil {
		t.Fatal(err)
	}
	var p pades.Prepared
	if err := p.UnmarshalBinary(b); err != nil {
		t.Fatal(err)
	}
	if again, _ := p.MarshalBinary(); !bytes.Equal(again, b) {
		t.Error("an old state has another encoding now")
	}
	cms, err := os.ReadFile("testdata/state-1.cms")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.EmbedCMS(cms); err != nil {
		t.Error(err)
	}
}
