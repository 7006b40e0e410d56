package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/client"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"github.com/spf13/cobra"
	"golang.org/x/term"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// explain turns an error into what a person reads: for an error of the server its sentence, reason, field and remedy.
func explain(err error) string {
	var remote interface{ GRPCStatus() *status.Status }
	if !errors.As(err, &remote) {
		return err.Error()
	}
	s := remote.GRPCStatus()
	text := s.Message()
	for _, d := range s.Details() {
		switch d := d.(type) {
		case *errdetails.BadRequest:
			for _, v := range d.GetFieldViolations() {
				text += fmt.Sprintf("\n  field %s: %s", v.GetField(), v.GetDescription())
			}
		case *errdetails.LocalizedMessage:
			text += "\n  " + d.GetMessage()
		case *errdetails.ErrorInfo:
			text += "\n  reason: " + d.GetReason()
		}
	}
	return text
}

// with runs f with a connection of the profile in dir.
func with(dir string, f func(*client.Conn) error) error {
	if dir == "" {
		return errors.New("who calls? name the client's profile directory with --client or in ECSIGNER_CLIENT")
	}
	c, err := client.Dial(dir)
	if err != nil {
		return err
	}
	return errors.Join(f(c), c.Close())
}

// profile adds the flag that names the client's profile directory.
func profile(c *cobra.Command, dir *string) {
	c.Flags().StringVar(dir, "client", os.Getenv("ECSIGNER_CLIENT"), "profile directory of this client, by default that in ECSIGNER_CLIENT")
	_ = c.MarkFlagDirname("client")
}

func voucherCommand() *cobra.Command {
	var dir, product string
	var years, count uint32
	var days int
	create := &cobra.Command{
		Use: "create", Short: "Create vouchers and print their codes, which are shown this once",
		Long: `create makes vouchers and prints the code of each on a line of its own. The engine keeps only hashes: what is lost
here is lost. What they pay for are the products of the configuration. The client must be an operator.`,
		Example: `  ecsigner voucher create --years 2 --count 10 --days 90
  ecsigner voucher create --product qes-org-1y`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("product") && years == 0 {
				years = 1
			}
			return with(dir, func(c *client.Conn) error {
				r, err := c.Admin.CreateVouchers(cmd.Context(), &pb.CreateVouchersRequest{
					RequestId: client.RequestID(), Product: product, Years: years, Count: count,
					ExpireTime: timestamppb.New(time.Now().AddDate(0, 0, days)),
				})
				for _, code := range r.GetCodes() {
					fmt.Fprintln(cmd.OutOrStdout(), code)
				}
				return err
			})
		},
	}
	profile(create, &dir)
	create.Flags().StringVar(&product, "product", "qes", "product of the catalogue, such as qes-org-2y; without its ending -Ny it takes --years")
	create.Flags().Uint32Var(&years, "years", 0, "longest validity of the certificate: 1, 2 or 3 years; 0: that of the product")
	create.Flags().Uint32Var(&count, "count", 1, "how many vouchers, at most 1000")
	create.Flags().IntVar(&days, "days", 365, "days until an unused voucher expires")
	return group("voucher", "Vouchers, each of which pays for one certificate", create)
}

