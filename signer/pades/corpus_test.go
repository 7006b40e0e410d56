package pades_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/pades/longterm"
	"github.com/ecsigner/ecsigner/signer/pades/padestest"
	"github.com/ecsigner/ecsigner/signer/pades/sigfield"
	"github.com/ecsigner/ecsigner/signer/pdf"
)

// corpus is a collection of other people's files, too large and too mixed in licences for this repository.
const corpus = "../../../shared/corpus"

// cause is why a file is refused: the sentinel, and words of the particulars.
type cause struct {
	err   error
	words string
}

// corpusRefused names the true cause of each refusal of a real file. Every other file is signed.
var corpusRefused = map[string]cause{
	"core-AES256ExposedMeta.pdf":                           {pdf.ErrEncrypted, ""},
	"hexapdf-bothpwd-aes-256bit-V5-R5.pdf":                 {pdf.ErrEncrypted, ""},
	"itext-java-aes128.pdf":                                {pdf.ErrEncrypted, ""},
	"itext-java-cmp_signedEncrypted.pdf":                   {pdf.ErrEncrypted, ""},
	"pdf.js-auth-event-ef-open.pdf":                        {pdf.ErrEncrypted, ""},
	"pyhanko-signed-encrypted-pubkey-with-catalog-ref.pdf": {pdf.ErrEncrypted, ""},
	"qpdf-c-r3.pdf":                                        {pdf.ErrEncrypted, ""},

	"digidoc4j-valid-pades-esteid2018.pdf":         {pdf.ErrHybrid, ""},
	"dss-Signature-P-BG_BOR-2.pdf":                 {pdf.ErrHybrid, ""},
	"itext-java-emptySingleTrTable.pdf":            {pdf.ErrHybrid, ""},
	"itextpdf-comparePdfsWithOneDifferentPage.pdf": {pdf.ErrHybrid, ""},
	"pdfbox-PDFBOX-4417-001031.pdf":                {pdf.ErrHybrid, ""},
	"pdfcpu-testPAdES_BB.pdf":                      {pdf.ErrHybrid, ""},
	"pdfium-bug_2122.pdf":                          {pdf.ErrHybrid, ""},
	"tika-testPDF_XFA_govdocs1_258578.pdf":         {pdf.ErrHybrid, ""},

	"pdfcpu-usageRights.pdf":                                 {pdf.ErrXFA, ""},
	"pdfium-standard_symbols.pdf":                            {pdf.ErrXFA, ""},
	"verapdf-corpus-veraPDF_test_suite_6-4-2-t01-fail-a.pdf": {pdf.ErrXFA, ""},

	"dss-pkcs7-no-message-digest.pdf": {sigfield.ErrCertified, ""},
	"pdfcpu-sample2.pdf":              {sigfield.ErrCertified, ""},
	"pdfium-docmdp.pdf":               {sigfield.ErrCertified, ""},

	"pdfpig-stackoverflow_error.pdf": {pdf.ErrNotPDF, ""},
	"pocs-firefox-tiny.pdf":          {pdf.ErrNotPDF, ""},

	"dss-pades_opposite_infinite_loop.pdf":           {pdf.ErrDamaged, "startxref points to byte 35274 of 29469"},
	"pdf.js-operator_list_cycle.pdf":                 {pdf.ErrDamaged, "object 1 0 R would begin at byte 4294967295"},
	"pdf.js-poppler-395-0-fuzzed.pdf":                {pdf.ErrDamaged, "object 2 0 R does not begin at byte 174"},
	"pdfcpu-withOffsetStart.pdf":                     {pdf.ErrDamaged, "657 bytes stand before the %PDF- header"},
	"pdfium-bug_555784.pdf":                          {pdf.ErrDamaged, "/Root 1 0 R is not a catalog"},
	"pikepdf-small.pdf":                              {pdf.ErrDamaged, "no startxref"},
	"pocs-js-annots.pdf":                             {pdf.ErrDamaged, "119 bytes stand before the %PDF- header"},
	"pocs-text-ws09.pdf":                             {pdf.ErrDamaged, "cross-reference entry at byte 667"},
	"qpdf-issue-149.pdf":                             {pdf.ErrDamaged, "cross-reference entry at byte 1525"},
	"qpdf-xref-compressed-in-compressed.pdf":         {pdf.ErrDamaged, "object 69 is in object stream 81, which is not there"},
	"tika-testPDFFileEmbInAnnotation_noContents.pdf": {pdf.ErrDamaged, "cross-reference section at byte 198021"},

	"safedocs-Dialect-DictIsStream.pdf": {pdf.ErrDamaged, "page tree: 4 0 R is no dictionary"},

	"pages-loop.pdf":                  {pdf.ErrDamaged, "page tree: 2 0 R is not its root"},
	"deep-array.pdf":                  {pdf.ErrTooLarge, "nested too deep"},
	"deep-dict.pdf":                   {pdf.ErrTooLarge, "nested too deep"},
	"fields-loop.pdf":                 {pdf.ErrDamaged, "form field 4 0 R is listed twice"},
	"pdfium-bug_332462378.pdf":        {pdf.ErrHybrid, ""},
	"pdfium-bug_602650.pdf":           {pdf.ErrDamaged, "cross-reference section at byte 1066"},
	"pdfium-bug_680376.pdf":           {pdf.ErrDamaged, "object 6 is not below the trailer's /Size 6"},
	"xref-Index-negative.pdf":         {pdf.ErrDamaged, "/Index and data do not fit together"},
	"xref-W-huge.pdf":                 {pdf.ErrDamaged, "/W is not three small numbers"},
	"xref-predictor-columns-huge.pdf": {pdf.ErrDamaged, "predictor with 2147483647 columns"},
	"xref-stream-bomb-double.pdf":     {pdf.ErrUnsupported, "several filters"},
}

