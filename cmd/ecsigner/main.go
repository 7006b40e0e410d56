// Command ecsigner is the remote signing engine: it sets an installation up, serves it, and is the client of its
// operators, document systems and auditors.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// version is set when the program is built.
var version = "unknown"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := root().ExecuteContext(ctx)
	stop()
	if err != nil {
		var quiet quietError
		if !errors.As(err, &quiet) {
			fmt.Fprintln(os.Stderr, "ecsigner: "+explain(err))
		}
		os.Exit(1)
	}
}

// quietError ends the program with exit code 1 after everything was said.
type quietError struct{ error }

func root() *cobra.Command {
	c := &cobra.Command{
		Use:   "ecsigner",
		Short: "Remote electronic signatures: keys in an HSM, released by a code on the person's phone",
		Long: `ecsigner keeps every person's signing key in an HSM, issues certificates from an embedded CA, and
releases a signature only after the one-time code sent to the person's phone was verified.

Start with "ecsigner demo": it shows the whole way from a voucher to a signed PDF. Operators then need init, serve,
client, voucher and credential; document systems sign; everybody can use verify and audit.

Commands of clients find the server and their key in a profile directory, which --client or the environment variable
ECSIGNER_CLIENT names. The exit code is 0 when all went well, else 1 with one sentence on standard error.`,
		Version:           version,
		SilenceErrors:     true,
		SilenceUsage:      true,
		DisableAutoGenTag: true,
	}
	c.SetVersionTemplate("ecsigner {{.Version}}\n")
	c.AddCommand(initCommand(), serveCommand(), demoCommand(), benchCommand(), voucherCommand(), clientCommand(),
		enrolmentCommand(), credentialCommand(), signCommand(), augmentCommand(), demoTSACommand(), verifyCommand(), auditCommand(), configCommand(), backupCommand(), restoreCommand(), renewCommand(),
		doctorCommand())
	return c
}

// group is a command that only holds others. A name that none of them has is an error, not a page of help.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use: use, Short: short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(commands...)
	return c
}
