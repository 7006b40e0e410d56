package main

import (
	"os"
	"time"

	"github.com/ecsigner/ecsigner/cmd/ecsigner/bench"
	"github.com/spf13/cobra"
)

func benchCommand() *cobra.Command {
	var o bench.Options
	var all bool
	c := &cobra.Command{
		Use: "bench", Short: "Measure the raw HSM and authorised signatures through the whole service",
		Long: `bench sets up an installation in a temporary directory (TMPDIR chooses the disk), measures what the HSM signs by
itself, then serves the installation in a process of its own, enrols persons and measures authorised signatures: created,
authorised with the code, released with a receipt, over mutual TLS. After these rows the HSM is measured once more, so
that a drift of the machine shows. It writes Markdown; docs/benchmarks.md explains the figures and the JSON report.

With --all it measures ECDSA P-256 and RSA-3072 (PSS and PKCS #1 v1.5), single signatures and 100 under one code, and
tells where the server's CPU time goes.`,
		Example: "  ecsigner bench --duration 30s --callers 16,64 --json\n  ecsigner bench --algorithm rsa-3072 --batch 1,100\n  ecsigner bench --algorithm ecdsa-p384,rsa-3072-pss-sha512\n  ecsigner bench --all --profile profiles",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if o.Program, err = os.Executable(); err != nil {
				return err
			}
			if o.Profile = all || o.ProfileDir != ""; all {
				o.Algorithms, o.Batches = []string{bench.ECDSAP256, bench.RSA3072}, []int{1, 100}
			}
			o.Writer, o.Progress = cmd.OutOrStdout(), cmd.ErrOrStderr()
			return bench.Run(cmd.Context(), o)
		},
	}
	f := c.Flags()
	f.BoolVar(&all, "all", false, "measure everything, and where the CPU time goes")
	f.BoolVar(&o.JSON, "json", false, "write one JSON document instead of Markdown")
	f.DurationVar(&o.Duration, "duration", 10*time.Second, "how long each row is measured")
	f.IntSliceVar(&o.Callers, "callers", []int{16, 64}, "callers at once, one row for each number")
	f.StringSliceVar(&o.Algorithms, "algorithm", []string{bench.ECDSAP256}, "what to measure: "+bench.Known()+"; rsa-3072 is both paddings with SHA-256")
	f.IntSliceVar(&o.Batches, "batch", []int{1}, "digests under one code, 1 to 100; above 1 with the fewest callers, 8 at most")
	f.IntVar(&o.Persons, "persons", 64, "persons to enrol for each type of EC key, each with a credential of its own")
	f.IntVar(&o.RSAPersons, "rsa-persons", 8, "persons to enrol with RSA keys, whose generation is slow")
	f.StringVar(&o.ProfileDir, "profile", "", "also tell where the CPU time goes, and keep the profiles in this directory")
	c.MarkFlagsMutuallyExclusive("all", "algorithm")
	c.MarkFlagsMutuallyExclusive("all", "batch")
	c.AddCommand(benchDocumentCommand(), &cobra.Command{
		Use: "drain", Hidden: true, Short: "Receive one file over TLS and drop it: what a transfer costs", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return bench.Drain(cmd.Context(), cmd.OutOrStdout()) },
	})
	return c
}

func benchDocumentCommand() *cobra.Command {
	var o bench.DocumentOptions
	c := &cobra.Command{
		Use: "document", Short: "Measure what signing one large PDF costs the service",
		Long: `document has a PDF of the given size signed again and again (PAdES B-B: uploaded, prepared, authorised with the code, its tail
fetched) by a service in a process of its own, and beside each signature measures sha256sum over the same file and its
transfer over TLS to a process that drops it. It tells the service's CPU time, as a ratio to both together, and how much
memory it used above idle.`,
		Example: "  ecsigner bench document --size 1000000000 --pairs 5",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if o.Program, err = os.Executable(); err != nil {
				return err
			}
			o.Writer, o.Progress = cmd.OutOrStdout(), cmd.ErrOrStderr()
			return bench.RunDocument(cmd.Context(), o)
		},
	}
	f := c.Flags()
	f.BoolVar(&o.JSON, "json", false, "write one JSON document instead of Markdown")
	f.Int64Var(&o.Size, "size", 1_000_000_000, "size of the PDF in bytes")
	f.IntVar(&o.Pairs, "pairs", 5, "how often it is signed and compared")
	return c
}
