package pades_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/pades"
	"github.com/ecsigner/ecsigner/signer/pdf"
)

// corpus is a collection of other people's files, too large and too mixed in licences for this repository.
const corpus = "../../../shared/corpus"

// manifest returns the rows of the corpus's list by file name, or skips the test where there is no corpus.
func manifest(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(corpus, "MANIFEST.tsv"))
	if err != nil {
		t.Skipf("NO CORPUS at %s: files made by others are not tested: %v", corpus, err)
	}
	rows := map[string][]string{}
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n")[1:] {
		if f := strings.Split(line, "\t"); len(f) > 7 {
			rows[f[0]] = f
		}
	}
	return rows
}

// TestCorpus signs or refuses real files as their list expects, and reads the signatures in them without a panic.
func TestCorpus(t *testing.T) {
	id := ecIdentity()
	signed, refused := 0, 0
	for name, row := range manifest(t) {
		if !strings.HasPrefix(name, "pdf/") && !strings.HasPrefix(name, "hostile/") {
			continue
		}
		in, err := os.ReadFile(filepath.Join(corpus, name))
		if err != nil {
			t.Fatal(err)
		}
		before, _ := pades.Verify(context.Background(), bytes.NewReader(in), int64(len(in)), pdf.Limits{})
		if _, err := prepare(in, options(id)); err != nil {
			refused++
			if row[7] == "sign-ok" {
				t.Errorf("%s: refused: %v", name, err)
			}
			continue
		}
		signed++
		if row[7] == "refuse" {
			t.Errorf("%s: signed, although: %s", name, row[8])
		}
		out := signPDF(t, in, id, options(id))
		after, err := pades.Verify(context.Background(), bytes.NewReader(out), int64(len(out)), pdf.Limits{})
		if err != nil || len(after) != len(before)+1 || after[len(after)-1].Err != nil || !after[len(after)-1].CoversFile {
			t.Errorf("%s: %d signatures after %d, %v", name, len(after), len(before), err)
			continue
		}
		for i, s := range before {
			if (s.Err == nil) != (after[i].Err == nil) || s.Level != after[i].Level {
				t.Errorf("%s: signature %q was %q, %v; now %q, %v", name, s.Field, s.Level, s.Err, after[i].Level, after[i].Err)
			}
		}
	}
	t.Logf("%d signed, %d refused", signed, refused)
}

// TestCorpusCMS reads CMS and certificates made by others, and hostile ASN.1, without a panic.
func TestCorpusCMS(t *testing.T) {
	read := 0
	for name := range manifest(t) {
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
			t.Logf("%s: %v, level %q", name, s.Algorithm, s.Level(cades.CAdES))
		}
	}
	t.Logf("%d detached signatures read", read)
}
