package pdf_test

import (
	"bytes"
	"compress/zlib"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/ecsigner/ecsigner/signer/pdf"
	"github.com/ecsigner/ecsigner/signer/pdf/object"
	"github.com/ecsigner/ecsigner/signer/pdf/pdftest"
)

func open(data []byte) (*pdf.Document, error) {
	return pdf.Open(bytes.NewReader(data), int64(len(data)), pdf.Limits{})
}

// openForm opens a file and reads its form, as a signer does.
func openForm(data []byte, lim pdf.Limits) error {
	d, err := pdf.Open(bytes.NewReader(data), int64(len(data)), lim)
	if err != nil {
		return err
	}
	_, err = d.Form()
	return err
}

func TestOpenEveryShape(t *testing.T) {
	for _, s := range pdftest.Signable() {
		d, err := open(s.Data)
		if err != nil {
			t.Errorf("%s: %v", s.Name, err)
			continue
		}
		form, err := d.Form()
		if err != nil {
			t.Errorf("%s: %v", s.Name, err)
			continue
		}
		var names []string
		for _, f := range form.Fields {
			names = append(names, f.Name+":"+f.Type)
		}
		want := ""
		switch {
		case s.Name == "form-kids":
			want = "group:Tx group.Signature1:Tx"
		case strings.HasPrefix(s.Name, "form-") && s.Name != "form-without-array":
			want = "first:Tx Signature1:Tx"
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%s: fields %q, want %q", s.Name, got, want)
		}
	}
}

// replace changes one occurrence and keeps the length, so that no offset moves.
func replace(data []byte, old, new string) []byte {
	if len(old) != len(new) || !bytes.Contains(data, []byte(old)) {
		panic("bad replacement of " + old)
	}
	return bytes.Replace(data, []byte(old), []byte(new), 1)
}

// pad fills a replacement up with blanks.
func pad(s string, n int) string { return s + strings.Repeat(" ", n-len(s)) }

func deflate(data []byte) []byte {
	var b bytes.Buffer
	z, _ := zlib.NewWriterLevel(&b, zlib.BestSpeed)
	_, _ = z.Write(data)
	_ = z.Close()
	return b.Bytes()
}

// xrefStream is a file of a catalog and a cross-reference stream with any dictionary and data.
func xrefStream(dict string, data []byte) []byte {
	head := "%PDF-1.5\n1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n2 0 obj\n<< /Kids [] /Count 0 >>\nendobj\n"
	return fmt.Appendf(nil, "%s3 0 obj\n<< /Type /XRef /Size 4 /Root 1 0 R /Length %d %s >>\nstream\n%s\nendstream\nendobj\nstartxref\n%d\n%%%%EOF\n",
		head, len(data), dict, data, len(head))
}

