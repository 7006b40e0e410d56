//go:build interop

package interop

import (
	"bytes"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"github.com/digitorus/pdfsign/verify"
	"go.mozilla.org/pkcs7"
)

// judge is a program that says of an artefact what it is. What it says is turned into one line, with nothing left out that
// could be wrong.
type judge struct {
	name, what string
	formats    string // that it is asked about at all
	ask        func(w *world, r *residents, s subject) (string, error)
}

// all judges, in the order of the columns.
var all = []judge{
	{"EU DSS", "6.4, default policy, with a trusted list: B-B and B-T with the network, the levels above without", "PAdES CAdES", dssJudge},
	{"EU DSS later", "6.4, with roots instead of the list, without the network, 30 days after the signatory's certificate ended", "PAdES CAdES", dssLater},
	{"pyHanko", "0.38.0, AdES validation and difference analysis", "PAdES CAdES", hankoJudge},
	{"PDFBox + BC", "PDFBox 3.0.6 and BouncyCastle 1.83: value, signing certificate, chain, time-stamps, evidence", "PAdES CAdES", boxJudge},
	{"pkijs", "4.0.0: value, chain, time-stamps", "PAdES CAdES", pkijsJudge},
	{"openssl", "Debian 12: `cms -verify -cades`, and `ts -verify` of document time-stamps", "PAdES CAdES", opensslJudge},
	{"pdfsig", "Debian 12 (poppler, NSS): value, trust, coverage", "PAdES", pdfsigJudge},
	{"mutool", "Debian 12: strict syntax, value, later changes", "PAdES", mutoolJudge},
	{"qpdf", "Debian 12: structure, without a warning", "PAdES", qpdfJudge},
	{"pdfsign", "`digitorus/pdfsign/verify`, as pinned in `go.mod`", "PAdES", pdfsignJudge},
	{"pkcs7", "`go.mozilla.org/pkcs7`, as pinned in `go.mod`", "PAdES CAdES", pkcs7Judge},
}

func dssJudge(w *world, r *residents, s subject) (string, error) {
	d, err := w.askDSS(r, s.artefact, moment{online: s.level == "B-B" || s.level == "B-T", list: true})
	return d.String(), err
}

func dssLater(w *world, r *residents, s subject) (string, error) {
	d, err := w.askDSS(r, s.artefact, moment{at: w.expiry.AddDate(0, 0, 30)})
	return d.String(), err
}

type verdicts struct {
	Signatures []struct{ Verdict, Why string }
}

func (v verdicts) String() string {
	var said []string
	for _, s := range v.Signatures {
		said = append(said, s.Verdict)
	}
	return strings.Join(said, ", ")
}

// hankoJudge asks for each level's own validation, and for that of the level above, which must not succeed.
func hankoJudge(w *world, r *residents, s subject) (string, error) {
	var said []string
	ask := func(operation, level string, m moment) error {
		var v verdicts
		err := r.python.ask(&v, operation, append(m.pairs(), "file", s.file, "content", s.content, "roots", w.roots, "known", w.issuers, "level", level)...)
		said = append(said, level+" "+v.String())
		return err
	}
	online := moment{online: true}
	if s.pdf() {
		var steps []error
		switch s.level {
		case "B-B":
			steps = append(steps, ask("adesverify", "basic", online), ask("adesverify", "time", online))
		case "B-T":
			steps = append(steps, ask("adesverify", "time", online), ask("adesverify", "lta", online))
		case "B-LT":
			steps = append(steps, ask("adesverify", "lt", moment{}), ask("adesverify", "lta", moment{}))
		default:
			steps = append(steps, ask("adesverify", "lta", moment{}))
		}
		changed, err := changes(w, r, s.file)
		return strings.Join(append(said, changed), "; "), errors.Join(append(steps, err)...)
	}
	level := "time"
	if s.level == "B-B" {
		level = "basic"
	}
	err := ask("cms", level, online)
	return strings.Join(said, "; "), err
}

// change is what pyHanko's difference analysis says of one signature.
type change struct {
	Field                string
	Stamp, Intact, Valid bool
	Trusted              bool
	Coverage, Changes    string
	Allowed              *bool
	Error                string
}

func (c change) String() string {
	if c.Error != "" {
		return c.Error
	}
	said := c.Coverage + " " + c.Changes
	if !c.Intact || !c.Valid || !c.Trusted || (c.Allowed != nil && !*c.Allowed) {
		said += fmt.Sprintf(" intact=%v valid=%v trusted=%v", c.Intact, c.Valid, c.Trusted)
		if c.Allowed != nil {
			said += fmt.Sprintf(" allowed=%v", *c.Allowed)
		}
	}
	return said
}

func changes(w *world, r *residents, file string) (string, error) {
	var v struct{ Signatures []change }
	err := r.python.ask(&v, "changes", "file", file, "roots", w.roots)
	var said []string
	for _, c := range v.Signatures {
		said = append(said, c.String())
	}
	return strings.Join(said, ", "), err
}

