// Package pdftest builds small PDF files of many shapes for tests. It writes them by hand, independently of package
// pdf, so that the reader is not tested against its own writer.
package pdftest

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"sort"
	"strings"
)

// Obj is one indirect object.
type Obj struct {
	Number, Generation int
	Body               string
}

// Shape is a named file.
type Shape struct {
	Name string
	Data []byte
}

// File describes a file to build.
type File struct {
	Version string // default "1.7"
	EOL     string // default "\n"
	Objs    []Obj
	Trailer string // further entries, such as "/ID [<00> <01>]"
	Root    string // default "1 0 R"
	After   string // follows %%EOF; default EOL
	PNG     bool   // compress the cross-reference stream, its rows with the five PNG predictors in turn
}

func (f File) withDefaults() File {
	set := func(s *string, d string) {
		if *s == "" {
			*s = d
		}
	}
	set(&f.Version, "1.7")
	set(&f.EOL, "\n")
	set(&f.Root, "1 0 R")
	set(&f.After, f.EOL)
	if f.After == "none" {
		f.After = ""
	}
	return f
}

func (f File) head(b *bytes.Buffer) {
	b.WriteString("%PDF-" + f.Version + f.EOL + "%\xe2\xe3\xcf\xd3" + f.EOL)
}

func size(objs []Obj) int {
	highest := 0
	for _, o := range objs {
		highest = max(highest, o.Number)
	}
	return highest + 1
}

// Classic builds the file with a cross-reference table.
func (f File) Classic() []byte {
	f = f.withDefaults()
	b := &bytes.Buffer{}
	f.head(b)
	at := map[int]int{}
	gen := map[int]int{}
	for _, o := range f.Objs {
		at[o.Number], gen[o.Number] = b.Len(), o.Generation
		fmt.Fprintf(b, "%d %d obj%s%s%sendobj%s", o.Number, o.Generation, f.EOL, o.Body, f.EOL, f.EOL)
	}
	start, n := b.Len(), size(f.Objs)
	fmt.Fprintf(b, "xref%s0 %d%s0000000000 65535 f%s", f.EOL, n, f.EOL, end(f.EOL))
	for i := 1; i < n; i++ {
		if at[i] == 0 {
			fmt.Fprintf(b, "0000000000 00001 f%s", end(f.EOL))
			continue
		}
		fmt.Fprintf(b, "%010d %05d n%s", at[i], gen[i], end(f.EOL))
	}
	fmt.Fprintf(b, "trailer%s<< /Size %d /Root %s %s >>%sstartxref%s%d%s%%%%EOF%s", f.EOL, n, f.Root, f.Trailer, f.EOL, f.EOL, start, f.EOL, f.After)
	return b.Bytes()
}

// end is the two-byte end of a cross-reference entry.
func end(eol string) string {
	if len(eol) == 2 {
		return eol
	}
	return " " + eol
}

// Streams builds the file with a cross-reference stream, uncompressed, and the objects named by inStream in an object
// stream.
func (f File) Streams(inStream ...int) []byte {
	f = f.withDefaults()
	b := &bytes.Buffer{}
	f.head(b)
	n := size(f.Objs)
	container, xref := n, n+1
	packed := map[int]bool{}
	for _, i := range inStream {
		packed[i] = true
	}
	rows := map[int][3]int{0: {0, 0, 65535}}
	var index, content strings.Builder
	count := 0
	for _, o := range f.Objs {
		if packed[o.Number] {
			fmt.Fprintf(&index, "%d %d ", o.Number, content.Len())
			content.WriteString(o.Body + "\n")
			rows[o.Number] = [3]int{2, container, count}
			count++
			continue
		}
		rows[o.Number] = [3]int{1, b.Len(), o.Generation}
		fmt.Fprintf(b, "%d %d obj%s%s%sendobj%s", o.Number, o.Generation, f.EOL, o.Body, f.EOL, f.EOL)
	}
	rows[container] = [3]int{1, b.Len(), 0}
	data := index.String() + content.String()
	fmt.Fprintf(b, "%d 0 obj%s<< /Type /ObjStm /N %d /First %d /Length %d >>%sstream\r\n%s\r\nendstream%sendobj%s",
		container, f.EOL, count, index.Len(), len(data), f.EOL, data, f.EOL, f.EOL)
	start := b.Len()
	rows[xref] = [3]int{1, start, 0}
	var table []byte
	for i := 0; i <= xref; i++ {
		r := rows[i]
		table = append(table, byte(r[0]), byte(r[1]>>16), byte(r[1]>>8), byte(r[1]), byte(r[2]>>8), byte(r[2]))
	}
	filter := ""
	if f.PNG {
		table = predict(table, 6)
		filter = "/Filter [/FlateDecode] /DecodeParms [<< /Predictor 15 /Columns 6 >>]"
	}
	fmt.Fprintf(b, "%d 0 obj%s<< /Type /XRef /W [1 3 2] /Size %d /Root %s /Length %d %s %s >>%sstream\r\n", xref, f.EOL, xref+1, f.Root, len(table), filter, f.Trailer, f.EOL)
	b.Write(table)
	fmt.Fprintf(b, "\r\nendstream%sendobj%sstartxref%s%d%s%%%%EOF%s", f.EOL, f.EOL, f.EOL, start, f.EOL, f.After)
	return b.Bytes()
}

