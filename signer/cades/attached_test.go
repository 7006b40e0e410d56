package cades_test

import (
	"bytes"
	"context"
	"crypto"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/cms"
	"github.com/ecsigner/ecsigner/signer/tsp/tsptest"
)

// attach makes an attached signature.
func attach(t *testing.T, id identity, alg cades.Algorithm, content []byte) []byte {
	t.Helper()
	parts := prepare(t, cades.CAdES, id, alg, content)
	limit, err := cades.AttachedSize(parts, int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := cades.AssembleAttached(&out, id.sign(t, parts), bytes.NewReader(content), int64(len(content))); err != nil {
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
		tried := algorithms[:1]
		if size == 100 {
			tried = algorithms
		}
		for _, a := range tried {
			id := a.id()
			data := attach(t, id, a.alg, content)
			if der := must(cms.DER(data)); !bytes.Equal(der, data) {
				t.Errorf("%d bytes: not DER", size)
			}
			out := filepath.Join(t.TempDir(), "out")
			dir := t.TempDir()
			for name, b := range map[string][]byte{"s": data, "ca": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: id.chain[2]})} {
				if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			said, err := exec.Command("openssl", "cms", "-verify", "-cades", "-inform", "DER", "-in", filepath.Join(dir, "s"), "-binary", "-CAfile", filepath.Join(dir, "ca"), "-purpose", "any", "-out", out).CombinedOutput()
			if err != nil || !bytes.Contains(said, []byte("CAdES Verification successful")) {
				t.Errorf("%d bytes, %v: openssl: %s", size, a.alg, said)
			}
			if got := must(os.ReadFile(out)); !bytes.Equal(got, content) {
				t.Errorf("%d bytes, %v: openssl found %d bytes", size, a.alg, len(got))
			}
			if r := must(cades.Inspect(data, nil))[0]; r.Invalid != nil || r.Level != cades.LevelBB {
				t.Errorf("%d bytes, %v: %v, level %v", size, a.alg, r.Invalid, r.Level)
			}
		}
	}
}

func TestAttachedRefuses(t *testing.T) {
	id, content := p256(), []byte("content")
	parts := id.sign(t, prepare(t, cades.CAdES, id, cades.ECDSAWithSHA256, content))
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

// sparse is a file of a head, many zeros and a tail.
type sparse struct {
	head, tail []byte
	zeros      int64
}

func (s sparse) size() int64 { return int64(len(s.head)+len(s.tail)) + s.zeros }

func (s sparse) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) && off < s.size() {
		var m int
		switch middle := off - int64(len(s.head)); {
		case middle < 0:
			m = copy(p[n:], s.head[off:])
		case middle < s.zeros:
			m = int(min(int64(len(p)-n), s.zeros-middle))
			clear(p[n : n+m])
		default:
			m = copy(p[n:], s.tail[middle-s.zeros:])
		}
		n, off = n+m, off+int64(m)
	}
	if n < len(p) {
		err = io.EOF
	}
	return n, err
}

// TestLarge: 200 MB are signed, attached and raised to B-LTA in a few megabytes of memory, and 6 GB have right lengths.
func TestLarge(t *testing.T) {
	const size = 200_000_000
	id := p256()
	zeros := sparse{zeros: size}
	w := crypto.SHA256.New()
	_ = must(io.Copy(w, io.NewSectionReader(zeros, 0, size)))
	attrs := must(cades.SignedAttributes(cades.CAdES, cades.Attributes{Certificate: id.chain[0], ContentDigest: w.Sum(nil), Algorithm: cades.ECDSAWithSHA256, SigningTime: signingTime}))
	parts := id.sign(t, cades.Parts{SignedAttributes: attrs, Algorithm: cades.ECDSAWithSHA256, Chain: id.chain})

	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var count counter
	if err := cades.AssembleAttached(&count, parts, io.NewSectionReader(zeros, 0, size), size); err != nil {
		t.Fatal(err)
	}
	head, tail, err := cades.Frame(parts, size)
	if err != nil || int64(count) != int64(len(head)+len(tail))+size {
		t.Fatalf("%d bytes written, %v", count, err)
	}
	file := sparse{head, tail, size}
	sd, err := cms.Read(file, file.size(), cms.Limits{})
	if err != nil || sd.ContentSize() != size {
		t.Fatalf("%v", err)
	}
	count = 0
	s := services(authority(), &prover{ids: []identity{id}, tsas: []*tsptest.TSA{authority()}})
	var ends ends
	if err := cades.AugmentTo(context.Background(), io.MultiWriter(&count, &ends), sd, nil, cades.LevelBLTA, s); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 16<<20 {
		t.Errorf("%d bytes of memory", used)
	}
	// The raised file, as its ends: its content is where it was, behind a head that may be longer by lengths.
	out := sparse{ends.first[:len(head)], ends.last, int64(count) - int64(len(head)) - int64(len(ends.last))}
	raised, err := cms.Read(out, out.size(), cms.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if r := cades.InspectSignedData(raised, nil)[0]; r.Invalid != nil || r.Level != cades.LevelBLTA {
		t.Errorf("%v, level %v, missing: %v", r.Invalid, r.Level, r.Missing)
	}

	head, tail, err = cades.Frame(parts, 6<<30)
	if err != nil {
		t.Fatal(err)
	}
	file = sparse{head, tail, 6 << 30}
	if sd, err = cms.Read(file, file.size(), cms.Limits{}); err != nil || sd.ContentSize() != 6<<30 {
		t.Errorf("6 GB: %v", err)
	}
}

type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// ends keeps what was written first and last.
type ends struct{ first, last []byte }

func (e *ends) Write(p []byte) (int, error) {
	if len(e.first) < 4096 {
		e.first = append(e.first, p[:min(len(p), 4096)]...)
	}
	if e.last = append(e.last, p...); len(e.last) > 1<<17 {
		e.last = append(e.last[:0], e.last[len(e.last)-1<<16:]...)
	}
	return len(p), nil
}

func TestFileNames(t *testing.T) {
	if cades.FileName("Договір.pdf", true) != "Договір.pdf.p7m" || cades.FileName("a", false) != "a.p7s" {
		t.Error("names of files")
	}
	der := assemble(t, cades.CAdES, p256(), cades.ECDSAWithSHA256, []byte("x"))
	lines := base64.StdEncoding.EncodeToString(der)
	for name, file := range map[string][]byte{
		"DER":              der,
		"BER":              {0x30, 0x80, 0, 0},
		"PEM":              pem.EncodeToMemory(&pem.Block{Type: "PKCS7", Bytes: der}),
		"base64":           []byte(lines),
		"base64 in lines":  []byte(lines[:64] + "\r\n" + lines[64:] + "\r\n"),
		"PEM behind blank": append([]byte("\r\n"), pem.EncodeToMemory(&pem.Block{Type: "CMS", Bytes: der})...),
	} {
		want := der
		if name == "BER" {
			want = file
		}
		if got, err := cades.Decode(file); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for file, says := range map[string]string{
		"":                       "neither",
		"0":                      "neither",
		"PK\x03\x04...":          "ASiC",
		"%PDF-1.7":               "a PDF",
		"MIME-Version: 1.0":      "S/MIME",
		"-----BEGIN CMS-----\nx": "PEM that cannot be read",
		"hello world":            "neither",
		"aGVsbG8=":               "neither",
	} {
		if got, err := cades.Decode([]byte(file)); !errors.Is(err, cades.ErrMalformed) || !strings.Contains(err.Error(), says) || got != nil {
			t.Errorf("%q: %v", file, err)
		}
	}
}