// corpusPDF returns the PDF files of the corpus by their names.
func corpusPDF(t *testing.T) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for name := range padestest.Manifest(t, corpus) {
		if !strings.HasPrefix(name, "pdf/") && (!strings.HasPrefix(name, "hostile/") || !strings.HasSuffix(name, ".pdf")) {
			continue
		}
		in, err := os.ReadFile(filepath.Join(corpus, name))
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(name)] = in
	}
	return files
}

// TestCorpus signs real files twice, or refuses them with the true cause in one line, and reads the signatures in them
// before and after.
func TestCorpus(t *testing.T) {
	id := padestest.EC()
	rows, largest := padestest.Manifest(t, corpus), 0
	for name, in := range corpusPDF(t) {
		row := rows["pdf/"+name]
		why, refused := corpusRefused[name]
		p, err := padestest.Prepare(in, padestest.Options(id))
		if refused || err != nil {
			if !errors.Is(err, why.err) || err == nil || !strings.Contains(err.Error(), why.words) || strings.Contains(err.Error(), "\n") || len(err.Error()) > 400 {
				t.Errorf("%s: %v, not %v: %s", name, err, why.err, why.words)
			}
			if row != nil && row[7] == "sign-ok" {
				t.Errorf("%s: refused: %v", name, err)
			}
			continue
		}
		if row != nil && row[7] == "refuse" {
			t.Errorf("%s: signed, although: %s", name, row[8])
		}
		state, err := p.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		largest = max(largest, len(state))
		once := padestest.SignPDF(t, in, id, padestest.Options(id))
		sameBefore(t, name, in, once)
		sameBefore(t, name, once, padestest.SignPDF(t, once, id, padestest.Options(id)))
	}
	if largest > 64<<10 {
		t.Errorf("a state takes %d bytes", largest)
	}
	t.Logf("the largest state takes %d bytes", largest)
}

// sameBefore wants one valid signature more than before, and every earlier one as it was.
func sameBefore(t *testing.T, name string, in, out []byte) {
	t.Helper()
	before, _ := longterm.Verify(context.Background(), bytes.NewReader(in), int64(len(in)), pdf.Limits{})
	after, err := longterm.Verify(context.Background(), bytes.NewReader(out), int64(len(out)), pdf.Limits{})
	if err != nil || len(after) != len(before)+1 || after[len(after)-1].Err != nil || !after[len(after)-1].CoversFile {
		t.Errorf("%s: %d signatures after %d, %v", name, len(after), len(before), err)
		return
	}
	for i, s := range before {
		if (s.Err == nil) != (after[i].Err == nil) || s.Level != after[i].Level {
			t.Errorf("%s: signature %q was %q, %v; now %q, %v", name, s.Field, s.Level, s.Err, after[i].Level, after[i].Err)
		}
	}
}

// TestHostile has a process of its own read each hostile file, whatever it holds, within 2 seconds of CPU and 256 MiB.
func TestHostile(t *testing.T) {
	rows := padestest.Manifest(t, corpus)
	for name := range rows {
		if !strings.HasPrefix(name, "hostile/") {
			continue
		}
		cmd := exec.Command(padestest.Must(os.Executable()), filepath.Join(corpus, name), filepath.Join(t.TempDir(), "out.pdf"))
		cmd.Env = append(os.Environ(), asSigner+"=1")
		said, err := cmd.CombinedOutput()
		if lines := strings.Count(strings.TrimSpace(string(said)), "\n"); err != nil && (cmd.ProcessState.ExitCode() != 1 || lines > 0) {
			t.Errorf("%s: %v\n%s", name, err, said)
		}
		usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
		cpu := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
		if cpu > 2*time.Second || usage.Maxrss > 256<<10 { // kibibytes
			t.Errorf("%s: %v, %d KiB", name, cpu, usage.Maxrss)
		}
	}
}

// TestCorpusCMS reads CMS and certificates made by others, and hostile ASN.1, without a panic.
func TestCorpusCMS(t *testing.T) {
	read := 0
	for name := range padestest.Manifest(t, corpus) {
		if strings.HasPrefix(name, "pdf/") {
			continue
		}
		der, err := os.ReadFile(filepath.Join(corpus, name))
		if err != nil {
			t.Fatal(err)
		}
		if s, err := cades.Parse(der); err == nil {
			read++
			_ = s.Verify(make([]byte, s.Algorithm.Hash().Size()))
			t.Logf("%s: %v, conforms: %v", name, s.Algorithm, s.Conforms(cades.CAdES))
		}
	}
	t.Logf("%d detached signatures read", read)
}
