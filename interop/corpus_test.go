//go:build interop

package interop

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/digitorus/pdfsign/verify"
	"github.com/ecsigner/ecsigner/signer/cades"
	"github.com/ecsigner/ecsigner/signer/pades"
	"github.com/ecsigner/ecsigner/signer/pades/longterm"
)

// corpus is a collection of other people's files, with a program that judges whoever signs them; too large and too mixed in licences
// for this repository.
const corpus = "../../shared/corpus"

// asSigner makes the test's program a signer of one file, as the corpus's program wants one: IN OUT. Its value is the level.
const asSigner = "INTEROP_SIGNER"

// handed is what the signer is told, in a file, of the world that the test made.
type handed struct {
	Key, Roots string
	TSA        string
	Ports      []uint16
	SignedAt   time.Time
}

// TestInteropCorpus has the corpus's own program judge what we make of every file in it: at B-B, and with a second signature on top of
// one that was raised to B-LTA. It holds what pdfsig, mutool, qpdf and pyHanko say of each file, and of every earlier signature in it,
// against what they said before. pdfsign and EU DSS are asked about what is kept.
func TestInteropCorpus(t *testing.T) {
	t.Parallel()
	root := corpus
	if named := os.Getenv("ECSIGNER_CORPUS"); named != "" {
		root = named
	}
	root, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "judge")); err != nil {
		t.Skipf("NO CORPUS at %s: files made by others are not judged: %v", root, err)
	}
	w, r := shared(t), judges(t)
	w.hand(t)
	for _, level := range []string{"B-B", "B-LTA"} {
		t.Run(level, func(t *testing.T) {
			kept := t.TempDir()
			program, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), os.Getenv("ECSIGNER_PYTHON"), filepath.Join(root, "judge"), "--jobs", "2", "--keep", kept,
				"--timeout", "60") // processor time is shared with the other judges
			cmd.Env = append(os.Environ(), "SIGN="+program+" {in} {out}", asSigner+"="+level, "INTEROP_HANDED="+filepath.Join(w.dir, "handed.json"))
			out, err := cmd.CombinedOutput()
			said := string(out)
			last := said[strings.LastIndex(strings.TrimSpace(said), "\n")+1:]
			if err != nil || !strings.Contains(last, " 0 wrong (none)") || !strings.Contains(said, "over-refused (sign-ok but refused): 0; signed against the manifest: 0") {
				t.Errorf("%v\n%s", err, said)
			}
			t.Log(last)
			signed, err := filepath.Glob(filepath.Join(kept, "*.pdf"))
			if err != nil || len(signed) < 30 {
				t.Fatalf("%d files were signed, %v", len(signed), err)
			}
			for _, file := range signed {
				earlier(t, filepath.Join(root, "pdf", filepath.Base(file)), file)
				if level == "B-LTA" {
					w.inDSS(t, r, filepath.Join(root, "pdf", filepath.Base(file)), file)
				}
			}
		})
	}
}

// earlier demands that pdfsign says of every signature of the input what it said before.
func earlier(t *testing.T, before, after string) {
	t.Helper()
	was, is := pdfsignSays(t, before), pdfsignSays(t, after)
	if len(was) == 0 || strings.HasPrefix(was[0], "cannot") {
		return // it knows none, or cannot read the input
	}
	for i, word := range was {
		if i >= len(is) || is[i] != word {
			t.Errorf("%s: pdfsign said %q of its signatures, and now %q", filepath.Base(before), was, is)
			return
		}
	}
}

func pdfsignSays(t *testing.T, file string) (said []string) {
	t.Helper()
	defer func() {
		if p := recover(); p != nil {
			said = []string{fmt.Sprint("cannot: ", p)}
		}
	}()
	data := read(t, file)
	o := verify.DefaultVerifyOptions()
	o.EnableExternalRevocationCheck = false
	response, err := verify.VerifyWithOptions(bytes.NewReader(data), int64(len(data)), o)
	if err != nil {
		return []string{"cannot: " + err.Error()}
	}
	for _, s := range response.Signers {
		said = append(said, fmt.Sprintf("%s %v", s.Name, s.ValidSignature))
	}
	return said
}