// predict applies the PNG predictors 0 to 4 to the rows in turn (RFC 2083 section 6) and compresses the result.
func predict(data []byte, row int) []byte {
	var out bytes.Buffer
	z := zlib.NewWriter(&out)
	above := make([]byte, row)
	for n := 0; n*row < len(data); n++ {
		line := data[n*row : (n+1)*row]
		encoded := []byte{byte(n % 5)}
		for i, c := range line {
			var left, upperLeft byte
			if i > 0 {
				left, upperLeft = line[i-1], above[i-1]
			}
			paeth := upperLeft
			p := int(left) + int(above[i]) - int(upperLeft)
			pa, pb, pc := abs(p-int(left)), abs(p-int(above[i])), abs(p-int(upperLeft))
			if pa <= pb && pa <= pc {
				paeth = left
			} else if pb <= pc {
				paeth = above[i]
			}
			encoded = append(encoded, c-[]byte{0, left, above[i], byte((int(left) + int(above[i])) / 2), paeth}[n%5])
		}
		_, _ = z.Write(encoded) // into memory
		above = line
	}
	_ = z.Close()
	return out.Bytes()
}

func abs(n int) int { return max(n, -n) }

// Page returns the objects 1 to 4 of a document with one empty page; catalog and page are further entries of the
// catalog and of the page.
func Page(catalog, page string, more ...Obj) []Obj {
	return append([]Obj{
		{1, 0, "<< /Type /Catalog /Pages 2 0 R " + catalog + " >>"},
		{2, 0, "<< /Type /Pages /Kids [3 0 R] /Count 1 >>"},
		{3, 0, "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 200] /Contents 4 0 R /Resources << >> " + page + " >>"},
		{4, 0, "<< /Length 15 >>\nstream\n0 0 m 99 99 l S\nendstream"},
	}, more...)
}

// TextField returns a form field with its widget, to be entered in /Fields and in the page's /Annots.
func TextField(number int, name string) Obj {
	return Obj{number, 0, "<< /FT /Tx /T (" + name + ") /V (value) /Type /Annot /Subtype /Widget /Rect [10 10 90 30] /P 3 0 R /DA (/Helv 0 Tf) >>"}
}

const id = "/ID [<00112233445566778899AABBCCDDEEFF> <00112233445566778899AABBCCDDEEFF>]"