func clientCommand() *cobra.Command {
	var dir, role, display, out string
	add := &cobra.Command{
		Use: "add NAME", Short: "Add a client: makes a profile directory with its key and certificate",
		Long: `add draws a key, has the engine certify it for NAME and one role, and writes a profile directory, which the client
needs to connect. The certificate lasts a year; add the same name again, into a new directory, before it ends. The
calling client must be an operator; only an officer can add officers.

  portal      carries persons through enrolment        auditor   reads the operation log
  identity    reports results of identity proofing     operator  vouchers, clients, grants, revocation, unlocking
  documents   has documents and hashes signed          officer   revocation, officers`,
		Example: `  ecsigner client add contracts --role documents --display "Contracts Ltd" --out clients/contracts`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, ok := pb.Role_value["ROLE_"+strings.ToUpper(role)]
			if !ok || r == 0 {
				return fmt.Errorf("role %q is unknown; use portal, documents, identity, auditor, operator or officer", role)
			}
			if display == "" {
				display = args[0]
			}
			return with(dir, func(c *client.Conn) error {
				key, csr, err := client.NewKey(args[0])
				if err != nil {
					return err
				}
				a, err := c.Admin.CreateClient(cmd.Context(), &pb.CreateClientRequest{
					RequestId: client.RequestID(), Name: args[0], DisplayName: display, Role: pb.Role(r), Csr: csr,
				})
				if err != nil {
					return err
				}
				server, err := os.ReadFile(filepath.Join(dir, client.ServerFile))
				if err != nil {
					return err
				}
				chain := a.GetCertificateChain()
				if err := client.WriteProfile(out, strings.TrimSpace(string(server)), key, chain, chain[len(chain)-1]); err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "client %s (%s): profile in %s\n", args[0], role, out)
				return nil
			})
		},
	}
	profile(add, &dir)
	add.Flags().StringVar(&role, "role", "documents", "what the client may do: one of the roles above")
	add.Flags().StringVar(&display, "display", "", "name that persons are shown on their phones (default NAME)")
	add.Flags().StringVar(&out, "out", "", "profile directory to make (required)")
	_ = add.MarkFlagRequired("out")
	return group("client", "Clients of the service: portals, document systems, auditors", add)
}

func signCommand() *cobra.Command {
	var dir, credential, title, out, language, algorithm string
	c := &cobra.Command{
		Use: "sign FILE", Short: "Sign a PDF as a document system: uploads it, asks for the code, saves the signed file",
		Long: `sign uploads FILE, has the engine send a code to the person's phone, asks for that code on the terminal (or
reads it from standard input), and writes the signed PDF and, beside it with the ending .tlog-proof, the receipt of the
operation log. After a wrong code it asks again while tries are left. The client must be a document system with a grant.`,
		Example: `  ecsigner sign contract.pdf --credential CREDENTIAL --title "Contract No. 17" --language pl`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s := signing{in: cmd.InOrStdin(), out: cmd.OutOrStdout(), progress: cmd.ErrOrStderr(), file: args[0], target: out}
			if out == "" {
				s.target = strings.TrimSuffix(args[0], ".pdf") + ".signed.pdf"
			}
			if title == "" {
				title = filepath.Base(args[0])
			}
			a, ok := signatureAlgorithms()[algorithm]
			if !ok {
				return fmt.Errorf("--algorithm %q is unknown; use ecdsa, rsa-pss or rsa-pkcs1, or leave it out", algorithm)
			}
			s.request = &pb.CreateSigningOperationRequest{CredentialId: credential, Title: title, Language: language, Algorithm: a}
			return with(dir, func(c *client.Conn) error { return s.run(cmd.Context(), c) })
		},
	}
	profile(c, &dir)
	c.Flags().StringVar(&credential, "credential", "", "id of the credential, as credential list prints it (required)")
	c.Flags().StringVar(&title, "title", "", "title that the person is shown (default the file's name)")
	c.Flags().StringVar(&language, "language", "uk", "language of the text to the phone: uk, pl or en")
	c.Flags().StringVar(&algorithm, "algorithm", "", "how to sign: ecdsa, rsa-pss or rsa-pkcs1, as the key allows (default the credential's first)")
	c.Flags().StringVarP(&out, "out", "o", "", "where to write the signed PDF (default FILE with the ending .signed.pdf)")
	_ = c.MarkFlagRequired("credential")
	return c
}

// signing is one run of the sign command.
type signing struct {
	in            io.Reader
	out, progress io.Writer
	file, target  string
	request       *pb.CreateSigningOperationRequest // without id and items
}