// inDSS demands that EU DSS finds our two signatures: the first at B-LTA, also from now on, and the newest at B-B.
// What it cannot read already before is left to the others.
func (w *world) inDSS(t *testing.T, r *residents, before, file string) {
	t.Helper()
	if _, err := w.askDSS(r, artefact{file: before}, moment{list: true}); err != nil {
		t.Logf("%s: EU DSS cannot read the input: %v", filepath.Base(file), err)
		return
	}
	d, err := w.askDSS(r, artefact{file: file}, moment{online: true, list: true})
	if err != nil {
		t.Errorf("%s: EU DSS: %v", filepath.Base(file), err)
		return
	}
	levels := map[string]int{}
	for _, s := range d.Signatures {
		if s.By != "Шевченко Тарас" {
			continue
		}
		if s.Indication == "TOTAL_PASSED" && s.Qualification == "QESIG" {
			levels[s.Level]++
		}
		for _, stamp := range s.Stamps {
			if stamp.Indication != "PASSED" || stamp.Qualification != "QTSA" {
				levels["time-stamp "+stamp.String()]++
			}
		}
	}
	if len(levels) != 2 || levels["PAdES-BASELINE-LTA"] != 1 || levels["PAdES-BASELINE-B"] != 1 {
		t.Errorf("%s: EU DSS finds %v of ours: %v", filepath.Base(file), levels, d)
	}
}

// hand writes what the signer is told.
func (w *world) hand(t *testing.T) {
	t.Helper()
	h := handed{
		Key: filepath.Join(w.dir, "P-256.pem"), Roots: w.rootsPEM, TSA: w.tsa["P-256"].URL(), Ports: w.ports, SignedAt: w.signedAt,
	}
	text, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(w.dir, "handed.json"), text)
}

// signOne signs a file and returns the exit code. What is refused is said in one line.
func signOne(level, in, out string) int {
	data, err := signFile(level, in)
	if err == nil {
		err = os.WriteFile(out, data, 0o600)
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

func signFile(level, in string) ([]byte, error) {
	text, err := os.ReadFile(os.Getenv("INTEROP_HANDED"))
	if err != nil {
		return nil, err
	}
	var h handed
	if err := json.Unmarshal(text, &h); err != nil {
		return nil, err
	}
	s, anchors, err := h.signatory()
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(in)
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	data, err = s.signB(ctx, data, h.SignedAt)
	if err != nil || level == "B-B" {
		return data, err
	}
	pool := x509.NewCertPool()
	for _, a := range anchors {
		pool.AddCert(a)
	}
	services, collector, err := servicesOf("test", h.TSA, pool, anchors, h.Ports)
	if err != nil {
		return nil, err
	}
	defer collector.Close()
	// Others' signatures in the file have issuers that nobody answers for here.
	raised, err := longterm.AugmentWith(ctx, bytes.NewReader(data), int64(len(data)), cades.LevelBLTA, services, longterm.AugmentOptions{Partial: true})
	if err != nil {
		return nil, fmt.Errorf("raising: %w", err)
	}
	if data, err = s.signB(ctx, append(data, raised.Tail...), h.SignedAt); err != nil {
		return nil, fmt.Errorf("the second signature: %w", err)
	}
	return data, nil
}

// signatory reads the key with its chain, and the roots.
func (h handed) signatory() (s signatory, anchors []*x509.Certificate, err error) {
	text, err := os.ReadFile(h.Key)
	if err != nil {
		return s, nil, err
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "PRIVATE KEY" {
			s.chain = append(s.chain, block.Bytes)
			continue
		}
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return s, nil, err
		}
		var ok bool
		if s.key, ok = key.(crypto.Signer); !ok {
			return s, nil, errors.New("no key that signs")
		}
	}
	if text, err = os.ReadFile(h.Roots); err != nil {
		return s, nil, err
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return s, nil, err
		}
		anchors = append(anchors, c)
	}
	return s, anchors, nil
}

// signB signs a file at B-B.
func (s signatory) signB(ctx context.Context, data []byte, at time.Time) ([]byte, error) {
	p, err := pades.Prepare(ctx, bytes.NewReader(data), int64(len(data)), pades.Options{SigningTime: at, Chain: s.chain, Algorithm: cades.ECDSAWithSHA256})
	if err != nil {
		return nil, err
	}
	value, err := s.sign(cades.ECDSAWithSHA256, p.DTBSR())
	if err != nil {
		return nil, err
	}
	tail, err := p.Embed(value)
	if err != nil {
		return nil, err
	}
	return append(data, tail...), nil
}
