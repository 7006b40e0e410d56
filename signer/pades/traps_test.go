package pades_test

import (
	"bytes"
	"context"
	"encoding/asn1"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/pades"
	"github.com/ecsigner/ecsigner/signer/pades/longterm"
	"github.com/ecsigner/ecsigner/signer/pades/padestest"
	"github.com/ecsigner/ecsigner/signer/pades/sigfield"
	"github.com/ecsigner/ecsigner/signer/pdf"
	"github.com/ecsigner/ecsigner/signer/pdf/pdftest"
)

// TestTexts signs with names in which other writers have broken: bytes of UTF-16 that look like delimiters.
func TestTexts(t *testing.T) {
	id := padestest.EC()
	in := padestest.Shape(t, "lf")
	for _, text := range []string{"Шевченко Тарас Щ", `()\ \( \\`, "😀 emoji", "<<>>[]{}/%#", "Łódź", "ଊ਍⤊⠨", strings.Repeat("Щ", 256)} {
		o := padestest.Options(id)
		o.Name, o.Reason, o.Location, o.FieldName = text, text, text, strings.ReplaceAll(text, ".", "")
		out := padestest.SignPDF(t, in, id, o)
		padestest.Judge(t, in, out, 1)
		got := padestest.JudgeOurs(t, out, 1)[0]
		if got.Name != text || got.Reason != text || got.Location != text || got.Field != text {
			t.Errorf("%q reads back as %q, %q, %q, %q", text, got.Name, got.Reason, got.Location, got.Field)
		}
		// Another reader sees the same characters.
		said, _ := padestest.Run(t, "qpdf", "--json=2", "--json-key=qpdf", "--json-object=5,0", padestest.WriteFile(t, "signed.pdf", out))
		var dump struct {
			QPDF []map[string]json.RawMessage `json:"qpdf"`
		}
		var object struct{ Value map[string]any }
		if err := json.Unmarshal([]byte(said), &dump); err != nil || len(dump.QPDF) != 2 {
			t.Fatalf("qpdf: %v %s", err, said)
		}
		if err := json.Unmarshal(dump.QPDF[1]["obj:5 0 R"], &object); err != nil || object.Value["/Name"] != "u:"+text {
			t.Errorf("qpdf reads the name as %q, not %q, %v", object.Value["/Name"], text, err)
		}
	}
}

// TestDictionary checks what the profile wants of the signature dictionary and of the field, in the bytes themselves.
func TestDictionary(t *testing.T) {
	id := padestest.EC()
	in := padestest.Shape(t, "lf")
	o := padestest.Options(id)
	tail := string(padestest.SignPDF(t, in, id, o)[len(in):])
	for _, want := range []string{
		"/Type /Sig ", "/Filter /Adobe.PPKLite", "/SubFilter /ETSI.CAdES.detached", "/M (D:" + padestest.SigningTime.UTC().Format("20060102150405") + "Z)",
		"/FT /Sig", "/Rect [0 0 0 0]", "/SigFlags 3", "/Fields [6 0 R]",
	} {
		if strings.Count(tail, want) != 1 {
			t.Errorf("%q is not there exactly once", want)
		}
	}
	for _, not := range []string{"/Cert", "/Reason", "/Name", "/Annots", "/P ", "/Type /Page"} {
		if strings.Contains(tail, not) {
			t.Errorf("%q is there", not)
		}
	}
	// The catalog, the form, the field and the signature; no page.
	if got := regexp.MustCompile(`\d+ \d+ obj`).FindAllString(tail, -1); fmt.Sprint(got) != "[5 0 obj 6 0 obj 7 0 obj 1 0 obj]" {
		t.Errorf("objects written: %v", got)
	}
}