func TestRefuse(t *testing.T) {
	classic := pdftest.File{Objs: pdftest.Page("", "")}.Classic()
	stream := pdftest.File{Objs: pdftest.Page("", "")}.Streams(1, 2)
	catalog := func(extra string, more ...pdftest.Obj) []byte {
		return pdftest.File{Objs: pdftest.Page(extra, "", more...)}.Classic()
	}
	startxref := string(classic[bytes.LastIndex(classic, []byte("startxref")):])
	ending := func(end string) []byte { // classic itself stays as it is: the rows below are made of it
		return slices.Concat(bytes.TrimSuffix(classic, []byte(startxref)), []byte(end))
	}
	for name, tc := range map[string]struct {
		data []byte
		want error
	}{
		"empty":                            {nil, pdf.ErrNotPDF},
		"text":                             {[]byte("Dear Sir or Madam"), pdf.ErrNotPDF},
		"bytes before the header":          {append([]byte("\xef\xbb\xbf"), classic...), pdf.ErrDamaged},
		"offsets from byte 0 all the same": {shifted(classic), pdf.ErrDamaged},
		"unknown version":                  {replace(classic, "%PDF-1.7", "%PDF-9.7"), pdf.ErrDamaged},
		"version of three digits":          {replace(classic, "%PDF-1.7\n", "%PDF-1.71"), pdf.ErrDamaged},
		"NUL between first and count":      {replace(classic, "xref\n0 ", "xref\n0\x00"), pdf.ErrDamaged},
		"NUL before the entries":           {replace(classic, "\n0000000000 65535", "\x000000000000 65535"), pdf.ErrDamaged},
		"cut in the middle":                {classic[:len(classic)/2], pdf.ErrDamaged},
		"cut before EOF":                   {bytes.TrimSuffix(classic, []byte("%%EOF\n")), pdf.ErrDamaged},
		"startxref too far":                {ending("startxref\n9999\n%%EOF\n"), pdf.ErrDamaged},
		"startxref to nothing":             {ending("startxref\n20\n%%EOF\n"), pdf.ErrDamaged},
		"startxref negative":               {ending("startxref\n-1\n%%EOF\n"), pdf.ErrDamaged},
		"entry of 19 bytes":                {replace(classic, "65535 f \n", "65535 f\n0"), pdf.ErrDamaged},
		"entry with a letter":              {replace(classic, "65535 f", "6553x f"), pdf.ErrDamaged},
		"offset off by one":                {replace(classic, "0000000015 00000 n", "0000000016 00000 n"), pdf.ErrDamaged},
		"offset beyond the file":           {replace(classic, "0000000015 00000 n", "0000999999 00000 n"), pdf.ErrDamaged},
		"other generation":                 {replace(classic, "0000000015 00000 n", "0000000015 00001 n"), pdf.ErrDamaged},
		"/Size hides objects":              {replace(classic, "/Size 5", "/Size 4"), pdf.ErrDamaged},
		"no /Size":                         {replace(classic, "/Size", "/Sise"), pdf.ErrDamaged},
		"no /Root":                         {replace(classic, "/Root", "/Boot"), pdf.ErrDamaged},
		"/Root is a page":                  {pdftest.File{Objs: pdftest.Page("", ""), Root: "3 0 R"}.Classic(), pdf.ErrDamaged},
		"/Root is a stream":                {pdftest.File{Objs: pdftest.Page("", "", pdftest.Obj{Number: 5, Body: "<< /Type /Catalog /Pages 2 0 R /Length 0 >>\nstream\n\nendstream"}), Root: "5 0 R"}.Classic(), pdf.ErrDamaged},
		"no pages":                         {replace(classic, "/Pages 2", "/Pagen 2"), pdf.ErrDamaged},
		"reference to a reference":         {pdftest.File{Objs: append(pdftest.Page("", "")[2:], pdftest.Obj{Number: 1, Body: "<< /Type /Catalog /Pages 2 0 R >>"}, pdftest.Obj{Number: 2, Body: "3 0 R"})}.Classic(), pdf.ErrDamaged},
		"key twice":                        {catalog("/Lang (uk) /Lang (pl)"), pdf.ErrDamaged},
		"string without end":               {catalog("/Lang (uk"), pdf.ErrDamaged},
		"hexadecimal with a letter":        {catalog("/Lang <0g>"), pdf.ErrDamaged},
		"two minus signs":                  {catalog("/Number --5"), pdf.ErrDamaged},
		"brace":                            {catalog("/X {}"), pdf.ErrDamaged},
		"unknown word":                     {catalog("/X nil"), pdf.ErrDamaged},
		"no endobj":                        {replace(classic, "endobj", "endobx"), pdf.ErrDamaged},
		"nested too deep":                  {catalog("/X " + strings.Repeat("[", 1000) + strings.Repeat("]", 1000)), pdf.ErrTooLarge},
		"dictionaries too deep":            {catalog("/X " + strings.Repeat("<</X", 1000) + " 1 " + strings.Repeat(">>", 1000)), pdf.ErrTooLarge},
		"/Prev loop":                       {pdftest.File{Objs: pdftest.Page("", ""), Trailer: fmt.Sprintf("/Prev %d", bytes.Index(classic, []byte("xref\n0")))}.Classic(), pdf.ErrDamaged},
		"/Prev beyond the file":            {pdftest.File{Objs: pdftest.Page("", ""), Trailer: "/Prev 99999"}.Classic(), pdf.ErrDamaged},
		"trailer is a stream":              {bytes.Replace(classic, []byte("startxref"), []byte("stream\nstartxref"), 1), pdf.ErrDamaged},
		"/Prev not a number":               {pdftest.File{Objs: pdftest.Page("", ""), Trailer: "/Prev (1)"}.Classic(), pdf.ErrDamaged},
		"encrypted":                        {pdftest.File{Objs: pdftest.Page("", ""), Trailer: "/Encrypt 4 0 R"}.Classic(), pdf.ErrEncrypted},
		"encrypted, streams":               {pdftest.File{Objs: pdftest.Page("", ""), Trailer: "/Encrypt << /V 5 >>"}.Streams(), pdf.ErrEncrypted},
		"hybrid":                           {pdftest.File{Objs: pdftest.Page("", ""), Trailer: "/XRefStm 15"}.Classic(), pdf.ErrHybrid},
		"/AcroForm is a number":            {catalog("/AcroForm 5"), pdf.ErrDamaged},
		"/Fields is a dictionary":          {catalog("/AcroForm << /Fields << >> >>"), pdf.ErrDamaged},
		"field is a number":                {catalog("/AcroForm << /Fields [5] >>"), pdf.ErrDamaged},
		"field loop":                       {catalog("/AcroForm << /Fields [5 0 R] >>", pdftest.Obj{Number: 5, Body: "<< /T (a) /Kids [5 0 R] >>"}), pdf.ErrDamaged},
		"field listed twice":               {catalog("/AcroForm << /Fields [5 0 R 5 0 R] >>", pdftest.TextField(5, "a")), pdf.ErrDamaged},
		"/Kids is a number":                {catalog("/AcroForm << /Fields [5 0 R] >>", pdftest.Obj{Number: 5, Body: "<< /T (a) /Kids 5 >>"}), pdf.ErrDamaged},
		"object not in its stream":         {replace(stream, "1 0 2 ", "4 0 2 "), pdf.ErrDamaged},
		"object stream too short":          {replace(stream, "/N 2 /First", "/N 9 /First"), pdf.ErrDamaged},
		"object stream of other type":      {replace(stream, "/ObjStm", "/ObjStn"), pdf.ErrDamaged},
		"wrong stream length":              {replace(stream, "/First 9 /Length", "/First 9 /Lengtt"), pdf.ErrDamaged},
		"/First outside":                   {replace(stream, "/First 9 /Length", "/First 99/Length"), pdf.ErrDamaged},
		"xref stream, other type":          {replace(stream, "/XRef", "/YRef"), pdf.ErrDamaged},
		"/W of two":                        {xrefStream("/W [1 2]", make([]byte, 12)), pdf.ErrDamaged},
		"/W huge":                          {xrefStream("/W [1 99999999 1]", make([]byte, 12)), pdf.ErrDamaged},
		"/W negative":                      {xrefStream("/W [1 -2 1]", make([]byte, 12)), pdf.ErrDamaged},
		"/W all zero":                      {xrefStream("/W [0 0 0]", make([]byte, 12)), pdf.ErrDamaged},
		"/Index negative":                  {xrefStream("/W [1 2 1] /Index [-1 3]", make([]byte, 12)), pdf.ErrDamaged},
		"/Index odd":                       {xrefStream("/W [1 2 1] /Index [0]", make([]byte, 12)), pdf.ErrDamaged},
		"/Index longer than data":          {xrefStream("/W [1 2 1] /Index [0 8000000000]", make([]byte, 12)), pdf.ErrDamaged},
		"/Index number huge":               {xrefStream("/W [1 2 1] /Index [99999999 1]", make([]byte, 12)), pdf.ErrDamaged},
		"two filters":                      {xrefStream("/W [1 2 1] /Filter [/FlateDecode /FlateDecode]", make([]byte, 12)), pdf.ErrUnsupported},
		"unknown filter":                   {xrefStream("/W [1 2 1] /Filter /LZWDecode", make([]byte, 12)), pdf.ErrUnsupported},
		"broken compression":               {xrefStream("/W [1 2 1] /Filter /FlateDecode", make([]byte, 12)), pdf.ErrDamaged},
		"unknown predictor":                {xrefStream("/W [1 2 1] /Filter /FlateDecode /DecodeParms << /Predictor 2 /Columns 4 >>", deflate(make([]byte, 15))), pdf.ErrUnsupported},
		"predictor columns huge":           {xrefStream("/W [1 2 1] /Filter /FlateDecode /DecodeParms << /Predictor 12 /Columns 999999999999 >>", deflate(make([]byte, 15))), pdf.ErrDamaged},
		"predictor row broken":             {xrefStream("/W [1 2 1] /Filter /FlateDecode /DecodeParms << /Predictor 12 /Columns 4 >>", deflate(make([]byte, 14))), pdf.ErrDamaged},
		"predictor tag unknown":            {xrefStream("/W [1 2 1] /Filter /FlateDecode /DecodeParms << /Predictor 12 /Columns 4 >>", deflate(bytes.Repeat([]byte{9}, 15))), pdf.ErrDamaged},
		"/Length in an object stream":      {pdftest.File{Objs: pdftest.Page("", "", pdftest.Obj{Number: 5, Body: "99"})}.Streams(1, 5), nil},
	} {
		if name == "/Length in an object stream" {
			// The length of the object stream is an object inside it: a reader that follows runs in circles.
			at := bytes.Index(tc.data, []byte("/First"))
			from := at + bytes.Index(tc.data[at:], []byte("/Length"))
			to := from + bytes.IndexByte(tc.data[from:], '>')
			tc.data, tc.want = replace(tc.data, string(tc.data[from:to]), pad("/Length 5 0 R"[:13], max(13, to-from))[:to-from]), pdf.ErrDamaged
		}
		if err := openForm(tc.data, pdf.Limits{}); !errors.Is(err, tc.want) || err == nil {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
}

// shifted puts three bytes before the header and corrects every offset.
func shifted(classic []byte) []byte {
	out := append([]byte("\xef\xbb\xbf"), classic...)
	for _, m := range regexp.MustCompile(`(\d{10}) \d{5} n|startxref\s(\d+)`).FindAllSubmatchIndex(out, -1) {
		from, to := max(m[2], m[4]), max(m[3], m[5])
		n, err := strconv.Atoi(string(out[from:to]))
		if err != nil {
			panic(err)
		}
		copy(out[from:to], fmt.Sprintf("%0*d", to-from, n+3))
	}
	return out
}

func TestLimits(t *testing.T) {
	fields := pdftest.File{Objs: pdftest.Page("/AcroForm << /Fields [5 0 R 6 0 R 7 0 R] >>", "", pdftest.TextField(5, "a"), pdftest.TextField(6, "b"),
		pdftest.Obj{Number: 7, Body: "<< /T (c) /Kids [8 0 R] >>"}, pdftest.Obj{Number: 8, Body: "<< /T (d) >>"})}.Classic()
	streams := pdftest.File{Objs: pdftest.Page("", "")}.Streams(1)
	if err := openForm(fields, pdf.Limits{}); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		data []byte
		lim  pdf.Limits
	}{
		"Depth":      {fields, pdf.Limits{Depth: 1}},
		"Values":     {fields, pdf.Limits{Values: 3}},
		"Sections":   {twice(t, streams), pdf.Limits{Sections: 1}},
		"Objects":    {fields, pdf.Limits{Objects: 7}},
		"ObjectSize": {pdftest.File{Objs: pdftest.Page("/Lang ("+strings.Repeat("x", 5000)+")", "")}.Classic(), pdf.Limits{ObjectSize: 4096}},
		"StreamSize": {streams, pdf.Limits{StreamSize: 30}},
		"Fields":     {fields, pdf.Limits{Fields: 3}},
	} {
		if err := openForm(tc.data, tc.lim); !errors.Is(err, pdf.ErrTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := pdf.Open(bytes.NewReader(nil), pdf.MaxSize+1, pdf.Limits{}); !errors.Is(err, pdf.ErrTooLarge) {
		t.Errorf("eleven digits: %v", err)
	}
	// A file that is shorter than announced is an error of the reader, not a verdict on the document.
	if _, err := pdf.Open(bytes.NewReader(fields), int64(len(fields))+5000, pdf.Limits{}); err == nil || errors.Is(err, pdf.ErrDamaged) {
		t.Errorf("short reader: %v", err)
	}
}

// TestMemory opens a decompression bomb and a document of one enormous object without taking much memory.
func TestMemory(t *testing.T) {
	for name, tc := range map[string]struct {
		data []byte
		lim  pdf.Limits
		most uint64 // bytes allocated altogether
	}{
		"bomb":   {xrefStream("/W [1 2 1] /Filter /FlateDecode", deflate(make([]byte, 16<<20))), pdf.Limits{StreamSize: 256 << 10}, 4 << 20},
		"values": {pdftest.File{Objs: pdftest.Page("/X ["+strings.Repeat("1 ", 1<<18)+"]", "")}.Classic(), pdf.Limits{Values: 1 << 14}, 32 << 20},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if err := openForm(tc.data, tc.lim); !errors.Is(err, pdf.ErrTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > tc.most {
			t.Errorf("%s: %d bytes allocated", name, got)
		}
	}
}

// twice appends an update that changes nothing but adds an object.
func twice(t *testing.T, data []byte) []byte {
	t.Helper()
	d, err := open(data)
	if err != nil {
		t.Fatal(err)
	}
	u, err := d.NewUpdate()
	if err != nil {
		t.Fatal(err)
	}
	ref := u.New()
	at := u.Put(ref, []byte("<< /Test true >>"))
	tail, err := u.Finish()
	if err != nil {
		t.Fatal(err)
	}
	out := append(bytes.Clone(data), tail...)
	if !bytes.HasPrefix(out[at:], []byte("<< /Test true >>")) {
		t.Error("Put returned a wrong offset")
	}
	d, err = open(out)
	if err != nil {
		t.Fatalf("own update: %v", err)
	}
	if o, err := d.Load(ref); err != nil || string(o.Value.Raw) != "<< /Test true >>" || o.Value.Pos != at {
		t.Errorf("new object reads back as %q at %d, %v", o.Value.Raw, o.Value.Pos, err)
	}
	return out
}

// TestUpdate appends twice to every shape; qpdf finds nothing to complain about and the kind of section stays.
func TestUpdate(t *testing.T) {
	for _, s := range pdftest.Signable() {
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			out := twice(t, twice(t, s.Data))
			path := filepath.Join(t.TempDir(), "out.pdf")
			if err := os.WriteFile(path, out, 0o600); err != nil {
				t.Fatal(err)
			}
			if said, err := exec.Command("qpdf", "--check", path).CombinedOutput(); err != nil || bytes.Contains(said, []byte("WARNING")) {
				t.Errorf("qpdf: %v\n%s", err, said)
			}
			tail := out[len(s.Data):]
			if tables := bytes.Count(tail, []byte("\ntrailer\n")); tables != 2 && tables != 0 || (tables == 0) != bytes.Contains(s.Data, []byte("/XRef")) {
				t.Errorf("%d tables appended", tables)
			}
		})
	}
}

// TestTrailerIsKept copies what the trailer says, whatever it is, and changes only the second file identifier.
func TestTrailerIsKept(t *testing.T) {
	first := pdftest.File{Objs: pdftest.Page("", "", pdftest.Obj{Number: 5, Body: "<< /Title (x) >>"}), Trailer: `/Info 5 0 R /ID [(\)a) <6162>] /Od#20d#2f [<</A/B>>]`}.Classic()
	for _, data := range [][]byte{first, pdftest.File{Objs: pdftest.Page("", "", pdftest.Obj{Number: 5, Body: "<< /Title (x) >>"}), Trailer: `/Info 5 0 R /ID [(\)a) <6162>] /Od#20d#2f [<</A/B>>]`}.Streams(1)} {
		tail := twice(t, data)[len(data):]
		for _, want := range []string{"/Root 1 0 R", "/Info 5 0 R", `/ID [(\)a) <`, "/Od#20d#2f [<</A/B>>]"} {
			if !bytes.Contains(tail, []byte(want)) {
				t.Errorf("no %q in %q", want, tail)
			}
		}
		if bytes.Contains(tail, []byte("<6162>")) {
			t.Error("second file identifier did not change")
		}
		if !bytes.Equal(tail, twice(t, data)[len(data):]) {
			t.Error("not deterministic")
		}
	}
}

// TestBufferEnds moves every kind of token over the ends of the reading buffer.
func TestBufferEnds(t *testing.T) {
	tokens := `/Name#20x (a\(b\)\\) <4142 43> [1 -2 +3 4.5 -.6 true false null 2 0 R 77 3 0 R] << /A 1 /B << >> /C [ ] >>`
	for shift := range 160 {
		data := pdftest.File{Objs: pdftest.Page("/Pad ("+strings.Repeat("x", 820+shift)+") /T ["+tokens+"] % remark >>\n/Z 9", "")}.Classic()
		d, err := open(data)
		if err != nil {
			t.Fatalf("shift %d: %v", shift, err)
		}
		v := d.Catalog().Value
		list := v.Get("T").Elems
		if len(list) != 5 || list[0].Text != "Name x" || list[1].Text != `a(b)\` || list[2].Text != "ABC" || v.Get("Z").Int != 9 {
			t.Fatalf("shift %d: %q", shift, v.Get("T").Raw)
		}
		var kinds []object.Kind
		for _, e := range list[3].Elems {
			kinds = append(kinds, e.Kind)
		}
		wanted := []object.Kind{object.Integer, object.Integer, object.Integer, object.Real, object.Real, object.Bool, object.Bool, object.Null, object.Reference, object.Integer, object.Reference}
		if !slices.Equal(kinds, wanted) || list[3].Elems[1].Int != -2 || list[3].Elems[10].Ref != (object.Ref{Number: 3}) {
			t.Fatalf("shift %d: kinds %v", shift, kinds)
		}
		for _, e := range list {
			if !bytes.Equal(data[e.Pos:e.Pos+int64(len(e.Raw))], e.Raw) {
				t.Fatalf("shift %d: Pos of %q is wrong", shift, e.Raw)
			}
		}
	}
}

// TestMutationsNeverPanic changes a few bytes of every shape, thousands of times.
func TestMutationsNeverPanic(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	shapes := pdftest.Signable()
	for i := range 6000 {
		data := mutate(r, shapes[i%len(shapes)].Data)
		d, err := open(data)
		if err != nil {
			continue
		}
		_, _ = d.Form()
		if u, err := d.NewUpdate(); err == nil {
			u.Put(u.New(), []byte("null"))
			_, _ = u.Finish()
		}
	}
}

func mutate(r *rand.Rand, data []byte) []byte {
	data = bytes.Clone(data)
	for range 1 + r.IntN(5) {
		switch at := r.IntN(len(data)); r.IntN(6) {
		case 0: // cut
			data = data[:max(1, at)]
		case 1: // remove
			data = append(data[:at:at], data[min(len(data), at+1+r.IntN(9)):]...)
		case 2: // repeat
			data = append(data[:at:at], append(bytes.Clone(data[at/2:at]), data[at:]...)...)
		case 3: // a digit
			data[at] = byte('0' + r.IntN(10))
		case 4: // a delimiter
			data[at] = "()<>[]{}/% \n\rR"[r.IntN(14)]
		default:
			data[at] = byte(r.Uint32())
		}
		if len(data) == 0 {
			return []byte{'%'}
		}
	}
	return data
}

func FuzzOpen(f *testing.F) {
	for _, s := range pdftest.Signable() {
		if len(s.Data) < 10_000 {
			f.Add(s.Data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := pdf.Open(bytes.NewReader(data), int64(len(data)), pdf.Limits{StreamSize: 1 << 20, Objects: 1 << 14})
		if (d == nil) == (err == nil) {
			t.Fatal("neither or both of result and error")
		}
		if err != nil {
			return
		}
		_, _ = d.Form()
		u, err := d.NewUpdate()
		if err != nil {
			return
		}
		ref := u.New()
		u.Put(ref, []byte("(new)"))
		update, err := u.Finish()
		if err != nil {
			return
		}
		data = slices.Concat(data, update)
		if d, err = pdf.Open(bytes.NewReader(data), int64(len(data)), pdf.Limits{StreamSize: 1 << 20, Objects: 1 << 15}); err != nil {
			t.Fatal("what was appended to:", err)
		}
		if o, err := d.Load(ref); err != nil || o.Value.Text != "new" {
			t.Fatal("what was appended:", o, err)
		}
	})
}