// Signable returns files that a correct signer signs and that qpdf finds nothing wrong with, sorted by name.
func Signable() []Shape {
	font := Obj{8, 0, "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"}
	resources := "/DA (/Helv 0 Tf) /DR << /Font << /Helv 8 0 R >> >> /NeedAppearances true"
	form := []Obj{TextField(6, "first"), TextField(7, "Signature1"), font}
	files := map[string][]byte{
		"lf":                 File{Objs: Page("", ""), Trailer: id}.Classic(),
		"crlf":               File{Objs: Page("", ""), EOL: "\r\n"}.Classic(),
		"cr":                 File{Objs: Page("", ""), EOL: "\r"}.Classic(),
		"no-final-eol":       File{Objs: Page("", ""), After: "none"}.Classic(),
		"nul-after-eof":      File{Objs: Page("", ""), After: "\n\x00\x00\x00"}.Classic(),
		"pdf-1.2":            File{Version: "1.2", Objs: Page("", "")}.Classic(),
		"pdf-1.3":            File{Version: "1.3", Objs: Page("", "")}.Classic(),
		"pdf-2.0":            File{Version: "2.0", Objs: Page("", ""), Trailer: id}.Classic(),
		"catalog-version":    File{Version: "1.3", Objs: Page("/Version /1.4", "")}.Classic(),
		"escaped-names":      File{Objs: Page("/PageLayout /One#20Column /Lang (en\\(US\\)) % remark >> /X\n", "")}.Classic(),
		"unbalanced-string":  File{Objs: Page(`/Lang (en\)\(\\) /Odd <</A[<</B(\()>>]>>`, "")}.Classic(),
		"xref-stream":        File{Objs: Page("", ""), Trailer: id}.Streams(),
		"catalog-in-objstm":  File{Objs: Page("", ""), Trailer: id}.Streams(1, 2, 3),
		"crlf-xref-stream":   File{Objs: Page("", ""), EOL: "\r\n"}.Streams(1),
		"png-predictors":     File{Objs: Page("", "", TextField(5, "a"), TextField(6, "b")), PNG: true}.Streams(1, 3),
		"run-of-zeros":       File{Objs: Page("/Zeros <"+strings.Repeat("0", 40000)+">", "")}.Classic(),
		"annots-direct":      File{Objs: Page("", "/Annots [<< /Type /Annot /Subtype /Link /Rect [0 0 9 9] /A << /S /URI /URI (http://example.org/\\)) >> >>] /LastModified (D:20200101)")}.Classic(),
		"annots-indirect":    File{Objs: Page("", "/Annots 5 0 R", Obj{5, 0, "[6 0 R]"}, Obj{6, 0, "<< /Type /Annot /Subtype /Text /Rect [0 0 9 9] /Contents (note) >>"})}.Classic(),
		"form-indirect":      File{Objs: Page("/AcroForm 5 0 R", "/Annots [6 0 R 7 0 R]", append(form, Obj{5, 0, "<< /Fields [6 0 R 7 0 R] " + resources + " >>"})...)}.Classic(),
		"form-direct":        File{Objs: Page("/AcroForm << /Fields [6 0 R 7 0 R] "+resources+" >> /Lang (uk)", "/Annots [6 0 R 7 0 R]", append(form, Obj{5, 0, "null"})...)}.Classic(),
		"form-fields-apart":  File{Objs: Page("/AcroForm << "+resources+" /Fields 5 0 R /SigFlags 1 >>", "/Annots [6 0 R 7 0 R]", append(form, Obj{5, 0, "[6 0 R 7 0 R]"})...)}.Classic(),
		"form-in-objstm":     File{Objs: Page("/AcroForm 5 0 R", "/Annots [6 0 R 7 0 R]", append(form, Obj{5, 0, "<</Fields[6 0 R 7 0 R]" + resources + ">>"})...)}.Streams(1, 5, 6, 7, 8),
		"form-without-array": File{Objs: Page("/AcroForm << /DA (/Helv 0 Tf) >>", "")}.Classic(),
		"form-kids": File{Objs: Page("/AcroForm << /Fields [5 0 R] "+resources+" >>", "/Annots [6 0 R]",
			Obj{5, 0, "<< /FT /Tx /T (group) /Kids [6 0 R] >>"},
			Obj{6, 0, "<< /T (Signature1) /Parent 5 0 R /Type /Annot /Subtype /Widget /Rect [1 1 9 9] /P 3 0 R >>"}, font)}.Classic(),
	}
	files["updated"] = updated(File{Objs: Page("", "", TextField(5, "gone"), Obj{6, 0, "(x)"}), Trailer: id}.Classic(), false)
	files["updated-by-stream"] = updated(File{Objs: Page("", "", TextField(5, "gone"), Obj{6, 0, "(x)"}), Trailer: id}.Classic(), true)
	odd := Page("", "", Obj{5, 65534, "(x)"})
	odd[1].Body = "<< /Type /Pages /Kids [3 5 R] /Count 1 >>"
	odd[2].Body = strings.Replace(odd[2].Body, "4 0 R", "4 2 R", 1)
	odd[2].Generation, odd[3].Generation = 5, 2
	files["odd-generations"] = File{Objs: odd}.Classic()
	files["odd-generations-stream"] = File{Objs: odd}.Streams()
	gen := Page("", "")
	gen[0].Generation = 3
	files["catalog-generation"] = File{Objs: gen, Root: "1 3 R"}.Classic()
	files["catalog-generation-stream"] = File{Objs: gen, Root: "1 3 R"}.Streams()
	var out []Shape
	for name, data := range files {
		out = append(out, Shape{name, data})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

// updated appends a revision to the file: another catalog, the object 5 deleted and 6 free for another generation.
func updated(base []byte, stream bool) []byte {
	b := bytes.NewBuffer(bytes.Clone(base))
	prev := bytes.LastIndex(base, []byte("xref\n0 "))
	catalog := b.Len()
	b.WriteString("1 0 obj\n<< /Type /Catalog /Pages 2 0 R /Lang (pl) >>\nendobj\n")
	start := b.Len()
	if stream {
		row := func(kind, at, gen int) []byte {
			return []byte{byte(kind), byte(at >> 16), byte(at >> 8), byte(at), byte(gen)}
		}
		var rows []byte
		for _, r := range [][]byte{row(0, 5, 255), row(1, catalog, 0), row(0, 6, 1), row(0, 0, 1), row(1, start, 0)} {
			rows = append(rows, r...)
		}
		fmt.Fprintf(b, "7 0 obj\n<< /Type /XRef /W [1 3 1] /Index [0 2 5 3] /Size 8 /Root 1 0 R %s /Prev %d /Length %d >>\nstream\n%s\nendstream\nendobj\n", id, prev, len(rows), rows)
	} else {
		fmt.Fprintf(b, "xref\n0 2\n0000000005 65535 f \n%010d 00000 n \n5 2\n0000000006 00001 f \n0000000000 00001 f \n", catalog)
		fmt.Fprintf(b, "trailer\n<< /Size 7 /Root 1 0 R %s /Prev %d >>\n", id, prev)
	}
	fmt.Fprintf(b, "startxref\n%d\n%%%%EOF\n", start)
	return b.Bytes()
}