// TestRestIsKept makes sure that rewritten objects keep every byte but the entered key.
func TestRestIsKept(t *testing.T) {
	id := padestest.EC()
	for name, want := range map[string][]string{
		"escaped-names":     {`/PageLayout /One#20Column /Lang (en\(US\)) % remark >> /X`},
		"unbalanced-string": {`/Lang (en\)\(\\) /Odd <</A[<</B(\()>>]>>`},
		"form-indirect":     {"<< /Fields [6 0 R 7 0 R 10 0 R] /DA (/Helv 0 Tf) /DR << /Font << /Helv 8 0 R >> >> /NeedAppearances true /SigFlags 3 >>"},
		"form-direct":       {"/DR << /Font << /Helv 8 0 R >> >> /NeedAppearances true", "/Lang (uk)"},
		"form-fields-apart": {"[6 0 R 7 0 R 10 0 R]", "/SigFlags  3 "},
		"form-in-objstm":    {"/DR << /Font << /Helv 8 0 R >> >> /NeedAppearances true"},
	} {
		in := padestest.Shape(t, name)
		tail := string(padestest.SignPDF(t, in, id, padestest.Options(id))[len(in):])
		for _, w := range want {
			if !strings.Contains(padestest.Squeeze(tail), padestest.Squeeze(w)) {
				t.Errorf("%s: %q is not in %q", name, w, padestest.Squeeze(tail[strings.LastIndex(tail, "/FT"):]))
			}
		}
	}
	// The catalog keeps its generation.
	in := padestest.Shape(t, "catalog-generation")
	if tail := string(padestest.SignPDF(t, in, id, padestest.Options(id))[len(in):]); !strings.Contains(tail, "1 3 obj") || !strings.Contains(tail, "00003 n") {
		t.Error("generation of the catalog is lost")
	}
}

func TestFieldNames(t *testing.T) {
	id := padestest.EC()
	for _, tc := range []struct{ shape, wanted, want string }{
		{"lf", "", "Signature1"},
		{"lf", "підпис", "підпис"},
		{"form-indirect", "", "Signature2"}, // a text field is called Signature1
		{"form-kids", "", "Signature2"},     // so is a field inside a group
	} {
		o := padestest.Options(id)
		o.FieldName = tc.wanted
		in := padestest.Shape(t, tc.shape)
		once := padestest.SignPDF(t, in, id, o)
		if got := padestest.JudgeOurs(t, once, 1)[0].Field; got != tc.want {
			t.Errorf("%s: field %q, want %q", tc.shape, got, tc.want)
		}
		o.FieldName = tc.want
		if _, err := padestest.Prepare(once, o); !errors.Is(err, sigfield.ErrFieldExists) {
			t.Errorf("%s: same name again: %v", tc.shape, err)
		}
	}
}

