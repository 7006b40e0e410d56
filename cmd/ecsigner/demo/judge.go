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

// verdict is one row of the table: what one program must literally say about one artefact.
type verdict struct {
	artefact string
	judge    string
	command  []string
	want     []string // each must stand in the output
	never    []string // none may
}

// verdicts is the table of judges. Files are relative to the directory of results.
func (d *demo) verdicts() []verdict {
	own := []string{"signature valid", "whole file", "pdfsign: valid", "mozilla pkcs7: valid"}
	pdf := func(file string) []verdict {
		return []verdict{
			{file, "pdfsig", []string{"pdfsig", "-nssdir", "sql:judge/nss", file}, []string{"Signature is Valid.", "Certificate is Trusted."}, []string{"Not total document signed"}},
			{file, "mutool sign -v", []string{"mutool", "sign", "-v", file}, []string{"The document is unchanged since signing."}, []string{"\nerror:", "warning:", "edits since"}},
			{file, "qpdf --check", []string{"qpdf", "--check", file}, []string{"No syntax or stream encoding errors found"}, []string{"WARNING"}},
			{file, "openssl cms -cades", []string{
				"openssl", "cms", "-verify", "-cades", "-inform", "DER", "-in", "judge/" + file + ".p7s", "-content", "judge/" + file + ".signed",
				"-binary", "-CAfile", "judge/root.pem", "-purpose", "any", "-out", "/dev/null",
			}, []string{"CAdES Verification successful"}, nil},
			{file, "ecsigner verify", []string{d.Program, "verify", "--root", "root.cer", file}, own, []string{"INVALID"}},
		}
	}
	rows := append(pdf("contract.signed.pdf"), pdf("agreement.pdf")...)
	return append(rows,
		verdict{"order.csv.p7s", "openssl cms -cades", []string{
			"openssl", "cms", "-verify", "-cades", "-inform", "DER", "-in", "order.csv.p7s", "-content", "order.csv",
			"-binary", "-CAfile", "judge/root.pem", "-purpose", "any", "-out", "/dev/null",
		}, []string{"CAdES Verification successful"}, nil},
		verdict{
			"order.csv.p7s", "ecsigner verify",
			[]string{d.Program, "verify", "--root", "root.cer", "--content", "order.csv", "order.csv.p7s"},
			[]string{"signature valid", "mozilla pkcs7: valid"},
			[]string{"INVALID"},
		},
		verdict{"certificate", "openssl verify", []string{
			"openssl", "verify", "-CAfile", "judge/root.pem", "-untrusted", "judge/issuing.pem", "-CRLfile", "judge/crls.pem",
			"-crl_check_all", "judge/certificate.pem",
		}, []string{"judge/certificate.pem: OK"}, nil},
		verdict{
			"issuing.crl", "openssl crl",
			[]string{"openssl", "crl", "-inform", "DER", "-in", "issuing.crl", "-CAfile", "judge/issuing.pem", "-noout", "-verify"},
			[]string{"verify OK"},
			nil,
		},
		verdict{
			"certificates", "zlint, own rules",
			[]string{d.Program, "verify", "--config", d.server.path("ecsigner.yaml"), "certificate.cer", "issuing.cer", "root.cer"},
			[]string{"certificate.cer: no finding", "issuing.cer: no finding", "root.cer: no finding"},
			nil,
		},
		verdict{
			"log, receipts", "ecsigner audit",
			[]string{d.Program, "audit", "verify", "--key", "log.vkey", "log"},
			[]string{"the log is whole", "0 findings"},
			nil,
		},
	)
}

// judge asks every program and prints the table. Any deviation is an error.
func (d *demo) judge() error {
	d.print.step("Programs that nobody here wrote judge the results")
	if err := d.prepareJudges(); err != nil {
		return err
	}
	d.print.line("\n   %-20s %-19s %s", "artefact", "judge", "verdict")
	d.print.line("   %s", strings.Repeat("-", 84))
	var failed []error
	for _, v := range d.verdicts() {
		cmd := exec.CommandContext(d.ctx, v.command[0], v.command[1:]...)
		cmd.Dir = d.Out
		out, _ := cmd.CombinedOutput() // what it says decides
		said, err := v.hold(string(out))
		d.print.line("   %-20s %-19s %s", v.artefact, v.judge, said)
		if err != nil {
			failed = append(failed, fmt.Errorf("%s objects to %s:\n%s", v.judge, v.artefact, out))
		}
	}
	if err := errors.Join(failed...); err != nil {
		return err
	}
	d.print.line("\n   All agree. Results: %s", d.results())
	return nil
}

func (d *demo) results() string {
	if strings.HasPrefix(d.Out, d.work) {
		return "not kept (keep them with --out DIR)"
	}
	return d.Out
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
	said := strings.Join(v.want, " · ")
	if len([]rune(said)) > 72 {
		said = string([]rune(said)[:71]) + "…"
	}
	return said, nil
}

// prepareJudges brings the results into the forms that the programs read.
func (d *demo) prepareJudges() error {
	if err := os.MkdirAll(filepath.Join(d.Out, "judge", "nss"), 0o755); err != nil {
		return err
	}
	for _, f := range []string{"root", "issuing", "certificate"} {
		if err := d.pem("CERTIFICATE", "judge/"+f+".pem", f+".cer"); err != nil {
			return err
		}
	}
	if err := d.pem("X509 CRL", "judge/crls.pem", "issuing.crl", "root.crl"); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"-N", "-d", "sql:judge/nss", "--empty-password"},
		{"-A", "-d", "sql:judge/nss", "-n", "root", "-t", "CT,C,C", "-i", "judge/root.pem"},
	} {
		cmd := exec.CommandContext(d.ctx, "certutil", args...)
		cmd.Dir = d.Out
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("certutil: %w\n%s", err, out)
		}
	}
	for _, f := range []string{"contract.signed.pdf", "agreement.pdf"} {
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
