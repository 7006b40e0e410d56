package demo

import (
	"bytes"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// subject is something that is judged.
type subject struct {
	title    string
	verdicts []verdict
}

// verdict is one row of the table: what one program must literally say, about each file where it is asked about several.
type verdict struct {
	judge    string
	commands [][]string
	want     []string // each must stand in the output
	never    []string // none may
	note     string   // before the words; empty: they speak for themselves
}

// verdicts is the table of judges. Files are relative to the directory of results.
func (d *demo) verdicts() []subject {
	certificates := func(args ...string) [][]string {
		return [][]string{append([]string{
			"openssl", "verify", "-CAfile", "judge/root.pem", "-untrusted", "judge/issuing.pem", "-CRLfile", "judge/crls.pem", "-crl_check_all",
		}, args...)}
	}
	detached := []string{
		"openssl", "cms", "-verify", "-cades", "-inform", "DER", "-in", "order.csv.p7s", "-content", "order.csv",
		"-binary", "-CAfile", "judge/root.pem", "-purpose", "any", "-out", "/dev/null",
	}
	return []subject{
		{"contract.signed.pdf: ECDSA, PAdES B-B", d.pdf(false, "contract.signed.pdf")},
		{"agreement.pdf: sealed by the service when Olena had accepted it", d.pdf(false, "agreement.pdf")},
		{"order.csv.p7s: ECDSA, CAdES B-B", []verdict{
			{judge: "openssl cms -cades", commands: [][]string{detached}, want: []string{"CAdES Verification successful"}},
			{
				judge: "ecsigner verify", want: []string{"signature valid", "mozilla pkcs7: valid"}, never: []string{"INVALID"},
				commands: [][]string{{d.Program, "verify", "--root", "root.cer", "--content", "order.csv", "order.csv.p7s"}},
			},
		}},
		{"invoice.txt.sig: ECDSA, raw", []verdict{{
			judge: "openssl dgst", want: []string{"Verified OK"},
			commands: [][]string{{"openssl", "dgst", "-sha256", "-verify", "judge/certificate.key", "-signature", "invoice.txt.sig", "invoice.txt"}},
		}}},
		{
			"annex-1.signed.pdf, annex-2.signed.pdf: RSA-PSS, revoked since, their signatures still intact",
			d.pdf(true, "annex-1.signed.pdf", "annex-2.signed.pdf"),
		},
		{"certificates and revocation lists", []verdict{
			{judge: "openssl verify", commands: certificates("judge/certificate.pem"), want: []string{"certificate.pem: OK"}},
			{judge: "openssl verify", commands: certificates("judge/certificate-rsa.pem"), want: []string{"certificate revoked"}, never: []string{": OK"}, note: "the second: "},
			{
				judge: "openssl crl", want: []string{"verify OK", "Serial Number: " + strings.ToUpper(d.serial), "Cessation Of Operation"},
				commands: [][]string{{"openssl", "crl", "-inform", "DER", "-in", "issuing.crl", "-CAfile", "judge/issuing.pem", "-noout", "-verify", "-text"}},
			},
			{
				judge: "zlint, own rules", want: []string{"no finding"}, never: []string{"findings"},
				commands: [][]string{
					{d.Program, "verify", "--config", d.server.path("ecsigner.yaml"), "certificate.cer", "issuing.cer", "root.cer"},
					{d.Program, "verify", "--config", d.server.path("ecsigner.yaml"), "certificate-rsa.cer", "issuing.cer", "root.cer"},
				},
			},
		}},
		{"log, receipts of all signatures", []verdict{{
			judge: "ecsigner audit", commands: [][]string{{d.Program, "audit", "verify", "--key", "log.vkey", "log"}},
			want: []string{"receipts  5 verified", "the log is whole", "0 findings"},
		}}},
	}
}

// pdf is what everybody must say about signed PDFs. Some programs know no RSA-PSS; their words are in the table, too.
func (d *demo) pdf(pss bool, files ...string) []verdict {
	each := func(command func(file string) []string) (all [][]string) {
		for _, f := range files {
			all = append(all, command(f))
		}
		return all
	}
	mutool := verdict{
		judge: "mutool sign -v", want: []string{"The document is unchanged since signing."}, never: []string{"\nerror:", "warning:", "edits since"},
		commands: each(func(f string) []string { return []string{"mutool", "sign", "-v", f} }),
	}
	own := verdict{
		judge: "ecsigner verify", want: []string{"signature valid", "whole file", "pdfsign: valid", "mozilla pkcs7: valid"}, never: []string{"INVALID"},
		commands: each(func(f string) []string { return []string{d.Program, "verify", "--root", "root.cer", f} }),
	}
	if pss {
		mutool.want, mutool.note = []string{"Digest error: Unknown error."}, "knows no RSA-PSS: "
		own.want = []string{"signature valid", "whole file", "pdfsign: cannot judge RSA-PSS", "mozilla pkcs7: cannot judge RSA-PSS"}
	}
	return []verdict{
		{
			judge: "pdfsig", want: []string{"Signature is Valid.", "Certificate is Trusted."}, never: []string{"Not total document signed"},
			commands: each(func(f string) []string { return []string{"pdfsig", "-nssdir", "sql:judge/nss", f} }),
		},
		mutool,
		{
			judge: "qpdf --check", want: []string{"No syntax or stream encoding errors found"}, never: []string{"WARNING"},
			commands: each(func(f string) []string { return []string{"qpdf", "--check", f} }),
		},
		{
			judge: "openssl cms -cades", want: []string{"CAdES Verification successful"},
			commands: each(func(f string) []string {
				return []string{
					"openssl", "cms", "-verify", "-cades", "-inform", "DER", "-in", "judge/" + f + ".p7s", "-content", "judge/" + f + ".signed",
					"-binary", "-CAfile", "judge/root.pem", "-purpose", "any", "-out", "/dev/null",
				}
			}),
		},
		own,
	}
}

// judge asks every program and prints the table. Any deviation is an error.
func (d *demo) judge() error {
	d.print.step("Programs that nobody here wrote, and our own, judge the results: their words")
	if err := d.prepareJudges(); err != nil {
		return err
	}
	return d.hear(append(d.verdicts(), d.ofLevels()...))
}

func (d *demo) hear(subjects []subject) error {
	var failed []error
	for _, s := range subjects {
		d.print.line("\n   %s", s.title)
		for _, v := range s.verdicts {
			said := ""
			for _, command := range v.commands {
				cmd := exec.CommandContext(d.ctx, command[0], command[1:]...)
				cmd.Dir = d.Out
				out, _ := cmd.CombinedOutput() // what it says decides
				var err error
				if said, err = v.hold(string(out)); err != nil {
					failed = append(failed, fmt.Errorf("%s objects to %s (%s):\n%s", v.judge, s.title, strings.Join(command, " "), out))
					break
				}
			}
			d.print.line("     %-18s  %s", v.judge, said)
		}
	}
	return errors.Join(failed...)
}

// hold compares what a judge said with what it must say.
func (v verdict) hold(output string) (string, error) {
	for _, w := range v.want {
		if !strings.Contains(output, w) {
			return "OBJECTS: no \"" + w + "\"", errors.New(w)
		}
	}
	for _, n := range v.never {
		if strings.Contains(output, n) {
			return "OBJECTS: \"" + n + "\"", errors.New(n)
		}
	}
	return v.note + strings.Join(v.want, " · "), nil
}

// prepareJudges brings the results into the forms that the programs read.
func (d *demo) prepareJudges() error {
	if err := os.MkdirAll(filepath.Join(d.Out, "judge", "nss"), 0o755); err != nil {
		return err
	}
	for _, f := range []string{"root", "issuing", "certificate", "certificate-rsa"} {
		if err := d.pem("CERTIFICATE", "judge/"+f+".pem", f+".cer"); err != nil {
			return err
		}
	}
	if err := d.pem("X509 CRL", "judge/crls.pem", "issuing.crl", "root.crl"); err != nil {
		return err
	}
	for _, command := range [][]string{
		{"certutil", "-N", "-d", "sql:judge/nss", "--empty-password"},
		{"certutil", "-A", "-d", "sql:judge/nss", "-n", "root", "-t", "CT,C,C", "-i", "judge/root.pem"},
		{"openssl", "x509", "-in", "judge/certificate.pem", "-noout", "-pubkey", "-out", "judge/certificate.key"},
	} {
		cmd := exec.CommandContext(d.ctx, command[0], command[1:]...)
		cmd.Dir = d.Out
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", strings.Join(command, " "), err, out)
		}
	}
	for _, f := range []string{"contract.signed.pdf", "agreement.pdf", "annex-1.signed.pdf", "annex-2.signed.pdf"} {
		if err := d.cut(f); err != nil {
			return err
		}
	}
	return nil
}