func boxJudge(w *world, r *residents, s subject) (string, error) {
	var v struct {
		Signatures []struct {
			Filter, Stamp              string
			Value, Named, Chain, Whole bool
			Stamps                     []string
		}
		Evidence string
	}
	operation := "cms"
	if s.pdf() {
		operation = "box"
	}
	err := r.java.ask(&v, operation, "file", s.file, "content", s.content, "roots", w.roots)
	var said []string
	for _, one := range v.Signatures {
		if one.Stamp != "" {
			said = append(said, "document time-stamp "+one.Stamp)
			continue
		}
		line := fmt.Sprintf("value %v, certificate named %v, chain %v", one.Value, one.Named, one.Chain)
		for _, t := range one.Stamps {
			line += ", time-stamp " + t
		}
		said = append(said, line)
	}
	return strings.Join(append(said, "evidence "+v.Evidence), "; "), err
}

func pkijsJudge(w *world, r *residents, s subject) (string, error) {
	parts := []part{{file: s.file, content: s.content}}
	if s.pdf() {
		var err error
		if parts, err = cut(s.file); err != nil {
			return "", err
		}
	}
	var said []string
	for _, p := range parts {
		var v struct {
			Signature, Stamp string
			Stamps           []string
		}
		stamp := ""
		if p.stamp {
			stamp = "1"
		}
		if err := r.node.ask(&v, "cms", "file", p.file, "content", p.content, "roots", w.roots, "stamp", stamp); err != nil {
			return "", err
		}
		if p.stamp {
			said = append(said, "document time-stamp "+v.Stamp)
			continue
		}
		line := "signature " + v.Signature
		for _, t := range v.Stamps {
			line += ", time-stamp " + t
		}
		said = append(said, line)
	}
	return strings.Join(said, "; "), nil
}

// part is one signature or document time-stamp that was cut out of a PDF.
type part struct {
	file, content string
	stamp         bool
}

var byteRange = regexp.MustCompile(`/ByteRange ?\[ ?(\d+) +(\d+) +(\d+) +(\d+) *\]`)

// cut finds the signatures of a PDF by their byte ranges, without any reader, and writes each with what it covers beside it.
func cut(file string) ([]part, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var parts []part
	for i, m := range byteRange.FindAllSubmatch(data, -1) {
		var n [4]int
		if _, err := fmt.Sscan(string(bytes.Join(m[1:], []byte(" "))), &n[0], &n[1], &n[2], &n[3]); err != nil || n[2]+n[3] > len(data) || n[1] > n[2] {
			return nil, fmt.Errorf("byte range %s: %w", m[0], err)
		}
		cms, err := hex.DecodeString(string(bytes.Trim(data[n[1]:n[2]], "<> \r\n")))
		if err != nil {
			return nil, err
		}
		p := part{file: fmt.Sprintf("%s.%d.cms", file, i), content: fmt.Sprintf("%s.%d.content", file, i)}
		cms = cms[:4+int(cms[2])<<8+int(cms[3])]
		p.stamp = bytes.Contains(cms[:200], []byte{0x06, 0x0b, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x01, 0x04}) // id-ct-TSTInfo
		if err := os.WriteFile(p.file, cms, 0o600); err != nil {
			return nil, err
		}
		if err := os.WriteFile(p.content, append(bytes.Clone(data[n[0]:n[0]+n[1]]), data[n[2]:n[2]+n[3]]...), 0o600); err != nil {
			return nil, err
		}
		parts = append(parts, p)
	}
	if len(parts) == 0 {
		return nil, errors.New("no byte range")
	}
	return parts, nil
}

// say runs a program and returns what it says, whatever its exit code.
func say(name string, args ...string) (string, error) {
	out, err := exec.Command(name, args...).CombinedOutput()
	if exit := (&exec.ExitError{}); errors.As(err, &exit) {
		err = nil
	}
	return string(out), err
}

func opensslJudge(w *world, _ *residents, s subject) (string, error) {
	parts := []part{{file: s.file, content: s.content}}
	if s.pdf() {
		var err error
		if parts, err = cut(s.file); err != nil {
			return "", err
		}
	}
	var said []string
	for _, p := range parts {
		args := []string{"cms", "-verify", "-cades", "-inform", "DER", "-in", p.file, "-binary", "-CAfile", w.rootsPEM, "-purpose", "any", "-out", os.DevNull}
		if p.content != "" {
			args = append(args, "-content", p.content)
		}
		if p.stamp {
			args = []string{"ts", "-verify", "-token_in", "-in", p.file, "-data", p.content, "-CAfile", w.rootsPEM}
		}
		out, err := say("openssl", args...)
		if err != nil {
			return "", err
		}
		said = append(said, opensslError.ReplaceAllString(lines(out, "Using configuration from"), "($1)"))
	}
	return strings.Join(said, "; "), nil
}

