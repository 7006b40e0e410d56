package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/pprof"
	"time"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/config"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/demo"
	"github.com/ecsigner/ecsigner/cmd/ecsigner/engine"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

func initCommand() *cobra.Command {
	var dir, file string
	var show bool
	v := config.Values{}
	c := &cobra.Command{
		Use: "init", Short: "Make a new installation: configuration, token, keys, certification authorities, first operator",
		Long: `init makes a new installation in an empty directory. PINs are drawn at random into files that only their owner can
read; the environment variable ECSIGNER_PIN replaces the user PIN's file. An existing installation is never touched.

The provider, the CA's names, policies and URLs, and the server's names go into certificates that init makes. To choose
them, write the configuration first, change it, and give it to init:

  ecsigner init --show --name acme >acme.yaml
  ecsigner init --dir /var/lib/ecsigner/acme --config acme.yaml

Without --config they are those of an example. Each key is explained in the file.`,
		Example: "  ecsigner init --dir /var/lib/ecsigner/my --name acme",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := config.Template(v)
			if err != nil {
				return err
			}
			if show {
				_, err := io.WriteString(cmd.OutOrStdout(), text)
				return err
			}
			if file != "" {
				b, err := os.ReadFile(file)
				if err != nil {
					return err
				}
				text = string(b)
			}
			if err := noCoreDumps(); err != nil {
				return err
			}
			return engine.Init(cmd.Context(), dir, text, time.Now(), func(s string) { fmt.Fprintln(cmd.OutOrStdout(), s) })
		},
	}
	f := c.Flags()
	f.StringVar(&dir, "dir", "", "directory to make (required, or --show)")
	f.StringVar(&file, "config", "", "configuration to begin with, instead of the example and the values below")
	f.BoolVar(&show, "show", false, "only write the configuration to standard output")
	f.StringVar(&v.Installation, "name", "demo", "name of the installation, part of every seal: it never changes")
	f.StringVar(&v.Listen, "listen", "127.0.0.1:7443", "address for gRPC")
	f.StringVar(&v.PKIListen, "pki-listen", "127.0.0.1:7080", "address for CA certificates and revocation lists over HTTP")
	f.StringVar(&v.Module, "module", "/usr/lib/softhsm/libsofthsm2.so", "PKCS#11 library")
	f.StringVar(&v.Token, "token", "ecsigner", "label of the token to make in a free slot")
	f.IntVar(&v.Digits, "digits", 6, "digits of a one-time code, 6 to 9")
	f.Float64Var(&v.Rate, "rate", 500, "calls a second for each client")
	f.IntVar(&v.Budget, "budget", 100, "texts with codes to one number in 24 hours; 0: neither numbers nor clients are limited")
	c.MarkFlagsOneRequired("dir", "show")
	c.MarkFlagsMutuallyExclusive("dir", "show")
	for _, value := range []string{"name", "listen", "pki-listen", "module", "token", "digits", "rate", "budget"} {
		c.MarkFlagsMutuallyExclusive("config", value)
	}
	return c
}

func serveCommand() *cobra.Command {
	var file, cpu string
	c := &cobra.Command{
		Use: "serve", Short: "Serve an installation until SIGTERM",
		Long: `serve opens the HSM and the database, checks the operation log against its head file, completes interrupted issuing,
and answers clients over gRPC and the public over HTTP. It says so in one line on standard output; its log goes to
standard error, one JSON object a line. SIGTERM and SIGINT end it: calls under way may finish, the log is published.

The environment variable ECSIGNER_PIN goes before the PIN file of the configuration. docs/operations.md explains the
lines of the log.`,
		Example: "  ecsigner serve --config /var/lib/ecsigner/my/ecsigner.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if err := noCoreDumps(); err != nil {
				return err
			}
			cfg, err := config.Load(file)
			if err != nil {
				return err
			}
			if cpu != "" {
				end, failed := profileCPU(cpu)
				if failed != nil {
					return failed
				}
				defer func() { err = errors.Join(err, end()) }()
			}
			logger := slog.New(slog.NewJSONHandler(cmd.ErrOrStderr(), nil))
			e, err := engine.Open(cmd.Context(), cfg, version, logger)
			if err != nil {
				return err
			}
			return e.Run(cmd.Context(), func() {
				grpc, http := e.Addresses()
				fmt.Fprintf(cmd.OutOrStdout(), "serving gRPC on %s, certificates and revocation lists on http://%s\n", grpc, http)
			})
		},
	}
	c.Flags().StringVar(&file, "config", "", "ecsigner.yaml of the installation (required)")
	c.Flags().StringVar(&cpu, "cpu-profile", "", "file for a pprof profile of the CPU time until the end: names of functions, no data")
	_ = c.MarkFlagRequired("config")
	return c
}

// profileCPU begins a profile of this process's CPU time; it is written when end is called.
func profileCPU(file string) (end func() error, err error) {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return f.Close()
	}, nil
}

// noCoreDumps keeps keys and codes out of core files and away from debuggers of the same user.
func noCoreDumps() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("switching core dumps off: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("switching core dumps off: %w", err)
	}
	return nil
}

func demoCommand() *cobra.Command {
	var out, file string
	c := &cobra.Command{
		Use: "demo", Short: "Show the whole way from a voucher to a signed PDF, judged by independent programs",
		Long: `demo sets up a test installation in a temporary directory, serves it, and is portal, identity provider, document
system and persons in turn, over the real interface: from vouchers over signatures to a revocation. At the end
independent programs judge the results; the exit code is 0 only when all of them agree. Nothing stays but what --out
keeps. Without --file it signs the contract of the source tree and must be started there.`,
		Example: "  ecsigner demo --out out",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			program, err := os.Executable()
			if err != nil {
				return err
			}
			if file, err = filepath.Abs(file); err != nil {
				return err
			}
			if out != "" {
				if out, err = filepath.Abs(out); err != nil {
					return err
				}
			}
			if _, err := os.Stat(file); err != nil {
				return errors.Join(err, errors.New("name the PDF to sign with --file"))
			}
			return demo.Run(cmd.Context(), demo.Options{Program: program, Out: out, File: file, Writer: cmd.OutOrStdout()})
		},
	}
	c.Flags().StringVar(&out, "out", "", "new or empty directory in which the results stay (default none)")
	c.Flags().StringVar(&file, "file", "testdata/contract/contract.pdf", "PDF to sign")
	return c
}
