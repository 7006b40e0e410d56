package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/client"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/config"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
)

// DocumentSchema names the form of the JSON report on one large document.
const DocumentSchema = "ecsigner-bench-document/1"

// DocumentOptions of a run with one large document.
type DocumentOptions struct {
	Program  string // path of the ecsigner binary that is measured
	JSON     bool
	Size     int64 // of the PDF, in bytes
	Pairs    int   // how often it is signed, and the same bytes are hashed and transferred
	Writer   io.Writer
	Progress io.Writer
}

// Bounds of a document: a PDF needs some bytes, and a signed one must stay below ten digits (pdf.MaxSize).
const (
	minDocument = 100_000
	maxDocument = 9_999_000_000
	maxPairs    = 100
)

// DocumentReport is what signing a large PDF costs the service beside hashing and transferring the same bytes.
type DocumentReport struct {
	Schema        string         `json:"schema"`
	Started       time.Time      `json:"started"`
	Machine       Machine        `json:"machine"`
	Bytes         int64          `json:"bytes"`
	IdleMegabytes float64        `json:"idle_megabytes"` // resident memory of the service before, with a small PDF signed
	Pairs         []DocumentPair `json:"pairs"`
	Ratio         float64        `json:"ratio"`                // median of the pairs'
	AboveIdle     float64        `json:"above_idle_megabytes"` // median of the pairs'
}

// DocumentPair is one signature and what it is compared with, taken one after the other.
type DocumentPair struct {
	Seconds       float64 `json:"seconds"`            // from the upload to the signed tail
	ServerCPU     float64 `json:"server_cpu_seconds"` // of the service for all that
	PeakMegabytes float64 `json:"peak_megabytes"`     // most resident memory of the service meanwhile
	SHA256CPU     float64 `json:"sha256sum_cpu_seconds"`
	TransferCPU   float64 `json:"transfer_cpu_seconds"` // of a process that receives the file over TLS 1.3 and drops it
	Ratio         float64 `json:"ratio"`                // server CPU to the sum of both
}

// RunDocument has a large PDF signed (PAdES B-B: uploaded, prepared, authorised, tail fetched) and compares.
func RunDocument(ctx context.Context, o DocumentOptions) (err error) {
	if o.Size < minDocument || o.Size > maxDocument || o.Pairs < 1 || o.Pairs > maxPairs {
		return fmt.Errorf("%w: a document has %d to %d bytes, pairs are 1 to %d", ErrOptions, minDocument, maxDocument, maxPairs)
	}
	work, err := os.MkdirTemp("", "ecsigner-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	d := &documentRun{DocumentOptions: o, work: work, run: &run{
		Options: Options{Program: o.Program, Algorithms: []string{ECDSAP256}, Persons: 1, Progress: o.Progress}, work: work,
	}}
	d.report = DocumentReport{Schema: DocumentSchema, Started: time.Now().UTC().Truncate(time.Second), Bytes: o.Size}
	if err := d.measure(ctx); err != nil {
		return err
	}
	if o.JSON {
		e := json.NewEncoder(o.Writer)
		e.SetIndent("", "  ")
		return e.Encode(d.report)
	}
	return d.report.WriteMarkdown(o.Writer)
}

type documentRun struct {
	DocumentOptions
	work   string
	report DocumentReport
	run    *run
}

func (d *documentRun) measure(ctx context.Context) (err error) {
	r := d.run
	r.say("making a PDF of %d bytes and an installation in %s", d.Size, d.work)
	large, small := filepath.Join(d.work, "large.pdf"), filepath.Join(d.work, "small.pdf")
	if err := errors.Join(WritePDF(large, d.Size), WritePDF(small, minDocument)); err != nil {
		return err
	}
	if r.server, err = initialise(ctx, d.Program, filepath.Join(d.work, "installation")); err != nil {
		return err
	}
	if err := allowDocument(r.server.path("ecsigner.yaml"), d.Size); err != nil {
		return err
	}
	cfg, err := config.Load(r.server.path("ecsigner.yaml"))
	if err != nil {
		return err
	}
	if d.report.Machine, err = describe(ctx, d.Program, cfg.HSM.Module, d.work); err != nil {
		return err
	}
	return r.served(ctx, func() error {
		if _, err := d.sign(ctx, small); err != nil {
			return err
		}
		if d.report.IdleMegabytes, err = r.server.memory("VmRSS:"); err != nil {
			return err
		}
		for i := range d.Pairs {
			r.say("pair %d of %d", i+1, d.Pairs)
			if err := d.pair(ctx, large, i%2 == 0); err != nil {
				return err
			}
		}
		d.report.relate()
		return nil
	})
}