// TestRefusals: what must not be signed, each with the reason that callers switch on.
func TestRefusals(t *testing.T) {
	id := padestest.EC()
	catalog := func(entries string, more ...pdftest.Obj) []byte {
		return pdftest.File{Objs: pdftest.Page(entries, "", more...)}.Classic()
	}
	signature := func(reference string) pdftest.Obj {
		return pdftest.Obj{Number: 6, Body: "<< /Type /Sig /Filter /Adobe.PPKLite /Reference [" + reference + "] >>"}
	}
	field := pdftest.Obj{Number: 5, Body: "<< /FT /Sig /T (a) /V 6 0 R >>"}
	locked := pdftest.Obj{Number: 5, Body: "<< /FT /Sig /T (a) /V 6 0 R /Lock << /Type /SigFieldLock /Action /All >> >>"}
	form := "/AcroForm << /Fields [5 0 R] >> "
	docMDP := func(p string) string {
		return "<< /TransformMethod /DocMDP /TransformParams << /Type /TransformParams " + p + " /V /1.2 >> >>"
	}
	fieldMDP := func(p string) string {
		return "<< /TransformMethod /FieldMDP /TransformParams << " + p + " /V /1.2 >> >>"
	}
	for name, tc := range map[string]struct {
		data []byte
		want error
	}{
		"encrypted RC4":               {padestest.QPDF(t, padestest.Shape(t, "lf"), "--static-id", "--allow-weak-crypto", "--encrypt", "", "o", "128", "--use-aes=n", "--"), pdf.ErrEncrypted},
		"encrypted AES-128":           {padestest.QPDF(t, padestest.Shape(t, "lf"), "--static-id", "--allow-weak-crypto", "--encrypt", "", "o", "128", "--use-aes=y", "--"), pdf.ErrEncrypted},
		"encrypted AES-256":           {padestest.QPDF(t, padestest.Shape(t, "lf"), "--static-id", "--encrypt", "u", "o", "256", "--"), pdf.ErrEncrypted},
		"encrypted, object streams":   {padestest.QPDF(t, padestest.Shape(t, "lf"), "--static-id", "--object-streams=generate", "--encrypt", "u", "o", "256", "--"), pdf.ErrEncrypted},
		"hybrid":                      {pdftest.File{Objs: pdftest.Page("", ""), Trailer: "/XRefStm 15"}.Classic(), pdf.ErrHybrid},
		"XFA":                         {catalog("/AcroForm << /Fields [] /XFA [(template) 4 0 R] >>"), pdf.ErrXFA},
		"certified P=1, Perms":        {catalog("/Perms << /DocMDP 6 0 R >> "+form, field, signature(docMDP("/P 1"))), sigfield.ErrCertified},
		"certified P=1, no Perms":     {catalog(form, field, signature(docMDP("/P 1"))), sigfield.ErrCertified},
		"certified P=1, no field":     {catalog("/Perms << /DocMDP 6 0 R >> ", signature(docMDP("/P 1"))), sigfield.ErrCertified},
		"certified P=1, indirect":     {catalog(form, field, signature("<< /TransformMethod 7 0 R /TransformParams 8 0 R >>"), pdftest.Obj{Number: 7, Body: "/DocMDP"}, pdftest.Obj{Number: 8, Body: "<< /P 9 0 R >>"}, pdftest.Obj{Number: 9, Body: "1"}), sigfield.ErrCertified},
		"certified P=1.0":             {catalog(form, field, signature(docMDP("/P 1.0"))), pdf.ErrDamaged},
		"certified P=0":               {catalog(form, field, signature(docMDP("/P 0"))), pdf.ErrDamaged},
		"certified P=1, no name":      {catalog(form, pdftest.Obj{Number: 5, Body: "<< /FT /Sig /V 6 0 R >>"}, signature(docMDP("/P 1"))), sigfield.ErrCertified},
		"FieldMDP All":                {catalog(form, field, signature(fieldMDP("/Action /All"))), sigfield.ErrLocked},
		"FieldMDP Exclude":            {catalog(form, field, signature(fieldMDP("/Action /Exclude /Fields [(b)]"))), sigfield.ErrLocked},
		"Lock of a signed field":      {catalog(form, locked, signature("")), sigfield.ErrLocked},
		"form that contradicts":       {catalog("/AcroForm 4 0 R"), pdf.ErrDamaged},
		"certified P=2":               {catalog("/Perms << /DocMDP 6 0 R >> "+form, field, signature(docMDP("/P 2"))), nil},
		"certified, default P":        {catalog("/Perms << /DocMDP 6 0 R >> "+form, field, signature(docMDP(""))), nil},
		"FieldMDP Include":            {catalog(form, field, signature(fieldMDP("/Action /Include /Fields [(b)]"))), nil},
		"Lock of a field not signed":  {catalog(form, pdftest.Obj{Number: 5, Body: "<< /FT /Sig /T (a) /Lock << /Action /All >> >>"}), nil},
		"form object that is missing": {catalog("/AcroForm 99 0 R"), nil},
	} {
		p, err := padestest.Prepare(tc.data, padestest.Options(id))
		if !errors.Is(err, tc.want) || (err == nil) != (p != nil) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
		if err != nil && (strings.Contains(err.Error(), "\n") || len(err.Error()) > 300) {
			t.Errorf("%s: not a line of text: %q", name, err)
		}
	}
}