// signatureAlgorithms are the words of --algorithm.
func signatureAlgorithms() map[string]pb.SignatureAlgorithm {
	return map[string]pb.SignatureAlgorithm{
		"":          pb.SignatureAlgorithm_SIGNATURE_ALGORITHM_UNSPECIFIED,
		"ecdsa":     pb.SignatureAlgorithm_SIGNATURE_ALGORITHM_ECDSA_SHA256,
		"rsa-pss":   pb.SignatureAlgorithm_SIGNATURE_ALGORITHM_RSA_PSS_SHA256,
		"rsa-pkcs1": pb.SignatureAlgorithm_SIGNATURE_ALGORITHM_RSA_PKCS1_SHA256,
	}
}

func (s signing) run(ctx context.Context, c *client.Conn) (err error) {
	if _, err := os.Stat(s.target); err == nil {
		return fmt.Errorf("%s exists; choose another name with --out", s.target)
	}
	f, err := os.Open(s.file)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	doc, err := c.Upload(ctx, filepath.Base(s.file), f, func(sent int64) {
		fmt.Fprintf(s.progress, "\ruploading %3d %%", 100*sent/max(1, info.Size()))
	})
	fmt.Fprintln(s.progress)
	if err != nil {
		return err
	}
	s.request.RequestId = client.RequestID()
	s.request.Items = []*pb.SigningItemRequest{{
		Source: &pb.SigningItemRequest_DocumentId{DocumentId: doc.GetId()}, Format: pb.SignatureFormat_SIGNATURE_FORMAT_PADES_B_B,
	}}
	created, err := c.Signing.CreateSigningOperation(ctx, s.request)
	if err != nil {
		return err
	}
	id := created.GetOperation().GetId()
	fmt.Fprintf(s.out, "document  %s\nSHA-256   %x\noperation %s\n", s.file, doc.GetSha256(), id)
	signed, err := s.authorise(ctx, c, id)
	if err != nil {
		return err
	}
	if err := save(s.target, func(w io.Writer) error {
		_, err := c.Download(ctx, id, 0, pb.ArtifactContent_ARTIFACT_CONTENT_FULL, w)
		return err
	}); err != nil {
		return err
	}
	if err := os.WriteFile(s.target+".tlog-proof", signed.GetReceipt(), 0o600); err != nil {
		return err
	}
	_, err = c.Signing.CompleteSigningOperation(ctx, &pb.CompleteSigningOperationRequest{RequestId: client.RequestID(), OperationId: id})
	fmt.Fprintf(s.out, "signed    %s\nreceipt   %s\n", s.target, s.target+".tlog-proof")
	return err
}

// authorise asks for the code until it is right or the service says that no more tries are left.
func (s signing) authorise(ctx context.Context, c *client.Conn, id string) (*pb.SigningOperation, error) {
	lines := bufio.NewReader(s.in)
	for {
		code, err := s.ask(lines)
		if err != nil {
			return nil, err
		}
		a, err := c.Signing.AuthorizeSigningOperation(ctx, &pb.AuthorizeSigningOperationRequest{
			RequestId: client.RequestID(), OperationId: id, Code: code,
		})
		if err == nil {
			return a.GetOperation(), nil
		}
		if reason(err) != "CODE_REJECTED" {
			return nil, err
		}
		fmt.Fprintln(s.progress, explain(err))
	}
}

// ask reads the code; on a terminal without echo.
func (s signing) ask(lines *bufio.Reader) (string, error) {
	fmt.Fprint(s.progress, "code from the phone: ")
	if f, ok := s.in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		b, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(s.progress)
		return strings.TrimSpace(string(b)), err
	}
	line, err := lines.ReadString('\n')
	if line = strings.TrimSpace(line); line != "" {
		return line, nil
	}
	if err == nil {
		err = errors.New("no code was given")
	}
	return "", fmt.Errorf("reading the code: %w", err)
}

// reason returns the stable reason of an error of the server, or "".
func reason(err error) string {
	for _, d := range status.Convert(err).Details() {
		if i, ok := d.(*errdetails.ErrorInfo); ok {
			return i.GetReason()
		}
	}
	return ""
}

// save writes a file completely or not at all.
func save(path string, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".part-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	if err := errors.Join(write(f), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