// pem writes DER files as one PEM file.
func (d *demo) pem(kind, to string, from ...string) error {
	var out []byte
	for _, f := range from {
		b, err := os.ReadFile(filepath.Join(d.Out, f))
		if err != nil {
			return err
		}
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b})...)
	}
	return d.keep(to, out)
}

// cut takes the CMS and the signed bytes out of a PDF, by nothing but its text, for judges that read no PDF.
func (d *demo) cut(file string) error {
	b, err := os.ReadFile(filepath.Join(d.Out, file))
	if err != nil {
		return err
	}
	all := regexp.MustCompile(`/ByteRange\s*\[\s*(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s*\]`).FindAllSubmatch(b, -1)
	if len(all) == 0 {
		return fmt.Errorf("%s holds no signature", file)
	}
	var r [4]int
	for i := range r {
		if r[i], err = strconv.Atoi(string(all[len(all)-1][i+1])); err != nil {
			return err
		}
	}
	if r[0] != 0 || r[1] > r[2] || r[2]+r[3] != len(b) {
		return fmt.Errorf("%s: the byte range %v does not cover the file of %d bytes", file, r, len(b))
	}
	contents := bytes.Trim(b[r[1]:r[2]], "<>\r\n ")
	cms := make([]byte, hex.DecodedLen(len(contents)))
	if _, err := hex.Decode(cms, contents); err != nil {
		return fmt.Errorf("%s: contents: %w", file, err)
	}
	return errors.Join(
		d.keep("judge/"+file+".p7s", cms),
		d.keep("judge/"+file+".signed", append(bytes.Clone(b[:r[1]]), b[r[2]:]...)),
	)
}
