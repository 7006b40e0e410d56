// Package demo shows the whole way once: it sets an installation up, serves it, and then is the portal, the identity
// provider, the document system and the person with the phone, each over the real interface. At the end programs that
// nobody here wrote say what they think of the results.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/client"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
)

// Options of one run.
type Options struct {
	Program string // path of the ecsigner binary
	Out     string // where the results stay; empty: nowhere
	File    string // the PDF to sign
	Writer  io.Writer
}

// Run shows everything and returns an error if any step fails or any judge objects.
func Run(ctx context.Context, o Options) (err error) {
	start := time.Now()
	work, err := os.MkdirTemp("", "ecsigner-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	if o.Out == "" {
		o.Out = filepath.Join(work, "out")
	}
	if err := emptyDir(o.Out); err != nil {
		return err
	}
	d := &demo{Options: o, ctx: ctx, work: work, print: newPrinter(o.Writer)}
	defer func() { err = errors.Join(err, d.close()) }()
	d.print.title("ECSigner: from a voucher to signatures that others accept")
	d.print.line("A test: the HSM is SoftHSM, the CA's names start with TEST, and its claim that keys are in a qualified device is made")
	d.print.line("for this test only. Every call goes over the real interface. ✉ is what arrives on a phone, in uk, pl or en.")
	for _, chapter := range []struct {
		title string
		steps []func() error
	}{
		{"A trust service opens", []func() error{d.setUp, d.addClients}},
		{"Olena Kovalchuk gets a certificate", []func() error{d.redeemVoucher, d.giveData, d.proveIdentity, d.acceptAgreement}},
		{"Andrii Melnyk gets none", []func() error{d.rejectIdentity}},
		{"Olena signs", []func() error{d.grantAccess, d.signContract, d.signHash, d.signLevels, d.wrongCode}},
		{"Olena signs two documents under one code, with an RSA key", []func() error{d.enrolRSA, d.signBoth}},
		{"Olena gives the second certificate up", []func() error{d.revoke, d.refused}},
		{"What is left to others", []func() error{d.collect, d.judge}},
	} {
		d.print.chapter(chapter.title)
		for _, step := range chapter.steps {
			if err := step(); err != nil {
				return err
			}
		}
	}
	d.print.end()
	d.print.line("\nAll agree. The demo took %.1f s. Results: %s", time.Since(start).Seconds(), d.results())
	return nil
}

// emptyDir makes a directory for the results; it never writes between somebody's files.
func emptyDir(dir string) error {
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return fmt.Errorf("%s is not empty; choose a new directory for the results", dir)
	}
	return os.MkdirAll(dir, 0o755)
}

// demo is the state of one run.
type demo struct {
	Options
	ctx    context.Context
	work   string
	print  printer
	server *server

	operator, portal, identity, documents, auditor *client.Conn

	olena      enrolment // of the first certificate
	credential string    // ECDSA P-256
	rsa        string    // RSA-3072
	serial     string    // of the RSA certificate, in hex
}

func (d *demo) setUp() error {
	d.print.step("The operator makes an installation and starts it")
	var err error
	d.server, err = start(d.ctx, d.Program, d.work, d.print)
	if err != nil {
		return err
	}
	d.operator, err = client.Dial(d.server.path("clients/operator"))
	return err
}

func (d *demo) addClients() error {
	d.print.step("The operator adds four clients, each with a certificate for one role")
	for _, c := range []struct {
		name, display string
		role          pb.Role
		conn          **client.Conn
	}{
		{"portal", "Portal of Example Trust Services", pb.Role_ROLE_PORTAL, &d.portal},
		{"identity", "Identity proofing by mobile app", pb.Role_ROLE_IDENTITY, &d.identity},
		{"contracts", "Договори Онлайн", pb.Role_ROLE_DOCUMENTS, &d.documents},
		{"auditor", "Auditor", pb.Role_ROLE_AUDITOR, &d.auditor},
	} {
		key, csr, err := client.NewKey(c.name)
		if err != nil {
			return err
		}
		a, err := d.operator.Admin.CreateClient(d.ctx, &pb.CreateClientRequest{
			RequestId: client.RequestID(), Name: c.name, DisplayName: c.display, Role: c.role, Csr: csr,
		})
		if err != nil {
			return err
		}
		chain, dir := a.GetCertificateChain(), d.server.path("clients", c.name)
		if err := client.WriteProfile(dir, d.server.address, key, chain, chain[len(chain)-1]); err != nil {
			return err
		}
		if *c.conn, err = client.Dial(dir); err != nil {
			return err
		}
		d.print.item(c.name, c.display)
	}
	return nil
}

// results says where they are.
func (d *demo) results() string {
	if d.Out == filepath.Join(d.work, "out") {
		return "not kept (keep them with --out DIR)"
	}
	return d.Out
}

// keep writes one result.
func (d *demo) keep(name string, content []byte) error {
	path := filepath.Join(d.Out, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o644)
}

func (d *demo) close() error {
	var err error
	for _, c := range []*client.Conn{d.operator, d.portal, d.identity, d.documents, d.auditor} {
		if c != nil {
			err = errors.Join(err, c.Close())
		}
	}
	if d.server != nil {
		err = errors.Join(err, d.server.stop())
	}
	return err
}
