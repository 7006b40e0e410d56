package demo

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
)

// levels above B-B, in their order, as files are named after them.
func levels() []named {
	return []named{
		{"B-T", pb.SignatureLevel_SIGNATURE_LEVEL_B_T},
		{"B-LT", pb.SignatureLevel_SIGNATURE_LEVEL_B_LT},
		{"B-LTA", pb.SignatureLevel_SIGNATURE_LEVEL_B_LTA},
	}
}

type named struct {
	name  string
	level pb.SignatureLevel
}

// authority is the time-stamping authority of the demonstration, a process of its own.
type authority struct{ cmd *exec.Cmd }

// startAuthority starts it and tells the installation in dir of it.
func startAuthority(ctx context.Context, program, dir string, p printer) (*authority, error) {
	cmd := exec.CommandContext(ctx, program, "demo-tsa", "--listen", "127.0.0.1:0", "--root", filepath.Join(dir, "demo-tsa.pem"))
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	a := &authority{cmd}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, errors.Join(err, a.stop())
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	_, url, _ := strings.Cut(line, " at ")
	url, _, _ = strings.Cut(url, ",")
	port := url[strings.LastIndexByte(url, ':')+1:]
	file := filepath.Join(dir, "ecsigner.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, errors.Join(err, a.stop())
	}
	changed := strings.NewReplacer(
		"authorities: []", fmt.Sprintf("authorities: [{name: demo, url: %q, trust_file: demo-tsa.pem}]", url),
		"  hosts: []", "  hosts: [127.0.0.1]", "ports: [80, 443]", "ports: ["+port+"]", "inside: []", "inside: [127.0.0.0/8]",
	).Replace(string(text))
	p.item("time-stamps", "an authority for demonstrations, no trust service, on loopback")
	return a, os.WriteFile(file, []byte(changed), 0o600)
}

func (a *authority) stop() error {
	if a == nil {
		return nil
	}
	return errors.Join(a.cmd.Process.Signal(syscall.SIGTERM), a.cmd.Wait())
}

func (d *demo) signLevels() error {
	d.print.step("The same contract and order are signed for the long term: one code, PAdES and CAdES at B-B, then B-T, B-LT, B-LTA")
	content, err := os.ReadFile(d.File)
	if err != nil {
		return err
	}
	item, err := d.upload(filepath.Base(d.File), content)
	if err != nil {
		return err
	}
	hash := hashed(order, pb.SignatureFormat_SIGNATURE_FORMAT_CADES_B_B)
	item.Level, hash.Level = pb.SignatureLevel_SIGNATURE_LEVEL_B_LTA, pb.SignatureLevel_SIGNATURE_LEVEL_B_LTA
	o, err := d.sign("levels", d.credential, "uk", "Договір і замовлення, на довгий час", item, hash)
	if err != nil {
		return err
	}
	start := time.Now()
	if o, err = d.watch(o.GetId()); err != nil {
		return err
	}
	for _, it := range o.GetItems() {
		for _, l := range it.GetLevels() {
			if l.GetState() != pb.LevelState_LEVEL_STATE_READY {
				return fmt.Errorf("%v is %v: %s", l.GetLevel(), l.GetState(), l.GetReason())
			}
		}
	}
	d.print.item("raised", fmt.Sprintf("six artefacts, %.0f ms after the signature, which keeps its bytes; the key signed once for each item", float64(time.Since(start).Milliseconds())))
	for _, l := range levels() {
		for i, name := range []string{"contract.", "order."} {
			var b bytes.Buffer
			h, err := d.documents.DownloadLevel(d.ctx, o.GetId(), uint32(i), l.level, pb.ArtifactContent_ARTIFACT_CONTENT_FULL, &b) //nolint:gosec // 0 or 1
			if err != nil {
				return err
			}
			if h.GetLevel() != l.level {
				return fmt.Errorf("asked for %v, got %v", l.level, h.GetLevel())
			}
			end := ".pdf"
			if i == 1 {
				end = ".p7s"
			}
			if err := d.keep(name+l.name+end, b.Bytes()); err != nil {
				return err
			}
		}
	}
	return nil
}

// watch follows an operation until all its levels are ready or given up.
func (d *demo) watch(id string) (*pb.SigningOperation, error) {
	ctx, cancel := context.WithTimeout(d.ctx, time.Minute)
	defer cancel()
	s, err := d.documents.Signing.WatchSigningOperation(ctx, &pb.WatchSigningOperationRequest{OperationId: id})
	if err != nil {
		return nil, err
	}
	var last *pb.SigningOperation
	for {
		m, err := s.Recv()
		if errors.Is(err, io.EOF) && last != nil {
			return last, nil
		}
		if err != nil {
			return nil, err
		}
		last = m.GetOperation()
	}
}

// ofLevels is what the programs must say about the levels.
func (d *demo) ofLevels() []subject {
	var all []subject
	for _, l := range levels() {
		file, cms := "contract."+l.name+".pdf", "order."+l.name+".p7s"
		all = append(all, subject{file + ", " + cms + ": PAdES and CAdES " + l.name, []verdict{
			{judge: "pdfsig", commands: [][]string{{"pdfsig", "-nssdir", "sql:judge/nss", file}}, want: []string{"Signature is Valid.", "Certificate is Trusted."}},
			{
				judge: "qpdf --check", commands: [][]string{{"qpdf", "--check", file}}, want: []string{"No syntax or stream encoding errors found"},
				never: []string{"WARNING"},
			},
			{
				judge: "ecsigner verify", want: []string{"level     PAdES " + l.name, "signature valid", "pdfsign: valid", "mozilla pkcs7: valid"}, never: []string{"INVALID"},
				commands: [][]string{{d.Program, "verify", "--root", "root.cer", file}},
			},
			{
				judge: "openssl cms -cades", want: []string{"CAdES Verification successful"},
				commands: [][]string{{
					"openssl", "cms", "-verify", "-cades", "-inform", "DER", "-in", cms, "-content", "order.csv", "-binary",
					"-CAfile", "judge/root.pem", "-purpose", "any", "-out", "/dev/null",
				}},
			},
		}})
	}
	return all
}
