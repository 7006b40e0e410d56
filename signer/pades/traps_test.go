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
	"github.com/ecsigner/ecsigner/signer/pdf"
	"github.com/ecsigner/ecsigner/signer/pdf/pdftest"
)

func prepare(data []byte, o pades.Options) (*pades.Prepared, error) {
	return pades.Prepare(context.Background(), bytes.NewReader(data), int64(len(data)), o)
}

// TestTexts signs with names in which other writers have broken: bytes of UTF-16 that look like delimiters.
func TestTexts(t *testing.T) {
	id := ecIdentity()
	in := shape(t, "lf")
	for _, text := range []string{"Шевченко Тарас Щ", `()\ \( \\`, "😀 emoji", "<<>>[]{}/%#", "Łódź", "ଊ਍⤊⠨", strings.Repeat("Щ", 256)} {
		o := options(id)
		o.Name, o.Reason, o.Location, o.FieldName = text, text, text, strings.ReplaceAll(text, ".", "")
		out := signPDF(t, in, id, o)
		judge(t, in, out, 1)
		got := judgeOurs(t, out, 1)[0]
		if got.Name != text || got.Reason != text || got.Location != text || got.Field != text {
			t.Errorf("%q reads back as %q, %q, %q, %q", text, got.Name, got.Reason, got.Location, got.Field)
		}
		// Another reader sees the same characters.
		said, _ := run(t, "qpdf", "--json=2", "--json-key=qpdf", "--json-object=5,0", writeFile(t, "signed.pdf", out))
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
	id := ecIdentity()
	in := shape(t, "lf")
	o := options(id)
	tail := string(signPDF(t, in, id, o)[len(in):])
	for _, want := range []string{
		"/Type /Sig ", "/Filter /Adobe.PPKLite", "/SubFilter /ETSI.CAdES.detached", "/M (D:" + signingTime.UTC().Format("20060102150405") + "Z)",
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
	id := ecIdentity()
	for name, want := range map[string][]string{
		"escaped-names":     {`/PageLayout /One#20Column /Lang (en\(US\)) % remark >> /X`},
		"unbalanced-string": {`/Lang (en\)\(\\) /Odd <</A[<</B(\()>>]>>`},
		"form-indirect":     {"<< /Fields [6 0 R 7 0 R 10 0 R] /DA (/Helv 0 Tf) /DR << /Font << /Helv 8 0 R >> >> /NeedAppearances true /SigFlags 3 >>"},
		"form-direct":       {"/DR << /Font << /Helv 8 0 R >> >> /NeedAppearances true", "/Lang (uk)"},
		"form-fields-apart": {"[6 0 R 7 0 R 10 0 R]", "/SigFlags  3 "},
		"form-in-objstm":    {"/DR << /Font << /Helv 8 0 R >> >> /NeedAppearances true"},
	} {
		in := shape(t, name)
		tail := string(signPDF(t, in, id, options(id))[len(in):])
		for _, w := range want {
			if !strings.Contains(squeeze(tail), squeeze(w)) {
				t.Errorf("%s: %q is not in %q", name, w, squeeze(tail[strings.LastIndex(tail, "/FT"):]))
			}
		}
	}
	// The catalog keeps its generation.
	in := shape(t, "catalog-generation")
	if tail := string(signPDF(t, in, id, options(id))[len(in):]); !strings.Contains(tail, "1 3 obj") || !strings.Contains(tail, "00003 n") {
		t.Error("generation of the catalog is lost")
	}
}

// squeeze makes one blank of several, which mean the same between tokens.
func squeeze(s string) string { return regexp.MustCompile(` +`).ReplaceAllString(s, " ") }

func TestFieldNames(t *testing.T) {
	id := ecIdentity()
	for _, tc := range []struct{ shape, wanted, want string }{
		{"lf", "", "Signature1"},
		{"lf", "підпис", "підпис"},
		{"form-indirect", "", "Signature2"}, // a text field is called Signature1
		{"form-kids", "", "Signature2"},     // so is a field inside a group
	} {
		o := options(id)
		o.FieldName = tc.wanted
		in := shape(t, tc.shape)
		once := signPDF(t, in, id, o)
		if got := judgeOurs(t, once, 1)[0].Field; got != tc.want {
			t.Errorf("%s: field %q, want %q", tc.shape, got, tc.want)
		}
		o.FieldName = tc.want
		if _, err := prepare(once, o); !errors.Is(err, pades.ErrFieldExists) {
			t.Errorf("%s: same name again: %v", tc.shape, err)
		}
	}
}

// TestRefusals: what must not be signed, each with the reason that callers switch on.
func TestRefusals(t *testing.T) {
	id := ecIdentity()
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
		"encrypted RC4":               {qpdf(t, shape(t, "lf"), "--static-id", "--allow-weak-crypto", "--encrypt", "", "o", "128", "--use-aes=n", "--"), pdf.ErrEncrypted},
		"encrypted AES-128":           {qpdf(t, shape(t, "lf"), "--static-id", "--allow-weak-crypto", "--encrypt", "", "o", "128", "--use-aes=y", "--"), pdf.ErrEncrypted},
		"encrypted AES-256":           {qpdf(t, shape(t, "lf"), "--static-id", "--encrypt", "u", "o", "256", "--"), pdf.ErrEncrypted},
		"encrypted, object streams":   {qpdf(t, shape(t, "lf"), "--static-id", "--object-streams=generate", "--encrypt", "u", "o", "256", "--"), pdf.ErrEncrypted},
		"hybrid":                      {pdftest.File{Objs: pdftest.Page("", ""), Trailer: "/XRefStm 15"}.Classic(), pdf.ErrHybrid},
		"XFA":                         {catalog("/AcroForm << /Fields [] /XFA [(template) 4 0 R] >>"), pdf.ErrXFA},
		"certified P=1, Perms":        {catalog("/Perms << /DocMDP 6 0 R >> "+form, field, signature(docMDP("/P 1"))), pades.ErrCertified},
		"certified P=1, no Perms":     {catalog(form, field, signature(docMDP("/P 1"))), pades.ErrCertified},
		"certified P=1, no field":     {catalog("/Perms << /DocMDP 6 0 R >> ", signature(docMDP("/P 1"))), pades.ErrCertified},
		"certified P=1, indirect":     {catalog(form, field, signature("<< /TransformMethod 7 0 R /TransformParams 8 0 R >>"), pdftest.Obj{Number: 7, Body: "/DocMDP"}, pdftest.Obj{Number: 8, Body: "<< /P 9 0 R >>"}, pdftest.Obj{Number: 9, Body: "1"}), pades.ErrCertified},
		"certified P=1.0":             {catalog(form, field, signature(docMDP("/P 1.0"))), pdf.ErrDamaged},
		"certified P=0":               {catalog(form, field, signature(docMDP("/P 0"))), pdf.ErrDamaged},
		"certified P=1, no name":      {catalog(form, pdftest.Obj{Number: 5, Body: "<< /FT /Sig /V 6 0 R >>"}, signature(docMDP("/P 1"))), pades.ErrCertified},
		"FieldMDP All":                {catalog(form, field, signature(fieldMDP("/Action /All"))), pades.ErrLocked},
		"FieldMDP Exclude":            {catalog(form, field, signature(fieldMDP("/Action /Exclude /Fields [(b)]"))), pades.ErrLocked},
		"Lock of a signed field":      {catalog(form, locked, signature("")), pades.ErrLocked},
		"form that contradicts":       {catalog("/AcroForm 4 0 R"), pdf.ErrDamaged},
		"certified P=2":               {catalog("/Perms << /DocMDP 6 0 R >> "+form, field, signature(docMDP("/P 2"))), nil},
		"certified, default P":        {catalog("/Perms << /DocMDP 6 0 R >> "+form, field, signature(docMDP(""))), nil},
		"FieldMDP Include":            {catalog(form, field, signature(fieldMDP("/Action /Include /Fields [(b)]"))), nil},
		"Lock of a field not signed":  {catalog(form, pdftest.Obj{Number: 5, Body: "<< /FT /Sig /T (a) /Lock << /Action /All >> >>"}), nil},
		"form object that is missing": {catalog("/AcroForm 99 0 R"), nil},
	} {
		p, err := prepare(tc.data, options(id))
		if !errors.Is(err, tc.want) || (err == nil) != (p != nil) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
		if err != nil && (strings.Contains(err.Error(), "\n") || len(err.Error()) > 300) {
			t.Errorf("%s: not a line of text: %q", name, err)
		}
	}
}

func TestOptions(t *testing.T) {
	id := ecIdentity()
	in := shape(t, "lf")
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
		o := options(id)
		tc.change(&o)
		if _, err := prepare(in, o); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := pades.Prepare(ctx, bytes.NewReader(in), int64(len(in)), options(id)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestTooLargeCMS: when the CMS does not fit, nothing is written and nobody needs to sign again.
func TestTooLargeCMS(t *testing.T) {
	id := ecIdentity()
	p, err := prepare(shape(t, "lf"), options(id))
	if err != nil {
		t.Fatal(err)
	}
	sig := id.sign(t, cades.ECDSAWithSHA256, p.DTBSR())
	larger := append(append([][]byte{}, id.chain...), rsaIdentity().chain...)
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
	o := options(id)
	o.Reserve = 4000
	if p, err = prepare(shape(t, "lf"), o); err != nil {
		t.Fatal(err)
	}
	cms, err = cades.Assemble(cades.Parts{SignedAttributes: p.SignedAttributes(), Signature: id.sign(t, p.Algorithm(), p.DTBSR()), Algorithm: p.Algorithm(), Chain: larger})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.EmbedCMS(cms); err != nil {
		t.Error(err)
	}
}

// TestForeignSignature: a value or a CMS of other data never gets into the file.
func TestForeignSignature(t *testing.T) {
	id := ecIdentity()
	one, err := prepare(shape(t, "lf"), options(id))
	if err != nil {
		t.Fatal(err)
	}
	other, err := prepare(shape(t, "crlf"), options(id))
	if err != nil {
		t.Fatal(err)
	}
	sig := id.sign(t, cades.ECDSAWithSHA256, other.DTBSR())
	if tail, err := one.Embed(sig); !errors.Is(err, cades.ErrSignature) || tail != nil {
		t.Errorf("signature of another document: %v", err)
	}
	cms, err := cades.Assemble(cades.Parts{SignedAttributes: other.SignedAttributes(), Signature: sig, Algorithm: other.Algorithm(), Chain: id.chain})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := one.EmbedCMS(cms); !errors.Is(err, pades.ErrChanged) {
		t.Errorf("CMS of another document: %v", err)
	}
}

// TestDeterministic: both phases give the same bytes for the same input, which is what makes them repeatable.
func TestDeterministic(t *testing.T) {
	id := ecIdentity()
	for _, s := range pdftest.Signable() {
		a, err := prepare(s.Data, options(id))
		if err != nil {
			t.Fatal(err)
		}
		b, err := prepare(s.Data, options(id))
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
		sig := id.sign(t, cades.ECDSAWithSHA256, a.DTBSR())
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
	id := ecIdentity()
	id.chain = id.chain[:1] // the certificates above the signer's are not covered by any signature
	once := signPDF(t, shape(t, "form-indirect"), id, options(id))
	twice := signPDF(t, once, id, options(id))
	for at := 0; at < len(twice); at += 3 {
		bad := bytes.Clone(twice)
		bad[at] ^= 0x04
		infos, err := pades.Verify(context.Background(), bytes.NewReader(bad), int64(len(bad)), pdf.Limits{})
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
	id := ecIdentity()
	in := shape(t, "lf")
	p, err := prepare(in, options(id))
	if err != nil {
		t.Fatal(err)
	}
	tail, err := p.Embed(id.sign(t, cades.ECDSAWithSHA256, p.DTBSR()))
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
	id := ecIdentity()
	path := filepath.Join(t.TempDir(), "large.pdf")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	size := writeLarge(t, f, hole)

	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	p, err := pades.Prepare(context.Background(), f, size, options(id))
	if err != nil {
		t.Fatal(err)
	}
	tail, err := p.Embed(id.sign(t, cades.ECDSAWithSHA256, p.DTBSR()))
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
	said, _ := run(t, "pdfsig", "-nocert", path)
	if !strings.Contains(said, "Signature is Valid.") || !strings.Contains(said, "Total document signed") || strings.Contains(said, "Not total") {
		t.Errorf("pdfsig: %s", said)
	}
	if said, code := run(t, "qpdf", "--check", path); code != 0 {
		t.Errorf("qpdf: %s", said)
	}
}

// writeLarge writes a PDF with one stream of n zero bytes and returns its size.
func writeLarge(t *testing.T, w io.WriterAt, n int64) int64 {
	t.Helper()
	parts := largeParts(n)
	for _, p := range parts {
		if _, err := w.WriteAt(p.data, p.at); err != nil {
			t.Fatal(err)
		}
	}
	last := parts[len(parts)-1]
	return last.at + int64(len(last.data))
}

type part struct {
	at   int64
	data []byte
}

// largeParts is the beginning and the end of a PDF with a stream of n bytes between them.
func largeParts(n int64) []part {
	head := fmt.Appendf(nil, "%%PDF-1.7\n1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n2 0 obj\n<< /Type /Pages /Kids [] /Count 0 >>\nendobj\n"+
		"3 0 obj\n<< /Length %d >>\nstream\n", n)
	end := int64(len(head)) + n
	one, two, three := bytes.Index(head, []byte("1 0 obj")), bytes.Index(head, []byte("2 0 obj")), bytes.Index(head, []byte("3 0 obj"))
	tail := "\nendstream\nendobj\n"
	tail += fmt.Sprintf("xref\n0 4\n0000000000 65535 f \n%010d 00000 n \n%010d 00000 n \n%010d 00000 n \ntrailer\n<< /Size 4 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n",
		one, two, three, end+int64(len(tail)))
	return []part{{0, head}, {end, []byte(tail)}}
}

// virtual is a file that exists only at its ends.
type virtual struct {
	parts []part
	size  int64
}

func (v virtual) ReadAt(b []byte, at int64) (int, error) {
	n := copy(b, make([]byte, min(int64(len(b)), max(0, v.size-at))))
	for _, p := range v.parts {
		if from := max(at, p.at); from < min(at+int64(n), p.at+int64(len(p.data))) {
			copy(b[from-at:n], p.data[from-p.at:])
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
	parts := largeParts(9_999_998_000)
	last := parts[1]
	v := virtual{parts, last.at + int64(len(last.data))}
	if _, err := pdf.Open(v, v.size, pdf.Limits{}); err != nil {
		t.Fatal(err)
	}
	if _, err := pades.Prepare(context.Background(), v, v.size, options(ecIdentity())); !errors.Is(err, pdf.ErrTooLarge) {
		t.Errorf("%d bytes: %v", v.size, err)
	}
}