// opensslError is a line of its queue of errors, of which the reason is kept.
var opensslError = regexp.MustCompile(`[0-9A-F]{12,16}:error:[0-9A-F]+:[^:]*:[^:]*:([^:]*):[^:]*:\d+:`)

// lines joins what a program says to one line, without the lines that begin with one of skip.
func lines(out string, skip ...string) string {
	var kept []string
next:
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		for _, s := range skip {
			if strings.HasPrefix(line, s) {
				continue next
			}
		}
		if line != "" {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, " ")
}

// nss is a certificate store of NSS with the roots, for pdfsig.
var nss = sync.OnceValues(func() (string, error) {
	w, err := theWorld()
	if err != nil {
		return "", err
	}
	db := filepath.Join(w.dir, "nss")
	if err := os.Mkdir(db, 0o700); err != nil {
		return "", err
	}
	steps := [][]string{{"-N", "-d", "sql:" + db, "--empty-password"}}
	for i, root := range strings.Split(w.roots, ",") {
		steps = append(steps, []string{"-A", "-d", "sql:" + db, "-n", fmt.Sprint("root", i), "-t", "CT,C,C", "-i", root})
	}
	for _, args := range steps {
		if out, err := exec.Command("certutil", args...).CombinedOutput(); err != nil {
			return "", fmt.Errorf("certutil: %w\n%s", err, out)
		}
	}
	return "sql:" + db, nil
})

func pdfsigJudge(_ *world, _ *residents, s subject) (string, error) {
	db, err := nss()
	if err != nil {
		return "", err
	}
	out, err := say("pdfsig", "-nssdir", db, s.file)
	var said []string
	for i, block := range strings.Split(out, "Signature #") {
		if i == 0 {
			continue
		}
		var words []string
		for line := range strings.Lines(block) {
			line = strings.TrimPrefix(strings.TrimSpace(line), "- ")
			for _, want := range []string{"Signature Validation:", "Certificate Validation:"} {
				if text, ok := strings.CutPrefix(line, want); ok {
					words = append(words, strings.TrimSpace(text))
				}
			}
			if strings.Contains(line, "otal document signed") {
				words = append(words, line)
			}
		}
		said = append(said, strings.Join(words, " "))
	}
	return strings.Join(said, "; "), err
}

func mutoolJudge(_ *world, _ *residents, s subject) (string, error) {
	out, err := say("mutool", "sign", "-v", s.file)
	var said []string
	for _, block := range regexp.MustCompile(`(?m)^Verifying signature \d+`).Split(out, -1) {
		// The certificate's error is always there: mutool cannot be given a root.
		l := distinguished.ReplaceAllString(lines(block), "")
		if l = strings.TrimLeft(l, ": "); l != "" {
			said = append(said, l)
		}
	}
	return strings.Join(said, "; "), err
}

var distinguished = regexp.MustCompile(`Distinguished name: .* Certificate error: [\w -]+\. `)

func qpdfJudge(_ *world, _ *residents, s subject) (string, error) {
	out, err := say("qpdf", "--check", s.file)
	return lines(out, "checking ", "PDF Version", "File is not encrypted", "File is linearized", "File is not linearized"), err
}

// pdfsignJudge may panic.
func pdfsignJudge(_ *world, _ *residents, s subject) (said string, err error) {
	defer func() {
		if p := recover(); p != nil {
			said, err = fmt.Sprintf("panics: %v", p), nil
		}
	}()
	data, err := os.ReadFile(s.file)
	if err != nil {
		return "", err
	}
	o := verify.DefaultVerifyOptions()
	o.EnableExternalRevocationCheck = false
	response, err := verify.VerifyWithOptions(bytes.NewReader(data), int64(len(data)), o)
	if err != nil {
		return err.Error(), nil
	}
	var all []string
	for _, one := range response.Signers {
		all = append(all, fmt.Sprintf("valid %v", one.ValidSignature))
	}
	return strings.Join(all, "; "), nil
}

func pkcs7Judge(w *world, _ *residents, s subject) (string, error) {
	parts := []part{{file: s.file, content: s.content}}
	if s.pdf() {
		var err error
		if parts, err = cut(s.file); err != nil {
			return "", err
		}
	}
	roots := x509.NewCertPool()
	pems, err := os.ReadFile(w.rootsPEM)
	if err != nil || !roots.AppendCertsFromPEM(pems) {
		return "", fmt.Errorf("roots: %w", err)
	}
	var said []string
	for _, p := range parts {
		data, err := os.ReadFile(p.file)
		if err != nil {
			return "", err
		}
		p7, err := pkcs7.Parse(data)
		if err == nil && p.content != "" && !p.stamp {
			p7.Content, err = os.ReadFile(p.content)
		}
		if err == nil {
			err = p7.VerifyWithChain(roots)
		}
		if err != nil {
			text, _, _ := strings.Cut(err.Error(), "\n") // digests follow
			said = append(said, text)
		} else {
			said = append(said, "verified")
		}
	}
	return strings.Join(said, "; "), nil
}