// pair signs and compares, in one order and then in the other, so that a drift of the machine favours neither.
func (d *documentRun) pair(ctx context.Context, path string, signFirst bool) error {
	var p DocumentPair
	sign := func() (err error) {
		p, err = d.sign(ctx, path)
		return err
	}
	var hash, transfer time.Duration
	compare := func() (err error) {
		if hash, err = usedBy(exec.CommandContext(ctx, "sha256sum", path)); err != nil {
			return err
		}
		transfer, err = transferCPU(ctx, d.Program, path)
		return err
	}
	steps := []func() error{sign, compare}
	if !signFirst {
		slices.Reverse(steps)
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	p.SHA256CPU, p.TransferCPU = round(hash.Seconds(), 2), round(transfer.Seconds(), 2)
	p.Ratio = round(p.ServerCPU/(hash+transfer).Seconds(), 2)
	d.report.Pairs = append(d.report.Pairs, p)
	return nil
}

// sign has one PDF signed and tells what it cost the service.
func (d *documentRun) sign(ctx context.Context, path string) (p DocumentPair, err error) {
	r := d.run
	if err := r.server.resetPeak(); err != nil {
		return p, err
	}
	cpu, err := r.server.cpu()
	if err != nil {
		return p, err
	}
	start := time.Now()
	if err := d.signed(ctx, path); err != nil {
		return p, err
	}
	p.Seconds = round(time.Since(start).Seconds(), 2)
	used, err := r.server.cpu()
	if err != nil {
		return p, err
	}
	p.ServerCPU = round((used - cpu).Seconds(), 2)
	p.PeakMegabytes, err = r.server.memory("VmHWM:")
	return p, err
}

// signed is the way of a document system with one PDF: upload, operation, code, signature, tail, acknowledgement.
func (d *documentRun) signed(ctx context.Context, path string) (err error) {
	r := d.run
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	doc, err := r.clients.documents.Upload(ctx, filepath.Base(path), f, func(int64) {})
	if err != nil {
		return fmt.Errorf("uploading: %w", err)
	}
	r.rows++
	title := fmt.Sprintf("bench-%d-1", r.rows)
	key := signKey(title)
	text := r.phone.expect(key)
	c, err := r.clients.documents.Signing.CreateSigningOperation(ctx, &pb.CreateSigningOperationRequest{
		RequestId: client.RequestID(), CredentialId: r.credentials[ECDSAP256][0], Title: title, Language: "en",
		Items: []*pb.SigningItemRequest{{
			Source: &pb.SigningItemRequest_DocumentId{DocumentId: doc.GetId()}, Format: pb.SignatureFormat_SIGNATURE_FORMAT_PADES_B_B,
		}},
	})
	if err != nil {
		return fmt.Errorf("creating an operation: %w", err)
	}
	code, err := r.phone.wait(ctx, key, text)
	if err != nil {
		return err
	}
	id := c.GetOperation().GetId()
	if _, err := r.clients.documents.Signing.AuthorizeSigningOperation(ctx, &pb.AuthorizeSigningOperationRequest{
		RequestId: client.RequestID(), OperationId: id, Code: code,
	}); err != nil {
		return fmt.Errorf("authorising: %w", err)
	}
	if _, err := r.clients.documents.Download(ctx, id, 0, pb.ArtifactContent_ARTIFACT_CONTENT_TAIL, io.Discard); err != nil {
		return fmt.Errorf("fetching the tail: %w", err)
	}
	_, err = r.clients.documents.Signing.CompleteSigningOperation(ctx, &pb.CompleteSigningOperationRequest{
		RequestId: client.RequestID(), OperationId: id,
	})
	return err
}

func (r *DocumentReport) relate() {
	var ratios, above []float64
	for _, p := range r.Pairs {
		ratios, above = append(ratios, p.Ratio), append(above, p.PeakMegabytes-r.IdleMegabytes)
	}
	r.Ratio, r.AboveIdle = median(ratios), round(median(above), 1)
}

// median of an even number of values is the greater of the two in the middle: the worse one.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(values))[len(values)/2]
}

// WriteMarkdown writes the report as tables for people.
func (r *DocumentReport) WriteMarkdown(w io.Writer) error {
	m := r.Machine
	var rows [][]string
	for i, p := range r.Pairs {
		rows = append(rows, []string{
			fmt.Sprint(i + 1), figure(p.ServerCPU), figure(p.SHA256CPU), figure(p.TransferCPU), fmt.Sprintf("%.2f", p.Ratio),
			fmt.Sprintf("%.1f", p.PeakMegabytes-r.IdleMegabytes), figure(p.Seconds),
		})
	}
	rows = append(rows, []string{"median", "", "", "", fmt.Sprintf("%.2f", r.Ratio), fmt.Sprintf("%.1f", r.AboveIdle), ""})
	_, err := io.WriteString(w, strings.Join([]string{
		table([]string{"Taken on", ""}, [][]string{
			{"program", m.Program + ", " + m.Go + ", " + r.Started.Format("2006-01-02")},
			{"machine", fmt.Sprintf("%s, %d cores, load %.2f before the run, %s", m.CPU, m.Cores, m.Load, m.OS)},
			{"document", fmt.Sprintf("PDF of %d bytes, PAdES B-B", r.Bytes)},
			{"idle", fmt.Sprintf("%.1f MB resident, a small PDF signed before", r.IdleMegabytes)},
		}),
		table([]string{"Pair", "server CPU s", "sha256sum CPU s", "transfer CPU s", "ratio", "MB above idle", "s in all"}, rows),
	}, "\n\n")+"\n")
	return err
}