func TestOptions(t *testing.T) {
	id := padestest.EC()
	in := padestest.Shape(t, "lf")
	for name, tc := range map[string]struct {
		change func(*pades.Options)
		want   error
	}{
		"no time":           {func(o *pades.Options) { o.SigningTime = o.SigningTime.AddDate(-9999, 0, 0) }, pades.ErrOptions},
		"no algorithm":      {func(o *pades.Options) { o.Algorithm = 0 }, pades.ErrOptions},
		"no chain":          {func(o *pades.Options) { o.Chain = nil }, pades.ErrOptions},
		"RSA with EC key":   {func(o *pades.Options) { o.Algorithm = cades.RSAWithSHA256 }, cades.ErrInput},
		"not a certificate": {func(o *pades.Options) { o.Chain = [][]byte{{1}} }, cades.ErrInput},
		"not UTF-8":         {func(o *pades.Options) { o.Name = "\xff" }, pades.ErrOptions},
		"line break":        {func(o *pades.Options) { o.Reason = "a\nb" }, pades.ErrOptions},
		"long text":         {func(o *pades.Options) { o.Location = strings.Repeat("x", 257) }, pades.ErrOptions},
		"dot in the field":  {func(o *pades.Options) { o.FieldName = "a.b" }, pades.ErrOptions},
		"reserve":           {func(o *pades.Options) { o.Reserve = 2 << 20 }, pades.ErrOptions},
		"negative reserve":  {func(o *pades.Options) { o.Reserve = -1 }, pades.ErrOptions},
		"contact":           {func(o *pades.Options) { o.Contact = "a\x00" }, pades.ErrOptions},
		"certification":     {func(o *pades.Options) { o.Certification = 4 }, pades.ErrOptions},
		"reason and type":   {func(o *pades.Options) { o.Reason, o.CommitmentType = "x", cades.ProofOfApproval }, pades.ErrOptions},
		"bad type":          {func(o *pades.Options) { o.CommitmentType = asn1.ObjectIdentifier{9, 9, 9} }, cades.ErrInput},
		"bad policy":        {func(o *pades.Options) { o.Policy = &cades.Policy{ID: asn1.ObjectIdentifier{1, 2, 3}} }, cades.ErrInput},
		"bad role":          {func(o *pades.Options) { o.ClaimedRoles = []string{""} }, cades.ErrInput},
		"which field":       {func(o *pades.Options) { o.ExistingField = true }, pades.ErrOptions},
	} {
		o := padestest.Options(id)
		tc.change(&o)
		if _, err := padestest.Prepare(in, o); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := pades.Prepare(ctx, bytes.NewReader(in), int64(len(in)), padestest.Options(id)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestTooLargeCMS: when the CMS does not fit, nothing is written and nobody needs to sign again.
func TestTooLargeCMS(t *testing.T) {
	id := padestest.EC()
	p, err := padestest.Prepare(padestest.Shape(t, "lf"), padestest.Options(id))
	if err != nil {
		t.Fatal(err)
	}
	sig := id.Sign(t, cades.ECDSAWithSHA256, p.DTBSR())
	larger := append(append([][]byte{}, id.Chain...), padestest.RSA().Chain...)
	cms, err := cades.Assemble(cades.Parts{SignedAttributes: p.SignedAttributes(), Signature: sig, Algorithm: p.Algorithm(), Chain: larger})
	if err != nil {
		t.Fatal(err)
	}
	if tail, err := p.EmbedCMS(cms); !errors.Is(err, pades.ErrReserve) || tail != nil {
		t.Errorf("too large: %d bytes, %v", len(tail), err)
	}
	// The same signature value still makes a file.
	if _, err := p.Embed(sig); err != nil {
		t.Error(err)
	}
	// With room reserved for it, the larger CMS fits.
	o := padestest.Options(id)
	o.Reserve = 4000
	if p, err = padestest.Prepare(padestest.Shape(t, "lf"), o); err != nil {
		t.Fatal(err)
	}
	cms, err = cades.Assemble(cades.Parts{SignedAttributes: p.SignedAttributes(), Signature: id.Sign(t, p.Algorithm(), p.DTBSR()), Algorithm: p.Algorithm(), Chain: larger})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.EmbedCMS(cms); err != nil {
		t.Error(err)
	}
}

// TestForeignSignature: a value or a CMS of other data never gets into the file.
func TestForeignSignature(t *testing.T) {
	id := padestest.EC()
	one, err := padestest.Prepare(padestest.Shape(t, "lf"), padestest.Options(id))
	if err != nil {
		t.Fatal(err)
	}
	other, err := padestest.Prepare(padestest.Shape(t, "crlf"), padestest.Options(id))
	if err != nil {
		t.Fatal(err)
	}
	sig := id.Sign(t, cades.ECDSAWithSHA256, other.DTBSR())
	if tail, err := one.Embed(sig); !errors.Is(err, cades.ErrSignature) || tail != nil {
		t.Errorf("signature of another document: %v", err)
	}
	cms, err := cades.Assemble(cades.Parts{SignedAttributes: other.SignedAttributes(), Signature: sig, Algorithm: other.Algorithm(), Chain: id.Chain})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := one.EmbedCMS(cms); !errors.Is(err, pades.ErrChanged) {
		t.Errorf("CMS of another document: %v", err)
	}
}

// TestDeterministic: both phases give the same bytes for the same input, which is what makes them repeatable.
func TestDeterministic(t *testing.T) {
	id := padestest.EC()
	for _, s := range pdftest.Signable() {
		a, err := padestest.Prepare(s.Data, padestest.Options(id))
		if err != nil {
			t.Fatal(err)
		}
		b, err := padestest.Prepare(s.Data, padestest.Options(id))
		if err != nil {
			t.Fatal(err)
		}
		x, _ := a.MarshalBinary()
		y, _ := b.MarshalBinary()
		if !bytes.Equal(x, y) {
			t.Errorf("%s: two preparations differ", s.Name)
		}
		if limit := 8 << 10; len(x) > limit && s.Name != "run-of-zeros" {
			t.Errorf("%s: state of %d bytes", s.Name, len(x))
		}
		sig := id.Sign(t, cades.ECDSAWithSHA256, a.DTBSR())
		first, err := a.Embed(sig)
		if err != nil {
			t.Fatal(err)
		}
		if second, _ := b.Embed(sig); !bytes.Equal(first, second) {
			t.Errorf("%s: two embeddings differ", s.Name)
		}
	}
}

// TestEveryRevisionIsGuarded flips bytes all over a file with two signatures: each flip is noticed by the signature
// that covers it, and in the first revision by both.
func TestEveryRevisionIsGuarded(t *testing.T) {
	id := padestest.EC()
	id.Chain = id.Chain[:1] // the certificates above the signer's are not covered by any signature
	once := padestest.SignPDF(t, padestest.Shape(t, "form-indirect"), id, padestest.Options(id))
	twice := padestest.SignPDF(t, once, id, padestest.Options(id))
	for at := 0; at < len(twice); at += 3 {
		bad := bytes.Clone(twice)
		bad[at] ^= 0x04
		infos, err := longterm.Verify(context.Background(), bytes.NewReader(bad), int64(len(bad)), pdf.Limits{})
		if err != nil {
			continue
		}
		valid := 0
		for _, s := range infos {
			if s.Err == nil && s.Level == "B-B" {
				valid++
			}
		}
		if valid > 1 || (at < len(once) && valid > 0 && !inContents(once, at)) {
			t.Errorf("byte %d changed, %d signatures still valid", at, valid)
		}
	}
}

// inContents reports whether a byte of the first revision lies in the CMS of the first signature, which only the
// second one covers and itself guards.
func inContents(once []byte, at int) bool {
	from := bytes.LastIndex(once, []byte("/Contents <"))
	return at > from && at < from+bytes.IndexByte(once[from:], '>')
}

// TestCheck: the last look before a file leaves sees every change.
func TestCheck(t *testing.T) {
	id := padestest.EC()
	in := padestest.Shape(t, "lf")
	p, err := padestest.Prepare(in, padestest.Options(id))
	if err != nil {
		t.Fatal(err)
	}
	tail, err := p.Embed(id.Sign(t, cades.ECDSAWithSHA256, p.DTBSR()))
	if err != nil {
		t.Fatal(err)
	}
	out := append(bytes.Clone(in), tail...)
	check := func(b []byte) error { return p.Check(context.Background(), bytes.NewReader(b), int64(len(b))) }
	if err := check(out); err != nil {
		t.Fatal(err)
	}
	for at := range out {
		bad := bytes.Clone(out)
		bad[at] ^= 1
		if err := check(bad); err == nil {
			t.Errorf("byte %d changed and not noticed", at)
		}
	}
	if err := check(append(out, 0)); !errors.Is(err, pades.ErrChanged) {
		t.Errorf("byte appended: %v", err)
	}
	if err := p.Check(context.Background(), bytes.NewReader(out[:len(out)-9]), int64(len(out))); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("cut file: %v", err)
	}
}

// TestLargeFile signs a document of more than 100,000,000 bytes with little memory: nine digits in /ByteRange, and the
// document is never held. The file is sparse, so it costs no disk.
func TestLargeFile(t *testing.T) {
	const hole = 101_000_000
	id := padestest.EC()
	path := filepath.Join(t.TempDir(), "large.pdf")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	size := padestest.WriteLarge(t, f, hole)

	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	p, err := pades.Prepare(context.Background(), f, size, padestest.Options(id))
	if err != nil {
		t.Fatal(err)
	}
	tail, err := p.Embed(id.Sign(t, cades.ECDSAWithSHA256, p.DTBSR()))
	if err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 2<<20 {
		t.Errorf("%d bytes of memory for the whole operation", got)
	}
	if _, err := f.WriteAt(tail, size); err != nil {
		t.Fatal(err)
	}
	if err := p.Check(context.Background(), f, size+int64(len(tail))); err != nil {
		t.Error(err)
	}
	said, _ := padestest.Run(t, "pdfsig", "-nocert", path)
	if !strings.Contains(said, "Signature is Valid.") || !strings.Contains(said, "Total document signed") || strings.Contains(said, "Not total") {
		t.Errorf("pdfsig: %s", said)
	}
	if said, code := padestest.Run(t, "qpdf", "--check", path); code != 0 {
		t.Errorf("qpdf: %s", said)
	}
}

// virtual is a file that exists only at its ends.
type virtual struct {
	parts []padestest.Part
	size  int64
}

func (v virtual) ReadAt(b []byte, at int64) (int, error) {
	n := copy(b, make([]byte, min(int64(len(b)), max(0, v.size-at))))
	for _, p := range v.parts {
		if from := max(at, p.At); from < min(at+int64(n), p.At+int64(len(p.Data))) {
			copy(b[from-at:n], p.Data[from-p.At:])
		}
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// TestTenDigits: a file that could be opened but would outgrow ten digits with its signature is refused before it is
// hashed.
func TestTenDigits(t *testing.T) {
	parts := padestest.LargeParts(9_999_998_000)
	last := parts[1]
	v := virtual{parts, last.At + int64(len(last.Data))}
	if _, err := pdf.Open(v, v.size, pdf.Limits{}); err != nil {
		t.Fatal(err)
	}
	if _, err := pades.Prepare(context.Background(), v, v.size, padestest.Options(padestest.EC())); !errors.Is(err, pdf.ErrTooLarge) {
		t.Errorf("%d bytes: %v", v.size, err)
	}
}
