package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/client"
	pb "github.com/ecsigner/ecsigner/proto/ecsigner/v1"
	"github.com/spf13/cobra"
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
