package cades_test

import (
	"bytes"
	"encoding/pem"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/cades/cadestest"
	"github.com/ecsigner/ecsigner/signer/cades/levels"
	"github.com/ecsigner/ecsigner/signer/cms"
)

// attach makes an attached signature.
func attach(t *testing.T, id cadestest.Identity, alg cades.Algorithm, content []byte) []byte {
	t.Helper()
	parts := cadestest.Prepare(t, cades.CAdES, id, alg, content)
	limit, err := cades.AttachedSize(parts, int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := cades.AssembleAttached(&out, id.Sign(t, parts), bytes.NewReader(content), int64(len(content))); err != nil {
		t.Fatal(err)
	}
	if int64(out.Len()) > limit || int64(out.Len()) < limit-12 {
		t.Errorf("AttachedSize says %d, the file has %d bytes", limit, out.Len())
	}
	return out.Bytes()
}

func TestAttached(t *testing.T) {
	// The lengths around those where another octet of length comes.
	for _, size := range []int{0, 1, 100, 127, 128, 200, 255, 256, 60000, 65535, 65536, 1 << 20} {
		content := bytes.Repeat([]byte{'x'}, size)
		tried := cadestest.Algorithms[:1]
		if size == 100 {
			tried = cadestest.Algorithms
		}
		for _, a := range tried {
			id := a.ID()
			data := attach(t, id, a.Alg, content)
			if der := cadestest.Must(cms.DER(data)); !bytes.Equal(der, data) {
				t.Errorf("%d bytes: not DER", size)
			}
			out := filepath.Join(t.TempDir(), "out")
			dir := t.TempDir()
			for name, b := range map[string][]byte{"s": data, "ca": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: id.Chain[2]})} {
				if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			said, err := exec.Command("openssl", "cms", "-verify", "-cades", "-inform", "DER", "-in", filepath.Join(dir, "s"), "-binary", "-CAfile", filepath.Join(dir, "ca"), "-purpose", "any", "-out", out).CombinedOutput()
			if err != nil || !bytes.Contains(said, []byte("CAdES Verification successful")) {
				t.Errorf("%d bytes, %v: openssl: %s", size, a.Alg, said)
			}
			if got := cadestest.Must(os.ReadFile(out)); !bytes.Equal(got, content) {
				t.Errorf("%d bytes, %v: openssl found %d bytes", size, a.Alg, len(got))
			}
			if r := cadestest.Must(levels.Inspect(data, nil))[0]; r.Invalid != nil || r.Level != cades.LevelBB {
				t.Errorf("%d bytes, %v: %v, level %v", size, a.Alg, r.Invalid, r.Level)
			}
		}
	}
}

func TestAttachedRefuses(t *testing.T) {
	id, content := cadestest.P256(), []byte("content")
	parts := id.Sign(t, cadestest.Prepare(t, cades.CAdES, id, cades.ECDSAWithSHA256, content))
	broken := errors.New("broken pipe")
	for name, tc := range map[string]struct {
		content io.Reader
		size    int64
		want    error
	}{
		"other":      {strings.NewReader("cantent"), 7, cades.ErrDigest},
		"shorter":    {strings.NewReader("conten"), 7, cades.ErrDigest},
		"longer":     {strings.NewReader("contents"), 7, cades.ErrDigest},
		"unreadable": {io.MultiReader(strings.NewReader("con"), failing{broken}), 7, broken},
		"negative":   {strings.NewReader("content"), -1, cades.ErrInput},
		"no file":    {strings.NewReader("content"), 1<<63 - 1, cades.ErrInput},
	} {
		if err := cades.AssembleAttached(io.Discard, parts, tc.content, tc.size); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
	if err := cades.AssembleAttached(failing{broken}, parts, strings.NewReader("content"), 7); !errors.Is(err, broken) {
		t.Errorf("full disk: %v", err)
	}
	parts.Signature = bytes.Repeat([]byte{1}, 64)
	if _, _, err := cades.Frame(parts, 7); !errors.Is(err, cades.ErrSignature) {
		t.Errorf("wrong signature: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error)  { return 0, f.err }
func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestFileNames(t *testing.T) {
	if cades.FileName("Договір.pdf", true) != "Договір.pdf.p7m" || cades.FileName("a", false) != "a.p7s" {
		t.Error("names of files")
	}
}
